//! Dead letters in SQLite: what is known of them, and the IMMEDIATE transactions that replay and remove them. The rules that
//! decide within a transaction are the very ones of [`rules`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rusqlite::{Connection, ToSql, TransactionBehavior, named_params, params};

use super::cells::Cells;
use super::reading::{all, list, now, one, shape, shape_now, streamed, texts, wall};
use super::statements::{
    AROUND, COPIES, DELETE, GROUNDS, INSERT, LETTER, NEWEST_FIRST, NEWEST_PAGE, OLDEST_FIRST, OLDEST_PAGE, OPEN, OWNER,
    RECORD, RECORDED, REMEMBERED, SIGNED, STATE, TASK, TASKS_AMONG, TWINS, UNORDERED,
};
use crate::dump::{self, Dump};
use crate::letters::note::replayed;
use crate::letters::port::{Batch, Fact, Facts, LetterQuery, LetterStore};
use crate::letters::rules::{self, Replayability};
use crate::letters::steps::Around;
use crate::letters::targets::{DeadLetterRef, Places};
use crate::record::{Task, TaskKind};
use crate::rows;
use crate::undo::KEPT;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::rows::{Seen, changes};
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;
use sen_stores::sqlite::restore::look;
use sen_stores::sqlite::{Sqlite, commit_keeping, error_from, part, written};

/// Stent's dead letters in one SQLite file.
pub struct SqliteLetters {
    db: Arc<Sqlite>,
    /// Whether `execution_progress` is there, to keep the record of an act.
    records: Arc<AtomicBool>,
}

impl SqliteLetters {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db, records: Arc::new(AtomicBool::new(true)) }
    }
}

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
        let mut task = parsed(&writing, &wanted.id, data.as_deref())?;
        if let Some(edit) = &wanted.edit {
            if !edit.is_of(data.as_deref()) {
                continue;
            }
            task.args = Some(edit.to.args.clone().into_bytes());
            task.kwargs = Some(edit.to.kwargs.clone().into_bytes());
        }
        let replayability = judged(&writing, &task, &now_text)?;
        if !(replayability == Replayability::Replayable || (job.force && replayability.can_be_forced())) {
            continue;
        }
        let orchestrator = task.kind == TaskKind::Orchestrator;
        let execution = task.execution_id.as_deref().filter(|_| orchestrator);
        let before = seen(&writing, wanted, execution)?;
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
            if orchestrator && run(OPEN, &[&task.execution_id, &now_text])? == 0 {
                let there = one(&writing, STATE, [&task.execution_id], |_| ())?;
                written(0, usize::from(there.is_some()), "executions")?;
            }
            if records {
                let edited = match &wanted.edit {
                    Some(edit) if one(&writing, TASK, [&wanted.id], |_| ())?.is_some() => {
                        format!("{} (the original ones are with task {})", edit.record(), wanted.id)
                    }
                    Some(edit) => edit.record(),
                    None => String::new(),
                };
                let detail = format!("{} {}{edited}", replayed(&wanted.id, &wanted.fresh), job.note);
                run(RECORD, &[&task.execution_id, &task.step_name, &"dispatched", &detail])?;
            }
            Ok(())
        });
        if whole?.is_some() {
            places.done.push(place);
            places.changes.insert(place, changes(&KEPT, before, seen(&writing, wanted, execution)?));
        } else {
            places.kept.push(place);
        }
    }
    commit_keeping(writing, &places.changes)?;
    Ok(places)
}

/// The rows that an act on a dead letter changes, for an undo: letter, task of its replay, execution.
fn seen(db: &Connection, wanted: &DeadLetterRef, execution: Option<&str>) -> Result<Seen> {
    let mut seen = Seen::new();
    look(db, "dead_tasks", "SELECT * FROM dead_tasks WHERE id = ?1", &[&wanted.id], &mut seen)?;
    look(db, "tasks", "SELECT * FROM tasks WHERE id = ?1", &[&wanted.fresh], &mut seen)?;
    look(db, "executions", "SELECT * FROM executions WHERE id = ?1", &[&execution], &mut seen)?;
    Ok(seen)
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
        let before = seen(&writing, wanted, None)?;
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
        places.changes.insert(place, changes(&KEPT, before, seen(&writing, wanted, None)?));
    }
    commit_keeping(writing, &places.changes)?;
    Ok(places)
}

#[async_trait]
impl LetterStore for SqliteLetters {
    fn database(&self) -> &str {
        self.db.describe()
    }

    fn keeps_records(&self) -> bool {
        self.records.load(Ordering::Relaxed)
    }

    async fn ready(&self) -> Result<(Timestamp, bool)> {
        let (tables, records) = (self.db.tables(), Arc::clone(&self.records));
        self.db
            .run(move |db| {
                let shape = shape(&tables, db)?;
                records.store(shape.has_progress(), Ordering::Relaxed);
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
        let dump = letters.iter().any(|letter| letter.edit.is_some());
        let query = LetterQuery { ids: Some(ids), dump, ahead, ..LetterQuery::default() };
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
