//! Applying many targets: batch after batch, not faster than asked for, until the permit is withdrawn or the database is away.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{ErrorKind, Result};
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::report::{Item, Outcome, Report};
use crate::subject::Subject;
use crate::time::Uptime;

/// How many items of each outcome a bulk act lists; the rest is counted.
pub const LISTED: usize = 1000;

/// How targets are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// So many in one call.
    pub batch: usize,
    /// Not more than so many in a second.
    pub rate: Option<f64>,
    /// So many items of each outcome are listed in the report; the rest is counted.
    pub listed: usize,
}

impl Pace {
    /// One after the other, each listed.
    pub const SINGLE: Self = Self { batch: 1, rate: None, listed: usize::MAX };

    /// In batches of `batch`, or as the rate allows; [`LISTED`] items of each outcome are listed.
    pub fn bulk(batch: usize, rate: Option<f64>) -> Self {
        Self { batch, rate, listed: LISTED }
    }

    /// How many are taken in one call: not more than the rate allows in a second, at least one.
    pub fn size(&self) -> usize {
        let per_second = self.rate.map_or(usize::MAX, |rate| rate.ceil() as usize);
        self.batch.min(per_second).max(1)
    }
}

/// Targets by their place in a plan, and what applies some of them.
#[async_trait]
pub trait Targets: Send {
    /// What the target at this place is about.
    fn subject(&self, place: usize) -> Subject;

    /// Applies these and says what became of each. An error is one of all of them, and nothing more is begun; where it leaves
    /// the outcome unknown, the others are gone on with.
    async fn apply(&mut self, places: Range<usize>) -> Result<Vec<Item>>;
}

/// Applies `total` targets, and enters into the report what became of each, also of those that were not begun.
pub async fn run_batch(
    targets: &mut dyn Targets,
    total: usize,
    pace: Pace,
    permit: &WritePermit,
    observer: &dyn Observer,
    report: &mut Report,
) {
    let start = Uptime::now();
    let mut done = 0;
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut add = |report: &mut Report, item: Item| {
        let count = counts.entry(item.outcome).or_default();
        *count += 1;
        if *count <= pace.listed {
            report.items.push(item);
        } else {
            report.lost |= item.lost;
            report.add_unlisted(item.outcome, 1);
        }
    };
    while done < total {
        if let Some(rate) = pace.rate {
            keep_rate(start, done as u64, rate, permit).await;
        }
        if permit.is_revoked() {
            (done..total).for_each(|place| add(report, Item::interrupted(targets.subject(place))));
            return;
        }
        let places = done..total.min(done + pace.size());
        let taken = places.len();
        done = places.end;
        match targets.apply(places.clone()).await {
            Ok(items) => items.into_iter().for_each(|item| add(report, item)),
            Err(error) => {
                for place in places {
                    add(report, Item::failed(targets.subject(place), &error));
                }
                report.lost |= error.is_of_the_connection();
                if error.kind() != ErrorKind::OutcomeUnknown {
                    for place in done..total {
                        let item = Item::new(targets.subject(place), Outcome::Failed, format!("not begun: {error}"));
                        add(report, item.lost(error.is_of_the_connection()));
                    }
                    return;
                }
            }
        }
        observer.advance(taken as u64);
    }
}

/// Waits until more than `done` may be begun at `rate` in a second since `start`, or until the permit is withdrawn. A rate
/// that is not above zero is none.
pub async fn keep_rate(start: Uptime, done: u64, rate: f64, permit: &WritePermit) {
    const LOOK: Duration = Duration::from_millis(100);
    if rate <= 0.0 {
        return;
    }
    let due = start.plus(Duration::try_from_secs_f64(done as f64 / rate).unwrap_or(Duration::MAX));
    loop {
        let left = Uptime::now().until(due);
        if left.is_zero() || permit.is_revoked() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::observe::Silent;
    use crate::permit::{Consent, Revocation};
    use crate::plan::{Plan, Risk};
    use crate::subject::Kind;

    /// Targets of which every one from the seventh on fails, and what was asked of them.
    struct Some {
        batches: Vec<Range<usize>>,
        error: Option<ErrorKind>,
        stop: Revocation,
    }

    #[async_trait]
    impl Targets for Some {
        fn subject(&self, place: usize) -> Subject {
            Subject::new("s", Kind::Lease, place.to_string())
        }

        async fn apply(&mut self, places: Range<usize>) -> Result<Vec<Item>> {
            self.batches.push(places.clone());
            if let (Some(kind), 2) = (self.error, self.batches.len()) {
                return Err(Error::new(kind, "broken"));
            }
            if self.batches.len() == 3 {
                self.stop.revoke();
            }
            let outcome = |place| if place < 6 { Outcome::Applied } else { Outcome::Failed };
            Ok(places.map(|place| Item::new(self.subject(place), outcome(place), "")).collect())
        }
    }

    fn run(error: Option<ErrorKind>, listed: usize) -> (Report, Vec<Range<usize>>) {
        let stop = Revocation::default();
        let plan = Plan::new("test", "db", Risk::Safe);
        let permit = WritePermit::grant(&plan, Consent::Unasked, None).unwrap().until(stop.clone());
        let mut report = Report::new(plan.operation);
        let mut targets = Some { batches: Vec::new(), error, stop };
        let pace = Pace { batch: 3, rate: None, listed };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run_batch(&mut targets, 11, pace, &permit, &Silent, &mut report));
        (report, targets.batches)
    }

    #[test]
    fn batches_end_where_the_permit_is_withdrawn_and_each_outcome_has_its_list() {
        let (report, batches) = run(None, 2);
        assert_eq!(batches, [0..3, 3..6, 6..9]);
        let counts = [Outcome::Applied, Outcome::Failed, Outcome::Skipped].map(|outcome| report.count(outcome));
        assert_eq!((counts, report.items.len()), ([6, 3, 2], 6));
    }

    #[test]
    fn an_error_ends_it_unless_only_the_outcome_is_unknown() {
        let (report, batches) = run(Some(ErrorKind::Disconnected), usize::MAX);
        assert_eq!((batches.len(), report.count(Outcome::Applied), report.count(Outcome::Failed)), (2, 3, 8));
        assert!(report.items.last().is_some_and(|item| item.detail.starts_with("not begun") && item.lost));
        let (report, batches) = run(Some(ErrorKind::OutcomeUnknown), usize::MAX);
        assert_eq!((batches.len(), report.count(Outcome::Unknown), report.count(Outcome::Skipped)), (3, 3, 2));
    }

    #[test]
    fn a_batch_is_not_larger_than_the_rate_of_a_second() {
        let size = |batch, rate| Pace::bulk(batch, rate).size();
        assert_eq!([size(50, None), size(50, Some(7.5)), size(0, None), size(50, Some(0.1))], [50, 8, 1, 1]);
    }

    #[test]
    fn a_rate_that_no_clock_can_keep_ends_with_the_permit_and_one_that_is_none_does_not_wait() {
        let stop = Revocation::default();
        let plan = Plan::new("test", "db", Risk::Safe);
        let permit = WritePermit::grant(&plan, Consent::Unasked, None).unwrap().until(stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for rate in [0.0, -1.0] {
            runtime.block_on(keep_rate(Uptime::now(), 1, rate, &permit));
        }
        stop.revoke();
        runtime.block_on(keep_rate(Uptime::now(), 1, f64::MIN_POSITIVE, &permit));
        assert!(permit.is_revoked());
    }
}
