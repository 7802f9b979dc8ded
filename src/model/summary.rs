//! What a system holds and does, in numbers, and what of it needs a person.

use crate::record::Section;
use crate::subject::Kind;
use crate::time::Timestamp;
use crate::value::Value;
use crate::verdict::{NextCommand, Severity};

/// How records are counted that need nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Each by itself.
    Exact,
    /// What has ended may come from the database's own statistics where these are fresh and counting would read a large table.
    /// Whatever can need attention is counted nevertheless.
    Estimated,
}

/// What one system holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The system's name.
    pub system: &'static str,
    /// Which version made its tables, as far as the tables tell.
    pub version: String,
    /// Whether all commands work on it, or reading only.
    pub writable: bool,
    /// The database's clock.
    pub now: Timestamp,
    /// What `counts` counts, for people: `leases`.
    pub counted: &'static str,
    /// The command that lists them.
    pub list: &'static [&'static str],
    /// Records by state.
    pub counts: Vec<Count>,
    /// Whether any of the counts is an estimate.
    pub estimated: bool,
    /// Whether `counts` goes by the states that are stored, of which lists show a judgement.
    pub stored_states: bool,
    /// What needs a person, the most severe first.
    pub attention: Vec<Attention>,
    /// Further facts for people and scripts.
    pub facts: Vec<(&'static str, Value)>,
    /// Further counts.
    pub sections: Vec<Section>,
    /// Which of `sections` has the depths of its queues, where it has any: the first column is the queue's name.
    pub queues: Option<usize>,
    /// How many dead letters there are, where the system keeps any.
    pub dead_letters: Option<i64>,
    /// Its tables that this role may not read and of which nothing is counted: what is in them was not seen.
    pub unread: Vec<String>,
}

/// What one system does and has to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The system's name.
    pub system: &'static str,
    /// The database's clock.
    pub now: Timestamp,
    /// Whether any of the numbers is an estimate.
    pub estimated: bool,
    /// Single numbers.
    pub facts: Vec<(&'static str, Value)>,
    /// Counts by something.
    pub sections: Vec<Section>,
}

/// How many a minute these are, counted within `window`, as JSON has it.
pub fn per_minute(count: i64, window: std::time::Duration) -> Value {
    let minutes = window.as_secs_f64() / 60.0;
    if minutes <= 0.0 {
        return Value::Null;
    }
    let rate = count as f64 / minutes;
    // Digits that say something, however rare it is.
    let digits = if count == 0 || rate >= 0.01 { 3 } else { (2.0 - rate.log10().floor()).clamp(3.0, 9.0) as usize };
    Value::Json(format!("{rate:.digits$}"))
}

/// How many records are in one state.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The state.
    pub state: &'static str,
    /// How much attention it needs.
    pub severity: Severity,
    /// How many.
    pub count: i64,
    /// Whether that is an estimate.
    pub estimated: bool,
    /// Since when the one that has waited longest is there, as far as its row tells: the last change of a lease or a saga, the
    /// creation of an execution, a task or a message.
    pub oldest: Option<Timestamp>,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// How urgent it is.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub text: String,
    /// The command to type.
    pub next: NextCommand,
    /// What it counts, where it is about records that can be counted.
    pub counted: Option<Counted>,
}

/// What something that needs a person is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// What is counted.
    pub kind: Kind,
    /// The state they are in.
    pub state: &'static str,
    /// How many.
    pub count: i64,
    /// Since when the first of them has been so, as far as its row tells.
    pub oldest: Option<Timestamp>,
}

impl Attention {
    /// Something that needs a person, of nothing that can be counted.
    pub fn new(severity: Severity, text: impl Into<String>, next: NextCommand) -> Self {
        Self { severity, text: text.into(), next, counted: None }
    }

    /// The same of these records.
    #[must_use]
    pub fn of(mut self, kind: Kind, state: &'static str, count: i64, oldest: Option<Timestamp>) -> Self {
        self.counted = Some(Counted { kind, state, count, oldest });
        self
    }

    /// As data, with the system that says it; none where a database could not be read.
    pub fn value(&self, system: impl Into<Option<&'static str>>) -> Value {
        let counted = |field: fn(Counted) -> Value| self.counted.map_or(Value::Null, field);
        Value::Map(vec![
            ("system", system.into().map_or(Value::Null, Value::Name)),
            ("kind", counted(|counted| Value::Name(counted.kind.name()))),
            ("state", counted(|counted| Value::Name(counted.state))),
            ("severity", Value::Name(self.severity.name())),
            ("count", counted(|counted| Value::Int(counted.count))),
            ("oldest", counted(|counted| Value::time(counted.oldest))),
            ("summary", Value::Text(self.text.clone())),
            ("next", crate::steps::values(std::slice::from_ref(&self.next))),
        ])
    }
}
