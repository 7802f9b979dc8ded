//! What a shell completes with values from the database.

/// A kind of value that shell completion queries from the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Live {
    /// A key or id of any kind.
    Any,
    /// A lease's key.
    Lease,
    /// A namespace of keys.
    Namespace,
    /// An execution's id.
    Execution,
    /// A task's id.
    Task,
    /// A queue.
    Queue,
    /// A worker.
    Worker,
    /// A dead letter's id.
    DeadLetter,
    /// A group of dead letters.
    Group,
    /// A saga's id.
    Saga,
    /// A table of sagas.
    SagaTable,
    /// An agent task's id.
    AgentTask,
}
