//! Replaying dead letters: a batch is one transaction; what it leaves is looked at, and what is only held is tried again.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::brakes::Brakes;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal;
use sen_model::letters::ReplayOptions;
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::report::{Item, Outcome, Report, suppressed};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;

use super::handle::StentLetters;
use super::note::{mark, note};
use super::port::{Batch, Fact, LetterStore};
use super::rules::{Replayability, replayability};
use super::targets::{DeadLetterRef, Places, TargetSet};
use crate::names::dead_letter;

/// How many dead letters are replayed in one transaction by default.
const BATCH: u32 = 500;
/// A larger batch would hold locks for too long.
const LARGEST: u32 = 1000;
/// From this many dead letters on, a second connection shares the work.
const MANY: usize = 5000;
/// How often a batch is tried again when its connection breaks.
const TRIES: u32 = 3;
/// How often letters that another transaction holds are tried again.
const ROUNDS: u32 = 5;

/// Whether the letters themselves make the statement fail (one that is no JSON, one whose task is there already): then each
/// is tried alone.
fn is_of_a_letter(error: &Error) -> bool {
    error.sqlstate().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
        || matches!(error.kind(), ErrorKind::Unreadable | ErrorKind::Changed | ErrorKind::KeptOut)
}

/// Whether the task that the replay would make is there already.
fn is_made(error: &Error) -> bool {
    error.sqlstate() == Some("23505") || error.kind() == ErrorKind::Changed
}

/// Letters of a set, replayed on one connection.
struct Lane<'a> {
    letters: &'a StentLetters,
    store: &'a dyn LetterStore,
    chosen: &'a TargetSet,
    options: &'a ReplayOptions,
    note: &'a str,
    permit: &'a WritePermit,
    /// What was replayed.
    applied: Vec<u32>,
    /// Whether an error ended it.
    broken: bool,
}

impl StentLetters {
    pub(super) async fn apply_replay(
        &self,
        plan: &Plan,
        (chosen, options, activities): (&TargetSet, &ReplayOptions, bool),
        permit: &WritePermit,
        observer: &dyn Observer,
        brakes: Option<&Brakes<'_>>,
    ) -> Report {
        // A large set is worth a second connection, where the store has such a thing.
        let second = if chosen.len() >= MANY && options.rate.is_none() && brakes.is_none() {
            self.store.lane().await
        } else {
            None
        };
        let note = note(permit);
        let lane = |store| Lane {
            letters: self,
            store,
            chosen,
            options,
            note: &note,
            permit,
            applied: Vec::new(),
            broken: false,
        };
        let mut lanes: Vec<Lane<'_>> =
            std::iter::once(&self.store).chain(&second).map(|store| lane(&**store)).collect();
        let mut each: Vec<&mut dyn Targets> = lanes.iter_mut().map(|lane| lane as &mut dyn Targets).collect();
        let batch = options.batch.unwrap_or(BATCH).clamp(1, LARGEST) as usize;
        let pace = Pace::bulk(batch, options.rate).braked(brakes);
        let mut report = run_batch(&mut each, plan, chosen.len(), pace, permit, observer).await;
        if !lanes.iter().any(|lane| lane.broken) {
            let applied: Vec<u32> = lanes.into_iter().flat_map(|lane| lane.applied).collect();
            self.report_copies(chosen, &applied, activities, &mut report, observer).await;
        }
        report
    }

    /// Those of these letters that an operation which may have been begun before has replayed or removed, as its records show;
    /// `None` where none are kept.
    pub(super) async fn own(&self, letters: &[DeadLetterRef], permit: &WritePermit) -> Option<HashSet<String>> {
        if !permit.may_have_begun() || letters.is_empty() {
            return Some(HashSet::new());
        }
        let signed = self.store.signed(letters, &mark(permit)).await.ok()??;
        Some(signed.into_iter().collect())
    }

    /// Whether these letters can still be replayed.
    pub(super) async fn replayable(&self, letters: &[DeadLetterRef], force: bool) -> Result<Vec<Item>> {
        let item = |(letter, state): (&DeadLetterRef, Whereabouts)| {
            let subject = dead_letter(&letter.id);
            match state {
                Whereabouts::Held => Item::still(subject),
                Whereabouts::Refused(replayability) if force && replayability.can_be_forced() => Item::still(subject),
                Whereabouts::Refused(replayability) => Item::new(subject, Outcome::Changed, replayability.why()),
                Whereabouts::Settled(outcome, why) => Item::new(subject, outcome, why),
            }
        };
        Ok(letters.iter().zip(self.whereabouts(letters).await?).map(item).collect())
    }

    async fn whereabouts(&self, letters: &[DeadLetterRef]) -> Result<Vec<Whereabouts>> {
        let (mut facts, made) = self.store.whereabouts(letters, self.zone.ahead_at(Timestamp::here())).await?;
        facts.sort_by(|a, b| a.id.cmp(&b.id));
        let mut made: Vec<&str> = made.iter().map(String::as_str).collect();
        made.sort_unstable();
        let state = |wanted: &DeadLetterRef| {
            let fact = facts.binary_search_by(|fact| fact.id.as_str().cmp(&wanted.id)).ok().map(|at| &facts[at]);
            whereabouts(wanted, fact, made.binary_search(&wanted.fresh.as_str()).is_ok())
        };
        Ok(letters.iter().map(state).collect())
    }
}

#[async_trait]
impl Targets for Lane<'_> {
    fn subject(&self, place: usize) -> Subject {
        dead_letter(&self.chosen.get(place).map(|one| one.id).unwrap_or_default())
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let letters: Vec<DeadLetterRef> = places.iter().filter_map(|place| self.chosen.get(*place)).collect();
        let mut items = vec![None; letters.len()];
        let mut replayed = match self.batch(&letters).await {
            Ok(replayed) => replayed,
            // What the batch needs is held: its letters are looked at and tried again.
            Err(error) if error.kind() == ErrorKind::Timeout => Places::default(),
            Err(error) if is_of_a_letter(&error) => self.each_alone(&letters, &mut items).await,
            Err(error) => {
                self.broken |= error.kind() != ErrorKind::OutcomeUnknown;
                return Err(error);
            }
        };
        for (at, (place, letter)) in places.iter().zip(&letters).enumerate() {
            if replayed.done.contains(&at) {
                let how = if letter.edit.is_some() { " with edited arguments" } else { "" };
                let why = format!("replayed as task {}{how}", letter.fresh);
                let item = Item::new(dead_letter(&letter.id), Outcome::Applied, why).with_new_id(&letter.fresh);
                items[at] = Some(item.changing(replayed.changes.remove(&at).unwrap_or_default()));
                self.applied.extend(u32::try_from(*place));
            }
        }
        self.look_at_open(&letters, &replayed.kept, &mut items).await;
        Ok(items.into_iter().flatten().collect())
    }
}

impl Lane<'_> {
    /// One batch, tried again when its connection breaks: nothing was written then.
    async fn batch(&self, letters: &[DeadLetterRef]) -> Result<Places> {
        let Self { options, note, permit, .. } = self;
        let ahead = self.letters.zone.ahead_at(Timestamp::here());
        let batch = Batch { letters, queue: options.queue.as_deref(), force: options.force, ahead, note };
        let mut tried = 0;
        loop {
            match self.store.replay(&batch, permit).await {
                Err(error) if error.is_of_the_connection() && tried < TRIES => {
                    tried += 1;
                    tokio::time::sleep(Duration::from_millis(200) * tried).await;
                }
                other => return other,
            }
        }
    }

    /// Replays each letter of a batch by itself, as one of them makes the statement fail.
    async fn each_alone(&self, letters: &[DeadLetterRef], items: &mut [Option<Item>]) -> Places {
        let mut places = Places::default();
        let mut broken: Option<Error> = None;
        for (at, letter) in letters.iter().enumerate() {
            let subject = dead_letter(&letter.id);
            if let Some(error) = &broken {
                let item = Item::new(subject, Outcome::Failed, format!("not begun: {error}"));
                items[at] = Some(item.lost(error.is_of_the_connection()));
                continue;
            }
            match journal::among(&[at], self.batch(std::slice::from_ref(letter))).await {
                Ok(Places { done, kept, mut changes }) => {
                    places.changes.extend(changes.remove(&0).map(|changes| (at, changes)));
                    places.done.extend(done.first().map(|_| at));
                    places.kept.extend(kept.first().map(|_| at));
                }
                // Replayed by another operator, put back, or held: one look at letter and task tells which.
                Err(error) if is_made(&error) || error.kind() == ErrorKind::Timeout => {}
                Err(error) => {
                    let mut item = Item::failed(subject, &error);
                    let of_a_letter = is_of_a_letter(&error);
                    if of_a_letter && error.kind() != ErrorKind::KeptOut {
                        item.detail.insert_str(0, "its dump cannot be used: ");
                    }
                    items[at] = Some(item);
                    broken = (!of_a_letter && error.kind() != ErrorKind::OutcomeUnknown).then_some(error);
                }
            }
        }
        places
    }

    /// Says of each letter that has no item yet what is there of it: it was replayed by another tool, is gone or no longer
    /// replayable, or is held, which is worth another try.
    async fn look_at_open(&self, letters: &[DeadLetterRef], kept: &[usize], items: &mut [Option<Item>]) {
        let open: Vec<usize> = (0..letters.len()).filter(|at| items[*at].is_none()).collect();
        if open.is_empty() {
            return;
        }
        let wanted: Vec<DeadLetterRef> = open.iter().map(|at| letters[*at].clone()).collect();
        let looked = self.letters.whereabouts(&wanted).await;
        let own = self.letters.own(&wanted, self.permit).await;
        for (found, (at, letter)) in open.into_iter().zip(&wanted).enumerate() {
            let subject = dead_letter(&letter.id);
            items[at] = Some(match looked.as_ref().map(|states| &states[found]) {
                Ok(Whereabouts::Settled(outcome, why)) => {
                    let own = own.as_ref().map(|own| own.contains(&letter.id));
                    let mut item = Item::new(subject, *outcome, *why).own(own);
                    // What another operation has replayed runs as it was, and where it was.
                    let differs = letter.edit.is_some() || self.options.queue.is_some();
                    if item.outcome == Outcome::AlreadyDone && own == Some(false) && differs {
                        item.outcome = Outcome::Changed;
                        item.detail += ", without what this one changes of it";
                    }
                    if item.outcome == Outcome::AlreadyDone { item.with_new_id(&letter.fresh) } else { item }
                }
                // Its execution may have come to what a replay requires only after the batch: a second try tells.
                Ok(Whereabouts::Refused(replayability)) => Item::new(subject, Outcome::Changed, replayability.why()),
                Ok(Whereabouts::Held) if kept.contains(&at) => {
                    Item::new(subject, Outcome::Changed, suppressed("dead_tasks or executions")).again(1)
                }
                // It is as it was seen: whoever resumes the operation may have it.
                Ok(Whereabouts::Held) => {
                    let why = "not replayed: another transaction holds it or its execution";
                    Item::new(subject, Outcome::Failed, why).again(ROUNDS)
                }
                Err(error) => Item::new(subject, Outcome::Failed, format!("not replayed: {}", error.in_full()))
                    .lost(error.is_of_the_connection()),
            });
        }
    }
}

/// What became of a letter that a batch did not replay.
enum Whereabouts {
    /// This.
    Settled(Outcome, &'static str),
    /// It is there as it was seen, and its replay makes no sense (any more).
    Refused(Replayability),
    /// It is there and can be replayed: another transaction holds it.
    Held,
}

fn whereabouts(wanted: &DeadLetterRef, fact: Option<&Fact>, made: bool) -> Whereabouts {
    use Whereabouts::{Held, Refused, Settled};
    match fact.filter(|fact| fact.moved_at == wanted.moved_at) {
        None if made => Settled(Outcome::AlreadyDone, "another operation has replayed it meanwhile"),
        None if fact.is_some() => Settled(Outcome::Changed, "it has been replayed and has died again meanwhile"),
        None => Settled(Outcome::Missing, "it no longer exists: replayed by another tool, or discarded"),
        Some(_) if made => {
            Settled(Outcome::Changed, "the task of its replay is there already: it was replayed before and put back")
        }
        Some(fact) if wanted.edit.as_ref().is_some_and(|edit| !edit.is_of(fact.dump.as_deref())) => {
            Settled(Outcome::Changed, "its arguments are no longer those that were edited")
        }
        Some(fact) => match replayability(&fact.replay_facts) {
            Replayability::Replayable => Held,
            replayability => Refused(replayability),
        },
    }
}
