//! Acts on executions: cancel, signal, cleanup. What may be done is judged in [`rules`] (pure); the statements judge again.

pub mod rules;

mod cleanup;
mod complete;
mod one;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::Stent;
use super::letters::chosen::{Chosen, Places, Wanted};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::report::{Item, Outcome, Report};
use sen_model::request::{ExecutionRequest, Request};
use sen_model::subject::Subject;
use sen_model::time::wall::Wall;

/// The subject of an act on an execution.
pub const EXECUTION: &str = "execution";

/// The writing side of executions in one real store. Every act is one transaction that names what was seen.
#[async_trait]
pub trait ActStore: Send + Sync {
    /// Ends an execution and its open tasks; `None` when it is no longer as seen.
    async fn cancel(&self, cancel: &Cancel<'_>, permit: &WritePermit) -> Result<Option<Vec<Stopped>>>;

    /// Ends an execution with the result of its root task; `false` when it is no longer as seen.
    async fn complete(&self, complete: &Complete<'_>, permit: &WritePermit) -> Result<bool>;

    /// How an execution stands, and which of these tasks a worker has written since they were stopped at `error`.
    async fn watch(&self, id: &str, tasks: &[String], error: Option<&[u8]>) -> Result<Watched>;

    /// Sends a signal and wakes who waits for it; `None` when it may not be sent (any more).
    async fn send(&self, send: &Signal<'_>, permit: &WritePermit) -> Result<Option<Sent>>;

    /// Wakes who waits for a signal that has been sent and not been read.
    async fn wake(&self, send: &Signal<'_>, permit: &WritePermit) -> Result<Sent>;

    /// Executions that ended before `before`, oldest first: at most `limit`.
    async fn old(&self, before: Wall, states: &[String], limit: Option<i64>) -> Result<Vec<Old>>;

    /// Removes what of these ended executions is still as seen, with everything that belongs to them.
    async fn clean(&self, executions: &[Wanted], permit: &WritePermit) -> Result<Places>;
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
    /// Whether a worker was at it.
    pub running: bool,
    /// Which.
    pub worker: Option<String>,
    /// Its step where it was not stopped, because it waits for a signal or runs above such a wait.
    pub left: Option<String>,
}

/// A cancelled execution, looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its state; `None` when it is gone.
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
    /// What it carries, in the execution's codec.
    pub payload: &'a [u8],
    /// Whether it takes the place of one that nobody has read.
    pub replace: bool,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
    /// Who, why, which operation.
    pub note: &'a str,
}

/// What a signal has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The task that was waiting and is woken now.
    pub woken: Option<String>,
    /// Whether nobody has read it yet.
    pub unread: bool,
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

/// What a plan has fixed, between its making and its carrying out.
pub(super) enum Kept {
    Cancel {
        executions: HashMap<String, Cancelled>,
        verify: Option<Duration>,
    },
    /// By execution: its state and its root task.
    Complete(HashMap<String, (String, String)>),
    Send {
        name: String,
        payload: String,
        replace: bool,
        lingers: bool,
    },
    Cleanup(Chosen),
}

/// An execution that a plan cancels, as seen.
pub(super) struct Cancelled {
    /// Its state.
    pub(super) state: String,
    /// The error of what is stopped, in its codec.
    pub(super) error: Option<Vec<u8>>,
    /// Whether it has an expiry that is still to come.
    pub(super) expires: bool,
}

/// The acts of one database, with the plans made and not carried out.
pub(super) struct Acts {
    store: Box<dyn ActStore>,
    plans: Mutex<HashMap<OperationId, Kept>>,
}

impl Acts {
    pub(super) fn new(store: Box<dyn ActStore>) -> Self {
        Self { store, plans: Mutex::default() }
    }

    fn keep(&self, plan: &Plan, kept: Kept) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(plan.operation, kept);
    }

    fn take(&self, plan: &Plan) -> Result<Kept> {
        let kept = self.plans.lock().unwrap_or_else(PoisonError::into_inner).remove(&plan.operation);
        kept.ok_or_else(|| Error::new(ErrorKind::Internal, "this plan was made elsewhere, or carried out already"))
    }
}

impl Stent {
    fn acts(&self) -> Result<&Acts> {
        self.acts.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "this Stent was opened for reading only"))
    }

    pub(super) async fn make_plan(&self, request: &Request) -> Result<Plan> {
        let Request::Execution(request) = request else {
            return Err(Error::usage("executions know no such act"));
        };
        if !self.store.shape().await?.present() {
            return Err(self.absent());
        }
        match request {
            ExecutionRequest::Cancel { ids, verify } => self.plan_cancel(ids, *verify).await,
            ExecutionRequest::Complete { ids } => self.plan_complete(ids).await,
            ExecutionRequest::Signal { id, name, payload, replace } => {
                self.plan_signal(id, name, payload, *replace).await
            }
            ExecutionRequest::Cleanup { older_than, states, limit } => {
                self.plan_cleanup(*older_than, states, *limit).await
            }
        }
    }

    pub(super) async fn carry_out(&self, plan: &Plan, permit: &WritePermit, observer: &dyn Observer) -> Result<Report> {
        match self.acts()?.take(plan)? {
            Kept::Cancel { executions, verify } => self.cancel(plan, &executions, verify, permit, observer).await,
            Kept::Complete(executions) => self.complete_all(plan, &executions, permit, observer).await,
            Kept::Send { name, payload, replace, lingers } => {
                self.signal(plan, (&name, &payload, replace, lingers), permit, observer).await
            }
            Kept::Cleanup(chosen) => self.cleanup(plan, &chosen, permit, observer).await,
        }
    }
}

/// Both names of a channel: whether Stent or Senpuki listens cannot be told from the tables.
fn announce(observer: &dyn Observer, kind: &str, id: &str, state: &str) {
    let message = serde_json::json!({ format!("{kind}_id"): id, "state": state }).to_string();
    for library in ["stent", "senpuki"] {
        observer.announce(&format!("{library}:{kind}:{id}"), &message);
    }
}

fn refused(id: &str, outcome: Outcome, why: impl Into<String>) -> Item {
    Item::new(Subject::new(super::NAME, EXECUTION, id), outcome, why)
}
