//! Ctrl-C ends a reading command at once. During an act the first one finishes the current item and begins no further one, so
//! that the report is true; the second one ends the program.

use std::cell::Cell;
use std::time::Duration;

use sen_core::permit::Revocation;
use tokio::sync::Notify;

use crate::exit::Exit;
use crate::screen::Screen;

/// The state of the interrupt.
#[derive(Debug, Default)]
pub struct Interrupt {
    writing: Cell<bool>,
    inside: Cell<bool>,
    left: Notify,
    decided: Cell<Option<Exit>>,
    revocation: Revocation,
}

impl Interrupt {
    /// The revocation that stops a running act before its next item.
    pub fn revocation(&self) -> &Revocation {
        &self.revocation
    }

    /// Everything is done and shown but what an interrupt may cut off: the program ends like this, whatever comes.
    pub fn decide(&self, exit: Exit) {
        self.decided.set(Some(exit));
    }

    /// How an interrupt ends the program.
    pub fn exit(&self) -> Exit {
        self.decided.get().unwrap_or(Exit::Interrupted)
    }

    /// Runs `work` so that the first interrupt does not cut it.
    pub async fn protect<T>(&self, work: impl Future<Output = T>) -> T {
        self.writing.set(true);
        let done = work.await;
        self.writing.set(false);
        done
    }

    /// Runs an act that was begun inside of another command: an interrupt that does not stop its writing leaves the act only.
    pub async fn leave_only(&self, act: impl Future<Output = Exit>, screen: &Screen) -> Exit {
        self.inside.set(true);
        let exit = tokio::select! {
            biased;
            exit = act => exit,
            () = self.left.notified() => {
                screen.say("interrupted");
                self.inside.set(false);
                return self.exit();
            }
        };
        if exit == Exit::Interrupted && !self.revocation.is_revoked() {
            // A question was left; the signal is about to be heard, and meant the question. It is not waited for without end.
            drop(tokio::time::timeout(Duration::from_secs(1), self.left.notified()).await);
        }
        self.inside.set(false);
        exit
    }

    /// Ends when the program is to end.
    pub async fn heard(&self, screen: &Screen) {
        loop {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            if !self.writing.get() && self.inside.get() {
                self.left.notify_waiters();
                continue;
            }
            if !self.writing.get() || self.revocation.is_revoked() {
                return;
            }
            self.revocation.revoke();
            screen.say("finishing what is under way; Ctrl-C again stops at once and may leave its outcome unknown");
        }
    }
}
