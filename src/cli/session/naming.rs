//! Which database and which Redis are meant: options, the context, the environment, files.

use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::stores::password::PasswordCommand;
use sen_core::stores::url::{RedisInfo, Target};

use super::Session;
use crate::contexts::{self, Context};
use crate::settings::Settings;

impl Session {
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
        Ok(context.or_else(|| self.identity()?.production))
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
    pub(super) fn redis(&self) -> Result<RedisInfo> {
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

    pub(super) fn refuse_if_read_only(&self) -> Result<()> {
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
