//! Removing executions that ended long ago, with everything that belongs to them.

use std::time::Duration;

use super::{EXECUTION, Kept, refused, rules};
use crate::Stent;
use crate::letters::chosen::{Chosen, Places, Wanted};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::{Gravity, Plan, Set};
use sen_model::report::{Outcome, Report};

/// So many executions go in one transaction.
const BATCH: usize = 200;
/// What a removal is about.
const TABLES: &str = "executions, tasks, execution_progress, signals, execution_counters or execution_state";
/// So many of each outcome are listed; the rest is counted.
const LISTED: u64 = 1000;

impl Stent {
    pub(super) async fn plan_cleanup(
        &self,
        older_than: Duration,
        states: &[String],
        limit: Option<u64>,
    ) -> Result<Plan> {
        let states: Vec<String> =
            if states.is_empty() { rules::ENDED.map(str::to_owned).to_vec() } else { states.to_vec() };
        if let Some(odd) = states.iter().find(|state| !rules::ENDED.contains(&state.as_str())) {
            return Err(Error::usage(format!("executions that are {odd:?} are not cleaned up"))
                .with_hint(format!("states that are: {}", rules::ENDED.join(", "))));
        }
        let now = self.store.find("", 0, false).await?.now;
        let before = self.zone.wall(now.minus(older_than));
        let old = self.acts()?.store.old(before, &states, limit.and_then(|limit| i64::try_from(limit).ok())).await?;
        let (mut chosen, mut set) = (Chosen::default(), Set::default());
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
        set.count = chosen.len() as u64;
        if set.count > 0 {
            set.warnings.push("their tasks, progress, signals, counters and state go with them, for good".into());
        }
        let skipped = [
            (letters, "they have dead letters, which could not be replayed any more"),
            (live, "they have tasks that are pending or running"),
        ];
        set.skipped =
            skipped.iter().filter(|(count, _)| *count > 0).map(|(count, why)| ((*why).to_owned(), *count)).collect();
        let noun = if set.count == 1 { "execution" } else { "executions" };
        let mut plan = Plan::new(format!("clean up {} ended {noun}", set.count), self.store.database(), Gravity::Grave);
        plan.set = Some(set);
        self.acts()?.keep(&plan, Kept::Cleanup(chosen));
        Ok(plan)
    }

    pub(super) async fn cleanup(
        &self,
        plan: &Plan,
        chosen: &Chosen,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        for (_, count) in plan.set.iter().flat_map(|set| &set.skipped) {
            report.add_unlisted(Outcome::Skipped, *count);
        }
        observer.begin(&plan.summary, Some(chosen.len() as u64));
        let mut listed = 0;
        let mut add = |report: &mut Report, id: &str, outcome, why: &str| {
            listed += 1;
            if listed > LISTED { report.add_unlisted(outcome, 1) } else { report.items.push(refused(id, outcome, why)) }
        };
        let all: Vec<usize> = (0..chosen.len()).collect();
        let mut stopped = None;
        for places in all.chunks(BATCH) {
            let executions: Vec<Wanted> = places.iter().filter_map(|at| chosen.get(*at)).collect();
            if stopped.is_none() && permit.is_revoked() {
                stopped = Some((Outcome::Skipped, "interrupted before it was begun".to_owned()));
            }
            if let Some((outcome, why)) = &stopped {
                executions.iter().for_each(|execution| add(&mut report, &execution.id, *outcome, why));
                continue;
            }
            let done = match self.acts()?.store.clean(&executions, permit).await {
                // One of them stops all: each is tried alone.
                Err(error) if error.kind() == ErrorKind::KeptOut => {
                    let mut all = Vec::new();
                    for execution in &executions {
                        all.push((execution, self.acts()?.store.clean(std::slice::from_ref(execution), permit).await));
                    }
                    all.into_iter().map(|(execution, done)| (execution, 0, done)).collect()
                }
                Ok(done) => {
                    executions.iter().enumerate().map(|(at, execution)| (execution, at, Ok(done.clone()))).collect()
                }
                Err(error) => {
                    let unknown = error.kind() == ErrorKind::OutcomeUnknown;
                    let outcome = if unknown { Outcome::Unknown } else { Outcome::Failed };
                    executions
                        .iter()
                        .for_each(|execution| add(&mut report, &execution.id, outcome, &error.to_string()));
                    report.lost |= error.is_of_the_connection();
                    if !unknown {
                        stopped = Some((Outcome::Failed, format!("not begun: {error}")));
                    }
                    Vec::new()
                }
            };
            for (execution, at, done) in done {
                let (outcome, why) = became(at, done, &mut report.lost);
                add(&mut report, &execution.id, outcome, &why);
            }
            observer.advance(places.len() as u64);
        }
        debug_assert!(report.items.iter().all(|item| item.subject.kind == EXECUTION));
        Ok(report)
    }
}

/// What became of the execution at a place of its batch.
fn became(at: usize, done: Result<Places>, lost: &mut bool) -> (Outcome, String) {
    match done {
        Ok(done) if done.done.contains(&at) => (Outcome::Applied, "removed".into()),
        Ok(done) if done.kept.contains(&at) => (Outcome::Changed, sen_model::report::suppressed(TABLES)),
        Ok(_) => (Outcome::Changed, "it has changed since it was looked at, or somebody holds it: left alone".into()),
        Err(error) => {
            *lost |= error.is_of_the_connection();
            let outcome = match error.kind() {
                ErrorKind::OutcomeUnknown => Outcome::Unknown,
                ErrorKind::KeptOut => Outcome::Changed,
                _ => Outcome::Failed,
            };
            (outcome, error.to_string())
        }
    }
}
