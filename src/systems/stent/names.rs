//! The names by which executions, tasks and dead letters are known to the rest of the program.

use sen_model::subject::{Kind, Subject};

/// The system's name.
pub const NAME: &str = "stent";

/// The kind of a list of tasks.
pub const TASKS: &str = "task";

/// The states `sen exec list --state` takes: what the database stores, and what a verdict says.
pub const EXECUTION_STATES: &[&str] = &[
    "pending",
    "running",
    "completed",
    "failed",
    "timed_out",
    "cancelling",
    "cancelled",
    "stranded",
    "overdue",
    "lost",
    "waiting",
    "sleeping",
    "settling",
    "scheduled",
    "unreadable",
];

/// The states `sen task list --state` takes.
pub const TASK_STATES: &[&str] =
    &["pending", "running", "completed", "failed", "ready", "scheduled", "waiting", "lost", "unreadable"];

/// An execution as a subject.
pub(crate) fn execution(id: &str) -> Subject {
    Subject::new(NAME, Kind::Execution, id)
}

/// A task as a subject.
pub(crate) fn task(id: &str) -> Subject {
    Subject::new(NAME, Kind::Task, id)
}

/// A dead letter as a subject.
pub(crate) fn dead_letter(id: &str) -> Subject {
    Subject::new(NAME, Kind::DeadLetter, id)
}
