//! One connection shared by every system of a database, replaced when it breaks between two statements, as long as there
//! is time left for that. What all systems need to know of the catalogue is asked once for each connection, and what several
//! of them ask at the same time is one transaction.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::Row;

use super::Postgres;
use super::again::Again;
use super::catalogue::{Wanted, catalogue};
use super::deadline;
use super::decode::Cells;
use super::read::{Frame, Query, Streamed};
use super::turn::{Part, Turn};
use super::write::{Changed, Keep, Left, ProofOf};
use crate::catalogue::{Catalogue, Marks};
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
    /// Tables by name whose rows are shown.
    tables: Vec<&'static str>,
    wanted: Wanted,
    /// What the look at the catalogue showed: a cell of its own for each look.
    look: std::sync::Mutex<Arc<OnceCell<Arc<Catalogue>>>>,
    /// What the look before showed.
    last: std::sync::Mutex<Option<Arc<Catalogue>>>,
    /// Whether this connection has told of which tables rows may be hidden.
    told: AtomicBool,
    turn: Turn,
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error of a transaction in which another statement has failed.
const ABORTED: &str = "25P02";

/// Of a question behind the one that failed, the server says only that the transaction is aborted: it failed for the same reason.
fn give_reason<T>(answers: &mut [Result<T>]) {
    let aborted = |answer: &&mut Result<T>| matches!(answer, Err(error) if error.sqlstate() == Some(ABORTED));
    let Some(first) = answers.iter().position(Result::is_err) else { return };
    let (until, after) = answers.split_at_mut(first + 1);
    if let Some(Err(why)) = until.last() {
        after.iter_mut().filter(aborted).for_each(|answer| *answer = Err(why.repeated()));
    }
}

impl SharedConnection {
    /// Over an open connection; `limit` bounds each statement that is not streamed, `again` is how to connect anew to
    /// learn what became of a write, and `marks` are what the systems are known by.
    pub fn new(db: Postgres, limit: Option<Duration>, again: Conninfo, marks: &[Marks]) -> Self {
        let (description, modest) = (db.describe().to_owned(), db.is_modest());
        let hidden = Arc::clone(db.hidden());
        let tables: Vec<_> = marks.iter().flat_map(|marks| marks.tables).copied().collect();
        Self {
            db: Mutex::new(Arc::new(db)),
            description,
            limit,
            modest,
            again: Again::new(again),
            hidden,
            told: AtomicBool::new(tables.is_empty()),
            tables,
            wanted: Wanted::of(marks),
            look: std::sync::Mutex::default(),
            last: std::sync::Mutex::default(),
            turn: Turn::new(limit),
        }
    }

    /// The relations that some system marks, asked for once on each connection.
    ///
    /// # Errors
    /// What the server reports of its catalogue.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>> {
        let cell = Arc::clone(&locked(&self.look));
        let found = cell.get_or_try_init(|| async {
            self.told.store(true, Ordering::Relaxed);
            let found = Arc::new(catalogue(&self.ask(self.wanted.ask()).await?));
            self.hidden.note(found.hidden(&self.tables));
            *locked(&self.last) = Some(Arc::clone(&found));
            Ok(found)
        });
        found.await.map(Arc::clone)
    }

    /// What was last seen of the catalogue on any connection, without asking: while somebody watches, it may be older.
    pub fn last_seen(&self) -> Option<Arc<Catalogue>> {
        locked(&self.last).clone()
    }

    /// Has the catalogue looked at anew by whoever needs it next.
    pub fn forget_catalogue(&self) {
        *locked(&self.look) = Arc::default();
    }

    /// Runs `work`, which asks several systems: what it asks at the same time is one transaction, and the catalogue is looked
    /// at ahead of the first questions, which travel with that. Where somebody watches, tables may come and go between two
    /// such questions, so each looks.
    pub async fn together<T>(&self, work: impl Future<Output = T>) -> T {
        if self.modest && !self.turn.is_open() {
            self.forget_catalogue();
        }
        // What goes wrong is told to those who need it.
        let look = async { drop(self.catalogue().await) };
        self.turn.gather(look, work).await
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

    /// The connection to work on, nothing of a reader being open there. One that broke in the middle of several acts is replaced: what became of the act under
    /// way has been asked by then, and the others need not fail with it. All replacements of a command share one budget.
    ///
    /// # Errors
    /// `Connect`.
    pub async fn live(&self) -> Result<Arc<Postgres>> {
        let db = self.current().await?;
        self.turn.interrupt();
        Ok(db)
    }

    async fn current(&self) -> Result<Arc<Postgres>> {
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
            self.forget_catalogue();
            self.told.store(self.tables.is_empty(), Ordering::Relaxed);
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

    /// Of which tables it is still to be asked whether rows of them are hidden.
    fn untold(&self) -> Option<&[&'static str]> {
        (!self.told.swap(true, Ordering::Relaxed)).then_some(&*self.tables)
    }

    /// One try of [`Self::snapshot`], as a part of the turn unless it is to be `alone`.
    async fn read(
        &self,
        asks: &[&Query<'_>],
        limit: Option<Duration>,
        alone: bool,
    ) -> Result<(Part, Vec<Result<Vec<Row>>>)> {
        let db = if alone { self.live().await? } else { self.current().await? };
        let part = if alone { Part::Alone } else { self.turn.join(&db) };
        let frame = Frame {
            begins: part != Part::Further,
            ends: part == Part::Alone,
            tables: if part == Part::Further { None } else { self.untold() },
        };
        // Of several that wait for a silent server one gives the connection up, and all of them say why it is gone.
        let gone = |error: Error| match deadline::patience(limit) {
            Some(patience) if error.kind() == ErrorKind::Disconnected && db.was_silent() => deadline::silent(patience),
            _ => error,
        };
        let answers = self.noted(db.snapshot(asks, limit, frame).await.map_err(gone))?;
        Ok((part, answers.into_iter().map(|answer| answer.map_err(gone)).collect()))
    }

    /// All `asks` in one snapshot under this link's limit, with what others ask at the same time ([`Self::together`]).
    ///
    /// # Errors
    /// Per query; the outer error is the connection's or the transaction's.
    pub async fn snapshot(&self, asks: &[Query<'_>]) -> Result<Vec<Result<Vec<Row>>>> {
        let mut left_out = vec![false; asks.len()];
        let mut alone = false;
        loop {
            let wanted: Vec<&Query<'_>> =
                asks.iter().zip(&left_out).filter(|(_, out)| !**out).map(|(ask, _)| ask).collect();
            let (part, answers) = self.read(&wanted, self.limit, alone).await?;
            let failed = answers.iter().find_map(|answer| answer.as_ref().err());
            // It was somebody else's question that failed in the transaction.
            if part == Part::Further && failed.is_some_and(|error| error.sqlstate() == Some(ABORTED)) {
                alone = true;
                continue;
            }
            let mut answers = answers.into_iter();
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
                give_reason(&mut all);
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

    /// The database as its server names itself (the number of the cluster, the database's own, its name), where it does, and its
    /// name where a DBA calls it production: `ALTER DATABASE … SET sen.production = on`, or anything else that is not plainly no.
    /// That is read where it is kept, for what a session sets for itself would hide it.
    ///
    /// # Errors
    /// What the server reports when asked whether it is production.
    pub async fn identity(&self) -> Result<(Option<String>, Option<String>)> {
        static PRODUCTION: Sql = Sql::new(
            "SELECT datname::text FROM pg_database AS d WHERE datname = current_database() AND EXISTS (SELECT 1
                FROM pg_db_role_setting AS s WHERE s.setdatabase = d.oid
                    AND EXISTS (SELECT 1 FROM unnest(s.setconfig) AS line (text)
                        WHERE lower(line.text) LIKE 'sen.production=%'
                            AND btrim(lower(substr(line.text, 16))) NOT IN ('off', 'of', 'false', 'fals', 'fal', 'fa', 'f', 'no', 'n', '0')))",
        );
        static IDENTITY: Sql = Sql::new(
            "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system())::text, oid::text, datname::text)
                FROM pg_database WHERE datname = current_database()",
        );
        let (production, identity) = (Query::new(&PRODUCTION, []), Query::new(&IDENTITY, []));
        // Asked second: a server that does not tell its number says nothing against the first answer.
        let mut answers = self.snapshot(&[production, identity]).await?.into_iter();
        let text = |rows: Vec<Row>| rows.first().and_then(|row| Cells::new(row).text(0));
        let missing = || Err(Error::new(ErrorKind::Internal, "an answer is missing"));
        let production = answers.next().unwrap_or_else(missing)?;
        let identity = answers.next().unwrap_or_else(missing).ok();
        Ok((identity.and_then(text), text(production)))
    }

    /// [`Self::ask`] with a limit of its own, where that is the shorter one: for what is worth little more than that.
    ///
    /// # Errors
    /// As there; `Timeout` when the limit has passed.
    pub async fn ask_within(&self, ask: Query<'_>, limit: Duration) -> Result<Vec<Row>> {
        let limit = self.limit.map_or(limit, |own| own.min(limit));
        let answer = self.read(&[&ask], Some(limit), true).await?.1.into_iter().next();
        answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")))
    }

    /// [`Postgres::snapshot_stream`].
    ///
    /// # Errors
    /// As there.
    pub async fn snapshot_stream(&self, first: &Query<'_>, long: &Query<'_>) -> Result<(Vec<Row>, Streamed)> {
        let db = self.live().await?;
        // Of several that wait for a silent server one gives the connection up, and all of them say why it is gone.
        db.snapshot_stream(first, long, self.limit, self.untold()).await.map_err(|error| {
            match deadline::patience(self.limit) {
                Some(patience) if error.kind() == ErrorKind::Disconnected && db.was_silent() => {
                    deadline::silent(patience)
                }
                _ => error,
            }
        })
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
        self.change_keeping(change, Some(left), None, proof, operation).await
    }

    /// The same, and what was done to the rows of its targets: what an undo puts back.
    ///
    /// # Errors
    /// As there.
    pub async fn change_keeping(
        &self,
        change: &Query<'_>,
        left: Option<&Left<'_>>,
        keep: Option<&Keep<'_>>,
        proof: ProofOf<'_>,
        operation: OperationId,
    ) -> Result<Changed> {
        self.live().await?.change_or_left(change, (left, keep), proof, operation, self.limit, &self.again).await
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
        let changed = self.change_one_keeping(change, (table, left), None, proof, operation).await?;
        Ok(changed.and_then(|changed| changed.rows.into_iter().next()))
    }

    /// The same, and what was done to the rows of its target.
    ///
    /// # Errors
    /// As there.
    pub async fn change_one_keeping(
        &self,
        change: &Query<'_>,
        (table, left): (&str, Query<'_>),
        keep: Option<&Keep<'_>>,
        proof: ProofOf<'_>,
        operation: OperationId,
    ) -> Result<Option<Changed>> {
        let left = Left { wanted: 1, ask: left };
        let changed = self.change_keeping(change, Some(&left), keep, proof, operation).await?;
        match changed.rows.is_empty() {
            true if !changed.left.is_empty() => Err(Error::kept_out(table)),
            true => Ok(None),
            false => Ok(Some(changed)),
        }
    }
}
