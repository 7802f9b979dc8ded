//! One connection shared by every system of a database, replaced when it breaks between two statements, as long as there
//! is time left for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_postgres::Row;

use super::Postgres;
use super::again::Again;
use super::decode::Cells;
use super::read::{Query, Streamed};
use super::write::{Changed, Left, ProofOf};
use crate::conninfo::Conninfo;
use crate::sql::Sql;
use sen_model::diagnostics::Hidden;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;

/// A connection, the limit of its statements, and how to connect again.
pub struct SharedConnection {
    db: Mutex<Arc<Postgres>>,
    description: String,
    limit: Option<Duration>,
    /// Whether the same is asked over and over, so that an answer makes up for earlier losses.
    modest: bool,
    again: Again,
    hidden: Arc<Hidden>,
}

impl SharedConnection {
    /// Over an open connection; `limit` bounds each statement that is not streamed, and `again` is how to connect anew to
    /// learn what became of a write.
    pub fn new(db: Postgres, limit: Option<Duration>, again: Conninfo) -> Self {
        let (description, modest) = (db.describe().to_owned(), db.is_modest());
        let hidden = Arc::clone(db.hidden());
        Self { db: Mutex::new(Arc::new(db)), description, limit, modest, again: Again::new(again), hidden }
    }

    /// The tables of which row-level security may have hidden rows.
    pub fn hidden(&self) -> &Arc<Hidden> {
        &self.hidden
    }

    /// The connection as a URI without secrets.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// How to connect again.
    pub fn again(&self) -> &Again {
        &self.again
    }

    /// The connection to work on. One that broke in the middle of several acts is replaced: what became of the act under
    /// way has been asked by then, and the others need not fail with it. All replacements of a command share one budget.
    ///
    /// # Errors
    /// `Connect`.
    pub async fn live(&self) -> Result<Arc<Postgres>> {
        let mut current = self.db.lock().await;
        // One that was given up is closed a moment later only.
        if current.client().is_closed() || current.was_silent() {
            // Counted once, also when no other connection is to be had.
            if current.was_silent() && current.is_first_told() {
                self.again.budget().fell_silent();
            }
            let mut db = self.again.connect().await?;
            db.disable_parallel_query(self.modest);
            db.share_hidden(&self.hidden);
            *current = Arc::new(db);
        }
        Ok(Arc::clone(&current))
    }

    /// The answer of a question that is asked over and over makes up for what was lost before.
    fn noted<T>(&self, answer: Result<T>) -> Result<T> {
        if self.modest && answer.is_ok() {
            self.again.budget().restore();
        }
        answer
    }

    /// [`Postgres::snapshot`] under this link's limit.
    ///
    /// # Errors
    /// As there.
    pub async fn snapshot(&self, asks: &[Query<'_>]) -> Result<Vec<Result<Vec<Row>>>> {
        let mut left_out = vec![false; asks.len()];
        loop {
            let wanted: Vec<&Query<'_>> =
                asks.iter().zip(&left_out).filter(|(_, out)| !**out).map(|(ask, _)| ask).collect();
            let mut answers = self.noted(self.live().await?.snapshot(&wanted, self.limit).await)?.into_iter();
            let mut all = Vec::with_capacity(asks.len());
            let mut denied = false;
            for (ask, out) in asks.iter().zip(&mut left_out) {
                let answer = if *out { Some(Ok(Vec::new())) } else { answers.next() };
                let answer = answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")));
                match answer {
                    // It has ended the transaction, so everything is asked again without it.
                    Err(error) if ask.is_spared() && error.kind() == ErrorKind::Denied => {
                        self.hidden.deny(error.with_context("not all is shown"));
                        (*out, denied) = (true, true);
                    }
                    answer => all.push(answer),
                }
            }
            if !denied {
                return Ok(all);
            }
        }
    }

    /// The rows of one query in a snapshot of its own.
    ///
    /// # Errors
    /// As [`Postgres::snapshot`], the query's own included.
    pub async fn ask(&self, ask: Query<'_>) -> Result<Vec<Row>> {
        let answer = self.snapshot(&[ask]).await?.into_iter().next();
        answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")))
    }

    /// The database as its server names itself: the number of the cluster, the database's own, its name.
    ///
    /// # Errors
    /// What the server reports.
    pub async fn identity(&self) -> Result<String> {
        static IDENTITY: Sql = Sql::new(
            "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system())::text, oid::text, datname::text)
                FROM pg_database WHERE datname = current_database()",
        );
        let rows = self.ask(Query::new(&IDENTITY, [])).await?;
        let row = rows.first().ok_or_else(|| Error::new(ErrorKind::Internal, "an answer is missing"))?;
        Cells::new(row).text(0).ok_or_else(|| Error::new(ErrorKind::Internal, "the database has no identity"))
    }

    /// [`Self::ask`] with a limit of its own, where that is the shorter one: for what is worth little more than that.
    ///
    /// # Errors
    /// As there; `Timeout` when the limit has passed.
    pub async fn ask_within(&self, ask: Query<'_>, limit: Duration) -> Result<Vec<Row>> {
        let limit = self.limit.map_or(limit, |own| own.min(limit));
        let answer = self.live().await?.snapshot(&[&ask], Some(limit)).await?.into_iter().next();
        answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")))
    }

    /// [`Postgres::snapshot_stream`].
    ///
    /// # Errors
    /// As there.
    pub async fn snapshot_stream(&self, first: &Query<'_>, long: &Query<'_>) -> Result<(Vec<Row>, Streamed)> {
        self.live().await?.snapshot_stream(first, long, self.limit).await
    }

    /// [`Self::change_all`]: the first row that `change` returned, `None` when nothing matched and nothing was written.
    ///
    /// # Errors
    /// As there.
    pub async fn change(&self, change: &Query<'_>, proof: ProofOf<'_>, operation: OperationId) -> Result<Option<Row>> {
        Ok(self.change_all(change, proof, operation).await?.into_iter().next())
    }

    /// [`Postgres::change_all`]: every row that `change` returned, none when nothing matched and nothing was written.
    ///
    /// # Errors
    /// As there.
    pub async fn change_all(&self, change: &Query<'_>, proof: ProofOf<'_>, operation: OperationId) -> Result<Vec<Row>> {
        self.live().await?.change_all(change, proof, operation, self.limit, &self.again).await
    }

    /// [`Postgres::change_or_left`]: the same, and what the database kept out.
    ///
    /// # Errors
    /// As there.
    pub async fn change_or_left(
        &self,
        change: &Query<'_>,
        left: &Left<'_>,
        proof: ProofOf<'_>,
        operation: OperationId,
    ) -> Result<Changed> {
        self.live().await?.change_or_left(change, Some(left), proof, operation, self.limit, &self.again).await
    }

    /// The same for a change of one thing: `None` when it is not as the change requires it.
    ///
    /// # Errors
    /// As there; `KeptOut`, naming `table`, when the database kept the change out.
    pub async fn change_one(
        &self,
        change: &Query<'_>,
        (table, left): (&str, Query<'_>),
        proof: ProofOf<'_>,
        operation: OperationId,
    ) -> Result<Option<Row>> {
        let left = Left { wanted: 1, ask: left };
        let changed = self.change_or_left(change, &left, proof, operation).await?;
        match changed.rows.into_iter().next() {
            None if !changed.left.is_empty() => Err(Error::kept_out(table)),
            row => Ok(row),
        }
    }
}
