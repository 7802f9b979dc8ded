//! One task or worker in depth: fields, verdict, and what belongs to it. Pure.

use serde_json::Value as Json;

use super::{amount, column, history, json, status, texts, whole, worker_state};
use crate::checkpoint::{Checkpoint, Effect, Heartbeat};
use crate::port::{Events, Look};
use crate::record::NAME;
use crate::record::Task;
use crate::rules::subject;
use crate::verdict::{Facts, judge, state};
use sen_model::record::{Record, Section};
use sen_model::subject::Subject;
use sen_model::time::{Timestamp, humane};
use sen_model::value::{Column, Row, Show, Value};
use sen_model::verdict::{NextCommand, Verdict};

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
    Record {
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
    let replayability = if effect.is_done() { "done" } else { "begun" };
    vec![
        Value::Text(effect.key),
        Value::Name(replayability),
        effect.lock_ttl_ms.filter(|ttl| *ttl >= 0).map_or(Value::Null, Value::Millis),
        json(effect.result),
    ]
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
pub(crate) fn found_worker(worker: &str, beat: Option<Heartbeat>, held: Vec<Task>, now: Timestamp) -> Record {
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
    let tasks = if held.len() == 1 { "1 task".to_owned() } else { format!("{} tasks", held.len()) };
    let summary = match state_name {
        "gone" => format!("its heartbeat is gone, and it holds {tasks}"),
        _ => format!("its heartbeat is there; it holds {tasks}"),
    };
    let next = if state_name == "gone" {
        vec![
            NextCommand::new(&["sen", "agent", "requeue", "--all"], "let others go on with its tasks")
                .option("--owner", worker),
        ]
    } else {
        vec![NextCommand::new(&["sen", "agent", "list"], "everything it has or had").option("--owner", worker)]
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
    Record {
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
