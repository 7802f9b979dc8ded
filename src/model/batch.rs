//! Applying many targets: batch after batch, not faster than asked for, until the permit is withdrawn or the database is away.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{ErrorKind, Result};
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::report::{Item, Outcome, Report};
use crate::subject::Subject;
use crate::time::Uptime;

/// How many items of a bulk act are listed; the rest is counted.
pub const LISTED: usize = 1000;

/// How targets are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// So many in one call.
    pub batch: usize,
    /// Not more than so many in a second.
    pub rate: Option<f64>,
    /// So many items are listed in the report; the rest is counted.
    pub listed: usize,
}

impl Pace {
    /// One after the other, each listed.
    pub const SINGLE: Self = Self { batch: 1, rate: None, listed: usize::MAX };

    /// In batches of `batch`, or as the rate allows; what came of the first [`LISTED`] is listed.
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
    while done < total {
        if let Some(rate) = pace.rate {
            let due = start.plus(Duration::from_secs_f64(done as f64 / rate));
            wait(due, permit).await;
        }
        if permit.is_revoked() {
            (done..total).for_each(|place| report.add(Item::interrupted(targets.subject(place)), pace.listed));
            return;
        }
        let places = done..total.min(done + pace.size());
        let taken = places.len();
        done = places.end;
        match targets.apply(places.clone()).await {
            Ok(items) => items.into_iter().for_each(|item| report.add(item, pace.listed)),
            Err(error) => {
                for place in places {
                    report.add(Item::failed(targets.subject(place), &error), pace.listed);
                }
                report.lost |= error.is_of_the_connection();
                if error.kind() != ErrorKind::OutcomeUnknown {
                    for place in done..total {
                        let item = Item::new(targets.subject(place), Outcome::Failed, format!("not begun: {error}"));
                        report.add(item.lost(error.is_of_the_connection()), pace.listed);
                    }
                    return;
                }
            }
        }
        observer.advance(taken as u64);
    }
}

/// Waits until `due`, or until the permit is withdrawn.
async fn wait(due: Uptime, permit: &WritePermit) {
    const LOOK: Duration = Duration::from_millis(100);
    loop {
        let left = Uptime::now().until(due);
        if left.is_zero() || permit.is_revoked() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}
