//! What the statements share: names and types from the catalogue, the columns of a saga, and its state judged by the server.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::port::{Bound, micros};
use crate::record::{Awaiting, Later, Saga, Status};
use crate::shape::{Model, Table};
use crate::state::{BETWEEN, OVERDUE};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::Ident;
use sen_model::time::{Timestamp, When};
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::{Query, chunks};
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

/// A parameter with its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// The moment of the snapshot, read by [`clock`].
pub(super) static CLOCK: Sql = Sql::new("SELECT now()");

pub(super) fn clock(rows: &[Row]) -> Timestamp {
    rows.first().and_then(|row| Cells::new(row).time(0)).unwrap_or(Timestamp::NEG_INFINITY)
}

/// What the statements of lists end with, in this order of parameters: since, since ago, until, until ago, older than, limit,
/// whether payloads are wanted.
pub(super) struct Scope {
    pub since: Option<When>,
    pub until: Option<When>,
    pub older_than: Option<Duration>,
    pub limit: Option<i64>,
    pub payloads: bool,
    /// Whether few rows match, which are then read in one piece and in one transaction with other queries.
    pub whole: bool,
}

/// Rows as they come.
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<Vec<T>>> + Send>>;

/// The database's clock, and what `make` makes of the rows of a list: `params`, then those of `scope`.
pub(super) async fn listed<T: Send + 'static>(
    link: &Arc<SharedConnection>,
    sql: &Sql,
    mut params: Vec<Param<'_>>,
    scope: Scope,
    make: impl Fn(&Row) -> T + Send + 'static,
) -> Result<(Timestamp, Streamed<T>)> {
    let (since, until) = (Bound::of(scope.since), Bound::of(scope.until));
    let older = scope.older_than.map(micros);
    params.extend([
        (&since.at as &(dyn ToSql + Sync), Type::INT8),
        (&since.ago, Type::INT8),
        (&until.at, Type::INT8),
        (&until.ago, Type::INT8),
        (&older, Type::INT8),
        (&scope.limit, Type::INT8),
        (&scope.payloads, Type::BOOL),
    ]);
    let (first, long) = (Query::new(&CLOCK, []), Query::new(sql, params));
    if scope.whole {
        let mut answers = link.snapshot(&[first, long]).await?.into_iter();
        let mut next = || answers.next().transpose().map(Option::unwrap_or_default);
        let (now, rows) = (next()?, next()?);
        return Ok((clock(&now), Box::pin(stream::iter([Ok(rows.iter().map(make).collect())]))));
    }
    let (now, rows) = link.snapshot_stream(&first, &long).await?;
    Ok((clock(&now), Box::pin(chunks(rows, make))))
}

/// `"schema"."table"`.
pub(super) fn table(sql: Sql, table: &Table) -> Result<Sql> {
    let sql = match &table.schema {
        Some(schema) => sql.then_ident(&Ident::new(schema.as_str())?).then("."),
        None => sql,
    };
    Ok(sql.then_ident(&Ident::new(table.name.as_str())?))
}

/// `::"schema"."type"` of a column.
pub(super) fn cast(sql: Sql, table: &Table, column: &str) -> Result<Sql> {
    let field = table.field(column).ok_or_else(|| Error::new(ErrorKind::Internal, format!("no column {column}")))?;
    Ok(sql
        .then("::")
        .then_ident(&Ident::new(field.type_schema.as_str())?)
        .then(".")
        .then_ident(&Ident::new(field.type_name.as_str())?))
}

/// The same rules as `State::of`, for filters and counts. What follows FAILED differs by version.
const JUDGE: &str = "CASE s.status::text WHEN 'COMPLETED' THEN 'completed' WHEN 'COMPENSATED' THEN 'compensated'
    WHEN 'TIMEOUT' THEN 'timed_out'
    WHEN 'FAILED' THEN CASE WHEN starts_with(s.last_error, 'Compensation failed for step')
        OR starts_with(s.last_error, 'Missing successful execution entry for step') THEN 'partly_compensated'";

const JUDGE_ROLLED_BACK: &str =
    " THEN CASE WHEN s.current_step_index <= 0 THEN 'compensated' ELSE 'partly_compensated' END";

const JUDGE_REST: &str = " ELSE 'failed' END
    ELSE CASE WHEN s.status::text NOT IN ('RUNNING', 'COMPENSATING', 'SUSPENDED', 'COMPENSATING_SUSPENDED') THEN 'unreadable'
        WHEN s.deadline_at <= now() - interval '5 minutes' THEN 'overdue'
        WHEN s.status::text IN ('RUNNING', 'COMPENSATING') THEN
            CASE WHEN s.deadline_at IS NULL AND s.updated_at > now() - interval '1 minute' THEN 'between_steps'
                WHEN s.deadline_at IS NULL THEN 'stuck'
                WHEN s.deadline_at <= now() AND s.deadline_at = s.updated_at THEN 'due'
                WHEN s.deadline_at <= now() THEN 'lease_expired'
                WHEN s.status::text = 'RUNNING' THEN 'running' ELSE 'compensating' END
        WHEN s.deadline_at <= now() THEN 'due' WHEN s.deadline_at IS NULL THEN 'waiting_event'
        WHEN (jsonb_typeof(s.context::jsonb -> 'awaiting_event_types') = 'array' AND s.context::jsonb -> 'awaiting_event_types' <> '[]')
            OR jsonb_typeof(s.context::jsonb -> 'awaiting_correlation_id') = 'string'
            OR jsonb_typeof(s.context::jsonb -> 'awaiting_until') = 'string' THEN 'waiting_event'
        ELSE 'waiting_retry' END END";

const _: () = assert!(OVERDUE == 5 * 60_000_000 && BETWEEN == 60_000_000);

/// The state of the saga `s`.
pub(super) fn judge(sql: Sql, model: &Model) -> Result<Sql> {
    let sql = sql.then(JUDGE);
    let sql = if model.writable() { rolled_back(sql.then(" WHEN "), model)?.then(JUDGE_ROLLED_BACK) } else { sql };
    Ok(sql.then(JUDGE_REST))
}

/// Whether a compensation is on record: in the row itself, or in the history table.
fn rolled_back(sql: Sql, model: &Model) -> Result<Sql> {
    match &model.history {
        Some(history) if !model.keeps_history() => Ok(table(sql.then("EXISTS (SELECT 1 FROM "), history)?
            .then(" AS h WHERE h.saga_id = s.id AND h.phase::text = 'COMPENSATE')")),
        _ => Ok(sql.then("s.step_history::jsonb @> '[{\"phase\": \"compensate\"}]'")),
    }
}

/// The newest saga of the same aggregation that began after this one, of those that are over without success.
fn later(sql: Sql, model: &Model) -> Result<Sql> {
    let sql = sql.then(
        "CASE WHEN s.status::text IN ('FAILED', 'TIMEOUT') THEN (SELECT jsonb_build_object('id', o.id::text,
            'status', o.status::text)::text FROM ",
    );
    Ok(table(sql, &model.state)?.then(
        " AS o WHERE o.aggregation_id = s.aggregation_id AND o.created_at > s.created_at
            ORDER BY o.created_at DESC, o.id LIMIT 1) END",
    ))
}

/// The columns of a saga, read by [`saga`]: `context` is SQL. With `alone` later sagas of its aggregation are not looked for.
pub(super) fn select(model: &Model, alone: bool, context: &'static str) -> Result<Sql> {
    let sql = Sql::new("SELECT s.id::text, s.aggregation_id::text, s.trace_id::text, ");
    let named = model.state.has("saga_name");
    let sql = sql.then(if named { "s.saga_name::text" } else { "s.context::jsonb ->> 'saga_name'" }).then(
        ", s.status::text, s.current_step_index::int8, s.step_execution_token::text, s.deadline_at::timestamptz,
            s.retry_counter::int8, s.last_error::text, s.created_at::timestamptz, s.updated_at::timestamptz,
            s.deadline_at <= now(), (extract(epoch FROM now() - s.updated_at) * 1000000)::int8,
            CASE WHEN isfinite(s.deadline_at) THEN (extract(epoch FROM now() - s.deadline_at) * 1000000)::int8 END,
            coalesce(s.deadline_at = s.updated_at, false),
            CASE WHEN s.status::text IN ('SUSPENDED', 'COMPENSATING_SUSPENDED') THEN jsonb_build_object(
                'awaiting_event_types', s.context::jsonb -> 'awaiting_event_types',
                'awaiting_correlation_id', s.context::jsonb -> 'awaiting_correlation_id',
                'awaiting_until', s.context::jsonb -> 'awaiting_until')::text END, ",
    );
    let sql = if alone { sql.then("NULL::text") } else { later(sql, model)? };
    // For a single saga its steps are read, too, and show it.
    let sql = if model.keeps_history() || (alone && model.history.is_some()) {
        rolled_back(sql.then(", CASE WHEN s.status::text = 'FAILED' THEN "), model)?.then(" END, ")
    } else {
        sql.then(", NULL::bool, ")
    };
    Ok(sql.then(context))
}

/// A row of [`select`].
pub(super) fn saga(row: &Row, shown: &str) -> Saga {
    let mut cells = Cells::new(row);
    let mut text = |at| cells.text(at).unwrap_or_default();
    let (id, aggregation, trace) = (text(0), text(1), text(2));
    let status = Status::parse(&text(4));
    let awaiting = cells.text(16).and_then(|json| Awaiting::of(&serde_json::from_str(&json).ok()?));
    Saga {
        table: shown.to_owned(),
        id,
        aggregation,
        trace,
        name: cells.text(3),
        status,
        step: cells.int(5).unwrap_or_default(),
        token: cells.text(6),
        deadline: cells.time(7),
        retries: cells.int(8).unwrap_or_default(),
        error: cells.text(9),
        created: cells.time(10),
        updated: cells.time(11),
        due: cells.flag(12),
        idle: cells.int(13).unwrap_or_default(),
        over: cells.int(14),
        handed: cells.flag(15).unwrap_or_default(),
        awaiting,
        later: cells.text(17).as_deref().and_then(Later::of),
        compensated: cells.flag(18),
        context: cells.text(19),
        unreadable: cells.unreadable,
    }
}

/// The maximum number of sagas of one aggregation or trace.
const SAME: &str = " ORDER BY s.updated_at DESC LIMIT 20";

/// Parameters: $1 the id as a UUID or NULL, $2 the id as typed, $3 whether only the id counts.
pub(super) fn wanted(sql: Sql, model: &Model) -> Result<Sql> {
    let sql = table(sql.then(" FROM "), &model.state)?.then(" AS s WHERE (s.id = $1::text");
    Ok(cast(sql, &model.state, "id")?
        .then(" OR (NOT $3::bool AND (s.aggregation_id = $2 OR s.trace_id = $2)))")
        .then(SAME))
}
