//! Stent's tables in SQLite. SQL and row mapping, nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use super::port::ExecutionStore;
use super::shape::{ColumnFact, Shape, TABLES};
use crate::error::Result;
use crate::stores::sqlite::{Sqlite, error_from};

/// Stent in one SQLite file.
pub struct SqliteExecutions {
    db: Arc<Sqlite>,
}

impl SqliteExecutions {
    /// Over a shared connection.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }
}

fn shape(db: &Connection) -> Result<Shape> {
    let mut shape = Shape { columns: Vec::new(), schema: Some("main".into()) };
    let mut statement = db.prepare("SELECT name, type FROM pragma_table_info(?1)").map_err(error_from)?;
    for table in TABLES {
        let rows = statement
            .query_map([table], |row| Ok(ColumnFact { table: table.into(), name: row.get(0)?, type_name: row.get(1)? }))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(error_from)?;
        shape.columns.extend(rows);
    }
    Ok(shape)
}

#[async_trait]
impl ExecutionStore for SqliteExecutions {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn shape(&self) -> Result<Shape> {
        self.db.run(|db| shape(db)).await
    }
}
