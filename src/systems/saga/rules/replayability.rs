//! Where a message stands: whether making it due again makes sense. Pure.

use std::time::Duration;

use crate::message::{Mailbox, Message, MessageStatus};
use crate::port::micros;
use crate::record::Status;
use sen_model::report::Outcome;
use sen_model::verdict::Severity;

/// A message that was claimed and is unchanged for this long counts as a dead letter.
pub const LEFT: Duration = Duration::from_secs(600);

/// The severity of a message in trouble: one that failed, one that is long overdue, and one whose
/// claim is old, for which a living process may still be at work.
pub const TROUBLE: Severity = Severity::Warning;

/// Whether a message was claimed so long ago that its process has probably ended.
pub(crate) fn old_claim(message: &Message) -> bool {
    message.is_taken() && message.idle >= micros(LEFT)
}

/// What has to be known of a message that its saga sends although it was rolled back, or is about to be.
pub(crate) fn rolled_back(message: &Message) -> Option<&'static str> {
    match message
        .saga_status
        .as_ref()
        .filter(|_| message.kind == Mailbox::Out && message.status != MessageStatus::Sent)?
    {
        Status::Compensated => {
            Some("its saga was rolled back: sent now, it may tell receivers of work that was undone")
        }
        Status::Compensating | Status::CompensatingSuspended => {
            Some("its saga is being rolled back: sent now, it may tell receivers of work that is undone")
        }
        _ => None,
    }
}

/// How a message that should not be sent can be brought to an end (`outbox/models.py`, 0.1.1 to 0.7.3: pending, dispatching, sent
/// and failed are all there is, and a dispatcher takes what failed up again for ever).
pub(crate) const UNSENDABLE: &str = "the library has no way to drop it: it is tried until it is sent; only its row, changed or deleted by hand in \
     SQL, ends that";

/// Whether a message is a dead letter.
pub(crate) fn is_dead(message: &Message) -> bool {
    message.status == MessageStatus::Failed || old_claim(message)
}

/// Whether a message can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replayability {
    /// It is made due again.
    Replayable,
    /// Of an inbox: its saga waits for no event, so the library would ignore the message, which consumes it.
    SagaNotWaiting,
    /// Of an inbox: there is no such saga.
    SagaGone,
    /// It was claimed a moment ago.
    Taken,
    /// It is due already, or will be.
    Pending,
    /// It is sent or applied.
    Done,
}

impl Replayability {
    /// The name in data.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Replayable => sen_model::letter::REPLAYABLE,
            Self::SagaNotWaiting => "saga_not_waiting",
            Self::SagaGone => "saga_gone",
            Self::Taken => "just_taken",
            Self::Pending => "pending",
            Self::Done => "done",
        }
    }

    /// Whether it may be made due again; what is sent, applied or just claimed never is.
    pub(crate) const fn may(self, force: bool) -> bool {
        match self {
            Self::Replayable => true,
            Self::SagaNotWaiting | Self::SagaGone => force,
            Self::Taken | Self::Pending | Self::Done => false,
        }
    }

    /// What a refusal counts as.
    pub(crate) const fn outcome(self) -> Outcome {
        match self {
            Self::Pending => Outcome::AlreadyDone,
            _ => Outcome::Changed,
        }
    }

    /// Why not.
    pub(crate) fn why(self, message: &Message) -> String {
        let status = message.status.words();
        match self {
            Self::Replayable => "it can be replayed".into(),
            Self::SagaNotWaiting => {
                let saga = message.saga_status.as_ref().map(Status::words).unwrap_or_default();
                format!("its saga is {saga} and waits for no event: the message would be ignored (--force replays it)")
            }
            Self::SagaGone => "there is no such saga: the message would be ignored (--force replays it)".into(),
            Self::Taken => format!(
                "it is {status} since {}: the process that claimed it may be at it (--older-than says how long is too long)",
                sen_model::time::age(message.idle)
            ),
            Self::Pending => "it is pending already".into(),
            Self::Done => format!("it is {status}"),
        }
    }
}

/// Where a message stands. One that was claimed counts as left when it is unchanged for `bound`; one that was ignored may be
/// made due again when it is named.
pub(crate) fn replayability(message: &Message, bound: Duration) -> Replayability {
    let old = message.idle >= micros(bound);
    let dead = match &message.status {
        MessageStatus::Failed | MessageStatus::Ignored => true,
        _ if message.is_taken() => old,
        MessageStatus::Pending => return Replayability::Pending,
        _ => return Replayability::Done,
    };
    if !dead {
        return Replayability::Taken;
    }
    if message.kind == Mailbox::Out || message.saga.is_none() {
        return Replayability::Replayable;
    }
    match message.saga_status {
        Some(Status::Suspended | Status::CompensatingSuspended) => Replayability::Replayable,
        Some(_) => Replayability::SagaNotWaiting,
        None => Replayability::SagaGone,
    }
}
