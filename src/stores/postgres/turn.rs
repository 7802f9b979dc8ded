//! Questions of several systems that are put at the same time travel in one transaction.
//!
//! A turn is one poll of whoever asks several systems at once. The first question of it begins the transaction, each further
//! one joins, and the end of the poll ends it, so that all is written at once. A turn belongs to the thread that polls: what
//! others ask meanwhile has transactions of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::ThreadId;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Postgres;

type Ending = BoxFuture<'static, ()>;

struct Open {
    thread: ThreadId,
    /// The connection on which its transaction is open.
    on: Option<Arc<Postgres>>,
    /// Transactions that have ended without the answer to that.
    endings: Vec<Ending>,
}

/// What a question is to the turn that it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// There is none, or it is for itself.
    Alone,
    /// It begins the transaction.
    First,
    /// It joins.
    Further,
}

/// The turn of a connection, while there is one.
#[derive(Default)]
pub(super) struct Turn {
    open: Mutex<Option<Open>>,
    limit: Option<Duration>,
}

impl Turn {
    /// Of a connection whose answers are waited for so long.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { open: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is one, on whatever thread.
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes part in the turn of this thread.
    pub(super) fn join(&self, db: &Arc<Postgres>) -> Part {
        let mut open = self.lock();
        let Some(open) = open.as_mut().filter(|open| open.thread == std::thread::current().id()) else {
            return Part::Alone;
        };
        if open.on.as_ref().is_some_and(|on| Arc::ptr_eq(on, db)) {
            return Part::Further;
        }
        self.end(open);
        open.on = Some(Arc::clone(db));
        Part::First
    }

    /// Ends the transaction of this thread's turn before something else is put to the connection.
    pub(super) fn interrupt(&self) {
        if let Some(open) = self.lock().as_mut().filter(|open| open.thread == std::thread::current().id()) {
            self.end(open);
        }
    }

    fn end(&self, open: &mut Open) {
        if let Some(db) = open.on.take() {
            let limit = self.limit;
            let mut ending = async move { db.end_reading(limit).await }.boxed();
            // Puts it into the queue, behind the questions.
            if ending.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending() {
                open.endings.push(ending);
            }
        }
    }

    /// Runs `first` and `work`; what they ask in one poll is one transaction, `first` being ahead.
    pub(super) async fn gather<T>(&self, first: impl Future<Output = ()>, work: impl Future<Output = T>) -> T {
        let (mut first, mut work) = (pin!(first.fuse()), pin!(work));
        let mut endings: Vec<Ending> = Vec::new();
        let mut done = None;
        poll_fn(|context| {
            if done.is_none() {
                let outer = self.begin();
                let _ = first.as_mut().poll(context);
                if let Poll::Ready(value) = work.as_mut().poll(context) {
                    done = Some(value);
                }
                if outer {
                    endings.extend(self.finish());
                }
            }
            endings.retain_mut(|ending| ending.as_mut().poll(context).is_pending());
            if endings.is_empty() { done.take().map_or(Poll::Pending, Poll::Ready) } else { Poll::Pending }
        })
        .await
    }

    /// Whether a turn begins: none is open yet.
    fn begin(&self) -> bool {
        let mut open = self.lock();
        let free = open.is_none();
        if free {
            *open = Some(Open { thread: std::thread::current().id(), on: None, endings: Vec::new() });
        }
        free
    }

    fn finish(&self) -> Vec<Ending> {
        self.lock().take().map_or_else(Vec::new, |mut open| {
            self.end(&mut open);
            open.endings
        })
    }
}
