//! Which database: a URL, or libpq's environment, resolved to one of the stores. Opens nothing but the small files
//! that libpq's rules name; connecting is the stores' own.

mod redact;
mod redis;

use std::path::PathBuf;
use std::time::Duration;

pub use redact::{holds_password, redact, remember};
#[cfg(feature = "redis")]
pub(crate) use redis::shown;
pub use redis::{RedisInfo, RedisPlace, Sentinels};

#[cfg(feature = "postgres")]
use super::conninfo::TargetSessionAttrs;
use super::conninfo::{Conninfo, Origin, canonical, percent_decode};
use super::password::PasswordCommand;
use sen_model::error::{Error, Result};

/// A database to work on.
#[derive(Debug, Clone)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(Box<Conninfo>),
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A Redis or Valkey server.
    Redis(Box<RedisInfo>),
}

const EXAMPLES: &str =
    "write postgresql://user@host/database, sqlite:PATH for a file, or redis://host/0 for agent tasks";
/// The variables that name a PostgreSQL database when no URL is given.
const NAMING: [&str; 5] = ["PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE", "PGUSER"];
/// The schemes known here, without what may follow a `+`.
const SCHEMES: [&str; 9] =
    ["postgres", "postgresql", "sqlite", "sqlite3", "redis", "rediss", "valkey", "valkeys", "unix"];

impl Target {
    /// Whether `url` or libpq's variables in `env` name a database at all.
    pub fn is_named(url: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> bool {
        let set = |name: &&str| env(name).is_some_and(|value| !value.is_empty());
        url.is_some_and(|url| !url.trim().is_empty()) || NAMING.iter().any(set)
    }

    /// What the operator should know of the settings though it stops nothing.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Postgres(info) => &info.warnings,
            Self::Sqlite(_) => &[],
            Self::Redis(info) => &info.warnings,
        }
    }

    /// Finds the database: `url` (from `--database-url` or `DATABASE_URL`), else libpq's variables in `env`.
    ///
    /// # Errors
    /// `Usage` when there is none, or when it cannot be understood; never with a password in it.
    pub fn resolve(url: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Self::resolve_from(Origin::Operator, url, env)
    }

    /// As [`Self::resolve`], for a database that a file names which was found and not pointed to: whoever put it there gets
    /// no password out of the operator's files. That `env` holds none either is the caller's to see to.
    ///
    /// # Errors
    /// As there, and for what reaches beyond the database: services, password files, settings of the server.
    pub fn resolve_found(url: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Self::resolve_from(Origin::Record, url, env)
    }

    fn resolve_from(origin: Origin, url: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let postgres = |text: Option<&str>, driver: bool| {
            Conninfo::resolve_from(origin, text, driver, env).map(|info| Self::Postgres(Box::new(info)))
        };
        let url = match url {
            Some(url) => Some(unquoted(url)?).filter(|url| !url.is_empty()),
            None => None,
        };
        let Some(url) = url else {
            if Self::is_named(None, env) {
                return postgres(None, false);
            }
            return Err(Error::usage("no database: DATABASE_URL is not set").with_hint(
                "export DATABASE_URL=postgresql://user@host/database (or sqlite:PATH), or try `sen demo` first",
            ));
        };
        let Some((scheme, rest)) = split_scheme(url) else {
            // `name=value` pairs start with a parameter's name; anything else may be anything, even a bare password.
            let first = url.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
            if url.contains('=') && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return postgres(Some(url), false);
            }
            return Err(Error::usage("the database URL has no scheme").with_hint(EXAMPLES));
        };
        let (base, driver) = scheme.split_once('+').map_or((scheme, None), |(base, driver)| (base, Some(driver)));
        match base.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => match rest.strip_prefix("//") {
                Some(rest) => postgres(Some(&format!("postgresql://{rest}")), driver.is_some()),
                None => Err(Error::usage("the database URL lacks // after its scheme").with_hint(EXAMPLES)),
            },
            "sqlite" | "sqlite3" => sqlite(rest, driver.is_some()).map(Self::Sqlite),
            "redis" | "rediss" | "valkey" | "valkeys" | "unix" => {
                RedisInfo::parse(&scheme.to_ascii_lowercase(), rest).map(|info| Self::Redis(Box::new(info)))
            }
            name => {
                Err(Error::usage(format!("{name:?} is no scheme of a database URL known here")).with_hint(EXAMPLES))
            }
        }
    }
}

/// `docker run --env-file` and some shells keep the quotes that others take away.
fn unquoted(url: &str) -> Result<&str> {
    let url = url.trim();
    remember(url);
    let Some(quote) = url.chars().next().filter(|c| ['\u{22}', '\''].contains(c)) else { return Ok(url) };
    match url[1..].strip_suffix(quote) {
        Some(inner) => Ok(inner.trim()),
        None => Err(Error::usage("the database URL begins with a quotation mark that is not closed")
            .with_hint("quotes are for the shell: they do not belong into the value")),
    }
}

impl Target {
    /// The same, tried again for `span` while it cannot be connected to.
    #[must_use]
    pub fn retried_for(mut self, span: Duration) -> Self {
        match &mut self {
            Self::Postgres(info) => info.connect_retry = span,
            Self::Redis(info) => info.connect_retry = span,
            Self::Sqlite(_) => {}
        }
        self
    }

    /// For how long it is tried again.
    pub fn connect_retry(&self) -> Duration {
        match self {
            Self::Postgres(info) => info.connect_retry,
            Self::Redis(info) => info.connect_retry,
            Self::Sqlite(_) => Duration::ZERO,
        }
    }

    /// The same, with the password that a program prints.
    ///
    /// # Errors
    /// `Usage` for a file, which has none.
    pub fn asking(mut self, command: PasswordCommand) -> Result<Self> {
        match &mut self {
            Self::Postgres(info) => info.password_command = Some(command),
            Self::Redis(info) => info.password_command = Some(command),
            Self::Sqlite(_) => {
                return Err(Error::usage("an SQLite file has no password, and a program that prints one is given"));
            }
        }
        Ok(self)
    }

    /// Whether a program is run to connect to it.
    pub fn asks_program(&self) -> bool {
        match self {
            Self::Postgres(info) => info.password_command.is_some(),
            Self::Redis(info) => info.password_command.is_some(),
            Self::Sqlite(_) => false,
        }
    }

    /// Whether its URL holds a password.
    pub fn has_own_password(&self) -> bool {
        match self {
            Self::Postgres(info) => info.has_own_password,
            Self::Redis(info) => info.password.is_some(),
            Self::Sqlite(_) => false,
        }
    }

    /// The same, with at most `limit` for the log-in to each of its servers, and for a program that prints the password.
    #[must_use]
    pub fn answering_within(mut self, limit: Duration) -> Self {
        match &mut self {
            Self::Postgres(info) => {
                info.connect_timeout = Some(info.connect_timeout.map_or(limit, |own| own.min(limit)));
                info.password_command = info.password_command.take().map(|command| command.within(limit));
            }
            Self::Redis(info) => {
                info.connect_timeout = info.connect_timeout.min(limit);
                info.password_command = info.password_command.take().map(|command| command.within(limit));
            }
            Self::Sqlite(_) => {}
        }
        self
    }

    /// For whoever writes: while connecting is tried again, a standby counts as not reached yet, unless the operator said
    /// what the session must be able to do.
    #[cfg(feature = "postgres")]
    pub fn for_writing(info: &Conninfo) -> Conninfo {
        let mut info = info.clone();
        if !info.connect_retry.is_zero() && info.target_session_attrs == TargetSessionAttrs::Any {
            info.target_session_attrs = TargetSessionAttrs::Primary;
        }
        info
    }
}

/// The scheme and what follows its colon. A scheme is a word of letters, digits and `+-.`; `host:…=…` is not mistaken
/// for one, nor is a Windows drive.
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let known = |name: &str| {
        let base = name.split('+').next().unwrap_or_default().to_ascii_lowercase();
        SCHEMES.contains(&base.as_str())
    };
    let word = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    // Without // an unknown word may be a user name before its password.
    (word && (rest.starts_with("//") || known(scheme)) && canonical(scheme).is_none()).then_some((scheme, rest))
}

/// The path in `sqlite:PATH`, `sqlite:///absolute` and `sqlite://relative`; with a driver in the scheme
/// (`sqlite+aiosqlite:///relative`, `sqlite+aiosqlite:////absolute`) the URL is SQLAlchemy's, which counts one more.
fn sqlite(rest: &str, sqlalchemy: bool) -> Result<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = if sqlalchemy { path.strip_prefix('/').unwrap_or(path) } else { path };
    if path.contains('?') {
        return Err(Error::usage("a query string after the path of an SQLite database is not supported")
            .with_hint("sen opens the file in its own modes; write ? in a file name as %3F"));
    }
    let mut path = percent_decode(path, "path of the SQLite database")?;
    if path.trim_start_matches('/') == ":memory:" || path.is_empty() {
        return Err(Error::usage("an SQLite database in memory belongs to the process that made it")
            .with_hint("give the path of a file: sqlite:PATH"));
    }
    while path.starts_with("//") {
        path.remove(0);
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sen_model::error::ErrorKind;

    fn resolve(url: &str) -> Result<Target> {
        Target::resolve(Some(url), &|name| (name == "HOME").then(|| "/nonexistent".into()))
    }

    fn path(url: &str) -> String {
        match resolve(url).unwrap() {
            Target::Sqlite(path) => path.to_str().unwrap().to_owned(),
            other => panic!("{url} is {other:?}"),
        }
    }

    fn postgres(url: &str) -> String {
        match resolve(url).unwrap() {
            Target::Postgres(info) => info.describe(),
            other => panic!("{url} is {other:?}"),
        }
    }

    #[test]
    fn schemes() {
        for url in [
            "postgres://u@h/d",
            "postgresql://u:pw@h/d",
            "postgresql+asyncpg://u@h/d",
            "postgresql+psycopg://u@h/d",
            "host=h user=u dbname=d",
        ] {
            assert_eq!(postgres(url), "postgresql://u@h:5432/d");
        }
        let driver = "postgresql+asyncpg://u@h/d?ssl=require&prepared_statement_cache_size=0";
        assert_eq!(postgres(driver), "postgresql://u@h:5432/d");
        for quoted in ["\"postgresql://u@h/d\"", "'postgresql://u@h/d'", " ' postgresql://u@h/d ' "] {
            assert_eq!(postgres(quoted), "postgresql://u@h:5432/d");
        }
        assert!(resolve("'postgresql://u@h/d").unwrap_err().to_string().contains("quotation mark"));
        assert_eq!(path("sqlite:a%20b.db"), "a b.db");
        assert_eq!(path("sqlite:/abs/x.db"), "/abs/x.db");
        assert_eq!(path("sqlite:///abs/x.db"), "/abs/x.db");
        assert_eq!(path("sqlite:////abs/x.db"), "/abs/x.db");
        assert_eq!(path("sqlite://rel/x.db"), "rel/x.db");
        assert_eq!(path("sqlite+aiosqlite:///rel.db"), "rel.db");
        assert_eq!(path("sqlite+aiosqlite:////abs.db"), "/abs.db");
    }

    #[test]
    fn redis() {
        for url in ["redis://:hunter2@h/3", "REDIS://:hunter2@h?db=3", "valkey://x:hunter2@h:6379/3", "redis://h/3"] {
            let Target::Redis(info) = resolve(url).unwrap() else { panic!("{url}") };
            assert_eq!((info.db, info.place.clone()), (3, RedisPlace::Host("h".into(), 6379)));
            assert!(!format!("{info:?} {}", info.describe()).contains("hunter2"));
        }
        for url in ["unix:///run/r.sock", "redis+unix:///run/r.sock?db=0"] {
            assert!(
                matches!(resolve(url).unwrap(), Target::Redis(info) if info.place == RedisPlace::Socket("/run/r.sock".into()))
            );
        }
    }

    #[test]
    fn refusals() {
        let says = |url: &str, word: &str| {
            let error = resolve(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(word), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        };
        says("sqlite::memory:", "in memory");
        says("sqlite:///:memory:", "in memory");
        says("sqlite:x.db?mode=ro", "query string");
        says("redis://hunter2@h/0", "user and no password");
        says("redis://:pw@h/hunter2", "not a whole number");
        says("mysql://u:hunter2@h/d", "\"mysql\"");
        says("hunter2", "no scheme");
        says("u:hunter2@h/d", "no scheme");
        says("postgresql:hunter2", "lacks //");
    }

    #[test]
    fn the_environment_is_asked_only_when_it_names_a_database() {
        let error = Target::resolve(None, &|_| None).unwrap_err();
        assert_eq!(error.to_string(), "no database: DATABASE_URL is not set");
        assert!(error.hint().unwrap().contains("sen demo"));
        assert!(Target::resolve(Some(" "), &|name| (name == "PGPASSWORD").then(|| "x".into())).is_err());
        let found = Target::resolve(None, &|name| (name == "PGHOST").then(|| "h".into())).unwrap();
        assert!(matches!(found, Target::Postgres(info) if info.hosts.len() == 1));
    }

    proptest! {
        #[test]
        fn any_text_resolves_or_is_a_usage_error(text in "(?s).{0,60}", scheme in "(sqlite:|postgres:|redis:)?") {
            if let Err(error) = resolve(&format!("{scheme}{text}")) {
                prop_assert_eq!(error.kind(), ErrorKind::Usage);
            }
        }
    }
}
