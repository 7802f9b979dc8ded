//! `sen report`: an incident for a ticket, in Markdown or as data. It judges nothing: what it tells is what `inspect`, `why`,
//! `timeline`, `status` and the journal of operations tell.

mod operations;
mod page;

use std::collections::HashSet;

use sen_core::error::{Error, Result};
use sen_core::model::record::Record;
use sen_core::model::report::Item;
use sen_core::model::summary::Attention;
use sen_core::model::timeline::{TimelineEntry, ordered};
use sen_core::model::value::{Row, Value};
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::ops::summary::summary;
use sen_core::ops::timeline::{Timeline, timeline};
use sen_core::ops::why::{Chain, Link};
use sen_core::ops::{inspect, prefix};
use sen_core::registry::Database;
use sen_core::time::{Timestamp, When};

use self::operations::Operation;
use super::inspect::stored_key;
use super::timeline::{COLUMNS, MOST, entry_row, with_journal};
use super::{apply, pick};
use crate::args::Happened;
use crate::completion::live::{Completes, Live};
use crate::journal::{self, Entry};
use crate::operator::operator;
use crate::output::Format;
use crate::sections::objects;
use crate::session::Session;
use crate::views::{CommandOutput, Detail, DetailsView, View};

/// Write an incident as Markdown for a ticket: states, causes, what happened, what was done, what is left
///
/// Of keys and ids, of an operation and its targets, or with --since alone of what needs attention now and of the operations
/// of that time. Everything is as seen now, by the same rules as in `sen inspect`, `sen why` and `sen timeline`; secrets are masked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen report payments:order-789 > incident.md
  sen report --op last
  sen report --since 2h
  sen report payments:order-789 --since 2h -o json | jq .next")]
pub struct Args {
    /// Keys as stored, or any ids
    #[arg(value_name = "KEY|ID", required_unless_present_any = ["operations", "since"], add = Completes(Live::Any))]
    pub keys: Vec<String>,

    /// Operation of this user's journal, with its targets: its id, a unique prefix of it, or "last"; can be repeated
    #[arg(long = "op", id = "operations", value_name = "OP")]
    pub operations: Vec<String>,

    /// Put this namespace before every key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    #[command(flatten)]
    pub happened: Happened,

    /// Maximum number of entries of what happened, the newest (0 = unlimited)
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u32,
}

/// So many records are described that were not named themselves: targets of operations, what needs attention.
const IN_DEPTH: usize = 5;

/// What is reported.
struct Incident {
    title: String,
    database: String,
    now: Timestamp,
    happened: Happened,
    /// What was asked about, as it is now.
    records: Vec<Record>,
    /// These and what is related to them.
    chain: Chain,
    entries: Vec<TimelineEntry>,
    /// Whether older entries were left out.
    older: bool,
    operations: Vec<Operation>,
    /// What needs attention in the database; asked where nothing was named.
    attention: Option<Vec<(&'static str, Attention)>>,
    /// Ids of targets that are no longer there.
    gone: Vec<String>,
    /// How many targets were not looked at.
    passed_over: usize,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let named = args.operations.iter().map(|id| journal::entry(id)).collect::<Result<Vec<Entry>>>()?;
    let database = session.read().await?;
    for entry in &named {
        apply::system_of(&database, &entry.kind, &entry.plan, entry.origin.as_ref(), session).await?;
    }
    let mut asked = Vec::new();
    for key in &args.keys {
        asked.push(crate::keys::checked_key(stored_key(args.namespace.as_deref(), key))?);
    }
    let mut errors = Vec::new();
    let mut incident = Incident::new(&args, &named, &database).await?;
    // One more than is shown tells whether there are older ones.
    let most = if args.limit == 0 || args.happened.until.is_some() { MOST } else { args.limit.saturating_add(1).min(MOST) };
    for id in &asked {
        if !incident.add(&database, id, most).await? {
            errors.push(missing(&database, id).await?);
        }
    }
    if errors.len() == asked.len() && errors.len() == 1 && named.is_empty() {
        return Err(errors.remove(0));
    }
    let others = if asked.is_empty() && named.is_empty() {
        pick::gravest(&database, IN_DEPTH).await?.into_iter().map(|id| vec![id]).collect()
    } else {
        let mut targets: Vec<Vec<String>> = named.iter().flat_map(operations::targets).collect();
        let mut known: HashSet<String> = asked.iter().cloned().collect();
        targets.retain(|ids| ids.iter().all(|id| known.insert(id.clone())));
        incident.passed_over = targets.len().saturating_sub(IN_DEPTH);
        targets.truncate(IN_DEPTH);
        targets
    };
    'others: for ids in others {
        for id in &ids {
            if incident.add(&database, id, most).await? {
                continue 'others;
            }
        }
        incident.gone.extend(ids);
    }
    let entries = with_journal(std::mem::take(&mut incident.entries));
    let entries = incident.within(entries);
    incident.operations = operations::of(&incident, &entries, &named, &database, session).await?;
    incident.keep(entries, args.limit);
    let globals = &session.globals;
    let view = if globals.output == Format::Table && globals.fields.is_empty() {
        View::Text(page::markdown(&incident, globals.reveal))
    } else {
        let details = vec![Detail { value: incident.value(), blocks: Vec::new() }];
        View::Details(DetailsView { details, single: true, now: incident.now })
    };
    Ok(CommandOutput::new(view).with_errors(errors))
}

/// Why there is nothing to report of a key.
async fn missing(database: &Database, id: &str) -> Result<Error> {
    Ok(match inspect::inspect(database, id, 0).await? {
        inspect::Lookup::Missing { key, similar } => inspect::missing("key or id", &key, &similar),
        // It was created in the meantime.
        inspect::Lookup::Record(_) => inspect::missing("key or id", id, &[]),
    })
}

impl Incident {
    async fn new(args: &Args, named: &[Entry], database: &Database) -> Result<Self> {
        let whole = args.keys.is_empty() && named.is_empty();
        let front = if whole { Some(summary(database).await?) } else { None };
        let keys = args.keys.iter().map(|key| stored_key(args.namespace.as_deref(), key));
        let operations = named.iter().map(|entry| format!("operation {}", entry.plan.operation));
        let titles: Vec<String> = keys.chain(operations).collect();
        let place = database.systems().next().map_or_else(String::new, |system| system.database().to_owned());
        Ok(Self {
            title: titles.join(", "),
            database: front.as_ref().map_or(place, |front| front.database.clone()),
            now: front.as_ref().map_or(Timestamp::NEG_INFINITY, |front| front.now),
            happened: args.happened,
            records: Vec::new(),
            chain: Chain::default(),
            entries: Vec::new(),
            older: false,
            operations: Vec::new(),
            attention: front.map(|front| {
                front.attention().into_iter().map(|(system, item)| (system, item.clone())).collect()
            }),
            gone: Vec::new(),
            passed_over: 0,
        })
    }

    /// Adds what is known of a key or id; whether that is anything.
    async fn add(&mut self, database: &Database, id: &str, most: u32) -> Result<bool> {
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
    fn within(&mut self, mut entries: Vec<TimelineEntry>) -> Vec<TimelineEntry> {
        if !self.now.is_finite() {
            self.now = Timestamp::here();
        }
        let mut known = HashSet::new();
        entries.retain(|entry| {
            self.happened.holds(entry.at, self.now) && known.insert((entry.at, entry.subject.clone(), entry.what.clone()))
        });
        ordered(entries)
    }

    /// Keeps the newest entries.
    fn keep(&mut self, mut entries: Vec<TimelineEntry>, limit: u32) {
        let keep = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        self.older = entries.len() > keep;
        entries.drain(..entries.len().saturating_sub(keep));
        self.entries = entries;
    }

    /// The highest severity of what is related.
    fn worst(&self) -> Severity {
        let causes = self.chain.links.iter().flat_map(|link| &link.explanation.causes).map(|cause| cause.severity);
        let attention = self.attention.iter().flatten().map(|(_, item)| item.severity);
        causes.chain(attention).max().unwrap_or(Severity::Ok)
    }

    /// What to type next: operations that were stopped, then what settles the causes, then what else needs attention.
    fn next(&self) -> Vec<NextCommand> {
        let mut all: Vec<NextCommand> = self.operations.iter().filter_map(Operation::next).collect();
        let attention = self.attention.iter().flatten().map(|(_, item)| item.next.clone());
        for next in self.chain.steps().into_iter().chain(attention) {
            if all.iter().all(|known| known.command != next.command) {
                all.push(next);
            }
        }
        all
    }

    /// How the work of a target stands now, where it is among what is reported: under its new id, if it was given one.
    fn state_of(&self, item: &Item) -> Option<&'static str> {
        let of = |link: &&Link| match &item.new_id {
            Some(id) => link.explanation.subject.id == *id,
            None => link.explanation.subject == item.subject,
        };
        self.chain.links.iter().find(of).map(|link| link.explanation.state)
    }

    fn value(&self) -> Value {
        let resolved = |when: Option<When>| Value::time(when.map(|when| when.resolve(self.now)));
        let texts = |ids: &[String]| Value::List(ids.iter().map(|id| Value::Text(id.clone())).collect());
        let rows: Vec<Row> = self.entries.iter().cloned().map(entry_row).collect();
        let records = self.records.iter().map(|record| super::inspect::detail(record.clone(), true).value);
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
            ("timeline_cut", Value::Bool(self.older)),
            ("operations", Value::List(self.operations.iter().map(Operation::value).collect())),
            ("no_longer_there", texts(&self.gone)),
            ("targets_not_described", Value::Int(i64::try_from(self.passed_over).unwrap_or(i64::MAX))),
            ("next", Value::List(self.next().iter().map(NextCommand::value).collect())),
        ])
    }
}
