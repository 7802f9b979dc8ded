//! Acts on executions in PostgreSQL: one statement each, guarded by what was seen.
//!
//! An execution is locked before its tasks, and those in the order of their ids, so that writers do not deadlock.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::types::{ToSql, Type};

use super::columns::wall_now;
use super::reading::{Stamp, absent, kept_of_batch, missing, one, places, settled, shape, some};
use super::undo::{self, CANCEL_ROWS, EXECUTION_ROW, SIGNAL_ROW, kept};
use crate::acts::port::{ActStore, Cancel, Complete, Old, Sent, Signal, Stopped, TakenBack, Watched};
use crate::letters::targets::{DeadLetterRef, Places};
use crate::rows;
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::time::wall::Wall;
use sen_model::undo::Standing;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::{Changed, Keep, Left, free};
use sen_stores::sql::Sql;

/// The writing side of executions in one PostgreSQL database.
pub struct PostgresActs {
    link: Arc<SharedConnection>,
}

impl PostgresActs {
    /// Over a shared connection.
    pub fn new(link: Arc<SharedConnection>) -> Self {
        Self { link }
    }
}

/// $1 execution, $2 state as seen, $3 error, $4 ahead, $5 note. A wait for a signal and what runs above it are left: a live
/// orchestrator whose wait failed would go on as if the signal had come.
static CANCEL: Sql = Sql::new(concat!(
    "WITH RECURSIVE held AS MATERIALIZED (SELECT e.id FROM executions AS e WHERE e.id = $1 AND e.state = $2
            AND e.state IN ('pending', 'running', 'cancelling') FOR UPDATE),
        ended AS (UPDATE executions AS e SET state = 'cancelled', completed_at = ",
    wall_now!("$4"),
    ", error = $3 FROM held WHERE e.id = held.id RETURNING e.id, e.root_function),
        waits AS (SELECT t.id, t.parent_task_id, t.step_name, t.worker_id FROM tasks AS t
                WHERE t.execution_id = $1 AND t.kind = 'signal' AND t.state || '' = 'pending'
                    AND EXISTS (SELECT 1 FROM tasks AS p WHERE p.id = t.parent_task_id AND p.state = 'running')
            UNION SELECT p.id, p.parent_task_id, p.step_name, p.worker_id FROM waits AS w JOIN tasks AS p
                ON p.id = w.parent_task_id AND p.execution_id = $1 AND p.state = 'running'),
        theirs AS MATERIALIZED (SELECT t.id, t.state, t.worker_id FROM tasks AS t
            WHERE t.execution_id = $1 AND t.state || '' IN ('pending', 'running') AND EXISTS (SELECT 1 FROM ended)
                AND t.id NOT IN (SELECT w.id FROM waits AS w)
            ORDER BY t.id FOR UPDATE),
        stopped AS (UPDATE tasks AS t SET state = 'failed', completed_at = ",
    wall_now!("$4"),
    ", error = $3 FROM theirs AS o WHERE t.id = o.id RETURNING t.id, o.state, o.worker_id),
        noted AS (INSERT INTO execution_progress (execution_id, step, status, detail)
            SELECT id, root_function, 'failed', 'execution cancelled ' || $5 || ', database role ' || session_user FROM ended)
    SELECT NULL::text, NULL::text, NULL::text, NULL::text,
        CASE WHEN (SELECT count(*) FROM stopped) < (SELECT count(*) FROM tasks AS t
            WHERE t.execution_id = $1 AND t.state || '' IN ('pending', 'running') AND t.id NOT IN (SELECT w.id FROM waits AS w))
        THEN 'tasks' END AS kept_out FROM ended
    UNION ALL SELECT id::text, state::text, worker_id::text, NULL, NULL FROM stopped
    UNION ALL SELECT id::text, 'left', worker_id::text, step_name::text, NULL FROM waits WHERE EXISTS (SELECT 1 FROM ended)"
));

/// $1 execution, $2 state as seen, $3 root task, $4 ahead, $5 note.
static COMPLETE: Sql = Sql::new(concat!(
    "WITH held AS MATERIALIZED (SELECT e.id FROM executions AS e WHERE e.id = $1 AND e.state = $2
            AND e.state IN ('pending', 'running') FOR UPDATE),
        root AS MATERIALIZED (SELECT t.id, t.result FROM tasks AS t WHERE t.id = $3 AND t.execution_id = $1
            AND t.kind = 'orchestrator' AND t.state = 'completed' AND t.result IS NOT NULL AND EXISTS (SELECT 1 FROM held)
            AND NOT EXISTS (SELECT 1 FROM (SELECT o.kind, o.state FROM tasks AS o WHERE o.execution_id = $1 OFFSET 0) AS o
                WHERE o.kind = 'orchestrator' AND o.state IN ('pending', 'running')) FOR SHARE),
        ended AS (UPDATE executions AS e SET state = 'completed', result = root.result, error = NULL, completed_at = ",
    wall_now!("$4"),
    " FROM root WHERE e.id = $1 RETURNING e.id, e.root_function),
        noted AS (INSERT INTO execution_progress (execution_id, step, status, detail)
            SELECT id, root_function, 'completed', 'execution completed with the result of task ' || $3 || ' ' || $5
                || ', database role ' || session_user FROM ended)
    SELECT id::text FROM ended"
));

/// Whether everything is as a completion requires it. $1 execution, $2 state as seen, $3 root task.
static COMPLETABLE: Sql = Sql::new(
    "SELECT 1 FROM executions AS e JOIN tasks AS t ON t.execution_id = e.id AND t.id = $3
    WHERE e.id = $1 AND e.state = $2 AND e.state IN ('pending', 'running')
        AND t.kind = 'orchestrator' AND t.state = 'completed' AND t.result IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM (SELECT o.kind, o.state FROM tasks AS o WHERE o.execution_id = $1 OFFSET 0) AS o
            WHERE o.kind = 'orchestrator' AND o.state IN ('pending', 'running'))",
);

/// $1 execution, $2 tasks, $3 the error they were stopped with.
static WATCH: Sql = Sql::new(
    "SELECT (SELECT e.state::text FROM executions AS e WHERE e.id = $1), ARRAY(SELECT t.id::text FROM tasks AS t
        WHERE t.id = ANY($2) AND (t.state <> 'failed' OR t.error IS DISTINCT FROM $3))",
);

/// Whether the wait for a signal has ended: what it holds answers every further one.
macro_rules! answered {
    ($waiter:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM tasks AS t WHERE t.id = ",
            $waiter,
            " AND t.kind = 'signal' AND t.state || '' IN ('completed', 'failed'))"
        )
    };
}

/// $1 execution, $2 name, $3 payload, $4 replace, $5 ahead, $6 note, $7 the task that waits for it.
static SEND: Sql = Sql::new(concat!(
    "WITH alive AS MATERIALIZED (SELECT e.id FROM executions AS e WHERE e.id = $1 AND e.state IN ('pending', 'running')
            AND NOT ",
    answered!("$7"),
    " FOR SHARE),
        sent AS (INSERT INTO signals AS s (execution_id, name, payload, created_at, consumed, consumed_at)
            SELECT id, $2, $3, ",
    wall_now!("$5"),
    ", false, NULL FROM alive
            ON CONFLICT (execution_id, name) DO UPDATE SET payload = excluded.payload, created_at = excluded.created_at,
                consumed = false, consumed_at = NULL WHERE s.consumed OR $4
            RETURNING s.execution_id),
        woken AS (UPDATE tasks AS t SET state = 'completed', result = $3, completed_at = ",
    wall_now!("$5"),
    " FROM sent WHERE t.execution_id = sent.execution_id AND t.kind = 'signal' AND t.step_name = 'signal:' || $2
                AND t.state || '' = 'pending' RETURNING t.id),
        noted AS (INSERT INTO execution_progress (execution_id, step, status, detail)
            SELECT execution_id, 'signal:' || $2, 'dispatched', 'signal sent ' || $6 || ', database role ' || session_user FROM sent)
    SELECT (SELECT id::text FROM woken), CASE WHEN NOT EXISTS (SELECT 1 FROM woken) AND EXISTS (SELECT 1 FROM tasks AS t
            WHERE t.execution_id = $1 AND t.kind = 'signal' AND t.step_name = 'signal:' || $2 AND t.state || '' = 'pending')
        THEN 'tasks' END AS kept_out FROM sent"
));

/// Whether everything is as a signal requires it. $1 execution, $2 name, $3 replace, $4 the task that waits for it.
static SENDABLE: Sql = Sql::new(concat!(
    "SELECT 1 FROM executions AS e WHERE e.id = $1 AND e.state IN ('pending', 'running')
        AND NOT EXISTS (SELECT 1 FROM signals AS s WHERE s.execution_id = $1 AND s.name = $2 AND NOT (s.consumed OR $3))
        AND NOT ",
    answered!("$4")
));

/// $1 execution, $2 name, $3 payload, $4 ahead.
static WAKE: Sql = Sql::new(concat!(
    "WITH unread AS MATERIALIZED (SELECT 1 FROM signals WHERE execution_id = $1 AND name = $2 AND NOT consumed AND payload = $3),
        woken AS (UPDATE tasks AS t SET state = 'completed', result = $3, completed_at = ",
    wall_now!("$4"),
    " FROM unread WHERE t.execution_id = $1 AND t.kind = 'signal' AND t.step_name = 'signal:' || $2
            AND t.state || '' = 'pending' RETURNING t.id)
    SELECT (SELECT id::text FROM woken), EXISTS (SELECT 1 FROM unread), CASE WHEN NOT EXISTS (SELECT 1 FROM woken)
            AND EXISTS (SELECT 1 FROM unread) AND EXISTS (SELECT 1 FROM tasks AS t
            WHERE t.execution_id = $1 AND t.kind = 'signal' AND t.step_name = 'signal:' || $2 AND t.state || '' = 'pending')
        THEN 'tasks' END AS kept_out"
));

/// Whether an execution has dead letters: by their tasks, or by their dumps where those no longer exist.
macro_rules! has_letters {
    () => {
        "(EXISTS (SELECT 1 FROM tasks AS t JOIN dead_tasks AS d ON d.id = t.id WHERE t.execution_id = e.id)
            OR e.id IN (SELECT substring(d.data FROM '\"execution_id\"\\s*:\\s*\"([^\"]*)\"') FROM dead_tasks AS d
                WHERE NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.id = d.id)))"
    };
}

macro_rules! has_live {
    () => {
        "EXISTS (SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state || '' IN ('pending', 'running')
            AND t.kind <> 'signal')"
    };
}

/// $1 bound, $2 states, $3 limit.
static OLD: Sql = Sql::new(concat!(
    "SELECT e.id::text, e.completed_at, ",
    has_letters!(),
    ", ",
    has_live!(),
    " FROM executions AS e WHERE e.completed_at < $1 AND e.state = ANY($2) ORDER BY e.completed_at, e.id LIMIT $3"
));

/// $1 ids, $2 ends as seen.
const CLEAN_BEGIN: &str = concat!(
    "WITH held AS MATERIALIZED (SELECT w.place, e.id
        FROM unnest($1::text[], $2::timestamp[]) WITH ORDINALITY AS w (id, completed_at, place)
            JOIN executions AS e ON e.id = w.id AND e.completed_at = w.completed_at
                AND e.state IN ('completed', 'failed', 'timed_out', 'cancelled')
        WHERE NOT ",
    has_letters!(),
    " AND NOT ",
    has_live!(),
    " FOR UPDATE OF e SKIP LOCKED)"
);

/// Removes what belongs to the executions from a table; and names that table where some of it is kept out.
macro_rules! removed {
    ($deleted:literal, $table:literal) => {
        (
            concat!(
                ", ",
                $deleted,
                " AS (DELETE FROM ",
                $table,
                " USING held WHERE execution_id = held.id RETURNING 1)"
            ),
            concat!(
                "WHEN (SELECT count(*) FROM ",
                $deleted,
                ") < (SELECT count(*) FROM ",
                $table,
                " AS x JOIN held AS h ON h.id = x.execution_id) THEN '",
                $table,
                "' "
            ),
        )
    };
}
const CLEAN_TASKS: (&str, &str) = removed!("d1", "tasks");
const CLEAN_PROGRESS: (&str, &str) = removed!("d2", "execution_progress");
const CLEAN_SIGNALS: (&str, &str) = removed!("d3", "signals");
const CLEAN_COUNTERS: (&str, &str) = removed!("d4", "execution_counters");
const CLEAN_STATE: (&str, &str) = removed!("d5", "execution_state");
const CLEAN_END: &str = ", gone AS (DELETE FROM executions AS e USING held WHERE e.id = held.id RETURNING held.place)
    SELECT place::int8, CASE WHEN (SELECT count(*) FROM gone) < (SELECT count(*) FROM held) THEN 'executions' ";
const CLEAN_LAST: &str = "END AS kept_out FROM gone";

/// The executions of a batch that are unchanged and not locked. $1 ids, $2 ends as seen.
static CLEANABLE: Sql = Sql::new(concat!(
    "SELECT w.place::int8 FROM unnest($1::text[], $2::timestamp[]) WITH ORDINALITY AS w (id, completed_at, place)
        JOIN executions AS e ON e.id = w.id AND e.completed_at = w.completed_at
            AND e.state IN ('completed', 'failed', 'timed_out', 'cancelled')
    WHERE ",
    free!("e"),
    " AND NOT ",
    has_letters!(),
    " AND NOT ",
    has_live!()
));

/// $4 execution, $5 state as seen. The record goes only with the execution.
static ENDED: Sql = Sql::new(
    "CASE WHEN EXISTS (SELECT FROM execution_progress WHERE execution_id = $4 AND strpos(detail, $2) > 0) THEN 'landed'
        WHEN EXISTS (SELECT FROM executions WHERE id = $4 AND state = $5) THEN 'absent' END",
);

/// $4 execution.
static SIGNALLED: Sql = Sql::new(
    "CASE WHEN EXISTS (SELECT FROM execution_progress WHERE execution_id = $4 AND strpos(detail, $2) > 0) THEN 'landed'
        WHEN EXISTS (SELECT FROM executions WHERE id = $4 AND state IN ('pending', 'running')) THEN 'absent' END",
);

/// $1 execution, $2 the operation as the record names it.
static SIGNED: Sql =
    Sql::new("SELECT 1 FROM execution_progress WHERE execution_id = $1 AND strpos(detail, $2) > 0 LIMIT 1");

/// $4 the task that was woken, $5 ahead.
static WOKEN: Sql = Sql::new(
    "(SELECT CASE WHEN t.state = 'completed' AND t.completed_at = (timestamptz 'epoch' + $3 * interval '1 microsecond')
                AT TIME ZONE 'UTC' + $5 * interval '1 microsecond' THEN 'landed'
            WHEN t.state = 'pending' THEN 'absent' END FROM tasks AS t WHERE t.id = $4)",
);

/// $4 ids, $5 ends as seen. Nothing is left of an execution that was removed: another could have done it as well, so that
/// proves nothing.
static CLEANED: Sql = Sql::new(
    "CASE WHEN EXISTS (SELECT FROM unnest($4::text[], $5::timestamp[]) AS w (id, completed_at)
            JOIN executions AS e ON e.id = w.id AND e.completed_at = w.completed_at) THEN 'absent' END",
);

#[async_trait]
impl ActStore for PostgresActs {
    async fn cancel(
        &self,
        cancel: &Cancel<'_>,
        permit: &WritePermit,
    ) -> Result<Option<(Vec<Stopped>, Vec<RowChange>)>> {
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&cancel.id, Type::TEXT),
            (&cancel.seen, Type::TEXT),
            (&cancel.error, Type::BYTEA),
            (&cancel.ahead, Type::INT8),
            (&cancel.note, Type::TEXT),
        ];
        let proof = |_: &Written<'_>| {
            Proof::new(ENDED.clone()).with(cancel.id.to_owned(), Type::TEXT).with(cancel.seen.to_owned(), Type::TEXT)
        };
        let rows = Query::new(&CANCEL_ROWS, [(&cancel.id as _, Type::TEXT)]);
        // Its tasks are only changed: one that was not there before is not the cancel's own.
        let whole = |changed: &Changed| {
            let mut kept = kept(changed);
            kept.values_mut().filter(|rows| rows.iter().any(|row| row.before.is_none())).for_each(Vec::clear);
            kept
        };
        let (change, keep) = (Query::new(&CANCEL, params), Keep { ask: Some(rows), of: &whole });
        let mut changed = self.link.change_keeping(&change, None, Some(&keep), &proof, permit.operation()).await?;
        if changed.rows.is_empty() {
            return Ok(None);
        }
        let stopped = |cells: rows::Cells<'_>| {
            let (id, state) = (cells.text(0)?, cells.text(1)?);
            let left = (state == "left").then(|| cells.text(3).unwrap_or_default());
            Some(Stopped { id, running: state == "running", worker: cells.text(2), left })
        };
        let changes = changed.kept.remove(&0).unwrap_or_default();
        Ok(Some((some(&changed.rows, stopped), changes)))
    }

    async fn complete(&self, complete: &Complete<'_>, permit: &WritePermit) -> Result<Option<Vec<RowChange>>> {
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&complete.id, Type::TEXT),
            (&complete.seen, Type::TEXT),
            (&complete.task, Type::TEXT),
            (&complete.ahead, Type::INT8),
            (&complete.note, Type::TEXT),
        ];
        let proof = |_: &Written<'_>| {
            Proof::new(ENDED.clone())
                .with(complete.id.to_owned(), Type::TEXT)
                .with(complete.seen.to_owned(), Type::TEXT)
        };
        let left: [(&(dyn ToSql + Sync), Type); 3] =
            [(&complete.id, Type::TEXT), (&complete.seen, Type::TEXT), (&complete.task, Type::TEXT)];
        let left = ("executions or tasks", Query::new(&COMPLETABLE, left));
        let rows = Query::new(&EXECUTION_ROW, [(&complete.id as _, Type::TEXT)]);
        let (change, keep) = (Query::new(&COMPLETE, params), Keep { ask: Some(rows), of: &kept });
        let changed = self.link.change_one_keeping(&change, left, Some(&keep), &proof, permit.operation()).await?;
        Ok(changed.map(|mut changed| changed.kept.remove(&0).unwrap_or_default()))
    }

    async fn watch(&self, id: &str, tasks: &[String], error: Option<&[u8]>) -> Result<Watched> {
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&id, Type::TEXT), (&tasks, Type::TEXT_ARRAY), (&error, Type::BYTEA)];
        let rows = self.link.ask(Query::new(&WATCH, params)).await?;
        let row = rows.first().ok_or_else(missing)?;
        let written = row.try_get(1).map_err(sen_stores::postgres::error_from)?;
        Ok(Watched { state: Cells::new(row).text(0), written })
    }

    async fn send(&self, signal: &Signal<'_>, permit: &WritePermit) -> Result<Option<Sent>> {
        let params: [(&(dyn ToSql + Sync), Type); 7] = [
            (&signal.id, Type::TEXT),
            (&signal.name, Type::TEXT),
            (&signal.payload, Type::BYTEA),
            (&signal.replace, Type::BOOL),
            (&signal.ahead, Type::INT8),
            (&signal.note, Type::TEXT),
            (&signal.waiter, Type::TEXT),
        ];
        let proof = |_: &Written<'_>| Proof::new(SIGNALLED.clone()).with(signal.id.to_owned(), Type::TEXT);
        let left: [(&(dyn ToSql + Sync), Type); 4] = [
            (&signal.id, Type::TEXT),
            (&signal.name, Type::TEXT),
            (&signal.replace, Type::BOOL),
            (&signal.waiter, Type::TEXT),
        ];
        let left = ("signals or executions", Query::new(&SENDABLE, left));
        let rows = Query::new(&SIGNAL_ROW, [(&signal.id as _, Type::TEXT), (&signal.name as _, Type::TEXT)]);
        let (change, keep) = (Query::new(&SEND, params), Keep { ask: Some(rows), of: &kept });
        let changed = self.link.change_one_keeping(&change, left, Some(&keep), &proof, permit.operation()).await?;
        Ok(changed.map(|mut changed| {
            let woken = changed.rows.first().and_then(|row| Cells::new(row).text(0));
            Sent { unread: woken.is_none(), woken, changes: changed.kept.remove(&0).unwrap_or_default() }
        }))
    }

    async fn wake(&self, signal: &Signal<'_>, permit: &WritePermit) -> Result<Sent> {
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
            (&signal.id, Type::TEXT),
            (&signal.name, Type::TEXT),
            (&signal.payload, Type::BYTEA),
            (&signal.ahead, Type::INT8),
        ];
        let proof = |written: &Written<'_>| {
            let woken = one(written.rows, |cells| cells.text(0)).flatten();
            Proof::new(WOKEN.clone()).with(woken, Type::TEXT).with(signal.ahead, Type::INT8)
        };
        let row = self.link.change(&Query::new(&WAKE, params), &proof, permit.operation()).await?;
        let row = row.ok_or_else(missing)?;
        let mut cells = Cells::new(&row);
        Ok(Sent { woken: cells.text(0), unread: cells.flag(1).unwrap_or(false), changes: Vec::new() })
    }

    async fn signed(&self, id: &str, mark: &str) -> Result<Option<bool>> {
        if !shape(&self.link).await?.has_progress() {
            return Ok(None);
        }
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::TEXT), (&mark, Type::TEXT)];
        Ok(Some(!self.link.ask(Query::new(&SIGNED, params)).await?.is_empty()))
    }

    async fn old(&self, before: Wall, states: &[String], limit: Option<i64>) -> Result<Vec<Old>> {
        let before = Stamp(before);
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&before, Type::TIMESTAMP), (&states, Type::TEXT_ARRAY), (&limit, Type::INT8)];
        let rows = self.link.ask(Query::new(&OLD, params)).await.map_err(|error| absent(&self.link, error))?;
        let old = |cells: rows::Cells<'_>| {
            let (id, completed_at) = (cells.text(0)?, cells.wall(1)?);
            let (letters, live) = (cells.flag(2).unwrap_or(true), cells.flag(3).unwrap_or(true));
            Some(Old { id, completed_at, letters, live })
        };
        Ok(some(&rows, old))
    }

    async fn clean(&self, executions: &[DeadLetterRef], permit: &WritePermit) -> Result<Places> {
        let shape = shape(&self.link).await?;
        let pieces: Vec<(&str, &str)> = [
            (true, CLEAN_TASKS),
            (shape.has_progress(), CLEAN_PROGRESS),
            (shape.has_signals(), CLEAN_SIGNALS),
            (shape.has_counters(), CLEAN_COUNTERS),
            (shape.has_state(), CLEAN_STATE),
        ]
        .into_iter()
        .filter_map(|(there, piece)| there.then_some(piece))
        .collect();
        let clean = pieces.iter().fold(Sql::new(CLEAN_BEGIN), |sql, (removed, _)| sql.then(removed)).then(CLEAN_END);
        let clean = pieces.iter().fold(clean, |sql, (_, kept)| sql.then(kept)).then(CLEAN_LAST);
        let ids: Vec<&str> = executions.iter().map(|execution| execution.id.as_str()).collect();
        let ends: Vec<Option<Stamp>> = executions.iter().map(|execution| execution.moved_at.map(Stamp)).collect();
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&ids, Type::TEXT_ARRAY), (&ends, Type::TIMESTAMP_ARRAY)];
        let proof = |written: &Written<'_>| {
            let gone: Vec<&DeadLetterRef> =
                places(written.rows).into_iter().filter_map(|at| executions.get(at)).collect();
            Proof::new(CLEANED.clone())
                .with(gone.iter().map(|execution| execution.id.clone()).collect::<Vec<_>>(), Type::TEXT_ARRAY)
                .with(
                    gone.iter().map(|execution| execution.moved_at.map(Stamp)).collect::<Vec<_>>(),
                    Type::TIMESTAMP_ARRAY,
                )
        };
        let left: [(&(dyn ToSql + Sync), Type); 2] = [(&ids, Type::TEXT_ARRAY), (&ends, Type::TIMESTAMP_ARRAY)];
        let left = Left { wanted: executions.len(), ask: Query::new(&CLEANABLE, left) };
        let rows = undo::clean_rows(&shape);
        let both: [(&(dyn ToSql + Sync), Type); 2] = [(&ids, Type::TEXT_ARRAY), (&ends, Type::TIMESTAMP_ARRAY)];
        let (change, rows) = (Query::new(&clean, params), Query::new(&rows, both));
        let keep = Keep { ask: Some(rows), of: &kept_of_batch };
        Ok(settled(self.link.change_keeping(&change, Some(&left), Some(&keep), &proof, permit.operation()).await?))
    }

    async fn standings(&self, targets: &[&[RowChange]]) -> Result<Vec<Standing>> {
        undo::standings(&self.link, targets).await
    }

    async fn take_back(&self, targets: &[TakenBack<'_>], permit: &WritePermit) -> Result<Vec<bool>> {
        undo::take_back(&self.link, targets, permit).await
    }
}
