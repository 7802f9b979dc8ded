//! Why a saga or a message is as it is: one rule a function. Pure.
//!
//! What one row or several rows of one snapshot state is proven and names its columns; that a worker ended, that nothing polls
//! or that an event will not come is in no row, and so is likely at most.

use super::port::Seen;
use super::record::{Awaiting, Entry, Mailbox, Message, Saga, Status};
use super::rules::{LEFT, TROUBLE};
use super::shape::Model;
use super::story::{self, AfterWait, RollBack};
use super::verdict::words::{first_line, named, under_way};
use super::verdict::{self, State};
use sen_model::cause::{Cause, Certainty, Related, candidates};
use sen_model::time::humane;
use sen_model::verdict::{NextCommand, Severity};

/// How long an event may be waited for before it is worth a warning. Microseconds.
const LONG_WAIT: i64 = 3_600_000_000;
/// How many ids named in a context or payload are looked up elsewhere, and how many messages.
const CANDIDATES: usize = 10;
const MESSAGES: usize = 5;

/// A saga with what is known of it.
struct Case<'a> {
    seen: &'a Seen,
    model: Option<&'a Model>,
    state: State,
}

type Rule = fn(&Case<'_>) -> Option<Cause>;

const RULES: [Rule; 17] = [
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
    later_saga,
    step_failed,
    event_ignored,
    event_pending,
    event_held,
    request_unsent,
    event_never_came,
];

/// The causes of a saga's state.
pub(super) fn of_saga(seen: &Seen, model: Option<&Model>) -> Vec<Cause> {
    let case = Case { seen, model, state: verdict::state(&seen.saga) };
    let mut causes: Vec<Cause> = RULES.iter().filter_map(|rule| rule(&case)).collect();
    // What is said of the request that was not sent need not be said of the message again.
    if causes.iter().all(|cause| cause.rule != "request_unsent") {
        causes.extend(outbox_stuck(seen));
    }
    causes
}

/// What a saga is related to.
pub(super) fn related_to_saga(seen: &Seen) -> Vec<Related> {
    let saga = &seen.saga;
    let mut out = vec![
        related(&saga.aggregation, "what it is about", Certainty::Proven),
        related(&saga.trace, "its trace", Certainty::Proven),
    ];
    if let Some(id) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.correlation.as_deref()) {
        out.push(related(id, "the correlation id it waits for", Certainty::Proven));
    }
    let open = seen.messages.iter().filter(|message| trouble(message).is_some() || message.status == "IGNORED");
    out.extend(open.take(MESSAGES).map(|message| related(&message.id, "its message", Certainty::Proven)));
    let named = saga.context.as_deref().map(|json| candidates(json, 2 * CANDIDATES)).unwrap_or_default();
    let own = |id: &String| *id == saga.id || Some(id) == saga.name.as_ref();
    let named = named.into_iter().filter(|id| !own(id)).take(CANDIDATES);
    out.extend(named.map(|id| related(&id, "named in its context", Certainty::Likely)));
    once_each(out)
}

/// The causes of a message's state.
pub(super) fn of_message(message: &Message) -> Vec<Cause> {
    let Some(cause) = trouble(message) else {
        return ignored(message).into_iter().collect();
    };
    let mut causes = vec![cause];
    let over = message.saga_status.as_deref().filter(|status| {
        message.kind == Mailbox::In && matches!(*status, "COMPLETED" | "COMPENSATED" | "FAILED" | "TIMEOUT")
    });
    if let Some(status) = over {
        let text = format!(
            "the saga it is for is {}: applied now, the event would be ignored and lost",
            status.to_ascii_lowercase()
        );
        causes.push(Cause::stated("saga_over", &["inbox.saga_id", "saga.status"], Severity::Warning, text));
    }
    causes
}

/// What a message is related to.
pub(super) fn related_to_message(message: &Message) -> Vec<Related> {
    let mut out = Vec::new();
    out.extend(message.saga.as_deref().map(|id| related(id, "its saga", Certainty::Proven)));
    out.extend(message.aggregation.as_deref().map(|id| related(id, "what it is about", Certainty::Proven)));
    let key = message.key.as_deref();
    out.extend(key.map(|id| match message.kind {
        Mailbox::Out => related(id, "its message key", Certainty::Likely),
        Mailbox::In => related(id, "its correlation id", Certainty::Proven),
    }));
    let named = message.payload.as_deref().map(|json| candidates(json, CANDIDATES)).unwrap_or_default();
    out.extend(named.into_iter().map(|id| related(&id, "named in its payload", Certainty::Likely)));
    once_each(out)
}

fn related(id: &str, relation: &'static str, certainty: Certainty) -> Related {
    Related { id: id.to_owned(), relation, certainty }
}

/// The first connection to each id is the surest.
fn once_each(all: Vec<Related>) -> Vec<Related> {
    let mut out: Vec<Related> = Vec::new();
    for one in all {
        if !one.id.is_empty() && out.iter().all(|known| known.id != one.id) {
            out.push(one);
        }
    }
    out
}

/// What is wrong with a message that does not go on: it failed, its claim is old, or it is due for long.
fn trouble(message: &Message) -> Option<Cause> {
    let (stuck, waiting, columns): (_, _, &'static [&'static str]) = match message.kind {
        Mailbox::Out => {
            ("outbox_stuck", "outbox_waiting", &["outbox.status", "outbox.next_attempt_at", "outbox.last_error"])
        }
        Mailbox::In => ("inbox_stuck", "inbox_waiting", &["inbox.status", "inbox.next_attempt_at", "inbox.last_error"]),
    };
    let (what, done) = match message.kind {
        Mailbox::Out => ("could not be sent", "SENT"),
        Mailbox::In => ("could not be applied", "APPLIED"),
    };
    let topic = message.topic.as_deref().unwrap_or("without a name");
    let kind = message.kind.name();
    let late = message.late();
    if message.status == "FAILED" {
        let tries = if message.attempts == 1 { "1 try".into() } else { format!("{} tries", message.attempts) };
        let error = message.error.as_deref().map(|error| format!(": {}", first_line(error))).unwrap_or_default();
        let next = late.map(|over| format!("; its next try has been due for {}", humane(over))).unwrap_or_default();
        let text = format!("{kind} message {topic} {what} in {tries}{error}{next}");
        return Some(Cause::stated(stuck, columns, TROUBLE, text));
    }
    if let Some(over) = late {
        let text = format!("{kind} message {topic} is PENDING and has been due for {}", humane(over));
        return Some(Cause::stated(waiting, columns, TROUBLE, text));
    }
    old_claim(message).then(|| {
        let text = format!(
            "{kind} message {topic} was claimed {} ago and is not marked {done}: probably its process ended, or it is still \
             working through its batch; no other process claims it",
            humane(message.idle)
        );
        Cause::likely(stuck, TROUBLE, text)
    })
}

/// Whether a message was claimed so long ago that its process has probably ended.
fn old_claim(message: &Message) -> bool {
    let left = i64::try_from(LEFT.as_micros()).unwrap_or(i64::MAX);
    message.status == message.kind.taken() && message.idle >= left
}

/// What to type about a message in trouble; one that is only due needs a dispatcher, not an act.
fn requeue(message: &Message, why: &str) -> Vec<NextCommand> {
    if message.status == "PENDING" {
        let list = ["sen", "saga", message.kind.name(), "list", "--state", "pending"];
        return vec![NextCommand::new(&list, "what else is due; check the process that dispatches")];
    }
    vec![NextCommand::new(&["sen", "saga", message.kind.name(), "requeue"], why).id(&message.id)]
}

fn ignored(message: &Message) -> Option<Cause> {
    if message.status != "IGNORED" {
        return None;
    }
    let topic = message.topic.as_deref().unwrap_or("without a type");
    let why = message.error.as_deref().map(|why| format!(" ({})", first_line(why))).unwrap_or_default();
    let text = format!("event {topic} came {} ago, was ignored{why} and is consumed", humane(message.idle));
    Some(Cause::stated("event_ignored", &["inbox.status", "inbox.last_error"], Severity::Warning, text))
}

fn after(seen: &Seen) -> String {
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
            "it is active and has no deadline{}, unchanged for {}, so no poll picks it up: probably its worker ended between two \
             steps or building the next step's input failed; a worker whose event loop is blocked looks the same",
            after(case.seen),
            humane(case.seen.saga.idle)
        );
        Cause::likely("orphan", Severity::Critical, text)
    })
}

/// A wait that is over and cannot be written as such fails the whole poll, and so every saga of the table.
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
             gets there, or the workers are far behind",
            humane(saga.over.unwrap_or_default()),
            saga.table
        );
        Cause::likely("no_worker_polls", Severity::Warning, text)
    })
}

fn lease_expired(case: &Case<'_>) -> Option<Cause> {
    (case.state == State::LeaseExpired).then(|| {
        let saga = &case.seen.saga;
        let over = humane(saga.over.unwrap_or_default());
        let text = if saga.status == Status::Compensating {
            let step = story::next_to_roll_back(&case.seen.steps)
                .map_or_else(|| "a step".into(), |entry| format!("step {}", named(entry)));
            format!(
                "the lease of the worker that rolls {step} back passed {over} ago: probably it ended, or is slower than the lease; \
                 the roll-back may have happened, and the next poll runs it again"
            )
        } else {
            format!(
                "the lease of its worker passed {over} ago without a result of the step{}: probably it ended, or is slower than \
                 the lease; the step may have happened, and the next poll runs it again",
                after(case.seen)
            )
        };
        Cause::likely("lease_expired", Severity::Pending, text)
    })
}

/// An act made it due, and no poll has come since.
fn made_due(case: &Case<'_>) -> Option<Cause> {
    let saga = &case.seen.saga;
    if !saga.handed || case.state != State::Due {
        return None;
    }
    let by = story::handed_by(&case.seen.steps).map(|entry| format!(" by {}", author(entry))).unwrap_or_default();
    let text = format!("it was made due {} ago{by} and waits for the next poll", humane(saga.idle));
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
        humane(saga.idle),
        humane(gap),
        after(case.seen)
    );
    Some(Cause::likely("claimed_again", severity, text))
}

fn compensation_failed(case: &Case<'_>) -> Option<Cause> {
    if case.state != State::PartlyCompensated {
        return None;
    }
    let error = case.seen.saga.error.as_deref().unwrap_or_default();
    if error.starts_with(verdict::GAVE_UP[1]) {
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

/// Aborted while a roll-back was under way: what it was at may have happened.
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

/// A later saga of the same aggregation has done the work, or is at it.
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
    let next = NextCommand::new(&["sen", "saga", "show"], "compare it before anything is retried").id(&later.id);
    Some(Cause::stated("later_saga", columns, Severity::Warning, text).with_next(vec![next]))
}

/// What the step it stands at failed of.
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
            format!("; the next try is due in {} (how many its policy allows is not stored)", humane(over))
        }
        (State::Due, Some(over)) => format!("; its next try has been due for {}", humane(over)),
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

/// The event came, and was not what the saga waited for: the inbox consumes such events without a word.
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
    let due =
        message.over.filter(|over| *over >= 0).map(|over| format!(", due for {}", humane(over))).unwrap_or_default();
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
    messages.iter().find(|message| message.status == "PENDING" && message.fits(awaiting))
}

/// The event is there, and its application failed or was left half done.
fn event_held(case: &Case<'_>) -> Option<Cause> {
    let held = |message: &&Message| message.kind == Mailbox::In && (message.status == "FAILED" || old_claim(message));
    let held = case.seen.messages.iter().find(held)?;
    let severity = if waits(&case.seen.saga, case.state) { Severity::Critical } else { Severity::Warning };
    let found = trouble(held)?;
    let next = requeue(held, "let a worker apply it again");
    Some(Cause { rule: "event_held", severity, ..found }.with_next(next))
}

/// The message that asks for the event has not gone out.
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

fn outbox_stuck(seen: &Seen) -> Option<Cause> {
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
            humane(saga.idle)
        );
        Cause::likely("event_never_came", Severity::Warning, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Awaiting;
    use crate::verdict::{OVERDUE, tests::saga};

    fn entry(phase: &str, status: &str, input: Option<&str>) -> Entry {
        Entry {
            phase: phase.into(),
            status: status.into(),
            step_id: "charge".into(),
            step_name: "Charge".into(),
            attempt: 2,
            error: (status == "ERROR").then(|| "RuntimeError('refused')\nTraceback".into()),
            input: input.map(Into::into),
            ..Entry::default()
        }
    }

    fn message(kind: Mailbox, status: &str, idle: i64) -> Message {
        Message {
            kind,
            table: "box".into(),
            id: "m-1".into(),
            event: None,
            saga: Some("73277b4b-da5d-49ab-b7d1-76bbaee5575a".into()),
            aggregation: Some("order-1".into()),
            step: Some("charge".into()),
            topic: Some("orders.charged".into()),
            key: Some("order-1".into()),
            status: status.into(),
            attempts: 3,
            next: None,
            error: Some("CORRELATION_MISMATCH".into()),
            done: None,
            created: None,
            updated: None,
            seen: String::new(),
            idle,
            over: None,
            saga_status: Some("COMPLETED".into()),
            payload: Some(r#"{"charge": "ch-77"}"#.into()),
        }
    }

    fn rules(saga: Saga, steps: Vec<Entry>, messages: Vec<Message>) -> Vec<(&'static str, Severity)> {
        let seen = Seen { saga, model: 1, steps, recorded: 0, messages, holders: vec![] };
        of_saga(&seen, None).iter().map(|cause| (cause.rule, cause.severity)).collect()
    }

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn each_state_has_its_cause() {
        use Severity::{Critical, Pending, Warning};
        let error = || vec![entry("EXECUTE", "SUCCESS", None), entry("EXECUTE", "ERROR", None)];
        let undone = || vec![entry("EXECUTE", "SUCCESS", None), entry("COMPENSATE", "ERROR", None)];
        let plain = |status, over| saga(status, over);
        assert_eq!(rules(plain(Status::Running, None), vec![], vec![]), [("orphan", Critical)]);
        assert_eq!(rules(plain(Status::Running, Some(OVERDUE)), vec![], vec![]), [("no_worker_polls", Warning)]);
        assert_eq!(rules(plain(Status::Running, Some(5)), vec![], vec![]), [("lease_expired", Pending)]);
        assert_eq!(rules(plain(Status::Running, Some(-5)), error(), vec![]), []);
        assert_eq!(rules(plain(Status::Failed, None), error(), vec![]), [("step_failed", Warning)]);
        assert_eq!(rules(plain(Status::Suspended, Some(-5)), error(), vec![]), [("step_failed", Pending)]);
        let half = Saga { compensated: Some(true), ..plain(Status::Failed, None) };
        assert_eq!(rules(half, undone(), vec![]), [("compensation_failed", Critical)]);
        let missing = Saga { error: Some(format!("{} 'charge'", verdict::GAVE_UP[1])), ..plain(Status::Failed, None) };
        assert_eq!(rules(missing, vec![], vec![]), [("compensation_without_entry", Critical)]);
        let abort =
            entry("EXECUTE", "ERROR", Some(r#"{"_admin": "abort", "_sen": {"who": "maria@ops", "why": "INC-7"}}"#));
        let given_up = Seen {
            saga: plain(Status::Failed, None),
            model: 1,
            steps: vec![entry("EXECUTE", "SUCCESS", None), abort],
            recorded: 2,
            messages: vec![],
            holders: vec![],
        };
        assert_eq!(of_saga(&given_up, None)[0].text, "maria@ops (INC-7) aborted it");
        for healthy in [Status::Completed, Status::Compensated] {
            assert_eq!(rules(plain(healthy, None), vec![], vec![]), []);
        }
    }

    #[test]
    fn waiting_for_an_event_has_many_reasons() {
        use Severity::{Critical, Warning};
        let waiting = |idle| Saga {
            awaiting: Some(Awaiting { types: vec!["paid".into()], ..Awaiting::default() }),
            idle,
            ..saga(Status::Suspended, None)
        };
        let steps = || vec![entry("EXECUTE", "WAITING", None)];
        assert_eq!(rules(waiting(5), steps(), vec![]), []);
        assert_eq!(rules(waiting(HOUR), steps(), vec![]), [("event_never_came", Warning)]);
        let ignored = vec![message(Mailbox::In, "IGNORED", 5)];
        assert_eq!(rules(waiting(HOUR), steps(), ignored), [("event_ignored", Warning)]);
        let held = vec![message(Mailbox::In, "PROCESSING", HOUR)];
        assert_eq!(rules(waiting(HOUR), steps(), held), [("event_held", Critical)]);
        let unsent = vec![message(Mailbox::Out, "DISPATCHING", HOUR)];
        assert_eq!(rules(waiting(5), steps(), unsent), [("request_unsent", Critical)]);
        let late = Saga { over: Some(5), due: Some(true), ..waiting(5) };
        assert_eq!(rules(late, steps(), vec![]), [("event_never_came", Warning)]);
        let timed_out = Saga { error: Some("Timed out waiting".into()), ..saga(Status::TimedOut, None) };
        assert_eq!(rules(timed_out, steps(), vec![]), [("wait_over", Warning)]);
    }

    #[test]
    fn messages_are_explained_and_lead_to_their_sagas() {
        let done = || saga(Status::Completed, None);
        let failed = vec![message(Mailbox::Out, "FAILED", 5), message(Mailbox::Out, "DISPATCHING", HOUR)];
        assert_eq!(rules(done(), vec![], failed), [("outbox_stuck", Severity::Warning)]);
        // Claimed a moment ago: nothing is wrong.
        assert_eq!(rules(done(), vec![], vec![message(Mailbox::Out, "DISPATCHING", 5)]), []);
        assert!(of_message(&message(Mailbox::Out, "SENT", HOUR)).is_empty());
        let inbox = of_message(&message(Mailbox::In, "FAILED", HOUR));
        assert_eq!(inbox.iter().map(|cause| cause.rule).collect::<Vec<_>>(), ["inbox_stuck", "saga_over"]);
        let related: Vec<String> =
            related_to_message(&message(Mailbox::Out, "SENT", 5)).into_iter().map(|one| one.id).collect();
        assert_eq!(related, ["73277b4b-da5d-49ab-b7d1-76bbaee5575a", "order-1", "ch-77"]);
    }

    #[test]
    fn a_saga_leads_to_what_its_context_names() {
        let context =
            r#"{"saga_id": "73277b4b-da5d-49ab-b7d1-76bbaee5575a", "initial_data": {"key": "payments:order-1"}}"#;
        let saga = Saga { context: Some(context.into()), ..saga(Status::Failed, None) };
        let seen = Seen {
            saga,
            model: 1,
            steps: vec![],
            recorded: 0,
            messages: vec![message(Mailbox::Out, "FAILED", 5)],
            holders: vec![],
        };
        let all: Vec<(String, Certainty)> =
            related_to_saga(&seen).into_iter().map(|one| (one.id, one.certainty)).collect();
        let (proven, likely) = (Certainty::Proven, Certainty::Likely);
        assert_eq!(
            all,
            [
                ("order-1".into(), proven),
                ("t".into(), proven),
                ("m-1".into(), proven),
                ("payments:order-1".into(), likely)
            ]
        );
    }
}
