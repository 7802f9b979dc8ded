//! Applying a replay: batch by batch, each its own transaction, paced if wanted, and what became of every letter.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letters::ReplayOptions;
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::report::{Outcome, Report};
use sen_model::time::Timestamp;

use super::handle::StentLetters;
use super::ledger::{Ledger, sentence};
use super::note::note;
use super::pace::{BATCH, Pace, batch_size};
use super::port::{Batch, Fact, LetterStore};
use super::rules::{Replayability, replayability};
use super::targets::{DeadLetterRef, Places, TargetSet};

/// From so many letters on a second connection shares the work.
const MANY: usize = 5000;
/// How often a batch is tried again when its connection breaks.
const TRIES: u32 = 3;
/// How often letters that somebody else holds are tried again.
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

/// Whether the connection is to blame, and nothing was written.
fn is_of_the_line(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Connect)
}

/// What is replayed, how, and by whom.
struct Job<'a> {
    chosen: &'a TargetSet,
    options: &'a ReplayOptions,
    note: String,
    permit: &'a WritePermit,
    observer: &'a dyn Observer,
}

/// What the lanes of one run share.
struct Run<'a> {
    job: Job<'a>,
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
    fn begin(&self, size: usize) -> Option<(usize, Vec<DeadLetterRef>)> {
        if self.job.permit.is_revoked() {
            self.stop(Outcome::Skipped, "interrupted before it was begun");
        }
        let mut state = self.state();
        if state.stopped.is_some() || state.next >= self.job.chosen.len() {
            return None;
        }
        let from = state.next;
        state.next = (from + size).min(self.job.chosen.len());
        Some((from, (from..state.next).filter_map(|at| self.job.chosen.get(at)).collect()))
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
        (chosen, options, activities): (&TargetSet, &ReplayOptions, bool),
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Report {
        let state = State { next: 0, applied: Vec::new(), open: Vec::new(), ledger: Ledger::new(plan), stopped: None };
        let job = Job { chosen, options, note: note(permit), permit, observer };
        let run = Run { job, state: Mutex::new(state) };
        observer.begin(&plan.summary, Some(chosen.len() as u64));
        // A large set is worth a second connection, where the store has such a thing.
        let second = if chosen.len() >= MANY && options.rate.is_none() { self.store.lane().await } else { None };
        match &second {
            None => self.lane(&*self.store, &run).await,
            Some(second) => {
                tokio::join!(self.lane(&*self.store, &run), self.lane(&**second, &run));
            }
        }
        let Run { job, state } = run;
        let State { next, mut applied, open, mut ledger, stopped } =
            state.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.settle_open(&job, open, &mut ledger, &mut applied).await;
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
        let Job { options, permit, observer, .. } = run.job;
        let size = batch_size(options);
        let mut pace = Pace::of(options);
        loop {
            pace.wait(permit).await;
            let Some((from, letters)) = run.begin(size) else { return };
            pace.count(letters.len());
            match self.batch(store, &letters, &run.job).await {
                Ok(places) => {
                    run.settle(from, letters.len(), &places.done);
                    observer.advance(places.done.len() as u64);
                }
                Err(error) if is_of_a_letter(&error) => {
                    for (at, wanted) in letters.iter().enumerate() {
                        match self.batch(store, std::slice::from_ref(wanted), &run.job).await {
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
                        observer.advance(1);
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
                    observer.advance(letters.len() as u64);
                    if outcome != Outcome::Unknown {
                        run.stop(Outcome::Failed, format!("not begun: {error}"));
                    }
                }
            }
        }
    }

    /// One batch, tried again when its connection breaks: nothing was written then.
    async fn batch(&self, store: &dyn LetterStore, letters: &[DeadLetterRef], job: &Job<'_>) -> Result<Places> {
        let Job { options, note, permit, .. } = job;
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
    async fn settle_open(&self, job: &Job<'_>, mut open: Vec<u32>, ledger: &mut Ledger, applied: &mut Vec<u32>) {
        let Job { chosen, permit, observer, .. } = job;
        let mut kept: HashSet<u32> = HashSet::new();
        for round in 0..=ROUNDS {
            let mut held = Vec::new();
            for places in open.chunks(BATCH as usize) {
                let letters: Vec<(u32, DeadLetterRef)> =
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
                let letters: Vec<DeadLetterRef> = some.iter().map(|(_, wanted)| wanted.clone()).collect();
                let places = match self.batch(&*self.store, &letters, job).await {
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

    async fn whereabouts(&self, letters: &[(u32, DeadLetterRef)]) -> Result<Vec<Whereabouts>> {
        let wanted: Vec<DeadLetterRef> = letters.iter().map(|(_, wanted)| wanted.clone()).collect();
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

fn whereabouts(wanted: &DeadLetterRef, fact: Option<&Fact>, made: bool) -> Whereabouts {
    use Whereabouts::{Held, Settled};
    match fact.filter(|fact| fact.moved_at == wanted.moved_at) {
        None if made => Settled(Outcome::AlreadyDone, "it has been replayed by another operator meanwhile"),
        None if fact.is_some() => Settled(Outcome::Changed, "it has been replayed and has died again meanwhile"),
        None => Settled(Outcome::Missing, "it is gone: replayed by another tool, or discarded"),
        Some(_) if made => {
            Settled(Outcome::Changed, "the task of its replay is there already: it was replayed before and put back")
        }
        Some(fact) => match replayability(&fact.replay_facts) {
            Replayability::Replayable => Held,
            replayability => Settled(Outcome::Changed, replayability.why()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_sorted() {
        let (mut applied, mut open) = (Vec::new(), Vec::new());
        settle(10, 4, &[3, 0, 9], &mut applied, &mut open);
        assert_eq!((applied, open), (vec![10, 13], vec![11, 12]));
    }
}
