//! How the work of an operation stands now: its targets are followed by the ids that the act left or made.

use std::collections::{BTreeMap, HashSet};

use sen_core::error::Result;
use sen_core::model::brakes::Following as _;
use sen_core::model::columns;
use sen_core::model::course::{Act, CHUNK, Course, Followed, Now, Tally};
use sen_core::model::report::{Item, Outcome};
use sen_core::model::rows::RowChange;
use sen_core::model::subject::Subject;
use sen_core::model::value::{Row, Value};
use sen_core::ops::course::Follower;
use sen_core::registry::Database;
use sen_core::time::Timestamp;

use super::apply::{database, must_be_here};
use crate::exit::Exit;
use crate::journal::{self, Entry};
use crate::sections::objects;
use crate::session::Session;

/// How many targets are kept one by one.
const KEPT: usize = 1000;
/// How many results are shown to people.
const SHOWN: usize = 20;

/// A target and how it stands.
struct Target {
    place: usize,
    followed: Followed,
    now: Now,
}

impl Target {
    fn same_error(&self) -> Option<bool> {
        self.now.same_error(self.followed.before.as_deref())
    }

    /// What to know of it, in a clause.
    fn words(&self) -> String {
        let error = self.now.error.as_deref().map(|error| match self.same_error() {
            Some(true) => format!("same error: {error}"),
            Some(false) => format!("another error: {error}"),
            None => error.to_owned(),
        });
        let words = [Some(self.now.detail.clone()), error].into_iter().flatten().filter(|text| !text.is_empty());
        words.collect::<Vec<_>>().join("; ")
    }
}

/// How the targets of an operation stand. Of a large one all are counted, and some of each kind are kept.
pub struct Standings {
    act: Act,
    taken_back: HashSet<Subject>,
    /// The places of what has ended: that is not looked at again.
    ended: HashSet<usize>,
    /// How what has ended did.
    done: Tally,
    /// How the rest stands.
    open: Tally,
    /// Of what died again: how many of the same error, and how many of another.
    errors: [u64; 2],
    kept: BTreeMap<Course, Vec<Target>>,
    at: Timestamp,
}

impl Standings {
    /// Of an operation of which nothing has been followed yet; `None` where nothing of it goes on.
    ///
    /// # Errors
    /// As [`Entry::act`].
    pub async fn of(entry: &Entry, session: &Session) -> Result<Option<Self>> {
        let act = entry.act()?;
        if entry.plan.unfollowed.is_some() || !entry.settled.values().any(|item| is_changed(&item)) {
            return Ok(None);
        }
        Ok(Some(Self {
            act,
            taken_back: journal::taken_back(entry.plan.operation, session).await,
            ended: HashSet::new(),
            done: Tally::default(),
            open: Tally::default(),
            errors: [0; 2],
            kept: BTreeMap::new(),
            at: Timestamp::here(),
        }))
    }

    /// The database that the operation was for.
    ///
    /// # Errors
    /// As connecting, and as [`must_be_here`].
    pub async fn database(&self, entry: &Entry, session: &Session) -> Result<Database> {
        let database = database(&self.act.kind, true, session).await?;
        must_be_here(&database, entry, session).await?;
        Ok(database)
    }

    /// How they stand in the database that the operation was for; `None` where nothing of it goes on.
    ///
    /// # Errors
    /// As [`Self::database`] and [`Self::look`].
    pub async fn now(entry: &Entry, session: &Session) -> Result<Option<Self>> {
        let Some(mut standings) = Self::of(entry, session).await? else { return Ok(None) };
        let database = standings.database(entry, session).await?;
        standings.look(entry, &database).await?;
        Ok(Some(standings))
    }

    /// Looks at those that had not ended when they were looked at last.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn look(&mut self, entry: &Entry, database: &Database) -> Result<()> {
        let follower = Follower::of(database, self.act.clone())?;
        let failed_with = |changes: &[RowChange]| follower.failed_with(changes);
        self.open = Tally::default();
        self.kept.retain(|course, _| !course.is_open());
        let mut targets = entry.followed(&failed_with)?;
        loop {
            let ended = &self.ended;
            let chunk: Vec<(usize, Followed)> =
                targets.by_ref().filter(|(place, _)| !ended.contains(place)).take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            let (back, on): (Vec<_>, Vec<_>) =
                chunk.into_iter().partition(|(_, followed)| self.taken_back.contains(&followed.subject));
            for (place, followed) in back {
                self.add(Target { place, followed, now: Now::new(Course::TakenBack, "") });
            }
            let (places, on): (Vec<usize>, Vec<Followed>) = on.into_iter().unzip();
            let now = follower.now(&on).await?;
            for ((place, followed), now) in places.into_iter().zip(on).zip(now) {
                self.add(Target { place, followed, now });
            }
        }
        self.at = Timestamp::here();
        Ok(())
    }

    fn add(&mut self, target: Target) {
        let course = target.now.course;
        if course.is_open() {
            self.open.add(course);
        } else {
            self.done.add(course);
            self.ended.insert(target.place);
        }
        if let Some(same) = target.same_error() {
            self.errors[usize::from(!same)] += 1;
        }
        let kept = self.kept.entry(course).or_default();
        if kept.len() < KEPT {
            kept.push(target);
        }
    }

    /// All of them.
    pub fn tally(&self) -> Tally {
        self.done.with(self.open)
    }

    /// In a line: `3 died again (2 of the same error), 40 succeeded`.
    pub fn words(&self) -> String {
        let mut words = self.tally().words();
        let again = Course::DiedAgain.words();
        let [same, other] = self.errors;
        let note = match (same, other) {
            (0, 0) => return words,
            (same, 0) if same == self.done.of(Course::DiedAgain) => " of the same error".to_owned(),
            (0, other) if other == self.done.of(Course::DiedAgain) => " of another error".to_owned(),
            (same, 0) => format!(" ({same} of the same error)"),
            (0, other) => format!(" ({other} of another error)"),
            (same, other) => format!(" ({same} of the same error, {other} of another)"),
        };
        if let Some(at) = words.find(again) {
            words.insert_str(at + again.len(), &note);
        }
        words
    }

    /// The exit code: something has not ended, something needs an operator or cannot be told, or all is well.
    pub fn exit(&self) -> Exit {
        let tally = self.tally();
        match (tally.sum(Course::is_open), tally.sum(Course::is_bad) + tally.of(Course::Unknown)) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::Partial,
            _ => Exit::Pending,
        }
    }

    /// Those that are kept, the worst first.
    fn targets(&self) -> impl Iterator<Item = &Target> {
        self.kept.values().flatten()
    }

    /// As data: the counts, and the first targets, the worst first.
    pub fn value(&self) -> Value {
        let int = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let tally = self.tally();
        let all = tally.sum(|_| true);
        let [same, other] = self.errors;
        let mut fields = vec![("targets", int(all))];
        fields.extend(Course::ALL.map(|course| (course.name(), int(tally.of(course)))));
        fields.extend([
            ("same_error", int(same)),
            ("another_error", int(other)),
            ("observed_at", Value::Time(self.at)),
        ]);
        let rows: Vec<Row> = self.targets().take(KEPT).map(target_row).collect();
        let cut = (rows.len() as u64) < all;
        fields.extend([("worst", objects(TARGETS, &rows)), ("worst_cut", Value::Bool(cut))]);
        Value::Map(fields)
    }
}

fn is_changed(item: &Item) -> bool {
    matches!(item.outcome, Outcome::Applied | Outcome::AlreadyDone)
}

columns! {
    TARGETS,
    fn target_row(target: &Target) {}
    "subject", "TARGET", Whole => Value::Text(target.followed.subject.to_string());
    "id", "ID", Asked => Value::Text(target.followed.id().to_owned());
    "now", "NOW", Whole => Value::Name(target.now.course.name());
    "state", "STATE", Asked => if target.now.state.is_empty() { Value::Null } else { Value::Name(target.now.state) };
    "same_error", "SAME ERROR", Asked => target.same_error().map_or(Value::Null, Value::Bool);
    "error", "ERROR", Short => Value::text(target.now.error.clone());
    "detail", "DETAIL", Short => Value::text(Some(target.now.detail.clone()).filter(|detail| !detail.is_empty()));
}

/// A result for people.
struct Shown<'a> {
    item: Item,
    target: Option<&'a Target>,
}

columns! {
    pub RESULTS,
    fn result_row(result: &Shown<'_>) {
        let item = &result.item;
        let words = result.target.map(Target::words).filter(|words| !words.is_empty());
    }
    "subject", "TARGET", Whole => Value::Text(format!("{} {}", item.subject.kind.words(), item.subject.id));
    "outcome", "OUTCOME", Whole => Value::Name(item.outcome.name());
    "now", "NOW", Whole => result.target.map_or(Value::Null, |target| Value::Name(target.now.course.name()));
    "detail", "DETAIL", Short => Value::Text(words.unwrap_or_else(|| item.detail.clone()));
}

/// What people are shown of the targets, and how many more there are: first what was not changed as planned, then the worst.
pub fn results(entry: &Entry, standings: Option<&Standings>) -> (Vec<Row>, usize) {
    let others = entry.settled.values().filter(|item| !is_changed(item)).map(|item| Shown { item, target: None });
    let followed = standings.into_iter().flat_map(Standings::targets);
    let followed =
        followed.filter_map(|target| Some(Shown { item: entry.settled.get(target.place)?, target: Some(target) }));
    let plain = entry.settled.values().filter(|item| standings.is_none() && is_changed(item));
    let plain = plain.map(|item| Shown { item, target: None });
    let rows: Vec<Row> = others.chain(followed).chain(plain).take(SHOWN).map(|result| result_row(&result)).collect();
    let more = entry.settled.len() - rows.len();
    (rows, more)
}
