//! What became of each item of a plan. Counting is pure, so that exit codes can be tested without a database.

use serde::Serialize;

use crate::ident::OperationId;
use crate::model::subject::Subject;

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Written and committed.
    Applied,
    /// It already was as wanted.
    AlreadyDone,
    /// It no longer was as seen; nothing was written.
    Changed,
    /// It is gone; nothing was written.
    Missing,
    /// Left alone on purpose.
    Skipped,
    /// The database refused; nothing was written.
    Failed,
    /// The connection was lost while committing and the truth could not be had.
    Unknown,
}

impl Outcome {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyDone => "already_done",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One item's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is about.
    pub subject: Subject,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, or what it is now.
    pub detail: String,
}

/// The outcome of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The plan's operation id.
    pub operation: OperationId,
    /// One entry per item looked at.
    pub items: Vec<Item>,
}

impl Report {
    /// How many items had `outcome`.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.items.iter().filter(|item| item.outcome == outcome).count()
    }
}
