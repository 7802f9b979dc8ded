//! What a cancel leaves behind: tasks that it ended, which does not mean that they failed. Pure.
//!
//! A cancel (by this program or the library itself) writes `Exception("Execution cancelled")` into the execution's open
//! tasks. A worker that runs one of them continues all the same; an orchestrator that awaits one gets that exception, ends
//! with it, becomes a dead letter and marks the execution failed.

use std::collections::HashSet;

use crate::codec::decode;
use crate::port::Whole;
use crate::record::{Task, TaskKind, TaskState};
use crate::words::{name, since};
use sen_model::time::wall::Wall;

/// The text of the exception.
const TEXT: &str = "Execution cancelled";
/// How many steps are named.
const NAMED: usize = 3;

/// The exception as the library's JSON codec stores it. As a word, for statements.
macro_rules! cancelled_json {
    () => {
        r#"{"__type__": "Exception", "cls": "Exception", "message": "Execution cancelled", "traceback": null, "attributes": {}}"#
    };
}
/// The same as Python pickles it (protocol 4), in hexadecimal digits.
#[cfg(any(test, feature = "postgres", feature = "sqlite"))]
macro_rules! cancelled_pickle {
    () => {
        "80049534000000000000008c086275696c74696e73948c09457863657074696f6e9493948c13457865637574696f6e2063616e63656c6c656494859452942e"
    };
}
pub(crate) use cancelled_json;
#[cfg(any(test, feature = "postgres", feature = "sqlite"))]
pub(crate) use cancelled_pickle;

/// Whether this is the text of a cancel's exception. What the JSON codec makes again of it is wrapped and names its class.
pub fn is_text(text: &str) -> bool {
    let mut text = text.strip_prefix("builtins.").unwrap_or(text);
    while let Some(rest) = text.strip_prefix("Exception: ") {
        text = rest;
    }
    text == TEXT
}

/// Whether this error is that of a cancel.
pub fn is_error(error: &[u8]) -> bool {
    decode(error).exception.is_some_and(|exception| is_text(&exception.line()))
}

/// Whether a cancel ended this task, or the one it awaited.
pub fn stopped(task: &Task) -> bool {
    task.state == TaskState::Failed && task.error.as_deref().is_some_and(is_error)
}

/// The tasks that a cancel ended in the newest round of an execution: its newest root task and all below that.
pub(crate) fn stopped_in(whole: &Whole) -> Vec<&Task> {
    let root =
        |task: &&Task| task.kind == TaskKind::Orchestrator && task.parent_task_id.as_deref().is_none_or(str::is_empty);
    let newest = whole.tasks.iter().filter(root).max_by_key(|task| task.created_at);
    let mut round: HashSet<&str> = newest.map(|task| task.id.as_str()).into_iter().collect();
    // Tasks come by time of creation, but equal times are in no order: until nothing more is found.
    loop {
        let before = round.len();
        let below = |task: &&Task| task.parent_task_id.as_deref().is_some_and(|parent| round.contains(parent));
        let found: Vec<&str> = whole.tasks.iter().filter(below).map(|task| task.id.as_str()).collect();
        round.extend(found);
        if round.len() == before {
            break;
        }
    }
    whole.tasks.iter().filter(|task| (round.is_empty() || round.contains(task.id.as_str())) && stopped(task)).collect()
}

/// The sentence about an execution that a cancel stopped and its orchestrator then marked failed.
pub(crate) fn told(whole: &Whole, stopped: &[&Task], now: Wall) -> Option<String> {
    let at = stopped.iter().filter_map(|task| task.completed_at).min();
    let record =
        whole.progress.iter().rev().find_map(|step| step.detail.as_deref()?.strip_prefix("execution cancelled "));
    let by = record.map_or_else(|| " (who did is not recorded)".into(), |record| format!(" {record}"));
    let mut steps: Vec<&str> = stopped
        .iter()
        .filter(|task| task.kind != TaskKind::Orchestrator && task.kind != TaskKind::Signal)
        .map(|task| name(task.step_name.as_deref()))
        .collect();
    steps.dedup();
    let more = steps.len().saturating_sub(NAMED);
    steps.truncate(NAMED);
    let what = match (steps.is_empty(), more) {
        (true, _) => "its steps".into(),
        (false, 0) => steps.join(", "),
        (false, more) => format!("{} and {more} more", steps.join(", ")),
    };
    stopped.first()?;
    Some(format!(
        "it was cancelled {} ago{by}: {what} did not fail: the cancel stopped that, and it may still be running or have happened",
        since(at, now)
    ))
}

/// The same of one task.
pub(crate) fn told_of(task: &Task, now: Wall) -> String {
    let ago = since(task.completed_at, now);
    match task.kind {
        TaskKind::Orchestrator => {
            format!("it was stopped by a cancel {ago} ago; the steps it awaited may still be running or have happened")
        }
        _ => format!("it was stopped by a cancel {ago} ago; it may still be running or have happened"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_is_told_by_its_exception_alone() {
        for text in ["Execution cancelled", "Exception: Execution cancelled", "builtins.Exception: Execution cancelled"]
        {
            assert!(is_text(text), "{text}");
        }
        for text in ["ValueError: Execution cancelled", "Execution cancelled by maria", "Exception: cancelled", ""] {
            assert!(!is_text(text), "{text}");
        }
        let wrapped = br#"{"__type__": "Exception", "cls": "DeserializedException", "message": "Exception: Execution cancelled", "traceback": "x", "attributes": {}}"#;
        let other = br#"{"__type__": "Exception", "cls": "KeyError", "message": "Execution cancelled", "traceback": null, "attributes": {}}"#;
        assert!(is_error(cancelled_json!().as_bytes()) && is_error(wrapped));
        assert!(!is_error(other) && !is_error(b"\"Execution cancelled\"") && !is_error(b""));
        let digits = cancelled_pickle!();
        let pickle: Vec<u8> =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or(0)).collect();
        assert!(is_error(&pickle));
        let written = crate::acts::rules::cancelled_error(crate::codec::Codec::Pickle);
        assert_eq!(written, Some(pickle.as_slice()));
    }
}
