//! Where journals are, and the lines behind the plan in each.

use std::path::{Path, PathBuf};

use sen_core::model::report::Item;
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
