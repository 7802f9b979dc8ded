//! What shows that a server answers, on a connection that several questions are put to.

use std::sync::Mutex;

use tokio::time::Instant;

/// When an answer to one of several questions last came on a connection. Whoever waits behind others' questions is not waiting
/// for a silent server as long as those are answered.
#[derive(Debug)]
pub(super) struct Steps(Mutex<Instant>);

impl Steps {
    /// On a fresh connection.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// `answer`, and that it came.
    pub(super) async fn of<T>(&self, answer: impl Future<Output = T>) -> T {
        let answer = answer.await;
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        answer
    }

    /// When the last one came.
    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
