//! Waiting until a key reaches a state, by polling with growing pauses.

use std::time::Duration;

use super::inspect::missing_lease;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::record::Record;
use sen_model::system::System;
use sen_model::verdict::Severity;
use sen_sentinel::verdict::State;

/// The state to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Its result is cached.
    Completed,
    /// No work is under way or uncertain: completed, or free.
    Settled,
    /// The next caller would run it: no owner holds it, or there is no such key.
    Free,
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Waited {
    /// The goal is reached; `None` when the key does not exist, or no longer.
    Reached(Option<Record>),
    /// It needs a person; waiting longer cannot help.
    NeedsAPerson(Record),
    /// The time limit has passed.
    TimedOut(Option<Record>),
}

/// How long the last answer may take after the time limit.
const MARGIN: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether `found` has reached the goal.
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
/// `NotFound` when it is to be settled and does not exist at the first poll; what the store reports.
pub async fn wait(system: &dyn System, id: &str, goal: Goal, limit: Duration) -> Result<Waited> {
    let end = tokio::time::Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    let mut seen = false;
    loop {
        // The limit is that of the wait: a server that does not answer must not prolong it.
        let Ok(answer) = tokio::time::timeout_at(end + MARGIN, system.find(id, 0)).await else {
            return Err(Error::new(
                ErrorKind::Pending,
                "time is up, and the database did not answer the last question",
            )
            .with_hint("check the server and the network to it"));
        };
        let found = answer?.into_iter().next();
        // A key that no longer exists is settled; one that never existed is probably mistyped.
        if goal == Goal::Settled && found.is_none() && !seen {
            return Err(missing_lease(id, &system.suggest(id).await?));
        }
        seen |= found.is_some();
        if reached(goal, found.as_ref()) {
            return Ok(Waited::Reached(found));
        }
        match found {
            // A key in `reconciling` is not critical: an operator has taken it over and is settling it.
            Some(found) if found.verdict.severity == Severity::Critical => return Ok(Waited::NeedsAPerson(found)),
            found if tokio::time::Instant::now() >= end => return Ok(Waited::TimedOut(found)),
            _ => {}
        }
        tokio::time::sleep_until((tokio::time::Instant::now() + pause).min(end)).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
