//! Running work at most once per key, across machines and languages: what Sentinel's `once()` is to Python.
//!
//! The first caller of a key runs the work; its result is kept in the database and every later caller gets it without
//! running anything. A key whose work began and did not finish is *uncertain* and is never run again automatically.
//!
//! ```no_run
//! use std::time::Duration;
//! use sen_core::once::{Client, Once, Outcome};
//! use sen_core::stores::url::Target;
//!
//! # async fn charge(_token: i64) -> Result<String, std::io::Error> { Ok("receipt-1".into()) }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let target = Target::resolve(Some("postgresql://me@db.internal/payments"), &|name| std::env::var(name).ok())?;
//! let client = Client::connect(target).await?;
//! let outcome = Once::new(&client, "order-789")
//!     .namespace("payments")
//!     .ttl(Duration::from_secs(30))
//!     .hard_ttl(Duration::from_secs(3600))
//!     .run(async |lease| charge(lease.token).await)
//!     .await?;
//! match outcome {
//!     Outcome::Ran(receipt) | Outcome::Cached(receipt) => println!("charged: {receipt}"),
//!     Outcome::Alive { owner, .. } => println!("{owner:?} is at it right now"),
//!     Outcome::Uncertain { state, .. } => println!("{state}: charged, or not; `sen inspect payments:order-789`"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! While the work runs, heartbeats on a separate connection keep the lease alive. When they are not acknowledged for three
//! quarters of the TTL, or the row belongs to another owner, the work's future is dropped before another caller may take the
//! key ([`Failure::Fenced`]). The future must therefore not block its thread, and what it started elsewhere must check the
//! fencing token.
//!
//! The guarantee: work *starts* at most once per key in one surviving history of the database. Never "exactly once".

mod claim;
mod client;
mod hold;

use std::error::Error as StdError;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use claim::Taken;
pub use client::Client;
pub use hold::{Hold, Lost, Settled};
pub use sen_sentinel::once_port::{FailedRun, Held, KeyState, STDERR_TAIL};

use sen_model::error::{Error, ErrorKind};
use sen_model::time::Timestamp;
use sen_sentinel::record::{Lease, Status};
use sen_sentinel::verdict;

/// The default TTL.
pub const TTL: Duration = Duration::from_secs(30);
/// The default hard TTL.
pub const HARD_TTL: Duration = Duration::from_secs(3600);

/// Work to be run at most once.
#[derive(Debug, Clone)]
pub struct Once {
    client: Client,
    key: String,
    namespace: Option<String>,
    ttl: Duration,
    hard_ttl: Duration,
}

/// How a call ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// The work ran here, and its result is stored.
    Ran(T),
    /// The work had run before; this is its result. Nothing ran now.
    Cached(T),
    /// Another owner is running it. Nothing ran now.
    Alive {
        /// The owner: `host:pid-thread`.
        owner: Option<String>,
        /// When its lease ends unless it is extended, by the database's clock.
        expires_at: Option<Timestamp>,
    },
    /// It began earlier and did not finish; a person has to find out whether it happened. Nothing ran now.
    Uncertain {
        /// `stalled` (the worker may be alive), `uncertain`, or `reconciling` (an operator has taken it over).
        state: &'static str,
        /// The owner that began it.
        owner: Option<String>,
    },
}

/// How a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nothing ran: the claim failed, or the cached result is not of the requested type.
    #[error("nothing ran: {0}")]
    NotStarted(#[source] Error),
    /// The work returned an error. The key is uncertain now.
    #[error("the work failed: {0}")]
    Work(#[source] Box<dyn StdError + Send + Sync>),
    /// The work panicked. The key is uncertain now.
    #[error("the work panicked: {0}")]
    Panicked(String),
    /// The lease could not be extended, so the work's future was dropped before it ended. The key is or becomes uncertain.
    #[error("the work was stopped: {0}")]
    Fenced(Lost),
    /// The work ended and its result could not be stored: the key was taken over in the meantime, or the database does not
    /// accept the result as JSON. The key is uncertain unless a person settled it.
    #[error("the work ended, but its result was not stored: {0}")]
    NotStored(#[source] Error),
}

impl Once {
    /// Work for `key`.
    pub fn new(client: &Client, key: impl Into<String>) -> Self {
        Self { client: client.clone(), key: key.into(), namespace: None, ttl: TTL, hard_ttl: HARD_TTL }
    }

    /// Puts `namespace:` before the key, as the Python library does.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long the lease lasts without a heartbeat (default: [`TTL`]).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long heartbeats can extend the lease (default: [`HARD_TTL`]): work that takes longer is stopped.
    #[must_use]
    pub fn hard_ttl(mut self, hard_ttl: Duration) -> Self {
        self.hard_ttl = hard_ttl;
        self
    }

    /// The key as stored.
    pub fn key(&self) -> String {
        self.namespace.as_ref().map_or_else(|| self.key.clone(), |namespace| format!("{namespace}:{}", self.key))
    }

    /// Claims the key; heartbeats ([`Hold::keep`]) and completion are left to the caller.
    ///
    /// # Errors
    /// `OutcomeUnknown` when the connection was lost while claiming and the database could not be asked; else nothing happened.
    pub async fn claim(&self) -> Result<Taken, Error> {
        self.client.claim(self.key(), self.ttl, self.hard_ttl).await
    }

    /// Runs `work` unless the key has been taken before.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run<T, E, W>(&self, work: W) -> Result<Outcome<T>, Failure>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn StdError + Send + Sync>>,
        W: AsyncFnOnce(Held) -> Result<T, E>,
    {
        let hold = match self.claim().await.map_err(Failure::NotStarted)? {
            Taken::Ours(hold) => Arc::new(hold),
            Taken::Theirs(key_state) => return theirs(&key_state).map_err(Failure::NotStarted),
        };
        let keeper = DeadLetterSystem::start(&hold);
        // Only the closure can panic here, and it does not touch the state that is used afterwards.
        let running = AssertUnwindSafe(work(hold.held().clone())).catch_unwind();
        let ended = tokio::select! {
            ended = running => ended,
            lost = keeper.lost() => {
                hold.give_up(&failed(&lost)).await;
                return Err(Failure::Fenced(lost));
            }
        };
        let value = match ended {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                let error: Box<dyn StdError + Send + Sync> = error.into();
                hold.give_up(&failed(&error)).await;
                return Err(Failure::Work(error));
            }
            Err(panic) => {
                let text = words(panic.as_ref());
                hold.give_up(&failed(&format!("panicked: {text}"))).await;
                return Err(Failure::Panicked(text));
            }
        };
        let json = serde_json::to_string(&value)
            .map_err(|error| Error::usage("the result cannot be written as JSON").with_source(error));
        let settled = match json {
            Ok(json) => hold.complete(&json, |_| ()).await,
            Err(error) => Err(error),
        };
        match settled {
            Ok(Settled::Done) => Ok(Outcome::Ran(value)),
            Ok(Settled::Gone(lease)) => Err(Failure::NotStored(gone(lease.as_deref()))),
            Err(error) => {
                if error.kind() == ErrorKind::Usage {
                    hold.give_up(&failed(&error)).await;
                }
                Err(Failure::NotStored(error))
            }
        }
    }
}

/// The record of a run that failed for this reason.
fn failed(why: &dyn std::fmt::Display) -> FailedRun {
    const MOST: usize = 500;
    FailedRun { error: Some(why.to_string().chars().take(MOST).collect()), ..FailedRun::default() }
}

/// The heartbeats as a separate task: work that keeps its own task busy does not delay them.
struct DeadLetterSystem(tokio::task::JoinHandle<Lost>);

impl DeadLetterSystem {
    fn start(hold: &Arc<Hold>) -> Self {
        let hold = Arc::clone(hold);
        Self(tokio::spawn(async move { hold.keep().await }))
    }

    async fn lost(mut self) -> Lost {
        (&mut self.0).await.unwrap_or_else(|_| Lost::Silent("the heartbeats' task ended".into()))
    }
}

impl Drop for DeadLetterSystem {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// What the row is now.
pub fn gone(lease: Option<&Lease>) -> Error {
    Error::new(ErrorKind::Changed, format!("the lease is no longer ours: {}", what_is_there(lease)))
}

/// What the row is now, as a clause: `the key is free now: its row was deleted`.
pub fn what_is_there(lease: Option<&Lease>) -> String {
    let Some(lease) = lease else { return "the key is free now: its row was deleted".into() };
    let token = lease.fencing_token.map_or_else(|| "unknown".into(), |token| token.to_string());
    let owner = lease.owner_id.as_deref().map(|owner| format!(" of {owner}")).unwrap_or_default();
    match state_of(lease) {
        verdict::State::Held | verdict::State::Alive => {
            format!("the key was taken by another{owner}, with token {token}")
        }
        state => format!("the key is {} now{owner}, with token {token}", state.name()),
    }
}

/// The state of a key that could not be claimed, as `sen inspect` names it.
pub fn state_of(lease: &Lease) -> verdict::State {
    verdict::state(&lease.status, lease.alive, lease.hard_alive)
}

fn theirs<T: DeserializeOwned>(key_state: &KeyState) -> Result<Outcome<T>, Error> {
    let Some(lease) = &key_state.lease else {
        return Err(Error::new(ErrorKind::Changed, "the key is there and not there"));
    };
    let owner = lease.owner_id.clone();
    match lease.status {
        Status::Completed => {
            let json = lease.execution_result.as_deref().unwrap_or("null");
            let value = serde_json::from_str(json).map_err(|error| {
                Error::new(ErrorKind::Unreadable, "the cached result is not of the type asked for").with_source(error)
            })?;
            Ok(Outcome::Cached(value))
        }
        Status::Claimed | Status::Executing if lease.alive == Some(true) => {
            Ok(Outcome::Alive { owner, expires_at: lease.lease_expires_at })
        }
        _ => Ok(Outcome::Uncertain { state: state_of(lease).name(), owner }),
    }
}
