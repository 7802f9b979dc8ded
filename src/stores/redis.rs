//! One connection to a Redis (or Valkey) server: connecting, TLS, log-in, time limits, batches of commands.
//!
//! Ours from the socket up, so that TLS goes through our verifier, one exchange carries hundreds of commands with one
//! write, what a stranger may promise is bounded, and an exchange that is given up takes its connection with it. Knows no
//! system.

pub mod errors;
mod open;
mod replica;
mod replies;
mod resp;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Mutex;

pub use resp::{Batch, Reply};
use wire::Wire;

use super::budget::Budget;
use super::url::{RedisInfo, RedisPlace};
use sen_model::error::{Error, ErrorKind, Result};

/// A database on a Redis server. A connection that broke is replaced at the next question; whoever wrote through it
/// decides what that means.
pub struct Redis {
    info: RedisInfo,
    description: String,
    limit: Option<Duration>,
    wire: Mutex<Option<Wire>>,
    /// Whether there was a connection before: another one is then made on the budget.
    opened: AtomicBool,
    budget: Budget,
}

impl Redis {
    /// A database that is connected to when it is first asked something. `limit` bounds each exchange.
    pub fn lazy(info: &RedisInfo, limit: Option<Duration>) -> Self {
        Self {
            description: info.describe(),
            info: info.clone(),
            limit,
            wire: Mutex::new(None),
            opened: AtomicBool::new(false),
            budget: Budget::longer_by(info.connect_retry),
        }
    }

    /// Connects and logs in. `limit` bounds each exchange.
    ///
    /// # Errors
    /// `Connect`, or `Usage` for settings of TLS that cannot be used.
    pub async fn connect(info: &RedisInfo, limit: Option<Duration>) -> Result<Self> {
        let this = Self::lazy(info, limit);
        *this.wire.lock().await = Some(this.open().await?);
        Ok(this)
    }

    /// The first connection takes the time the settings give it; all later ones share the budget of the command.
    async fn open(&self) -> Result<Wire> {
        if self.opened.swap(true, Ordering::Relaxed) {
            self.budget.spend(open::open(&self.info).boxed()).await
        } else {
            open::open(&self.info).await
        }
    }

    /// The database as a URL without secrets.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// The number of the database on its server.
    pub fn database(&self) -> u32 {
        self.info.db
    }

    /// How the connection is protected, for people: `Unix socket`, `not encrypted`, `TLS, certificate verified`.
    pub async fn encryption(&self) -> &'static str {
        self.wire.lock().await.as_ref().map_or("not connected yet", Wire::encryption)
    }

    /// The same, and which server the sentinels led to.
    pub async fn way(&self) -> String {
        let encryption = self.encryption().await;
        match (&self.info.place, self.wire.lock().await.as_ref()) {
            (_, Some(wire)) if wire.note().is_some() => format!("{encryption}, {}", wire.server()),
            (RedisPlace::Sentinels(_), Some(wire)) => format!("{encryption}, primary {}", wire.server()),
            _ => encryption.to_owned(),
        }
    }

    /// Which server is read, where a replica was wanted.
    pub async fn note(&self) -> Option<String> {
        self.wire.lock().await.as_ref().and_then(Wire::note).map(str::to_owned)
    }

    /// What the operator should know of the settings.
    pub fn warnings(&self) -> &[String] {
        &self.info.warnings
    }

    /// How long one exchange may take.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Sends `batch` at once and returns one reply per command; an error reply stands in its place.
    ///
    /// # Errors
    /// `Disconnected` or `Timeout`: the commands may have been carried out or not, or may be yet. (`Disconnected` also when
    /// what answers turns out to be no Redis.) `Connect` when a connection that broke earlier cannot be replaced: then nothing was sent.
    pub async fn exchange(&self, batch: &Batch) -> Result<Vec<Reply>> {
        self.exchange_within(batch, self.limit).await
    }

    /// [`Self::exchange`] with a limit of its own: for a command that waits on purpose.
    ///
    /// # Errors
    /// As there.
    pub async fn exchange_within(&self, batch: &Batch, limit: Option<Duration>) -> Result<Vec<Reply>> {
        let mut slot = self.wire.lock().await;
        // Taken out while it is in use: an exchange that is given up midway leaves answers nobody waits for.
        let mut wire = match slot.take() {
            Some(wire) => wire,
            None => self.open().await?,
        };
        let replies = within(limit, wire.exchange(batch)).await;
        if let Err(error) = &replies
            && error.kind() == ErrorKind::Timeout
            && limit == self.limit
        {
            self.budget.fell_silent();
        }
        let mut replies = replies?;
        *slot = Some(wire);
        // The server names the command or says "a key"; which of many was meant only we know.
        for (at, reply) in replies.iter_mut().enumerate() {
            if let Reply::Error(text) = reply
                && text.starts_with("NOPERM")
                && let Some(refused) = batch.named(at)
            {
                *text += &format!("; refused: {refused}");
            }
        }
        Ok(replies)
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// As [`Self::exchange`], and what an error reply means.
    pub async fn call(&self, words: &[&[u8]]) -> Result<Reply> {
        let reply = self.exchange(&Batch::of(words)).await?.pop();
        reply.ok_or_else(|| Error::new(ErrorKind::Internal, "a reply of Redis is missing"))?.checked()
    }

    /// Publishes `message` and returns how many heard it.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn publish(&self, channel: &str, message: &str) -> Result<i64> {
        Ok(self.call(&[b"PUBLISH", channel.as_bytes(), message.as_bytes()]).await?.int().unwrap_or(0))
    }
}

async fn within<T>(limit: Option<Duration>, step: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(limit) = limit else { return step.await };
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, format!("Redis gave no answer within {}", wire::span(limit)))
            .with_hint("--timeout sets the limit"))
    })
}
