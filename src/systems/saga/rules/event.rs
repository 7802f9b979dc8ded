//! Whether a saga takes an event, and the change that hands it over. Pure.

use serde_json::{Value as Json, json};

use super::subject::{Ruling, Subject, is, object, stands};
use crate::port::Event;
use crate::record::Status;
use sen_model::text::named;
use sen_model::time::{Timestamp, When};

/// Whether a suspended saga would take this event, by the rules of `notify_detailed`.
pub(crate) fn takes(subject: &Subject<'_>, event: &Event, now: Timestamp) -> Result<(), String> {
    let saga = subject.saga();
    let allowed: &[Status] = if subject.model.keeps_history() {
        &[Status::Suspended]
    } else {
        &[Status::Suspended, Status::CompensatingSuspended]
    };
    if !is(saga, allowed) {
        return Err(format!("it is {}: only a suspended saga can be notified", stands(saga)));
    }
    let context: Json = saga.context.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let taken = context.get("processed_event_ids").and_then(Json::as_array);
    if let Some(id) = &event.id
        && taken.is_some_and(|taken| taken.iter().any(|known| known.as_str() == Some(id)))
    {
        return Err(format!("it has taken the event {} already", named(id)));
    }
    let Some(awaiting) = &saga.awaiting else { return Ok(()) };
    if !awaiting.types.is_empty() && !event.kind.as_ref().is_some_and(|kind| awaiting.types.contains(kind)) {
        return Err(format!("it waits for {}: say --type", awaiting.words()));
    }
    if let Some(wanted) = &awaiting.correlation
        && !is_nothing(event)
        && event.correlation.as_ref() != Some(wanted)
    {
        return Err(format!("it waits for {}: say --correlation", awaiting.words()));
    }
    let until = awaiting.until.as_deref().and_then(|text| When::parse(text).ok());
    if until.is_some_and(|until| until.resolve(now) < now) {
        return Err("the time it waited for has passed: the next poll times it out, and then it can be retried".into());
    }
    Ok(())
}

/// Whether nothing was said of an event: a bare wake-up.
fn is_nothing(event: &Event) -> bool {
    event.id.is_none() && event.kind.is_none() && event.correlation.is_none() && event.payload == "null"
}

/// `notify`: the event goes into the context as the library puts it there.
pub(crate) fn notify(subject: &Subject<'_>, event: &Event, now: Timestamp) -> Ruling {
    subject.recordable()?;
    takes(subject, event, now)?;
    let saga = subject.saga();
    let to = if saga.status == Status::Suspended { "RUNNING" } else { "COMPENSATING" };
    let mut change = subject.change("notify", to);
    change.guard.event = Some(event.id.clone());
    let payload = event.payload.clone();
    // 0.1.1 takes the bare payload; from 0.1.4 on events have ids and types, and their waits are in the context.
    let typed =
        saga.awaiting.is_some() || saga.context.as_ref().is_some_and(|context| context.contains("\"notify_inbox\""));
    if subject.model.keeps_history() && !typed {
        if event.kind.is_some() || event.correlation.is_some() || event.id.is_some() {
            return Err("this version knows no types, correlation ids or ids of events: give the payload alone".into());
        }
        if payload != "null" {
            change.context.append = object([("events", format!("[{payload}]"))]);
            change.context.set = object([("latest_event", payload)]);
        }
        return Ok((change, vec!["its step is executed again with the event when a worker next polls".into()]));
    }
    let text = |value: &Option<String>| json!(value).to_string();
    let mut set = subject.nothing_awaited();
    let mut append = Vec::new();
    if !is_nothing(event) {
        let meta = object([
            ("event_id", text(&event.id)),
            ("event_type", text(&event.kind)),
            ("correlation_id", text(&event.correlation)),
            ("payload", payload.clone()),
            ("source", "\"sen\"".into()),
            ("occurred_at", "null".into()),
        ]);
        set.extend([("latest_event", payload.clone()), ("latest_event_meta", meta)]);
        append.push(("events", format!("[{payload}]")));
        append.extend(event.id.as_ref().map(|id| ("processed_event_ids", json!([id]).to_string())));
    }
    let log = json!([{
        "timestamp": now.to_string(),
        "result": "ACCEPTED",
        "event_id": event.id,
        "event_type": event.kind,
        "correlation_id": event.correlation,
    }]);
    append.push(("notify_inbox", log.to_string()));
    change.context.set = object(set);
    change.context.append = object(append);
    Ok((change, vec!["it goes on with this event when a worker next polls".into()]))
}
