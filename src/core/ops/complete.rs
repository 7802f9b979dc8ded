//! Values from the database for the shell's completion: keys, ids, groups, queues, from every system that has them.

use futures_util::{StreamExt as _, future::join_all};

use crate::registry::Database;
use sen_model::letters::LetterFilter;
use sen_model::live::Live;
use sen_model::system::System;

/// At most `limit` values of `kind` that begin with `prefix`, in order. A system that fails has none: an error must not
/// appear while a command is typed.
pub async fn complete(database: &Database, kind: Live, prefix: &str, limit: u32) -> Vec<String> {
    let asked = database.systems().map(|system| of(system, kind, prefix, limit));
    let mut all: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
    all.retain(|value| value.starts_with(prefix));
    all.sort();
    all.dedup();
    all.truncate(limit as usize);
    all
}

async fn of(system: &dyn System, kind: Live, prefix: &str, limit: u32) -> Vec<String> {
    let known = system.complete(kind, prefix, limit).await.unwrap_or_default();
    if !known.is_empty() {
        return known;
    }
    match kind {
        Live::DeadLetter => letters(system, limit).await,
        Live::Group => groups(system, limit).await,
        _ => known,
    }
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
