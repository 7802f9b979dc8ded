//! `sen why` on executions that the real libraries left: each is told its causes, all of them and no others.
//!
//! `make.py` makes them by running the library: those of `library.rs` are used here, too, for making them takes long (Stent 1.1.2 and
//! Senpuki 0.3.0, each in PostgreSQL and SQLite). Where time has to pass, times are moved, and that is said in the table.

use std::time::Duration;

use sen_core::time::Timestamp;
use serde_json::{Value, json};

use crate::Place;
use crate::harness::patience::{PATIENCE, shown};
use crate::harness::peers::{self, Peer, STENT_112};

impl Place<'_> {
    /// Sets a time of an execution's row or of its tasks to so many minutes ago, as the workers' clock shows it.
    pub(crate) fn dated(&self, table: &str, column: &str, id: &str, minutes: u64) {
        let key = if table == "tasks" { "execution_id" } else { "id" };
        let then = Timestamp::here().minus(Duration::from_secs(minutes * 60)).to_string();
        let then = then.trim_end_matches('Z');
        self.change(&format!("UPDATE {table} SET {column} = '{then}' WHERE {key} = '{id}'"));
    }

    /// How many rows there are of what `from` names.
    pub(crate) fn count(&self, from: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {from}");
        match self {
            Self::Postgres(database) => database.psql(&sql).trim().parse().unwrap(),
            Self::Sqlite(_) => {
                let file = rusqlite::Connection::open(self.for_library()).unwrap();
                file.busy_timeout(PATIENCE).unwrap();
                file.query_row(&sql, [], |row| row.get(0)).unwrap()
            }
        }
    }

    /// Lets the leases of a killed worker be over.
    pub(crate) fn leases_are_over(&self, worker: &str) {
        let then = Timestamp::here().minus(Duration::from_secs(60)).to_string();
        let then = then.trim_end_matches('Z');
        let held = format!("worker_id = '{worker}' AND state = 'running'");
        self.change(&format!("UPDATE tasks SET lease_expires_at = '{then}' WHERE {held}"));
    }

    pub(crate) fn change(&self, sql: &str) {
        match self {
            Self::Postgres(database) => drop(database.psql(sql)),
            Self::Sqlite(_) => {
                let file = rusqlite::Connection::open(self.for_library()).unwrap();
                file.busy_timeout(PATIENCE).unwrap();
                file.execute_batch(sql).unwrap();
            }
        }
    }
}

/// Every cause with its certainty, the gravest first.
#[track_caller]
pub(crate) fn rules(place: &Place<'_>, args: &[&str], id: &str) -> Vec<String> {
    let told = place.json(&[args, &["why", id]].concat());
    let causes = told["chain"][0]["causes"].as_array().unwrap_or_else(|| panic!("no causes: {told}"));
    let word = |cause: &Value, name: &str| cause[name].as_str().unwrap().to_owned();
    causes.iter().map(|cause| format!("{} {}", word(cause, "certainty"), word(cause, "rule"))).collect()
}

/// The name `make.py` gives it, how it came about, and every rule that holds.
const SCENARIOS: [(&str, &str, &[&str]); 16] = [
    ("checkout", "completed by a worker", &[]),
    ("refused", "completed, and what it returned is an error", &[]),
    ("buffered", "completed; its signal had come before it waited", &[]),
    ("cancelled", "cancelled before a worker took it", &[]),
    ("running", "under way, its worker alive", &[]),
    ("queued-0", "dispatched a moment ago to a queue that nobody polls", &[]),
    ("queued-1", "the same ten minutes later (its times are moved)", &["likely no_worker"]),
    ("queued-2", "the same, its expiry passed (it is moved)", &["proven overdue"]),
    ("scheduled", "to begin in two hours", &["proven scheduled_later"]),
    ("sleeping", "asleep for an hour", &["proven scheduled_later"]),
    ("waiting", "waiting for a signal that nobody sent", &["likely signal_never_sent"]),
    ("stranded", "pending, its only task failed: a replay that broke off (its times are moved)", &["likely stranded"]),
    ("lost", "its worker killed with two of its tasks, nobody polls that queue", &["likely worker_gone"]),
    ("failing", "its activity's retries used up, two letters", &["proven step_failed", "proven dead_lettered"]),
    ("declined", "the same at the first try", &["proven step_failed", "proven dead_lettered"]),
    ("timed-out", "ended by a worker when its expiry passed", &["proven timed_out"]),
];

/// On what `make.py` made, before its workers end. Changes rows, so it comes last.
pub(crate) fn each_is_told_its_causes(place: &Place<'_>, peer: &Peer) {
    let id = |name: &str| peer.made["executions"][name].as_str().unwrap_or_else(|| panic!("no {name}"));
    // A minute may have passed since they were made, and what waits for more than that has a cause.
    place.dated("tasks", "created_at", id("queued-0"), 0);
    place.dated("tasks", "created_at", id("running"), 0);
    place.dated("tasks", "created_at", id("queued-1"), 10);
    place.dated("tasks", "created_at", id("queued-2"), 0);
    place.dated("executions", "expiry_at", id("queued-2"), 1);
    for (name, how, expected) in SCENARIOS {
        let told = rules(place, &[], id(name));
        assert_eq!(told, expected, "{name}: {how}: {:#}", place.json(&["why", id(name)])["chain"][0]);
    }

    // Its child waits in the queue of the worker that was killed a moment ago (its tasks' times are moved).
    place.dated("tasks", "created_at", id("running"), 10);
    assert_eq!(rules(place, &[], id("running")), ["likely queue_behind"]);

    // Tasks and letters have causes of their own.
    let letter = |name: &str| peer.made["letters"][name].as_str().unwrap();
    let died = ["proven raised", "proven dead_lettered"];
    assert_eq!(rules(place, &[], letter("failing/activity")), died);
    assert_eq!(rules(place, &[], peer.made["tasks"]["lost"].as_str().unwrap()), ["likely worker_gone"]);
    // The row of its execution is gone (deleted here, as a clean-up by hand does).
    place.change(&format!("DELETE FROM executions WHERE id = '{}'", id("declined")));
    let gone = ["likely execution_gone", "proven raised", "proven dead_lettered"];
    assert_eq!(rules(place, &[], letter("declined/activity")), gone);
    assert_eq!(
        place.json(&["why", letter("declined/activity")])["chain"][0]["subject"],
        json!(format!("stent:task:{}", letter("declined/activity")))
    );
}

/// Executions that died of one error count one another, and a queue that is healed has no cause left.
#[test]
fn letters_that_died_of_the_same_are_counted() {
    let place = Place::postgres();
    let url = place.for_library();
    let died = peers::ask(&STENT_112, "stent/flow.py", &[&url, "die", "3"]);
    let first = died["executions"][0].as_str().unwrap();
    let told = place.json(&["why", first]);
    assert_eq!(rules(&place, &[], first), ["proven step_failed", "proven dead_lettered"]);
    let text = told["chain"][0]["causes"][1]["summary"].as_str().unwrap();
    assert!(text.contains("and 2 other dead letters have the same error"), "{told:#}");
    assert!(told["next"].to_string().contains("sen dlq groups"), "{told:#}");
    place.sen(&["dlq", "replay", "--all", "--kind", "orchestrator", "--yes"]).expect_code(0);
    peers::ask(&STENT_112, "stent/flow.py", &[&url, "heal"]);
    // The letter of its activity is left and is no cause of anything; asked for itself it is told so.
    let left = place.json(&["dlq", "list", "--limit", "1"])[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(rules(&place, &[], &left), ["proven raised", "proven outlived"]);
    assert!(rules(&place, &[], first).is_empty(), "{:#}", place.json(&["why", first]));
}

/// The zone is not in the data: what lies ahead is a sign that it is another one, and naming it settles the matter.
#[test]
fn workers_in_another_zone() {
    let place = Place::sqlite();
    let made =
        peers::ask(&STENT_112, "stent/make.py", &[&place.for_library(), "--only-finished", "--tz", "Asia/Tokyo"]);
    let id = |name: &str| made["executions"][name].as_str().unwrap();
    for name in ["checkout", "queued-0"] {
        assert_eq!(rules(&place, &[], id(name)), ["likely wrong_time_zone"], "{name}");
        assert!(rules(&place, &["--worker-timezone", "Asia/Tokyo"], id(name)).is_empty(), "{name}");
    }
}

/// What ended about a key is found as what is open is, by `why` and `timeline`.
#[test]
fn executions_that_have_ended_are_found_by_the_key_they_name() {
    for place in [Place::postgres(), Place::sqlite()] {
        let made = peers::ask(&STENT_112, "stent/make.py", &[&place.for_library(), "--only-finished"]);
        for (name, state) in [("checkout", "completed"), ("cancelled", "cancelled"), ("failing", "failed")] {
            let id = made["executions"][name].as_str().unwrap();
            place.change(&format!("UPDATE executions SET tags = '[\"parcel-4711\"]' WHERE id = '{id}'"));
            let told = place.json(&["why", "parcel-4711"]);
            let subject = json!(format!("stent:execution:{id}"));
            let link = told["chain"].as_array().unwrap().iter().find(|link| link["subject"] == subject);
            let link = link.unwrap_or_else(|| panic!("{name}: {told:#}"));
            assert_eq!((&link["state"], &told["search_cut"]), (&json!(state), &json!(false)), "{told:#}");
            let told = place.json(&["timeline", "parcel-4711", "--limit", "0"]);
            assert!(told.as_array().unwrap().iter().any(|entry| entry["id"] == id), "{name}: {told:#}");
        }
    }
}

/// Where there is too much to search through, what was found until then is told, and that it may not be all.
#[test]
fn a_search_of_what_has_ended_is_bounded_and_says_so() {
    let place = Place::postgres();
    let made = peers::ask(&STENT_112, "stent/make.py", &[&place.for_library(), "--only-finished"]);
    let id = made["executions"]["checkout"].as_str().unwrap();
    // A row that takes most of a second to be read stands between one that names the key and many others.
    place.change(&format!(
        "CREATE TABLE stored AS SELECT * FROM executions WHERE id = '{id}';
        UPDATE stored SET tags = '[\"parcel-4711\"]';
        INSERT INTO stored SELECT (jsonb_populate_record(s, jsonb_build_object('id', 'n-' || n, 'tags', '[]'))).*
            FROM stored AS s, generate_series(1, 3000) AS n ORDER BY n;
        DROP TABLE executions CASCADE;
        CREATE VIEW executions AS SELECT id, root_function, state, args, retries, created_at, started_at, completed_at, expiry_at,
            tags, priority, queue, error, result,
            CASE WHEN id = 'n-1' THEN (SELECT kwargs FROM pg_sleep(0.75)) ELSE kwargs END AS kwargs FROM stored"
    ));
    shown("what was found before the end", |_| {
        let told = place.json(&["why", "parcel-4711"]);
        assert_eq!(told["search_cut"], json!(true), "{told:#}");
        (told["chain"].as_array()?.iter().any(|link| link["subject"] == json!(format!("stent:execution:{id}"))))
            .then_some(())
    });
}
