//! Results that rows state. Pure.

use crate::codec::{Codec, Outcome, decode};
use crate::port::Look;
use crate::record::{Task, TaskKind, TaskState};
use crate::words::name;
use sen_model::record::StatedResult;

/// How many tasks of an execution are read for their results.
const TASKS: usize = 8;

/// The result of an execution or of a task.
pub(crate) fn of(look: &Look) -> Vec<StatedResult> {
    let execution = look.execution.as_ref().map(|whole| &whole.execution);
    let own = execution.and_then(|one| stated(one.result.as_deref()?, format!("execution {}", one.id)));
    let task = look.task.as_ref().filter(|task| task.state == TaskState::Completed);
    let task = task.and_then(|task| {
        let source = format!("task {} ({})", task.id, name(task.step_name.as_deref()));
        stated(task.result.as_deref()?, source)
    });
    own.into_iter().chain(task).collect()
}

/// The tasks of an execution that have completed.
pub(crate) fn tasks(look: &Look) -> Vec<String> {
    let done = |task: &&Task| task.state == TaskState::Completed && task.kind != TaskKind::Signal;
    let all = look.execution.iter().flat_map(|whole| &whole.tasks).filter(done);
    all.take(TASKS).map(|task| task.id.clone()).collect()
}

fn stated(payload: &[u8], source: String) -> Option<StatedResult> {
    let decoded = decode(payload);
    let is_one = decoded.codec != Codec::Empty && decoded.outcome != Outcome::Error && decoded.json != "null";
    is_one.then_some(StatedResult { json: decoded.json, source })
}
