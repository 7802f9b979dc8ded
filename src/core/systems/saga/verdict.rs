//! What a saga's facts amount to. Pure: a saga as the database compared it, its recorded steps, a verdict.
//!
//! Sources: `core/engine.py` and `core/repository.py` of python-saga-orchestrator 0.1.1 and 0.7.3.

use super::record::{Entry, Saga, Status};
use crate::model::verdict::{NextCommand, Severity, Verdict};
use crate::time::humane;

/// Workers poll every few seconds: a deadline this long over means that none does. Microseconds.
pub const OVERDUE: i64 = 5 * 60 * 1_000_000;
/// Between two steps the library clears the deadline for a moment; one cleared for longer belongs to nobody. Microseconds.
pub const BETWEEN: i64 = 60 * 1_000_000;

/// What a saga is, seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Active, without a deadline, and unchanged for a while: no worker ever picks it up again.
    Stuck,
    /// Its compensation was given up part of the way.
    PartlyCompensated,
    /// The row cannot be judged.
    Unreadable,
    /// Active, and its deadline passed long ago: no worker polls.
    Overdue,
    /// The event it waited for did not come in time.
    TimedOut,
    /// Given up.
    Failed,
    /// Its worker's lease is over: the next poll picks it up.
    LeaseExpired,
    /// It is time for its next try: the next poll picks it up.
    Due,
    /// A step is being executed under a live lease.
    Running,
    /// A step is being rolled back under a live lease.
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
            Self::Due | Self::WaitingRetry | Self::WaitingEvent => &["SUSPENDED", "COMPENSATING_SUSPENDED"],
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
    let overdue = saga.over.is_some_and(|over| over >= OVERDUE);
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

/// Judges a saga by itself and its recorded steps (in time order; none when they were not read).
pub fn judge(saga: &Saga, steps: &[Entry]) -> Verdict {
    let state = state(saga);
    Verdict {
        state: state.name(),
        severity: state.severity(),
        summary: summary(saga, state),
        evidence: evidence(saga, steps, state),
        next: next(saga, state),
    }
}

fn summary(saga: &Saga, state: State) -> String {
    let rolling = matches!(saga.status, Status::Compensating | Status::CompensatingSuspended);
    let what = if rolling { "a roll-back" } else { "a step" };
    match state {
        State::Stuck => {
            "it is active, has no deadline, and no worker will ever pick it up: its worker ended between two steps"
                .into()
        }
        State::PartlyCompensated => {
            format!("its compensation was given up: {} {} not rolled back", saga.step, steps_are(saga.step))
        }
        State::Unreadable => "this row cannot be judged: no version of the library writes it like this".into(),
        State::Overdue => "it has been due for long and nobody has picked it up: no worker polls".into(),
        State::TimedOut => "the event it waited for did not come in time; it goes no further by itself".into(),
        State::Failed if saga.step > 0 => {
            format!("given up; {} {} done and not rolled back", saga.step, steps_are(saga.step))
        }
        State::Failed => "given up; no step is done".into(),
        State::LeaseExpired => format!("the lease of whoever was at {what} is over: the next poll picks it up"),
        State::Due if saga.awaiting.is_some() && !rolling => {
            "the event it waits for is late: the next poll times it out".into()
        }
        State::Due => format!("it is time for the next try of {what}: the next poll picks it up"),
        State::Running => "a worker is executing a step and its lease is alive".into(),
        State::Compensating => "a worker is rolling a step back and its lease is alive".into(),
        State::BetweenSteps => "a worker is between two steps, or ended there a moment ago".into(),
        State::WaitingRetry => format!("it waits for the next try of {what}"),
        State::WaitingEvent => match &saga.awaiting {
            Some(awaiting) => format!("it waits for {}", awaiting.words()),
            None => "it waits to be notified".into(),
        },
        State::Compensated => "rolled back; it is over".into(),
        State::Completed => "all steps are done".into(),
    }
}

const fn steps_are(count: i64) -> &'static str {
    if count == 1 { "step is" } else { "steps are" }
}

fn evidence(saga: &Saga, steps: &[Entry], state: State) -> Vec<String> {
    let mut out = Vec::new();
    match saga.over {
        Some(over) if over >= 0 && state.severity() != Severity::Ok => {
            out.push(format!("its deadline passed {} ago", humane(over)));
        }
        Some(over) if state.severity() == Severity::Pending => {
            let what = match state {
                State::WaitingRetry => "the next try is due",
                State::WaitingEvent => "it times out",
                _ => "its lease ends",
            };
            out.push(format!("{what} in {}", humane(over)));
        }
        None if state == State::WaitingEvent => out.push("it waits without a limit in time".into()),
        _ => {}
    }
    if let Some(last) = steps.iter().rev().find(|entry| entry.act().is_none()) {
        let end = match last.status.as_str() {
            "SUCCESS" if last.skipped => "was skipped",
            "SUCCESS" => "succeeded",
            "ERROR" => "failed",
            "WAITING" => "began to wait",
            "TIMEOUT" => "timed out",
            other => other,
        };
        let what = if last.compensates() { "rolling back step" } else { "step" };
        out.push(format!("last recorded: {what} {} ({}) {end}, try {}", last.step_id, last.step_name, last.attempt));
    }
    if let Some(act) = steps.iter().rev().find(|entry| entry.act().is_some()) {
        let (who, why) = act.author();
        let who = who.unwrap_or_else(|| "an operator".to_owned());
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        out.push(format!("last act of an operator: {} by {who}{why}", act.act().unwrap_or_default()));
    }
    if saga.retries > 0 {
        out.push(format!("tried in vain {} time{}", saga.retries, if saga.retries == 1 { "" } else { "s" }));
    }
    if state == State::Failed && saga.compensated == Some(false) {
        out.push("no compensation is on record: it can be retried".into());
    }
    if matches!(state, State::Stuck | State::Overdue | State::BetweenSteps) {
        out.push(format!("row last changed {} ago", humane(saga.idle)));
    }
    out.extend(saga.unreadable.iter().map(|what| format!("unreadable: {what}")));
    out
}

fn next(saga: &Saga, state: State) -> Vec<NextCommand> {
    let command = |verb: &str, why: &str| NextCommand::new(&["sen", "saga", verb], why).id(&saga.id);
    let rollback = || (saga.step > 0).then(|| command("compensate", "roll back what is done"));
    match state {
        State::Stuck => {
            let mut next = vec![command("unstick", "let the next poll pick it up")];
            next.push(command("abort", "give it up instead"));
            next
        }
        State::PartlyCompensated => rollback().into_iter().collect(),
        State::Failed => [Some(command("retry", "try the step again")), rollback()].into_iter().flatten().collect(),
        State::TimedOut => {
            let retry = command("retry", "execute the step again, to ask and wait anew");
            [Some(retry), rollback(), Some(command("abort", "give it up"))].into_iter().flatten().collect()
        }
        State::WaitingRetry | State::Due => vec![
            command("retry", "try now, with the tries counted anew"),
            NextCommand::new(&["sen", "saga", "skip"], "go on without the step, with an output you give")
                .id(&saga.id)
                .with(&["--result", "JSON"]),
        ],
        State::WaitingEvent => {
            let mut next = command("notify", "hand it the event that did not come");
            if let Some(kind) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.types.first()) {
                next = next.option("--type", kind);
            }
            if let Some(id) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.correlation.as_deref()) {
                next = next.option("--correlation", id);
            }
            vec![next.with(&["--payload", "JSON"])]
        }
        State::Overdue => {
            vec![NextCommand::new(&["sen", "saga", "list", "--state", "overdue"], "which others wait, too")]
        }
        State::Unreadable => {
            vec![
                NextCommand::new(&["sen", "saga", "show", "-o", "json"], "every fact of it, for a ticket").id(&saga.id),
            ]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::systems::saga::record::Awaiting;

    pub(in crate::systems::saga) fn saga(status: Status, over: Option<i64>) -> Saga {
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
            awaiting: None,
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
            judge(&saga, &[]);
        }
    }

    #[test]
    fn stuck_sagas_point_to_unstick_and_waiting_ones_to_notify() {
        assert!(judge(&saga(Status::Running, None), &[]).next[0].command.starts_with("sen saga unstick 7327"));
        let awaiting = Some(Awaiting { types: vec!["pay me".into()], correlation: Some("o-1".into()), until: None });
        let verdict = judge(&Saga { awaiting, ..saga(Status::Suspended, None) }, &[]);
        assert!(verdict.next[0].command.contains("--type 'pay me' --correlation o-1"), "{verdict:?}");
    }
}
