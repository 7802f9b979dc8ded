//! Batches on one connection and several, with and without brakes.

use super::*;
use crate::course::{Course, Followed, Now};
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
    braked(lanes, listed, None)
}

fn braked(lanes: &mut [&mut Lane], listed: usize, brakes: Option<&Brakes<'_>>) -> Report {
    let stop = lanes[0].stop.clone();
    let refused = vec![Item::new(Subject::new("s", Kind::Lease, "refused"), Outcome::Missing, "")];
    let set = Set { skipped: vec![("old".into(), 7)], ..Set::default() };
    let mut plan = Plan::new("db", Risk::Safe);
    (plan.refused, plan.set) = (refused, Some(set));
    let permit = WritePermit::grant(&plan, Consent::Unasked, None).unwrap().until(stop);
    let pace = Pace { batch: 3, rate: None, listed, brakes };
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
    let places = left(std::iter::empty());
    let (again, listed) = (Vec::new(), BTreeMap::new());
    let mut state = State { places, round: 0, taken: 0, again, stopped: None, halt: None, watch: None, listed, report };
    for place in [5, 4, 9, 1] {
        state.add(place, Outcome::Applied, 2, || Item::new(Subject::new("s", Kind::Lease, ""), Outcome::Applied, ""));
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

/// How each place goes on; every third is of another group.
struct Fates(fn(usize) -> Course);

#[async_trait]
impl crate::brakes::Following for Fates {
    async fn now(&self, targets: &[Followed]) -> Result<Vec<Now>> {
        let course = |target: &Followed| (self.0)(target.id().parse().unwrap());
        Ok(targets.iter().map(|target| Now::new(course(target), "")).collect())
    }

    async fn groups(&self, subjects: &[Subject]) -> Result<Vec<String>> {
        let group = |subject: &Subject| (subject.id.parse::<usize>().unwrap() % 3 == 2).to_string();
        Ok(subjects.iter().map(group).collect())
    }
}

fn brakes(following: &Fates) -> Brakes<'_> {
    let patience = Duration::ZERO;
    Brakes { canary: None, abort_above: None, max_in_flight: None, patience, following, before: Vec::new() }
}

fn why(report: &Report) -> (bool, &str) {
    report.halt.as_ref().map(|halt| (halt.failed, halt.why.as_str())).unwrap()
}

#[test]
fn a_canary_is_of_all_groups_and_the_rest_follows_where_it_went_well() {
    let fates = Fates(|_| Course::Succeeded);
    let (mut one, mut other) = (Lane::default(), Lane::default());
    let report = braked(&mut [&mut one, &mut other], usize::MAX, Some(&Brakes { canary: Some(4), ..brakes(&fates) }));
    assert_eq!(one.batches, [vec![0, 1, 2], vec![5], vec![3, 4, 6], vec![7, 8, 9], vec![10]]);
    assert!(other.batches.is_empty(), "one connection alone knows what is in flight");
    assert_eq!((report.halt.clone(), counts(&report)), (None, [6, 5, 7, 0]));
}

#[test]
fn a_canary_that_failed_or_has_no_verdict_ends_it() {
    let fates = Fates(|place| if place == 2 { Course::DiedAgain } else { Course::Succeeded });
    let canary = || Brakes { canary: Some(4), ..brakes(&fates) };
    let mut lane = Lane::default();
    let report = braked(&mut [&mut lane], usize::MAX, Some(&canary()));
    assert_eq!(
        (lane.batches.concat(), why(&report)),
        (vec![0, 1, 2, 5], (true, "the canary failed: 1 died again, 3 succeeded"))
    );
    assert_eq!((counts(&report), report.ending()), ([4, 0, 7 + 7, 0], crate::report::Ending::Partial));
    // As many may die again as the share allows.
    let mut lane = Lane::default();
    let report = braked(&mut [&mut lane], usize::MAX, Some(&Brakes { abort_above: Some(0.25), ..canary() }));
    assert_eq!((report.halt, lane.batches.concat().len()), (None, 11));
    // What an earlier run has left is not judged with it, and what had ended by then stops nothing a second time.
    let fates = Fates(|place| match place {
        20 => Course::DiedAgain,
        21 => Course::Running,
        _ => Course::Succeeded,
    });
    let before = (20..22).map(|id: usize| Followed {
        subject: Subject::new("s", Kind::Lease, id.to_string()),
        new_id: None,
        before: None,
    });
    let again = Brakes { canary: Some(4), abort_above: Some(0.0), before: before.collect(), ..brakes(&fates) };
    let mut lane = Lane::default();
    let report = braked(&mut [&mut lane], usize::MAX, Some(&again));
    assert_eq!((report.halt, lane.batches.concat().len()), (None, 11));
    // Without a worker.
    let fates = Fates(|_| Course::Waiting);
    let mut lane = Lane::default();
    let report = braked(&mut [&mut lane], usize::MAX, Some(&Brakes { canary: Some(4), ..brakes(&fates) }));
    let (failed, text) = why(&report);
    assert!(!failed && text.contains("4 waiting") && text.contains("no worker"), "{text}");
    assert_eq!(report.ending(), crate::report::Ending::Pending);
    // What is gone says nothing.
    let fates = Fates(|_| Course::Unknown);
    let report = braked(&mut [&mut Lane::default()], usize::MAX, Some(&Brakes { canary: Some(4), ..brakes(&fates) }));
    assert_eq!(why(&report), (false, "the canary has no verdict: 4 unknown"));
    let fates = Fates(|place| if place == 2 { Course::Unknown } else { Course::Succeeded });
    let report = braked(&mut [&mut Lane::default()], usize::MAX, Some(&Brakes { canary: Some(4), ..brakes(&fates) }));
    assert_eq!(why(&report), (false, "the canary has no verdict: 1 unknown, 3 succeeded"));
}

#[test]
fn no_more_is_in_flight_than_may_be() {
    let fates = Fates(|place| if place == 1 { Course::Succeeded } else { Course::Running });
    let mut lane = Lane::default();
    let report = braked(&mut [&mut lane], usize::MAX, Some(&Brakes { max_in_flight: Some(4), ..brakes(&fates) }));
    assert_eq!(lane.batches, [vec![0, 1, 2], vec![3, 4]]);
    assert_eq!(why(&report), (false, "nothing in flight has ended after 0s: 4 running"));
    // What an earlier run has begun counts.
    let before = (20..24).map(|id: usize| Followed {
        subject: Subject::new("s", Kind::Lease, id.to_string()),
        new_id: None,
        before: None,
    });
    let brakes = Brakes { max_in_flight: Some(4), before: before.collect(), ..brakes(&fates) };
    let mut lane = Lane::default();
    braked(&mut [&mut lane], usize::MAX, Some(&brakes));
    assert!(lane.batches.is_empty());
}

#[test]
fn it_ends_where_too_much_has_died_again() {
    let fates = Fates(|place| if place < 6 { Course::DiedAgain } else { Course::Succeeded });
    let mut lane = Lane::default();
    let report = braked(&mut [&mut lane], usize::MAX, Some(&Brakes { abort_above: Some(0.4), ..brakes(&fates) }));
    // Of three the share would be too much at once: it is taken of all, as they are few.
    assert_eq!(lane.batches, [[0, 1, 2], [3, 4, 5]]);
    assert_eq!(why(&report), (true, "6 of 6 died again, more than 40 %"));
    let brakes = Brakes { abort_above: Some(0.7), ..brakes(&fates) };
    assert_eq!(braked(&mut [&mut Lane::default()], usize::MAX, Some(&brakes)).halt, None);
}
