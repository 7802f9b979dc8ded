//! A connection to PostgreSQL: the client, what the server said of itself at the start, and its last words at the end.
//! Which server is chosen lies in `connect`, what errors mean in `errors`; SQL of any system lies elsewhere.

pub mod again;
pub mod autocommit;
pub mod bounds;
mod catalogue;
mod connect;
mod deadline;
pub mod decode;
mod diagnostics;
mod direct;
pub mod encode;
mod errors;
mod gate;
pub mod journal;
mod limits;
pub mod outcome;
pub mod read;
pub mod restore;
pub mod shared;
mod socket;
pub mod standby;
mod steps;
mod turn;
pub mod write;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Connection};

pub use errors::error_from;

use super::tls::Trust;
use crate::sql::Sql;
use bounds::{Bounded, Gauge};
use errors::Words;
use sen_model::diagnostics::Hidden;
use sen_model::error::{Error, ErrorKind, Result};
use socket::{Encrypted, Socket};
use steps::Steps;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wire {
    /// A Unix socket: they do not leave the machine.
    Socket,
    /// TCP in the clear.
    Plain,
    /// TLS, with this much trust in the other end.
    Tls(Trust),
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => f.write_str("unix socket"),
            Self::Plain => f.write_str("TCP without TLS"),
            Self::Tls(Trust::Unverified) => f.write_str("TLS, the server unverified"),
            Self::Tls(Trust::Authority) => f.write_str("TLS, the certificate's authority verified"),
            Self::Tls(Trust::Full) => f.write_str("TLS, verified"),
        }
    }
}

/// Where to go from a standby.
pub const TO_THE_PRIMARY: &str =
    "connect to its primary, or name all hosts with target_session_attrs=primary (host=a,b in the URL or in PGHOST)";

/// An open connection.
pub struct Postgres {
    client: Arc<Client>,
    description: String,
    wire: Wire,
    peer: Option<IpAddr>,
    warnings: Vec<String>,
    server_version: Option<String>,
    standby: Option<bool>,
    read_only: Option<bool>,
    modest: bool,
    /// Whether the server compiles queries, where that was said.
    compiles: Option<bool>,
    /// Whether the database is in no known encoding, where that was said.
    raw: Option<bool>,
    steps: Steps,
    end: watch::Receiver<Option<Words>>,
    driver: AbortHandle,
    silent: AtomicBool,
    told: AtomicBool,
    gauge: Arc<Gauge>,
    hidden: Arc<Hidden>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("to", &self.description).field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Starts driving a fresh connection.
    fn open(
        client: Client,
        connection: Connection<Bounded<Socket>, Encrypted>,
        gauge: Arc<Gauge>,
        description: String,
        wire: Wire,
    ) -> Self {
        let parameter = |name: &str| connection.parameter(name).map(str::to_owned);
        let switch = |name: &str| connection.parameter(name).map(|value| value == "on");
        let (server_version, standby) = (parameter("server_version"), switch("in_hot_standby"));
        let read_only = switch("default_transaction_read_only");
        let major = |version: &String| version.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok();
        let compiles = server_version.as_ref().and_then(major).map(|major| major >= 11);
        let raw = parameter("server_encoding").map(|encoding| encoding == "SQL_ASCII");
        let (tell, end) = watch::channel(None);
        let driver = tokio::spawn(async move {
            // The reason the server gives for hanging up arrives here, not at the query that finds the line dead.
            let words = connection.await.err().map(Words::of).unwrap_or_default();
            let _ = tell.send(Some(words));
        });
        Self {
            client: Arc::new(client),
            description,
            wire,
            peer: None,
            warnings: Vec::new(),
            server_version,
            standby,
            read_only,
            modest: false,
            compiles,
            raw,
            steps: Steps::new(),
            end,
            driver: driver.abort_handle(),
            silent: AtomicBool::new(false),
            told: AtomicBool::new(false),
            gauge,
            hidden: Arc::default(),
        }
    }

    /// The driver's client. Use its `query_typed` family: the others prepare named statements, which cost a round trip
    /// and do not survive a pooler in transaction mode.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The driver's client for a task that outlives a borrow.
    pub fn shared_client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// Whether one question may keep only one process of the server busy. Somebody who asks for hours must not take the
    /// machine from the workers, and only then does the time an answer takes tell what it cost.
    pub fn disable_parallel_query(&mut self, modest: bool) {
        self.modest = modest;
    }

    /// Gives the connection up, because the server does not answer: whatever else is asked over it fails at once.
    fn give_up(&self) {
        self.silent.store(true, Ordering::Relaxed);
        self.driver.abort();
    }

    /// Whether it was given up.
    fn was_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Whether that is asked for the first time, so that it counts once.
    fn is_first_told(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    /// Whether [`Self::disable_parallel_query`] was asked for.
    pub(super) fn is_modest(&self) -> bool {
        self.modest
    }

    /// The tables of which row-level security may have hidden rows.
    pub fn hidden(&self) -> &Arc<Hidden> {
        &self.hidden
    }

    /// Notes them where those of an earlier connection are noted.
    pub(super) fn share_hidden(&mut self, hidden: &Arc<Hidden>) {
        self.hidden = Arc::clone(hidden);
    }

    /// The connection as a URI without secrets.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// How the bytes travel.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The address that was connected to; `None` on a Unix socket. A pooler or a proxy there may speak for another.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// What the operator should know though it stopped nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The version as the server (or pooler) announced it.
    pub fn server_version(&self) -> Option<&str> {
        self.server_version.as_deref()
    }

    /// Whether the server was in recovery when the connection was made; `None` when it did not say (before PostgreSQL 14,
    /// and behind poolers).
    pub fn is_standby(&self) -> Option<bool> {
        self.standby
    }

    /// What an error of the driver means, with the server's last words when the connection is gone.
    pub async fn explain(&self, error: tokio_postgres::Error) -> Error {
        if errors::is_loss(&error)
            && let Some(words) = self.last_words().await
        {
            return words.into_loss();
        }
        let told = error_from(error);
        match (told.sqlstate(), self.standby) {
            (Some("25006"), Some(true)) => {
                // Not the operator's refusal but the server's state: another host of the same database takes the write.
                let text = format!("this server is a standby and takes no writes ({told})");
                Error::new(ErrorKind::Changed, text).with_sqlstate("25006").with_hint(TO_THE_PRIMARY)
            }
            (Some("25006"), Some(false)) if self.read_only == Some(true) => {
                told.with_hint("default_transaction_read_only is on for this role, database or server")
            }
            _ => told,
        }
    }

    /// Why the connection ended. The failing query can be a moment ahead of the task that knows, so it is given one.
    async fn last_words(&self) -> Option<Words> {
        let mut end = self.end.clone();
        let words = tokio::time::timeout(Duration::from_millis(500), end.wait_for(Option::is_some)).await;
        words.ok()?.ok()?.clone().filter(|words| !words.is_empty())
    }

    /// Asks the server whether it is in recovery and whether it takes writes, where it has not said so already.
    async fn ask_state(&mut self) -> Result<()> {
        static STATE: Sql = Sql::new("SELECT pg_is_in_recovery()::text, current_setting('transaction_read_only')");
        if self.standby.is_some() && self.read_only.is_some() {
            return Ok(());
        }
        let row = match self.client.query_typed(STATE.for_postgres(), &[]).await {
            Ok(rows) => rows.into_iter().next(),
            Err(error) => return Err(self.explain(error).await),
        };
        let row = row.ok_or_else(|| Error::new(ErrorKind::Unreadable, "the server did not tell its state"))?;
        let text = |index: usize| row.try_get::<_, String>(index).map_err(error_from);
        self.standby = Some(text(0)? == "true");
        self.read_only = Some(text(1)? == "on");
        Ok(())
    }
}
