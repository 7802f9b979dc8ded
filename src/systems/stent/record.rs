//! Executions, their tasks, progress, signals and dead tasks as the database holds them, whichever library and version
//! wrote them. Times are the workers' wall clock, payloads the bytes of their codec: nothing is interpreted here.

use sen_model::time::wall::Wall;

/// What a state column can hold, with whatever else is found there kept as it is.
macro_rules! states {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $state:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$meaning])* $state,)+
            /// Something no version of the library writes, or a value that could not be read.
            Other(String),
        }

        impl $name {
            /// Every name the library writes.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// Reads the column.
            pub fn parse(text: &str) -> Self {
                match text {
                    $($text => Self::$state,)+
                    other => Self::Other(other.to_owned()),
                }
            }

            /// The column's text.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$state => $text,)+
                    Self::Other(text) => text,
                }
            }

            /// The name from this program's own vocabulary, where it is one.
            pub fn name(&self) -> Option<&'static str> {
                match self {
                    $(Self::$state => Some($text),)+
                    Self::Other(_) => None,
                }
            }
        }
    };
}

states! {
    /// What `executions.state` can hold.
    ExecutionState {
        /// Not yet begun, or put back by a replay.
        Pending = "pending",
        /// Its orchestrator has begun.
        Running = "running",
        /// Its result is there.
        Completed = "completed",
        /// Its orchestrator has failed.
        Failed = "failed",
        /// Its expiry passed first.
        TimedOut = "timed_out",
        /// Being cancelled.
        Cancelling = "cancelling",
        /// Cancelled.
        Cancelled = "cancelled",
    }
}

impl ExecutionState {
    /// Whether the library never touches it again.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::TimedOut | Self::Cancelled)
    }
}

states! {
    /// What `tasks.state` can hold.
    TaskState {
        /// To be claimed by a worker (or, of kind signal, woken by its signal).
        Pending = "pending",
        /// Claimed.
        Running = "running",
        /// Its result is there.
        Completed = "completed",
        /// Failed permanently.
        Failed = "failed",
    }
}

impl TaskState {
    /// Whether a worker has it, or may yet take it up. A state that no version writes is neither that nor an end.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    /// Whether the library never touches it again.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

states! {
    /// What `tasks.kind` can hold.
    TaskKind {
        /// The function that was dispatched; its end is the execution's.
        Orchestrator = "orchestrator",
        /// A step that another task waits for.
        Activity = "activity",
        /// A wait for a signal; no worker claims it.
        Signal = "signal",
    }
}

/// One row of `executions`. `None` is SQL's NULL.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// The id.
    pub id: String,
    /// The function that was dispatched: `module:name`.
    pub root_function: Option<String>,
    /// The stored state.
    pub state: ExecutionState,
    /// The arguments, in the codec of the dispatching program.
    pub args: Option<Vec<u8>>,
    /// The keyword arguments.
    pub kwargs: Option<Vec<u8>>,
    /// What it returned.
    pub result: Option<Vec<u8>>,
    /// What it raised.
    pub error: Option<Vec<u8>>,
    /// Written by no version beyond its 0.
    pub retries: Option<i64>,
    /// When it was dispatched.
    pub created_at: Option<Wall>,
    /// When its orchestrator began.
    pub started_at: Option<Wall>,
    /// When it ended.
    pub completed_at: Option<Wall>,
    /// When it times out.
    pub expiry_at: Option<Wall>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Larger is claimed first.
    pub priority: Option<i64>,
    /// The queue; `None` is every worker's.
    pub queue: Option<String>,
    /// What could not be decoded in this row, if anything: said, never hidden.
    pub unreadable: Vec<String>,
}

/// One row of `tasks`, or the task in a dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The id.
    pub id: String,
    /// The execution it belongs to.
    pub execution_id: Option<String>,
    /// The function: `module:name`, `signal:name`, `stent.sleep`.
    pub step_name: Option<String>,
    /// What it is.
    pub kind: TaskKind,
    /// The task that waits for it.
    pub parent_task_id: Option<String>,
    /// The stored state.
    pub state: TaskState,
    /// The arguments.
    pub args: Option<Vec<u8>>,
    /// The keyword arguments.
    pub kwargs: Option<Vec<u8>>,
    /// What it returned.
    pub result: Option<Vec<u8>>,
    /// Whether a result is stored, also where it was not read.
    pub has_result: bool,
    /// What it raised.
    pub error: Option<Vec<u8>>,
    /// How often it was tried again.
    pub retries: Option<i64>,
    /// When it was made.
    pub created_at: Option<Wall>,
    /// When it was claimed last.
    pub started_at: Option<Wall>,
    /// When it ended.
    pub completed_at: Option<Wall>,
    /// Who claimed it last.
    pub worker_id: Option<String>,
    /// How long the claim holds unless it is renewed.
    pub lease_expires_at: Option<Wall>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Larger is claimed first.
    pub priority: Option<i64>,
    /// The queue; `None` is every worker's.
    pub queue: Option<String>,
    /// Under which its result is kept for others.
    pub idempotency_key: Option<String>,
    /// How it is tried again: JSON text.
    pub retry_policy: Option<String>,
    /// Not claimed before this.
    pub scheduled_for: Option<Wall>,
    /// What could not be decoded in this row.
    pub unreadable: Vec<String>,
}

/// One row of `dead_tasks`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadTask {
    /// The id of the task that died; its row is still in `tasks`.
    pub id: String,
    /// The text of the exception.
    pub reason: Option<String>,
    /// When it was moved here.
    pub moved_at: Option<Wall>,
    /// The whole task as text; see [`dump`](super::dump).
    pub data: Option<String>,
    /// Whether a replay could make the task again from it, or from the row of the task that died.
    pub readable: bool,
    /// What could not be decoded in this row.
    pub unreadable: Vec<String>,
}

/// One row of `execution_progress`.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Its number: they are written in this order.
    pub ordinal: i64,
    /// The step.
    pub step: Option<String>,
    /// `dispatched`, `running`, `completed`, `failed`, `cache_hit`.
    pub status: Option<String>,
    /// When the step was claimed, where that is recorded.
    pub started_at: Option<Wall>,
    /// When it ended.
    pub completed_at: Option<Wall>,
    /// What there was to say.
    pub detail: Option<String>,
}

/// One row of `signals`.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
    /// When it was sent first.
    pub created_at: Option<Wall>,
    /// Whether a waiter has taken it.
    pub consumed: Option<bool>,
    /// When.
    pub consumed_at: Option<Wall>,
}

/// The step name of the task that waits for a signal.
pub fn signal_step(name: &str) -> String {
    format!("signal:{name}")
}

/// The tags in their column's JSON text; those that are no text are shown as JSON. `Err` says what is wrong.
pub fn parse_tags(text: &str) -> Result<Vec<String>, String> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Array(items)) => Ok(items
            .into_iter()
            .map(|item| match item {
                serde_json::Value::String(tag) => tag,
                other => other.to_string(),
            })
            .collect()),
        Ok(serde_json::Value::Null) => Ok(Vec::new()),
        Ok(_) => Err("tags: not a list".into()),
        Err(error) => Err(format!("tags: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_and_kept() {
        for name in ExecutionState::NAMES {
            assert_eq!(ExecutionState::parse(name).name(), Some(*name));
        }
        assert_eq!(ExecutionState::parse("weird").as_str(), "weird");
        assert!(ExecutionState::parse("timed_out").is_terminal() && !ExecutionState::Cancelling.is_terminal());
        assert_eq!(TaskKind::parse("signal"), TaskKind::Signal);
    }

    #[test]
    fn tags() {
        assert_eq!(parse_tags(r#"["a", "b\"c"]"#), Ok(vec!["a".into(), "b\"c".into()]));
        assert_eq!(parse_tags("[1, null]"), Ok(vec!["1".into(), "null".into()]));
        assert!(parse_tags("{}").is_err() && parse_tags("['a']").is_err());
    }
}
