//! Dead letters of Stent: what they need of a store, and the neutral trait over it.
//!
//! What may be replayed is judged in [`rules`] (pure) and judged again by the statement that replays. The set of a bulk act is
//! [`chosen`] when its plan is made: ids and times of death as seen, so that what dies later is never touched.

pub mod chosen;
pub mod rules;
pub mod steps;

mod discard;
mod plan;
mod replay;
mod view;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt as _};

use super::record::{ExecutionState, TaskKind, TaskState};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::letter::LetterGroup;
use sen_model::letters::{DeadLetters, LetterFilter, Letters, ReplayOptions, Sink};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::record::Found;
use sen_model::report::Report;
use sen_model::time::Timestamp;
use sen_model::time::wall::{Wall, Zone};

use chosen::Chosen;
pub(super) use replay::note as act_note;
use steps::{Around, Foresight};

/// The subject of an act on a dead letter.
pub const LETTER: &str = "dead_letter";

/// Stent's dead letters in one real store.
#[async_trait]
pub trait LetterStore: Send + Sync {
    /// The database for people, without secrets.
    fn database(&self) -> &str;

    /// The database's clock, and whether the tables of dead letters are there.
    async fn ready(&self) -> Result<(Timestamp, bool)>;

    /// The letters that match, in one snapshot, in order.
    async fn look(&self, query: &LetterQuery) -> Result<Facts>;

    /// Replays what of a batch can be replayed, in one transaction, and says which places of it were.
    async fn replay(&self, batch: &Batch<'_>, permit: &WritePermit) -> Result<chosen::Places>;

    /// Removes what of a batch is still as seen, in one transaction, and says which places of it were.
    async fn remove(&self, batch: &Batch<'_>, permit: &WritePermit) -> Result<chosen::Places>;

    /// The same letters over a connection of its own, for work side by side; `None` where that gains nothing.
    async fn lane(&self) -> Option<Box<dyn LetterStore>> {
        None
    }

    /// What is there of these letters and which tasks of their replays are, both in one snapshot.
    async fn whereabouts(&self, letters: &[chosen::Wanted], ahead: i64) -> Result<(Vec<Fact>, Vec<String>)>;

    /// The tasks of the executions of those of these letters that are orchestrators, but for orchestrators: at most `limit`.
    async fn around(&self, letters: &[String], ahead: i64, limit: usize) -> Result<Vec<Around>>;

    /// Tasks that do the same work as those that replays of these letters made: the task of ours, and the other.
    async fn copies(&self, letters: &[chosen::Wanted]) -> Result<Vec<(String, String)>>;

    /// Which of these tasks a record beside their execution names as made by a replay of this program.
    async fn recorded(&self, tasks: &[String]) -> Result<Vec<String>>;

    /// Executions with more than one orchestrator that has not failed: the execution, and each of those tasks. One pass over
    /// the tasks, for when so many letters were replayed that asking about each would take longer.
    async fn twins(&self) -> Result<Vec<(String, String)>>;
}

/// Which letters, and what of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LetterQuery {
    /// These ids; `None` is all.
    pub ids: Option<Vec<String>>,
    /// These kinds; empty: all.
    pub kinds: Vec<String>,
    /// Of this queue; `default` is also what has none.
    pub queue: Option<String>,
    /// Of this step, with or without its module.
    pub step: Option<String>,
    /// Whose reason contains this text.
    pub error: Option<String>,
    /// Given up on by workers whose name begins so.
    pub worker: Option<String>,
    /// Died at or after this.
    pub since: Option<Wall>,
    /// Died before this.
    pub until: Option<Wall>,
    /// In no order: for counting.
    pub unordered: bool,
    /// Newest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: Option<i64>,
    /// Whether step, reason, queue, worker are wanted.
    pub texts: bool,
    /// Whether the dump is wanted.
    pub dump: bool,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
}

/// The facts of many letters.
pub struct Facts {
    /// The letters in chunks.
    pub chunks: Pin<Box<dyn Stream<Item = Result<Vec<Fact>>> + Send>>,
}

/// What is known of a letter and of what it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The id of the letter, and of the task that died.
    pub id: String,
    /// When it was moved here.
    pub moved_at: Option<Wall>,
    /// What its standing rests on.
    pub grounds: Grounds,
    /// The execution it belongs to.
    pub execution_id: Option<String>,
    /// The step.
    pub step: Option<String>,
    /// The text of the exception.
    pub reason: Option<String>,
    /// The queue.
    pub queue: Option<String>,
    /// Who gave up.
    pub worker: Option<String>,
    /// How often it had been tried again.
    pub retries: Option<i64>,
    /// The whole task as text.
    pub dump: Option<String>,
}

/// What the standing of a letter rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    /// What died.
    pub kind: TaskKind,
    /// The state of its execution; `None` when that is gone.
    pub execution: Option<ExecutionState>,
    /// Whether the expiry of the execution has passed.
    pub expired: bool,
    /// The state of the task that waited for it, where that is known.
    pub parent: Option<TaskState>,
    /// Whether an orchestrator of the execution is pending or running.
    pub live: bool,
    /// Whether the task can be made again: from its dump, or, where that is text of senpuki 0.1.x, from the row of the task.
    pub readable: bool,
}

/// Letters to be replayed or removed in one transaction.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// The letters, by place.
    pub letters: &'a [chosen::Wanted],
    /// Into this queue instead of their own.
    pub queue: Option<&'a str>,
    /// Also those whose replay makes no sense.
    pub force: bool,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
    /// Who, why and which operation, for the record beside the execution.
    pub note: &'a str,
}

/// What a plan has fixed, between its making and its carrying out.
struct Kept {
    chosen: Chosen,
    options: ReplayOptions,
    /// Whether activities are among them.
    activities: bool,
}

/// Stent's dead letters in one database.
pub struct StentLetters {
    store: Box<dyn LetterStore>,
    zone: Zone,
    plans: Mutex<HashMap<OperationId, Kept>>,
}

impl StentLetters {
    /// Over `store`; `zone` is the one whose wall clock the workers write.
    pub fn new(store: Box<dyn LetterStore>, zone: Zone) -> Self {
        Self { store, zone, plans: Mutex::default() }
    }

    fn keep(&self, plan: &Plan, kept: Kept) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(plan.operation, kept);
    }

    fn take(&self, plan: &Plan) -> Result<Kept> {
        let kept = self.plans.lock().unwrap_or_else(PoisonError::into_inner).remove(&plan.operation);
        kept.ok_or_else(|| Error::new(ErrorKind::Internal, "this plan was made elsewhere, or carried out already"))
    }

    /// What a replay of those of these letters that are orchestrators does with each step of their executions.
    async fn foresee(&self, letters: &[String], now: Timestamp) -> Result<Foresight> {
        let around = self.store.around(letters, self.zone.ahead_at(now), steps::TASKS + 1).await?;
        Ok(steps::foresee(around, steps::TASKS))
    }

    /// The query for a filter, and the database's clock.
    async fn query(&self, filter: &LetterFilter) -> Result<(LetterQuery, Timestamp)> {
        let (now, there) = self.store.ready().await?;
        if !there {
            return Err(super::absent(self.store.database()));
        }
        let mut until = filter.until.map(|when| when.resolve(now));
        if let Some(span) = filter.older_than {
            let bound = now.minus(span);
            until = Some(until.map_or(bound, |until| until.min(bound)));
        }
        let query = LetterQuery {
            ids: (!filter.ids.is_empty()).then(|| filter.ids.clone()),
            kinds: filter.kinds.clone(),
            queue: filter.queue.clone(),
            step: filter.step.clone(),
            error: filter.error.clone(),
            worker: filter.worker.clone(),
            since: filter.since.map(|when| self.zone.wall(when.resolve(now))),
            until: until.map(|moment| self.zone.wall(moment)),
            unordered: false,
            newest_first: filter.newest_first,
            limit: None,
            texts: true,
            dump: filter.payloads,
            ahead: self.zone.ahead_at(now),
        };
        Ok((query, now))
    }
}

/// The bound that a store can keep by itself: groups are told by folded errors, which only this side can fold.
fn store_limit(filter: &LetterFilter) -> Option<i64> {
    let limit = filter.limit.filter(|_| filter.groups.is_empty());
    limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

#[async_trait]
impl DeadLetters for StentLetters {
    async fn list(&self, filter: &LetterFilter) -> Result<Letters> {
        let (mut query, now) = self.query(filter).await?;
        query.limit = store_limit(filter);
        let facts = self.store.look(&query).await?;
        let (zone, groups) = (self.zone.clone(), filter.groups.clone());
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let parts = facts.chunks.map(move |chunk| {
            let mut chunk = chunk?;
            chunk.retain(|fact| view::is_in(fact, &groups));
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= chunk.len() as u64;
            Ok(chunk.into_iter().map(|fact| view::letter(fact, &zone)).collect())
        });
        Ok(Letters { now, parts: Box::pin(parts) })
    }

    async fn groups(&self, filter: &LetterFilter) -> Result<Vec<LetterGroup>> {
        let (mut query, _) = self.query(filter).await?;
        query.unordered = true;
        query.dump = false;
        let mut groups = view::Groups::default();
        let mut chunks = self.store.look(&query).await?.chunks;
        while let Some(chunk) = chunks.next().await {
            chunk?.into_iter().for_each(|fact| groups.add(fact));
        }
        Ok(groups.close(filter, &self.zone))
    }

    async fn show(&self, id: &str) -> Result<Vec<Found>> {
        let filter = LetterFilter { ids: vec![id.to_owned()], payloads: true, ..LetterFilter::default() };
        let (query, now) = match self.query(&filter).await {
            Err(error) if error.kind() == ErrorKind::NoSystem => return Ok(Vec::new()),
            other => other?,
        };
        let mut chunks = self.store.look(&query).await?.chunks;
        let mut found = Vec::new();
        while let Some(chunk) = chunks.next().await {
            for fact in chunk? {
                let ids = [fact.id.clone()];
                let steps = self.foresee(&ids, now).await?;
                found.push(view::found(fact, &steps, now, &self.zone));
            }
        }
        Ok(found)
    }

    async fn plan_replay(&self, filter: &LetterFilter, options: &ReplayOptions) -> Result<Plan> {
        self.make_replay(filter, options).await
    }

    async fn replay(&self, plan: &Plan, permit: &WritePermit, observer: &dyn Observer) -> Result<Report> {
        permit.must_be_for(plan)?;
        self.carry_out_replay(plan, permit, observer).await
    }

    async fn plan_discard(&self, filter: &LetterFilter) -> Result<Plan> {
        self.make_discard(filter).await
    }

    async fn discard(
        &self,
        plan: &Plan,
        permit: &WritePermit,
        sink: Sink<'_>,
        observer: &dyn Observer,
    ) -> Result<Report> {
        permit.must_be_for(plan)?;
        self.carry_out_discard(plan, permit, sink, observer).await
    }

    async fn export(&self, filter: &LetterFilter, sink: Sink<'_>) -> Result<u64> {
        let (mut query, _) = self.query(filter).await?;
        query.dump = true;
        query.limit = store_limit(filter);
        let mut chunks = self.store.look(&query).await?.chunks;
        let mut count = 0;
        while let Some(chunk) = chunks.next().await {
            for fact in chunk? {
                if view::is_in(&fact, &filter.groups) && filter.limit.is_none_or(|limit| count < limit) {
                    sink(&view::whole(&fact))?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}
