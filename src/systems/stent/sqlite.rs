//! Stent's tables in SQLite. SQL and row mapping, nothing else: here what belongs to one id, in `list.rs` many rows, in
//! `census.rs` counts, in `reading.rs` what they share, in `cells.rs` values of any type.
//!
//! Times are Python's `isoformat()`, whose texts sort as the times do: they are compared as text.

pub mod acts;
mod cells;
mod census;
pub mod letters;
mod list;
pub(crate) mod reading;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ToSql, params, params_from_iter};

use crate::codec::LIMIT;
use crate::port::{
    Activity, Census, ExecutionQuery, ExecutionStore, Ids, Listed, Look, More, NEEDLES, Orphans, Rows, Stats, TASKS,
    Whole, needles, telling,
};
use crate::record::Task;
use crate::rows;
use crate::shape::Shape;
use sen_model::error::{ErrorKind, Result};
use sen_model::summary::Counting;
use sen_model::system::Mentions;
use sen_model::time::Timestamp;
use sen_model::time::wall::Zone;
use sen_stores::sqlite::{Sqlite, error_from};

use reading::{all, execution_columns, one, readable, shape, snapshot, snapshot_within, task_columns, texts};

/// Stent in one SQLite file.
pub struct SqliteExecutions {
    db: Arc<Sqlite>,
}

impl SqliteExecutions {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }
}

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

/// The inner limit bounds what is read where the order of the index scatters a prefix.
macro_rules! ids {
    ($table:literal) => {
        concat!(
            "SELECT id FROM (SELECT id FROM ",
            $table,
            " WHERE id >= ?1 ORDER BY id LIMIT 10 * ?2) WHERE substr(id, 1, length(?1)) = ?1 LIMIT ?2"
        )
    };
}

const NEIGHBOURS: [&str; 4] = [
    "SELECT id FROM executions WHERE id > ?1 ORDER BY id LIMIT 5",
    "SELECT id FROM executions WHERE id < ?1 ORDER BY id DESC LIMIT 5",
    "SELECT id FROM tasks WHERE id > ?1 ORDER BY id LIMIT 5",
    "SELECT id FROM tasks WHERE id < ?1 ORDER BY id DESC LIMIT 5",
];

/// Whether a column holds the name (?2), and with one of its ends (?3 to ?5); `instr` compares bytes once both are blobs.
macro_rules! names {
    ($column:literal) => {
        concat!(
            "(instr(CAST(",
            $column,
            " AS BLOB), ?2) > 0 AND max(instr(CAST(",
            $column,
            " AS BLOB), ?3), instr(CAST(",
            $column,
            " AS BLOB), ?4), instr(CAST(",
            $column,
            " AS BLOB), ?5)) > 0)"
        )
    };
}

macro_rules! naming {
    ($states:literal, $order:literal) => {
        concat!(
            "SELECT id FROM executions WHERE state IN (",
            $states,
            ") AND (",
            names!("args"),
            " OR ",
            names!("kwargs"),
            " OR ",
            names!("tags"),
            ")",
            $order,
            " LIMIT ?1"
        )
    };
}

const NAMING: &str = naming!("'pending', 'running', 'cancelling', 'failed', 'timed_out'", "");

/// Rows are found in the order in which they were made, so that the newest ones are had where the search is given up.
const NAMING_ENDED: &str = naming!("'completed', 'cancelled'", " ORDER BY rowid DESC");

/// What is read where its table is, and nothing elsewhere.
fn some<T: Default>(there: bool, read: impl FnOnce() -> Result<T>) -> Result<T> {
    if there { read() } else { Ok(T::default()) }
}

fn look(db: &Connection, shape: &Shape, now: Timestamp, id: &str, limit: i64) -> Result<Look> {
    let whole = LIMIT as i64 + 1;
    let counted = |cells: rows::Cells<'_>| (rows::execution(cells), rows::count(cells, 15));
    let execution = match one(db, EXECUTION, params![id, whole], counted)? {
        None => None,
        Some((found, task_count)) => {
            let steps = |cells: rows::Cells<'_>| (rows::progress(cells), rows::count(cells, 6));
            let steps = some(shape.has_progress(), || all(db, PROGRESS, params![id, limit], steps))?;
            Some(Whole {
                execution: found,
                task_count,
                tasks: all(db, TASKS_OF, params![id, whole, TASKS], rows::task)?,
                progress_count: steps.first().map_or(0, |(_, count)| *count),
                progress: steps.into_iter().rev().map(|(step, _)| step).collect(),
                letters: some(shape.has_letters(), || all(db, LETTERS_OF, params![id, TASKS], rows::dead_task))?,
                signals: some(shape.has_signals(), || all(db, SIGNALS, params![id, whole], rows::signal))?,
                counters: some(shape.has_counters(), || all(db, COUNTERS, params![id], rows::counter))?,
                state: some(shape.has_state(), || all(db, STATE, params![id, whole], rows::custom_state))?,
            })
        }
    };
    Ok(Look {
        now,
        execution,
        task: one(db, TASK, params![id, whole], rows::task)?,
        owner: one(db, OWNER, params![id], rows::execution)?,
        letter: some(shape.has_letters(), || one(db, LETTER, params![id, whole], rows::dead_task))?,
        more: More::default(),
    })
}

#[async_trait]
impl ExecutionStore for SqliteExecutions {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn shape(&self) -> Result<Shape> {
        let tables = self.db.tables();
        self.db.run(move |db| shape(&tables, db)).await
    }

    async fn find(&self, id: &str, progress: i64, _known: bool) -> Result<Look> {
        let id = id.to_owned();
        snapshot(&self.db, move |db, shape, now| look(db, &shape, now, &id, progress)).await
    }

    async fn executions(&self, query: &ExecutionQuery) -> Result<Rows<Listed>> {
        list::executions(&self.db, query).await
    }

    async fn tasks(&self, query: &ExecutionQuery) -> Result<Rows<Task>> {
        list::tasks(&self.db, query).await
    }

    async fn neighbours(&self, id: &str) -> Result<Vec<String>> {
        let id = id.to_owned();
        snapshot(&self.db, move |db, _, _| {
            let mut found = Vec::new();
            for sql in NEIGHBOURS {
                found.extend(texts(db, sql, params![id])?);
            }
            Ok(found)
        })
        .await
    }

    async fn naming(&self, names: &[String], limit: u32) -> Result<Mentions> {
        let names = telling(names);
        snapshot_within(&self.db, sen_model::system::SEARCH, move |db, _, _| {
            let mut found = Mentions::default();
            for sql in [NAMING, NAMING_ENDED] {
                for (name, ends) in names.iter().zip(needles(&names).chunks(NEEDLES)) {
                    let name = name.as_bytes();
                    let bound = [&limit as &dyn ToSql, &name].into_iter().chain(ends.iter().map(|end| end as _));
                    let mut statement = db.prepare(sql).map_err(error_from)?;
                    let rows = statement.query_map(params_from_iter(bound), |row| row.get(0)).map_err(error_from)?;
                    for id in rows {
                        match id.map_err(error_from) {
                            Ok(id) => found.ids.push(id),
                            // What was found until then counts.
                            Err(error) if error.kind() == ErrorKind::Timeout => {
                                return Ok(Mentions { cut: true, ..found });
                            }
                            Err(error) => return Err(error),
                        }
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    async fn ids(&self, of: Ids, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        let sql = match of {
            Ids::Executions => ids!("executions"),
            Ids::Tasks => ids!("tasks"),
            Ids::Letters => ids!("dead_tasks"),
        };
        snapshot(&self.db, move |db, _, _| texts(db, sql, params![prefix, limit])).await
    }

    async fn activity(&self, task: &str, zone: &Zone) -> Result<Activity> {
        let (task, zone) = (task.to_owned(), zone.clone());
        snapshot(&self.db, move |db, _, now| census::activity(db, now, &task, &zone)).await
    }

    async fn orphans(&self) -> Result<Option<Orphans>> {
        snapshot(&self.db, move |db, shape, _| Ok(if shape.has_letters() { Some(census::orphans(db)?) } else { None }))
            .await
    }

    async fn census(&self, zone: &Zone, _counting: Counting) -> Result<Census> {
        let zone = zone.clone();
        snapshot(&self.db, move |db, shape, now| census::census(db, shape, now, &zone)).await
    }

    async fn stats(&self, zone: &Zone, window: Duration, _counting: Counting) -> Result<Stats> {
        let zone = zone.clone();
        snapshot(&self.db, move |db, shape, now| census::stats(db, shape, now, &zone, window)).await
    }
}
