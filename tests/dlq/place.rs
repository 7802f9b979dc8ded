//! A database with the library's tables in each store, SQL that does not pass through `sen`, and letters made by hand for
//! cases that the library reaches only by accident.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use crate::harness::peers;
use crate::harness::postgres::{Database, Server};
use crate::harness::python::Environment;
use crate::harness::sen::{Output, Sen, sen};

/// A place for the library's data.
pub(crate) enum Place {
    /// A database of the shared server.
    Postgres(Database<'static>),
    /// A file.
    Sqlite(tempfile::TempDir),
}

/// The columns that an act reads or writes; types as each store spells them are put in.
const TABLES: &str = "CREATE TABLE executions (id TEXT PRIMARY KEY, root_function TEXT, state TEXT, args {bytes}, kwargs {bytes},
        result {bytes}, error {bytes}, retries INTEGER, created_at TIMESTAMP, started_at TIMESTAMP, completed_at TIMESTAMP,
        expiry_at TIMESTAMP, tags TEXT, priority INTEGER, queue TEXT);
    CREATE TABLE tasks (id TEXT PRIMARY KEY, execution_id TEXT, step_name TEXT, kind TEXT, parent_task_id TEXT, state TEXT,
        args {bytes}, kwargs {bytes}, result {bytes}, error {bytes}, retries INTEGER, created_at TIMESTAMP, started_at TIMESTAMP,
        completed_at TIMESTAMP, worker_id TEXT, lease_expires_at TIMESTAMP, tags TEXT, priority INTEGER, queue TEXT,
        idempotency_key TEXT, retry_policy TEXT, scheduled_for TIMESTAMP);
    CREATE INDEX idx_tasks_execution ON tasks (execution_id);
    CREATE TABLE dead_tasks (id TEXT PRIMARY KEY, reason TEXT, moved_at TIMESTAMP, data TEXT);
    CREATE TABLE execution_progress (execution_id TEXT, step TEXT, status TEXT, started_at TIMESTAMP, completed_at TIMESTAMP,
        detail TEXT, ordinal {serial});
    CREATE TABLE signals (execution_id TEXT, name TEXT, payload {bytes}, created_at TIMESTAMP, consumed BOOLEAN,
        consumed_at TIMESTAMP, PRIMARY KEY (execution_id, name));
    CREATE TABLE execution_counters (execution_id TEXT, name TEXT, value DOUBLE PRECISION NOT NULL, PRIMARY KEY (execution_id, name));
    CREATE TABLE execution_state (execution_id TEXT, key TEXT, value {bytes}, PRIMARY KEY (execution_id, key))";

impl Place {
    pub(crate) fn empty_postgres() -> Self {
        Self::Postgres(Server::shared().fresh_database())
    }

    pub(crate) fn empty_sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// Both stores with tables and nothing in them.
    pub(crate) fn both() -> [Self; 2] {
        let postgres = Self::empty_postgres();
        postgres.sql(&TABLES.replace("{bytes}", "BYTEA").replace("{serial}", "SERIAL PRIMARY KEY"));
        let sqlite = Self::empty_sqlite();
        let tables = TABLES.replace("{bytes}", "BLOB").replace("{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT");
        sqlite.sql(&format!("PRAGMA journal_mode = WAL; {tables}"));
        [postgres, sqlite]
    }

    /// As the library takes it.
    pub(crate) fn for_library(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite(folder) => folder.path().join("work.db").to_str().unwrap().to_owned(),
        }
    }

    /// As `sen` takes it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite(_) => format!("sqlite:{}", self.for_library()),
        }
    }

    /// Runs SQL and returns its rows as psql prints them unaligned.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self {
            Self::Postgres(database) => database.psql(sql),
            Self::Sqlite(_) => {
                let db = rusqlite::Connection::open(self.for_library()).unwrap();
                db.busy_timeout(crate::harness::patience::PATIENCE).unwrap();
                if !sql.trim_start().starts_with("SELECT") {
                    db.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
                    return String::new();
                }
                let mut statement = db.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
                let columns = statement.column_count();
                let mut rows = statement.query([]).unwrap();
                let mut lines = Vec::new();
                while let Some(row) = rows.next().unwrap() {
                    let cells = (0..columns).map(|at| match row.get_ref(at).unwrap() {
                        ValueRef::Null => String::new(),
                        ValueRef::Integer(number) => number.to_string(),
                        ValueRef::Real(number) => number.to_string(),
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                        ValueRef::Blob(bytes) => hex(bytes),
                    });
                    lines.push(cells.collect::<Vec<_>>().join("|"));
                }
                lines.join("\n")
            }
        }
    }

    pub(crate) fn count(&self, from: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {from}")).parse().unwrap()
    }

    /// `sen` here, to be run.
    pub(crate) fn command(&self, words: &[&str]) -> Sen {
        sen(words).database(&self.url()).env("USER", "maria")
    }

    /// Runs `sen` with JSON; it must end with this code.
    #[track_caller]
    pub(crate) fn act(&self, words: &[&str], code: i32) -> Output {
        self.command(&[words, &["-o", "json"]].concat()).run().expect_code(code)
    }

    /// The same, and its JSON.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str], code: i32) -> Value {
        self.act(words, code).json()
    }

    /// Letters made by the real library's backend.
    pub(crate) fn letters(&self, library: &Environment, count: usize, rest: &[&str]) {
        let (url, count) = (self.for_library(), count.to_string());
        peers::ask(library, "stent/letters.py", &[&[url.as_str(), count.as_str()], rest].concat());
    }

    /// Bytes as a literal.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> String {
        match self {
            Self::Postgres(_) => format!("decode('{}', 'hex')", hex(bytes)),
            Self::Sqlite(_) => format!("x'{}'", hex(bytes)),
        }
    }

    /// A column of bytes as hexadecimal digits.
    pub(crate) fn hex_of(&self, column: &str) -> String {
        match self {
            Self::Postgres(_) => format!("encode({column}, 'hex')"),
            Self::Sqlite(_) => format!("lower(hex({column}))"),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A dead letter made by hand.
#[derive(Clone)]
pub(crate) struct Seed {
    pub(crate) id: &'static str,
    pub(crate) kind: &'static str,
    /// The state of its execution; none: it is gone.
    pub(crate) execution: Option<&'static str>,
    /// When the execution expires.
    pub(crate) expiry: Option<&'static str>,
    /// The state of the task that waited for it.
    pub(crate) parent: Option<&'static str>,
    /// Whether another orchestrator of the execution is pending.
    pub(crate) live: bool,
    /// In place of the dump.
    pub(crate) data: Option<&'static str>,
    pub(crate) args: &'static [u8],
    pub(crate) queue: Option<&'static str>,
    pub(crate) moved_at: &'static str,
}

impl Default for Seed {
    fn default() -> Self {
        Self {
            id: "letter",
            kind: "orchestrator",
            execution: Some("failed"),
            expiry: None,
            parent: None,
            live: false,
            data: None,
            args: b"[\"order-7\"]",
            queue: Some("main"),
            moved_at: "2026-11-20T10:00:00.123456",
        }
    }
}

impl Seed {
    pub(crate) fn plant(&self, place: &Place) {
        let quote =
            |text: Option<&str>| text.map_or("NULL".to_owned(), |text| format!("'{}'", text.replace('\'', "''")));
        let id = self.id;
        let (args, error) = (place.bytes(self.args), place.bytes(b"{}"));
        if let Some(state) = self.execution {
            place.sql(&format!(
                "INSERT INTO executions (id, root_function, state, args, kwargs, result, error, retries, created_at, started_at,
                    completed_at, expiry_at, tags, priority, queue)
                VALUES ('e-{id}', 'flows:root', '{state}', {args}, {error}, {}, {error}, 0, '2026-11-20T09:00:00', '2026-11-20T09:00:00',
                    '2026-11-20T10:00:00', {}, '[]', 0, 'main')",
                if state == "completed" { error.clone() } else { "NULL".into() },
                quote(self.expiry),
            ));
        }
        let task = |task: &str, kind: &str, parent: Option<&str>, state: &str| {
            place.sql(&format!(
                "INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, retries, created_at,
                    started_at, completed_at, worker_id, tags, priority, queue, retry_policy)
                VALUES ('{task}', 'e-{id}', 'flows:step', '{kind}', {}, '{state}', {args}, {error}, 1, '2026-11-20T09:00:00',
                    '2026-11-20T09:00:00', '2026-11-20T10:00:00', 'w-1', '[\"t\"]', 3, {}, '{{}}')",
                quote(parent),
                quote(self.queue),
            ));
        };
        let parent = self.parent.map(|state| {
            task(&format!("p-{id}"), "orchestrator", None, state);
            format!("p-{id}")
        });
        if self.live {
            task(&format!("l-{id}"), "orchestrator", None, "pending");
        }
        task(id, self.kind, parent.as_deref(), "failed");
        let dump = json!({
            "id": id, "execution_id": format!("e-{id}"), "step_name": "flows:step", "kind": self.kind, "parent_task_id": parent,
            "state": "failed", "args": STANDARD.encode(self.args), "kwargs": STANDARD.encode(b"{}"), "result": null,
            "error": STANDARD.encode(b"{}"), "retries": 1, "created_at": "2026-11-20T09:00:00", "started_at": "2026-11-20T09:00:00",
            "completed_at": "2026-11-20T10:00:00", "worker_id": "w-1", "lease_expires_at": null, "tags": ["t"], "priority": 3,
            "queue": self.queue, "retry_policy": {"max_attempts": 2, "backoff_factor": 2.0, "initial_delay": 1.0, "max_delay": 60.0,
            "jitter": 0.1, "retry_for": ["ValueError"]}, "idempotency_key": "key-7", "scheduled_for": "2026-11-20T09:59:00",
        });
        let dump = self.data.map_or_else(|| dump.to_string(), str::to_owned);
        place.sql(&format!(
            "INSERT INTO dead_tasks (id, reason, moved_at, data) VALUES ('{id}', 'order 7 lost', '{}', {})",
            self.moved_at,
            quote(Some(&dump)),
        ));
    }
}
