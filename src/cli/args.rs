//! Arguments that several commands share: the global options, and parsing of durations, times and zones.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sen_core::error::Error;
use sen_core::model::listing::{Choice, Page, Period};
use sen_core::model::summary::Counting;
use sen_core::stores::url::redact;
use sen_core::time::wall::Zone;
use sen_core::time::{Timestamp, When};

use crate::output::Format;
use crate::screen::terminal::ColorChoice;

/// Above the options every command takes.
pub const EVERYWHERE: &str = "Options for every command";

/// Options every command takes, before or after its name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = EVERYWHERE)]
pub struct Globals {
    /// Database to work on, instead of DATABASE_URL: postgres://…, sqlite:PATH, redis://…, or a libpq connection string
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// Context to work in: a database of ~/.config/sen/config.toml or .sen.toml, by name (SEN_CONTEXT)
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "database_url")]
    pub context: Option<String>,

    /// Redis that holds the agent tasks, instead of SEN_REDIS_URL: redis://…, rediss://…, redis+unix:///PATH, redis+sentinel://…
    #[arg(long, global = true, value_name = "URL")]
    pub redis_url: Option<String>,

    /// Program that prints the database's password, run for each connection (SEN_PASSWORD_COMMAND)
    #[arg(long, global = true, value_name = "COMMAND")]
    pub password_command: Option<String>,

    /// The same for the Redis of --redis-url or SEN_REDIS_URL (SEN_REDIS_PASSWORD_COMMAND)
    #[arg(long, global = true, value_name = "COMMAND", hide_short_help = true)]
    pub redis_password_command: Option<String>,

    /// Read settings from this file instead of the nearest .env
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// How to print what is found
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,

    /// Print only these fields, in this order
    #[arg(long, global = true, value_delimiter = ',', value_name = "NAME,…")]
    pub fields: Vec<String>,

    /// Print data and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Say on stderr what was connected to, and how
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,

    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true)]
    pub no_input: bool,

    /// Never page long output
    #[arg(long, global = true)]
    pub no_pager: bool,

    /// Refuse every command that writes
    #[arg(long, global = true)]
    pub read_only: bool,

    /// Program that gets the report of every act as JSON on its standard input (SEN_HOOK)
    #[arg(long, global = true, value_name = "COMMAND")]
    pub on_report: Option<String>,

    /// Show values under secret-looking names instead of ***
    #[arg(long, global = true)]
    pub reveal: bool,

    /// Show times on a terminal in UTC, not in the local time zone
    #[arg(long, global = true)]
    pub utc: bool,

    /// Show it again and again, every 2s or as often as SPAN says; for commands that list or show
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_parser = span, value_name = "SPAN")]
    pub watch: Option<Duration>,

    /// Time limit: of one answer of the database (30s if not given; of a streamed list, until more comes), of `wait` as a whole
    #[arg(long, global = true, value_parser = span, value_name = "SPAN")]
    pub timeout: Option<Duration>,

    /// Keep trying to connect for so long, writing commands to a primary (SEN_CONNECT_RETRY, else not at all)
    #[arg(long, global = true, value_parser = span, value_name = "SPAN")]
    pub connect_retry: Option<Duration>,

    /// Zone of times that workers store without one: Europe/Berlin or +02:00 (SEN_WORKER_TIMEZONE, else UTC)
    #[arg(long, global = true, value_parser = zone, value_name = "ZONE", allow_hyphen_values = true)]
    pub worker_timezone: Option<Zone>,
}

impl Globals {
    /// The options that say which database is meant, without passwords.
    pub fn naming(&self) -> Vec<String> {
        let urls = [("--database-url", &self.database_url), ("--redis-url", &self.redis_url)];
        let named = urls.into_iter().filter_map(|(name, url)| Some([name.to_owned(), redact(url.as_deref()?)]));
        let programs = [
            ("--password-command", &self.password_command),
            ("--redis-password-command", &self.redis_password_command),
        ];
        let named = named.chain(programs.into_iter().filter_map(|(name, text)| Some([name.to_owned(), text.clone()?])));
        let context = self.context.iter().map(|name| ["--context".to_owned(), name.clone()]);
        let file = self.env_file.iter().map(|file| ["--env-file".to_owned(), file.to_string_lossy().into_owned()]);
        named.chain(context).chain(file).flatten().collect()
    }
}

/// When what is listed last changed.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Changed {
    /// Only those unchanged for longer than this
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub older_than: Option<Duration>,

    /// Only those changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only those changed before this
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,
}

/// When something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Args)]
pub struct Happened {
    /// Only what happened at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only what happened before this
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,
}

impl Happened {
    /// Whether any time will do.
    pub const fn is_any(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// Whether something of this time is meant, by the database's clock.
    pub fn holds(self, at: Timestamp, now: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since.resolve(now))
            && self.until.is_none_or(|until| at < until.resolve(now))
    }
}

/// Whether what has ended may be estimated.
#[derive(Debug, Clone, Copy, PartialEq, Args)]
pub struct HowCounted {
    /// Count every row, also where a large table has fresh statistics of those that ended
    #[arg(long)]
    pub exact: bool,
}

impl HowCounted {
    /// The same for a system.
    pub fn counting(self) -> Counting {
        if self.exact { Counting::Exact } else { Counting::Estimated }
    }
}

/// The window that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Args)]
pub struct Window {
    /// Count what ended within this span before now
    #[arg(long, default_value = "1h", value_parser = span, value_name = "SPAN")]
    pub window: Duration,

    /// The same as a time: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME", conflicts_with = "window")]
    pub since: Option<When>,
}

impl Window {
    /// How long it is.
    ///
    /// # Errors
    /// `Usage` for a beginning that is still ahead.
    pub fn span(self) -> Result<Duration, Error> {
        match self.since {
            None => Ok(self.window),
            Some(When::Ago(span)) => Ok(span),
            Some(When::At(moment)) => {
                let micros = u64::try_from(Timestamp::here().micros_since(moment));
                micros.map(Duration::from_micros).map_err(|_| Error::usage("--since is in the future"))
            }
        }
    }
}

/// When what is listed was created.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Created {
    /// Only those created longer ago than this
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub older_than: Option<Duration>,

    /// Only those created at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only those created before this
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,
}

impl From<Changed> for Period {
    fn from(Changed { older_than, since, until }: Changed) -> Self {
        Self { older_than, since, until }
    }
}

impl From<Created> for Period {
    fn from(Created { older_than, since, until }: Created) -> Self {
        Self { older_than, since, until }
    }
}

/// How much of a record is shown.
#[derive(Debug, Clone, Copy, Args)]
pub struct Facts {
    /// Show every field, not only those that matter first (JSON always has all)
    #[arg(long)]
    pub all_fields: bool,
}

/// Which part of a list.
#[derive(Debug, Clone, Args)]
pub struct Paging {
    /// Reverse the order
    #[arg(long)]
    pub reverse: bool,

    /// Maximum number of rows (0 = unlimited, streamed)
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,

    /// End with exit code 4 when nothing matches
    #[arg(long)]
    pub fail_if_empty: bool,
}

impl Paging {
    /// The page in this order, its rows with payloads if one of the columns `payloads` will be printed.
    ///
    /// # Errors
    /// `Usage` for the reverse of the stored order, which is none.
    pub fn page<O>(&self, order: Option<O>, payloads: &[&str], globals: &Globals) -> Result<Page<O>, Error> {
        if self.reverse && self.limit == 0 && order.is_none() {
            return Err(Error::usage("--reverse needs --sort when everything is streamed in stored order"));
        }
        Ok(self.page_of_one_order(payloads, globals).ordered(order))
    }

    /// The same of a list that has one order only.
    pub fn page_of_one_order<O>(&self, payloads: &[&str], globals: &Globals) -> Page<O> {
        let asked = globals.fields.iter().any(|field| payloads.contains(&field.as_str()));
        Page {
            reverse: self.reverse,
            limit: (self.limit > 0).then_some(self.limit),
            payloads: asked || (globals.fields.is_empty() && globals.output != Format::Table),
            ..Page::default()
        }
    }
}

/// Reads one of a closed set of names for clap: help, errors and completion offer them all.
pub fn choice<C: Choice>() -> impl TypedValueParser<Value = C> {
    PossibleValuesParser::new(C::ALL.iter().map(|choice| choice.name()))
        .try_map(|name| C::named(&name).ok_or("no such name"))
}

/// Reads a duration for clap.
pub fn span(text: &str) -> Result<Duration, String> {
    sen_core::time::parse_span(text).map_err(|error| explain(&error))
}

/// Reads a point in time for clap.
pub fn when(text: &str) -> Result<sen_core::time::When, String> {
    sen_core::time::When::parse(text).map_err(|error| explain(&error))
}

fn zone(text: &str) -> Result<Zone, String> {
    Zone::parse(text).map_err(|error| explain(&error))
}

fn explain(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
