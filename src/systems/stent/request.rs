//! Acts on executions, with their parameters.

use std::time::Duration;

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
        /// Its payload: JSON text.
        payload: String,
        /// Whether it replaces an unread signal of that name.
        replace: bool,
    },
    /// Remove executions that have ended.
    Cleanup {
        /// Minimum age.
        older_than: Duration,
        /// In these states; empty: any ended one.
        states: Vec<String>,
        /// Maximum number of executions, oldest first (0 = unlimited).
        limit: Option<u64>,
    },
}
