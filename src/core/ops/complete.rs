//! Live values for the shell's completion: keys, ids, groups, states, from whichever system has them.

use futures_util::{StreamExt as _, future::join_all};

use crate::letters::LetterFilter;
use crate::model::value::Value;
use crate::registry::Database;
use crate::system::{Filter, System};

/// What stands at a place of the command line, for a system that cannot complete it itself.
const PRIMARY: &[(&str, &str)] = &[("execution", "stent"), ("saga", "saga"), ("agent_task", "node")];

/// At most `limit` values of `kind` that begin with `prefix`, in order. A system that fails has none: nobody wants an
/// error in the middle of typing.
pub async fn complete(database: &Database, kind: &str, prefix: &str, limit: u32) -> Vec<String> {
    let asked = database.systems().map(|system| of(system, kind, prefix, limit));
    let mut all: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
    all.retain(|value| value.starts_with(prefix));
    all.sort();
    all.dedup();
    all.truncate(limit as usize);
    all
}

async fn of(system: &dyn System, kind: &str, prefix: &str, limit: u32) -> Vec<String> {
    let known = system.complete(kind, prefix, limit).await.unwrap_or_default();
    if !known.is_empty() {
        return known;
    }
    match kind {
        "letter" => letters(system, limit).await,
        "group" => groups(system, limit).await,
        "any" => newest(system, limit).await,
        _ if PRIMARY.contains(&(kind, system.name())) => newest(system, limit).await,
        _ => Vec::new(),
    }
}

/// The ids of the newest records: what is typed is mostly recent.
async fn newest(system: &dyn System, limit: u32) -> Vec<String> {
    let filter = Filter { limit: Some(u64::from(limit)), ..Filter::default() };
    let Ok(mut listing) = system.list(&filter).await else { return Vec::new() };
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
