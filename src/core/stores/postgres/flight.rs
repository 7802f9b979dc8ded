//! Writing: one statement that is its own transaction, answered in one round trip. It bounds its own wait for locks.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Postgres;
use crate::error::{Error, Result};
use crate::sql::Sql;

/// How often a transaction that the server rolled back for its own reasons is tried again.
const TRIES: u32 = 4;

impl Postgres {
    /// Runs `sql` as a transaction of its own and returns its rows once the commit is confirmed. Serialisation failures
    /// and deadlocks are tried again.
    ///
    /// # Errors
    /// `Disconnected`: whether it was committed is unknown. Any other: it was not.
    pub async fn write_one(&self, sql: &Sql, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = match self.client().query_typed(sql.as_str(), params).await {
                Ok(rows) => Ok(rows),
                Err(error) => Err(self.explain(error).await),
            };
            match answer {
                Err(error) if tries < TRIES && is_transient(&error) => {
                    let jitter = uuid::Uuid::new_v4().as_bytes()[0];
                    tokio::time::sleep(Duration::from_millis(u64::from(jitter) / 8 * u64::from(tries))).await;
                }
                answer => return answer,
            }
        }
    }
}

fn is_transient(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("40001" | "40P01"))
}
