//! Contexts: databases by name, with what must be heeded when acting on them.
//!
//! `$XDG_CONFIG_HOME/sen/config.toml` is the operator's own file. `.sen.toml`, found as a `.env` is, belongs to a project and may come
//! from anyone: what it names gets no password of the operator's, it names no program, and of a context that both files have
//! the operator's own connection counts, with the restrictions of both. Neither holds passwords.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::stores::url;
use serde::Deserialize;

use crate::files;
use crate::settings::file;

/// A whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    context: BTreeMap<String, Entry>,
}

/// What is said of one context.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    database_url: Option<String>,
    redis_url: Option<String>,
    password_command: Option<String>,
    redis_password_command: Option<String>,
    worker_timezone: Option<String>,
    #[serde(default)]
    production: bool,
    #[serde(default)]
    require_reason: bool,
    max_targets: Option<u64>,
    #[serde(default)]
    read_only: bool,
}

/// A database by name.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The file its connection is from.
    pub file: PathBuf,
    /// Whether that file is a project's, which was only found.
    pub found: bool,
    /// Whether nothing but `sen context use` chose it: then it is for reading.
    pub sticky: bool,
    /// The database, as `--database-url` takes it.
    pub database_url: Option<String>,
    /// The Redis of the agent tasks, as `--redis-url` takes it.
    pub redis_url: Option<String>,
    /// The program that prints the database's password.
    pub password_command: Option<String>,
    /// The program that prints the password of that Redis.
    pub redis_password_command: Option<String>,
    /// The zone of times without one, as `--worker-timezone` takes it.
    pub worker_timezone: Option<String>,
    /// What acts have to heed.
    pub rules: Rules,
}

/// What acts on the database of a context have to heed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// An act has to be confirmed by the name of the context.
    pub production: bool,
    /// An act needs a reason.
    pub require_reason: bool,
    /// No act changes more than this.
    pub max_targets: Option<u64>,
    /// No act at all.
    pub read_only: bool,
}

/// Every context there is, by name.
///
/// # Errors
/// `Usage` for a file that others could have written, that cannot be read, or that does not parse.
pub fn all() -> Result<Vec<Context>> {
    let own = own_file().filter(|path| path.symlink_metadata().is_ok());
    let project = std::env::current_dir().ok().and_then(|here| file::nearest(&here, PROJECT_FILE));
    let mut contexts = match &own {
        Some(path) => read(path, false)?,
        None => BTreeMap::new(),
    };
    if let Some(path) = &project {
        for (name, theirs) in read(path, true)? {
            match contexts.get_mut(&name) {
                Some(known) => known.rules = known.rules.with(&theirs.rules),
                None => drop(contexts.insert(name, theirs)),
            }
        }
    }
    Ok(contexts.into_values().collect())
}

/// The context of this name.
///
/// # Errors
/// `NotFound` with the names there are; as [`all`].
pub fn named(name: &str) -> Result<Context> {
    let contexts = all()?;
    let names: Vec<&str> = contexts.iter().map(|context| context.name.as_str()).collect();
    let hint = match names[..] {
        [] => format!("contexts are kept in {}: see `sen context --help`", shown_own_file()),
        _ => format!("there are: {}", names.join(", ")),
    };
    let unknown = Error::new(ErrorKind::NotFound, format!("there is no context {name:?}")).with_hint(hint);
    contexts.into_iter().find(|context| context.name == name).ok_or(unknown)
}

/// The name that `sen context use` kept.
pub fn current() -> Option<String> {
    let text = std::fs::read_to_string(current_file()?).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Keeps the name of the context that reading commands use where nothing else names a database; `None` forgets it.
///
/// # Errors
/// `Io`.
pub fn keep(name: Option<&str>) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = current_file().ok_or_else(|| Error::new(ErrorKind::Io, "neither XDG_STATE_HOME nor HOME is set"))?;
    let failed = files::cannot("write", &path);
    let Some(name) = name else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        };
    };
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    std::fs::write(&path, format!("{name}\n")).map_err(failed)
}

/// The operator's own file, for people.
pub fn shown_own_file() -> String {
    own_file().map_or_else(|| "~/.config/sen/config.toml".into(), |path| path.display().to_string())
}

impl Rules {
    /// What both ask for.
    fn with(&self, other: &Self) -> Self {
        Self {
            production: self.production || other.production,
            require_reason: self.require_reason || other.require_reason,
            max_targets: [self.max_targets, other.max_targets].into_iter().flatten().min(),
            read_only: self.read_only || other.read_only,
        }
    }
}

/// The name of a project's file.
const PROJECT_FILE: &str = ".sen.toml";

fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

fn own_file() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("sen/config.toml"))
}

fn current_file() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state").map(|folder| folder.join("sen/context"))
}

fn read(path: &Path, found: bool) -> Result<BTreeMap<String, Context>> {
    let content = file::read(path, found)?.content;
    let text = String::from_utf8(content).map_err(|_| Error::usage(format!("{} is not UTF-8", path.display())))?;
    parse(&text, path, found)
}

fn parse(text: &str, path: &Path, found: bool) -> Result<BTreeMap<String, Context>> {
    let contents: Contents = toml::from_str(text).map_err(|error| {
        // The line and what is wrong with it, not the line itself: a password could be in it.
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::usage(format!("{}, line {line}: {}", path.display(), error.message()))
            .with_hint("see `sen context --help` for the settings there are")
    })?;
    contents.context.into_iter().map(|(name, entry)| Ok((name.clone(), context(name, entry, path, found)?))).collect()
}

fn context(name: String, entry: Entry, path: &Path, found: bool) -> Result<Context> {
    let at = |what: &str| Error::usage(format!("{}, context {name:?}: {what}", path.display()));
    for (setting, url) in [("database_url", &entry.database_url), ("redis_url", &entry.redis_url)] {
        let Some(url) = url else { continue };
        url::remember(url);
        if url::holds_password(url) {
            return Err(at(&format!("{setting} holds a password"))
                .with_hint("leave it out: ~/.pgpass, PGPASSWORD or password_command are for passwords"));
        }
    }
    if entry.database_url.is_none() && entry.redis_url.is_none() {
        return Err(at("it names neither database_url nor redis_url"));
    }
    if found && (entry.password_command.is_some() || entry.redis_password_command.is_some()) {
        return Err(at("a file that was only found may name no program")
            .with_hint(format!("put the context into {}", shown_own_file())));
    }
    Ok(Context {
        file: path.to_owned(),
        found,
        sticky: false,
        database_url: entry.database_url,
        redis_url: entry.redis_url,
        password_command: entry.password_command,
        redis_password_command: entry.redis_password_command,
        worker_timezone: entry.worker_timezone,
        rules: Rules {
            production: entry.production,
            require_reason: entry.require_reason,
            max_targets: entry.max_targets,
            read_only: entry.read_only,
        },
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, found: bool) -> Result<BTreeMap<String, Context>> {
        parse(text, Path::new("/c.toml"), found)
    }

    #[test]
    fn what_is_refused_is_named_without_secrets() {
        for (text, found, told) in [
            ("[context.prod]\n", false, "it names neither database_url nor redis_url"),
            ("[context.prod]\ndatabase_url = 'postgresql://u:hunter2@h/d'", false, "database_url holds a password"),
            ("[context.prod]\nredis_url = 'redis://:hunter2@h/0'", false, "redis_url holds a password"),
            ("[context.prod]\ndatabase_url = 'sqlite:x'\npassword_command = 'p'", true, "may name no program"),
            (
                "[context.prod]\ndatabase_url = 'sqlite:x'\nproductoin = true",
                false,
                "line 3: unknown field `productoin`",
            ),
            ("[context.prod]\ndatabase_url = hunter2", false, "line 2"),
        ] {
            let error = parsed(text, found).expect_err(text).to_string();
            assert!(error.contains(told) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn restrictions_add_up() {
        let strict = Rules { production: true, require_reason: false, max_targets: Some(5), read_only: false };
        let other = Rules { production: false, require_reason: true, max_targets: Some(9), read_only: false };
        let both = Rules { production: true, require_reason: true, max_targets: Some(5), read_only: false };
        assert_eq!(strict.with(&other), both);
        assert_eq!(other.with(&strict), both);
        assert_eq!(both.with(&Rules::default()), both);
    }
}
