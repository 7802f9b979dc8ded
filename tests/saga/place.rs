//! A database, the library that works in it, and `sen` beside it.

use serde_json::{Value, json};

use crate::harness::peers::{Peer, SAGA_011, SAGA_073};
use crate::harness::postgres::{Database, Server};
use crate::harness::python::Environment;
use crate::harness::sen::{Output, Sen, sen};

const SCRIPT: &str = "saga/peer.py";

/// Both versions, oldest first.
pub const VERSIONS: [&Environment; 2] = [&SAGA_011, &SAGA_073];

/// Where the tables are.
pub enum Base {
    /// A database of the shared server.
    Postgres(Database<'static>),
    /// A file in a folder of its own.
    Sqlite(tempfile::TempDir),
}

/// A database, the library that works in it, and `sen` beside it.
pub struct Place {
    pub base: Base,
    pub version: &'static Environment,
    names: Value,
    library: Option<Peer>,
}

impl Place {
    /// With the library's own tables under usual names.
    pub fn new(version: &'static Environment) -> Self {
        Self::with(version, json!({}))
    }

    /// Under these names (see `tests/peers/saga/tables.py`); `{"lease": seconds}` sets the lease.
    pub fn with(version: &'static Environment, names: Value) -> Self {
        let base = Base::Postgres(Server::shared().fresh_database_with(&["timezone = 'Asia/Tokyo'"]));
        Self::made(base, version, names)
    }

    /// In the database of another place, under names of its own.
    pub fn beside(other: &Self, version: &'static Environment, names: Value) -> Self {
        let Base::Postgres(database) = &other.base else { panic!("PostgreSQL only") };
        let base = Base::Postgres(Database { server: database.server, name: database.name.clone() });
        Self::made(base, version, names)
    }

    /// In an SQLite file.
    pub fn sqlite(version: &'static Environment) -> Self {
        Self::made(Base::Sqlite(tempfile::tempdir().expect("a folder can be made")), version, json!({}))
    }

    fn made(base: Base, version: &'static Environment, names: Value) -> Self {
        let mut place = Self { base, version, names, library: None };
        place.ask(json!({"do": "init"}));
        place
    }

    pub fn url(&self) -> String {
        match &self.base {
            Base::Postgres(database) => database.url(),
            Base::Sqlite(folder) => format!("sqlite:{}/sagas.db", folder.path().display()),
        }
    }

    pub fn is_new(&self) -> bool {
        std::ptr::eq(self.version, &SAGA_073) || self.version.name == SAGA_073.name
    }

    /// Another process of the library on the same tables.
    pub fn peer(&self) -> Peer {
        let peer = Peer::start(self.version, SCRIPT, &[&self.url(), &self.names.to_string()]);
        assert!(self.version.name.ends_with(peer.made["version"].as_str().expect("a version is text")));
        peer
    }

    /// Asks the library's main process; fails when that does.
    #[track_caller]
    pub fn ask(&mut self, command: Value) -> Value {
        let answer = self.try_ask(command.clone());
        assert!(answer.get("ok").is_some(), "{command}: {answer}");
        answer["ok"].clone()
    }

    /// The same with whatever it answers.
    #[track_caller]
    pub fn try_ask(&mut self, command: Value) -> Value {
        if self.library.is_none() {
            self.library = Some(self.peer());
        }
        self.library.as_mut().expect("it was just started").send(&command)
    }

    /// Starts a saga whose steps do what `plan` says, to where it gets; its id.
    #[track_caller]
    pub fn start(&mut self, order: &str, saga: &str, plan: Value) -> String {
        let id = self.ask(json!({"do": "start", "order": order, "saga": saga, "plan": plan}));
        id.as_str().expect("an id is text").to_owned()
    }

    /// What the library stores of a saga.
    #[track_caller]
    pub fn saga(&mut self, id: &str) -> Value {
        self.ask(json!({"do": "saga", "id": id}))
    }

    pub fn status(&mut self, id: &str) -> String {
        self.saga(id)["status"].as_str().expect("a status is text").to_owned()
    }

    /// How a step behaves from now on.
    pub fn mode(&mut self, order: &str, step: &str, mode: &str) {
        self.ask(json!({"do": "mode", "order": order, "step": step, "mode": mode}));
    }

    /// One poll of a worker; how many sagas it picked up.
    #[track_caller]
    pub fn run_due(&mut self) -> i64 {
        self.ask(json!({"do": "run_due"})).as_i64().expect("a count is a number")
    }

    /// Runs the library in a process that is killed when a step hangs or a point is reached, and lets `age` pass for the row.
    pub fn killed(&self, command: Value) {
        let mut peer = self.peer();
        let answer = peer.send(&command);
        assert!(answer.get("hangs").is_some() || answer.get("ok").is_some(), "{answer}");
        peer.kill();
    }

    /// The id of the saga about `order`.
    pub fn id_of(&self, order: &str) -> String {
        let rows = self.sen(&["saga", "list", "--aggregation", order]).run().expect_code(0).json();
        rows[0]["id"].as_str().unwrap_or_else(|| panic!("no saga is about {order}: {rows}")).to_owned()
    }

    pub fn sen(&self, words: &[&str]) -> Sen {
        sen(words.iter().copied().chain(["-o", "json"])).database(&self.url()).env("USER", "maria")
    }

    /// Runs `sen`, which must end with this code.
    #[track_caller]
    pub fn act(&self, words: &[&str], code: i32) -> Output {
        self.sen(words).run().expect_code(code)
    }

    /// The verdict on a saga.
    #[track_caller]
    pub fn verdict(&self, id: &str) -> String {
        let shown = self.act(&["saga", "show", id], 0).json();
        shown["verdict"]["state"].as_str().expect("a verdict has a state").to_owned()
    }

    /// Runs SQL in PostgreSQL.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        match &self.base {
            Base::Postgres(database) => database.psql(sql),
            Base::Sqlite(_) => panic!("this place is an SQLite file"),
        }
    }

    /// Lets everything about sagas be older by `span` (an interval of PostgreSQL); nothing but times changes.
    pub fn shift(&self, span: &str) {
        let older = |names: &[&str]| {
            names.iter().map(|name| format!("{name} = {name} - interval '{span}'")).collect::<Vec<_>>().join(", ")
        };
        self.psql(&format!("UPDATE order_saga SET {}", older(&["created_at", "updated_at", "deadline_at"])));
        if self.psql("SELECT to_regclass('order_saga_history') IS NOT NULL") == "t" {
            self.psql(&format!("UPDATE order_saga_history SET {}", older(&["\"timestamp\""])));
        } else {
            self.psql(&format!(
                "UPDATE order_saga SET step_history = (SELECT jsonb_agg(e || jsonb_build_object('timestamp', to_char(
                    ((e ->> 'timestamp')::timestamptz - interval '{span}') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"'))
                ORDER BY n) FROM jsonb_array_elements(step_history) WITH ORDINALITY AS x (e, n)) WHERE step_history <> '[]'"
            ));
        }
        for table in ["order_outbox", "order_inbox"] {
            if self.psql(&format!("SELECT to_regclass('{table}') IS NOT NULL")) == "t" {
                self.psql(&format!("UPDATE {table} SET {}", older(&["created_at", "updated_at", "next_attempt_at"])));
            }
        }
    }

    /// Lets a saga's row be unchanged for `span` (an interval of PostgreSQL).
    pub fn age(&self, table: &str, condition: &str, span: &str) {
        self.psql(&format!("UPDATE {table} SET updated_at = updated_at - interval '{span}' WHERE {condition}"));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A step may hang in it; a test that failed must not wait for that.
        if let Some(library) = self.library.take() {
            library.kill();
        }
    }
}

/// The only item of a report.
pub fn item(output: &Output) -> Value {
    output.json()["results"][0].clone()
}
