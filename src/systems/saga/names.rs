//! The vocabulary of lists: kinds, flags, states.

/// Kinds of lists beside that of sagas, for [`Filter::kind`](sen_model::listing::Filter::kind).
pub mod kind {
    /// Messages that sagas send.
    pub const OUTBOX: &str = "outbox";
    /// Messages that sagas are sent.
    pub const INBOX: &str = "inbox";
}

/// Flags for [`Filter::flags`](sen_model::listing::Filter::flags).
pub mod flag {
    /// Only what no poll picks up: sagas without a deadline, messages that were claimed long ago.
    pub const STUCK: &str = "stuck";
    /// Only what the next poll picks up.
    pub const DUE: &str = "due";
}

/// The states `--state` takes: what the database stores, and what a verdict says.
pub const STATES: &[&str] = &[
    "running",
    "suspended",
    "failed",
    "compensating",
    "compensating_suspended",
    "compensated",
    "completed",
    "timeout",
    "stuck",
    "partly_compensated",
    "overdue",
    "timed_out",
    "lease_expired",
    "due",
    "between_steps",
    "waiting_retry",
    "waiting_event",
    "unreadable",
];
