//! What the facts amount to, on what evidence, and what to type next.

use serde::Serialize;

pub use crate::next::{NextCommand, Purpose};
use crate::steps;
pub use crate::text::shell_word;
use crate::value::Value;

/// How much attention something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Settled or healthy.
    Ok,
    /// Under way; nothing to do but wait.
    Pending,
    /// May need a person: look closer.
    Warning,
    /// Needs a person's decision.
    Critical,
}

impl Severity {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The judgement of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state's name in the system's vocabulary, lower snake case: `uncertain`, `alive`, …
    pub state: &'static str,
    /// How much attention it needs.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub summary: String,
    /// The facts it rests on, and what cannot be known.
    pub evidence: Vec<String>,
    /// Commands worth typing next, the most useful first.
    pub next: Vec<NextCommand>,
}

impl Verdict {
    /// As data.
    pub fn value(&self) -> Value {
        let evidence = self.evidence.iter().map(|text| Value::Text(text.clone()));
        Value::Map(vec![
            ("state", Value::Name(self.state)),
            ("severity", Value::Name(self.severity.name())),
            ("summary", Value::Text(self.summary.clone())),
            ("evidence", Value::List(evidence.collect())),
            ("next", steps::values(&self.next)),
        ])
    }
}
