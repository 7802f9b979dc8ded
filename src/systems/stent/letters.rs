//! Dead letters of Stent: what they need of a store, and the neutral trait over it.
//!
//! What may be replayed is judged in [`rules`] (pure) and judged again by the statement that replays. The set of a bulk act is
//! [`chosen`] when its plan is made: ids and times of death as seen, so that what dies later is never touched.

pub mod edit;
pub mod port;
pub mod rules;
pub mod steps;
pub mod targets;

mod copies;
mod discard;
mod handle;
pub(crate) mod note;
mod plan;
mod replay;
mod view;

pub use handle::StentLetters;
pub use port::{Batch, Fact, Facts, LetterQuery, LetterStore};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letter::LetterGroup;
use sen_model::letters::{ArgumentEdit, Arguments, DeadLetters, LetterFilter, Letters, ReplayOptions};
use sen_model::plan::Plan;
use sen_model::prepared::{Apply, Applying, PreparedAction, Sink};
use sen_model::record::Record;
use sen_model::report::{Item, Report};

use crate::plan::{LetterAct, LetterAction};

/// How many dead letters are looked at at once.
const LOOKED_AT: usize = 500;

/// The limit that a store can apply by itself: groups are found by normalized errors, which only this side can compute.
fn store_limit(filter: &LetterFilter) -> Option<i64> {
    let limit = filter.limit.filter(|_| filter.groups.is_empty());
    limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

#[async_trait]
impl DeadLetters for StentLetters {
    async fn list(&self, filter: &LetterFilter) -> Result<Letters> {
        let (mut query, now) = self.query(filter).await?;
        query.limit = store_limit(filter);
        let facts = self.store.look(&query).await?;
        let (zone, groups) = (self.zone.clone(), filter.groups.clone());
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let parts = facts.chunks.map(move |chunk| {
            let mut chunk = chunk?;
            chunk.retain(|fact| view::is_in(fact, &groups));
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= chunk.len() as u64;
            Ok(chunk.into_iter().map(|fact| view::letter(fact, &zone)).collect())
        });
        Ok(Letters { now, parts: Box::pin(parts) })
    }

    async fn groups(&self, filter: &LetterFilter) -> Result<Vec<LetterGroup>> {
        let (mut query, _) = self.query(filter).await?;
        query.unordered = true;
        query.dump = false;
        let mut groups = view::Groups::default();
        let mut chunks = self.store.deaths(&query).await?;
        while let Some(chunk) = chunks.next().await {
            chunk?.into_iter().for_each(|death| groups.add(death));
        }
        Ok(groups.close(filter, &self.zone))
    }

    async fn show(&self, id: &str) -> Result<Vec<Record>> {
        let filter = LetterFilter { ids: vec![id.to_owned()], payloads: true, ..LetterFilter::default() };
        let (query, now) = match self.query(&filter).await {
            Err(error) if error.kind() == ErrorKind::NoSystem => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for fact in self.facts(&query).await? {
            let steps = self.foresee(std::slice::from_ref(&fact.id), now).await?;
            found.push(view::found(fact, &steps, now, &self.zone));
        }
        Ok(found)
    }

    async fn plan_replay(
        &self,
        filter: &LetterFilter,
        options: &ReplayOptions,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        self.prepare_replay(filter, options, None).await
    }

    async fn plan_edited_replay(
        &self,
        filter: &LetterFilter,
        options: &ReplayOptions,
        edit: &ArgumentEdit,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        self.prepare_replay(filter, options, Some(edit)).await
    }

    async fn arguments(&self, id: &str) -> Result<Option<(Arguments, String)>> {
        let filter = LetterFilter { ids: vec![id.to_owned()], payloads: true, ..LetterFilter::default() };
        let (query, _) = self.query(&filter).await?;
        let Some(fact) = self.facts(&query).await?.pop() else { return Ok(None) };
        let refused = |why: String| Error::new(ErrorKind::Refused, format!("dead letter {id}: {why}"));
        let (_, stored) = edit::read(fact.dump.as_deref()).map_err(refused)?;
        let text = edit::text(&stored).map_err(refused)?;
        Ok(Some((stored, text)))
    }

    async fn plan_discard(&self, filter: &LetterFilter) -> Result<Box<dyn PreparedAction + '_>> {
        self.prepare_discard(filter).await
    }

    async fn export(&self, filter: &LetterFilter, sink: Sink<'_>) -> Result<u64> {
        let (mut query, _) = self.query(filter).await?;
        query.dump = true;
        query.limit = store_limit(filter);
        let mut chunks = self.store.look(&query).await?.chunks;
        let mut count = 0;
        while let Some(chunk) = chunks.next().await {
            for fact in chunk? {
                if view::is_in(&fact, &filter.groups) && filter.limit.is_none_or(|limit| count < limit) {
                    sink(&view::whole(&fact))?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}

#[async_trait]
impl Apply<LetterAction> for StentLetters {
    async fn apply(&self, plan: &Plan, action: LetterAction, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, brakes, export } = applying;
        let LetterAction { act, chosen } = action;
        if permit.may_have_begun() {
            // What planning finds out of the tables is not in a plan that was read back.
            self.store.ready().await?;
        }
        Ok(match (act, export) {
            (LetterAct::Replay { options, activities }, _) => {
                self.apply_replay(plan, (&chosen, &options, activities), permit, observer, brakes).await
            }
            (LetterAct::Discard, Some(sink)) => self.apply_discard(plan, &chosen, permit, sink, observer).await,
            (LetterAct::Discard, None) => {
                return Err(Error::usage("dead letters are removed only after they were written out")
                    .with_hint("name a new file with --export FILE"));
            }
        })
    }

    async fn check(&self, action: &LetterAction) -> Result<Vec<Item>> {
        self.store.ready().await?;
        let mut items = Vec::with_capacity(action.chosen.len());
        for from in (0..action.chosen.len()).step_by(LOOKED_AT) {
            let letters: Vec<_> = (from..from + LOOKED_AT).map_while(|at| action.chosen.get(at)).collect();
            items.extend(match &action.act {
                LetterAct::Replay { options, .. } => self.replayable(&letters, options.force).await?,
                LetterAct::Discard => self.present(&letters).await?,
            });
        }
        Ok(items)
    }
}
