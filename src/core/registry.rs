//! Opens a database with the systems that it may hold.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use sen_model::diagnostics::{Check, Diagnostics, Hidden};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::prepared::{Action as _, Prepared, PreparedAction, SavedPlan};
use sen_model::system::System;
use sen_model::time::wall::Zone;
use sen_model::verdict::Severity;
use sen_stores::url::Target;

use crate::journal::{InitJournal, Journal};

/// How an open database may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only, enforced by the database.
    Read,
    /// As `Read`, repeatedly: the server uses one process for each query, however much there is to count.
    Watch,
    /// Reading and writing what exists.
    Write,
    /// As `Write`; a missing SQLite file is created.
    Create,
}

/// How a database is opened.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The time limit of each statement that is not streamed.
    pub limit: Option<Duration>,
    /// The time zone of the workers, where a system stores times without one.
    pub worker_zone: Zone,
}

/// An open database with its systems.
pub struct Database {
    systems: Vec<Box<dyn System>>,
    warnings: Vec<String>,
    notes: Vec<String>,
    opened: String,
    hidden: Arc<Hidden>,
    /// Whether it is a standby, whose rows can be older than what this program did on its primary.
    standby: bool,
    /// The file it is in, whatever folder it is named from.
    file: Option<String>,
    journal: Option<Arc<Journal>>,
    #[cfg(feature = "postgres")]
    link: Option<Arc<sen_stores::postgres::shared::SharedConnection>>,
}

impl Database {
    fn of(systems: Vec<Box<dyn System>>, warnings: Vec<String>, opened: String) -> Self {
        Self {
            systems,
            warnings,
            notes: Vec::new(),
            opened,
            hidden: Arc::default(),
            standby: false,
            file: None,
            journal: None,
            #[cfg(feature = "postgres")]
            link: None,
        }
    }

    /// The journal that can be kept in it.
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    /// Whether it is a standby, whose rows can be older than what was done on its primary.
    pub fn is_standby(&self) -> bool {
        self.standby
    }

    /// All systems, in the order they are shown.
    pub fn systems(&self) -> impl Iterator<Item = &dyn System> {
        self.systems.iter().map(AsRef::as_ref)
    }

    /// Runs `work`, which queries several systems: on a shared connection what it queries at the same time is one transaction.
    pub async fn together<T>(&self, work: impl Future<Output = T>) -> T {
        #[cfg(feature = "postgres")]
        if let Some(link) = &self.link {
            return link.together(work).await;
        }
        work.await
    }

    /// Warnings about the configuration.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What is worth knowing of what will be read: that it comes from a standby, and how far behind that is.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What was opened and how, for `--verbose`.
    pub fn opened(&self) -> &str {
        &self.opened
    }

    /// What `sen doctor` reports of the server and the systems.
    ///
    /// # Errors
    /// What the server reports; a system that is not in the database is skipped.
    pub async fn examine(&self) -> Result<Vec<Check>> {
        let (diagnostics, found) = self.diagnostics_of_all().await?;
        #[cfg(feature = "postgres")]
        if let Some(link) = &self.link {
            if !found {
                return Err(link.nothing_found().await);
            }
            let mut checks = link.examine(&diagnostics.needs, &diagnostics.indexes).await?;
            checks.extend(diagnostics.checks);
            return Ok(checks);
        }
        #[cfg(not(feature = "postgres"))]
        let _ = found;
        Ok(diagnostics.checks)
    }

    /// What this role could not read so far.
    pub fn hidden(&self) -> &Arc<Hidden> {
        &self.hidden
    }

    /// The answer of a system; `None` where this role may not read it. That is kept in [`Self::hidden`] until it is reported.
    ///
    /// # Errors
    /// Every other one.
    pub fn seen<T>(&self, system: &str, answer: Result<T>) -> Result<Option<T>> {
        match answer {
            Err(error) if error.kind() == ErrorKind::Denied => {
                self.hidden.deny(error.with_context(format!("{system} is not shown")));
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// Checks that everything could be read, so that an empty answer means that nothing is there.
    ///
    /// # Errors
    /// `Denied` where something could not be read.
    pub fn saw_all(&self) -> Result<()> {
        self.hidden.take_denied().map_or(Ok(()), Err)
    }

    /// The error where none of the systems was found: `absent`, or a more precise one.
    pub async fn nothing_found(&self, absent: Error) -> Error {
        #[cfg(feature = "postgres")]
        if let Some(link) = &self.link {
            return link.nothing_found().await;
        }
        absent
    }

    /// The diagnostics of all systems in the database.
    ///
    /// # Errors
    /// What a store reports.
    pub async fn diagnostics(&self) -> Result<Diagnostics> {
        Ok(self.diagnostics_of_all().await?.0)
    }

    /// The same, and whether there is any system.
    async fn diagnostics_of_all(&self) -> Result<(Diagnostics, bool)> {
        let mut all = Diagnostics::default();
        let mut found = false;
        let answers = self.together(join_all(self.systems().map(System::diagnostics))).await;
        for (system, answer) in self.systems().zip(answers) {
            match answer {
                Ok(diagnostics) => {
                    found |= !(diagnostics.needs.is_empty() && diagnostics.checks.is_empty());
                    all.needs.extend(diagnostics.needs);
                    all.indexes.extend(diagnostics.indexes);
                    all.checks.extend(diagnostics.checks);
                }
                Err(error) if error.kind() == ErrorKind::NoSystem => {}
                Err(error) if error.kind() == ErrorKind::Denied => {
                    found = true;
                    let text = format!("{} cannot be examined: {error}", system.name());
                    all.checks.push(
                        Check::new(Severity::Critical, "privileges", text)
                            .with_remedy("sen grants --role ro   # as the owner"),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        // Only PostgreSQL has privileges and indexes that can be queried.
        #[cfg(feature = "postgres")]
        let sql = self.link.is_some();
        #[cfg(not(feature = "postgres"))]
        let sql = false;
        if !sql {
            all.needs.clear();
            all.indexes.clear();
        }
        Ok((all, found))
    }

    /// Adds the systems of a Redis server. It is connected to at the first query, so that a server that is down affects only
    /// the commands that need it.
    #[cfg(feature = "redis")]
    pub fn beside(&mut self, info: &sen_stores::url::RedisInfo, limit: Option<Duration>) {
        let db = sen_stores::redis::Redis::lazy(info, limit);
        self.opened += &format!("; beside it {}", db.describe());
        self.systems.push(node(db));
    }

    /// As [`Self::saw_all`] for one of several records: whether everything could be read. What could not is reported at the end.
    ///
    /// # Errors
    /// As there, where it is the only one.
    pub fn saw_all_of(&self, only: bool) -> Result<bool> {
        match self.saw_all() {
            Err(error) if !only => {
                self.hidden.deny(error);
                Ok(false)
            }
            seen => seen.map(|()| true),
        }
    }

    /// The system of this type.
    fn typed<S: System>(&self, name: &str) -> Result<&S> {
        let found = self.systems().find_map(|system| (system as &dyn Any).downcast_ref());
        found.ok_or_else(|| Error::new(ErrorKind::NoSystem, format!("this database cannot hold {name}")))
    }

    /// Leases.
    ///
    /// # Errors
    /// `NoSystem` when this database cannot hold them.
    pub fn leases(&self) -> Result<&sen_sentinel::Sentinel> {
        self.typed(sen_sentinel::NAME)
    }

    /// Durable executions.
    ///
    /// # Errors
    /// `NoSystem` when this database cannot hold them.
    pub fn executions(&self) -> Result<&sen_stent::Stent> {
        self.typed(sen_stent::NAME)
    }

    /// Sagas.
    ///
    /// # Errors
    /// `NoSystem` when this database cannot hold them.
    pub fn sagas(&self) -> Result<&sen_saga::Sagas> {
        self.typed(sen_saga::NAME)
    }

    /// Agent tasks.
    ///
    /// # Errors
    /// `NoSystem` when this database cannot hold them.
    pub fn agents(&self) -> Result<&sen_node::Node> {
        self.typed(sen_node::NAME)
    }

    /// The plan that was saved, for the system it is of: its targets are read, nothing is looked at.
    ///
    /// # Errors
    /// `NoSystem` when this database cannot hold that system; `Usage` when the plan is not one that `sen` has written.
    pub fn restore(&self, saved: SavedPlan<'_>) -> Result<Box<dyn PreparedAction + '_>> {
        if let (InitJournal::KIND, Some(journal)) = (saved.kind(), &self.journal) {
            return Prepared::<_, InitJournal>::restore(&**journal, saved);
        }
        let system = saved.kind().split('.').next().unwrap_or_default().to_owned();
        self.system(&system)?.restore(saved)
    }

    /// The database as its server names itself, whatever host and name lead there, or as its file's whole path; `None` where a
    /// server does not.
    ///
    /// # Errors
    /// What the server reports when asked whether it is production.
    pub async fn identity(&self) -> Result<Identity> {
        #[cfg(feature = "postgres")]
        if let Some(link) = &self.link {
            // Acts look at the catalogue sooner or later, if only for the journal: that travels with this question.
            let (name, production) = link.together(link.identity()).await?;
            return Ok(Identity { name, production });
        }
        Ok(Identity { name: self.file.clone(), production: None })
    }

    /// One system by name.
    ///
    /// # Errors
    /// `NoSystem` when this database cannot hold it.
    pub fn system(&self, name: &str) -> Result<&dyn System> {
        self.systems()
            .find(|system| system.name() == name)
            .ok_or_else(|| Error::new(ErrorKind::NoSystem, format!("this database cannot hold {name}")))
    }
}

/// Which database this is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// As its server names itself, whatever host and name lead there, or its file's whole path.
    pub name: Option<String>,
    /// The database's name, where its own settings call it production (`sen.production`).
    pub production: Option<String>,
}

/// The refusal of an act on a standby. `once`, which waits for another primary, knows it by its SQLSTATE.
#[cfg(feature = "postgres")]
fn takes_no_writes(standby: &sen_stores::postgres::standby::Standby) -> Error {
    let text = format!("this server takes no writes: it is {}; nothing was done", standby.words());
    Error::new(ErrorKind::Changed, text).with_sqlstate("25006").with_hint(sen_stores::postgres::TO_THE_PRIMARY)
}

/// What the systems of a database are known by.
#[cfg(feature = "postgres")]
const MARKS: [sen_stores::catalogue::Marks; 4] =
    [sen_sentinel::port::MARKS, sen_stent::shape::MARKS, sen_saga::found::MARKS, sen_stores::postgres::journal::MARKS];

/// Opens `target`. `limit` is the time limit of each statement. Opening only logs in: whether a system is there shows at its
/// first query.
///
/// # Errors
/// `Connect`, or `Usage` for a kind of database this build cannot open.
pub async fn open(target: &Target, access: Access, limit: Option<Duration>) -> Result<Database> {
    open_with(target, access, Settings { limit, ..Settings::default() }).await
}

/// [`open`] with every setting.
///
/// # Errors
/// As there.
pub async fn open_with(target: &Target, access: Access, settings: Settings) -> Result<Database> {
    let Settings { limit, worker_zone } = settings;
    #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
    drop(worker_zone);
    #[cfg(not(any(feature = "postgres", feature = "redis")))]
    let _ = limit;
    match target {
        #[cfg(feature = "postgres")]
        Target::Postgres(info) => {
            let info = match access {
                Access::Read | Access::Watch => (**info).clone(),
                Access::Write | Access::Create => Target::for_writing(info),
            };
            let mut db = sen_stores::postgres::Postgres::connect(&info).await?;
            db.disable_parallel_query(access == Access::Watch);
            let mut notes = Vec::new();
            let standby = db.is_standby() == Some(true);
            if standby {
                let standby = db.as_standby().await;
                if access != Access::Read && access != Access::Watch {
                    return Err(takes_no_writes(&standby));
                }
                notes.push(format!("this is {}", standby.words()));
            }
            let warnings = db.warnings().to_vec();
            let server = db.server_version().map_or_else(String::new, |version| format!(", PostgreSQL {version}"));
            let opened = format!("connected to {} ({}){server}", db.describe(), db.wire());
            let link = Arc::new(sen_stores::postgres::shared::SharedConnection::new(db, limit, info, &MARKS));
            let systems = vec![
                sentinel(sen_sentinel::postgres::PostgresLeases::new(Arc::clone(&link))),
                stent(
                    sen_stent::postgres::PostgresExecutions::new(Arc::clone(&link)),
                    sen_stent::postgres::letters::PostgresLetters::new(Arc::clone(&link)),
                    sen_stent::postgres::acts::PostgresActs::new(Arc::clone(&link)),
                    worker_zone,
                ),
                saga(sen_saga::postgres::PostgresSagas::new(Arc::clone(&link))),
            ];
            let hidden = Arc::clone(link.hidden());
            let journal = sen_stores::postgres::journal::PostgresJournal::new(Arc::clone(&link));
            let journal = Some(Arc::new(Journal::new(Box::new(journal))));
            let whole = Database::of(systems, warnings, opened);
            Ok(Database { link: Some(link), hidden, notes, standby, journal, ..whole })
        }
        #[cfg(feature = "sqlite")]
        Target::Sqlite(path) => {
            use sen_stores::sqlite::{self, Sqlite};
            let access = match access {
                Access::Read | Access::Watch => sqlite::Access::Read,
                Access::Write => sqlite::Access::Write,
                Access::Create => sqlite::Access::Create,
            };
            let db = Arc::new(Sqlite::open(path, access).await?.within(limit));
            let opened = format!("opened {}", db.describe());
            let systems = vec![
                sentinel(sen_sentinel::sqlite::SqliteLeases::new(Arc::clone(&db))),
                stent(
                    sen_stent::sqlite::SqliteExecutions::new(Arc::clone(&db)),
                    sen_stent::sqlite::letters::SqliteLetters::new(Arc::clone(&db)),
                    sen_stent::sqlite::acts::SqliteActs::new(Arc::clone(&db)),
                    worker_zone,
                ),
                saga(sen_saga::sqlite::SqliteSagas::new(Arc::clone(&db))),
            ];
            let journal = sen_stores::sqlite::journal::SqliteJournal::new(db);
            let journal = Some(Arc::new(Journal::new(Box::new(journal))));
            let file = std::fs::canonicalize(path).ok().map(|path| format!("sqlite:{}", path.display()));
            Ok(Database { file, journal, ..Database::of(systems, Vec::new(), opened) })
        }
        #[cfg(feature = "redis")]
        Target::Redis(info) => {
            let db = sen_stores::redis::Redis::connect(info, limit).await?;
            let opened = format!("connected to {} ({})", db.describe(), db.way().await);
            let (warnings, notes) = (db.warnings().to_vec(), db.note().await.into_iter().collect());
            Ok(Database { notes, ..Database::of(vec![node(db)], warnings, opened) })
        }
        #[cfg(not(all(feature = "postgres", feature = "sqlite", feature = "redis")))]
        _ => {
            let _ = access;
            Err(Error::usage("this build of sen cannot open that kind of database"))
        }
    }
}

#[cfg(feature = "redis")]
fn node(db: sen_stores::redis::Redis) -> Box<dyn System> {
    let tasks = sen_node::redis::RedisTasks::new(std::sync::Arc::new(db));
    Box::new(sen_node::Node::new(Box::new(tasks)))
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn sentinel(leases: impl sen_sentinel::port::LeaseStore + 'static) -> Box<dyn System> {
    Box::new(sen_sentinel::Sentinel::new(Box::new(leases)))
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn stent(
    executions: impl sen_stent::port::ExecutionStore + 'static,
    letters: impl sen_stent::letters::LetterStore + 'static,
    acts: impl sen_stent::acts::port::ActStore + 'static,
    zone: Zone,
) -> Box<dyn System> {
    use sen_stent::Stent;
    Box::new(Stent::new(Box::new(executions), zone).with_letters(Box::new(letters)).with_acts(Box::new(acts)))
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn saga(sagas: impl sen_saga::port::SagaStore + 'static) -> Box<dyn System> {
    Box::new(sen_saga::Sagas::new(Box::new(sagas)))
}

/// Opens `target` for running work once per key: the part of Sentinel that claims, extends and completes keys.
///
/// # Errors
/// `Connect`, `NoSystem`, or `Refused` where the tables are too old.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub async fn open_claims(target: &Target) -> Result<Box<dyn sen_sentinel::once_port::ClaimStore>> {
    match target {
        #[cfg(feature = "postgres")]
        Target::Postgres(info) => {
            let db = sen_stores::postgres::Postgres::connect(&Target::for_writing(info)).await?;
            Ok(Box::new(sen_sentinel::once_postgres::PostgresClaims::open(db).await?))
        }
        #[cfg(feature = "sqlite")]
        Target::Sqlite(path) => {
            use sen_stores::sqlite::{Access, Sqlite};
            let db = Sqlite::open(path, Access::Write).await?;
            Ok(Box::new(sen_sentinel::once_sqlite::SqliteClaims::open(db).await?))
        }
        Target::Redis(_) => Err(Error::usage("keys that run once are kept in PostgreSQL or SQLite, not in Redis")),
        #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
        _ => Err(Error::usage("this build of sen cannot open that kind of database")),
    }
}
