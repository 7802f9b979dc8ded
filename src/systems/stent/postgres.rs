//! Stent's tables in PostgreSQL. SQL and row mapping, nothing else: here what belongs to one id, in `list.rs` many rows, in
//! `census.rs` counts.
//!
//! Times are plain TIMESTAMP and come as they are stored: the session's zone is neither set nor asked. Where the server
//! compares with its own now, `ahead` says by how much the workers' clock is ahead of UTC.

pub mod acts;
mod census;
pub mod letters;
mod list;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::codec::LIMIT;
use super::port::{
    Activity, Census, ExecutionStore, Ids, Listed, Look, Orphans, Query, Rows, Stats, TASKS, Whole, needles,
};
use super::record::{DeadTask, Execution, ExecutionState, Progress, Signal, Task, TaskKind, TaskState, parse_tags};
use super::shape::{ColumnFact, Shape, TABLES};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::time::Timestamp;
use sen_model::time::wall::Zone;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::link::Link;
use sen_stores::postgres::read::Ask;
use sen_stores::sql::Sql;

/// Stent in one PostgreSQL database.
pub struct PostgresExecutions {
    link: Arc<Link>,
}

impl PostgresExecutions {
    /// Over a shared connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// An error that only says that the tables are missing, or are others of the same name.
    fn absent(&self, error: Error) -> Error {
        if !is_other(&error) {
            return error;
        }
        crate::port::absent(self.link.describe())
    }
}

const UNDEFINED_TABLE: &str = "42P01";

/// Whether a statement failed because tables, columns or their types are not those of this system.
fn is_other(error: &Error) -> bool {
    const UNDEFINED: [&str; 4] = [UNDEFINED_TABLE, "42703", "42883", "42804"];
    error.sqlstate().is_some_and(|code| UNDEFINED.contains(&code))
}

/// What numbers the entries of a progress: whoever inserts one draws from it.
static SEQUENCES: Sql = Sql::new(
    "SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_namespace AS n ON n.oid = s.relnamespace
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjid = to_regclass('execution_progress') AND d.deptype IN ('a', 'i')",
);

static CLOCK: Sql = Sql::new("SELECT now()");

static SHAPE: Sql = Sql::new(
    "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)::text, n.nspname::text
    FROM unnest($1::text[]) AS wanted (name)
        JOIN pg_class AS c ON c.oid = to_regclass(wanted.name)
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped",
);

/// The columns of an execution, its payloads being what is given: see [`execution`].
macro_rules! execution_columns {
    ($error:literal, $args:literal, $kwargs:literal, $result:literal) => {
        concat!(
            "e.id::text, e.root_function::text, e.state::text, e.retries::int8, e.created_at, e.started_at, e.completed_at,
            e.expiry_at, e.tags::text, e.priority::int8, e.queue::text, ",
            $error, ", ", $args, ", ", $kwargs, ", ", $result
        )
    };
}

/// The columns of a task, likewise: see [`task`].
macro_rules! task_columns {
    ($error:literal, $args:literal, $kwargs:literal, $result:literal) => {
        concat!(
            "t.id::text, t.execution_id::text, t.step_name::text, t.kind::text, t.parent_task_id::text, t.state::text,
            t.retries::int8, t.created_at, t.started_at, t.completed_at, t.worker_id::text, t.lease_expires_at, t.tags::text,
            t.priority::int8, t.queue::text, t.idempotency_key::text, t.retry_policy::text, t.scheduled_for, ",
            $error, ", ", $args, ", ", $kwargs, ", ", $result, ", t.result IS NOT NULL"
        )
    };
}

/// Whether a dump has this field with a text that is not empty: as the library writes it, else by a pattern.
macro_rules! filled {
    ($name:literal) => {
        concat!(
            "(CASE WHEN position('\"",
            $name,
            "\": \"' IN d.data) > 0 THEN position('\"",
            $name,
            "\": \"\"' IN d.data) = 0
                ELSE d.data ~ '\"",
            $name,
            "\"\\s*:\\s*\"[^\"]' END)"
        )
    };
}

/// Whether the task of a letter (`d`, its task's row being `t` where that is there) can be made again: from its dump, or,
/// where that is Python's text of senpuki 0.1.x, from the row of the task that died.
macro_rules! readable {
    () => {
        concat!(
            "coalesce(CASE WHEN left(d.data, 1) = '{' THEN ",
            filled!("execution_id"),
            " AND ",
            filled!("step_name"),
            " AND ",
            filled!("args"),
            " AND ",
            filled!("kwargs"),
            " WHEN starts_with(d.data, 'TaskRecord(') THEN ",
            remembered!("t"),
            " END, false)"
        )
    };
}

/// Whether the row of a task that died has all that a replay needs.
macro_rules! remembered {
    ($task:literal) => {
        concat!(
            $task,
            ".state = 'failed' AND ",
            $task,
            ".execution_id <> '' AND ",
            $task,
            ".step_name <> '' AND octet_length(",
            $task,
            ".args) > 0 AND octet_length(",
            $task,
            ".kwargs) > 0"
        )
    };
}

pub(super) use {execution_columns, task_columns};
use {filled, readable, remembered};

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

static NAMING: Sql = Sql::new(
    "SELECT e.id::text FROM executions AS e WHERE e.state IN ('pending', 'running', 'cancelling', 'failed', 'timed_out')
        AND EXISTS (SELECT FROM unnest($1::bytea[]) AS w (name) WHERE position(w.name IN e.args) > 0
            OR position(w.name IN e.kwargs) > 0 OR position(w.name IN convert_to(e.tags, 'UTF8')) > 0)
    LIMIT $2",
);

/// The inner limit bounds what is read where the order of the index scatters a prefix.
static EXECUTION_IDS: Sql = Sql::new(
    "SELECT id FROM (SELECT id::text AS id FROM executions WHERE id >= $1 ORDER BY executions.id LIMIT 10 * $2) AS near
    WHERE starts_with(id, $1) LIMIT $2",
);

static TASK_IDS: Sql = Sql::new(
    "SELECT id FROM (SELECT id::text AS id FROM tasks WHERE id >= $1 ORDER BY tasks.id LIMIT 10 * $2) AS near
    WHERE starts_with(id, $1) LIMIT $2",
);

static LETTER_IDS: Sql = Sql::new(
    "SELECT id FROM (SELECT id::text AS id FROM dead_tasks WHERE id >= $1 ORDER BY dead_tasks.id LIMIT 10 * $2) AS near
    WHERE starts_with(id, $1) LIMIT $2",
);

fn tags(cells: &mut Cells<'_>, at: usize) -> Vec<String> {
    let text = cells.text(at).unwrap_or_default();
    if text.is_empty() {
        return Vec::new();
    }
    parse_tags(&text).unwrap_or_else(|what| {
        cells.unreadable.push(what);
        Vec::new()
    })
}

/// An execution from the columns of `execution_columns!`.
pub(super) fn execution(row: &Row) -> Execution {
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
        tags: tags(&mut cells, 8),
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
pub(super) fn task(row: &Row) -> Task {
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
        tags: tags(&mut cells, 12),
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

fn progress(row: &Row) -> Progress {
    let mut cells = Cells::new(row);
    Progress {
        ordinal: cells.int(0).unwrap_or_default(),
        step: cells.text(1),
        status: cells.text(2),
        started_at: cells.wall(3),
        completed_at: cells.wall(4),
        detail: cells.text(5),
    }
}

fn letter(row: &Row) -> DeadTask {
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

fn signal(row: &Row) -> Signal {
    let mut cells = Cells::new(row);
    Signal {
        name: cells.text(0).unwrap_or_default(),
        payload: cells.bytes(1),
        created_at: cells.wall(2),
        consumed: cells.flag(3),
        consumed_at: cells.wall(4),
    }
}

fn clock(rows: &[Row]) -> Timestamp {
    rows.first().and_then(|row| Cells::new(row).time(0)).unwrap_or(Timestamp::NEG_INFINITY)
}

/// Which tables beside the two that are always there can be asked.
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
        let one: (&(dyn ToSql + Sync), Type) = (&id, Type::TEXT);
        let bounded = || [one.clone(), (&whole as &(dyn ToSql + Sync), Type::INT4)];
        let counted = || [one.clone(), (&limit as &(dyn ToSql + Sync), Type::INT8)];
        let mut asks = vec![
            Ask::new(&CLOCK, []),
            Ask::new(&EXECUTION, bounded()),
            Ask::new(&TASKS_OF, [one.clone(), (&whole as _, Type::INT4), (&TASKS as _, Type::INT8)]),
            Ask::new(&TASK, bounded()),
            Ask::new(&OWNER, [one.clone()]),
        ];
        let optional = [
            (beside.progress, Ask::new(&PROGRESS, counted()).or_nothing()),
            (beside.letters, Ask::new(&LETTER, bounded())),
            (beside.letters, Ask::new(&LETTERS_OF, [one.clone(), (&TASKS as _, Type::INT8)])),
            (beside.signals, Ask::new(&SIGNALS, bounded())),
            (beside.counters, Ask::new(&COUNTERS, [one.clone()]).or_nothing()),
            (beside.state, Ask::new(&STATE, bounded()).or_nothing()),
        ];
        let there = optional.each_ref().map(|(there, _)| *there);
        asks.extend(optional.into_iter().filter(|(there, _)| *there).map(|(_, ask)| ask));
        let mut answers = self.link.snapshot(&asks).await?.into_iter();
        let mut next =
            || answers.next().unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")));
        let (now, executions, tasks, one, owner) = (clock(&next()?), next()?, next()?, next()?, next()?);
        let mut beside = |at: usize| if there[at] { next() } else { Ok(Vec::new()) };
        let (mut steps, letters, letters_of) = (beside(0)?, beside(1)?, beside(2)?);
        let (signals, counters, state) = (beside(3)?, beside(4)?, beside(5)?);
        steps.reverse();
        let count = |rows: &[Row], at| rows.first().and_then(|row| Cells::new(row).int(at)).unwrap_or_default();
        let whole = executions.first().map(|row| Whole {
            execution: execution(row),
            task_count: count(&executions, 15),
            tasks: tasks.iter().map(task).collect(),
            progress_count: count(&steps, 6),
            progress: steps.iter().map(progress).collect(),
            letters: letters_of.iter().map(letter).collect(),
            signals: signals.iter().map(signal).collect(),
            counters: counters
                .iter()
                .map(Cells::new)
                .map(|mut cells| (cells.text(0).unwrap_or_default(), cells.float(1).unwrap_or(f64::NAN)))
                .collect(),
            state: state
                .iter()
                .map(Cells::new)
                .map(|mut cells| (cells.text(0).unwrap_or_default(), cells.bytes(1)))
                .collect(),
        });
        Ok(Look {
            now,
            execution: whole,
            task: one.first().map(task),
            owner: owner.first().map(execution),
            letter: letters.first().map(letter),
        })
    }
}

#[async_trait]
impl ExecutionStore for PostgresExecutions {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn shape(&self) -> Result<Shape> {
        let tables = TABLES.as_slice();
        let rows = self.link.ask(Ask::new(&SHAPE, [(&tables as _, Type::TEXT_ARRAY)])).await?;
        let mut shape = Shape::default();
        for row in &rows {
            let mut cells = Cells::new(row);
            let mut text = |at| cells.text(at).unwrap_or_default();
            let (table, name, type_name, schema) = (text(0), text(1), text(2), text(3));
            if table == TABLES[0] {
                shape.schema = Some(schema);
            }
            shape.columns.push(ColumnFact { table, name, type_name });
        }
        Ok(shape)
    }

    async fn find(&self, id: &str, progress: i64, known: bool) -> Result<Look> {
        if known {
            match self.look(id, progress, Beside::ALL).await {
                // Older versions lack some of the tables, and others have tables of the same names: the catalogue tells.
                Err(error) if is_other(&error) => {}
                answer => return answer.map_err(|error| self.absent(error)),
            }
        }
        let shape = self.shape().await?;
        if !shape.present() {
            return Err(crate::port::absent(self.link.describe()));
        }
        self.look(id, progress, Beside::of(&shape)).await
    }

    async fn executions(&self, query: &Query) -> Result<Rows<Listed>> {
        list::executions(&self.link, query).await.map_err(|error| self.absent(error))
    }

    async fn tasks(&self, query: &Query) -> Result<Rows<Task>> {
        list::tasks(&self.link, query).await.map_err(|error| self.absent(error))
    }

    async fn neighbours(&self, id: &str) -> Result<Vec<String>> {
        let rows = self.link.ask(Ask::new(&NEIGHBOURS, [(&id as _, Type::TEXT)])).await;
        let rows = rows.map_err(|error| self.absent(error))?;
        Ok(rows.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn naming(&self, names: &[String], limit: u32) -> Result<Vec<String>> {
        let limit = i64::from(limit);
        let needles = needles(names);
        let ask = Ask::new(&NAMING, [(&needles as _, Type::BYTEA_ARRAY), (&limit as _, Type::INT8)]);
        let rows = self.link.ask_within(ask, sen_model::system::SEARCH).await.map_err(|error| self.absent(error))?;
        Ok(rows.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn ids(&self, of: Ids, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let limit = i64::from(limit);
        let sql = match of {
            Ids::Executions => &EXECUTION_IDS,
            Ids::Tasks => &TASK_IDS,
            Ids::Letters => &LETTER_IDS,
        };
        let rows = self.link.ask(Ask::new(sql, [(&prefix as _, Type::TEXT), (&limit as _, Type::INT8)])).await;
        let rows = rows.map_err(|error| self.absent(error))?;
        Ok(rows.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn activity(&self, task: &str, zone: &Zone) -> Result<Activity> {
        census::activity(&self.link, task, zone).await.map_err(|error| self.absent(error))
    }

    async fn sequences(&self) -> Result<Vec<String>> {
        let rows = self.link.ask(Ask::new(&SEQUENCES, [])).await?;
        Ok(rows.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn orphans(&self) -> Result<Option<Orphans>> {
        let shape = self.shape().await?;
        Ok(if shape.has_letters() { Some(census::orphans(&self.link).await?) } else { None })
    }

    async fn census(&self, zone: &Zone) -> Result<Census> {
        let shape = self.shape().await?;
        if !shape.present() {
            return Err(crate::port::absent(self.link.describe()));
        }
        census::census(&self.link, shape, zone).await
    }

    async fn stats(&self, zone: &Zone, window: Duration) -> Result<Stats> {
        let shape = self.shape().await?;
        if !shape.present() {
            return Err(crate::port::absent(self.link.describe()));
        }
        census::stats(&self.link, shape, zone, window).await
    }
}
