//! Putting the rows of sagas and messages back, in one IMMEDIATE transaction.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::act::{committed, note};
use super::cells::like;
use super::sql::{now, row, table};
use crate::record::Entry;
use crate::shape::Models;
use crate::story::UNKNOWN;
use crate::undo::{KEPT, of_table};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::rows::{RowChange, changes};
use sen_model::undo::Standing;
use sen_stores::sql::Sql;
use sen_stores::sqlite::restore::{self, Target};
use sen_stores::sqlite::{error_from, part};

fn tables(models: &Models) -> Result<Vec<(String, Sql)>> {
    let states = models.models.iter().map(|model| &model.state);
    let all = states.chain(&models.outboxes).chain(&models.inboxes);
    all.map(|one| Ok((one.shown(), table(Sql::new(""), one)?))).collect()
}

fn targets(tables: &[(String, Sql)]) -> Vec<Target<'_>> {
    tables.iter().map(|(name, sql)| Target { name, sql: sql.clone(), key: &["id"] }).collect()
}

/// How the rows of each of these stand.
pub(super) fn standings(db: &mut Connection, models: &Models, rows: &[Vec<RowChange>]) -> Result<Vec<Standing>> {
    let tables = tables(models)?;
    let snapshot = db.transaction().map_err(error_from)?;
    rows.iter().map(|rows| restore::standing(&snapshot, &targets(&tables), rows)).collect()
}

/// What is put back, owned, for the thread of the connection.
pub(super) struct Back {
    pub(super) changes: Vec<RowChange>,
    pub(super) saga: Option<String>,
    pub(super) operation: OperationId,
    pub(super) fresh: String,
    pub(super) input: String,
}

fn fields(image: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(image)
        .map_err(|error| Error::new(ErrorKind::Unreadable, "a row that was kept cannot be read").with_source(error))
}

/// The saga's row as it is to be: another token, and its history with one entry more; what an act had made due is due from now on.
fn renewed(before: &str, after: &str, back: &Back, clock: &str) -> Result<String> {
    let (mut row, left) = (fields(before)?, fields(after)?);
    let stored = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    row.insert("step_execution_token".into(), like(&back.fresh, &stored).into());
    if row.get("deadline_at").is_some_and(|due| due.is_string() && Some(due) == row.get("updated_at")) {
        row.insert("updated_at".into(), clock.into());
        row.insert("deadline_at".into(), clock.into());
    }
    if let Some(history) = left.get("step_history") {
        let mut entries: Vec<Box<RawValue>> =
            serde_json::from_str(history.as_str().unwrap_or("[]")).unwrap_or_default();
        let input: Value = serde_json::from_str(&back.input).unwrap_or_default();
        let known = Entry::list(history.as_str().unwrap_or("[]")).unwrap_or_default();
        let own = known.iter().rfind(|entry| entry.is_of(&back.operation.to_string()));
        let (step_id, step_name) =
            own.map_or((UNKNOWN, "Unknown"), |own| (own.step_id.as_str(), own.step_name.as_str()));
        let entry = json!({
            "timestamp": clock, "phase": "execute", "status": "WAITING", "step_id": step_id, "step_name": step_name, "attempt": 0,
            "token": back.fresh, "input": input, "output": null, "error": null, "skipped": true,
        });
        entries.extend(RawValue::from_string(entry.to_string()).ok());
        row.insert("step_history".into(), serde_json::to_string(&entries).unwrap_or_default().into());
    }
    Ok(Value::Object(row).to_string())
}

/// Puts back the row of one target; what it changed, `None` where the row is no longer as it was left.
pub(super) fn take_back(db: &mut Connection, models: &Models, back: &Back) -> Result<Option<Vec<RowChange>>> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let (clock, _) = now(&writing)?;
    let tables = tables(models)?;
    let targets = targets(&tables);
    if restore::standing(&writing, &targets, &back.changes)? != Standing::AsLeft {
        return Ok(None);
    }
    let name = back.changes.first().map(|change| change.table.clone()).unwrap_or_default();
    let saga = models.models.iter().find(|model| model.state.shown() == name);
    let mailbox = models.outboxes.iter().chain(&models.inboxes).find(|one| one.shown() == name);
    let (kind, of) = match (saga, mailbox) {
        (Some(model), _) => ("saga", &model.state),
        (None, Some(mailbox)) => ("message", mailbox),
        (None, None) => return Ok(None),
    };
    let mut wanted = back.changes.clone();
    let mut stored = String::new();
    for change in &mut wanted {
        if let Some(image) = change.after.as_ref().or(change.before.as_ref()) {
            stored = fields(image)?.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        }
        if let (Some(_), Some(before), Some(after)) = (saga, &change.before, &change.after) {
            change.before = Some(renewed(before, after, back, &clock)?);
        }
    }
    let before = row(&writing, kind, of, &stored)?;
    let whole = part(&writing, || restore::put_back(&writing, &targets, &wanted))?;
    if whole.is_none() {
        return Err(Error::kept_out(&name));
    }
    for model in &models.models {
        let Some(history) = model.history.as_ref().filter(|_| !model.keeps_history()) else { continue };
        let token = table(Sql::new("SELECT step_execution_token FROM "), &model.state)?.then(" WHERE id = ?1");
        let token = writing
            .query_row(token.as_str(), params![back.saga], |row| row.get::<_, Option<String>>(0))
            .optional()
            .map_err(error_from)?;
        let (Some(token), Some(saga)) = (token, &back.saga) else { continue };
        let step = table(Sql::new("SELECT step_id, step_name FROM "), history)?
            .then(" WHERE saga_id = ?1 AND json_extract(input, '$._sen.operation') = ?2");
        let step: Option<(String, String)> = writing
            .query_row(step.as_str(), params![saga, back.operation.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(error_from)?;
        let (step_id, step_name) = step.unwrap_or_else(|| (UNKNOWN.into(), "Unknown".into()));
        let entry = Entry {
            phase: "EXECUTE".into(),
            status: "WAITING".into(),
            step_id,
            step_name,
            token,
            input: Some(back.input.clone()),
            skipped: true,
            ..Entry::default()
        };
        note(&writing, history, saga, &entry, saga, &clock)?;
    }
    let changed = changes(&KEPT, before, row(&writing, kind, of, &stored)?);
    committed(writing, of_table(changed, &name)).map(Some)
}
