//! The neutral, object-safe trait that every coordinated system implements once, over whichever store it lives in.
//!
//! Nothing here names a database product or a table.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;

use crate::error::Result;
use crate::letters::DeadLetters;
use crate::model::cause::{Cause, Explanation, Related};
use crate::model::checkup::Checkup;
use crate::model::plan::Plan;
use crate::model::report::Report;
use crate::model::subject::Subject;
use crate::model::value::{Column, Row, Value};
use crate::model::verdict::{NextCommand, Severity, Verdict};
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::time::{Timestamp, When};

/// How long a store may search payloads for a name.
pub const SEARCH: std::time::Duration = std::time::Duration::from_secs(1);
/// How many things that name it are looked at. Systems return one more where there are more, so that a cut is told.
pub const MENTIONS: usize = 5;

/// A system of coordinated work in one database.
#[async_trait]
pub trait System: Send + Sync {
    /// The system's name: `sentinel`.
    fn name(&self) -> &'static str;

    /// The database it stands in, without secrets, for people.
    fn database(&self) -> &str;

    /// Whether this database holds the system, by the columns of its tables: a look at the catalogue, nothing more.
    async fn present(&self) -> Result<bool>;

    /// Everything that has this key or id. `events` bounds the history that comes along.
    ///
    /// # Errors
    /// `NoSystem` when the database does not hold the system.
    async fn find(&self, id: &str, events: u32) -> Result<Vec<Found>>;

    /// The things of one `kind` under `id`, for a caller who names the system and so takes it to be there.
    ///
    /// # Errors
    /// `NoSystem` when the database does not hold the system.
    async fn show(&self, kind: &str, id: &str, events: u32) -> Result<Vec<Found>> {
        let mut found = self.find(id, events).await?;
        found.retain(|one| one.subject.kind == kind);
        Ok(found)
    }

    /// Why everything that has this key or id is as it is. Systems add what they know beyond the verdict.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn explain(&self, id: &str) -> Result<Vec<Explanation>> {
        Ok(self.find(id, 0).await?.into_iter().map(Found::explained).collect())
    }

    /// Ids of what has not ended well and names one of `names` in what it carries: arguments, tags, what a message is about.
    /// No index helps, so a store gives up after [`SEARCH`], and what is found is to be verified: text within longer text
    /// counts.
    ///
    /// # Errors
    /// As [`Self::find`]; `Timeout` when there was too much to search through.
    async fn mentions(&self, names: &[String]) -> Result<Vec<String>> {
        let _ = names;
        Ok(Vec::new())
    }

    /// Keys or ids that exist and look like `id`, the most similar first. Indexed look-ups only, never a scan.
    async fn nearby(&self, id: &str) -> Result<Vec<String>>;

    /// The records that match `filter`.
    async fn list(&self, filter: &Filter) -> Result<Listing>;

    /// The newest `limit` events of one key, in time order (all of them when `None`).
    async fn history(&self, id: &str, limit: Option<u64>) -> Result<History>;

    /// Events of one key that occurred at or after `since`, in time order: for following.
    async fn history_since(&self, id: &str, since: Option<Timestamp>) -> Result<History>;

    /// What is in this database, counted and judged.
    async fn survey(&self) -> Result<Survey>;

    /// What got done within `window`, who works and what waits; `None` where a system keeps no such things.
    async fn stats(&self, _window: Duration) -> Result<Option<Statistics>> {
        Ok(None)
    }

    /// Looks, judges, and says what would be written.
    async fn plan(&self, request: &Request) -> Result<Plan>;

    /// Writes what the plan says, each step guarded by what was seen, and tells `observer` how far it has come.
    async fn apply(&self, plan: &Plan, permit: &WritePermit, observer: &dyn Observer) -> Result<Report>;

    /// What `sen doctor` examines of it: privileges, indexes, orphans.
    async fn checkup(&self) -> Result<Checkup> {
        Ok(Checkup::default())
    }

    /// At most `limit` values that begin with `prefix`, for the shell's completion. `kind` says what stands there:
    /// `lease`, `execution`, `task`, `saga`, `agent_task`, `letter`, `group`, `namespace`, `owner`, `queue`, `any` (a key
    /// or id of any kind), or `lease_state`, `execution_state`, … A system knows the kinds it has and says nothing to others.
    /// Must be cheap on any number of records: a range of an index, or nothing.
    ///
    /// # Errors
    /// What the store reports.
    async fn complete(&self, kind: &str, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let _ = (kind, prefix, limit);
        Ok(Vec::new())
    }

    /// Its dead letters, where it keeps any.
    fn letters(&self) -> Option<&dyn DeadLetters> {
        None
    }
}

/// An act asked of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Create what the system needs in an empty database.
    Init,
    /// Settle executions nobody is entitled to finish: take them over and, if a decision is given, settle them.
    Reconcile {
        /// Which.
        ids: Vec<String>,
        /// The token the operator saw. Needed for what somebody has taken over already.
        token: Option<i64>,
        /// Whether a worker that may be alive (its hard limit is ahead) is fenced out, too.
        before_hard_limit: bool,
        /// What really happened; `None`: not known yet.
        decision: Option<Decision>,
    },
    /// Remove the claim of a key whose claimant never began and whose lease is over.
    Release {
        /// Which.
        ids: Vec<String>,
    },
    /// Erase a cached result, so that the key can run again.
    Forget {
        /// Which.
        ids: Vec<String>,
    },
    /// An act on durable executions.
    Execution(ExecutionRequest),
    /// An act on agent tasks.
    Agent(AgentRequest),
    /// An act on sagas.
    Saga(SagaRequest),
}

/// An act on durable executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutionRequest {
    /// End executions that have not ended.
    Cancel {
        /// Which.
        ids: Vec<String>,
        /// How long to watch that no worker overwrites it.
        verify: Option<Duration>,
    },
    /// End executions whose root task has completed with that task's result.
    Complete {
        /// Which.
        ids: Vec<String>,
    },
    /// Send a signal to an execution.
    Signal {
        /// Which.
        id: String,
        /// The signal's name.
        name: String,
        /// What it carries: JSON text.
        payload: String,
        /// Whether it takes the place of one that nobody has read.
        replace: bool,
    },
    /// Remove executions that have ended.
    Cleanup {
        /// So long ago.
        older_than: Duration,
        /// In these states; empty: any ended one.
        states: Vec<String>,
        /// At most so many, the oldest first.
        limit: Option<u64>,
    },
}

/// An act on agent tasks and what belongs to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRequest {
    /// Queue a new task.
    Submit(Box<Submission>),
    /// Give tasks up that are not over.
    Cancel {
        /// Which.
        ids: Vec<String>,
        /// How long to watch that no worker undoes it.
        verify: Option<Duration>,
    },
    /// Give tasks back to the queue whose worker is gone.
    Requeue {
        /// Which.
        ids: Vec<String>,
        /// How long to watch that no worker undoes it.
        verify: Option<Duration>,
    },
    /// Fill a tenant's rate limit bucket.
    FillBucket {
        /// Whose.
        tenant: String,
        /// The tokens in it.
        capacity: serde_json::Number,
        /// The tokens a second to be stored with it.
        refill_rate: Option<serde_json::Number>,
    },
    /// Reset a tenant's rate limit.
    EmptyBucket {
        /// Whose.
        tenant: String,
    },
}

/// A new agent task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its id; a random one when `None`.
    pub id: Option<String>,
    /// Whose it is.
    pub tenant: String,
    /// What it does.
    pub task_type: String,
    /// Which kind of agent does it.
    pub agent_type: String,
    /// Its parameters: a JSON object.
    pub params: String,
    /// What it may cost, in US dollars.
    pub cost_limit: Option<serde_json::Number>,
    /// How often it may be tried.
    pub max_attempts: u32,
}

/// An act on sagas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaRequest {
    /// The saga table they are in; `None`: wherever they are.
    pub table: Option<String>,
    /// Which.
    pub ids: Vec<String>,
    /// What is done to each.
    pub act: SagaAct,
}

/// What can be done to a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SagaAct {
    /// Try its current step again, with the tries counted anew.
    Retry {
        /// Also where a roll-back was under way when it was aborted.
        force: bool,
    },
    /// Count its current step as done.
    Skip {
        /// With this output (a JSON object); `None`: an empty one.
        output: Option<String>,
        /// Also where the output cannot be compared with earlier ones or is not like them.
        force: bool,
    },
    /// Roll back what is done.
    Compensate,
    /// Give it up.
    Abort,
    /// Let the next poll pick up what no poll would.
    Unstick {
        /// How long it must have been unchanged: a worker between two steps looks the same.
        unchanged_for: Duration,
        /// How long to watch whether it goes on.
        verify: Option<Duration>,
    },
    /// Hand it an event.
    Notify {
        /// The event.
        event: SagaEvent,
        /// Whether through its inbox, where a worker applies it.
        inbox: bool,
    },
}

/// An event for a saga.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SagaEvent {
    /// Its id: an event with the id of an earlier one is not taken again.
    pub id: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// Its correlation id.
    pub correlation: Option<String>,
    /// What it carries: JSON text.
    pub payload: Option<String>,
}

/// What an operator says really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It happened, with this result (JSON text): later callers get it without running.
    Completed(String),
    /// It never happened: the next caller runs it.
    NeverHappened,
}

/// Which records a list holds, and in what order. Times are about the last change of a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// What is listed, where a system has several kinds of things; empty: its primary one.
    pub kind: &'static str,
    /// States by name; a record matches when its stored status or its verdict is among them. Empty: all.
    pub states: Vec<String>,
    /// Keys of this namespace only (`payments` matches `payments:order-1`).
    pub namespace: Option<String>,
    /// Owners that begin with this text.
    pub owner: Option<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this function, step, saga or task type.
    pub function: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Held by this worker.
    pub worker: Option<String>,
    /// Whose error contains this text.
    pub error: Option<String>,
    /// What they belong to: an execution, an aggregation, a tenant.
    pub parent: Option<String>,
    /// Only what lies behind the record with this id, in the order of the list: the next page.
    pub after: Option<String>,
    /// Further conditions by name, as the system knows them: `stuck`, `due`, …
    pub flags: Vec<&'static str>,
    /// Only records whose lease has expired.
    pub expired: bool,
    /// Changed longer ago than this.
    pub older_than: Option<Duration>,
    /// Changed at or after this.
    pub since: Option<When>,
    /// Changed before this.
    pub until: Option<When>,
    /// The order; `None` is the system's own: newest first for a page, stored order for everything.
    pub sort: Option<String>,
    /// The order reversed.
    pub reverse: bool,
    /// At most so many; `None` is all, streamed.
    pub limit: Option<u64>,
    /// Whether payloads (results) are wanted.
    pub payloads: bool,
}

/// The answer to a list.
pub struct Listing {
    /// The columns of every row.
    pub columns: &'static [Column],
    /// The database's clock when the rows were read.
    pub now: Timestamp,
    /// The rows in batches; memory stays flat however many there are.
    pub parts: Pin<Box<dyn Stream<Item = Result<Part>> + Send>>,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Rows, in order.
    pub rows: Vec<Row>,
    /// Whether the limit was reached after them and more records match.
    pub more: bool,
}

/// One thing in depth.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is.
    pub subject: Subject,
    /// The database's clock when it was read.
    pub now: Timestamp,
    /// Its facts, in the order to be shown. The first `lead` of them come before the verdict.
    pub fields: Vec<(&'static str, Value)>,
    /// How many of `fields` stand before the verdict.
    pub lead: usize,
    /// What they amount to.
    pub verdict: Verdict,
    /// Its newest events; `None` where this database keeps none.
    pub history: Option<History>,
    /// What belongs to it: tasks, messages, checkpoints.
    pub sections: Vec<Section>,
}

impl Found {
    /// Its verdict with the causes and connections that were found. What settles it stands with the gravest cause; where
    /// rules name none, the verdict itself is one if it needs attention.
    pub fn because(self, mut causes: Vec<Cause>, related: Vec<Related>) -> Explanation {
        if causes.iter().all(|cause| cause.severity < Severity::Warning) && self.verdict.severity >= Severity::Warning {
            return Explanation { related, ..self.explained() };
        }
        causes.sort_by_key(|cause| std::cmp::Reverse((cause.severity, cause.certainty)));
        let Verdict { state, severity, summary, next, .. } = self.verdict;
        if let Some(first) = causes.first_mut() {
            first.next.extend(next);
        }
        Explanation { subject: self.subject, state, summary, severity, causes, related }
    }

    /// Its verdict as an explanation: a cause where it needs attention.
    fn explained(self) -> Explanation {
        let Verdict { state, severity, summary, next, .. } = self.verdict;
        let cause = Cause::likely("verdict", severity, summary.clone()).with_next(next);
        let causes = if severity >= Severity::Warning { vec![cause] } else { Vec::new() };
        Explanation { subject: self.subject, state, summary, severity, causes, related: Vec::new() }
    }
}

/// Things that belong to another, as a small table.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Its key in JSON.
    pub name: &'static str,
    /// Its heading for people.
    pub heading: &'static str,
    /// The columns.
    pub columns: &'static [Column],
    /// The rows; none at all are not shown to people.
    pub rows: Vec<Row>,
}

/// Events of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The columns of every event.
    pub columns: &'static [Column],
    /// The events, in time order.
    pub events: Vec<Event>,
    /// Whether older events exist that the limit cut off.
    pub older: bool,
    /// The database's clock when they were read.
    pub now: Timestamp,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number, unique in the database.
    pub id: i64,
    /// When it happened, by the database's clock.
    pub at: Timestamp,
    /// Its values under the history's columns.
    pub row: Row,
}

/// What one system holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// The system's name.
    pub system: &'static str,
    /// Which version made its tables, as far as the tables tell.
    pub version: String,
    /// Whether all commands work on it, or reading only.
    pub writable: bool,
    /// The database's clock.
    pub now: Timestamp,
    /// What `counts` counts, for people: `leases`.
    pub counted: &'static str,
    /// Records by state.
    pub counts: Vec<Count>,
    /// What needs a person, the most severe first.
    pub attention: Vec<Attention>,
    /// Further facts for people and scripts.
    pub facts: Vec<(&'static str, Value)>,
    /// Further counts.
    pub sections: Vec<Section>,
    /// How many dead letters there are, where the system keeps any.
    pub dead_letters: Option<i64>,
}

/// What one system does and has to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The system's name.
    pub system: &'static str,
    /// The database's clock.
    pub now: Timestamp,
    /// Single numbers.
    pub facts: Vec<(&'static str, Value)>,
    /// Counts by something.
    pub sections: Vec<Section>,
}

/// How many records are in one state.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The state.
    pub state: &'static str,
    /// How much attention it needs.
    pub severity: Severity,
    /// How many.
    pub count: i64,
    /// The last change of the one that changed longest ago.
    pub oldest: Option<Timestamp>,
}

/// What to say of an act that changed no row although the row is as it was seen and as the act requires.
pub fn suppressed(table: &str) -> String {
    crate::error::Error::kept_out(table).to_string()
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// How urgent it is.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub text: String,
    /// The command to type.
    pub next: NextCommand,
}
