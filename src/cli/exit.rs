//! The table of exit codes. README and man page are generated from it or compared with it.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// An error that none of the others names.
    Error,
    /// Wrong usage or configuration.
    Usage,
    /// Some items were not applied.
    Partial,
    /// Not found.
    NotFound,
    /// The state changed, or a precondition failed; nothing was written.
    Changed,
    /// Cannot connect, or the connection was lost before anything was written.
    Connect,
    /// Refused: not confirmed, or read-only.
    Refused,
    /// Still pending, or a wait timed out.
    Pending,
    /// The outcome is unknown.
    Unknown,
    /// Something needs attention (`--check`).
    Attention,
    /// Interrupted.
    Interrupted,
    /// `once`: another owner holds the key.
    Held,
    /// `once`: the key is uncertain or being reconciled.
    Unsettled,
    /// `once`: `sen` failed before the command was started.
    NotStarted,
    /// `once`: the command cannot be run.
    CannotRun,
    /// `once`: there is no such command.
    NoCommand,
    /// `once`: the command's own code, or one the operator chose.
    Own(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::NotFound => 4,
            Self::Changed => 5,
            Self::Connect => 6,
            Self::Refused => 7,
            Self::Pending => 8,
            Self::Unknown => 9,
            Self::Attention => 10,
            Self::Interrupted => 130,
            Self::Held => 75,
            Self::Unsettled => 76,
            Self::NotStarted => 125,
            Self::CannotRun => 126,
            Self::NoCommand => 127,
            Self::Own(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Every code with its meaning, in numerical order.
pub const TABLE: &[(u8, &str)] = &[
    (0, "done (an act that finds its work already done also ends so, and a list without matches)"),
    (1, "error"),
    (2, "wrong usage or configuration, or a database that holds none of the systems asked for"),
    (3, "partial: some items were not applied, or (op show) died again"),
    (4, "not found"),
    (5, "state changed or precondition failed; nothing was written"),
    (6, "cannot connect, or the connection was lost; nothing was written"),
    (7, "refused: not confirmed, or read-only"),
    (8, "still pending, a wait timed out, or brakes stopped an act without a verdict"),
    (9, "outcome unknown: the connection was lost while committing; the operation id is printed"),
    (10, "needs attention (with --check, and of wait)"),
    (75, "once: the key is held elsewhere (--conflict-exit-code sets another)"),
    (76, "once: the key is uncertain or being reconciled, or became so under this command; a person must settle it"),
    (125, "once: sen failed before the command was started"),
    (126, "once: the command cannot be run; nothing ran, and the key is free again"),
    (127, "once: there is no such command; nothing ran, and the key is free again"),
    (130, "interrupted"),
];
