//! How long an answer is waited for. The server bounds its own statements; a server that no longer says anything, or
//! says anything but an answer, bounds nothing, so there is a limit on this side as well, a margin later.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Postgres;
use crate::sql::Sql;
use sen_model::error::{Error, ErrorKind, Result};

/// How much later than the server this side gives up: time for the server's own word, and for the way.
const MARGIN: Duration = Duration::from_secs(5);

/// How long an answer outside any limit of the operator's is waited for.
const QUICK: Duration = Duration::from_secs(10);

/// How long nothing may come where the server allows itself `limit`.
pub(super) fn patience(limit: Option<Duration>) -> Option<Duration> {
    limit.map(|limit| limit.saturating_add(MARGIN))
}

/// The error of a server that does not answer.
pub(super) fn silent(patience: Duration) -> Error {
    let message = format!(
        "the server has not answered for {}; the connection was given up",
        sen_model::time::humane(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX))
    );
    Error::new(ErrorKind::Disconnected, message)
        .with_hint("check the server and the network to it; --timeout sets how long an answer may take")
}

impl Postgres {
    /// Waits for `work`, which asks things of the server, each of which the server bounds by `limit`. When nothing is answered
    /// for that long and a margin, the connection is given up.
    ///
    /// # Errors
    /// `Disconnected`: whether the server did what it was asked is unknown.
    pub(super) async fn answered<T>(&self, limit: Option<Duration>, mut work: BoxFuture<'_, T>) -> Result<T> {
        self.gauge.begin();
        let Some(patience) = patience(limit) else { return Ok(work.await) };
        let begun = Instant::now();
        loop {
            let last = self.steps.last().max(begun);
            if let Ok(done) = tokio::time::timeout_at(last + patience, work.as_mut()).await {
                return Ok(done);
            }
            if self.steps.last() <= last {
                self.give_up();
                return Err(silent(patience));
            }
        }
    }

    /// [`Self::answered`] for one question.
    ///
    /// # Errors
    /// As there.
    pub async fn answer<T>(&self, limit: Option<Duration>, question: BoxFuture<'_, T>) -> Result<T> {
        self.answered(limit, question).await
    }

    /// The rows of one short statement outside any transaction.
    ///
    /// # Errors
    /// The server's; `Disconnected` when it does not answer.
    pub async fn quick(&self, sql: &Sql, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        match self.answer(Some(QUICK), self.client().query_typed(sql.for_postgres(), params).boxed()).await? {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.explain(error).await),
        }
    }
}
