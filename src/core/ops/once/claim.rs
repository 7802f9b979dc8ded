//! A claim, repeated under the same owner name when the connection is lost.

use std::time::Duration;

use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::permit::{Consent, WritePermit};
use sen_model::plan::{Plan, Risk};
use sen_model::text::named;
use sen_model::time::Uptime;
use sen_sentinel::once_port::{Claim, ClaimRequest, Held, KeyState};
use sen_sentinel::record::Status;

use super::client::Client;
use super::hold::Hold;

/// Longer than any limit of the server for these statements: after it the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(40);

/// The outcome of a claim.
#[derive(Debug)]
pub enum Taken {
    /// The key is claimed and executing.
    Ours(Hold),
    /// It is not claimed: the row as it is.
    Theirs(KeyState),
}

impl Client {
    /// Claims `key`. When the connection is lost, the claim is repeated under the same owner name, which no other attempt has:
    /// a row with it was claimed by this call.
    pub(super) async fn claim(&self, key: String, ttl: Duration, hard_ttl: Duration) -> Result<Taken> {
        let plan = plan(&key, self.database());
        let permit = WritePermit::grant(&plan, Consent::InAdvance, None)?;
        let wish = ClaimRequest { key, owner: owner(plan.operation), ttl, hard_ttl };
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
                Ok(Claim::Refused(key_state)) => {
                    let lease = key_state.lease.as_ref();
                    // It must still be executing: an operator may have taken it over since.
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
                        _ => Taken::Theirs(key_state),
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
    Plan::new(database, Risk::Safe).announcing(1, |_| format!("run work once under {}", named(key)))
}

/// `host:pid-operation`: readable like the library's own names, and unique to this attempt.
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

fn unknown(wish: &ClaimRequest, cause: Error) -> Error {
    let message = format!(
        "the connection was lost while claiming {}: nothing was started, but the key may stand claimed by {}",
        named(&wish.key),
        wish.owner
    );
    Error::new(ErrorKind::OutcomeUnknown, message).with_source(cause).with_hint(
        "sen inspect the key when the database is back: if it is uncertain with this owner, nothing happened",
    )
}
