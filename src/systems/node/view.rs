//! How tasks, workers, buckets and events become the neutral columns and rows that every front end shows. Pure.
//! One thing in depth is laid out in `depth`, all of them are counted in `census`.

pub(super) mod census;
pub(super) mod depth;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::checkpoint::Heartbeat;
use super::port::{EventRecord, Events};
use super::record::Task;
use super::verdict::state;
use sen_model::columns;
use sen_model::record::{Event, History};
use sen_model::time::Timestamp;
use sen_model::value::Value;
use sen_model::verdict::Severity;

/// A number that may have a fraction, as Python and JSON write it.
pub(super) fn amount(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or(Value::Null, |number| Value::Json(number.to_string()))
}

pub(super) fn whole(number: Option<i64>) -> Value {
    number.map_or(Value::Null, Value::Int)
}

pub(super) fn json(text: Option<String>) -> Value {
    Value::json(text)
}

pub(super) fn texts(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| Value::Text(text.clone())).collect())
}

pub(super) fn status(task: &Task) -> Value {
    match task.status {
        Some(status) => Value::Name(status.name()),
        None => Value::text(Some(task.seen.status.clone()).filter(|text| !text.is_empty())),
    }
}

columns! {
    /// The columns of a list of tasks. The names are the controller's.
    pub TASK_COLUMNS,
    /// A task under [`TASK_COLUMNS`].
    pub(super) fn task_row(task: Task, now: Timestamp) {
        let verdict = state(&task, now);
        let status = status(&task);
        let findings: Vec<String> = task.oddities().cloned().collect();
    }
    "id", "ID", Whole => Value::Text(task.id);
    "state", "STATE", Whole => Value::Name(verdict.name());
    "status", "STATUS", Asked => status;
    "tenant_id", "TENANT", Short => Value::text(task.tenant_id);
    "task_type", "TYPE", Wide => Value::text(task.task_type);
    "worker", "WORKER", Short => Value::text(task.owner);
    "attempts", "TRIES", Wide => Value::Int(task.attempts);
    "updated_at", "UPDATED", Whole => Value::time(task.updated_at);
    "error", "ERROR", Short => Value::text(task.error.or_else(|| findings.first().cloned()));
    "lease_expires_at", "LEASE", Wide => Value::time(task.lease_expires);
    "current_node", "NODE", Wide => Value::text(task.current_node);
    "cost_so_far", "COST", Wide => amount(task.cost);
    "created_at", "CREATED", Wide => Value::time(task.created_at);
    "agent_type", "AGENT", Wide => Value::Text(task.agent_type);
    "max_attempts", "MAX", Asked => Value::Int(task.max_attempts);
    "cost_limit", "LIMIT", Asked => task.cost_limit.map_or(Value::Null, amount);
    "completed_at", "COMPLETED", Asked => Value::time(task.completed_at);
    "worker_alive", "ALIVE", Asked => task.owner_alive.map_or(Value::Null, Value::Bool);
    "task_params", "PARAMS", Asked => json(task.params);
    "result", "RESULT", Asked => json(task.result);
    "findings", "FINDINGS", Asked => texts(&findings);
}

/// One event in neutral form. The payload of the workers' events and the flat fields of the watcher's are told alike.
pub(super) fn event(event: EventRecord) -> Event {
    let (millis, number) = event.id;
    let payload: BTreeMap<String, Json> =
        event.field("payload").and_then(|payload| serde_json::from_str(payload).ok()).unwrap_or_else(|| {
            event.fields.iter().map(|(name, value)| (name.clone(), Json::String(value.clone()))).collect()
        });
    let word =
        |name: &str| payload.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let kind = event.field("type").or_else(|| event.field("event")).map(str::to_owned);
    let worker = word("worker_id").or_else(|| word("dead_worker")).or_else(|| word("owner"));
    let detail: Vec<String> = payload
        .keys()
        .filter(|name| {
            ![
                "task_id",
                "worker_id",
                "dead_worker",
                "owner",
                "event",
                "type",
                "payload",
                "timestamp",
                "tool",
                "node_type",
            ]
            .contains(&name.as_str())
        })
        .filter_map(|name| Some(format!("{name} {}", word(name).filter(|value| !value.is_empty())?)))
        .collect();
    let fields: serde_json::Map<String, Json> =
        event.fields.iter().map(|(name, value)| (name.clone(), Json::String(value.clone()))).collect();
    let at = Timestamp::from_micros(millis.saturating_mul(1000));
    Event {
        // Unique for a million events within one millisecond.
        id: millis.saturating_mul(1 << 20).saturating_add(number.min((1 << 20) - 1)),
        at,
        row: event_row(
            format!("{millis}-{number}"),
            at,
            kind,
            word("task_id"),
            worker.filter(|worker| !worker.is_empty()),
            Some(detail.join(", ")).filter(|detail| !detail.is_empty()),
            Json::Object(fields).to_string(),
        ),
    }
}

columns! {
    /// The columns of a list of events.
    pub EVENT_COLUMNS,
    fn event_row(
        id: String,
        at: Timestamp,
        event: Option<String>,
        task: Option<String>,
        worker: Option<String>,
        detail: Option<String>,
        fields: String,
    ) {}
    "id", "ID", Asked => Value::Text(id);
    "at", "TIME", Moment => Value::Time(at);
    "event", "EVENT", Whole => Value::text(event);
    "task_id", "TASK", Whole => Value::text(task);
    "worker", "WORKER", Wide => Value::text(worker);
    "detail", "DETAIL", Short => Value::text(detail);
    "fields", "FIELDS", Asked => Value::Json(fields);
}

/// Events as a neutral history.
pub(super) fn history(events: Events) -> History {
    History {
        columns: EVENT_COLUMNS,
        events: events.events.into_iter().map(event).collect(),
        older: events.older,
        now: events.now,
    }
}

columns! {
    /// The columns of a list of workers.
    pub WORKER_COLUMNS,
    /// A worker under [`WORKER_COLUMNS`]: by its heartbeat, or by the tasks it holds without one.
    pub(super) fn worker_row(worker: &str, beat: Option<&Heartbeat>, held: u64) {
        let nothing = Heartbeat::default();
        let told = beat.unwrap_or(&nothing);
    }
    "worker", "WORKER", Whole => Value::Text(worker.to_owned());
    "state", "STATE", Whole => Value::Name(worker_state(beat).0);
    "hostname", "HOST", Short => Value::text(told.hostname.clone());
    "pid", "PID", Whole => whole(told.pid);
    "tasks_held", "HOLDS", Whole => Value::Int(i64::try_from(held).unwrap_or(i64::MAX));
    "current_task", "AT", Whole => Value::text(told.current_task.clone());
    "last_beat_at", "LAST BEAT", Whole => Value::time(told.last_beat);
    "started_at", "STARTED", Wide => Value::time(told.started_at);
    "kept_ms", "KEPT FOR", Wide => told.ttl_ms.map_or(Value::Null, Value::Millis);
    "version", "VERSION", Wide => Value::text(told.version.clone());
    "findings", "FINDINGS", Asked => texts(&told.findings);
}

pub(super) fn worker_state(beat: Option<&Heartbeat>) -> (&'static str, Severity) {
    match beat {
        None => ("gone", Severity::Critical),
        Some(beat) if !beat.findings.is_empty() => ("unreadable", Severity::Warning),
        Some(_) => ("alive", Severity::Ok),
    }
}

/// How severe a worker's state is.
pub fn worker_severity(state: &str) -> Severity {
    match state {
        "gone" => Severity::Critical,
        "unreadable" => Severity::Warning,
        _ => Severity::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_events_are_told_alike() {
        let record = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            event(EventRecord { id: (5, 1), fields }).row
        };
        let row = record(&[
            ("type", "node_failed"),
            ("payload", r#"{"task_id":"t","node_id":"a","worker_id":"w","error":"no"}"#),
        ]);
        assert_eq!(row[2..6], ["node_failed", "t", "w", "error no, node_id a"].map(|text| Value::Text(text.into())));
        let row = record(&[("event", "task_requeued"), ("task_id", "t"), ("dead_worker", "w"), ("attempts", "1")]);
        assert_eq!(row[2..6], ["task_requeued", "t", "w", "attempts 1"].map(|text| Value::Text(text.into())));
    }
}
