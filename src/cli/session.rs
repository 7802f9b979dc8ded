//! A session from arguments and environment: which database, how it is opened, what the operator allows.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::diagnostics::Hidden;
use sen_core::model::value::Value;
use sen_core::model::verdict::NextCommand;
use sen_core::registry::{self, Access, Database, Identity};
use sen_core::stores::password::PasswordCommand;
use sen_core::stores::url::{RedisInfo, Target};
use sen_core::time::wall::Zone;

use crate::args::Globals;
use crate::contexts::{self, Context};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::output::Format;
use crate::screen::Screen;
use crate::screen::full::Full;
use crate::settings::Settings;
use crate::views::CommandOutput;

/// How long one statement may take unless `--timeout` says otherwise.
const STATEMENT: Duration = Duration::from_secs(30);

/// What a report is made of, by name.
type Fields = Vec<(&'static str, Value)>;

/// A command that runs inside another one.
pub type Running<T> = Pin<Box<dyn Future<Output = T>>>;

/// What it runs in.
pub type Surroundings = (Globals, Rc<Screen>, Rc<Interrupt>);

/// The command line, as commands need it that show it or run others.
#[derive(Clone, Copy)]
pub struct CommandLine {
    /// Describes all of it, for help.
    pub tree: fn() -> clap::Command,
    /// What a command of these words shows, which only reads.
    pub read: fn(Vec<String>, Surroundings) -> Running<Result<CommandOutput>>,
    /// Runs a command of these words as if it had been typed, except that it always asks.
    pub act: fn(Vec<String>, Surroundings) -> Running<Exit>,
}

impl CommandLine {
    /// One without commands, for what runs none.
    pub const NONE: Self = Self {
        tree: || clap::Command::new("sen"),
        read: |_, _| Box::pin(async { Err(Error::new(ErrorKind::Internal, "no command can be run here")) }),
        act: |_, _| Box::pin(async { Exit::Error }),
    };
}

/// One run of the program.
pub struct Session {
    /// What the operator typed.
    pub globals: Globals,
    /// The command line that it is of.
    pub line: CommandLine,
    /// Whether every plan is asked about, also one that is safe.
    pub always_asks: bool,
    /// What an interrupt means at the moment.
    pub interrupt: Rc<Interrupt>,
    screen: Rc<Screen>,
    settings: RefCell<Option<Settings>>,
    warnings: RefCell<Vec<String>>,
    hidden: RefCell<Vec<Arc<Hidden>>>,
    notes: RefCell<Vec<String>>,
    announced: RefCell<Vec<(String, String)>>,
    report: RefCell<Option<Fields>>,
    opened: RefCell<Option<String>>,
    identity: RefCell<Identity>,
    context: RefCell<Option<Option<Context>>>,
}

impl Session {
    /// Starts a session. Settings are read when a database is first asked for: `sen completions` needs none.
    pub fn new(globals: Globals, line: CommandLine, screen: Rc<Screen>, interrupt: Rc<Interrupt>) -> Self {
        Self {
            interrupt,
            screen,
            globals,
            line,
            always_asks: false,
            settings: RefCell::new(None),
            warnings: RefCell::new(Vec::new()),
            hidden: RefCell::new(Vec::new()),
            notes: RefCell::default(),
            announced: RefCell::default(),
            report: RefCell::default(),
            opened: RefCell::new(None),
            identity: RefCell::default(),
            context: RefCell::default(),
        }
    }

    fn surroundings(&self) -> Surroundings {
        (self.globals.clone(), Rc::clone(&self.screen), Rc::clone(&self.interrupt))
    }

    /// What a command of these words shows.
    ///
    /// # Errors
    /// As that command.
    pub async fn read_command(&self, words: Vec<String>) -> Result<CommandOutput> {
        (self.line.read)(words, self.surroundings()).await
    }

    /// Runs a command as if it had been typed, except that it always asks, says which, and waits for Enter behind it.
    pub async fn run_aloud(&self, next: NextCommand) -> Exit {
        self.screen.say(&format!("$ {}", next.command));
        let exit = (self.line.act)(next.words(), self.surroundings()).await;
        self.screen.say("Enter goes back");
        // Not on this thread, which hears of an interrupt.
        drop(tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await);
        exit
    }

    /// Warnings on stderr about the configuration.
    pub fn warnings(&self) -> Vec<String> {
        let hidden = self.hidden.borrow();
        self.warnings.borrow().iter().cloned().chain(hidden.iter().filter_map(|hidden| hidden.text())).collect()
    }

    /// What could not be read and has been told nowhere yet.
    pub fn denied(&self) -> Vec<Error> {
        let hidden = self.hidden.borrow();
        hidden.iter().flat_map(|hidden| std::iter::from_fn(|| hidden.take_denied())).collect()
    }

    /// Adds a warning for stderr at the end of the command.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.borrow_mut().push(text.into());
    }

    /// Notes for stderr at the end of the command, unless `--quiet` is given.
    pub fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// Adds to [`Self::notes`].
    pub fn note(&self, text: impl Into<String>) {
        self.notes.borrow_mut().push(text.into());
    }

    /// A setting from the environment or the `.env` file.
    ///
    /// # Errors
    /// `Usage` when the file cannot be read.
    pub fn setting(&self, name: &str) -> Result<Option<String>> {
        self.load()?;
        self.settings.borrow().as_ref().map_or(Ok(None), |settings| settings.get(name))
    }

    fn load(&self) -> Result<()> {
        let mut settings = self.settings.borrow_mut();
        if settings.is_none() {
            let (file, typed) = (self.globals.env_file.as_deref(), self.globals.database_url.is_some());
            let loaded = Settings::load(file, typed, |name| std::env::var(name).ok())?;
            self.warnings.borrow_mut().extend(loaded.warnings());
            self.notes.borrow_mut().extend(loaded.note());
            *settings = Some(loaded);
        }
        Ok(())
    }

    /// The database, for a command that writes.
    ///
    /// # Errors
    /// `Refused` with `--read-only`; as [`Self::target`].
    pub fn write_target(&self) -> Result<Target> {
        self.refuse_if_read_only()?;
        self.target()
    }

    /// What was opened and how, for `--verbose`.
    pub fn opened(&self) -> Option<String> {
        self.opened.borrow().clone()
    }

    /// Notes which database was opened.
    pub fn identify(&self, identity: Identity) {
        *self.identity.borrow_mut() = identity;
    }

    /// Which database was opened, where that was asked.
    pub fn identity(&self) -> Identity {
        self.identity.borrow().clone()
    }

    /// The context that this run is in: `--context`, else `SEN_CONTEXT`, else, where nothing else names a database, the one that
    /// `sen context use` chose.
    ///
    /// # Errors
    /// `NotFound` for a name that is none; `Usage` where `SEN_CONTEXT` and the environment name a database each; as [`contexts::all`].
    pub fn context(&self) -> Result<Option<Context>> {
        if let Some(context) = &*self.context.borrow() {
            return Ok(context.clone());
        }
        let context = self.chosen_context()?;
        *self.context.borrow_mut() = Some(context.clone());
        Ok(context)
    }

    fn chosen_context(&self) -> Result<Option<Context>> {
        if let Some(name) = &self.globals.context {
            return contexts::named(name).map(Some);
        }
        if self.globals.database_url.is_some() {
            return Ok(None);
        }
        self.load()?;
        let settings = self.settings.borrow();
        let Some(settings) = settings.as_ref() else { return Ok(None) };
        if let Some(name) = settings.said("SEN_CONTEXT").filter(|name| !name.is_empty()) {
            let context = contexts::named(&name).map_err(|error| error.with_context("SEN_CONTEXT"))?;
            return match settings.said("DATABASE_URL").filter(|url| !url.is_empty() && context.database_url.is_some()) {
                Some(_) => Err(Error::usage("SEN_CONTEXT and DATABASE_URL name a database each")
                    .with_hint("unset one of them, or say which is meant with --context or --database-url")),
                None => Ok(Some(context)),
            };
        }
        if settings.names_any() || self.globals.redis_url.is_some() {
            return Ok(None);
        }
        let Some(name) = contexts::current() else { return Ok(None) };
        let context = contexts::named(&name).map_err(|error| error.with_context("the context that was chosen"))?;
        Ok(Some(Context { sticky: true, ..context }))
    }

    /// The name to type for an act, where this is production: that of the context, else of the database.
    ///
    /// # Errors
    /// As [`Self::context`].
    pub fn production(&self) -> Result<Option<String>> {
        let context = self.context()?.filter(|context| context.rules.production).map(|context| context.name);
        Ok(context.or_else(|| self.identity.borrow().production.clone()))
    }

    /// Whether questions can be asked: on terminals, without `--no-input`.
    pub fn can_ask(&self) -> bool {
        !self.globals.no_input && self.screen.can_ask()
    }

    /// Whether standard output is a terminal, where nothing is kept.
    pub fn prints_to_terminal(&self) -> bool {
        self.screen.prints_to_terminal()
    }

    /// Keeps messages for listening programs until they are sent.
    pub fn announce(&self, announced: Vec<(String, String)>) {
        self.announced.borrow_mut().extend(announced);
    }

    /// The kept messages for listening programs.
    pub fn announced(&self) -> Vec<(String, String)> {
        self.announced.take()
    }

    /// Keeps the report of an act until it has been shown, for the program that is told of it.
    pub fn keep_report(&self, fields: Fields) {
        *self.report.borrow_mut() = Some(fields);
    }

    /// The report of the act that was carried out, if one was.
    pub fn take_report(&self) -> Option<Fields> {
        self.report.take()
    }

    /// Whether a bar on stderr would be seen.
    pub fn shows_progress(&self) -> bool {
        !self.globals.quiet && self.screen.has_terminal()
    }

    /// Says something that a question refers to.
    pub fn say(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.screen.say(line));
    }

    /// Which database the operator means.
    ///
    /// # Errors
    /// `Usage` when none is named or its URL cannot be understood.
    pub fn target(&self) -> Result<Target> {
        let target = self.named_target()?;
        let context = self.context()?.filter(|context| context.database_url.is_some());
        let found = match &context {
            Some(context) => context.found,
            None => self.settings.borrow().as_ref().is_some_and(Settings::file_decides),
        };
        let of_context = context.as_ref().and_then(|context| context.password_command.as_deref());
        let typed = match (self.globals.password_command.as_deref(), of_context) {
            (None, Some(command)) => ("password_command of the context", Some(command)),
            (typed, _) => ("--password-command", typed),
        };
        self.patient(self.with_password(target, typed, "SEN_PASSWORD_COMMAND", found)?)
    }

    /// The target with the program that prints its password, where one is `typed` or the variable names one. `found`: a file that
    /// was only found says which database is meant; no password of the operator's goes there.
    fn with_password(
        &self,
        target: Target,
        (option, typed): (&str, Option<&str>),
        variable: &str,
        found: bool,
    ) -> Result<Target> {
        if let Some(text) = typed {
            if found {
                return Err(Error::usage(format!(
                    "{option} is given, and a file that is only found names the database"
                ))
                .with_hint("name the database with the command, or trust a .env file: --env-file .env"));
            }
            if target.has_own_password() {
                return Err(Error::usage(format!("{option} is given, and the URL holds a password"))
                    .with_hint("leave one of them out"));
            }
            return PasswordCommand::parse(text)
                .and_then(|command| target.asking(command))
                .map_err(|error| error.with_context(option));
        }
        let said = self.setting(variable)?.filter(|text| !text.is_empty());
        match said.filter(|_| !found && !target.has_own_password() && !matches!(target, Target::Sqlite(_))) {
            Some(text) => PasswordCommand::parse(&text)
                .and_then(|command| target.asking(command))
                .map_err(|error| error.with_context(variable)),
            None => Ok(target),
        }
    }

    /// The target, with how long connecting may take and how long it is tried again. `--timeout` bounds the log-in, too, where
    /// the settings would give it longer.
    fn patient(&self, target: Target) -> Result<Target> {
        let target = target.retried_for(self.connect_retry()?);
        Ok(match self.globals.timeout.filter(|limit| !limit.is_zero()) {
            Some(limit) => target.answering_within(limit),
            None => target,
        })
    }

    /// How long connecting is tried again: `--connect-retry`, else `SEN_CONNECT_RETRY`, else not at all.
    fn connect_retry(&self) -> Result<Duration> {
        if let Some(span) = self.globals.connect_retry {
            return Ok(span);
        }
        match self.setting("SEN_CONNECT_RETRY")?.filter(|text| !text.is_empty()) {
            Some(text) => sen_core::time::parse_span(&text).map_err(|error| error.with_context("SEN_CONNECT_RETRY")),
            None => Ok(Duration::ZERO),
        }
    }

    fn named_target(&self) -> Result<Target> {
        self.load()?;
        let context = self.context()?.filter(|context| context.database_url.is_some());
        let settings = self.settings.borrow();
        let typed = self.globals.database_url.as_deref();
        let Some(settings) = settings.as_ref() else { return Target::resolve(typed, &|_| None) };
        if let Some(Context { database_url: Some(url), found, name, file, .. }) = &context {
            let target = if *found { settings.target_found_elsewhere(url) } else { settings.target(Some(url)) };
            return target.map_err(|error| error.with_context(format!("context {name} of {}", file.display())));
        }
        settings.target(typed).map_err(|error| match error.to_string().starts_with("no database:") {
            true if has_redis_url() => error.with_hint(REDIS_URL),
            _ => error,
        })
    }

    /// Whether the target is an SQLite file that does not exist yet.
    ///
    /// # Errors
    /// As [`Self::target`].
    pub fn makes_file(&self) -> Result<bool> {
        Ok(matches!(self.target()?, Target::Sqlite(path) if !path.exists()))
    }

    /// Opens the database for reading.
    ///
    /// # Errors
    /// `Usage` or `Connect`.
    pub async fn read(&self) -> Result<Database> {
        self.open_all(Access::Read).await
    }

    /// Opens only the Redis that holds the agent tasks, for reading.
    ///
    /// # Errors
    /// `Usage` when none is named; `Connect`.
    pub async fn read_agents(&self) -> Result<Database> {
        self.open(&Target::Redis(Box::new(self.redis()?)), Access::Read).await
    }

    /// The same for writing.
    ///
    /// # Errors
    /// `Refused` with `--read-only`; as [`Self::read_agents`].
    pub async fn write_agents(&self) -> Result<Database> {
        self.refuse_if_read_only()?;
        self.open(&Target::Redis(Box::new(self.redis()?)), Access::Write).await
    }

    /// The Redis that was named apart from the database, if any: by `--redis-url`, else by `SEN_REDIS_URL`.
    fn named_redis(&self) -> Result<Option<RedisInfo>> {
        let setting = self.setting("SEN_REDIS_URL")?;
        let context = self.context()?.filter(|context| context.redis_url.is_some());
        let of_context = context.as_ref().and_then(|context| context.redis_url.clone());
        let (url, name) = match (&self.globals.redis_url, of_context) {
            (Some(url), _) => (Some(url.clone()), "--redis-url"),
            (None, Some(url)) => (Some(url), "redis_url of the context"),
            (None, None) => (setting.filter(|url| !url.is_empty()), "SEN_REDIS_URL"),
        };
        let Some(url) = url else { return Ok(None) };
        let named = Target::resolve(Some(&url), &|_| None).map_err(|error| error.with_context(name))?;
        let said = |settings: &Settings| settings.said("SEN_REDIS_URL").is_some();
        let found = match &context {
            _ if self.globals.redis_url.is_some() => false,
            Some(context) => context.found,
            None => !self.settings.borrow().as_ref().is_some_and(said),
        };
        let of_context = context.as_ref().and_then(|context| context.redis_password_command.as_deref());
        let typed = match (self.globals.redis_password_command.as_deref(), of_context) {
            (None, Some(command)) => ("redis_password_command of the context", Some(command)),
            (typed, _) => ("--redis-password-command", typed),
        };
        let named = self.with_password(named, typed, "SEN_REDIS_PASSWORD_COMMAND", found)?;
        match self.patient(named)? {
            Target::Redis(info) => Ok(Some(*info)),
            _ => Err(Error::usage(format!("{name} does not name a Redis")).with_hint("write redis://host/0")),
        }
    }

    /// Where the agent tasks are: what was typed wins over the environment, and a URL for Redis alone over one that may be
    /// for any database.
    fn redis(&self) -> Result<RedisInfo> {
        let typed = self.globals.redis_url.is_none() && self.globals.database_url.is_some();
        let main = || match self.target() {
            Ok(Target::Redis(info)) => Ok(*info),
            Ok(_) => Err(no_redis()),
            Err(error) if self.names_database()? => Err(error),
            Err(_) => Err(no_redis()),
        };
        match main() {
            Ok(info) if typed => Ok(info),
            other => match self.named_redis()? {
                Some(info) => Ok(info),
                None => other,
            },
        }
    }

    fn names_database(&self) -> Result<bool> {
        if self.context()?.is_some_and(|context| context.database_url.is_some()) {
            return Ok(true);
        }
        self.load()?;
        let typed = self.globals.database_url.as_deref();
        Ok(self.settings.borrow().as_ref().is_some_and(|settings| settings.names_database(typed)))
    }

    /// The database and, beside it, the Redis where one is named.
    ///
    /// # Errors
    /// As [`Self::target`].
    pub fn targets(&self) -> Result<(Target, Option<RedisInfo>)> {
        let Some(beside) = self.named_redis()? else { return Ok((self.target()?, None)) };
        if !self.names_database()? {
            return Ok((Target::Redis(Box::new(self.redis()?)), None));
        }
        Ok(match self.target()? {
            Target::Redis(_) => (Target::Redis(Box::new(self.redis()?)), None),
            target => (target, Some(beside)),
        })
    }

    async fn open_all(&self, access: Access) -> Result<Database> {
        match self.targets()? {
            (target, None) => self.open(&target, access).await,
            (target, Some(info)) => {
                let mut database = self.open(&target, access).await?;
                database.beside(&info, self.limit());
                self.warnings.borrow_mut().extend(info.warnings);
                *self.opened.borrow_mut() = Some(database.opened().to_owned());
                Ok(database)
            }
        }
    }

    fn refuse_if_read_only(&self) -> Result<()> {
        if self.globals.read_only {
            return Err(Error::new(ErrorKind::Refused, "this command writes, and --read-only was given"));
        }
        let Some(context) = self.context()? else { return Ok(()) };
        let refused = |text: String| Error::new(ErrorKind::Refused, text);
        if context.rules.read_only {
            return Err(refused(format!("this command writes, and context {} is for reading only", context.name)));
        }
        if context.sticky {
            return Err(refused(format!(
                "this command writes, and `sen context use {}` counts for reading only",
                context.name
            ))
            .with_hint(format!("say where: --context {}", context.name)));
        }
        Ok(())
    }

    /// Opens the database for writing.
    ///
    /// # Errors
    /// `Refused` with `--read-only`; `Usage` or `Connect`.
    pub async fn write(&self, access: Access) -> Result<Database> {
        self.refuse_if_read_only()?;
        self.open_all(access).await
    }

    fn limit(&self) -> Option<Duration> {
        Some(self.globals.timeout.unwrap_or(STATEMENT)).filter(|limit| !limit.is_zero())
    }

    /// The whole terminal and whether it has colour; `None` where stdout is none, or data was asked for.
    ///
    /// # Errors
    /// `Io`.
    pub fn full_screen(&self) -> Result<Option<(Full, bool)>> {
        if self.globals.output == Format::Table && self.globals.fields.is_empty() {
            self.screen.full()
        } else {
            Ok(None)
        }
    }

    /// How a database is opened.
    ///
    /// # Errors
    /// As [`Self::worker_zone`].
    pub fn settings(&self) -> Result<registry::Settings> {
        Ok(registry::Settings { limit: self.limit(), worker_zone: self.worker_zone()? })
    }

    /// The zone whose wall clock workers write that store times without one: `--worker-timezone`, else
    /// `SEN_WORKER_TIMEZONE`, else UTC.
    ///
    /// # Errors
    /// `Usage` when it is none.
    pub fn worker_zone(&self) -> Result<Zone> {
        if let Some(zone) = &self.globals.worker_timezone {
            return Ok(zone.clone());
        }
        if let Some(name) = self.context()?.and_then(|context| context.worker_timezone) {
            return Zone::parse(&name).map_err(|error| error.with_context("worker_timezone of the context"));
        }
        match self.setting("SEN_WORKER_TIMEZONE")?.filter(|name| !name.is_empty()) {
            Some(name) => Zone::parse(&name).map_err(|error| error.with_context("SEN_WORKER_TIMEZONE")),
            None => Ok(Zone::utc()),
        }
    }

    /// A log-in that failed for want of a password which a found file does not get.
    fn with_withheld(&self, error: Error) -> Error {
        let asked = error.sqlstate() == Some("28P01") || error.to_string().contains("asks for a password");
        match self.settings.borrow().as_ref().and_then(Settings::withheld).filter(|_| asked) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    async fn open(&self, target: &Target, access: Access) -> Result<Database> {
        let database = registry::open_with(target, access, self.settings()?).await.map_err(|error| {
            // Warnings are still shown, because they may explain the failure (a password file that is ignored).
            self.warnings.borrow_mut().extend_from_slice(target.warnings());
            self.with_withheld(error)
        })?;
        self.warnings.borrow_mut().extend_from_slice(database.warnings());
        self.hidden.borrow_mut().push(Arc::clone(database.hidden()));
        *self.opened.borrow_mut() = Some(database.opened().to_owned());
        Ok(database)
    }
}

/// What is said where `REDIS_URL` is set, which belongs to other programs, and nothing that `sen` reads.
const REDIS_URL: &str =
    "REDIS_URL is set, but sen does not read it: export SEN_REDIS_URL=\"$REDIS_URL\" for agent tasks";

fn has_redis_url() -> bool {
    std::env::var_os("REDIS_URL").is_some_and(|url| !url.is_empty())
}

fn no_redis() -> Error {
    let hint = if has_redis_url() { REDIS_URL } else { "export SEN_REDIS_URL=redis://host/0, or give --redis-url" };
    Error::usage("agent tasks are kept in Redis, and no Redis is named").with_hint(hint)
}
