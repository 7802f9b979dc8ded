//! Work under way, for those who watch a database.

use crate::time::Timestamp;

/// A record that is being worked on, or that waits for a worker, a time or an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The system's name.
    pub system: &'static str,
    /// Its key or id.
    pub id: String,
    /// Its state, as lists name it.
    pub state: &'static str,
    /// The function, saga or type of task, where it has a name besides its id.
    pub what: Option<String>,
    /// The worker that has it.
    pub worker: Option<String>,
    /// Its start, or its last change where no start is kept.
    pub since: Option<Timestamp>,
    /// When its lease, deadline or expiry ends.
    pub until: Option<Timestamp>,
    /// Whether it has begun, as far as its system tells.
    pub begun: bool,
}
