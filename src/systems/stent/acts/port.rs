//! What the acts on executions need of a store.

use async_trait::async_trait;
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::time::wall::Wall;
use sen_model::undo::Standing;

use crate::letters::targets::{DeadLetterRef, Places};

/// The writing side of executions in one real store. Every act is one transaction that names what was seen.
#[async_trait]
pub trait ActStore: Send + Sync {
    /// Ends an execution and its open tasks; `None` when it is no longer as seen.
    async fn cancel(&self, cancel: &Cancel<'_>, permit: &WritePermit)
    -> Result<Option<(Vec<Stopped>, Vec<RowChange>)>>;

    /// Ends an execution with the result of its root task; `None` when it is no longer as seen.
    async fn complete(&self, complete: &Complete<'_>, permit: &WritePermit) -> Result<Option<Vec<RowChange>>>;

    /// How an execution stands, and which of these tasks a worker has written since they were stopped at `error`.
    async fn watch(&self, id: &str, tasks: &[String], error: Option<&[u8]>) -> Result<Watched>;

    /// Sends a signal and wakes the task that waits for it; `None` when it may not be sent (any more).
    async fn send(&self, send: &Signal<'_>, permit: &WritePermit) -> Result<Option<Sent>>;

    /// Wakes the task that waits for a signal that was sent and not read.
    async fn wake(&self, send: &Signal<'_>, permit: &WritePermit) -> Result<Sent>;

    /// Whether a record of this execution names `mark`; `None` where no records are kept.
    async fn signed(&self, id: &str, mark: &str) -> Result<Option<bool>>;

    /// Executions that ended before `before`, oldest first: at most `limit`.
    async fn old(&self, before: Wall, states: &[String], limit: Option<i64>) -> Result<Vec<Old>>;

    /// Removes what of these ended executions is still as seen, with everything that belongs to them.
    async fn clean(&self, executions: &[DeadLetterRef], permit: &WritePermit) -> Result<Places>;

    /// How the rows of each of these stand, in their order.
    async fn standings(&self, targets: &[&[RowChange]]) -> Result<Vec<Standing>>;

    /// Puts back the rows of those of these that are as they were left, with the record of it, in one transaction; which.
    async fn take_back(&self, targets: &[TakenBack<'_>], permit: &WritePermit) -> Result<Vec<bool>>;
}

/// What is put back of an execution or a dead letter.
#[derive(Debug)]
pub struct TakenBack<'a> {
    /// The rows.
    pub changes: &'a [RowChange],
    /// The execution, where the rows tell.
    pub execution: Option<String>,
    /// The dead letter: its task tells the execution otherwise.
    pub letter: Option<&'a str>,
    /// The step that the record is about.
    pub step: Option<String>,
    /// The status of the record.
    pub status: &'static str,
    /// What it says.
    pub detail: String,
}

/// What a cancel writes.
#[derive(Debug, Clone)]
pub struct Cancel<'a> {
    /// The execution.
    pub id: &'a str,
    /// Its state as seen.
    pub seen: &'a str,
    /// The error of what is stopped, in the execution's codec.
    pub error: Option<&'a [u8]>,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
    /// Who, why, which operation.
    pub note: &'a str,
}

/// What a completion writes.
#[derive(Debug, Clone)]
pub struct Complete<'a> {
    /// The execution.
    pub id: &'a str,
    /// Its state as seen.
    pub seen: &'a str,
    /// Its root task, which is completed with a result.
    pub task: &'a str,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
    /// Who, why, which operation.
    pub note: &'a str,
}

/// An open task of a cancelled execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The task.
    pub id: String,
    /// Whether a worker was running it.
    pub running: bool,
    /// Which.
    pub worker: Option<String>,
    /// Its step where it was not stopped, because it waits for a signal or runs above such a wait.
    pub left: Option<String>,
}

/// A cancelled execution, looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its state; `None` when it no longer exists.
    pub state: Option<String>,
    /// Those of the tasks that a worker has written since.
    pub written: Vec<String>,
}

/// What a signal writes.
#[derive(Debug, Clone)]
pub struct Signal<'a> {
    /// The execution.
    pub id: &'a str,
    /// The signal's name.
    pub name: &'a str,
    /// Its payload, in the execution's codec.
    pub payload: &'a [u8],
    /// The task that waits for it: once that has ended, no signal of the name is read any more. `None` where every wait is new.
    pub waiter: Option<&'a str>,
    /// Whether it replaces an unread signal of that name.
    pub replace: bool,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
    /// Who, why, which operation.
    pub note: &'a str,
}

/// The result of sending a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The task that was waiting and is woken now.
    pub woken: Option<String>,
    /// Whether it is still unread.
    pub unread: bool,
    /// The rows that were changed.
    pub changes: Vec<RowChange>,
}

/// An execution that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// The execution.
    pub id: String,
    /// When it ended.
    pub completed_at: Wall,
    /// Whether it has dead letters.
    pub letters: bool,
    /// Whether tasks of it are pending or running.
    pub live: bool,
}
