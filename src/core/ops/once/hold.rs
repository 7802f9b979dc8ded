//! A claimed key: extending its lease, and completing it. All times are taken before a message is sent and measured on a clock
//! that includes suspended time, so that the lease as computed here always ends before the database's.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::{Client, Line};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::text::named;
use sen_model::time::Uptime;
use sen_sentinel::once_port::{FailedRun, Held, check_result};
use sen_sentinel::record::{Lease, Status};

/// The longest single sleep: a sleep does not include suspended time, the clock that is read after it does.
const TICK: Duration = Duration::from_millis(200);

/// A key that this process has claimed and is executing.
pub struct Hold {
    client: Client,
    held: Held,
    permit: WritePermit,
    lease: Mutex<LeaseDeadline>,
    /// A moment before the claim, and for how long after it heartbeats can extend the lease.
    hard: (Uptime, Duration),
}

/// The lease as this process may rely on it.
#[derive(Debug, Clone, Copy)]
struct LeaseDeadline {
    /// A moment before the server last renewed the lease.
    base: Uptime,
    /// Its duration from then on.
    ttl: Duration,
}

impl LeaseDeadline {
    fn share(self, parts: u32, of: u32) -> Uptime {
        self.base.plus(self.ttl * parts / of)
    }
}

/// Why a lease could not be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// A heartbeat found that the row belongs to another owner: taken over, settled, or past its hard expiry.
    Refused,
    /// No heartbeat was acknowledged in time; the last error.
    Silent(String),
    /// The hard TTL is nearly over.
    HardLimit,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the lease is no longer ours"),
            Self::Silent(why) => write!(f, "no heartbeat was acknowledged in time ({why})"),
            Self::HardLimit => f.write_str("it reached its hard TTL (--hard-ttl)"),
        }
    }
}

/// The outcome of completing or releasing a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// Written, and confirmed.
    Done,
    /// The row belongs to another owner; nothing was written. The row as it is now.
    Gone(Option<Box<Lease>>),
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Hold {
    pub(super) fn new(
        client: Client,
        held: Held,
        permit: WritePermit,
        base: Uptime,
        (ttl, hard_ttl): (Duration, Duration),
    ) -> Self {
        let hard = (base, hard_ttl.max(ttl));
        Self { client, held, permit, lease: Mutex::new(LeaseDeadline { base, ttl }), hard }
    }

    /// A moment before the hard limit.
    fn before_limit(&self, lead: Duration) -> Uptime {
        let (base, hard_ttl) = self.hard;
        base.plus(hard_ttl.saturating_sub(lead))
    }

    /// When work must be told to stop because of the hard limit: 5 s before it, or a quarter of it where it is short.
    fn limit_at(&self) -> Uptime {
        self.before_limit((self.hard.1 / 4).min(Duration::from_secs(5)))
    }

    /// Whether the database may be unable to store text beyond ASCII.
    pub fn ascii_only(&self) -> bool {
        self.client.ascii_only()
    }

    /// Key, owner and token.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The operation's id, as stored with the events.
    pub fn operation(&self) -> sen_model::ident::OperationId {
        self.permit.operation()
    }

    fn reckoned(&self) -> LeaseDeadline {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewed(&self, base: Uptime, ttl: Duration) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = LeaseDeadline { base, ttl };
    }

    /// When work must be told to stop: three quarters of the TTL after the last acknowledged beat, or shortly before the hard
    /// limit.
    pub fn stop_at(&self) -> Uptime {
        self.reckoned().share(3, 4).min(self.limit_at())
    }

    /// When work must have ended: a tenth of the TTL before another caller may take the key, and before the hard limit.
    pub fn kill_at(&self) -> Uptime {
        let lead = (self.hard.1 / 10).min(Duration::from_secs(1));
        self.reckoned().share(9, 10).min(self.before_limit(lead))
    }

    /// When the lease ends if nothing more is acknowledged.
    pub fn over_at(&self) -> Uptime {
        self.reckoned().share(1, 1)
    }

    /// Sends heartbeats for as long as the lease can be kept, and returns only when it cannot.
    pub async fn keep(&self) -> Lost {
        let mut line: Option<Line> = None;
        let mut trouble = "the machine slept, or was too busy to send one".to_owned();
        // The first heartbeat is sent earlier, because it also has to connect.
        let mut next = self.reckoned().share(1, 4);
        loop {
            // After a late wake-up a lease that has expired is given up, not extended.
            if !self.pause_until(next).await {
                let limit = Uptime::now().until(self.limit_at()).is_zero();
                return if limit { Lost::HardLimit } else { Lost::Silent(trouble) };
            }
            let sent = Uptime::now();
            // Each attempt gets half of the remaining time: a silent connection must leave time for another one.
            let patience = (sent.until(self.stop_at()) / 2).max(TICK);
            let beating = async {
                let line = match &line {
                    Some(line) => line,
                    None => line.insert(self.client.fresh_line().await?),
                };
                line.beat(&self.held, &self.permit).await
            };
            match tokio::time::timeout(patience, beating).await {
                Ok(Ok(Some(beat))) => {
                    self.renewed(sent, beat.ttl);
                    next = self.reckoned().share(1, 3);
                }
                Ok(Ok(None)) => return Lost::Refused,
                Ok(Err(error)) => {
                    trouble = error.to_string();
                    line = None;
                    next = Uptime::now().plus(self.retry_pause());
                }
                Err(_) => {
                    trouble = "the database does not answer".into();
                    line = None;
                    next = Uptime::now().plus(self.retry_pause());
                }
            }
        }
    }

    fn retry_pause(&self) -> Duration {
        (self.reckoned().ttl / 40).clamp(Duration::from_millis(20), Duration::from_secs(2))
    }

    /// Sleeps until `next`; false as soon as it is time to stop.
    async fn pause_until(&self, next: Uptime) -> bool {
        loop {
            let now = Uptime::now();
            let left = now.until(self.stop_at());
            if left.is_zero() {
                return false;
            }
            let pause = now.until(next).min(left);
            if pause.is_zero() {
                return true;
            }
            tokio::time::sleep(pause.min(TICK)).await;
        }
    }

    /// Stores the result. While the database cannot be reached it is tried again for as long as the lease may still be
    /// valid, and for as long as connecting may be tried again: a result is stored only where nobody has taken the key over.
    /// `trouble` is called with the first failure. After a lost connection the row shows whether it was stored.
    ///
    /// # Errors
    /// `Usage` when the result is no JSON or holds NUL; `OutcomeUnknown` when time ran out and the last attempt may have
    /// been stored; else it was not stored, and the error says why.
    pub async fn complete(&self, json: &str, trouble: impl FnOnce(&Error)) -> Result<Settled> {
        check_result(json)?;
        let mut trouble = Some(trouble);
        let mut unsure = false;
        let patient = Uptime::now().plus(self.client.connect_retry());
        loop {
            let error = match self.attempt_complete(json, unsure).await {
                Ok(settled) => return Ok(settled),
                Err(error) => error,
            };
            unsure |= error.kind() == ErrorKind::Disconnected;
            let again = matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Connect | ErrorKind::Timeout)
                || is_of_a_standby(&error);
            if let Some(trouble) = trouble.take() {
                trouble(&error);
            }
            if !again || Uptime::now().until(self.over_at().max(patient)).is_zero() {
                return Err(if unsure { self.unknown(error) } else { error });
            }
            tokio::time::sleep(self.retry_pause()).await;
        }
    }

    fn unknown(&self, cause: Error) -> Error {
        let message = format!(
            "the connection was lost while storing the result of {}: it may be stored or not (operation {})",
            named(&self.held.key),
            self.operation()
        );
        Error::new(ErrorKind::OutcomeUnknown, message).with_source(cause)
    }

    async fn attempt_complete(&self, json: &str, unsure: bool) -> Result<Settled> {
        let left = Uptime::now().until(self.over_at());
        let patience = left.clamp(Duration::from_secs(1), (self.reckoned().ttl / 4).max(Duration::from_secs(1)));
        let silent = || Error::new(ErrorKind::Disconnected, "the database does not answer");
        let line = tokio::time::timeout(patience, self.client.line())
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Connect, "the database does not answer")))?;
        let writing = async {
            if line.complete(&self.held, json, &self.permit).await? {
                return Ok(Settled::Done);
            }
            let lease = line.key_state(&self.held.key).await?.lease;
            match &lease {
                Some(lease) if unsure && self.is_ours(lease, json) => Ok(Settled::Done),
                _ => Ok(Settled::Gone(lease.map(Box::new))),
            }
        };
        let answer = tokio::time::timeout(patience, writing).await.unwrap_or_else(|_| Err(silent()));
        if answer.as_ref().is_err_and(|error: &Error| error.kind() == ErrorKind::Disconnected || is_of_a_standby(error))
        {
            self.client.drop_line(&line);
        }
        answer
    }

    /// Whether the row is what this process stored. A result that an operator stored under the same token (0.4.2 draws no new
    /// one) is not.
    fn is_ours(&self, lease: &Lease, json: &str) -> bool {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        lease.status == Status::Completed
            && lease.owner_id.as_deref() == Some(self.held.owner.as_str())
            && lease.fencing_token == Some(self.held.token)
            && lease.execution_result.as_deref().and_then(value) == value(json)
    }

    /// Deletes the row, so that the key may run again.
    ///
    /// # Errors
    /// What the store reports; after a lost connection the row is read.
    pub async fn release(&self) -> Result<Settled> {
        self.end(End::Release).await
    }

    /// Makes the key uncertain at once, and stores with the event how the run failed.
    ///
    /// # Errors
    /// What the store reports; after a lost connection it is tried again.
    pub async fn expire(&self, run: &FailedRun) -> Result<Settled> {
        self.end(End::Expire(run)).await
    }

    /// As [`Self::expire`], but only for a short time and without an error: if it fails, the lease expires by itself. Returns
    /// what became of the key; `None` when the database did not answer.
    pub async fn give_up(&self, run: &FailedRun) -> Option<Settled> {
        let patience = (self.reckoned().ttl / 4).clamp(Duration::from_millis(500), Duration::from_secs(3));
        tokio::time::timeout(patience, self.expire(run)).await.ok()?.ok()
    }

    async fn end(&self, end: End<'_>) -> Result<Settled> {
        let mut tries = 0;
        let mut unsure = false;
        loop {
            tries += 1;
            let line = self.client.line().await?;
            let writing = async {
                let done = match end {
                    End::Release => line.release(&self.held, &self.permit).await?,
                    End::Expire(run) => line.expire(&self.held, Some(run), &self.permit).await?,
                };
                if done {
                    return Ok(Settled::Done);
                }
                let lease = line.key_state(&self.held.key).await?.lease;
                // Missing after a release without an answer: that release deleted it.
                Ok(if unsure && lease.is_none() && matches!(end, End::Release) {
                    Settled::Done
                } else {
                    Settled::Gone(lease.map(Box::new))
                })
            };
            match tokio::time::timeout(Duration::from_secs(10), writing)
                .await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Disconnected, "the database does not answer")))
            {
                Err(error) if error.kind() == ErrorKind::Disconnected && tries < 3 => {
                    self.client.drop_line(&line);
                    unsure = true;
                }
                Err(error) if error.kind() == ErrorKind::Timeout && tries < 3 => {}
                answer => return answer,
            }
        }
    }
}

/// Whether the server accepts no writes, as a standby does. While a standby is being promoted, a new connection can reach the
/// primary.
fn is_of_a_standby(error: &Error) -> bool {
    error.sqlstate() == Some("25006")
}

#[derive(Debug, Clone, Copy)]
enum End<'a> {
    Release,
    Expire(&'a FailedRun),
}
