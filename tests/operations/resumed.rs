//! What an operation itself changed just before it was killed is told as done where its records show it, in each system.

use serde_json::json;

use super::machine::{Machine, letters, results};
use super::place::{Place, Seed};
use super::sagas_place;
use crate::harness::peers::{SAGA_011, SAGA_073};

const OWN: &str = "this operation did it before";

/// Does something, forgets in the journal what became of it, and goes on.
#[track_caller]
fn resumed(url: &str, words: &[&str], more: &[&str]) -> serde_json::Value {
    let machine = Machine::new();
    machine.run(url, words, 0);
    machine.forget_outcomes();
    let (id, state) = machine.only();
    assert_eq!(state, "interrupted");
    let words = [&["op", "resume", &id, "--yes", "-o", "json"], more].concat();
    machine.sen(url, &words).run().json()
}

#[test]
fn letters_that_were_replayed_or_discarded() {
    let folder = tempfile::tempdir().unwrap();
    for (at, place) in Place::both().iter().enumerate() {
        letters(place, 9);
        let report = resumed(&place.url(), &["dlq", "replay", "t-1", "t-2", "t-3", "--yes"], &[]);
        assert_eq!(results(&report, "already_done", OWN), 3, "{report}");
        let path = |name: &str| folder.path().join(format!("{at}-{name}")).to_str().unwrap().to_owned();
        let (first, second) = (path("first"), path("second"));
        let words = ["dlq", "discard", "t-4", "t-5", "--yes", "--export", &first];
        let report = resumed(&place.url(), &words, &["--export", &second]);
        assert_eq!(results(&report, "already_done", OWN), 2, "{report}");
        assert_eq!(
            (std::fs::read_to_string(first).unwrap().lines().count(), std::fs::read(second).unwrap().len()),
            (2, 0)
        );
        // Without a table for records.
        place.sql("DROP TABLE execution_progress");
        let report = resumed(
            &place.url(),
            &["dlq", "discard", "t-6", "--yes", "--export", &path("third")],
            &["--export", &path("fourth")],
        );
        assert_eq!(results(&report, "missing", "perhaps by this operation itself"), 1, "{report}");
        // The task whose id follows from the letter shows that it was replayed, and not by whom.
        let report = resumed(&place.url(), &["dlq", "replay", "t-7", "--yes"], &[]);
        assert_eq!(
            (results(&report, "already_done", ""), results(&report, "already_done", "another operation")),
            (1, 0),
            "{report}"
        );
    }
}

#[test]
fn executions_that_were_cancelled_signalled_or_removed() {
    for place in Place::both() {
        for (id, seed) in [("a", "a"), ("b", "b"), ("c", "c")] {
            Seed {
                id: seed,
                execution: Some(if id == "c" { "failed" } else { "running" }),
                live: id != "c",
                ..Seed::default()
            }
            .plant(&place);
        }
        place.sql("DELETE FROM dead_tasks");
        let report = resumed(&place.url(), &["exec", "cancel", "e-a", "--yes"], &[]);
        assert_eq!(results(&report, "already_done", OWN), 1, "{report}");
        let report = resumed(&place.url(), &["exec", "signal", "e-b", "go", "1"], &[]);
        assert_eq!(results(&report, "already_done", OWN), 1, "{report}");
        // A removal takes its records with it.
        let report =
            resumed(&place.url(), &["exec", "cleanup", "--older-than", "1h", "--state", "failed", "--yes"], &[]);
        assert_eq!(results(&report, "changed", "perhaps by this operation itself"), 1, "{report}");
    }
}

#[test]
fn sagas_that_were_retried() {
    for mut place in
        [sagas_place::Place::new(&SAGA_011), sagas_place::Place::new(&SAGA_073), sagas_place::Place::sqlite(&SAGA_073)]
    {
        place.ask(
            json!({"do": "start_many", "order": "o", "count": 3, "saga": "order-once", "plan": {"charge": "fail"}}),
        );
        let report = resumed(&place.url(), &["saga", "retry", "--all", "--name", "order-once", "--yes"], &[]);
        assert_eq!(results(&report, "already_done", OWN), 3, "{report}");
    }
}
