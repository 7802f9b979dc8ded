//! `sen once` and live workers of the real Python library on the same keys, in both directions.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::patience::until;
use crate::harness::peers::{SENTINEL_042, SENTINEL_050, ask};
use crate::harness::postgres::{Database, Server};
use crate::harness::python::Environment;
use crate::harness::sen::{Sen, sen};

const CALL: &str = "sentinel/once_call.py";

fn database(environment: &Environment) -> Database<'static> {
    let database = Server::shared().fresh_database_with(&["timezone = 'Europe/Berlin'"]);
    ask(environment, CALL, &[&database.url(), "init"]);
    database
}

fn once(database: &Database<'_>, args: &[&str]) -> Sen {
    sen(std::iter::once("once").chain(args.iter().copied())).database(&database.url())
}

/// What the library's `once()` says of a key; its function would return `{"by": "python"}`.
fn python(environment: &Environment, database: &Database<'_>, key: &str) -> Value {
    ask(environment, CALL, &[&database.url(), "once", key])
}

/// A worker of the library that is inside its function until it is killed.
fn worker(environment: &Environment, database: &Database<'_>, key: &str, ttl: &str, hard: &str) -> Child {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/sentinel/worker.py");
    let mut child = Command::new(environment.python())
        .arg("-B")
        .arg(script)
        .args([&database.url(), "alive", key, ttl, hard])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "\"started\"\n");
    child
}

#[test]
fn both_directions() {
    for environment in [&SENTINEL_042, &SENTINEL_050] {
        let database = database(environment);
        // Python's result, seen by sen.
        assert_eq!(python(environment, &database, "theirs")["cached"], false);
        let seen = once(&database, &["--print-cached", "theirs", "--", "false"]).run().expect_code(0);
        assert_eq!(serde_json::from_str::<Value>(&seen.stdout).unwrap(), json!({"by": "python"}));
        // Ours, seen by Python.
        once(&database, &["ours", "--", "echo", "hello"]).run().expect_code(0);
        let seen = python(environment, &database, "ours");
        assert_eq!((&seen["cached"], &seen["response"]["stdout"]), (&true.into(), &"hello\n".into()), "{seen}");
        assert_eq!(seen["response"]["exit_code"], 0);
        // A live worker of Python's is left alone, then waited for.
        let mut alive = worker(environment, &database, "their-work", "30000", "600000");
        once(&database, &["their-work", "--", "true"]).run().expect_code(75);
        let waiting = once(&database, &["--wait", "10m", "--print-cached", "their-work", "--", "true"]).start();
        let there =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sen' AND datname = current_database()";
        until("the waiter", || database.psql(there) != "0");
        alive.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let waited = waiting.finish().expect_code(0);
        assert_eq!(serde_json::from_str::<Value>(&waited.stdout).unwrap(), json!({"by": "alive"}));
        alive.wait().unwrap();
        // A command of ours at work is left alone by Python.
        let mut mine = once(&database, &["our-work", "--", "sleep", "600"]).start();
        until("the claim", || {
            assert!(mine.is_running());
            database.psql("SELECT status FROM sentinel_leases WHERE key = 'our-work'") == "executing"
        });
        let seen = python(environment, &database, "our-work");
        assert_eq!((&seen["success"], &seen["execution_alive"]), (&false.into(), &true.into()), "{seen}");
        drop(mine);
        // Uncertain, both ways.
        let mut dead = worker(environment, &database, "their-crash", "30000", "30000");
        dead.kill().unwrap();
        dead.wait().unwrap();
        // A minute later (its times are moved).
        database.psql(
            "UPDATE sentinel_leases SET lease_expires_at = lease_expires_at - interval '1 minute',
                hard_expires_at = hard_expires_at - interval '1 minute',
                lease_updated_at = lease_updated_at - interval '1 minute' WHERE key = 'their-crash'",
        );
        once(&database, &["their-crash", "--", "true"]).run().expect_code(76);
        once(&database, &["our-crash", "--", "false"]).run().expect_code(1);
        let seen = python(environment, &database, "our-crash");
        assert_eq!((&seen["success"], &seen["uncertain"]), (&false.into(), &true.into()), "{seen}");
        // What the library's operator resets, sen runs; and the other way round.
        assert_eq!(ask(environment, CALL, &[&database.url(), "reset", "their-crash"])["success"], true);
        once(&database, &["their-crash", "--", "true"]).run().expect_code(0);
        assert_eq!(ask(environment, CALL, &[&database.url(), "reset", "our-crash"])["success"], true);
        assert_eq!(python(environment, &database, "our-crash")["cached"], false);
    }
}
