//! Applying a replay: batch by batch, each its own transaction, paced if wanted, and what became of every letter.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letters::ReplayOptions;
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::report::{Item, Outcome, Report};
use sen_model::time::{Timestamp, Uptime};

use super::chosen::{Chosen, Places, Wanted};
use super::handle::StentLetters;
use super::ledger::{Ledger, sentence};
use super::note::note;
use super::port::{Batch, Fact, LetterStore};
use super::rules::{Standing, standing};
use crate::names;

/// So many letters go into one transaction unless told otherwise.
const BATCH: u32 = 500;
/// More than this would hold locks for too long.
const LARGEST: u32 = 1000;
/// How often a batch is tried again when its connection breaks.
const TRIES: u32 = 3;
/// How often letters that somebody else holds are tried again.
const ROUNDS: u32 = 5;
/// So many tasks are looked up at once when copies are sought.
const SOUGHT: usize = 1000;
/// From so many letters on, a second connection shares the work, and one pass over all tasks finds copies faster than asking
/// about each letter.
const MANY: usize = 5000;
/// A paced replay sleeps in steps, so that an interrupt is heard.
const STEP: Duration = Duration::from_millis(100);

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

/// Whether the connection is to blame, and nothing was written.
fn is_of_the_line(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Connect)
}

/// Keeps to a rate.
struct Pace {
    rate: Option<f64>,
    begun: Uptime,
    done: u64,
}

impl Pace {
    /// Waits until more may be begun, or the act is interrupted.
    async fn wait(&self, permit: &WritePermit) {
        let Some(rate) = self.rate else { return };
        let due = Duration::try_from_secs_f64(self.done as f64 / rate).unwrap_or(Duration::MAX);
        let due = self.begun.plus(due);
        loop {
            let left = Uptime::now().until(due);
            if left.is_zero() || permit.is_revoked() {
                return;
            }
            tokio::time::sleep(left.min(STEP)).await;
        }
    }
}

fn batch_size(options: &ReplayOptions) -> usize {
    let size = options.batch.unwrap_or(BATCH).clamp(1, LARGEST);
    // A slow rate is kept by small batches rather than by bursts.
    let by_rate = options.rate.map_or(LARGEST, |rate| (rate / 4.0).clamp(1.0, f64::from(LARGEST)) as u32);
    size.min(by_rate) as usize
}

/// What the lanes of one run share.
struct Run<'a> {
    chosen: &'a Chosen,
    options: &'a ReplayOptions,
    note: &'a str,
    permit: &'a WritePermit,
    observer: &'a dyn Observer,
    state: Mutex<State>,
}

/// How far a run has come.
struct State {
    /// The first letter that nobody has begun.
    next: usize,
    applied: Vec<u32>,
    open: Vec<u32>,
    ledger: Ledger,
    /// Why nothing more is begun.
    stopped: Option<(Outcome, String)>,
}

impl Run<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, outcome: Outcome, why: impl Into<String>) {
        self.state().stopped.get_or_insert((outcome, why.into()));
    }

    /// The next batch: its first place, and its letters.
    fn begin(&self, size: usize) -> Option<(usize, Vec<Wanted>)> {
        if self.permit.is_revoked() {
            self.stop(Outcome::Skipped, "interrupted before it was begun");
        }
        let mut state = self.state();
        if state.stopped.is_some() || state.next >= self.chosen.len() {
            return None;
        }
        let from = state.next;
        state.next = (from + size).min(self.chosen.len());
        Some((from, (from..state.next).filter_map(|at| self.chosen.get(at)).collect()))
    }

    fn settle(&self, from: usize, count: usize, places: &[usize]) {
        let state = &mut *self.state();
        settle(from, count, places, &mut state.applied, &mut state.open);
    }
}

impl StentLetters {
    pub(super) async fn apply_replay(
        &self,
        plan: &Plan,
        (chosen, options, activities): (&Chosen, &ReplayOptions, bool),
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Report {
        let note = note(permit);
        let state = State { next: 0, applied: Vec::new(), open: Vec::new(), ledger: Ledger::new(plan), stopped: None };
        let run = Run { chosen, options, note: &note, permit, observer, state: Mutex::new(state) };
        observer.begin(&plan.summary, Some(chosen.len() as u64));
        // A large set is worth a second connection, where the store has such a thing.
        let second = if chosen.len() >= MANY && options.rate.is_none() { self.store.lane().await } else { None };
        match &second {
            None => self.lane(&*self.store, &run).await,
            Some(second) => {
                tokio::join!(self.lane(&*self.store, &run), self.lane(&**second, &run));
            }
        }
        let State { next, mut applied, open, mut ledger, stopped } =
            run.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.settle_open(chosen, open, options, &note, permit, &mut ledger, &mut applied, observer).await;
        applied.sort_unstable();
        for at in &applied {
            if let Some(wanted) = chosen.get(*at as usize) {
                ledger.add(&wanted.id, Outcome::Applied, || format!("replayed as task {}", wanted.fresh));
            }
        }
        if let Some((outcome, why)) = stopped {
            ledger.rest(chosen, next, outcome, &why);
        } else {
            self.report_copies(chosen, &applied, activities, &mut ledger, observer).await;
        }
        ledger.close()
    }

    /// Takes batches on one connection until there are no more.
    async fn lane(&self, store: &dyn LetterStore, run: &Run<'_>) {
        let size = batch_size(run.options);
        let mut pace = Pace { rate: run.options.rate.filter(|rate| *rate > 0.0), begun: Uptime::now(), done: 0 };
        loop {
            pace.wait(run.permit).await;
            let Some((from, letters)) = run.begin(size) else { return };
            pace.done += letters.len() as u64;
            match self.batch(store, &letters, run).await {
                Ok(places) => {
                    run.settle(from, letters.len(), &places.done);
                    run.observer.advance(places.done.len() as u64);
                }
                Err(error) if is_of_a_letter(&error) => {
                    for (at, wanted) in letters.iter().enumerate() {
                        match self.batch(store, std::slice::from_ref(wanted), run).await {
                            Ok(places) => run.settle(from + at, 1, &places.done),
                            // Replayed by another operator, or put back: one look at letter and task tells which.
                            Err(error) if is_made(&error) => {
                                run.settle(from + at, 1, &[]);
                                continue;
                            }
                            Err(error) => {
                                let ledger = &mut run.state().ledger;
                                ledger.met(&error);
                                ledger.add(&wanted.id, outcome_of(&error), || odd(&error));
                            }
                        }
                        run.observer.advance(1);
                    }
                }
                // Somebody holds what the batch needs: it is tried again with what is left open.
                Err(error) if error.kind() == ErrorKind::Timeout => run.settle(from, letters.len(), &[]),
                Err(error) => {
                    let outcome = outcome_of(&error);
                    run.state().ledger.met(&error);
                    for wanted in &letters {
                        run.state().ledger.add(&wanted.id, outcome, || sentence(&error));
                    }
                    run.observer.advance(letters.len() as u64);
                    if outcome != Outcome::Unknown {
                        run.stop(Outcome::Failed, format!("not begun: {error}"));
                    }
                }
            }
        }
    }

    /// One batch, tried again when its connection breaks: nothing was written then.
    async fn batch(&self, store: &dyn LetterStore, letters: &[Wanted], run: &Run<'_>) -> Result<Places> {
        self.replay_batch(store, letters, run.options, run.note, run.permit).await
    }

    async fn replay_batch(
        &self,
        store: &dyn LetterStore,
        letters: &[Wanted],
        options: &ReplayOptions,
        note: &str,
        permit: &WritePermit,
    ) -> Result<Places> {
        let ahead = self.zone.ahead_at(Timestamp::here());
        let batch = Batch { letters, queue: options.queue.as_deref(), force: options.force, ahead, note };
        let mut tried = 0;
        loop {
            match store.replay(&batch, permit).await {
                Err(error) if is_of_the_line(&error) && tried < TRIES => {
                    tried += 1;
                    tokio::time::sleep(Duration::from_millis(200) * tried).await;
                }
                other => return other,
            }
        }
    }

    /// What could not be had in its batch: replayed by somebody else, gone, no longer replayable, or held by somebody, which
    /// is worth another try.
    #[expect(clippy::too_many_arguments, reason = "the state of one run, split for length")]
    async fn settle_open(
        &self,
        chosen: &Chosen,
        mut open: Vec<u32>,
        options: &ReplayOptions,
        note: &str,
        permit: &WritePermit,
        ledger: &mut Ledger,
        applied: &mut Vec<u32>,
        observer: &dyn Observer,
    ) {
        let mut kept: HashSet<u32> = HashSet::new();
        for round in 0..=ROUNDS {
            let mut held = Vec::new();
            for places in open.chunks(BATCH as usize) {
                let letters: Vec<(u32, Wanted)> =
                    places.iter().filter_map(|at| Some((*at, chosen.get(*at as usize)?))).collect();
                match self.whereabouts(&letters).await {
                    Ok(states) => {
                        for ((at, wanted), whereabouts) in letters.into_iter().zip(states) {
                            match whereabouts {
                                Whereabouts::Settled(outcome, why) => {
                                    ledger.add(&wanted.id, outcome, || why.to_owned());
                                    observer.advance(1);
                                }
                                Whereabouts::Held if kept.contains(&at) => {
                                    let why = || sen_model::report::suppressed("dead_tasks or executions");
                                    ledger.add(&wanted.id, Outcome::Changed, why);
                                    observer.advance(1);
                                }
                                Whereabouts::Held => held.push((at, wanted)),
                            }
                        }
                    }
                    Err(error) => {
                        ledger.met(&error);
                        letters.iter().for_each(|(_, wanted)| {
                            ledger.add(&wanted.id, Outcome::Failed, || format!("not replayed: {}", sentence(&error)));
                            observer.advance(1);
                        });
                    }
                }
            }
            if held.is_empty() {
                return;
            }
            if round == ROUNDS || permit.is_revoked() {
                for (_, wanted) in held {
                    ledger.add(&wanted.id, Outcome::Changed, || "another transaction holds it or its execution".into());
                }
                return;
            }
            tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(round)).await;
            open = Vec::new();
            for some in held.chunks(BATCH as usize) {
                let letters: Vec<Wanted> = some.iter().map(|(_, wanted)| wanted.clone()).collect();
                let places = match self.replay_batch(&*self.store, &letters, options, note, permit).await {
                    Ok(places) => places,
                    Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                        letters.iter().for_each(|wanted| ledger.add(&wanted.id, Outcome::Unknown, || sentence(&error)));
                        continue;
                    }
                    Err(_) => Places::default(),
                };
                observer.advance(places.done.len() as u64);
                for (place, (at, _)) in some.iter().enumerate() {
                    if places.done.contains(&place) {
                        applied.push(*at);
                        continue;
                    }
                    open.push(*at);
                    if places.kept.contains(&place) {
                        kept.insert(*at);
                    } else {
                        kept.remove(at);
                    }
                }
            }
        }
    }

    async fn whereabouts(&self, letters: &[(u32, Wanted)]) -> Result<Vec<Whereabouts>> {
        let wanted: Vec<Wanted> = letters.iter().map(|(_, wanted)| wanted.clone()).collect();
        let (mut facts, made) = self.store.whereabouts(&wanted, self.zone.ahead_at(Timestamp::here())).await?;
        facts.sort_by(|a, b| a.id.cmp(&b.id));
        let mut made: Vec<&str> = made.iter().map(String::as_str).collect();
        made.sort_unstable();
        Ok(letters
            .iter()
            .map(|(_, wanted)| {
                let fact = facts.binary_search_by(|fact| fact.id.as_str().cmp(&wanted.id)).ok().map(|at| &facts[at]);
                whereabouts(wanted, fact, made.binary_search(&wanted.fresh.as_str()).is_ok())
            })
            .collect())
    }

    /// Another tool can replay the same letters at the same time; what it made beside ours is said.
    async fn report_copies(
        &self,
        chosen: &Chosen,
        applied: &[u32],
        activities: bool,
        ledger: &mut Ledger,
        observer: &dyn Observer,
    ) {
        let copies = if applied.len() > MANY && !activities {
            self.twins_of(chosen, applied).await
        } else {
            self.copies_of(chosen, applied).await
        };
        let foreign = match copies {
            Ok(copies) => self.foreign(chosen, copies).await,
            Err(error) => Err(error),
        };
        match foreign {
            Ok(copies) => {
                for (ours, other) in copies {
                    let task = names::task(&other);
                    let why = format!(
                        "a second task that does the work of {ours}: probably another tool replayed the letter, too"
                    );
                    ledger.report.items.push(Item::new(task, Outcome::Changed, why));
                }
            }
            Err(error) => {
                observer.say(&format!("whether another tool replayed the same letters could not be seen: {error}"));
            }
        }
    }

    /// Those of these pairs whose second task no replay of this program made. What one of this set made has the id that follows
    /// from its letter; what an earlier one made is named in the record beside its execution.
    async fn foreign(&self, chosen: &Chosen, mut copies: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
        if copies.is_empty() {
            return Ok(copies);
        }
        let own: HashSet<String> = (0..chosen.len()).filter_map(|at| chosen.get(at)).map(|one| one.fresh).collect();
        copies.retain(|(_, other)| !own.contains(other));
        let others: Vec<String> = copies.iter().map(|(_, other)| other.clone()).collect();
        let mut recorded = HashSet::new();
        for some in others.chunks(SOUGHT) {
            recorded.extend(self.store.recorded(some).await?);
        }
        copies.retain(|(_, other)| !recorded.contains(other));
        Ok(copies)
    }

    async fn copies_of(&self, chosen: &Chosen, applied: &[u32]) -> Result<Vec<(String, String)>> {
        let mut copies = Vec::new();
        for some in applied.chunks(SOUGHT) {
            let letters: Vec<Wanted> = some.iter().filter_map(|at| chosen.get(*at as usize)).collect();
            copies.extend(self.store.copies(&letters).await?);
        }
        Ok(copies)
    }

    async fn twins_of(&self, chosen: &Chosen, applied: &[u32]) -> Result<Vec<(String, String)>> {
        let twins = self.store.twins().await?;
        if twins.is_empty() {
            return Ok(Vec::new());
        }
        let ours: HashSet<String> =
            applied.iter().filter_map(|at| chosen.get(*at as usize)).map(|wanted| wanted.fresh).collect();
        let mut made: HashMap<&str, &str> = HashMap::new();
        for (execution, task) in twins.iter().filter(|(_, task)| ours.contains(task)) {
            made.insert(execution, task);
        }
        let copy = |(execution, task): &(String, String)| {
            let ours = made.get(execution.as_str()).filter(|ours| *ours != task)?;
            Some(((*ours).to_owned(), task.clone()))
        };
        Ok(twins.iter().filter_map(copy).collect())
    }
}

/// Sorts the places of a batch into those that were replayed and those that were not.
fn settle(from: usize, count: usize, places: &[usize], applied: &mut Vec<u32>, open: &mut Vec<u32>) {
    let mut done = vec![false; count];
    for place in places {
        if let Some(slot) = done.get_mut(*place) {
            *slot = true;
        }
    }
    for (place, done) in done.into_iter().enumerate() {
        let Ok(at) = u32::try_from(from + place) else { continue };
        if done { applied.push(at) } else { open.push(at) }
    }
}

fn outcome_of(error: &Error) -> Outcome {
    match error.kind() {
        ErrorKind::OutcomeUnknown => Outcome::Unknown,
        ErrorKind::Changed | ErrorKind::KeptOut | ErrorKind::Refused => Outcome::Changed,
        _ => Outcome::Failed,
    }
}

fn odd(error: &Error) -> String {
    if error.kind() == ErrorKind::KeptOut {
        return sentence(error);
    }
    format!("its dump cannot be used: {}", sentence(error))
}

/// What became of a letter that a batch did not replay.
enum Whereabouts {
    /// This.
    Settled(Outcome, &'static str),
    /// It is there and can be replayed: somebody holds it.
    Held,
}

fn whereabouts(wanted: &Wanted, fact: Option<&Fact>, made: bool) -> Whereabouts {
    use Whereabouts::{Held, Settled};
    match fact.filter(|fact| fact.moved_at == wanted.moved_at) {
        None if made => Settled(Outcome::AlreadyDone, "it has been replayed by another operator meanwhile"),
        None if fact.is_some() => Settled(Outcome::Changed, "it has been replayed and has died again meanwhile"),
        None => Settled(Outcome::Missing, "it is gone: replayed by another tool, or discarded"),
        Some(_) if made => {
            Settled(Outcome::Changed, "the task of its replay is there already: it was replayed before and put back")
        }
        Some(fact) => match standing(&fact.grounds) {
            Standing::Replayable => Held,
            standing => Settled(Outcome::Changed, standing.why()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_their_bounds_and_to_a_rate() {
        let options = |batch, rate| ReplayOptions { batch, rate, ..ReplayOptions::default() };
        assert_eq!(batch_size(&options(None, None)), 500);
        assert_eq!(batch_size(&options(Some(0), None)), 1);
        assert_eq!(batch_size(&options(Some(100_000), None)), 1000);
        assert_eq!(batch_size(&options(None, Some(50.0))), 12);
        assert_eq!(batch_size(&options(None, Some(0.1))), 1);
    }

    #[test]
    fn places_are_sorted() {
        let (mut applied, mut open) = (Vec::new(), Vec::new());
        settle(10, 4, &[3, 0, 9], &mut applied, &mut open);
        assert_eq!((applied, open), (vec![10, 13], vec![11, 12]));
    }
}
