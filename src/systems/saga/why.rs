//! Why a saga or a message is as it is: one rule a function. Pure.
//!
//! What one row or several rows of one snapshot state is proven and names its columns; that a worker ended, that nothing polls
//! or that an event will not come is in no row, and so is likely at most.

use super::message::{Mailbox, Message, MessageStatus};
use super::port::Observed;
use super::record::{Awaiting, Entry, Saga, Status};
use super::rules::old_claim;
use super::shape::Model;
use super::state::{GAVE_UP, State};
use super::story::{self, AfterWait, RollBack};
use super::verdict::words::{first_line, in_flight, left_in_step, named, under_way};
use sen_model::cause::Cause;
use sen_model::verdict::{NextCommand, Purpose, Severity};

mod message;
mod related;

pub(super) use message::of_message;
use message::{ignored, requeue, trouble};
pub(super) use related::{related_to_message, related_to_saga};

/// How long an event may be waited for before it is worth a warning. Microseconds.
const LONG_WAIT: i64 = 3_600_000_000;

/// A saga with what is known of it.
struct Case<'a> {
    seen: &'a Observed,
    model: Option<&'a Model>,
    state: State,
}

type Rule = fn(&Case<'_>) -> Option<Cause>;

const RULES: [Rule; 18] = [
    row_locked,
    orphan,
    poll_fails,
    no_worker,
    lease_expired,
    made_due,
    claimed_again,
    compensation_failed,
    aborted,
    aborted_in_roll_back,
    aborted_in_flight,
    later_saga,
    step_failed,
    event_ignored,
    event_pending,
    event_held,
    request_unsent,
    event_never_came,
];

/// The causes of a saga's state.
pub(super) fn of_saga(seen: &Observed, model: Option<&Model>) -> Vec<Cause> {
    let case = Case { seen, model, state: State::of(&seen.saga) };
    let mut causes: Vec<Cause> = RULES.iter().filter_map(|rule| rule(&case)).collect();
    // The cause about the request that was not sent covers the message.
    if causes.iter().all(|cause| cause.rule != "request_unsent") {
        causes.extend(outbox_stuck(seen));
    }
    causes
}

fn after(seen: &Observed) -> String {
    story::newest(&seen.steps).map(|entry| format!(" after step {}", named(entry))).unwrap_or_default()
}

fn author(entry: &Entry) -> String {
    let (who, why) = entry.author();
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{}{why}", who.unwrap_or_else(|| "an operator".into()))
}

/// A session that has the row locked: a worker that builds a step's input does so under the lock.
fn row_locked(case: &Case<'_>) -> Option<Cause> {
    let holder = case.seen.holders.first()?;
    let more = if case.seen.holders.len() > 1 { ", and others" } else { "" };
    let text = format!(
        "its row is locked by {}{more}: a worker that builds the next step's input (input_map) holds it so, and may go on by itself",
        holder.words()
    );
    let next =
        NextCommand::new(&["sen", "saga", "show"], "look again: a worker that lives goes on").id(&case.seen.saga.id);
    Some(Cause::likely("row_locked", Severity::Warning, text).with_next(vec![next]))
}

/// The library clears the deadline between two steps; what ends there, or cannot build the next input, leaves it so.
fn orphan(case: &Case<'_>) -> Option<Cause> {
    (case.state == State::Stuck && case.seen.holders.is_empty()).then(|| {
        let text = format!(
            "it is active and has no deadline{}, unchanged for {}, so no worker will ever poll it: probably its worker ended between two \
             steps or building the next step's input failed; a worker whose event loop is blocked looks the same",
            after(case.seen),
            sen_model::time::age(case.seen.saga.idle)
        );
        Cause::likely("orphan", Severity::Critical, text)
    })
}

/// A timed-out wait that cannot be written as such fails the whole poll, and so every saga of the table.
fn poll_fails(case: &Case<'_>) -> Option<Cause> {
    let saga = &case.seen.saga;
    if saga.due != Some(true) || saga.awaiting.is_none() {
        return None;
    }
    let certain = match story::after_wait(saga, case.model) {
        AfterWait::Fails => "each poll fails at it",
        AfterWait::RunsAgainOrFails if case.state == State::Overdue => {
            "each poll of library 0.4.0 and later fails at it"
        }
        _ => return None,
    };
    let statements: Vec<String> = case.model?.lacks().iter().map(super::shape::Lack::statements).collect();
    let text = format!(
        "the time it waited for its event is over and TIMEOUT is no label of the tables' types: {certain}, and no saga of {} \
         goes on until an administrator runs {}",
        saga.table,
        statements.join(" ")
    );
    Some(Cause::likely("poll_fails", Severity::Critical, text))
}

/// Every worker polls for what is due. One that knows the table but not the name of this saga fails at it, too.
fn no_worker(case: &Case<'_>) -> Option<Cause> {
    (case.state == State::Overdue && poll_fails(case).is_none()).then(|| {
        let saga = &case.seen.saga;
        let name = saga.name.as_deref().map(|name| format!(", none knows {name}")).unwrap_or_default();
        let text = format!(
            "it has been due for {} and was not picked up: probably no worker calls run_due on {}{name}, each poll fails before it \
             gets there, or the workers are far behind{}",
            sen_model::time::age(saga.over.unwrap_or_default()),
            saga.table,
            left_in_step(saga).map(|left| format!("; {left}")).unwrap_or_default()
        );
        Cause::likely("no_worker_polls", Severity::Warning, text)
    })
}

fn lease_expired(case: &Case<'_>) -> Option<Cause> {
    (case.state == State::LeaseExpired).then(|| {
        let saga = &case.seen.saga;
        let over = sen_model::time::age(saga.over.unwrap_or_default());
        let left = left_in_step(saga).unwrap_or_default();
        let text = if saga.status == Status::Compensating {
            let step = story::next_to_roll_back(&case.seen.steps)
                .map_or_else(|| "a step".into(), |entry| format!("step {}", named(entry)));
            format!(
                "the lease of the worker that rolls {step} back passed {over} ago: probably it ended, or is slower than the lease; \
                 {left}"
            )
        } else {
            format!(
                "the lease of its worker passed {over} ago without a result of the step{}: probably it ended, or is slower than \
                 the lease; {left}",
                after(case.seen)
            )
        };
        Cause::likely("lease_expired", Severity::Warning, text)
    })
}

/// An act made it due, and no poll has come since.
fn made_due(case: &Case<'_>) -> Option<Cause> {
    let saga = &case.seen.saga;
    if !saga.handed || case.state != State::Due {
        return None;
    }
    let by = story::handed_by(&case.seen.steps).map(|entry| format!(" by {}", author(entry))).unwrap_or_default();
    let text = format!("it was made due {} ago{by} and waits for the next poll", sen_model::time::age(saga.idle));
    Some(Cause::stated("made_due", &["saga.deadline_at", "saga.updated_at"], Severity::Pending, text))
}

/// Claimed, and an earlier claim of the same step left nothing: `run_due` moves the deadline before it looks the saga up, so a
/// worker that does not know its name, or cannot build its input, claims it again and again.
fn claimed_again(case: &Case<'_>) -> Option<Cause> {
    let saga = &case.seen.saga;
    let gap = story::claimed_again(saga, &case.seen.steps)?;
    let lease = saga.deadline?.micros_since(saga.updated?).max(1);
    let severity = if gap >= 3 * lease { Severity::Warning } else { Severity::Pending };
    let name = saga.name.as_deref().unwrap_or("it");
    let text = format!(
        "it was claimed {} ago, {} after its last recorded result{}: an earlier claim of this step left none; probably its worker \
         ended or was too slow, or the poll failed (no definition named {name}, an input that could not be built, or another saga that failed it)",
        sen_model::time::age(saga.idle),
        sen_model::time::age(gap),
        after(case.seen)
    );
    Some(Cause::likely("claimed_again", severity, text))
}

fn compensation_failed(case: &Case<'_>) -> Option<Cause> {
    if case.state != State::PartlyCompensated {
        return None;
    }
    let error = case.seen.saga.error.as_deref().unwrap_or_default();
    if error.starts_with(GAVE_UP[1]) {
        let text = format!(
            "the roll-back was given up: {}; it counted as done without a success on record",
            first_line(error)
        );
        return Some(Cause::stated(
            "compensation_without_entry",
            &["saga.status", "saga.last_error"],
            Severity::Critical,
            text,
        ));
    }
    let failed =
        case.seen.steps.iter().rev().find(|entry| entry.compensates() && entry.is("ERROR") && entry.act().is_none());
    let text = match failed {
        Some(entry) => format!(
            "rolling step {} back failed: {}",
            named(entry),
            first_line(entry.error.as_deref().unwrap_or(error))
        ),
        None => format!("its roll-back was begun and not finished: {}", first_line(error)),
    };
    let columns = &["saga.status", "history.phase", "history.status", "history.error"];
    Some(Cause::stated("compensation_failed", columns, Severity::Critical, text))
}

/// Failed because a person said so.
fn aborted(case: &Case<'_>) -> Option<Cause> {
    if case.seen.saga.status != Status::Failed || case.state != State::Failed {
        return None;
    }
    let last = case.seen.steps.last()?;
    (last.act().as_deref() == Some("abort")).then(|| {
        let text = format!("{} aborted it", author(last));
        Cause::stated("aborted", &["saga.status", "history.input"], Severity::Warning, text)
    })
}

/// Aborted during a roll-back: the step that was being undone may be undone.
fn aborted_in_roll_back(case: &Case<'_>) -> Option<Cause> {
    if case.state != State::Failed {
        return None;
    }
    match story::roll_back(&case.seen.saga, &case.seen.steps) {
        RollBack::UnderWay => {
            let text = format!(
                "{}: a retry would execute the next step although an earlier one may be undone",
                under_way(&case.seen.steps)
            );
            Some(Cause::stated("aborted_in_roll_back", &["history.input", "saga.status"], Severity::Critical, text))
        }
        RollBack::Possible => {
            let text = "it was given up after a step had failed, as the library's abort does, which does not record whether a \
                roll-back was under way: one may have happened";
            Some(Cause::likely("aborted_in_roll_back", Severity::Warning, text))
        }
        RollBack::None => None,
    }
}

/// Aborted while a step was under way: what came afterwards says nothing of that execution.
fn aborted_in_flight(case: &Case<'_>) -> Option<Cause> {
    let text = in_flight(&case.seen.saga, &case.seen.steps)?;
    let severity = match case.state {
        State::Failed | State::PartlyCompensated | State::Compensated => Severity::Warning,
        _ => Severity::Pending,
    };
    Some(Cause::likely("aborted_in_flight", severity, text))
}

/// A later saga of the same aggregation has done the work, or is doing it.
fn later_saga(case: &Case<'_>) -> Option<Cause> {
    if !matches!(case.state, State::Failed | State::TimedOut) {
        return None;
    }
    let saga = &case.seen.saga;
    let later = saga.later.as_ref().filter(|later| later.counts())?;
    let text = format!(
        "a later saga of {}, {}, is {}: a retry of this one may do the same work twice",
        saga.aggregation,
        later.id,
        later.words()
    );
    let columns = &["saga.aggregation_id", "saga.created_at", "saga.status"];
    let next = NextCommand::new(&["sen", "saga", "show"], "compare it before anything is retried")
        .id(&later.id)
        .purpose(Purpose::Observe);
    Some(Cause::stated("later_saga", columns, Severity::Warning, text).with_next(vec![next]))
}

/// Why its current step failed.
fn step_failed(case: &Case<'_>) -> Option<Cause> {
    let severity = match case.state {
        State::Failed => Severity::Warning,
        State::WaitingRetry | State::Due => Severity::Pending,
        _ => return None,
    };
    let saga = &case.seen.saga;
    let rolling = saga.status == Status::CompensatingSuspended;
    let fits = |entry: &&Entry| {
        entry.act().is_none() && entry.compensates() == rolling && (entry.is("ERROR") || entry.is("SUCCESS"))
    };
    let entry = case.seen.steps.iter().rev().find(fits)?;
    if !entry.is("ERROR") || saga.handed {
        return None;
    }
    let what = if rolling { "rolling back step" } else { "step" };
    let next = match (case.state, saga.over) {
        (State::WaitingRetry, Some(over)) => {
            format!(
                "; the next try is due in {} (how many its policy allows is not stored)",
                sen_model::time::age(over)
            )
        }
        (State::Due, Some(over)) => format!("; its next try has been due for {}", sen_model::time::age(over)),
        _ => String::new(),
    };
    let text = format!(
        "{what} {} failed at try {}: {}{next}",
        named(entry),
        entry.attempt,
        first_line(entry.error.as_deref().unwrap_or("no error is on record"))
    );
    Some(Cause::stated("step_failed", &["history.status", "history.error", "saga.deadline_at"], severity, text))
}

/// Whether the saga waits for an event, or has given up waiting for one.
fn waits(saga: &Saga, state: State) -> bool {
    matches!(state, State::WaitingEvent | State::TimedOut)
        || (matches!(state, State::Due | State::Overdue) && saga.awaiting.is_some())
}

/// The event came, and was not what the saga waited for: the inbox consumes such events silently.
fn event_ignored(case: &Case<'_>) -> Option<Cause> {
    if !waits(&case.seen.saga, case.state) {
        return None;
    }
    case.seen.messages.iter().rev().filter(|message| message.kind == Mailbox::In).find_map(ignored)
}

/// The event is there and was not applied yet.
fn event_pending(case: &Case<'_>) -> Option<Cause> {
    let saga = &case.seen.saga;
    let message = pending_event(saga, &case.seen.messages)?;
    if !waits(saga, case.state) {
        return None;
    }
    let due = message
        .over
        .filter(|over| *over >= 0)
        .map(|over| format!(", due for {}", sen_model::time::age(over)))
        .unwrap_or_default();
    let text = format!(
        "the event {} came and stands PENDING in the inbox{due}: it is applied when a worker calls run_inbox_due",
        message.topic.as_deref().unwrap_or("without a type")
    );
    let severity = if message.late().is_some() { Severity::Critical } else { Severity::Pending };
    let columns = &["inbox.status", "inbox.event_type", "inbox.correlation_id", "saga.context"];
    let next = NextCommand::new(&["sen", "saga", "inbox", "show"], "the event that waits").id(&message.id);
    Some(Cause::stated("event_pending", columns, severity, text).with_next(vec![next]))
}

/// The event a saga waits for, if it stands in the inbox and was not claimed yet.
pub(super) fn pending_event<'a>(saga: &Saga, messages: &'a [Message]) -> Option<&'a Message> {
    let awaiting = saga.awaiting.as_ref()?;
    messages.iter().find(|message| message.status == MessageStatus::Pending && message.fits(awaiting))
}

/// The event is there, and its application failed or was left half done.
fn event_held(case: &Case<'_>) -> Option<Cause> {
    let held = |message: &&Message| {
        message.kind == Mailbox::In && (message.status == MessageStatus::Failed || old_claim(message))
    };
    let held = case.seen.messages.iter().find(held)?;
    let severity = if waits(&case.seen.saga, case.state) { Severity::Critical } else { Severity::Warning };
    let found = trouble(held)?;
    let next = requeue(held, "let a worker apply it again");
    Some(Cause { rule: "event_held", severity, ..found }.with_next(next))
}

/// The message that requests the event has not been sent.
fn request_unsent(case: &Case<'_>) -> Option<Cause> {
    if !waits(&case.seen.saga, case.state) {
        return None;
    }
    let waiting = |entry: &&Entry| entry.act().is_none() && entry.is("WAITING");
    let step = case.seen.steps.iter().rev().find(waiting).map(|entry| entry.step_id.as_str());
    let asks = |message: &&Message| {
        message.kind == Mailbox::Out && message.step.as_deref() == step && step.is_some() && trouble(message).is_some()
    };
    let request = case.seen.messages.iter().find(asks)?;
    let text = format!("the event cannot come while what asks for it has not gone out: {}", trouble(request)?.text);
    let next = requeue(request, "let a worker send it again");
    Some(Cause::likely("request_unsent", Severity::Critical, text).with_next(next))
}

fn outbox_stuck(seen: &Observed) -> Option<Cause> {
    let all: Vec<(&Message, Cause)> = seen
        .messages
        .iter()
        .filter(|message| message.kind == Mailbox::Out)
        .filter_map(|message| Some((message, trouble(message)?)))
        .collect();
    let more = if all.len() > 1 { format!(", and {} more", all.len() - 1) } else { String::new() };
    let (first, mut cause) = all.into_iter().next()?;
    cause.text += &more;
    Some(cause.with_next(requeue(first, "let a worker send it again")))
}

/// Nothing of the event is here.
fn event_never_came(case: &Case<'_>) -> Option<Cause> {
    let saga = &case.seen.saga;
    let here = [event_ignored, event_held, event_pending, poll_fails];
    if !waits(saga, case.state) || here.iter().any(|rule| rule(case).is_some()) {
        return None;
    }
    if case.state == State::TimedOut {
        // The wait is cleared from the context then; the error still says what it was for.
        let error = saga.error.as_deref().map(first_line).unwrap_or_default();
        let text = format!("its wait was over before an event was applied: {error}");
        return Some(Cause::stated("wait_over", &["saga.status", "saga.last_error"], Severity::Warning, text));
    }
    (saga.idle >= LONG_WAIT || case.state != State::WaitingEvent).then(|| {
        let what = saga.awaiting.as_ref().map_or_else(|| "a notification".into(), Awaiting::words);
        let text = format!(
            "{what} has not come in {}: probably its sender did not send it, or sent it elsewhere",
            sen_model::time::age(saga.idle)
        );
        Cause::likely("event_never_came", Severity::Warning, text)
    })
}

#[cfg(test)]
mod tests;
