//! What the lines of evidence on a root task and on a replay are known by. Pure.

use crate::port::Look;

/// How the line with the result of a root task begins.
pub(crate) const RESULT: &str = "the result of its root task: ";

/// What a line has that names the task of a replay.
pub(crate) const REPLAYED: &str = " replayed as task ";

/// The completed root task of the execution that was looked for.
pub(crate) fn root_of(look: &Look) -> Option<String> {
    Some(look.execution.as_ref()?.completed_root()?.id.clone())
}
