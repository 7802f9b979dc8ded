//! What a saga's facts amount to. Pure: a saga as the database compared it, its recorded steps, a verdict.
//!
//! Sources: `core/engine.py` and `core/repository.py` of python-saga-orchestrator 0.1.1 and 0.7.3.

use super::record::{Entry, Saga, Status};
use super::shape::Model;
use sen_model::verdict::{Severity, Verdict};

pub(super) mod words;

/// Workers poll every few seconds: a deadline this long over means that none does, or that they are far behind.
/// Microseconds.
pub const OVERDUE: i64 = 5 * 60 * 1_000_000;
/// Between two steps the library clears the deadline for a moment. Microseconds.
pub const BETWEEN: i64 = 60 * 1_000_000;

/// What a saga is, seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Active, without a deadline, and unchanged for a while: no poll looks for it.
    Stuck,
    /// Its compensation was given up part of the way.
    PartlyCompensated,
    /// The row cannot be judged.
    Unreadable,
    /// Active, and its deadline passed long ago without a poll that picked it up.
    Overdue,
    /// The event it waited for did not come in time.
    TimedOut,
    /// Given up.
    Failed,
    /// Its worker's lease is over: the next poll picks it up.
    LeaseExpired,
    /// It is time for its next try, or an act made it due: the next poll picks it up.
    Due,
    /// Claimed by a worker whose lease is not over, to execute a step.
    Running,
    /// Claimed by a worker whose lease is not over, to roll a step back.
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
            Self::Overdue | Self::TimedOut | Self::Failed => Severity::Warning,
            Self::LeaseExpired
            | Self::Due
            | Self::Running
            | Self::Compensating
            | Self::BetweenSteps
            | Self::WaitingRetry
            | Self::WaitingEvent => Severity::Pending,
            Self::Compensated | Self::Completed => Severity::Ok,
        }
    }

    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
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
pub(super) const GAVE_UP: [&str; 2] = ["Compensation failed for step", "Missing successful execution entry for step"];

/// The state of a saga. The stores' lists hold the same rules in SQL.
pub fn state(saga: &Saga) -> State {
    // A deadline that has been over for ever has no span.
    let overdue = saga.over.map_or(saga.due == Some(true), |over| over >= OVERDUE);
    match saga.status {
        Status::Completed => State::Completed,
        Status::Compensated => State::Compensated,
        Status::TimedOut => State::TimedOut,
        Status::Failed => {
            let gave_up = saga.error.as_ref().is_some_and(|error| GAVE_UP.iter().any(|begin| error.starts_with(begin)));
            match saga.compensated {
                Some(true) if saga.step <= 0 && !gave_up => State::Compensated,
                _ if gave_up || saga.compensated == Some(true) => State::PartlyCompensated,
                _ => State::Failed,
            }
        }
        Status::Other(_) => State::Unreadable,
        _ if overdue => State::Overdue,
        Status::Running | Status::Compensating => match saga.due {
            None if saga.idle < BETWEEN => State::BetweenSteps,
            None => State::Stuck,
            Some(true) if saga.handed => State::Due,
            Some(true) => State::LeaseExpired,
            Some(false) if saga.status == Status::Running => State::Running,
            Some(false) => State::Compensating,
        },
        Status::Suspended | Status::CompensatingSuspended => match saga.due {
            Some(true) => State::Due,
            None => State::WaitingEvent,
            Some(false) if saga.awaiting.is_some() => State::WaitingEvent,
            Some(false) => State::WaitingRetry,
        },
    }
}

/// Judges a saga by itself, its recorded steps (in time order; none when they were not read) and its tables.
pub fn judge(saga: &Saga, steps: &[Entry], model: Option<&Model>) -> Verdict {
    let state = state(saga);
    Verdict {
        state: state.name(),
        severity: state.severity(),
        summary: words::summary(saga, steps, state, model),
        evidence: words::evidence(saga, steps, state),
        next: words::next(saga, steps, state),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::Awaiting;

    pub(crate) fn saga(status: Status, over: Option<i64>) -> Saga {
        Saga {
            table: "sagas".into(),
            id: "73277b4b-da5d-49ab-b7d1-76bbaee5575a".into(),
            aggregation: "order-1".into(),
            trace: "t".into(),
            name: Some("order".into()),
            status,
            step: 1,
            token: Some("edd4bcab-3b16-4733-9126-d878ad4ffd87".into()),
            deadline: None,
            retries: 0,
            error: None,
            created: None,
            updated: None,
            due: over.map(|over| over >= 0),
            idle: 10 * BETWEEN,
            over,
            handed: false,
            awaiting: None,
            later: None,
            compensated: None,
            context: None,
            unreadable: Vec::new(),
        }
    }

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
            assert_eq!(state(&saga), expected, "{saga:?}");
            let stored = expected.stored();
            assert!(stored.is_empty() || stored.contains(&saga.status.as_str()), "{saga:?}");
            judge(&saga, &[], None);
        }
    }

    #[test]
    fn stuck_sagas_point_to_unstick_and_waiting_ones_to_notify() {
        assert!(judge(&saga(Status::Running, None), &[], None).next[0].command.starts_with("sen saga unstick 7327"));
        let awaiting = Some(Awaiting { types: vec!["pay me".into()], correlation: Some("o-1".into()), until: None });
        let verdict = judge(&Saga { awaiting, ..saga(Status::Suspended, None) }, &[], None);
        assert!(verdict.next[0].command.contains("--type 'pay me' --correlation o-1"), "{verdict:?}");
    }
}
