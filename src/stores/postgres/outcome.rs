//! What became of a transaction whose COMMIT was not answered.
//!
//! `txid_status` alone cannot tell. `aborted` proves that nothing was written, and so does an id that the server has not
//! given out yet. `committed` proves nothing: where WAL was lost (a crash before it was flushed, an asynchronous standby that
//! was promoted) the server gives the same id to another transaction. Done is only what the act's own record or effect shows
//! ([`Proof`]) on a server that is not in recovery, read in one snapshot taken after the old transaction has ended.
//!
//! What shows is then confirmed: the asking transaction writes WAL of its own and commits it, so that what was read has
//! reached every place that a commit must reach (a synchronous standby whose wait was broken off, for example).

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Postgres;
use super::again::Again;
use super::decode::Cells;
use crate::sql::Sql;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;

/// Names the transaction: its lock, held to its end, its id and its `now()`. `txid_*` rather than `pg_current_xact_id`:
/// known to every server version served. For `free!` it notes below which id every transaction had ended by then.
static MARK: Sql = Sql::new(
    "SELECT pg_advisory_xact_lock(hashtextextended($1, 0)), txid_current(), now(),
        set_config('sen.ended_below', txid_snapshot_xmin(txid_current_snapshot())::text, true)",
);

/// READ COMMITTED, because a snapshot taken before the lock is had would be older than the end of the old transaction.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '15s';
    SET LOCAL statement_timeout = '20s'";
static LOCK: Sql = Sql::new("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");
const HEAD: &str = "SELECT pg_is_in_recovery(),
    CASE WHEN $1::int8 < txid_snapshot_xmax(txid_current_snapshot()) THEN txid_status($1::int8) ELSE 'not given out' END, (";

/// Raises `synchronous_commit` from `off` for the transaction it stands in; what is above `off` stays as it was set.
pub(super) static DURABLE: Sql =
    Sql::new("SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'");
/// WAL of one's own: a transaction without any would commit without waiting. A time limit of the server would not end the wait
/// for a synchronous standby with an error but with a success, so the limit is the client's.
const CONFIRM: &str = "SET LOCAL statement_timeout = 0; SELECT pg_catalog.pg_logical_emit_message(true, 'sen', '')";

/// How long COMMIT may take before the connection counts as lost: longer than the server lets a transaction idle whose
/// COMMIT never came, so that it has ended when it is asked about.
const ANSWER: Duration = Duration::from_secs(12);
/// How long one question may take, the wait for the old transaction's end included.
const QUESTION: Duration = Duration::from_secs(30);
/// How long the confirmation may take.
const CONFIRMING: Duration = Duration::from_secs(10);
/// How long a new connection may take.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long a server that cannot be reached is tried.
const UNREACHABLE: Duration = Duration::from_secs(3);
/// How long a server that starts up or is in recovery is waited for.
const RECOVERING: Duration = Duration::from_secs(20);

/// The name of a transaction that is under way.
pub struct Mark {
    operation: String,
    id: i64,
    began: i64,
}

/// What a change wrote, as far as its transaction told before its COMMIT.
pub struct Written<'a> {
    /// The rows that its statement returned.
    pub rows: &'a [Row],
}

/// How a change shows in the database once it is committed: an expression that yields one text.
///
/// - `landed`: only this act can have written what is there (a record with the operation's id, a value that it drew).
/// - `absent`: it is not there, and would be: what the act changes is still as it was seen.
/// - NULL: neither; then the outcome is unknown. So it is where the rows are as the act leaves them, but another one could
///   have done the same: that the transaction's id is `committed` does not say that it was this one.
///
/// Parameters: $1 the transaction's id, $2 the operation (text), $3 the `now()` of the transaction (microseconds since 1970),
/// and from $4 on its own.
pub struct Proof {
    sql: Sql,
    params: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Proof {
    /// An expression without parameters of its own.
    pub fn new(sql: Sql) -> Self {
        Self { sql, params: Vec::new() }
    }

    /// The same with a further parameter.
    #[must_use]
    pub fn with(mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> Self {
        self.params.push((Box::new(value), kind));
        self
    }
}

/// What was found out.
enum Verdict {
    Landed,
    /// Not there; whether the server says itself that it was rolled back.
    Absent(bool),
    /// It was asked, and the rows do not tell.
    Undecided,
}

impl Postgres {
    /// The statement that names a transaction, to be sent with those of its change.
    pub(super) async fn mark(&self, operation: &str) -> Result<Mark, tokio_postgres::Error> {
        let named: [(&(dyn ToSql + Sync), Type); 1] = [(&operation, Type::TEXT)];
        let rows = self.client().query_typed(MARK.for_postgres(), &named).await?;
        let mut mark = Mark { operation: operation.to_owned(), id: 0, began: 0 };
        if let Some(row) = rows.first() {
            let mut cells = Cells::new(row);
            mark.id = cells.int(1).unwrap_or_default();
            mark.began = cells.time(2).map_or(0, sen_model::time::Timestamp::as_micros);
        }
        Ok(mark)
    }

    /// Begins a transaction that is to be committed with [`Self::commit`], for a change of several statements.
    ///
    /// # Errors
    /// What the server reports; `Disconnected` when the connection is lost.
    pub async fn begin(&self, operation: OperationId) -> Result<Mark> {
        let begun = async {
            self.client().batch_execute(super::limits::BEGIN).await?;
            self.client().batch_execute(DURABLE.for_postgres()).await?;
            self.mark(&operation.to_string()).await
        };
        match begun.await {
            Ok(mark) => Ok(mark),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// Commits. When the connection is lost meanwhile, a new one is asked whether `proof` shows.
    ///
    /// # Errors
    /// `OutcomeUnknown` when that cannot be told; any other error means that nothing is there. `Disconnected` when the
    /// connection was lost.
    pub async fn commit(&self, mark: &Mark, again: &Again, proof: impl FnOnce() -> Proof) -> Result<()> {
        self.finish(mark, again, self.client().batch_execute("COMMIT"), proof).await
    }

    /// The same, `ending` being what ends the transaction.
    pub(super) async fn finish(
        &self,
        mark: &Mark,
        again: &Again,
        ending: impl Future<Output = Result<(), tokio_postgres::Error>>,
        proof: impl FnOnce() -> Proof,
    ) -> Result<()> {
        if mark.id == 0 {
            return Err(Error::new(ErrorKind::Unreadable, "the server did not name the transaction"));
        }
        let error = match tokio::time::timeout(ANSWER, ending).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => self.explain(error).await,
            Err(_) => {
                self.give_up();
                Error::new(ErrorKind::Disconnected, "the server does not answer")
            }
        };
        if error.kind() != ErrorKind::Disconnected && error.sqlstate().is_some() {
            return Err(error);
        }
        let operation = &mark.operation;
        let unknown = |why: &str| {
            let message = format!("the connection was lost while committing operation {operation}, and {why}");
            Error::new(ErrorKind::OutcomeUnknown, message)
                .with_hint("inspect it when the database is back: the change is there as a whole or not at all")
        };
        let proof = proof();
        match again.spend(find_out(again, mark, &proof).boxed()).await {
            Ok(Verdict::Landed) => Ok(()),
            Ok(Verdict::Absent(true)) => Err(error
                .with_kind(ErrorKind::Disconnected)
                .with_context("the change was rolled back and nothing of it was written")),
            Ok(Verdict::Absent(false)) => Err(error
                .with_kind(ErrorKind::Disconnected)
                .with_context("nothing of the change is in the database that answers now")),
            Ok(Verdict::Undecided) => Err(unknown("the rows do not tell whether it is there").with_source(error)),
            Err(asking) => {
                Err(unknown(&format!("the server cannot be asked what became of it ({asking})")).with_source(error))
            }
        }
    }
}

/// Asks until a server that is not in recovery answers.
async fn find_out(again: &Again, mark: &Mark, proof: &Proof) -> Result<Verdict> {
    let start = Instant::now();
    let mut pause = Duration::ZERO;
    loop {
        let asked = tokio::time::timeout(QUESTION + again.info().connect_retry, ask(again, mark, proof)).await;
        let error = match asked {
            Ok(Ok(verdict)) => return Ok(verdict),
            Ok(Err(error)) => error,
            Err(_) => Error::new(ErrorKind::Disconnected, "it does not answer"),
        };
        let recovering = error.kind() == ErrorKind::Pending || error.sqlstate() == Some("57P03");
        let patience = if recovering { RECOVERING } else { UNREACHABLE }.max(again.info().connect_retry);
        if start.elapsed() + pause >= patience {
            return Err(error);
        }
        pause = (pause + Duration::from_millis(100)).min(Duration::from_secs(1));
        tokio::time::sleep(pause).await;
    }
}

async fn ask(again: &Again, mark: &Mark, proof: &Proof) -> Result<Verdict> {
    let db = tokio::time::timeout(CONNECTING + again.info().connect_retry, Postgres::connect(again.info()))
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Connect, "no connection could be made in time")))?;
    if db.is_standby() == Some(true) {
        return Err(recovering());
    }
    let client = db.client();
    let sql = Sql::new(HEAD).then_sql(&proof.sql).then(")");
    let named: [(&(dyn ToSql + Sync), Type); 1] = [(&mark.operation, Type::TEXT)];
    let mut params: Vec<(&(dyn ToSql + Sync), Type)> =
        vec![(&mark.id, Type::INT8), (&mark.operation, Type::TEXT), (&mark.began, Type::INT8)];
    params.extend(proof.params.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())));
    // Waiting for the lock is waiting for the old transaction's end; its own idle limit bounds that.
    let (begun, durable, locked, answer) = tokio::join!(
        biased;
        client.batch_execute(BEGIN),
        client.batch_execute(DURABLE.for_postgres()),
        client.query_typed(LOCK.for_postgres(), &named),
        client.query_typed(sql.for_postgres(), &params),
    );
    if let Some(error) = begun.err().or(durable.err()).or(locked.err()) {
        return Err(db.explain(error).await);
    }
    let rows = match answer {
        Ok(rows) => rows,
        Err(error) => return Err(db.explain(error).await),
    };
    let mut cells = rows.first().map(Cells::new).ok_or_else(|| Error::new(ErrorKind::Internal, "no answer came"))?;
    if cells.flag(0) != Some(false) {
        return Err(recovering());
    }
    let (status, shows) = (cells.text(1), cells.text(2));
    let aborted = status.as_deref() == Some("aborted");
    let verdict = match shows.as_deref() {
        Some("landed") => Verdict::Landed,
        _ if aborted || status.as_deref() == Some("not given out") => Verdict::Absent(aborted),
        Some("absent") => Verdict::Absent(false),
        _ => Verdict::Undecided,
    };
    if matches!(verdict, Verdict::Landed) {
        let confirming = async { tokio::join!(biased; client.batch_execute(CONFIRM), client.batch_execute("COMMIT")) };
        let durable = match tokio::time::timeout(CONFIRMING, confirming).await {
            Ok((Ok(()), Ok(()))) => Ok(()),
            Ok((Err(error), _) | (_, Err(error))) => Err(db.explain(error).await),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "a synchronous standby does not answer")),
        };
        durable.map_err(|error| error.with_context("what it shows could not be confirmed as durable"))?;
    } else {
        let _ = client.batch_execute("ROLLBACK").await;
    }
    Ok(verdict)
}

fn recovering() -> Error {
    Error::new(ErrorKind::Pending, "the server is in recovery")
}
