//! Operations as their journals tell them: how each stands, what is left of it, and what an undo puts back.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::course::{Act, Followed, error_group};
use sen_core::model::ident::OperationId;
use sen_core::model::plan::{Beyond, Plan};
use sen_core::model::prepared::Origin;
use sen_core::model::report::{Item, Outcome};
use sen_core::model::rows::RowChange;
use sen_core::model::subject::Subject;
use sen_core::model::undo::{UndoHead, UndoTarget};
use sen_core::time::Timestamp;

use super::line::{Line, folder, path_of};
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
            Self::Unknown => "unknown",
        }
    }
}

/// An operation in the journal.
pub struct Entry {
    /// Its file.
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
    pub settled: BTreeMap<usize, Item>,
    /// How it stands.
    pub state: State,
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
    /// How long its file was.
    pub length: u64,
}

/// Of a target of an undo: what was done to it at first, and whether that was done again.
#[derive(serde::Deserialize)]
struct First {
    did: String,
    #[serde(default)]
    again: bool,
}

impl Entry {
    fn read(path: PathBuf) -> Result<Self> {
        let mut file = PlanFile::open(&path)?;
        let length = file.length();
        let saved = file.plan()?;
        let (plan, origin, targets) = (saved.plan().clone(), saved.origin().cloned(), saved.targets());
        let kind = saved.kind().to_owned();
        let undo = saved.head::<UndoHead>().filter(|_| kind.ends_with(".undo"));
        let mut settled = BTreeMap::new();
        let mut end = None;
        let (mut why, mut brakes) = (None, Vec::new());
        let mut times = Vec::new();
        for line in PlanFile::open(&path)?.rest(length) {
            match serde_json::from_str(&line) {
                Ok(Line::Settled { place, item, at }) => {
                    // Rows are read where they are needed: those of a large operation are more than memory should hold.
                    settled.insert(place, item.changing(Vec::new()));
                    times.extend(at);
                }
                Ok(Line::Ended { at, interrupted, stopped, brakes: had, .. }) => {
                    (end, why, brakes) = (Some(interrupted), stopped, had);
                    times.push(at);
                }
                // The last line of a run that was killed can be cut.
                Err(_) => {}
            }
        }
        let runs = File::open(&path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err());
        let all = settled.len() as u64 >= targets;
        let state = match end {
            _ if runs => State::Running,
            _ if settled.values().any(|item| item.outcome == Outcome::Unknown) => State::Unknown,
            None | Some(true) if !all => State::Interrupted,
            _ if all
                && settled.values().all(|item| matches!(item.outcome, Outcome::Applied | Outcome::AlreadyDone)) =>
            {
                State::Done
            }
            _ => State::Partial,
        };
        let ends = times.iter().min().zip(times.iter().max());
        let acted = ends.map(|(first, last)| (Timestamp::from_micros(*first), Timestamp::from_micros(*last)));
        Ok(Self {
            path,
            kind,
            plan,
            origin,
            targets,
            settled,
            state,
            stopped: why,
            brakes,
            undone_by: None,
            undo,
            acted,
            length,
        })
    }

    /// How many targets ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.settled.values().filter(|item| item.outcome == outcome).count() as u64
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
        let failed =
            |error| Error::new(ErrorKind::Io, format!("cannot remove {}", self.path.display())).with_source(error);
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
        let again = |item: &Item| matches!(item.outcome, Outcome::Failed | Outcome::Unknown);
        (0..targets).filter(|place| self.settled.get(place).is_none_or(again)).collect()
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
        Ok(PlanFile::open(&self.path)?.plan()?.act())
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
        let settled = PlanFile::open(&self.path)?.rest(self.length).filter_map(move |line| {
            let Ok(Line::Settled { place, item, .. }) = serde_json::from_str(&line) else { return None };
            let changed = matches!(item.outcome, Outcome::Applied | Outcome::AlreadyDone);
            (changed && told.insert(place)).then_some((place, item))
        });
        Ok(settled.map(move |(place, Item { subject, new_id, changes, .. })| {
            let before = failed_with(&changes).map(|error| error_group(&error));
            (place, Followed { subject, new_id, before })
        }))
    }

    /// What an undo of it puts back, in the order of its plan, and what of it cannot be taken back, each with the reason.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn undoing(&self) -> Result<(Vec<UndoTarget>, Vec<Item>)> {
        let mut targets: BTreeMap<usize, UndoTarget> = BTreeMap::new();
        // Of an undo, what was done at first stands in its plan.
        let mut file = PlanFile::open(&self.path)?;
        let first: Vec<First> = match &self.undo {
            Some(_) => file.plan()?.rows().collect::<Result<_>>()?,
            None => Vec::new(),
        };
        for line in PlanFile::open(&self.path)?.rest(self.length) {
            if let Ok(Line::Settled { place, item, .. }) = serde_json::from_str(&line) {
                let Item { subject, detail, changes, .. } = item;
                let (did, again) = match first.get(place) {
                    Some(First { did, again }) => (did.clone(), !again),
                    None => (detail, false),
                };
                match changes.is_empty() {
                    true => targets.remove(&place),
                    false => targets.insert(place, UndoTarget { subject, did, again, changes, warnings: Vec::new() }),
                };
            }
        }
        let refused = |(place, item): (&usize, &Item)| {
            if targets.contains_key(place) {
                return None;
            }
            let why = match item.outcome {
                Outcome::Applied => {
                    item.lasting.as_deref().unwrap_or("the journal does not have its rows as they were")
                }
                Outcome::Unknown => "it is not known whether it was written",
                Outcome::AlreadyDone if item.before => {
                    "it was written just before the operation was stopped, and the journal does not have its rows as they were"
                }
                _ => return None,
            };
            Some(Item::new(item.subject.clone(), Outcome::Changed, format!("cannot be taken back: {why}")))
        };
        let refused = self.settled.iter().filter_map(refused).collect();
        Ok((targets.into_values().collect(), refused))
    }

    /// The lines of its plan with only the targets at these places, and with these notes.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn part(&self, places: &[usize], notes: &[String]) -> Result<Vec<u8>> {
        use std::io::BufRead as _;
        let failed = files::cannot("read", &self.path);
        let reader = std::io::BufReader::new(File::open(&self.path).map_err(failed)?);
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

/// The operations in the journal, the newest first, and what of it cannot be read.
pub fn entries() -> (Vec<Entry>, Vec<Error>) {
    let files = folder().and_then(|folder| std::fs::read_dir(folder).ok());
    let paths = files.into_iter().flatten().filter_map(|file| Some(file.ok()?.path()));
    let journals = paths.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    for read in journals.map(Entry::read) {
        match read {
            Ok(entry) => entries.push(entry),
            Err(error) => errors.push(error),
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    mark_undone(&mut entries);
    (entries, errors)
}

/// Notes what was taken back, and was not done again since. The newest stand first, so that an undo is known to stand when what
/// it took back is come to.
fn mark_undone(entries: &mut [Entry]) {
    for at in 0..entries.len() {
        let (undo, older) = entries[at..].split_first_mut().expect("`at` is a place");
        let Some(of) = undo.undo.as_ref().map(|head| head.operation).filter(|_| undo.undone_by.is_none()) else {
            continue;
        };
        let whole = |entry: &&mut Entry| {
            entry.plan.operation == of
                && undo.count(Outcome::Applied) > 0
                && undo.count(Outcome::Applied) >= entry.count(Outcome::Applied)
        };
        if let Some(entry) = older.iter_mut().find(whole) {
            entry.undone_by = Some(undo.plan.operation);
            if matches!(entry.state, State::Done | State::Partial | State::Interrupted) {
                entry.state = State::Undone;
            }
        }
    }
}

/// The targets of this operation that others took back, as far as that stands.
pub fn taken_back(operation: OperationId) -> HashSet<Subject> {
    let of_it = |entry: &Entry| entry.undo.as_ref().is_some_and(|head| head.operation == operation);
    let undoes = entries().0.into_iter().filter(|entry| of_it(entry) && entry.undone_by.is_none());
    let done = |entry: Entry| entry.settled.into_values().filter(|item| item.outcome == Outcome::Applied);
    undoes.flat_map(done).map(|item| item.subject).collect()
}

/// The operation with this id, or the only one whose id begins so (and ends so, where its middle was left out, as lists do);
/// `last` is the newest.
///
/// # Errors
/// `NotFound`; `Usage` where several begin so.
pub fn entry(id: &str) -> Result<Entry> {
    let (entries, _) = entries();
    if id == "last" {
        return entries.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no operation is in this user's journal")
                .with_hint("sen op list   # the operations that were begun here")
        });
    }
    let (begin, end) = id.split_once('…').unwrap_or((id, ""));
    let is_meant = |known: &str| known.starts_with(begin) && known.ends_with(end);
    let mut matching = entries.into_iter().filter(|entry| is_meant(&entry.plan.operation.to_string()));
    let first = matching.next().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("no operation {id:?} is in this user's journal"))
            .with_hint("sen op list   # the operations that were begun here")
    })?;
    match matching.next() {
        Some(other) if other.plan.operation.to_string() != id && first.plan.operation.to_string() != id => {
            let message = format!(
                "{id:?} begins the ids of several operations: {}, {}",
                first.plan.operation, other.plan.operation
            );
            Err(Error::usage(message).with_hint("give more of the id"))
        }
        _ => Ok(first),
    }
}
