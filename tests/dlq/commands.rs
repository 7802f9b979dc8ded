//! What the commands say: lists, groups, one letter, plans, expectations, exports.

use serde_json::Value;

use super::place::{Place, Seed};
use crate::harness::peers::{SENPUKI_030, STENT_112};

#[test]
fn letters_are_listed_grouped_and_shown() {
    for (place, library, codec) in
        [(Place::empty_postgres(), &STENT_112, "pickle"), (Place::empty_sqlite(), &SENPUKI_030, "json")]
    {
        place.letters(library, 12, &["--codec", codec, "--errors", "3", "--queue", "main"]);
        let groups = place.json(&["dlq", "groups"], 0);
        assert_eq!(groups.as_array().unwrap().len(), 1, "{groups}");
        assert_eq!(groups[0]["error"], "provider <n> unreachable for order-<n> after <n> ms");
        assert_eq!((&groups[0]["count"], &groups[0]["replayable"]), (&12.into(), &12.into()));
        let group = groups[0]["group"].as_str().unwrap();
        let page = place.json(&["dlq", "list", "--limit", "5"], 0);
        assert_eq!(page.as_array().unwrap().len(), 5);
        assert_eq!(page[0]["error"], "provider 2 unreachable for order-11 after 11 ms", "the newest first");
        assert_eq!((&page[0]["state"], &page[0]["kind"]), (&"replayable".into(), &"orchestrator".into()));
        assert_eq!(page[0]["payload"]["args"], serde_json::json!(["order-11"]));
        let count = |filter: &[&str]| {
            place.json(&[&["dlq", "list", "--limit", "0"], filter].concat(), 0).as_array().unwrap().len()
        };
        assert_eq!(count(&[]), 12);
        assert_eq!(count(&["--group", group]), 12);
        assert_eq!(count(&["--group", "0000000000"]), 0);
        assert_eq!(count(&["--where-error", "PROVIDER 1"]), 4);
        assert_eq!(count(&["--queue", "main"]), 12);
        assert_eq!(count(&["--queue", "other"]), 0);
        assert_eq!(count(&["--step", "failing"]), 12);
        assert_eq!(count(&["--step", "flows:failing"]), 12);
        assert_eq!(count(&["--worker", "peer-"]), 12);
        assert_eq!(count(&["--kind", "activity"]), 0);
        assert_eq!(count(&["--older-than", "1h"]), 0);
        assert_eq!(count(&["--since", "1h"]), 12);
        assert_eq!(count(&["--until", "2026-01-01"]), 0);
        let id = page[0]["id"].as_str().unwrap();
        let shown = place.json(&["dlq", "show", id], 0);
        assert_eq!((&shown["codec"], &shown["args"]), (&codec.into(), &serde_json::json!(["order-11"])));
        assert_eq!((&shown["verdict"]["state"], &shown["group"]), (&"replayable".into(), &group.into()));
        assert_eq!(shown["attempts"], 2);
        place.act(&["dlq", "show", "nosuch"], 4);
        let exported = place.command(&["dlq", "export", "--group", group]).run().expect_code(0).stdout;
        assert_eq!(exported.lines().count(), 12);
        let dump = place.sql(&format!("SELECT data FROM dead_tasks WHERE id = '{id}'"));
        assert!(exported.contains(&format!("\"data\":{dump}}}")), "the dump is exported byte for byte");
        place.act(&["dlq", "export", "nosuch"], 4);
    }
}

#[test]
fn plans_expectations_and_consent() {
    for place in Place::both() {
        for id in ["a", "b", "c"] {
            Seed { id, ..Seed::default() }.plant(&place);
        }
        place.act(&["dlq", "replay"], 2);
        place.act(&["dlq", "discard"], 2);
        place.act(&["dlq", "export"], 2);
        place.act(&["dlq", "replay", "--all"], 7);
        place.act(&["dlq", "replay", "--all", "--system", "nosuch"], 2);
        let plan = place.json(&["dlq", "replay", "--all", "--dry-run"], 0);
        assert_eq!((&plan["planned"], &plan["dry_run"]), (&3.into(), &Value::Bool(true)));
        let words = place.command(&["dlq", "replay", "--all", "--dry-run"]).run().expect_code(0).stdout;
        for wanted in
            ["replay 3 dead letters in ", "a  flows:step  order 7 lost", "an orchestrator starts anew", "another tool"]
        {
            assert!(words.contains(wanted), "{wanted:?} is not in {words}");
        }
        place.act(&["dlq", "replay", "--all", "--yes", "--expect", "2"], 5);
        assert_eq!(place.count("dead_tasks"), 3);
        let limited =
            place.json(&["dlq", "replay", "--all", "--yes", "--limit", "1", "--newest-first", "--expect", "1"], 0);
        assert_eq!(limited["results"][0]["subject"], "stent:dead_letter:c");
        let two = place.json(&["dlq", "replay", "a", "b", "nosuch", "--yes"], 3);
        assert_eq!((&two["applied"], &two["missing"]), (&2.into(), &1.into()));
        let none = place.json(&["dlq", "replay", "--all", "--yes"], 0);
        assert_eq!((&none["planned"], &none["applied"]), (&0.into(), &0.into()));
        place.act(&["dlq", "replay", "a"], 4);
    }
}

#[test]
fn a_database_without_letters_says_so() {
    let place = Place::empty_postgres();
    place.act(&["dlq", "list"], 2);
    place.act(&["dlq", "replay", "--all", "--yes"], 2);
}

#[test]
fn a_replay_keeps_to_its_rate() {
    let [place, _] = Place::both();
    for id in ["a", "b", "c", "d"] {
        Seed { id, ..Seed::default() }.plant(&place);
    }
    let output = place.act(&["dlq", "replay", "--all", "--yes", "--rate", "4/s"], 0);
    assert!(output.took.as_millis() >= 700, "four letters at four a second begin 0.75 s apart: {:?}", output.took);
}
