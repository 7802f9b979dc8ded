//! Writing: one guarded statement in one short transaction, and the truth about it when the connection is lost.
//!
//! Every transaction takes an advisory lock named by its operation and notes its own id. When the connection is lost while
//! committing, a new one waits for that lock (so for the end of the old transaction) and looks for what the change must have
//! left ([`outcome`](super::outcome)). Only if that cannot be told either is the outcome unknown.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_postgres::Row;

use super::Postgres;
use super::again::Again;
use super::deadline::Steps;
use super::limits::{BEGIN, STATEMENT};
use super::outcome::{DURABLE, Proof, Written};
use super::read::Ask;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;

/// How long the answer to ROLLBACK is waited for: nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

/// SQLSTATEs of conflicts that vanish when the transaction is tried again.
const CONFLICTS: [&str; 2] = ["40001", "40P01"];

/// Says how a change shows once it is committed, given what it wrote.
pub type ProofOf<'a> = &'a (dyn Fn(&Written<'_>) -> Proof + Send + Sync);

impl Postgres {
    /// Runs `change`, which returns a row for each thing it changed, and commits if it returned any. No row means that
    /// nothing matched and nothing was written. `limit` is how long the operator waits, `again` how to reconnect if the
    /// connection is lost, and `proof` what is then looked for: the rows of one change are committed together, so one sign
    /// stands for all of them.
    ///
    /// # Errors
    /// `OutcomeUnknown` when the connection was lost while committing and it cannot be told what became of it; any other
    /// error means that nothing was written.
    pub async fn change_all(
        &self,
        change: &Ask<'_>,
        proof: ProofOf<'_>,
        operation: OperationId,
        limit: Option<Duration>,
        again: &Again,
    ) -> Result<Vec<Row>> {
        let mut tried = 0;
        loop {
            match self.change_once(change, proof, operation, limit, again).await {
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
        proof: ProofOf<'_>,
        operation: OperationId,
        limit: Option<Duration>,
        again: &Again,
    ) -> Result<Vec<Row>> {
        let client = self.client();
        let name = operation.to_string();
        let steps = Steps::new();
        let work = async {
            tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                client.batch_execute(DURABLE.for_postgres()),
                steps.of(self.mark(&name)),
                client.query_typed(change.text(), change.params()),
            )
        };
        let limit = limit.map_or(STATEMENT, |limit| limit.min(STATEMENT));
        // COMMIT has not been sent: a connection that is given up here takes the transaction with it.
        let (begun, durable, marked, changed) = self.answered(Some(limit), &steps, work.boxed()).await?;
        let (marked, changed) = match (begun.and(durable), marked, changed) {
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
        self.commit(&marked, again, || proof(&Written { rows: &changed })).await?;
        Ok(changed)
    }
}
