//! Where settings come from besides the command line: the process environment, and a `.env` file laid under it.
//! What a setting means is the business of whoever asks for it; the process environment itself is never changed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sen_core::error::{Error, Result};
use sen_core::stores::conninfo::environment_names;

/// Where a value came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The environment of the process.
    Environment,
    /// A `.env` file.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the environment"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// The settings of this run.
pub(crate) struct Settings {
    process: Lookup,
    overlay: BTreeMap<String, String>,
    file: Option<PathBuf>,
}

impl fmt::Debug for Settings {
    /// Names without values: some of them are passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.overlay.keys().collect();
        f.debug_struct("Settings").field("file", &self.file).field("names", &names).finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads `env_file` (`--env-file`), or the nearest `.env` from the working directory up to the repository's root.
    ///
    /// # Errors
    /// `Usage` for a file that others could have written, that cannot be read, or that does not parse.
    pub(crate) fn load(
        env_file: Option<&Path>,
        process_env: impl Fn(&str) -> Option<String> + 'static,
    ) -> Result<Self> {
        let found = match env_file {
            Some(path) => Some(path.to_owned()),
            // A working directory that is gone has no `.env`.
            None => std::env::current_dir().ok().and_then(|here| nearest(&here)),
        };
        let overlay = match &found {
            Some(path) => read(path)?,
            None => BTreeMap::new(),
        };
        Ok(Self { process: Box::new(process_env), overlay, file: found })
    }

    /// The value of `name`: the environment's, else the file's.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.process)(name).or_else(|| self.overlay.get(name).cloned())
    }

    /// Where the value of `name` comes from.
    pub(crate) fn source_of(&self, name: &str) -> Option<Source> {
        if (self.process)(name).is_some() {
            return Some(Source::Environment);
        }
        self.file.clone().filter(|_| self.overlay.contains_key(name)).map(Source::File)
    }
}

/// Only what this tool reads is taken from a project's `.env`.
fn is_ours(name: &str) -> bool {
    name == "DATABASE_URL" || name.starts_with("SEN_") || environment_names().any(|known| known == name)
}

/// The `.env` nearest to `here`. The search ends at the directory that holds `.git`; outside of a repository it does not
/// leave `here`, for what lies further up belongs to others.
fn nearest(here: &Path) -> Option<PathBuf> {
    let root = here.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(here);
    let inside = here.ancestors().take_while(|dir| dir.starts_with(root));
    inside.map(|dir| dir.join(".env")).find(|path| path.symlink_metadata().is_ok())
}

fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let what = match error.kind() {
            ErrorKind::NotFound => format!("{shown} does not exist"),
            _ => format!("cannot read {shown}"),
        };
        Error::usage(what).with_source(error)
    };
    // Opened once it is known to be a file: opening a pipe that nobody writes to would wait for ever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Error::usage(format!("{shown} is not a plain file")));
    }
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    check_owner(path, &file.metadata().map_err(unreadable)?)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(unreadable)?;
    parse(path, &content)
}

/// Whoever can write the file can send `sen`, and the password, to a database of theirs.
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

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &std::fs::Metadata) -> Result<()> {
    Ok(())
}

/// Parses with dotenvy's rules; of two settings of a name the first wins, as there.
fn parse(path: &Path, content: &[u8]) -> Result<BTreeMap<String, String>> {
    let shown = path.display();
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let text = std::str::from_utf8(content).map_err(|error| {
        let line = content[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::usage(format!("{shown}, line {line}: this is not UTF-8"))
    })?;
    let mut out = BTreeMap::new();
    let line = Cell::new(0);
    for item in dotenvy::from_read_iter(ByLine { rest: text.as_bytes(), line: &line }) {
        match item {
            Ok((name, value)) if is_ours(&name) => drop(out.entry(name).or_insert(value)),
            Ok(_) => {}
            // The error quotes the text, which may hold a password: only the number of its line is passed on.
            Err(dotenvy::Error::LineParse(piece, _)) => {
                let first = (line.get() + 1).saturating_sub(piece.lines().count().max(1));
                return Err(Error::usage(format!("{shown}, line {first}: this is not NAME=value"))
                    .with_hint("quote values that hold blanks, # or $"));
            }
            Err(_) => return Err(Error::usage(format!("{shown}, line {}: this cannot be parsed", line.get()))),
        }
    }
    Ok(out)
}

/// Hands out one line at a time and counts them: dotenvy does not tell on which line it stumbled.
struct ByLine<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for ByLine<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let take = end.min(buf.len());
        if take == end && take > 0 {
            self.line.set(self.line.get() + 1);
        }
        let (now, later) = self.rest.split_at(take);
        buf[..take].copy_from_slice(now);
        self.rest = later;
        Ok(take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, content: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn refused(path: &Path) -> String {
        let error = Settings::load(Some(path), |_| None).unwrap_err();
        assert_eq!(error.kind(), sen_core::error::ErrorKind::Usage);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        error.to_string()
    }

    #[test]
    fn the_environment_wins_and_only_our_names_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let content = "# comment\nexport DATABASE_URL='sqlite:a b'\nPGUSER=file\nPGUSER=late\nPGTZ=Asia/Tokyo\nSEN_PAGER=less\nPATH=/evil\nPGHOST=h # x\n";
        let path = file(dir.path(), ".env", content, 0o640);
        let settings = Settings::load(Some(&path), |name| (name == "PGUSER").then(|| "process".into())).unwrap();
        assert_eq!(settings.get("DATABASE_URL").as_deref(), Some("sqlite:a b"));
        assert_eq!(settings.get("PGUSER").as_deref(), Some("process"));
        assert_eq!(settings.get("PGHOST").as_deref(), Some("h"));
        assert_eq!(settings.get("SEN_PAGER").as_deref(), Some("less"));
        assert_eq!((settings.get("PATH"), settings.get("PGTZ")), (None, None));
        assert_eq!(settings.source_of("PGUSER"), Some(Source::Environment));
        assert_eq!(settings.source_of("PGHOST"), Some(Source::File(path)));
        assert_eq!(settings.source_of("PATH"), None);
        assert!(std::env::var("SEN_PAGER").is_err());
        assert!(!format!("{settings:?}").contains("a b"));
    }

    #[test]
    fn files_that_are_not_to_be_trusted_or_read() {
        let dir = tempfile::tempdir().unwrap();
        let line = "PGPASSWORD=hunter2\n";
        assert!(refused(&file(dir.path(), "group", line, 0o620)).contains("its group can write"));
        assert!(refused(&file(dir.path(), "others", line, 0o602)).contains("other users can write"));
        assert!(refused(&dir.path().join("absent")).contains("does not exist"));
        assert!(refused(dir.path()).contains("not a plain file"));
        let broken =
            refused(&file(dir.path(), "broken", "PGUSER=a\n# PGPASSWORD=x hunter2\nPGPASSWORD=x hunter2\n", 0o600));
        assert!(broken.ends_with("broken, line 3: this is not NAME=value"), "{broken}");
        let open = refused(&file(dir.path(), "open", "PGUSER=a\n\nPGPASSWORD='hunter2\nmore\n", 0o600));
        assert!(open.ends_with("open, line 3: this is not NAME=value"), "{open}");
        std::fs::write(dir.path().join("bytes"), b"A=b\nC=\xff\n").unwrap();
        assert!(refused(&dir.path().join("bytes")).ends_with("line 2: this is not UTF-8"));
    }

    #[test]
    fn the_search_stays_in_the_repository() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("repo/a/b");
        std::fs::create_dir_all(&deep).unwrap();
        file(dir.path(), ".env", "", 0o600);
        assert_eq!(nearest(&deep), None);
        assert_eq!(nearest(dir.path()), Some(dir.path().join(".env")));
        std::fs::create_dir(dir.path().join("repo/.git")).unwrap();
        assert_eq!(nearest(&deep), None);
        let root = file(&dir.path().join("repo"), ".env", "", 0o600);
        assert_eq!(nearest(&deep), Some(root));
        let near = file(&dir.path().join("repo/a"), ".env", "", 0o600);
        assert_eq!(nearest(&deep), Some(near));
    }
}
