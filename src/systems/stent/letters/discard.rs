//! Applying a discard: what is removed is written out whole first, batch by batch.

use sen_model::error::{ErrorKind, Result};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::prepared::Sink;
use sen_model::report::{Outcome, Report, suppressed};
use sen_model::time::Timestamp;

use super::handle::StentLetters;
use super::ledger::{Ledger, sentence};
use super::note::note;
use super::port::{Batch, Fact, LetterQuery};
use super::targets::{DeadLetterRef, TargetSet};
use super::view;

/// So many letters go into one transaction.
const BATCH: usize = 200;

impl StentLetters {
    pub(super) async fn apply_discard(
        &self,
        plan: &Plan,
        chosen: &TargetSet,
        permit: &WritePermit,
        sink: Sink<'_>,
        observer: &dyn Observer,
    ) -> Report {
        let mut ledger = Ledger::new(plan);
        let note = note(permit);
        observer.begin(&plan.summary, Some(chosen.len() as u64));
        let mut from = 0;
        while from < chosen.len() {
            let to = (from + BATCH).min(chosen.len());
            if permit.is_revoked() {
                ledger.rest(chosen, from, Outcome::Skipped, "interrupted before it was begun");
                break;
            }
            let wanted: Vec<DeadLetterRef> = (from..to).filter_map(|at| chosen.get(at)).collect();
            let facts = match self.dumps(&wanted).await {
                Ok(facts) => facts,
                Err(error) => {
                    ledger.met(&error);
                    ledger.rest(chosen, from, Outcome::Failed, &format!("not begun: {}", sentence(&error)));
                    break;
                }
            };
            let (mut present, mut lines) = (Vec::new(), Vec::new());
            for letter in wanted {
                match facts.iter().find(|fact| fact.id == letter.id) {
                    Some(fact) if fact.moved_at == letter.moved_at => {
                        lines.push(view::whole(fact));
                        present.push(letter);
                    }
                    Some(_) => ledger.add(&letter.id, Outcome::Changed, || "it has died again meanwhile".into()),
                    None => ledger.add(&letter.id, Outcome::Missing, || "it is gone already".into()),
                }
            }
            let stored = if lines.is_empty() { Ok(()) } else { sink(&lines.join("\n")) };
            if let Err(error) = stored {
                // Nothing is removed that is not stored.
                let why = format!("not removed, because it could not be written out: {}", sentence(&error));
                present.iter().for_each(|letter| ledger.add(&letter.id, Outcome::Failed, || why.clone()));
                ledger.rest(chosen, to, Outcome::Failed, "not begun");
                break;
            }
            let ahead = self.zone.ahead_at(Timestamp::here());
            let batch = Batch { letters: &present, queue: None, force: false, ahead, note: &note };
            match self.store.remove(&batch, permit).await {
                Ok(places) => {
                    for (at, letter) in present.iter().enumerate() {
                        if places.done.contains(&at) {
                            ledger.add(&letter.id, Outcome::Applied, || "written out and removed".into());
                        } else if places.kept.contains(&at) {
                            ledger.add(&letter.id, Outcome::Changed, || suppressed("dead_tasks"));
                        } else {
                            let why = "not removed: it changed meanwhile, or another transaction holds it";
                            ledger.add(&letter.id, Outcome::Changed, || why.into());
                        }
                    }
                }
                Err(error) => {
                    ledger.met(&error);
                    let unknown = error.kind() == ErrorKind::OutcomeUnknown;
                    let outcome = if unknown { Outcome::Unknown } else { Outcome::Failed };
                    present.iter().for_each(|letter| ledger.add(&letter.id, outcome, || sentence(&error)));
                    if !unknown {
                        ledger.rest(chosen, to, Outcome::Failed, &format!("not begun: {error}"));
                        break;
                    }
                }
            }
            observer.advance((to - from) as u64);
            from = to;
        }
        ledger.close()
    }

    async fn dumps(&self, wanted: &[DeadLetterRef]) -> Result<Vec<Fact>> {
        let ids = wanted.iter().map(|wanted| wanted.id.clone()).collect();
        let query = LetterQuery { ids: Some(ids), texts: true, dump: true, ..LetterQuery::default() };
        self.facts(&query).await
    }
}
