//! The connection that claims and completes, and what is done when it breaks: asked again, never guessed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::hold::Hold;
use crate::registry;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::permit::{Consent, WritePermit};
use sen_model::plan::{Gravity, Plan, Step};
use sen_model::subject::Subject;
use sen_model::text::named;
use sen_model::time::Uptime;
use sen_model::value::Value;
use sen_sentinel::once_port::{Claim, ClaimStore, Held, Standing, Wish};
use sen_sentinel::record::Status;
use sen_stores::url::Target;

/// A line to the database.
pub(super) type Line = Arc<dyn ClaimStore>;

/// Longer than any limit the server has for a statement of ours: past it the line is as good as cut.
const PATIENCE: Duration = Duration::from_secs(40);

/// A database in which work is run at most once per key. Cloning shares the connection; calls from several tasks travel
/// on it at the same time.
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

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("database", &self.inner.database).finish_non_exhaustive()
    }
}

/// What became of a claim.
#[derive(Debug)]
pub enum Taken {
    /// The key is ours, and executing.
    Ours(Hold),
    /// It is not: what stands there.
    Theirs(Standing),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// `Connect`, `NoSystem` without Sentinel's tables, `Refused` where they are older than 0.4.2.
    pub async fn connect(target: Target) -> Result<Self> {
        let line: Line = registry::open_claims(&target).await?.into();
        let (database, ascii_only) = (line.database().to_owned(), line.ascii_only());
        Ok(Self { inner: Arc::new(Inner { target, database, ascii_only, line: Mutex::new(Some(line)) }) })
    }

    /// The database for people, without secrets.
    pub fn database(&self) -> &str {
        &self.inner.database
    }

    /// Whether the database stores no text beyond ASCII for sure.
    pub(super) fn ascii_only(&self) -> bool {
        self.inner.ascii_only
    }

    /// A connection of one's own.
    pub(super) async fn fresh_line(&self) -> Result<Line> {
        Ok(registry::open_claims(&self.inner.target).await?.into())
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Line>> {
        self.inner.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shared connection, made anew when it was lost.
    pub(super) async fn line(&self) -> Result<Line> {
        if let Some(line) = self.slot().clone() {
            return Ok(line);
        }
        let line = self.fresh_line().await?;
        Ok(Arc::clone(self.slot().get_or_insert(line)))
    }

    /// Forgets a connection that is lost, unless somebody has replaced it already.
    pub(super) fn drop_line(&self, lost: &Line) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|line| Arc::ptr_eq(line, lost)) {
            *slot = None;
        }
    }

    /// A key as it stands, with its cached result. Writes nothing.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn standing(&self, key: &str) -> Result<Standing> {
        let line = self.line().await?;
        match line.standing(key).await {
            Err(error) if error.kind() == ErrorKind::Disconnected => {
                self.drop_line(&line);
                self.line().await?.standing(key).await
            }
            answer => answer,
        }
    }

    /// Claims `key`. When the connection is lost meanwhile, the claim is made again in the same name, which no other
    /// attempt has: a row that carries it was taken by us.
    pub(super) async fn claim(&self, key: String, ttl: Duration, hard_ttl: Duration) -> Result<Taken> {
        let plan = plan(&key, self.database());
        let permit = WritePermit::grant(&plan, Consent::InAdvance, None)?;
        let wish = Wish { key, owner: owner(plan.operation), ttl, hard_ttl };
        let first = Uptime::now();
        let mut lost: Option<Error> = None;
        for _ in 0..3 {
            let line = match (self.line().await, lost.take()) {
                (Ok(line), unsure) => {
                    lost = unsure;
                    line
                }
                (Err(error), None) => return Err(error),
                (Err(error), Some(_)) => return Err(unknown(&wish, error)),
            };
            let sent = Uptime::now();
            let answer = tokio::time::timeout(PATIENCE, line.claim(&wish, &permit))
                .await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Disconnected, "the server did not answer the claim")));
            match answer {
                Ok(Claim::Taken(held)) => {
                    return Ok(Taken::Ours(Hold::new(self.clone(), held, permit, sent, (ttl, hard_ttl))));
                }
                Ok(Claim::Refused(standing)) => {
                    let lease = standing.lease.as_ref();
                    // Executing still: what an operator has taken over since is ours no longer.
                    let ours = lease.filter(|lease| {
                        lease.owner_id.as_deref() == Some(wish.owner.as_str())
                            && lease.status == Status::Executing
                            && lease.alive == Some(true)
                    });
                    return Ok(match ours.and_then(|lease| lease.fencing_token) {
                        Some(token) if lost.is_some() => {
                            let held = Held { key: wish.key, owner: wish.owner, token };
                            Taken::Ours(Hold::new(self.clone(), held, permit, first, (ttl, hard_ttl)))
                        }
                        _ => Taken::Theirs(standing),
                    });
                }
                Err(error) if error.kind() == ErrorKind::Disconnected => {
                    self.drop_line(&line);
                    lost = Some(error);
                }
                Err(error) if lost.is_some() => return Err(unknown(&wish, error)),
                Err(error) => return Err(error),
            }
        }
        Err(unknown(&wish, lost.unwrap_or_else(|| Error::new(ErrorKind::Internal, "no attempt was made"))))
    }
}

fn plan(key: &str, database: &str) -> Plan {
    let mut plan = Plan::new("run work once", database, Gravity::Harmless);
    plan.steps.push(Step {
        subject: Subject::new(sen_sentinel::NAME, "lease", key),
        act: "claim",
        guard: vec![("status", Value::Name("claimed")), ("lease_alive", Value::Bool(false))],
        input: None,
        warnings: Vec::new(),
    });
    plan
}

/// `host:pid-operation`: readable as the library's own, and unique to this one attempt.
fn owner(operation: OperationId) -> String {
    format!("{}:{}-{operation}", host(), std::process::id())
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".into())
}

fn unknown(wish: &Wish, cause: Error) -> Error {
    let message = format!(
        "the connection was lost while claiming {}: nothing was started, but the key may stand claimed by {}",
        named(&wish.key),
        wish.owner
    );
    Error::new(ErrorKind::OutcomeUnknown, message).with_source(cause).with_hint(
        "sen inspect the key when the database is back: if it is uncertain with this owner, nothing happened",
    )
}
