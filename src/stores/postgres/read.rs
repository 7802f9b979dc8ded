//! Reading: any number of queries in one read-only snapshot, sent in one write, answered in one round trip.
//!
//! `BEGIN … READ ONLY` rather than a session setting, because a pooler in transaction mode keeps no sessions; the server
//! itself then refuses every write. Time zones are never set: plain TIMESTAMP columns mean the zone their workers use.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Sleep;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, RowStream};

use super::bounds::Gauge;
use super::deadline::{patience, silent};
use super::{Postgres, error_from};
use crate::sql::Sql;
use sen_model::error::{Error, Result};

/// The tables of which row-level security is active for this role, by name, so that an index answers.
static HIDING: Sql = Sql::new(
    "SELECT c.relname::text FROM pg_class AS c
    WHERE c.relname = ANY ($1) AND c.relrowsecurity AND row_security_active(c.oid)",
);

/// Asked where the server, or who stands before it, did not say at the login what these depend on.
static UNTOLD: Sql = Sql::new(
    "SELECT CASE WHEN current_setting('server_encoding') = 'SQL_ASCII' THEN set_config('client_encoding', 'SQL_ASCII', true) END,
    CASE WHEN current_setting('server_version_num')::int >= 110000 THEN set_config('jit', 'off', true) END",
);

/// How long a reader waits for a lock: longer means somebody is altering the table, and the operator should know.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// One query and its parameters.
pub struct Query<'a> {
    sql: &'a Sql,
    params: Vec<(&'a (dyn ToSql + Sync), Type)>,
    spared: bool,
}

impl<'a> Query<'a> {
    /// A query with typed parameters.
    pub fn new(sql: &'a Sql, params: impl IntoIterator<Item = (&'a (dyn ToSql + Sync), Type)>) -> Self {
        Self { sql, params: params.into_iter().collect(), spared: false }
    }

    /// The same, left out of the answer where the role may not read its table, which is then told beside it. Only for what no
    /// verdict rests on: that there are no rows must not be a claim.
    #[must_use]
    pub fn or_nothing(mut self) -> Self {
        self.spared = true;
        self
    }

    /// Whether it can be left out.
    pub(super) fn is_spared(&self) -> bool {
        self.spared
    }

    /// The statement as it is sent.
    pub(super) fn text(&self) -> &str {
        self.sql.for_postgres()
    }

    /// Its parameters.
    pub(super) fn params(&self) -> &[(&'a (dyn ToSql + Sync), Type)] {
        &self.params
    }
}

/// How many rows go from hand to hand at once: few enough that the memory of one chunk is the memory of the next.
const CHUNK: usize = 4;

/// The rows of a long query as they arrive, and the end of its transaction behind them.
pub struct Streamed {
    rows: RowStream,
    end: JoinHandle<()>,
    watch: Watch,
}

/// Notices when nothing comes any more, and ends the connection then.
struct Watch {
    patience: Option<Duration>,
    since: Option<Pin<Box<Sleep>>>,
    driver: AbortHandle,
    gauge: Arc<Gauge>,
}

impl Watch {
    /// Something came.
    fn reset(&mut self) {
        self.since = None;
    }

    /// Nothing is there yet. Time counts from the first such moment on: whoever takes rows slowly is not to blame.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        let Some(patience) = self.patience else { return Poll::Pending };
        let since = self.since.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if since.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.since = None;
        self.driver.abort();
        Poll::Ready(silent(patience))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.gauge.streamed();
    }
}

/// What `make` makes of each row, in chunks of what has already arrived. Ends when the transaction has: a process that
/// ended before would leave an open transaction, or an answer nobody took, to be logged by the server.
pub fn chunks<T>(streamed: Streamed, make: impl Fn(&Row) -> T) -> impl Stream<Item = Result<Vec<T>>> {
    let Streamed { rows, mut end, mut watch } = streamed;
    // Neither a row stream nor a failed one may be asked again after its end.
    let mut rows = Box::pin(rows.fuse());
    let mut failed = None;
    let mut ended = false;
    stream::poll_fn(move |context| {
        if let Some(error) = failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut made = Vec::new();
        while made.len() < CHUNK {
            match rows.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(row))) => {
                    watch.reset();
                    made.reserve_exact(CHUNK - made.len());
                    made.push(make(&row));
                }
                Poll::Ready(Some(Err(error))) if made.is_empty() => return Poll::Ready(Some(Err(error_from(error)))),
                Poll::Ready(Some(Err(error))) => {
                    failed = Some(error_from(error));
                    break;
                }
                Poll::Ready(None) if made.is_empty() => {
                    if !ended && Pin::new(&mut end).poll(context).is_pending() {
                        // Everything has been read; that the end of the transaction is not answered changes nothing.
                        return if watch.poll(context).is_ready() { Poll::Ready(None) } else { Poll::Pending };
                    }
                    ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending if made.is_empty() => return watch.poll(context).map(|error| Some(Err(error))),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(made)))
    })
}

fn millis(limit: Option<Duration>) -> u128 {
    limit.map_or(0, |limit| limit.as_millis().max(1))
}

/// What stands around questions: they may be a part of a transaction that others have begun, or will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Whether a transaction begins here.
    pub begins: bool,
    /// Whether it ends here.
    pub ends: bool,
    /// Tables of which it is asked first whether row-level security hides rows of them.
    pub tables: Option<&'a [&'static str]>,
}

impl Postgres {
    /// Begins a transaction that reads, with its limits. Nothing of this is planned and nothing is looked up for it.
    ///
    /// A database in `SQL_ASCII` holds bytes in no known encoding; asked for UTF-8 the server would refuse the whole answer for
    /// one odd byte. Taken raw, `decode` reports the odd column and the rest is read. Compiling a query (PostgreSQL 11 and
    /// later) takes seconds where large tables make it look expensive, and these are run once.
    fn beginning(&self, limit: Option<Duration>) -> String {
        let (statement, lock) = (millis(limit), millis(Some(LOCK_WAIT)));
        let mut begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {statement};
            SET LOCAL lock_timeout = {lock}"
        );
        let (compiles, raw) = (self.compiles == Some(true), self.raw == Some(true));
        for (needed, setting) in [
            (compiles, "SET LOCAL jit = off"),
            (self.modest, "SET LOCAL max_parallel_workers_per_gather = 0"),
            (raw, "SET LOCAL client_encoding = 'SQL_ASCII'"),
            (self.compiles.is_none() || self.raw.is_none(), UNTOLD.for_postgres()),
        ] {
            if needed {
                begin += "; ";
                begin += setting;
            }
        }
        begin
    }

    /// Remembers the tables of which row-level security may have hidden rows from this role.
    fn note_hidden(&self, rows: &[Row]) {
        let names: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        self.hidden().note(names.iter().map(String::as_str));
    }

    /// Runs `asks` in one snapshot and one round trip; `limit` bounds each statement. A failed query fails the later
    /// ones too, so those that may fail come last.
    ///
    /// # Errors
    /// Per query; the outer error is the connection's or the transaction's.
    pub(super) async fn snapshot(
        &self,
        asks: &[&Query<'_>],
        limit: Option<Duration>,
        frame: Frame<'_>,
    ) -> Result<Vec<Result<Vec<Row>>>> {
        let client = self.client();
        let begin = frame.begins.then(|| self.beginning(limit));
        // Each future puts its messages into the connection's queue when it is first polled, in this order; the
        // connection task then writes them all at once.
        let steps = &self.steps;
        let begun = async {
            match &begin {
                Some(begin) => client.batch_execute(begin.as_str()).await,
                None => Ok(()),
            }
        };
        let hidden = async {
            match &frame.tables {
                Some(tables) => client.query_typed(HIDING.for_postgres(), &[(tables, Type::NAME_ARRAY)]).await,
                None => Ok(Vec::new()),
            }
        };
        let mut questions = Vec::with_capacity(asks.len());
        for ask in asks {
            questions.push(steps.of(client.query_typed(ask.text(), &ask.params)).boxed());
        }
        let ended = async { if frame.ends { client.batch_execute("COMMIT").await } else { Ok(()) } };
        let work = async { tokio::join!(biased; begun, hidden, join_all(questions), ended) };
        let (begun, hidden, answers, ended) = self.answered(limit, work.boxed()).await?;
        match (begun, hidden) {
            (Ok(()), Ok(rows)) => self.note_hidden(&rows),
            (Err(error), _) | (_, Err(error)) => return Err(self.explain(error).await),
        }
        let mut out = Vec::with_capacity(answers.len());
        for answer in answers {
            out.push(match answer {
                Ok(rows) => Ok(rows),
                Err(error) => Err(self.explain(error).await),
            });
        }
        if let (true, Err(error)) = (out.iter().all(Result::is_ok), ended) {
            return Err(self.explain(error).await);
        }
        Ok(out)
    }

    /// Ends a transaction that was begun by one [`Self::snapshot`] and may have been gone on with by others. What it read has
    /// arrived by itself, so that only the answer is waited for: the server logs answers that nobody took.
    pub(super) async fn end_reading(&self, limit: Option<Duration>) {
        let _ = self.answered(limit, self.client().batch_execute("COMMIT").boxed()).await;
    }

    /// Runs `first` and then streams `long`, both in one snapshot. The whole may take as long as it will, but where `limit`
    /// is given something must come within it and a margin, again and again. The stream ends the transaction when the
    /// last row has been sent; memory stays flat because the connection stops reading while nobody takes rows.
    ///
    /// # Errors
    /// The connection's, or that of either query's start.
    pub(super) async fn snapshot_stream(
        &self,
        first: &Query<'_>,
        long: &Query<'_>,
        limit: Option<Duration>,
        tables: Option<&[&'static str]>,
    ) -> Result<(Vec<Row>, Streamed)> {
        let client = self.client();
        let begin = self.beginning(None);
        let hidden = async {
            match &tables {
                Some(tables) => client.query_typed(HIDING.for_postgres(), &[(tables, Type::NAME_ARRAY)]).await,
                None => Ok(Vec::new()),
            }
        };
        // Queued behind the rows, so that it travels with what is asked.
        let ending = self.shared_client();
        let mut commit = Box::pin(async move { drop(ending.batch_execute("COMMIT").await) });
        let queued = std::future::poll_fn(|context| {
            let _ = commit.as_mut().poll(context);
            Poll::Ready(())
        });
        let work = async {
            tokio::join!(
                biased;
                client.batch_execute(begin.as_str()),
                hidden,
                self.steps.of(client.query_typed(first.text(), &first.params)),
                client.query_typed_raw(
                    long.text(),
                    long.params.iter().map(|(value, kind)| (*value, kind.clone()))
                ),
                queued,
            )
        };
        let (begun, hidden, head, stream, ()) = self.answered(limit, work.boxed()).await?;
        match (begun, hidden) {
            (Ok(()), Ok(rows)) => self.note_hidden(&rows),
            (Err(error), _) | (_, Err(error)) => return Err(self.explain(error).await),
        }
        match (head, stream) {
            (Ok(head), Ok(rows)) => {
                self.gauge.stream();
                let (driver, gauge) = (self.driver.clone(), Arc::clone(&self.gauge));
                let watch = Watch { patience: patience(limit), since: None, driver, gauge };
                Ok((head, Streamed { rows, end: tokio::spawn(commit), watch }))
            }
            (Err(error), _) | (_, Err(error)) => Err(self.explain(error).await),
        }
    }
}
