//! Acts on executions in SQLite: one IMMEDIATE transaction each, guarded by what was seen.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, ToSql, TransactionBehavior, params};

use super::reading::{all, list, one, shape, shape_now, texts, wall};
use super::statements::OWNER;
use crate::acts::port::{ActStore, Cancel, Complete, Old, Sent, Signal, Stopped, TakenBack, Watched};
use crate::letters::targets::{DeadLetterRef, Places};
use crate::record::signal_step;
use crate::rows;
use crate::undo::KEPT;
use sen_model::error::Result;
use sen_model::journal::Changes;
use sen_model::permit::WritePermit;
use sen_model::rows::{RowChange, Seen, changes};
use sen_model::time::wall::Wall;
use sen_model::undo::Standing;
use sen_stores::sql::Sql;
use sen_stores::sqlite::restore::{self, look};
use sen_stores::sqlite::{Sqlite, commit_keeping, error_from, part, written};

/// The writing side of executions in one SQLite file.
pub struct SqliteActs {
    db: Arc<Sqlite>,
}

impl SqliteActs {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }

    /// Runs `work` in an IMMEDIATE transaction, and commits when it says what it changed.
    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<(T, Option<Changes>)> + Send + 'static,
    ) -> Result<T> {
        self.db
            .run(|db| {
                let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
                let (value, changed) = work(&writing)?;
                if let Some(changed) = changed {
                    commit_keeping(writing, &changed)?;
                }
                Ok(value)
            })
            .await
    }
}

const END: &str = "UPDATE executions SET state = 'cancelled', completed_at = ?3, error = ?4
    WHERE id = ?1 AND state = ?2 AND state IN ('pending', 'running', 'cancelling') RETURNING root_function";
/// What waits for a signal, and what runs above it, as in `postgres/acts.rs`.
macro_rules! waits {
    () => {
        "WITH RECURSIVE waits (id, parent) AS (
            SELECT t.id, t.parent_task_id FROM tasks AS t WHERE t.execution_id = ?1 AND t.kind = 'signal' AND +t.state = 'pending'
                AND EXISTS (SELECT 1 FROM tasks AS p WHERE p.id = t.parent_task_id AND p.state = 'running')
            UNION SELECT p.id, p.parent_task_id FROM waits AS w
                JOIN tasks AS p ON p.id = w.parent AND p.execution_id = ?1 AND p.state = 'running') "
    };
}
const OPEN: &str = concat!(
    waits!(),
    "SELECT id, state, worker_id, CASE WHEN id IN (SELECT id FROM waits) THEN step_name END
    FROM tasks WHERE execution_id = ?1 AND +state IN ('pending', 'running') ORDER BY id"
);
const STOP: &str = concat!(
    waits!(),
    "UPDATE tasks SET state = 'failed', completed_at = ?2, error = ?3
    WHERE execution_id = ?1 AND +state IN ('pending', 'running') AND id NOT IN (SELECT id FROM waits)"
);
macro_rules! completable {
    () => {
        " WHERE id = ?1 AND state = ?2 AND state IN ('pending', 'running')
        AND EXISTS (SELECT 1 FROM tasks AS t WHERE t.id = ?3 AND t.execution_id = ?1 AND t.kind = 'orchestrator'
            AND t.state = 'completed' AND t.result IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM tasks AS o WHERE o.execution_id = ?1 AND o.kind = 'orchestrator'
            AND +o.state IN ('pending', 'running'))"
    };
}
const COMPLETE: &str = concat!(
    "UPDATE executions SET state = 'completed', error = NULL, completed_at = ?4, result = (
        SELECT t.result FROM tasks AS t WHERE t.id = ?3)",
    completable!(),
    " RETURNING root_function"
);
const COMPLETABLE: &str = concat!("SELECT 1 FROM executions", completable!());
const RECORD: &str = "INSERT INTO execution_progress (execution_id, step, status, detail) VALUES (?1, ?2, ?3, ?4)";
const SIGNED: &str = "SELECT 1 FROM execution_progress WHERE execution_id = ?1 AND instr(detail, ?2) > 0";
const STATE: &str = "SELECT state FROM executions WHERE id = ?1";
const WRITTEN: &str =
    "SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(?1)) AND (state <> 'failed' OR error IS NOT ?2)";
/// As in `postgres/acts.rs`.
macro_rules! answered {
    ($waiter:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM tasks AS t WHERE t.id = ",
            $waiter,
            " AND t.kind = 'signal' AND +t.state IN ('completed', 'failed'))"
        )
    };
}
const SEND: &str = concat!(
    "INSERT INTO signals (execution_id, name, payload, created_at, consumed, consumed_at)
    SELECT id, ?2, ?3, ?4, 0, NULL FROM executions WHERE id = ?1 AND state IN ('pending', 'running') AND NOT ",
    answered!("?6"),
    " ON CONFLICT (execution_id, name) DO UPDATE SET payload = excluded.payload, created_at = excluded.created_at, consumed = 0,
        consumed_at = NULL WHERE consumed OR ?5"
);
const SENDABLE: &str = concat!(
    "SELECT 1 FROM executions AS e WHERE e.id = ?1 AND e.state IN ('pending', 'running')
    AND NOT EXISTS (SELECT 1 FROM signals AS s WHERE s.execution_id = ?1 AND s.name = ?2 AND NOT (s.consumed OR ?3)) AND NOT ",
    answered!("?4")
);
const WAITING: &str =
    "SELECT 1 FROM tasks WHERE execution_id = ?1 AND kind = 'signal' AND step_name = ?2 AND +state = 'pending'";
const WAKE: &str = "UPDATE tasks SET state = 'completed', result = ?3, completed_at = ?4
    WHERE execution_id = ?1 AND kind = 'signal' AND step_name = ?2 AND +state = 'pending' RETURNING id";
const UNREAD: &str = "SELECT 1 FROM signals WHERE execution_id = ?1 AND name = ?2 AND NOT consumed AND payload = ?3";

macro_rules! has_letters {
    () => {
        "(EXISTS (SELECT 1 FROM tasks AS t JOIN dead_tasks AS d ON d.id = t.id WHERE t.execution_id = e.id)
            OR e.id IN (SELECT d.data ->> '$.execution_id' FROM dead_tasks AS d
                WHERE json_valid(d.data) AND NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.id = d.id)))"
    };
}

macro_rules! has_live {
    () => {
        "EXISTS (SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND +t.state IN ('pending', 'running')
            AND t.kind <> 'signal')"
    };
}

const OLD: &str = concat!(
    "SELECT e.id, e.completed_at, ",
    has_letters!(),
    ", ",
    has_live!(),
    " FROM executions AS e WHERE e.completed_at < ?1 AND e.state IN (SELECT value FROM json_each(?2))
    ORDER BY e.completed_at, e.id LIMIT coalesce(?3, -1)"
);

const ENDED: &str = concat!(
    "SELECT e.completed_at FROM executions AS e WHERE e.id = ?1 AND e.state IN ('completed', 'failed', 'timed_out', 'cancelled')
        AND NOT ",
    has_letters!(),
    " AND NOT ",
    has_live!()
);

macro_rules! gone {
    ($table:literal, $key:literal) => {
        (
            $table,
            concat!("DELETE FROM ", $table, " WHERE ", $key, " = ?1"),
            concat!("SELECT 1 FROM ", $table, " WHERE ", $key, " = ?1 LIMIT 1"),
        )
    };
}
/// A table, what removes an execution from it, and what shows that something of it is left.
const CLEAN: [(&str, &str, &str); 6] = [
    gone!("tasks", "execution_id"),
    gone!("execution_progress", "execution_id"),
    gone!("signals", "execution_id"),
    gone!("execution_counters", "execution_id"),
    gone!("execution_state", "execution_id"),
    gone!("executions", "id"),
];

fn woken(db: &Connection, id: &str, name: &str, payload: &[u8], now: &str) -> Result<Option<String>> {
    let bound = params![id, signal_step(name), payload, now];
    let woken = db.query_row(WAKE, bound, |row| row.get(0)).optional().map_err(error_from)?;
    if woken.is_none() {
        written(0, there(db, WAITING, params![id, signal_step(name)])?, "tasks")?;
    }
    Ok(woken)
}

/// The tables whose rows are put back.
fn tables() -> Vec<restore::Target<'static>> {
    KEPT.iter().map(|kept| restore::Target { name: kept.name, sql: Sql::new(kept.name), key: kept.key }).collect()
}

/// An execution, for an undo, and its tasks where they are wanted.
fn execution(db: &Connection, id: &str, tasks: bool) -> Result<Seen> {
    let mut seen = Seen::new();
    look(db, "executions", "SELECT * FROM executions WHERE id = ?1", &[&id], &mut seen)?;
    if tasks {
        look(db, "tasks", "SELECT * FROM tasks WHERE execution_id = ?1", &[&id], &mut seen)?;
    }
    Ok(seen)
}

/// A signal, for an undo.
fn signal_row(db: &Connection, id: &str, name: &str) -> Result<Seen> {
    let mut seen = Seen::new();
    look(db, "signals", "SELECT * FROM signals WHERE execution_id = ?1 AND name = ?2", &[&id, &name], &mut seen)?;
    Ok(seen)
}

/// Keeps the record of an act beside its execution, where such records are kept.
fn record(db: &Connection, bound: &[&dyn ToSql]) -> Result<()> {
    if shape_now(db)?.has_progress() {
        db.execute(RECORD, bound).map_err(error_from)?;
    }
    Ok(())
}

/// Whether a row is there, as a count.
fn there(db: &Connection, sql: &str, bound: &[&dyn ToSql]) -> Result<usize> {
    Ok(usize::from(one(db, sql, bound, |_| ())?.is_some()))
}

#[async_trait]
impl ActStore for SqliteActs {
    async fn cancel(
        &self,
        cancel: &Cancel<'_>,
        _permit: &WritePermit,
    ) -> Result<Option<(Vec<Stopped>, Vec<RowChange>)>> {
        let (id, seen, note) = (cancel.id.to_owned(), cancel.seen.to_owned(), cancel.note.to_owned());
        let (error, ahead) = (cancel.error.map(<[u8]>::to_vec), cancel.ahead);
        self.writing(move |db| {
            let now = wall(db, ahead)?.isoformat();
            let before = execution(db, &id, true)?;
            let ended = db.query_row(END, params![id, seen, now, error], |row| row.get::<_, Option<String>>(0));
            let Some(function) = ended.optional().map_err(error_from)? else { return Ok((None, None)) };
            let stopped = |cells: rows::Cells<'_>| {
                let (id, state) = (cells.text(0).unwrap_or_default(), cells.text(1));
                let (worker, left) = (cells.text(2), cells.text(3));
                Stopped { id, running: left.is_none() && state.as_deref() == Some("running"), worker, left }
            };
            let stopped = all(db, OPEN, [&id], stopped)?;
            let open = stopped.iter().filter(|task| task.left.is_none()).count();
            written(db.execute(STOP, params![id, now, error]).map_err(error_from)?, open, "tasks")?;
            record(db, params![id, function, "failed", format!("execution cancelled {note}")])?;
            let changes = changes(&KEPT, before, execution(db, &id, true)?);
            Ok((Some((stopped, changes.clone())), Some(Changes::from([(0, changes)]))))
        })
        .await
    }

    async fn complete(&self, complete: &Complete<'_>, _permit: &WritePermit) -> Result<Option<Vec<RowChange>>> {
        let (id, seen, task) = (complete.id.to_owned(), complete.seen.to_owned(), complete.task.to_owned());
        let (ahead, note) = (complete.ahead, complete.note.to_owned());
        self.writing(move |db| {
            let now = wall(db, ahead)?.isoformat();
            let before = execution(db, &id, false)?;
            let ended = db.query_row(COMPLETE, params![id, seen, task, now], |row| row.get::<_, Option<String>>(0));
            let Some(function) = ended.optional().map_err(error_from)? else {
                written(0, there(db, COMPLETABLE, params![id, seen, task])?, "executions")?;
                return Ok((None, None));
            };
            record(
                db,
                params![
                    id,
                    function,
                    "completed",
                    format!("execution completed with the result of task {task} {note}")
                ],
            )?;
            let changes = changes(&KEPT, before, execution(db, &id, false)?);
            Ok((Some(changes.clone()), Some(Changes::from([(0, changes)]))))
        })
        .await
    }

    async fn watch(&self, id: &str, tasks: &[String], error: Option<&[u8]>) -> Result<Watched> {
        let (id, tasks, error) = (id.to_owned(), list(tasks), error.map(<[u8]>::to_vec));
        self.db
            .run(move |db| {
                let state = one(db, STATE, [&id], |cells| cells.text(0))?.flatten();
                Ok(Watched { state, written: texts(db, WRITTEN, params![tasks, error])? })
            })
            .await
    }

    async fn send(&self, signal: &Signal<'_>, _permit: &WritePermit) -> Result<Option<Sent>> {
        let (id, name, note) = (signal.id.to_owned(), signal.name.to_owned(), signal.note.to_owned());
        let (payload, replace, ahead) = (signal.payload.to_vec(), signal.replace, signal.ahead);
        let waiter = signal.waiter.map(str::to_owned);
        self.writing(move |db| {
            let now = wall(db, ahead)?.isoformat();
            let before = signal_row(db, &id, &name)?;
            if db.execute(SEND, params![id, name, payload, now, replace, waiter]).map_err(error_from)? == 0 {
                written(0, there(db, SENDABLE, params![id, name, replace, waiter])?, "signals")?;
                return Ok((None, None));
            }
            let woken = woken(db, &id, &name, &payload, &now)?;
            record(db, params![id, signal_step(&name), "dispatched", format!("signal sent {note}")])?;
            let changes = changes(&KEPT, before, signal_row(db, &id, &name)?);
            let kept = Changes::from([(0, changes.clone())]);
            Ok((Some(Sent { unread: woken.is_none(), woken, changes }), Some(kept)))
        })
        .await
    }

    async fn wake(&self, signal: &Signal<'_>, _permit: &WritePermit) -> Result<Sent> {
        let (id, name, payload, ahead) =
            (signal.id.to_owned(), signal.name.to_owned(), signal.payload.to_vec(), signal.ahead);
        self.writing(move |db| {
            if there(db, UNREAD, params![id, name, payload])? == 0 {
                return Ok((Sent { woken: None, unread: false, changes: Vec::new() }, None));
            }
            let woken = woken(db, &id, &name, &payload, &wall(db, ahead)?.isoformat())?;
            let changed = woken.is_some().then(Changes::new);
            Ok((Sent { woken, unread: true, changes: Vec::new() }, changed))
        })
        .await
    }

    async fn signed(&self, id: &str, mark: &str) -> Result<Option<bool>> {
        let (id, mark, tables) = (id.to_owned(), mark.to_owned(), self.db.tables());
        let signed = move |db: &mut Connection| {
            let shape = shape(&tables, db)?;
            shape.has_progress().then(|| Ok(there(db, SIGNED, params![id, mark])? > 0)).transpose()
        };
        self.db.run(signed).await
    }

    async fn old(&self, before: Wall, states: &[String], limit: Option<i64>) -> Result<Vec<Old>> {
        let (before, states) = (before.isoformat(), list(states));
        self.db
            .run(move |db| {
                let old = |cells: rows::Cells<'_>| {
                    let (id, completed_at) = (cells.text(0)?, cells.wall(1)?);
                    let (letters, live) = (cells.flag(2).unwrap_or(true), cells.flag(3).unwrap_or(true));
                    Some(Old { id, completed_at, letters, live })
                };
                Ok(all(db, OLD, params![before, states, limit], old)?.into_iter().flatten().collect())
            })
            .await
    }

    async fn clean(&self, executions: &[DeadLetterRef], _permit: &WritePermit) -> Result<Places> {
        let executions = executions.to_vec();
        self.writing(move |db| {
            let shape = shape_now(db)?;
            let mut places = Places::default();
            for (place, execution) in executions.iter().enumerate() {
                if one(db, ENDED, [&execution.id], |cells| cells.wall(0))? != Some(execution.moved_at) {
                    continue;
                }
                let mut before = Seen::new();
                for (table, _, _) in CLEAN {
                    let key = if table == "executions" { "id" } else { "execution_id" };
                    if shape.has(table, key) {
                        let sql = Sql::new("SELECT * FROM ").then(table).then(" WHERE ").then(key).then(" = ?1");
                        look(db, table, sql.as_str(), &[&execution.id], &mut before)?;
                    }
                }
                let whole = part(db, || {
                    for (table, delete, rest) in CLEAN {
                        let key = if table == "executions" { "id" } else { "execution_id" };
                        if shape.has(table, key) {
                            let gone = db.prepare_cached(delete).and_then(|mut one| one.execute([&execution.id]));
                            gone.map_err(error_from)?;
                            written(0, there(db, rest, params![execution.id])?, table)?;
                        }
                    }
                    Ok(())
                });
                if whole?.is_some() {
                    places.done.push(place);
                    places.changes.insert(place, changes(&KEPT, before, Seen::new()));
                } else {
                    places.kept.push(place);
                }
            }
            let changed = places.changes.clone();
            Ok((places, Some(changed)))
        })
        .await
    }

    async fn standings(&self, targets: &[&[RowChange]]) -> Result<Vec<Standing>> {
        let targets: Vec<Vec<RowChange>> = targets.iter().map(|changes| changes.to_vec()).collect();
        self.db
            .run(move |db| {
                let snapshot = db.transaction().map_err(error_from)?;
                targets.iter().map(|changes| restore::standing(&snapshot, &tables(), changes)).collect()
            })
            .await
    }

    async fn take_back(&self, targets: &[TakenBack<'_>], _permit: &WritePermit) -> Result<Vec<bool>> {
        struct Back {
            changes: Vec<RowChange>,
            execution: Option<String>,
            letter: Option<String>,
            step: Option<String>,
            status: &'static str,
            detail: String,
        }
        let back = |target: &TakenBack<'_>| Back {
            changes: target.changes.to_vec(),
            execution: target.execution.clone(),
            letter: target.letter.map(str::to_owned),
            step: target.step.clone(),
            status: target.status,
            detail: target.detail.clone(),
        };
        let targets: Vec<Back> = targets.iter().map(back).collect();
        self.writing(move |db| {
            let mut done = Vec::with_capacity(targets.len());
            let mut changed = Changes::new();
            for (at, back) in targets.into_iter().enumerate() {
                if restore::standing(db, &tables(), &back.changes)? != Standing::AsLeft {
                    done.push(false);
                    continue;
                }
                let reversed = back.changes.iter().map(RowChange::reversed).collect();
                let whole = part(db, || {
                    restore::put_back(db, &tables(), &back.changes)?;
                    let owner =
                        one(db, OWNER, [&back.letter], |cells| (cells.text(0), cells.text(1)))?.unwrap_or_default();
                    match back.execution.or(owner.0) {
                        Some(execution) => {
                            record(db, params![execution, back.step.or(owner.1), back.status, back.detail])
                        }
                        None => Ok(()),
                    }
                });
                let whole = whole?.is_some();
                done.push(whole);
                changed.extend(whole.then_some((at, reversed)));
            }
            Ok((done, Some(changed).filter(|changed| !changed.is_empty())))
        })
        .await
    }
}
