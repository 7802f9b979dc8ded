//! Dead letters in SQLite: what is known of them, and the IMMEDIATE transactions that replay and remove them. The rules that
//! decide within a transaction are the very ones of [`rules`].

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, ToSql, TransactionBehavior, named_params, params};

use super::cells::Cells;
use super::reading::{all, list, now, one, readable, shape, shape_now, streamed, task_columns, texts, wall};
use crate::cancelled::{cancelled_json, cancelled_pickle};
use crate::dump::{self, Dump};
use crate::letters::port::{Batch, Fact, Facts, LetterQuery, LetterStore};
use crate::letters::rules::{self, Replayability};
use crate::letters::steps::Around;
use crate::letters::targets::{DeadLetterRef, Places};
use crate::record::{Task, TaskKind};
use crate::rows;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;
use sen_stores::sqlite::{Sqlite, commit, error_from, part, written};

/// Stent's dead letters in one SQLite file.
pub struct SqliteLetters {
    db: Arc<Sqlite>,
}

impl SqliteLetters {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }
}

/// A field of a letter, as in `postgres/statements.rs`.
macro_rules! field {
    ($name:literal) => {
        concat!("CASE WHEN t.id IS NULL AND json_valid(d.data) THEN d.data ->> '$.", $name, "' ELSE t.", $name, " END")
    };
}

/// What letters are told apart by alone.
macro_rules! own {
    () => {
        "(:ids IS NULL OR d.id IN (SELECT value FROM json_each(:ids)))
            AND (:since IS NULL OR d.moved_at >= :since) AND (:until IS NULL OR d.moved_at < :until)
            AND (:error IS NULL OR instr(lower(d.reason), lower(:error)) > 0)"
    };
}

/// What their tasks have a say in, too.
macro_rules! of_task {
    () => {
        concat!(
            "(:kinds IS NULL OR ",
            field!("kind"),
            " IN (SELECT value FROM json_each(:kinds)))
            AND (:queue IS NULL OR ",
            field!("queue"),
            " = :queue OR (:queue = 'default' AND ",
            field!("queue"),
            " IS NULL))
            AND (:step IS NULL OR ",
            field!("step_name"),
            " = :step OR substr(",
            field!("step_name"),
            ", -length(:step) - 1) = ':' || :step)
            AND (:worker IS NULL OR substr(",
            field!("worker_id"),
            ", 1, length(:worker)) = :worker)"
        )
    };
}

/// Letters with what they belong to, as in `postgres/statements.rs`.
macro_rules! letters {
    ($wanted:expr) => {
        concat!(
            " FROM (SELECT d.id, d.moved_at, d.reason, d.data, ",
            readable!(),
            " AS readable, coalesce(d.reason IN ('Execution cancelled', 'Exception: Execution cancelled'), 0) AS cancelled, ",
            field!("kind"),
            " AS kind, ",
            field!("execution_id"),
            " AS execution_id, ",
            field!("parent_task_id"),
            " AS parent, ",
            field!("step_name"),
            " AS step, ",
            field!("queue"),
            " AS queue, ",
            field!("worker_id"),
            " AS worker, ",
            field!("retries"),
            " AS retries
            FROM dead_tasks AS d LEFT JOIN tasks AS t ON t.id = d.id WHERE ",
            $wanted,
            ") AS f
        LEFT JOIN executions AS e ON e.id = f.execution_id
        LEFT JOIN tasks AS p ON p.id = f.parent AND f.kind = 'activity'"
        )
    };
}

/// Whether a task has the error of a cancel, in either codec of the library.
macro_rules! stopped {
    ($task:literal) => {
        concat!(
            $task,
            ".state = 'failed' AND ",
            $task,
            ".error IS NOT NULL AND ",
            $task,
            ".error IN (CAST('",
            cancelled_json!(),
            "' AS BLOB), x'",
            cancelled_pickle!(),
            "')"
        )
    };
}

/// Whether a cancel ended a letter or a step of it, by its reason or the errors of its steps.
macro_rules! cancelled {
    () => {
        concat!(
            "CASE WHEN f.kind = 'orchestrator' AND e.state = 'failed' THEN f.cancelled OR EXISTS (
                SELECT 1 FROM (SELECT s.state, s.error, s.parent_task_id FROM tasks AS s
                    WHERE s.execution_id = f.execution_id) AS s
                WHERE s.parent_task_id = f.id AND ",
            stopped!("s"),
            ") ELSE 0 END"
        )
    };
}

macro_rules! replay_facts {
    () => {
        "f.kind, e.state, coalesce(e.expiry_at <= :now, 0), p.state,
            CASE WHEN f.kind = 'orchestrator' AND e.state IN ('failed', 'pending', 'running') THEN EXISTS (
                SELECT 1 FROM tasks AS o WHERE o.execution_id = f.execution_id AND o.kind = 'orchestrator'
                    AND o.state IN ('pending', 'running')) ELSE 0 END,
            f.readable"
    };
}

macro_rules! told {
    ($wanted:expr, $order:literal) => {
        concat!(
            "SELECT f.id, f.moved_at, ",
            replay_facts!(),
            ", f.execution_id, f.step, f.reason, f.queue, f.worker, f.retries, CASE WHEN :dump THEN f.data END, ",
            cancelled!(),
            letters!($wanted),
            $order,
            " LIMIT coalesce(:limit, -1)"
        )
    };
}

macro_rules! look {
    ($order:literal) => {
        told!(concat!(own!(), " AND ", of_task!()), $order)
    };
}

const OLDEST_FIRST: &str = look!(" ORDER BY f.moved_at, f.id");
const UNORDERED: &str = look!("");
const NEWEST_FIRST: &str = look!(" ORDER BY f.moved_at DESC, f.id DESC");

/// A page, as in `postgres/statements.rs`: tasks are asked only where they have a say.
macro_rules! page {
    ($inner:literal, $order:literal) => {
        told!(
            concat!(
                "d.id IN (SELECT d.id FROM dead_tasks AS d WHERE ",
                own!(),
                " AND (coalesce(:kinds, :queue, :step, :worker) IS NULL OR EXISTS (
                    SELECT 1 FROM (SELECT 1) LEFT JOIN tasks AS t ON t.id = d.id WHERE ",
                of_task!(),
                "))",
                $inner,
                " LIMIT coalesce(:limit, -1))"
            ),
            $order
        )
    };
}

const OLDEST_PAGE: &str = page!(" ORDER BY d.moved_at, d.id", " ORDER BY f.moved_at, f.id");
const NEWEST_PAGE: &str = page!(" ORDER BY d.moved_at DESC, d.id DESC", " ORDER BY f.moved_at DESC, f.id DESC");

const LETTER: &str = "SELECT moved_at, data FROM dead_tasks WHERE id = ?1";
const GROUNDS: &str = "SELECT e.state, coalesce(e.expiry_at <= ?3, 0),
    (SELECT p.state FROM tasks AS p WHERE p.id = ?2),
    EXISTS (SELECT 1 FROM tasks AS o WHERE o.execution_id = ?1 AND o.kind = 'orchestrator' AND o.state IN ('pending', 'running'))
    FROM (SELECT 1) LEFT JOIN executions AS e ON e.id = ?1";
const INSERT: &str = "INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, retries, created_at,
        tags, priority, queue, idempotency_key, retry_policy)
    VALUES (:id, :execution_id, :step, :kind, :parent, 'pending', :args, :kwargs, 0, :created, :tags, :priority, :queue, :key, :policy)";
const OPEN: &str =
    "UPDATE executions SET state = 'pending', started_at = NULL, completed_at = NULL, result = NULL, error = NULL,
    retries = 0, expiry_at = CASE WHEN expiry_at > ?2 THEN expiry_at END WHERE id = ?1";
const DELETE: &str = "DELETE FROM dead_tasks WHERE id = ?1";
const STATE: &str = "SELECT state FROM executions WHERE id = ?1";
const RECORD: &str = "INSERT INTO execution_progress (execution_id, step, status, detail) VALUES (?1, ?2, ?3, ?4)";
const OWNER: &str =
    "SELECT t.execution_id, t.step_name FROM tasks AS t JOIN executions AS e ON e.id = t.execution_id WHERE t.id = ?1";
/// As in `postgres/letters.rs`; ?1 is a list, ?2 now.
const AROUND: &str = concat!(
    "SELECT x.id, t.id, t.parent_task_id, t.step_name, t.kind, t.state,
        t.state = 'completed' AND t.idempotency_key IS NOT NULL AND (
            EXISTS (SELECT 1 FROM idempotency AS i WHERE i.key = t.idempotency_key AND i.value IS NOT NULL)
            OR EXISTS (SELECT 1 FROM cache AS c WHERE c.key = t.idempotency_key AND c.value IS NOT NULL
                AND (c.expires_at IS NULL OR c.expires_at >= ?2))), ",
    stopped!("t"),
    "
    FROM tasks AS x JOIN tasks AS t ON t.execution_id = x.execution_id
    WHERE x.id IN (SELECT value FROM json_each(?1)) AND x.kind = 'orchestrator' AND t.kind <> 'orchestrator' LIMIT ?3"
);
const REMEMBERED: &str = concat!(
    "SELECT ",
    task_columns!("NULL", "t.args", "t.kwargs", "NULL"),
    " FROM tasks AS t WHERE t.id = ?1 AND t.state = 'failed'"
);
const TASKS_AMONG: &str = "SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(?1))";

const TWINS: &str = "SELECT t.execution_id, t.id
    FROM (SELECT o.execution_id FROM tasks AS o WHERE o.kind = 'orchestrator' AND +o.state IN ('pending', 'running', 'completed')
            GROUP BY 1 HAVING count(*) > 1) AS twice
        JOIN tasks AS t ON t.execution_id = twice.execution_id
    WHERE t.kind = 'orchestrator' AND +t.state IN ('pending', 'running', 'completed')";

/// As in `postgres/letters.rs`; ?1 is a list of pairs.
const COPIES: &str = "SELECT m.id, o.id FROM json_each(?1) AS w
    JOIN tasks AS m ON m.id = w.value ->> 1
    JOIN tasks AS o ON o.execution_id = m.execution_id AND o.id NOT IN (w.value ->> 0, w.value ->> 1)
        AND o.kind = m.kind AND o.step_name = m.step_name AND o.args = m.args AND o.kwargs = m.kwargs
        AND o.parent_task_id IS m.parent_task_id AND +o.state IN ('pending', 'running', 'completed')
    WHERE m.kind = 'orchestrator' OR o.created_at > coalesce(
        (SELECT p.completed_at FROM tasks AS p WHERE p.id = m.parent_task_id),
        CASE WHEN m.parent_task_id IS NULL THEN (SELECT l.completed_at FROM tasks AS l WHERE l.id = w.value ->> 0) END)";

/// As in `postgres/letters.rs`; ?1 is a list of tasks.
const RECORDED: &str = "SELECT t.id FROM tasks AS t WHERE t.id IN (SELECT value FROM json_each(?1)) AND EXISTS (
        SELECT 1 FROM execution_progress AS p
        WHERE p.execution_id = t.execution_id AND instr(p.detail, ' replayed as task ' || t.id || ' ') > 0)";

const SIGNED: &str = "SELECT w.value ->> '$[0]' FROM json_each(?1) AS w
    WHERE EXISTS (SELECT 1 FROM tasks AS t JOIN execution_progress AS p ON p.execution_id = t.execution_id
        WHERE t.id IN (w.value ->> '$[0]', w.value ->> '$[1]') AND instr(p.detail, ?2) > 0 AND instr(p.detail, t.id) > 0)";

/// Runs a query over dead letters and passes each row to `each`.
fn each(db: &Connection, sql: &str, query: &LetterQuery, mut take: impl FnMut(Fact) -> bool) -> Result<()> {
    let text = |wall: Option<Wall>| wall.map(Wall::isoformat);
    let (ids, since, until) = (query.ids.as_deref().and_then(list), text(query.since), text(query.until));
    let kinds = list(&query.kinds).filter(|_| !query.kinds.is_empty());
    let now = wall(db, query.ahead)?.isoformat();
    let bound: [(&str, &dyn ToSql); 11] = [
        (":ids", &ids),
        (":since", &since),
        (":until", &until),
        (":error", &query.error),
        (":kinds", &kinds),
        (":queue", &query.queue),
        (":step", &query.step),
        (":worker", &query.worker),
        (":now", &now),
        (":dump", &query.dump),
        (":limit", &query.limit),
    ];
    let mut statement = db.prepare(sql).map_err(error_from)?;
    let mut rows = statement.query(&bound[..]).map_err(error_from)?;
    while let Some(row) = rows.next().map_err(error_from)? {
        if !take(rows::fact(&mut Cells::new(row))) {
            break;
        }
    }
    Ok(())
}

/// The task of a letter: from its dump, or, where that is text of senpuki 0.1.x, from the row of the task that died.
fn parsed(db: &Connection, id: &str, data: Option<&str>) -> Result<Task> {
    let odd = |why: String| Error::new(ErrorKind::Unreadable, why);
    match dump::parse(data.unwrap_or_default()) {
        Dump::Task { task, .. } => {
            match task.unreadable.iter().find(|what| what.starts_with("args") || what.starts_with("kwargs")) {
                None => Ok(*task),
                Some(what) => Err(odd(what.clone())),
            }
        }
        Dump::Repr => one(db, REMEMBERED, [id], rows::task)?
            .ok_or_else(|| odd("it is text of senpuki 0.1.x, and the row of its task no longer exists".into())),
        Dump::Unreadable(why) => Err(odd(why)),
    }
}

/// The policy as the column keeps it: without the exceptions it is for.
fn policy(text: Option<&str>) -> String {
    let read = text.and_then(|text| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).ok());
    read.map_or_else(
        || "{}".into(),
        |mut policy| {
            policy.remove("retry_for");
            serde_json::Value::Object(policy).to_string()
        },
    )
}

fn as_seen(db: &Connection, wanted: &DeadLetterRef) -> Result<Option<Option<String>>> {
    let letter = one(db, LETTER, [&wanted.id], |cells| (cells.wall(0), cells.text(1)))?;
    Ok(letter.filter(|(moved_at, _)| *moved_at == wanted.moved_at).map(|(_, data)| data))
}

fn judged(db: &Connection, task: &Task, now: &str) -> Result<Replayability> {
    let text = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().is_some_and(|bytes| !bytes.is_empty());
    let whole = text(&task.execution_id) && text(&task.step_name) && bytes(&task.args) && bytes(&task.kwargs);
    let bound = params![task.execution_id, task.parent_task_id, now];
    let replay_facts = one(db, GROUNDS, bound, |cells| rows::replay_facts(cells, 0, task.kind.clone(), whole))?;
    replay_facts
        .as_ref()
        .map(rules::replayability)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "an answer is missing"))
}

/// What a batch is, owned, for the thread of the connection.
struct Job {
    letters: Vec<DeadLetterRef>,
    queue: Option<String>,
    force: bool,
    ahead: i64,
    note: String,
}

impl Job {
    fn of(batch: &Batch<'_>) -> Self {
        Self {
            letters: batch.letters.to_vec(),
            queue: batch.queue.map(str::to_owned),
            force: batch.force,
            ahead: batch.ahead,
            note: batch.note.to_owned(),
        }
    }
}

fn replay(db: &mut Connection, job: &Job) -> Result<Places> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let now = wall(&writing, job.ahead)?;
    let now_text = now.isoformat();
    let records = shape_now(&writing)?.has_progress();
    let mut places = Places::default();
    for (place, wanted) in job.letters.iter().enumerate() {
        let Some(data) = as_seen(&writing, wanted)? else { continue };
        let task = parsed(&writing, &wanted.id, data.as_deref())?;
        let replayability = judged(&writing, &task, &now_text)?;
        if !(replayability == Replayability::Replayable || (job.force && replayability.can_be_forced())) {
            continue;
        }
        let created = Wall::from_micros(now.as_micros().saturating_add(i64::try_from(place).unwrap_or(0)));
        let tags = list(&task.tags);
        let run = |sql: &str, bound: &[&dyn ToSql]| {
            writing.prepare_cached(sql).and_then(|mut one| one.execute(bound)).map_err(error_from)
        };
        let whole = part(&writing, || {
            let made = writing.prepare_cached(INSERT).and_then(|mut insert| {
                insert.execute(named_params! {
                    ":id": wanted.fresh, ":execution_id": task.execution_id, ":step": task.step_name, ":kind": task.kind.as_str(),
                    ":parent": task.parent_task_id, ":args": task.args.as_deref().unwrap_or_default(),
                    ":kwargs": task.kwargs.as_deref().unwrap_or_default(), ":created": created.isoformat(), ":tags": tags,
                    ":priority": task.priority.unwrap_or(0), ":queue": job.queue.as_ref().or(task.queue.as_ref()),
                    ":key": task.idempotency_key, ":policy": policy(task.retry_policy.as_deref()),
                })
            });
            written(made.map_err(taken)?, 1, "tasks")?;
            written(run(DELETE, &[&wanted.id])?, 1, "dead_tasks")?;
            // An orphan has no execution.
            if task.kind == TaskKind::Orchestrator && run(OPEN, &[&task.execution_id, &now_text])? == 0 {
                let there = one(&writing, STATE, [&task.execution_id], |_| ())?;
                written(0, usize::from(there.is_some()), "executions")?;
            }
            if records {
                let detail = format!("dead letter {} replayed as task {} {}", wanted.id, wanted.fresh, job.note);
                run(RECORD, &[&task.execution_id, &task.step_name, &"dispatched", &detail])?;
            }
            Ok(())
        });
        if whole?.is_some() { places.done.push(place) } else { places.kept.push(place) }
    }
    commit(writing)?;
    Ok(places)
}

/// The task that the replay would make exists already; the other dead letters of the batch are not affected.
fn taken(error: rusqlite::Error) -> Error {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        return Error::new(ErrorKind::Changed, "the task of its replay is there already");
    }
    error_from(error)
}

fn remove(db: &mut Connection, job: &Job) -> Result<Places> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let records = shape_now(&writing)?.has_progress();
    let mut places = Places::default();
    for (place, wanted) in job.letters.iter().enumerate() {
        if as_seen(&writing, wanted)?.is_none() {
            continue;
        }
        if writing.execute(DELETE, [&wanted.id]).map_err(error_from)? == 0 {
            places.kept.push(place);
            continue;
        }
        let owner = one(&writing, OWNER, [&wanted.id], |cells| (cells.text(0), cells.text(1)))?;
        if let (true, Some((execution, step))) = (records, owner) {
            let detail = format!("dead letter {} discarded {}", wanted.id, job.note);
            writing.execute(RECORD, params![execution, step, "failed", detail]).map_err(error_from)?;
        }
        places.done.push(place);
    }
    commit(writing)?;
    Ok(places)
}

#[async_trait]
impl LetterStore for SqliteLetters {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn ready(&self) -> Result<(Timestamp, bool)> {
        let tables = self.db.tables();
        self.db
            .run(move |db| {
                let shape = shape(&tables, db)?;
                Ok((now(db)?, shape.present() && shape.has_letters()))
            })
            .await
    }

    async fn look(&self, query: &LetterQuery) -> Result<Facts> {
        let query = query.clone();
        let sql = match (query.unordered, query.newest_first, query.limit.is_some()) {
            (true, ..) => UNORDERED,
            (false, true, true) => NEWEST_PAGE,
            (false, true, false) => NEWEST_FIRST,
            (false, false, true) => OLDEST_PAGE,
            (false, false, false) => OLDEST_FIRST,
        };
        let chunks = streamed(&self.db, move |db, take| {
            let snapshot = db.transaction().map_err(error_from)?;
            each(&snapshot, sql, &query, take)
        })?;
        Ok(Facts { chunks })
    }

    async fn replay(&self, batch: &Batch<'_>, _permit: &WritePermit) -> Result<Places> {
        let job = Job::of(batch);
        self.db.run(move |db| replay(db, &job)).await
    }

    async fn remove(&self, batch: &Batch<'_>, _permit: &WritePermit) -> Result<Places> {
        let job = Job::of(batch);
        self.db.run(move |db| remove(db, &job)).await
    }

    async fn whereabouts(&self, letters: &[DeadLetterRef], ahead: i64) -> Result<(Vec<Fact>, Vec<String>)> {
        let ids = letters.iter().map(|letter| letter.id.clone()).collect();
        let query = LetterQuery { ids: Some(ids), ahead, ..LetterQuery::default() };
        let fresh: Vec<String> = letters.iter().map(|letter| letter.fresh.clone()).collect();
        self.db
            .run(move |db| {
                let snapshot = db.transaction().map_err(error_from)?;
                let mut facts = Vec::new();
                each(&snapshot, UNORDERED, &query, |fact| {
                    facts.push(fact);
                    true
                })?;
                Ok((facts, texts(&snapshot, TASKS_AMONG, [list(&fresh)])?))
            })
            .await
    }

    async fn around(&self, letters: &[String], ahead: i64, limit: usize) -> Result<Vec<Around>> {
        let letters = list(letters).unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let tables = self.db.tables();
        self.db
            .run(move |db| {
                let shape = shape(&tables, db)?;
                if !(shape.has("idempotency", "key") && shape.has("cache", "expires_at")) {
                    return Ok(Vec::new());
                }
                let now = wall(db, ahead)?.isoformat();
                Ok(all(db, AROUND, params![letters, now, limit], rows::around)?.into_iter().flatten().collect())
            })
            .await
    }

    async fn copies(&self, letters: &[DeadLetterRef]) -> Result<Vec<(String, String)>> {
        let pairs: Vec<[&str; 2]> = letters.iter().map(|letter| [letter.id.as_str(), letter.fresh.as_str()]).collect();
        let pairs = serde_json::to_string(&pairs).unwrap_or_default();
        self.db.run(move |db| Ok(all(db, COPIES, [pairs], rows::pair)?.into_iter().flatten().collect())).await
    }

    async fn recorded(&self, tasks: &[String]) -> Result<Vec<String>> {
        let tasks = list(tasks).unwrap_or_default();
        let all = self.db.tables();
        self.db
            .run(move |db| if shape(&all, db)?.has_progress() { texts(db, RECORDED, [tasks]) } else { Ok(Vec::new()) })
            .await
    }

    async fn signed(&self, letters: &[DeadLetterRef], mark: &str) -> Result<Option<Vec<String>>> {
        let pairs: Vec<[&str; 2]> = letters.iter().map(|letter| [letter.id.as_str(), letter.fresh.as_str()]).collect();
        let (pairs, mark) = (serde_json::to_string(&pairs).unwrap_or_default(), mark.to_owned());
        let tables = self.db.tables();
        let signed = move |db: &mut Connection| {
            shape(&tables, db)?.has_progress().then(|| texts(db, SIGNED, [pairs, mark])).transpose()
        };
        self.db.run(signed).await
    }

    async fn twins(&self) -> Result<Vec<(String, String)>> {
        self.db.run(|db| Ok(all(db, TWINS, [], rows::pair)?.into_iter().flatten().collect())).await
    }
}
