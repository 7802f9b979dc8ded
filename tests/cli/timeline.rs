//! `sen timeline`: what happened to a key in every system, in one order of time.

use std::path::Path;

use serde_json::Value;

use crate::harness::sen::{Output, sen};

fn run(folder: &Path, args: &[&str]) -> Output {
    sen(args).cwd(folder).database("sqlite:sen-demo.db").run()
}

fn entries(folder: &Path, args: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["timeline", "-o", "json"].iter().chain(args).copied().collect();
    let told = run(folder, &args).expect_code(0).json();
    let told = told.as_array().unwrap().clone();
    let times: Vec<&str> = told.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    told
}

fn demo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    folder
}

fn find<'a>(told: &'a [Value], what: &str) -> &'a Value {
    told.iter().find(|entry| entry["what"] == what).unwrap_or_else(|| panic!("no {what:?} in {told:#?}"))
}

#[test]
fn a_key_is_followed_through_every_system_in_order_of_time() {
    let folder = demo();
    let told = entries(folder.path(), &["payments:order-7731"]);
    for (what, system) in [
        ("lease acquired", "sentinel"),
        ("lease expired", "sentinel"),
        ("execution dispatched", "stent"),
        ("dead letter of shop:charge created", "stent"),
    ] {
        assert_eq!(find(&told, what)["system"], system);
    }
    let failed = find(&told, "shop:charge failed");
    assert!(failed["error"].as_str().unwrap().contains("no answer"), "{failed}");
    // Each is told once, whichever records were found beside each other.
    let starts = told.iter().filter(|entry| entry["what"] == "shop:checkout started").count();
    assert_eq!(starts, 1, "{told:#?}");
    // The library writes no time with a try that failed: it stands behind its start, and says that it is not known.
    let tries = told.iter().filter(|entry| entry["clock"] == "after").count();
    let table = run(folder.path(), &["timeline", "payments:order-7731"]).expect_code(0).stdout;
    assert!(tries > 0, "{told:#?}");
    assert_eq!(table.lines().filter(|line| line.starts_with("≥ ")).count(), tries, "{table}");
    // From the execution's side it is the same story.
    let execution = find(&told, "execution dispatched")["id"].as_str().unwrap();
    find(&entries(folder.path(), &[execution]), "lease acquired");
    let missing = run(folder.path(), &["timeline", "payments:order-7732x"]).expect_code(4).stderr;
    assert!(missing.contains("did you mean"), "{missing}");
}

#[test]
fn operators_acts_are_told_with_who_why_and_which_operation() {
    let folder = demo();
    let key = "payments:order-7731";
    let acts: [(&[&str], &str, &str); 3] = [
        (&["reconcile", key, "--complete", "{}"], key, "completed by an operator"),
        (
            &["dlq", "replay", "77470000-c4a6-4000-8000-000000000001"],
            "77470000-c4a6-4000-8000-000000000000",
            "dead letter 77470000-c4a6-4000-8000-000000000001 replayed as task ",
        ),
        (
            &["saga", "abort", "00001e3c-d001-4e4e-a000-1e3cfadedcab"],
            "order-7740",
            "abort by an operator at step charge",
        ),
    ];
    for (act, id, what) in acts {
        let act: Vec<&str> = act.iter().chain(&["--yes", "--reason", "INC-482", "-o", "json"]).copied().collect();
        let report = run(folder.path(), &act).expect_code(0).json();
        let told = entries(folder.path(), &[id, "--limit", "0"]);
        let entry = told.iter().find(|entry| entry["what"].as_str().unwrap().starts_with(what));
        let entry = entry.unwrap_or_else(|| panic!("no {what:?} in {told:#?}"));
        assert_eq!((&entry["why"], &entry["operation"]), (&"INC-482".into(), &report["operation"]), "{entry}");
        assert!(entry["who"].as_str().is_some_and(|who| !who.is_empty()), "{entry}");
        // The row that the act wrote has its time.
        assert_ne!(entry["clock"], "after", "{entry}");
    }
}

#[test]
fn an_act_without_a_stored_time_has_that_of_the_journal_or_is_marked() {
    let folder = demo();
    let id = "77470000-c4a6-4000-8000-000000000001";
    let file = folder.path().join("letters.jsonl");
    let args = ["dlq", "discard", id, "--yes", "--export", file.to_str().unwrap(), "-o", "json"];
    let by = |user: &str, args: &[&str]| {
        let state = folder.path().join(user);
        let asked = sen(args).cwd(folder.path()).database("sqlite:sen-demo.db");
        asked.env("XDG_STATE_HOME", state.to_str().unwrap()).run().expect_code(0)
    };
    let report = by("maria", &args).json();
    let ask = ["timeline", "77470000-c4a6-4000-8000-000000000000", "-o", "json"];
    let act = |told: &Value| {
        let told = told.as_array().unwrap();
        let place = told.iter().position(|entry| entry["operation"] == report["operation"]);
        (place.unwrap_or_else(|| panic!("no act in {told:#?}")), told.len())
    };
    let told = by("maria", &ask).json();
    let (place, all) = act(&told);
    // It was the last thing to happen.
    assert_eq!((place, &told[place]["clock"]), (all - 1, &"journal".into()), "{told:#}");
    assert!(told[place]["at"].as_str() > told[place - 1]["at"].as_str(), "{told:#}");
    // Of another user only what the tables say is known.
    let told = by("ben", &ask).json();
    assert_eq!(told[act(&told).0]["clock"], "after", "{told:#}");
    let table = by("ben", &ask[..2]).stdout;
    let line = table.lines().find(|line| line.contains("discarded")).unwrap();
    assert!(line.starts_with("≥ "), "{table}");
}

#[test]
fn a_time_and_a_number_can_be_asked_for() {
    let folder = demo();
    let key = "payments:order-7731";
    let all = entries(folder.path(), &[key, "--limit", "0"]);
    let middle = all[all.len() / 2]["at"].as_str().unwrap();
    let late = entries(folder.path(), &[key, "--limit", "0", "--since", middle]);
    let early = entries(folder.path(), &[key, "--limit", "0", "--until", middle]);
    assert_eq!([early.clone(), late].concat(), all);
    // The newest of those that match.
    let two = entries(folder.path(), &[key, "--limit", "2", "--until", middle]);
    assert_eq!(two, early[early.len() - 2..]);
    let cut = run(folder.path(), &["timeline", key, "--limit", "1"]).expect_code(0);
    assert!(cut.stdout.lines().count() == 2 && cut.stderr.contains("older entries exist"), "{}", cut.transcript());
    run(folder.path(), &["timeline", key, "--until", "2000-01-01", "--fail-if-empty"]).expect_code(4);
    let csv = run(folder.path(), &["timeline", key, "-o", "csv"]).expect_code(0).stdout;
    assert!(csv.starts_with("at,system,what,state,who,reason,kind,id,why,error,operation,clock"), "{csv}");
}

#[test]
fn the_history_of_a_key_can_be_asked_for_by_time() {
    let folder = demo();
    let key = "payments:order-7731";
    let history = |args: &[&str]| {
        let args: Vec<&str> = ["history", key, "-o", "json"].iter().chain(args).copied().collect();
        let told = run(folder.path(), &args).expect_code(0).json();
        told.as_array().unwrap().clone()
    };
    let all = history(&[]);
    let last = all.last().unwrap()["at"].as_str().unwrap();
    assert_eq!([history(&["--until", last]), history(&["--since", last])].concat(), all);
    assert_eq!(history(&["--since", "1s"]), Vec::<Value>::new());
    assert_eq!(history(&["--until", last, "--limit", "1"]), all[all.len() - 2..all.len() - 1]);
}
