//! How sagas, steps and messages become the neutral columns, fields and summaries that every front end shows. Pure.

use super::message::{Mailbox, Message, MessageStatus};
use super::port::{Look, Observed};
use super::record::{NAME, subject};
use super::rules::{self, LEFT, Replayability, TROUBLE, is_dead};
use super::shape::Models;
use super::verdict::{self, Beside};
use super::why;
use sen_model::record::{Age, Event, History, Record, Section};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;
use sen_model::value::Value;
use sen_model::verdict::{NextCommand, Purpose, Severity, Verdict};

mod rows;
mod summary;

pub use rows::{MESSAGE_COLUMNS, SAGA_COLUMNS, STEP_COLUMNS, message_severity};
pub(super) use rows::{message_row, saga_row};
use rows::{message_status, status, step_row};
pub(super) use summary::summary;

/// What of a saga matters first.
const SAGA_FIELDS: &[&str] = &[
    "saga_name",
    "aggregation_id",
    "status",
    "current_step_index",
    "attempts",
    "deadline_at",
    "awaiting",
    "awaiting_until",
    "created_at",
    "updated_at",
    "error",
];

/// What of a message matters first.
const MESSAGE_FIELDS: &[&str] = &[
    "box",
    "topic",
    "status",
    "attempts",
    "next_attempt_at",
    "created_at",
    "updated_at",
    "saga_id",
    "saga_status",
    "error",
    "payload",
];

/// One saga in depth.
pub(super) fn found(seen: Observed, models: &Models, now: Timestamp) -> Record {
    let Observed { saga, model, steps, recorded, messages, holders } = seen;
    let model = models.models.iter().find(|known| known.state.number == model);
    let event = why::pending_event(&saga, &messages);
    let beside = Beside { locked: !holders.is_empty(), event_stored: event.is_some() };
    let mut verdict = verdict::judge(&saga, &steps, model, beside);
    if let Some(model) = model {
        verdict.evidence.extend(model.doubts.iter().cloned());
        if !model.writable() {
            // Every act would be refused.
            verdict.next.clear();
        }
    }
    if let Some(holder) = holders.first() {
        verdict.evidence.push(format!("its row is locked by {}: a worker may be at it", holder.words()));
    }
    if let Some(event) = event {
        let event = event.event.as_deref().unwrap_or(&event.id);
        verdict.evidence.push(format!("the event it waits for stands PENDING in the inbox: {event}"));
    }
    let dead = messages.iter().filter(|message| is_dead(message)).count();
    if dead > 0 {
        let are = if dead == 1 { "message of it is a dead letter" } else { "messages of it are dead letters" };
        verdict.evidence.push(format!("{dead} {are}: see below, and `sen dlq list`"));
    }
    if recorded > i64::try_from(steps.len()).unwrap_or(i64::MAX) {
        let more = recorded - i64::try_from(steps.len()).unwrap_or_default();
        verdict.evidence.push(format!("{more} older recorded steps are not shown (--steps N)"));
    }
    let awaiting = saga.awaiting.as_ref();
    let age = Age::of("last change", saga.updated);
    let fields = vec![
        ("saga_name", Value::text(saga.name)),
        ("aggregation_id", Value::Text(saga.aggregation)),
        ("status", status(&saga.status)),
        ("current_step_index", Value::Int(saga.step)),
        ("deadline_at", Value::time(saga.deadline)),
        ("attempts", Value::Int(saga.retries)),
        ("updated_at", Value::time(saga.updated)),
        ("id", Value::Text(saga.id.clone())),
        ("table", Value::Text(saga.table)),
        ("trace_id", Value::Text(saga.trace)),
        ("step_execution_token", Value::text(saga.token)),
        ("created_at", Value::time(saga.created)),
        ("awaiting", awaiting.map_or(Value::Null, |awaiting| Value::Text(awaiting.words()))),
        ("awaiting_until", awaiting.map_or(Value::Null, |awaiting| Value::text(awaiting.until.clone()))),
        ("error", Value::text(saga.error)),
        ("context", Value::json(saga.context)),
    ];
    let steps = Section {
        name: "steps",
        heading: "steps",
        columns: STEP_COLUMNS,
        rows: steps.into_iter().map(step_row).collect(),
    };
    let messages = Section {
        name: "messages",
        heading: "messages",
        columns: MESSAGE_COLUMNS,
        rows: messages.into_iter().map(message_row).collect(),
    };
    Record {
        subject: subject(&saga.id),
        now,
        fields,
        key_fields: SAGA_FIELDS,
        age,
        verdict,
        history: None,
        sections: vec![steps, messages],
    }
}

/// One message in depth.
pub(super) fn found_message(message: Message, now: Timestamp) -> Record {
    let verdict = judge_message(&message);
    let fields = vec![
        ("box", Value::Name(message.kind.name())),
        ("topic", Value::text(message.topic)),
        ("status", message_status(&message.status)),
        ("attempts", Value::Int(message.attempts)),
        ("next_attempt_at", Value::time(message.next)),
        ("updated_at", Value::time(message.updated)),
        ("id", Value::Text(message.id.clone())),
        ("table", Value::Text(message.table)),
        ("event_id", Value::text(message.event)),
        ("saga_id", Value::text(message.saga)),
        ("saga_status", message.saga_status.as_ref().map_or(Value::Null, status)),
        ("aggregation_id", Value::text(message.aggregation)),
        ("step_id", Value::text(message.step)),
        ("key", Value::text(message.key)),
        ("created_at", Value::time(message.created)),
        ("settled_at", Value::time(message.done)),
        ("error", Value::text(message.error)),
        ("payload", Value::json(message.payload)),
    ];
    Record {
        subject: Subject::new(NAME, message.kind.subject(), message.id),
        now,
        fields,
        key_fields: MESSAGE_FIELDS,
        age: Age::of("last change", message.updated),
        verdict,
        history: None,
        sections: Vec::new(),
    }
}

/// What operators look for and the library has no way to.
const STAYS: &str = "it cannot be given up by hand: its row is the only record of it, and the library has no status for that; what is not \
    wanted any more can only be left as it is";

fn judge_message(message: &Message) -> Verdict {
    let taken = message.is_taken();
    let dead = is_dead(message);
    let out = message.kind == Mailbox::Out;
    let (sent, dispatcher) =
        if out { ("sent", "outbox dispatcher") } else { ("applied", "worker that calls run_inbox_due") };
    let late = message.late();
    let (state, severity, summary) = match message.status {
        MessageStatus::Failed => {
            let again = match (late, message.over) {
                (Some(over), _) => format!(
                    "its next try has been due for {}: probably no {dispatcher} runs, or it is far behind",
                    sen_model::time::age(over)
                ),
                (None, Some(over)) if over < 0 => format!("the library tries again in {}", sen_model::time::age(over)),
                _ => "the library tries again at the next dispatch".into(),
            };
            ("failed", TROUBLE, format!("it could not be {sent}; {again}"))
        }
        _ if taken && dead => (
            "left",
            TROUBLE,
            format!(
                "claimed {} ago and not marked {sent}: probably its process ended, or it is still working through its batch; \
                 no other process claims it",
                sen_model::time::age(message.idle)
            ),
        ),
        _ if taken => {
            ("taken", Severity::Pending, format!("claimed {} ago, being {sent}", sen_model::time::age(message.idle)))
        }
        MessageStatus::Pending => match (late, message.over) {
            (Some(over), _) => (
                "pending",
                TROUBLE,
                format!("due for {}: probably no {dispatcher} runs, or it is far behind", sen_model::time::age(over)),
            ),
            (None, Some(over)) if over < 0 => {
                ("pending", Severity::Pending, format!("due in {}", sen_model::time::age(over)))
            }
            _ => ("pending", Severity::Pending, "it is due".to_owned()),
        },
        MessageStatus::Sent => ("sent", Severity::Ok, "it is sent".to_owned()),
        MessageStatus::Applied => ("applied", Severity::Ok, "its saga has taken it".to_owned()),
        MessageStatus::Ignored => {
            ("ignored", Severity::Warning, "its saga did not take it, and it is consumed".to_owned())
        }
        _ => ("unreadable", Severity::Critical, "no version of the library writes this status".to_owned()),
    };
    let mut evidence = Vec::new();
    if let (Some(error), true) = (&message.error, message.status != MessageStatus::Sent) {
        evidence.push(format!("last error: {}", error.lines().next().unwrap_or_default()));
    }
    if taken && dead && out {
        evidence.push("whether it was sent already is not stored: requeued, it may be sent twice".into());
    }
    let rolled_back = rules::rolled_back(message);
    evidence.extend(rolled_back.map(str::to_owned));
    if rolled_back.is_some() {
        evidence.push(rules::UNSENDABLE.to_owned());
    }
    if dead && rolled_back.is_none() {
        evidence.push(STAYS.to_owned());
    }
    let mut next = Vec::new();
    let saga = message.saga.as_ref().map(|saga| NextCommand::new(&["sen", "saga", "show"], "its saga").id(saga));
    // An event without a saga is for one that is about the same.
    let about = message.aggregation.as_ref().filter(|_| message.saga.is_none() && dead).map(|about| {
        let why = "whether a saga about it is there and waits for this event";
        NextCommand::new(&["sen", "saga", "list"], why).option("--aggregation", about).purpose(Purpose::Observe)
    });
    let looks_first = rolled_back.is_some();
    next.extend(about);
    next.extend(saga.map(|saga| if looks_first { saga.purpose(Purpose::Observe) } else { saga }));
    let replayability = rules::replayability(message, LEFT);
    if late.is_some() && rolled_back.is_none() {
        // It is due already: no act makes anything take it up.
        let why =
            format!("first start the {dispatcher}, or see why it is behind; this ends when the message is {sent}");
        next.push(NextCommand::new(&["sen", "wait"], why).id(&message.id).purpose(Purpose::Observe));
    } else if dead || message.status == MessageStatus::Ignored {
        if replayability == Replayability::Replayable {
            let why = match message.status {
                _ if rolled_back.is_some() => "make it due now, if it is to be sent all the same",
                MessageStatus::Failed => {
                    "the cause of the error is gone: make it due now, without waiting for its next try"
                }
                _ if taken && out => "its process has ended: make it due again (it may have been sent already)",
                _ if taken => "its process has ended: make it due again",
                _ => "make it due now",
            };
            next.push(
                NextCommand::new(&["sen", "saga", message.kind.name(), "requeue"], why)
                    .id(&message.id)
                    .purpose(Purpose::Run),
            );
        } else {
            evidence.push(replayability.why(message));
        }
    }
    Verdict { state, severity, summary, evidence, next }
}

/// The recorded steps as a history: the newest `limit` of the first saga found.
pub(super) fn history(look: Look, limit: Option<u64>) -> History {
    let now = look.now;
    let (mut steps, mut recorded) = (Vec::new(), 0);
    if let Some(seen) = look.sagas.into_iter().next() {
        recorded = seen.recorded;
        steps = seen.steps;
    }
    let keep = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let cut = steps.len().saturating_sub(keep);
    steps.drain(..cut);
    let older = recorded > i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let mut last = Timestamp::NEG_INFINITY;
    let events = steps.into_iter().enumerate().map(|(at, entry)| {
        // Some versions record no time with what an operator skipped: it came after what stands before it.
        last = entry.at.unwrap_or(last);
        Event { id: i64::try_from(at).unwrap_or(i64::MAX), at: last, row: step_row(entry) }
    });
    History { columns: STEP_COLUMNS, events: events.collect(), older, now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::message;
    use crate::record::Status;

    #[test]
    fn a_row_of_a_message_says_its_status_and_whether_it_can_be_replayed() {
        let row = message_row(message(Mailbox::Out, "FAILED", 0));
        assert_eq!((&row[2], &row[12]), (&Value::Name("failed"), &Value::Name("replayable")));
    }

    #[test]
    fn a_roll_back_that_went_well_is_no_error() {
        let saga = crate::examples::saga(crate::record::Status::Compensated, None);
        let shown =
            |error: &str| saga_row(crate::record::Saga { error: Some(error.into()), ..saga.clone() })[7].clone();
        assert_eq!(SAGA_COLUMNS[7].name, "error");
        assert_eq!(shown("Compensation completed successfully"), Value::Null);
        assert_eq!(shown("card declined"), Value::Text("card declined".into()));
    }

    #[test]
    fn a_message_of_a_saga_that_was_rolled_back_warns_before_it_is_sent() {
        let of = |kind, saga: &str| {
            judge_message(&Message { saga_status: Some(Status::parse(saga)), ..message(kind, "FAILED", 0) })
        };
        let verdict = of(Mailbox::Out, "COMPENSATED");
        assert!(verdict.evidence.iter().any(|line| line.contains("its saga was rolled back")), "{verdict:?}");
        assert!(verdict.next[0].command.starts_with("sen saga show "), "the saga before the act: {verdict:?}");
        let warned = |verdict: Verdict| verdict.evidence.iter().any(|line| line.contains("rolled back"));
        assert!(!warned(of(Mailbox::Out, "COMPLETED")) && !warned(of(Mailbox::In, "COMPENSATED")));
    }

    #[test]
    fn claimed_messages_are_dead_letters_after_a_while() {
        let long = crate::port::micros(LEFT);
        assert_eq!(judge_message(&message(Mailbox::Out, "DISPATCHING", 5)).state, "taken");
        let left = judge_message(&message(Mailbox::Out, "DISPATCHING", long));
        assert!(
            left.state == "left"
                && left.next.iter().any(|next| next.command.starts_with("sen saga outbox requeue m-1"))
        );
        assert_eq!(judge_message(&message(Mailbox::Out, "SENT", long)).severity, Severity::Ok);
    }
}
