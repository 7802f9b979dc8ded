//! What lies beside a task: its checkpoint, the heartbeat of its worker, its side effects. Read leniently. Pure.

use serde_json::{Map, Value as Json};

use super::record::naive_utc;
use sen_model::time::Timestamp;

/// The checkpoint `task:{id}:checkpoint`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// The last node that was saved.
    pub current_node: Option<String>,
    /// The nodes in the order they were entered.
    pub history: Vec<String>,
    /// What is known of each node.
    pub nodes: Vec<Node>,
    /// Every call of a language model.
    pub calls: Vec<Call>,
    /// The cost the checkpoint names.
    pub cost_so_far: f64,
    /// How often a worker took the task up; it is written over the hash's own count.
    pub attempts: Option<i64>,
    /// The kind of agent that made it.
    pub agent_type: Option<String>,
    /// Its format.
    pub version: Option<String>,
    /// Files elsewhere: name and address.
    pub artifacts: Vec<(String, String)>,
    /// Fields that are stored encrypted.
    pub encrypted: Vec<String>,
    /// When it was begun.
    pub created_at: Option<Timestamp>,
    /// When it was last saved.
    pub updated_at: Option<Timestamp>,
    /// How long it will be kept, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// The whole of it as text.
    pub text: String,
    /// What cannot be understood.
    pub findings: Vec<String>,
}

/// A node of the agent's graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it was given: JSON text.
    pub inputs: Option<String>,
    /// What it gave: JSON text.
    pub outputs: Option<String>,
    /// What it noted beside: JSON text.
    pub metadata: Option<String>,
}

/// A call of a language model.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The model.
    pub model: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// Tokens of the question.
    pub prompt_tokens: Option<i64>,
    /// Tokens of the answer.
    pub completion_tokens: Option<i64>,
    /// Both.
    pub total_tokens: Option<i64>,
    /// What it cost, in US dollars.
    pub cost: f64,
    /// How long it took, in milliseconds.
    pub latency_ms: Option<f64>,
}

fn text(map: &Map<String, Json>, name: &str) -> Option<String> {
    map.get(name).and_then(Json::as_str).map(str::to_owned)
}

fn moment(map: &Map<String, Json>, name: &str) -> Option<Timestamp> {
    map.get(name).and_then(Json::as_str).and_then(naive_utc)
}

fn amount(map: &Map<String, Json>, name: &str) -> f64 {
    map.get(name).and_then(Json::as_f64).filter(|cost| cost.is_finite()).unwrap_or(0.0)
}

fn json(map: &Map<String, Json>, name: &str) -> Option<String> {
    map.get(name).filter(|value| !value.is_null()).map(ToString::to_string)
}

/// Whether a field is stored as the system's encryption leaves it: the value is unreadable without the key.
fn is_encrypted(value: &Json) -> bool {
    value.get("__encrypted__").and_then(Json::as_bool) == Some(true)
}

impl Checkpoint {
    /// Reads its text.
    pub fn read(id: &str, stored: String, ttl_ms: Option<i64>) -> Self {
        let mut out = Self { ttl_ms, ..Self::default() };
        match serde_json::from_str::<Json>(&stored) {
            Ok(Json::Object(map)) => out.fill(id, &map),
            Ok(_) => out.findings.push("its checkpoint is no JSON object".into()),
            Err(_) => out.findings.push("its checkpoint is no JSON".into()),
        }
        out.text = stored;
        out
    }

    fn fill(&mut self, id: &str, map: &Map<String, Json>) {
        self.encrypted = map.iter().filter(|(_, value)| is_encrypted(value)).map(|(name, _)| name.clone()).collect();
        self.current_node = text(map, "current_node");
        let words = |value: &Json| value.as_str().map(str::to_owned);
        self.history =
            map.get("node_history").and_then(Json::as_array).into_iter().flatten().filter_map(words).collect();
        if let Some(states) = map.get("node_states").and_then(Json::as_object) {
            self.nodes = states.iter().map(|(id, state)| node(id, state)).collect();
        }
        self.calls = calls(map);
        self.cost_so_far = amount(map, "cost_so_far");
        self.attempts = map.get("attempts").and_then(Json::as_i64);
        self.agent_type = text(map, "agent_type");
        self.version = text(map, "checkpoint_version");
        let artifacts = map.get("artifact_refs").filter(|value| !is_encrypted(value)).and_then(Json::as_object);
        self.artifacts = artifacts
            .into_iter()
            .flatten()
            .filter_map(|(name, place)| Some((name.clone(), place.as_str()?.to_owned())))
            .collect();
        self.created_at = moment(map, "created_at");
        self.updated_at = moment(map, "updated_at");
        if let Some(other) = text(map, "task_id").filter(|other| other != id) {
            self.findings.push(format!("its checkpoint says task_id {other:?}"));
        }
        if self.current_node.is_none() {
            self.findings.push("its checkpoint names no current_node".into());
        }
    }

    /// How many of its nodes failed, and of how many.
    pub fn node_errors(&self) -> (usize, usize) {
        (self.nodes.iter().filter(|node| node.error.is_some()).count(), self.nodes.len())
    }

    /// What the task has cost: the checkpoint's sum, or that of its calls where it is larger.
    pub fn cost(&self) -> f64 {
        self.cost_so_far.max(self.calls.iter().map(|call| call.cost).sum())
    }
}

fn node(id: &str, state: &Json) -> Node {
    let empty = Map::new();
    let map = state.as_object().unwrap_or(&empty);
    Node {
        id: id.to_owned(),
        kind: text(map, "node_type"),
        started_at: moment(map, "started_at"),
        completed_at: moment(map, "completed_at"),
        error: text(map, "error"),
        inputs: json(map, "inputs"),
        outputs: json(map, "outputs"),
        metadata: json(map, "metadata"),
    }
}

fn calls(map: &Map<String, Json>) -> Vec<Call> {
    let entries = map.get("llm_calls").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object);
    let call = |entry: &Map<String, Json>| Call {
        model: text(entry, "model"),
        at: moment(entry, "timestamp"),
        prompt_tokens: entry.get("prompt_tokens").and_then(Json::as_i64),
        completion_tokens: entry.get("completion_tokens").and_then(Json::as_i64),
        total_tokens: entry.get("total_tokens").and_then(Json::as_i64),
        cost: amount(entry, "cost_usd"),
        latency_ms: entry.get("latency_ms").and_then(Json::as_f64).filter(|span| span.is_finite()),
    };
    entries.map(call).collect()
}

/// The heartbeat `worker:{id}:hb`. That it is there at all is what says that the worker lives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heartbeat {
    /// The worker's id, as its key says.
    pub worker_id: String,
    /// Its process.
    pub pid: Option<i64>,
    /// Its host.
    pub hostname: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The task it is at.
    pub current_task: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it last beat.
    pub last_beat: Option<Timestamp>,
    /// How long the heartbeat will stay without another beat, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// What cannot be understood.
    pub findings: Vec<String>,
}

impl Heartbeat {
    /// Reads its text.
    pub fn read(worker_id: &str, stored: &str, ttl_ms: Option<i64>) -> Self {
        let mut out = Self { worker_id: worker_id.to_owned(), ttl_ms, ..Self::default() };
        let Ok(Json::Object(map)) = serde_json::from_str(stored) else {
            out.findings.push("its heartbeat is no JSON object".into());
            return out;
        };
        out.pid = map.get("pid").and_then(Json::as_i64);
        out.hostname = text(&map, "hostname");
        out.version = text(&map, "version");
        out.current_task = text(&map, "current_task");
        out.started_at = moment(&map, "started_at");
        out.last_beat = moment(&map, "last_beat");
        if ttl_ms.is_none() {
            out.findings.push("its heartbeat has no time to live: it will say for ever that the worker lives".into());
        }
        out
    }

    /// Process and host, for people.
    pub fn place(&self) -> Option<String> {
        match (self.pid, &self.hostname) {
            (Some(pid), Some(host)) => Some(format!("process {pid} on host {host}")),
            (None, Some(host)) => Some(format!("host {host}")),
            (Some(pid), None) => Some(format!("process {pid}")),
            (None, None) => None,
        }
    }
}

/// A side effect that a task has begun or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The task.
    pub task_id: String,
    /// Its name within the task.
    pub key: String,
    /// How long its lock will stay, in milliseconds; `None` when there is no lock.
    pub lock_ttl_ms: Option<i64>,
    /// What it gave, as stored; `None` when it is not done.
    pub result: Option<String>,
}

impl Effect {
    /// Whether it is done: another attempt gets the result instead of repeating it.
    pub fn is_done(&self) -> bool {
        self.result.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_with_an_encrypted_field() {
        let stored = r#"{"task_id":"t","current_node":"search","node_history":["start","search"],"cost_so_far":0.01,
            "node_states":{"search":{"node_type":"search","outputs":{"a":1},"error":null}},
            "llm_calls":[{"model":"m","cost_usd":0.0125,"total_tokens":7,"timestamp":"2026-11-20T21:38:48.176070"},3],
            "agent_state":{"__encrypted__":true,"value":"gAAAA"},"artifact_refs":{"a":"s3://b"}}"#;
        let read = Checkpoint::read("t", stored.into(), Some(5));
        assert_eq!(read.encrypted, ["agent_state"]);
        assert_eq!((read.history.len(), read.calls.len(), read.nodes.len()), (2, 1, 1));
        assert!((read.cost() - 0.0125).abs() < 1e-12);
        assert_eq!(read.nodes[0].outputs.as_deref(), Some(r#"{"a":1}"#));
        assert!(read.findings.is_empty());
        assert_eq!(Checkpoint::read("t", "{".into(), None).findings.len(), 1);
        assert_eq!(Checkpoint::read("t", "[]".into(), None).findings.len(), 1);
    }

    #[test]
    fn heartbeats() {
        let beat = Heartbeat::read("w", r#"{"pid":7,"hostname":"h","last_beat":"2026-11-20T21:38:48"}"#, Some(9));
        assert_eq!(beat.place().as_deref(), Some("process 7 on host h"));
        assert!(beat.findings.is_empty());
        assert_eq!(Heartbeat::read("w", "x", Some(9)).findings.len(), 1);
        assert_eq!(Heartbeat::read("w", "{}", None).findings.len(), 1);
    }
}
