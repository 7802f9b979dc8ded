//! What an act or a finding is about.

use std::fmt;

use serde::Serialize;

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
