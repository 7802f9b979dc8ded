//! The names by which executions, tasks and dead letters are known to the rest of the program.

use sen_model::choices;
use sen_model::subject::{Kind, Subject};

/// The system's name.
pub const NAME: &str = "stent";

/// The kind of a list of tasks.
pub const TASKS: &str = "task";

choices! {
    /// What the database stores of an execution, and what a verdict says of it.
    pub enum ExecutionListState {
        /// Stored, and a verdict.
        Pending = "pending",
        /// Stored, and a verdict.
        Running = "running",
        /// Stored, and a verdict.
        Completed = "completed",
        /// Stored, and a verdict.
        Failed = "failed",
        /// Stored, and a verdict.
        TimedOut = "timed_out",
        /// Stored.
        Cancelling = "cancelling",
        /// Stored, and a verdict.
        Cancelled = "cancelled",
        /// Not ended, and no task is left that would go on.
        Stranded = "stranded",
        /// Past its expiry and not ended.
        Overdue = "overdue",
        /// Running, and the worker's lease has ended.
        Lost = "lost",
        /// Waits for a signal.
        Waiting = "waiting",
        /// Sleeps.
        Sleeping = "sleeping",
        /// Its end is being written.
        Settling = "settling",
        /// Due later.
        Scheduled = "scheduled",
        /// No version writes such a row.
        Unreadable = "unreadable",
    }
}

choices! {
    /// What the database stores of a task, and what a verdict says of it.
    pub enum TaskListState {
        /// Stored.
        Pending = "pending",
        /// Stored, and a verdict.
        Running = "running",
        /// Stored, and a verdict.
        Completed = "completed",
        /// Stored, and a verdict.
        Failed = "failed",
        /// Waits for a worker.
        Ready = "ready",
        /// Due later.
        Scheduled = "scheduled",
        /// Waits for a signal.
        Waiting = "waiting",
        /// Running, and the worker's lease has ended.
        Lost = "lost",
        /// No version writes such a row.
        Unreadable = "unreadable",
    }
}

choices! {
    /// Orders of executions and tasks, the newest first.
    pub enum ListOrder {
        /// By when it was made.
        Created = "created",
        /// By when it was started, of those that are.
        Started = "started",
        /// By when it ended, of those that have.
        Completed = "completed",
    }
}

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
