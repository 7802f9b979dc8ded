//! What acts on sagas and their messages fix when they are planned: all that applying them needs, but for the shape of the
//! tables, which is looked up by their names.

use std::time::Duration;

use sen_model::error::Result;
use sen_model::plan::{FollowUp, Input, Step};
use sen_model::prepared::Action;
use sen_model::subject::{Kind, Subject};
use sen_model::value::Value;
use serde::{Deserialize, Serialize};

use crate::message::Mailbox;
use crate::port::{Change, Event, SeenMessage};
use crate::record::{Entry, NAME, Status};

/// The acts on sagas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Try the current step again.
    Retry,
    /// Count the current step as done.
    Skip,
    /// Roll back.
    Compensate,
    /// Give it up.
    Abort,
    /// Let a poll pick it up.
    Unstick,
    /// Hand it an event.
    Notify,
}

impl Verb {
    /// The act's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Compensate => "compensate",
            Self::Abort => "abort",
            Self::Unstick => "unstick",
            Self::Notify => "notify",
        }
    }

    /// What it has done, for reports.
    pub const fn done(self) -> &'static str {
        match self {
            Self::Retry => "due for another try",
            Self::Skip => "its step is skipped",
            Self::Compensate => "due for compensation",
            Self::Abort => "aborted",
            Self::Unstick => "due again",
            Self::Notify => "notified",
        }
    }
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Write {
    /// A change of the saga itself.
    Change(Box<Change>),
    /// An event in its inbox, a table of this name.
    Ingest(String, Box<Event>),
}

/// One act on one saga.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SagaTarget {
    /// The saga.
    pub id: String,
    /// The name of its table.
    pub table: String,
    /// What is written, with what was seen.
    pub write: Write,
    /// Its newest result as it was seen, for watching its progress.
    pub newest: Option<Entry>,
    /// What the operator must know before consenting.
    pub warnings: Vec<String>,
}

/// What is the same for all sagas of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaHead {
    /// The act.
    pub verb: Verb,
    /// How long to watch the progress of each.
    pub verify: Option<Duration>,
}

/// An act on sagas.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaAction {
    /// What is the same for all.
    pub head: SagaHead,
    /// The sagas.
    pub targets: Vec<SagaTarget>,
}

impl SagaTarget {
    /// For people.
    fn shown(&self, verb: Verb) -> Step {
        let mut step = Step::new(Subject::new(NAME, Kind::Saga, self.id.as_str()), verb.name());
        step.follow_up = FollowUp::CheckRelated;
        match &self.write {
            Write::Change(change) => {
                let status = Status::parse(&change.status);
                let status = status.name().map_or_else(|| Value::Text(change.status.clone()), Value::Name);
                step.guard = vec![
                    ("status", status),
                    ("step_execution_token", Value::text(change.token.clone())),
                    ("current_step_index", Value::Int(change.step)),
                ];
                if change.guard.lease_over {
                    step.guard.push(("lease_expired", Value::Bool(true)));
                }
                if let Some(span) = change.guard.abandoned_for {
                    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                    step.guard.push(("unchanged_for", Value::Millis(span)));
                }
                step.input = change.success.as_ref().and_then(|entry| entry.output.clone()).map(Input::Value);
            }
            Write::Ingest(_, event) => {
                step.guard = vec![("event_id", Value::Name("new"))];
                step.input = Some(Input::Value(event.payload.clone()));
            }
        }
        step.warnings.clone_from(&self.warnings);
        step
    }
}

impl Action for SagaAction {
    const KIND: &'static str = "saga.sagas";
    type Head = SagaHead;
    type Target = SagaTarget;

    fn head(&self) -> SagaHead {
        self.head
    }

    fn targets(&self) -> impl Iterator<Item = SagaTarget> + '_ {
        self.targets.iter().cloned()
    }

    fn build(head: SagaHead, targets: impl Iterator<Item = Result<SagaTarget>>) -> Result<Self> {
        Ok(Self { head, targets: targets.collect::<Result<_>>()? })
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        self.targets.iter().map(|target| target.shown(self.head.verb))
    }

    fn unfollowed(&self) -> Option<&'static str> {
        None
    }
}

/// Messages of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Whether they are sent or received.
    pub kind: Mailbox,
    /// The table's name.
    pub table: String,
    /// The messages as seen.
    pub messages: Vec<SeenMessage>,
}

/// One message with its table, as a line of a saved plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTarget {
    kind: Mailbox,
    table: String,
    #[serde(flatten)]
    message: SeenMessage,
}

/// How messages are taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RequeueHead {
    /// The number in one transaction.
    pub batch: usize,
    /// The maximum number per second.
    pub rate: Option<f64>,
}

/// Messages that are made due again, by their table.
#[derive(Debug, Clone, PartialEq)]
pub struct RequeueAction {
    /// How they are taken.
    pub head: RequeueHead,
    /// The messages.
    pub parts: Vec<Part>,
}

impl RequeueAction {
    /// Adds a message.
    pub fn push(&mut self, kind: Mailbox, table: &str, message: SeenMessage) {
        match self.parts.iter_mut().find(|part| part.kind == kind && part.table == table) {
            Some(part) => part.messages.push(message),
            None => self.parts.push(Part { kind, table: table.to_owned(), messages: vec![message] }),
        }
    }
}

impl Action for RequeueAction {
    const KIND: &'static str = "saga.messages";
    type Head = RequeueHead;
    type Target = MessageTarget;

    fn head(&self) -> RequeueHead {
        self.head
    }

    fn targets(&self) -> impl Iterator<Item = MessageTarget> + '_ {
        self.parts.iter().flat_map(|part| {
            let line = |message: &SeenMessage| MessageTarget {
                kind: part.kind,
                table: part.table.clone(),
                message: message.clone(),
            };
            part.messages.iter().map(line)
        })
    }

    fn build(head: RequeueHead, targets: impl Iterator<Item = Result<MessageTarget>>) -> Result<Self> {
        let mut action = Self { head, parts: Vec::new() };
        for target in targets {
            let MessageTarget { kind, table, message } = target?;
            action.push(kind, &table, message);
        }
        Ok(action)
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        // The plan names a set.
        std::iter::empty()
    }

    fn unfollowed(&self) -> Option<&'static str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sen_model::prepared::is_a_value;

    use super::*;
    use crate::port::{Edits, Guard};

    /// What a saga's target is drawn from.
    type Drawn = ([String; 6], [bool; 5], Option<Option<String>>, Option<i64>, i64);

    proptest! {
        #[test]
        fn acts_on_sagas_are_values(
            sagas in prop::collection::vec(
                (prop::array::uniform6(any::<String>()), any::<[bool; 5]>(), any::<Option<Option<String>>>(), any::<Option<i64>>(), any::<i64>()),
                1..5,
            ),
            verb in 0_usize..6, verify in any::<Option<u32>>(),
        ) {
            let verbs = [Verb::Retry, Verb::Skip, Verb::Compensate, Verb::Abort, Verb::Unstick, Verb::Notify];
            let head = SagaHead { verb: verbs[verb], verify: verify.map(|span| Duration::from_micros(span.into())) };
            let target = |(texts, flags, nested, time, number): Drawn| {
                let [id, status, token, table, output, other] = texts;
                let entry = Entry {
                    at: time.map(sen_model::time::Timestamp::from_micros), output: Some(output), attempt: number,
                    token: nested.clone().flatten(), ..Entry::default()
                };
                let event = Event { payload: other.clone(), saga: Some(id.clone()), ..Event::default() };
                let guard = Guard {
                    lease_over: flags[0], abandoned_for: time.map(|span| Duration::from_nanos(span.unsigned_abs())),
                    not_compensated: flags[1], event: nested.clone(),
                };
                let change = Change {
                    id: id.clone(), status, token: Some(token), step: number, claimed: flags[0], guard, to: other.clone(), fresh: other.clone(),
                    due: flags[2], advance: flags[3], fresh_tries: flags[4], error: nested, context: Edits::default(),
                    entry: entry.clone(), success: flags[0].then(|| entry.clone()),
                };
                let write = if flags[1] { Write::Change(Box::new(change)) } else { Write::Ingest(table.clone(), Box::new(event)) };
                SagaTarget { id, table, write, newest: flags[2].then_some(entry), warnings: vec![other] }
            };
            is_a_value(&SagaAction { head, targets: sagas.into_iter().map(target).collect() })?;
        }

        #[test]
        fn acts_on_messages_are_values(
            messages in prop::collection::vec((any::<bool>(), "[ab]", prop::array::uniform3(any::<String>())), 1..9), rate in prop::option::of(0.001_f64..1e6),
        ) {
            let mut action = RequeueAction { head: RequeueHead { batch: 200, rate }, parts: Vec::new() };
            for (out, table, [id, status, seen]) in messages {
                action.push(if out { Mailbox::Out } else { Mailbox::In }, &table, SeenMessage { id, status, seen });
            }
            is_a_value(&action)?;
        }
    }
}
