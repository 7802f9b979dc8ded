//! Outboxes and inboxes: lists, counts, and making messages due again.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::sql::{Param, Scope, cast, listed, table, wanted};
use crate::message::{Mailbox, Message, MessageStatus};
use crate::port::{MessageQuery, Messages, Requeued, SeenMessage, micros};
use crate::record::{Status, uuid};
use crate::rules;
use crate::shape::{Model, Models, Table};
use crate::undo::{KEPT, of_table};
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::Query;
use sen_stores::postgres::restore;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::{Changed, Keep, Left, free};
use sen_stores::sql::Sql;

/// The fields that only one of the two message tables has, under one name.
const fn columns(kind: Mailbox) -> &'static str {
    match kind {
        Mailbox::Out => {
            "SELECT m.id::text, NULL::text, m.saga_id::text, m.aggregation_id::text, m.step_id::text, m.topic::text,
                m.message_key::text, m.status::text, m.attempts::int8, m.next_attempt_at::timestamptz, m.last_error::text,
                m.sent_at::timestamptz"
        }
        Mailbox::In => {
            "SELECT m.id::text, m.event_id::text, m.saga_id::text, m.aggregation_id::text, NULL::text, m.event_type::text,
                m.correlation_id::text, m.status::text, m.attempts::int8, m.next_attempt_at::timestamptz,
                m.last_error::text, m.processed_at::timestamptz"
        }
    }
}

const REST: &str = ", m.created_at::timestamptz, m.updated_at::timestamptz,
    (extract(epoch FROM m.updated_at) * 1000000)::int8::text, (extract(epoch FROM now() - m.updated_at) * 1000000)::int8,
    CASE WHEN isfinite(m.next_attempt_at) THEN (extract(epoch FROM now() - m.next_attempt_at) * 1000000)::int8 END, ";

pub(super) fn message(row: &Row, kind: Mailbox, shown: &str) -> Message {
    let mut cells = Cells::new(row);
    Message {
        kind,
        table: shown.to_owned(),
        id: cells.text(0).unwrap_or_default(),
        event: cells.text(1),
        saga: cells.text(2),
        aggregation: cells.text(3),
        step: cells.text(4),
        topic: cells.text(5),
        key: cells.text(6),
        status: MessageStatus::parse(cells.text(7).unwrap_or_default()),
        attempts: cells.int(8).unwrap_or_default(),
        next: cells.time(9),
        error: cells.text(10),
        done: cells.time(11),
        created: cells.time(12),
        updated: cells.time(13),
        seen: cells.text(14).unwrap_or_default(),
        idle: cells.int(15).unwrap_or_default(),
        over: cells.int(16),
        saga_status: cells.text(17).as_deref().map(Status::parse),
        payload: cells.text(18),
    }
}

/// The newest messages of the wanted sagas; parameters as of [`wanted`].
pub(super) fn of_sagas(kind: Mailbox, box_: &Table, model: &Model) -> Result<Sql> {
    let sql = Sql::new(columns(kind)).then(REST).then("NULL::text, m.payload::text FROM ");
    let sql = table(sql, box_)?.then(" AS m WHERE m.saga_id IN (SELECT s.id");
    let sql = wanted(sql, model)?.then(")");
    let sql = if kind == Mailbox::In {
        let sql = sql.then(" OR (m.saga_id IS NULL AND m.aggregation_id IN (SELECT s.aggregation_id");
        wanted(sql, model)?.then("))")
    } else {
        sql
    };
    Ok(sql.then(" ORDER BY m.created_at, m.id LIMIT 200"))
}

/// Failed, or claimed so long ago that its process has probably ended.
const DEAD: &str = "(m.status::text = 'FAILED' OR (m.status::text IN ('DISPATCHING', 'PROCESSING')
    AND m.updated_at < now() - interval '10 minutes'))";
const _: () = assert!(rules::LEFT.as_secs() == 600);

/// Due for long and not claimed.
const LATE: &str = "m.status::text = 'PENDING' AND m.next_attempt_at <= now() - interval '5 minutes'";

/// Messages of one table by status, with those that are dead letters or late.
pub(super) fn census(box_: &Table) -> Result<Sql> {
    let sql = Sql::new("SELECT m.status::text, count(*), min(m.updated_at)::timestamptz, count(*) FILTER (WHERE ")
        .then(DEAD)
        .then("), min(m.updated_at) FILTER (WHERE ")
        .then(DEAD)
        .then(")::timestamptz, count(*) FILTER (WHERE ")
        .then(LATE)
        .then("), min(m.next_attempt_at) FILTER (WHERE ")
        .then(LATE)
        .then(")::timestamptz FROM ");
    Ok(table(sql, box_)?.then(" AS m GROUP BY 1"))
}

/// The status of the saga a message is for: a sub-query for each model that may have it.
fn saga_status(mut sql: Sql, models: &Models, kind: Mailbox, box_: &Table) -> Result<Sql> {
    let senders = models.senders(kind, box_);
    if senders.is_empty() {
        return Ok(sql.then("NULL::text"));
    }
    sql = sql.then("coalesce(");
    for (at, model) in senders.iter().enumerate() {
        sql = table(
            sql.then(if at == 0 { "(SELECT s.status::text FROM " } else { ", (SELECT s.status::text FROM " }),
            &model.state,
        )?;
        sql = sql.then(" AS s WHERE s.id = m.saga_id)");
    }
    Ok(sql.then(")"))
}

/// Parameters: $1 ids, $2 event ids, $3 statuses, $4 microseconds, $5 saga id, $6 what it is about, $7 topic or step,
/// $8 error, $9 since, $10 since ago, $11 until, $12 until ago, $13 older than, $14 limit, $15 whether payloads are wanted.
pub(super) async fn list(
    link: &Arc<SharedConnection>,
    models: &Models,
    kind: Mailbox,
    box_: &Table,
    query: &MessageQuery,
) -> Result<Messages> {
    let sql = saga_status(Sql::new(columns(kind)).then(REST), models, kind, box_)?;
    let sql = table(sql.then(", CASE WHEN $15::bool THEN m.payload::text END FROM "), box_)?.then(" AS m WHERE true");
    let mut sql = sql.then(
        " AND ($9::int8 IS NULL OR m.updated_at >= timestamptz 'epoch' + $9 * interval '1 microsecond')
        AND ($10::int8 IS NULL OR m.updated_at >= now() - $10 * interval '1 microsecond')
        AND ($11::int8 IS NULL OR m.updated_at < timestamptz 'epoch' + $11 * interval '1 microsecond')
        AND ($12::int8 IS NULL OR m.updated_at < now() - $12 * interval '1 microsecond')
        AND ($13::int8 IS NULL OR m.updated_at < now() - $13 * interval '1 microsecond')
        AND ($8::text IS NULL OR strpos(m.last_error, $8) > 0)",
    );
    if !query.ids.is_empty() {
        sql = cast(sql.then(" AND (m.id = ANY($1::text[]"), box_, "id")?.then("[])");
        sql = sql.then(if kind == Mailbox::In { " OR m.event_id = ANY($2::text[]))" } else { ")" });
    }
    if !query.statuses.is_empty() {
        sql = cast(sql.then(" AND m.status = ANY($3::text[]"), box_, "status")?.then("[])");
    }
    if query.dead.is_some() {
        sql = cast(sql.then(" AND (m.status = 'FAILED'"), box_, "status")?;
        sql = sql.then(match kind {
            Mailbox::Out => " OR (m.status = 'DISPATCHING'",
            Mailbox::In => " OR (m.status = 'PROCESSING'",
        });
        sql = cast(sql, box_, "status")?.then(" AND m.updated_at < now() - $4 * interval '1 microsecond'))");
    }
    if query.saga.is_some() {
        sql = cast(sql.then(" AND (m.saga_id = $5::text"), box_, "saga_id")?.then(" OR m.aggregation_id = $6)");
    }
    if query.topic.is_some() {
        sql = sql.then(match kind {
            Mailbox::Out => " AND (m.topic = $7 OR m.step_id = $7)",
            Mailbox::In => " AND m.event_type = $7",
        });
    }
    let sql = sql
        .then(if query.oldest_first {
            " ORDER BY m.updated_at, m.id"
        } else {
            " ORDER BY m.updated_at DESC, m.id DESC"
        })
        .then(" LIMIT $14::int8");
    let ids: Vec<String> = query.ids.iter().filter_map(|id| uuid(id)).collect();
    let field = box_.field("status");
    let known = |status: &&str| {
        field.is_some_and(|field| field.labels.is_empty() || field.labels.iter().any(|label| label == status))
    };
    let statuses: Vec<&str> = query.statuses.iter().map(MessageStatus::as_str).filter(known).collect();
    let saga = query.saga.as_deref().and_then(uuid);
    let dead = query.dead.map(micros);
    let params: Vec<Param<'_>> = vec![
        (&ids, Type::TEXT_ARRAY),
        (&query.ids, Type::TEXT_ARRAY),
        (&statuses, Type::TEXT_ARRAY),
        (&dead, Type::INT8),
        (&saga, Type::TEXT),
        (&query.saga, Type::TEXT),
        (&query.topic, Type::TEXT),
        (&query.error, Type::TEXT),
    ];
    let &MessageQuery { since, until, older_than, limit, payloads, .. } = query;
    let scope = Scope { since, until, older_than, limit, payloads, whole: query.names_one() };
    let shown = box_.shown();
    let (now, chunks) = listed(link, &sql, params, scope, move |row| message(row, kind, &shown)).await?;
    Ok(Messages { now, chunks })
}

/// The table as `m`, joined with what was seen of its rows as `w`.
fn as_seen(sql: Sql, box_: &Table) -> Result<Sql> {
    let sql = table(sql, box_)?.then(" AS m JOIN wanted AS w ON m.id = w.id");
    Ok(cast(sql, box_, "id")?.then(
        " WHERE m.status::text = w.status AND m.updated_at = timestamptz 'epoch' + w.seen * interval '1 microsecond'
            AND m.status::text NOT IN ('PENDING', 'SENT', 'APPLIED')",
    ))
}

/// The messages that are unchanged and not locked. $1 ids, $2 statuses, $3 last changes as seen.
fn left(box_: &Table) -> Result<Sql> {
    let sql = Sql::new(
        "WITH wanted AS (SELECT * FROM unnest($1::text[], $2::text[], $3::int8[]) AS w (id, status, seen))
        SELECT m.id::text FROM ",
    );
    Ok(as_seen(sql, box_)?.then(concat!(" AND ", free!("m"))))
}

/// The rows of messages, for an undo. $1 ids.
fn rows(box_: &Table) -> Result<Sql> {
    let sql = Sql::new(
        "SELECT (w.place - 1)::int8, 'message', row_to_json(m)::text
        FROM unnest($1::text[]) WITH ORDINALITY AS w (id, place) JOIN ",
    );
    cast(table(sql, box_)?.then(" AS m ON m.id = w.id"), box_, "id")
}

/// Parameters: $1 ids, $2 statuses, $3 last changes as seen; $4 the record.
fn requeue_statement(models: &Models, kind: Mailbox, box_: &Table) -> Result<Sql> {
    let sql = Sql::new(
        "WITH wanted AS (SELECT * FROM unnest($1::text[], $2::text[], $3::int8[]) AS w (id, status, seen)),
        locked AS (SELECT m.id FROM ",
    );
    // A locked row belongs to a live process, which keeps it.
    let sql = as_seen(sql, box_)?.then(" FOR UPDATE OF m SKIP LOCKED), changed AS (UPDATE ");
    let sql = table(sql, box_)?.then(" AS m SET status = 'PENDING'");
    let sql = cast(sql, box_, "status")?.then(", next_attempt_at = now(), updated_at = now()").then(match kind {
        Mailbox::Out => " FROM locked WHERE m.id = locked.id RETURNING m.id, m.saga_id, m.step_id::text AS step)",
        Mailbox::In => {
            ", processed_at = NULL FROM locked WHERE m.id = locked.id RETURNING m.id, m.saga_id, NULL::text AS step)"
        }
    });
    let mut sql = sql;
    for model in models.senders(kind, box_) {
        let Some(history) = &model.history else { continue };
        let marks = history.has("skipped");
        // The name of a sub-query must differ from model to model; its quoted state table is as good as any.
        sql = sql.then(", ").then_ident(&sen_model::ident::Ident::new(format!("noted {}", model.state.number))?);
        sql = table(sql.then(" AS (INSERT INTO "), history)?
            .then(" (saga_id, \"timestamp\", phase, status, step_id, step_name, attempt, token, input, output, error")
            .then(if marks { ", skipped" } else { "" })
            .then(") SELECT s.id, clock_timestamp(), 'EXECUTE'");
        sql = cast(sql, history, "phase")?.then(", 'WAITING'");
        sql = cast(sql, history, "status")?
            .then(", coalesce(c.step, '__unknown__'), ")
            .then(if kind == Mailbox::Out { "'outbox'" } else { "'inbox'" })
            .then(", 0, coalesce(s.step_execution_token::text, s.id::text)");
        sql = cast(sql, history, "token")?.then(
            ", jsonb_set($4::jsonb || jsonb_build_object('message', c.id::text), '{_sen,db_user}', to_jsonb(session_user::text))",
        );
        sql = cast(sql, history, "input")?.then(", 'null'::jsonb");
        sql = cast(sql, history, "output")?.then(", NULL").then(if marks { ", true" } else { "" });
        sql = table(sql.then(" FROM changed AS c JOIN "), &model.state)?.then(" AS s ON s.id = c.saga_id)");
    }
    Ok(sql.then(" SELECT id::text FROM changed"))
}

/// How a requeue shows once it is committed: by its record beside a saga, or in a row of this very moment. $4 ids, $5 statuses,
/// $6 last changes as seen. One transaction wrote all of them: one that is as seen says that nothing is there.
fn requeued(models: &Models, kind: Mailbox, box_: &Table) -> Result<Sql> {
    let mut sql = Sql::new("CASE ");
    for model in models.senders(kind, box_) {
        let Some(history) = &model.history else { continue };
        sql = table(sql.then("WHEN EXISTS (SELECT FROM "), history)?.then(" AS h JOIN ");
        sql = table(sql, box_)?.then(
            " AS m ON m.saga_id = h.saga_id WHERE m.id::text = ANY($4) AND h.input::jsonb #>> '{_sen,operation}' = $2
                AND h.input::jsonb ->> 'message' = m.id::text) THEN 'landed' ",
        );
    }
    let sql = table(sql.then("WHEN EXISTS (SELECT FROM "), box_)?.then(
        " AS m WHERE m.id::text = ANY($4) AND m.status::text = 'PENDING'
            AND m.updated_at = timestamptz 'epoch' + $3 * interval '1 microsecond') THEN 'landed'
        WHEN EXISTS (SELECT FROM unnest($4::text[], $5::text[], $6::int8[]) AS w (id, status, seen) JOIN ",
    );
    Ok(table(sql, box_)?.then(
        " AS m ON m.id::text = w.id WHERE m.status::text = w.status
            AND m.updated_at = timestamptz 'epoch' + w.seen * interval '1 microsecond') THEN 'absent' END",
    ))
}

pub(super) async fn requeue(
    link: &Arc<SharedConnection>,
    models: &Models,
    kind: Mailbox,
    box_: &Table,
    seen: &[SeenMessage],
    permit: &WritePermit,
) -> Result<Requeued> {
    let sql = requeue_statement(models, kind, box_)?;
    let ids: Vec<&str> = seen.iter().map(|message| message.id.as_str()).collect();
    let statuses: Vec<&str> = seen.iter().map(|message| message.status.as_str()).collect();
    let changes: Vec<Option<i64>> = seen.iter().map(|message| message.seen.parse().ok()).collect();
    let note = rules::requeued(kind, permit.operation(), permit.operator(), permit.reason());
    let params: [Param<'_>; 4] =
        [(&ids, Type::TEXT_ARRAY), (&statuses, Type::TEXT_ARRAY), (&changes, Type::INT8_ARRAY), (&note, Type::TEXT)];
    let landed = requeued(models, kind, box_)?;
    let proof = |written: &Written<'_>| {
        let ids: Vec<String> = written.rows.iter().filter_map(|row| Cells::new(row).text(0)).collect();
        let taken = || seen.iter().filter(|message| ids.contains(&message.id));
        Proof::new(landed.clone())
            .with(taken().map(|message| message.id.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
            .with(taken().map(|message| message.status.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
            .with(taken().map(|message| message.seen.parse().ok()).collect::<Vec<Option<i64>>>(), Type::INT8_ARRAY)
    };
    let left = left(box_)?;
    let seen_again: [Param<'_>; 3] =
        [(&ids, Type::TEXT_ARRAY), (&statuses, Type::TEXT_ARRAY), (&changes, Type::INT8_ARRAY)];
    let left = Left { wanted: seen.len(), ask: Query::new(&left, seen_again) };
    let rows = rows(box_)?;
    let rows = Query::new(&rows, [(&ids as _, Type::TEXT_ARRAY)]);
    let change = Query::new(&sql, params);
    let ids = |rows: &[Row]| rows.iter().filter_map(|row| Cells::new(row).text(0)).collect::<Vec<String>>();
    let of_done = |changed: &Changed| {
        let done = ids(&changed.rows);
        let kept = restore::kept(&KEPT, changed).into_iter();
        let kept = kept.filter(|(at, _)| seen.get(*at).is_some_and(|message| done.contains(&message.id)));
        kept.map(|(at, rows)| (at, of_table(rows, &box_.shown()))).collect()
    };
    let keep = Keep { ask: Some(rows), of: &of_done };
    let mut changed = link.change_keeping(&change, Some(&left), Some(&keep), &proof, permit.operation()).await?;
    let kept = std::mem::take(&mut changed.kept).into_iter();
    let changes = kept.filter_map(|(at, rows)| Some((seen.get(at)?.id.clone(), rows))).collect();
    Ok(Requeued { done: ids(&changed.rows), kept: ids(&changed.left), changes })
}
