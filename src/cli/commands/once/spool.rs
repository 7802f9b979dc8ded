//! Stores a result that the database could not take in a file that only its user can read.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sen_core::error::{Error, ErrorKind, Result};

use crate::session::Session;
use crate::files;

/// Where results are kept: `SEN_SPOOL_DIR`, else the user's state folder.
pub fn folder(session: &Session) -> Option<PathBuf> {
    let named = session.setting("SEN_SPOOL_DIR").ok().flatten().filter(|text| !text.is_empty()).map(PathBuf::from);
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    named
        .or_else(|| Some(absolute("XDG_STATE_HOME")?.join("sen/spool")))
        .or_else(|| Some(absolute("HOME")?.join(".local/state/sen/spool")))
}

/// Writes `json` to a new file named after the operation.
pub fn keep(folder: Option<&Path>, operation: &str, json: &str) -> Result<PathBuf> {
    let folder = folder.ok_or_else(|| {
        Error::new(ErrorKind::Io, "there is no folder to keep the result in: neither SEN_SPOOL_DIR nor HOME is set")
    })?;
    let path = folder.join(format!("{operation}.json"));
    write(folder, &path, json).map_err(files::cannot("write", &path))?;
    Ok(path)
}

fn write(folder: &Path, path: &Path, json: &str) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(json.as_bytes())?;
    file.sync_all()
}
