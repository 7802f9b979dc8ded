//! Sentinel-Node-Orchestrator: tasks of AI agents, kept in Redis as `task:{id}:meta`, `task:{id}:checkpoint`,
//! `worker:{id}:hb` and `stream:events`.
//!
//! This file is the system: it looks through a [`port::TaskStore`], judges with [`verdict`], and shapes what it says.
//! Commands to Redis live in the store implementation (`redis.rs`); what a status means lives in `verdict.rs`.

pub mod checkpoint;
pub mod limits;
pub mod port;
pub mod record;
pub mod request;
pub mod rights;
pub mod verdict;

#[cfg(feature = "redis")]
pub mod redis;

mod act;
mod activity;
mod costs;
mod course;
mod diagnostics;
mod handle;
mod letters;
mod list;
mod plan;
mod rules;
mod timeline;
mod undo;
mod view;
mod why;

pub use costs::{COST_COLUMNS, Costs};
pub use handle::Node;
pub use list::{TaskFilter, TaskOrder, TaskState};
pub use record::NAME;
pub use view::{EVENT_COLUMNS, TASK_COLUMNS, WORKER_COLUMNS, worker_severity};

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use sen_model::activity::Activity;
use sen_model::cause::Explanation;
use sen_model::course::{Act, Followed, Now};
use sen_model::diagnostics::Diagnostics;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letters::DeadLetters;
use sen_model::live::Live;
use sen_model::prepared::{self, Action as _, Prepared, PreparedAction, SavedPlan};
use sen_model::record::{History, Record};
use sen_model::rows::RowChange;
use sen_model::subject::{Kind, Subject};
use sen_model::summary::{Counting, Statistics, Summary};
use sen_model::system::System;
use sen_model::time::Timestamp;
use sen_model::timeline::Told;
use sen_model::undo::{UndoAction, UndoRequest};

use checkpoint::Heartbeat;
use port::{Depth, Server};
use record::{Status, Task};
use view::census::Census;

impl Node {
    /// The tasks a worker is said to hold.
    async fn held_by(&self, worker: &str) -> Result<Vec<Task>> {
        let mut stream = self.store.tasks(Depth::Plain).await?;
        let mut out = Vec::new();
        while let Some(part) = stream.next().await {
            out.extend(part?.tasks.into_iter().filter(|task| task.is_held() && task.owner.as_deref() == Some(worker)));
        }
        Ok(out)
    }

    /// What [`System::stats`] counts, and the tasks of each stored status, as the controller counts them.
    ///
    /// # Errors
    /// What the store reports; `NoSystem` when there are no agent tasks here.
    pub async fn statistics(&self, window: Duration) -> Result<(Statistics, Vec<(Status, i64)>)> {
        let (server, census, workers, now) = self.count(Some(window)).await?;
        Ok((census.statistics(&server, workers, now), census.by_status().collect()))
    }

    /// Counts all tasks, and says what the server is, how many workers live, and when that was.
    async fn count(&self, window: Option<Duration>) -> Result<(Server, Census, usize, Timestamp)> {
        let server = self.store.server().await?;
        let mut now = server.now.unwrap_or_else(Timestamp::here);
        let mut census = window.map_or_else(Census::default, |window| Census::since(now.minus(window)));
        let mut stream = self.store.tasks(Depth::Plain).await?;
        while let Some(part) = stream.next().await {
            let part = part?;
            now = part.now;
            part.tasks.iter().for_each(|task| census.add(task, part.now));
        }
        let (_, beats) = self.store.heartbeats(None).await?;
        if census.total == 0 && beats.is_empty() && server.events.unwrap_or(0) == 0 {
            return Err(Error::new(ErrorKind::NoSystem, format!("{} holds no agent tasks", self.store.database()))
                .with_hint("agent tasks are keys like task:ID:meta; is it the right database number?"));
        }
        Ok((server, census, beats.len(), now))
    }

    async fn find_task(&self, id: &str, events: u32) -> Result<Option<Record>> {
        let Some(look) = self.store.look(id).await? else { return Ok(None) };
        let mut remarks = Vec::new();
        let history = match self.store.events(Some(id), Some(u64::from(events))).await {
            Ok(events) => Some(events),
            Err(error) if error.kind() == ErrorKind::Unreadable => {
                remarks.push("stream:events is no stream".to_owned());
                None
            }
            Err(error) => return Err(error),
        };
        let effects = self.store.effects(std::slice::from_ref(&look.task.id)).await?;
        Ok(Some(view::depth::found(look, effects, history, &remarks)))
    }

    /// A worker by its heartbeat. One without is looked for among the owners of tasks only if its name looks like that of
    /// a worker: that takes a walk over all tasks, which a mistyped key of another system must not cost.
    async fn look_at_worker(&self, id: &str) -> Result<Option<(Option<Heartbeat>, Vec<Task>, Timestamp)>> {
        let (now, mut beats) = self.store.heartbeats(Some(id)).await?;
        let beat = beats.pop();
        if beat.is_none() && !id.starts_with("worker") {
            return Ok(None);
        }
        let held = self.held_by(id).await?;
        Ok((beat.is_some() || !held.is_empty()).then_some((beat, held, now)))
    }

    async fn find_worker(&self, id: &str) -> Result<Option<Record>> {
        let looked = self.look_at_worker(id).await?;
        Ok(looked.map(|(beat, held, now)| view::depth::found_worker(id, beat, held, now)))
    }

    async fn explain_task(&self, id: &str) -> Result<Option<Explanation>> {
        let Some(look) = self.store.look(id).await? else { return Ok(None) };
        let effects = self.store.effects(std::slice::from_ref(&look.task.id)).await?;
        // Both walk over all keys, so they are asked only where a rule needs them.
        let workers = if why::needs_workers(&look) { Some(self.store.heartbeats(None).await?.1) } else { None };
        let alike = self.alike(&look.task, look.now).await?;
        let facts = why::Facts { look: &look, effects: &effects, workers: workers.as_deref(), alike };
        let (causes, related) = (why::of_task(&facts), why::related_to_task(&look));
        Ok(Some(view::depth::found(look, effects, None, &[]).because(causes, related)))
    }

    async fn explain_worker(&self, id: &str) -> Result<Option<Explanation>> {
        let Some((beat, held, now)) = self.look_at_worker(id).await? else { return Ok(None) };
        let (causes, related) = (why::of_worker(id, beat.as_ref(), &held), why::related_to_worker(&held));
        Ok(Some(view::depth::found_worker(id, beat, held, now).because(causes, related)))
    }
}

#[async_trait]
impl System for Node {
    fn name(&self) -> &'static str {
        NAME
    }

    fn database(&self) -> &str {
        self.store.database()
    }

    async fn present(&self) -> Result<bool> {
        self.store.snapshot().await
    }

    async fn find(&self, id: &str, events: u32) -> Result<Vec<Record>> {
        let task = self.find_task(id, events).await?;
        let worker = self.find_worker(id).await?;
        Ok(task.into_iter().chain(worker).collect())
    }

    async fn explain(&self, id: &str) -> Result<Vec<Explanation>> {
        let task = self.explain_task(id).await?;
        let worker = self.explain_worker(id).await?;
        Ok(task.into_iter().chain(worker).collect())
    }

    async fn courses(&self, act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        self.courses_of(act, targets).await
    }

    fn failed_with(&self, changes: &[RowChange]) -> Option<String> {
        course::failed_with(changes)
    }

    async fn suggest(&self, id: &str) -> Result<Vec<String>> {
        // Ids are random: the slip that happens is to leave the prefix out, or to paste the whole key.
        let bare = id.trim().trim_start_matches("task:").trim_end_matches(":meta").trim_end_matches(":checkpoint");
        let candidates: Vec<String> = [format!("task_{bare}"), bare.to_owned(), bare.to_ascii_lowercase()]
            .into_iter()
            .filter(|candidate| candidate != id)
            .collect();
        let (_, tasks) = self.store.peek(&candidates, Depth::Plain).await?;
        let mut found: Vec<String> = tasks.into_iter().flatten().map(|task| task.id).collect();
        found.dedup();
        Ok(found)
    }

    async fn begin_with(&self, kind: Kind, prefix: &str, limit: u32) -> Result<Vec<String>> {
        if kind != Kind::AgentTask {
            return Ok(Vec::new());
        }
        let (ids, all) = self.store.ids(prefix, limit).await?;
        // One that was found is the only one where everything was looked at.
        Ok(if all || ids.len() > 1 { ids } else { Vec::new() })
    }

    async fn history(&self, id: &str, limit: Option<u64>) -> Result<History> {
        Ok(view::history(self.store.events(Some(id).filter(|id| !id.is_empty()), limit).await?))
    }

    async fn history_since(&self, id: &str, since: Option<Timestamp>) -> Result<History> {
        Ok(view::history(self.store.events_since(Some(id).filter(|id| !id.is_empty()), since).await?))
    }

    async fn timeline(&self, subjects: &[Subject], most: u32) -> Result<Told> {
        let mut told = Told::default();
        for subject in subjects {
            if subject.kind == Kind::Worker {
                let (now, beats) = self.store.heartbeats(Some(&subject.id)).await?;
                told.add(now, beats.iter().flat_map(|beat| timeline::of_worker(beat, subject)));
            } else if let Some(look) = self.store.look(&subject.id).await? {
                let events = match self.store.events(Some(&subject.id), Some(u64::from(most))).await {
                    Ok(events) => events.events,
                    Err(error) if error.kind() == ErrorKind::Unreadable => Vec::new(),
                    Err(error) => return Err(error),
                };
                told.add(look.now, timeline::of_task(&look, &events, subject));
            }
        }
        Ok(told)
    }

    async fn summary(&self, _counting: Counting) -> Result<Summary> {
        let (server, census, workers, now) = self.count(None).await?;
        Ok(census.summary(server, workers, now))
    }

    async fn active(&self, limit: u64) -> Result<Vec<Activity>> {
        self.activities(limit).await
    }

    async fn stats(&self, window: Duration, _counting: Counting) -> Result<Option<Statistics>> {
        Ok(Some(self.statistics(window).await?.0))
    }

    async fn diagnostics(&self) -> Result<Diagnostics> {
        let mut diagnostics = diagnostics::diagnostics(&self.store.diagnostics().await?);
        let lacking = self.store.lacking().await?;
        diagnostics.checks.extend(rights::checks(&lacking));
        Ok(diagnostics)
    }

    async fn complete(&self, kind: Live, prefix: &str, limit: u32) -> Result<Vec<String>> {
        match kind {
            Live::AgentTask | Live::Any => Ok(self.store.ids(prefix, limit).await?.0),
            Live::Worker => self.worker_names().await,
            _ => Ok(Vec::new()),
        }
    }

    async fn plan_undo(&self, undo: UndoRequest) -> Result<Box<dyn PreparedAction + '_>> {
        sen_model::undo::plan(self, undo).await
    }

    fn restore(&self, saved: SavedPlan<'_>) -> Result<Box<dyn PreparedAction + '_>> {
        match saved.kind() {
            plan::TaskAction::KIND => Prepared::<_, plan::TaskAction>::restore(self, saved),
            plan::SingleAction::KIND => Prepared::<_, plan::SingleAction>::restore(self, saved),
            UndoAction::<Self>::KIND => Prepared::<_, UndoAction<Self>>::restore(self, saved),
            other => Err(prepared::foreign(other)),
        }
    }

    fn letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }
}
