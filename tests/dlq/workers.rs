//! Real workers of both libraries: letters of exhausted retries are replayed, run again and end well.

use serde_json::Value;

use super::acts::until;
use super::place::Place;
use crate::harness::peers::{self, Peer, SENPUKI_030, STENT_100, STENT_112};
use crate::harness::postgres::Server;
use crate::harness::proxy::Proxy;
use crate::harness::python::Environment;
use crate::harness::scale::sized;
use crate::harness::sen::sen;

fn replayed_and_completed(library: &'static Environment, place: &Place, codec: &str) {
    let url = place.for_library();
    let dead = peers::ask(library, "stent/flow.py", &[&url, "die", "3", "--codec", codec]);
    let executions: Vec<&str> = dead["executions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    // Each has a letter of its orchestrator and one of the activity that made it fail.
    assert_eq!(place.count("dead_tasks"), 6);
    // Whatever the codec, a key leads to what names it.
    let chain = place.json(&["why", "order-1"], 0);
    let first = chain["chain"][0]["subject"].as_str().unwrap();
    assert!(executions.iter().any(|id| first == format!("stent:execution:{id}")), "{chain}");
    let payloads = format!(
        "SELECT DISTINCT execution_id, kind, {}, {} FROM tasks ORDER BY 1, 2",
        place.hex_of("args"),
        place.hex_of("kwargs")
    );
    let before = place.sql(&payloads);
    let plan = place.json(&["dlq", "replay", "--all", "--dry-run"], 0);
    assert_eq!((&plan["planned"], &plan["skipped"]), (&3.into(), &3.into()), "the activities are left alone: {plan}");
    let report = place.json(&["dlq", "replay", "--all", "--yes", "--reason", "fixed"], 0);
    assert_eq!((&report["applied"], &report["skipped"]), (&3.into(), &3.into()), "{report}");
    assert_eq!(place.sql(&payloads), before, "payloads are the same bytes");
    peers::ask(library, "stent/flow.py", &[&url, "heal", "--codec", codec]);
    let truth = peers::ask(library, "stent/truth.py", &[&url, "--codec", codec]);
    for id in executions {
        let execution = &truth["executions"][id];
        assert_eq!(execution["state"], "completed", "{execution}");
        assert!(execution["result"].to_string().contains("charged order-"), "{execution}");
        assert_eq!(execution["error"], Value::Null);
        let progress = execution["progress"].as_array().unwrap();
        let told = |step: &Value| {
            step["detail"].as_str().is_some_and(|detail| detail.contains("replayed") && detail.contains(": fixed ("))
        };
        assert!(progress.iter().any(told), "{progress:?}");
    }
    // What is left can be forced, and runs its effect once more.
    let forced = place.json(&["dlq", "replay", "--all", "--force", "--yes"], 0);
    assert_eq!(forced["applied"], 3);
    peers::ask(library, "stent/flow.py", &[&url, "heal", "--codec", codec]);
    assert_eq!(place.count("dead_tasks"), 0);
    assert_eq!(place.count("executions WHERE state = 'completed'"), 3);
}

#[test]
fn stent_in_postgres_with_pickles() {
    replayed_and_completed(&STENT_112, &Place::empty_postgres(), "pickle");
}

#[test]
fn the_first_stent_in_both() {
    for place in [Place::empty_postgres(), Place::empty_sqlite()] {
        replayed_and_completed(&STENT_100, &place, "json");
    }
}

#[test]
fn senpuki_in_postgres() {
    replayed_and_completed(&SENPUKI_030, &Place::empty_postgres(), "json");
}

#[test]
fn stent_in_sqlite() {
    replayed_and_completed(&STENT_112, &Place::empty_sqlite(), "json");
}

#[test]
fn senpuki_in_sqlite_with_pickles() {
    replayed_and_completed(&SENPUKI_030, &Place::empty_sqlite(), "pickle");
}

#[test]
fn no_execution_is_stranded_by_a_living_worker_and_a_slow_line() {
    let count = sized(40, 1000);
    let place = Place::empty_postgres();
    place.letters(&STENT_112, count, &[]);
    let Place::Postgres(database) = &place else { unreachable!() };
    let proxy = Proxy::unix(Server::shared());
    proxy.latency(std::time::Duration::from_millis(20));
    let _worker = Peer::start(&STENT_112, "stent/flow.py", &[&place.for_library(), "serve-healed"]);
    let replay = ["dlq", "replay", "--all", "--yes", "--batch", "10", "-o", "json"];
    let report = sen(replay)
        .database(&proxy.url_of(&database.name))
        .timeout(std::time::Duration::from_secs(600))
        .run()
        .expect_code(0)
        .json();
    assert_eq!(report["applied"], count as u64);
    until("the end of every execution", || place.count("executions WHERE state IN ('pending', 'running')") == 0);
    assert_eq!(
        place.count("executions WHERE state = 'completed' AND result IS NOT NULL AND error IS NULL"),
        count as u64
    );
    assert_eq!(place.count("tasks WHERE kind = 'orchestrator' AND state = 'completed'"), count as u64);
}

#[test]
fn a_replayed_task_is_claimed_at_once_wherever_the_worker_is() {
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        for place in [Place::empty_postgres(), Place::empty_sqlite()] {
            place.letters(&STENT_112, 1, &[]);
            place.json(&["dlq", "replay", "--all", "--yes"], 0);
            peers::ask(&STENT_112, "stent/flow.py", &[&place.for_library(), "heal", "--zone", zone]);
            assert_eq!(place.sql("SELECT state FROM executions"), "completed", "{zone}");
        }
    }
}
