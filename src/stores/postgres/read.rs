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
use super::deadline::{Steps, patience, silent};
use super::{Postgres, error_from};
use crate::sql::Sql;
use sen_model::error::{Error, Result};

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A database in SQL_ASCII holds bytes in no known encoding; asked for UTF-8 the server would refuse the whole answer for
/// one odd byte. Taken raw, `decode` reports the odd column and the rest is read. Compiling a query (PostgreSQL 11 and later)
/// takes seconds where large tables make it look expensive, and these are run once.
static LIMITS: Sql = Sql::new(
    "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
    CASE WHEN current_setting('server_encoding') = 'SQL_ASCII' THEN set_config('client_encoding', 'SQL_ASCII', true) END,
    CASE WHEN $3 THEN set_config('max_parallel_workers_per_gather', '0', true) END,
    CASE WHEN current_setting('server_version_num')::int >= 110000 THEN set_config('jit', 'off', true) END,
    (SELECT string_agg(c.relname::text, E'\\n' ORDER BY c.relname) FROM pg_class AS c
        WHERE c.relname = ANY ($4) AND c.relrowsecurity AND row_security_active(c.oid))",
);

/// Tables of the supported systems by name, which the catalogue has an index for. Those of sagas have names of their own and
/// are known by their columns; who looks for them asks this of them, too.
const TABLES: [&str; 9] = [
    "sentinel_leases",
    "sentinel_events",
    "executions",
    "tasks",
    "dead_tasks",
    "execution_progress",
    "signals",
    "execution_counters",
    "execution_state",
];

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

fn millis(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "0".to_owned(), |limit| limit.as_millis().max(1).to_string())
}

impl Postgres {
    /// Remembers the tables of which row-level security may have hidden rows from this role.
    fn note_hidden(&self, limited: &[Row]) {
        let told = limited.first().and_then(|row| row.try_get::<_, Option<String>>(5).ok().flatten());
        if let Some(told) = told {
            self.hidden().note(told.lines());
        }
    }

    /// Runs `asks` in one snapshot and one round trip; `limit` bounds each statement. A failed query fails the later
    /// ones too, so those that may fail come last.
    ///
    /// # Errors
    /// Per query; the outer error is the connection's or the transaction's.
    pub async fn snapshot(&self, asks: &[&Query<'_>], limit: Option<Duration>) -> Result<Vec<Result<Vec<Row>>>> {
        let client = self.client();
        let (statement, lock) = (millis(limit), millis(Some(LOCK_WAIT)));
        let tables = TABLES.as_slice();
        let limits: [(&(dyn ToSql + Sync), Type); 4] =
            [(&statement, Type::TEXT), (&lock, Type::TEXT), (&self.modest, Type::BOOL), (&tables, Type::NAME_ARRAY)];
        // Each future puts its messages into the connection's queue when it is first polled, in this order; the
        // connection task then writes them all at once.
        let steps = Steps::new();
        let mut questions = Vec::with_capacity(asks.len());
        for ask in asks {
            questions.push(steps.of(client.query_typed(ask.text(), &ask.params)).boxed());
        }
        let work = async {
            tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                client.query_typed(LIMITS.for_postgres(), &limits),
                join_all(questions),
                client.batch_execute("COMMIT"),
            )
        };
        let (begun, limited, answers, ended) = self.answered(limit, &steps, work.boxed()).await?;
        match (begun, limited) {
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

    /// Runs `first` and then streams `long`, both in one snapshot. The whole may take as long as it will, but where `limit`
    /// is given something must come within it and a margin, again and again. The stream ends the transaction when the
    /// last row has been sent; memory stays flat because the connection stops reading while nobody takes rows.
    ///
    /// # Errors
    /// The connection's, or that of either query's start.
    pub async fn snapshot_stream(
        &self,
        first: &Query<'_>,
        long: &Query<'_>,
        limit: Option<Duration>,
    ) -> Result<(Vec<Row>, Streamed)> {
        let client = self.client();
        let (statement, lock) = (millis(None), millis(Some(LOCK_WAIT)));
        let tables = TABLES.as_slice();
        let limits: [(&(dyn ToSql + Sync), Type); 4] =
            [(&statement, Type::TEXT), (&lock, Type::TEXT), (&self.modest, Type::BOOL), (&tables, Type::NAME_ARRAY)];
        // Queued behind the rows, so that it travels with what is asked.
        let ending = self.shared_client();
        let mut commit = Box::pin(async move { drop(ending.batch_execute("COMMIT").await) });
        let queued = std::future::poll_fn(|context| {
            let _ = commit.as_mut().poll(context);
            Poll::Ready(())
        });
        let steps = Steps::new();
        let work = async {
            tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                client.query_typed(LIMITS.for_postgres(), &limits),
                steps.of(client.query_typed(first.text(), &first.params)),
                client.query_typed_raw(
                    long.text(),
                    long.params.iter().map(|(value, kind)| (*value, kind.clone()))
                ),
                queued,
            )
        };
        let (begun, limited, head, stream, ()) = self.answered(limit, &steps, work.boxed()).await?;
        match (begun, limited) {
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
