//! Removing dead letters: what is removed is written out whole first, batch by batch.

use async_trait::async_trait;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal;
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::prepared::Sink;
use sen_model::report::{Item, Outcome, Report, suppressed};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;

use super::handle::StentLetters;
use super::note::note;
use super::port::{Batch, Fact, LetterQuery};
use super::targets::{DeadLetterRef, Places, TargetSet};
use super::view;
use crate::names::dead_letter;

/// How many dead letters are removed in one transaction.
const BATCH: usize = 200;

/// Letters of a set that are written out and removed.
struct Removals<'a> {
    letters: &'a StentLetters,
    chosen: &'a TargetSet,
    note: String,
    permit: &'a WritePermit,
    sink: Sink<'a>,
}

impl StentLetters {
    pub(super) async fn apply_discard(
        &self,
        plan: &Plan,
        chosen: &TargetSet,
        permit: &WritePermit,
        sink: Sink<'_>,
        observer: &dyn Observer,
    ) -> Report {
        let mut removals = Removals { letters: self, chosen, note: note(permit), permit, sink };
        run_batch(&mut [&mut removals], plan, chosen.len(), Pace::bulk(BATCH, None), permit, observer).await
    }

    /// Whether these letters are still there.
    pub(super) async fn present(&self, letters: &[DeadLetterRef]) -> Result<Vec<Item>> {
        let ids = letters.iter().map(|letter| letter.id.clone()).collect();
        let facts = self.facts(&LetterQuery { ids: Some(ids), ..LetterQuery::default() }).await?;
        let item = |letter: &DeadLetterRef| {
            let subject = dead_letter(&letter.id);
            match facts.iter().find(|fact| fact.id == letter.id) {
                Some(fact) if fact.moved_at == letter.moved_at => Item::still(subject),
                Some(_) => Item::new(subject, Outcome::Changed, "it has died again meanwhile"),
                None => Item::new(subject, Outcome::Missing, "it is gone already"),
            }
        };
        Ok(letters.iter().map(item).collect())
    }

    async fn dumps(&self, wanted: &[DeadLetterRef]) -> Result<Vec<Fact>> {
        let ids = wanted.iter().map(|wanted| wanted.id.clone()).collect();
        let query = LetterQuery { ids: Some(ids), texts: true, dump: true, ..LetterQuery::default() };
        self.facts(&query).await
    }
}

#[async_trait]
impl Targets for Removals<'_> {
    fn subject(&self, place: usize) -> Subject {
        dead_letter(&self.chosen.get(place).map(|one| one.id).unwrap_or_default())
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let wanted: Vec<DeadLetterRef> = places.iter().filter_map(|place| self.chosen.get(*place)).collect();
        let facts = self.letters.dumps(&wanted).await?;
        let own = self.letters.own(&wanted, self.permit).await;
        let mut items: Vec<Option<Item>> = vec![None; wanted.len()];
        let (mut present, mut among, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for (at, letter) in wanted.iter().enumerate() {
            let fact = facts.iter().find(|fact| fact.id == letter.id);
            let gone = match fact {
                Some(fact) if fact.moved_at == letter.moved_at => {
                    lines.push(view::whole(fact));
                    present.push(letter.clone());
                    among.push(at);
                    continue;
                }
                Some(_) => (Outcome::Changed, "it has died again meanwhile"),
                None => (Outcome::Missing, "it no longer exists"),
            };
            let item = Item::new(dead_letter(&letter.id), gone.0, gone.1);
            items[at] = Some(item.own(own.as_ref().map(|own| own.contains(&letter.id))));
        }
        let mut removed = Places::default();
        if !present.is_empty() {
            // Nothing is removed that is not stored.
            (self.sink)(&lines.join("\n")).map_err(|error| {
                Error::new(ErrorKind::Io, "not removed, because it could not be written out").with_source(error)
            })?;
            let ahead = self.letters.zone.ahead_at(Timestamp::here());
            let batch = Batch { letters: &present, queue: None, force: false, ahead, note: &self.note };
            removed = journal::among(&among, self.letters.store.remove(&batch, self.permit)).await?;
        }
        let left = |at: &usize| !removed.done.contains(at) && !removed.kept.contains(at);
        let left: Vec<DeadLetterRef> = (0..present.len()).filter(left).map(|at| present[at].clone()).collect();
        let still = if left.is_empty() { Vec::new() } else { self.letters.dumps(&left).await? };
        let open = items.iter_mut().filter(|item| item.is_none());
        for (at, (item, letter)) in open.zip(&present).enumerate() {
            let (outcome, why) = if removed.done.contains(&at) {
                (Outcome::Applied, "written out and removed".to_owned())
            } else if removed.kept.contains(&at) {
                (Outcome::Changed, suppressed("dead_tasks"))
            } else if still.iter().any(|fact| fact.id == letter.id && fact.moved_at == letter.moved_at) {
                (Outcome::Failed, "not removed: another transaction holds it".to_owned())
            } else {
                (Outcome::Changed, "not removed: it changed meanwhile".to_owned())
            };
            let changes = removed.changes.remove(&at).unwrap_or_default();
            *item = Some(Item::new(dead_letter(&letter.id), outcome, why).changing(changes));
        }
        Ok(items.into_iter().flatten().collect())
    }
}
