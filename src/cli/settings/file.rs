//! A file of settings on disk: finding the nearest one, its owner, and who else can read or write it.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use sen_core::error::{Error, Result};

/// No file of settings is longer.
const LONGEST: u64 = 4 << 20;

/// The file of this name (`.env`) nearest to `here`. The search ends at the directory that holds `.git`; outside of a repository it does not
/// leave `here`, for what lies further up belongs to others.
pub(crate) fn nearest(here: &Path, name: &str) -> Option<PathBuf> {
    let root = here.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(here);
    let inside = here.ancestors().take_while(|dir| dir.starts_with(root));
    inside.map(|dir| dir.join(name)).find(|path| path.symlink_metadata().is_ok())
}

/// A file that was read.
pub(crate) struct Read {
    /// What is in it.
    pub content: Vec<u8>,
    /// Whether every user of the machine can read it.
    pub open: bool,
}

/// Reads `path`. `found` says that nobody named it: then it may not be a link into a folder of somebody else's, either.
///
/// # Errors
/// `Usage` for a file that others could have written, or that cannot be read.
pub(crate) fn read(path: &Path, found: bool) -> Result<Read> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let what = match error.kind() {
            ErrorKind::NotFound => format!("{shown} does not exist"),
            _ => format!("cannot read {shown}"),
        };
        Error::usage(what).with_source(error)
    };
    // Opened only if it is a regular file: opening a pipe without a writer would block forever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Error::usage(format!("{shown} is not a plain file")));
    }
    let real = path.canonicalize().map_err(unreadable)?;
    if found && path.symlink_metadata().map_err(unreadable)?.is_symlink() {
        check_folders(path, &real)?;
    }
    let file = std::fs::File::open(&real).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    check_owner(path, &about)?;
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > LONGEST {
        return Err(Error::usage(format!("{shown} is longer than any file of settings")));
    }
    Ok(Read { content, open: is_open(&real, &about) })
}

/// Checks who can write the file: they could direct `sen`, and the password, to their own database.
#[cfg(unix)]
fn check_owner(path: &Path, about: &std::fs::Metadata) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let (shown, me) = (path.display(), rustix::process::geteuid().as_raw());
    if about.uid() != me && about.uid() != 0 {
        return Err(Error::usage(format!("{shown} is refused: it belongs to another user (uid {})", about.uid()))
            .with_hint("whoever can write it chooses the database; copy it, or set the variables themselves"));
    }
    let hint = format!("whoever can write it chooses the database; chmod go-w {shown}");
    match about.mode() & 0o022 {
        0 => Ok(()),
        0o020 => Err(Error::usage(format!("{shown} is refused: its group can write it")).with_hint(hint)),
        _ => Err(Error::usage(format!("{shown} is refused: other users can write it")).with_hint(hint)),
    }
}

/// Checks the folders on the path of a link's target: their owners could put another file there.
#[cfg(unix)]
fn check_folders(link: &Path, real: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let me = rustix::process::geteuid().as_raw();
    for folder in real.ancestors().skip(1) {
        let strange = std::fs::metadata(folder).map_or(true, |about| {
            // In a folder like /tmp all users may write, but only the owner of a file can replace it.
            let shared = about.mode() & 0o022 != 0 && about.mode() & 0o1000 == 0;
            (about.uid() != me && about.uid() != 0) || shared
        });
        if strange {
            let text = format!(
                "{} is not followed: it is a link into a folder that others can change ({})",
                link.display(),
                folder.display()
            );
            return Err(Error::usage(text).with_hint("copy the file, or name it with --env-file"));
        }
    }
    Ok(())
}

/// Whether every user can read the file: it and every folder on the way let them.
#[cfg(unix)]
fn is_open(real: &Path, about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let passable = |folder: &Path| std::fs::metadata(folder).is_ok_and(|about| about.mode() & 0o001 != 0);
    about.mode() & 0o004 != 0 && real.ancestors().skip(1).all(passable)
}

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &std::fs::Metadata) -> Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn check_folders(_: &Path, _: &Path) -> Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn is_open(_: &Path, _: &std::fs::Metadata) -> bool {
    false
}
