//! The connection that claims and completes keys. When it breaks, the database is asked again; nothing is assumed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sen_model::error::{ErrorKind, Result};
use sen_model::time::Uptime;
use sen_sentinel::once_port::{ClaimStore, KeyState};
use sen_stores::url::Target;

use crate::registry;

/// A connection to the database.
pub(super) type Line = Arc<dyn ClaimStore>;

/// A database in which work is run at most once per key. Clones share the connection; calls from several tasks are
/// pipelined on it.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    database: String,
    ascii_only: bool,
    line: Mutex<Option<Line>>,
}

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Opens a connection. One that is lost before it has answered is as one that could not be made, and tried again as long: a pooler
/// takes connections while its server is away.
async fn open(target: &Target) -> Result<Line> {
    let end = Uptime::now().plus(target.connect_retry());
    loop {
        match registry::open_claims(target).await {
            Err(error) if error.kind() == ErrorKind::Disconnected && !Uptime::now().until(end).is_zero() => {
                tokio::time::sleep(PAUSE.min(Uptime::now().until(end))).await;
            }
            answer => return Ok(answer?.into()),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("database", &self.inner.database).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// `Connect`, `NoSystem` without Sentinel's tables, `Refused` where they are older than 0.4.2.
    pub async fn connect(target: Target) -> Result<Self> {
        let line = open(&target).await?;
        let (database, ascii_only) = (line.database().to_owned(), line.ascii_only());
        Ok(Self { inner: Arc::new(Inner { target, database, ascii_only, line: Mutex::new(Some(line)) }) })
    }

    /// The database for people, without secrets.
    pub fn database(&self) -> &str {
        &self.inner.database
    }

    /// For how long connecting is tried again.
    pub fn connect_retry(&self) -> Duration {
        self.inner.target.connect_retry()
    }

    /// Whether the database may be unable to store text beyond ASCII.
    pub(super) fn ascii_only(&self) -> bool {
        self.inner.ascii_only
    }

    /// A separate connection.
    pub(super) async fn fresh_line(&self) -> Result<Line> {
        open(&self.inner.target).await
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Line>> {
        self.inner.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shared connection, opened again after it was lost.
    pub(super) async fn line(&self) -> Result<Line> {
        if let Some(line) = self.slot().clone() {
            return Ok(line);
        }
        let line = self.fresh_line().await?;
        Ok(Arc::clone(self.slot().get_or_insert(line)))
    }

    /// Drops a lost connection, unless another call has replaced it already.
    pub(super) fn drop_line(&self, lost: &Line) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|line| Arc::ptr_eq(line, lost)) {
            *slot = None;
        }
    }

    /// The current state of a key, with its cached result. Writes nothing.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn key_state(&self, key: &str) -> Result<KeyState> {
        let line = self.line().await?;
        match line.key_state(key).await {
            Err(error) if error.kind() == ErrorKind::Disconnected => {
                self.drop_line(&line);
                self.line().await?.key_state(key).await
            }
            answer => answer,
        }
    }
}
