//! Sagas in PostgreSQL, whatever their tables, schemas and enum types are called. SQL and row mapping, nothing else.
//!
//! Every name comes from the catalogue and is quoted; values travel as text and are cast to the column's own
//! type. Enum columns are compared in their own type where an index may help, and read as text.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

mod act;
mod census;
mod list;
mod look;
mod messages;
mod sql;

use super::port::{
    Census, Change, Event, Holder, Look, MessageQuery, Messages, Requeued, SagaQuery, SagaSelector, SagaStore, Sagas,
    SeenMessage,
};
use super::record::{Mailbox, uuid_range};
use super::shape::{Field, Model, Models, Table};
use sen_model::diagnostics::UNPRIVILEGED;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;
use sql::{Param, cast, table};

/// Sagas in one PostgreSQL database.
pub struct PostgresSagas {
    link: Arc<SharedConnection>,
    /// What is there, and the names of tables that belong to it and that this role may not read.
    models: OnceCell<(Arc<Models>, Vec<String>)>,
}

impl PostgresSagas {
    /// Over a shared connection.
    pub fn new(link: Arc<SharedConnection>) -> Self {
        Self { link, models: OnceCell::new() }
    }
}

/// Tables that have one of the columns unique to this library, and whether this role may read them.
static CATALOGUE: Sql = Sql::new(
    "SELECT c.oid::int8, n.nspname::text, c.relname::text,
        (SELECT jsonb_agg(jsonb_build_array(a.attname, tn.nspname, t.typname,
                (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid))
                ORDER BY a.attnum)
            FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_namespace AS tn ON tn.oid = t.typnamespace
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        (SELECT k.confrelid::int8 FROM pg_constraint AS k
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
            WHERE k.conrelid = c.oid AND k.contype = 'f' AND cardinality(k.conkey) = 1 AND a.attname = 'saga_id' LIMIT 1),
        greatest(c.reltuples, 0)::int8,
        (SELECT format('%I.%I', sn.nspname, sc.relname) FROM pg_depend AS d JOIN pg_class AS sc ON sc.oid = d.objid
            JOIN pg_namespace AS sn ON sn.oid = sc.relnamespace
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
                AND d.deptype IN ('a', 'i') AND sc.relkind = 'S' LIMIT 1),
        c.relrowsecurity AND row_security_active(c.oid),
        has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname NOT LIKE 'pg\\_temp%'
        AND c.oid IN (SELECT a.attrelid FROM pg_attribute AS a WHERE NOT a.attisdropped
            AND a.attname IN ('step_execution_token', 'step_name', 'next_attempt_at'))",
);

#[async_trait]
impl SagaStore for PostgresSagas {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn models(&self) -> Result<Arc<Models>> {
        let found = self.models.get_or_try_init(|| async {
            let rows = self.link.ask(Query::new(&CATALOGUE, [])).await?;
            let hidden = rows.iter().filter(|row| Cells::new(row).flag(7) == Some(true));
            let hidden: Vec<String> = hidden.filter_map(|row| Cells::new(row).text(2)).collect();
            self.link.hidden().note(hidden.iter().map(String::as_str));
            let (readable, others): (Vec<&Row>, Vec<&Row>) =
                rows.iter().partition(|row| Cells::new(row).flag(8) == Some(true));
            let others = others.into_iter().map(found_table).filter(Models::knows);
            let unread = others.map(|table| table.full()).collect();
            Ok::<_, Error>((Arc::new(Models::of(readable.into_iter().map(found_table).collect())), unread))
        });
        let (models, unread) = found.await?;
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

    async fn begins(&self, models: &Models, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let Some((low, high)) = uuid_range(prefix) else { return Ok(Vec::new()) };
        let limit = i64::from(limit);
        let mut found = Vec::new();
        for model in &models.models {
            let sql =
                table(Sql::new("SELECT s.id::text FROM "), &model.state)?.then(" AS s WHERE s.id BETWEEN $1::text");
            let sql = cast(cast(sql, &model.state, "id")?.then(" AND $2::text"), &model.state, "id")?;
            let sql = sql.then(" ORDER BY s.id LIMIT $3");
            let params: [Param<'_>; 3] = [(&low, Type::TEXT), (&high, Type::TEXT), (&limit, Type::INT8)];
            let rows = self.link.ask(Query::new(&sql, params)).await?;
            found.extend(rows.iter().filter_map(|row| Cells::new(row).text(0)));
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn keeps_privileges(&self) -> bool {
        true
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

    async fn change(&self, model: &Model, change: &Change, permit: &WritePermit) -> Result<bool> {
        act::change(&self.link, model, change, permit).await
    }

    async fn ingest(&self, inbox: &Table, event: &Event, permit: &WritePermit) -> Result<bool> {
        act::ingest(&self.link, inbox, event, permit).await
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

fn found_table(row: &Row) -> Table {
    let mut cells = Cells::new(row);
    let (number, references, rows) = (cells.int(0).unwrap_or_default(), cells.int(4), cells.int(5));
    let json = cells.json(3).and_then(|json| serde_json::from_str(&json).ok()).unwrap_or(serde_json::Value::Null);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let fields = json.as_array().into_iter().flatten().map(|field| Field {
        name: text(&field[0]),
        type_schema: text(&field[1]),
        type_name: text(&field[2]),
        labels: field[3].as_array().into_iter().flatten().map(text).collect(),
    });
    Table {
        number,
        schema: cells.text(1),
        name: cells.text(2).unwrap_or_default(),
        fields: fields.collect(),
        references,
        sequence: cells.text(6),
        rows,
    }
}
