//! Lists of executions and tasks.
//!
//! There is no index on `created_at`: a page is a scan with a bounded sort, and what is read for each row (errors, whether
//! its tasks live) is read for the page alone. The lengths at the end of the columns are there to name every column: only
//! if all are selected does the server sort its rows as they are instead of building each of them anew, which takes twice
//! as long.

use tokio_postgres::types::{ToSql, Type};

use super::columns::{execution_columns, task_columns, wall_now};
use super::reading::{clock, one};
use crate::paging;
use crate::port::{ExecutionQuery, Listed, Rows};
use crate::record::Task;
use crate::rows;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::text::named;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::{Query, chunks};
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

macro_rules! times {
    ($created:literal) => {
        concat!(
            " AND ($7::int8 IS NULL OR ",
            $created,
            " >= timestamp 'epoch' + $7 * interval '1 microsecond')
            AND ($8::int8 IS NULL OR ",
            $created,
            " >= ",
            wall_now!("$14"),
            " - $8 * interval '1 microsecond')
            AND ($9::int8 IS NULL OR ",
            $created,
            " < timestamp 'epoch' + $9 * interval '1 microsecond')
            AND ($10::int8 IS NULL OR ",
            $created,
            " < ",
            wall_now!("$14"),
            " - $10 * interval '1 microsecond')
            AND ($11::int8 IS NULL OR ",
            $created,
            " < ",
            wall_now!("$14"),
            " - $11 * interval '1 microsecond')"
        )
    };
}

/// Whether anything of an execution changed a moment ago, as `state::GRACE` has it.
macro_rules! recent {
    () => {
        concat!(
            "coalesce(greatest(e.created_at, (SELECT max(greatest(t.created_at, t.started_at, t.completed_at)) FROM tasks AS t
                WHERE t.execution_id = e.id)) >= ",
            wall_now!("$14"),
            " - interval '60 seconds', false)"
        )
    };
}

/// What the open tasks are at that wait for no other open one: letters as `state::Leaves` reads them. Of an execution that
/// has not begun all count: no orchestrator is at work that could wait for the others.
macro_rules! leaves {
    () => {
        concat!(
            "(SELECT string_agg(DISTINCT CASE WHEN t.state = 'running' THEN 'r' WHEN t.kind = 'signal' THEN 'w'
                    WHEN t.scheduled_for > ",
            wall_now!("$14"),
            " THEN 's' ELSE 'o' END, '') FROM tasks AS t
                WHERE t.execution_id = e.id AND t.state IN ('pending', 'running') AND (e.state = 'pending' OR NOT EXISTS (
                    SELECT 1 FROM tasks AS c WHERE c.execution_id = e.id AND c.parent_task_id = t.id
                        AND c.state IN ('pending', 'running'))))"
        )
    };
}

/// Whether an execution has a task that is not over.
macro_rules! live {
    () => {
        "EXISTS (SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state IN ('pending', 'running'))"
    };
}

/// Whether the lease of one of its tasks has ended.
macro_rules! lost {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state = 'running' AND t.lease_expires_at < ",
            wall_now!("$14"),
            ")"
        )
    };
}

/// Whether an execution that has not ended is what one of the names in $1 means: the rules of `state::listed`, in its order.
/// The cheapest condition stands first.
macro_rules! judged {
    () => {
        concat!(
            "(('overdue' = ANY($1) AND e.expiry_at < ",
            wall_now!("$14"),
            " AND ",
            live!(),
            ") OR ('stranded' = ANY($1) AND NOT ",
            live!(),
            " AND NOT ",
            recent!(),
            ") OR ('settling' = ANY($1) AND NOT ",
            live!(),
            " AND ",
            recent!(),
            ") OR ((e.expiry_at IS NULL OR e.expiry_at >= ",
            wall_now!("$14"),
            ") AND (('lost' = ANY($1) AND ",
            lost!(),
            ") OR ('scheduled' = ANY($1) AND e.state = 'pending' AND NOT ",
            lost!(),
            " AND ",
            leaves!(),
            " IN ('s', 'rs', 'sw', 'rsw')) OR (('waiting' = ANY($1) OR 'sleeping' = ANY($1)) AND e.state = 'running' AND NOT ",
            lost!(),
            " AND CASE ",
            leaves!(),
            " WHEN 'w' THEN 'waiting' WHEN 'sw' THEN 'waiting' WHEN 's' THEN 'sleeping' END = ANY($1)))))"
        )
    };
}

static EXECUTIONS_BEGIN: Sql = Sql::new(concat!(
    "SELECT ",
    execution_columns!(
        "substring(e.error FROM 1 FOR 65536)",
        "CASE WHEN $13 THEN substring(e.args FROM 1 FOR 1048577) END",
        "CASE WHEN $13 THEN substring(e.kwargs FROM 1 FOR 1048577) END",
        "CASE WHEN $13 THEN substring(e.result FROM 1 FOR 1048577) END"
    ),
    ", CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    live!(),
    " END, CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    lost!(),
    " END, CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    recent!(),
    " END, CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    leaves!(),
    " END, octet_length(e.args), octet_length(e.kwargs), octet_length(e.result)
    FROM (SELECT e.* FROM executions AS e WHERE
        ($1::text[] IS NULL OR e.state = ANY($1) OR (e.state IN ('pending', 'running', 'cancelling') AND ",
    judged!(),
    ") OR ('unreadable' = ANY($1) AND (e.state IS NULL OR e.state NOT IN ('pending', 'running', 'completed', 'failed',
            'timed_out', 'cancelling', 'cancelled'))))
        AND ($2::text IS NULL OR e.queue = $2 OR ($2 = 'default' AND e.queue IS NULL))
        AND ($3::text IS NULL OR e.root_function = $3 OR right(e.root_function, length($3) + 1) = ':' || $3)
        AND ($4::text[] IS NULL OR EXISTS (SELECT 1 FROM unnest($4) AS n (tag) WHERE position(n.tag IN e.tags) > 0))
        AND ($5::text IS NULL OR EXISTS (
            SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND starts_with(t.worker_id, $5)))
        AND ($6::bytea[] IS NULL OR (e.error IS NOT NULL AND EXISTS (
            SELECT 1 FROM unnest($6) AS n (part) WHERE position(n.part IN e.error) > 0 OR EXISTS (
                SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND position(n.part IN t.error) > 0))))
        AND ($15::text IS NULL OR e.id = $15) AND ($17::text[] IS NULL OR e.id = ANY($17))",
    times!("e.created_at"),
));

static TASKS_BEGIN: Sql = Sql::new(concat!(
    "SELECT ",
    task_columns!(
        "substring(t.error FROM 1 FOR 65536)",
        "CASE WHEN $13 THEN substring(t.args FROM 1 FOR 1048577) END",
        "CASE WHEN $13 THEN substring(t.kwargs FROM 1 FOR 1048577) END",
        "CASE WHEN $13 THEN substring(t.result FROM 1 FOR 1048577) END"
    ),
    ", octet_length(t.args), octet_length(t.kwargs), octet_length(t.result)
    FROM (SELECT e.* FROM tasks AS e WHERE
        ($1::text[] IS NULL OR e.state = ANY($1)
            OR (e.state = 'running' AND 'lost' = ANY($1) AND e.lease_expires_at < ",
    wall_now!("$14"),
    ") OR (e.state = 'pending' AND (CASE WHEN e.kind = 'signal' THEN 'waiting' WHEN e.scheduled_for > ",
    wall_now!("$14"),
    " THEN 'scheduled' ELSE 'ready' END) = ANY($1))
            OR ('unreadable' = ANY($1) AND (e.state IS NULL OR e.state NOT IN ('pending', 'running', 'completed', 'failed')
                OR (e.state = 'running' AND e.lease_expires_at IS NULL))))
        AND ($2::text IS NULL OR e.queue = $2 OR ($2 = 'default' AND e.queue IS NULL))
        AND ($3::text IS NULL OR e.step_name = $3 OR right(e.step_name, length($3) + 1) = ':' || $3)
        AND ($4::text[] IS NULL OR EXISTS (SELECT 1 FROM unnest($4) AS n (tag) WHERE position(n.tag IN e.tags) > 0))
        AND ($5::text IS NULL OR starts_with(e.worker_id, $5))
        AND ($6::bytea[] IS NULL OR EXISTS (SELECT 1 FROM unnest($6) AS n (part) WHERE position(n.part IN e.error) > 0))
        AND ($15::text IS NULL OR e.execution_id = $15) AND ($17::text[] IS NULL OR e.id = ANY($17))",
    times!("e.created_at"),
));

/// The clock, and whether the row is there behind which the page begins.
static EXECUTIONS_CLOCK: Sql =
    Sql::new("SELECT now(), $1::text IS NULL OR EXISTS (SELECT 1 FROM executions WHERE id = $1)");
static TASKS_CLOCK: Sql = Sql::new("SELECT now(), $1::text IS NULL OR EXISTS (SELECT 1 FROM tasks WHERE id = $1)");

pub(super) async fn executions(link: &SharedConnection, query: &ExecutionQuery) -> Result<Rows<Listed>> {
    stream(link, query, (&EXECUTIONS_CLOCK, &EXECUTIONS_BEGIN, ["executions", "e"]), rows::listed).await
}

pub(super) async fn tasks(link: &SharedConnection, query: &ExecutionQuery) -> Result<Rows<Task>> {
    stream(link, query, (&TASKS_CLOCK, &TASKS_BEGIN, ["tasks", "t"]), rows::task).await
}

async fn stream<T: Send + 'static>(
    link: &SharedConnection,
    query: &ExecutionQuery,
    (first, begin, names): (&Sql, &Sql, [&'static str; 2]),
    make: fn(rows::Cells<'_>) -> T,
) -> Result<Rows<T>> {
    let end = paging::end(query, names, ["$12::text IS NULL", "$12", "$16"]);
    let long = end.into_iter().fold(begin.clone(), Sql::then);
    let states = (!query.states.is_empty()).then_some(&query.states);
    let tags = (!query.tag.is_empty()).then_some(&query.tag);
    let errors: Vec<&[u8]> = query.error.iter().map(String::as_bytes).collect();
    let errors = (!errors.is_empty()).then_some(errors);
    let [until, older] = query.until;
    let params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&states, Type::TEXT_ARRAY),
        (&query.queue, Type::TEXT),
        (&query.function, Type::TEXT),
        (&tags, Type::TEXT_ARRAY),
        (&query.worker, Type::TEXT),
        (&errors, Type::BYTEA_ARRAY),
        (&query.since.at, Type::INT8),
        (&query.since.ago, Type::INT8),
        (&until.at, Type::INT8),
        (&until.ago, Type::INT8),
        (&older.ago, Type::INT8),
        (&query.after, Type::TEXT),
        (&query.payloads, Type::BOOL),
        (&query.ahead, Type::INT8),
        (&query.execution, Type::TEXT),
        (&query.limit, Type::INT8),
        (&query.ids, Type::TEXT_ARRAY),
    ];
    let first = Query::new(first, [(&query.after as _, Type::TEXT)]);
    let (head, rows) = link.snapshot_stream(&first, &Query::new(&long, params)).await?;
    if one(&head, |cells| cells.flag(1)) == Some(Some(false)) {
        let after = query.after.as_deref().unwrap_or_default();
        return Err(Error::new(ErrorKind::NotFound, format!("no row {} to start the page after", named(after))));
    }
    Ok(Rows { now: clock(&head), chunks: Box::pin(chunks(rows, move |row| make(&mut Cells::new(row)))) })
}
