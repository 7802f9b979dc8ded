//! Why a saga or a message is as it is: one rule a function. Pure.

use super::port::Seen;
use super::record::{Entry, Mailbox, Message, Saga, Status};
use super::remedy::LEFT;
use super::verdict::{self, State};
use crate::model::cause::{Cause, Certainty, Related, candidates};
use crate::model::verdict::{NextCommand, Severity};
use crate::time::humane;

/// How long an event may be waited for before it is worth a warning. Microseconds.
const LONG_WAIT: i64 = 3_600_000_000;
/// How many ids named in a context or payload are looked up elsewhere, and how many messages.
const CANDIDATES: usize = 10;
const MESSAGES: usize = 5;

type Rule = fn(&Seen, State) -> Option<Cause>;

const RULES: [Rule; 10] = [
    orphan,
    no_worker,
    lease_expired,
    compensation_failed,
    aborted,
    step_failed,
    event_ignored,
    event_held,
    request_unsent,
    event_never_came,
];

/// The causes of a saga's state.
pub(super) fn of_saga(seen: &Seen) -> Vec<Cause> {
    let state = verdict::state(&seen.saga);
    let mut causes: Vec<Cause> = RULES.iter().filter_map(|rule| rule(seen, state)).collect();
    // What is said of the request that was not sent need not be said of the message again.
    if causes.iter().all(|cause| cause.rule != "request_unsent") {
        causes.extend(outbox_stuck(seen));
    }
    causes
}

/// What a saga hangs together with.
pub(super) fn related_to_saga(seen: &Seen) -> Vec<Related> {
    let saga = &seen.saga;
    let mut out = vec![
        related(&saga.aggregation, "what it is about", Certainty::Proven),
        related(&saga.trace, "its trace", Certainty::Proven),
    ];
    if let Some(id) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.correlation.as_deref()) {
        out.push(related(id, "the correlation id it waits for", Certainty::Proven));
    }
    let open = seen.messages.iter().filter(|message| is_dead(message) || message.status == "IGNORED");
    out.extend(open.take(MESSAGES).map(|message| related(&message.id, "its message", Certainty::Proven)));
    let named = saga.context.as_deref().map(|json| candidates(json, 2 * CANDIDATES)).unwrap_or_default();
    let own = |id: &String| *id == saga.id || Some(id) == saga.name.as_ref();
    let named = named.into_iter().filter(|id| !own(id)).take(CANDIDATES);
    out.extend(named.map(|id| related(&id, "named in its context", Certainty::Likely)));
    once_each(out)
}

/// The causes of a message's state.
pub(super) fn of_message(message: &Message) -> Vec<Cause> {
    let Some(text) = dead(message) else {
        return ignored(message).into_iter().collect();
    };
    let severity = if message.status == "FAILED" { Severity::Warning } else { Severity::Critical };
    let rule = match message.kind {
        Mailbox::Out => "outbox_stuck",
        Mailbox::In => "inbox_stuck",
    };
    let mut causes = vec![Cause::new(rule, Certainty::Proven, severity, text)];
    let over = message.saga_status.as_deref().filter(|status| {
        message.kind == Mailbox::In && matches!(*status, "COMPLETED" | "COMPENSATED" | "FAILED" | "TIMEOUT")
    });
    if let Some(status) = over {
        let text = format!(
            "the saga it is for is {}: applied now it would be ignored and so lost",
            status.to_ascii_lowercase()
        );
        causes.push(Cause::new("saga_over", Certainty::Proven, Severity::Warning, text));
    }
    causes
}

/// What a message hangs together with.
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

fn is_dead(message: &Message) -> bool {
    dead(message).is_some()
}

/// What is wrong with a message that is a dead letter.
fn dead(message: &Message) -> Option<String> {
    let (what, failed, taken) = match message.kind {
        Mailbox::Out => ("sent", "could not be sent", "took it to send it"),
        Mailbox::In => ("applied", "could not be applied", "took it to apply it"),
    };
    let topic = message.topic.as_deref().unwrap_or("without a name");
    if message.status == "FAILED" {
        let tries = if message.attempts == 1 { "1 try".into() } else { format!("{} tries", message.attempts) };
        let error = message.error.as_deref().map(|error| format!(": {}", first_line(error))).unwrap_or_default();
        return Some(format!("{} message {topic} {failed} in {tries}{error}", message.kind.name()));
    }
    let left = i64::try_from(LEFT.as_micros()).unwrap_or(i64::MAX);
    (message.status == message.kind.taken() && message.idle >= left).then(|| {
        format!(
            "{} message {topic} was never marked as {what}: a worker {taken} {} ago, and no worker takes it again",
            message.kind.name(),
            humane(message.idle)
        )
    })
}

fn ignored(message: &Message) -> Option<Cause> {
    if message.status != "IGNORED" {
        return None;
    }
    let topic = message.topic.as_deref().unwrap_or("without a type");
    let why = message.error.as_deref().map(|why| format!(" ({})", first_line(why))).unwrap_or_default();
    let text = format!("event {topic} came {} ago, was ignored{why} and is consumed", humane(message.idle));
    Some(Cause::new("event_ignored", Certainty::Proven, Severity::Warning, text))
}

/// The first line of an error, at a length that fits a sentence.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    match line.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// The newest entry that a worker wrote, of those that fit.
fn newest(seen: &Seen, fits: impl Fn(&Entry) -> bool) -> Option<&Entry> {
    seen.steps.iter().rev().find(|entry| entry.act().is_none() && fits(entry))
}

fn after(seen: &Seen) -> String {
    newest(seen, |_| true)
        .map(|entry| format!(" after step {} ({})", entry.step_id, entry.step_name))
        .unwrap_or_default()
}

fn author(entry: &Entry) -> String {
    let (who, why) = entry.author();
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{}{why}", who.unwrap_or_else(|| "an operator".into()))
}

/// The library clears the deadline between two steps; a worker that ends there leaves what no poll looks for.
fn orphan(seen: &Seen, state: State) -> Option<Cause> {
    (state == State::Stuck).then(|| {
        let text = format!(
            "it is active and has no deadline, so no poll looks for it: its worker ended between two steps{}, {} ago",
            after(seen),
            humane(seen.saga.idle)
        );
        Cause::new("orphan", Certainty::Proven, Severity::Critical, text)
    })
}

/// Every worker polls for what is due. One that knows the table but not the name of this saga fails at it, too.
fn no_worker(seen: &Seen, state: State) -> Option<Cause> {
    (state == State::Overdue).then(|| {
        let name = seen.saga.name.as_deref().map(|name| format!(" or none knows {name}")).unwrap_or_default();
        let text = format!(
            "it has been due for {} and was not picked up: no worker calls run_due on {},{name} or each poll fails before it gets there",
            humane(seen.saga.over.unwrap_or_default()),
            seen.saga.table
        );
        Cause::new("no_worker_polls", Certainty::Likely, Severity::Warning, text)
    })
}

fn lease_expired(seen: &Seen, state: State) -> Option<Cause> {
    (state == State::LeaseExpired).then(|| {
        let text = format!(
            "its worker let its lease pass {} ago without finishing the step{}: ended, or slower than the lease; the next poll runs the step again",
            humane(seen.saga.over.unwrap_or_default()),
            after(seen)
        );
        Cause::new("lease_expired", Certainty::Likely, Severity::Pending, text)
    })
}

fn compensation_failed(seen: &Seen, state: State) -> Option<Cause> {
    if state != State::PartlyCompensated {
        return None;
    }
    let error = seen.saga.error.as_deref().unwrap_or_default();
    if error.starts_with(verdict::GAVE_UP[1]) {
        let text = format!(
            "the roll-back was given up: {}; it was counted as done without a success on record",
            first_line(error)
        );
        return Some(Cause::new("compensation_without_entry", Certainty::Proven, Severity::Critical, text));
    }
    let text = match newest(seen, |entry| entry.compensates() && entry.is("ERROR")) {
        Some(entry) => format!(
            "rolling step {} ({}) back failed: {}",
            entry.step_id,
            entry.step_name,
            first_line(entry.error.as_deref().unwrap_or(error))
        ),
        None => format!("its roll-back was begun and not finished: {}", first_line(error)),
    };
    Some(Cause::new("compensation_failed", Certainty::Proven, Severity::Critical, text))
}

/// Failed because a person said so.
fn aborted(seen: &Seen, state: State) -> Option<Cause> {
    if seen.saga.status != Status::Failed || state != State::Failed {
        return None;
    }
    let last = seen.steps.last()?;
    (last.act().as_deref() == Some("abort")).then(|| {
        let text = format!("{} gave it up", author(last));
        Cause::new("aborted", Certainty::Proven, Severity::Warning, text)
    })
}

/// What the step it stands at failed of.
fn step_failed(seen: &Seen, state: State) -> Option<Cause> {
    let severity = match state {
        State::Failed => Severity::Warning,
        State::WaitingRetry | State::Due => Severity::Pending,
        _ => return None,
    };
    let rolling = seen.saga.status == Status::CompensatingSuspended;
    let entry = newest(seen, |entry| entry.compensates() == rolling && (entry.is("ERROR") || entry.is("SUCCESS")))?;
    if !entry.is("ERROR") {
        return None;
    }
    let what = if rolling { "rolling back step" } else { "step" };
    let text = format!(
        "{what} {} ({}) failed at try {}: {}",
        entry.step_id,
        entry.step_name,
        entry.attempt,
        first_line(entry.error.as_deref().unwrap_or("no error is on record"))
    );
    Some(Cause::new("step_failed", Certainty::Proven, severity, text))
}

/// Whether the saga waits for an event, or has given up waiting for one.
fn waits(saga: &Saga, state: State) -> bool {
    matches!(state, State::WaitingEvent | State::TimedOut) || (state == State::Due && saga.awaiting.is_some())
}

/// The event came, and was not what the saga waited for: the inbox consumes such events without a word.
fn event_ignored(seen: &Seen, state: State) -> Option<Cause> {
    if !waits(&seen.saga, state) {
        return None;
    }
    let inbox = seen.messages.iter().rev().filter(|message| message.kind == Mailbox::In);
    inbox.into_iter().find_map(ignored)
}

/// The event is there, and its application failed or was left half done.
fn event_held(seen: &Seen, state: State) -> Option<Cause> {
    let held = seen.messages.iter().find(|message| message.kind == Mailbox::In && is_dead(message))?;
    let severity = if waits(&seen.saga, state) { Severity::Critical } else { Severity::Warning };
    let text = dead(held)?;
    let next = NextCommand::new(&["sen", "saga", "inbox", "requeue"], "let a worker apply it again").id(&held.id);
    Some(Cause::new("event_held", Certainty::Proven, severity, text).with_next(vec![next]))
}

/// The message that asks for the event never left.
fn request_unsent(seen: &Seen, state: State) -> Option<Cause> {
    if !waits(&seen.saga, state) {
        return None;
    }
    let step = newest(seen, |entry| entry.is("WAITING")).map(|entry| entry.step_id.as_str());
    let asks = |message: &&Message| {
        message.kind == Mailbox::Out && message.step.as_deref() == step && step.is_some() && is_dead(message)
    };
    let request = seen.messages.iter().find(asks)?;
    let text = format!("the event cannot come while what asks for it has not gone out: {}", dead(request)?);
    let next = NextCommand::new(&["sen", "saga", "outbox", "requeue"], "let a worker send it again").id(&request.id);
    Some(Cause::new("request_unsent", Certainty::Likely, Severity::Critical, text).with_next(vec![next]))
}

fn outbox_stuck(seen: &Seen) -> Option<Cause> {
    let all: Vec<&Message> =
        seen.messages.iter().filter(|message| message.kind == Mailbox::Out && is_dead(message)).collect();
    let first = all.first()?;
    let more = if all.len() > 1 { format!(", and {} more", all.len() - 1) } else { String::new() };
    let severity = if first.status == "FAILED" { Severity::Warning } else { Severity::Critical };
    let next = NextCommand::new(&["sen", "saga", "outbox", "requeue"], "let a worker send it again").id(&first.id);
    let text = format!("{}{more}", dead(first)?);
    Some(Cause::new("outbox_stuck", Certainty::Proven, severity, text).with_next(vec![next]))
}

/// Nothing of the event is here.
fn event_never_came(seen: &Seen, state: State) -> Option<Cause> {
    let saga = &seen.saga;
    if !waits(saga, state) || event_ignored(seen, state).is_some() || event_held(seen, state).is_some() {
        return None;
    }
    let what = saga.awaiting.as_ref().map(super::record::Awaiting::words);
    if state == State::TimedOut {
        // The wait is cleared from the context then; the error still says what it was for.
        let error = saga.error.as_deref().map(first_line).unwrap_or_default();
        let text = format!("the event did not come before its time was over: {error}");
        return Some(Cause::new("event_never_came", Certainty::Proven, Severity::Warning, text));
    }
    let long = saga.idle >= LONG_WAIT || state == State::Due;
    long.then(|| {
        let what = what.unwrap_or_else(|| "a notification".into());
        let text = format!(
            "{what} has not come in {}: whoever was to send it has not, or sent it elsewhere",
            humane(saga.idle)
        );
        Cause::new("event_never_came", Certainty::Likely, Severity::Warning, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::saga::record::Awaiting;
    use crate::systems::saga::verdict::{OVERDUE, tests::saga};

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
            saga_status: Some("COMPLETED".into()),
            payload: Some(r#"{"charge": "ch-77"}"#.into()),
        }
    }

    fn rules(saga: Saga, steps: Vec<Entry>, messages: Vec<Message>) -> Vec<(&'static str, Severity)> {
        let seen = Seen { saga, model: 1, steps, recorded: 0, messages };
        of_saga(&seen).iter().map(|cause| (cause.rule, cause.severity)).collect()
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
        };
        assert_eq!(of_saga(&given_up)[0].text, "maria@ops (INC-7) gave it up");
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
        assert_eq!(rules(timed_out, steps(), vec![]), [("event_never_came", Warning)]);
    }

    #[test]
    fn messages_are_explained_and_lead_to_their_sagas() {
        let done = || saga(Status::Completed, None);
        let failed = vec![message(Mailbox::Out, "FAILED", 5), message(Mailbox::Out, "DISPATCHING", HOUR)];
        assert_eq!(rules(done(), vec![], failed), [("outbox_stuck", Severity::Warning)]);
        // In somebody's hands a moment ago: nothing is wrong.
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
        let seen =
            Seen { saga, model: 1, steps: vec![], recorded: 0, messages: vec![message(Mailbox::Out, "FAILED", 5)] };
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
