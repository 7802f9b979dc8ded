//! Stent's dead letters in one database: the store, and what its queries share.

use futures_util::TryStreamExt as _;
use sen_model::error::Result;
use sen_model::letters::LetterFilter;
use sen_model::time::Timestamp;
use sen_model::time::wall::Zone;

use super::port::{Fact, LetterQuery, LetterStore};
use super::steps::{self, Foresight};
use crate::port::absent;

/// Stent's dead letters in one database.
pub struct StentLetters {
    pub(crate) store: Box<dyn LetterStore>,
    pub(crate) zone: Zone,
}

impl StentLetters {
    /// Over `store`; `zone` is the one whose wall clock the workers write.
    pub fn new(store: Box<dyn LetterStore>, zone: Zone) -> Self {
        Self { store, zone }
    }

    /// What a replay of those of these letters that are orchestrators does with each step of their executions.
    pub(super) async fn foresee(&self, letters: &[String], now: Timestamp) -> Result<Foresight> {
        let around = self.store.around(letters, self.zone.ahead_at(now), steps::TASKS + 1).await?;
        Ok(steps::foresee(around, steps::TASKS))
    }

    /// All letters that match, for a few of them.
    pub(crate) async fn facts(&self, query: &LetterQuery) -> Result<Vec<Fact>> {
        self.store.look(query).await?.chunks.try_concat().await
    }

    /// The query for a filter, and the database's clock.
    pub(super) async fn query(&self, filter: &LetterFilter) -> Result<(LetterQuery, Timestamp)> {
        let (now, there) = self.store.ready().await?;
        if !there {
            return Err(absent(self.store.database()));
        }
        let mut until = filter.until.map(|when| when.resolve(now));
        if let Some(span) = filter.older_than {
            let bound = now.minus(span);
            until = Some(until.map_or(bound, |until| until.min(bound)));
        }
        let query = LetterQuery {
            ids: (!filter.ids.is_empty()).then(|| filter.ids.clone()),
            kinds: filter.kinds.clone(),
            queue: filter.queue.clone(),
            step: filter.step.clone(),
            error: filter.error.clone(),
            worker: filter.worker.clone(),
            since: filter.since.map(|when| self.zone.wall(when.resolve(now))),
            until: until.map(|moment| self.zone.wall(moment)),
            unordered: false,
            newest_first: filter.newest_first,
            limit: None,
            texts: true,
            dump: filter.payloads,
            ahead: self.zone.ahead_at(now),
        };
        Ok((query, now))
    }
}
