//! Acts on sagas, with their parameters.

use std::time::Duration;

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
        /// How long to watch its progress.
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
    /// Its payload: JSON text.
    pub payload: Option<String>,
}
