//! Lists of executions and tasks, streamed through a channel so that memory stays flat.

use rusqlite::named_params;

use super::cells::Cells;
use super::reading::{self, execution_columns, list, one, snapshot, streamed, task_columns};
use crate::paging;
use crate::port::{Bound, ExecutionQuery, Listed, Rows};
use crate::record::Task;
use crate::rows;
use crate::state::GRACE;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::text::named;
use sen_model::time::wall::Wall;
use sen_stores::sqlite::{Sqlite, error_from};

const EXECUTIONS_THERE: &str = "SELECT 1 FROM executions WHERE id = ?1";
const TASKS_THERE: &str = "SELECT 1 FROM tasks WHERE id = ?1";

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

/// As in `postgres/list.rs`; `:recent` lies as long ago as `state::GRACE`.
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

const EXECUTIONS: &str = concat!(
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
        AND (:execution IS NULL OR e.id = :execution) AND (:ids IS NULL OR e.id IN (SELECT value FROM json_each(:ids)))",
    times!()
);

const TASKS: &str = concat!(
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
        AND (:execution IS NULL OR e.execution_id = :execution) AND (:ids IS NULL OR e.id IN (SELECT value FROM json_each(:ids))) AND :recent IS NOT NULL",
    times!()
);

pub(super) async fn executions(db: &Sqlite, query: &ExecutionQuery) -> Result<Rows<Listed>> {
    stream(db, query, (EXECUTIONS_THERE, EXECUTIONS, ["executions", "e"]), rows::listed).await
}

pub(super) async fn tasks(db: &Sqlite, query: &ExecutionQuery) -> Result<Rows<Task>> {
    stream(db, query, (TASKS_THERE, TASKS, ["tasks", "t"]), rows::task).await
}

async fn stream<T: Send + 'static>(
    db: &Sqlite,
    query: &ExecutionQuery,
    (there, begin, names): (&'static str, &'static str, [&'static str; 2]),
    make: fn(rows::Cells<'_>) -> T,
) -> Result<Rows<T>> {
    let after = query.after.clone();
    let now = snapshot(db, move |db, _, now| match after {
        Some(after) if one(db, there, [&after], |_| ())?.is_none() => {
            let text = format!("no row {} to start the page after", named(&after));
            Err(Error::new(ErrorKind::NotFound, text))
        }
        _ => Ok(now),
    })
    .await?;
    let sql = begin.to_owned() + &paging::end(query, names, [":after IS NULL", ":after", ":limit"]).concat();
    let query = query.clone();
    let chunks = streamed(db, move |db, take| {
        let mut statement = db.prepare(&sql).map_err(error_from)?;
        let wall = Wall::from_micros(now.as_micros().saturating_add(query.ahead));
        let recent = Wall::from_micros(wall.as_micros().saturating_sub(GRACE)).isoformat();
        let list = |texts: &[String]| list(texts).filter(|_| !texts.is_empty());
        let text = |bound: Bound| bound.wall(wall).map(Wall::isoformat);
        let [until, older] = query.until.map(text);
        let bound = named_params! {
            ":states": list(&query.states), ":queue": query.queue, ":function": query.function, ":tags": list(&query.tag),
            ":worker": query.worker, ":errors": list(&query.error), ":execution": query.execution, ":ids": query.ids.as_deref().and_then(reading::list),
            ":since": text(query.since), ":until": until, ":older": older, ":after": query.after,
            ":payloads": query.payloads, ":now": wall.isoformat(), ":recent": recent, ":limit": query.limit.unwrap_or(-1),
        };
        let mut rows = statement.query(bound).map_err(error_from)?;
        while let Some(row) = rows.next().map_err(error_from)? {
            if !take(make(&mut Cells::new(row))) {
                break;
            }
        }
        Ok(())
    })?;
    Ok(Rows { now, chunks })
}
