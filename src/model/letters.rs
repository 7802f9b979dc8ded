//! The neutral, object-safe trait of every system that keeps dead letters: what failed permanently and may be tried again.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;

use crate::document::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::letter::{Letter, LetterGroup};
use crate::prepared::{PreparedAction, Sink};
use crate::record::Record;
use crate::time::{Timestamp, When};

/// Which letters. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LetterFilter {
    /// These ids.
    pub ids: Vec<String>,
    /// Letters of these groups.
    pub groups: Vec<String>,
    /// These kinds: `orchestrator`, `outbox`, …
    pub kinds: Vec<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this step.
    pub step: Option<String>,
    /// Whose error contains this text.
    pub error: Option<String>,
    /// Failed permanently on this worker.
    pub worker: Option<String>,
    /// Dead for longer than this.
    pub older_than: Option<Duration>,
    /// Died at or after this.
    pub since: Option<When>,
    /// Died before this.
    pub until: Option<When>,
    /// The maximum number; `None`: all, streamed.
    pub limit: Option<u64>,
    /// Newest first; oldest first otherwise.
    pub newest_first: bool,
    /// Whether payloads are wanted.
    pub payloads: bool,
}

/// How letters are replayed.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ReplayOptions {
    /// Into this queue instead of their own.
    pub queue: Option<String>,
    /// The number per transaction; `None`: the system's choice.
    pub batch: Option<u32>,
    /// The maximum number per second.
    pub rate: Option<f64>,
    /// Also those whose replay is not useful.
    pub force: bool,
}

/// The arguments of a dead letter as they are stored: JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Arguments {
    /// Those without a name: a list.
    pub args: String,
    /// Those with one: an object.
    pub kwargs: String,
}

/// How the arguments of dead letters are changed before they run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentEdit {
    /// Other values in these places: path and JSON text. A path begins in `{"args": […], "kwargs": {…}}`.
    Set(Vec<(Vec<Part>, String)>),
    /// Other arguments: JSON text of `{"args": […], "kwargs": {…}}`, or of a part of it.
    Whole {
        /// The text.
        text: String,
        /// What they were when a person began to edit them.
        seen: Option<Arguments>,
    },
}

/// Letters, streamed.
pub struct Letters {
    /// The database's clock when they were read.
    pub now: Timestamp,
    /// In batches; memory stays flat however many there are.
    pub parts: Pin<Box<dyn Stream<Item = Result<Vec<Letter>>> + Send>>,
}

/// The dead letters of one system.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The letters that match `filter`.
    async fn list(&self, filter: &LetterFilter) -> Result<Letters>;

    /// The same, grouped by step and folded error, the largest group first.
    async fn groups(&self, filter: &LetterFilter) -> Result<Vec<LetterGroup>>;

    /// One letter in depth.
    async fn show(&self, id: &str) -> Result<Vec<Record>>;

    /// Fixes the set that a replay would change, and says what it will and will not do.
    async fn plan_replay(&self, filter: &LetterFilter, options: &ReplayOptions)
    -> Result<Box<dyn PreparedAction + '_>>;

    /// The same with other arguments than those with which they died.
    async fn plan_edited_replay(
        &self,
        _filter: &LetterFilter,
        _options: &ReplayOptions,
        _edit: &ArgumentEdit,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        Err(not_editable())
    }

    /// The arguments of a dead letter, to be edited, with the text that a person edits; `None` where there is no such letter.
    async fn arguments(&self, _id: &str) -> Result<Option<(Arguments, String)>> {
        Err(not_editable())
    }

    /// Fixes the set that a discard would remove, each after the export of [`Applying`](crate::prepared::Applying) has stored it.
    async fn plan_discard(&self, filter: &LetterFilter) -> Result<Box<dyn PreparedAction + '_>>;

    /// Passes every matching dead letter to `sink` as it is stored, and counts them.
    async fn export(&self, filter: &LetterFilter, sink: Sink<'_>) -> Result<u64>;
}

/// Why what is no task of a durable execution keeps its payload.
fn not_editable() -> Error {
    Error::new(
        ErrorKind::Refused,
        "only dead letters of Stent and Senpuki can be edited; messages of sagas and agent tasks cannot",
    )
    .with_hint("replay it as it is, or send a new message or task")
}
