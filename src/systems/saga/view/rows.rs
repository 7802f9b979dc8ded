//! Sagas, steps and messages as rows of neutral columns. Pure.

use crate::message::{Message, MessageStatus};
use crate::record::{Entry, Saga, Status};
use crate::rules::{self, LEFT};
use crate::state::State;
use sen_model::columns;
use sen_model::value::Value;
use sen_model::verdict::Severity;

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

/// What a message's `status` holds, in lower case where a version writes it.
pub(super) fn message_status(status: &MessageStatus) -> Value {
    status.name().map_or_else(|| Value::Text(status.as_str().to_owned()), Value::Name)
}

const PHASES: &[&str] = &["execute", "compensate", "success"];

const RESULTS: &[&str] = &["success", "error", "waiting", "timeout"];

/// What the library stores as the error of a saga whose roll-back went well: no error.
const ROLLED_BACK: &str = "Compensation completed successfully";

columns! {
    /// The columns of a list of sagas.
    pub SAGA_COLUMNS,
    /// A saga under [`SAGA_COLUMNS`].
    pub(crate) fn saga_row(saga: Saga) {
        let state = State::of(&saga);
    }
    "id", "ID", Whole => Value::Text(saga.id);
    "state", "STATE", Whole => Value::Name(state.name());
    "saga_name", "SAGA", Wide => Value::text(saga.name);
    "aggregation_id", "AGGREGATION", Short => Value::Text(saga.aggregation);
    "current_step_index", "STEP", Wide => Value::Int(saga.step);
    "updated_at", "UPDATED", Whole => Value::time(saga.updated);
    "deadline_at", "DEADLINE", Wide => Value::time(saga.deadline);
    "error", "ERROR", Wide => Value::text(saga.error.filter(|error| error != ROLLED_BACK));
    "attempts", "TRIES", Wide => Value::Int(saga.retries);
    "table", "TABLE", Wide => Value::Text(saga.table);
    "status", "STATUS", Asked => status(&saga.status);
    "due", "DUE", Asked => saga.due.map_or(Value::Null, Value::Bool);
    "trace_id", "TRACE", Asked => Value::Text(saga.trace);
    "step_execution_token", "TOKEN", Asked => Value::text(saga.token);
    "created_at", "CREATED", Asked => Value::time(saga.created);
    "context", "CONTEXT", Asked => Value::json(saga.context);
}

columns! {
    /// The columns of the recorded steps of a saga.
    pub STEP_COLUMNS,
    /// A recorded step under [`STEP_COLUMNS`].
    pub(super) fn step_row(entry: Entry) {
        let (who, why) = entry.author();
    }
    "at", "TIME", Moment => Value::time(entry.at);
    "phase", "PHASE", Whole => lower(&entry.phase, PHASES);
    "step_id", "STEP", Whole => Value::Text(entry.step_id.clone());
    "status", "RESULT", Whole => lower(&entry.status, RESULTS);
    "attempt", "TRY", Whole => Value::Int(entry.attempt);
    "error", "ERROR", Short => Value::text(entry.error.clone());
    "output", "OUTPUT", Wide => Value::json(entry.output.clone());
    "step_name", "CLASS", Wide => Value::Text(entry.step_name.clone());
    "input", "INPUT", Wide => Value::json(entry.input.clone());
    "act", "ACT", Wide => Value::text(entry.act());
    "who", "WHO", Wide => Value::text(who);
    "why", "WHY", Wide => Value::text(why);
    "token", "TOKEN", Asked => Value::text(entry.token);
}

columns! {
    /// The columns of a list of messages.
    pub MESSAGE_COLUMNS,
    /// A message under [`MESSAGE_COLUMNS`].
    pub(crate) fn message_row(message: Message) {
        let replayability = rules::replayability(&message, LEFT);
    }
    "id", "ID", Whole => Value::Text(message.id);
    "box", "BOX", Wide => Value::Name(message.kind.name());
    "status", "STATUS", Whole => message_status(&message.status);
    "topic", "TOPIC", Short => Value::text(message.topic);
    "error", "ERROR", Short => Value::text(message.error);
    "updated_at", "UPDATED", Whole => Value::time(message.updated);
    "attempts", "TRIES", Wide => Value::Int(message.attempts);
    "next_attempt_at", "NEXT", Wide => Value::time(message.next);
    "aggregation_id", "AGGREGATION", Wide => Value::text(message.aggregation);
    "saga_id", "SAGA", Wide => Value::text(message.saga);
    "step_id", "STEP", Wide => Value::text(message.step);
    "key", "KEY", Wide => Value::text(message.key);
    "replay", "REPLAY", Wide => Value::Name(replayability.name());
    "table", "TABLE", Wide => Value::Text(message.table);
    "event_id", "EVENT", Asked => Value::text(message.event);
    "settled_at", "SETTLED", Asked => Value::time(message.done);
    "created_at", "CREATED", Asked => Value::time(message.created);
    "payload", "PAYLOAD", Asked => Value::json(message.payload);
}

/// How much attention a message in this status needs.
pub fn message_severity(status: &str) -> Severity {
    match status {
        "failed" => Severity::Warning,
        "pending" | "dispatching" | "processing" => Severity::Pending,
        _ => Severity::Ok,
    }
}
