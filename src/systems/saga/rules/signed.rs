//! The record of an act: who did it, why, and what was there before. Pure.

use serde_json::{Map, Value as Json, json};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::message::Mailbox;
use crate::port::Change;
use sen_model::ident::OperationId;

/// An entry's input with who did it, why, and what was there before.
pub(crate) fn signed(change: &Change, operation: OperationId, who: Option<&str>, why: Option<&str>) -> Change {
    let mut change = change.clone();
    let input = change.entry.input.as_deref().and_then(|input| serde_json::from_str(input).ok());
    let mut input = if let Some(Json::Object(fields)) = input { fields } else { Map::new() };
    let before = json!({
        "status": change.status, "step_execution_token": change.token, "current_step_index": change.step,
        "claimed": change.claimed,
    });
    input.insert("_sen".into(), json!({"operation": operation.to_string(), "who": who, "why": why, "before": before}));
    change.entry.input = Some(Json::Object(input).to_string());
    change
}

/// The record of a requeue, as the input of a history entry.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn requeued(kind: Mailbox, operation: OperationId, who: Option<&str>, why: Option<&str>) -> String {
    let act = match kind {
        Mailbox::Out => "requeue_outbox",
        Mailbox::In => "requeue_inbox",
    };
    json!({"_admin": act, "_sen": {"operation": operation.to_string(), "who": who, "why": why}}).to_string()
}

/// The record of an undo.
pub(crate) fn taken_back(operation: OperationId, of: OperationId, who: Option<&str>, why: Option<&str>) -> String {
    let sen = json!({"operation": operation.to_string(), "who": who, "why": why, "takes_back": of.to_string()});
    json!({"_admin": "undo", "_sen": sen}).to_string()
}

/// Who put an event into an inbox, for the column that says where it came from: 255 characters.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn source(who: Option<&str>, why: Option<&str>) -> String {
    let who = who.map(|who| format!(": {who}")).unwrap_or_default();
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    format!("sen{who}{why}").chars().take(255).collect()
}
