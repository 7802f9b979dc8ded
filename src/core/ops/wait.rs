//! Waiting for a key to get somewhere, by polling with growing pauses.

use std::time::Duration;

use super::inspect::missing_lease;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::record::Record;
use sen_model::system::System;
use sen_model::verdict::Severity;
use sen_sentinel::verdict::State;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Its result is cached.
    Completed,
    /// Nothing is under way or open: completed, or free.
    Settled,
    /// The next caller would run it: nobody holds it, or there is no such key.
    Free,
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Waited {
    /// The goal is reached; `None` when the key is not there (any more).
    Reached(Option<Record>),
    /// It needs a person: waiting longer cannot help.
    NeedsAPerson(Record),
    /// Time is up.
    TimedOut(Option<Record>),
}

/// How long the last answer may still take when the time is up.
const MARGIN: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether `found` is where it is waited for.
fn reached(goal: Goal, found: Option<&Record>) -> bool {
    let state = found.map(|found| State::parse(found.verdict.state).unwrap_or(State::Unreadable));
    match goal {
        Goal::Completed => state == Some(State::Completed),
        Goal::Free => matches!(state, None | Some(State::Free)),
        Goal::Settled => matches!(state, None | Some(State::Completed | State::Free)),
    }
}

/// Polls `id` until the goal is reached, it becomes uncertain, or `limit` has passed.
///
/// # Errors
/// `NotFound` when it is to be settled and is not there at the first look; what the store reports.
pub async fn wait(system: &dyn System, id: &str, goal: Goal, limit: Duration) -> Result<Waited> {
    let end = tokio::time::Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    let mut seen = false;
    loop {
        // The time is that of the waiting, not of the server: one that does not answer must not prolong it.
        let Ok(answer) = tokio::time::timeout_at(end + MARGIN, system.find(id, 0)).await else {
            return Err(Error::new(
                ErrorKind::Pending,
                "time is up, and the database did not answer the last question",
            )
            .with_hint("check the server and the network to it"));
        };
        let found = answer?.into_iter().next();
        // What was there and is gone is settled; what never was is more likely a slip of the pen.
        if goal == Goal::Settled && found.is_none() && !seen {
            return Err(missing_lease(id, &system.suggest(id).await?));
        }
        seen |= found.is_some();
        if reached(goal, found.as_ref()) {
            return Ok(Waited::Reached(found));
        }
        match found {
            // Somebody is settling a key in `reconciling`; the others of this severity are nobody's yet.
            Some(found) if found.verdict.severity == Severity::Critical => return Ok(Waited::NeedsAPerson(found)),
            found if tokio::time::Instant::now() >= end => return Ok(Waited::TimedOut(found)),
            _ => {}
        }
        tokio::time::sleep_until((tokio::time::Instant::now() + pause).min(end)).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
