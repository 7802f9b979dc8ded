//! Databases to run things in: SQLite, and PostgreSQL with the tables of each version.

use sen_core::stores::url::Target;

use crate::harness::postgres::{Database, Server};
use crate::harness::sen::{Sen, sen};

/// A database with Sentinel's tables, and SQL that does not pass through `sen`.
pub(crate) enum Place {
    /// A file.
    Sqlite(tempfile::TempDir),
    /// A database of the shared server.
    Postgres(Database<'static>),
}

/// 0.4.2: plain TIMESTAMP, no events.
const V042: &str = "CREATE SEQUENCE sentinel_token_seq; CREATE TABLE sentinel_leases (key TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL, lease_expires_at TIMESTAMP NOT NULL, lease_updated_at TIMESTAMP, hard_expires_at TIMESTAMP,
    execution_result JSONB, status TEXT NOT NULL DEFAULT 'claimed'
        CHECK (status IN ('claimed','executing','completed','reconciling')),
    fencing_token BIGINT NOT NULL DEFAULT 1, ttl_ms INTEGER NOT NULL DEFAULT 3000)";

/// Django's migrations: no defaults, no `metadata`.
const DJANGO: &str = "CREATE SEQUENCE sentinel_token_seq; CREATE TABLE sentinel_leases (key text PRIMARY KEY,
    owner_id text NOT NULL, lease_expires_at timestamptz NOT NULL, lease_updated_at timestamptz,
    hard_expires_at timestamptz, execution_result jsonb, status varchar(32) NOT NULL, fencing_token bigint NOT NULL,
    ttl_ms integer NOT NULL);
    CREATE TABLE sentinel_events (id bigserial PRIMARY KEY, key text NOT NULL, event varchar(32) NOT NULL,
    occurred_at timestamptz NOT NULL, fencing_token bigint, owner_id text)";

impl Place {
    /// A file with the embedded form.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self::Sqlite(folder);
        place.sen(&["init"]).run().expect_code(0);
        place
    }

    /// The tables of 0.5.0.
    pub(crate) fn postgres() -> Self {
        let place = Self::Postgres(Server::shared().fresh_database());
        place.sen(&["init"]).run().expect_code(0);
        place
    }

    /// All shapes, with a name each.
    pub(crate) fn all() -> Vec<(&'static str, Self)> {
        let made = |ddl: &str, settings: &[&str]| {
            let database = Server::shared().fresh_database_with(settings);
            database.psql(ddl);
            Self::Postgres(database)
        };
        vec![
            ("sqlite", Self::sqlite()),
            ("0.5.0", Self::postgres()),
            ("0.4.2", made(V042, &["timezone = 'Asia/Tokyo'"])),
            ("django", made(DJANGO, &[])),
        ]
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("once.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }

    /// As the library takes it.
    pub(crate) fn target(&self) -> Target {
        Target::resolve(Some(&self.url()), &|_| None).unwrap()
    }

    /// The binary on it.
    pub(crate) fn sen(&self, args: &[&str]) -> Sen {
        sen(args).database(&self.url())
    }

    /// Runs SQL; rows of one text each.
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self {
            Self::Postgres(database) => database.psql(sql),
            Self::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.path().join("once.db")).unwrap();
                db.busy_timeout(crate::harness::patience::PATIENCE).unwrap();
                let mut statement = db.prepare(sql).unwrap();
                let mut rows = statement.query([]).unwrap();
                let mut out = Vec::new();
                while let Some(row) = rows.next().unwrap() {
                    let value: rusqlite::types::Value = row.get(0).unwrap();
                    out.push(match value {
                        rusqlite::types::Value::Text(text) => text,
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        other => format!("{other:?}"),
                    });
                }
                out.join("\n")
            }
        }
    }

    /// Moves a time column of a key into the past.
    pub(crate) fn pass(&self, key: &str, column: &str) {
        let past = match self {
            Self::Sqlite(_) => "1000000",
            Self::Postgres(_) => "now() - interval '1 hour'",
        };
        self.sql(&format!("UPDATE sentinel_leases SET {column} = {past} WHERE key = '{key}'"));
    }

    /// The events of a key, in order; empty where none are kept.
    pub(crate) fn events(&self, key: &str) -> String {
        self.sql(&format!("SELECT event FROM sentinel_events WHERE key = '{key}' ORDER BY occurred_at, id"))
            .replace('\n', " ")
    }

    /// The status of a key.
    pub(crate) fn status(&self, key: &str) -> String {
        self.sql(&format!("SELECT status FROM sentinel_leases WHERE key = '{key}'"))
    }
}
