//! Arguments and environment become one session: which database, how it is opened, what the operator allows.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::registry::{self, Access, Database};
use sen_core::stores::url::Target;
use sen_core::time::wall::Zone;

use crate::app::Globals;
use crate::interrupt::Interrupt;
use crate::screen::Screen;
use crate::settings::Settings;

/// How long one statement may take unless `--timeout` says otherwise.
const STATEMENT: Duration = Duration::from_secs(30);

/// One run of the program.
pub struct Session {
    /// What the operator typed.
    pub globals: Globals,
    /// What an interrupt means at the moment.
    pub interrupt: Rc<Interrupt>,
    screen: Rc<Screen>,
    settings: RefCell<Option<Settings>>,
    warnings: RefCell<Vec<String>>,
    notes: RefCell<Vec<String>>,
    opened: RefCell<Option<String>>,
}

impl Session {
    /// Starts a session. Settings are read when a database is first asked for: `sen completions` needs none.
    pub fn new(globals: Globals, screen: Rc<Screen>, interrupt: Rc<Interrupt>) -> Self {
        Self {
            interrupt,
            screen,
            globals,
            settings: RefCell::new(None),
            warnings: RefCell::new(Vec::new()),
            notes: RefCell::default(),
            opened: RefCell::new(None),
        }
    }

    /// What should be said on stderr about the configuration.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }

    /// Adds something to be said on stderr when the command has ended.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.borrow_mut().push(text.into());
    }

    /// What may be said on stderr when the command has ended, unless `--quiet` was given.
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
        Ok(self.settings.borrow().as_ref().and_then(|settings| settings.get(name)))
    }

    fn load(&self) -> Result<()> {
        let mut settings = self.settings.borrow_mut();
        if settings.is_none() {
            *settings = Some(Settings::load(self.globals.env_file.as_deref(), |name| std::env::var(name).ok())?);
        }
        Ok(())
    }

    /// The database, for a command that writes.
    ///
    /// # Errors
    /// `Refused` with `--read-only`; as [`Self::target`].
    pub fn write_target(&self) -> Result<Target> {
        if self.globals.read_only {
            return Err(Error::new(ErrorKind::Refused, "this command writes, and --read-only was given"));
        }
        self.target()
    }

    /// What was opened and how, for `--verbose`.
    pub fn opened(&self) -> Option<String> {
        self.opened.borrow().clone()
    }

    /// Whether a person can be asked.
    pub fn can_ask(&self) -> bool {
        !self.globals.no_input && self.screen.can_ask()
    }

    /// Says something that a question refers to.
    pub fn say(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.screen.say(line));
    }

    /// Who sits here, for the record: the user and the host.
    pub fn operator(&self) -> String {
        let user = ["SUDO_USER", "USER", "LOGNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
        let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
    }

    /// Which database the operator means.
    ///
    /// # Errors
    /// `Usage` when none is named or its URL cannot be understood.
    pub fn target(&self) -> Result<Target> {
        self.load()?;
        let settings = self.settings.borrow();
        let lookup = |name: &str| settings.as_ref().and_then(|settings| settings.get(name));
        if let Some(url) = &self.globals.database_url {
            return Target::resolve(Some(url), &lookup);
        }
        let url = lookup("DATABASE_URL").filter(|url| !url.is_empty());
        let source = settings.as_ref().and_then(|settings| settings.source_of("DATABASE_URL"));
        Target::resolve(url.as_deref(), &lookup).map_err(|error| match (url, source) {
            (Some(_), Some(source)) => error.with_context(format!("DATABASE_URL from {source}")),
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
        self.open(&self.target()?, Access::Read).await
    }

    /// Opens the database for writing.
    ///
    /// # Errors
    /// `Refused` with `--read-only`; `Usage` or `Connect`.
    pub async fn write(&self, access: Access) -> Result<Database> {
        if self.globals.read_only {
            return Err(Error::new(ErrorKind::Refused, "this command writes, and --read-only was given"));
        }
        self.open(&self.target()?, access).await
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
        match self.setting("SEN_WORKER_TIMEZONE")?.filter(|name| !name.is_empty()) {
            Some(name) => Zone::parse(&name).map_err(|error| error.with_context("SEN_WORKER_TIMEZONE")),
            None => Ok(Zone::utc()),
        }
    }

    async fn open(&self, target: &Target, access: Access) -> Result<Database> {
        let limit = Some(self.globals.timeout.unwrap_or(STATEMENT)).filter(|limit| !limit.is_zero());
        let settings = registry::Settings { limit, worker_zone: self.worker_zone()? };
        let database = registry::open_with(target, access, settings).await?;
        self.warnings.borrow_mut().extend_from_slice(database.warnings());
        *self.opened.borrow_mut() = Some(database.opened().to_owned());
        Ok(database)
    }
}
