//! One database with every system, made by the real libraries, and every command of `sen` on it.

use serde_json::{Value, json};

use crate::harness::peers::{self, Peer, SAGA_073, STENT_112};
use crate::harness::postgres::{Database, Server};
use crate::harness::psql;
use crate::harness::sen::{Output, sen};

/// The database and the ids of what is in it.
pub struct Scene<'a> {
    pub database: Database<'a>,
    folder: tempfile::TempDir,
    executions: Value,
    letters: Vec<String>,
    sagas: Value,
    failed: String,
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
    pub fn new(server: &'a Server) -> Self {
        let database = server.fresh_database();
        let url = database.url();
        sen(["init"]).database(&url).run().expect_code(0);
        database.psql(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
                VALUES ('u:1', 'w:1-1', now() - interval '1 hour', now() - interval '1 hour', now() - interval '50 minutes', 'executing', 7),
                    ('u:2', 'w:1-1', now() - interval '1 hour', now() - interval '1 hour', now() - interval '50 minutes', 'executing', 8),
                    ('u:3', 'w:1-1', now() - interval '1 hour', now() - interval '1 hour', now() - interval '50 minutes', 'executing', 11),
                    ('c:1', 'w:1-1', now() - interval '1 hour', now() - interval '1 hour', now() - interval '50 minutes', 'completed', 9),
                    ('f:1', 'w:1-1', now() - interval '1 hour', now() - interval '1 hour', NULL, 'claimed', 10);
            SELECT setval('sentinel_token_seq', 100)",
        );
        let made = peers::ask(&STENT_112, "stent/make.py", &[&url, "--only-finished"]);
        let letters = peers::ask(&STENT_112, "stent/letters.py", &[&url, "4", "--queue", "main"]);
        let letters = letters["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        let mut library = Peer::start(&SAGA_073, "saga/peer.py", &[&url, "{}"]);
        let mut ask = |command: Value| {
            let answer = library.send(&command);
            assert!(answer.get("ok").is_some(), "{command}: {answer}");
            answer["ok"].clone()
        };
        ask(json!({"do": "init"}));
        let mut sagas = json!({});
        for (order, saga, plan) in [
            ("done", "order", json!({})),
            ("retry", "order-once", json!({"charge": "fail"})),
            ("skip", "order", json!({"charge": "fail"})),
            ("undo", "order-once", json!({"charge": "fail"})),
            ("abort", "order", json!({"charge": "fail"})),
            ("stuck", "order", json!({"charge": "fail"})),
            ("event", "order", json!({"charge": "await"})),
            ("inbox", "order", json!({"charge": "await"})),
            ("failed-in", "order", json!({"charge": "await"})),
        ] {
            sagas[order] = ask(json!({"do": "start", "order": order, "saga": saga, "plan": plan}));
        }
        library.kill();
        let event =
            ["--event-id", "e-7", "--type", "charge.confirmed", "--payload", "{}", "--correlation", "failed-in"];
        let words = [&["saga", "notify", "failed-in", "--inbox"][..], &event].concat();
        sen(words).database(&url).run().expect_code(0);
        database.psql(
            "UPDATE order_saga SET status = 'RUNNING', deadline_at = NULL, updated_at = now() - interval '1 hour'
                WHERE aggregation_id = 'stuck';
            UPDATE order_inbox SET status = 'FAILED', attempts = 3;
            UPDATE order_outbox SET status = 'FAILED', last_error = 'broker is away', attempts = 3",
        );
        // Asked now: later, operators on its type may be somebody else's.
        let failed = database.psql("SELECT id FROM order_inbox WHERE status = 'FAILED'");
        Self {
            database,
            folder: tempfile::tempdir().unwrap(),
            executions: made["executions"].clone(),
            letters,
            sagas,
            failed,
        }
    }

    /// The same in a database of its own.
    pub fn copy_of(&self, template: &str) -> Self {
        let server = self.database.server;
        let name = format!("copy_of_{template}");
        let postgres = server.url_of("postgres");
        psql::run(&postgres, &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Self {
            database: Database { server, name },
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
        let message = self.database.psql("SELECT id FROM order_outbox LIMIT 1");
        let (task, letter) = (self.database.psql("SELECT id FROM tasks ORDER BY id LIMIT 1"), self.letters[3].as_str());
        let mut steps = vec![
            step(&[0], &["status"]),
            step(&[10], &["status", "--check"]),
            step(&[0], &["list"]),
            step(&[0], &["list", "--state", "uncertain", "--older-than", "1m", "--sort", "updated"]),
            step(&[0], &["inspect", "u:1"]),
            step(&[4], &["inspect", "u:9"]),
            step(&[0], &["history", "u:1"]),
            step(&[0], &["why", "u:1"]),
            step(&[0], &["doctor"]),
            step(&[0], &["grants", "--role", "operator"]),
            step(&[0], &["metrics"]),
            step(&[0], &["stats"]),
            step(&[0], &["dlq", "list"]),
            step(&[0], &["dlq", "groups"]),
            step(&[0], &["dlq", "show", letter]),
            step(&[0], &["dlq", "export", "--all"]),
            step(&[0], &["exec", "list", "--since", "1h", "--queue", "nobody"]),
            step(&[0], &["exec", "list", "--sort", "completed", "--where-error", "order"]),
            step(&[0], &["exec", "show", self.id("failing")]),
            step(&[0], &["why", self.id("failing")]),
            step(&[0], &["why", self.id("queued-0")]),
            step(&[0], &["task", "list"]),
            step(&[0], &["task", "show", &task]),
            step(&[0], &["saga", "list", "--since", "1h"]),
            step(&[0], &["saga", "list", "--stuck"]),
            step(&[0], &["saga", "show", self.saga("retry")]),
            step(&[0], &["why", self.saga("stuck")]),
            step(&[0], &["saga", "outbox", "list"]),
            step(&[0], &["saga", "inbox", "list"]),
            step(&[0], &["__complete", "bash", "2", "--", "sen", "inspect", "u"]),
            step(&[0], &["__complete", "bash", "3", "--", "sen", "exec", "show", ""]),
            step(&[0], &["__complete", "bash", "3", "--", "sen", "saga", "show", ""]),
        ];
        if !message.is_empty() {
            steps.push(step(&[0], &["saga", "outbox", "show", &message]));
        }
        steps
    }

    /// Every act. Each changes something, so it can be run once.
    pub fn acting(&self) -> Vec<Step> {
        let message = self.database.psql("SELECT id FROM order_outbox LIMIT 1");
        let export = self.folder.path().join("letters.jsonl");
        let export = export.to_str().unwrap();
        let output = r#"{"charge": "by hand", "amount": 3.25}"#;
        let event = ["--event-id", "e-1", "--type", "charge.confirmed", "--payload", "{}"];
        let mut steps = vec![
            step(&[0], &["saga", "inbox", "requeue", &self.failed, "--yes"]),
            step(&[0], &["once", "o:1", "--", "true"]),
            step(&[0], &["once", "o:1", "--", "true"]),
            step(&[1, 3, 7, 10], &["once", "o:2", "--", "false"]),
            step(&[0], &["once", "o:3", "--on-failure", "release", "--", "true"]),
            step(&[0], &["reconcile", "u:3", "--yes"]),
            step(&[0], &["reconcile", "u:1", "--complete", "{\"ok\": true}", "--yes"]),
            step(&[0], &["reconcile", "u:2", "--reset", "--yes"]),
            step(&[0], &["release", "f:1", "--yes"]),
            step(&[0], &["forget", "c:1", "--yes"]),
            step(&[0], &["dlq", "replay", &self.letters[0], "--yes"]),
            step(&[0, 3], &["dlq", "replay", &self.letters[1], "--force", "--yes"]),
            step(&[0], &["dlq", "discard", &self.letters[2], "--export", export, "--yes"]),
            step(&[0], &["exec", "signal", self.id("queued-1"), "go", "{\"a\": 1}", "--yes"]),
            step(&[0], &["exec", "cancel", self.id("queued-0"), "--yes"]),
            step(&[0], &["exec", "cleanup", "--older-than", "1s", "--yes"]),
            step(&[0], &["saga", "retry", self.saga("retry"), "--yes"]),
            step(&[0], &["saga", "skip", self.saga("skip"), "--result", output, "--yes", "--force"]),
            step(&[0], &["saga", "compensate", self.saga("undo"), "--yes"]),
            step(&[0], &["saga", "abort", self.saga("abort"), "--yes"]),
            step(&[0], &["saga", "unstick", self.saga("stuck"), "--yes"]),
            step(&[0], &[&["saga", "notify", "event", "--correlation", "event"][..], &event].concat()),
            step(&[0], &[&["saga", "notify", "inbox", "--correlation", "inbox", "--inbox"][..], &event].concat()),
        ];
        if !message.is_empty() {
            steps.push(step(&[0], &["saga", "outbox", "requeue", &message, "--yes"]));
        }
        steps
    }

    /// Runs a command here as a role.
    pub fn run(&self, role: &str, step: &Step) -> Output {
        let url = self.database.url();
        let (head, tail) = url.split_once("user=").unwrap();
        let rest = tail.split_once('&').map_or("", |(_, rest)| rest);
        let run = sen(&step.words).database(&format!("{head}user={role}&{rest}")).env("USER", "maria");
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
