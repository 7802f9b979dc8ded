//! Connecting again within one command: for how long in all. A hundred items must not each wait for a server that is gone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use sen_model::error::{Error, ErrorKind, Result};

/// How much time one command spends on connecting again, over everything it does.
const TIME: Duration = Duration::from_secs(30);

/// How often a connection may fall silent before no other is tried: a server that takes every log-in and then answers
/// nothing costs as much time as one that is gone.
const SILENCES: u32 = 2;

/// What is left for connecting again.
#[derive(Debug)]
pub struct Budget {
    left: Mutex<Left>,
    /// What there was at first.
    all: Duration,
}

#[derive(Debug)]
struct Left {
    time: Duration,
    silences: u32,
    /// What the last attempt came to.
    why: Option<String>,
}

impl Left {
    const fn of(time: Duration) -> Self {
        Self { time, silences: SILENCES, why: None }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::longer_by(Duration::ZERO)
    }
}

impl Budget {
    /// More than usual by what the operator said that connecting may be tried again for.
    pub fn longer_by(span: Duration) -> Self {
        let all = TIME.saturating_add(span);
        Self { left: Mutex::new(Left::of(all)), all }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts everything back: for whoever asks for hours and has just been answered.
    pub fn restore(&self) {
        *self.left() = Left::of(self.all);
    }

    /// A connection was given up because the server did not answer.
    pub fn fell_silent(&self) {
        let mut left = self.left();
        left.silences = left.silences.saturating_sub(1);
        left.why = Some("the server takes connections and does not answer".into());
    }

    /// Runs `step` of what a lost connection needs within the time that is left, and takes from it what that took.
    ///
    /// # Errors
    /// What `step` returns; `Connect` when the time is over, or was before.
    pub async fn spend<T>(&self, step: BoxFuture<'_, Result<T>>) -> Result<T> {
        let time = {
            let left = self.left();
            if left.silences == 0 { Duration::ZERO } else { left.time }
        };
        if time.is_zero() {
            return Err(self.exhausted());
        }
        let begun = Instant::now();
        let done = tokio::time::timeout(time, step).await;
        let mut left = self.left();
        left.time = left.time.saturating_sub(begun.elapsed());
        match done {
            Ok(Err(error)) => {
                left.why = Some(error.to_string());
                Err(error)
            }
            Ok(done) => done,
            Err(_) => {
                left.time = Duration::ZERO;
                drop(left);
                Err(self.exhausted())
            }
        }
    }

    fn exhausted(&self) -> Error {
        let why = self.left().why.clone().map_or_else(String::new, |why| format!(": {why}"));
        let message = format!("the connection was lost and could not be restored{why}");
        Error::new(ErrorKind::Connect, message).with_hint("run the command again when the database answers")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn time_is_spent_once_for_everything() {
        runtime().block_on(async {
            let budget = Budget::default();
            budget.left().time = Duration::from_millis(50);
            let hangs = || std::future::pending::<Result<()>>().boxed();
            assert!(budget.spend(hangs()).await.unwrap_err().to_string().contains("could not be restored"));
            // Nothing is tried any more, however quick it would be.
            let error = budget.spend(std::future::ready(Ok(())).boxed()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect);
            budget.restore();
            assert!(budget.spend(std::future::ready(Ok(())).boxed()).await.is_ok());
        });
    }

    #[test]
    fn a_server_may_fall_silent_twice() {
        runtime().block_on(async {
            let budget = Budget::default();
            let connect = || std::future::ready(Ok(())).boxed();
            budget.fell_silent();
            assert!(budget.spend(connect()).await.is_ok());
            budget.fell_silent();
            let error = budget.spend(connect()).await.unwrap_err();
            assert!(error.to_string().contains("does not answer"), "{error}");
        });
    }
}
