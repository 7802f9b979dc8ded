//! One thing in depth: its facts, its verdict, its history, and what belongs to it.

pub use crate::age::Age;
use crate::cause::{Cause, Explanation, Related};
use crate::subject::Subject;
use crate::time::Timestamp;
use crate::value::{Column, Row, Value};
use crate::verdict::{Severity, Verdict};

/// One thing in depth.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What it is.
    pub subject: Subject,
    /// The database's clock when it was read.
    pub now: Timestamp,
    /// Its facts: all of them, as data has them.
    pub fields: Vec<(&'static str, Value)>,
    /// The fields that matter first, in the order to be shown; the others are shown when all are asked for.
    pub key_fields: &'static [&'static str],
    /// How old it is.
    pub age: Age,
    /// What they amount to.
    pub verdict: Verdict,
    /// Its newest events; `None` where this database keeps none.
    pub history: Option<History>,
    /// What belongs to it: tasks, messages, checkpoints.
    pub sections: Vec<Section>,
}

impl Record {
    /// Its verdict with the causes and connections that were found. What settles it stands with the gravest cause; where
    /// rules name none, the verdict itself is one if it needs attention.
    pub fn because(self, mut causes: Vec<Cause>, related: Vec<Related>) -> Explanation {
        if causes.iter().all(|cause| cause.severity < Severity::Warning) && self.verdict.severity >= Severity::Warning {
            return Explanation { related, ..self.explained() };
        }
        causes.sort_by_key(|cause| std::cmp::Reverse((cause.severity, cause.certainty)));
        let (age, now) = (self.age, self.now);
        let Verdict { state, severity, summary, next, .. } = self.verdict;
        if let Some(first) = causes.first_mut() {
            first.next.extend(next);
        }
        Explanation { subject: self.subject, state, age, now, summary, severity, causes, related }
    }

    /// Its verdict as an explanation: a cause where it needs attention.
    pub fn explained(self) -> Explanation {
        let (age, now) = (self.age, self.now);
        let Verdict { state, severity, summary, next, .. } = self.verdict;
        let cause = Cause::likely("verdict", severity, summary.clone()).with_next(next);
        let causes = if severity >= Severity::Warning { vec![cause] } else { Vec::new() };
        Explanation { subject: self.subject, state, age, now, summary, severity, causes, related: Vec::new() }
    }
}

/// A result as rows state it, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedResult {
    /// The result, as JSON.
    pub json: String,
    /// Whose it is: `payments:order-7718`, `step charge of saga …`.
    pub source: String,
}

/// Things that belong to another, as a small table.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Its key in JSON.
    pub name: &'static str,
    /// Its heading for people.
    pub heading: &'static str,
    /// The columns.
    pub columns: &'static [Column],
    /// The rows; none at all are not shown to people.
    pub rows: Vec<Row>,
}

/// Events of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The columns of every event.
    pub columns: &'static [Column],
    /// The events, in time order.
    pub events: Vec<Event>,
    /// Whether older events exist that the limit cut off.
    pub older: bool,
    /// The database's clock when they were read.
    pub now: Timestamp,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number, unique in the database.
    pub id: i64,
    /// When it happened, by the database's clock.
    pub at: Timestamp,
    /// Its values under the history's columns.
    pub row: Row,
}
