//! Keys with an uncertain outcome that a payload names: what calls them should run again only after they are settled.

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

/// How many such leases are compared with the names; a database with more has other worries.
const LEASES: u64 = 1000;
/// How many dead letters of a set are searched for names.
const LETTERS: u64 = 200;
/// How many things are searched for names.
const THINGS: usize = 50;
/// How many names of one payload are taken.
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
    /// What to know before something that calls this key runs again, one sentence.
    pub fn warning(&self) -> String {
        format!(
            "related key {} is {}: its side effect may have happened already; settle it first ({})",
            self.subject.id,
            self.state.name(),
            self.next.command
        )
    }
}

/// Leases without a settled outcome that one of `names` names, with or without the namespace of the key.
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

/// The same for what the payloads of these dead letters name; of a large set the first [`LETTERS`] are searched.
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

/// The same for what these things of one system lead to: what they are about, and what their payloads name. Of many the first
/// [`THINGS`] are looked at.
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
