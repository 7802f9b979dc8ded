//! Lists of executions and tasks, streamed through a channel so that memory stays flat.

use futures_util::stream;
use rusqlite::{Connection, Row, named_params};
use tokio::sync::mpsc;

use super::cells::Cells;
use super::{SqliteExecutions, execution, execution_columns, one, task_columns};
use crate::port::{Listed, Order, Query, Rows};
use crate::verdict::{GRACE, Leaves};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::text::named;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;
use sen_stores::sqlite::error_from;

/// Rows that travel at once.
const CHUNK: usize = 256;

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Executions,
    Tasks,
}

macro_rules! times {
    () => {
        " AND (:since IS NULL OR e.created_at >= :since) AND (:until IS NULL OR e.created_at < :until)
            AND (:older IS NULL OR e.created_at < :older)"
    };
}

macro_rules! tagged {
    () => {
        "(:tags IS NULL OR EXISTS (SELECT 1 FROM json_each(:tags) AS n WHERE instr(e.tags, n.value) > 0))"
    };
}

/// As in `postgres/list.rs`; `:recent` lies as long ago as `verdict::GRACE`.
macro_rules! recent {
    () => {
        "max(coalesce(e.created_at, ''), coalesce((SELECT max(max(coalesce(t.created_at, ''), coalesce(t.started_at, ''),
            coalesce(t.completed_at, ''))) FROM tasks AS t WHERE t.execution_id = e.id), '')) >= :recent"
    };
}

/// As in `postgres/list.rs`.
macro_rules! leaves {
    () => {
        "(SELECT group_concat(leaf, '') FROM (SELECT DISTINCT CASE WHEN t.state = 'running' THEN 'r' WHEN t.kind = 'signal' THEN 'w'
                WHEN t.scheduled_for > :now THEN 's' ELSE 'o' END AS leaf FROM tasks AS t
            WHERE t.execution_id = e.id AND t.state IN ('pending', 'running') AND (e.state = 'pending' OR NOT EXISTS (
                SELECT 1 FROM tasks AS c WHERE c.execution_id = e.id AND c.parent_task_id = t.id
                    AND c.state IN ('pending', 'running'))) ORDER BY 1))"
    };
}

/// As in `postgres/list.rs`.
macro_rules! live {
    () => {
        "EXISTS (SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state IN ('pending', 'running'))"
    };
}

/// As in `postgres/list.rs`.
macro_rules! lost {
    () => {
        "EXISTS (SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state = 'running' AND t.lease_expires_at < :now)"
    };
}

/// The state of an execution that has not ended: the rules of `verdict::listed`. Those that need no filter of their own are NULL.
macro_rules! judged {
    () => {
        concat!(
            "CASE WHEN NOT ",
            live!(),
            " THEN CASE WHEN ",
            recent!(),
            " THEN 'settling' ELSE 'stranded' END WHEN e.expiry_at < :now THEN 'overdue' WHEN ",
            lost!(),
            " THEN 'lost' WHEN e.state = 'running' THEN CASE ",
            leaves!(),
            " WHEN 'w' THEN 'waiting' WHEN 'sw' THEN 'waiting' WHEN 's' THEN 'sleeping' END
                WHEN e.state = 'pending' AND ",
            leaves!(),
            " IN ('s', 'rs', 'sw', 'rsw') THEN 'scheduled' END"
        )
    };
}

pub(super) const EXECUTIONS: &str = concat!(
    "SELECT ",
    execution_columns!(
        "substr(e.error, 1, 65536)",
        "CASE WHEN :payloads THEN substr(e.args, 1, 1048577) END",
        "CASE WHEN :payloads THEN substr(e.kwargs, 1, 1048577) END",
        "CASE WHEN :payloads THEN substr(e.result, 1, 1048577) END"
    ),
    ", CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    live!(),
    " END, CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    lost!(),
    " END, CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    recent!(),
    " END, CASE WHEN e.state IN ('pending', 'running', 'cancelling') THEN ",
    leaves!(),
    " END
    FROM (SELECT e.* FROM executions AS e WHERE
        (:states IS NULL OR e.state IN (SELECT value FROM json_each(:states))
            OR (e.state IN ('pending', 'running', 'cancelling') AND ",
    judged!(),
    " IN (SELECT value FROM json_each(:states)))
            OR ('unreadable' IN (SELECT value FROM json_each(:states)) AND (e.state IS NULL OR e.state NOT IN ('pending', 'running',
                'completed', 'failed', 'timed_out', 'cancelling', 'cancelled'))))
        AND (:queue IS NULL OR e.queue = :queue OR (:queue = 'default' AND e.queue IS NULL))
        AND (:function IS NULL OR e.root_function = :function
            OR substr(e.root_function, -length(:function) - 1) = ':' || :function)
        AND ",
    tagged!(),
    " AND (:worker IS NULL OR EXISTS (SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id
            AND substr(t.worker_id, 1, length(:worker)) = :worker))
        AND (:errors IS NULL OR (e.error IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(:errors) AS n
            WHERE instr(e.error, CAST(n.value AS BLOB)) > 0 OR EXISTS (SELECT 1 FROM tasks AS t
                WHERE t.execution_id = e.id AND instr(t.error, CAST(n.value AS BLOB)) > 0))))
        AND (:execution IS NULL OR e.id = :execution)",
    times!()
);

pub(super) const TASKS: &str = concat!(
    "SELECT ",
    task_columns!(
        "substr(t.error, 1, 65536)",
        "CASE WHEN :payloads THEN substr(t.args, 1, 1048577) END",
        "CASE WHEN :payloads THEN substr(t.kwargs, 1, 1048577) END",
        "CASE WHEN :payloads THEN substr(t.result, 1, 1048577) END"
    ),
    " FROM (SELECT e.* FROM tasks AS e WHERE
        (:states IS NULL OR e.state IN (SELECT value FROM json_each(:states))
            OR (e.state = 'running' AND e.lease_expires_at < :now AND 'lost' IN (SELECT value FROM json_each(:states)))
            OR (e.state = 'pending' AND CASE WHEN e.kind = 'signal' THEN 'waiting'
                WHEN e.scheduled_for > :now THEN 'scheduled' ELSE 'ready' END IN (SELECT value FROM json_each(:states)))
            OR ('unreadable' IN (SELECT value FROM json_each(:states)) AND (e.state IS NULL
                OR e.state NOT IN ('pending', 'running', 'completed', 'failed')
                OR (e.state = 'running' AND e.lease_expires_at IS NULL))))
        AND (:queue IS NULL OR e.queue = :queue OR (:queue = 'default' AND e.queue IS NULL))
        AND (:function IS NULL OR e.step_name = :function
            OR substr(e.step_name, -length(:function) - 1) = ':' || :function)
        AND ",
    tagged!(),
    " AND (:worker IS NULL OR substr(e.worker_id, 1, length(:worker)) = :worker)
        AND (:errors IS NULL OR EXISTS (SELECT 1 FROM json_each(:errors) AS n
            WHERE instr(e.error, CAST(n.value AS BLOB)) > 0))
        AND (:execution IS NULL OR e.execution_id = :execution) AND :recent IS NOT NULL",
    times!()
);

/// The end of a statement: what lies behind `after`, the order of the page, and the same order again of what is told of it.
macro_rules! end {
    ($table:literal, $rows:literal, $column:literal, $sign:literal, $direction:literal, $there:literal) => {
        concat!(
            $there,
            " AND (:after IS NULL OR (e.",
            $column,
            ", e.id) ",
            $sign,
            " (SELECT a.",
            $column,
            ", a.id FROM ",
            $table,
            " AS a WHERE a.id = :after)) ORDER BY e.",
            $column,
            " ",
            $direction,
            ", e.id ",
            $direction,
            " LIMIT :limit) AS ",
            $rows,
            " ORDER BY ",
            $rows,
            ".",
            $column,
            " ",
            $direction,
            ", ",
            $rows,
            ".id ",
            $direction
        )
    };
}

macro_rules! ends {
    ($table:literal, $rows:literal, $order:expr, $descending:expr) => {
        match ($order, $descending) {
            // Nothing is skipped, so nothing is asked about `after`; it is named because every parameter must be.
            (Order::Stored, _) => concat!(" AND :after IS NULL LIMIT :limit) AS ", $rows),
            (Order::Created, true) => end!($table, $rows, "created_at", "<", "DESC", ""),
            (Order::Created, false) => end!($table, $rows, "created_at", ">", "ASC", ""),
            (Order::Started, true) => end!($table, $rows, "started_at", "<", "DESC", " AND e.started_at IS NOT NULL"),
            (Order::Started, false) => end!($table, $rows, "started_at", ">", "ASC", " AND e.started_at IS NOT NULL"),
            (Order::Completed, true) => {
                end!($table, $rows, "completed_at", "<", "DESC", " AND e.completed_at IS NOT NULL")
            }
            (Order::Completed, false) => {
                end!($table, $rows, "completed_at", ">", "ASC", " AND e.completed_at IS NOT NULL")
            }
        }
    };
}

const fn end(kind: Kind, order: Order, descending: bool) -> &'static str {
    match kind {
        Kind::Executions => ends!("executions", "e", order, descending),
        Kind::Tasks => ends!("tasks", "t", order, descending),
    }
}

const fn there(kind: Kind) -> &'static str {
    match kind {
        Kind::Executions => "SELECT 1 FROM executions WHERE id = ?1",
        Kind::Tasks => "SELECT 1 FROM tasks WHERE id = ?1",
    }
}

pub(super) fn listed(row: &Row<'_>) -> Listed {
    let mut cells = Cells::new(row);
    let (live, lost, settling) = (cells.flag(15), cells.flag(16), cells.flag(17));
    let leaves = Leaves::parse(&cells.text(18).unwrap_or_default());
    Listed { execution: execution(row), live, lost, settling, leaves }
}

impl SqliteExecutions {
    pub(super) async fn stream<T: Send + 'static>(
        &self,
        query: &Query,
        begin: &'static str,
        kind: Kind,
        make: fn(&Row<'_>) -> T,
    ) -> Result<Rows<T>> {
        let after = query.after.clone();
        let now = self
            .snapshot(move |db, _, now| {
                if let Some(after) = after
                    && one(db, there(kind), [&after], |_| ())?.is_none()
                {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("no row {} for the page to begin behind", named(&after)),
                    ));
                }
                Ok(now)
            })
            .await?;
        let query = query.clone();
        let (sender, receiver) = mpsc::channel::<Result<Vec<T>>>(4);
        let complaints = sender.clone();
        self.db.start(
            move |db| send(db, &query, now, begin, kind, make, &sender),
            move |error| drop(complaints.blocking_send(Err(error))),
        )?;
        let chunks =
            stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) });
        Ok(Rows { now, chunks: Box::pin(chunks) })
    }
}

fn send<T>(
    db: &Connection,
    query: &Query,
    now: Timestamp,
    begin: &str,
    kind: Kind,
    make: fn(&Row<'_>) -> T,
    out: &mpsc::Sender<Result<Vec<T>>>,
) -> Result<()> {
    let wall = Wall::from_micros(now.as_micros().saturating_add(query.ahead));
    let list = |texts: &[String]| (!texts.is_empty()).then(|| serde_json::Value::from(texts.to_vec()).to_string());
    let text = |bound: crate::port::Bound| bound.wall(wall).map(Wall::isoformat);
    let [until, older] = query.until.map(text);
    let sql = begin.to_owned() + end(kind, query.order, query.descending);
    let mut statement = db.prepare(&sql).map_err(error_from)?;
    let recent = Wall::from_micros(wall.as_micros().saturating_sub(GRACE)).isoformat();
    let mut rows = statement
        .query(named_params! {
            ":states": list(&query.states), ":queue": query.queue, ":function": query.function, ":tags": list(&query.tag),
            ":worker": query.worker, ":errors": list(&query.error), ":execution": query.execution,
            ":since": text(query.since), ":until": until, ":older": older, ":after": query.after,
            ":payloads": query.payloads, ":now": wall.isoformat(), ":recent": recent, ":limit": query.limit.unwrap_or(-1),
        })
        .map_err(error_from)?;
    let mut chunk = Vec::new();
    while let Some(row) = rows.next().map_err(error_from)? {
        chunk.push(make(row));
        if chunk.len() == CHUNK && out.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
            return Ok(());
        }
    }
    drop(out.blocking_send(Ok(chunk)));
    Ok(())
}
