//! Writing: one guarded statement in one short transaction, and the truth about it when the connection is lost.
//!
//! Every transaction takes an advisory lock named by its operation and notes its own id. When the connection is lost while
//! committing, a new one waits for that lock (so for the end of the old transaction) and asks the server what became of
//! the id. Only if that cannot be had either is the outcome unknown.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Postgres;
use super::again::Again;
use super::deadline::Steps;
use super::read::Ask;
use crate::error::{Error, ErrorKind, Result};
use crate::ident::OperationId;

/// The limits keep a write from queueing behind somebody's lock and a vanished client from holding one. The lock is held
/// to the end of the transaction. `txid_*` rather than `pg_current_xact_id`: known to every server version served.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'";
const MARK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0)), txid_current()";
const ASK: &str = "SELECT txid_status($1)";

/// How often a new connection is tried before the outcome is called unknown.
const TRIES: u32 = 5;

/// How long COMMIT may take before the connection counts as lost: longer than the server lets a transaction idle whose
/// COMMIT never came, so that it has ended when it is asked about.
const ANSWER: Duration = Duration::from_secs(12);

/// How long the statements before COMMIT may take, as BEGIN sets it.
const STATEMENT: Duration = Duration::from_secs(30);

/// How long the answer to ROLLBACK is waited for: nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

/// SQLSTATEs of conflicts that vanish when the transaction is tried again.
const CONFLICTS: [&str; 2] = ["40001", "40P01"];

impl Postgres {
    /// Runs `change`, which returns a row for each thing it changed, and commits if it returned any. No row means that
    /// nothing matched and nothing was written. `again` is how to reconnect if the connection is lost; `limit` is how long the operator waits.
    ///
    /// # Errors
    /// `OutcomeUnknown` when the connection was lost while committing and the server cannot be asked; any other error
    /// means that nothing was written.
    pub async fn change_all(
        &self,
        change: &Ask<'_>,
        operation: OperationId,
        limit: Option<Duration>,
        again: &Again,
    ) -> Result<Vec<Row>> {
        let mut tried = 0;
        loop {
            match self.change_once(change, operation, limit, again).await {
                Err(error) if tried < 3 && error.sqlstate().is_some_and(|code| CONFLICTS.contains(&code)) => {
                    tried += 1;
                    // The operation's random id spreads contenders without another source of randomness.
                    let jitter = operation.to_string().bytes().fold(0_u64, |sum, byte| sum * 31 % 97 + u64::from(byte));
                    tokio::time::sleep(Duration::from_millis(20 * tried + jitter % 40)).await;
                }
                other => return other,
            }
        }
    }

    async fn change_once(
        &self,
        change: &Ask<'_>,
        operation: OperationId,
        limit: Option<Duration>,
        again: &Again,
    ) -> Result<Vec<Row>> {
        let client = self.client();
        let name = operation.to_string();
        let named: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
        let steps = Steps::new();
        let work = async {
            tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                steps.of(client.query_typed(MARK, &named)),
                client.query_typed(change.text(), change.params()),
            )
        };
        let limit = limit.map_or(STATEMENT, |limit| limit.min(STATEMENT));
        // COMMIT has not been sent: a connection that is given up here takes the transaction with it.
        let (begun, marked, changed) = self.answered(Some(limit), &steps, work.boxed()).await?;
        let (marked, changed) = match (begun, marked, changed) {
            (Ok(()), Ok(marked), Ok(changed)) => (marked, changed),
            (begun, marked, changed) => {
                let error = begun.err().or(marked.err()).or(changed.err());
                // A failed statement leaves an aborted transaction; nothing of it can be committed.
                let _ = tokio::time::timeout(FAREWELL, client.batch_execute("ROLLBACK")).await;
                return match error {
                    Some(error) => Err(self.explain(error).await),
                    None => Err(Error::new(ErrorKind::Internal, "a transaction failed without an error")),
                };
            }
        };
        if changed.is_empty() {
            let _ = tokio::time::timeout(FAREWELL, client.batch_execute("ROLLBACK")).await;
            return Ok(Vec::new());
        }
        let transaction: i64 = match marked.first().map(|row| row.try_get(1)) {
            Some(Ok(id)) => id,
            _ => return Err(Error::new(ErrorKind::Unreadable, "the server did not name the transaction")),
        };
        let committed = match tokio::time::timeout(ANSWER, client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.explain(error).await),
            Err(_) => {
                self.give_up();
                Err(Error::new(ErrorKind::Disconnected, "the server does not answer"))
            }
        };
        match committed {
            Ok(()) => Ok(changed),
            Err(error) => {
                if error.kind() != ErrorKind::Disconnected && error.sqlstate().is_some() {
                    return Err(error);
                }
                match again
                    .spend(async { Ok(ask_outcome(again, transaction, &name).await) }.boxed())
                    .await
                    .unwrap_or(None)
                {
                    Some(true) => Ok(changed),
                    Some(false) => Err(error.with_context("the change was rolled back and nothing of it was written")),
                    None => Err(Error::new(
                        ErrorKind::OutcomeUnknown,
                        format!(
                            "the connection was lost while committing operation {name}, and the server cannot be asked"
                        ),
                    )
                    .with_source(error)
                    .with_hint("inspect it when the database is back: the change is there as a whole or not at all")),
                }
            }
        }
    }
}

/// Whether the transaction was committed; `None` when that cannot be found out.
async fn ask_outcome(again: &Again, transaction: i64, operation: &str) -> Option<bool> {
    for attempt in 0..TRIES {
        tokio::time::sleep(Duration::from_millis(200) * attempt).await;
        let Ok(db) = Postgres::connect(again.info()).await else { continue };
        let client = db.client();
        let named: [(&(dyn ToSql + Sync), Type); 1] = [(&operation, Type::TEXT)];
        let id: [(&(dyn ToSql + Sync), Type); 1] = [(&transaction, Type::INT8)];
        // Waiting for the lock is waiting for the old transaction's end; its own idle limit bounds that.
        let (begun, locked, status, ended) = tokio::join!(
            biased;
            client.batch_execute("BEGIN READ ONLY; SET LOCAL lock_timeout = '15s'"),
            client.query_typed("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &named),
            client.query_typed(ASK, &id),
            client.batch_execute("COMMIT"),
        );
        let (Ok(()), Ok(_), Ok(rows), Ok(())) = (begun, locked, status, ended) else { continue };
        match rows.first().and_then(|row| row.try_get::<_, Option<String>>(0).ok().flatten()).as_deref() {
            Some("committed") => return Some(true),
            Some("aborted") => return Some(false),
            _ => {}
        }
    }
    None
}
