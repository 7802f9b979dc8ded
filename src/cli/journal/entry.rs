//! Operations as their journals tell them: how each stands, what is left of it, and what an undo puts back.

mod undoing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::course::{Act, Followed, error_group};
use sen_core::model::ident::OperationId;
use sen_core::model::journal::{Entered, Head, JournalStore};
use sen_core::model::plan::{Beyond, Plan};
use sen_core::model::prepared::{Origin, SavedPlan};
use sen_core::model::report::{Item, Outcome};
use sen_core::model::rows::RowChange;
use sen_core::model::undo::UndoHead;
use sen_core::time::Timestamp;

use super::gathered::{Gathered, line_of};
use super::line::{Line, folder, path_of};
use super::settled::Settled;
use crate::files;
use crate::plans::PlanFile;

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs on this machine.
    Running,
    /// Everything is as wanted.
    Done,
    /// All that it did was taken back.
    Undone,
    /// It ended; not everything was done.
    Partial,
    /// It was stopped before everything was begun.
    Interrupted,
    /// It has not ended: it runs on another machine, or was stopped there.
    Open,
    /// Of at least one target it is not known whether it was written.
    Unknown,
}

impl State {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// An operation in the journal.
pub struct Entry {
    /// Its file on this machine; there is none where somebody else did it elsewhere.
    pub path: PathBuf,
    /// What kind of plan it has.
    pub kind: String,
    /// What its plan says.
    pub plan: Plan,
    /// Who made it, when and why.
    pub origin: Option<Origin>,
    /// How many targets its plan has.
    pub targets: u64,
    /// What became of the targets, by their places: of one that was tried twice the last outcome.
    pub settled: Settled,
    /// Those of them of which only what was changed is known.
    unsettled: BTreeSet<usize>,
    /// How it stands.
    pub state: State,
    /// Of how many targets it is not told what became of them: the last run was killed, or could not write its journal on.
    pub untold: u64,
    /// When the first and the last of its targets were settled.
    acted: Option<(Timestamp, Timestamp)>,
    /// Why the brakes of its last run let nothing more be begun.
    pub stopped: Option<String>,
    /// The brakes of its last run, as options of a command.
    pub brakes: Vec<String>,
    /// The operation that took all of it back.
    pub undone_by: Option<OperationId>,
    /// Of an undo: what it took back.
    undo: Option<UndoHead>,
    /// How long its file was; 0 where there was none.
    pub length: u64,
    /// Where it is in the journal of the database: its last run there.
    pub run: Option<String>,
    /// Where all of it can be read.
    source: Source,
}

/// A file with the lines of a journal.
enum Source {
    /// The operator's own.
    Own,
    /// One for this process alone, with what the database has, too; so much of it is text.
    Gathered(Gathered, u64),
}

/// The first line of a plan.
struct Header {
    kind: String,
    plan: Plan,
    origin: Option<Origin>,
    targets: u64,
    undo: Option<UndoHead>,
}

impl Header {
    fn of(saved: &SavedPlan<'_>) -> Self {
        let kind = saved.kind().to_owned();
        let undo = saved.head::<UndoHead>().filter(|_| kind.ends_with(".undo"));
        Self { plan: saved.plan().clone(), origin: saved.origin().cloned(), targets: saved.targets(), undo, kind }
    }
}

/// What is said of a target of which only its change is known.
const UNTOLD: &str = "it was written just before the operation was stopped";

impl Entry {
    pub(super) fn read(path: PathBuf) -> Result<Self> {
        let mut file = PlanFile::open(&path)?;
        let length = file.length();
        let header = Header::of(&file.plan()?);
        let lines = PlanFile::open(&path)?.rest(length);
        // The last line of a run that was killed can be cut.
        let lines = lines.filter_map(|line| serde_json::from_str(&line).ok());
        Self::of(header, lines, (path, length), None)
    }

    /// An operation that the database's journal has, without its rows; what this machine knows of it counts, too.
    pub(super) fn shared(head: &Head, entered: Vec<Entered>, folder: Option<&Path>) -> Result<Self> {
        let header = Header::of(&SavedPlan::read(&mut head.plan.as_bytes())?);
        let path = path_of(folder.unwrap_or(Path::new("")), &header.plan.operation.to_string());
        let own = PlanFile::open(&path).ok().map(|file| (file.length(), file));
        let length = own.as_ref().map_or(0, |(length, _)| *length);
        let own = own.into_iter().flat_map(|(length, file)| file.rest(length));
        let own = own.filter_map(|line| serde_json::from_str(&line).ok());
        let lines = own.chain(entered.into_iter().filter_map(line_of));
        Self::of(header, lines, (path, length), Some(head))
    }

    fn of(
        header: Header,
        lines: impl Iterator<Item = Line>,
        (path, length): (PathBuf, u64),
        head: Option<&Head>,
    ) -> Result<Self> {
        let Header { kind, plan, origin, targets, undo } = header;
        let (mut settled, mut unsettled) = (Settled::default(), BTreeSet::new());
        let (mut end, mut run) = (None, None);
        let (mut why, mut brakes) = (None, Vec::new());
        let mut times = Vec::new();
        let done = |outcome: Outcome| matches!(outcome, Outcome::Applied | Outcome::AlreadyDone);
        for line in lines {
            match line {
                Line::Settled { place, item, at } => {
                    // Rows are read where they are needed: those of a large operation are more than memory should hold.
                    settled.insert(place, &item.changing(Vec::new()))?;
                    unsettled.remove(&place);
                    times.extend(at);
                }
                Line::Changed { place, subject, .. } => {
                    if !settled.outcome(place).is_some_and(done) {
                        settled.insert(place, &Item::new(subject, Outcome::Applied, UNTOLD))?;
                        unsettled.insert(place);
                    }
                }
                Line::Run { run: begins } => run = Some(begins),
                Line::Begun { brakes: has } => (end, why, brakes) = (None, None, has),
                Line::Ended { at, interrupted, stopped, brakes: had, .. } => {
                    (end, why, brakes) = (Some(interrupted), stopped, had);
                    times.push(at);
                }
            }
        }
        let runs = File::open(&path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err());
        // Whether a run of somebody else has not ended: nobody can tell from here whether it goes on.
        let elsewhere = head.is_some_and(|head| !head.ended && run.as_ref() != Some(&head.run));
        let all = (settled.len() - unsettled.len()) as u64 >= targets;
        let state = match end {
            _ if runs => State::Running,
            _ if settled.outcomes().any(|(_, outcome)| outcome == Outcome::Unknown) => State::Unknown,
            _ if all && settled.outcomes().all(|(_, outcome)| done(outcome)) => State::Done,
            _ if elsewhere => State::Open,
            _ if !all => State::Interrupted,
            _ => State::Partial,
        };
        // In the database's journal a change stands with its entry, or there is none of both.
        let untold =
            if runs || end.is_some() || head.is_some() { 0 } else { targets - (settled.len() as u64).min(targets) };
        let ends = times.iter().min().zip(times.iter().max());
        let acted = ends.map(|(first, last)| (Timestamp::from_micros(*first), Timestamp::from_micros(*last)));
        Ok(Self {
            path,
            kind,
            plan,
            origin,
            targets,
            settled,
            unsettled,
            state,
            stopped: why,
            brakes,
            undone_by: None,
            undo,
            untold,
            acted,
            length,
            run: head.map(|head| head.run.clone()),
            source: Source::Own,
        })
    }

    /// The same, all of it readable in a file: what the database has is fetched.
    ///
    /// # Errors
    /// What the store reports; `Io`.
    pub(super) async fn gathered(mut self, store: &dyn JournalStore, head: &Head) -> Result<Self> {
        let own = PlanFile::open(&self.path).ok().map(|file| file.rest(self.length));
        let file = Gathered::of(store, head, own.into_iter().flatten()).await?;
        let length = std::fs::metadata(file.path()).map_or(0, |found| found.len());
        self.source = Source::Gathered(file, length);
        Ok(self)
    }

    /// The file in which all of it can be read, and how much of that.
    fn source(&self) -> (&Path, u64) {
        match &self.source {
            Source::Own => (&self.path, self.length),
            Source::Gathered(file, length) => (file.path(), *length),
        }
    }

    fn lines(&self) -> Result<impl Iterator<Item = Line> + Send + use<>> {
        let (path, length) = self.source();
        Ok(PlanFile::open(path)?.rest(length).filter_map(|line| serde_json::from_str(&line).ok()))
    }

    /// Keeps it on this machine from now on, where it is not yet: it is about to be resumed here.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn adopt(&self) -> Result<u64> {
        let (Source::Gathered(file, length), 0) = (&self.source, self.length) else { return Ok(self.length) };
        let failed = files::cannot("write to", &self.path);
        std::fs::hard_link(file.path(), &self.path).map_err(failed)?;
        Ok(*length)
    }

    /// How many targets ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.settled.outcomes().filter(|(_, how)| *how == outcome).count() as u64
    }

    /// Whether it takes this operation back, and that stands.
    pub(super) fn takes_back(&self, operation: OperationId) -> bool {
        self.undone_by.is_none() && self.undo.as_ref().is_some_and(|head| head.operation == operation)
    }

    /// Whether it was begun or resumed from here.
    pub fn is_here(&self) -> bool {
        self.length > 0
    }

    /// When it was made.
    pub fn at(&self) -> Option<Timestamp> {
        self.origin.as_ref().and_then(|origin| origin.at)
    }

    /// When the first and the last of its targets were settled, by the clock of this machine.
    pub fn acted(&self) -> Option<(Timestamp, Timestamp)> {
        self.acted
    }

    /// When it was acted on last, or made.
    pub fn last(&self) -> Option<Timestamp> {
        self.acted.map(|(_, last)| last).or(self.at())
    }

    /// Removes it, if nobody has gone on with it since it was read.
    ///
    /// # Errors
    /// `Changed` when it runs, or was gone on with; `Io`.
    pub fn remove(&self) -> Result<()> {
        let failed = files::cannot("remove", &self.path);
        let file = File::open(&self.path).map_err(failed)?;
        // Whoever goes on with it has the lock from before its first word until its end.
        let held = flock(&file, FlockOperation::NonBlockingLockExclusive).is_err();
        if held || file.metadata().map_err(failed)?.len() != self.length {
            let message = format!("operation {} is being resumed; its journal is kept", self.plan.operation);
            return Err(Error::new(ErrorKind::Changed, message));
        }
        std::fs::remove_file(&self.path).map_err(failed)
    }

    /// The places of what was not begun, or may be tried again: failed, or lost with its connection.
    pub fn open_places(&self) -> Vec<usize> {
        let targets = usize::try_from(self.targets).unwrap_or(usize::MAX);
        let again = |outcome: Outcome| matches!(outcome, Outcome::Failed | Outcome::Unknown);
        let open = |place: &usize| self.unsettled.contains(place) || self.settled.outcome(*place).is_none_or(again);
        (0..targets).filter(open).collect()
    }

    /// What was done at first, in a clause: of an undo, what it took back.
    pub fn first(&self) -> &str {
        self.undo.as_ref().map_or_else(|| self.plan.summary(), |undo| &undo.first)
    }

    /// What was done.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn act(&self) -> Result<Act> {
        Ok(PlanFile::open(self.source().0)?.plan()?.act())
    }

    /// What it has changed, each by its place and with the group of the error that `failed_with` finds in its rows. They are read
    /// from the file one by one: those of a large operation are more than memory should hold.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn followed<'a>(
        &'a self,
        failed_with: &'a (dyn Fn(&[RowChange]) -> Option<String> + Send + Sync),
    ) -> Result<impl Iterator<Item = (usize, Followed)> + Send + 'a> {
        let mut told = BTreeSet::new();
        // What was changed, as long as nothing is told of what became of it.
        let mut changed: BTreeMap<usize, Followed> = BTreeMap::new();
        let mut untold = None;
        let failed_with = move |changes: &[RowChange]| failed_with(changes).map(|error| error_group(&error));
        let mut lines = self.lines()?;
        let next = move || {
            for line in lines.by_ref() {
                match line {
                    Line::Settled { place, item, .. } => {
                        let before = changed.remove(&place).and_then(|known| known.before);
                        let done = matches!(item.outcome, Outcome::Applied | Outcome::AlreadyDone);
                        if done && told.insert(place) {
                            let Item { subject, new_id, changes, .. } = item;
                            return Some((
                                place,
                                Followed { subject, new_id, before: failed_with(&changes).or(before) },
                            ));
                        }
                    }
                    Line::Changed { place, subject, changes } => {
                        if !told.contains(&place) {
                            let before = failed_with(&changes);
                            changed.insert(place, Followed { subject, new_id: None, before });
                        }
                    }
                    Line::Run { .. } | Line::Begun { .. } | Line::Ended { .. } => {}
                }
            }
            untold.get_or_insert_with(|| std::mem::take(&mut changed).into_iter()).next()
        };
        Ok(std::iter::from_fn(next))
    }

    /// The lines of its plan with only the targets at these places, and with these notes.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn part(&self, places: &[usize], notes: &[String]) -> Result<Vec<u8>> {
        use std::io::BufRead as _;
        let path = self.source().0;
        let failed = files::cannot("read", path);
        let reader = std::io::BufReader::new(File::open(path).map_err(failed)?);
        let mut lines = reader.lines();
        let first = lines.next().transpose().map_err(failed)?.unwrap_or_default();
        let odd = |error: serde_json::Error| Error::usage("this is not a plan that sen has written").with_source(error);
        let mut header: serde_json::Value = serde_json::from_str(&first).map_err(odd)?;
        header["lines"] = places.len().into();
        header["plan"]["targets"] = places.len().into();
        let summary = format!("{}: the {} of {} that are left", self.plan.summary(), places.len(), self.targets);
        header["plan"]["summary"] = summary.into();
        header["plan"]["refused"] = serde_json::Value::Array(Vec::new());
        let of_all = |warning: &String| format!("of all {} of its plan: {warning}", self.targets);
        if let Some(set) = header["plan"]["set"].as_object_mut() {
            // They are of all targets, also of those that are not left.
            for name in ["skipped", "sample", "preview"] {
                set.insert(name.into(), serde_json::Value::Array(Vec::new()));
            }
            set.insert("oldest".into(), serde_json::Value::Null);
            set.insert("newest".into(), serde_json::Value::Null);
            set.insert("beyond".into(), serde_json::to_value(Beyond::default()).map_err(odd)?);
            let whole = self.plan.set.iter().flat_map(|set| &set.warnings).map(of_all);
            set.insert("warnings".into(), whole.collect::<Vec<String>>().into());
        }
        let notes = self.plan.warnings.iter().map(of_all).chain(notes.iter().cloned());
        header["plan"]["warnings"] = notes.collect::<Vec<String>>().into();
        let mut out = serde_json::to_vec(&header).map_err(odd)?;
        out.push(b'\n');
        let mut wanted = places.iter().peekable();
        for (place, line) in lines.enumerate() {
            if wanted.next_if_eq(&&place).is_some() {
                out.extend_from_slice(line.map_err(failed)?.as_bytes());
                out.push(b'\n');
            }
            if wanted.peek().is_none() {
                break;
            }
        }
        Ok(out)
    }
}

/// When the operation with exactly this id began and ended to act, where it is in this user's journal.
pub fn acted(operation: &str) -> Option<(Timestamp, Timestamp)> {
    // It was read from a table: only an id may become the name of a file.
    let operation: OperationId = serde_json::from_value(operation.into()).ok()?;
    Entry::read(path_of(&folder()?, &operation.to_string())).ok()?.acted
}

/// The files of the operations that were begun from here.
pub(super) fn journals() -> impl Iterator<Item = PathBuf> {
    let files = folder().and_then(|folder| std::fs::read_dir(folder).ok());
    let paths = files.into_iter().flatten().filter_map(|file| Some(file.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
}

/// The operations that were begun from here, and what of them cannot be read.
pub(super) fn own() -> (Vec<Entry>, Vec<Error>) {
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    for read in journals().map(Entry::read) {
        match read {
            Ok(entry) => entries.push(entry),
            Err(error) => errors.push(error),
        }
    }
    (entries, errors)
}

/// Puts the newest first, and notes which were taken back.
pub(super) fn in_order(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    mark_undone(entries);
}

/// Notes what was taken back, and was not done again since. The newest stand first, so that an undo is known to stand when what
/// it took back is come to.
fn mark_undone(entries: &mut [Entry]) {
    // How much of each was taken back so far: several undoes can do it in parts.
    let mut taken: BTreeMap<String, u64> = BTreeMap::new();
    for at in 0..entries.len() {
        let (undo, older) = entries[at..].split_first_mut().expect("`at` is a place");
        let Some(of) = undo.undo.as_ref().map(|head| head.operation).filter(|_| undo.undone_by.is_none()) else {
            continue;
        };
        let back = undo.count(Outcome::Applied);
        let all = taken.entry(of.to_string()).or_default();
        *all += back;
        let whole = |entry: &&mut Entry| {
            entry.plan.operation == of && entry.undone_by.is_none() && back > 0 && *all >= entry.count(Outcome::Applied)
        };
        if let Some(entry) = older.iter_mut().find(whole) {
            entry.undone_by = Some(undo.plan.operation);
            // What is not told may have been done, and stand.
            let ended = matches!(entry.state, State::Done | State::Partial | State::Interrupted | State::Open);
            if ended && entry.untold == 0 {
                entry.state = State::Undone;
            }
        }
    }
}
