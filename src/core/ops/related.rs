//! Keys that a payload mentions and whose state matters before the work that uses them runs again: those with an uncertain outcome
//! should be settled first, and what is completed would be done twice.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use futures_util::future::join;

use crate::registry::Database;
use sen_model::cause::candidates;
use sen_model::error::{ErrorKind, Result};
use sen_model::letters::{DeadLetters, LetterFilter};
use sen_model::system::System;
use sen_model::verdict::{NextCommand, Purpose};
use sen_sentinel::verdict::State;

/// How many unsettled leases are compared with the names.
const LEASES: u64 = 1000;
/// How many dead letters of a set are searched for keys.
const LETTERS: u64 = 200;
/// How many records are searched for keys.
const THINGS: usize = 50;
/// How many names are compared with the keys that are completed.
const COMPARED: usize = 500;
/// How many names are taken from one payload.
const NAMES: usize = 20;

/// A key that matters before work that uses it runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelatedKey {
    /// Its outcome is not settled.
    Unsettled {
        /// The key.
        key: String,
        /// Its state: uncertain, stalled or reconciling.
        state: State,
        /// The command that settles it.
        next: NextCommand,
    },
    /// It is completed.
    Completed {
        /// The key.
        key: String,
    },
}

impl RelatedKey {
    /// One sentence of warning before work that uses this key runs again.
    pub fn warning(&self) -> String {
        match self {
            Self::Unsettled { key, state, next } => format!(
                "related key {key} is {}: its side effect may have happened already; settle it first ({})",
                state.name(),
                next.command
            ),
            Self::Completed { key } => format!(
                "related key {key} is completed: its work is done, and a step that does not claim the key does it again"
            ),
        }
    }
}

/// Leases whose key, with or without its namespace, is one of `names`: those that are not settled, and with `completed` those that
/// are completed.
///
/// # Errors
/// What the store reports. A database without leases has none.
pub async fn related_keys(database: &Database, names: &[String], completed: bool) -> Result<Vec<RelatedKey>> {
    let Ok(leases) = database.leases() else { return Ok(Vec::new()) };
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let done =
        async { if completed { leases.completed(&names[..names.len().min(COMPARED)]).await } else { Ok(Vec::new()) } };
    let (open, done) = match join(leases.unsettled(LEASES), done).await {
        (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::NoSystem => return Ok(Vec::new()),
        (open, done) => (open?, done?),
    };
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    let named = |key: &str| {
        let bare = key.split_once(':').map(|(_, bare)| bare);
        names.contains(key) || bare.is_some_and(|bare| names.contains(bare))
    };
    let of = |lease: sen_sentinel::Unsettled| {
        let next = match lease.state {
            State::Uncertain => NextCommand::new(&["sen", "reconcile"], "settle it first: what happened"),
            // Whoever has taken it over has its token, and a worker may be alive.
            _ => NextCommand::new(&["sen", "inspect"], "settle it first: how it stands"),
        };
        RelatedKey::Unsettled { next: next.id(&lease.key).purpose(Purpose::Settle), key: lease.key, state: lease.state }
    };
    let open = open.into_iter().filter(|lease| named(&lease.key)).map(of);
    Ok(open.chain(done.into_iter().map(|key| RelatedKey::Completed { key })).collect())
}

/// The same for the names in the payloads of these dead letters; of a large set the first [`LETTERS`] are searched.
///
/// # Errors
/// What the stores report.
pub async fn of_letters(
    database: &Database,
    letters: &dyn DeadLetters,
    filter: &LetterFilter,
) -> Result<Vec<RelatedKey>> {
    let limit = Some(filter.limit.map_or(LETTERS, |limit| limit.min(LETTERS)));
    let mut parts = letters.list(&LetterFilter { payloads: true, limit, ..filter.clone() }).await?.parts;
    let (mut names, mut runs): (Vec<String>, bool) = (Vec::new(), false);
    while let Some(part) = parts.next().await {
        let part = part?;
        // A message is handed on; it is no work of its name that would be done again.
        runs |= part.iter().any(|letter| matches!(letter.kind, "orchestrator" | "activity"));
        names.extend(
            part.iter().filter_map(|letter| letter.payload.as_deref()).flat_map(|json| candidates(json, NAMES)),
        );
    }
    names.sort_unstable();
    names.dedup();
    related_keys(database, &names, runs).await
}

/// The same for the records that these records of one system are related to; completed keys, too, where their work `runs` again.
/// The first [`THINGS`] of them are searched.
///
/// # Errors
/// What the stores report.
pub async fn of_things(
    database: &Database,
    system: &dyn System,
    ids: &[String],
    runs: bool,
) -> Result<Vec<RelatedKey>> {
    let mut names: Vec<String> = Vec::new();
    for id in ids.iter().take(THINGS) {
        let explained = system.explain(id).await?;
        names.extend(explained.into_iter().flat_map(|one| one.related).map(|related| related.id));
    }
    names.sort_unstable();
    names.dedup();
    related_keys(database, &names, runs).await
}
