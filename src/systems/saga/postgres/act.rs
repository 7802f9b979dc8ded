//! The statements that change a saga: one for every act and version, with its guard and its record in the same statement.
//!
//! Parameters: $1 id, $2 status, $3 token, $4 step as seen; $5 status, $6 token to be; $7 whether it is due now, $8 steps
//! forward, $9 whether tries count anew, $10 whether the error changes, $11 to what; $12 fields, $13 outputs, $14 list
//! items of the context; $15 lease must be over, $16 microseconds it must have been abandoned for, $17 nothing may be
//! rolled back, $18 whether an event is taken, $19 its id; $20 the entries for the history, the record of the act among them.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::sql::{Param, cast, table};
use super::undo::{kept, row};
use crate::port::{Change, Event, micros};
use crate::record::Entry;
use crate::shape::{Model, Table};
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::{Changed, Keep};
use sen_stores::sql::Sql;

/// The context with fields set, outputs added and list items appended. What is not touched keeps its bytes.
const CONTEXT: &str = ", context = (s.context::jsonb || $12::jsonb
    || CASE WHEN $13::jsonb = '{}' THEN '{}' ELSE
        jsonb_build_object('step_outputs', coalesce(s.context::jsonb -> 'step_outputs', '{}') || $13::jsonb) END
    || coalesce((SELECT jsonb_object_agg(e.key, CASE jsonb_typeof(s.context::jsonb -> e.key)
        WHEN 'array' THEN s.context::jsonb -> e.key ELSE '[]' END || e.value) FROM jsonb_each($14::jsonb) AS e), '{}'))";

const GUARD: &str = " AND s.status::text = $2 AND s.step_execution_token::text IS NOT DISTINCT FROM $3
    AND s.current_step_index = $4 AND (NOT $15::bool OR s.deadline_at IS NULL OR s.deadline_at <= now())
    AND ($16::int8 IS NULL OR (s.deadline_at IS NULL AND s.updated_at <= now() - $16 * interval '1 microsecond'))
    AND (NOT $18::bool OR (coalesce(NOT s.context::jsonb -> 'processed_event_ids' ? $19, true)
        AND coalesce((s.context::jsonb ->> 'awaiting_until')::timestamptz >= now(), true)))";

/// An entry's input; who the database knows the operator as belongs to the record.
const INPUT: &str = "CASE WHEN e.entry -> 'input' ? '_sen'
    THEN jsonb_set(e.entry -> 'input', '{_sen,db_user}', to_jsonb(session_user::text)) ELSE e.entry -> 'input' END";

fn update(model: &Model) -> Result<Sql> {
    let state = &model.state;
    let sql = table(Sql::new("WITH changed AS (UPDATE "), state)?.then(" AS s SET status = $5::text");
    let sql = cast(sql, state, "status")?.then(", step_execution_token = $6::text");
    let sql = cast(sql, state, "step_execution_token")?.then(
        ", deadline_at = CASE WHEN $7::bool THEN now() END, current_step_index = s.current_step_index + $8::int4,
        retry_counter = CASE WHEN $9::bool THEN 0 ELSE s.retry_counter END,
        last_error = CASE WHEN $10::bool THEN $11::text ELSE s.last_error END, updated_at = now()",
    );
    let mut sql = cast(sql.then(CONTEXT), state, "context")?;
    if model.keeps_history() {
        let entries = sql
            .then(
                ", step_history = (coalesce(s.step_history::jsonb, '[]') || (SELECT jsonb_agg(e.entry || jsonb_build_object(
                    'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"'),
                    'phase', lower(e.entry ->> 'phase'), 'token', coalesce(e.entry ->> 'token', $6), 'input', ",
            )
            .then(INPUT)
            .then(") ORDER BY e.at) FROM jsonb_array_elements($20::jsonb) WITH ORDINALITY AS e (entry, at)))");
        sql = cast(entries, state, "step_history")?;
    }
    Ok(guarded(sql, model)?.then(" RETURNING s.id)"))
}

/// Everything that a change requires of the row `s`.
fn guarded(sql: Sql, model: &Model) -> Result<Sql> {
    let sql = cast(sql.then(" WHERE s.id = $1::text"), &model.state, "id")?.then(GUARD);
    Ok(match &model.history {
        _ if model.keeps_history() => {
            sql.then(" AND (NOT $17::bool OR NOT s.step_history::jsonb @> '[{\"phase\": \"compensate\"}]')")
        }
        Some(history) => table(sql.then(" AND (NOT $17::bool OR NOT EXISTS (SELECT FROM "), history)?
            .then(" AS h WHERE h.saga_id = s.id AND h.phase::text = 'COMPENSATE'))"),
        None => sql.then(" AND NOT $17::bool"),
    })
}

/// The whole statement: no row when the guard did not match.
fn statement(model: &Model) -> Result<Sql> {
    let sql = update(model)?;
    let Some(history) = model.history.as_ref().filter(|_| !model.keeps_history()) else {
        return Ok(sql.then(" SELECT id::text FROM changed"));
    };
    let marks = history.has("skipped");
    let sql = table(sql.then(", noted AS (INSERT INTO "), history)?
        .then(" (saga_id, \"timestamp\", phase, status, step_id, step_name, attempt, token, input, output, error")
        .then(if marks { ", skipped" } else { "" })
        .then(") SELECT changed.id, clock_timestamp(), (e.entry ->> 'phase')");
    let sql = cast(sql, history, "phase")?.then(", (e.entry ->> 'status')");
    let sql = cast(sql, history, "status")?
        .then(", e.entry ->> 'step_id', e.entry ->> 'step_name', (e.entry ->> 'attempt')::int4, coalesce(e.entry ->> 'token', $6)");
    let sql = cast(sql, history, "token")?.then(", (").then(INPUT).then(")");
    let sql = cast(sql, history, "input")?.then(", coalesce(e.entry -> 'output', 'null')");
    let sql = cast(sql, history, "output")?.then(", e.entry ->> 'error'").then(if marks { ", true" } else { "" });
    Ok(sql.then(
        " FROM changed, jsonb_array_elements($20::jsonb) WITH ORDINALITY AS e (entry, at) ORDER BY e.at)
        SELECT id::text FROM changed",
    ))
}

/// The entries as JSON text. Numbers in inputs and outputs keep every digit.
fn entries(entries: &[&Entry]) -> String {
    let raw = |text: &Option<String>| {
        let text = text.clone().unwrap_or_else(|| "null".into());
        serde_json::value::RawValue::from_string(text).ok()
    };
    let list: Vec<_> = entries
        .iter()
        .map(|entry| {
            #[derive(serde::Serialize)]
            struct Written<'a> {
                phase: &'a str,
                status: &'a str,
                step_id: &'a str,
                step_name: &'a str,
                attempt: i64,
                token: Option<&'a str>,
                input: Option<Box<serde_json::value::RawValue>>,
                output: Option<Box<serde_json::value::RawValue>>,
                error: Option<&'a str>,
                skipped: bool,
            }
            Written {
                phase: &entry.phase,
                status: &entry.status,
                step_id: &entry.step_id,
                step_name: &entry.step_name,
                attempt: entry.attempt,
                token: entry.token.as_deref(),
                input: raw(&entry.input),
                output: raw(&entry.output),
                error: entry.error.as_deref(),
                skipped: entry.skipped,
            }
        })
        .collect();
    serde_json::to_string(&list).unwrap_or_else(|_| "[]".into())
}

/// How a change shows once it is committed: by its record in the history, or the token that it drew. $4 id, $5 status,
/// $6 token, $7 step as seen, $8 the token drawn. A worker can write a whole row from what it read before, the history
/// inside it included: so only a row that is as seen says that nothing is there.
fn proof_of(model: &Model) -> Result<Sql> {
    let state = &model.state;
    let sql = match &model.history {
        _ if model.keeps_history() => {
            let sql = table(Sql::new("CASE WHEN EXISTS (SELECT FROM "), state)?.then(" AS s WHERE s.id = $4::text");
            cast(sql, state, "id")?.then(
                " AND s.step_history::jsonb @> jsonb_build_array(jsonb_build_object('input', jsonb_build_object('_sen',
                    jsonb_build_object('operation', $2)))))",
            )
        }
        Some(history) => {
            let sql =
                table(Sql::new("CASE WHEN EXISTS (SELECT FROM "), history)?.then(" AS h WHERE h.saga_id = $4::text");
            cast(sql, history, "saga_id")?.then(" AND h.input::jsonb #>> '{_sen,operation}' = $2)")
        }
        None => Sql::new("CASE WHEN false"),
    };
    let sql = table(sql.then(" THEN 'landed' WHEN EXISTS (SELECT FROM "), state)?.then(" AS s WHERE s.id = $4::text");
    let sql =
        cast(sql, state, "id")?.then(" AND s.step_execution_token::text = $8) THEN 'landed' WHEN EXISTS (SELECT FROM ");
    let sql = table(sql, state)?.then(" AS s WHERE s.id = $4::text");
    Ok(cast(sql, state, "id")?.then(
        " AND s.status::text = $5 AND s.step_execution_token::text IS NOT DISTINCT FROM $6 AND s.current_step_index = $7)
            THEN 'absent' END",
    ))
}

pub(super) async fn change(
    link: &Arc<SharedConnection>,
    model: &Model,
    change: &Change,
    permit: &WritePermit,
) -> Result<Option<Vec<RowChange>>> {
    let sql = statement(model)?;
    let Change { guard, context, .. } = change;
    let forward = i32::from(change.advance);
    let (changes_error, error) = (change.error.is_some(), change.error.clone().flatten());
    let abandoned = guard.abandoned_for.map(micros);
    let (takes, event) = (guard.event.is_some(), guard.event.clone().flatten());
    let entries = entries(&change.entries());
    let params: Vec<Param<'_>> = vec![
        (&change.id, Type::TEXT),
        (&change.status, Type::TEXT),
        (&change.token, Type::TEXT),
        (&change.step, Type::INT8),
        (&change.to, Type::TEXT),
        (&change.fresh, Type::TEXT),
        (&change.due, Type::BOOL),
        (&forward, Type::INT4),
        (&change.fresh_tries, Type::BOOL),
        (&changes_error, Type::BOOL),
        (&error, Type::TEXT),
        (&context.set, Type::TEXT),
        (&context.outputs, Type::TEXT),
        (&context.append, Type::TEXT),
        (&guard.lease_over, Type::BOOL),
        (&abandoned, Type::INT8),
        (&guard.not_compensated, Type::BOOL),
        (&takes, Type::BOOL),
        (&event, Type::TEXT),
        (&entries, Type::TEXT),
    ];
    let left = guarded(table(Sql::new("SELECT 1 FROM "), &model.state)?.then(" AS s"), model)?;
    let left = Query::new(&left, params.clone());
    let proof = proof_of(model)?;
    let proof = |_: &Written<'_>| {
        Proof::new(proof.clone())
            .with(change.id.clone(), Type::TEXT)
            .with(change.status.clone(), Type::TEXT)
            .with(change.token.clone(), Type::TEXT)
            .with(change.step, Type::INT8)
            .with(change.fresh.clone(), Type::TEXT)
    };
    let left = (&*model.state.shown(), left);
    let row = row("'saga'", &model.state)?;
    let rows = Query::new(&row, [(&change.id as _, Type::TEXT)]);
    let kept = |changed: &Changed| kept(changed, &model.state);
    let (query, keep) = (Query::new(&sql, params), Keep { ask: Some(rows), of: &kept });
    let changed = link.change_one_keeping(&query, left, Some(&keep), &proof, permit.operation()).await?;
    Ok(changed.map(|mut changed| changed.kept.remove(&0).unwrap_or_default()))
}

/// Whether an event of this id was there already shows in that no row comes back.
pub(super) async fn ingest(
    link: &Arc<SharedConnection>,
    inbox: &Table,
    event: &Event,
    permit: &WritePermit,
) -> Result<Option<Vec<RowChange>>> {
    let sql = table(Sql::new("INSERT INTO "), inbox)?.then(
        " (id, event_id, saga_id, event_type, correlation_id, payload, source, occurred_at, status, attempts,
            next_attempt_at) SELECT $1::text",
    );
    let sql = cast(sql, inbox, "id")?.then(", $2::text, $3::text");
    let sql = cast(sql, inbox, "saga_id")?.then(", $4::text, $5::text, $6::text");
    let sql = cast(sql, inbox, "payload")?.then(", $7::text, now(), 'PENDING'");
    let sql = cast(sql, inbox, "status")?.then(", 0, now() ON CONFLICT DO NOTHING RETURNING id::text");
    let source = crate::rules::source(permit.operator(), permit.reason());
    let params: [Param<'_>; 7] = [
        (&event.row, Type::TEXT),
        (&event.id, Type::TEXT),
        (&event.saga, Type::TEXT),
        (&event.kind, Type::TEXT),
        (&event.correlation, Type::TEXT),
        (&event.payload, Type::TEXT),
        (&source, Type::TEXT),
    ];
    // The row's id was drawn for it, and no row of an inbox is ever removed.
    let landed = table(Sql::new("CASE WHEN EXISTS (SELECT FROM "), inbox)?
        .then(" AS m WHERE m.id::text = $4) THEN 'landed' ELSE 'absent' END");
    let proof = |_: &Written<'_>| Proof::new(landed.clone()).with(event.row.clone(), Type::TEXT);
    let free = table(Sql::new("SELECT 1 WHERE NOT EXISTS (SELECT FROM "), inbox)?.then(" AS m WHERE m.event_id = $1)");
    let left = (&*inbox.shown(), Query::new(&free, [(&event.id as _, Type::TEXT)]));
    let row = row("'message'", inbox)?;
    let rows = Query::new(&row, [(&event.row as _, Type::TEXT)]);
    let kept = |changed: &Changed| kept(changed, inbox);
    let (query, keep) = (Query::new(&sql, params), Keep { ask: Some(rows), of: &kept });
    let changed = link.change_one_keeping(&query, left, Some(&keep), &proof, permit.operation()).await?;
    Ok(changed.map(|mut changed| changed.kept.remove(&0).unwrap_or_default()))
}

/// $1 the step, $2 the definition's name. A bounded look backwards: a step that never succeeded must not cost a scan.
pub(super) fn output_of(model: &Model) -> Result<Sql> {
    if model.keeps_history() {
        let sql = table(
            Sql::new("SELECT (e.value -> 'output')::text FROM (SELECT step_history, context FROM "),
            &model.state,
        )?;
        return Ok(sql.then(
            " LIMIT 20000) AS s, jsonb_array_elements(s.step_history::jsonb) AS e
            WHERE lower(e.value ->> 'phase') = 'execute' AND e.value ->> 'status' = 'SUCCESS' AND e.value ->> 'step_id' = $1
                AND coalesce(e.value ->> 'skipped', 'false') = 'false'
                AND ($2::text IS NULL OR s.context::jsonb ->> 'saga_name' = $2) LIMIT 1",
        ));
    }
    let Some(history) = &model.history else {
        return Ok(Sql::new("SELECT NULL::text WHERE $1::text <> $2::text AND false"));
    };
    let skipped = if history.has("skipped") { " AND NOT h.skipped" } else { "" };
    let sql = table(Sql::new("SELECT h.output::text FROM (SELECT * FROM "), history)?
        .then(" ORDER BY id DESC LIMIT 100000) AS h JOIN ");
    let sql = table(sql, &model.state)?
        .then(" AS s ON s.id = h.saga_id WHERE h.phase::text = 'EXECUTE' AND h.status::text = 'SUCCESS' AND h.step_id = $1")
        .then(skipped);
    Ok(sql.then(" AND ($2::text IS NULL OR s.saga_name = $2) ORDER BY h.id DESC LIMIT 1"))
}
