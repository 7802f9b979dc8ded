//! One task or worker in depth: fields, verdict, and what belongs to it. Pure.

use serde_json::Value as Json;

use super::{amount, history, json, status, texts, whole, worker_state};
use crate::checkpoint::{Call, Checkpoint, Effect, Heartbeat, Node as NodeRun};
use crate::port::{Events, Look};
use crate::record::NAME;
use crate::record::Task;
use crate::rules::subject;
use crate::verdict::{Facts, judge, state};
use sen_model::columns;
use sen_model::record::{Age, Record, Section};
use sen_model::subject::{Kind, Subject};
use sen_model::time::{Timestamp, humane};
use sen_model::value::Value;
use sen_model::verdict::{NextCommand, Purpose, Verdict};

/// What of a task matters first.
const TASK_FIELDS: &[&str] = &[
    "status",
    "tenant_id",
    "task_type",
    "worker",
    "worker_host",
    "lease_expires_at",
    "last_beat_at",
    "attempts",
    "max_attempts",
    "current_node",
    "cost_so_far",
    "cost_limit",
    "spent_usd",
    "created_at",
    "updated_at",
    "completed_at",
    "error",
    "task_params",
    "result",
    "unknown_fields",
];

/// What of a worker matters first.
const WORKER_FIELDS: &[&str] = &["hostname", "pid", "version", "current_task", "started_at", "last_beat_at"];

/// One task in depth.
pub(crate) fn found(look: Look, effects: Vec<Effect>, events: Option<Events>, remarks: &[String]) -> Record {
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
    let age = Age::of("last change", look.task.updated_at.or(look.task.created_at));
    let (task, checkpoint, beat) = (look.task, look.checkpoint, look.heartbeat);
    let mut fields = vec![
        ("status", status),
        ("tenant_id", Value::text(task.tenant_id)),
        ("task_type", Value::text(task.task_type)),
        ("worker", Value::text(task.owner)),
        ("lease_expires_at", Value::time(task.lease_expires)),
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
        ("id", Value::Text(task.id.clone())),
    ];
    if !look.unknown.is_empty() {
        fields.push(("unknown_fields", texts(&look.unknown)));
    }
    let mut sections = Vec::new();
    if let Some(beat) = &beat {
        fields.push(("worker_host", Value::text(beat.hostname.clone())));
        fields.push(("worker_pid", whole(beat.pid)));
        fields.push(("last_beat_at", Value::time(beat.last_beat)));
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
    Record {
        subject: subject(&task.id),
        now: look.now,
        fields,
        key_fields: TASK_FIELDS,
        age,
        verdict,
        history: events.map(history),
        sections,
    }
}

columns! {
    EFFECT_COLUMNS,
    fn effect_row(effect: Effect) {
        let replayability = if effect.is_done() { "done" } else { "begun" };
    }
    "effect", "EFFECT", Whole => Value::Text(effect.key);
    "state", "STATE", Whole => Value::Name(replayability);
    "lock_ms", "LOCKED FOR", Whole => effect.lock_ttl_ms.filter(|ttl| *ttl >= 0).map_or(Value::Null, Value::Millis);
    "result", "RESULT", Short => json(effect.result);
}

columns! {
    NODE_COLUMNS,
    fn node_row(node: NodeRun) {}
    "node_id", "NODE", Whole => Value::Text(node.id);
    "node_type", "TYPE", Wide => Value::text(node.kind);
    "started_at", "STARTED", Whole => Value::time(node.started_at);
    "completed_at", "ENDED", Asked => Value::time(node.completed_at);
    "took_ms", "TOOK", Whole => match (node.started_at, node.completed_at) {
        (Some(start), Some(end)) => Value::Millis(end.micros_since(start) / 1000),
        _ => Value::Null,
    };
    "error", "ERROR", Short => Value::text(node.error);
    "outputs", "OUTPUTS", Short => json(node.outputs);
    "inputs", "INPUTS", Asked => json(node.inputs);
    "metadata", "METADATA", Asked => json(node.metadata);
}

columns! {
    CALL_COLUMNS,
    fn call_row(call: Call) {}
    "at", "TIME", Moment => Value::time(call.at);
    "model", "MODEL", Whole => Value::text(call.model);
    "prompt_tokens", "PROMPT", Wide => whole(call.prompt_tokens);
    "completion_tokens", "ANSWER", Wide => whole(call.completion_tokens);
    "total_tokens", "TOKENS", Whole => whole(call.total_tokens);
    "cost_usd", "USD", Whole => amount(call.cost);
    "latency_ms", "MS", Whole => call.latency_ms.map_or(Value::Null, amount);
}

columns! {
    STORED_COLUMNS,
    fn stored_row(field: String, value: Value) {}
    "field", "FIELD", Whole => Value::Text(field);
    "value", "VALUE", Short => value;
}

columns! {
    HELD_COLUMNS,
    fn held_row(task: Task, now: Timestamp) {
        let verdict = state(&task, now).name();
    }
    "id", "ID", Whole => Value::Text(task.id);
    "state", "STATE", Whole => Value::Name(verdict);
    "tenant_id", "TENANT", Short => Value::text(task.tenant_id);
    "current_node", "NODE", Short => Value::text(task.current_node);
    "lease_expires_at", "LEASE", Whole => Value::time(task.lease_expires);
}

fn checkpoint_sections(checkpoint: Checkpoint) -> [Section; 3] {
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
            stored_row(name, value)
        })
        .collect();
    let nodes = checkpoint.nodes.into_iter().map(node_row);
    let calls = checkpoint.calls.into_iter().map(call_row);
    [
        Section { name: "nodes", heading: "nodes", columns: NODE_COLUMNS, rows: nodes.collect() },
        Section { name: "llm_calls", heading: "model calls", columns: CALL_COLUMNS, rows: calls.collect() },
        Section { name: "checkpoint", heading: "checkpoint", columns: STORED_COLUMNS, rows: stored },
    ]
}

/// One worker in depth.
pub(crate) fn found_worker(worker: &str, beat: Option<Heartbeat>, held: Vec<Task>, now: Timestamp) -> Record {
    let (state_name, severity) = worker_state(beat.as_ref());
    let gone = beat.is_none();
    let mut evidence = Vec::new();
    let told = beat.unwrap_or_default();
    evidence.extend(told.place());
    if let Some(last) = told.last_beat {
        evidence.push(format!("last beat {} ago", sen_model::time::age(now.micros_since(last))));
    }
    if let Some(kept) = told.ttl_ms {
        evidence.push(format!("counts as gone in {} without another beat", humane(kept.saturating_mul(1000))));
    }
    evidence.extend(told.findings.iter().map(|finding| format!("unreadable: {finding}")));
    let tasks = if held.len() == 1 { "1 task".to_owned() } else { format!("{} tasks", held.len()) };
    let summary = if gone {
        format!("its heartbeat is gone, and it holds {tasks}")
    } else {
        format!("its heartbeat is there; it holds {tasks}")
    };
    let next = if gone {
        vec![
            NextCommand::new(&["sen", "agent", "requeue", "--all"], "let others go on with its tasks")
                .option("--owner", worker)
                .purpose(Purpose::Run),
        ]
    } else {
        vec![NextCommand::new(&["sen", "agent", "list"], "everything it has or had").option("--owner", worker)]
    };
    let rows = held.into_iter().map(|task| held_row(task, now)).collect();
    Record {
        subject: Subject::new(NAME, Kind::Worker, worker),
        now,
        key_fields: WORKER_FIELDS,
        age: Age::of("last beat", told.last_beat),
        fields: vec![
            ("hostname", Value::text(told.hostname)),
            ("pid", whole(told.pid)),
            ("version", Value::text(told.version)),
            ("current_task", Value::text(told.current_task)),
            ("started_at", Value::time(told.started_at)),
            ("last_beat_at", Value::time(told.last_beat)),
            ("beat_kept_ms", told.ttl_ms.map_or(Value::Null, Value::Millis)),
            ("id", Value::Text(worker.to_owned())),
        ],
        verdict: Verdict { state: state_name, severity, summary, evidence, next },
        history: None,
        sections: vec![Section { name: "tasks", heading: "tasks it holds", columns: HELD_COLUMNS, rows }],
    }
}
