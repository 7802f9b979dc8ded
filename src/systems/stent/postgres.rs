//! Stent's tables in PostgreSQL. SQL and row mapping, nothing else: here what belongs to one id, in `list.rs` many rows, in
//! `census.rs` counts, in `reading.rs` and `columns.rs` what all of them have in common.
//!
//! Times are plain TIMESTAMP and come as they are stored: the session's zone is neither set nor used. Where the server
//! compares with its own now, `ahead` says by how much the workers' clock is ahead of UTC.

pub mod acts;
mod census;
mod columns;
pub mod letters;
mod list;
mod reading;
mod statements;
mod undo;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::codec::LIMIT;
use crate::port::{
    Activity, Census, ExecutionQuery, ExecutionStore, Ids, Listed, Look, More, Orphans, Rows, Stats, TASKS, Whole,
    needles, telling,
};
use crate::record::Task;
use crate::rows;
use crate::shape::Shape;
use sen_model::error::Result;
use sen_model::summary::Counting;
use sen_model::system::Mentions;
use sen_model::time::wall::Zone;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

use columns::{execution_columns, filled, readable, remembered, task_columns};
use reading::{Answers, CLOCK, absent, all, clock, is_other, one, present, shape, texts};

/// Stent in one PostgreSQL database.
pub struct PostgresExecutions {
    link: Arc<SharedConnection>,
}

impl PostgresExecutions {
    /// Over a shared connection.
    pub fn new(link: Arc<SharedConnection>) -> Self {
        Self { link }
    }
}

/// The sequence that numbers progress entries; every insert draws from it.
static SEQUENCES: Sql = Sql::new(
    "SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_namespace AS n ON n.oid = s.relnamespace
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjid = to_regclass('execution_progress') AND d.deptype IN ('a', 'i')",
);

static EXECUTION: Sql = Sql::new(concat!(
    "SELECT ",
    execution_columns!(
        "substring(e.error FROM 1 FOR $2)",
        "substring(e.args FROM 1 FOR $2)",
        "substring(e.kwargs FROM 1 FOR $2)",
        "substring(e.result FROM 1 FOR $2)"
    ),
    ", (SELECT count(*) FROM tasks WHERE execution_id = $1) FROM executions AS e WHERE e.id = $1"
));

static TASKS_OF: Sql = Sql::new(concat!(
    "SELECT ",
    task_columns!("substring(t.error FROM 1 FOR $2)", "NULL::bytea", "NULL::bytea", "NULL::bytea"),
    " FROM tasks AS t WHERE t.execution_id = $1 ORDER BY t.created_at, t.id LIMIT $3"
));

static TASK: Sql = Sql::new(concat!(
    "SELECT ",
    task_columns!(
        "substring(t.error FROM 1 FOR $2)",
        "substring(t.args FROM 1 FOR $2)",
        "substring(t.kwargs FROM 1 FOR $2)",
        "substring(t.result FROM 1 FOR $2)"
    ),
    " FROM tasks AS t WHERE t.id = $1"
));

static OWNER: Sql = Sql::new(concat!(
    "SELECT ",
    execution_columns!("NULL::bytea", "NULL::bytea", "NULL::bytea", "NULL::bytea"),
    " FROM executions AS e WHERE e.id = (SELECT t.execution_id FROM tasks AS t WHERE t.id = $1)"
));

static PROGRESS: Sql = Sql::new(
    "SELECT ordinal::int8, step::text, status::text, started_at, completed_at, left(detail, 4096)::text,
        (SELECT count(*) FROM execution_progress WHERE execution_id = $1)
    FROM execution_progress WHERE execution_id = $1 ORDER BY ordinal DESC LIMIT $2",
);

static LETTER: Sql = Sql::new(concat!(
    "SELECT d.id::text, d.reason::text, d.moved_at, left(d.data, $2)::text, ",
    readable!(),
    " FROM dead_tasks AS d LEFT JOIN tasks AS t ON t.id = d.id WHERE d.id = $1"
));

static LETTERS_OF: Sql = Sql::new(concat!(
    "SELECT d.id::text, d.reason::text, d.moved_at, NULL::text, ",
    readable!(),
    " FROM tasks AS t JOIN dead_tasks AS d ON d.id = t.id WHERE t.execution_id = $1 ORDER BY d.moved_at, d.id LIMIT $2"
));

static SIGNALS: Sql = Sql::new(
    "SELECT name::text, substring(payload FROM 1 FOR $2), created_at, consumed, consumed_at FROM signals
    WHERE execution_id = $1 ORDER BY created_at, name LIMIT 1000",
);

static COUNTERS: Sql = Sql::new(
    "SELECT name::text, value::float8 FROM execution_counters WHERE execution_id = $1 ORDER BY name LIMIT 1000",
);

static STATE: Sql = Sql::new(
    "SELECT key::text, substring(value FROM 1 FOR $2) FROM execution_state WHERE execution_id = $1 ORDER BY key LIMIT 1000",
);

static NEIGHBOURS: Sql = Sql::new(
    "(SELECT id::text FROM executions WHERE id > $1 ORDER BY id LIMIT 5)
    UNION ALL (SELECT id::text FROM executions WHERE id < $1 ORDER BY id DESC LIMIT 5)
    UNION ALL (SELECT id::text FROM tasks WHERE id > $1 ORDER BY id LIMIT 5)
    UNION ALL (SELECT id::text FROM tasks WHERE id < $1 ORDER BY id DESC LIMIT 5)",
);

macro_rules! names {
    () => {
        "EXISTS (SELECT FROM unnest($3::bytea[]) AS w (name) WHERE position(w.name IN e.args) > 0
            OR position(w.name IN e.kwargs) > 0 OR position(w.name IN convert_to(e.tags, 'UTF8')) > 0)
        AND EXISTS (SELECT FROM unnest($1::bytea[]) AS w (name) WHERE position(w.name IN e.args) > 0
            OR position(w.name IN e.kwargs) > 0 OR position(w.name IN convert_to(e.tags, 'UTF8')) > 0)"
    };
}

/// Until when executions that have ended are looked through: before the limit of the statement (`SEARCH`), so that what was
/// found is kept.
macro_rules! until {
    () => {
        "statement_timestamp() + interval '700 milliseconds'"
    };
}

/// How many ended executions that mention a name are compared for the newest of them.
const ENDED_READ: i64 = 1000;

/// $1 what names leave, $3 the names alone: few rows hold these, so that few are looked through for the rest. Of what has ended
/// every row matches once the time is over, without an id: so the scan ends at the limit ($4), and that it was cut is known.
static NAMING: Sql = Sql::new(concat!(
    "(SELECT e.id::text FROM executions AS e
            WHERE e.state IN ('pending', 'running', 'cancelling', 'failed', 'timed_out') AND ",
    names!(),
    " LIMIT $2)
        UNION ALL (SELECT f.id FROM (SELECT e.created_at, CASE WHEN clock_timestamp() < ",
    until!(),
    " THEN e.id::text END AS id FROM executions AS e WHERE e.state IN ('completed', 'cancelled') AND (clock_timestamp() >= ",
    until!(),
    " OR ",
    names!(),
    ") LIMIT $4) AS f ORDER BY f.id IS NULL, f.created_at DESC LIMIT $2)"
));

/// The inner limit bounds what is read where the order of the index scatters a prefix.
macro_rules! ids {
    ($table:literal) => {
        Sql::new(concat!(
            "SELECT id FROM (SELECT id::text AS id FROM ",
            $table,
            " WHERE id >= $1 ORDER BY ",
            $table,
            ".id LIMIT 10 * $2) AS near WHERE starts_with(id, $1) LIMIT $2"
        ))
    };
}

static EXECUTION_IDS: Sql = ids!("executions");
static TASK_IDS: Sql = ids!("tasks");
static LETTER_IDS: Sql = ids!("dead_tasks");

/// Which optional tables can be queried.
#[derive(Clone, Copy)]
struct Beside {
    progress: bool,
    letters: bool,
    signals: bool,
    counters: bool,
    state: bool,
}

impl Beside {
    fn of(shape: &Shape) -> Self {
        Self {
            progress: shape.has_progress(),
            letters: shape.has_letters(),
            signals: shape.has_signals(),
            counters: shape.has_counters(),
            state: shape.has_state(),
        }
    }

    const ALL: Self = Self { progress: true, letters: true, signals: true, counters: true, state: true };
}

impl PostgresExecutions {
    /// Everything under an id, where these tables are.
    async fn look(&self, id: &str, limit: i64, beside: Beside) -> Result<Look> {
        let whole = LIMIT as i32 + 1;
        let named: (&(dyn ToSql + Sync), Type) = (&id, Type::TEXT);
        let bounded = || [named.clone(), (&whole as &(dyn ToSql + Sync), Type::INT4)];
        let counted = || [named.clone(), (&limit as &(dyn ToSql + Sync), Type::INT8)];
        let mut asks = vec![
            Query::new(&CLOCK, []),
            Query::new(&EXECUTION, bounded()),
            Query::new(&TASKS_OF, [named.clone(), (&whole as _, Type::INT4), (&TASKS as _, Type::INT8)]),
            Query::new(&TASK, bounded()),
            Query::new(&OWNER, [named.clone()]),
        ];
        let optional = [
            (beside.progress, Query::new(&PROGRESS, counted()).or_nothing()),
            (beside.letters, Query::new(&LETTER, bounded())),
            (beside.letters, Query::new(&LETTERS_OF, [named.clone(), (&TASKS as _, Type::INT8)])),
            (beside.signals, Query::new(&SIGNALS, bounded())),
            (beside.counters, Query::new(&COUNTERS, [named.clone()]).or_nothing()),
            (beside.state, Query::new(&STATE, bounded()).or_nothing()),
        ];
        let there = optional.each_ref().map(|(there, _)| *there);
        asks.extend(optional.into_iter().filter(|(there, _)| *there).map(|(_, ask)| ask));
        let mut answers = Answers::of(&self.link, &asks).await?;
        let mut next = || answers.take();
        let (now, executions, tasks, own, owner) = (clock(&next()?), next()?, next()?, next()?, next()?);
        let mut beside = |at: usize| if there[at] { next() } else { Ok(Vec::new()) };
        let (mut steps, letters, letters_of) = (beside(0)?, beside(1)?, beside(2)?);
        let (signals, counters, state) = (beside(3)?, beside(4)?, beside(5)?);
        steps.reverse();
        let count = |rows: &[Row], at| one(rows, |cells| rows::count(cells, at)).unwrap_or_default();
        let whole = |execution| Whole {
            execution,
            task_count: count(&executions, 15),
            tasks: all(&tasks, rows::task),
            progress_count: count(&steps, 6),
            progress: all(&steps, rows::progress),
            letters: all(&letters_of, rows::dead_task),
            signals: all(&signals, rows::signal),
            counters: all(&counters, rows::counter),
            state: all(&state, rows::custom_state),
        };
        Ok(Look {
            now,
            execution: one(&executions, rows::execution).map(whole),
            task: one(&own, rows::task),
            owner: one(&owner, rows::execution),
            letter: one(&letters, rows::dead_task),
            more: More::default(),
        })
    }
}

#[async_trait]
impl ExecutionStore for PostgresExecutions {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn shape(&self) -> Result<Shape> {
        shape(&self.link).await
    }

    async fn find(&self, id: &str, progress: i64, known: bool) -> Result<Look> {
        if known {
            match self.look(id, progress, Beside::ALL).await {
                // Older versions lack some tables, and other programs have tables of these names: the catalogue decides.
                Err(error) if is_other(&error) => {}
                answer => return answer.map_err(|error| absent(&self.link, error)),
            }
        }
        let shape = present(&self.link).await?;
        self.look(id, progress, Beside::of(&shape)).await
    }

    async fn executions(&self, query: &ExecutionQuery) -> Result<Rows<Listed>> {
        list::executions(&self.link, query).await.map_err(|error| absent(&self.link, error))
    }

    async fn tasks(&self, query: &ExecutionQuery) -> Result<Rows<Task>> {
        list::tasks(&self.link, query).await.map_err(|error| absent(&self.link, error))
    }

    async fn neighbours(&self, id: &str) -> Result<Vec<String>> {
        let rows = self.link.ask(Query::new(&NEIGHBOURS, [(&id as _, Type::TEXT)])).await;
        let rows = rows.map_err(|error| absent(&self.link, error))?;
        Ok(texts(&rows))
    }

    async fn naming(&self, names: &[String], limit: u32) -> Result<Mentions> {
        let limit = i64::from(limit);
        let names = telling(names);
        let (needles, names) = (needles(&names), names.iter().map(String::as_bytes).collect::<Vec<_>>());
        let ask = Query::new(
            &NAMING,
            [
                (&needles as _, Type::BYTEA_ARRAY),
                (&limit as _, Type::INT8),
                (&names as _, Type::BYTEA_ARRAY),
                (&ENDED_READ as _, Type::INT8),
            ],
        );
        let rows =
            self.link.ask_within(ask, sen_model::system::SEARCH).await.map_err(|error| absent(&self.link, error))?;
        let ids = texts(&rows);
        Ok(Mentions { cut: ids.len() < rows.len(), ids })
    }

    async fn ids(&self, of: Ids, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let limit = i64::from(limit);
        let sql = match of {
            Ids::Executions => &EXECUTION_IDS,
            Ids::Tasks => &TASK_IDS,
            Ids::Letters => &LETTER_IDS,
        };
        let rows = self.link.ask(Query::new(sql, [(&prefix as _, Type::TEXT), (&limit as _, Type::INT8)])).await;
        let rows = rows.map_err(|error| absent(&self.link, error))?;
        Ok(texts(&rows))
    }

    async fn activity(&self, task: &str, zone: &Zone) -> Result<Activity> {
        census::activity(&self.link, task, zone).await.map_err(|error| absent(&self.link, error))
    }

    async fn sequences(&self) -> Result<Vec<String>> {
        let rows = self.link.ask(Query::new(&SEQUENCES, [])).await?;
        Ok(texts(&rows))
    }

    async fn orphans(&self) -> Result<Option<Orphans>> {
        let shape = self.shape().await?;
        Ok(if shape.has_letters() { Some(census::orphans(&self.link).await?) } else { None })
    }

    async fn census(&self, zone: &Zone, counting: Counting) -> Result<Census> {
        let shape = present(&self.link).await?;
        census::census(&self.link, shape, zone, counting).await
    }

    async fn stats(&self, zone: &Zone, window: Duration, counting: Counting) -> Result<Stats> {
        let shape = present(&self.link).await?;
        census::stats(&self.link, shape, zone, window, counting).await
    }
}
