//! Files that people name: new ones made, and why one cannot be used, with what to do about it.

use std::fs::File;
use std::io;
use std::path::Path;

use sen_core::error::{Error, ErrorKind};

/// A new file that only its user can read, and that is there after a crash. There must be none of this name.
///
/// # Errors
/// As the file system; `AlreadyExists` where there is one.
pub fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Says of an error of the file system what could not be done to `path` ("read", "write", "create"): an `Io` error whose hint
/// says what to look at, where the kind of the error tells.
pub fn cannot<'a>(verb: &'a str, path: &'a Path) -> impl Fn(io::Error) -> Error + Copy + 'a {
    move |error| {
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => Some("name a file that is not there yet: no file is overwritten"),
            io::ErrorKind::NotFound if verb == "read" => {
                Some("look for the file with ls; a path begins where the command runs")
            }
            io::ErrorKind::NotFound => Some("make its folder first (mkdir -p); a path begins where the command runs"),
            io::ErrorKind::NotADirectory => Some("a part of the path before its end is a file: name another path"),
            io::ErrorKind::PermissionDenied => {
                Some("look at the owner and the mode of the file and its folder (ls -ld)")
            }
            io::ErrorKind::ReadOnlyFilesystem => Some("name a path on a file system that can be written to"),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("make room (df -h), or name a path elsewhere")
            }
            io::ErrorKind::InvalidData => Some("it must be UTF-8 text"),
            _ => None,
        };
        let failed = Error::new(ErrorKind::Io, format!("cannot {verb} {}", path.display())).with_source(error);
        match hint {
            Some(hint) => failed.with_hint(hint),
            None => failed,
        }
    }
}
