//! Putting the rows of sagas and messages back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio_postgres::types::Type;

use super::sql::{cast, table};
use crate::port::TakenBack;
use crate::record::Entry;
use crate::shape::{Models, Table};
use crate::story::UNKNOWN;
use crate::undo::{KEPT, of_table};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal::Changes;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::undo::Standing;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::Query;
use sen_stores::postgres::restore::{self, Batch, Target};
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::{Changed, Keep};
use sen_stores::sql::Sql;

/// All tables whose rows are put back: their names, and how statements name them.
fn tables(models: &Models) -> Result<Vec<(String, Sql)>> {
    let states = models.models.iter().map(|model| &model.state);
    let all = states.chain(&models.outboxes).chain(&models.inboxes);
    all.map(|one| Ok((one.shown(), table(Sql::new(""), one)?))).collect()
}

fn targets(tables: &[(String, Sql)]) -> Vec<Target<'_>> {
    tables
        .iter()
        .map(|(name, sql)| Target { name, sql: sql.clone(), key: &["id"], shown: "the tables of sagas" })
        .collect()
}

pub(super) async fn standings(
    link: &Arc<SharedConnection>,
    models: &Models,
    rows: &[&[RowChange]],
) -> Result<Vec<Standing>> {
    let tables = tables(models)?;
    let targets = targets(&tables);
    let batch = Batch::new(&targets, rows.iter().map(|rows| (*rows, String::new())))?;
    let rows = link.ask(Query::new(&batch.standing()?, batch.params())).await?;
    Ok(restore::standings(&batch, &rows))
}

/// The row of a table, for an undo. $1 its id.
pub(super) fn row(kind: &'static str, of: &Table) -> Result<Sql> {
    let sql = Sql::new("SELECT 0::int8, ").then(kind).then(", row_to_json(s)::text FROM ");
    cast(table(sql, of)?.then(" AS s WHERE s.id = $1::text"), of, "id")
}

/// The saga's row as it is to be: another token, and its history with one entry more; what an act had made due is due from now on.
fn renewed(before: &str, after: &str, back: &TakenBack<'_>, now: &str) -> Result<String> {
    type Fields = BTreeMap<String, Box<RawValue>>;
    let unreadable = |error| Error::new(ErrorKind::Unreadable, "a row that was kept cannot be read").with_source(error);
    let raw = |value: serde_json::Value| RawValue::from_string(value.to_string()).map_err(unreadable);
    let mut row: Fields = serde_json::from_str(before).map_err(unreadable)?;
    let left: Fields = serde_json::from_str(after).map_err(unreadable)?;
    row.insert("step_execution_token".into(), raw(back.fresh.as_str().into())?);
    let moment = |name: &str| row.get(name).map(|value| value.get()).filter(|value| *value != "null");
    if moment("deadline_at").is_some_and(|due| moment("updated_at") == Some(due)) {
        row.insert("updated_at".into(), raw(now.into())?);
        row.insert("deadline_at".into(), raw(now.into())?);
    }
    if let Some(history) = left.get("step_history") {
        let mut entries: Vec<Box<RawValue>> = serde_json::from_str(history.get()).map_err(unreadable)?;
        let input: serde_json::Value = serde_json::from_str(&back.input).map_err(unreadable)?;
        let operation = back.operation.to_string();
        let known = Entry::list(history.get()).unwrap_or_default();
        let own = known.iter().rfind(|entry| entry.is_of(&operation));
        let (step_id, step_name) =
            own.map_or((UNKNOWN, "Unknown"), |own| (own.step_id.as_str(), own.step_name.as_str()));
        entries.push(raw(serde_json::json!({
            "timestamp": now, "phase": "execute", "status": "WAITING", "step_id": step_id, "step_name": step_name, "attempt": 0,
            "token": back.fresh, "input": input, "output": null, "error": null, "skipped": true,
        }))?);
        let entries = serde_json::to_string(&entries).map_err(unreadable)?;
        row.insert("step_history".into(), RawValue::from_string(entries).map_err(unreadable)?);
    }
    serde_json::to_string(&row).map_err(unreadable)
}

/// The record in the histories beside sagas; the note names the saga and the operation that is taken back, and its entry the step.
fn record(models: &Models) -> Result<Sql> {
    let mut sql = Sql::new("");
    for model in &models.models {
        let Some(history) = model.history.as_ref().filter(|_| !model.keeps_history()) else { continue };
        let marks = history.has("skipped");
        sql = sql.then(", ").then_ident(&sen_model::ident::Ident::new(format!("noted {}", model.state.number))?);
        sql = table(sql.then(" AS (INSERT INTO "), history)?
            .then(" (saga_id, \"timestamp\", phase, status, step_id, step_name, attempt, token, input, output, error")
            .then(if marks { ", skipped" } else { "" })
            .then(") SELECT s.id, clock_timestamp(), 'EXECUTE'");
        sql = cast(sql, history, "phase")?.then(", 'WAITING'");
        sql = cast(sql, history, "status")?
            .then(", coalesce(n.step_id, '__unknown__'), coalesce(n.step_name, 'Unknown'), 0, coalesce(s.step_execution_token::text, s.id::text)");
        sql = cast(sql, history, "token")?
            .then(", jsonb_set(f.note::jsonb -> 'input', '{_sen,db_user}', to_jsonb(session_user::text))");
        sql = cast(sql, history, "input")?.then(", 'null'::jsonb");
        sql = cast(sql, history, "output")?.then(", NULL").then(if marks { ", true" } else { "" });
        sql = table(sql.then(" FROM fit AS f JOIN "), &model.state)?.then(" AS s ON s.id = (f.note::jsonb ->> 'saga')");
        sql = cast(sql, &model.state, "id")?.then(" LEFT JOIN LATERAL (SELECT h.step_id, h.step_name FROM ");
        sql = table(sql, history)?.then(
            " AS h WHERE h.saga_id = s.id AND h.input::jsonb #>> '{_sen,operation}' = f.note::jsonb ->> 'of' LIMIT 1) AS n ON true)",
        );
    }
    Ok(sql)
}

/// How it shows: by its record. $4 the saga. Where nothing could be recorded nothing tells.
fn landed(models: &Models) -> Result<Sql> {
    let mut sql = Sql::new("CASE WHEN false THEN NULL::text");
    let mut kept = false;
    for model in &models.models {
        if let Some(history) = model.history.as_ref().filter(|_| !model.keeps_history()) {
            kept = true;
            sql = table(sql.then(" WHEN EXISTS (SELECT FROM "), history)?.then(" AS h WHERE h.saga_id = $4::text");
            sql = cast(sql, history, "saga_id")?.then(" AND h.input::jsonb #>> '{_sen,operation}' = $2) THEN 'landed'");
        } else if model.keeps_history() {
            kept = true;
            sql = table(sql.then(" WHEN EXISTS (SELECT FROM "), &model.state)?.then(" AS s WHERE s.id = $4::text");
            sql = cast(sql, &model.state, "id")?.then(
                " AND s.step_history::jsonb @> jsonb_build_array(jsonb_build_object('input', jsonb_build_object('_sen',
                    jsonb_build_object('operation', $2))))) THEN 'landed'",
            );
        }
    }
    Ok(sql.then(if kept {
        " ELSE CASE WHEN $4::text IS NOT NULL THEN 'absent' END END"
    } else {
        " WHEN $4::text = '' THEN NULL END"
    }))
}

/// The row that a change of one thing changed.
pub(super) fn kept(changed: &Changed, table: &Table) -> Changes {
    let kept = restore::kept_of_one(&KEPT, changed).into_iter();
    kept.map(|(at, rows)| (at, of_table(rows, &table.shown()))).collect()
}

/// Puts back the row of one target; what it changed, `None` where the row is no longer as it was left.
pub(super) async fn take_back(
    link: &Arc<SharedConnection>,
    models: &Models,
    back: &TakenBack<'_>,
    permit: &WritePermit,
) -> Result<Option<Vec<RowChange>>> {
    static NOW: Sql = Sql::new("SELECT now()::text");
    let tables = tables(models)?;
    let targets = targets(&tables);
    let name = back.changes.first().map(|change| change.table.as_str()).unwrap_or_default();
    let saga = models.models.iter().map(|model| &model.state).find(|state| state.shown() == name);
    let mailbox = models.outboxes.iter().chain(&models.inboxes).find(|one| one.shown() == name);
    let mut changes = back.changes.to_vec();
    if saga.is_some() {
        let now =
            link.ask(Query::new(&NOW, [])).await?.first().and_then(|row| Cells::new(row).text(0)).unwrap_or_default();
        for change in &mut changes {
            if let (Some(before), Some(after)) = (&change.before, &change.after) {
                change.before = Some(renewed(before, after, back, &now)?);
            }
        }
    }
    let input: serde_json::Value = serde_json::from_str(&back.input).unwrap_or_default();
    let note = serde_json::json!({"saga": back.saga, "of": back.operation.to_string(), "input": input}).to_string();
    let batch = Batch::new(&targets, [(changes.as_slice(), note)])?;
    let sql = batch.statement("", &record(models)?)?;
    let landed = landed(models)?;
    let proof = |_: &Written<'_>| Proof::new(landed.clone()).with(back.saga.clone(), Type::TEXT);
    let (kind, of) = match (saga, mailbox) {
        (Some(state), _) => ("'saga'", state),
        (None, Some(mailbox)) => ("'message'", mailbox),
        (None, None) => return Ok(None),
    };
    let id = changes.first().and_then(|change| {
        let row: serde_json::Value = serde_json::from_str(change.after.as_ref().or(change.before.as_ref())?).ok()?;
        row["id"].as_str().map(str::to_owned)
    });
    let row = row(kind, of)?;
    let rows = Query::new(&row, [(&id as _, Type::TEXT)]);
    let kept = |changed: &Changed| kept(changed, of);
    let (change, keep) = (Query::new(&sql, batch.params()), Keep { ask: Some(rows), of: &kept });
    let mut changed = link.change_keeping(&change, None, Some(&keep), &proof, permit.operation()).await?;
    if restore::put_back(&changed).is_empty() {
        return Ok(None);
    }
    Ok(Some(changed.kept.remove(&0).unwrap_or_default()))
}
