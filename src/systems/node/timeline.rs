//! What happened to tasks of agents and their workers: by the stream of events, the hash and the checkpoint. Pure.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::checkpoint::Heartbeat;
use super::port::{EventRecord, Look};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;
use sen_model::timeline::{OperatorAct, TimeBasis, TimelineEntry};

fn entry(at: Option<Timestamp>, subject: &Subject, what: impl Into<String>) -> Option<TimelineEntry> {
    Some(TimelineEntry::new(at.filter(|at| at.is_finite())?, TimeBasis::Worker, subject, what))
}

/// The entries of a task.
pub(super) fn of_task(look: &Look, events: &[EventRecord], subject: &Subject) -> Vec<TimelineEntry> {
    let task = &look.task;
    let mut entries: Vec<TimelineEntry> = events.iter().map(|event| of_event(event, subject)).collect();
    // A submission by `sen` has its event.
    let submitted = events.iter().any(|event| kind(event) == Some("task_submitted"));
    entries.extend(entry(task.created_at.filter(|_| !submitted), subject, "task submitted"));
    let status = task.seen.status.as_str();
    let told = entries.iter().any(|entry| entry.state.as_deref() == Some(status));
    let ended = match task.completed_at {
        Some(at) => entry(Some(at), subject, format!("task {}", status.replace('_', " "))),
        // A worker that gives up on a task writes no end of it, only its last change.
        None => {
            entry(task.updated_at.filter(|_| status == "failed" && !told), subject, "last change of the task: failed")
        }
    };
    entries.extend(ended.map(|entry| entry.state(status).who(task.owner.as_deref()).error(task.error.as_deref())));
    if task.is_held() {
        let lease = entry(task.lease_expires, subject, "lease expired").filter(|entry| entry.at <= look.now);
        entries.extend(lease.map(|entry| entry.who(task.owner.as_deref())));
    }
    for node in look.checkpoint.iter().flat_map(|checkpoint| &checkpoint.nodes) {
        entries.extend(entry(node.started_at, subject, format!("node {} started", node.id)));
        // Workers that write events tell of the end of each node there.
        let told = events.iter().any(|event| kind(event).is_some_and(|kind| kind.starts_with("node_")));
        let done = if node.error.is_some() { "failed" } else { "completed" };
        let ended = entry(node.completed_at.filter(|_| !told), subject, format!("node {} {done}", node.id));
        entries.extend(ended.map(|entry| entry.state(done).error(node.error.as_deref())));
    }
    entries
}

fn kind(event: &EventRecord) -> Option<&str> {
    event.field("type").or_else(|| event.field("event"))
}

fn of_event(event: &EventRecord, subject: &Subject) -> TimelineEntry {
    let payload: BTreeMap<String, Json> =
        event.field("payload").and_then(|payload| serde_json::from_str(payload).ok()).unwrap_or_default();
    let word = |name: &str| {
        let told = payload.get(name).and_then(Json::as_str).or_else(|| event.field(name));
        told.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let kind = kind(event).unwrap_or("event");
    let node = word("node_id").map(|node| format!(" {node}")).unwrap_or_default();
    let what = match kind.split_once('_') {
        Some((thing, done)) => format!("{thing}{node} {}", done.replace('_', " ")),
        None => kind.to_owned(),
    };
    let at = Timestamp::from_micros(event.id.0.saturating_mul(1000));
    let entry = TimelineEntry::new(at, TimeBasis::Database, subject, what)
        .who(word("worker_id").or_else(|| word("dead_worker")).or_else(|| word("owner")))
        .error(word("error"));
    let entry = match word("new_status").or_else(|| word("status")) {
        Some(state) => entry.state(state),
        None => entry,
    };
    match word("operation") {
        Some(operation) => entry.act(OperatorAct { who: word("who"), why: word("why"), operation: Some(operation) }),
        None => entry,
    }
}

/// The entries of a worker.
pub(super) fn of_worker(beat: &Heartbeat, subject: &Subject) -> Vec<TimelineEntry> {
    let started = entry(beat.started_at, subject, "worker started");
    let last = entry(beat.last_beat, subject, "last heartbeat of the worker");
    started.into_iter().chain(last).map(|entry| entry.who(Some(subject.id.as_str()))).collect()
}
