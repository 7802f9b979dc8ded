//! What happened to a record, by the times that its rows hold.

use crate::subject::Subject;
use crate::time::Timestamp;

/// Whose word a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeBasis {
    /// The clock of the database wrote it.
    Database,
    /// The clock of a worker wrote it.
    Worker,
    /// The clock of the machine on which an operator acted, in that user's journal.
    Journal,
    /// No time is recorded: it happened at this time, that of an entry before it, or later.
    After,
}

impl TimeBasis {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Worker => "worker",
            Self::Journal => "journal",
            Self::After => "after",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// When, as far as a row says.
    pub at: Timestamp,
    /// Whose word that is.
    pub basis: TimeBasis,
    /// The record it happened to.
    pub subject: Subject,
    /// What happened: `step charge failed`.
    pub what: String,
    /// The state that followed, as the library names it.
    pub state: Option<String>,
    /// The worker or operator who did it.
    pub who: Option<String>,
    /// Why an operator did it.
    pub why: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The operation of `sen` that did it.
    pub operation: Option<String>,
}

impl TimelineEntry {
    /// Something that happened at a time which a row states by this clock.
    pub fn new(at: Timestamp, basis: TimeBasis, subject: &Subject, what: impl Into<String>) -> Self {
        Self {
            at,
            basis,
            subject: subject.clone(),
            what: what.into(),
            state: None,
            who: None,
            why: None,
            error: None,
            operation: None,
        }
    }

    /// The same with the state that followed.
    #[must_use]
    pub fn state(self, state: impl Into<String>) -> Self {
        Self { state: Some(state.into()), ..self }
    }

    /// The same with who did it.
    #[must_use]
    pub fn who(self, who: Option<impl Into<String>>) -> Self {
        Self { who: who.map(Into::into), ..self }
    }

    /// The same with what went wrong.
    #[must_use]
    pub fn error(self, error: Option<impl Into<String>>) -> Self {
        Self { error: error.map(Into::into), ..self }
    }

    /// The same as the act of an operator.
    #[must_use]
    pub fn act(self, act: OperatorAct) -> Self {
        Self { who: act.who.or(self.who), why: act.why, operation: act.operation, ..self }
    }
}

/// Who acted, why, and in which operation, as a record in the system's own tables says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorAct {
    /// Who.
    pub who: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// The operation's id.
    pub operation: Option<String>,
}

impl OperatorAct {
    /// Out of the object that `sen` stores with an act; `None` when that names no operation.
    pub fn of(record: &serde_json::Value) -> Option<Self> {
        let text = |name: &str| record.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        let operation = Some(text("operation")?);
        Some(Self { who: text("who"), why: text("why"), operation })
    }
}

/// What a system tells of its records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The database's clock when it was read.
    pub now: Option<Timestamp>,
    /// What happened, in any order.
    pub entries: Vec<TimelineEntry>,
}

impl Told {
    /// Adds what was read at `now`.
    pub fn add(&mut self, now: Timestamp, entries: impl IntoIterator<Item = TimelineEntry>) {
        self.now = self.now.max(Some(now));
        self.entries.extend(entries);
    }
}

/// Puts entries into the order in which they happened. What has no time of its own stands behind everything of the time that
/// it is not before.
pub fn ordered(mut entries: Vec<TimelineEntry>) -> Vec<TimelineEntry> {
    entries.sort_by_key(|entry| (entry.at, entry.basis == TimeBasis::After));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Kind;

    #[test]
    fn what_has_no_time_stands_behind_all_of_the_time_it_is_not_before() {
        let subject = Subject::new("stent", Kind::Task, "t-1");
        let entry = |at, basis, what| TimelineEntry::new(Timestamp::from_micros(at), basis, &subject, what);
        let entries = vec![
            entry(1, TimeBasis::After, "failed"),
            entry(2, TimeBasis::Worker, "ended"),
            entry(1, TimeBasis::Worker, "started"),
        ];
        let told: Vec<String> = ordered(entries).into_iter().map(|entry| entry.what).collect();
        assert_eq!(told, ["started", "failed", "ended"]);
    }
}
