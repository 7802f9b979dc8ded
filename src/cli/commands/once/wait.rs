//! Claims the key: at once, or after waiting for its owner.

use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::once::{Client, Once, KeyState, Taken, state_of};
use sen_core::systems::sentinel::record::Status;
use sen_core::systems::sentinel::verdict::State;
use sen_core::time::Uptime;

use super::signals::Signals;

/// How long to wait for what.
pub struct Patience<'a> {
    /// The key as stored.
    pub key: &'a str,
    /// `--wait`.
    pub limit: Option<Duration>,
}

/// How waiting ended.
pub enum Claimed {
    /// The key is ours, or it is not and that is the answer.
    Taken(Box<Taken>),
    /// A signal came first; nothing is held.
    Interrupted(i32),
}

/// The pauses between two looks grow from the first to the last.
const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);
/// How long an interrupted claim may still take: whether the key is ours must not stay open lightly.
const SETTLE: Duration = Duration::from_secs(3);

/// Claims, and while somebody else holds the key looks again until the limit. Looking writes nothing: a waiting caller
/// leaves one `rejected` event and not thousands.
pub async fn claim(once: &Once, client: &Client, patience: &Patience<'_>, signals: &mut Signals) -> Result<Claimed> {
    let until = Uptime::now().plus(patience.limit.unwrap_or_default());
    let mut pause = FIRST;
    loop {
        let taken = match attempt(once, signals).await? {
            Claimed::Taken(taken) => *taken,
            interrupted => return Ok(interrupted),
        };
        let mut key_state = match taken {
            Taken::Theirs(key_state) if patience.limit.is_some() => key_state,
            answer => return Ok(Claimed::Taken(Box::new(answer))),
        };
        // Until it is free and can be claimed.
        while !is_free(&key_state) {
            let left = Uptime::now().until(until);
            if left.is_zero() || !may_end(&key_state) {
                return Ok(Claimed::Taken(Box::new(Taken::Theirs(key_state))));
            }
            tokio::select! {
                () = tokio::time::sleep(pause.min(left)) => {}
                signal = signals.ending() => return Ok(Claimed::Interrupted(signal)),
            }
            pause = (pause * 3 / 2).min(LAST);
            key_state = tokio::select! {
                key_state = client.key_state(patience.key) => key_state?,
                signal = signals.ending() => return Ok(Claimed::Interrupted(signal)),
            };
        }
    }
}

fn is_free(key_state: &KeyState) -> bool {
    let lease = key_state.lease.as_ref();
    lease.is_none_or(|lease| lease.status == Status::Claimed && lease.alive != Some(true))
}

/// Whether waiting makes sense: a stalled worker may be alive and finish, an uncertain key changes only by a person.
fn may_end(key_state: &KeyState) -> bool {
    key_state.lease.as_ref().is_some_and(|lease| matches!(state_of(lease), State::Held | State::Alive | State::Stalled))
}

/// One claim. A signal meanwhile does not leave a key behind that nobody works on.
async fn attempt(once: &Once, signals: &mut Signals) -> Result<Claimed> {
    let mut claiming = std::pin::pin!(once.claim());
    let signal = tokio::select! {
        taken = &mut claiming => return taken.map(|taken| Claimed::Taken(Box::new(taken))),
        signal = signals.ending() => signal,
    };
    match tokio::time::timeout(SETTLE, claiming).await {
        Ok(Ok(Taken::Ours(hold))) => {
            hold.release().await.map_err(|error| {
                let message = "interrupted after the key was claimed, and it could not be given back; nothing was run";
                Error::new(ErrorKind::OutcomeUnknown, message).with_source(error)
            })?;
            Ok(Claimed::Interrupted(signal))
        }
        Ok(Ok(Taken::Theirs(_))) => Ok(Claimed::Interrupted(signal)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::new(ErrorKind::OutcomeUnknown, "interrupted while claiming the key; nothing was run")
            .with_hint("sen inspect the key: if it shows as uncertain with this host and process, nothing happened")),
    }
}
