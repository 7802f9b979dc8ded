//! A session from arguments and environment: which database, how it is opened, what the operator allows.

mod naming;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::journal::Journal;
use sen_core::model::diagnostics::Hidden;
use sen_core::model::value::Value;
use sen_core::model::verdict::NextCommand;
use sen_core::registry::{self, Access, Database, Identity};
use sen_core::stores::url::{RedisInfo, Target};
use sen_core::time::wall::Zone;

use crate::args::Globals;
use crate::contexts::Context;
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
    identity: RefCell<Option<Identity>>,
    journal: RefCell<Option<Arc<Journal>>>,
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
            journal: RefCell::default(),
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

    /// Runs a command as if it had been typed, except that it always asks, says which, and waits for Enter behind it. An interrupt
    /// of its writing stops acts for good: nothing is gone back to.
    pub async fn run_aloud(&self, next: NextCommand) -> Exit {
        self.screen.say(&format!("$ {}", next.command));
        let act = (self.line.act)(next.words(), self.surroundings());
        let exit = self.interrupt.leave_only(act, &self.screen).await;
        if self.interrupt.revocation().is_revoked() {
            return exit;
        }
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

    /// Which database this is. It is asked once, before something is done to it.
    ///
    /// # Errors
    /// As [`Database::identity`].
    pub async fn identify(&self, database: &Database) -> Result<Identity> {
        if let Some(known) = self.identity() {
            return Ok(known);
        }
        let identity = database.identity().await?;
        *self.identity.borrow_mut() = Some(identity.clone());
        Ok(identity)
    }

    /// The journal of the database that was opened last, where its tables are there.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn journal(&self) -> Result<Option<Arc<Journal>>> {
        let Some(journal) = self.journal.borrow().clone() else { return Ok(None) };
        Ok(journal.is_there().await?.then_some(journal))
    }

    /// The same; the database that is named is opened for it, where none is yet.
    ///
    /// # Errors
    /// `Usage` where none is named; `Connect`.
    pub async fn shared_journal(&self) -> Result<Option<Arc<Journal>>> {
        if self.journal.borrow().is_none() {
            self.read().await?;
        }
        self.journal().await
    }

    /// Which database was opened, where that was asked.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.borrow().clone()
    }

    /// Whether questions can be asked: on terminals, without `--no-input`.
    pub fn can_ask(&self) -> bool {
        !self.globals.no_input && self.screen.can_ask()
    }

    /// How many columns an entry of a question may take.
    pub fn columns_of_an_entry(&self) -> usize {
        self.screen.columns_of_an_entry()
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
        self.read_agents_from(false).await
    }

    /// The same, `from_replica` where there is one: for what walks over all tasks.
    ///
    /// # Errors
    /// As [`Self::read_agents`].
    pub async fn read_agents_from(&self, from_replica: bool) -> Result<Database> {
        let info = RedisInfo { prefer_replica: from_replica, ..self.redis()? };
        self.open(&Target::Redis(Box::new(info)), Access::Read).await
    }

    /// The same for writing.
    ///
    /// # Errors
    /// `Refused` with `--read-only`; as [`Self::read_agents`].
    pub async fn write_agents(&self) -> Result<Database> {
        self.refuse_if_read_only()?;
        self.open(&Target::Redis(Box::new(self.redis()?)), Access::Write).await
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
        database.notes().iter().for_each(|note| self.note(note));
        self.hidden.borrow_mut().push(Arc::clone(database.hidden()));
        if let Some(journal) = database.journal() {
            *self.journal.borrow_mut() = Some(Arc::clone(journal));
        }
        *self.opened.borrow_mut() = Some(database.opened().to_owned());
        Ok(database)
    }
}
