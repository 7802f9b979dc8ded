//! Lists of leases.

use futures_util::StreamExt as _;
use sen_model::choices;
use sen_model::error::Result;
use sen_model::listing::{Choice as _, Listing, Page, Period, parts};

use super::port::{LeaseQuery, Leases, Order};
use super::view::{LEASE_COLUMNS, lease_row};
use crate::handle::Sentinel;

choices! {
    /// What the database stores of a lease, and what a verdict says of it.
    pub enum LeaseState {
        /// Stored.
        Claimed = "claimed",
        /// Stored.
        Executing = "executing",
        /// Stored, and a verdict.
        Reconciling = "reconciling",
        /// Stored, and a verdict.
        Completed = "completed",
        /// Claimed, and the lease has ended.
        Free = "free",
        /// Claimed, and the lease has not ended.
        Held = "held",
        /// Executing under a lease.
        Alive = "alive",
        /// Executing, the lease has ended, its hard limit has not.
        Stalled = "stalled",
        /// Executing, and both have ended.
        Uncertain = "uncertain",
        /// No version writes such a row.
        Unreadable = "unreadable",
    }
}

choices! {
    /// Orders of leases.
    pub enum LeaseOrder {
        /// The one with the latest expiry first.
        Expires = "expires",
        /// The one changed last first.
        Updated = "updated",
        /// The largest fencing token first.
        Token = "token",
        /// By key.
        Key = "key",
    }
}

/// Which leases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeaseFilter {
    /// In one of these states; empty: all.
    pub states: Vec<LeaseState>,
    /// Keys of this namespace (`payments` matches `payments:order-1`).
    pub namespace: Option<String>,
    /// Owners that begin with this.
    pub owner: Option<String>,
    /// Only leases that have expired.
    pub expired: bool,
    /// When they last changed.
    pub period: Period,
    /// Which part of them.
    pub page: Page<LeaseOrder>,
}

impl LeaseFilter {
    fn order(&self) -> (Order, bool) {
        let (order, largest_first) = match self.page.order {
            None if self.page.limit.is_none() => (Order::Stored, false),
            None | Some(LeaseOrder::Expires) => (Order::Expires, true),
            Some(LeaseOrder::Updated) => (Order::Updated, true),
            Some(LeaseOrder::Token) => (Order::Token, true),
            Some(LeaseOrder::Key) => (Order::Key, false),
        };
        (order, largest_first != self.page.reverse)
    }

    pub(super) fn query(&self) -> LeaseQuery {
        let (order, descending) = self.order();
        let live = |state: &LeaseState| matches!(state, LeaseState::Held | LeaseState::Alive);
        LeaseQuery {
            states: self.states.iter().map(|state| state.name().to_owned()).collect(),
            prefix: self.namespace.as_ref().map(|namespace| format!("{namespace}:")),
            owner: self.owner.clone(),
            expired: self.expired,
            // What these states say of the expiry, said so that an index can be used.
            alive: !self.states.is_empty() && self.states.iter().all(live),
            older_than: self.period.older_than,
            since: self.period.since,
            until: self.period.until,
            order,
            descending,
            limit: self.page.one_more(),
            payloads: self.page.payloads,
        }
    }
}

impl Sentinel {
    /// The leases that match.
    ///
    /// # Errors
    /// What the store reports; `NoSystem` when there are no leases here.
    pub async fn list(&self, filter: &LeaseFilter) -> Result<Listing> {
        let Leases { now, chunks } = self.store.list(&filter.query()).await?;
        Ok(Listing { columns: LEASE_COLUMNS, now, parts: parts(chunks, filter.page.limit, lease_row) })
    }

    /// The keys of the leases that match: the set of a bulk act, fixed before anything is written.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn keys(&self, filter: &LeaseFilter) -> Result<Vec<String>> {
        let limit = filter.page.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut chunks = self.store.list(&filter.query()).await?.chunks;
        let mut keys = Vec::new();
        while let Some(leases) = chunks.next().await {
            keys.extend(leases?.into_iter().map(|lease| lease.key));
        }
        keys.truncate(limit);
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_newest_first_and_streams_keep_the_stored_order() {
        let of = |order, reverse, limit| {
            LeaseFilter { page: Page { order, reverse, limit, ..Page::default() }, ..LeaseFilter::default() }.order()
        };
        assert_eq!(of(None, false, Some(10)), (Order::Expires, true));
        assert_eq!(of(None, true, Some(10)), (Order::Expires, false));
        assert_eq!(of(None, false, None), (Order::Stored, false));
        assert_eq!(of(Some(LeaseOrder::Key), false, Some(10)), (Order::Key, false));
    }
}
