//! Settings from outside the command line: the process environment, and a `.env` file with lower precedence. Their meaning is
//! up to the caller; the process environment is never changed.
//!
//! A file that the operator names (`--env-file`) is trusted. One that was found in the working directory may come from anyone:
//! it can name a whole database, and nothing else. It is ignored where a flag or the environment names the database, and no
//! password of the operator is sent to the database that it names.

mod dotenv;
pub(crate) mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sen_core::error::{Error, Result};
use sen_core::secret::remember;
use sen_core::stores::conninfo::environment_names;
use sen_core::stores::url::{self, Target};

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

/// What makes up a database, besides a URL. A found file gives these together, or none.
const DATABASE: [&str; 5] = ["PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"];
/// What says which database is meant, when it stands in the environment of the process.
const NAMING: [&str; 5] = ["DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"];
/// What may be taken from a found file besides a database: a whole Redis, and how its workers write times.
const HARMLESS: [&str; 2] = ["SEN_REDIS_URL", "SEN_WORKER_TIMEZONE"];
/// What of the environment is about passwords and certificates, or leads to some: not for a database that a found file names.
const PRIVATE: [&str; 7] =
    ["PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGSSLCERT", "PGSSLKEY"];
/// Settings that make a connection safer. Ignored silently, they would leave it weaker than the author of the file intended.
const STRICT: [&str; 9] = [
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLMINPROTOCOLVERSION",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
];

/// The settings of this run.
pub(crate) struct Settings {
    process: Lookup,
    overlay: BTreeMap<String, String>,
    file: Option<PathBuf>,
    /// Whether the operator named the file.
    named: bool,
    /// Whether a flag names the database.
    typed: bool,
    /// Why a found file cannot be used.
    problem: Option<Error>,
    /// Whether every user of the machine can read the file.
    open: bool,
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
    /// `typed` says that a flag names the database.
    ///
    /// # Errors
    /// `Usage` for a named file that others could have written, that cannot be read, or that does not parse. A found one
    /// is only complained of when it decides something.
    pub(crate) fn load(
        env_file: Option<&Path>,
        typed: bool,
        process: impl Fn(&str) -> Option<String> + 'static,
    ) -> Result<Self> {
        let found = match env_file {
            Some(path) if path == Path::new(NO_FILE) => None,
            Some(path) => Some(path.to_owned()),
            // A deleted working directory has no `.env`.
            None => std::env::current_dir().ok().and_then(|here| file::nearest(&here, ".env")),
        };
        let mut this = Self {
            process: Box::new(process),
            overlay: BTreeMap::new(),
            file: found,
            named: env_file.is_some(),
            typed,
            problem: None,
            open: false,
        };
        if let Err(error) = this.read() {
            if this.named {
                return Err(error);
            }
            this.problem = Some(error);
        }
        let passwords = (this.process)("PGPASSWORD").into_iter().chain(this.overlay.get("PGPASSWORD").cloned());
        passwords.for_each(|text| remember(&text));
        for name in ["DATABASE_URL", "SEN_REDIS_URL", "SEN_NOTIFY_URL", "REDIS_URL"] {
            (this.process)(name)
                .into_iter()
                .chain(this.overlay.get(name).cloned())
                .for_each(|text| url::remember(&text));
        }
        Ok(this)
    }

    fn read(&mut self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let read = file::read(path, !self.named)?;
        self.open = read.open;
        self.overlay = self.parse(path, &read.content)?;
        Ok(())
    }

    /// Of two settings of a name the last wins, as in python-dotenv.
    fn parse(&self, path: &Path, content: &[u8]) -> Result<BTreeMap<String, String>> {
        // Names of other programs are kept only for `${…}`.
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for line in dotenv::parse(content, &|_| true) {
            let at = || format!("{}, line {}", path.display(), line.number);
            let value = match &line.value {
                Ok(value) => value,
                Err(_) if !is_ours(&line.name) => continue,
                Err(dotenv::Wrong::Shape) => {
                    let text = format!("{}: {} is not given as NAME=value", at(), line.name);
                    return Err(Error::usage(text).with_hint("quote values that hold blanks or #"));
                }
                Err(dotenv::Wrong::Bytes) => return Err(Error::usage(format!("{}: this is not UTF-8", at()))),
            };
            let look_up = |name: &str| match ((self.process)(name), all.get(name)) {
                (None, known) => Ok(known.cloned()),
                (Some(value), _) if self.named => Ok(Some(value)),
                // A found file could otherwise send the operator's secrets to a host of its choice.
                (Some(_), _) => Err(name.to_owned()),
            };
            match dotenv::filled(value, &look_up) {
                Ok(filled) => drop(all.insert(line.name, filled)),
                Err(_) if !is_ours(&line.name) => drop(all.remove(&line.name)),
                Err(other) => {
                    let text = format!("{}: {} asks for ${{{other}}} of the environment", at(), line.name);
                    return Err(Error::usage(text).with_hint(format!(
                        "a file that is only found is not given it; name it: --env-file {}",
                        path.display()
                    )));
                }
            }
        }
        all.retain(|name, _| is_ours(name));
        Ok(all)
    }

    fn in_file(&self, name: &str) -> Option<String> {
        self.overlay.get(name).cloned()
    }

    /// What the operator says: in the environment, or in a file that was named.
    pub(crate) fn said(&self, name: &str) -> Option<String> {
        (self.process)(name).or_else(|| self.in_file(name).filter(|_| self.named))
    }

    /// Whether a found file may name the database: nothing else does.
    fn file_may_decide(&self) -> bool {
        !self.named && self.file.is_some() && self.other_choice().is_none()
    }

    /// What names the database in place of a found file. A variable that is set and empty means "none".
    fn other_choice(&self) -> Option<&'static str> {
        if self.typed {
            return Some("--database-url");
        }
        let set = |name: &&str| (self.process)(name).is_some_and(|value| !value.is_empty() || *name == "DATABASE_URL");
        NAMING.iter().copied().find(set)
    }

    /// Whether a found file names the database, and what is taken of it.
    pub(crate) fn file_decides(&self) -> bool {
        let names = |name: &str| self.overlay.get(name).is_some_and(|value| !value.is_empty());
        self.file_may_decide() && ["DATABASE_URL", "PGHOST", "PGDATABASE"].iter().any(|name| names(name))
    }

    /// A variable, for a database that a found file names: its own parts of the database, and of the operator's settings
    /// those that hold no secret.
    fn of_file(&self, name: &str) -> Option<String> {
        let theirs = self.in_file(name).filter(|_| DATABASE.contains(&name) || name == "DATABASE_URL");
        theirs.or_else(|| (self.process)(name).filter(|_| !PRIVATE.contains(&name)))
    }

    /// The value of `name`: the environment's, else the file's, if it may say so.
    pub(crate) fn get(&self, name: &str) -> Result<Option<String>> {
        if let Some(value) = self.said(name) {
            return Ok(Some(value));
        }
        if !HARMLESS.contains(&name) || !self.file_may_decide() {
            return Ok(None);
        }
        match &self.problem {
            Some(problem) => Err(again(problem)),
            None => Ok(self.in_file(name)),
        }
    }

    /// The database's URL, where one is given, and where.
    fn url(&self, typed: Option<&str>) -> Option<(String, Option<Source>)> {
        if let Some(url) = typed {
            return Some((url.to_owned(), None));
        }
        let source = match (self.process)("DATABASE_URL") {
            Some(_) => Source::Environment,
            None => Source::File(self.file.clone()?),
        };
        let url = match self.file_decides() {
            true => self.in_file("DATABASE_URL"),
            false => self.said("DATABASE_URL"),
        };
        url.filter(|url| !url.trim().is_empty()).map(|url| (url, Some(source)))
    }

    /// Whether a database is named at all.
    pub(crate) fn names_database(&self, typed: Option<&str>) -> bool {
        let url = self.url(typed).map(|(url, _)| url);
        match self.file_decides() {
            true => true,
            false => Target::is_named(url.as_deref(), &|name| self.said(name)),
        }
    }

    /// A database that a project's file names, which was only found: it gets no secret of the operator's.
    ///
    /// # Errors
    /// `Usage` when it cannot be understood.
    pub(crate) fn target_found_elsewhere(&self, url: &str) -> Result<Target> {
        Target::resolve_found(Some(url), &|name| {
            self.said(name).filter(|_| !PRIVATE.contains(&name) && name != "DATABASE_URL")
        })
    }

    /// Whether something the operator says, or a found file, names a database or a Redis.
    pub(crate) fn names_any(&self) -> bool {
        self.other_choice().is_some() || self.names_database(None) || self.said("SEN_REDIS_URL").is_some()
    }

    /// The database: what was `typed`, else what the environment names, else what the file does.
    ///
    /// # Errors
    /// `Usage` when there is none, or it cannot be understood.
    pub(crate) fn target(&self, typed: Option<&str>) -> Result<Target> {
        if self.file_may_decide()
            && let Some(problem) = &self.problem
        {
            return Err(again(problem));
        }
        let found = self.url(typed);
        let (url, source) = found.unzip();
        let resolved = if self.file_decides() {
            self.refuse_weakening()?;
            Target::resolve_found(url.as_deref(), &|name| self.of_file(name)).map_err(|error| self.name_file(error))
        } else {
            Target::resolve(url.as_deref(), &|name| self.said(name))
        };
        resolved.map_err(|error| match source.flatten() {
            Some(source) => error.with_context(format!("DATABASE_URL from {source}")),
            None if url.is_none() && !self.left_out().is_empty() => self.name_file(error),
            None => error,
        })
    }

    /// A hint for an error that a found file led to: what could not be taken from it can be had by naming it.
    fn name_file(&self, error: Error) -> Error {
        let (Some(file), left_out) = (&self.file, self.left_out()) else { return error };
        if left_out.is_empty() || self.named {
            return error;
        }
        let hint = format!(
            "{} is not taken from a file that is only found; name it: --env-file {}",
            left_out.join(", "),
            file.display()
        );
        error.with_hint(hint)
    }

    /// Names in a found file that are set there and have no effect.
    fn left_out(&self) -> Vec<&str> {
        let kept = |name: &str| name == "DATABASE_URL" || DATABASE.contains(&name) || HARMLESS.contains(&name);
        let set = self.overlay.iter().filter(|(name, value)| !value.is_empty() && !kept(name));
        set.map(|(name, _)| name.as_str()).collect()
    }

    fn refuse_weakening(&self) -> Result<()> {
        let weak = |name: &str| {
            let value = self.overlay.get(name).map(String::as_str).unwrap_or_default();
            value.is_empty() || ["disable", "allow", "prefer", "0"].contains(&value)
        };
        let url = self.overlay.get("DATABASE_URL").is_some_and(|url| url.contains("sslmode"));
        let strict: Vec<&str> = STRICT.iter().copied().filter(|name| !weak(name) && !url).collect();
        let Some(file) = self.file.as_ref().filter(|_| !strict.is_empty()) else { return Ok(()) };
        let hint = format!("put it into DATABASE_URL (sslmode=…), or name the file: --env-file {}", file.display());
        let text =
            format!("{} sets {}, which is not taken from a file that is only found", file.display(), strict.join(", "));
        Err(Error::usage(text).with_hint(hint))
    }

    /// Warnings about the file, once a database was opened or failed to open.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let Some(file) = &self.file else { return Vec::new() };
        let shown = file.display();
        if let Some(problem) = &self.problem {
            return match self.other_choice() {
                Some(_) => vec![format!("a .env file is ignored: {problem}")],
                None => Vec::new(),
            };
        }
        let mut out = Vec::new();
        let used = self.named || self.file_decides();
        if used && self.open && self.holds_password() {
            out.push(format!(
                "{shown} holds a password, and every user of this machine can read it; chmod o-r {shown}"
            ));
        }
        if self.file_decides() {
            let left_out: Vec<&str> = self.left_out();
            if !left_out.is_empty() {
                out.push(format!(
                    "{} in {shown} has no effect: it is not taken from a file that is only found; name it with --env-file",
                    left_out.join(", ")
                ));
            }
        }
        out
    }

    /// What is worth a note: a file that names a database, beside variables that name another.
    pub(crate) fn note(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|_| !self.named && self.overlay.contains_key("DATABASE_URL"))?;
        let other = self.other_choice().filter(|other| other.starts_with("PG"))?;
        Some(format!("{} names a database, too; {other} in the environment decides", file.display()))
    }

    fn holds_password(&self) -> bool {
        let url = |name: &str| self.in_file(name).is_some_and(|text| url::holds_password(&text));
        self.overlay.get("PGPASSWORD").is_some_and(|text| !text.is_empty())
            || ["DATABASE_URL", "SEN_REDIS_URL", "SEN_NOTIFY_URL"].into_iter().any(url)
    }

    /// For an error of connecting: a password that was there and was not sent.
    pub(crate) fn withheld(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|_| self.file_decides() && !self.typed)?;
        Some(format!(
            "neither PGPASSWORD nor SEN_PASSWORD_COMMAND of the environment nor ~/.pgpass is used for a host that {} names; if it is yours, give --env-file {}",
            file.display(),
            file.display()
        ))
    }
}

/// Names no file: nothing is read, and nothing is looked for.
pub(crate) const NO_FILE: &str = "/dev/null";

/// The same error once more: errors are not copied, as they may have a source.
fn again(error: &Error) -> Error {
    let mut out = Error::new(error.kind(), error.to_string());
    if let Some(hint) = error.hint() {
        out = out.with_hint(hint);
    }
    match error.causes().into_iter().next() {
        Some(cause) => out.with_source(cause),
        None => out,
    }
}

/// Only what this tool reads is taken from a project's `.env`.
fn is_ours(name: &str) -> bool {
    name == "DATABASE_URL" || name.starts_with("SEN_") || environment_names().any(|known| known == name)
}

#[cfg(test)]
mod tests;
