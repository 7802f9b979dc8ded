//! What the database itself keeps out, by a trigger or by row-level security, is told as that of every act: nothing has
//! changed, nothing was written, and when the way is free the same command goes through.

use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use crate::harness::peers::{Peer, SAGA_073, SENPUKI_030, STENT_112, ask};
use crate::harness::postgres::{Database, Server};
use crate::harness::sen::{Output, sen};

enum Base {
    Postgres(Database<'static>),
    Sqlite(tempfile::TempDir),
}

/// What stands in the way of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A trigger that keeps every row as it is: `RETURN NULL`, `RAISE(IGNORE)`.
    Trigger,
    /// A policy for reading alone, so that no row may be locked or written.
    Policy,
}

/// An act, and what can keep it out.
struct Case {
    words: &'static [&'static str],
    /// Finds or makes what it is about: statements, the last of which yields the id. `AGO` is an hour ago.
    seed: &'static [&'static str],
    /// Which tables keep it out, and how.
    tables: &'static [(&'static str, &'static [Way])],
}

const BOTH: &[Way] = &[Way::Trigger, Way::Policy];
/// A lock is enough for a policy to keep it out.
const LOCKED: &[Way] = &[Way::Policy];
/// A policy refuses a new row with an error of its own.
const MADE: &[Way] = &[Way::Trigger];

macro_rules! lease {
    ($status:literal) => {
        &[
            concat!(
                "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token,
                    ttl_ms) VALUES ('ID', 'web-1:42-7', AGO, AGO, AGO, '",
                $status,
                "', 1, 3000)"
            ),
            "SELECT 'ID'",
        ]
    };
}

const LEASES: &[Case] = &[
    Case { words: &["reconcile", "ID"], seed: lease!("executing"), tables: &[("sentinel_leases", BOTH)] },
    Case {
        words: &["reconcile", "ID", "--token", "1", "--complete", "{}", "--yes"],
        seed: lease!("reconciling"),
        tables: &[("sentinel_leases", BOTH)],
    },
    Case {
        words: &["reconcile", "ID", "--token", "1", "--reset", "--yes"],
        seed: lease!("reconciling"),
        tables: &[("sentinel_leases", BOTH)],
    },
    Case { words: &["release", "ID"], seed: lease!("claimed"), tables: &[("sentinel_leases", BOTH)] },
    Case { words: &["forget", "ID", "--yes"], seed: lease!("completed"), tables: &[("sentinel_leases", BOTH)] },
];

macro_rules! execution {
    ($state:literal) => {
        concat!(
            "INSERT INTO executions (id, root_function, state, args, kwargs, retries, created_at, started_at, completed_at, tags,
                priority, queue) VALUES ('ID', 'flows:root', '",
            $state,
            "', '{}', '{}', 0, AGO, AGO, AGO, '[]', 0, 'main')"
        )
    };
}

macro_rules! task {
    ($id:literal, $step:literal, $kind:literal, $parent:literal, $state:literal) => {
        concat!(
            "INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, result, retries, created_at,
                started_at, completed_at, tags, priority, retry_policy) VALUES ('",
            $id,
            "', 'ID', '",
            $step,
            "', '",
            $kind,
            "', ",
            $parent,
            ", '",
            $state,
            "', '{}', '{}', '{}', 0, AGO, AGO, AGO, '[]', 0, '{}')"
        )
    };
}

const LETTER: &[&str] = &["SELECT id FROM dead_tasks ORDER BY id LIMIT 1"];
const WAITS: &[&str] = &[
    execution!("running"),
    task!("r-ID", "flows:root", "orchestrator", "NULL", "running"),
    task!("s-ID", "signal:go", "signal", "'r-ID'", "pending"),
    "SELECT 'ID'",
];

const EXECUTIONS: &[Case] = &[
    Case {
        words: &["dlq", "replay", "ID", "--yes"],
        seed: LETTER,
        tables: &[("dead_tasks", BOTH), ("executions", BOTH), ("tasks", MADE)],
    },
    Case {
        words: &["dlq", "discard", "ID", "--export", "FILE", "--yes"],
        seed: LETTER,
        tables: &[("dead_tasks", BOTH)],
    },
    Case {
        words: &["exec", "cancel", "ID", "--yes"],
        seed: &[execution!("running"), task!("r-ID", "flows:root", "orchestrator", "NULL", "pending"), "SELECT 'ID'"],
        tables: &[("executions", BOTH), ("tasks", BOTH)],
    },
    Case {
        words: &["exec", "signal", "ID", "go", "1", "--yes"],
        seed: WAITS,
        tables: &[("signals", MADE), ("tasks", BOTH), ("executions", LOCKED)],
    },
    Case {
        words: &["exec", "complete", "ID", "--yes"],
        seed: &[execution!("running"), task!("r-ID", "flows:root", "orchestrator", "NULL", "completed"), "SELECT 'ID'"],
        tables: &[("executions", BOTH), ("tasks", LOCKED)],
    },
    Case {
        words: &["exec", "cleanup", "--older-than", "1s", "--state", "completed", "--yes"],
        seed: &[
            execution!("completed"),
            task!("r-ID", "flows:root", "orchestrator", "NULL", "completed"),
            "INSERT INTO signals (execution_id, name, payload, created_at, consumed) VALUES ('ID', 'go', '1', AGO, FALSE)",
            "SELECT 'ID'",
        ],
        tables: &[("executions", BOTH), ("tasks", BOTH), ("signals", BOTH)],
    },
];

const SAGAS: &[Case] = &[
    Case { words: &["saga", "retry", "ID", "--yes"], seed: &["failed"], tables: &[("order_saga", BOTH)] },
    Case { words: &["saga", "compensate", "ID", "--yes"], seed: &["failed"], tables: &[("order_saga", BOTH)] },
    Case { words: &["saga", "abort", "ID", "--yes"], seed: &["waits"], tables: &[("order_saga", BOTH)] },
    Case {
        words: &["saga", "skip", "ID", "--result", "{\"charge\":\"x\",\"amount\":1.5}", "--yes", "--force"],
        seed: &["waits"],
        tables: &[("order_saga", BOTH)],
    },
    Case { words: &["saga", "unstick", "ID", "--yes"], seed: &["orphan"], tables: &[("order_saga", BOTH)] },
    Case {
        words: &["saga", "notify", "ID", "--payload", "{}", "--type", "charge.confirmed", "--correlation", "ORDER"],
        seed: &["awaits"],
        tables: &[("order_saga", BOTH)],
    },
    Case {
        words: &[
            "saga",
            "notify",
            "ID",
            "--inbox",
            "--event-id",
            "EVENT",
            "--payload",
            "{}",
            "--type",
            "charge.confirmed",
            "--correlation",
            "ORDER",
        ],
        seed: &["awaits"],
        tables: &[("order_inbox", MADE)],
    },
    Case { words: &["saga", "outbox", "requeue", "ID", "--yes"], seed: &["letter"], tables: &[("order_outbox", BOTH)] },
];

struct Scene {
    base: Base,
    folder: tempfile::TempDir,
    count: usize,
}

impl Scene {
    fn new(base: Base) -> Self {
        Self { base, folder: tempfile::tempdir().unwrap(), count: 0 }
    }

    fn both() -> [Self; 2] {
        [
            Self::new(Base::Postgres(Server::shared().fresh_database())),
            Self::new(Base::Sqlite(tempfile::tempdir().unwrap())),
        ]
    }

    /// As Stent takes it.
    fn place(&self) -> String {
        match &self.base {
            Base::Postgres(database) => database.url(),
            Base::Sqlite(folder) => folder.path().join("work.db").display().to_string(),
        }
    }

    fn url(&self) -> String {
        match &self.base {
            Base::Postgres(database) => database.url(),
            Base::Sqlite(_) => format!("sqlite:{}", self.place()),
        }
    }

    fn is_postgres(&self) -> bool {
        matches!(self.base, Base::Postgres(_))
    }

    #[track_caller]
    fn sql(&self, sql: &str) -> String {
        let Base::Sqlite(_) = &self.base else {
            let Base::Postgres(database) = &self.base else { unreachable!() };
            return database.psql(sql);
        };
        let db = rusqlite::Connection::open(self.place()).unwrap();
        db.busy_timeout(crate::harness::patience::PATIENCE).unwrap();
        if !sql.starts_with("SELECT") {
            db.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
            return String::new();
        }
        let mut statement = db.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let cell = |at| match row.get_ref(at).unwrap() {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            };
            lines.push((0..columns).map(cell).collect::<Vec<_>>().join("|"));
        }
        lines.join("\n")
    }

    fn run(&mut self, words: &[String], way: Option<Way>) -> Output {
        self.count += 1;
        let file = self.folder.path().join(format!("{}.jsonl", self.count)).display().to_string();
        let event = format!("e-{}", self.count);
        let word = |word: &String| match word.as_str() {
            "FILE" => file.clone(),
            "EVENT" => event.clone(),
            word => word.to_owned(),
        };
        let words: Vec<String> = words.iter().map(word).chain(["-o".to_owned(), "json".to_owned()]).collect();
        let mut url = self.url();
        if let (Some(Way::Policy), Base::Postgres(database)) = (way, &self.base) {
            let (head, tail) = url.split_once("user=").unwrap();
            let rest = tail.split_once('&').map_or("", |(_, rest)| rest);
            url = format!("{head}user=guest_of_{}&{rest}", database.name);
        }
        sen(words.iter().map(String::as_str)).database(&url).env("USER", "maria").run()
    }

    /// A role that may do everything, as far as policies let it.
    fn admit_guest(&self) {
        if let Base::Postgres(database) = &self.base {
            let role = format!("guest_of_{}", database.name);
            self.sql(&format!(
                "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
                GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};
                CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            ));
        }
    }

    fn dismiss_guest(&self) {
        if let Base::Postgres(database) = &self.base {
            let role = format!("guest_of_{}", database.name);
            self.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
        }
    }

    fn block(&self, table: &str, way: Way) {
        match (self.is_postgres(), way) {
            (true, Way::Trigger) => self.sql(&format!(
                "CREATE TRIGGER keep BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep()"
            )),
            (true, Way::Policy) => self.sql(&format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY keep ON {table} FOR SELECT USING (true)"
            )),
            (false, _) => self.sql(
                &["INSERT", "UPDATE", "DELETE"]
                    .map(|verb| {
                        format!("CREATE TRIGGER keep_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(IGNORE); END;")
                    })
                    .concat(),
            ),
        };
    }

    fn free(&self, table: &str, way: Way) {
        match (self.is_postgres(), way) {
            (true, Way::Trigger) => self.sql(&format!("DROP TRIGGER keep ON {table}")),
            (true, Way::Policy) => {
                self.sql(&format!("DROP POLICY keep ON {table}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"))
            }
            (false, _) => self.sql("DROP TRIGGER keep_INSERT; DROP TRIGGER keep_UPDATE; DROP TRIGGER keep_DELETE"),
        };
    }

    /// Everything in these tables, but for what their numbering does.
    fn content(&self, tables: &[String]) -> Vec<String> {
        let rows = |table: &String| {
            if self.is_postgres() {
                self.sql(&format!("SELECT t::text FROM {table} AS t ORDER BY 1"))
            } else {
                self.sql(&format!("SELECT * FROM {table} ORDER BY rowid"))
            }
        };
        tables.iter().map(rows).collect()
    }

    fn tables(&self) -> Vec<String> {
        let list = if self.is_postgres() {
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        } else {
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
                AND name <> 'sentinel_token_seq' ORDER BY 1"
        };
        self.sql(list).lines().map(str::to_owned).collect()
    }

    /// Each act of `cases` against each thing that can keep it out, and then with the way free.
    fn play(&mut self, cases: &[Case], mut ripe: impl FnMut(&Self, &Case, &str) -> (String, String)) -> usize {
        self.admit_guest();
        let (mut played, mut number) = (0, 0);
        let postgres = self.is_postgres();
        for case in cases {
            for (table, ways) in case.tables {
                for way in ways.iter().filter(|way| postgres || **way == Way::Trigger) {
                    number += 1;
                    let (id, order) = ripe(self, case, &format!("x-{number}"));
                    let word = |word: &&str| match *word {
                        "ID" => id.clone(),
                        "ORDER" => order.clone(),
                        word => word.to_owned(),
                    };
                    let words: Vec<String> = case.words.iter().map(word).collect();
                    let tables = self.tables();
                    let before = self.content(&tables);
                    self.block(table, *way);
                    let output = self.run(&words, Some(*way));
                    self.free(table, *way);
                    let at = format!("{words:?}, {way:?} on {table}, PostgreSQL {postgres}: {output:?}");
                    let results = output.json()["results"].clone();
                    let about = |item: &&Value| item["subject"].as_str().is_some_and(|subject| subject.ends_with(&id));
                    let item = results.as_array().and_then(|items| items.iter().find(about)).expect(&at);
                    let detail = item["detail"].as_str().unwrap();
                    assert!(detail.contains("a row-level security policy or a trigger on "), "{at}");
                    assert!(detail.contains(table), "{at}");
                    assert!(!detail.contains("has changed"), "{at}");
                    assert_eq!((&item["outcome"], output.code), (&json!("changed"), 5), "{at}");
                    assert_eq!(self.content(&tables), before, "something was written: {at}");
                    let output = self.run(&words, None);
                    let results = output.json()["results"].clone();
                    let item = results.as_array().and_then(|items| items.iter().find(about)).expect(&at);
                    assert_eq!(item["outcome"], "applied", "the way is free: {words:?}: {output:?}");
                    played += 1;
                }
            }
        }
        self.dismiss_guest();
        played
    }
}

#[test]
fn changes_of_leases_that_are_kept_out() {
    for mut scene in Scene::both() {
        sen(["init"]).database(&scene.url()).run().expect_code(0);
        let (ago, wanted) = if scene.is_postgres() {
            ("now() - interval '1 hour'", 10)
        } else {
            ("(unixepoch('now') - 3600) * 1000000", 5)
        };
        let played = scene.play(LEASES, |scene, case, id| {
            let mut found = String::new();
            for statement in case.seed {
                found = scene.sql(&statement.replace("ID", id).replace("AGO", ago));
            }
            (found, String::new())
        });
        assert_eq!(played, wanted);
    }
}

#[test]
fn changes_of_executions_that_are_kept_out() {
    for (mut scene, library) in Scene::both().into_iter().zip([&STENT_112, &SENPUKI_030]) {
        ask(library, "stent/letters.py", &[&scene.place(), "12"]);
        let (ago, wanted) = if scene.is_postgres() {
            ("(now() AT TIME ZONE 'UTC' - interval '1 hour')", 24)
        } else {
            ("strftime('%Y-%m-%dT%H:%M:%f000', 'now', '-1 hour')", 12)
        };
        let played = scene.play(EXECUTIONS, |scene, case, id| {
            let mut found = String::new();
            for statement in case.seed {
                found = scene.sql(&statement.replace("ID", id).replace("AGO", ago));
            }
            (found, String::new())
        });
        assert_eq!(played, wanted);
    }
}

#[test]
fn changes_of_sagas_that_are_kept_out() {
    for mut scene in Scene::both() {
        let url = scene.url();
        let mut peer = Peer::start(&SAGA_073, "saga/peer.py", &[&url, "{}"]);
        let mut send = move |command: Value| {
            let answer = peer.send(&command);
            assert!(answer.get("ok").is_some(), "{command}: {answer}");
            answer["ok"].clone()
        };
        send(json!({"do": "init"}));
        let played = scene.play(SAGAS, |scene, case, order| {
            let mut start = |saga: &str, plan: Value| {
                let id = send(json!({"do": "start", "order": order, "saga": saga, "plan": plan}));
                id.as_str().unwrap().to_owned()
            };
            let id = match case.seed[0] {
                "failed" => start("order-once", json!({"charge": "fail"})),
                "waits" => start("order", json!({"charge": "fail"})),
                "awaits" => start("order", json!({"charge": "await"})),
                "orphan" => {
                    let mut dies = Peer::start(&SAGA_073, "saga/peer.py", &[&url, "{}"]);
                    dies.send(&json!({"do": "die_between", "order": order}));
                    dies.kill();
                    let ago = if scene.is_postgres() { "now() - interval '1 hour'" } else { "'2026-01-01 00:00:00'" };
                    scene.sql(&format!("UPDATE order_saga SET updated_at = {ago} WHERE aggregation_id = '{order}'"));
                    let list = ["saga", "list", "--aggregation", order, "-o", "json"];
                    let rows = sen(list).database(&url).run().expect_code(0).json();
                    rows[0]["id"].as_str().unwrap().to_owned()
                }
                _ => {
                    start("order", json!({}));
                    send(json!({"do": "dispatch", "how": "fail"}));
                    let list = ["saga", "outbox", "list", "--state", "failed", "--limit", "1", "-o", "json"];
                    let rows = sen(list).database(&url).run().expect_code(0).json();
                    rows[0]["id"].as_str().unwrap().to_owned()
                }
            };
            (id, order.to_owned())
        });
        assert_eq!(played, if scene.is_postgres() { 15 } else { 8 });
    }
}
