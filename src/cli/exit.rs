//! The exit codes: the one table. README and man page are generated from or compared with it.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error that none of the others names.
    Error = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Some items were not applied.
    Partial = 3,
    /// Not found.
    NotFound = 4,
    /// The state changed, or a precondition failed; nothing was written.
    Changed = 5,
    /// Cannot connect.
    Connect = 6,
    /// Refused: not confirmed, or read-only.
    Refused = 7,
    /// Still pending, or a wait timed out.
    Pending = 8,
    /// The outcome is unknown.
    Unknown = 9,
    /// Something needs attention (`--check`).
    Attention = 10,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Every code with its meaning, in numerical order.
pub const TABLE: &[(u8, &str)] = &[
    (0, "done (an act that finds its work already done also ends so, and a list without matches)"),
    (1, "error"),
    (2, "wrong usage or configuration, or a database that holds none of the systems asked for"),
    (3, "partial: some items were not applied"),
    (4, "not found"),
    (5, "state changed or precondition failed; nothing was written"),
    (6, "cannot connect"),
    (7, "refused: not confirmed, or read-only"),
    (8, "still pending, or a wait timed out"),
    (9, "outcome unknown: the connection was lost while committing; the operation id is printed"),
    (10, "needs attention (with --check)"),
    (130, "interrupted"),
];
