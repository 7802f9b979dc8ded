//! Following the events of one key as they are committed.

use std::collections::VecDeque;
use std::time::Duration;

use sen_model::error::Result;
use sen_model::record::Event;
use sen_model::system::System;
use sen_model::time::Timestamp;

/// Ids are drawn before their transaction commits, so an event can appear after a later one. The last minute is therefore
/// read again each time, and events that were already shown are left out.
const OVERLAP: Duration = Duration::from_secs(60);

/// A reader that remembers which events it has returned.
pub struct Follower {
    key: String,
    newest: Option<Timestamp>,
    earliest: Option<Timestamp>,
    seen: VecDeque<(Timestamp, i64)>,
}

impl Follower {
    /// Follows `key`, starting after `shown`.
    pub fn new(key: &str, shown: &[Event]) -> Self {
        let mut follower = Self { key: key.to_owned(), newest: None, earliest: None, seen: VecDeque::new() };
        follower.remember(shown);
        follower
    }

    /// The same, nothing of before `moment`.
    #[must_use]
    pub fn since(mut self, moment: Timestamp) -> Self {
        self.earliest = Some(moment);
        self.newest = self.newest.max(Some(moment));
        self
    }

    fn remember(&mut self, events: &[Event]) {
        for event in events {
            self.newest = self.newest.max(Some(event.at));
            self.seen.push_back((event.at, event.id));
        }
        if let Some(horizon) = self.newest.map(|newest| newest.minus(OVERLAP)) {
            self.seen.retain(|(at, _)| *at >= horizon);
        }
    }

    /// The events that were committed since the last call, in time order.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn poll(&mut self, system: &dyn System) -> Result<Vec<Event>> {
        let since = self.newest.filter(|newest| newest.is_finite()).map(|newest| newest.minus(OVERLAP));
        let history = system.history_since(&self.key, since).await?;
        let is_new = |event: &Event| self.earliest <= Some(event.at) && !self.seen.contains(&(event.at, event.id));
        let fresh: Vec<Event> = history.events.into_iter().filter(is_new).collect();
        self.remember(&fresh);
        Ok(fresh)
    }
}
