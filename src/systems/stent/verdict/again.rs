//! What is tried again, and what runs again when a worker takes lost work up. Pure.

use crate::port::Whole;
use crate::record::{Progress, Task, TaskKind, TaskState};
use crate::words::{name, span};
use sen_model::time::wall::Wall;

/// The library's own number of tries where a policy does not say.
const TRIES: i64 = 3;
/// How many steps are named.
const NAMED: usize = 3;

/// Whether a task waits for its next try after one that failed.
pub(crate) fn backs_off(task: &Task, now: Wall) -> bool {
    task.state == TaskState::Pending
        && task.retries.unwrap_or_default() > 0
        && task.scheduled_for.is_some_and(|due| due > now)
}

/// How many tries its policy allows.
pub(crate) fn tries(task: &Task) -> i64 {
    let policy = task.retry_policy.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    policy.and_then(|policy| policy.get("max_attempts")?.as_i64()).unwrap_or(TRIES)
}

/// A task between two tries: which failed, of how many, why, and when the next one is due.
pub(crate) fn backoff(task: &Task, progress: &[Progress], now: Wall) -> Option<String> {
    let due = task.scheduled_for.filter(|_| backs_off(task, now))?;
    let failed = task.retries.unwrap_or_default();
    let of_it = |step: &&Progress| step.status.as_deref() == Some("failed") && step.step == task.step_name;
    let error = progress.iter().rfind(of_it).and_then(|step| step.detail.as_deref());
    let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
    Some(format!(
        "{} failed at try {failed} of {}{error}; the next try is due in {}",
        name(task.step_name.as_deref()),
        tries(task),
        span(now, due)
    ))
}

/// The names of the steps, each once and sorted.
fn names<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Vec<&'a str> {
    let mut names: Vec<&str> = tasks.into_iter().map(|task| name(task.step_name.as_deref())).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The first few of them.
fn few(names: &[&str]) -> String {
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    format!("{}{more}", names[..names.len().min(NAMED)].join(" and "))
}

/// What a worker that takes these lost tasks up runs again: the tasks themselves from their start, and the finished steps of
/// an orchestrator that are not idempotent. A lost step of a lost orchestrator runs twice more: its task is claimed as any
/// other is, and the orchestrator, which knows nothing of it, makes a new one.
pub(crate) fn runs_again(whole: &Whole, lost: &[&Task], now: Wall) -> Option<String> {
    let restarted = |task: &Task| {
        let parent = task.parent_task_id.as_deref()?;
        let over = |task: &Task| task.lease_expires_at.is_some_and(|lease| lease < now);
        whole.tasks.iter().find(|other| other.id == parent && other.state == TaskState::Running && over(other))
    };
    let (twice, once): (Vec<&Task>, Vec<&Task>) = lost.iter().partition(|task| restarted(task).is_some());
    let mut told = Vec::new();
    if let Some(first) = once.first() {
        let of_lost =
            |task: &&Task| task.parent_task_id.as_ref().is_some_and(|id| once.iter().any(|one| one.id == *id));
        let done = whole.tasks.iter().filter(of_lost).filter(|task| {
            task.kind != TaskKind::Signal && task.state == TaskState::Completed && task.idempotency_key.is_none()
        });
        let count = done.clone().count();
        let steps = names(done);
        let from = if first.kind == TaskKind::Orchestrator { " from the start" } else { "" };
        let parts: Vec<&str> = once.iter().map(|task| name(task.step_name.as_deref())).collect();
        let again = format!("the next worker to poll runs {} again{from}", few(&parts));
        told.push(match count {
            0 => again,
            1 => format!("{again}, with its finished step {}, which is not idempotent", steps[0]),
            _ => {
                let named = steps.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
                let rest = if steps.len() > NAMED { ", …" } else { "" };
                format!("{again}, with {count} finished steps that are not idempotent ({named}{rest})")
            }
        });
    }
    if !twice.is_empty() {
        let (tasks, new) =
            if twice.len() == 1 { ("its lost task", "a new one") } else { ("their lost tasks", "new ones") };
        let (steps, parents) = (names(twice.iter().copied()), names(twice.iter().filter_map(|task| restarted(task))));
        told.push(format!(
            "{} may run twice more: {tasks} again, and {new} by the restarted {} (cancelling the execution prevents it)",
            few(&steps),
            few(&parents)
        ));
    }
    (!told.is_empty()).then(|| told.join("; "))
}
