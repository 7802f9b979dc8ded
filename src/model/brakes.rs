//! Brakes of a bulk act: a few targets first, a limit for what is unfinished, and an end where too much of it dies again. What
//! has been begun is followed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::course::{CHUNK, Course, Followed, Now, Tally};
use crate::error::Result;
use crate::observe::Observer;
use crate::permit::WritePermit;
use crate::report::{Halt, Item, Outcome};
use crate::subject::Subject;
use crate::text::many;
use crate::time::{Uptime, humane};

/// How many targets are looked at to choose a canary among them.
const LOOKED_AT: usize = 10_000;
/// Of how many targets a share is taken at least, where there are so many: of fewer it says little.
const TELLING: usize = 50;
/// How many may be in flight where a share is given and no number.
pub const IN_FLIGHT: usize = 100;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Follows what an act has changed.
#[async_trait]
pub trait Following: Send + Sync {
    /// How these stand, in their order.
    ///
    /// # Errors
    /// What the store reports.
    async fn now(&self, targets: &[Followed]) -> Result<Vec<Now>>;

    /// Which of these failed alike: a name for each, in their order.
    ///
    /// # Errors
    /// What the store reports.
    async fn groups(&self, subjects: &[Subject]) -> Result<Vec<String>>;
}

/// When a bulk act pauses and when it stops.
pub struct Brakes<'a> {
    /// So many are applied first, and the rest only if these went well.
    pub canary: Option<usize>,
    /// The largest share of what was begun that may die again, from 0 to 1.
    pub abort_above: Option<f64>,
    /// The largest number of what was begun and has not ended.
    pub max_in_flight: Option<usize>,
    /// How long is waited for the canary to end, and while nothing in flight ends.
    pub patience: Duration,
    /// Who follows.
    pub following: &'a dyn Following,
    /// What was begun before, by an earlier run of the same operation.
    pub before: Vec<Followed>,
}

impl Brakes<'_> {
    /// The places among which the canary is chosen: of very many targets as many as can be looked at, from all parts of the
    /// plan. None where it would be all of them.
    pub(crate) fn candidates(&self, total: usize) -> Vec<usize> {
        let looked_at =
            self.canary.map_or(0, |canary| if canary < total { total.min(LOOKED_AT.max(canary)) } else { 0 });
        (0..looked_at).map(|at| at * total / looked_at).collect()
    }

    /// The places of the canary among these: of each group of what failed alike one in turn, the largest first.
    ///
    /// # Errors
    /// What the store reports.
    pub(crate) async fn choose(&self, candidates: Vec<(usize, Subject)>) -> Result<Vec<usize>> {
        let (looked_at, wanted) = (candidates.len(), self.canary.unwrap_or_default());
        let (places, subjects): (Vec<usize>, Vec<Subject>) = candidates.into_iter().unzip();
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (places, subjects) in places.chunks(CHUNK).zip(subjects.chunks(CHUNK)) {
            for (place, group) in places.iter().zip(self.following.groups(subjects).await?) {
                groups.entry(group).or_default().push(*place);
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        let turns = (0..looked_at).flat_map(|turn| groups.iter().filter_map(move |group| group.get(turn).copied()));
        let mut chosen: Vec<usize> = turns.take(wanted).collect();
        chosen.sort_unstable();
        Ok(chosen)
    }
}

/// What was begun, and how it goes.
pub(crate) struct Watch<'a> {
    brakes: &'a Brakes<'a>,
    /// Begun, and not ended when it was last looked at.
    open: Vec<Followed>,
    /// How what has ended did.
    ended: Tally,
    /// When something ended last.
    moved: Uptime,
    /// How what is open stood when it was last looked at.
    standing: Tally,
    /// Of how many a share is taken at least.
    telling: u64,
    /// Whether the canary is begun, which is judged when it has ended.
    is_canary: bool,
    /// What was begun of the canary.
    canary: Vec<Followed>,
}

impl<'a> Watch<'a> {
    /// Of a plan with so many targets.
    pub(crate) fn new(brakes: &'a Brakes<'a>, total: usize) -> Self {
        Self {
            brakes,
            open: brakes.before.clone(),
            ended: Tally::default(),
            moved: Uptime::now(),
            standing: Tally::default(),
            telling: total.min(TELLING) as u64,
            is_canary: false,
            canary: Vec::new(),
        }
    }

    /// Looks at what an earlier run of the operation has begun. What of it has ended was known to whoever goes on, and says nothing
    /// of this run; what has not is in flight.
    pub(crate) async fn starts(&mut self) -> Option<Halt> {
        if self.open.is_empty() {
            return None;
        }
        let looked = self.look().await;
        self.ended = Tally::default();
        looked.err().map(|error| Halt::blind(format!("what was begun before cannot be followed: {error}")))
    }

    /// Says whether the canary is begun now.
    pub(crate) fn begins_canary(&mut self, is_canary: bool) {
        self.is_canary = is_canary;
    }

    /// Follows what was changed.
    pub(crate) fn add(&mut self, item: &Item) {
        if matches!(item.outcome, Outcome::Applied | Outcome::AlreadyDone) {
            let (subject, new_id) = (item.subject.clone(), item.new_id.clone());
            let followed = Followed { subject, new_id, before: None };
            if self.is_canary {
                self.canary.push(followed.clone());
            }
            self.open.push(followed);
        }
    }

    fn begun(&self) -> u64 {
        self.ended.sum(|_| true) + self.open.len() as u64
    }

    /// Looks at everything that is open.
    async fn look(&mut self) -> Result<()> {
        let mut open = Vec::new();
        self.standing = Tally::default();
        let was = self.open.len();
        for part in self.open.chunks(CHUNK) {
            for (target, now) in part.iter().zip(self.brakes.following.now(part).await?) {
                if now.course.is_open() {
                    self.standing.add(now.course);
                    open.push(target.clone());
                } else {
                    self.ended.add(now.course);
                }
            }
        }
        if open.len() < was {
            self.moved = Uptime::now();
        }
        self.open = open;
        Ok(())
    }

    /// The end where more has died again than may.
    fn too_much(&self) -> Option<Halt> {
        let share = self.brakes.abort_above.filter(|_| !self.is_canary)?;
        let (bad, begun) = (self.ended.sum(Course::is_bad), self.begun());
        let above = bad as f64 > share * begun.max(self.telling) as f64;
        let why = || format!("{bad} of {begun} died again, more than {} %", percent(share));
        above.then(|| Halt { failed: true, why: why() })
    }

    /// The end where nothing has ended for too long.
    fn idle(&self, what: &str) -> Option<Halt> {
        let patience = self.brakes.patience;
        (self.moved.until(Uptime::now()) >= patience).then(|| {
            let span = humane(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
            let none_begun = self.standing.of(Course::Running) == 0;
            let hint = if none_begun { "; no worker has taken it up: does one run?" } else { "" };
            Halt::blind(format!("{what} after {span}: {}{hint}", self.standing.words()))
        })
    }

    /// Follows the canary until it has ended. `None` when it went well.
    pub(crate) async fn canary(&mut self, permit: &WritePermit, observer: &dyn Observer) -> Option<Halt> {
        // It alone is judged, and not what an earlier run has left in flight.
        let canary = std::mem::take(&mut self.canary);
        let open = std::mem::replace(&mut self.open, canary);
        let ended = std::mem::take(&mut self.ended);
        let halt = self.judged(permit, observer).await;
        (self.open, self.ended) = (open, ended);
        halt
    }

    async fn judged(&mut self, permit: &WritePermit, observer: &dyn Observer) -> Option<Halt> {
        self.moved = Uptime::now();
        let started = self.moved;
        let mut pause = FIRST_PAUSE;
        while !permit.is_revoked() {
            if let Err(error) = self.look().await {
                return Some(Halt::blind(format!("the canary cannot be followed: {error}")));
            }
            let (bad, begun) = (self.ended.sum(Course::is_bad), self.begun());
            let may = self.brakes.abort_above.map_or(0.0, |share| share * begun as f64);
            if bad as f64 > may {
                return Some(Halt { failed: true, why: format!("the canary failed: {}", self.words()) });
            }
            if self.open.is_empty() {
                // What cannot be told speaks for nothing.
                if self.ended.of(Course::Succeeded) == 0 || self.ended.of(Course::Unknown) > 0 {
                    return Some(Halt::blind(format!("the canary has no verdict: {}", self.words())));
                }
                observer.say(&format!("the canary went well: {}", self.words()));
                return None;
            }
            observer.waiting(&format!("canary: {}", self.words()));
            // The time limit is that of the whole canary.
            self.moved = started;
            if let Some(halt) = self.idle("the canary has no verdict") {
                return Some(halt);
            }
            pause = rest(pause, permit).await;
        }
        None
    }

    /// How everything that was begun stands.
    fn words(&self) -> String {
        if self.begun() == 0 {
            return "nothing was changed".into();
        }
        self.ended.with(self.standing).words()
    }

    /// How many more may be begun now, at most `batch`, as soon as some may.
    pub(crate) async fn room(
        &mut self,
        batch: usize,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> std::result::Result<usize, Halt> {
        let Some(most) = self.brakes.max_in_flight.or(self.brakes.abort_above.map(|_| batch.max(IN_FLIGHT))) else {
            return Ok(batch);
        };
        let most = most.max(1);
        self.moved = Uptime::now();
        let mut pause = FIRST_PAUSE;
        loop {
            if permit.is_revoked() {
                return Ok(0);
            }
            if let Err(error) = self.look().await {
                return Err(Halt::blind(format!("what was begun cannot be followed: {error}")));
            }
            if let Some(halt) = self.too_much() {
                return Err(halt);
            }
            let room = most.saturating_sub(self.open.len());
            // Not one by one where many may be begun.
            if room >= (most / 4).clamp(1, batch) {
                return Ok(room.min(batch));
            }
            observer.waiting(&format!("{} in flight", many(self.open.len() as u64, "target")));
            if let Some(halt) = self.idle("nothing in flight has ended") {
                return Err(halt);
            }
            pause = rest(pause, permit).await;
        }
    }
}

/// A share in per cent, as it was written.
pub fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

/// Waits a little, and returns how long to wait next time.
async fn rest(pause: Duration, permit: &WritePermit) -> Duration {
    let due = Uptime::now().plus(pause);
    while !permit.is_revoked() {
        let left = Uptime::now().until(due);
        if left.is_zero() {
            break;
        }
        tokio::time::sleep(left.min(FIRST_PAUSE)).await;
    }
    (pause * 3 / 2).min(LONGEST_PAUSE)
}
