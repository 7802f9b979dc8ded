//! What is known of an incident, and what it is as data.

use std::collections::HashSet;

use sen_core::error::Result;
use sen_core::model::record::Record;
use sen_core::model::report::Item;
use sen_core::model::summary::Attention;
use sen_core::model::timeline::{TimelineEntry, ordered};
use sen_core::model::value::{Row, Value};
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::model::summary::Counting;
use sen_core::ops::summary::summary;
use sen_core::ops::timeline::{Timeline, timeline};
use sen_core::ops::why::{Chain, Link};
use sen_core::ops::{inspect, prefix};
use sen_core::registry::Database;
use sen_core::time::{Timestamp, When};

use super::operation::Operation;
use crate::args::Happened;
use crate::commands::inspect::detail as inspect_detail;
use crate::commands::timeline::{COLUMNS, entry_row};
use crate::operator::operator;
use crate::sections::objects;

/// What is reported.
pub struct Incident {
    /// What it is about; empty where nothing was named.
    pub title: String,
    /// The database for people.
    pub database: String,
    /// Its clock.
    pub now: Timestamp,
    /// The time that was asked for.
    pub happened: Happened,
    /// What was asked about, as it is now.
    pub records: Vec<Record>,
    /// These and what is related to them.
    pub chain: Chain,
    /// What happened.
    pub entries: Vec<TimelineEntry>,
    /// How many entries were left out, and how many stand before them.
    pub left_out: Option<(usize, usize)>,
    /// What operators did.
    pub operations: Vec<Operation>,
    /// What needs attention in the database; asked where nothing was named.
    pub attention: Option<Vec<(&'static str, Attention)>>,
    /// Ids of targets that are no longer there.
    pub gone: Vec<String>,
    /// How many targets were not looked at.
    pub passed_over: usize,
    /// Whether more needs attention than is described.
    pub more: bool,
}

impl Incident {
    /// One of which nothing is known yet; without a title it is of everything that needs attention.
    ///
    /// # Errors
    /// What the stores report.
    pub async fn new(title: String, happened: Happened, database: &Database) -> Result<Self> {
        let front = if title.is_empty() { Some(summary(database, Counting::Estimated).await?) } else { None };
        let place = database.systems().next().map_or_else(String::new, |system| system.database().to_owned());
        Ok(Self {
            title,
            database: front.as_ref().map_or(place, |front| front.database.clone()),
            now: front.as_ref().map_or(Timestamp::NEG_INFINITY, |front| front.now),
            happened,
            records: Vec::new(),
            chain: Chain::default(),
            entries: Vec::new(),
            left_out: None,
            operations: Vec::new(),
            attention: front.map(|front| {
                front.attention().into_iter().map(|(system, item)| (system, item.clone())).collect()
            }),
            gone: Vec::new(),
            passed_over: 0,
            more: false,
        })
    }

    /// Adds what is known of a key or id; whether that is anything.
    ///
    /// # Errors
    /// What the stores report.
    pub async fn add(&mut self, database: &Database, id: &str, most: u32) -> Result<bool> {
        let mut id = id.to_owned();
        let mut told = timeline(database, &id, most).await?;
        if told.links.is_empty()
            && told.entries.is_empty()
            && let Some(whole) = prefix::resolve(database, None, prefix::ANY, &id).await?
        {
            told = timeline(database, &whole, most).await?;
            id = whole;
        }
        let Timeline { entries, links, cut, unsearched, now } = told;
        if links.is_empty() && entries.is_empty() {
            return Ok(false);
        }
        if let inspect::Lookup::Record(records) = inspect::inspect(database, &id, 0).await? {
            for record in records {
                self.now = self.now.max(record.now);
                if self.records.iter().all(|known| known.subject != record.subject) {
                    self.records.push(record);
                }
            }
        }
        self.now = self.now.max(now.unwrap_or(Timestamp::NEG_INFINITY));
        for link in links {
            if self.chain.links.iter().all(|known| known.explanation.subject != link.explanation.subject) {
                self.chain.links.push(link);
            }
        }
        self.chain.cut |= cut;
        self.chain.unsearched |= unsearched;
        self.entries.extend(entries);
        Ok(true)
    }

    /// The entries of the time asked for, each once.
    pub fn within(&mut self, mut entries: Vec<TimelineEntry>) -> Vec<TimelineEntry> {
        if !self.now.is_finite() {
            self.now = Timestamp::here();
        }
        let mut known = HashSet::new();
        entries.retain(|entry| {
            self.happened.holds(entry.at, self.now) && known.insert((entry.at, entry.subject.clone(), entry.what.clone()))
        });
        ordered(entries)
    }

    /// Keeps so many entries: how it began, a quarter of them, and the newest.
    pub fn keep(&mut self, mut entries: Vec<TimelineEntry>, limit: u32) {
        let keep = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        let (before, more) = (keep / 4, entries.len().saturating_sub(keep));
        entries.drain(before.min(entries.len())..before.min(entries.len()) + more);
        self.left_out = (more > 0).then_some((more, before));
        self.entries = entries;
    }

    /// The highest severity of what is related.
    pub fn worst(&self) -> Severity {
        let causes = self.chain.links.iter().flat_map(|link| &link.explanation.causes).map(|cause| cause.severity);
        let attention = self.attention.iter().flatten().map(|(_, item)| item.severity);
        causes.chain(attention).max().unwrap_or(Severity::Ok)
    }

    /// What to type next: operations that were stopped, then what settles the causes, then what else needs attention.
    pub fn next(&self) -> Vec<NextCommand> {
        let mut all: Vec<NextCommand> = (1..)
            .zip(self.operations.iter().filter_map(Operation::next))
            .map(|(step, next)| next.in_step(Some(step)))
            .collect();
        let before = all.last().and_then(|last| last.step).unwrap_or_default();
        let later = |next: NextCommand| {
            let step = next.step.map(|step| step + before);
            next.in_step(step)
        };
        let attention = self.attention.iter().flatten().map(|(_, item)| item.next.clone());
        for next in self.chain.steps().into_iter().map(later).chain(attention) {
            if all.iter().all(|known| known.command != next.command) {
                all.push(next);
            }
        }
        all
    }

    /// How the work of a target stands now, where it is among what is reported: under its new id, if it was given one.
    pub fn state_of(&self, item: &Item) -> Option<&'static str> {
        let of = |link: &&Link| match &item.new_id {
            Some(id) => link.explanation.subject.id == *id,
            None => link.explanation.subject == item.subject,
        };
        self.chain.links.iter().find(of).map(|link| link.explanation.state)
    }

    /// As data.
    pub fn value(&self) -> Value {
        let resolved = |when: Option<When>| Value::time(when.map(|when| when.resolve(self.now)));
        let texts = |ids: &[String]| Value::List(ids.iter().map(|id| Value::Text(id.clone())).collect());
        let rows: Vec<Row> = self.entries.iter().cloned().map(entry_row).collect();
        let records = self.records.iter().map(|record| inspect_detail(record.clone(), true).value);
        let attention = self.attention.as_ref().map_or(Value::Null, |items| {
            Value::List(items.iter().map(|(system, item)| item.value(*system)).collect())
        });
        Value::Map(vec![
            ("title", Value::Text(self.title.clone())),
            ("database", Value::Text(self.database.clone())),
            ("observed_at", Value::Time(self.now)),
            ("reported_by", Value::Text(operator())),
            ("since", resolved(self.happened.since)),
            ("until", resolved(self.happened.until)),
            ("worst", Value::Name(self.worst().name())),
            ("attention", attention),
            ("records", Value::List(records.collect())),
            ("chain", Value::List(self.chain.links.iter().map(|link| link.explanation.value(link.hop.as_ref())).collect())),
            ("chain_cut", Value::Bool(self.chain.cut)),
            ("search_cut", Value::Bool(self.chain.unsearched)),
            ("timeline", objects(COLUMNS, &rows)),
            ("timeline_cut", Value::Bool(self.left_out.is_some())),
            ("operations", Value::List(self.operations.iter().map(Operation::value).collect())),
            ("no_longer_there", texts(&self.gone)),
            ("more_needs_attention", Value::Bool(self.more)),
            ("targets_not_described", Value::Int(i64::try_from(self.passed_over).unwrap_or(i64::MAX))),
            ("next", sen_core::model::steps::values(&self.next())),
        ])
    }
}
