//! Where journals are, and the lines behind the plan in each.

use std::path::{Path, PathBuf};

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::ident::OperationId;
use sen_core::model::report::Item;
use sen_core::model::rows::RowChange;
use sen_core::model::subject::Subject;
use serde::{Deserialize, Serialize};

/// A line behind the plan.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What became of the target at this place, and when by the clock of this machine.
    Settled {
        /// Its place in the plan.
        place: usize,
        /// What became of it.
        item: Item,
        /// When.
        #[serde(default)]
        at: Option<i64>,
    },
    /// What a transaction changed of the target at this place, as the journal in the database tells it.
    Changed {
        /// Its place in the plan.
        place: usize,
        /// The target.
        subject: Subject,
        /// Its rows.
        #[serde(default)]
        changes: Vec<RowChange>,
    },
    /// The run that begins here, as the journal in the database names it.
    Run {
        /// Its name.
        run: String,
    },
    /// A run begins here, after the plan or where an earlier one was stopped. Without an end behind it the run was killed, or could
    /// not write on: what became of the rest is not told.
    Begun {
        /// The brakes it has, as options of a command.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        brakes: Vec<String>,
    },
    /// The end of a run: by the clock of this machine, and whether everything was as wanted.
    Ended {
        /// When.
        at: i64,
        /// Whether it was stopped.
        interrupted: bool,
        /// Whether everything was as wanted.
        complete: bool,
        /// Why its brakes let nothing more be begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped: Option<String>,
        /// The brakes it had, as options of a command.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        brakes: Vec<String>,
    },
}

/// Where journals are kept: `$XDG_STATE_HOME/sen/operations`.
pub fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .map(|state| state.join("sen/operations"))
        .or_else(|| Some(absolute("HOME")?.join(".local/state/sen/operations")))
}

/// The journal of an operation.
pub fn path_of(folder: &Path, operation: &str) -> PathBuf {
    folder.join(format!("{operation}.jsonl"))
}

/// Refuses a plan that was applied from here before.
///
/// # Errors
/// `Refused`.
pub fn not_from_here(operation: OperationId) -> Result<()> {
    let operation = operation.to_string();
    match folder() {
        Some(folder) if path_of(&folder, &operation).exists() => Err(applied_before(&operation)),
        _ => Ok(()),
    }
}

/// Why a plan is not applied a second time.
pub fn applied_before(operation: &str) -> Error {
    Error::new(ErrorKind::Refused, format!("the plan {operation} was applied before; a plan is applied once"))
        .with_hint(format!("sen op show {operation}   # what became of it; sen op resume applies what is left"))
}
