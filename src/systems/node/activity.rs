//! Tasks under way, and the names of workers.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use futures_util::StreamExt as _;

use sen_model::activity::Activity;
use sen_model::error::Result;
use sen_model::verdict::Severity;

use super::handle::Node;
use super::port::Depth;
use super::record::{NAME, Task};
use super::verdict::{State, state};

fn activity(task: Task, state: State) -> Activity {
    Activity {
        system: NAME,
        id: task.id,
        state: state.name(),
        what: task.task_type,
        worker: task.owner,
        since: [task.updated_at, task.created_at].into_iter().flatten().find(|at| at.is_finite()),
        until: task.lease_expires.filter(|at| at.is_finite()),
        begun: state == State::Running,
    }
}

/// Keeps the newest `most`; of equals the smaller id comes first.
fn keep_newest(tasks: &mut Vec<(Task, State)>, most: usize) {
    tasks.sort_by(|(left, _), (right, _)| {
        Reverse(left.created_at).cmp(&Reverse(right.created_at)).then_with(|| left.id.cmp(&right.id))
    });
    tasks.truncate(most);
}

impl Node {
    /// At most `limit` tasks that are queued or run, the newest first.
    pub(super) async fn activities(&self, limit: u64) -> Result<Vec<Activity>> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut tasks = self.store.tasks(Depth::Plain).await?;
        while let Some(part) = tasks.next().await {
            let part = part?;
            let judged = part.tasks.into_iter().map(|task| (state(&task, part.now), task));
            found.extend(
                judged.filter(|(state, _)| state.severity() == Severity::Pending).map(|(state, task)| (task, state)),
            );
            // All tasks pass by here: memory must not grow with them.
            if found.len() / 2 > most {
                keep_newest(&mut found, most);
            }
        }
        keep_newest(&mut found, most);
        Ok(found.into_iter().map(|(task, state)| activity(task, state)).collect())
    }

    /// The names of workers: those with a heartbeat, and those that hold a task.
    pub(super) async fn worker_names(&self) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        let mut tasks = self.store.tasks(Depth::Plain).await?;
        while let Some(part) = tasks.next().await {
            names.extend(part?.tasks.into_iter().filter(Task::is_held).filter_map(|task| task.owner));
        }
        let (_, beats) = self.store.heartbeats(None).await?;
        names.extend(beats.into_iter().map(|beat| beat.worker_id));
        names.remove("");
        Ok(names.into_iter().collect())
    }
}
