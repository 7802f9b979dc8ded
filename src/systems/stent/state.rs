//! The judged states of executions and tasks, most urgent first. Pure.

use crate::record::{Task, TaskKind, TaskState};
use sen_model::time::wall::Wall;
use sen_model::verdict::Severity;

/// The library writes "task completed", its progress and "execution completed" one after the other: for this long
/// (microseconds) after the last change of its tasks an execution without open tasks counts as being ended by its worker.
pub const GRACE: i64 = 60_000_000;

/// The state of an execution or a task. Both use the same words where they mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It has not ended, no open task is left, and that has been so for longer than [`GRACE`].
    Stranded,
    /// Its expiry has passed, and no worker has ended it yet.
    Overdue,
    /// Running, but its lease has expired: worker probably lost.
    Lost,
    /// The row cannot be judged.
    Unreadable,
    /// Failed permanently.
    Failed,
    /// Ended by its expiry.
    TimedOut,
    /// Being cancelled.
    Cancelling,
    /// Its last task ended a moment ago: its worker is about to end the execution.
    Settling,
    /// A worker has it, under a lease.
    Running,
    /// It waits for a signal.
    Waiting,
    /// It waits for a time to come.
    Sleeping,
    /// To begin later.
    Scheduled,
    /// To be claimed by a worker.
    Ready,
    /// Cancelled.
    Cancelled,
    /// Done.
    Completed,
}

impl State {
    /// All of them, in the order a person reads them: what needs attention first.
    pub const ALL: [Self; 15] = [
        Self::Stranded,
        Self::Overdue,
        Self::Lost,
        Self::Unreadable,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelling,
        Self::Settling,
        Self::Running,
        Self::Waiting,
        Self::Sleeping,
        Self::Scheduled,
        Self::Ready,
        Self::Cancelled,
        Self::Completed,
    ];

    /// The name in lists and data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stranded => "stranded",
            Self::Overdue => "overdue",
            Self::Lost => "lost",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelling => "cancelling",
            Self::Settling => "settling",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Sleeping => "sleeping",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
        }
    }

    /// The same of an execution: one that may be claimed is called what the library stores.
    pub const fn of_execution(self) -> &'static str {
        match self {
            Self::Ready => "pending",
            other => other.name(),
        }
    }

    /// How much attention it needs.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Stranded | Self::Unreadable => Severity::Critical,
            Self::Overdue | Self::Lost | Self::Failed | Self::TimedOut => Severity::Warning,
            Self::Cancelling
            | Self::Settling
            | Self::Running
            | Self::Waiting
            | Self::Sleeping
            | Self::Scheduled
            | Self::Ready => Severity::Pending,
            Self::Cancelled | Self::Completed => Severity::Ok,
        }
    }

    /// Reads a name back. A stored `pending` is what is `ready` or later.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "pending" {
            return Some(Self::Ready);
        }
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The state of a task.
pub fn task(task: &Task, now: Wall) -> State {
    match &task.state {
        TaskState::Completed => State::Completed,
        TaskState::Failed => State::Failed,
        TaskState::Running => match task.lease_expires_at {
            Some(lease) if lease < now => State::Lost,
            Some(_) => State::Running,
            // A claim writes both; without a lease no worker ever takes it over.
            None => State::Unreadable,
        },
        TaskState::Pending if task.kind == TaskKind::Signal => State::Waiting,
        TaskState::Pending if task.scheduled_for.is_some_and(|at| at > now) => State::Scheduled,
        TaskState::Pending => State::Ready,
        TaskState::Other(_) => State::Unreadable,
    }
}

/// What the open tasks of an execution are at that wait for no other open task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leaves {
    /// One waits for a signal.
    pub waiting: bool,
    /// One is to begin later.
    pub scheduled: bool,
    /// One could be claimed now.
    pub ready: bool,
    /// One is claimed.
    pub running: bool,
}

impl Leaves {
    /// From the letters by which the stores name them: `w`, `s`, `o` and `r`.
    pub fn parse(letters: &str) -> Self {
        let has = |letter: char| letters.contains(letter);
        Self { waiting: has('w'), scheduled: has('s'), ready: has('o'), running: has('r') }
    }

    /// What a running execution is at: working, unless its only open leaves wait for a signal or a time.
    pub fn state(self) -> State {
        match self {
            Self { running: true, .. } | Self { ready: true, .. } => State::Running,
            Self { waiting: true, .. } => State::Waiting,
            Self { scheduled: true, .. } => State::Sleeping,
            _ => State::Running,
        }
    }
}
