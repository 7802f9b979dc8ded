//! Lists of sagas: the statement holds only the given conditions, in forms an index can serve.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::sql::{Param, Scope, cast, judge, listed, saga, select, table};
use crate::port::{Order, SagaQuery, Sagas};
use crate::shape::Model;
use crate::state::State;
use sen_model::error::Result;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

const fn order_by(order: Order, descending: bool) -> &'static str {
    match (order, descending) {
        (Order::Stored, _) => "",
        (Order::Updated, false) => " ORDER BY s.updated_at, s.id",
        (Order::Updated, true) => " ORDER BY s.updated_at DESC, s.id DESC",
        (Order::Created, false) => " ORDER BY s.created_at, s.id",
        (Order::Created, true) => " ORDER BY s.created_at DESC, s.id DESC",
        (Order::Deadline, false) => " ORDER BY s.deadline_at, s.id",
        (Order::Deadline, true) => " ORDER BY s.deadline_at DESC NULLS LAST, s.id DESC",
    }
}

/// `s.status = ANY(labels)` in the column's own type, so that its index counts.
fn status_is(sql: Sql, model: &Model, param: &'static str) -> Result<Sql> {
    let sql = sql.then("s.status = ANY(").then(param).then("::text[]");
    Ok(cast(sql, &model.state, "status")?.then("[])"))
}

/// The statement. Parameters: $1 statuses, $2 judged states, $3 statuses those come from, $4 name, $5 aggregation,
/// $6 error, $7 ids, $8 since, $9 since ago, $10 until, $11 until ago, $12 older than, $13 limit, $14 whether contexts are wanted.
fn statement(model: &Model, query: &SagaQuery) -> Result<Sql> {
    let context = "CASE WHEN $14::bool THEN s.context::text END";
    let sql = table(select(model, true, context)?.then(" FROM "), &model.state)?;
    // Every parameter is named once, whatever follows: an unnamed one would have no use and no type.
    let mut sql = sql.then(
        " AS s WHERE ($8::int8 IS NULL OR s.updated_at >= timestamptz 'epoch' + $8 * interval '1 microsecond')
            AND ($9::int8 IS NULL OR s.updated_at >= now() - $9 * interval '1 microsecond')
            AND ($10::int8 IS NULL OR s.updated_at < timestamptz 'epoch' + $10 * interval '1 microsecond')
            AND ($11::int8 IS NULL OR s.updated_at < now() - $11 * interval '1 microsecond')
            AND ($12::int8 IS NULL OR s.updated_at < now() - $12 * interval '1 microsecond')
            AND ($5::text IS NULL OR s.aggregation_id = $5) AND ($6::text IS NULL OR strpos(s.last_error, $6) > 0)",
    );
    sql = sql.then(if model.state.has("saga_name") {
        " AND ($4::text IS NULL OR s.saga_name = $4)"
    } else {
        " AND ($4::text IS NULL OR s.context::jsonb ->> 'saga_name' = $4)"
    });
    sql = match &query.ids {
        None => sql.then(" AND $7::text[] IS NULL"),
        Some(_) => cast(sql.then(" AND s.id = ANY($7::text[]"), &model.state, "id")?.then("[])"),
    };
    match (query.stored.is_empty(), query.judged.is_empty()) {
        (true, true) => sql = sql.then(" AND $1::text[] IS NULL AND $2::text[] IS NULL AND $3::text[] IS NULL"),
        (false, true) => {
            sql = status_is(sql.then(" AND "), model, "$1")?.then(" AND $2::text[] IS NULL AND $3::text[] IS NULL");
        }
        (none, _) => {
            sql = sql.then(" AND (");
            if none {
                sql = sql.then("$1::text[] IS NOT NULL");
            } else {
                sql = status_is(sql, model, "$1")?;
            }
            sql = status_is(sql.then(" OR (").then("($3::text[] IS NULL OR "), model, "$3")?.then(") AND ");
            sql = judge(sql.then("("), model)?.then(") = ANY($2::text[])))");
        }
    }
    if query.stuck {
        sql = sql.then(" AND s.deadline_at IS NULL AND s.updated_at < now() - interval '1 minute' AND ");
        sql = status_literals(sql, model, &["RUNNING", "COMPENSATING"])?;
    }
    if query.due {
        sql = sql.then(" AND s.deadline_at <= now() AND ");
        sql = status_literals(sql, model, &["RUNNING", "SUSPENDED", "COMPENSATING", "COMPENSATING_SUSPENDED"])?;
    }
    Ok(sql.then(order_by(query.order, query.descending)).then(" LIMIT $13::int8"))
}

/// The same with statuses known here; labels that the type lacks are left out, for comparing with them would fail.
pub(super) fn status_literals(mut sql: Sql, model: &Model, statuses: &'static [&'static str]) -> Result<Sql> {
    sql = sql.then("s.status IN (");
    for (at, status) in statuses.iter().filter(|status| model.knows(status)).enumerate() {
        sql = sql.then(if at == 0 { "'" } else { ", '" }).then(status).then("'");
        sql = cast(sql, &model.state, "status")?;
    }
    Ok(sql.then(")"))
}

pub(super) async fn list(link: &Arc<SharedConnection>, model: &Model, query: &SagaQuery) -> Result<Sagas> {
    let sql = statement(model, query)?;
    let known = |status: &&String| model.knows(status);
    let stored: Vec<&String> = query.stored.iter().filter(known).collect();
    let stored = (!query.stored.is_empty()).then_some(stored);
    let judged = (!query.judged.is_empty()).then_some(&query.judged);
    let states = query.judged.iter().filter_map(|name| State::parse(name));
    let mut sources: Vec<&str> =
        states.clone().flat_map(State::stored).copied().filter(|status| model.knows(status)).collect();
    sources.sort_unstable();
    sources.dedup();
    // What cannot be judged can have any status at all.
    let sources = Some(sources).filter(|_| judged.is_some() && states.clone().all(|state| !state.stored().is_empty()));
    let params: Vec<Param<'_>> = vec![
        (&stored, Type::TEXT_ARRAY),
        (&judged, Type::TEXT_ARRAY),
        (&sources, Type::TEXT_ARRAY),
        (&query.name, Type::TEXT),
        (&query.aggregation, Type::TEXT),
        (&query.error, Type::TEXT),
        (&query.ids, Type::TEXT_ARRAY),
    ];
    let &SagaQuery { since, until, older_than, limit, payloads, .. } = query;
    let scope = Scope { since, until, older_than, limit, payloads, whole: false };
    let shown = model.state.shown();
    let (now, chunks) = listed(link, &sql, params, scope, move |row| saga(row, &shown)).await?;
    Ok(Sagas { now, chunks })
}
