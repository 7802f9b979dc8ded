//! Removing executions that ended long ago, with everything that belongs to them.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal;
use sen_model::permit::WritePermit;
use sen_model::plan::{Plan, Risk, Set};
use sen_model::prepared::{Apply, Applying, Prepared, PreparedAction};
use sen_model::report::{Item, Outcome, Report, suppressed};
use sen_model::subject::Subject;
use sen_model::text::many;
use sen_model::time::wall::Wall;

use super::items::item;
use super::port::Old;
use super::rules;
use crate::handle::Stent;
use crate::letters::targets::{DeadLetterRef, Places, TargetSet};
use crate::names;
use crate::plan::CleanupAction;

/// How many executions are removed in one transaction.
const BATCH: usize = 200;
/// The year 9999, in microseconds: later than every end.
const FAR: i64 = 253_370_764_800_000_000;
/// The tables that a removal deletes from.
const TABLES: &str = "executions, tasks, execution_progress, signals, execution_counters or execution_state";

impl Stent {
    pub(super) async fn plan_cleanup(
        &self,
        older_than: Duration,
        states: &[String],
        limit: Option<u64>,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        let states: Vec<String> =
            if states.is_empty() { rules::ENDED.map(str::to_owned).to_vec() } else { states.to_vec() };
        if let Some(odd) = states.iter().find(|state| !rules::ENDED.contains(&state.as_str())) {
            return Err(Error::usage(format!("executions that are {odd:?} are not cleaned up"))
                .with_hint(format!("states that are: {}", rules::ENDED.join(", "))));
        }
        let now = self.store.find("", 0, false).await?.now;
        let before = self.zone.wall(now.minus(older_than));
        let old = self.acts()?.old(before, &states, limit.and_then(|limit| i64::try_from(limit).ok())).await?;
        let (mut chosen, mut set) = (TargetSet::default(), Set::default());
        let (mut letters, mut live) = (0, 0);
        for execution in old {
            if execution.letters {
                letters += 1;
            } else if execution.live {
                live += 1;
            } else {
                let moment = self.zone.moment(execution.completed_at);
                set.oldest = set.oldest.into_iter().chain(Some(moment)).min();
                set.newest = set.newest.max(Some(moment));
                if set.sample.len() < 5 {
                    set.sample.push(format!("{}  ended {moment}", execution.id));
                }
                chosen.push(&execution.id, Some(execution.completed_at));
            }
        }
        if !chosen.is_empty() {
            set.warnings.push("their tasks, progress, signals, counters and state go with them, for good".into());
        }
        let skipped = [
            (letters, "they have dead letters, which could not be replayed any more"),
            (live, "they have tasks that are pending or running"),
        ];
        set.skipped =
            skipped.iter().filter(|(count, _)| *count > 0).map(|(count, why)| ((*why).to_owned(), *count)).collect();
        let mut plan = Plan::new(self.store.database(), Risk::Dangerous);
        plan.set = Some(set);
        let summary = |count| format!("clean up {}", many(count, "ended execution"));
        Ok(Prepared::boxed(self, plan, CleanupAction(chosen), summary))
    }
}

/// Ended executions that are removed batch by batch.
struct Removals<'a> {
    stent: &'a Stent,
    chosen: &'a TargetSet,
    permit: &'a WritePermit,
}

#[async_trait]
impl Targets for Removals<'_> {
    fn subject(&self, place: usize) -> Subject {
        names::execution(&self.chosen.get(place).map(|one| one.id).unwrap_or_default())
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let executions: Vec<DeadLetterRef> = places.iter().filter_map(|at| self.chosen.get(*at)).collect();
        let acts = self.stent.acts()?;
        match acts.clean(&executions, self.permit).await {
            // One of them stops all: each is tried alone.
            Err(error) if error.kind() == ErrorKind::KeptOut => {
                let mut items = Vec::new();
                for (at, execution) in executions.iter().enumerate() {
                    let alone = acts.clean(std::slice::from_ref(execution), self.permit);
                    let done = journal::among(&[at], alone).await;
                    items.push(done.map_or_else(
                        |error| Item::failed(names::execution(&execution.id), &error),
                        |done| became(&execution.id, 0, &done, self.permit),
                    ));
                }
                Ok(items)
            }
            done => {
                let done = done?;
                let one = |(at, execution): (usize, &DeadLetterRef)| became(&execution.id, at, &done, self.permit);
                Ok(executions.iter().enumerate().map(one).collect())
            }
        }
    }
}

/// What became of the execution at a place of its batch.
fn became(id: &str, at: usize, done: &Places, permit: &WritePermit) -> Item {
    if done.done.contains(&at) {
        item(id, Outcome::Applied, "removed").changing(done.changes.get(&at).cloned().unwrap_or_default())
    } else if done.kept.contains(&at) {
        item(id, Outcome::Changed, suppressed(TABLES))
    } else {
        // Nothing is left of an execution that was removed, so nothing tells who did it.
        let own = if permit.may_have_begun() { None } else { Some(false) };
        item(id, Outcome::Changed, "it has changed since it was looked at, or is locked: skipped").own(own)
    }
}

#[async_trait]
impl Apply<CleanupAction> for Stent {
    async fn apply(&self, plan: &Plan, action: CleanupAction, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, .. } = applying;
        let mut removals = Removals { stent: self, chosen: &action.0, permit };
        Ok(run_batch(&mut [&mut removals], plan, action.0.len(), Pace::bulk(BATCH, None), permit, observer).await)
    }

    async fn check(&self, action: &CleanupAction) -> Result<Vec<Item>> {
        let states = rules::ENDED.map(str::to_owned);
        let ends: HashMap<String, Old> = self
            .acts()?
            .old(Wall::from_micros(FAR), &states, None)
            .await?
            .into_iter()
            .map(|old| (old.id.clone(), old))
            .collect();
        let check = |target: DeadLetterRef| match ends.get(&target.id) {
            None => item(&target.id, Outcome::Missing, "it is gone, or has not ended any more"),
            Some(old) if Some(old.completed_at) != target.moved_at => {
                item(&target.id, Outcome::Changed, "it has run again since it was looked at")
            }
            Some(old) if old.letters => item(&target.id, Outcome::Changed, "it has dead letters"),
            Some(old) if old.live => item(&target.id, Outcome::Changed, "it has tasks that are pending or running"),
            Some(_) => Item::still(names::execution(&target.id)),
        };
        Ok((0..action.0.len()).filter_map(|at| action.0.get(at)).map(check).collect())
    }
}
