//! Applying the targets of a plan: batch by batch, on one connection or several, not faster than asked for, until the permit
//! is withdrawn or an error ends it. The report says what became of each target.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::brakes::{Brakes, Watch};
use crate::error::{Error, ErrorKind, Result};
use crate::journal;
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::plan::Plan;
use crate::report::{Halt, Item, Outcome, Report};
use crate::subject::Subject;
use crate::time::Uptime;

/// How many items of each outcome a bulk act lists; the rest is counted.
pub const LISTED: usize = 1000;
/// The pause before targets are tried again; it doubles each time.
const PAUSE: Duration = Duration::from_millis(50);

/// How targets are taken.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    /// The number of targets in one call.
    pub batch: usize,
    /// The maximum number per second.
    pub rate: Option<f64>,
    /// How many items of each outcome the report lists; the rest is counted.
    pub listed: usize,
    /// When it pauses and stops.
    pub brakes: Option<&'a Brakes<'a>>,
}

impl<'a> Pace<'a> {
    /// One at a time, each listed.
    pub const SINGLE: Self = Self { batch: 1, rate: None, listed: usize::MAX, brakes: None };

    /// In batches of `batch`, or as the rate allows; [`LISTED`] items of each outcome are listed.
    pub fn bulk(batch: usize, rate: Option<f64>) -> Self {
        Self { batch, rate, listed: LISTED, brakes: None }
    }

    /// The same with brakes.
    #[must_use]
    pub fn braked(self, brakes: Option<&'a Brakes<'a>>) -> Self {
        Self { brakes, ..self }
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
/// skipped. Several `lanes` share the targets: each takes the next batch when it is free. With brakes it is one alone, so that
/// what is in flight is known before more is begun.
pub async fn run_batch(
    lanes: &mut [&mut dyn Targets],
    plan: &Plan,
    total: usize,
    pace: Pace<'_>,
    permit: &WritePermit,
    observer: &dyn Observer,
) -> Report {
    observer.begin(plan.summary(), Some(total as u64));
    let asked = plan.set.as_ref().is_some_and(|set| set.asked);
    let mut report = Report { asked, ..Report::new(plan.operation) };
    report.add_unlisted(Outcome::Skipped, plan.skipped());
    let mut state = State {
        places: left(0..total),
        round: 0,
        taken: 0,
        again: Vec::new(),
        stopped: None,
        halt: None,
        watch: pace.brakes.map(|brakes| Watch::new(brakes, total)),
        listed: BTreeMap::new(),
        report,
    };
    let most = if pace.brakes.is_some() { 1 } else { usize::MAX };
    let mut lanes: Vec<&mut dyn Targets> = lanes.iter_mut().take(most).map(|lane| &mut **lane as _).collect();
    let mut canary = None;
    if let Some(watch) = &mut state.watch {
        state.halt = watch.starts().await;
    }
    if let (Some(brakes), Some(lane)) = (pace.brakes, lanes.first()) {
        let candidates: Vec<_> =
            brakes.candidates(total).into_iter().map(|place| (place, lane.subject(place))).collect();
        match brakes.choose(candidates).await {
            Ok(chosen) => canary = Some(chosen).filter(|chosen| !chosen.is_empty()),
            Err(error) => state.stopped = Some(error),
        }
    }
    if let Some(chosen) = &canary {
        state.watch.iter_mut().for_each(|watch| watch.begins_canary(true));
        state.places = left(chosen.clone().into_iter());
    }
    let mut run = Run { pace, permit, observer, start: Uptime::now(), state: Mutex::new(state) };
    run.rounds(&mut lanes).await;
    if let Some(chosen) = canary {
        let state = run.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.then(chosen, total);
        if state.goes_on(permit)
            && let Some(watch) = &mut state.watch
        {
            state.halt = watch.canary(permit, observer).await;
            watch.begins_canary(false);
            run.rounds(&mut lanes).await;
        }
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
    pace: Pace<'a>,
    permit: &'a WritePermit,
    observer: &'a dyn Observer,
    start: Uptime,
    state: Mutex<State<'a>>,
}

/// Places that are still to be taken.
type Left = Peekable<Box<dyn Iterator<Item = usize> + Send>>;

fn left(places: impl Iterator<Item = usize> + Send + 'static) -> Left {
    let places: Box<dyn Iterator<Item = usize> + Send> = Box::new(places);
    places.peekable()
}

/// How far a run has come.
struct State<'a> {
    /// The places that no lane has taken in this round.
    places: Left,
    /// How often what is taken now was tried before.
    round: u32,
    /// How many places were taken, in all rounds.
    taken: u64,
    /// What is to be tried again in the next round.
    again: Vec<usize>,
    /// The error after which nothing more is begun.
    stopped: Option<Error>,
    /// Why the brakes let nothing more be begun.
    halt: Option<Halt>,
    /// With brakes: how what was begun goes.
    watch: Option<Watch<'a>>,
    /// The items that are listed, by place.
    listed: BTreeMap<Outcome, BTreeMap<usize, Item>>,
    report: Report,
}

impl<'a> Run<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all there are to take, and again what is to be tried again.
    async fn rounds(&mut self, lanes: &mut [&mut dyn Targets]) {
        loop {
            join_all(lanes.iter_mut().map(|lane| self.lane(&mut **lane))).await;
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            if state.again.is_empty() || !state.goes_on(self.permit) {
                return;
            }
            state.again.sort_unstable();
            state.places = left(std::mem::take(&mut state.again).into_iter());
            let pause = PAUSE * 2_u32.saturating_pow(state.round);
            state.round += 1;
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes batches until there are no more.
    async fn lane(&self, targets: &mut dyn Targets) {
        loop {
            let places = self.take().await;
            if places.is_empty() {
                return;
            }
            let named: Vec<(usize, Subject)> = match journal::current() {
                Some(_) => places.iter().map(|place| (*place, targets.subject(*place))).collect(),
                None => Vec::new(),
            };
            let (items, error) = match journal::about(|| named, targets.apply(&places)).await {
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
                    if let Some(watch) = &mut state.watch {
                        watch.add(&item);
                    }
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
        let room = self.room().await;
        let mut state = self.state();
        if !state.goes_on(self.permit) {
            return Vec::new();
        }
        let places: Vec<usize> = state.places.by_ref().take(room).collect();
        state.taken += places.len() as u64;
        places
    }

    /// How many may be taken now: with brakes not before there is room.
    async fn room(&self) -> usize {
        let size = self.pace.size();
        let is_over = {
            let mut state = self.state();
            state.places.peek().is_none() || !state.goes_on(self.permit)
        };
        if is_over {
            return 0;
        }
        // There is one lane then: nobody else looks for it meanwhile.
        let Some(mut watch) = self.state().watch.take() else { return size };
        let room = watch.room(size, self.permit, self.observer).await;
        let mut state = self.state();
        state.watch = Some(watch);
        room.unwrap_or_else(|halt| {
            state.halt = Some(halt);
            0
        })
    }
}

impl State<'_> {
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

    /// Whether more may be begun.
    fn goes_on(&self, permit: &WritePermit) -> bool {
        !permit.is_revoked() && self.stopped.is_none() && self.halt.is_none()
    }

    /// What comes after the canary: all others, and what is left of it.
    fn then(&mut self, canary: Vec<usize>, total: usize) {
        let of_it: Vec<usize> = self.places.by_ref().collect();
        let others = (0..total).filter(move |place| canary.binary_search(place).is_err());
        self.places = left(of_it.into_iter().chain(others));
        self.round = 0;
    }

    /// Enters what was not begun, or not tried again, after an error or because the permit was withdrawn.
    fn rest(&mut self, subject: impl Fn(usize) -> Subject, limit: usize) {
        let stopped = self.stopped.take();
        let lost = stopped.as_ref().is_some_and(Error::is_of_the_connection);
        let outcome = if stopped.is_some() { Outcome::Failed } else { Outcome::Skipped };
        let tried = self.round > 0;
        self.report.halt = self.halt.take();
        let halted = self.report.halt.is_some();
        let places = std::mem::replace(&mut self.places, left(std::iter::empty()));
        let again = std::mem::take(&mut self.again);
        let mut left = 0;
        for (place, tried) in places.map(|place| (place, tried)).chain(again.into_iter().map(|place| (place, true))) {
            left += 1;
            self.add(place, outcome, limit, || {
                let why = match (&stopped, tried) {
                    (Some(error), false) => format!("not begun: {error}"),
                    (Some(error), true) => format!("not tried again: {error}"),
                    (None, false) if halted => "not begun: the brakes stopped it".to_owned(),
                    (None, true) if halted => "not tried again: the brakes stopped it".to_owned(),
                    (None, false) => "interrupted before it was begun".to_owned(),
                    (None, true) => "interrupted before it was tried again".to_owned(),
                };
                Item::new(subject(place), outcome, why).lost(lost)
            });
        }
        if stopped.is_none() {
            self.report.not_begun = left;
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
mod tests;
