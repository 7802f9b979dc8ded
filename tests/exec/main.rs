//! The reading side of Stent and Senpuki: on data that the real libraries made, in both stores.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../harness/mod.rs"]
mod harness;

mod again;
mod busy;
mod demo;
mod ends;
mod estimates;
mod files;
mod library;
mod pages;
mod queues;
mod why;
mod zones;

use serde_json::Value;

use harness::peers::{self, SENPUKI_030, STENT_112};
use harness::postgres::{Database, Server};
use harness::python::Environment;
use harness::sen::{Output, sen};

/// A place for the library's data: a database of a server, or a file.
pub(crate) enum Place<'a> {
    Postgres(Database<'a>),
    Sqlite(tempfile::TempDir),
}

impl Place<'_> {
    pub(crate) fn postgres() -> Self {
        Place::Postgres(Server::shared().fresh_database())
    }

    pub(crate) fn sqlite() -> Self {
        Place::Sqlite(tempfile::tempdir().unwrap())
    }

    /// As the library takes it.
    pub(crate) fn for_library(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite(folder) => folder.path().join("work.db").to_str().unwrap().to_owned(),
        }
    }

    /// As sen takes it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite(_) => format!("sqlite:{}", self.for_library()),
        }
    }

    /// Runs sen here.
    pub(crate) fn sen(&self, args: &[&str]) -> Output {
        sen(args).database(&self.url()).run()
    }

    /// Runs sen here and takes its JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.sen(&[&["-o", "json"], args].concat()).expect_code(0).json()
    }

    /// What the real library says of it.
    pub(crate) fn truth(&self, environment: &Environment, codec: &str) -> Value {
        peers::ask(environment, "stent/truth.py", &[&self.for_library(), "--codec", codec])
    }
}

/// Both libraries in both stores, one place after the other.
pub(crate) fn cells() -> impl Iterator<Item = (&'static Environment, Place<'static>)> {
    [(&STENT_112, false), (&STENT_112, true), (&SENPUKI_030, false), (&SENPUKI_030, true)]
        .into_iter()
        .map(|(library, sqlite)| (library, if sqlite { Place::sqlite() } else { Place::postgres() }))
}
