//! Acts on leases, with their parameters.

/// An act on leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseRequest {
    /// Create the tables in an empty database.
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
}

/// What an operator says really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It happened, with this result (JSON text): later callers get it without running.
    Completed(String),
    /// It never happened: the next caller runs it.
    NeverHappened,
}
