//! Rows that somebody else holds at the moment of a replay, in PostgreSQL: letters are passed over, executions are waited for.

use super::place::{Place, Seed};
use crate::harness::patience;
use crate::harness::postgres::Database;

fn database(place: &Place) -> &Database<'static> {
    let Place::Postgres(database) = place else { unreachable!("PostgreSQL only") };
    database
}

/// Until `count` rows of `from` are there.
#[track_caller]
fn until(place: &Place, count: u64, from: &str) {
    patience::until(&format!("{from} holds {count}"), || place.count(from) == count);
}

/// Without SKIP LOCKED one held letter would hold up its whole batch.
#[test]
fn guard_a_held_letter_does_not_hold_up_the_others() {
    let [place, _] = Place::both();
    for id in ["a", "b", "c"] {
        Seed { id, ..Seed::default() }.plant(&place);
    }
    let mut session = database(&place).session();
    session.run("BEGIN; SELECT 1 FROM dead_tasks WHERE id = 'b' FOR UPDATE");
    let running = place.command(&["dlq", "replay", "--all", "--yes", "-o", "json"]).start();
    until(&place, 2, "tasks WHERE state = 'pending'");
    session.run("COMMIT");
    let report = running.finish().json();
    // The held one is tried again for a while: that it is let go in time is likely, and either end is told.
    let (applied, failed) = (report["applied"].as_u64().unwrap(), report["failed"].as_u64().unwrap());
    assert!(applied + failed == 3 && applied >= 2, "{report}");
    assert_eq!(place.count("dead_tasks"), failed);
}

/// What was only held is as it was seen: an operation is resumed with it, and nothing else.
#[test]
fn what_was_held_all_the_time_can_be_resumed() {
    let [place, _] = Place::both();
    let state = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let command = place.command(words).env("XDG_STATE_HOME", state.path().to_str().unwrap());
        command.cwd(folder.path()).run()
    };
    for words in [&["dlq", "replay", "--all", "--yes"][..], &["dlq", "discard", "--all", "--yes", "--export", "one"]] {
        Seed::default().plant(&place);
        let mut session = database(&place).session();
        session.run("BEGIN; SELECT 1 FROM dead_tasks FOR UPDATE");
        let report = run(&[words, &["-o", "json"]].concat()).expect_code(1).json();
        assert_eq!((&report["failed"], &report["changed"]), (&1.into(), &0.into()), "{report}");
        assert_eq!(place.count("dead_tasks"), 1);
        session.run("COMMIT");
        let mut again = vec!["op", "resume", "last", "--yes", "-o", "json"];
        if words.contains(&"discard") {
            again.extend(["--export", "two"]);
        }
        assert_eq!(run(&again).expect_code(0).json()["applied"], 1);
        assert_eq!(place.count("dead_tasks"), 0);
        place.sql("DELETE FROM tasks; DELETE FROM executions; DELETE FROM execution_progress");
    }
}

/// Without FOR SHARE a replay would read the execution as it was before a cancel that commits a moment later, and leave a task
/// in a cancelled execution.
#[test]
fn guard_an_activity_waits_for_a_cancel_under_way() {
    let [place, _] = Place::both();
    Seed { kind: "activity", execution: Some("running"), parent: Some("running"), ..Seed::default() }.plant(&place);
    let mut session = database(&place).session();
    session.run("BEGIN; UPDATE executions SET state = 'cancelled'");
    let running = place.command(&["dlq", "replay", "letter", "-o", "json"]).start();
    until(&place, 1, "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()");
    session.run("COMMIT");
    let report = running.finish().expect_code(5).json();
    assert_eq!(report["results"][0]["outcome"], "changed", "{report}");
    assert_eq!((place.count("tasks WHERE state = 'pending'"), place.count("dead_tasks")), (0, 1));
}
