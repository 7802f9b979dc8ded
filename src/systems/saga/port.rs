//! What sagas need of a store: rows in, rows out. No judgement, no presentation.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;
use sen_model::saved::nested;
use serde::{Deserialize, Serialize};

use super::message::{Mailbox, Message, MessageStatus};
use super::record::{Entry, Saga};
use super::shape::{Model, Models, Table};
use sen_model::error::Result;
use sen_model::ident::OperationId;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::time::{Timestamp, When};
use sen_model::undo::Standing;

/// The tables of this library in one real store.
#[async_trait]
pub trait SagaStore: Send + Sync {
    /// The database for people, without secrets.
    fn database(&self) -> &str;

    /// Which tables there are, by the catalogue.
    async fn models(&self) -> Result<Arc<Models>>;

    /// The sagas of all models with this id, aggregation id or trace id, in one snapshot.
    async fn look(&self, models: &Models, wanted: &SagaSelector<'_>) -> Result<Look>;

    /// The sagas of one model that match.
    async fn list(&self, model: &Model, query: &SagaQuery) -> Result<Sagas>;

    /// The messages of one table that match.
    async fn messages(&self, models: &Models, kind: Mailbox, table: &Table, query: &MessageQuery) -> Result<Messages>;

    /// At most `limit` ids in these tables that begin with `prefix` (hexadecimal digits and dashes): a range of the primary keys.
    async fn begins(&self, tables: &[Table], prefix: &str, limit: u32) -> Result<Vec<String>>;

    /// The sequences that number the rows of tables, as SQL names them, by the number of the table; `None` where a store knows
    /// no roles and privileges.
    async fn sequences(&self, _models: &Models) -> Result<Option<Vec<(i64, String)>>> {
        Ok(None)
    }

    /// The sessions that have a saga's row locked at this moment, as far as this role may see them.
    async fn holders(&self, _model: &Model, _id: &str) -> Result<Vec<Holder>> {
        Ok(Vec::new())
    }

    /// What is in the tables, counted.
    async fn census(&self, models: &Models) -> Result<Census>;

    /// The output of the newest real success of a step in sagas of this name: JSON text.
    async fn output_of(&self, model: &Model, saga: Option<&str>, step: &str) -> Result<Option<String>>;

    /// Makes one guarded change with its record, in one short transaction, and returns the rows that it changed. `None` when
    /// the guard did not match: nothing was written.
    async fn change(&self, model: &Model, change: &Change, permit: &WritePermit) -> Result<Option<Vec<RowChange>>>;

    /// Puts an event into an inbox, and returns its row. `None` when one with its id is there already.
    async fn ingest(&self, inbox: &Table, event: &Event, permit: &WritePermit) -> Result<Option<Vec<RowChange>>>;

    /// How the rows of each of these stand, in their order.
    async fn standings(&self, models: &Models, rows: &[&[RowChange]]) -> Result<Vec<Standing>>;

    /// Puts back the row of a target that is as it was left, with the record of it, and returns what was changed. `None` when
    /// it is no longer so: nothing was written.
    async fn take_back(
        &self,
        models: &Models,
        back: &TakenBack<'_>,
        permit: &WritePermit,
    ) -> Result<Option<Vec<RowChange>>>;

    /// Makes messages due again, as many as are still as seen, with the record beside their sagas. Returns what became
    /// of them.
    async fn requeue(
        &self,
        models: &Models,
        kind: Mailbox,
        table: &Table,
        seen: &[SeenMessage],
        permit: &WritePermit,
    ) -> Result<Requeued>;
}

/// Messages of a batch, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requeued {
    /// These are due again.
    pub done: Vec<String>,
    /// Unchanged and not locked, but the database kept the change out.
    pub kept: Vec<String>,
    /// The rows that were changed, by the ids of the messages.
    pub changes: HashMap<String, Vec<RowChange>>,
}

/// What is put back of a saga or a message.
#[derive(Debug)]
pub struct TakenBack<'a> {
    /// The row.
    pub changes: &'a [RowChange],
    /// The saga that the record stands beside, as it is stored.
    pub saga: Option<String>,
    /// The operation that is taken back: its entry names the step.
    pub operation: OperationId,
    /// The token that a saga gets.
    pub fresh: String,
    /// The record: JSON text.
    pub input: String,
}

/// Which sagas.
#[derive(Debug, Clone, Copy)]
pub struct SagaSelector<'a> {
    /// Their id, aggregation id or trace id.
    pub id: &'a str,
    /// Whether only the id counts.
    pub exact: bool,
    /// The maximum number of newest recorded steps of each.
    pub steps: i64,
    /// Whether their messages are wanted, too.
    pub messages: bool,
}

/// Sagas as seen at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The database's clock.
    pub now: Timestamp,
    /// The sagas, the one changed last first.
    pub sagas: Vec<Observed>,
}

/// One saga with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The saga.
    pub saga: Saga,
    /// The number of its state table.
    pub model: i64,
    /// Its newest recorded steps, in time order.
    pub steps: Vec<Entry>,
    /// How many there are.
    pub recorded: i64,
    /// Its messages, oldest first.
    pub messages: Vec<Message>,
    /// Who has its row locked, where that was looked at.
    pub holders: Vec<Holder>,
}

/// A session of the database server that has a row locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process at the server.
    pub pid: i64,
    /// The name its program gave itself; empty when it gave none or this role may not see it.
    pub application: String,
    /// How long its transaction has been open, in microseconds, where this role may see that.
    pub open: Option<i64>,
}

impl Holder {
    /// For people: `session 4711 (worker), its transaction open for 2m`.
    pub fn words(&self) -> String {
        let name = if self.application.is_empty() { String::new() } else { format!(" ({})", self.application) };
        let open = self
            .open
            .map(|open| format!(", its transaction open for {}", sen_model::time::age(open)))
            .unwrap_or_default();
        format!("session {}{name}{open}", self.pid)
    }
}

/// The order of a list of sagas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As stored: no sorting, the fastest for everything.
    Stored,
    /// By last change.
    Updated,
    /// By beginning.
    Created,
    /// By deadline (indexed).
    Deadline,
}

/// Which sagas, and in what order.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaQuery {
    /// Stored statuses (`RUNNING`); a saga matches these or `judged`.
    pub stored: Vec<String>,
    /// Judged states (`stuck`).
    pub judged: Vec<&'static str>,
    /// Only those that no poll picks up: active, without deadline, unchanged for a while.
    pub stuck: bool,
    /// Only active ones whose deadline has passed.
    pub due: bool,
    /// With one of these ids, as they are stored.
    pub ids: Option<Vec<String>>,
    /// Of this definition.
    pub name: Option<String>,
    /// About this.
    pub aggregation: Option<String>,
    /// Whose last error contains this.
    pub error: Option<String>,
    /// Last changed longer ago than this.
    pub older_than: Option<Duration>,
    /// Last changed at or after this.
    pub since: Option<When>,
    /// Last changed before this.
    pub until: Option<When>,
    /// The order.
    pub order: Order,
    /// Largest first.
    pub descending: bool,
    /// The maximum number.
    pub limit: Option<i64>,
    /// Whether contexts are fetched.
    pub payloads: bool,
}

/// The sagas that match a query.
pub struct Sagas {
    /// The database's clock.
    pub now: Timestamp,
    /// The sagas in chunks.
    pub chunks: Pin<Box<dyn Stream<Item = Result<Vec<Saga>>> + Send>>,
}

/// Which messages. Newest change first by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MessageQuery {
    /// These ids (or event ids).
    pub ids: Vec<String>,
    /// These statuses; empty: all.
    pub statuses: Vec<MessageStatus>,
    /// Dead letters only: FAILED, or claimed and unchanged for longer than this.
    pub dead: Option<Duration>,
    /// Of this saga or about this.
    pub saga: Option<String>,
    /// Of this topic, type or step.
    pub topic: Option<String>,
    /// Whose last error contains this.
    pub error: Option<String>,
    /// Last changed longer ago than this.
    pub older_than: Option<Duration>,
    /// Last changed at or after this.
    pub since: Option<When>,
    /// Last changed before this.
    pub until: Option<When>,
    /// Oldest first.
    pub oldest_first: bool,
    /// The maximum number.
    pub limit: Option<i64>,
    /// Whether payloads are fetched.
    pub payloads: bool,
}

impl MessageQuery {
    /// Whether it is about one thing, so that few messages match: they are read in one piece and with what else is asked.
    pub fn names_one(&self) -> bool {
        !self.ids.is_empty() || self.saga.is_some()
    }
}

/// The messages that match a query.
pub struct Messages {
    /// The database's clock.
    pub now: Timestamp,
    /// The messages in chunks.
    pub chunks: Pin<Box<dyn Stream<Item = Result<Vec<Message>>> + Send>>,
}

/// What is in the tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Census {
    /// The database's clock.
    pub now: Option<Timestamp>,
    /// Sagas by table and judged state.
    pub sagas: Vec<Group>,
    /// Messages by table and status.
    pub messages: Vec<Group>,
    /// How many messages are dead letters.
    pub dead: i64,
    /// The earliest last change among those.
    pub oldest_dead: Option<Timestamp>,
    /// Messages that are due for long and were not claimed, by kind: how many, and since when the first is due.
    pub late: Vec<(Mailbox, i64, Option<Timestamp>)>,
    /// Sagas that wait for an event which came and was ignored: how many, and since when.
    pub ignored: (i64, Option<Timestamp>),
    /// Waits that have timed out in tables whose types lack TIMEOUT: the table, how many, since when.
    pub unwritable: Vec<(i64, i64, Option<Timestamp>)>,
}

impl Census {
    /// Counts messages that are due for long.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn add_late(&mut self, kind: Mailbox, count: i64, since: Option<Timestamp>) {
        if count == 0 {
            return;
        }
        match self.late.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, all, first)) => {
                *all += count;
                *first = [*first, since].into_iter().flatten().min();
            }
            None => self.late.push((kind, count, since)),
        }
    }
}

/// Rows that share a table and a state.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The number of the table.
    pub table: i64,
    /// The state.
    pub state: String,
    /// How many.
    pub count: i64,
    /// The earliest last change among them.
    pub oldest: Option<Timestamp>,
}

/// One guarded change of a saga: what was seen and must still be so, what is written, and the record of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The saga.
    pub id: String,
    /// The stored status that was seen.
    pub status: String,
    /// The token that was seen.
    #[serde(rename = "step_execution_token")]
    pub token: Option<String>,
    /// The index of the step that was seen.
    pub step: i64,
    /// Whether a worker had claimed it.
    pub claimed: bool,
    /// Further conditions.
    pub guard: Guard,
    /// The new status.
    pub to: String,
    /// The new token: the holder of the old one is fenced out.
    #[serde(rename = "new_step_execution_token")]
    pub fresh: String,
    /// Whether the next poll picks it up; otherwise no poll does.
    pub due: bool,
    /// Whether the step counts as done.
    pub advance: bool,
    /// Whether tries are counted anew.
    pub fresh_tries: bool,
    /// The new last error: `Some(None)` clears it.
    #[serde(with = "nested")]
    pub error: Option<Option<String>>,
    /// What becomes of the context.
    pub context: Edits,
    /// The record of the act.
    pub entry: Entry,
    /// The success that stands for a step that is skipped.
    pub success: Option<Entry>,
}

impl Change {
    /// What is added to the history, in order.
    pub fn entries(&self) -> Vec<&Entry> {
        std::iter::once(&self.entry).chain(&self.success).collect()
    }
}

/// What else must hold when a change is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// No live lease: no deadline, or one that has passed.
    pub lease_over: bool,
    /// No deadline, and unchanged for this long.
    pub abandoned_for: Option<Duration>,
    /// No compensation on record.
    pub not_compensated: bool,
    /// This event has not been taken yet, and the wait for it is not over.
    #[serde(with = "nested")]
    pub event: Option<Option<String>>,
}

/// Changes of a context: objects in JSON text, each `{}` when there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits {
    /// Fields that are set.
    pub set: String,
    /// Outputs by step id, put beside those there are.
    pub outputs: String,
    /// Lists by field: their items are appended.
    pub append: String,
}

impl Default for Edits {
    fn default() -> Self {
        Self { set: "{}".into(), outputs: "{}".into(), append: "{}".into() }
    }
}

/// An event for a saga, as the library's `NotifyEvent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The id its sender gave it.
    pub id: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// Its correlation id.
    pub correlation: Option<String>,
    /// Its payload: JSON text.
    pub payload: String,
    /// The saga it is for.
    pub saga: Option<String>,
    /// A fresh id for its row in an inbox.
    pub row: String,
}

/// A message as a plan saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMessage {
    /// Its id.
    pub id: String,
    /// Its status then.
    pub status: String,
    /// Its last change then, as the store writes it.
    pub seen: String,
}

/// A bound in time, in the two forms a statement takes it: absolute microseconds since 1970, or microseconds before the
/// database's now. At most one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// Microseconds since 1970.
    pub at: Option<i64>,
    /// Microseconds before now.
    pub ago: Option<i64>,
}

impl Bound {
    /// Of a moment or a span before now.
    pub fn of(when: Option<When>) -> Self {
        match when {
            None => Self::default(),
            Some(When::At(moment)) => Self { at: Some(moment.as_micros()), ago: None },
            Some(When::Ago(span)) => Self { at: None, ago: Some(micros(span)) },
        }
    }
}

/// A span in microseconds.
pub fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
