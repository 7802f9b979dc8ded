//! What operators did: out of this user's journal, and out of the records in the systems' own tables.

use std::collections::HashSet;

use sen_core::error::{ErrorKind, Result};
use sen_core::model::report::{Item, Outcome};
use sen_core::model::subject::Kind;
use sen_core::model::timeline::{TimeBasis, TimelineEntry};
use sen_core::registry::Database;
use sen_core::time::Timestamp;

use super::incident::Incident;
use super::operation::Operation;
use crate::commands::apply::is_of;
use crate::journal::{self, Entry, State};
use crate::session::Session;

/// How many of its targets are told.
const RESULTS_TOLD: usize = 20;
/// How many entries that follow are told.
const FOLLOWING: usize = 5;

/// Whether it was done as wanted.
fn is_done(item: &Item) -> bool {
    matches!(item.outcome, Outcome::Applied | Outcome::AlreadyDone)
}

/// The ids to look at for each target of an operation: of work that goes on under a new id first that one, and its own where that
/// is gone. Those first that were not done.
pub fn targets(entry: &Entry) -> Vec<Vec<String>> {
    let mut items: Vec<Item> = entry.settled.values().collect();
    items.sort_by_key(is_done);
    let recorded = |item: &Item| !matches!(item.subject.kind, Kind::Name | Kind::RateLimit | Kind::Relation);
    let ids = |item: Item| item.new_id.into_iter().chain([item.subject.id]).collect();
    items.into_iter().filter(recorded).map(ids).collect()
}

/// The operations that are named, that records of the incident name, or that had these records as targets; where nothing was
/// named those of the time asked for. The oldest first.
pub async fn of(
    incident: &Incident,
    entries: &[TimelineEntry],
    named: &[Entry],
    database: &Database,
    session: &Session,
) -> Result<Vec<Operation>> {
    let undone = named.iter().filter_map(|entry| entry.undone_by);
    let names: HashSet<String> =
        named.iter().map(|entry| entry.plan.operation).chain(undone).map(|operation| operation.to_string()).collect();
    let recorded: HashSet<&str> = entries.iter().filter_map(|entry| entry.operation.as_deref()).collect();
    let now = if incident.now.is_finite() { incident.now } else { Timestamp::here() };
    let mut all = Vec::new();
    let (journal, unreadable) = journal::entries(session, None).await;
    unreadable.iter().for_each(|error| session.warn(error.in_full()));
    let ids: HashSet<&str> = incident.chain.links.iter().map(|link| link.explanation.subject.id.as_str()).collect();
    let mut known = HashSet::new();
    for entry in &journal {
        let id = entry.plan.operation.to_string();
        let touches = || {
            entry.settled.values().any(|item| {
                ids.contains(item.subject.id.as_str()) || item.new_id.as_deref().is_some_and(|id| ids.contains(id))
            })
        };
        let within = entry.at().is_none_or(|at| incident.happened.holds(at, now));
        let meant = names.contains(&id)
            || recorded.contains(id.as_str())
            || (within && (incident.attention.is_some() || touches()) && is_here(entry, database, session).await?);
        if meant {
            known.insert(id);
            all.push(journaled(entry, incident, entries, &ids));
        }
    }
    for entry in entries {
        let Some(id) = entry.operation.clone().filter(|id| !known.contains(id)) else { continue };
        known.insert(id.clone());
        all.push(of_records(id, entries));
    }
    all.sort_by_key(|operation| operation.at);
    Ok(all)
}

/// Whether an operation was done in this database.
async fn is_here(entry: &Entry, database: &Database, session: &Session) -> Result<bool> {
    match is_of(database, &entry.kind, &entry.plan, entry.origin.as_ref(), session).await {
        Err(error) if error.kind() == ErrorKind::NoSystem => Ok(false),
        answer => answer,
    }
}

fn journaled(entry: &Entry, incident: &Incident, entries: &[TimelineEntry], ids: &HashSet<&str>) -> Operation {
    let about = |item: &Item| ids.contains(item.subject.id.as_str()) || item.new_id.as_deref().is_some_and(|id| ids.contains(id));
    let mut items: Vec<Item> = entry.settled.values().collect();
    items.sort_by_key(|item| (is_done(item), !about(item)));
    items.truncate(RESULTS_TOLD);
    let results = items.into_iter().map(|item| (item.clone(), incident.state_of(&item))).collect();
    let origin = entry.origin.as_ref();
    Operation {
        at: entry.acted().map(|(first, _)| first).or(entry.at()),
        who: origin.map(|origin| origin.who.clone()),
        reason: origin.and_then(|origin| origin.reason.clone()),
        what: Some(entry.plan.summary().to_owned()),
        state: Some(entry.state),
        targets: Some(entry.targets),
        done: Some(entry.count(Outcome::Applied) + entry.count(Outcome::AlreadyDone)),
        untold: Some(entry.untold),
        undone_by: entry.undone_by.map(|operation| operation.to_string()),
        results,
        open: !entry.open_places().is_empty() && !matches!(entry.state, State::Running | State::Undone),
        ..of_records(entry.plan.operation.to_string(), entries)
    }
}

/// What the records say of an operation.
fn of_records(id: String, entries: &[TimelineEntry]) -> Operation {
    let mine = |entry: &TimelineEntry| entry.operation.as_ref() == Some(&id);
    let records: Vec<TimelineEntry> = entries.iter().filter(|entry| mine(entry)).cloned().collect();
    let behind = entries.iter().rposition(mine).map_or(entries.len(), |last| last + 1);
    let subjects: HashSet<_> = records.iter().map(|entry| &entry.subject).collect();
    // The next operation tells what followed it.
    let following = entries[behind..].iter().take_while(|entry| entry.operation.is_none());
    let followed_by = following.filter(|entry| subjects.contains(&entry.subject)).take(FOLLOWING).cloned().collect();
    let first = |of: fn(&TimelineEntry) -> Option<String>| records.iter().find_map(of);
    Operation {
        at: records.first().filter(|entry| entry.basis != TimeBasis::After).map(|entry| entry.at),
        who: first(|entry| entry.who.clone()),
        reason: first(|entry| entry.why.clone()),
        what: None,
        state: None,
        targets: None,
        done: None,
        untold: None,
        undone_by: None,
        results: Vec::new(),
        followed_by,
        records,
        open: false,
        id,
    }
}
