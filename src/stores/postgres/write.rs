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
use super::decode::Cells;
use super::limits::{BEGIN, STATEMENT};
use super::outcome::{DURABLE, Proof, Written};
use super::read::Query;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::journal::{Changes, gone_on_with};

/// How long the answer to ROLLBACK is waited for: nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

/// SQLSTATEs of conflicts that vanish when the transaction is tried again.
const CONFLICTS: [&str; 2] = ["40001", "40P01"];

/// Says how a change shows once it is committed, given what it wrote.
pub type ProofOf<'a> = &'a (dyn Fn(&Written<'_>) -> Proof + Send + Sync);

/// How often a change that seems to have been kept out is tried again before that is said.
const AGAIN: u32 = 2;

/// The column in which a change names the table that kept a part of it out; NULL where all of it went through.
const KEPT_OUT: &str = "kept_out";

/// What is asked where a change wrote less than it should: what is still as the change requires it, in the same
/// transaction. A policy or a trigger of the database has kept that out, for nothing else leaves it so. A row that another
/// transaction holds must not be among it where the change passes over such rows (`free!`).
pub struct Left<'a> {
    /// How many rows the change returns when nothing is left.
    pub wanted: usize,
    /// The question.
    pub ask: Query<'a>,
}

/// What a change came to.
#[derive(Default)]
pub struct Changed {
    /// The rows that it returned.
    pub rows: Vec<Row>,
    /// What was kept out.
    pub left: Vec<Row>,
    /// The rows that were asked for, before and after the change.
    pub seen: [Vec<Row>; 2],
    /// What it did to the rows of its targets.
    pub kept: Changes,
}

/// How it is known what a change does to the rows of its targets: that is what an undo puts back, and it is entered in the
/// journal before the change is committed.
pub struct Keep<'a> {
    /// The rows to be read before and after the change.
    pub ask: Option<Query<'a>>,
    /// What was done, of those targets alone that were changed.
    pub of: &'a (dyn Fn(&Changed) -> Changes + Send + Sync),
}

/// Whether no other transaction held this row when it was to be changed: nobody has locked it since it was written, this
/// transaction has, or one that had ended before the change was begun.
#[macro_export]
macro_rules! free {
    ($row:literal) => {
        concat!(
            "(",
            $row,
            ".xmax::text = '0' OR ",
            $row,
            ".xmax::text::int8 = txid_current() % 4294967296
            OR (8589934591 + current_setting('sen.ended_below')::int8 % 4294967296 - ",
            $row,
            ".xmax::text::int8) % 4294967296 < 2147483648)"
        )
    };
}
pub use crate::free;

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
        change: &Query<'_>,
        proof: ProofOf<'_>,
        operation: OperationId,
        limit: Option<Duration>,
        again: &Again,
    ) -> Result<Vec<Row>> {
        Ok(self.change_or_left(change, (None, None), proof, operation, limit, again).await?.rows)
    }

    /// [`Self::change_all`], what the database kept out, and what was done to the rows of the targets, read just before and just
    /// after the change in its transaction: the questions travel with it. Where the journal of the operation that runs is kept in
    /// this database, that is entered in it in the same transaction.
    ///
    /// # Errors
    /// As there; `KeptOut` when the database kept out a part of what belongs together.
    pub async fn change_or_left(
        &self,
        change: &Query<'_>,
        (left, keep): (Option<&Left<'_>>, Option<&Keep<'_>>),
        proof: ProofOf<'_>,
        operation: OperationId,
        limit: Option<Duration>,
        again: &Again,
    ) -> Result<Changed> {
        let (mut tried, mut suspected) = (0, 0);
        loop {
            match self.change_once(change, (left, keep), proof, operation, limit, again).await {
                // Somebody may have come between the change and the question; nobody does so every time.
                Ok(Changed { rows, left, .. }) if rows.is_empty() && !left.is_empty() && suspected < AGAIN => {
                    suspected += 1
                }
                Err(error) if error.kind() == ErrorKind::KeptOut && suspected < AGAIN => suspected += 1,
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
        change: &Query<'_>,
        (left, keep): (Option<&Left<'_>>, Option<&Keep<'_>>),
        proof: ProofOf<'_>,
        operation: OperationId,
        limit: Option<Duration>,
        again: &Again,
    ) -> Result<Changed> {
        let client = self.client();
        let name = operation.to_string();
        let steps = &self.steps;
        let look = async || match keep.and_then(|keep| keep.ask.as_ref()) {
            Some(rows) => client.query_typed(rows.text(), rows.params()).await,
            None => Ok(Vec::new()),
        };
        let journal = sen_model::journal::current();
        let work = async {
            tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                client.batch_execute(DURABLE.for_postgres()),
                steps.of(self.mark(&name)),
                self.hold(journal.as_ref()),
                look(),
                client.query_typed(change.text(), change.params()),
                look(),
            )
        };
        let limit = limit.map_or(STATEMENT, |limit| limit.min(STATEMENT));
        // COMMIT has not been sent: a connection that is given up here takes the transaction with it.
        let (begun, durable, marked, held, before, changed, after) = self.answered(Some(limit), work.boxed()).await?;
        let begun = begun.and(durable);
        let (marked, held, before, changed, after) = match (begun, marked, held, before, changed, after) {
            (Ok(()), Ok(marked), Ok(held), Ok(before), Ok(changed), Ok(after)) => {
                (marked, held, before, changed, after)
            }
            (begun, marked, held, before, changed, after) => {
                let error = begun.err().or(marked.err()).or(held.err()).or(before.err());
                let error = error.or(changed.err()).or(after.err());
                // A failed statement leaves an aborted transaction; nothing of it can be committed.
                let _ = tokio::time::timeout(FAREWELL, client.batch_execute("ROLLBACK")).await;
                return match error {
                    Some(error) => Err(self.explain(error).await),
                    None => Err(Error::new(ErrorKind::Internal, "a transaction failed without an error")),
                };
            }
        };
        if !held {
            let _ = tokio::time::timeout(FAREWELL, client.batch_execute("ROLLBACK")).await;
            return Err(gone_on_with(ErrorKind::Refused));
        }
        let asked = left.filter(|left| changed.len() < left.wanted);
        let left = match asked {
            None => Ok(Vec::new()),
            Some(Left { ask, .. }) => {
                let asking = client.query_typed(ask.text(), ask.params());
                self.answered(Some(limit), asking.boxed()).await?
            }
        };
        let part = changed.iter().find_map(part_kept_out);
        if changed.is_empty() || left.is_err() || part.is_some() {
            let _ = tokio::time::timeout(FAREWELL, client.batch_execute("ROLLBACK")).await;
        }
        let left = match left {
            Ok(left) => left,
            Err(error) => return Err(self.explain(error).await),
        };
        if let Some(table) = part {
            return Err(Error::kept_out(&table));
        }
        let mut changed = Changed { rows: changed, left, seen: [before, after], kept: Changes::new() };
        if !changed.rows.is_empty() {
            changed.kept = keep.map(|keep| (keep.of)(&changed)).unwrap_or_default();
            let entries = journal.map(|current| (current.entries(&changed.kept), current.running));
            let proof = || proof(&Written { rows: &changed.rows });
            match entries {
                None => self.commit(&marked, again, proof).await?,
                Some((entries, running)) => {
                    self.commit_with(&marked, again, (&running, entries), proof).await?;
                }
            }
        }
        Ok(changed)
    }
}

/// The table that kept a part of a change out, as the change itself says.
fn part_kept_out(row: &Row) -> Option<String> {
    let at = row.columns().iter().position(|column| column.name() == KEPT_OUT)?;
    Cells::new(row).text(at)
}
