//! What became of agent tasks that were acted on.

use sen_model::course::{Act, Course, Followed, Now};
use sen_model::error::Result;
use sen_model::rows::RowChange;
use sen_model::time::Timestamp;

use crate::handle::Node;
use crate::port::Depth;
use crate::record::{Status, Task};
use crate::verdict::{self, State};

/// The error of the task that was changed.
pub(crate) fn failed_with(changes: &[RowChange]) -> Option<String> {
    changes.first()?.was("error").filter(|error| !error.is_empty())
}

/// How a task stands after this act.
fn of_task(task: &Task, verb: &str, now: Timestamp) -> Now {
    let state = verdict::state(task, now);
    let course = match state {
        State::Cancelled if verb == "cancel" => Course::Succeeded,
        State::Completed | State::CompletedWithErrors if verb == "cancel" => Course::EndedOtherwise,
        State::Cancelled => Course::EndedOtherwise,
        State::Completed => Course::Succeeded,
        State::Failed | State::OutOfAttempts | State::CompletedWithErrors => Course::DiedAgain,
        State::WorkerGone | State::Retrying => Course::Stuck,
        State::Unreadable => Course::Unknown,
        State::Queued | State::LeaseExpired => Course::Waiting,
        State::OverCostLimit if task.status == Some(Status::Queued) => Course::Waiting,
        State::Running | State::OverCostLimit => Course::Running,
    };
    let told = Now::new(course, state.name());
    match state {
        State::WorkerGone => {
            told.noting("the heartbeat of its worker is gone; no worker claims it until it is requeued")
        }
        State::Retrying => told.noting("marked for a retry, and no worker claims that"),
        State::Unreadable => told.noting("its hash cannot be judged"),
        State::CompletedWithErrors if course == Course::DiedAgain => {
            told.noting("marked completed, but nodes of it failed").failing(task.error.clone())
        }
        State::Cancelled if course == Course::EndedOtherwise => told.noting("it was cancelled"),
        _ if course == Course::DiedAgain => told.failing(task.error.clone()),
        _ => told,
    }
}

impl Node {
    /// How these stand after this act.
    pub(crate) async fn courses_of(&self, act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        let ids: Vec<String> = targets.iter().map(|target| target.id().to_owned()).collect();
        let (now, tasks) = self.store.peek(&ids, Depth::Checkpoints).await?;
        let verb = act.verb().unwrap_or_default();
        let gone = || Now::unknown("the task no longer exists");
        Ok(tasks.iter().map(|task| task.as_ref().map_or_else(gone, |task| of_task(task, verb, now))).collect())
    }
}
