//! Keys with an uncertain outcome that a payload mentions: they should be settled before the work that uses them runs again.

use std::collections::HashSet;

use futures_util::StreamExt as _;

use crate::registry::Database;
use sen_model::cause::candidates;
use sen_model::error::{ErrorKind, Result};
use sen_model::letters::{DeadLetters, LetterFilter};
use sen_model::subject::{Kind, Subject};
use sen_model::system::System;
use sen_model::verdict::{NextCommand, Purpose};
use sen_sentinel::verdict::State;

/// How many unsettled leases are compared with the names.
const LEASES: u64 = 1000;
/// How many dead letters of a set are searched for keys.
const LETTERS: u64 = 200;
/// How many records are searched for keys.
const THINGS: usize = 50;
/// How many names are taken from one payload.
const NAMES: usize = 20;

/// A key whose outcome is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The key.
    pub subject: Subject,
    /// Its state: uncertain, stalled or reconciling.
    pub state: State,
    /// The command that settles it.
    pub next: NextCommand,
}

impl Unsettled {
    /// One sentence of warning before work that uses this key runs again.
    pub fn warning(&self) -> String {
        format!(
            "related key {} is {}: its side effect may have happened already; settle it first ({})",
            self.subject.id,
            self.state.name(),
            self.next.command
        )
    }
}

/// Unsettled leases whose key, with or without its namespace, is one of `names`.
///
/// # Errors
/// What the store reports. A database without leases has none.
pub async fn unsettled(database: &Database, names: &[String]) -> Result<Vec<Unsettled>> {
    let Ok(leases) = database.leases() else { return Ok(Vec::new()) };
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    let open = match leases.unsettled(LEASES).await {
        Err(error) if error.kind() == ErrorKind::NoSystem => return Ok(Vec::new()),
        other => other?,
    };
    let named = |key: &str| {
        let bare = key.split_once(':').map(|(_, bare)| bare);
        names.contains(key) || bare.is_some_and(|bare| names.contains(bare))
    };
    let of = |lease: sen_sentinel::Unsettled| {
        let next = NextCommand::new(&["sen", "reconcile"], "settle it first: what happened");
        Unsettled {
            next: next.id(&lease.key).purpose(Purpose::Settle),
            subject: Subject::new(sen_sentinel::NAME, Kind::Lease, lease.key),
            state: lease.state,
        }
    };
    Ok(open.into_iter().filter(|lease| named(&lease.key)).map(of).collect())
}

/// The same for the names in the payloads of these dead letters; of a large set the first [`LETTERS`] are searched.
///
/// # Errors
/// What the stores report.
pub async fn of_letters(
    database: &Database,
    letters: &dyn DeadLetters,
    filter: &LetterFilter,
) -> Result<Vec<Unsettled>> {
    let limit = Some(filter.limit.map_or(LETTERS, |limit| limit.min(LETTERS)));
    let mut parts = letters.list(&LetterFilter { payloads: true, limit, ..filter.clone() }).await?.parts;
    let mut names: Vec<String> = Vec::new();
    while let Some(part) = parts.next().await {
        names.extend(
            part?.iter().filter_map(|letter| letter.payload.as_deref()).flat_map(|json| candidates(json, NAMES)),
        );
    }
    names.sort_unstable();
    names.dedup();
    unsettled(database, &names).await
}

/// The same for the records that these records of one system are related to. The first [`THINGS`] of them are searched.
///
/// # Errors
/// What the stores report.
pub async fn of_things(database: &Database, system: &dyn System, ids: &[String]) -> Result<Vec<Unsettled>> {
    let mut names: Vec<String> = Vec::new();
    for id in ids.iter().take(THINGS) {
        let explained = system.explain(id).await?;
        names.extend(explained.into_iter().flat_map(|one| one.related).map(|related| related.id));
    }
    names.sort_unstable();
    names.dedup();
    unsettled(database, &names).await
}
