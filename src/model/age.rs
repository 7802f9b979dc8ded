//! How old a record is.

use crate::time::Timestamp;

/// What happened to a record last, and when: `last change`, `ended`, `died`. It stands with the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// What happened.
    pub what: &'static str,
    /// When; `None` where that is not stored.
    pub at: Option<Timestamp>,
}

impl Age {
    /// What happened at this moment.
    pub const fn of(what: &'static str, at: Option<Timestamp>) -> Self {
        Self { what, at }
    }
}
