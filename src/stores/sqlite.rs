//! One SQLite file, behind one worker thread: SQLite blocks, the callers are async.
//!
//! A file is never created by opening it, its journal mode is never changed, and a reader's connection cannot write.

mod beside;
mod catalogue;
pub mod journal;
pub mod restore;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction};
use tokio::sync::oneshot;

use beside::How;
pub use catalogue::Tables;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::journal::Changes;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading; SQLite itself refuses a write (`mode=ro` and `query_only`).
    Read,
    /// Reading and writing an existing file.
    Write,
    /// As `Write`, and the file is made when it is not there. For `sen init` and `sen demo` only.
    Create,
}

type Job = Box<dyn FnOnce(&mut Open) + Send>;

/// An open SQLite file. Dropping it closes the connection and waits for that, so that what SQLite keeps beside the file
/// is gone when the last one closes.
pub struct Sqlite {
    description: String,
    limit: Option<Duration>,
    tables: Arc<Tables>,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// How long a statement waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// No value or row is longer than this: a file of somebody else's can claim anything. (SQLite's own limit is 1 GB.)
const LONGEST: i32 = 256 << 20;

impl Sqlite {
    /// Opens `path`.
    ///
    /// # Errors
    /// `Connect` when there is no such file, it is no database, or it cannot be opened; `Refused` when `access` would
    /// write a file that belongs to another user.
    pub async fn open(path: &Path, access: Access) -> Result<Self> {
        let description = format!("sqlite:{}", path.display());
        check_file(path, access)?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, opened) = oneshot::channel();
        let path = path.to_path_buf();
        let tables = Arc::<Tables>::default();
        let seen = Arc::clone(&tables);
        let thread = std::thread::Builder::new()
            .name("sqlite".into())
            .spawn(move || match connect(&path, access, seen) {
                Ok(mut open) => {
                    drop(ready.send(Ok(())));
                    for job in queue {
                        job(&mut open);
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            })
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start a thread for SQLite").with_source(error))?;
        opened.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the SQLite thread ended early")))?;
        Ok(Self { description, limit: None, tables, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The same, each piece of work bounded by `limit`: past it SQLite interrupts its statement. What is streamed is not.
    #[must_use]
    pub fn within(mut self, limit: Option<Duration>) -> Self {
        self.limit = limit;
        self
    }

    /// What all systems know of its tables.
    pub fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    /// The file for people: `sqlite:/path`.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Runs `work` on the connection.
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.bounded(self.limit, work).await
    }

    /// The same with a limit of its own, where that is the shorter one: for what is worth little more than that.
    ///
    /// # Errors
    /// What `work` returns; `Timeout` when the limit has passed.
    pub async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.bounded(Some(self.limit.map_or(limit, |own| own.min(limit))), work).await
    }

    async fn bounded<T: Send + 'static>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = oneshot::channel();
        let current = sen_model::journal::current();
        self.hand(move |open| {
            let done = open.read(|connection| sen_model::journal::beside(current, || bounded(connection, limit, work)));
            drop(answer.send(done));
        })?;
        result.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the SQLite thread ended early")))
    }

    /// Hands `work` to the connection's thread without waiting, for answers that are streamed through a channel; `tell`
    /// hears of what went wrong.
    ///
    /// # Errors
    /// `Internal` when the thread has ended.
    pub fn start(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<()> + Send + 'static,
        tell: impl FnOnce(Error) + Send + 'static,
    ) -> Result<()> {
        self.hand(move |open| {
            if let Err(error) = open.read(work) {
                tell(error);
            }
        })
    }

    fn hand(&self, job: impl FnOnce(&mut Open) + Send + 'static) -> Result<()> {
        let jobs = self.jobs.as_ref().map(|jobs| jobs.send(Box::new(job)));
        match jobs {
            Some(Ok(())) => Ok(()),
            _ => Err(Error::new(ErrorKind::Internal, "the SQLite thread has ended")),
        }
    }
}

/// How many steps of SQLite's machine lie between two looks at the clock: some microseconds.
const STEPS: std::ffi::c_int = 4000;

/// Runs `work`; a statement of it that is not done when `limit` has passed is interrupted.
fn bounded<T>(
    connection: &mut Connection,
    limit: Option<Duration>,
    work: impl FnOnce(&mut Connection) -> Result<T>,
) -> Result<T> {
    let Some(limit) = limit else { return work(connection) };
    let begun = Instant::now();
    connection.progress_handler(STEPS, Some(move || begun.elapsed() > limit)).map_err(error_from)?;
    // Waiting for another process's lock is none of its steps.
    connection.busy_timeout(BUSY.min(limit)).map_err(error_from)?;
    let done = work(connection);
    connection.busy_timeout(BUSY).map_err(error_from)?;
    connection.progress_handler(STEPS, None::<fn() -> bool>).map_err(error_from)?;
    done
}

fn check_file(path: &Path, access: Access) -> Result<()> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Error::new(ErrorKind::Connect, format!("{shown} is a directory, not a database file")))
        }
        // Opening a FIFO waits for a process at its other end.
        Ok(found) if !found.is_file() => {
            Err(Error::new(ErrorKind::Connect, format!("{shown} is not a regular file, so it holds no database")))
        }
        Ok(found) => check_owner(path, &found, access),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && access == Access::Create => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(ErrorKind::Connect, format!("there is no file {shown}")).with_hint(
                "check the path; nothing was created. `sen demo` makes a database to try, `sen init` an empty one",
            ))
        }
        Err(error) => Err(Error::new(ErrorKind::Connect, format!("cannot open {shown}")).with_source(error)),
    }
}

#[cfg(unix)]
fn check_owner(path: &Path, found: &std::fs::Metadata, access: Access) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let me = rustix::process::geteuid().as_raw();
    if access == Access::Read || found.uid() == me {
        return Ok(());
    }
    let message = format!("{} belongs to user {}, and this is user {me}", path.display(), found.uid());
    Err(Error::new(ErrorKind::Refused, message).with_hint(
        "writing would leave journal files the owner cannot use: run sen as the owner (sudo -u), or read only",
    ))
}

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &std::fs::Metadata, _: Access) -> Result<()> {
    Ok(())
}

fn connect(path: &Path, access: Access, tables: Arc<Tables>) -> Result<Open> {
    let how = match access {
        Access::Read => beside::how(path),
        Access::Write | Access::Create => How::Plain,
    };
    let connection = open(path, access, &how).map_err(|error| {
        let readonly = error.sqlite_error_code() == Some(ErrorCode::ReadOnly);
        let died =
            error.sqlite_error().map(|error| error.extended_code) == Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK);
        let error = error_from(error);
        match error.kind() {
            ErrorKind::Timeout | ErrorKind::Connect => error,
            _ if died => Error::new(
                ErrorKind::Connect,
                format!(
                    "cannot read {}: a writer ended in the middle of a transaction, which has to be undone first",
                    path.display()
                ),
            )
            .with_hint(
                "whatever opens it for writing does that, with the -journal file beside it: sqlite3 FILE .tables",
            ),
            _ if readonly => Error::new(
                ErrorKind::Connect,
                format!(
                    "cannot read {}: it is in WAL mode, and the files that needs beside it cannot be used",
                    path.display()
                ),
            )
            .with_hint("read it as its owner (sudo -u), or read a copy made with its -wal file"),
            _ => Error::new(ErrorKind::Connect, format!("cannot open {}", path.display())).with_source(error),
        }
    })?;
    Ok(Open { connection, path: path.to_owned(), how, tables })
}

fn open(path: &Path, access: Access, how: &How) -> rusqlite::Result<Connection> {
    let mode = match (access, how) {
        (Access::Read, How::Frozen(_)) => OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        (Access::Read, How::Plain) => OpenFlags::SQLITE_OPEN_READ_ONLY,
        (Access::Read, How::Tidy) | (Access::Write, _) => OpenFlags::SQLITE_OPEN_READ_WRITE,
        (Access::Create, _) => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let named = match how {
        How::Frozen(_) => beside::frozen_uri(path),
        How::Plain | How::Tidy => path.to_owned(),
    };
    let connection = Connection::open_with_flags(named, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
    if access == Access::Read {
        connection.pragma_update(None, "query_only", true)?;
    }
    // The first read of the header: a file that is no database is found here, not in the middle of a command.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// A connection, and how its file was opened.
struct Open {
    connection: Connection,
    path: PathBuf,
    how: How,
    tables: Arc<Tables>,
}

impl Open {
    /// Runs `work`. A file that was taken to be at rest is opened anew when a writer has come, and what was read while one
    /// wrote into the file itself is not handed out.
    fn read<T>(&mut self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        if let How::Frozen(print) = &self.how
            && *print != beside::Print::of(&self.path)
        {
            self.tables.forget();
            *self = connect(&self.path, Access::Read, Arc::clone(&self.tables))?;
        }
        let done = work(&mut self.connection);
        match &self.how {
            How::Frozen(print) if !print.same_file(&beside::Print::of(&self.path)) => {
                Err(Error::new(ErrorKind::Timeout, format!("{} was written to while it was read", self.path.display()))
                    .with_hint("run the command again"))
            }
            _ => done,
        }
    }
}

/// Commits. The disk may have what an error of it says is not there: a WAL whose sync failed, for example, is read by the next
/// connection.
///
/// # Errors
/// `OutcomeUnknown` after an error of the disk; any other error means that nothing was written.
pub fn commit(writing: Transaction<'_>) -> Result<()> {
    writing.commit().map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => {
            Error::new(ErrorKind::OutcomeUnknown, "the disk failed while the change was being committed")
                .with_hint("inspect it when the disk works again: the change is there as a whole or not at all")
                .with_source(error)
        }
        _ => error_from(error),
    })
}

/// Commits what changed this of the targets under way. Where the journal of the operation that runs is kept in this file, that is
/// entered in it in the same transaction.
///
/// # Errors
/// As [`commit`]; `Changed` when another process applies the operation now.
pub fn commit_keeping(writing: Transaction<'_>, changes: &Changes) -> Result<()> {
    let Some(current) = sen_model::journal::current() else { return commit(writing) };
    let entries = current.entries(changes);
    let done = journal::enter(&writing, &current.running, &entries).and_then(|()| commit(writing));
    if done.is_err() {
        current.running.keep(entries);
    }
    done
}

/// Runs a part of a transaction that is written as a whole or not at all: `None` when a trigger of `RAISE(IGNORE)` kept some
/// of it out, and then nothing of the part is written.
///
/// # Errors
/// As `work`, but for what was kept out.
pub fn part<T>(db: &Connection, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    let run = |sql: &str| db.execute_batch(sql).map_err(error_from);
    run("SAVEPOINT part")?;
    let done = match work() {
        Err(error) if error.kind() == ErrorKind::KeptOut => {
            run("ROLLBACK TO part")?;
            None
        }
        done => Some(done?),
    };
    run("RELEASE part")?;
    Ok(done)
}

/// Whether a statement wrote the rows that it must write here: in this transaction everything is as it requires it, so only
/// a trigger of `table` can have kept them out.
///
/// # Errors
/// `KeptOut`.
pub fn written(count: usize, wanted: usize, table: &str) -> Result<()> {
    if count < wanted { Err(Error::kept_out(table)) } else { Ok(()) }
}

/// Turns SQLite's error into ours.
pub fn error_from(error: rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    let (kind, message, hint) = match code {
        Some(ErrorCode::NotADatabase) => {
            (ErrorKind::Connect, "this file is not an SQLite database", Some("check the path in DATABASE_URL"))
        }
        Some(ErrorCode::CannotOpen) => (
            ErrorKind::Connect,
            "SQLite cannot open the file",
            Some("check the permissions of the file and of its folder"),
        ),
        Some(ErrorCode::PermissionDenied) => (ErrorKind::Connect, "no permission to open the file", None),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Timeout,
            "the database is locked by another process",
            Some("try again when its transaction is over; `fuser FILE` shows who has it open"),
        ),
        Some(ErrorCode::ReadOnly) => (ErrorKind::Refused, "the database is read-only here; nothing was written", None),
        Some(ErrorCode::DatabaseCorrupt) => (
            ErrorKind::Database,
            "the database file is damaged or cut short",
            Some("work on a copy: `sqlite3 FILE .recover` can save what is readable"),
        ),
        Some(ErrorCode::DiskFull) => (ErrorKind::Io, "the disk is full", None),
        Some(ErrorCode::OperationInterrupted) => (
            ErrorKind::Timeout,
            "the statement took longer than its time limit",
            Some("narrow the filter, or raise --timeout"),
        ),
        Some(ErrorCode::TooBig) => {
            (ErrorKind::Unreadable, "a value in the file is longer than 256 MiB and is not read", None)
        }
        _ => (ErrorKind::Database, "SQLite reported an error", None),
    };
    let error = Error::new(kind, message).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
