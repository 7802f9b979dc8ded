//! What the recorded steps of a saga tell together. Pure.

use super::record::{Entry, Saga, Status};
use super::shape::{Line, Model};
use sen_model::time::{Timestamp, When};

/// What the next poll makes of a saga whose wait for an event is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterWait {
    /// It executes (or rolls back) the step again.
    RunsAgain,
    /// It ends the saga as timed out.
    TimesOut,
    /// Which of the two depends on the library's version, which the tables do not tell.
    Either,
    /// It fails, because the type lacks TIMEOUT.
    Fails,
    /// It executes the step again, or fails: that depends on the library's version.
    RunsAgainOrFails,
}

/// Up to 0.3.0 the step runs again. From 0.4.0 on `run_due` times a wait for a type out, from 0.6.0 on also one for a
/// correlation id alone; a wait with neither runs again in all versions, and so does a compensation that waits.
pub(super) fn after_wait(saga: &Saga, model: Option<&Model>) -> AfterWait {
    let Some(awaiting) = saga.awaiting.as_ref().filter(|_| saga.status == Status::Suspended) else {
        return AfterWait::RunsAgain;
    };
    let typed = !awaiting.types.is_empty();
    let Some(model) = model.filter(|_| typed || awaiting.correlation.is_some()) else {
        return AfterWait::RunsAgain;
    };
    let writable = model.lacks().iter().all(|lack| !lack.labels.contains(&"TIMEOUT"));
    match (model.line(), writable) {
        (Line::Row, _) => AfterWait::RunsAgain,
        (Line::Dated, true) if typed => AfterWait::TimesOut,
        (Line::Dated, false) if typed => AfterWait::Fails,
        // Of 0.2.4 to 0.4.x none times out what waits for a correlation id alone.
        (Line::Undated, _) if !typed => AfterWait::RunsAgain,
        (_, true) => AfterWait::Either,
        (_, false) => AfterWait::RunsAgainOrFails,
    }
}

/// The newest try of a step that failed.
pub(super) fn failed_step(steps: &[Entry]) -> Option<&Entry> {
    steps.iter().rev().find(|entry| entry.executes() && entry.is("ERROR") && entry.act().is_none())
}

/// The step that is rolled back next: the newest that succeeded and is not rolled back.
pub(super) fn next_to_roll_back(steps: &[Entry]) -> Option<&Entry> {
    let mut undone: Vec<&str> = Vec::new();
    for entry in steps.iter().rev().filter(|entry| entry.is("SUCCESS")) {
        if entry.compensates() {
            undone.push(&entry.step_id);
        } else if entry.executes() && !undone.contains(&entry.step_id.as_str()) {
            return Some(entry);
        }
    }
    None
}

/// Whether a roll-back was under way when an operator gave the saga up: what it was at may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RollBack {
    /// The record of the act says so.
    UnderWay,
    /// The library's own abort does not record it, and it fits what was seen.
    Possible,
    /// Nothing speaks for it.
    None,
}

/// What is known of a failed saga without a compensation on record.
pub(super) fn roll_back(saga: &Saga, steps: &[Entry]) -> RollBack {
    if saga.status != Status::Failed {
        return RollBack::None;
    }
    // Nothing is executed after the act, unless a later act (a retry, which needs --force) began anew.
    // 0.1.x records no abort. But a step that fails leaves its token in the row, and an abort draws a new one.
    let unrecorded = |last: &Entry| {
        let another = last.token.is_some() && last.token != saga.token;
        saga.step > 0 && another && last.act().is_none() && last.executes() && last.is("ERROR")
    };
    if steps.last().is_some_and(unrecorded) {
        return RollBack::Possible;
    }
    let act = steps.iter().rev().find(|entry| entry.act().is_some());
    let Some(abort) = act.filter(|entry| entry.act().as_deref() == Some("abort")) else {
        return RollBack::None;
    };
    match abort.before() {
        Some(Status::Compensating | Status::CompensatingSuspended) => RollBack::UnderWay,
        Some(_) => RollBack::None,
        // Steps that are done, then an error: either the next try was waited for, or they were being rolled back.
        None if saga.step > 0 && newest(steps).is_some_and(|entry| entry.is("ERROR")) => RollBack::Possible,
        None => RollBack::None,
    }
}

/// The newest entry that a worker wrote.
pub(super) fn newest(steps: &[Entry]) -> Option<&Entry> {
    steps.iter().rev().find(|entry| entry.act().is_none())
}

/// How long after its last recorded result (or its beginning) a saga was claimed that nothing had to keep waiting. `None`
/// when it is not claimed, waited for a try or an event, or was claimed within one lease: the usual case.
pub(super) fn claimed_again(saga: &Saga, steps: &[Entry]) -> Option<i64> {
    let (claimed, until) = (saga.updated?, saga.deadline?);
    if saga.status != Status::Running || saga.due != Some(false) || saga.retries > 0 {
        return None;
    }
    let since = match steps.last() {
        None if saga.step <= 0 => saga.created?,
        Some(entry) if entry.executes() && entry.is("SUCCESS") => entry.at?,
        _ => return None,
    };
    // An event that was turned down is noted in the row, too: then its last change is no claim.
    if turned_down(saga).is_some_and(|at| at >= since) {
        return None;
    }
    let (gap, lease) = (claimed.micros_since(since), until.micros_since(claimed));
    (gap >= lease.max(1_000_000)).then_some(gap)
}

/// When the newest event was noted in the context.
fn turned_down(saga: &Saga) -> Option<Timestamp> {
    let context: serde_json::Value = serde_json::from_str(saga.context.as_deref()?).ok()?;
    let noted = context.get("notify_inbox")?.as_array()?.last()?.get("timestamp")?.as_str()?;
    match When::parse(noted).ok()? {
        When::At(at) => Some(at),
        When::Ago(_) => None,
    }
}

/// Which act of an operator made a saga due, if that is the newest entry of all.
pub(super) fn handed_by(steps: &[Entry]) -> Option<&Entry> {
    steps.last().filter(|entry| entry.act().is_some())
}
