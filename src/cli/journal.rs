//! The operator's journal: a file for each operation with its plan, synced before the first change, and a line for what
//! became of each target. It tells afterwards what was done, and lets an operation go on where it was stopped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::ident::OperationId;
use sen_core::model::plan::Plan;
use sen_core::model::prepared::{Origin, PreparedAction};
use sen_core::model::report::{Ending, Item, Outcome, Report};
use sen_core::model::undo::{UndoHead, UndoTarget};
use sen_core::observe::Observer;
use sen_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plans::{self, PlanFile};

/// A line behind the plan.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// What became of the target at this place, and when by the clock of this machine.
    Settled {
        place: usize,
        item: Item,
        #[serde(default)]
        at: Option<i64>,
    },
    /// The end of a run: by the clock of this machine, and whether everything was as wanted.
    Ended { at: i64, interrupted: bool, complete: bool },
}

/// Where journals are kept: `$XDG_STATE_HOME/sen/operations`.
pub fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .map(|state| state.join("sen/operations"))
        .or_else(|| Some(absolute("HOME")?.join(".local/state/sen/operations")))
}

fn path_of(folder: &Path, operation: &str) -> PathBuf {
    folder.join(format!("{operation}.jsonl"))
}

/// The journal of one operation while it is under way. Its file is locked meanwhile, so that others see that it runs.
pub struct Journal {
    file: BufWriter<File>,
    /// The first thing that could not be written.
    failed: Option<std::io::Error>,
}

impl Journal {
    /// Writes the plan, and syncs it: what is about to be done is known before anything is.
    ///
    /// # Errors
    /// `Refused` when the operation has a journal already: it was applied before. `Io`.
    pub fn begin(action: &dyn PreparedAction, origin: &Origin) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = folder().ok_or_else(|| Error::new(ErrorKind::Io, "neither XDG_STATE_HOME nor HOME is set"))?;
        let failed =
            |error| Error::new(ErrorKind::Io, format!("cannot write to {}", folder.display())).with_source(error);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let operation = action.plan().operation.to_string();
        // Under its own name it is whole: what was cut off by a crash was never begun.
        let unfinished = folder.join(format!("{operation}.{}.part", OperationId::fresh()));
        let file = plans::create(&unfinished).map_err(failed)?;
        let written = flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed(error.into()))
            .and_then(|()| plans::write(action, origin, &file))
            .and_then(|()| {
                std::fs::hard_link(&unfinished, path_of(&folder, &operation)).map_err(|error| match error.kind() {
                    std::io::ErrorKind::AlreadyExists => applied_before(&operation),
                    _ => failed(error),
                })
            });
        let _ = std::fs::remove_file(&unfinished);
        written?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Self { file: BufWriter::new(file), failed: None })
    }

    /// Goes on in the journal of an operation that was stopped.
    ///
    /// # Errors
    /// `Changed` when it runs at this moment, or was gone on with since it was read; `Io`.
    pub fn resume(entry: &Entry) -> Result<Self> {
        let failed =
            |error| Error::new(ErrorKind::Io, format!("cannot write to {}", entry.path.display())).with_source(error);
        let file = std::fs::OpenOptions::new().append(true).open(&entry.path).map_err(failed)?;
        let start = std::time::Instant::now();
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            // A process that only reads it holds the lock for a moment.
            if start.elapsed() > READING {
                return Err(Error::new(ErrorKind::Changed, "this operation is running at this moment"));
            }
            std::thread::sleep(READING / 50);
        }
        if file.metadata().map_err(failed)?.len() != entry.length {
            let message = "another process has resumed this operation meanwhile; nothing was written";
            return Err(Error::new(ErrorKind::Changed, message).with_hint("sen op list   # how it stands now"));
        }
        let mut journal = Self { file: BufWriter::new(file), failed: None };
        // The last line can be cut.
        journal.write(b"\n");
        Ok(journal)
    }

    fn write(&mut self, bytes: &[u8]) {
        let written = self.file.write_all(bytes);
        self.note(written);
    }

    fn flush(&mut self) {
        let flushed = self.file.flush();
        self.note(flushed);
    }

    /// A journal that cannot be written on does not stop an act under way; it is told at the end.
    fn note(&mut self, done: std::io::Result<()>) {
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
    }

    fn line(&mut self, line: &Line) {
        if let Ok(mut text) = serde_json::to_string(line) {
            text.push('\n');
            self.write(text.as_bytes());
        }
    }

    /// Writes how it ended.
    ///
    /// # Errors
    /// `Io` where not all of it could be written.
    pub fn end(mut self, report: &Report, interrupted: bool) -> Result<()> {
        let complete = report.ending() == Ending::Done;
        self.line(&Line::Ended { at: Timestamp::here().as_micros(), interrupted, complete });
        self.flush();
        let synced = self.file.get_ref().sync_all();
        self.note(synced);
        match self.failed {
            None => Ok(()),
            Some(error) => Err(Error::new(ErrorKind::Io, "its journal is not complete").with_source(error)),
        }
    }
}

/// How long a process that only reads a journal may hold its lock.
const READING: Duration = Duration::from_secs(1);

/// Refuses a plan that was applied from here before.
///
/// # Errors
/// `Refused`.
pub fn must_be_new(operation: OperationId) -> Result<()> {
    let operation = operation.to_string();
    match folder() {
        Some(folder) if path_of(&folder, &operation).exists() => Err(applied_before(&operation)),
        _ => Ok(()),
    }
}

/// Why a plan is not applied a second time.
fn applied_before(operation: &str) -> Error {
    Error::new(ErrorKind::Refused, format!("the plan {operation} was applied before; a plan is applied once"))
        .with_hint(format!("sen op show {operation}   # what became of it; sen op resume applies what is left"))
}

/// Tells an observer and the journal.
pub struct Journaled<'a> {
    /// Who shows how far it has come.
    pub observer: &'a dyn Observer,
    journal: Mutex<Option<Journal>>,
    /// The places in the plan of what is applied, where that is a part of it.
    places: Option<Vec<usize>>,
}

impl<'a> Journaled<'a> {
    /// With a journal, or without where none could be made.
    pub fn new(observer: &'a dyn Observer, journal: Option<Journal>, places: Option<Vec<usize>>) -> Self {
        Self { observer, journal: Mutex::new(journal), places }
    }

    fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal.
    pub fn into_journal(self) -> Option<Journal> {
        self.journal.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Journaled<'_> {
    fn begin(&self, what: &str, total: Option<u64>) {
        self.observer.begin(what, total);
    }

    fn advance(&self, done: u64) {
        if let Some(journal) = &mut *self.journal() {
            journal.flush();
        }
        self.observer.advance(done);
    }

    fn settled(&self, place: usize, item: &Item) {
        let place = self.places.as_ref().and_then(|places| places.get(place).copied()).unwrap_or(place);
        if let Some(journal) = &mut *self.journal() {
            journal.line(&Line::Settled { place, item: item.clone(), at: Some(Timestamp::here().as_micros()) });
        }
    }

    fn say(&self, line: &str) {
        self.observer.say(line);
    }

    fn announce(&self, topic: &str, message: &str) {
        self.observer.announce(topic, message);
    }
}

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
    path: PathBuf,
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
    /// The operation that took all of it back.
    pub undone_by: Option<OperationId>,
    /// Of an undo: what it took back.
    undo: Option<UndoHead>,
    /// How long its file was.
    length: u64,
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
        let mut times = Vec::new();
        for line in PlanFile::open(&path)?.rest(length) {
            match serde_json::from_str(&line) {
                Ok(Line::Settled { place, item, at }) => {
                    // Rows are read where they are needed: those of a large operation are more than memory should hold.
                    settled.insert(place, item.changing(Vec::new()));
                    times.extend(at);
                }
                Ok(Line::Ended { at, interrupted, .. }) => {
                    end = Some(interrupted);
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
        Ok(Self { path, kind, plan, origin, targets, settled, state, undone_by: None, undo, acted, length })
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

    /// The lines of its plan with only the targets at these places.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn part(&self, places: &[usize]) -> Result<Vec<u8>> {
        use std::io::BufRead as _;
        let failed =
            |error| Error::new(ErrorKind::Io, format!("cannot read {}", self.path.display())).with_source(error);
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
        if let Some(set) = header["plan"]["set"].as_object_mut() {
            set.insert("skipped".into(), serde_json::Value::Array(Vec::new()));
        }
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
            if matches!(entry.state, State::Done | State::Partial) {
                entry.state = State::Undone;
            }
        }
    }
}

/// The operation with this id, or the only one whose id begins so; `last` is the newest.
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
    let mut matching = entries.into_iter().filter(|entry| entry.plan.operation.to_string().starts_with(id));
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
