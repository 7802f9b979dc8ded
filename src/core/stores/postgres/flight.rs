//! Writing: one statement in one short transaction of its own, sent in one write, answered in one round trip.
//!
//! The time limits are `SET LOCAL`, because a pooler in transaction mode keeps no sessions. They are the server's and not
//! only ours, so that a statement that was given up is known not to happen later.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Postgres;
use crate::error::{Error, Result};
use crate::sql::Sql;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s';
    SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// How often a transaction that the server rolled back for its own reasons is tried again.
const TRIES: u32 = 4;

impl Postgres {
    /// Runs `sql` in a transaction of its own and returns its rows once the commit is confirmed. Serialisation failures
    /// and deadlocks are tried again.
    ///
    /// # Errors
    /// `Disconnected`: whether it was committed is unknown. Any other: it was not.
    pub async fn write_one(&self, sql: &Sql, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.flight(sql, params).await {
                Err(error) if tries < TRIES && is_transient(&error) => {
                    let jitter = uuid::Uuid::new_v4().as_bytes()[0];
                    tokio::time::sleep(Duration::from_millis(u64::from(jitter) / 8 * u64::from(tries))).await;
                }
                answer => return answer,
            }
        }
    }

    async fn flight(&self, sql: &Sql, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        let client = self.client();
        // Each future queues its messages when it is first polled, in this order; they leave in one write.
        let (begun, rows, ended) = tokio::join!(
            biased;
            client.batch_execute(BEGIN),
            client.query_typed(sql.as_str(), params),
            client.batch_execute("COMMIT"),
        );
        let error = match (begun, rows, ended) {
            (Ok(()), Ok(rows), Ok(())) => return Ok(rows),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => error,
        };
        Err(self.explain(error).await)
    }
}

fn is_transient(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("40001" | "40P01"))
}
