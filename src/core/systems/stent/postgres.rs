//! Stent's tables in PostgreSQL. SQL and row mapping, nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::port::ExecutionStore;
use super::shape::{ColumnFact, Shape, TABLES};
use crate::error::Result;
use crate::sql::Sql;
use crate::stores::postgres::decode::Cells;
use crate::stores::postgres::link::Link;
use crate::stores::postgres::read::Ask;

/// Stent in one PostgreSQL database.
pub struct PostgresExecutions {
    link: Arc<Link>,
}

impl PostgresExecutions {
    /// Over a shared connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link }
    }
}

static SHAPE: Sql = Sql::new(
    "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)::text, n.nspname::text
    FROM unnest($1::text[]) AS wanted (name)
        JOIN pg_class AS c ON c.oid = to_regclass(wanted.name)
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped",
);

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
}
