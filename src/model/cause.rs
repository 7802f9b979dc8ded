//! Why something is as it is: causes, each marked proven or likely, and what they lead to. Pure.

use crate::age::Age;
use crate::subject::Subject;
use crate::time::Timestamp;
use crate::value::Value;
use crate::verdict::{NextCommand, Severity};

/// How sure a cause or a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It fits what was seen, and so would something else.
    Likely,
    /// One row, or several rows of one snapshot, state it. That something is absent, never happened or has ended is not
    /// in any row, and so is never proven.
    Proven,
}

impl Certainty {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Likely => "likely",
            Self::Proven => "proven",
        }
    }
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The rule that found it, lower snake case: `holder_gone`, …
    pub rule: &'static str,
    /// How sure it is.
    pub certainty: Certainty,
    /// How much attention it needs.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub text: String,
    /// What to type about it, the most useful first.
    pub next: Vec<NextCommand>,
    /// The columns (`leases.status`) whose values in one snapshot state it; empty where it is likely only.
    pub stated_by: &'static [&'static str],
}

impl Cause {
    /// A cause that fits what was seen, as something else might.
    pub fn likely(rule: &'static str, severity: Severity, text: impl Into<String>) -> Self {
        Self { rule, certainty: Certainty::Likely, severity, text: text.into(), next: Vec::new(), stated_by: &[] }
    }

    /// A cause that rows of one snapshot state. `stated_by` names the columns whose values say so (`leases.status`); what
    /// no column says ("no worker", "never", "has ended") cannot be stated and is [`Self::likely`].
    pub fn stated(
        rule: &'static str,
        stated_by: &'static [&'static str],
        severity: Severity,
        text: impl Into<String>,
    ) -> Self {
        debug_assert!(!stated_by.is_empty(), "{rule}: a stated cause names its columns");
        Self { certainty: Certainty::Proven, stated_by, ..Self::likely(rule, severity, text) }
    }

    /// The same with what to type about it.
    #[must_use]
    pub fn with_next(mut self, next: Vec<NextCommand>) -> Self {
        self.next = next;
        self
    }
}

/// Where a record names another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the arguments of a call.
    Arguments,
    /// In a saved state of its progress.
    Checkpoint,
    /// In what its steps share.
    Context,
    /// In a message.
    Payload,
    /// In what an agent was told.
    Prompt,
    /// In what it returned.
    Result,
}

/// How a record is related to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The key without its namespace.
    SameKey,
    /// The execution of a task.
    Execution,
    /// A task of an execution.
    Task,
    /// The task that waits for the result of another one.
    WaitingTask,
    /// The dead letter of a task.
    DeadLetter,
    /// The key under which a result is stored for later calls.
    IdempotencyKey,
    /// A tag.
    Tag,
    /// The saga of a message.
    Saga,
    /// A message of a saga.
    Message,
    /// The key under which a message is sent.
    MessageKey,
    /// The correlation id of a message.
    CorrelationId,
    /// The correlation id of the event that a saga waits for.
    AwaitedCorrelationId,
    /// The trace of a saga.
    Trace,
    /// The entity it is about: an order, a customer.
    Subject,
    /// The worker that holds a task.
    Worker,
    /// The task that the heartbeat of a task's worker names instead.
    TaskInHeartbeat,
    /// A task that a worker holds.
    HeldTask,
    /// What a record names in one of its values.
    MentionedIn(Place),
    /// A record that names the key in one of its values, found by searching for the text.
    Mentions,
}

impl Relation {
    /// The words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Subject => "related entity",
            Self::Mentions => "mentions it in its payload",
            other => other.name(),
        }
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameKey => "the same name without the namespace",
            Self::Execution => "its execution",
            Self::Task => "its task",
            Self::WaitingTask => "the task that waits for it",
            Self::DeadLetter => "its dead letter",
            Self::IdempotencyKey => "its idempotency key",
            Self::Tag => "its tag",
            Self::Saga => "its saga",
            Self::Message => "its message",
            Self::MessageKey => "its message key",
            Self::CorrelationId => "its correlation id",
            Self::AwaitedCorrelationId => "the correlation id it waits for",
            Self::Trace => "its trace",
            Self::Subject => "related entity",
            Self::Worker => "its worker",
            Self::TaskInHeartbeat => "the task its worker's heartbeat names",
            Self::HeldTask => "a task it holds",
            Self::MentionedIn(Place::Arguments) => "named in its arguments",
            Self::MentionedIn(Place::Checkpoint) => "named in its checkpoint",
            Self::MentionedIn(Place::Context) => "named in its context",
            Self::MentionedIn(Place::Payload) => "named in its payload",
            Self::MentionedIn(Place::Prompt) => "named in its prompt",
            Self::MentionedIn(Place::Result) => "named in its result",
            Self::Mentions => "mentions it in its payload",
        }
    }
}

/// A related record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Its key or id, looked up in every system.
    pub id: String,
    /// How it is related.
    pub relation: Relation,
    /// How sure that is.
    pub certainty: Certainty,
}

impl Related {
    /// A relation that the rows state.
    pub fn proven(id: impl Into<String>, relation: Relation) -> Self {
        Self { id: id.into(), relation, certainty: Certainty::Proven }
    }

    /// A relation that the same name suggests.
    pub fn likely(id: impl Into<String>, relation: Relation) -> Self {
        Self { id: id.into(), relation, certainty: Certainty::Likely }
    }
}

/// How the chain of causes came to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// How it is related to the record before it.
    pub relation: Relation,
    /// How sure that is.
    pub certainty: Certainty,
    /// The record before it.
    pub from: Subject,
}

/// One thing and why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it is.
    pub subject: Subject,
    /// Its state, as its verdict names it.
    pub state: &'static str,
    /// How old it is.
    pub age: Age,
    /// The database's clock when it was read.
    pub now: Timestamp,
    /// One sentence of its verdict.
    pub summary: String,
    /// How much attention it needs.
    pub severity: Severity,
    /// Why, the gravest first; none when nothing is wrong with it.
    pub causes: Vec<Cause>,
    /// What to look at next.
    pub related: Vec<Related>,
}

impl Explanation {
    /// As data.
    pub fn value(&self, hop: Option<&Hop>) -> Value {
        let causes = self.causes.iter().map(|cause| {
            Value::Map(vec![
                ("rule", Value::Name(cause.rule)),
                ("certainty", Value::Name(cause.certainty.name())),
                ("severity", Value::Name(cause.severity.name())),
                ("summary", Value::Text(cause.text.clone())),
                ("next", crate::steps::values(&cause.next)),
            ])
        });
        Value::Map(vec![
            ("subject", Value::Text(self.subject.to_string())),
            ("state", Value::Name(self.state)),
            ("severity", Value::Name(self.severity.name())),
            ("summary", Value::Text(self.summary.clone())),
            ("relation", hop.map_or(Value::Null, |hop| Value::Name(hop.relation.name()))),
            ("relation_certainty", hop.map_or(Value::Null, |hop| Value::Name(hop.certainty.name()))),
            ("related_to", hop.map_or(Value::Null, |hop| Value::Text(hop.from.to_string()))),
            ("causes", Value::List(causes.collect())),
        ])
    }
}

/// Strings in a JSON document that may be keys or ids of something else: short, without blanks, not plain words or numbers.
pub fn candidates(json: &str, most: usize) -> Vec<String> {
    let mut out = Vec::new();
    each_string(json, &mut |text| {
        if out.len() < most && may_be_id(text) && !out.iter().any(|known| known == text) {
            out.push(text.to_owned());
        }
    });
    out
}

/// As [`candidates`], and words of sentences, too: prompts and answers name things in plain language. A word of a sentence
/// needs a digit, or every hyphen would cost the databases a question.
pub fn candidates_in_prose(json: &str, most: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    each_string(json, &mut |text| {
        let sentence = text.contains(char::is_whitespace);
        for word in text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())) {
            let word = if sentence { word } else { text };
            let fits = may_be_id(word) && (!sentence || word.bytes().any(|byte| byte.is_ascii_digit()));
            let number = word.bytes().all(|byte| byte.is_ascii_digit() || b".,:-/".contains(&byte));
            if out.len() < most && fits && !(sentence && number) && !out.iter().any(|known| known == word) {
                out.push(word.to_owned());
            }
        }
    });
    out
}

fn each_string(json: &str, tell: &mut dyn FnMut(&str)) {
    fn walk(value: &serde_json::Value, tell: &mut dyn FnMut(&str)) {
        match value {
            serde_json::Value::String(text) => tell(text),
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, tell)),
            serde_json::Value::Object(fields) => fields.values().for_each(|item| walk(item, tell)),
            _ => {}
        }
    }
    if let Ok(value) = serde_json::from_str(json) {
        walk(&value, tell);
    }
}

fn may_be_id(text: &str) -> bool {
    let marked = text.bytes().any(|byte| byte.is_ascii_digit() || b":-_".contains(&byte));
    (4..=200).contains(&text.len())
        && marked
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && !may_be_time(text)
}

/// A moment as libraries write it, `2026-11-20T21:38:48`: payloads are full of them, and nothing is named so.
fn may_be_time(text: &str) -> bool {
    let Some((moment, rest)) = text.split_at_checked(16) else { return false };
    let zone = rest.bytes().all(|byte| byte.is_ascii_digit() || b".:+-Z".contains(&byte));
    zone && moment.as_bytes()[10] == b'T' && moment.parse::<jiff::civil::DateTime>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_picked_out_of_payloads() {
        let json = r#"{"key": "payments:order-7", "n": 12345, "text": "two words", "deep": [["order-7", "order-7", "plain"]]}"#;
        assert_eq!(candidates(json, 10), ["payments:order-7", "order-7"]);
        assert_eq!(candidates(json, 1), ["payments:order-7"]);
        assert!(candidates("no json", 10).is_empty());
        let json = r#"["2026-11-20T21:38:48.176070", "2026-11-20T21:38:48Z", "2026-11-20T21", "report:2026-11-20"]"#;
        assert_eq!(candidates(json, 10), ["2026-11-20T21", "report:2026-11-20"]);
    }

    #[test]
    fn prose_names_things_too() {
        let json = r#"{"q": "Refund order-7731 (see payments:order-7732), well-known since 2026-11-20 at 21:38!", "id": "a-b-c"}"#;
        assert_eq!(candidates_in_prose(json, 10), ["order-7731", "payments:order-7732", "a-b-c"]);
        assert_eq!(candidates_in_prose(json, 1), ["order-7731"]);
        assert!(candidates_in_prose("no json", 10).is_empty());
    }
}
