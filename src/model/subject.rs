//! What an act or a finding is about.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// What kind of thing a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A task of an agent.
    AgentTask,
    /// A dead letter.
    DeadLetter,
    /// An execution.
    Execution,
    /// A message that a saga is sent.
    Inbox,
    /// A lease.
    Lease,
    /// A name that no system has, but that records mention.
    Name,
    /// A message that a saga sends.
    Outbox,
    /// A tenant's bucket of tokens.
    RateLimit,
    /// A table or sequence.
    Relation,
    /// A saga.
    Saga,
    /// A task of an execution.
    Task,
    /// A worker.
    Worker,
}

impl Kind {
    /// What is stored as a record of its own, and is looked for and waited for by its key or id.
    pub const RECORDS: [Self; 8] = [
        Self::Lease,
        Self::Execution,
        Self::Task,
        Self::DeadLetter,
        Self::Saga,
        Self::Outbox,
        Self::Inbox,
        Self::AgentTask,
    ];

    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AgentTask,
        Self::DeadLetter,
        Self::Execution,
        Self::Inbox,
        Self::Lease,
        Self::Name,
        Self::Outbox,
        Self::RateLimit,
        Self::Relation,
        Self::Saga,
        Self::Task,
        Self::Worker,
    ];

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AgentTask => "agent_task",
            Self::DeadLetter => "dead_letter",
            Self::Execution => "execution",
            Self::Inbox => "inbox",
            Self::Lease => "lease",
            Self::Name => "name",
            Self::Outbox => "outbox",
            Self::RateLimit => "rate_limit",
            Self::Relation => "relation",
            Self::Saga => "saga",
            Self::Task => "task",
            Self::Worker => "worker",
        }
    }

    /// The words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AgentTask => "agent task",
            Self::DeadLetter => "dead letter",
            Self::Inbox => "inbox message",
            Self::Outbox => "outbox message",
            Self::RateLimit => "rate limit",
            other => other.name(),
        }
    }

    /// The words with their article.
    pub fn with_article(self) -> String {
        let words = self.words();
        format!("{} {words}", if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
    }
}

/// One thing in one system, for example `sentinel:lease:payment-order-789`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The system's name: `sentinel`, …
    pub system: &'static str,
    /// What it is there.
    pub kind: Kind,
    /// Its key or id, as the system stores it.
    pub id: String,
}

impl Subject {
    /// Names a thing.
    pub fn new(system: &'static str, kind: Kind, id: impl Into<String>) -> Self {
        Self { system, kind, id: id.into() }
    }

    /// What it is, for people: `stent dead letter`, `saga outbox`, and of a saga just `saga`.
    pub fn described(&self) -> String {
        match self.kind {
            Kind::Saga => self.kind.words().to_owned(),
            kind => format!("{} {}", self.system, kind.words()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.system, self.kind.name(), self.id)
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of every system, and of the journal.
const SYSTEMS: [&str; 5] = ["sentinel", "stent", "saga", "node", "journal"];

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let system = |name: &str| SYSTEMS.into_iter().find(|known| *known == name);
        let kind = |name: &str| Kind::ALL.into_iter().find(|known| known.name() == name);
        let mut parts = text.splitn(3, ':');
        match (parts.next().and_then(system), parts.next().and_then(kind), parts.next()) {
            (Some(system), Some(kind), Some(id)) => Ok(Self::new(system, kind, id)),
            _ => Err(D::Error::custom(format!("{text:?} names nothing that this version knows"))),
        }
    }
}
