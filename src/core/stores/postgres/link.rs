//! One connection shared by every system of a database, replaced once when it breaks between two statements.

use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_postgres::Row;

use super::Postgres;
use super::read::{Ask, Streamed};
use super::write::ProofOf;
use crate::error::{Error, ErrorKind, Result};
use crate::ident::OperationId;
use crate::stores::conninfo::Conninfo;

/// A connection, the limit of its statements, and how to connect again.
pub struct Link {
    db: Postgres,
    limit: Option<Duration>,
    again: Conninfo,
    second: OnceCell<Postgres>,
}

impl Link {
    /// Over an open connection; `limit` bounds each statement that is not streamed, and `again` is how to connect anew to
    /// learn what became of a write.
    pub fn new(db: Postgres, limit: Option<Duration>, again: Conninfo) -> Self {
        Self { db, limit, again, second: OnceCell::new() }
    }

    /// The connection as a URI without secrets.
    pub fn describe(&self) -> &str {
        self.db.describe()
    }

    /// How to connect again.
    pub fn again(&self) -> &Conninfo {
        &self.again
    }

    /// The connection to work on. One that broke in the middle of several acts is replaced, once: what became of the act
    /// under way has been asked by then, and the others need not fail with it.
    ///
    /// # Errors
    /// `Connect`.
    pub async fn live(&self) -> Result<&Postgres> {
        if self.db.client().is_closed() { self.second.get_or_try_init(|| self.connect()).await } else { Ok(&self.db) }
    }

    async fn connect(&self) -> Result<Postgres> {
        let mut db = Postgres::connect(&self.again).await?;
        db.set_modest(self.db.is_modest());
        Ok(db)
    }

    /// [`Postgres::snapshot`] under this link's limit.
    ///
    /// # Errors
    /// As there.
    pub async fn snapshot(&self, asks: &[Ask<'_>]) -> Result<Vec<Result<Vec<Row>>>> {
        self.live().await?.snapshot(asks, self.limit).await
    }

    /// The rows of one query in a snapshot of its own.
    ///
    /// # Errors
    /// As [`Postgres::snapshot`], the query's own included.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Vec<Row>> {
        let answer = self.snapshot(&[ask]).await?.into_iter().next();
        answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")))
    }

    /// [`Self::ask`] with a limit of its own, where that is the shorter one: for what is worth little more than that.
    ///
    /// # Errors
    /// As there; `Timeout` when the limit has passed.
    pub async fn ask_within(&self, ask: Ask<'_>, limit: Duration) -> Result<Vec<Row>> {
        let limit = self.limit.map_or(limit, |own| own.min(limit));
        let answer = self.live().await?.snapshot(&[ask], Some(limit)).await?.into_iter().next();
        answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")))
    }

    /// [`Postgres::snapshot_stream`].
    ///
    /// # Errors
    /// As there.
    pub async fn snapshot_stream(&self, first: &Ask<'_>, long: &Ask<'_>) -> Result<(Vec<Row>, Streamed)> {
        self.live().await?.snapshot_stream(first, long).await
    }

    /// [`Self::change_all`]: the first row that `change` returned, `None` when nothing matched and nothing was written.
    ///
    /// # Errors
    /// As there.
    pub async fn change(&self, change: &Ask<'_>, proof: ProofOf<'_>, operation: OperationId) -> Result<Option<Row>> {
        Ok(self.change_all(change, proof, operation).await?.into_iter().next())
    }

    /// [`Postgres::change_all`]: every row that `change` returned, none when nothing matched and nothing was written.
    ///
    /// # Errors
    /// As there.
    pub async fn change_all(&self, change: &Ask<'_>, proof: ProofOf<'_>, operation: OperationId) -> Result<Vec<Row>> {
        self.live().await?.change_all(change, proof, operation, &self.again).await
    }
}
