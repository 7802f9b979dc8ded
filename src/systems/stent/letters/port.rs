//! What dead letters need of a store.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;

use super::rules::{ReplayFacts, Replayability, replayability};
use super::steps::Around;
use super::targets::{DeadLetterRef, Places};
use crate::port::Chunks;

/// Stent's dead letters in one real store.
#[async_trait]
pub trait LetterStore: Send + Sync {
    /// The database for people, without secrets.
    fn database(&self) -> &str;

    /// The database's clock, and whether the tables of dead letters are there.
    async fn ready(&self) -> Result<(Timestamp, bool)>;

    /// Whether a record of an act can be kept; known once it is [ready](Self::ready).
    fn keeps_records(&self) -> bool;

    /// The letters that match, in one snapshot, in order.
    async fn look(&self, query: &LetterQuery) -> Result<Facts>;

    /// The letters that match, in no order, as far as groups are made of them.
    async fn deaths(&self, query: &LetterQuery) -> Result<Chunks<Death>> {
        Ok(deaths(self.look(query).await?))
    }

    /// Replays what of a batch can be replayed, in one transaction, and says which places of it were.
    async fn replay(&self, batch: &Batch<'_>, permit: &WritePermit) -> Result<Places>;

    /// Removes what of a batch is still as seen, in one transaction, and says which places of it were.
    async fn remove(&self, batch: &Batch<'_>, permit: &WritePermit) -> Result<Places>;

    /// The same letters over a connection of its own, for work side by side; `None` where that gains nothing.
    async fn lane(&self) -> Option<Box<dyn LetterStore>> {
        None
    }

    /// What is there of these letters and which tasks of their replays are, both in one snapshot.
    async fn whereabouts(&self, letters: &[DeadLetterRef], ahead: i64) -> Result<(Vec<Fact>, Vec<String>)>;

    /// The tasks of the executions of those of these letters that are orchestrators, but for orchestrators: at most `limit`.
    async fn around(&self, letters: &[String], ahead: i64, limit: usize) -> Result<Vec<Around>>;

    /// Tasks that do the same work as those that replays of these dead letters made: our task, and the other.
    async fn copies(&self, letters: &[DeadLetterRef]) -> Result<Vec<(String, String)>>;

    /// Which of these tasks a record beside their execution names as made by a replay of this program.
    async fn recorded(&self, tasks: &[String]) -> Result<Vec<String>>;

    /// Those of these letters whose execution has a record that names them, or the tasks of their replays, and `mark`; `None`
    /// where no records are kept.
    async fn signed(&self, letters: &[DeadLetterRef], mark: &str) -> Result<Option<Vec<String>>>;

    /// Executions with more than one orchestrator that has not failed: the execution, and each of those tasks. One pass over
    /// the tasks, for sets so large that a query for each dead letter would take longer.
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
    /// Failed permanently on workers with this name prefix.
    pub worker: Option<String>,
    /// Died at or after this.
    pub since: Option<Wall>,
    /// Died before this.
    pub until: Option<Wall>,
    /// In no order: for counting, or for a few.
    pub unordered: bool,
    /// Newest first.
    pub newest_first: bool,
    /// The maximum number.
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
    pub chunks: Chunks<Fact>,
}

/// What is known of a letter and of what it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The id of the letter, and of the task that died.
    pub id: String,
    /// When it was moved here.
    pub moved_at: Option<Wall>,
    /// What its replayability is judged by.
    pub replay_facts: ReplayFacts,
    /// The execution it belongs to.
    pub execution_id: Option<String>,
    /// The step.
    pub step: Option<String>,
    /// The text of the exception.
    pub reason: Option<String>,
    /// The queue.
    pub queue: Option<String>,
    /// The worker on which it failed permanently.
    pub worker: Option<String>,
    /// How often it had been tried again.
    pub retries: Option<i64>,
    /// The whole task as text.
    pub dump: Option<String>,
}

/// What of a letter makes it one of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Death {
    /// The id of the letter.
    pub id: String,
    /// When it was moved here.
    pub moved_at: Option<Wall>,
    /// The step.
    pub step: Option<String>,
    /// The text of the exception.
    pub reason: Option<String>,
    /// Whether it can be replayed.
    pub replayable: bool,
}

/// What makes groups of these letters.
pub fn deaths(facts: Facts) -> Chunks<Death> {
    let death = |fact: Fact| Death {
        replayable: replayability(&fact.replay_facts) == Replayability::Replayable,
        id: fact.id,
        moved_at: fact.moved_at,
        step: fact.step,
        reason: fact.reason,
    };
    Box::pin(facts.chunks.map_ok(move |chunk| chunk.into_iter().map(death).collect()))
}

/// Letters to be replayed or removed in one transaction.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// The letters, by place.
    pub letters: &'a [DeadLetterRef],
    /// Into this queue instead of their own.
    pub queue: Option<&'a str>,
    /// Also those whose replay is not useful.
    pub force: bool,
    /// By how many microseconds the workers' clock is ahead of UTC.
    pub ahead: i64,
    /// Who, why and which operation, for the record beside the execution.
    pub note: &'a str,
}
