//! Sagas under way.

use std::cmp::Reverse;

use futures_util::TryStreamExt as _;

use sen_model::activity::Activity;
use sen_model::error::Result;
use sen_model::verdict::Severity;

use super::handle::Sagas;
use super::port::{Order, SagaQuery};
use super::record::{NAME, Saga};
use super::state::State;

fn activity(saga: Saga) -> Activity {
    Activity {
        system: NAME,
        state: State::of(&saga).name(),
        id: saga.id,
        what: saga.name,
        worker: None,
        since: [saga.updated, saga.created].into_iter().flatten().find(|at| at.is_finite()),
        until: saga.deadline.filter(|at| at.is_finite()),
        begun: true,
    }
}

impl Sagas {
    /// At most `limit` sagas that a poll or an event will bring further, the one changed last first.
    pub(crate) async fn activities(&self, limit: u64) -> Result<Vec<Activity>> {
        let judged = State::ALL.into_iter().filter(|state| state.severity() == Severity::Pending).map(State::name);
        let query = SagaQuery {
            stored: Vec::new(),
            judged: judged.collect(),
            stuck: false,
            due: false,
            ids: None,
            name: None,
            aggregation: None,
            error: None,
            older_than: None,
            since: None,
            until: None,
            order: Order::Updated,
            descending: true,
            limit: Some(i64::try_from(limit).unwrap_or(i64::MAX)),
            payloads: false,
        };
        let mut all: Vec<Saga> = Vec::new();
        for model in &self.models().await?.models {
            all.extend(self.store.list(model, &query).await?.chunks.try_concat().await?);
        }
        all.sort_by_key(|saga| Reverse(saga.updated));
        all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(all.into_iter().map(activity).collect())
    }
}
