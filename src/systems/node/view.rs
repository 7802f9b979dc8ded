//! How tasks, workers, buckets and events become the neutral columns and rows that every front end shows. Pure.
//! One thing in depth is laid out in `depth`, all of them are counted in `census`.

pub(super) mod census;
pub(super) mod depth;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::checkpoint::Heartbeat;
use super::port::{Bucket, EventRecord, Events};
use super::record::Task;
use super::verdict::state;
use sen_model::record::{Event, History};
use sen_model::time::Timestamp;
use sen_model::value::{Column, Row, Show, Value};
use sen_model::verdict::Severity;

/// A column.
pub(super) const fn column(name: &'static str, heading: &'static str, show: Show) -> Column {
    Column { name, heading, show }
}

/// The columns of a list of tasks. The names are the controller's.
pub const TASK_COLUMNS: &[Column] = &[
    column("task_id", "ID", Show::Whole),
    column("verdict", "VERDICT", Show::Whole),
    column("status", "STATUS", Show::Asked),
    column("tenant_id", "TENANT", Show::Short),
    column("task_type", "TYPE", Show::Wide),
    column("owner", "WORKER", Show::Short),
    column("attempts", "TRIES", Show::Wide),
    column("updated_at", "UPDATED", Show::Whole),
    column("error", "ERROR", Show::Short),
    column("lease_expires", "LEASE", Show::Wide),
    column("current_node", "NODE", Show::Wide),
    column("cost_so_far", "COST", Show::Wide),
    column("created_at", "CREATED", Show::Wide),
    column("agent_type", "AGENT", Show::Wide),
    column("max_attempts", "MAX", Show::Asked),
    column("cost_limit", "LIMIT", Show::Asked),
    column("completed_at", "COMPLETED", Show::Asked),
    column("owner_alive", "ALIVE", Show::Asked),
    column("task_params", "PARAMS", Show::Asked),
    column("result", "RESULT", Show::Asked),
    column("findings", "FINDINGS", Show::Asked),
];

/// The columns of a list of workers.
pub const WORKER_COLUMNS: &[Column] = &[
    column("worker_id", "WORKER", Show::Whole),
    column("verdict", "VERDICT", Show::Whole),
    column("hostname", "HOST", Show::Short),
    column("pid", "PID", Show::Whole),
    column("tasks_held", "HOLDS", Show::Whole),
    column("current_task", "AT", Show::Whole),
    column("last_beat", "LAST BEAT", Show::Whole),
    column("started_at", "STARTED", Show::Wide),
    column("kept_ms", "KEPT FOR", Show::Wide),
    column("version", "VERSION", Show::Wide),
    column("findings", "FINDINGS", Show::Asked),
];

/// The columns of a list of events.
pub const EVENT_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Asked),
    column("at", "TIME", Show::Moment),
    column("event", "EVENT", Show::Whole),
    column("task_id", "TASK", Show::Whole),
    column("worker_id", "WORKER", Show::Wide),
    column("detail", "DETAIL", Show::Short),
    column("fields", "FIELDS", Show::Asked),
];

/// The columns of a list of buckets.
pub const BUCKET_COLUMNS: &[Column] = &[
    column("tenant_id", "TENANT", Show::Whole),
    column("stored_tokens", "STORED", Show::Whole),
    column("last_refill", "LAST REFILL", Show::Whole),
    column("stored_refill_rate", "STORED RATE", Show::Wide),
    column("stored_capacity", "STORED CAPACITY", Show::Wide),
    column("kept_ms", "KEPT FOR", Show::Wide),
    column("findings", "FINDINGS", Show::Asked),
];

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

/// A task under [`TASK_COLUMNS`].
pub(super) fn task_row(task: Task, now: Timestamp) -> Row {
    let verdict = state(&task, now);
    let status = status(&task);
    let findings: Vec<String> = task.oddities().cloned().collect();
    vec![
        Value::Text(task.id),
        Value::Name(verdict.name()),
        status,
        Value::text(task.tenant_id),
        Value::text(task.task_type),
        Value::text(task.owner),
        Value::Int(task.attempts),
        Value::time(task.updated_at),
        Value::text(task.error.or_else(|| findings.first().cloned())),
        Value::time(task.lease_expires),
        Value::text(task.current_node),
        amount(task.cost),
        Value::time(task.created_at),
        Value::Text(task.agent_type),
        Value::Int(task.max_attempts),
        task.cost_limit.map_or(Value::Null, amount),
        Value::time(task.completed_at),
        task.owner_alive.map_or(Value::Null, Value::Bool),
        json(task.params),
        json(task.result),
        texts(&findings),
    ]
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
        row: vec![
            Value::Text(format!("{millis}-{number}")),
            Value::Time(at),
            Value::text(kind),
            Value::text(word("task_id")),
            Value::text(worker.filter(|worker| !worker.is_empty())),
            Value::text(Some(detail.join(", ")).filter(|detail| !detail.is_empty())),
            Value::Json(Json::Object(fields).to_string()),
        ],
    }
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

/// A worker under [`WORKER_COLUMNS`]: by its heartbeat, or by the tasks it holds without one.
pub(super) fn worker_row(worker: &str, beat: Option<&Heartbeat>, held: u64) -> Row {
    let nothing = Heartbeat::default();
    let told = beat.unwrap_or(&nothing);
    vec![
        Value::Text(worker.to_owned()),
        Value::Name(worker_state(beat).0),
        Value::text(told.hostname.clone()),
        whole(told.pid),
        Value::Int(i64::try_from(held).unwrap_or(i64::MAX)),
        Value::text(told.current_task.clone()),
        Value::time(told.last_beat),
        Value::time(told.started_at),
        told.ttl_ms.map_or(Value::Null, Value::Millis),
        Value::text(told.version.clone()),
        texts(&told.findings),
    ]
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

/// A bucket under [`BUCKET_COLUMNS`].
pub(super) fn bucket_row(bucket: Bucket) -> Row {
    let number = |name: &str| {
        let text = bucket.fields.get(name)?;
        text.parse::<f64>().ok().filter(|number| number.is_finite())
    };
    let refill = number("last_refill").map(|seconds| {
        // The fraction apart: multiplied as a whole the number has no bit left for half a microsecond.
        let (whole, part) = (seconds.trunc(), seconds.fract());
        Timestamp::from_micros((whole as i64).saturating_mul(1_000_000).saturating_add((part * 1e6).round() as i64))
    });
    let mut findings = bucket.findings.clone();
    for name in ["tokens", "last_refill", "refill_rate", "capacity"] {
        if let Some(text) = bucket.fields.get(name).filter(|_| number(name).is_none()) {
            findings.push(format!("{name} is {text:?}, not a number"));
        }
    }
    let number = |name| number(name).map_or(Value::Null, amount);
    vec![
        Value::Text(bucket.tenant_id.clone()),
        number("tokens"),
        Value::time(refill),
        number("refill_rate"),
        number("capacity"),
        bucket.ttl_ms.map_or(Value::Null, Value::Millis),
        texts(&findings),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_their_columns() {
        let now = Timestamp::from_micros(0);
        assert_eq!(task_row(Task::read("t".into(), Vec::new()), now).len(), TASK_COLUMNS.len());
        assert_eq!(worker_row("w", None, 2).len(), WORKER_COLUMNS.len());
        let bucket = Bucket { tenant_id: "a".into(), fields: BTreeMap::new(), ttl_ms: None, findings: Vec::new() };
        assert_eq!(bucket_row(bucket).len(), BUCKET_COLUMNS.len());
        let record = EventRecord { id: (5, 1), fields: vec![("event".into(), "task_requeued".into())] };
        assert_eq!(event(record).row.len(), EVENT_COLUMNS.len());
    }

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
