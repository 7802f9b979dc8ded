//! How tasks, workers, buckets and events become the neutral columns, fields and surveys that every front end shows. Pure.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::NAME;
use super::checkpoint::{Effect, Heartbeat};
use super::port::{Bucket, EventRecord, Events, Look, Server};
use super::record::{Status, Task};
use super::remedy::subject;
use super::verdict::{Facts, State, is_dead, judge, state};
use crate::model::subject::Subject;
use crate::model::value::{Column, Row, Show, Value};
use crate::model::verdict::{NextCommand, Severity, Verdict};
use crate::system::{Attention, Count, Event, Found, History, Section, Survey};
use crate::time::{Timestamp, humane};

const fn column(name: &'static str, heading: &'static str, show: Show) -> Column {
    Column { name, heading, show }
}

/// The columns of a list of tasks. The names are the controller's.
pub const TASK_COLUMNS: &[Column] = &[
    column("task_id", "ID", Show::Whole),
    column("verdict", "VERDICT", Show::Whole),
    column("status", "STATUS", Show::Asked),
    column("tenant_id", "TENANT", Show::Short),
    column("task_type", "TYPE", Show::Short),
    column("owner", "WORKER", Show::Short),
    column("attempts", "TRIES", Show::Whole),
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
    column("worker_id", "WORKER", Show::Short),
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

const NODE_COLUMNS: &[Column] = &[
    column("node_id", "NODE", Show::Whole),
    column("node_type", "TYPE", Show::Wide),
    column("started_at", "STARTED", Show::Whole),
    column("completed_at", "ENDED", Show::Asked),
    column("took_ms", "TOOK", Show::Whole),
    column("error", "ERROR", Show::Short),
    column("outputs", "OUTPUTS", Show::Short),
    column("inputs", "INPUTS", Show::Asked),
    column("metadata", "METADATA", Show::Asked),
];

const CALL_COLUMNS: &[Column] = &[
    column("timestamp", "TIME", Show::Moment),
    column("model", "MODEL", Show::Whole),
    column("prompt_tokens", "PROMPT", Show::Wide),
    column("completion_tokens", "ANSWER", Show::Wide),
    column("total_tokens", "TOKENS", Show::Whole),
    column("cost_usd", "USD", Show::Whole),
    column("latency_ms", "MS", Show::Whole),
];

const EFFECT_COLUMNS: &[Column] = &[
    column("effect", "EFFECT", Show::Whole),
    column("standing", "STANDING", Show::Whole),
    column("lock_ms", "LOCKED FOR", Show::Whole),
    column("result", "RESULT", Show::Short),
];

const STORED_COLUMNS: &[Column] = &[column("field", "FIELD", Show::Whole), column("value", "VALUE", Show::Short)];

const HELD_COLUMNS: &[Column] = &[
    column("task_id", "ID", Show::Whole),
    column("verdict", "VERDICT", Show::Whole),
    column("tenant_id", "TENANT", Show::Short),
    column("current_node", "NODE", Show::Short),
    column("lease_expires", "LEASE", Show::Whole),
];

const STATUS_COLUMNS: &[Column] = &[column("status", "STATUS", Show::Whole), column("count", "COUNT", Show::Whole)];

const TENANT_COLUMNS: &[Column] = &[
    column("tenant_id", "TENANT", Show::Whole),
    column("tasks", "TASKS", Show::Whole),
    column("queued", "QUEUED", Show::Whole),
    column("held", "HELD", Show::Whole),
    column("failed", "FAILED", Show::Whole),
    column("completed", "COMPLETED", Show::Whole),
];

/// A number that may have a fraction, as Python and JSON write it.
pub(super) fn amount(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or(Value::Null, |number| Value::Json(number.to_string()))
}

fn whole(number: Option<i64>) -> Value {
    number.map_or(Value::Null, Value::Int)
}

fn json(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::Json)
}

/// Stored text that should be JSON, as JSON in any case.
fn lenient(text: String) -> Value {
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Value::Json(text),
        Err(_) => Value::Text(text),
    }
}

fn texts(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| Value::Text(text.clone())).collect())
}

fn status(task: &Task) -> Value {
    match task.status {
        Some(status) => Value::Name(status.name()),
        None => Value::text(Some(task.seen.status.clone()).filter(|text| !text.is_empty())),
    }
}

/// A task under [`TASK_COLUMNS`].
pub(super) fn task_row(task: Task, now: Timestamp) -> Row {
    let verdict = state(&task, now);
    let status = status(&task);
    let findings = texts(&task.findings);
    vec![
        Value::Text(task.id),
        Value::Name(verdict.name()),
        status,
        Value::text(task.tenant_id),
        Value::text(task.task_type),
        Value::text(task.owner),
        Value::Int(task.attempts),
        Value::time(task.updated_at),
        Value::text(task.error.or_else(|| task.findings.into_iter().next())),
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
        findings,
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

fn worker_state(beat: Option<&Heartbeat>) -> (&'static str, Severity) {
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

/// One task in depth.
pub(super) fn found(look: Look, effects: Vec<Effect>, events: Option<Events>, remarks: &[String]) -> Found {
    let done = effects.iter().filter(|effect| effect.is_done()).count();
    let facts = Facts {
        task: &look.task,
        checkpoint: look.checkpoint.as_ref(),
        heartbeat: look.heartbeat.as_ref(),
        effects_done: done,
        effects_under_way: effects.len() - done,
        now: look.now,
    };
    let mut verdict = judge(&facts);
    let findings = look.checkpoint.iter().flat_map(|checkpoint| &checkpoint.findings);
    let findings = findings.chain(look.heartbeat.iter().flat_map(|beat| &beat.findings));
    verdict.evidence.extend(findings.chain(remarks).map(|finding| format!("unreadable: {finding}")));
    let status = status(&look.task);
    let (task, checkpoint, beat) = (look.task, look.checkpoint, look.heartbeat);
    let mut fields = vec![
        ("status", status),
        ("tenant_id", Value::text(task.tenant_id)),
        ("task_type", Value::text(task.task_type)),
        ("owner", Value::text(task.owner)),
        ("lease_expires", Value::time(task.lease_expires)),
        ("attempts", Value::Int(task.attempts)),
        ("max_attempts", Value::Int(task.max_attempts)),
        ("current_node", Value::text(task.current_node)),
        ("cost_so_far", amount(task.cost)),
        ("cost_limit", task.cost_limit.map_or(Value::Null, amount)),
        ("agent_type", Value::Text(task.agent_type)),
        ("created_at", Value::time(task.created_at)),
        ("updated_at", Value::time(task.updated_at)),
        ("completed_at", Value::time(task.completed_at)),
        ("error", Value::text(task.error)),
        ("task_params", json(task.params)),
        ("result", json(task.result)),
        ("key", Value::Text(task.id.clone())),
    ];
    if !look.unknown.is_empty() {
        fields.push(("unknown_fields", texts(&look.unknown)));
    }
    let mut sections = Vec::new();
    if let Some(beat) = &beat {
        fields.push(("worker_host", Value::text(beat.hostname.clone())));
        fields.push(("worker_pid", whole(beat.pid)));
        fields.push(("last_beat", Value::time(beat.last_beat)));
        fields.push(("beat_kept_ms", beat.ttl_ms.map_or(Value::Null, Value::Millis)));
    }
    if let Some(checkpoint) = checkpoint {
        fields.push(("node_path", texts(&checkpoint.history)));
        fields.push(("spent_usd", amount(checkpoint.cost())));
        fields.push((
            "encrypted",
            Some(texts(&checkpoint.encrypted)).filter(|_| !checkpoint.encrypted.is_empty()).unwrap_or(Value::Null),
        ));
        fields.push(("checkpoint_ms", checkpoint.ttl_ms.map_or(Value::Null, Value::Millis)));
        sections.extend(checkpoint_sections(checkpoint));
    }
    sections.push(Section {
        name: "effects",
        heading: "side effects",
        columns: EFFECT_COLUMNS,
        rows: effects.into_iter().map(effect_row).collect(),
    });
    Found {
        subject: subject(&task.id),
        now: look.now,
        lead: 8,
        fields,
        verdict,
        history: events.map(history),
        sections,
    }
}

fn effect_row(effect: Effect) -> Row {
    let standing = if effect.is_done() { "done" } else { "begun" };
    vec![
        Value::Text(effect.key),
        Value::Name(standing),
        effect.lock_ttl_ms.filter(|ttl| *ttl >= 0).map_or(Value::Null, Value::Millis),
        effect.result.map_or(Value::Null, lenient),
    ]
}

fn checkpoint_sections(checkpoint: super::checkpoint::Checkpoint) -> [Section; 3] {
    // What has its own place is left out of the table of stored fields, and so is what is null.
    let stored = serde_json::from_str::<serde_json::Map<String, Json>>(&checkpoint.text).unwrap_or_default();
    let own = ["node_states", "llm_calls", "node_history", "task_id"];
    let stored = stored
        .into_iter()
        .filter(|(name, value)| !own.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| {
            let hidden = checkpoint.encrypted.contains(&name);
            let value = match value {
                _ if hidden => Value::Name("encrypted"),
                Json::String(text) => Value::Text(text),
                other => Value::Json(other.to_string()),
            };
            vec![Value::Text(name), value]
        })
        .collect();
    let nodes = checkpoint.nodes.into_iter().map(|node| {
        vec![
            Value::Text(node.id),
            Value::text(node.kind),
            Value::time(node.started_at),
            Value::time(node.completed_at),
            match (node.started_at, node.completed_at) {
                (Some(start), Some(end)) => Value::Millis(end.micros_since(start) / 1000),
                _ => Value::Null,
            },
            Value::text(node.error),
            json(node.outputs),
            json(node.inputs),
            json(node.metadata),
        ]
    });
    let calls = checkpoint.calls.into_iter().map(|call| {
        vec![
            Value::time(call.at),
            Value::text(call.model),
            whole(call.prompt_tokens),
            whole(call.completion_tokens),
            whole(call.total_tokens),
            amount(call.cost),
            call.latency_ms.map_or(Value::Null, amount),
        ]
    });
    [
        Section { name: "nodes", heading: "nodes", columns: NODE_COLUMNS, rows: nodes.collect() },
        Section { name: "llm_calls", heading: "model calls", columns: CALL_COLUMNS, rows: calls.collect() },
        Section { name: "checkpoint", heading: "checkpoint", columns: STORED_COLUMNS, rows: stored },
    ]
}

/// One worker in depth.
pub(super) fn found_worker(worker: &str, beat: Option<Heartbeat>, held: Vec<Task>, now: Timestamp) -> Found {
    let (state_name, severity) = worker_state(beat.as_ref());
    let mut evidence = Vec::new();
    let told = beat.unwrap_or_default();
    evidence.extend(told.place());
    if let Some(last) = told.last_beat {
        evidence.push(format!("last beat {} ago", humane(now.micros_since(last))));
    }
    if let Some(kept) = told.ttl_ms {
        evidence.push(format!("counts as gone in {} without another beat", humane(kept.saturating_mul(1000))));
    }
    evidence.extend(told.findings.iter().map(|finding| format!("unreadable: {finding}")));
    let summary = match state_name {
        "gone" => format!("its heartbeat is gone, and it holds {} tasks", held.len()),
        _ => format!("its heartbeat is there; it holds {} tasks", held.len()),
    };
    let next = if state_name == "gone" {
        vec![NextCommand::new(
            &["sen", "agent", "requeue", "--all", "--owner", worker],
            "let others go on with its tasks",
        )]
    } else {
        vec![NextCommand::new(&["sen", "agent", "list", "--owner", worker], "everything it has or had")]
    };
    let rows = held
        .into_iter()
        .map(|task| {
            let verdict = state(&task, now).name();
            vec![
                Value::Text(task.id),
                Value::Name(verdict),
                Value::text(task.tenant_id),
                Value::text(task.current_node),
                Value::time(task.lease_expires),
            ]
        })
        .collect();
    Found {
        subject: Subject::new(NAME, "worker", worker),
        now,
        lead: 0,
        fields: vec![
            ("hostname", Value::text(told.hostname)),
            ("pid", whole(told.pid)),
            ("version", Value::text(told.version)),
            ("current_task", Value::text(told.current_task)),
            ("started_at", Value::time(told.started_at)),
            ("last_beat", Value::time(told.last_beat)),
            ("beat_kept_ms", told.ttl_ms.map_or(Value::Null, Value::Millis)),
            ("key", Value::Text(worker.to_owned())),
        ],
        verdict: Verdict { state: state_name, severity, summary, evidence, next },
        history: None,
        sections: vec![Section { name: "tasks", heading: "tasks it holds", columns: HELD_COLUMNS, rows }],
    }
}

/// Tasks counted as they pass.
#[derive(Debug, Default)]
pub(super) struct Census {
    states: BTreeMap<State, (i64, Option<Timestamp>)>,
    statuses: BTreeMap<Status, i64>,
    tenants: BTreeMap<String, [i64; 5]>,
    /// How many.
    pub total: i64,
    /// How many of them were given up on.
    dead: i64,
}

impl Census {
    /// Counts a task.
    pub(super) fn add(&mut self, task: &Task, now: Timestamp) {
        self.total += 1;
        self.dead += i64::from(is_dead(task, now));
        let entry = self.states.entry(state(task, now)).or_default();
        entry.0 += 1;
        entry.1 = match (entry.1, task.updated_at) {
            (Some(oldest), Some(this)) => Some(oldest.min(this)),
            (oldest, this) => oldest.or(this),
        };
        let Some(status) = task.status else { return };
        *self.statuses.entry(status).or_default() += 1;
        let Some(tenant) = &task.tenant_id else { return };
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.clone(), [0; 5]);
        }
        if let Some(row) = self.tenants.get_mut(tenant) {
            row[0] += 1;
            match status {
                Status::Queued | Status::Retrying => row[1] += 1,
                Status::Leased | Status::InProgress => row[2] += 1,
                Status::Failed => row[3] += 1,
                Status::Completed => row[4] += 1,
            }
        }
    }

    /// The survey.
    pub(super) fn survey(&self, server: Server, workers: usize, now: Timestamp) -> Survey {
        let counts: Vec<(State, Count)> = State::ALL
            .into_iter()
            .map(|state| {
                let (count, oldest) = self.states.get(&state).copied().unwrap_or_default();
                (state, Count { state: state.name(), severity: state.severity(), count, oldest })
            })
            .collect();
        let attention = counts.iter().filter_map(|(state, count)| attention(*state, count, now)).collect();
        let statuses = Status::ALL.into_iter().map(|status| {
            vec![Value::Name(status.name()), Value::Int(self.statuses.get(&status).copied().unwrap_or(0))]
        });
        let tenants = self.tenants.iter().map(|(tenant, row)| {
            let mut out = vec![Value::Text(tenant.clone())];
            out.extend(row.iter().map(|count| Value::Int(*count)));
            out
        });
        Survey {
            system: NAME,
            version: if server.replica { "0.1, on a replica".into() } else { "0.1".into() },
            writable: !server.replica,
            now,
            counted: "agent tasks",
            dead_letters: Some(self.dead),
            counts: counts.into_iter().map(|(_, count)| count).collect(),
            attention,
            facts: vec![
                ("server", Value::text(server.version)),
                ("workers_alive", Value::Int(i64::try_from(workers).unwrap_or(i64::MAX))),
                ("events_kept", whole(server.events)),
            ],
            sections: vec![
                Section {
                    name: "statuses",
                    heading: "by stored status",
                    columns: STATUS_COLUMNS,
                    rows: statuses.collect(),
                },
                Section { name: "tenants", heading: "by tenant", columns: TENANT_COLUMNS, rows: tenants.collect() },
            ],
        }
    }
}

fn attention(state: State, count: &Count, now: Timestamp) -> Option<Attention> {
    if count.count == 0 {
        return None;
    }
    let text = match state {
        State::WorkerGone => "held by a worker whose heartbeat is gone",
        State::LeaseExpired => "the lease is over; nobody else can claim it",
        State::OutOfAttempts => "no attempts are left",
        State::OverCostLimit => "more was spent than the limit allows",
        State::Retrying => "marked for a retry that no worker makes",
        State::Failed => "nothing will try them again by itself",
        State::Unreadable => "the hash cannot be judged",
        State::Queued | State::Running | State::Cancelled | State::Completed => return None,
    };
    let age = count.oldest.filter(|oldest| oldest.is_finite());
    let age = age
        .map(|oldest| format!(", the oldest unchanged for {}", humane(now.micros_since(oldest))))
        .unwrap_or_default();
    let tasks = if count.count == 1 { "task" } else { "tasks" };
    Some(Attention {
        severity: state.severity(),
        text: format!("{} {tasks} {}: {text}{age}", count.count, state.name().replace('_', " ")),
        next: NextCommand::new(&["sen", "agent", "list", "--state", state.name()], "which ones"),
    })
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
