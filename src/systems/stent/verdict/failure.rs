//! What failed, and whether the library tried it again. Pure.

use crate::cancelled;
use crate::codec::decode;
use crate::port::Whole;
use crate::record::{Task, TaskKind, TaskState};
use crate::words::name;

/// An error's one line: `ConnectionError: provider unreachable`.
pub fn error_line(payload: &[u8]) -> Option<String> {
    let decoded = decode(payload);
    match decoded.exception {
        Some(exception) => Some(exception.line()),
        None if decoded.json == "null" => None,
        None => Some(serde_json::from_str::<String>(&decoded.json).unwrap_or(decoded.json)),
    }
}

/// How many tries the policy of a task that failed allows, where it failed before they were used up: the library tries what its
/// policy covers until they are (`executor_worker.py`), so the policy does not cover this error. None where no policy is stored.
pub(crate) fn allowed_tries(retries: Option<i64>, policy: Option<&str>) -> Option<i64> {
    let policy: serde_json::Value = serde_json::from_str(policy?).ok()?;
    let allowed = policy.get("max_attempts")?.as_i64()?;
    (retries? + 1 < allowed).then_some(allowed)
}

/// The same of a task.
pub(crate) fn not_retried(task: &Task) -> Option<i64> {
    let ended = task.error.as_deref().and_then(error_line).is_some_and(|error| error.ends_with(TIMED_OUT));
    let failed = task.state == TaskState::Failed && !ended && !cancelled::stopped(task);
    allowed_tries(task.retries, task.retry_policy.as_deref()).filter(|_| failed)
}

/// What an error that is not retried means for a replay.
pub(crate) const FAILS_AGAIN: &str =
    "its retry policy does not cover this error, so a replay probably fails the same way unless its cause is gone";

/// What a worker writes as the error of a task that it ends because the expiry of the execution has passed (`executor_worker.py`).
pub(crate) const TIMED_OUT: &str = "Execution timed out";

/// The first task that failed: an orchestrator often reports the failure of a step in other words.
pub(crate) fn first_failed(look: &Whole) -> Option<&Task> {
    let failed = |task: &&Task| task.state == TaskState::Failed && task.error.is_some() && !cancelled::stopped(task);
    look.tasks.iter().filter(failed).min_by_key(|task| (task.completed_at, task.kind == TaskKind::Orchestrator))
}

/// The same in words, with how often it was tried.
pub(crate) fn first_failure(look: &Whole) -> Option<String> {
    let first = first_failed(look)?;
    let error = error_line(first.error.as_deref()?)?;
    let tries = first.retries.unwrap_or_default() + 1;
    let tries = match not_retried(first) {
        Some(allowed) => format!("try {tries} of {allowed}, and it was not tried again ({FAILS_AGAIN})"),
        None if tries == 1 => "the only try".to_owned(),
        None => format!("try {tries}"),
    };
    Some(format!("first to fail was {}, at {tries}: {error}", name(first.step_name.as_deref())))
}
