//! Keys of the wrong type, garbage, missing fields, hostile texts: one finding each, and the rest goes on.

use serde_json::{Value, json};

use crate::harness::redis::Answer;
use crate::place::Place;

fn row<'a>(rows: &'a Value, id: &str) -> &'a Value {
    rows.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is missing: {rows}"))
}

#[test]
fn broken_tasks_are_one_finding_each() {
    let place = Place::loaded();
    place.server.run(&["SET", "task:string:meta", "x"]);
    place.server.run(&["RPUSH", "task:list:meta", "x"]);
    place.set("empty", &[("nothing", "x")]);
    place.make("params", "queued", "", &[("task_params", "{\"a\":")]);
    place.make("result", "completed", "", &[("result", "\"text\"")]);
    place.make("status", "paused", "", &[]);
    place.make("attempts", "queued", "", &[("attempts", "many")]);
    place.make("lease", "leased", "w", &[("lease_expires", "soon")]);
    place.make("other", "queued", "", &[("task_id", "another")]);
    let rows = place.json(&["agent", "list", "--limit", "0"], 0);
    assert_eq!(rows.as_array().unwrap().len(), 38 + 9);
    for (id, finding, count) in [
        ("string", "something else than a hash", 1),
        ("list", "something else than a hash", 1),
        ("params", "task_params is no JSON", 1),
        ("result", "result is no JSON object", 1),
        ("status", "its status is \"paused\"", 1),
        ("attempts", "attempts is \"many\"", 1),
        ("lease", "lease_expires is \"soon\"", 1),
        ("other", "its task_id says \"another\"", 1),
        ("empty", "it has no task_id", 4),
    ] {
        let row = row(&rows, id);
        // Lists judge without payloads, which tables and counts do not read; what is wrong with one is said beside.
        let judged = match id {
            "params" => "queued",
            "result" => "completed",
            _ => "unreadable",
        };
        assert_eq!(row["state"], judged, "{id}");
        let findings = row["findings"].as_array().unwrap();
        assert_eq!(findings.len(), count, "{id}: {findings:?}");
        assert!(findings[0].as_str().unwrap().contains(finding), "{id}: {findings:?}");
        // None of them is given to workers again.
        let before = place.everything();
        place.run(&["agent", "requeue", id, "--yes"], 5);
        assert_eq!(place.everything(), before);
        let shown = place.json(&["agent", "show", id], 0);
        assert_eq!(shown["verdict"]["state"], "unreadable");
    }
    let stats = place.json(&["agent", "stats"], 0);
    assert_eq!(stats["total_tasks"], 38 + 9);
    place.run(&["agent", "costs"], 0);
    place.run(&["agent", "workers"], 0);
    // One that workers stumble over can be given up, if its status is known.
    for (id, code) in [("string", 5), ("empty", 5), ("status", 5), ("result", 5), ("params", 0), ("attempts", 0)] {
        place.run(&["agent", "cancel", id, "--yes"], code);
        assert_eq!(
            code == 0,
            place.server.client().try_run(&["HGET", &format!("task:{id}:meta"), "error"])
                == Answer::Text("Cancelled by user".into()),
            "{id}"
        );
    }
}

#[test]
fn what_lies_beside_a_task_may_be_broken_too() {
    let place = Place::loaded();
    let id = "task_235bed1ec052";
    let (checkpoint, beat) = (format!("task:{id}:checkpoint"), "worker:worker-live:hb");
    for (key, finding) in [(checkpoint.as_str(), "checkpoint"), (beat, "heartbeat"), ("stream:events", "stream:events")]
    {
        place.server.run(&["DEL", key]);
        place.server.run(&["RPUSH", key, "x"]);
        let shown = place.json(&["agent", "show", id], 0);
        let evidence = shown["verdict"]["evidence"].to_string();
        assert!(evidence.contains("unreadable") && evidence.contains(finding), "{key}: {evidence}");
    }
    place.server.run(&["DEL", &checkpoint]);
    place.server.run(&["SET", &checkpoint, "{not json"]);
    let shown = place.json(&["agent", "show", id], 0);
    assert!(shown["verdict"]["evidence"].to_string().contains("its checkpoint is no JSON"), "{shown}");
    // An act cannot leave its record, so nothing is changed.
    let before = place.everything();
    let refused = place.run(&["agent", "cancel", id, "--yes"], 1);
    assert!(refused.stdout.contains("of another type than expected"), "{}", refused.stdout);
    assert_eq!(place.everything(), before);
    place.run(&["agent", "events"], 1);
    place.run(&["agent", "list"], 0);
    place.run(&["status"], 0);
}

#[test]
fn terminals_get_no_control_characters() {
    let place = Place::loaded();
    place.make(
        "evil",
        "failed",
        "w\u{1b}[31m",
        &[("error", "a\u{1b}]0;x\u{7}\r\nb\u{202e}c"), ("tenant_id", "=cmd()")],
    );
    for words in [&["agent", "list"][..], &["agent", "show", "evil"], &["agent", "list", "-o", "csv"]] {
        let output = place.run(words, 0);
        if !words.contains(&"csv") {
            assert!(!output.stdout.contains(['\u{1b}', '\r', '\u{202e}']), "{:?}", output.stdout);
        }
    }
    assert!(place.run(&["agent", "list", "-o", "csv"], 0).stdout.contains("'=cmd()"));
    let row = place.json(&["agent", "list", "--state", "failed"], 0);
    assert_eq!(row.as_array().unwrap().iter().filter(|row| row["tenant_id"] == "=cmd()").count(), 1);
}

#[test]
fn ids_with_pattern_characters_mean_themselves() {
    let place = Place::loaded();
    place.make("a*b[c]?", "leased", "worker-gone", &[]);
    place.server.run(&["SET", "effects:a*b[c]?:mine:result", "1"]);
    place.server.run(&["SET", "effects:axxb[c]?:other:result", "1"]);
    let shown = place.json(&["agent", "show", "a*b[c]?"], 0);
    assert_eq!(shown["effects"].as_array().unwrap().len(), 1);
    assert_eq!(shown["effects"][0]["effect"], json!("mine"));
    place.run(&["agent", "requeue", "a*b[c]?", "--yes"], 0);
}

#[test]
fn nothing_there_at_all() {
    let place = Place::empty();
    assert_eq!(place.json(&["agent", "list"], 0), json!([]));
    let told = place.run(&["status"], 2).stderr;
    assert!(told.contains("holds no agent tasks"), "{told}");
    for words in [&["agent", "costs"][..], &["agent", "workers"], &["agent", "events"], &["agent", "rate-limit", "get"]]
    {
        assert_eq!(place.json(words, 0), json!([]), "{words:?}");
    }
}
