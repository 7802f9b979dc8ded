//! The state of a saga, judged by its row. Pure.
//!
//! Sources: `core/engine.py` and `core/repository.py` of python-saga-orchestrator 0.1.1 and 0.7.3.

use crate::record::{Saga, Status};
use sen_model::verdict::Severity;

/// Workers poll every few seconds: a deadline that passed this long ago means that none polls, or that they are far behind.
/// Microseconds.
pub const OVERDUE: i64 = 5 * 60 * 1_000_000;

/// Between two steps the library clears the deadline for a moment. Microseconds.
pub const BETWEEN: i64 = 60 * 1_000_000;

/// What a saga is, seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Active, without a deadline, and unchanged for a while: no poll looks for it.
    Stuck,
    /// Its compensation failed part of the way.
    PartlyCompensated,
    /// The row cannot be judged.
    Unreadable,
    /// Active, and its deadline passed long ago without a poll that picked it up.
    Overdue,
    /// The event it waited for did not come in time.
    TimedOut,
    /// Failed permanently.
    Failed,
    /// Its worker's lease has expired: the next poll picks it up.
    LeaseExpired,
    /// It is time for its next try, or an act made it due: the next poll picks it up.
    Due,
    /// Claimed by a worker with a live lease, to execute a step.
    Running,
    /// Claimed by a worker with a live lease, to roll a step back.
    Compensating,
    /// Between two steps, a moment ago.
    BetweenSteps,
    /// It waits for the next try of a step.
    WaitingRetry,
    /// It waits for an event.
    WaitingEvent,
    /// Rolled back.
    Compensated,
    /// All steps are done.
    Completed,
}

impl State {
    /// All of them, in the order a person reads them: what needs attention first.
    pub const ALL: [Self; 15] = [
        Self::Stuck,
        Self::PartlyCompensated,
        Self::Unreadable,
        Self::Overdue,
        Self::TimedOut,
        Self::Failed,
        Self::LeaseExpired,
        Self::Due,
        Self::Running,
        Self::Compensating,
        Self::BetweenSteps,
        Self::WaitingRetry,
        Self::WaitingEvent,
        Self::Compensated,
        Self::Completed,
    ];

    /// The name in lists and data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::PartlyCompensated => "partly_compensated",
            Self::Unreadable => "unreadable",
            Self::Overdue => "overdue",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::LeaseExpired => "lease_expired",
            Self::Due => "due",
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::BetweenSteps => "between_steps",
            Self::WaitingRetry => "waiting_retry",
            Self::WaitingEvent => "waiting_event",
            Self::Compensated => "compensated",
            Self::Completed => "completed",
        }
    }

    /// How much attention it needs.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Stuck | Self::PartlyCompensated | Self::Unreadable => Severity::Critical,
            // As a task whose lease is over: its worker is probably lost, and what it was at runs again.
            Self::Overdue | Self::TimedOut | Self::Failed | Self::LeaseExpired => Severity::Warning,
            Self::Due
            | Self::Running
            | Self::Compensating
            | Self::BetweenSteps
            | Self::WaitingRetry
            | Self::WaitingEvent => Severity::Pending,
            Self::Compensated | Self::Completed => Severity::Ok,
        }
    }

    /// Whether it is so since the deadline passed, whenever its row changed last.
    pub const fn since_deadline(self) -> bool {
        matches!(self, Self::Overdue | Self::LeaseExpired)
    }

    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state of a saga. The stores' lists hold the same rules in SQL.
    pub fn of(saga: &Saga) -> Self {
        // A deadline that has been over for ever has no span.
        let overdue = saga.over.map_or(saga.due == Some(true), |over| over >= OVERDUE);
        match saga.status {
            Status::Completed => Self::Completed,
            Status::Compensated => Self::Compensated,
            Status::TimedOut => Self::TimedOut,
            Status::Failed => {
                let gave_up =
                    saga.error.as_ref().is_some_and(|error| GAVE_UP.iter().any(|begin| error.starts_with(begin)));
                match saga.compensated {
                    Some(true) if saga.step <= 0 && !gave_up => Self::Compensated,
                    _ if gave_up || saga.compensated == Some(true) => Self::PartlyCompensated,
                    _ => Self::Failed,
                }
            }
            Status::Other(_) => Self::Unreadable,
            _ if overdue => Self::Overdue,
            Status::Running | Status::Compensating => match saga.due {
                None if saga.idle < BETWEEN => Self::BetweenSteps,
                None => Self::Stuck,
                Some(true) if saga.handed => Self::Due,
                Some(true) => Self::LeaseExpired,
                Some(false) if saga.status == Status::Running => Self::Running,
                Some(false) => Self::Compensating,
            },
            Status::Suspended | Status::CompensatingSuspended => match saga.due {
                Some(true) => Self::Due,
                None => Self::WaitingEvent,
                Some(false) if saga.awaiting.is_some() => Self::WaitingEvent,
                Some(false) => Self::WaitingRetry,
            },
        }
    }

    /// The stored statuses it can come from, so that an index on the status can be used.
    pub const fn stored(self) -> &'static [&'static str] {
        match self {
            Self::Stuck | Self::BetweenSteps | Self::LeaseExpired => &["RUNNING", "COMPENSATING"],
            Self::PartlyCompensated | Self::Failed => &["FAILED"],
            // Before COMPENSATED was known, what was rolled back was FAILED.
            Self::Compensated => &["FAILED", "COMPENSATED"],
            Self::Overdue => &["RUNNING", "SUSPENDED", "COMPENSATING", "COMPENSATING_SUSPENDED"],
            Self::TimedOut => &["TIMEOUT"],
            Self::Due => &["RUNNING", "COMPENSATING", "SUSPENDED", "COMPENSATING_SUSPENDED"],
            Self::WaitingRetry | Self::WaitingEvent => &["SUSPENDED", "COMPENSATING_SUSPENDED"],
            Self::Running => &["RUNNING"],
            Self::Compensating => &["COMPENSATING"],
            Self::Completed => &["COMPLETED"],
            Self::Unreadable => &[],
        }
    }
}

/// Beginnings of the errors with which the library gives a compensation up.
pub(crate) const GAVE_UP: [&str; 2] = ["Compensation failed for step", "Missing successful execution entry for step"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::saga;
    use crate::record::Awaiting;

    #[test]
    fn every_combination_has_the_documented_state() {
        let waiting = Some(Awaiting { types: vec!["paid".into()], ..Awaiting::default() });
        let cases = [
            (saga(Status::Running, None), State::Stuck),
            (Saga { idle: 5, ..saga(Status::Running, None) }, State::BetweenSteps),
            (saga(Status::Running, Some(-5)), State::Running),
            (saga(Status::Running, Some(5)), State::LeaseExpired),
            (Saga { handed: true, ..saga(Status::Running, Some(5)) }, State::Due),
            (Saga { handed: true, ..saga(Status::Compensating, Some(5)) }, State::Due),
            (saga(Status::Running, Some(OVERDUE)), State::Overdue),
            (saga(Status::Compensating, None), State::Stuck),
            (saga(Status::Compensating, Some(-5)), State::Compensating),
            (saga(Status::Suspended, Some(-5)), State::WaitingRetry),
            (saga(Status::Suspended, Some(5)), State::Due),
            (saga(Status::Suspended, None), State::WaitingEvent),
            (Saga { awaiting: waiting, ..saga(Status::Suspended, Some(-5)) }, State::WaitingEvent),
            (saga(Status::CompensatingSuspended, Some(-5)), State::WaitingRetry),
            (saga(Status::Failed, None), State::Failed),
            (Saga { compensated: Some(true), ..saga(Status::Failed, None) }, State::PartlyCompensated),
            (Saga { compensated: Some(true), step: 0, ..saga(Status::Failed, None) }, State::Compensated),
            (
                Saga { error: Some(format!("{} 'a': x", GAVE_UP[0])), ..saga(Status::Failed, None) },
                State::PartlyCompensated,
            ),
            (saga(Status::TimedOut, None), State::TimedOut),
            (saga(Status::Completed, None), State::Completed),
            (saga(Status::Compensated, None), State::Compensated),
            (saga(Status::Other("X".into()), None), State::Unreadable),
        ];
        for (saga, expected) in cases {
            assert_eq!(State::of(&saga), expected, "{saga:?}");
            let stored = expected.stored();
            assert!(stored.is_empty() || stored.contains(&saga.status.as_str()), "{saga:?}");
        }
    }
}
