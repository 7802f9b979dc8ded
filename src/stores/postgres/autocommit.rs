//! Writing: one statement that is its own transaction, answered in one round trip. It bounds its own wait for locks.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Statement};

use super::Postgres;
use crate::sql::Sql;
use sen_model::error::{Error, Result};

/// How often a transaction that the server rolled back for its own reasons is tried again.
const TRIES: u32 = 4;

/// From which use on a statement is prepared: preparing costs a round trip, which one use more does not bring back.
const OFTEN: u32 = 4;

type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A statement that is prepared once it is used again and again on a connection that leads to one server process
/// (`direct.rs`): half the time of a short statement is its planning. Elsewhere it is sent anew each time.
pub struct CachedStatement {
    sql: &'static Sql,
    uses: AtomicU32,
    prepared: OnceCell<Option<Statement>>,
    refused: AtomicBool,
}

impl CachedStatement {
    /// For one connection.
    pub fn new(sql: &'static Sql) -> Self {
        Self { sql, uses: AtomicU32::new(0), prepared: OnceCell::new(), refused: AtomicBool::new(false) }
    }

    /// The prepared statement, where there is to be one.
    async fn prepared(&self, db: &Postgres, params: Params<'_>) -> Option<&Statement> {
        if self.uses.fetch_add(1, Ordering::Relaxed) < OFTEN || self.refused.load(Ordering::Relaxed) {
            return None;
        }
        let prepare = async {
            if !db.is_direct().await {
                return None;
            }
            let types: Vec<Type> = params.iter().map(|(_, kind)| kind.clone()).collect();
            db.client().prepare_typed(self.sql.for_postgres(), &types).await.ok()
        };
        self.prepared.get_or_init(|| prepare).await.as_ref()
    }
}

/// How a statement travels.
#[derive(Clone, Copy)]
enum Form<'a> {
    Plain(&'a Sql),
    Prepared(&'a Statement),
}

impl Postgres {
    /// Runs `sql` as a transaction of its own and returns its rows once the commit is confirmed. Serialisation failures
    /// and deadlocks are tried again.
    ///
    /// # Errors
    /// `Disconnected`: whether it was committed is unknown. Any other: it was not.
    pub async fn write_one(&self, sql: &Sql, params: Params<'_>) -> Result<Vec<Row>> {
        self.retried(Form::Plain(sql), params).await
    }

    /// The same for a statement that comes often on this connection.
    ///
    /// # Errors
    /// As [`Self::write_one`].
    pub async fn write_often(&self, often: &CachedStatement, params: Params<'_>) -> Result<Vec<Row>> {
        if let Some(statement) = often.prepared(self, params).await {
            match self.retried(Form::Prepared(statement), params).await {
                // The server has forgotten it or its plan no longer fits; so nothing was run.
                Err(error) if is_forgotten(&error) => often.refused.store(true, Ordering::Relaxed),
                answer => return answer,
            }
        }
        self.write_one(often.sql, params).await
    }

    async fn retried(&self, form: Form<'_>, params: Params<'_>) -> Result<Vec<Row>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = match form {
                Form::Plain(sql) => self.client().query_typed(sql.for_postgres(), params).await,
                Form::Prepared(statement) => {
                    let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
                    self.client().query(statement, &values).await
                }
            };
            let answer = match answer {
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

/// "invalid_sql_statement_name", and "cached plan must not change result type".
fn is_forgotten(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("26000" | "0A000"))
}
