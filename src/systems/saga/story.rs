//! What the recorded steps of a saga show together. Pure.

use super::record::{Entry, Saga, Status};
use super::shape::{Line, Model};
use sen_model::time::{Timestamp, When};

/// What the next poll does with a saga whose wait for an event has timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterWait {
    /// It executes (or rolls back) the step again.
    RunsAgain,
    /// It ends the saga as timed out.
    TimesOut,
    /// Which of the two depends on the library's version, which the tables do not show.
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
    /// There is no sign of it.
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

/// How sure it is that a step was under way when its saga was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sureness {
    /// The record of the act says that a worker had claimed it.
    Recorded,
    /// The library's own abort does not say so, and the step was next.
    Probable,
    /// The same after a try that failed, or began to wait: another try may have been under way.
    Possible,
}

/// A step of which no result is on record because its saga was aborted meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InFlight {
    /// The step: `step charge (Charge)`.
    pub step: String,
    /// How sure that is.
    pub sureness: Sureness,
    /// Whether a later execution of the same step is on record.
    pub again: bool,
}

/// The step that was under way when the saga was aborted, by the newest abort of which that may be said: whatever came after it,
/// a retry, a roll-back or a result of a later try, says nothing about that execution.
pub(super) fn in_flight(saga: &Saga, steps: &[Entry]) -> Option<InFlight> {
    (0..=steps.len()).rev().find_map(|at| {
        let before = &steps[..at];
        let entry = steps.get(at);
        let sureness = match entry.and_then(Entry::act).as_deref() {
            Some("abort") => recorded_abort(entry?, before),
            _ => unrecorded_abort(saga, entry, before),
        }?;
        Some(InFlight { step: stood_at(entry, before, &steps[at..]), sureness, again: again(before, &steps[at..]) })
    })
}

/// What an abort came into, by its record and what stands before it.
fn recorded_abort(abort: &Entry, before: &[Entry]) -> Option<Sureness> {
    match abort.before() {
        Some(Status::Running) => abort.claimed().unwrap_or(true).then_some(Sureness::Recorded),
        Some(_) => None,
        None => match newest(before) {
            None => Some(Sureness::Probable),
            Some(last) if !last.executes() => None,
            Some(last) if last.is("SUCCESS") => Some(Sureness::Probable),
            Some(last) if last.is("TIMEOUT") && before.last().is_some_and(|last| last.act().is_none()) => None,
            Some(_) => Some(Sureness::Possible),
        },
    }
}

/// 0.1.x records no abort of its own. But a saga fails by itself only with an error on record under the token that stays in the
/// row, and begins to roll back only after one: what stood as failed otherwise was aborted. `entry` shows that it stood so: an
/// operator's later act, or a roll-back; without one it stands so now.
fn unrecorded_abort(saga: &Saga, entry: Option<&Entry>, before: &[Entry]) -> Option<Sureness> {
    let gave_up =
        saga.error.as_ref().is_some_and(|error| super::state::GAVE_UP.iter().any(|begin| error.starts_with(begin)));
    let token = match entry {
        None if saga.status == Status::Failed && !gave_up => &saga.token,
        Some(act) if act.before() == Some(Status::Failed) => &act.token,
        Some(entry) if entry.compensates() && entry.act().is_none() => &None,
        _ => return None,
    };
    match before.last() {
        Some(last) if last.act().is_some() || !last.executes() => None,
        Some(last) if last.is("SUCCESS") => Some(Sureness::Probable),
        Some(last) if last.is("ERROR") => {
            (token.is_some() && last.token.is_some() && last.token != *token).then_some(Sureness::Possible)
        }
        Some(_) => None,
        // Nothing at all may also mean that nothing was read.
        None => (saga.step <= 0 && saga.error.as_deref() == Some("Aborted by admin")).then_some(Sureness::Probable),
    }
}

/// The step at which an abort came, for people.
fn stood_at(abort: Option<&Entry>, before: &[Entry], after: &[Entry]) -> String {
    let named = |entry: &Entry| format!("step {} ({})", entry.step_id, entry.step_name);
    let last = newest(before).filter(|entry| entry.executes());
    if let Some(tried) = last.filter(|entry| !entry.is("SUCCESS")) {
        return named(tried);
    }
    let done = |id: &str| before.iter().any(|entry| counts(entry) && entry.is("SUCCESS") && entry.step_id == id);
    let known = |entry: &&Entry| entry.step_id != UNKNOWN && !done(&entry.step_id);
    // An act that came later stood at the same step, and a try of it can only be one of that step.
    let named_later = |entry: &&Entry| {
        let acted = entry.act().is_some_and(|act| !act.starts_with("requeue"));
        entry.executes() && (acted || counts(entry)) && known(entry)
    };
    match (abort.filter(known).or_else(|| after.iter().find(named_later)), last) {
        (Some(entry), _) => named(entry),
        (None, Some(last)) => format!("the step after {} ({})", last.step_id, last.step_name),
        (None, None) => "its first step".into(),
    }
}

/// Whether the step that was under way has a result of a later execution.
fn again(before: &[Entry], after: &[Entry]) -> bool {
    let begun = |entry: &&Entry| entry.executes() && entry.act().is_none() && !entry.skipped;
    after.iter().find(begun).is_some_and(|later| {
        !before.iter().any(|entry| counts(entry) && entry.is("SUCCESS") && entry.step_id == later.step_id)
    })
}

/// The step id of an act whose step is unknown, as the library writes it.
pub(super) const UNKNOWN: &str = "__unknown__";

/// Whether an entry is about a step that was executed or skipped, and so names one: an act need not.
fn counts(entry: &Entry) -> bool {
    entry.executes() && (entry.act().is_none() || entry.is("SUCCESS"))
}

/// The newest entry of a step that succeeded or was skipped.
pub(super) fn newest_done(steps: &[Entry]) -> Option<&Entry> {
    steps.iter().rev().find(|entry| counts(entry) && entry.is("SUCCESS"))
}

/// The entry that names the step a saga stands at: the one rolled back last, or the one tried last and not done. `None` when
/// none does.
pub(super) fn current(steps: &[Entry]) -> Option<&Entry> {
    let undone = |entry: &&Entry| entry.compensates() && entry.is("SUCCESS") && entry.act().is_none();
    if let Some(undone) = steps.iter().rev().find(undone) {
        return Some(undone);
    }
    let last = steps.iter().rev().find(|entry| counts(entry));
    if let Some(tried) = last.filter(|last| !last.is("SUCCESS")) {
        return Some(tried);
    }
    // An abort by the library names it, too; an earlier version of this program named the step before it.
    let aborted = |entry: &&Entry| {
        entry.act().as_deref() == Some("abort")
            && entry.step_id != UNKNOWN
            && !steps.iter().any(|done| counts(done) && done.is("SUCCESS") && done.step_id == entry.step_id)
    };
    steps.iter().rev().find(aborted)
}

/// The step behind `done` (or the first, where that is `None`) at place `index` of another saga's whole record.
pub(super) fn step_behind<'a>(steps: &'a [Entry], done: Option<&str>, index: i64) -> Option<&'a Entry> {
    let mut order: Vec<&Entry> = Vec::new();
    for entry in steps.iter().filter(|entry| counts(entry)) {
        if order.iter().all(|known| known.step_id != entry.step_id) {
            order.push(entry);
        }
    }
    let index = usize::try_from(index).ok()?;
    let fits = match done {
        Some(done) => index > 0 && order.get(index - 1)?.step_id == done,
        None => index == 0,
    };
    order.get(index).copied().filter(|_| fits)
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
