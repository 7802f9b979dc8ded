//! Sagas in SQLite, in the shape SQLAlchemy gives the same models there. Here what belongs to one id, in `list.rs` many
//! rows and counts, in `act.rs` what is written, in `sql.rs` what these share, in `cells.rs` values as SQLite holds them.
//!
//! UUIDs are 32 hexadecimal digits without dashes, times are text in UTC whose order is theirs, JSON is text. The library
//! recommends SQLite for experiments only, and `sen demo` is made of it: lists are filtered here, not by indexes.

mod act;
mod cells;
mod list;
mod sql;
mod undo;

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::found::Found;
use super::message::{Mailbox, Message};
use super::port::{
    Census, Change, Event, Look, MessageQuery, Messages, Observed, Requeued, SagaQuery, SagaSelector, SagaStore, Sagas,
    SeenMessage, TakenBack,
};
use super::record::{Entry, Later, Saga, Status, uuid, uuid_range};
use super::shape::{Model, Models, Table};
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::time::Timestamp;
use sen_model::undo::Standing;
use sen_stores::sql::Sql;
use sen_stores::sqlite::{Sqlite, error_from};

use cells::{Cells, hex};
use sql::{entries, now, rows, select, table};

/// Sagas in one SQLite file.
pub struct SqliteSagas {
    db: Arc<Sqlite>,
}

impl SqliteSagas {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }
}

/// ?1 the id in hexadecimal, ?2 the same with dashes, ?3 as typed, ?4 whether only the id counts.
fn wanted(sql: Sql, model: &Model) -> Result<Sql> {
    Ok(table(sql.then(" FROM "), &model.state)?.then(
        " AS s WHERE s.id IN (?1, ?2) OR (NOT ?4 AND (s.aggregation_id = ?3 OR s.trace_id = ?3))
        ORDER BY s.updated_at DESC LIMIT 20",
    ))
}

/// A saga with its steps; the saga's id comes along as it is stored.
fn look_at(db: &Connection, model: &Model, what: &Asked, now: Timestamp) -> Result<Vec<(Observed, String)>> {
    let sql = wanted(select(model), model)?;
    let mut statement = db.prepare(sql.as_str()).map_err(error_from)?;
    let mut rows = statement.query(params![what.hex, what.dashed, what.id, what.exact]).map_err(error_from)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(error_from)? {
        let (mut saga, stored, kept) = cells::saga(row, &model.state.shown(), now);
        let mut steps = Vec::new();
        if model.keeps_history() {
            match kept.as_deref().and_then(Entry::list) {
                Some(all) => steps = all,
                None => saga.unreadable.push("column step_history is no list".into()),
            }
        } else if let Some(history) = &model.history {
            steps = entries(db, history, &stored)?;
        }
        saga.later = later(db, model, &saga)?;
        saga.compensated = model.writable().then(|| steps.iter().any(Entry::compensates));
        let recorded = i64::try_from(steps.len()).unwrap_or(i64::MAX);
        let cut = steps.len().saturating_sub(usize::try_from(what.steps).unwrap_or(usize::MAX));
        steps.drain(..cut);
        found.push((
            Observed { saga, model: model.state.number, steps, recorded, messages: Vec::new(), holders: Vec::new() },
            stored,
        ));
    }
    Ok(found)
}

/// The newest saga of the same aggregation that began after this one, of those that are over without success.
fn later(db: &Connection, model: &Model, saga: &Saga) -> Result<Option<Later>> {
    if !matches!(saga.status, Status::Failed | Status::TimedOut) {
        return Ok(None);
    }
    let sql = table(Sql::new("SELECT o.id, o.status FROM "), &model.state)?.then(" AS o JOIN ");
    let sql = table(sql, &model.state)?.then(
        " AS s ON s.id IN (?1, ?2) WHERE o.aggregation_id = s.aggregation_id AND o.created_at > s.created_at
            ORDER BY o.created_at DESC, o.id LIMIT 1",
    );
    let later = rows(db, &sql, params![hex(&saga.id), saga.id], |row| {
        let mut cells = Cells::new(row);
        cells.uuid(0).map(|id| Later { id, status: Status::parse(&cells.text(1).unwrap_or_default()) })
    });
    Ok(later?.pop().flatten())
}

/// The messages of one saga.
fn of_saga(
    db: &Connection,
    kind: Mailbox,
    box_: &Table,
    seen: &Observed,
    stored: &str,
    now: Timestamp,
) -> Result<Vec<Message>> {
    let sql = table(Sql::new(list::message_columns(kind)).then(", NULL FROM "), box_)?.then(
        " AS m WHERE m.saga_id = ?1 OR (m.saga_id IS NULL AND m.aggregation_id = ?2) ORDER BY m.created_at, m.id LIMIT 200",
    );
    let shown = box_.shown();
    rows(db, &sql, params![stored, seen.saga.aggregation], |row| cells::message(row, kind, &shown, now))
}

/// What is looked for, in the forms a statement takes it.
struct Asked {
    id: String,
    hex: Option<String>,
    dashed: Option<String>,
    exact: bool,
    steps: i64,
}

impl Asked {
    fn new(what: &SagaSelector<'_>) -> Self {
        let dashed = uuid(what.id);
        Self { id: what.id.to_owned(), hex: dashed.as_deref().map(hex), dashed, exact: what.exact, steps: what.steps }
    }
}

#[async_trait]
impl SagaStore for SqliteSagas {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn models(&self) -> Result<Arc<Models>> {
        let tables = self.db.tables();
        Ok(Found::of(&*self.db.run(move |db| tables.look(db)).await?).models)
    }

    async fn look(&self, models: &Models, what: &SagaSelector<'_>) -> Result<Look> {
        let (models, messages, asked) = (models.clone(), what.messages, Asked::new(what));
        self.db
            .run(move |db| {
                let snapshot = db.transaction().map_err(error_from)?;
                let (_, now) = now(&snapshot)?;
                let mut sagas = Vec::new();
                for model in &models.models {
                    for (mut seen, stored) in look_at(&snapshot, model, &asked, now)? {
                        if messages {
                            for (kind, box_) in models.mailboxes() {
                                seen.messages.extend(of_saga(&snapshot, kind, box_, &seen, &stored, now)?);
                            }
                        }
                        sagas.push(seen);
                    }
                }
                sagas.sort_by_key(|seen| std::cmp::Reverse(seen.saga.updated));
                Ok(Look { now, sagas })
            })
            .await
    }

    async fn list(&self, model: &Model, query: &SagaQuery) -> Result<Sagas> {
        list::list(&self.db, model, query).await
    }

    async fn messages(&self, models: &Models, kind: Mailbox, table: &Table, query: &MessageQuery) -> Result<Messages> {
        list::messages(&self.db, models, kind, table, query).await
    }

    async fn begins(&self, tables: &[Table], prefix: &str, limit: u32) -> Result<Vec<String>> {
        let Some((low, high)) = uuid_range(prefix) else { return Ok(Vec::new()) };
        // The column is of numeric affinity: a bound such as 00001e33…0 would be taken for a number. No number ends so.
        let bound = |id: &str| {
            let digits = hex(id);
            let end = if id == low { "!" } else { "~" };
            digits.trim_end_matches(if id == low { '0' } else { 'f' }).to_owned() + end
        };
        let (low, high) = (bound(&low), bound(&high));
        let tables = tables.to_vec();
        self.db
            .run(move |db| {
                let mut found = Vec::new();
                for state in &tables {
                    let sql = table(Sql::new("SELECT s.id FROM "), state)?
                        .then(" AS s WHERE s.id BETWEEN ?1 AND ?2 ORDER BY s.id LIMIT ?3");
                    let ids = rows(db, &sql, params![low, high, limit], |row| Cells::new(row).uuid(0))?;
                    found.extend(ids.into_iter().flatten());
                }
                found.truncate(limit as usize);
                Ok(found)
            })
            .await
    }

    async fn census(&self, models: &Models) -> Result<Census> {
        let models = models.clone();
        self.db
            .run(move |db| {
                let snapshot = db.transaction().map_err(error_from)?;
                list::census(&snapshot, &models)
            })
            .await
    }

    async fn output_of(&self, model: &Model, saga: Option<&str>, step: &str) -> Result<Option<String>> {
        let (model, saga, step) = (model.clone(), saga.map(str::to_owned), step.to_owned());
        self.db.run(move |db| list::output_of(db, &model, saga.as_deref(), &step)).await
    }

    async fn change(&self, model: &Model, change: &Change, _: &WritePermit) -> Result<Option<Vec<RowChange>>> {
        let (model, change) = (model.clone(), change.clone());
        self.db.run(move |db| act::change(db, &model, &change)).await
    }

    async fn ingest(&self, inbox: &Table, event: &Event, permit: &WritePermit) -> Result<Option<Vec<RowChange>>> {
        let (inbox, event) = (inbox.clone(), event.clone());
        let source = super::rules::source(permit.operator(), permit.reason());
        self.db.run(move |db| act::ingest(db, &inbox, &event, &source)).await
    }

    async fn standings(&self, models: &Models, rows: &[&[RowChange]]) -> Result<Vec<Standing>> {
        let models = models.clone();
        let rows: Vec<Vec<RowChange>> = rows.iter().map(|rows| rows.to_vec()).collect();
        self.db.run(move |db| undo::standings(db, &models, &rows)).await
    }

    async fn take_back(
        &self,
        models: &Models,
        back: &TakenBack<'_>,
        _: &WritePermit,
    ) -> Result<Option<Vec<RowChange>>> {
        let models = models.clone();
        let back = undo::Back {
            changes: back.changes.to_vec(),
            saga: back.saga.clone(),
            operation: back.operation,
            fresh: back.fresh.clone(),
            input: back.input.clone(),
        };
        self.db.run(move |db| undo::take_back(db, &models, &back)).await
    }

    async fn requeue(
        &self,
        models: &Models,
        kind: Mailbox,
        table: &Table,
        seen: &[SeenMessage],
        permit: &WritePermit,
    ) -> Result<Requeued> {
        let (models, table, seen) = (models.clone(), table.clone(), seen.to_vec());
        let note = super::rules::requeued(kind, permit.operation(), permit.operator(), permit.reason());
        self.db.run(move |db| act::requeue(db, &models, kind, &table, &seen, &note)).await
    }
}
