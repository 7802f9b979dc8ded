//! The runbooks for dead letters, on letters and with workers of the real library in PostgreSQL.

use super::place::Place;
use crate::harness::patience::until;
use crate::harness::peers::{Peer, STENT_112};
use crate::harness::runbook::{run, run_in_vain};

/// So many letters of one group, and its name.
fn flood(count: usize) -> (Place, String) {
    let place = Place::empty_postgres();
    place.letters(&STENT_112, count, &["--errors", "1"]);
    let group = place.json(&["dlq", "groups"], 0)[0]["group"].as_str().unwrap().to_owned();
    (place, group)
}

#[test]
fn a_flood_of_letters_is_replayed_after_a_canary() {
    let (place, group) = flood(5);
    let url = place.url();
    assert!(run("dead-letter-flood.sh", &[], &url).expect_code(0).said.contains("failing"));
    let _worker = Peer::start(&STENT_112, "stent/flow.py", &[&place.for_library(), "serve-healed"]);
    run("dead-letter-flood.sh", &[&group, "100/s", "INC-9"], &url).expect_code(0);
    assert_eq!(place.count("dead_tasks"), 0);
    until("all of them complete", || place.count("executions WHERE state = 'completed'") == 5);
    // Nothing of it is left: sen's own code says so.
    run("dead-letter-flood.sh", &[&group], &url).expect_code(4);
}

#[test]
fn a_canary_that_fails_again_stops_the_runbook() {
    let (place, group) = flood(3);
    let _worker = Peer::start(&STENT_112, "stent/worker.py", &[&place.for_library(), "--ready"]);
    let ended = run("dead-letter-flood.sh", &[&group], &place.url()).expect_code(10);
    assert!(ended.said.contains("the cause is still there"), "{}", ended.said);
    assert_eq!(
        place.count("executions WHERE tags LIKE '%bulk%' AND started_at = completed_at"),
        2,
        "the others were left alone"
    );
}

#[test]
fn a_canary_that_nobody_runs_stops_the_runbook() {
    let (place, group) = flood(3);
    let ended = run_in_vain("dead-letter-flood.sh", &[&group], &place.url()).expect_code(8);
    assert!(ended.said.contains("is there a worker?"), "{}", ended.said);
    assert_eq!(place.count("dead_tasks"), 2, "one went, the others were left alone");
}

#[test]
fn what_replayed_letters_become_is_waited_for() {
    let (place, group) = flood(3);
    let letter = place.json(&["dlq", "list"], 0)[0]["id"].as_str().unwrap().to_owned();
    // As it is, only a person can bring it further; a state that no task has is a usage error.
    let dead = place.json(&["wait", &letter], 10);
    assert_eq!(
        (&dead["outcome"], &dead["state"], &dead["new_id"]),
        (&"needs_attention".into(), &"failed".into(), &().into())
    );
    assert!(place.act(&["wait", &letter, "--for", "uncertain"], 2).stderr.contains("possible: settled, pending"));
    let _worker = Peer::start(&STENT_112, "stent/flow.py", &[&place.for_library(), "serve-healed"]);
    let said = run("replay-and-wait.sh", &[&group, "10", "INC-9"], &place.url()).expect_code(0).said;
    assert_eq!(said.lines().filter(|line| line.ends_with("\tcompleted\treached")).count(), 3, "{said}");
    // The dead letter's own id leads there, too.
    let told = place.json(&["wait", &letter, "--for", "completed"], 0);
    assert_eq!((&told["id"], &told["outcome"]), (&letter.clone().into(), &"reached".into()), "{told}");
    assert!(place.sql("SELECT id FROM tasks").contains(told["new_id"].as_str().unwrap()), "{told}");
    let ended = place.json(&["wait", &letter, "--for", "waiting"], 10);
    assert_eq!(ended["outcome"], "ended_otherwise");
}
