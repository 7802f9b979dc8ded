//! The operator's journal: a file for each operation with its plan, synced before the first change, and a line for what
//! became of each target. It tells afterwards what was done, and lets an operation go on where it was stopped.

mod entry;
mod gathered;
mod known;
mod line;
mod settled;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::ident::OperationId;
use sen_core::model::journal::Running;
use sen_core::model::prepared::{Origin, PreparedAction};
use sen_core::model::report::{Ending, Item, Report};
use sen_core::observe::Observer;
use sen_core::time::Timestamp;

pub use self::entry::{Entry, State, acted};
pub use self::known::{entries, entry, must_be_new, taken_back};
pub use self::line::applied_before;
use self::line::{Line, folder, path_of};
use crate::files;
use crate::plans;

/// The journal of one operation while it is under way. Its file is locked meanwhile, so that others see that it runs.
pub struct Journal {
    path: PathBuf,
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
        let folder = folder().ok_or_else(|| Error::new(ErrorKind::Io, "neither XDG_STATE_HOME nor HOME is set"))?;
        let failed = files::cannot("write to", &folder);
        gathered::make(&folder).map_err(failed)?;
        let operation = action.plan().operation.to_string();
        // Under its own name it is whole: what was cut off by a crash was never begun.
        let unfinished = folder.join(format!("{operation}.{}.part", OperationId::fresh()));
        let file = files::create(&unfinished).map_err(failed)?;
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
        Ok(Self { path: path_of(&folder, &operation), file: BufWriter::new(file), failed: None })
    }

    /// Goes on in the journal of an operation that was stopped.
    ///
    /// # Errors
    /// `Changed` when it runs at this moment, or was gone on with since it was read; `Io`.
    pub fn resume(entry: &Entry) -> Result<Self> {
        let failed = files::cannot("write to", &entry.path);
        let length = entry.adopt()?;
        let file = std::fs::OpenOptions::new().append(true).open(&entry.path).map_err(failed)?;
        let start = std::time::Instant::now();
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            // A process that only reads it holds the lock for a moment.
            if start.elapsed() > READING {
                return Err(Error::new(ErrorKind::Changed, "this operation is running at this moment"));
            }
            std::thread::sleep(READING / 50);
        }
        if file.metadata().map_err(failed)?.len() != length {
            let message = "another process has resumed this operation meanwhile; nothing was written";
            return Err(Error::new(ErrorKind::Changed, message).with_hint("sen op list   # how it stands now"));
        }
        let mut journal = Self { path: entry.path.clone(), file: BufWriter::new(file), failed: None };
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

    /// What was written so far.
    ///
    /// # Errors
    /// `Io`.
    pub fn reader(&self) -> Result<File> {
        File::open(&self.path).map_err(files::cannot("read", &self.path))
    }

    /// Notes which run this is in the journal of the database.
    pub fn runs(&mut self, running: &Running) {
        self.line(&Line::Run { run: running.run.clone() });
        self.flush();
    }

    /// Notes that a run begins, and its brakes: whoever resumes it after a kill is to know them.
    pub fn begins(&mut self, begun: &Line) {
        self.line(begun);
        self.flush();
    }

    /// Takes it away again: nothing was begun.
    pub fn abandon(self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Writes how it ended.
    ///
    /// # Errors
    /// `Io` where not all of it could be written.
    pub fn end(mut self, ended: &Line) -> Result<()> {
        // Behind lines that are missing, an end would say that nothing is.
        if self.failed.is_none() {
            self.line(ended);
            self.flush();
        }
        let synced = self.file.get_ref().sync_all();
        self.note(synced);
        match self.failed {
            None => Ok(()),
            Some(error) => Err(Error::new(ErrorKind::Io, "its journal is not complete").with_source(error)),
        }
    }
}

/// The line that tells that a run begins, with these brakes.
pub fn begins(brakes: &[String]) -> Line {
    Line::Begun { brakes: brakes.to_vec() }
}

/// The line that tells how a run ended.
pub fn ended(report: &Report, interrupted: bool, brakes: &[String]) -> Line {
    let complete = report.ending() == Ending::Done;
    let stopped = report.halt.as_ref().map(|halt| halt.why.clone());
    let interrupted = interrupted || stopped.is_some();
    Line::Ended { at: Timestamp::here().as_micros(), interrupted, complete, stopped, brakes: brakes.to_vec() }
}

/// How long a process that only reads a journal may hold its lock.
const READING: Duration = Duration::from_secs(1);

/// Where the journal of an operation is kept.
#[derive(Default)]
pub struct Kept {
    /// The operator's own file.
    pub file: Option<Journal>,
    /// The operation in the journal of the database.
    pub running: Option<Arc<Running>>,
}

/// Tells an observer and the journal.
pub struct Journaled<'a> {
    /// Who shows how far it has come.
    pub observer: &'a dyn Observer,
    journal: Mutex<Option<Journal>>,
    /// The operation in the journal of the database, where that is kept.
    running: Option<Arc<Running>>,
    /// The places in the plan of what is applied, where that is a part of it.
    places: Option<Vec<usize>>,
}

impl<'a> Journaled<'a> {
    /// With a journal, or without where none could be made.
    pub fn new(observer: &'a dyn Observer, kept: Kept, places: Option<Vec<usize>>) -> Self {
        Self { observer, journal: Mutex::new(kept.file), running: kept.running, places }
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
        let at = Some(Timestamp::here().as_micros());
        if let Some(running) = &self.running {
            // Its rows were entered with their change.
            let item = item.clone().changing(Vec::new());
            if let Ok(line) = serde_json::to_string(&Line::Settled { place, item: item.clone(), at }) {
                running.settled(place, &item, &line);
            }
        }
        if let Some(journal) = &mut *self.journal() {
            journal.line(&Line::Settled { place, item: item.clone(), at });
        }
    }

    fn waiting(&self, what: &str) {
        // What was done so far is known to whoever looks meanwhile.
        if let Some(journal) = &mut *self.journal() {
            journal.flush();
        }
        self.observer.waiting(what);
    }

    fn say(&self, line: &str) {
        self.observer.say(line);
    }

    fn announce(&self, topic: &str, message: &str) {
        self.observer.announce(topic, message);
    }
}
