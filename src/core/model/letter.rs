//! Dead letters: work that was given up on, in whichever system, and groups of those that died alike. Pure.

use crate::model::value::{Column, Row, Show, Value};
use crate::time::Timestamp;

/// One dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The system's name.
    pub system: &'static str,
    /// What it is there: `orchestrator`, `activity`, `outbox`, `inbox`, `agent_task`.
    pub kind: &'static str,
    /// Its id there.
    pub id: String,
    /// What was to be done: a step's, message's or task's name.
    pub step: String,
    /// Why it was given up on, as the system wrote it.
    pub error: Option<String>,
    /// When.
    pub died_at: Option<Timestamp>,
    /// The queue it was in.
    pub queue: Option<String>,
    /// What it belongs to: an execution, a saga, a tenant.
    pub parent: Option<String>,
    /// How often it was tried.
    pub attempts: Option<i64>,
    /// `replayable`, or why a replay makes no sense: `execution_gone`, …
    pub standing: &'static str,
    /// What a person should know of it.
    pub note: Option<String>,
    /// What it carries: JSON text.
    pub payload: Option<String>,
}

/// Letters of one step that died of the same error.
#[derive(Debug, Clone, PartialEq)]
pub struct LetterGroup {
    /// The system's name.
    pub system: &'static str,
    /// Names the group in commands; see [`group_id`].
    pub id: String,
    /// The step.
    pub step: String,
    /// The error with what differs from letter to letter folded away.
    pub error: String,
    /// How many.
    pub count: u64,
    /// When the first of them died.
    pub first: Option<Timestamp>,
    /// When the last of them died.
    pub last: Option<Timestamp>,
    /// The id of one of them.
    pub sample: String,
    /// How many of them can be replayed, where that is known.
    pub replayable: Option<u64>,
}

const fn column(name: &'static str, heading: &'static str, show: Show) -> Column {
    Column { name, heading, show }
}

/// The columns of a list of letters.
pub const LETTER_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Whole),
    column("system", "SYSTEM", Show::Wide),
    column("kind", "KIND", Show::Wide),
    column("step", "STEP", Show::Short),
    column("error", "ERROR", Show::Short),
    column("died_at", "DIED", Show::Whole),
    column("attempts", "TRIES", Show::Wide),
    column("queue", "QUEUE", Show::Wide),
    column("parent", "PARENT", Show::Wide),
    column("standing", "STANDING", Show::Whole),
    column("note", "NOTE", Show::Asked),
    column("payload", "PAYLOAD", Show::Asked),
];

/// The columns of a list of groups.
pub const GROUP_COLUMNS: &[Column] = &[
    column("group", "GROUP", Show::Whole),
    column("system", "SYSTEM", Show::Wide),
    column("count", "COUNT", Show::Whole),
    column("step", "STEP", Show::Short),
    column("error", "ERROR", Show::Short),
    column("first_died_at", "FIRST", Show::Whole),
    column("last_died_at", "LAST", Show::Whole),
    column("replayable", "REPLAYABLE", Show::Wide),
    column("sample_id", "SAMPLE", Show::Wide),
];

impl Letter {
    /// Under [`LETTER_COLUMNS`].
    pub fn row(self) -> Row {
        vec![
            Value::Text(self.id),
            Value::Name(self.system),
            Value::Name(self.kind),
            Value::Text(self.step),
            Value::text(self.error),
            Value::time(self.died_at),
            self.attempts.map_or(Value::Null, Value::Int),
            Value::text(self.queue),
            Value::text(self.parent),
            Value::Name(self.standing),
            Value::text(self.note),
            self.payload.map_or(Value::Null, Value::Json),
        ]
    }
}

impl LetterGroup {
    /// Under [`GROUP_COLUMNS`].
    pub fn row(self) -> Row {
        let count = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        vec![
            Value::Text(self.id),
            Value::Name(self.system),
            count(self.count),
            Value::Text(self.step),
            Value::Text(self.error),
            Value::time(self.first),
            Value::time(self.last),
            self.replayable.map_or(Value::Null, count),
            Value::Text(self.sample),
        ]
    }
}
