//! Which dead letters can be replayed sensibly, and what a replay will and will not do. Pure.
//!
//! The statements that replay judge by the same rules: see `postgres/letters.rs` and `sqlite/letters.rs`.

use crate::record::{ExecutionState, TaskKind, TaskState};

/// Whether a dead letter can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Replayability {
    /// A worker can run it, and that makes sense.
    Replayable,
    /// Its dump cannot be read back.
    Unreadable,
    /// Its execution is no longer there.
    ExecutionGone,
    /// Its execution is cancelled or about to be.
    ExecutionCancelled,
    /// Its execution timed out.
    ExecutionTimedOut,
    /// The expiry of its execution has passed.
    ExecutionExpired,
    /// Its execution has completed.
    ExecutionCompleted,
    /// It is an activity, and what waited for it has failed.
    OrchestratorFailed,
    /// It is an activity, what waited for it has failed, and another orchestrator of its execution is pending or running.
    OrchestratorReplaced,
    /// An orchestrator of its execution is pending or running already.
    AlreadyQueued,
    /// It is an orchestrator, its execution has not ended, and nothing runs it.
    ExecutionUnsettled,
    /// It is an orchestrator that a cancel ended, or whose steps it ended: what they do may have happened.
    StoppedByCancel,
}

impl Replayability {
    /// The name in data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replayable => sen_model::letter::REPLAYABLE,
            Self::Unreadable => "unreadable",
            Self::ExecutionGone => "execution_gone",
            Self::ExecutionCancelled => "execution_cancelled",
            Self::ExecutionTimedOut => "execution_timed_out",
            Self::ExecutionExpired => "execution_expired",
            Self::ExecutionCompleted => "execution_completed",
            Self::OrchestratorFailed => "orchestrator_failed",
            Self::OrchestratorReplaced => "orchestrator_replaced",
            Self::AlreadyQueued => "already_queued",
            Self::ExecutionUnsettled => "execution_unsettled",
            Self::StoppedByCancel => "stopped_by_cancel",
        }
    }

    /// Why it is skipped, for people.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Replayable => "it can be replayed",
            Self::Unreadable => {
                "its dump cannot be read back or lacks what a task needs, and the row of its task does not help"
            }
            Self::ExecutionGone => "no execution has the id it names: no worker can run it",
            Self::ExecutionCancelled => "its execution is cancelled: a worker would drop it",
            Self::ExecutionTimedOut => "its execution has timed out",
            Self::ExecutionExpired => "its execution has expired: a worker would drop it",
            Self::ExecutionCompleted => "its execution has completed",
            Self::OrchestratorFailed => "activity of a failed orchestrator: its result would not be used",
            Self::OrchestratorReplaced => {
                "activity of a failed orchestrator, whose execution is queued or running again under another: its result would not be used, and it can be discarded"
            }
            Self::AlreadyQueued => "its execution is queued or running already",
            Self::ExecutionUnsettled => {
                "its execution has not ended: its worker is about to end it, or died before it could"
            }
            Self::StoppedByCancel => {
                "its execution was cancelled: the steps that this stopped may still be running or have happened"
            }
        }
    }

    /// Whether `--force` replays it all the same.
    pub const fn can_be_forced(self) -> bool {
        !matches!(self, Self::Unreadable | Self::AlreadyQueued)
    }
}

/// What the replayability of a dead letter is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayFacts {
    /// What died.
    pub kind: TaskKind,
    /// The state of its execution; `None` when that no longer exists.
    pub execution: Option<ExecutionState>,
    /// Whether the expiry of the execution has passed.
    pub expired: bool,
    /// The state of the task that waited for it, where that is known.
    pub parent: Option<TaskState>,
    /// Whether an orchestrator of the execution is pending or running.
    pub live: bool,
    /// Whether it or a step of it was ended by a cancel. This cannot change while the letter is there, for what has failed
    /// cannot be cancelled; so the statements that replay leave it to the plan.
    pub stopped: bool,
    /// Whether the task can be made again: from its dump, or, where that is text of senpuki 0.1.x, from the row of the task.
    pub readable: bool,
}

/// Whether a dead letter can be replayed.
pub fn replayability(replay_facts: &ReplayFacts) -> Replayability {
    let orchestrator = match replay_facts.kind {
        TaskKind::Orchestrator => true,
        TaskKind::Activity => false,
        TaskKind::Signal | TaskKind::Other(_) => return Replayability::Unreadable,
    };
    if !replay_facts.readable {
        return Replayability::Unreadable;
    }
    match &replay_facts.execution {
        None => Replayability::ExecutionGone,
        Some(ExecutionState::Cancelled | ExecutionState::Cancelling) => Replayability::ExecutionCancelled,
        Some(ExecutionState::TimedOut) => Replayability::ExecutionTimedOut,
        Some(ExecutionState::Completed) => Replayability::ExecutionCompleted,
        // A library this program does not know wrote it: left alone.
        Some(ExecutionState::Other(_)) => Replayability::ExecutionUnsettled,
        Some(_) if orchestrator && replay_facts.live => Replayability::AlreadyQueued,
        Some(_) if replay_facts.expired => Replayability::ExecutionExpired,
        Some(ExecutionState::Failed) if orchestrator && replay_facts.stopped => Replayability::StoppedByCancel,
        Some(ExecutionState::Failed) if orchestrator => Replayability::Replayable,
        Some(ExecutionState::Pending | ExecutionState::Running) if orchestrator => Replayability::ExecutionUnsettled,
        Some(ExecutionState::Failed) => Replayability::OrchestratorFailed,
        Some(_) if replay_facts.parent == Some(TaskState::Failed) => match replay_facts.live {
            true => Replayability::OrchestratorReplaced,
            false => Replayability::OrchestratorFailed,
        },
        Some(_) => Replayability::Replayable,
    }
}

/// What becomes of a step when its orchestrator starts anew; what may act twice comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It completed and is not idempotent, or its result is no longer kept: it runs again.
    RunsAgain,
    /// A cancel ended it, which stops no worker: it may have happened, and runs again.
    StoppedByCancel,
    /// It failed: it is tried again.
    TriedAgain,
    /// It failed with tries left, so that its policy does not cover the error: it is tried again, and probably fails again.
    NotRetried,
    /// Still open from the last round: it runs, too, and its result is not used.
    StillOpen,
    /// Its result is in `idempotency` or `cache`: it does not run.
    Answered,
    /// Its signal was answered: the wait gets the old payload at once.
    SignalAnswered,
    /// Its signal has not come: it is waited for again.
    SignalAwaited,
}

impl Effect {
    /// The name in data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunsAgain => "runs_again",
            Self::StoppedByCancel => "stopped_by_cancel",
            Self::TriedAgain => "tried_again",
            Self::NotRetried => "not_retried",
            Self::StillOpen => "still_open",
            Self::Answered => "answered",
            Self::SignalAnswered => "signal_answered",
            Self::SignalAwaited => "signal_awaited",
        }
    }

    /// Whether a name in data is that of a step that failed, and so left a dead letter of its own.
    pub(crate) fn of_failed(name: &str) -> bool {
        [Self::TriedAgain, Self::NotRetried].iter().any(|effect| effect.name() == name)
    }

    /// What it means, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::RunsAgain => "completed; runs again, and what it does happens twice",
            Self::StoppedByCancel => "stopped by a cancel; may still be running or have happened; runs again",
            Self::TriedAgain => "failed; is tried again",
            Self::NotRetried => "failed and was not retried; is tried again, probably in vain",
            Self::StillOpen => "still open from the last round; runs, too, and its result is not used",
            Self::Answered => "completed; answered from idempotency or cache, does not run",
            Self::SignalAnswered => "answered again at once with the old payload",
            Self::SignalAwaited => "waited for again",
        }
    }
}

/// What a replay of a dead letter of this kind does beyond running it, for the operator who decides.
pub const fn consequence(kind: &TaskKind) -> &'static str {
    match kind {
        TaskKind::Orchestrator => {
            "an orchestrator starts anew: its steps run again under new ids, and those that are not idempotent act twice"
        }
        _ => "the result of a replayed activity is not used any more: the replay only runs its effect",
    }
}

/// What a forced replay of such a dead letter does.
pub const fn forced(replayability: Replayability, orchestrator: bool) -> Option<&'static str> {
    match (replayability, orchestrator) {
        (Replayability::ExecutionGone, _) => {
            Some("without its execution a worker gives up on it at once, and it becomes a dead letter again")
        }
        (
            Replayability::ExecutionCancelled | Replayability::ExecutionTimedOut | Replayability::ExecutionExpired,
            true,
        ) => Some("the execution is opened again, without an expiry if that has passed"),
        (Replayability::ExecutionCompleted, true) => Some("the execution is opened again and its result is erased"),
        (
            Replayability::ExecutionCancelled | Replayability::ExecutionTimedOut | Replayability::ExecutionExpired,
            false,
        ) => Some("a worker drops it at once without running it, and leaves no dead letter"),
        (Replayability::ExecutionUnsettled, true) => {
            Some("if the worker of the dead task is still ending it, the execution can be marked failed once more")
        }
        (Replayability::StoppedByCancel, true) => Some(
            "it was cancelled: steps that the cancel stopped may still be running or have happened, and then happen twice",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay_facts(kind: TaskKind, execution: Option<ExecutionState>) -> ReplayFacts {
        ReplayFacts { kind, execution, expired: false, parent: None, live: false, stopped: false, readable: true }
    }

    #[test]
    fn orchestrators() {
        use ExecutionState as E;
        let of = |state| replayability(&replay_facts(TaskKind::Orchestrator, state));
        let cases = [
            (Some(E::Failed), Replayability::Replayable),
            (None, Replayability::ExecutionGone),
            (Some(E::Cancelled), Replayability::ExecutionCancelled),
            (Some(E::Cancelling), Replayability::ExecutionCancelled),
            (Some(E::TimedOut), Replayability::ExecutionTimedOut),
            (Some(E::Completed), Replayability::ExecutionCompleted),
            (Some(E::Pending), Replayability::ExecutionUnsettled),
            (Some(E::Running), Replayability::ExecutionUnsettled),
            (Some(E::Other("odd".into())), Replayability::ExecutionUnsettled),
        ];
        for (state, expected) in cases {
            assert_eq!(of(state.clone()), expected, "{state:?}");
        }
        let failed = replay_facts(TaskKind::Orchestrator, Some(E::Failed));
        assert_eq!(replayability(&ReplayFacts { live: true, ..failed.clone() }), Replayability::AlreadyQueued);
        assert_eq!(replayability(&ReplayFacts { expired: true, ..failed.clone() }), Replayability::ExecutionExpired);
        let stopped = replayability(&ReplayFacts { stopped: true, ..failed.clone() });
        assert_eq!(stopped, Replayability::StoppedByCancel);
        assert!(stopped.can_be_forced() && forced(stopped, true).is_some());
        assert_eq!(replayability(&ReplayFacts { readable: false, ..failed }), Replayability::Unreadable);
    }

    #[test]
    fn activities() {
        use ExecutionState as E;
        let of =
            |state, parent| replayability(&ReplayFacts { parent, ..replay_facts(TaskKind::Activity, Some(state)) });
        assert_eq!(of(E::Running, Some(TaskState::Running)), Replayability::Replayable);
        assert_eq!(of(E::Running, None), Replayability::Replayable);
        assert_eq!(of(E::Failed, None), Replayability::OrchestratorFailed);
        // The execution was replayed since: what waited for this one has failed all the same.
        assert_eq!(of(E::Pending, Some(TaskState::Failed)), Replayability::OrchestratorFailed);
        let running = replay_facts(TaskKind::Activity, Some(E::Running));
        let live = ReplayFacts { live: true, parent: Some(TaskState::Failed), ..running };
        assert_eq!(replayability(&live), Replayability::OrchestratorReplaced);
        assert_eq!(of(E::Completed, Some(TaskState::Completed)), Replayability::ExecutionCompleted);
        assert_eq!(replayability(&replay_facts(TaskKind::Signal, Some(E::Running))), Replayability::Unreadable);
    }

    #[test]
    fn what_force_does_not_move() {
        assert!(!Replayability::Unreadable.can_be_forced() && !Replayability::AlreadyQueued.can_be_forced());
        assert!(Replayability::ExecutionGone.can_be_forced());
        assert!(forced(Replayability::ExecutionCompleted, true).unwrap().contains("erased"));
    }
}
