//! Leases in some states: those under way, and those whose outcome is not settled.

use futures_util::TryStreamExt as _;

use sen_model::activity::Activity;
use sen_model::error::Result;
use sen_model::listing::Page;

use super::handle::Sentinel;
use super::list::{LeaseFilter, LeaseState};
use super::record::{Lease, NAME};
use super::verdict::{State, state};

/// A lease whose side effect may or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The key.
    pub key: String,
    /// Its state.
    pub state: State,
}

fn of(lease: &Lease) -> State {
    state(&lease.status, lease.alive, lease.hard_alive)
}

fn activity(lease: Lease) -> Activity {
    let state = of(&lease);
    Activity {
        system: NAME,
        id: lease.key,
        state: state.name(),
        what: None,
        worker: lease.owner_id,
        since: lease.lease_updated_at.filter(|at| at.is_finite()),
        until: lease.lease_expires_at.filter(|at| at.is_finite()),
        begun: state != State::Held,
    }
}

impl Sentinel {
    /// At most `limit` leases that are held or executing, those that expire last first.
    pub(super) async fn activities(&self, limit: u64) -> Result<Vec<Activity>> {
        let leases = self.in_states(&[LeaseState::Held, LeaseState::Alive], limit).await?;
        Ok(leases.into_iter().map(activity).collect())
    }

    /// At most `limit` leases whose outcome is not settled, those that expired last first.
    ///
    /// # Errors
    /// What the store reports; `NoSystem` where there are no leases.
    pub async fn unsettled(&self, limit: u64) -> Result<Vec<Unsettled>> {
        let states = [LeaseState::Uncertain, LeaseState::Stalled, LeaseState::Reconciling];
        let leases = self.in_states(&states, limit).await?;
        Ok(leases.into_iter().map(|lease| Unsettled { state: of(&lease), key: lease.key }).collect())
    }

    /// The completed keys that are one of `names`, with or without a namespace: in the first [`NAMESPACES`](crate::port::NAMESPACES).
    ///
    /// # Errors
    /// As [`Self::unsettled`].
    pub async fn completed(&self, names: &[String]) -> Result<Vec<String>> {
        self.store.named(names, true).await
    }

    async fn in_states(&self, states: &[LeaseState], limit: u64) -> Result<Vec<Lease>> {
        let filter = LeaseFilter { states: states.to_vec(), page: Page::first(limit), ..LeaseFilter::default() };
        let mut leases = self.store.list(&filter.query()).await?.chunks.try_concat().await?;
        leases.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(leases)
    }
}
