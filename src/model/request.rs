//! What is asked of a system: acts with their parameters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
