//! The states and orders of lists.

use sen_model::choices;

choices! {
    /// What the database stores of a saga, and what a verdict says of it.
    pub enum SagaState {
        /// Stored.
        Running = "running",
        /// Stored.
        Suspended = "suspended",
        /// Stored, and a verdict.
        Failed = "failed",
        /// Stored.
        Compensating = "compensating",
        /// Stored.
        CompensatingSuspended = "compensating_suspended",
        /// Stored, and a verdict: rolled back sagas were FAILED in the versions that do not know COMPENSATED.
        Compensated = "compensated",
        /// Stored, and a verdict.
        Completed = "completed",
        /// Stored.
        Timeout = "timeout",
        /// Active without a deadline: no poll picks it up.
        Stuck = "stuck",
        /// The roll-back was given up.
        PartlyCompensated = "partly_compensated",
        /// Due for a while and not picked up.
        Overdue = "overdue",
        /// The wait for an event was over first.
        TimedOut = "timed_out",
        /// A step was begun and its time is over.
        LeaseExpired = "lease_expired",
        /// The next poll picks it up.
        Due = "due",
        /// Active, its next step is not due yet.
        BetweenSteps = "between_steps",
        /// A step failed and is tried again later.
        WaitingRetry = "waiting_retry",
        /// Waits for an event.
        WaitingEvent = "waiting_event",
        /// No version writes such a row.
        Unreadable = "unreadable",
    }
}

choices! {
    /// Orders of sagas.
    pub enum SagaOrder {
        /// The one changed last first.
        Updated = "updated",
        /// The newest first.
        Created = "created",
        /// The earliest deadline first.
        Deadline = "deadline",
    }
}

choices! {
    /// Statuses of messages: an outbox has the first four, an inbox all but `dispatching` and `sent`.
    pub enum MessageState {
        /// Waits to be taken.
        Pending = "pending",
        /// Failed; the library tries again.
        Failed = "failed",
        /// Taken by a dispatcher.
        Dispatching = "dispatching",
        /// Sent.
        Sent = "sent",
        /// Taken by a worker.
        Processing = "processing",
        /// Its saga has it.
        Applied = "applied",
        /// Its saga did not take it.
        Ignored = "ignored",
    }
}
