//! What the system asks of its store, in the words of the system. One implementation per real store.

use std::collections::BTreeMap;
use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;

use super::checkpoint::{Checkpoint, Effect, Heartbeat};
use super::record::{Observed, Task};
use super::rights::Lacking;
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::time::Timestamp;

/// Everything known of one task but its side effects and events.
#[derive(Debug, Clone)]
pub struct Look {
    /// The hash.
    pub task: Task,
    /// Fields of the hash that no version writes.
    pub unknown: Vec<String>,
    /// The checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The heartbeat of its owner.
    pub heartbeat: Option<Heartbeat>,
    /// The server's clock.
    pub now: Timestamp,
}

/// Some tasks of a stream.
#[derive(Debug, Clone)]
pub struct Tasks {
    /// The server's clock when the stream began.
    pub now: Timestamp,
    /// The tasks, with `owner_alive` filled in where it matters.
    pub tasks: Vec<Task>,
    /// The checkpoint of each task in the same order, where they were asked for.
    pub checkpoints: Vec<Option<Checkpoint>>,
}

/// How much of each task is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything but parameters and result.
    Plain,
    /// Parameters and result, too.
    Payloads,
    /// The checkpoint, without parameters and result.
    Checkpoints,
}

/// A stream of tasks in the order the store has them.
pub type TaskStream = Pin<Box<dyn Stream<Item = Result<Tasks>> + Send>>;

/// An event of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Its id: milliseconds and a number within them.
    pub id: (i64, i64),
    /// Its fields as stored.
    pub fields: Vec<(String, String)>,
}

impl EventRecord {
    /// A field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is about this task: said by a field, or inside its payload.
    pub fn is_about(&self, task: &str) -> bool {
        if let Some(id) = self.field("task_id") {
            return id == task;
        }
        let Some(payload) = self.field("payload").filter(|payload| payload.contains(task)) else { return false };
        serde_json::from_str::<serde_json::Value>(payload)
            .is_ok_and(|payload| payload.get("task_id").and_then(serde_json::Value::as_str) == Some(task))
    }
}

/// Events, in time order.
#[derive(Debug, Clone)]
pub struct Events {
    /// The events.
    pub events: Vec<EventRecord>,
    /// Whether older ones were left out.
    pub older: bool,
    /// The server's clock.
    pub now: Timestamp,
}

/// A tenant's bucket of tokens, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// The tenant.
    pub tenant_id: String,
    /// The fields of its hash; empty when there is none.
    pub fields: BTreeMap<String, String>,
    /// How long it will be kept, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// What cannot be understood.
    pub findings: Vec<String>,
}

/// What is to be done to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Fail it, as cancelled.
    Cancel,
    /// Give it back to the queue with one attempt more, if its owner's heartbeat is gone.
    Requeue,
    /// Queue it again with its attempts reset; if it is held, its owner's heartbeat must be gone.
    Replay,
}

impl Verb {
    /// The act's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Requeue => "requeue",
            Self::Replay => "replay",
        }
    }
}

/// A change of one task, guarded by what was seen.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Act {
    /// The task.
    pub id: String,
    /// What is done.
    pub verb: Verb,
    /// What must still be so.
    pub seen: Observed,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It was made.
    Done(Made),
    /// The task is no longer as seen; nothing was written.
    Changed {
        /// Its status now.
        status: String,
        /// Its owner now.
        owner: String,
    },
    /// Its owner's heartbeat is there; nothing was written.
    OwnerAlive,
    /// The key is gone; nothing was written.
    Missing,
    /// The key holds something else than a hash; nothing was written.
    NoHash(String),
    /// The server came to it too late; nothing was written.
    TooLate,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The status now.
    pub status: String,
    /// The attempts now.
    pub attempts: i64,
    /// The hash as it was and as it was left, where that is known.
    pub changes: Vec<RowChange>,
}

/// A task that gets its hash back.
#[derive(Debug)]
pub struct Restored<'a> {
    /// The task.
    pub id: &'a str,
    /// Its fields as they are to be.
    pub before: &'a [(String, String)],
    /// Its fields as they must be now.
    pub after: &'a [(String, String)],
}

/// A new task.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its id.
    pub id: String,
    /// Its fields.
    pub fields: Vec<(&'static str, String)>,
}

/// What is in the server, for people.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// `Redis 7.0.15`.
    pub version: Option<String>,
    /// Whether it is a replica.
    pub replica: bool,
    /// The number of events kept.
    pub events: Option<i64>,
    /// The server's clock.
    pub now: Option<Timestamp>,
}

/// What can go wrong with the server as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiagnosticFacts {
    /// What it does when memory is full: `noeviction`, `allkeys-lru`, …
    pub eviction: Option<String>,
    /// The most memory it may use; 0: no limit.
    pub max_memory: Option<i64>,
    /// The memory it uses.
    pub used_memory: Option<i64>,
    /// Whether it keeps a log of what is written.
    pub append_only: Option<bool>,
    /// When that log is synced: `always`, `everysec`, `no`; `None` where this user may not ask.
    pub append_sync: Option<String>,
    /// How many changes were not saved yet.
    pub unsaved: Option<i64>,
    /// When it last saved, in seconds.
    pub last_save: Option<i64>,
    /// Whether the last save failed.
    pub save_failed: bool,
    /// Whether it is a replica.
    pub replica: bool,
    /// How many events are kept.
    pub events: Option<i64>,
    /// How the connection is protected.
    pub encryption: &'static str,
}

/// A store of agent tasks.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// The database, without secrets.
    fn database(&self) -> &str;

    /// The server.
    async fn server(&self) -> Result<Server>;

    /// What is known of the server's health.
    async fn diagnostics(&self) -> Result<DiagnosticFacts>;

    /// What this user may not do, learnt by trying what changes nothing.
    async fn lacking(&self) -> Result<Lacking>;

    /// Some ids of tasks that begin so, as far as they are found at a glance, and whether these are all.
    async fn ids(&self, prefix: &str, limit: u32) -> Result<(Vec<String>, bool)>;

    /// Whether a key of this system is found at a glance.
    async fn snapshot(&self) -> Result<bool>;

    /// One task.
    async fn look(&self, id: &str) -> Result<Option<Look>>;

    /// Some tasks by id, in the same order; the server's clock comes first.
    async fn peek(&self, ids: &[String], depth: Depth) -> Result<(Timestamp, Vec<Option<Task>>)>;

    /// The side effects of these tasks.
    async fn effects(&self, ids: &[String]) -> Result<Vec<Effect>>;

    /// All tasks.
    async fn tasks(&self, depth: Depth) -> Result<TaskStream>;

    /// All heartbeats, or one worker's.
    async fn heartbeats(&self, worker: Option<&str>) -> Result<(Timestamp, Vec<Heartbeat>)>;

    /// The newest events, of one task or all; at most `limit` where it is given.
    async fn events(&self, task: Option<&str>, limit: Option<u64>) -> Result<Events>;

    /// The events from this moment on.
    async fn events_since(&self, task: Option<&str>, since: Option<Timestamp>) -> Result<Events>;

    /// The buckets of all tenants, or of one.
    async fn buckets(&self, tenant: Option<&str>) -> Result<(Timestamp, Vec<Bucket>)>;

    /// What other tools have summed up per tenant and day, where they did.
    async fn recorded_costs(&self) -> Result<Vec<(String, String, BTreeMap<String, String>)>>;

    /// Makes one change. Lost answers are followed up: an error of kind `OutcomeUnknown` is the last word.
    async fn act(&self, act: &Act, permit: &WritePermit) -> Result<Acted>;

    /// Makes many changes at once, in order.
    async fn act_all(&self, acts: &[Act], permit: &WritePermit) -> Vec<Result<Acted>>;

    /// The whole hashes of these tasks; empty where there is none.
    async fn hashes(&self, ids: &[String]) -> Result<Vec<Vec<(String, String)>>>;

    /// Gives a task its hash back; `false` when it is no longer as it was left, and nothing was written.
    async fn put_back(&self, restored: &Restored<'_>, permit: &WritePermit) -> Result<bool>;

    /// Stores a new task; `false` when its id is taken.
    async fn submit(&self, task: &NewTask, permit: &WritePermit) -> Result<bool>;

    /// Fills a tenant's bucket, or removes it when `None`; `false` when its key holds something else than a hash.
    async fn set_bucket(&self, tenant: &str, fill: Option<(f64, Option<f64>)>, permit: &WritePermit) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_name_their_task_in_two_ways() {
        let event = |fields: &[(&str, &str)]| EventRecord {
            id: (1, 0),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        assert!(event(&[("event", "task_requeued"), ("task_id", "t1")]).is_about("t1"));
        assert!(event(&[("type", "node_failed"), ("payload", r#"{"task_id": "t1"}"#)]).is_about("t1"));
        assert!(!event(&[("type", "x"), ("payload", r#"{"task_id": "t10"}"#)]).is_about("t1"));
        assert!(!event(&[("type", "x"), ("payload", "t1")]).is_about("t1"));
    }
}
