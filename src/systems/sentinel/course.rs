//! What became of keys that were acted on.

use sen_model::course::{Course, Followed, Now};
use sen_model::error::Result;

use crate::handle::Sentinel;
use crate::record::Lease;
use crate::verdict::{State, state};

/// How a key stands. A free key is as the acts leave it: nothing says that it will be claimed.
fn of_lease(lease: Option<&Lease>) -> Now {
    let state = lease.map_or(State::Free, |lease| state(&lease.status, lease.alive, lease.hard_alive));
    let course = match state {
        State::Free | State::Completed => Course::Succeeded,
        State::Held | State::Alive | State::Stalled => Course::Running,
        State::Reconciling => Course::Waiting,
        State::Uncertain => Course::DiedAgain,
        State::Unreadable => Course::Unknown,
    };
    let told = Now::new(course, state.name());
    match state {
        State::Stalled => told.noting("its lease has expired, its hard limit has not"),
        State::Reconciling => told.noting("an operator has taken it over and has not settled it"),
        State::Uncertain => told.noting("started again, no live owner: outcome unknown"),
        State::Unreadable => told.noting("its row cannot be judged"),
        _ => told,
    }
}

impl Sentinel {
    /// How these keys stand.
    pub(crate) async fn courses_of(&self, targets: &[Followed]) -> Result<Vec<Now>> {
        let keys: Vec<String> = targets.iter().map(|target| target.id().to_owned()).collect();
        Ok(self.store.look_all(&keys, 0).await?.iter().map(|look| of_lease(look.lease.as_ref())).collect())
    }
}
