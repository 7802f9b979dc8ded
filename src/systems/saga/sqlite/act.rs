//! Writing, each in one IMMEDIATE transaction: what was seen is compared first, with no writer in between.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde_json::value::RawValue;

use super::cells::{self, hex, like};
use super::sql::{entries, now, row, select, table};
use crate::message::Mailbox;
use crate::port::{Change, Edits, Event, Requeued, SeenMessage, micros};
use crate::record::{Entry, Saga};
use crate::shape::{Model, Models, Table};
use crate::undo::{KEPT, of_table};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal::Changes;
use sen_model::rows::{RowChange, Seen, changes};
use sen_model::time::{Timestamp, When};
use sen_stores::sql::Sql;
use sen_stores::sqlite::{commit_keeping, error_from, written};

/// A JSON object whose values keep their bytes.
type Fields = BTreeMap<String, Box<RawValue>>;

fn fields(json: &str) -> Result<Fields> {
    let unreadable =
        |error| Error::new(ErrorKind::Unreadable, "the context of the saga is no JSON object").with_source(error);
    serde_json::from_str(json).map_err(unreadable)
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| Error::new(ErrorKind::Internal, "no JSON").with_source(error))
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::Internal, "no JSON").with_source(error))
}

/// The context with fields set, outputs added and list items appended.
fn edited(context: &str, edits: &Edits) -> Result<String> {
    let mut all = fields(context)?;
    all.extend(fields(&edits.set)?);
    let outputs = fields(&edits.outputs)?;
    if !outputs.is_empty() {
        let mut own = all.get("step_outputs").map_or_else(|| Ok(Fields::new()), |own| fields(own.get()))?;
        own.extend(outputs);
        all.insert("step_outputs".into(), raw(json(&own)?)?);
    }
    for (name, items) in fields(&edits.append)? {
        let list = |value: &RawValue| serde_json::from_str::<Vec<Box<RawValue>>>(value.get()).unwrap_or_default();
        let mut own = all.get(&name).map(|own| list(own)).unwrap_or_default();
        own.extend(list(&items));
        all.insert(name, raw(json(&own)?)?);
    }
    json(&all)
}

/// Whether everything that was seen is still so.
fn holds(saga: &Saga, steps: &[Entry], change: &Change, now: Timestamp) -> bool {
    let guard = &change.guard;
    let context: serde_json::Value =
        saga.context.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let taken = |id: &String| {
        let known = context.get("processed_event_ids").and_then(|list| list.as_array());
        known.is_some_and(|known| known.iter().any(|known| known.as_str() == Some(id)))
    };
    let until = context.get("awaiting_until").and_then(|until| until.as_str()).and_then(|text| When::parse(text).ok());
    let late = until.is_some_and(|until| until.resolve(now) < now);
    saga.status.as_str() == change.status
        && saga.token == change.token
        && saga.step == change.step
        && (!guard.lease_over || saga.due != Some(false))
        && guard.abandoned_for.is_none_or(|span| saga.deadline.is_none() && saga.idle >= micros(span))
        && (!guard.not_compensated || !steps.iter().any(Entry::compensates))
        && guard.event.as_ref().is_none_or(|id| !late && !id.as_ref().is_some_and(taken))
}

/// Makes one guarded change with its record; nothing is written when the guard does not match.
pub(super) fn change(db: &mut Connection, model: &Model, change: &Change) -> Result<Option<Vec<RowChange>>> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let (clock, now) = now(&writing)?;
    let sql = table(select(model).then(" FROM "), &model.state)?.then(" AS s WHERE s.id IN (?1, ?2)");
    let found = writing
        .query_row(sql.as_str(), params![hex(&change.id), change.id], |row| Ok(cells::saga(row, "", now)))
        .optional()
        .map_err(error_from)?;
    let Some((saga, stored, kept)) = found else { return Ok(None) };
    let steps = match (&model.history, &kept) {
        (Some(history), _) => entries(&writing, history, &stored)?,
        (None, Some(kept)) => Entry::list(kept).unwrap_or_default(),
        (None, None) => return Ok(None),
    };
    if !holds(&saga, &steps, change, now) {
        return Ok(None);
    }
    let before = row(&writing, "saga", &model.state, &stored)?;
    let context = edited(saga.context.as_deref().unwrap_or("{}"), &change.context)?;
    let due = change.due.then_some(&clock);
    let sql = table(Sql::new("UPDATE "), &model.state)?.then(
        " SET status = ?2, step_execution_token = ?3, deadline_at = ?4, current_step_index = current_step_index + ?5,
            retry_counter = CASE WHEN ?6 THEN 0 ELSE retry_counter END, last_error = CASE WHEN ?7 THEN ?8 ELSE last_error END,
            context = ?9, updated_at = ?10",
    );
    let sql = if model.keeps_history() { sql.then(", step_history = ?11") } else { sql.then(", id = ?11") };
    let sql = sql.then(" WHERE id = ?1 AND status = ?12 AND current_step_index = ?13");
    let last = if model.keeps_history() { kept_with(kept.as_deref(), change, &now)? } else { stored.clone() };
    let changed = writing.execute(
        sql.as_str(),
        params![
            stored,
            &change.to,
            like(&change.fresh, &stored),
            due,
            i64::from(change.advance),
            change.fresh_tries,
            change.error.is_some(),
            change.error.clone().flatten(),
            context,
            clock,
            last,
            change.status,
            change.step,
        ],
    );
    written(changed.map_err(error_from)?, 1, &model.state.shown())?;
    if let Some(history) = model.history.as_ref().filter(|_| !model.keeps_history()) {
        for entry in change.entries() {
            note(&writing, history, &stored, entry, &change.fresh, &clock)?;
        }
    }
    let changed = changes(&KEPT, before, row(&writing, "saga", &model.state, &stored)?);
    committed(writing, of_table(changed, &model.state.shown())).map(Some)
}

/// Commits a change of one thing; what it was.
pub(super) fn committed(writing: Transaction<'_>, changed: Vec<RowChange>) -> Result<Vec<RowChange>> {
    let mut changes = Changes::from([(0, changed)]);
    commit_keeping(writing, &changes)?;
    Ok(changes.remove(&0).unwrap_or_default())
}

/// The steps that stand in the row itself, with the new ones behind them.
fn kept_with(kept: Option<&str>, change: &Change, now: &Timestamp) -> Result<String> {
    let mut all: Vec<Box<RawValue>> = serde_json::from_str(kept.unwrap_or("[]")).unwrap_or_default();
    for entry in change.entries() {
        let kept = |text: &Option<String>| raw(text.clone().unwrap_or_else(|| "null".into()));
        let text = |value: &str| raw(serde_json::Value::from(value).to_string());
        let mut fields = Fields::new();
        fields.insert("timestamp".into(), text(&now.to_string())?);
        fields.insert("phase".into(), text(&entry.phase.to_lowercase())?);
        fields.insert("status".into(), text(&entry.status)?);
        fields.insert("step_id".into(), text(&entry.step_id)?);
        fields.insert("step_name".into(), text(&entry.step_name)?);
        fields.insert("attempt".into(), raw(entry.attempt.to_string())?);
        fields.insert("token".into(), text(entry.token.as_ref().unwrap_or(&change.fresh))?);
        fields.insert("input".into(), kept(&entry.input)?);
        fields.insert("output".into(), kept(&entry.output)?);
        fields.insert("error".into(), raw(json(&entry.error)?)?);
        fields.insert("skipped".into(), raw("true".into())?);
        all.push(raw(json(&fields)?)?);
    }
    json(&all)
}

/// One entry of a history table.
pub(super) fn note(
    db: &Transaction<'_>,
    history: &Table,
    stored: &str,
    entry: &Entry,
    fresh: &str,
    clock: &str,
) -> Result<()> {
    let marks = history.has("skipped");
    let sql = table(Sql::new("INSERT INTO "), history)?
        .then(" (saga_id, \"timestamp\", phase, status, step_id, step_name, attempt, token, input, output, error")
        .then(if marks { ", skipped) " } else { ") " })
        .then("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11")
        .then(if marks { ", 1)" } else { ")" });
    let token = like(entry.token.as_deref().unwrap_or(fresh), stored);
    let output = entry.output.as_deref().unwrap_or("null");
    let values = params![
        stored,
        clock,
        entry.phase,
        entry.status,
        entry.step_id,
        entry.step_name,
        entry.attempt,
        token,
        entry.input,
        output,
        entry.error,
    ];
    db.execute(sql.as_str(), values).map_err(error_from)?;
    Ok(())
}

/// Puts an event into an inbox; `false` when one with its id is there.
pub(super) fn ingest(
    db: &mut Connection,
    inbox: &Table,
    event: &Event,
    source: &str,
) -> Result<Option<Vec<RowChange>>> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let (clock, _) = now(&writing)?;
    // The column is unique in the library's own tables; checked here, because other tables may lack that constraint.
    let known = table(Sql::new("SELECT 1 FROM "), inbox)?.then(" WHERE event_id = ?1");
    let known = writing.query_row(known.as_str(), params![event.id], |_| Ok(())).optional().map_err(error_from)?;
    if known.is_some() {
        return Ok(None);
    }
    let sql = table(Sql::new("INSERT INTO "), inbox)?.then(
        " (id, event_id, saga_id, event_type, correlation_id, payload, source, occurred_at, status, attempts, next_attempt_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'PENDING', 0, ?8)",
    );
    let saga = event.saga.as_deref().map(hex);
    let values = params![hex(&event.row), event.id, saga, event.kind, event.correlation, event.payload, source, clock];
    written(writing.execute(sql.as_str(), values).map_err(error_from)?, 1, &inbox.shown())?;
    let changed = changes(&KEPT, Seen::new(), row(&writing, "message", inbox, &hex(&event.row))?);
    committed(writing, of_table(changed, &inbox.shown())).map(Some)
}

/// A message as it was seen, and not one that is due, or done, by itself.
const AS_SEEN: &str = " WHERE m.id IN (?2, ?3) AND m.status = ?4 AND m.status NOT IN ('PENDING', 'SENT', 'APPLIED')
    AND m.updated_at || ' ' || m.attempts || ' ' || m.next_attempt_at = ?5";

/// Makes messages due again that are still as seen; what became of them.
pub(super) fn requeue(
    db: &mut Connection,
    models: &Models,
    kind: Mailbox,
    box_: &Table,
    seen: &[SeenMessage],
    record: &str,
) -> Result<Requeued> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let (clock, _) = now(&writing)?;
    // The alias is not known in RETURNING.
    let sql = table(Sql::new("UPDATE "), box_)?
        .then(" AS m SET status = 'PENDING', next_attempt_at = ?1, updated_at = ?1")
        .then(if kind == Mailbox::In { ", processed_at = NULL" } else { "" })
        .then(AS_SEEN)
        .then(" RETURNING saga_id")
        .then(if kind == Mailbox::Out { ", step_id" } else { ", NULL" });
    let unchanged = table(Sql::new("SELECT ?1 FROM "), box_)?.then(" AS m").then(AS_SEEN);
    let mut came = Requeued::default();
    let look = |id: &str| -> Result<Seen> {
        let found = row(&writing, "message", box_, &hex(id))?;
        if found.is_empty() { row(&writing, "message", box_, id) } else { Ok(found) }
    };
    for message in seen {
        let before = look(&message.id)?;
        let values = params![clock, hex(&message.id), message.id, message.status, message.seen];
        let changed = writing
            .query_row(sql.as_str(), values, |row| {
                Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?))
            })
            .optional()
            .map_err(error_from)?;
        let Some((saga, step)) = changed else {
            let values = params![clock, hex(&message.id), message.id, message.status, message.seen];
            let unchanged = writing.query_row(unchanged.as_str(), values, |_| Ok(())).optional().map_err(error_from)?;
            came.kept.extend(unchanged.map(|()| message.id.clone()));
            continue;
        };
        came.done.push(message.id.clone());
        let changed = of_table(changes(&KEPT, before, look(&message.id)?), &box_.shown());
        came.changes.insert(message.id.clone(), changed);
        let Some(saga) = saga else { continue };
        for model in models.senders(kind, box_) {
            let Some(history) = &model.history else { continue };
            let token = table(Sql::new("SELECT step_execution_token FROM "), &model.state)?.then(" WHERE id = ?1");
            let token = writing.query_row(token.as_str(), [&saga], |row| row.get::<_, Option<String>>(0));
            let Some(token) = token.optional().map_err(error_from)? else { continue };
            let mut input = fields(record)?;
            input.insert("message".into(), raw(serde_json::Value::String(message.id.clone()).to_string())?);
            let entry = Entry {
                phase: "EXECUTE".into(),
                status: "WAITING".into(),
                step_id: step.clone().unwrap_or_else(|| "__unknown__".into()),
                step_name: kind.name().into(),
                token,
                input: Some(json(&input)?),
                skipped: true,
                ..Entry::default()
            };
            note(&writing, history, &saga, &entry, &saga, &clock)?;
        }
    }
    let at = |(at, message): (usize, &SeenMessage)| Some((at, came.changes.get(&message.id)?.clone()));
    commit_keeping(writing, &seen.iter().enumerate().filter_map(at).collect())?;
    Ok(came)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::saga;
    use crate::port::Guard;
    use crate::record::Status;
    use std::time::Duration;

    /// Each guard has a case that only it refuses.
    #[test]
    fn every_guard_holds() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let seen = saga(Status::Running, None);
        let plain = Change {
            id: seen.id.clone(),
            status: "RUNNING".into(),
            token: seen.token.clone(),
            step: seen.step,
            claimed: false,
            guard: Guard::default(),
            to: "RUNNING".into(),
            fresh: "f".into(),
            due: true,
            advance: false,
            fresh_tries: false,
            error: None,
            context: Edits::default(),
            entry: Entry::default(),
            success: None,
        };
        let with = |guard: Guard| Change { guard, ..plain.clone() };
        let compensation = [Entry { phase: "COMPENSATE".into(), ..Entry::default() }];
        assert!(holds(&seen, &compensation, &plain, now));
        assert!(!holds(&Saga { status: Status::Completed, ..seen.clone() }, &[], &plain, now));
        assert!(!holds(&Saga { token: Some("other".into()), ..seen.clone() }, &[], &plain, now));
        assert!(!holds(&Saga { step: 2, ..seen.clone() }, &[], &plain, now));
        let over = with(Guard { lease_over: true, ..Guard::default() });
        assert!(holds(&seen, &[], &over, now));
        assert!(!holds(&Saga { due: Some(false), ..seen.clone() }, &[], &over, now));
        let left = with(Guard { abandoned_for: Some(Duration::from_secs(60)), ..Guard::default() });
        assert!(holds(&seen, &[], &left, now));
        assert!(!holds(&Saga { idle: 5, ..seen.clone() }, &[], &left, now));
        assert!(!holds(&Saga { deadline: Some(now), ..seen.clone() }, &[], &left, now));
        let first = with(Guard { not_compensated: true, ..Guard::default() });
        assert!(holds(&seen, &[], &first, now) && !holds(&seen, &compensation, &first, now));
        let event = with(Guard { event: Some(Some("e-1".into())), ..Guard::default() });
        let taken = Some(r#"{"processed_event_ids": ["e-1"]}"#.to_owned());
        assert!(holds(&seen, &[], &event, now) && !holds(&Saga { context: taken, ..seen.clone() }, &[], &event, now));
        let late = Some(r#"{"awaiting_until": "2020-01-01T00:00:00+00:00"}"#.to_owned());
        assert!(!holds(&Saga { context: late, ..seen }, &[], &event, now));
    }

    /// A message that has changed since it was seen, in status alone or in any of the rest, is left alone.
    #[test]
    fn only_messages_as_seen_are_made_due_again() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE outbox (id, saga_id, step_id, status, updated_at, attempts, next_attempt_at);
            INSERT INTO outbox VALUES ('aa', NULL, NULL, 'FAILED', 'u', 1, 'n')",
        )
        .unwrap();
        let outbox =
            Table { number: 1, schema: None, name: "outbox".into(), fields: Vec::new(), references: None, rows: None };
        let mut written = |status: &str, seen: &str| {
            let seen = SeenMessage { id: "aa".into(), status: status.into(), seen: seen.into() };
            requeue(&mut db, &Models::default(), Mailbox::Out, &outbox, &[seen], "{}").unwrap().done.len()
        };
        for (status, seen) in
            [("DISPATCHING", "u 1 n"), ("FAILED", "later 1 n"), ("FAILED", "u 2 n"), ("FAILED", "u 1 later")]
        {
            assert_eq!(written(status, seen), 0, "{status} {seen}");
        }
        assert_eq!((written("FAILED", "u 1 n"), written("FAILED", "u 1 n")), (1, 0));
    }

    #[test]
    fn contexts_are_edited_without_touching_the_rest() {
        let context = r#"{"events": [1.10], "n": 123456789012345678901234567890, "step_outputs": {"a": {"x": 1.50}}}"#;
        let edits = Edits {
            set: r#"{"latest_event": 2}"#.into(),
            outputs: r#"{"b": {"y": 2.50}}"#.into(),
            append: r#"{"events": [2.20], "log": ["x"]}"#.into(),
        };
        let edited = edited(context, &edits).unwrap();
        for kept in
            ["123456789012345678901234567890", "[1.10,2.20]", r#"{"a":{"x": 1.50},"b":{"y": 2.50}}"#, r#""log":["x"]"#]
        {
            assert!(edited.contains(kept), "{edited}");
        }
    }
}
