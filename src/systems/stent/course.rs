//! What became of replayed dead letters and of executions that were acted on.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sen_model::course::{Act, Course, Followed, Now};
use sen_model::error::Result;
use sen_model::prepared::Action as _;
use sen_model::rows::RowChange;

use crate::cancelled;
use crate::codec::decode;
use crate::handle::Stent;
use crate::letters::port::{Fact, LetterQuery};
use crate::list::ListFilter;
use crate::names::{ExecutionListState, TaskListState};
use crate::plan::LetterAction;
use crate::port::{ExecutionQuery, Listed};
use crate::record::Task;
use crate::state::State;
use crate::verdict;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;

/// The error that a dead letter died of.
pub(crate) fn failed_with(changes: &[RowChange]) -> Option<String> {
    changes.iter().find(|change| change.table == "dead_tasks")?.was("reason").filter(|reason| tells(reason))
}

/// Whether the reason of a dead letter tells anything. An orchestrator that a step's `OSError` has ended has this one, whatever
/// the error was (the library makes the exception anew from its class alone): the real one is in the letter of the step.
fn tells(reason: &str) -> bool {
    reason != "[Errno None] None: None -> None"
}

/// The error of a failure, in one line.
fn error(bytes: Option<&[u8]>) -> Option<String> {
    Some(decode(bytes?).exception?.line())
}

/// How a task that is to run stands.
fn of_task(task: &Task, now: Wall) -> Now {
    let state = verdict::task(task, now);
    let course = match state {
        State::Completed => Course::Succeeded,
        State::Failed if cancelled::stopped(task) => Course::EndedOtherwise,
        State::Failed => Course::DiedAgain,
        State::Running => Course::Running,
        State::Unreadable => Course::Unknown,
        _ => Course::Waiting,
    };
    let told = Now::new(course, state.name());
    match state {
        State::Failed if course == Course::EndedOtherwise => told.noting("it was cancelled"),
        State::Failed => told.failing(error(task.error.as_deref())),
        State::Lost => told.noting("its worker is probably lost; the next one to poll runs it again"),
        State::Unreadable => told.noting("its row cannot be judged"),
        _ => told,
    }
}

/// How an execution stands after this act.
fn of_execution(listed: &Listed, verb: &str, now: Wall) -> Now {
    let state = verdict::listed(listed, now);
    let course = match (verb, state) {
        ("cancel", State::Cancelled | State::Failed | State::TimedOut) => Course::Succeeded,
        ("cancel", State::Completed) => Course::EndedOtherwise,
        (_, State::Completed) => Course::Succeeded,
        (_, State::Failed | State::TimedOut) => Course::DiedAgain,
        (_, State::Cancelled) => Course::EndedOtherwise,
        (_, State::Stranded) => Course::Stuck,
        (_, State::Unreadable) => Course::Unknown,
        (_, State::Running | State::Settling | State::Cancelling) => Course::Running,
        (_, State::Overdue | State::Lost | State::Waiting | State::Sleeping | State::Scheduled | State::Ready) => {
            Course::Waiting
        }
    };
    let told = Now::new(course, state.of_execution());
    match state {
        State::Stranded => told.noting("unfinished, but no runnable task left"),
        State::Unreadable => told.noting("its row cannot be judged"),
        _ if course == Course::DiedAgain => told.failing(error(listed.execution.error.as_deref())),
        _ => told,
    }
}

impl Stent {
    /// How these stand after this act.
    pub(crate) async fn courses_of(&self, act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        if act.kind == LetterAction::KIND {
            return self.replays(targets).await;
        }
        let verb = act.verb().unwrap_or_default();
        let rows = self.store.executions(&self.by_ids::<ExecutionListState>(targets.iter().map(Followed::id))).await?;
        let now = self.zone.wall(rows.now);
        let listed: Vec<Listed> = rows.chunks.try_concat().await?;
        let mut found: HashMap<&str, Now> =
            listed.iter().map(|one| (one.execution.id.as_str(), of_execution(one, verb, now))).collect();
        let gone = || Now::unknown("the execution no longer exists");
        Ok(targets.iter().map(|target| found.remove(target.id()).unwrap_or_else(gone)).collect())
    }

    fn by_ids<'a, S: sen_model::listing::Choice>(&self, ids: impl Iterator<Item = &'a str>) -> ExecutionQuery {
        let ids = ids.map(str::to_owned).collect();
        ExecutionQuery { ids: Some(ids), ..self.query(&ListFilter::<S>::default()) }
    }

    /// How the tasks stand that dead letters became.
    async fn replays(&self, targets: &[Followed]) -> Result<Vec<Now>> {
        let rows = self.store.tasks(&self.by_ids::<TaskListState>(targets.iter().map(Followed::id))).await?;
        let now = self.zone.wall(rows.now);
        let tasks: Vec<Task> = rows.chunks.try_concat().await?;
        let mut found: HashMap<&str, Now> = tasks.iter().map(|task| (task.id.as_str(), of_task(task, now))).collect();
        let mut all: Vec<Option<Now>> = targets.iter().map(|target| found.remove(target.id())).collect();
        // Of what died again the new dead letter tells the error in the words of the old one; of what is not there, whether the
        // old dead letter is back.
        let asked = |(target, now): (&Followed, &Option<Now>)| match now {
            Some(now) if now.course == Course::DiedAgain => Some(target.id().to_owned()),
            None => Some(target.subject.id.clone()),
            Some(_) => None,
        };
        let wanted: Vec<String> = targets.iter().zip(&all).filter_map(asked).collect();
        let letters = self.letters_of(wanted).await?;
        for (target, now) in targets.iter().zip(&mut all) {
            match now {
                Some(now) if now.course == Course::DiedAgain => match letters.get(target.id()) {
                    Some(letter) if !letter.reason.as_deref().is_none_or(tells) => {
                        now.error = None;
                        now.detail = "the error is in the dead letter of its step".into();
                    }
                    Some(letter) => now.error = letter.reason.clone().or_else(|| now.error.take()),
                    None => now.detail = "its dead letter is gone: replayed or discarded since".into(),
                },
                None if letters.contains_key(&target.subject.id) => {
                    *now = Some(Now::new(Course::TakenBack, "").noting("the dead letter is back"));
                }
                _ => {}
            }
        }
        let gone = || Now::unknown("its task no longer exists");
        Ok(all.into_iter().map(|now| now.unwrap_or_else(gone)).collect())
    }

    async fn letters_of(&self, ids: Vec<String>) -> Result<HashMap<String, Fact>> {
        let Some(letters) = self.letters.as_ref().filter(|_| !ids.is_empty()) else { return Ok(HashMap::new()) };
        let ahead = self.zone.ahead_at(Timestamp::here());
        let query = LetterQuery { ids: Some(ids), unordered: true, texts: true, ahead, ..LetterQuery::default() };
        Ok(letters.facts(&query).await?.into_iter().map(|fact| (fact.id.clone(), fact)).collect())
    }
}
