//! What an act or a finding is about.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// One thing in one system, for example `sentinel:lease:payment-order-789`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The system's name: `sentinel`, …
    pub system: &'static str,
    /// What it is there: `lease`, `table`, …
    pub kind: &'static str,
    /// Its key or id, as the system stores it.
    pub id: String,
}

impl Subject {
    /// Names a thing.
    pub fn new(system: &'static str, kind: &'static str, id: impl Into<String>) -> Self {
        Self { system, kind, id: id.into() }
    }

    /// What it is, for people: `stent dead letter`, `saga outbox`, and of a saga just `saga`.
    pub fn described(&self) -> String {
        if self.system == self.kind {
            return self.kind.into();
        }
        format!("{} {}", self.system, self.kind.replace('_', " "))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.system, self.kind, self.id)
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Every name of a system and of a kind of thing there is.
const NAMES: [&str; 15] = [
    "sentinel",
    "stent",
    "saga",
    "node",
    "lease",
    "relation",
    "execution",
    "task",
    "dead_letter",
    "outbox",
    "inbox",
    "agent_task",
    "worker",
    "rate_limit",
    "checkpoint",
];

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = |name: &str| NAMES.iter().copied().find(|known| *known == name);
        let mut parts = text.splitn(3, ':');
        let (system, kind, id) = (parts.next().and_then(known), parts.next().and_then(known), parts.next());
        match (system, kind, id) {
            (Some(system), Some(kind), Some(id)) => Ok(Self::new(system, kind, id)),
            _ => Err(D::Error::custom(format!("{text:?} names nothing that this version knows"))),
        }
    }
}
