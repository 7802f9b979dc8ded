//! One SQLite file, behind one worker thread: SQLite blocks, the callers are async.
//!
//! A file is never created by opening it, its journal mode is never changed, and a reader's connection cannot write.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};

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

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// An open SQLite file.
pub struct Sqlite {
    description: String,
    jobs: mpsc::Sender<Job>,
}

/// How long a statement waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

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
        std::thread::Builder::new()
            .name("sqlite".into())
            .spawn(move || match connect(&path, access) {
                Ok(mut connection) => {
                    drop(ready.send(Ok(())));
                    for job in queue {
                        job(&mut connection);
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            })
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start a thread for SQLite").with_source(error))?;
        opened.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the SQLite thread ended early")))?;
        Ok(Self { description, jobs })
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
        let (answer, result) = oneshot::channel();
        self.start(move |connection| drop(answer.send(work(connection))))?;
        result.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the SQLite thread ended early")))
    }

    /// Hands `work` to the connection's thread without waiting, for answers that are streamed through a channel.
    ///
    /// # Errors
    /// `Internal` when the thread has ended.
    pub fn start(&self, work: impl FnOnce(&mut Connection) + Send + 'static) -> Result<()> {
        self.jobs.send(Box::new(work)).map_err(|_| Error::new(ErrorKind::Internal, "the SQLite thread has ended"))
    }
}

fn check_file(path: &Path, access: Access) -> Result<()> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Error::new(ErrorKind::Connect, format!("{shown} is a directory, not a database file")))
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

fn connect(path: &PathBuf, access: Access) -> Result<Connection> {
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        if access == Access::Read {
            connection.pragma_update(None, "query_only", true)?;
        }
        // The first read of the header: a file that is no database is found here, not in the middle of a command.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(|error| {
        let error = error_from(error);
        match error.kind() {
            ErrorKind::Timeout | ErrorKind::Connect => error,
            _ => Error::new(ErrorKind::Connect, format!("cannot open {}", path.display())).with_source(error),
        }
    })
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
        Some(ErrorCode::OperationInterrupted) => (ErrorKind::Timeout, "the statement was interrupted", None),
        _ => (ErrorKind::Database, "SQLite reported an error", None),
    };
    let error = Error::new(kind, message).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn kind(path: &Path, access: Access) -> ErrorKind {
        block_on(Sqlite::open(path, access)).err().map(|error| error.kind()).unwrap()
    }

    #[test]
    fn a_mistyped_path_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing.db");
        assert_eq!(kind(&path, Access::Read), ErrorKind::Connect);
        assert_eq!(kind(&path, Access::Write), ErrorKind::Connect);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
        assert_eq!(kind(folder.path(), Access::Read), ErrorKind::Connect);
    }

    #[test]
    fn a_file_of_another_kind_and_a_truncated_one_are_refused_clearly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::write(
            &path,
            "this is not a database, but long enough to have a header of a hundred bytes: ".repeat(4),
        )
        .unwrap();
        assert_eq!(kind(&path, Access::Read), ErrorKind::Connect);
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        block_on(async {
            let writer = Sqlite::open(&path, Access::Create).await.unwrap();
            writer.run(|db| db.execute_batch("CREATE TABLE t(a)").map_err(error_from)).await.unwrap();
            let reader = Sqlite::open(&path, Access::Read).await.unwrap();
            let refused = reader.run(|db| db.execute_batch("INSERT INTO t VALUES (1)").map_err(error_from)).await;
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
        });
    }
}
