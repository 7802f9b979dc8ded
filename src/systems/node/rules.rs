//! What may be done about a task, by its state: steps with their guards, or the reason why not. Pure.

use super::checkpoint::Effect;
use super::plan::TaskTarget;
use super::port::{Act, Verb};
use super::record::{Status, Task};
use super::verdict::{State, is_dead, state};
use crate::record::NAME;
use sen_model::report::{Item, Outcome};
use sen_model::subject::{Kind, Subject};
use sen_model::time::Timestamp;
use sen_model::verdict::NextCommand;

type Judgement = Result<TaskTarget, Box<Item>>;

/// The subject of a task.
pub fn subject(id: &str) -> Subject {
    Subject::new(NAME, Kind::AgentTask, id)
}

fn refuse(task: &Task, outcome: Outcome, why: impl Into<String>) -> Judgement {
    Err(Box::new(Item::new(subject(&task.id), outcome, why)))
}

fn target(task: &Task, verb: Verb) -> TaskTarget {
    TaskTarget { act: Act { id: task.id.clone(), verb, seen: task.seen.clone() }, warnings: Vec::new() }
}

fn unreadable(task: &Task) -> Option<String> {
    task.oddities().next().map(|finding| format!("it cannot be judged: {finding}"))
}

/// Marks a task that is not over as failed, as the controller does.
///
/// One that cannot be judged otherwise may be cancelled, too, if its status is known: workers that claim it fail over it.
pub fn cancel(task: &Task) -> Judgement {
    let odd = unreadable(task);
    if let (None, Some(why)) = (task.status, &odd) {
        return refuse(task, Outcome::Changed, why.as_str());
    }
    match task.status {
        Some(Status::Failed) if task.is_cancelled() => refuse(task, Outcome::AlreadyDone, "cancelled already"),
        Some(status) if status.is_over() => refuse(task, Outcome::Changed, format!("it is {} already", status.name())),
        _ => {
            let mut target = target(task, Verb::Cancel);
            // A worker that goes on saves the task, and it is to be cancelled all the same.
            target.act.seen.updated.clear();
            target.warnings.extend(odd);
            if task.is_held() && task.owner_alive != Some(false) {
                let owner = task.owner.as_deref().unwrap_or("its worker");
                target.warnings.push(format!(
                    "{owner} cannot be stopped from here, and saves the whole task when it ends: that undoes a cancel (--verify watches)"
                ));
            }
            Ok(target)
        }
    }
}

/// Gives a task whose worker is gone back to the queue, as the watcher does.
pub fn requeue(task: &Task, effects: &[Effect]) -> Judgement {
    if let Some(why) = unreadable(task) {
        return refuse(task, Outcome::Changed, why);
    }
    let owner = task.owner.as_deref().unwrap_or_default();
    match task.status {
        Some(Status::Queued) => refuse(task, Outcome::AlreadyDone, "queued already"),
        Some(Status::Failed) => refuse(
            task,
            Outcome::Changed,
            format!(
                "it failed; `{}` queues it with its attempts reset",
                NextCommand::new(&["sen", "dlq", "replay"], "").id(&task.id).command
            ),
        ),
        Some(Status::Completed) => refuse(task, Outcome::Changed, "it is completed already"),
        Some(Status::Leased | Status::InProgress) if task.owner.is_some() && task.owner_alive != Some(false) => refuse(
            task,
            Outcome::Changed,
            format!("the heartbeat of its worker {owner} is there: it may be at work, and two would run it at once"),
        ),
        _ => {
            // A task that moves between two looks has a living worker, whatever its heartbeat says: guarded by its time, too.
            let mut target = target(task, Verb::Requeue);
            if task.out_of_attempts() {
                target.warnings.push(format!(
                    "its attempts are used up ({} of {}), and a worker that claims it does not look at that: it runs again",
                    task.attempts, task.max_attempts
                ));
            }
            if !owner.is_empty() {
                target.warnings.push(format!(
                    "{owner} may still be acting if it is only cut off from Redis: then two workers run it"
                ));
            }
            target.warnings.extend(told(effects));
            Ok(target)
        }
    }
}

/// Queues a dead task again with its attempts reset.
pub fn replay(task: &Task, now: Timestamp) -> Judgement {
    if let Some(why) = unreadable(task) {
        return refuse(task, Outcome::Skipped, why);
    }
    if !is_dead(task, now) {
        let state = state(task, now).name().replace('_', " ");
        return refuse(task, Outcome::Changed, format!("it is no dead letter: it is {state}"));
    }
    Ok(target(task, Verb::Replay))
}

/// Whether a dead task is replayed without its id or `--force`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Replayability {
    /// It was cancelled on purpose.
    Cancelled,
    /// It is replayed.
    Replayable,
    /// Its hash cannot be read.
    Unreadable,
}

impl Replayability {
    /// The name in lists and data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Replayable => sen_model::letter::REPLAYABLE,
            Self::Unreadable => "unreadable",
        }
    }
}

/// Whether a dead task can be replayed.
pub fn replayability(task: &Task, now: Timestamp) -> Replayability {
    match state(task, now) {
        _ if unreadable(task).is_some() => Replayability::Unreadable,
        State::Cancelled => Replayability::Cancelled,
        _ => Replayability::Replayable,
    }
}

/// What the side effects of a task mean for another attempt.
pub fn told(effects: &[Effect]) -> Vec<String> {
    let names = |done: bool| -> Vec<&str> {
        effects.iter().filter(|effect| effect.is_done() == done).map(|effect| effect.key.as_str()).collect()
    };
    let mut out = Vec::new();
    let (done, begun) = (names(true), names(false));
    if !done.is_empty() {
        out.push(format!("done and not repeated: {}", done.join(", ")));
    }
    if !begun.is_empty() {
        out.push(format!("begun, with no result, and possibly repeated: {}", begun.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FIELDS, naive_utc};

    fn task(status: &str, owner: &str, alive: Option<bool>) -> Task {
        let pairs = [
            ("task_id", "t"),
            ("status", status),
            ("tenant_id", "a"),
            ("task_type", "r"),
            ("owner", owner),
            ("error", if status == "failed" { "boom" } else { "" }),
        ];
        let find = |field: &&str| pairs.iter().find(|(name, _)| name == field).map(|(_, text)| (*text).to_owned());
        Task { owner_alive: alive, ..Task::read("t".into(), FIELDS.iter().map(find).collect()) }
    }

    #[test]
    fn what_may_be_done() {
        let now = naive_utc("2026-11-20T20:00:00").unwrap();
        for (status, owner, alive, cancelled, requeued, replayed) in [
            ("queued", "", None, true, false, false),
            ("leased", "w", Some(true), true, false, false),
            ("leased", "w", Some(false), true, true, false),
            ("leased", "w", None, true, false, false),
            ("in_progress", "", None, true, true, false),
            ("retrying", "", None, true, true, false),
            ("failed", "w", None, false, false, true),
            ("completed", "w", None, false, false, false),
            ("paused", "w", None, false, false, false),
        ] {
            let task = task(status, owner, alive);
            assert_eq!(cancel(&task).is_ok(), cancelled, "cancel {status}");
            assert_eq!(requeue(&task, &[]).is_ok(), requeued, "requeue {status} {alive:?}");
            assert_eq!(replay(&task, now).is_ok(), replayed, "replay {status}");
        }
    }
}
