//! Applying the targets of a plan: batch by batch, on one connection or several, not faster than asked for, until the permit
//! is withdrawn or an error ends it. The report says what became of each target.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::error::{Error, ErrorKind, Result};
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::plan::Plan;
use crate::report::{Item, Outcome, Report};
use crate::subject::Subject;
use crate::time::Uptime;

/// How many items of each outcome a bulk act lists; the rest is counted.
pub const LISTED: usize = 1000;
/// The pause before targets are tried again; it doubles each time.
const PAUSE: Duration = Duration::from_millis(50);

/// How targets are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The number of targets in one call.
    pub batch: usize,
    /// The maximum number per second.
    pub rate: Option<f64>,
    /// How many items of each outcome the report lists; the rest is counted.
    pub listed: usize,
}

impl Pace {
    /// One at a time, each listed.
    pub const SINGLE: Self = Self { batch: 1, rate: None, listed: usize::MAX };

    /// In batches of `batch`, or as the rate allows; [`LISTED`] items of each outcome are listed.
    pub fn bulk(batch: usize, rate: Option<f64>) -> Self {
        Self { batch, rate, listed: LISTED }
    }

    /// How many are taken in one call, at least one. A low rate is kept by small batches rather than by bursts: a batch is not
    /// larger than the rate allows in a quarter of a second.
    pub fn size(&self) -> usize {
        let by_rate = self.rate.map_or(usize::MAX, |rate| (rate / 4.0) as usize);
        self.batch.min(by_rate).max(1)
    }
}

/// Targets by their place in a plan, and a connection that applies some of them.
#[async_trait]
pub trait Targets: Send {
    /// What the target at this place is about.
    fn subject(&self, place: usize) -> Subject;

    /// Applies the targets at these ascending places and returns an item for each, in the same order. An item with
    /// [`retries`](Item::retries) is tried again after all others. An error applies to all of them, and no further batch
    /// is started, unless the error only leaves the outcome unknown.
    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>>;
}

/// Applies the `total` targets of `plan` and reports what became of each, also of those that were not begun, refused or
/// skipped. Several `lanes` share the targets: each takes the next batch when it is free.
pub async fn run_batch(
    lanes: &mut [&mut dyn Targets],
    plan: &Plan,
    total: usize,
    pace: Pace,
    permit: &WritePermit,
    observer: &dyn Observer,
) -> Report {
    observer.begin(plan.summary(), Some(total as u64));
    let asked = plan.set.as_ref().is_some_and(|set| set.asked);
    let mut report = Report { asked, ..Report::new(plan.operation) };
    report.add_unlisted(Outcome::Skipped, plan.skipped());
    let listed = BTreeMap::new();
    let state =
        State { places: Box::new(0..total), round: 0, taken: 0, again: Vec::new(), stopped: None, listed, report };
    let mut run = Run { pace, permit, observer, start: Uptime::now(), state: Mutex::new(state) };
    loop {
        join_all(lanes.iter_mut().map(|lane| run.lane(&mut **lane))).await;
        let state = run.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.again.is_empty() || state.stopped.is_some() || permit.is_revoked() {
            break;
        }
        state.again.sort_unstable();
        state.places = Box::new(std::mem::take(&mut state.again).into_iter());
        let pause = PAUSE * 2_u32.saturating_pow(state.round);
        state.round += 1;
        tokio::time::sleep(pause).await;
    }
    let mut state = run.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(lane) = lanes.first() {
        state.rest(|place| lane.subject(place), pace.listed);
    }
    let mut items: Vec<(usize, Item)> = state.listed.into_values().flatten().collect();
    items.sort_unstable_by_key(|(place, _)| *place);
    report = state.report;
    report.items.extend(items.into_iter().map(|(_, item)| item));
    report.items.extend(plan.refused.iter().cloned());
    report
}

/// What the lanes of a run share.
struct Run<'a> {
    pace: Pace,
    permit: &'a WritePermit,
    observer: &'a dyn Observer,
    start: Uptime,
    state: Mutex<State>,
}

/// How far a run has come.
struct State {
    /// The places that no lane has taken in this round.
    places: Box<dyn Iterator<Item = usize> + Send>,
    /// How often what is taken now was tried before.
    round: u32,
    /// How many places were taken, in all rounds.
    taken: u64,
    /// What is to be tried again in the next round.
    again: Vec<usize>,
    /// The error after which nothing more is begun.
    stopped: Option<Error>,
    /// The items that are listed, by place.
    listed: BTreeMap<Outcome, BTreeMap<usize, Item>>,
    report: Report,
}

impl Run<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes batches until there are no more.
    async fn lane(&self, targets: &mut dyn Targets) {
        loop {
            let places = self.take().await;
            if places.is_empty() {
                return;
            }
            let (items, error) = match targets.apply(&places).await {
                Ok(items) => (items, None),
                Err(error) => {
                    let items = places.iter().map(|place| Item::failed(targets.subject(*place), &error)).collect();
                    (items, (error.kind() != ErrorKind::OutcomeUnknown).then_some(error))
                }
            };
            debug_assert_eq!(items.len(), places.len(), "one item for each target");
            let state = &mut *self.state();
            let mut settled = 0;
            for (place, item) in places.into_iter().zip(items) {
                if item.retries > state.round {
                    state.again.push(place);
                } else {
                    settled += 1;
                    self.observer.settled(place, &item);
                    let item = item.changing(Vec::new());
                    state.report.lost |= item.lost;
                    state.add(place, item.outcome, self.pace.listed, || item);
                }
            }
            state.stopped = state.stopped.take().or(error);
            self.observer.advance(settled);
        }
    }

    /// The next batch; none where nothing more is to be begun.
    async fn take(&self) -> Vec<usize> {
        if let Some(rate) = self.pace.rate {
            let taken = self.state().taken;
            keep_rate(self.start, taken, rate, self.permit).await;
        }
        let mut state = self.state();
        if self.permit.is_revoked() || state.stopped.is_some() {
            return Vec::new();
        }
        let places: Vec<usize> = state.places.by_ref().take(self.pace.size()).collect();
        state.taken += places.len() as u64;
        places
    }
}

impl State {
    /// Enters what became of a target. Of each outcome those of the lowest places are listed, whichever lane is faster.
    fn add(&mut self, place: usize, outcome: Outcome, limit: usize, item: impl FnOnce() -> Item) {
        let listed = self.listed.entry(outcome).or_default();
        if listed.len() >= limit {
            self.report.add_unlisted(outcome, 1);
            if listed.last_key_value().is_none_or(|(last, _)| *last < place) {
                return;
            }
            listed.pop_last();
        }
        listed.insert(place, item());
    }

    /// Enters what was not begun, or not tried again, after an error or because the permit was withdrawn.
    fn rest(&mut self, subject: impl Fn(usize) -> Subject, limit: usize) {
        let stopped = self.stopped.take();
        let lost = stopped.as_ref().is_some_and(Error::is_of_the_connection);
        let outcome = if stopped.is_some() { Outcome::Failed } else { Outcome::Skipped };
        let tried = self.round > 0;
        let places = std::mem::replace(&mut self.places, Box::new(std::iter::empty()));
        let again = std::mem::take(&mut self.again);
        for (place, tried) in places.map(|place| (place, tried)).chain(again.into_iter().map(|place| (place, true))) {
            self.add(place, outcome, limit, || {
                let why = match (&stopped, tried) {
                    (Some(error), false) => format!("not begun: {error}"),
                    (Some(error), true) => format!("not tried again: {error}"),
                    (None, false) => "interrupted before it was begun".to_owned(),
                    (None, true) => "interrupted before it was tried again".to_owned(),
                };
                Item::new(subject(place), outcome, why).lost(lost)
            });
        }
        self.report.lost |= lost;
    }
}

/// Waits until more than `done` may be begun at `rate` in a second since `start`, or until the permit is withdrawn. A rate
/// that is not above zero is none.
async fn keep_rate(start: Uptime, done: u64, rate: f64, permit: &WritePermit) {
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
    use crate::observe::Silent;
    use crate::permit::{Consent, Revocation};
    use crate::plan::{Risk, Set};
    use crate::subject::Kind;

    /// Targets of which every one from the seventh on fails, and the batches they were given.
    #[derive(Default)]
    struct Lane {
        batches: Vec<Vec<usize>>,
        /// The error of the second batch.
        error: Option<ErrorKind>,
        /// What the places that are multiples of five ask to be tried again, and how often they are held.
        retries: u32,
        held: usize,
        /// The batch that is the last before an interrupt.
        last: usize,
        stop: Revocation,
    }

    #[async_trait]
    impl Targets for Lane {
        fn subject(&self, place: usize) -> Subject {
            Subject::new("s", Kind::Lease, place.to_string())
        }

        async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
            self.batches.push(places.to_vec());
            if let (Some(kind), 2) = (self.error, self.batches.len()) {
                return Err(Error::new(kind, "broken"));
            }
            if self.batches.len() == self.last {
                self.stop.revoke();
            }
            // Lets another lane take its turn.
            tokio::task::yield_now().await;
            let item = |place: &usize| {
                let tries = self.batches.iter().flatten().filter(|tried| *tried == place).count();
                if place.is_multiple_of(5) && tries <= self.held {
                    return Item::new(self.subject(*place), Outcome::Changed, "held").again(self.retries);
                }
                let outcome = if *place < 6 { Outcome::Applied } else { Outcome::Failed };
                Item::new(self.subject(*place), outcome, "")
            };
            Ok(places.iter().map(item).collect())
        }
    }

    fn run(lanes: &mut [&mut Lane], listed: usize) -> Report {
        let stop = lanes[0].stop.clone();
        let refused = vec![Item::new(Subject::new("s", Kind::Lease, "refused"), Outcome::Missing, "")];
        let set = Set { skipped: vec![("old".into(), 7)], ..Set::default() };
        let mut plan = Plan::new("db", Risk::Safe);
        (plan.refused, plan.set) = (refused, Some(set));
        let permit = WritePermit::grant(&plan, Consent::Unasked, None).unwrap().until(stop);
        let pace = Pace { batch: 3, rate: None, listed };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut lanes: Vec<&mut dyn Targets> = lanes.iter_mut().map(|lane| &mut **lane as &mut dyn Targets).collect();
        runtime.block_on(run_batch(&mut lanes, &plan, 11, pace, &permit, &Silent))
    }

    fn counts(report: &Report) -> [u64; 4] {
        [Outcome::Applied, Outcome::Failed, Outcome::Skipped, Outcome::Changed].map(|outcome| report.count(outcome))
    }

    fn ids(report: &Report) -> Vec<&str> {
        report.items.iter().map(|item| item.subject.id.as_str()).collect()
    }

    #[test]
    fn batches_end_where_the_permit_is_withdrawn_and_each_outcome_has_its_list() {
        let mut targets = Lane { last: 3, ..Lane::default() };
        let report = run(&mut [&mut targets], 2);
        assert_eq!(targets.batches, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]);
        assert_eq!(counts(&report), [6, 3, 2 + 7, 0]);
        assert_eq!(ids(&report), ["0", "1", "6", "7", "9", "10", "refused"]);
    }

    #[test]
    fn an_error_ends_it_unless_only_the_outcome_is_unknown() {
        let mut targets = Lane { error: Some(ErrorKind::Disconnected), ..Lane::default() };
        let report = run(&mut [&mut targets], usize::MAX);
        assert_eq!((targets.batches.len(), counts(&report)), (2, [3, 8, 7, 0]));
        let last = &report.items[10];
        assert!(last.detail.starts_with("not begun") && last.lost && report.lost);
        let mut targets = Lane { error: Some(ErrorKind::OutcomeUnknown), ..Lane::default() };
        let report = run(&mut [&mut targets], usize::MAX);
        assert_eq!((targets.batches.len(), report.count(Outcome::Unknown), counts(&report)), (4, 3, [3, 5, 7, 0]));
    }

    #[test]
    fn lanes_share_the_targets_and_the_lowest_places_are_listed() {
        let (mut one, mut other) = (Lane::default(), Lane::default());
        let report = run(&mut [&mut one, &mut other], 4);
        assert_eq!(one.batches, [vec![0, 1, 2], vec![6, 7, 8]]);
        assert_eq!(other.batches, [vec![3, 4, 5], vec![9, 10]]);
        assert_eq!((counts(&report), ids(&report).join(" ")), ([6, 5, 7, 0], "0 1 2 3 6 7 8 9 refused".to_owned()));
        // What fails on one lane ends the other, too.
        let error = Some(ErrorKind::Database);
        let (mut one, mut other) = (Lane { error, ..Lane::default() }, Lane::default());
        let report = run(&mut [&mut one, &mut other], 4);
        assert!(one.batches.len() == 2 && other.batches.len() <= 2, "{:?} {:?}", one.batches, other.batches);
        assert_eq!(report.count(Outcome::Applied) + report.count(Outcome::Failed), 11);
    }

    #[test]
    fn a_slow_lane_leaves_the_lowest_places_listed() {
        let report = Report::new(crate::ident::OperationId::fresh());
        let places: Box<dyn Iterator<Item = usize> + Send> = Box::new(std::iter::empty());
        let listed = BTreeMap::new();
        let mut state = State { places, round: 0, taken: 0, again: Vec::new(), stopped: None, listed, report };
        for place in [5, 4, 9, 1] {
            state.add(place, Outcome::Applied, 2, || {
                Item::new(Subject::new("s", Kind::Lease, ""), Outcome::Applied, "")
            });
        }
        let listed: Vec<usize> = state.listed[&Outcome::Applied].keys().copied().collect();
        assert_eq!((listed, state.report.count(Outcome::Applied)), (vec![1, 4], 2));
    }

    #[test]
    fn what_is_held_is_tried_again_after_the_others_and_told_as_it_was_at_last() {
        let mut targets = Lane { retries: 2, held: 1, ..Lane::default() };
        let report = run(&mut [&mut targets], usize::MAX);
        assert_eq!((&targets.batches[4..], counts(&report)), (&[vec![0, 5, 10]][..], [6, 5, 7, 0]));
        let mut targets = Lane { retries: 2, held: 9, ..Lane::default() };
        let report = run(&mut [&mut targets], usize::MAX);
        assert_eq!((targets.batches.len(), counts(&report)), (6, [4, 4, 7, 3]));
    }

    #[test]
    fn an_interrupt_ends_further_tries() {
        let mut targets = Lane { retries: 2, held: 9, last: 5, ..Lane::default() };
        let report = run(&mut [&mut targets], usize::MAX);
        assert_eq!((targets.batches.len(), counts(&report)), (5, [4, 4, 7 + 3, 0]));
        assert_eq!(report.items[0].detail, "interrupted before it was tried again");
    }

    #[test]
    fn a_batch_is_not_larger_than_the_rate_of_a_quarter_second() {
        let size = |batch, rate| Pace::bulk(batch, rate).size();
        let sizes = [(50, None), (500, Some(50.0)), (5, Some(50.0)), (0, None), (50, Some(0.1))];
        assert_eq!(sizes.map(|(batch, rate)| size(batch, rate)), [50, 12, 5, 1, 1]);
    }

    #[test]
    fn a_rate_that_no_clock_can_keep_ends_with_the_permit_and_one_that_is_none_does_not_wait() {
        let stop = Revocation::default();
        let plan = Plan::new("db", Risk::Safe);
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
