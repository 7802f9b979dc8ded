//! One row of an outbox or inbox, and what its status can hold. Pure.

use sen_model::subject::Kind;
use sen_model::time::Timestamp;

use crate::record::{Awaiting, Status};

/// Which of the two message tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mailbox {
    /// What sagas send.
    Out,
    /// What they are sent.
    In,
}

impl Mailbox {
    /// The name in commands and data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "outbox",
            Self::In => "inbox",
        }
    }

    /// What kind of thing its messages are.
    pub const fn subject(self) -> Kind {
        match self {
            Self::Out => Kind::Outbox,
            Self::In => Kind::Inbox,
        }
    }

    /// The status of a message that was claimed and not finished.
    pub const fn taken(self) -> MessageStatus {
        match self {
            Self::Out => MessageStatus::Dispatching,
            Self::In => MessageStatus::Processing,
        }
    }
}

/// What `status` of a message can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageStatus {
    /// It waits to be claimed.
    Pending,
    /// Of an outbox: a publisher has claimed it.
    Dispatching,
    /// Of an inbox: a worker has claimed it.
    Processing,
    /// Of an outbox: it was sent.
    Sent,
    /// Of an inbox: its saga has taken it.
    Applied,
    /// Of an inbox: its saga did not take it, and it is consumed.
    Ignored,
    /// The last try failed.
    Failed,
    /// Something no version writes, or a value that could not be read.
    Other(String),
}

impl MessageStatus {
    /// Reads the column.
    pub fn parse(text: String) -> Self {
        match text.as_str() {
            "PENDING" => Self::Pending,
            "DISPATCHING" => Self::Dispatching,
            "PROCESSING" => Self::Processing,
            "SENT" => Self::Sent,
            "APPLIED" => Self::Applied,
            "IGNORED" => Self::Ignored,
            "FAILED" => Self::Failed,
            _ => Self::Other(text),
        }
    }

    /// The column's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => known.stored().unwrap_or_default(),
        }
    }

    /// The column's text where a version writes it.
    pub const fn stored(&self) -> Option<&'static str> {
        Some(match self {
            Self::Pending => "PENDING",
            Self::Dispatching => "DISPATCHING",
            Self::Processing => "PROCESSING",
            Self::Sent => "SENT",
            Self::Applied => "APPLIED",
            Self::Ignored => "IGNORED",
            Self::Failed => "FAILED",
            Self::Other(_) => return None,
        })
    }

    /// The name in data: lower snake case.
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Pending => "pending",
            Self::Dispatching => "dispatching",
            Self::Processing => "processing",
            Self::Sent => "sent",
            Self::Applied => "applied",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
            Self::Other(_) => return None,
        })
    }

    /// The name in data, or what is stored instead.
    pub fn words(&self) -> &str {
        self.name().unwrap_or_else(|| self.as_str())
    }
}

/// One row of an outbox or inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Which of the two.
    pub kind: Mailbox,
    /// The table, as people write it.
    pub table: String,
    /// Its id.
    pub id: String,
    /// Of an inbox: the id its sender gave it.
    pub event: Option<String>,
    /// The saga it is from or for.
    pub saga: Option<String>,
    /// What that is about.
    pub aggregation: Option<String>,
    /// Of an outbox: the step that sends it.
    pub step: Option<String>,
    /// Of an outbox: the topic. Of an inbox: the event's type.
    pub topic: Option<String>,
    /// Of an outbox: the message key. Of an inbox: the correlation id.
    pub key: Option<String>,
    /// The stored status.
    pub status: MessageStatus,
    /// Failed attempts.
    pub attempts: i64,
    /// When it is tried next.
    pub next: Option<Timestamp>,
    /// The last error, or why it was ignored.
    pub error: Option<String>,
    /// When it was sent or settled.
    pub done: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When the row last changed.
    pub updated: Option<Timestamp>,
    /// The same as a guard takes it.
    pub seen: String,
    /// How long it has been unchanged, in microseconds of the database's clock.
    pub idle: i64,
    /// How long ago its next try was due, in microseconds; negative: how long until then.
    pub over: Option<i64>,
    /// The status of the saga an inbox message is for, where that was looked at.
    pub saga_status: Option<Status>,
    /// JSON text; `None` too when payloads were not requested.
    pub payload: Option<String>,
}

/// A message that is due for this long and was not claimed means that nothing dispatches, or is far behind. Microseconds.
pub const LATE: i64 = 5 * 60 * 1_000_000;

impl Message {
    /// Whether it was claimed and is not finished.
    pub fn is_taken(&self) -> bool {
        self.status == self.kind.taken()
    }

    /// How long it has been due without being claimed, if that is long.
    pub fn late(&self) -> Option<i64> {
        let waits = matches!(self.status, MessageStatus::Pending | MessageStatus::Failed);
        self.over.filter(|over| waits && *over >= LATE)
    }

    /// Whether it is an event that fits what is awaited, by type and correlation id.
    pub fn fits(&self, awaiting: &Awaiting) -> bool {
        let typed =
            awaiting.types.is_empty() || self.topic.as_ref().is_some_and(|topic| awaiting.types.contains(topic));
        self.kind == Mailbox::In && typed && (awaiting.correlation.is_none() || awaiting.correlation == self.key)
    }
}
