//! One database with every system, made by the real libraries, and every command of `sen` on it.

use serde_json::{Value, json};

use crate::harness::patience::{longer, shown};
use crate::harness::peers::{
    self, Peer, SAGA_011, SAGA_014, SAGA_073, SENPUKI_011, SENPUKI_030, SENTINEL_042, SENTINEL_050_DJANGO, STENT_112,
};
use crate::harness::postgres::{Database, Server};
use crate::harness::psql;
use crate::harness::pty::terminal;
use crate::harness::python::Environment;
use crate::harness::sen::{Output, sen};

/// Stands for a short time limit.
const BRIEFLY: &str = "BRIEFLY";

/// Who makes the tables of the leases.
#[derive(Debug, PartialEq)]
enum Leases {
    /// `sen init`, as 0.5.0.
    Init,
    /// The library, 0.4.2: times without zone, no events.
    Old,
    /// Django's migrations: no defaults, events without `metadata`.
    Django,
}

/// The versions that make a scene.
#[derive(Debug)]
pub struct Made {
    leases: Leases,
    durable: &'static Environment,
    sagas: &'static Environment,
}

impl Made {
    /// Whether this version of the sagas has an outbox and an inbox.
    fn has_messages(&self) -> bool {
        self.sagas.name != SAGA_011.name
    }

    /// Whether this version of the durable library can say all that `make.py` asks of it.
    fn has_signals(&self) -> bool {
        self.durable.name != SENPUKI_011.name
    }
}

/// What the newest versions make.
pub const TODAY: Made = Made { leases: Leases::Init, durable: &STENT_112, sagas: &SAGA_073 };
/// What older ones make.
pub const OLDER: Made = Made { leases: Leases::Old, durable: &SENPUKI_030, sagas: &SAGA_011 };
/// What Django makes, beside the first versions of the others.
pub const DJANGO: Made = Made { leases: Leases::Django, durable: &SENPUKI_011, sagas: &SAGA_014 };

/// The database and the ids of what is in it.
pub struct Scene<'a> {
    pub database: Database<'a>,
    made: &'static Made,
    folder: tempfile::TempDir,
    executions: Value,
    letters: Vec<String>,
    sagas: Value,
    failed: Option<String>,
}

/// A command, and the codes it may end with.
pub struct Step {
    pub words: Vec<String>,
    pub codes: &'static [i32],
}

fn step(codes: &'static [i32], words: &[&str]) -> Step {
    Step { words: words.iter().map(|word| (*word).to_owned()).collect(), codes }
}

impl<'a> Scene<'a> {
    pub fn new(server: &'a Server, made: &'static Made) -> Self {
        let database = server.fresh_database();
        let url = database.url();
        match made.leases {
            Leases::Init => drop(sen(["init"]).database(&url).run().expect_code(0)),
            Leases::Old => drop(peers::ask(&SENTINEL_042, "sentinel/make.py", &[&url, "--only-finished"])),
            Leases::Django => drop(peers::ask(&SENTINEL_050_DJANGO, "sentinel/django_tables.py", &["migrate", &url])),
        }
        database.psql(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token,
                    ttl_ms)
                SELECT key, 'w:1-1', now() - interval '1 hour', now() - interval '1 hour',
                    CASE WHEN status <> 'claimed' THEN now() - interval '50 minutes' END, status, token, 3000
                FROM (VALUES ('u:1', 'executing', 7), ('u:2', 'executing', 8), ('u:3', 'executing', 11), ('u:4', 'executing', 13),
                    ('c:1', 'completed', 9), ('c:2', 'completed', 14), ('f:1', 'claimed', 10)) AS made (key, status, token);
            INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token,
                    ttl_ms)
                VALUES ('h:1', 'w:2-1', now() + interval '1 hour', now(), now() + interval '2 hours', 'executing', 12, 3600000);
            SELECT setval('sentinel_token_seq', 100)",
        );
        if made.leases == Leases::Django {
            peers::ask(&SENTINEL_050_DJANGO, "sentinel/django_tables.py", &["events", &url, "u:1"]);
        }
        let (executions, letters) = if made.has_signals() {
            let all = peers::ask(made.durable, "stent/make.py", &[&url, "--only-finished"]);
            let letters = peers::ask(made.durable, "stent/letters.py", &[&url, "4", "--queue", "main"]);
            // As if its worker had ended an hour ago between the end of its last task and its own.
            let lost = all["executions"]["checkout"].as_str().unwrap();
            database.psql(&format!(
                "UPDATE executions SET state = 'running', result = NULL, completed_at = NULL, created_at = created_at - interval '1 hour'
                    WHERE id = '{lost}';
                UPDATE tasks SET created_at = created_at - interval '1 hour', started_at = started_at - interval '1 hour',
                    completed_at = completed_at - interval '1 hour' WHERE execution_id = '{lost}'"
            ));
            // What a cleanup takes with its execution.
            let kept = database.psql(
                "SELECT to_regclass('execution_counters') IS NOT NULL AND to_regclass('execution_state') IS NOT NULL",
            );
            if kept == "t" {
                database.psql(
                    "INSERT INTO execution_counters SELECT id, 'tries', 1 FROM executions WHERE state = 'completed';
                INSERT INTO execution_state SELECT id, 'key', 'x' FROM executions WHERE state = 'completed'",
                );
            }
            (all["executions"].clone(), letters["ids"].clone())
        } else {
            let all = peers::ask(made.durable, "stent/old.py", &[&url]);
            (json!({"failing": all["failed"]}), json!([all["letter"], all["orphan"]]))
        };
        let letters = letters.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        let mut library = Peer::start(made.sagas, "saga/peer.py", &[&url, "{}"]);
        let mut ask = |command: Value| {
            let answer = library.send(&command);
            assert!(answer.get("ok").is_some(), "{command}: {answer}");
            answer["ok"].clone()
        };
        ask(json!({"do": "init"}));
        let mut sagas = json!({});
        let waiting = if made.has_messages() { json!({"charge": "await"}) } else { json!({"charge": "fail"}) };
        for (order, saga, plan) in [
            ("done", "order", json!({})),
            ("retry", "order-once", json!({"charge": "fail"})),
            ("skip", "order", json!({"charge": "fail"})),
            ("undo", "order-once", json!({"charge": "fail"})),
            ("abort", "order", json!({"charge": "fail"})),
            ("stuck", "order", json!({"charge": "fail"})),
            ("event", "order", waiting.clone()),
            ("inbox", "order", waiting.clone()),
            ("failed-in", "order", waiting),
        ] {
            sagas[order] = ask(json!({"do": "start", "order": order, "saga": saga, "plan": plan}));
        }
        library.kill();
        database.psql(
            "UPDATE order_saga SET status = 'RUNNING', deadline_at = NULL, updated_at = now() - interval '1 hour'
                WHERE aggregation_id = 'stuck'",
        );
        let mut failed = None;
        if made.has_messages() {
            let event =
                ["--event-id", "e-7", "--type", "charge.confirmed", "--payload", "{}", "--correlation", "failed-in"];
            let words = [&["saga", "notify", "failed-in", "--inbox"][..], &event].concat();
            sen(words).database(&url).run().expect_code(0);
            database.psql(
                "UPDATE order_inbox SET status = 'FAILED', attempts = 3;
                UPDATE order_outbox SET status = 'FAILED', last_error = 'broker is away', attempts = 3",
            );
            // Asked now: later, operators on its type may be somebody else's.
            failed = Some(database.psql("SELECT id FROM order_inbox WHERE status = 'FAILED'"));
        }
        Self { database, made, folder: tempfile::tempdir().unwrap(), executions, letters, sagas, failed }
    }

    /// The same in a database of its own.
    pub fn copy_of(&self, template: &str) -> Self {
        let server = self.database.server;
        let name = format!("copy_of_{template}");
        let postgres = server.url_of("postgres");
        psql::run(&postgres, &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Self {
            database: Database { server, name },
            made: self.made,
            folder: tempfile::tempdir().unwrap(),
            executions: self.executions.clone(),
            letters: self.letters.clone(),
            sagas: self.sagas.clone(),
            failed: self.failed.clone(),
        }
    }

    /// Removes the database.
    pub fn drop_it(self) {
        psql::run(&self.database.server.url_of("postgres"), &format!("DROP DATABASE {}", self.database.name));
    }

    pub fn doctor(&self) -> Step {
        step(&[0], &["doctor"])
    }

    fn id(&self, of: &str) -> &str {
        self.executions[of].as_str().unwrap_or_else(|| panic!("no execution {of}"))
    }

    fn saga(&self, of: &str) -> &str {
        self.sagas[of].as_str().unwrap()
    }

    /// The dead letter that is shown.
    pub fn letter(&self) -> &str {
        &self.letters[3]
    }

    /// Every reading command.
    pub fn reading(&self) -> Vec<Step> {
        let (task, letter) =
            (self.database.psql("SELECT id FROM tasks ORDER BY id LIMIT 1"), self.letters.last().unwrap());
        let mut steps = vec![
            step(&[0], &["status"]),
            step(&[10], &["status", "--check"]),
            step(&[0], &["list"]),
            step(&[0], &["list", "--state", "uncertain", "--older-than", "1m", "--sort", "updated"]),
            step(&[0], &["list", "--limit", "0", "-o", "jsonl"]),
            step(&[0], &["inspect", "u:1"]),
            step(&[0], &["inspect", "h:1", "--observe", "100ms"]),
            step(&[4], &["inspect", "u:9"]),
            step(self.with_events(&[0]), &["history", "u:1"]),
            step(&[0], &["why", "u:1"]),
            step(&[10], &["wait", "u:4"]),
            step(&[0], &["wait", "c:2", "--for", "completed"]),
            step(&[4], &["wait", "u:9"]),
            step(&[8], &["wait", "h:1", "--timeout", BRIEFLY]),
            step(&[0], &["once", "--describe", "u:1", "--", "true"]),
            step(&[0], &["doctor"]),
            step(&[0], &["grants", "--role", "operator"]),
            step(&[0], &["metrics"]),
            step(&[0], &["stats"]),
            step(&[0], &["dlq", "list"]),
            step(&[0], &["dlq", "groups"]),
            // Where there are two letters only, the acts settle both.
            step(if self.made.has_signals() { &[0] } else { &[0, 4] }, &["dlq", "show", letter]),
            step(&[0], &["dlq", "export", "--all"]),
            step(&[0], &["exec", "list", "--since", "1h", "--queue", "nobody"]),
            step(&[0], &["exec", "list", "--sort", "completed", "--where-error", "order"]),
            step(&[0], &["exec", "show", self.id("failing")]),
            step(&[0], &["why", self.id("failing")]),
            step(&[0], &["task", "list"]),
            step(&[0], &["task", "show", &task]),
            step(&[0], &["saga", "list", "--since", "1h"]),
            step(&[0], &["saga", "list", "--stuck"]),
            step(&[0], &["saga", "show", self.saga("retry")]),
            step(&[0], &["why", self.saga("stuck")]),
            step(&[0], &["__complete", "bash", "2", "--", "sen", "inspect", "u"]),
            step(&[0], &["__complete", "bash", "3", "--", "sen", "exec", "show", ""]),
            step(&[0], &["__complete", "bash", "3", "--", "sen", "saga", "show", ""]),
        ];
        if self.made.has_signals() {
            steps.push(step(&[0], &["why", self.id("queued-0")]));
        }
        if self.made.has_messages() {
            steps.push(step(&[0], &["saga", "outbox", "list"]));
            steps.push(step(&[0], &["saga", "inbox", "list"]));
            let message = self.database.psql("SELECT id FROM order_outbox LIMIT 1");
            if !message.is_empty() {
                steps.push(step(&[0], &["saga", "outbox", "show", &message]));
            }
        }
        steps
    }

    /// Every act. Each changes something, so it can be run once.
    pub fn acting(&self) -> Vec<Step> {
        let export = self.folder.path().join("letters.jsonl");
        let export = export.to_str().unwrap();
        let output = r#"{"charge": "by hand", "amount": 3.25}"#;
        let event = ["--event-id", "e-1", "--type", "charge.confirmed", "--payload", "{}"];
        let mut steps = vec![
            step(&[0], &["once", "o:1", "--", "true"]),
            step(&[0], &["once", "o:1", "--", "true"]),
            step(&[1], &["once", "o:2", "--", "false"]),
            step(&[0], &["once", "o:3", "--on-failure", "release", "--", "true"]),
            step(&[0], &["reconcile", "u:3", "--yes"]),
            step(&[0], &["reconcile", "u:1", "--complete", "{\"ok\": true}", "--yes"]),
            step(&[0], &["reconcile", "u:2", "--reset", "--yes"]),
            step(&[0], &["release", "f:1", "--yes"]),
            step(&[0], &["forget", "c:1", "--yes"]),
        ];
        if self.made.has_signals() {
            steps.extend([
                step(&[0], &["dlq", "replay", &self.letters[0], "--yes"]),
                step(&[0, 3], &["dlq", "replay", &self.letters[1], "--force", "--yes"]),
                step(&[0], &["dlq", "discard", &self.letters[2], "--export", export, "--yes"]),
                step(&[0], &["undo", "last", "--yes"]),
                step(&[0], &["exec", "signal", self.id("queued-1"), "go", "{\"a\": 1}", "--yes"]),
                step(&[0], &["exec", "cancel", self.id("queued-0"), "--yes"]),
                step(&[0], &["exec", "complete", self.id("checkout"), "--yes"]),
            ]);
        } else {
            steps.extend([
                step(&[0], &["dlq", "replay", &self.letters[0], "--yes"]),
                step(&[0], &["dlq", "discard", &self.letters[1], "--export", export, "--yes"]),
            ]);
        }
        steps.extend([
            step(&[0], &["exec", "cleanup", "--older-than", "1s", "--yes"]),
            step(&[0], &["undo", "last", "--yes"]),
            step(&[0], &["saga", "retry", self.saga("retry"), "--yes"]),
            step(&[0], &["saga", "skip", self.saga("skip"), "--result", output, "--yes", "--force"]),
            step(&[0], &["saga", "compensate", self.saga("undo"), "--yes"]),
            step(&[0], &["saga", "abort", self.saga("abort"), "--yes"]),
            step(&[0], &["saga", "unstick", self.saga("stuck"), "--yes"]),
        ]);
        if self.made.has_messages() {
            steps.push(step(&[0], &[&["saga", "notify", "event", "--correlation", "event"][..], &event].concat()));
        } else {
            // Nothing waits for an event in this version; what is asked before that is told is the same.
            steps.push(step(&[0, 5], &["saga", "notify", "event", "--payload", "{}", "--yes"]));
        }
        if let Some(failed) = &self.failed {
            steps.push(step(&[0], &["saga", "inbox", "requeue", failed, "--yes"]));
            steps.push(step(
                &[0],
                &[&["saga", "notify", "inbox", "--correlation", "inbox", "--inbox"][..], &event].concat(),
            ));
            steps.push(step(&[0], &["undo", "last", "--yes"]));
            let message = self.database.psql("SELECT id FROM order_outbox LIMIT 1");
            if !message.is_empty() {
                steps.push(step(&[0], &["saga", "outbox", "requeue", &message, "--yes"]));
            }
        }
        steps
    }

    /// `once` in every way it can go, after [`Self::acting`]; some of it takes a second.
    pub fn running(&self) -> Vec<Step> {
        vec![
            step(&[0], &["once", "--print-cached", "o:1", "--", "true"]),
            step(&[0], &["once", "--namespace", "o", "beating", "--ttl", "12s", "--", "sleep", "4"]),
            step(&[76], &["once", "o:2", "--", "false"]),
            step(&[1], &["once", "o:4", "--on-failure", "release", "--", "false"]),
            step(&[1], &["once", "o:5", "--on-failure", "complete", "--", "false"]),
            step(&[1], &["once", "o:5", "--", "false"]),
            step(&[127], &["once", "o:6", "--", "/nowhere/at/all"]),
            step(&[75], &["once", "--wait", "300ms", "h:1", "--", "true"]),
        ]
    }

    /// `sen watch` through its panes and into a detail, and a command that is shown again and again, each in a terminal.
    pub fn watched(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let url = self.database.url();
        let mut live = terminal(["watch", "--interval", "200ms"]).database(&url).size(40, 120).start();
        live.wait_for("h:1");
        live.type_keys("\t\t\r");
        live.wait_for("fencing_token:");
        live.type_keys("qq");
        let shown = live.finish();
        if shown.code != 0 {
            wrong.push(format!("watch ended with {}:\n{}", shown.code, shown.screen));
        }
        for words in [&["status", "--watch=200ms"][..], &["list", "--watch=200ms", "--state", "alive"]] {
            let mut live = terminal(words).database(&url).size(60, 120).start();
            live.wait_for(if words[0] == "status" { "uncertain" } else { "h:1" });
            live.type_keys("\u{3}");
            let shown = live.finish();
            if shown.code != 130 {
                wrong.push(format!("{words:?} ended with {}:\n{}", shown.code, shown.screen));
            }
        }
        wrong
    }

    /// These codes where the leases' tables keep events; else the key has no history to show.
    fn with_events(&self, codes: &'static [i32]) -> &'static [i32] {
        if self.made.leases == Leases::Old { &[0, 2, 4] } else { codes }
    }

    /// Runs a command here as a role.
    pub fn run(&self, role: &str, step: &Step) -> Output {
        // The time bounds the log-in, too, which takes longer on a slow machine.
        shown(&step.words.join(" "), |run| {
            let limit = format!("{}ms", longer(run));
            let words = step.words.iter().map(|word| if word == BRIEFLY { &limit } else { word });
            let output = self.ran(role, words);
            (output.code != 6 || !step.words.iter().any(|word| word == BRIEFLY)).then_some(output)
        })
    }

    fn ran<'w>(&self, role: &str, words: impl Iterator<Item = &'w String>) -> Output {
        let url = self.database.url();
        let (head, tail) = url.split_once("user=").unwrap();
        let rest = tail.split_once('&').map_or("", |(_, rest)| rest);
        let run = sen(words).database(&format!("{head}user={role}&{rest}")).env("USER", "maria");
        let run = run.env("XDG_STATE_HOME", self.folder.path());
        run.cwd(self.folder.path()).run()
    }

    /// The same; says what is wrong with how it ended.
    pub fn wrong(&self, role: &str, step: &Step) -> Option<String> {
        let output = self.run(role, step);
        if step.codes.contains(&output.code) {
            return None;
        }
        Some(format!(
            "sen {} as {role} ended with {}:\n{}{}",
            step.words.join(" "),
            output.code,
            output.stdout,
            output.stderr
        ))
    }
}
