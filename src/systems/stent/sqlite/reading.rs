//! What all reading of these tables in SQLite shares: the clock, the catalogue, a snapshot, the columns of a row.

use std::time::Duration;

use futures_util::stream;
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::mpsc;

use super::cells::Cells;
use crate::port::{Chunks, absent};
use crate::rows;
use crate::shape::Shape;
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;
use sen_stores::sqlite::{Sqlite, Tables, error_from};

/// The columns of an execution, with the given expressions for its payloads: see `rows::execution`.
macro_rules! execution_columns {
    ($error:literal, $args:literal, $kwargs:literal, $result:literal) => {
        concat!(
            "e.id, e.root_function, e.state, e.retries, e.created_at, e.started_at, e.completed_at, e.expiry_at, e.tags,
            e.priority, e.queue, ",
            $error, ", ", $args, ", ", $kwargs, ", ", $result
        )
    };
}

/// The columns of a task, likewise: see `rows::task`.
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

/// Whether the task of a letter can be made again, as in `postgres/columns.rs`.
macro_rules! readable {
    () => {
        "coalesce(CASE WHEN json_valid(d.data) AND substr(d.data, 1, 1) = '{' THEN
                (d.data ->> '$.execution_id') <> '' AND (d.data ->> '$.step_name') <> ''
                AND (d.data ->> '$.args') <> '' AND (d.data ->> '$.kwargs') <> ''
            WHEN substr(d.data, 1, 11) = 'TaskRecord(' THEN t.state = 'failed' AND t.execution_id <> '' AND t.step_name <> ''
                AND length(t.args) > 0 AND length(t.kwargs) > 0 END, 0)"
    };
}

pub(super) use {execution_columns, readable, task_columns};

const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000";

/// The clock: this machine's, which is the workers' as well.
pub(crate) fn now(db: &Connection) -> Result<Timestamp> {
    db.query_row(NOW, [], |row| row.get(0)).map(Timestamp::from_micros).map_err(error_from)
}

/// The tables as they are.
pub(super) fn shape(tables: &Tables, db: &Connection) -> Result<Shape> {
    Ok(Shape::of(&*tables.look(db)?))
}

/// The same within a transaction that writes: nobody changes them until its end.
pub(super) fn shape_now(db: &Connection) -> Result<Shape> {
    shape(&Tables::default(), db)
}

/// What the workers' clock shows now.
pub(super) fn wall(db: &Connection, ahead: i64) -> Result<Wall> {
    Ok(Wall::from_micros(now(db)?.as_micros().saturating_add(ahead)))
}

/// Texts as one parameter, for `json_each`.
pub(super) fn list(texts: &[String]) -> Option<String> {
    serde_json::to_string(texts).ok()
}

/// Every row of an answer.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    bound: impl rusqlite::Params,
    make: impl Fn(rows::Cells<'_>) -> T,
) -> Result<Vec<T>> {
    let mut statement = db.prepare(sql).map_err(error_from)?;
    let rows = statement.query_map(bound, |row| Ok(make(&mut Cells::new(row)))).map_err(error_from)?;
    rows.collect::<rusqlite::Result<_>>().map_err(error_from)
}

/// The first row of an answer.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    bound: impl rusqlite::Params,
    make: impl Fn(rows::Cells<'_>) -> T,
) -> Result<Option<T>> {
    let row = db
        .prepare_cached(sql)
        .and_then(|mut one| one.query_row(bound, |row| Ok(make(&mut Cells::new(row)))).optional());
    row.map_err(error_from)
}

/// The first column of every row.
pub(super) fn texts(db: &Connection, sql: &str, bound: impl rusqlite::Params) -> Result<Vec<String>> {
    Ok(all(db, sql, bound, |cells| cells.text(0))?.into_iter().flatten().collect())
}

/// Runs `work` in one snapshot of a file that holds these tables.
pub(super) async fn snapshot<T: Send + 'static>(
    db: &Sqlite,
    work: impl FnOnce(&Connection, Shape, Timestamp) -> Result<T> + Send + 'static,
) -> Result<T> {
    db.run(looking(db, work)).await
}

/// The same, given up after `limit`.
pub(super) async fn snapshot_within<T: Send + 'static>(
    db: &Sqlite,
    limit: Duration,
    work: impl FnOnce(&Connection, Shape, Timestamp) -> Result<T> + Send + 'static,
) -> Result<T> {
    db.run_within(limit, looking(db, work)).await
}

fn looking<T>(
    db: &Sqlite,
    work: impl FnOnce(&Connection, Shape, Timestamp) -> Result<T> + Send + 'static,
) -> impl FnOnce(&mut Connection) -> Result<T> + Send + 'static {
    let (description, tables) = (db.describe().to_owned(), db.tables());
    move |db| {
        let snapshot = db.transaction().map_err(error_from)?;
        let shape = shape(&tables, &snapshot)?;
        if !shape.present() {
            return Err(absent(&description));
        }
        let now = now(&snapshot)?;
        work(&snapshot, shape, now)
    }
}

/// Rows per chunk.
const CHUNK: usize = 256;

/// The rows of `work`, in chunks through a channel, so that memory stays flat. It stops when it gets `false`:
/// the receiver has ended.
pub(super) fn streamed<T: Send + 'static>(
    db: &Sqlite,
    work: impl FnOnce(&mut Connection, &mut dyn FnMut(T) -> bool) -> Result<()> + Send + 'static,
) -> Result<Chunks<T>> {
    let (sender, receiver) = mpsc::channel::<Result<Vec<T>>>(4);
    let complaints = sender.clone();
    let read = move |db: &mut Connection| {
        let (mut chunk, mut heard) = (Vec::with_capacity(CHUNK), true);
        work(db, &mut |row| {
            chunk.push(row);
            if chunk.len() == CHUNK {
                heard = sender.blocking_send(Ok(std::mem::take(&mut chunk))).is_ok();
            }
            heard
        })?;
        if heard {
            drop(sender.blocking_send(Ok(chunk)));
        }
        Ok(())
    };
    db.start(read, move |error| drop(complaints.blocking_send(Err(error))))?;
    let next = |mut receiver: mpsc::Receiver<_>| async { receiver.recv().await.map(|chunk| (chunk, receiver)) };
    Ok(Box::pin(stream::unfold(receiver, next)))
}
