//! Live values for the shell's completion: keys, ids, groups, states, from whichever system has them.

use futures_util::{StreamExt as _, future::join_all};

use crate::registry::Database;
use sen_model::letters::LetterFilter;
use sen_model::live::Live;
use sen_model::system::System;
use sen_model::value::Value;

/// What a system lists first, or under which name, for those that cannot complete it themselves.
const LISTED: &[(Live, &str, &str)] = &[
    (Live::Execution, "stent", ""),
    (Live::Task, "stent", "task"),
    (Live::Saga, "saga", ""),
    (Live::AgentTask, "node", ""),
    (Live::Worker, "node", "workers"),
];

/// At most `limit` values of `kind` that begin with `prefix`, in order. A system that fails has none: nobody wants an
/// error in the middle of typing.
pub async fn complete(database: &Database, kind: Live, prefix: &str, limit: u32) -> Vec<String> {
    let asked = database.systems().map(|system| of(database, system, kind, prefix, limit));
    let mut all: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
    all.retain(|value| value.starts_with(prefix));
    all.sort();
    all.dedup();
    all.truncate(limit as usize);
    all
}

async fn of(database: &Database, system: &dyn System, kind: Live, prefix: &str, limit: u32) -> Vec<String> {
    let known = system.complete(kind, prefix, limit).await.unwrap_or_default();
    if !known.is_empty() {
        return known;
    }
    match kind {
        Live::DeadLetter => letters(system, limit).await,
        Live::Group => groups(system, limit).await,
        Live::Queue => queues(system).await,
        Live::Any => newest(database, system, "", limit).await,
        _ => match LISTED.iter().find(|(known, name, _)| *known == kind && *name == system.name()) {
            Some((_, _, listed)) => newest(database, system, listed, limit).await,
            None => Vec::new(),
        },
    }
}

/// The queues that its survey tells of.
async fn queues(system: &dyn System) -> Vec<String> {
    let Ok(summary) = system.summary().await else { return Vec::new() };
    let mut found = Vec::new();
    for section in &summary.sections {
        let Some(at) = section.columns.iter().position(|column| column.name == "queue") else { continue };
        found.extend(section.rows.iter().filter_map(|row| match row.get(at) {
            Some(Value::Text(queue)) => Some(queue.clone()),
            _ => None,
        }));
    }
    found
}

/// The ids of the newest records: what is typed is mostly recent.
async fn newest(database: &Database, system: &dyn System, kind: &'static str, limit: u32) -> Vec<String> {
    let _ = kind;
    let Ok(mut listing) = super::snapshot::newest(database, system.name(), &[], u64::from(limit)).await else {
        return Vec::new();
    };
    let mut found = Vec::new();
    while let Some(Ok(part)) = listing.parts.next().await {
        found.extend(part.rows.into_iter().filter_map(|row| match row.into_iter().next() {
            Some(Value::Text(id)) => Some(id),
            _ => None,
        }));
    }
    found
}

async fn letters(system: &dyn System, limit: u32) -> Vec<String> {
    let Some(kept) = system.letters() else { return Vec::new() };
    let filter = LetterFilter { limit: Some(u64::from(limit)), newest_first: true, ..LetterFilter::default() };
    let Ok(mut found) = kept.list(&filter).await else { return Vec::new() };
    let mut ids = Vec::new();
    while let Some(Ok(part)) = found.parts.next().await {
        ids.extend(part.into_iter().map(|letter| letter.id));
    }
    ids
}

async fn groups(system: &dyn System, limit: u32) -> Vec<String> {
    let Some(kept) = system.letters() else { return Vec::new() };
    let found = kept.groups(&LetterFilter::default()).await.unwrap_or_default();
    found.into_iter().take(limit as usize).map(|group| group.id).collect()
}
