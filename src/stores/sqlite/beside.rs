//! Reading without leaving files behind. SQLite makes `-wal` and `-shm` beside a database in WAL mode even for a reader, and
//! a reader cannot remove them; made by another user, they keep the owner out of his own database.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// How a file is opened for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// As SQLite does: nothing is made that is not there already.
    Plain,
    /// In WAL mode, at rest and ours: opened so that closing removes what opening made. Writing is refused by `query_only`.
    Tidy,
    /// In WAL mode, at rest and not ours to write beside: read as it stands, without locks, as long as it stays so.
    Frozen(Print),
}

/// What tells whether a file has been written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    file: Option<(u64, std::time::SystemTime)>,
    header: Vec<u8>,
    writer: bool,
}

impl Print {
    /// The file's print at this moment.
    pub(super) fn of(path: &Path) -> Self {
        let about = std::fs::metadata(path).ok();
        Self {
            file: about.and_then(|about| Some((about.len(), about.modified().ok()?))),
            header: header(path),
            writer: wal(path).exists(),
        }
    }

    /// Whether the file itself is unchanged, whatever came to be beside it.
    pub(super) fn same_file(&self, now: &Self) -> bool {
        self.file == now.file && self.header == now.header
    }
}

fn wal(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-wal");
    PathBuf::from(name)
}

/// The first hundred bytes: among them the change counter and the journal mode.
fn header(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        drop(file.take(100).read_to_end(&mut bytes));
    }
    bytes
}

/// How to read `path` so that nothing stays behind.
pub(super) fn how(path: &Path) -> How {
    // The two versions in the header are 2 in WAL mode. With a `-wal` file somebody has the database open, or has died.
    let in_wal_mode = header(path).get(18..20) == Some(&[2, 2]);
    if !in_wal_mode || wal(path).exists() {
        How::Plain
    } else if ours(path) {
        How::Tidy
    } else {
        How::Frozen(Print::of(path))
    }
}

#[cfg(unix)]
fn ours(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    use std::os::unix::fs::MetadataExt as _;
    let own = std::fs::metadata(path).is_ok_and(|about| about.uid() == rustix::process::geteuid().as_raw());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    own && access(path, Access::WRITE_OK).is_ok() && access(folder, Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn ours(_: &Path) -> bool {
    true
}

/// The file as a URI that promises SQLite that it does not change.
pub(super) fn frozen_uri(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = String::from("file:");
    for byte in absolute.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02x}"),
        }
    }
    PathBuf::from(uri + "?immutable=1")
}
