//! What an act is going to do, before anything is written: the middle of look → judge → plan → permit → apply → report.
//!
//! A plan is a value. [`Plan`] is what every plan says; the targets of one system, with what was seen of each, are an
//! [`Action`](crate::prepared::Action) of that system. Together they are all that applying needs, and can be written to a file.

use serde::{Deserialize, Serialize};

use crate::ident::OperationId;
use crate::report::Item;
use crate::saved::optional_micros;
use crate::subject::Subject;
use crate::time::Timestamp;
use crate::value::Value;

/// How much consent an act needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// One named target, and an act that can be taken back or repeated without harm: done without a question.
    Safe,
    /// Can run work twice, acts on work that may be alive, or destroys something: must be confirmed.
    Dangerous,
}

impl Risk {
    /// The risk of the same act on so many targets: whatever touches several is confirmed.
    #[must_use]
    pub const fn of(self, targets: usize) -> Self {
        if targets > 1 { Self::Dangerous } else { self }
    }
}

/// One guarded change, for display. What is applied is the [`Action`](crate::prepared::Action) it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is changed.
    pub subject: Subject,
    /// The act's name: `create`, `take_over`, `reset`, …
    pub act: &'static str,
    /// What was seen and must still be so when the change is made (status, token, version).
    pub guard: Vec<(&'static str, Value)>,
    /// What is written, where the act takes something.
    pub input: Option<Input>,
    /// What the operator must know before consenting.
    pub warnings: Vec<String>,
    /// What to do once it is applied.
    pub follow_up: FollowUp,
}

/// What a step writes: JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The result of the work.
    Result(String),
    /// Something else that the act takes.
    Value(String),
    /// Other arguments than before: what they are, and what they become.
    Edit {
        /// As they are.
        from: String,
        /// As they become.
        to: String,
    },
}

/// What to do once a step is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// Nothing more.
    Nothing,
    /// Record what the work came to, with the fencing token of the report.
    Settle,
    /// Check the related records.
    CheckRelated,
}

impl Step {
    /// A step without input, warnings or a follow-up.
    pub fn new(subject: Subject, act: &'static str) -> Self {
        Self { subject, act, guard: Vec::new(), input: None, warnings: Vec::new(), follow_up: FollowUp::Nothing }
    }

    /// The guard of this name.
    pub fn guarded(&self, name: &str) -> Option<&Value> {
        self.guard.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// What an act does with steps alike of what it starts anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPreview {
    /// The step.
    pub step: String,
    /// What becomes of it, lower snake case: `runs_again`, `answered`, …
    pub effect: String,
    /// How many of them there are.
    pub count: u64,
    /// The effect for people.
    pub text: String,
}

/// What a preview does not show, so that its limits are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// Further targets that are started anew, whose steps were not looked at.
    pub targets: u64,
    /// Where there are more tasks than were looked at: how many were.
    pub tasks: Option<u64>,
}

/// Targets that the database chooses, fixed when the plan is made: a bulk act does not name each of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Set {
    /// The id of the only one.
    #[serde(default)]
    pub single_id: Option<String>,
    /// The oldest of them.
    #[serde(with = "optional_micros")]
    pub oldest: Option<Timestamp>,
    /// The newest of them: what comes later is not touched.
    #[serde(with = "optional_micros")]
    pub newest: Option<Timestamp>,
    /// A few of them, a line each, for people.
    pub sample: Vec<String>,
    /// What the operator must know before consenting.
    pub warnings: Vec<String>,
    /// What the act does with each step of what it starts anew.
    pub preview: Vec<StepPreview>,
    /// What of that `preview` does not show.
    pub beyond: Beyond,
    /// What matches and is skipped: why, and how many.
    pub skipped: Vec<(String, u64)>,
    /// Whether it was asked for by id or group, so that what is skipped was not done.
    #[serde(default)]
    pub asked: bool,
}

/// What a plan says beside its targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The id printed in the report and stored with the rows.
    pub operation: OperationId,
    summary: String,
    /// The database it is for, without secrets.
    pub database: String,
    /// How much consent it needs.
    pub risk: Risk,
    targets: u64,
    /// What the operator must know before consenting, beside what stands with each step.
    pub warnings: Vec<String>,
    /// Why the work of its targets cannot be followed once it is applied; `None` where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfollowed: Option<String>,
    /// Targets that are not each named.
    pub set: Option<Set>,
    /// Requested targets that will not be changed, each with the reason.
    pub refused: Vec<Item>,
}

impl Plan {
    /// A plan with a fresh operation id that says nothing of its targets yet.
    pub fn new(database: impl Into<String>, risk: Risk) -> Self {
        Self {
            operation: OperationId::fresh(),
            summary: String::new(),
            database: database.into(),
            risk,
            targets: 0,
            warnings: Vec::new(),
            unfollowed: None,
            set: None,
            refused: Vec::new(),
        }
    }

    /// States how many things it would change, and in one clause what is done to them: `retry 2 sagas`. For an
    /// [`Action`](crate::prepared::Action) [`Prepared`](crate::prepared::Prepared) counts the targets, so that what is
    /// announced, expected and applied is one number.
    #[must_use]
    pub fn announcing(mut self, targets: u64, summary: impl FnOnce(u64) -> String) -> Self {
        self.summary = summary(targets);
        self.targets = targets;
        self
    }

    /// What is done, in one clause: `retry 2 sagas`, `create the Sentinel tables`.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// How many things it would change.
    pub fn targets(&self) -> u64 {
        self.targets
    }

    /// How many matching things of a set are skipped.
    pub fn skipped(&self) -> u64 {
        self.set.iter().flat_map(|set| &set.skipped).map(|(_, count)| count).sum()
    }
}
