//! A saga that something is to be done to, and the change that every rule begins with. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::port::{Change, Edits, Guard, Observed};
use crate::record::{Entry, Saga, Status};
use crate::shape::Model;
use crate::story;

/// A change, and what the operator must know before consenting; or why not.
pub(crate) type Ruling = Result<(Change, Vec<String>), String>;

/// A saga with what a change of it needs.
pub(crate) struct Subject<'a> {
    /// The saga and its steps.
    pub seen: &'a Observed,
    /// The tables it is in.
    pub model: &'a Model,
    /// A token that is not in use.
    pub fresh: String,
    /// The id and class of the step it stands at, as other sagas of its name tell, where its own record does not.
    pub elsewhere: Option<(String, String)>,
}

/// The input of an operator's entry before it is signed.
fn marked(act: &str) -> Map<String, Json> {
    let mut input = Map::new();
    input.insert("_admin".into(), act.into());
    input
}

impl Subject<'_> {
    pub(super) fn saga(&self) -> &Saga {
        &self.seen.saga
    }

    /// A change that makes the saga due with `to` as its status, and records `act`.
    pub(super) fn change(&self, act: &str, to: &'static str) -> Change {
        let saga = self.saga();
        let (step_id, step_name) = match (story::current(&self.seen.steps), &self.elsewhere) {
            (Some(entry), _) => (entry.step_id.clone(), entry.step_name.clone()),
            (None, Some(step)) => step.clone(),
            // As the library does where it cannot tell.
            (None, None) => (story::UNKNOWN.into(), "Unknown".into()),
        };
        Change {
            id: saga.id.clone(),
            status: saga.status.as_str().to_owned(),
            token: saga.token.clone(),
            step: saga.step,
            claimed: matches!(saga.status, Status::Running | Status::Compensating)
                && saga.deadline.is_some()
                && !saga.handed,
            guard: Guard::default(),
            to: to.to_owned(),
            fresh: self.fresh.clone(),
            due: true,
            advance: false,
            fresh_tries: false,
            error: None,
            context: Edits::default(),
            // Neither a success nor an error of anything: the library looks for those, and for compensations.
            entry: Entry {
                phase: "EXECUTE".into(),
                status: "WAITING".into(),
                step_id,
                step_name,
                token: saga.token.clone(),
                input: Some(Json::Object(marked(act)).to_string()),
                skipped: true,
                ..Entry::default()
            },
            success: None,
        }
    }

    /// The newest recorded try of the step the saga stands at.
    pub(crate) fn current(&self) -> Option<&Entry> {
        let tries = self.seen.steps.iter().rev().filter(|entry| entry.executes());
        let last = tries.into_iter().find(|entry| entry.act().is_none_or(|act| act == "skip_step"))?;
        (!last.is("SUCCESS")).then_some(last)
    }

    /// The context's fields without what is awaited, in the versions that keep it there.
    pub(super) fn nothing_awaited(&self) -> Vec<(&'static str, String)> {
        if self.model.keeps_history() && self.saga().awaiting.is_none() {
            return Vec::new();
        }
        let empty = |name, text: &str| (name, text.to_owned());
        let mut fields = vec![
            empty("awaiting_event_types", "[]"),
            empty("awaiting_correlation_id", "null"),
            empty("awaiting_until", "null"),
        ];
        // 0.1.4 to 0.5.0 keep the first type once more; left there it would be waited for again.
        if self.saga().context.as_ref().is_some_and(|context| context.contains("\"awaiting_event_type\"")) {
            fields.push(empty("awaiting_event_type", "null"));
        }
        fields
    }

    pub(super) fn recordable(&self) -> Result<(), String> {
        if self.model.writable() {
            return Ok(());
        }
        Err("its history table is not known, so the act could not be recorded nor its rules checked".into())
    }
}

/// A JSON object of fields whose values are JSON text already: numbers keep every digit.
pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: BTreeMap<&str, Box<RawValue>> = fields
        .into_iter()
        .filter_map(|(name, text)| RawValue::from_string(text).ok().map(|value| (name, value)))
        .collect();
    serde_json::to_string(&fields).unwrap_or_else(|_| "{}".into())
}

/// Whether its status is one of these.
pub(super) fn is(saga: &Saga, allowed: &[Status]) -> bool {
    allowed.contains(&saga.status)
}

/// The status as people write it.
pub(super) fn stands(saga: &Saga) -> String {
    saga.status.name().map_or_else(|| saga.status.as_str().to_owned(), |name| name.replace('_', " "))
}
