//! Stent's tables in SQLite. SQL and row mapping, nothing else: here what belongs to one id, in `list.rs` many rows, in
//! `census.rs` counts, in `cells.rs` values of whatever type SQLite holds.
//!
//! Times are Python's `isoformat()`, whose texts sort as the times do: they are compared as text.

pub mod acts;
mod cells;
mod census;
pub mod letters;
mod list;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::codec::LIMIT;
use super::port::{
    Activity, Census, ExecutionStore, Ids, Listed, Look, Orphans, Query, Rows, Stats, TASKS, Whole, needles,
};
use super::record::{DeadTask, Execution, ExecutionState, Progress, Signal, Task, TaskKind, TaskState};
use super::shape::{ColumnFact, Shape, TABLES};
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_model::time::wall::Zone;
use sen_stores::sqlite::{Sqlite, error_from};

use cells::Cells;

/// Stent in one SQLite file.
pub struct SqliteExecutions {
    db: Arc<Sqlite>,
}

impl SqliteExecutions {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }

    /// Runs `work` in one snapshot of a file that holds these tables.
    async fn snapshot<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, Shape, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let description = self.db.describe().to_owned();
        self.db
            .run(move |db| {
                let snapshot = db.transaction().map_err(error_from)?;
                let shape = shape(&snapshot)?;
                if !shape.present() {
                    return Err(crate::port::absent(&description));
                }
                let now = now(&snapshot)?;
                work(&snapshot, shape, now)
            })
            .await
    }
}

/// The columns of an execution, its payloads being what is given: see [`execution`].
macro_rules! execution_columns {
    ($error:literal, $args:literal, $kwargs:literal, $result:literal) => {
        concat!(
            "e.id, e.root_function, e.state, e.retries, e.created_at, e.started_at, e.completed_at, e.expiry_at, e.tags,
            e.priority, e.queue, ",
            $error, ", ", $args, ", ", $kwargs, ", ", $result
        )
    };
}

/// The columns of a task, likewise: see [`task`].
macro_rules! task_columns {
    ($error:literal, $args:literal, $kwargs:literal, $result:literal) => {
        concat!(
            "t.id, t.execution_id, t.step_name, t.kind, t.parent_task_id, t.state, t.retries, t.created_at, t.started_at,
            t.completed_at, t.worker_id, t.lease_expires_at, t.tags, t.priority, t.queue, t.idempotency_key, t.retry_policy,
            t.scheduled_for, ",
            $error, ", ", $args, ", ", $kwargs, ", ", $result, ", t.result IS NOT NULL"
        )
    };
}

/// Whether the task of a letter can be made again, as in `postgres.rs`.
macro_rules! readable {
    () => {
        "coalesce(CASE WHEN json_valid(d.data) AND substr(d.data, 1, 1) = '{' THEN
                (d.data ->> '$.execution_id') <> '' AND (d.data ->> '$.step_name') <> ''
                AND (d.data ->> '$.args') <> '' AND (d.data ->> '$.kwargs') <> ''
            WHEN substr(d.data, 1, 11) = 'TaskRecord(' THEN t.state = 'failed' AND t.execution_id <> '' AND t.step_name <> ''
                AND length(t.args) > 0 AND length(t.kwargs) > 0 END, 0)"
    };
}

use {execution_columns, readable, task_columns};

const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000";

const EXECUTION: &str = concat!(
    "SELECT ",
    execution_columns!(
        "substr(e.error, 1, ?2)",
        "substr(e.args, 1, ?2)",
        "substr(e.kwargs, 1, ?2)",
        "substr(e.result, 1, ?2)"
    ),
    ", (SELECT count(*) FROM tasks WHERE execution_id = ?1) FROM executions AS e WHERE e.id = ?1"
);

const TASKS_OF: &str = concat!(
    "SELECT ",
    task_columns!("substr(t.error, 1, ?2)", "NULL", "NULL", "NULL"),
    " FROM tasks AS t WHERE t.execution_id = ?1 ORDER BY t.created_at, t.id LIMIT ?3"
);

const TASK: &str = concat!(
    "SELECT ",
    task_columns!(
        "substr(t.error, 1, ?2)",
        "substr(t.args, 1, ?2)",
        "substr(t.kwargs, 1, ?2)",
        "substr(t.result, 1, ?2)"
    ),
    " FROM tasks AS t WHERE t.id = ?1"
);

const OWNER: &str = concat!(
    "SELECT ",
    execution_columns!("NULL", "NULL", "NULL", "NULL"),
    " FROM executions AS e WHERE e.id = (SELECT t.execution_id FROM tasks AS t WHERE t.id = ?1)"
);

const PROGRESS: &str = "SELECT ordinal, step, status, started_at, completed_at, substr(detail, 1, 4096),
        (SELECT count(*) FROM execution_progress WHERE execution_id = ?1)
    FROM execution_progress WHERE execution_id = ?1 ORDER BY ordinal DESC LIMIT ?2";

const LETTER: &str = concat!(
    "SELECT d.id, d.reason, d.moved_at, substr(d.data, 1, ?2), ",
    readable!(),
    " FROM dead_tasks AS d LEFT JOIN tasks AS t ON t.id = d.id WHERE d.id = ?1"
);

const LETTERS_OF: &str = concat!(
    "SELECT d.id, d.reason, d.moved_at, NULL, ",
    readable!(),
    " FROM tasks AS t JOIN dead_tasks AS d ON d.id = t.id WHERE t.execution_id = ?1 ORDER BY d.moved_at, d.id LIMIT ?2"
);

const SIGNALS: &str = "SELECT name, substr(payload, 1, ?2), created_at, consumed, consumed_at FROM signals
    WHERE execution_id = ?1 ORDER BY created_at, name LIMIT 1000";

const COUNTERS: &str = "SELECT name, value FROM execution_counters WHERE execution_id = ?1 ORDER BY name LIMIT 1000";

const STATE: &str =
    "SELECT key, substr(value, 1, ?2) FROM execution_state WHERE execution_id = ?1 ORDER BY key LIMIT 1000";

const EXECUTION_IDS: &str = "SELECT id FROM (SELECT id FROM executions WHERE id >= ?1 ORDER BY id LIMIT 10 * ?2)
    WHERE substr(id, 1, length(?1)) = ?1 LIMIT ?2";

const TASK_IDS: &str = "SELECT id FROM (SELECT id FROM tasks WHERE id >= ?1 ORDER BY id LIMIT 10 * ?2)
    WHERE substr(id, 1, length(?1)) = ?1 LIMIT ?2";

const LETTER_IDS: &str = "SELECT id FROM (SELECT id FROM dead_tasks WHERE id >= ?1 ORDER BY id LIMIT 10 * ?2)
    WHERE substr(id, 1, length(?1)) = ?1 LIMIT ?2";

const NEIGHBOURS: [&str; 4] = [
    "SELECT id FROM executions WHERE id > ?1 ORDER BY id LIMIT 5",
    "SELECT id FROM executions WHERE id < ?1 ORDER BY id DESC LIMIT 5",
    "SELECT id FROM tasks WHERE id > ?1 ORDER BY id LIMIT 5",
    "SELECT id FROM tasks WHERE id < ?1 ORDER BY id DESC LIMIT 5",
];

/// `instr` compares bytes once both are blobs.
const NAMING: &str =
    "SELECT id FROM executions WHERE state IN ('pending', 'running', 'cancelling', 'failed', 'timed_out')
        AND (instr(CAST(args AS BLOB), ?1) > 0 OR instr(CAST(kwargs AS BLOB), ?1) > 0 OR instr(CAST(tags AS BLOB), ?1) > 0)
    LIMIT ?2";

pub(super) fn now(db: &Connection) -> Result<Timestamp> {
    db.query_row(NOW, [], |row| row.get(0)).map(Timestamp::from_micros).map_err(error_from)
}

fn shape(db: &Connection) -> Result<Shape> {
    let mut shape = Shape { columns: Vec::new(), schema: Some("main".into()) };
    let mut statement = db.prepare("SELECT name, type FROM pragma_table_info(?1)").map_err(error_from)?;
    for table in TABLES {
        let rows = statement
            .query_map([table], |row| Ok(ColumnFact { table: table.into(), name: row.get(0)?, type_name: row.get(1)? }))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(error_from)?;
        shape.columns.extend(rows);
    }
    Ok(shape)
}

/// An execution from the columns of `execution_columns!`.
fn execution(row: &Row<'_>) -> Execution {
    let mut cells = Cells::new(row);
    Execution {
        id: cells.text(0).unwrap_or_default(),
        root_function: cells.text(1),
        state: ExecutionState::parse(&cells.text(2).unwrap_or_default()),
        retries: cells.int(3),
        created_at: cells.wall(4),
        started_at: cells.wall(5),
        completed_at: cells.wall(6),
        expiry_at: cells.wall(7),
        tags: cells.tags(8),
        priority: cells.int(9),
        queue: cells.text(10),
        error: cells.bytes(11),
        args: cells.bytes(12),
        kwargs: cells.bytes(13),
        result: cells.bytes(14),
        unreadable: cells.unreadable,
    }
}

/// A task from the columns of `task_columns!`.
fn task(row: &Row<'_>) -> Task {
    let mut cells = Cells::new(row);
    Task {
        id: cells.text(0).unwrap_or_default(),
        execution_id: cells.text(1),
        step_name: cells.text(2),
        kind: TaskKind::parse(&cells.text(3).unwrap_or_default()),
        parent_task_id: cells.text(4),
        state: TaskState::parse(&cells.text(5).unwrap_or_default()),
        retries: cells.int(6),
        created_at: cells.wall(7),
        started_at: cells.wall(8),
        completed_at: cells.wall(9),
        worker_id: cells.text(10),
        lease_expires_at: cells.wall(11),
        tags: cells.tags(12),
        priority: cells.int(13),
        queue: cells.text(14),
        idempotency_key: cells.text(15),
        retry_policy: cells.text(16),
        scheduled_for: cells.wall(17),
        error: cells.bytes(18),
        args: cells.bytes(19),
        kwargs: cells.bytes(20),
        result: cells.bytes(21),
        has_result: cells.flag(22).unwrap_or(false),
        unreadable: cells.unreadable,
    }
}

fn progress(row: &Row<'_>) -> (Progress, i64) {
    let mut cells = Cells::new(row);
    let count = cells.int(6).unwrap_or_default();
    let progress = Progress {
        ordinal: cells.int(0).unwrap_or_default(),
        step: cells.text(1),
        status: cells.text(2),
        started_at: cells.wall(3),
        completed_at: cells.wall(4),
        detail: cells.text(5),
    };
    (progress, count)
}

fn letter(row: &Row<'_>) -> DeadTask {
    let mut cells = Cells::new(row);
    DeadTask {
        id: cells.text(0).unwrap_or_default(),
        reason: cells.text(1),
        moved_at: cells.wall(2),
        data: cells.text(3),
        readable: cells.flag(4).unwrap_or(false),
        unreadable: cells.unreadable,
    }
}

fn signal(row: &Row<'_>) -> Signal {
    let mut cells = Cells::new(row);
    Signal {
        name: cells.text(0).unwrap_or_default(),
        payload: cells.bytes(1),
        created_at: cells.wall(2),
        consumed: cells.flag(3),
        consumed_at: cells.wall(4),
    }
}

fn all<T>(db: &Connection, sql: &str, bound: impl rusqlite::Params, make: impl Fn(&Row<'_>) -> T) -> Result<Vec<T>> {
    let mut statement = db.prepare(sql).map_err(error_from)?;
    let rows = statement.query_map(bound, |row| Ok(make(row))).map_err(error_from)?;
    rows.collect::<rusqlite::Result<_>>().map_err(error_from)
}

fn one<T>(db: &Connection, sql: &str, bound: impl rusqlite::Params, make: impl Fn(&Row<'_>) -> T) -> Result<Option<T>> {
    db.query_row(sql, bound, |row| Ok(make(row))).optional().map_err(error_from)
}

fn look(db: &Connection, shape: &Shape, now: Timestamp, id: &str, limit: i64) -> Result<Look> {
    let whole = LIMIT as i64 + 1;
    let counted = |row: &Row<'_>| (execution(row), Cells::new(row).int(15).unwrap_or_default());
    let execution_row = one(db, EXECUTION, params![id, whole], counted)?;
    let execution_whole = match execution_row {
        None => None,
        Some((found, task_count)) => {
            let steps =
                if shape.has_progress() { all(db, PROGRESS, params![id, limit], progress)? } else { Vec::new() };
            Some(Whole {
                execution: found,
                task_count,
                tasks: all(db, TASKS_OF, params![id, whole, TASKS], task)?,
                progress_count: steps.first().map_or(0, |(_, count)| *count),
                progress: steps.into_iter().rev().map(|(step, _)| step).collect(),
                letters: if shape.has_letters() {
                    all(db, LETTERS_OF, params![id, TASKS], letter)?
                } else {
                    Vec::new()
                },
                signals: if shape.has_signals() { all(db, SIGNALS, params![id, whole], signal)? } else { Vec::new() },
                counters: if shape.has_counters() {
                    all(db, COUNTERS, params![id], |row| {
                        let mut cells = Cells::new(row);
                        (cells.text(0).unwrap_or_default(), cells.float(1).unwrap_or(f64::NAN))
                    })?
                } else {
                    Vec::new()
                },
                state: if shape.has_state() {
                    all(db, STATE, params![id, whole], |row| {
                        let mut cells = Cells::new(row);
                        (cells.text(0).unwrap_or_default(), cells.bytes(1))
                    })?
                } else {
                    Vec::new()
                },
            })
        }
    };
    Ok(Look {
        now,
        execution: execution_whole,
        task: one(db, TASK, params![id, whole], task)?,
        owner: one(db, OWNER, params![id], execution)?,
        letter: if shape.has_letters() { one(db, LETTER, params![id, whole], letter)? } else { None },
    })
}

#[async_trait]
impl ExecutionStore for SqliteExecutions {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn shape(&self) -> Result<Shape> {
        self.db.run(|db| shape(db)).await
    }

    async fn find(&self, id: &str, progress: i64, _known: bool) -> Result<Look> {
        let id = id.to_owned();
        self.snapshot(move |db, shape, now| look(db, &shape, now, &id, progress)).await
    }

    async fn executions(&self, query: &Query) -> Result<Rows<Listed>> {
        self.stream(query, list::EXECUTIONS, list::Kind::Executions, list::listed).await
    }

    async fn tasks(&self, query: &Query) -> Result<Rows<Task>> {
        self.stream(query, list::TASKS, list::Kind::Tasks, task).await
    }

    async fn neighbours(&self, id: &str) -> Result<Vec<String>> {
        let id = id.to_owned();
        self.snapshot(move |db, _, _| {
            let mut found = Vec::new();
            for sql in NEIGHBOURS {
                found.extend(all(db, sql, params![id], |row| Cells::new(row).text(0))?.into_iter().flatten());
            }
            Ok(found)
        })
        .await
    }

    async fn naming(&self, names: &[String], limit: u32) -> Result<Vec<String>> {
        let needles = needles(names);
        self.snapshot(move |db, _, _| {
            let mut found = Vec::new();
            for needle in &needles {
                found.extend(
                    all(db, NAMING, params![needle, limit], |row| Cells::new(row).text(0))?.into_iter().flatten(),
                );
            }
            Ok(found)
        })
        .await
    }

    async fn ids(&self, of: Ids, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let (prefix, sql) = (
            prefix.to_owned(),
            match of {
                Ids::Executions => EXECUTION_IDS,
                Ids::Tasks => TASK_IDS,
                Ids::Letters => LETTER_IDS,
            },
        );
        self.snapshot(move |db, _, _| {
            let found = all(db, sql, params![prefix, limit], |row| Cells::new(row).text(0))?;
            Ok(found.into_iter().flatten().collect())
        })
        .await
    }

    async fn activity(&self, task: &str, zone: &Zone) -> Result<Activity> {
        let (task, zone) = (task.to_owned(), zone.clone());
        self.snapshot(move |db, _, now| census::activity(db, now, &task, &zone)).await
    }

    async fn orphans(&self) -> Result<Option<Orphans>> {
        self.snapshot(move |db, shape, _| Ok(if shape.has_letters() { Some(census::orphans(db)?) } else { None })).await
    }

    async fn census(&self, zone: &Zone) -> Result<Census> {
        let zone = zone.clone();
        self.snapshot(move |db, shape, now| census::census(db, shape, now, &zone)).await
    }

    async fn stats(&self, zone: &Zone, window: Duration) -> Result<Stats> {
        let zone = zone.clone();
        self.snapshot(move |db, shape, now| census::stats(db, shape, now, &zone, window)).await
    }
}
