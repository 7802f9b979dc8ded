//! Sagas in PostgreSQL, whatever their tables, schemas and enum types are called. SQL and row mapping, nothing else.
//!
//! Every name comes from the catalogue and is quoted; values travel as text and are cast to the column's own
//! type. Enum columns are compared in their own type where an index may help, and read as text.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

mod act;
mod census;
mod list;
mod look;
mod messages;
mod sql;
mod undo;

use super::found::Found;
use super::message::Mailbox;
use super::port::{
    Census, Change, Event, Holder, Look, MessageQuery, Messages, Requeued, SagaQuery, SagaSelector, SagaStore, Sagas,
    SeenMessage, TakenBack,
};
use super::record::uuid_range;
use super::shape::{Model, Models, Table};
use sen_model::diagnostics::UNPRIVILEGED;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::undo::Standing;
use sen_stores::catalogue::Catalogue;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;
use sql::{Param, cast, table};

/// Sagas in one PostgreSQL database.
pub struct PostgresSagas {
    link: Arc<SharedConnection>,
    /// What the catalogue told when it was last looked at.
    found: Mutex<Option<(Arc<Catalogue>, Arc<Found>)>>,
}

impl PostgresSagas {
    /// Over a shared connection.
    pub fn new(link: Arc<SharedConnection>) -> Self {
        Self { link, found: Mutex::default() }
    }

    /// What a catalogue tells: worked out once for each.
    fn found(&self, catalogue: Arc<Catalogue>) -> Arc<Found> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match &*found {
            Some((of, known)) if Arc::ptr_eq(of, &catalogue) => Arc::clone(known),
            _ => {
                let told = Arc::new(Found::of(&catalogue));
                *found = Some((catalogue, Arc::clone(&told)));
                told
            }
        }
    }
}

/// $1 tables, by number. What numbers their rows: whoever inserts one draws from it.
static SEQUENCES: Sql = Sql::new(
    "SELECT d.refobjid::int8, format('%I.%I', n.nspname, s.relname) FROM pg_depend AS d
        JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace AS n ON n.oid = s.relnamespace
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjid::int8 = ANY ($1) AND d.deptype IN ('a', 'i')",
);

#[async_trait]
impl SagaStore for PostgresSagas {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn models(&self) -> Result<Arc<Models>> {
        let found = self.found(self.link.catalogue().await?);
        self.link.hidden().note(found.hidden.iter().map(String::as_str));
        let Found { models, unread, .. } = &*found;
        if unread.is_empty() {
            return Ok(Arc::clone(models));
        }
        let denied = Error::new(ErrorKind::Denied, format!("permission denied for table {}", unread.join(", ")))
            .with_hint(UNPRIVILEGED);
        if models.is_empty() {
            return Err(denied);
        }
        self.link.hidden().deny(denied.with_context("not all sagas are shown"));
        Ok(Arc::clone(models))
    }

    async fn look(&self, models: &Models, what: &SagaSelector<'_>) -> Result<Look> {
        look::look(&self.link, models, what).await
    }

    async fn list(&self, model: &Model, query: &SagaQuery) -> Result<Sagas> {
        list::list(&self.link, model, query).await
    }

    async fn messages(&self, models: &Models, kind: Mailbox, table: &Table, query: &MessageQuery) -> Result<Messages> {
        messages::list(&self.link, models, kind, table, query).await
    }

    async fn begins(&self, tables: &[Table], prefix: &str, limit: u32) -> Result<Vec<String>> {
        let Some((low, high)) = uuid_range(prefix) else { return Ok(Vec::new()) };
        let limit = i64::from(limit);
        let mut found = Vec::new();
        for one in tables {
            let sql = table(Sql::new("SELECT s.id::text FROM "), one)?.then(" AS s WHERE s.id BETWEEN $1::text");
            let sql = cast(cast(sql, one, "id")?.then(" AND $2::text"), one, "id")?;
            let sql = sql.then(" ORDER BY s.id LIMIT $3");
            let params: [Param<'_>; 3] = [(&low, Type::TEXT), (&high, Type::TEXT), (&limit, Type::INT8)];
            let rows = self.link.ask(Query::new(&sql, params)).await?;
            found.extend(rows.iter().filter_map(|row| Cells::new(row).text(0)));
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn sequences(&self, models: &Models) -> Result<Option<Vec<(i64, String)>>> {
        let numbers: Vec<i64> =
            models.models.iter().filter_map(|model| model.history.as_ref()).map(|table| table.number).collect();
        if numbers.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let rows = self.link.ask(Query::new(&SEQUENCES, [(&numbers as _, Type::INT8_ARRAY)])).await?;
        let named = |row: &Row| {
            let mut cells = Cells::new(row);
            cells.int(0).zip(cells.text(1))
        };
        Ok(Some(rows.iter().filter_map(named).collect()))
    }

    async fn holders(&self, model: &Model, id: &str) -> Result<Vec<Holder>> {
        let sql = table(
            Sql::new(
                "SELECT l.pid::int8, coalesce(a.application_name, ''),
                    (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::int8
                FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
                WHERE l.granted AND l.locktype = 'transactionid' AND l.pid <> pg_backend_pid()
                    AND l.transactionid = (SELECT s.xmax FROM ",
            ),
            &model.state,
        )?;
        let sql = cast(sql.then(" AS s WHERE s.id = $1::text"), &model.state, "id")?;
        let sql = sql.then(") ORDER BY a.xact_start, l.pid LIMIT 5");
        let params: [Param<'_>; 1] = [(&id, Type::TEXT)];
        let rows = self.link.ask(Query::new(&sql, params)).await?;
        let holder = |row: &Row| {
            let mut cells = Cells::new(row);
            Holder {
                pid: cells.int(0).unwrap_or_default(),
                application: cells.text(1).unwrap_or_default(),
                open: cells.int(2),
            }
        };
        Ok(rows.iter().map(holder).collect())
    }

    async fn census(&self, models: &Models) -> Result<Census> {
        census::census(&self.link, models).await
    }

    async fn output_of(&self, model: &Model, saga: Option<&str>, step: &str) -> Result<Option<String>> {
        let sql = act::output_of(model)?;
        let params: [Param<'_>; 2] = [(&step, Type::TEXT), (&saga, Type::TEXT)];
        let rows = self.link.ask(Query::new(&sql, params)).await?;
        Ok(rows.first().and_then(|row| Cells::new(row).text(0)))
    }

    async fn change(&self, model: &Model, change: &Change, permit: &WritePermit) -> Result<Option<Vec<RowChange>>> {
        act::change(&self.link, model, change, permit).await
    }

    async fn ingest(&self, inbox: &Table, event: &Event, permit: &WritePermit) -> Result<Option<Vec<RowChange>>> {
        act::ingest(&self.link, inbox, event, permit).await
    }

    async fn standings(&self, models: &Models, rows: &[&[RowChange]]) -> Result<Vec<Standing>> {
        undo::standings(&self.link, models, rows).await
    }

    async fn take_back(
        &self,
        models: &Models,
        back: &TakenBack<'_>,
        permit: &WritePermit,
    ) -> Result<Option<Vec<RowChange>>> {
        undo::take_back(&self.link, models, back, permit).await
    }

    async fn requeue(
        &self,
        models: &Models,
        kind: Mailbox,
        table: &Table,
        seen: &[SeenMessage],
        permit: &WritePermit,
    ) -> Result<Requeued> {
        messages::requeue(&self.link, models, kind, table, seen, permit).await
    }
}
