//! Stent and Senpuki (Stent is Senpuki renamed): durable functions, kept in `executions`, `tasks` and their neighbours.
//!
//! This file is the system: it looks through a [`port::ExecutionStore`] and, for dead letters and acts, a
//! [`letters::LetterStore`]. SQL lives in the store implementations (`postgres.rs`, `sqlite.rs`).

pub mod acts;
pub mod cancelled;
pub mod codec;
pub mod dump;
pub mod letters;
pub mod names;
pub mod pickle;
pub mod port;
pub mod record;
pub mod request;
pub mod shape;
pub mod state;
pub mod verdict;
pub mod why;

mod activity;
mod course;
mod diagnostics;
mod further;
mod handle;
mod list;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod paging;
mod plan;
mod results;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod rows;
mod timeline;
mod undo;
mod view;
mod words;

#[cfg(feature = "sqlite")]
pub mod demo;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;

use sen_model::activity::Activity;
use sen_model::cause::{Cause, Explanation};
use sen_model::course::{Act, Followed, Now};
use sen_model::diagnostics::Diagnostics;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letters::DeadLetters;
use sen_model::live::Live;
use sen_model::prepared::{self, Action as _, Prepared, PreparedAction, SavedPlan};
use sen_model::record::{History, Record, StatedResult};
use sen_model::rows::RowChange;
use sen_model::subject::{Kind, Subject};
use sen_model::summary::{Counting, Statistics, Summary};
use sen_model::system::{Mentions, System};
use sen_model::time::Timestamp;
use sen_model::timeline::Told;
use sen_model::undo::{UndoAction, UndoRequest};
use sen_model::verdict::Severity;

pub use handle::Stent;
pub use list::ListFilter;
pub use names::{ExecutionListState, ListOrder, NAME, TASKS, TaskListState};
pub use view::{EXECUTION_COLUMNS, TASK_COLUMNS};

/// How many progress entries are read with an execution.
fn progress(events: u32) -> i64 {
    i64::from(events)
}

fn no_history() -> Error {
    Error::new(ErrorKind::NoSystem, "executions have no events of their own")
        .with_hint("`sen exec show ID` shows their progress")
}

#[async_trait]
impl System for Stent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn database(&self) -> &str {
        self.store.database()
    }

    async fn present(&self) -> Result<bool> {
        Ok(self.store.shape().await?.present())
    }

    async fn find(&self, id: &str, events: u32) -> Result<Vec<Record>> {
        let mut look = self.store.find(id, progress(events), false).await?;
        self.look_further(&mut look).await?;
        Ok(view::found(look, &self.zone))
    }

    async fn show(&self, kind: Kind, id: &str, events: u32) -> Result<Vec<Record>> {
        let mut look = self.store.find(id, progress(events), true).await?;
        self.look_further(&mut look).await?;
        let mut found = view::found(look, &self.zone);
        found.retain(|one| one.subject.kind == kind);
        Ok(found)
    }

    async fn stated_results(&self, id: &str) -> Result<Vec<StatedResult>> {
        let look = self.store.find(id, progress(0), false).await?;
        let mut found = results::of(&look);
        for task in results::tasks(&look) {
            found.extend(results::of(&self.store.find(&task, progress(0), false).await?));
        }
        Ok(found)
    }

    async fn goes_on_as(&self, record: &Record) -> Result<Option<String>> {
        match view::may_be_replayed(record) {
            Some(execution) => self.replayed_as(execution, &record.subject.id).await,
            None => Ok(None),
        }
    }

    async fn explain(&self, id: &str) -> Result<Vec<Explanation>> {
        // The errors of tries are in the progress.
        let mut look = self.store.find(id, 50, false).await?;
        self.look_further(&mut look).await?;
        let now = self.zone.wall(look.now);
        let queue = match why::waiting_task(&look, now) {
            Some(task) => Some(self.store.activity(&task.id, &self.zone).await?),
            None => None,
        };
        let letter = look.letter.as_ref().or_else(|| look.execution.as_ref().and_then(|whole| whole.letters.first()));
        let alike = match letter {
            Some(letter) => self.alike(&letter.id).await,
            None => None,
        };
        let facts = why::Facts { look: &look, now, queue, alike };
        let explain = |found: Record| {
            let (causes, related) = match (found.subject.kind, &look.execution, &look.task) {
                (Kind::Execution, Some(whole), _) => {
                    let mut causes = why::of_execution(&facts, whole);
                    // What it would be ended with is told beside the cause.
                    let result = look.more.root_result.as_deref().map(view::root_result);
                    for cause in causes.iter_mut().filter(|cause| cause.rule == "stranded") {
                        cause.text.extend(result.iter().map(|result| format!("; {result}")));
                    }
                    (causes, why::related_to_execution(whole, now))
                }
                (Kind::Task, _, Some(task)) => {
                    let mut causes = why::of_task(&facts, task);
                    causes.extend(look.letter.as_ref().map(|_| why::of_letter(&facts)).unwrap_or_default());
                    let replay = look.more.replayed_as.as_deref().map(verdict::replayed);
                    causes.extend(replay.map(|text| {
                        Cause::stated("replayed", &["execution_progress.detail"], Severity::Pending, text)
                    }));
                    (causes, why::related_to_task(task))
                }
                _ => (why::of_letter(&facts), Vec::new()),
            };
            found.because(causes, related)
        };
        let found = view::found(look.clone(), &self.zone);
        Ok(found.into_iter().map(explain).collect())
    }

    async fn diagnostics(&self) -> Result<Diagnostics> {
        let shape = self.store.shape().await?;
        if !shape.present() {
            return Err(self.absent());
        }
        let (orphans, sequences) = futures_util::future::join(self.store.orphans(), self.store.sequences()).await;
        // Counting needs rights that not every role has; what is lacking is told by what is needed.
        let orphans = match orphans {
            Err(error) if error.kind() == ErrorKind::Denied => None,
            orphans => orphans?,
        };
        Ok(diagnostics::diagnostics(&shape, sequences?, orphans.as_ref()))
    }

    async fn mentions(&self, names: &[String]) -> Result<Mentions> {
        self.store.naming(names, sen_model::system::MENTIONS as u32 + 1).await
    }

    async fn courses(&self, act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        self.courses_of(act, targets).await
    }

    fn failed_with(&self, changes: &[RowChange]) -> Option<String> {
        course::failed_with(changes)
    }

    async fn suggest(&self, id: &str) -> Result<Vec<String>> {
        let mut near: Vec<(usize, String)> = self
            .store
            .neighbours(id)
            .await?
            .into_iter()
            .map(|found| (strsim::levenshtein(&found, id), found))
            // Ids are random: what shares no beginning and differs much was not meant.
            .filter(|(distance, found)| *distance <= 3 || (id.len() >= 4 && found.starts_with(id)))
            .collect();
        near.sort();
        near.dedup();
        Ok(near.into_iter().take(3).map(|(_, found)| found).collect())
    }

    async fn complete(&self, kind: Live, prefix: &str, limit: u32) -> Result<Vec<String>> {
        self.completions(kind, prefix, limit).await
    }

    async fn begin_with(&self, kind: Kind, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let of = match kind {
            Kind::Execution => port::Ids::Executions,
            Kind::Task => port::Ids::Tasks,
            Kind::DeadLetter if self.letters.is_some() => port::Ids::Letters,
            _ => return Ok(Vec::new()),
        };
        // The libraries' ids are UUIDs.
        if !prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Ok(Vec::new());
        }
        self.store.ids(of, prefix, limit).await
    }

    async fn history(&self, _id: &str, _limit: Option<u64>) -> Result<History> {
        Err(no_history())
    }

    async fn history_since(&self, _id: &str, _since: Option<Timestamp>) -> Result<History> {
        Err(no_history())
    }

    async fn timeline(&self, subjects: &[Subject], most: u32) -> Result<Told> {
        let found = subjects.iter().map(|subject| self.store.find(&subject.id, i64::from(most), false));
        let looks: Vec<_> = futures_util::future::join_all(found).await.into_iter().collect::<Result<_>>()?;
        // A task has been told with its execution where that is among them.
        let executions: Vec<&str> = subjects.iter().map(|subject| subject.id.as_str()).collect();
        let of_another = |look: &port::Look| {
            let execution = look.task.as_ref().and_then(|task| task.execution_id.as_deref());
            execution.is_some_and(|id| executions.contains(&id))
        };
        let mut told = Told::default();
        for look in looks.iter().filter(|look| !of_another(look)) {
            told.add(look.now, timeline::entries(look, &self.zone));
        }
        Ok(told)
    }

    async fn summary(&self, counting: Counting) -> Result<Summary> {
        Ok(view::summary(&self.store.census(&self.zone, counting).await?, &self.zone))
    }

    async fn active(&self, limit: u64) -> Result<Vec<Activity>> {
        self.activities(limit).await
    }

    async fn stats(&self, window: Duration, counting: Counting) -> Result<Option<Statistics>> {
        let stats = self.store.stats(&self.zone, window, counting).await?;
        Ok(Some(view::stats(&stats, &self.zone, window)))
    }

    async fn plan_undo(&self, undo: UndoRequest) -> Result<Box<dyn PreparedAction + '_>> {
        sen_model::undo::plan(self, undo).await
    }

    fn restore(&self, saved: SavedPlan<'_>) -> Result<Box<dyn PreparedAction + '_>> {
        match saved.kind() {
            plan::ExecutionAction::KIND => Prepared::<_, plan::ExecutionAction>::restore(self, saved),
            plan::CleanupAction::KIND => Prepared::<_, plan::CleanupAction>::restore(self, saved),
            UndoAction::<Self>::KIND => Prepared::<_, UndoAction<Self>>::restore(self, saved),
            plan::LetterAction::KIND => match &self.letters {
                Some(letters) => Prepared::<_, plan::LetterAction>::restore(letters, saved),
                None => Err(self.absent()),
            },
            other => Err(prepared::foreign(other)),
        }
    }

    fn letters(&self) -> Option<&dyn DeadLetters> {
        self.letters.as_ref().map(|letters| letters as &dyn DeadLetters)
    }
}
