//! Sagas, steps and messages as rows of neutral columns. Pure.

use crate::record::{Entry, Message, Saga, Status};
use crate::rules::{self, LEFT};
use crate::state::State;
use sen_model::value::{Column, Row, Show, Value};
use sen_model::verdict::Severity;

pub(super) const fn column(name: &'static str, heading: &'static str, show: Show) -> Column {
    Column { name, heading, show }
}

/// The columns of a list of sagas.
pub const SAGA_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Whole),
    column("verdict", "VERDICT", Show::Whole),
    column("saga_name", "SAGA", Show::Wide),
    column("aggregation_id", "AGGREGATION", Show::Short),
    column("current_step_index", "STEP", Show::Wide),
    column("updated_at", "UPDATED", Show::Whole),
    column("deadline_at", "DEADLINE", Show::Wide),
    column("last_error", "ERROR", Show::Wide),
    column("retry_counter", "TRIES", Show::Wide),
    column("table", "TABLE", Show::Wide),
    column("status", "STATUS", Show::Asked),
    column("due", "DUE", Show::Asked),
    column("trace_id", "TRACE", Show::Asked),
    column("step_execution_token", "TOKEN", Show::Asked),
    column("created_at", "CREATED", Show::Asked),
    column("context", "CONTEXT", Show::Asked),
];

/// The columns of the recorded steps of a saga.
pub const STEP_COLUMNS: &[Column] = &[
    column("timestamp", "TIME", Show::Moment),
    column("phase", "PHASE", Show::Whole),
    column("step_id", "STEP", Show::Whole),
    column("status", "RESULT", Show::Whole),
    column("attempt", "TRY", Show::Whole),
    column("error", "ERROR", Show::Short),
    column("output", "OUTPUT", Show::Wide),
    column("step_name", "CLASS", Show::Wide),
    column("input", "INPUT", Show::Wide),
    column("act", "ACT", Show::Wide),
    column("who", "WHO", Show::Wide),
    column("why", "WHY", Show::Wide),
    column("token", "TOKEN", Show::Asked),
];

/// The columns of a list of messages.
pub const MESSAGE_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Whole),
    column("box", "BOX", Show::Wide),
    column("status", "STATUS", Show::Whole),
    column("topic", "TOPIC", Show::Short),
    column("error", "ERROR", Show::Short),
    column("updated_at", "UPDATED", Show::Whole),
    column("attempts", "TRIES", Show::Wide),
    column("next_attempt_at", "NEXT", Show::Wide),
    column("aggregation_id", "AGGREGATION", Show::Wide),
    column("saga_id", "SAGA", Show::Wide),
    column("step_id", "STEP", Show::Wide),
    column("key", "KEY", Show::Wide),
    column("standing", "STANDING", Show::Wide),
    column("table", "TABLE", Show::Wide),
    column("event_id", "EVENT", Show::Asked),
    column("settled_at", "SETTLED", Show::Asked),
    column("created_at", "CREATED", Show::Asked),
    column("payload", "PAYLOAD", Show::Asked),
];

pub(super) fn status(status: &Status) -> Value {
    status.name().map_or_else(|| Value::Text(status.as_str().to_owned()), Value::Name)
}

/// A stored name in lower case; one no version knows stays as it is.
pub(super) fn lower(name: &str, known: &'static [&'static str]) -> Value {
    match known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => Value::Name(known),
        None => Value::Text(name.to_owned()),
    }
}

pub(super) const BOX_STATUSES: &[&str] =
    &["pending", "dispatching", "sent", "failed", "processing", "applied", "ignored"];

const PHASES: &[&str] = &["execute", "compensate", "success"];

const RESULTS: &[&str] = &["success", "error", "waiting", "timeout"];

/// A saga under [`SAGA_COLUMNS`].
pub(crate) fn saga_row(saga: Saga) -> Row {
    let state = State::of(&saga);
    vec![
        Value::Text(saga.id),
        Value::Name(state.name()),
        Value::text(saga.name),
        Value::Text(saga.aggregation),
        Value::Int(saga.step),
        Value::time(saga.updated),
        Value::time(saga.deadline),
        Value::text(saga.error),
        Value::Int(saga.retries),
        Value::Text(saga.table),
        status(&saga.status),
        saga.due.map_or(Value::Null, Value::Bool),
        Value::Text(saga.trace),
        Value::text(saga.token),
        Value::time(saga.created),
        Value::json(saga.context),
    ]
}

/// A recorded step under [`STEP_COLUMNS`].
pub(super) fn step_row(entry: Entry) -> Row {
    let (who, why) = entry.author();
    vec![
        Value::time(entry.at),
        lower(&entry.phase, PHASES),
        Value::Text(entry.step_id.clone()),
        lower(&entry.status, RESULTS),
        Value::Int(entry.attempt),
        Value::text(entry.error.clone()),
        Value::json(entry.output.clone()),
        Value::Text(entry.step_name.clone()),
        Value::json(entry.input.clone()),
        Value::text(entry.act()),
        Value::text(who),
        Value::text(why),
        Value::text(entry.token),
    ]
}

/// A message under [`MESSAGE_COLUMNS`].
pub(crate) fn message_row(message: Message) -> Row {
    let replayability = rules::replayability(&message, LEFT);
    vec![
        Value::Text(message.id),
        Value::Name(message.kind.name()),
        lower(&message.status, BOX_STATUSES),
        Value::text(message.topic),
        Value::text(message.error),
        Value::time(message.updated),
        Value::Int(message.attempts),
        Value::time(message.next),
        Value::text(message.aggregation),
        Value::text(message.saga),
        Value::text(message.step),
        Value::text(message.key),
        Value::Name(replayability.name()),
        Value::Text(message.table),
        Value::text(message.event),
        Value::time(message.done),
        Value::time(message.created),
        Value::json(message.payload),
    ]
}

/// How much attention a message in this status needs.
pub fn message_severity(status: &str) -> Severity {
    match status {
        "failed" => Severity::Warning,
        "pending" | "dispatching" | "processing" => Severity::Pending,
        _ => Severity::Ok,
    }
}
