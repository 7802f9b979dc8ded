//! Acts on agent tasks and what belongs to them, with their parameters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
