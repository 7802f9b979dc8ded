//! What `sen inspect`, `sen list` and `sen history` print as JSON, compared field by field with the library's word.

use serde_json::{Value, json};

use crate::harness::sen::{Output, sen};

/// Fields that are the same for as long as nobody acts on the key.
const STEADY: &[&str] = &["key", "status", "owner_id", "hard_expires_at", "ttl_ms", "execution_result"];

/// Fields that heartbeats move forward.
const MOVING: &[&str] = &["lease_expires_at", "lease_updated_at"];

/// Asks `sen` everything of every key between two readings of the truth, and compares.
pub(crate) fn compare(url: &str, env: &[(&str, &str)], truth: &dyn Fn() -> Value, made: &[&Value]) {
    let ask = |args: &[&str]| {
        let run = env.iter().fold(sen(args).database(url), |run, (name, value)| run.env(name, value));
        run.run()
    };
    let before = truth();
    let leases = before["leases"].as_object().expect("the truth has leases");
    let inspected: Vec<(&str, Output)> =
        leases.keys().map(|key| (key.as_str(), ask(&with_key(&["inspect", "-o", "json"], key)))).collect();
    let list = ask(&["list", "-o", "json", "--limit", "0"]).expect_code(0).json();
    let after = truth();

    for (key, output) in inspected {
        let shown = output.expect_code(0).json();
        let (then, now) = (&leases[key], &after["leases"][key]);
        lease(&shown, then, now, env);
        assert_eq!(shown["subject"], format!("sentinel:lease:{key}"));
        assert_eq!(shown["system"], "sentinel");
        verdict(&shown["verdict"], then, now, &shown);
        newest_events(&shown["events"], &after["history"][key]);
        assert!(shown["observed_at"].as_str().is_some_and(is_utc), "{shown}");
    }

    let rows = list.as_array().expect("a list is an array");
    let mut listed: Vec<&str> = rows.iter().filter_map(|row| row["key"].as_str()).collect();
    listed.sort_unstable();
    let mut known: Vec<&str> = leases.keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(listed, known);
    for row in rows {
        let key = row["key"].as_str().expect("a key is text");
        lease(row, &leases[key], &after["leases"][key], env);
        assert_eq!(row["state"], leases[key]["state"], "{row}");
    }

    for made in made {
        for entry in made["keys"].as_array().expect("the maker names its keys") {
            let key = entry["key"].as_str().expect("a key is text");
            assert_eq!(leases[key]["state"], entry["state"], "the maker and the library disagree on {key}");
        }
    }
    histories(&ask, &before, made);
}

fn histories(ask: &dyn Fn(&[&str]) -> Output, truth: &Value, made: &[&Value]) {
    let history = |key: &str| ask(&with_key(&["history", "-o", "json", "--limit", "0"], key));
    for key in truth["leases"].as_object().into_iter().flatten().map(|(key, _)| key) {
        // A key without events (0.4.x wrote none) has an empty history, not a missing one.
        assert_eq!(plain(history(key).expect_code(0).json()), events(&truth["history"][key]), "{key}");
    }
    let gone = made.iter().flat_map(|made| made["gone"].as_array().into_iter().flatten().filter_map(Value::as_str));
    for key in gone.chain(["never-seen"]) {
        ask(&with_key(&["inspect", "-o", "json"], key)).expect_code(4);
        match &truth["history"][key] {
            Value::Null => drop(history(key).expect_code(4)),
            told => assert_eq!(plain(history(key).expect_code(0).json()), events(told), "{key}"),
        }
    }
}

/// The command line with its key, after `--` where the key would be taken for an option.
fn with_key<'a>(words: &[&'a str], key: &'a str) -> Vec<&'a str> {
    let separator = key.starts_with('-').then_some("--");
    words.iter().copied().chain(separator).chain([key]).collect()
}

fn lease(shown: &Value, then: &Value, now: &Value, env: &[(&str, &str)]) {
    for field in STEADY {
        assert_eq!(shown.get(field), then.get(field), "{field} under {env:?}: {shown}");
    }
    // The lease of a finished key runs out while it is looked at.
    let alive = &shown["lease_alive"];
    assert!(alive == &then["lease_alive"] || alive == &now["lease_alive"], "lease_alive under {env:?}: {shown}");
    for field in MOVING {
        let (seen, first, last) = (shown[field].as_str(), then[field].as_str(), now[field].as_str());
        // RFC 3339 with a fixed number of digits sorts as text.
        assert!(first <= seen && seen <= last, "{field} under {env:?}: {first:?} <= {seen:?} <= {last:?}");
    }
    for field in MOVING.iter().chain(&["hard_expires_at"]) {
        assert!(shown[field].as_str().is_none_or(is_utc), "{field}: {shown}");
    }
    assert_eq!(shown["fencing_token"], then["fencing_token"].to_string(), "{shown}");
    let key = shown["key"].as_str().expect("a key is text");
    assert_eq!(shown.get("namespace"), Some(&json!(key.split_once(':').map(|(namespace, _)| namespace))));
}

fn verdict(verdict: &Value, then: &Value, now: &Value, shown: &Value) {
    assert_eq!(then["state"], now["state"], "the state moved while it was looked at: make it last longer");
    assert_eq!(verdict["state"], then["state"], "{shown}");
    assert!(["ok", "pending", "warning", "critical"].iter().any(|name| verdict["severity"] == *name), "{verdict}");
    assert!(verdict["summary"].as_str().is_some_and(|text| !text.is_empty()), "{verdict}");
    assert!(verdict["evidence"].as_array().is_some_and(|list| list.iter().all(Value::is_string)), "{verdict}");
    let complete = |next: &Value| next["command"].is_string() && next["why"].is_string();
    assert!(verdict["next"].as_array().is_some_and(|list| list.iter().all(complete)), "{verdict}");
}

/// The events of `inspect` are the last ones of the history, in the same order; at least one if there is one. Where no
/// events are kept at all they are null.
fn newest_events(shown: &Value, told: &Value) {
    if shown.is_null() && told.is_null() {
        return;
    }
    let (Value::Array(all), Value::Array(some)) = (events(told), plain(shown.clone())) else {
        panic!("events are a list: {shown}")
    };
    assert!(all.ends_with(&some) && some.is_empty() == all.is_empty(), "{shown} does not end {all:?}");
}

/// Events as shown, without what each means in words: the library has none.
fn plain(mut shown: Value) -> Value {
    for event in shown.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        assert!(event.remove("meaning").is_some_and(|meaning| meaning.is_string()), "{event:?}");
    }
    shown
}

/// The library's events in the contract's form: 64-bit numbers as strings; who and why are noted by `sen` only.
fn events(told: &Value) -> Value {
    let text = |value: &Value| if value.is_null() { Value::Null } else { json!(value.to_string()) };
    let list = told.as_array().into_iter().flatten();
    list.map(|event| {
        json!({
            "id": text(&event["id"]),
            "key": event["key"],
            "event": event["event"],
            "at": event["occurred_at"],
            "fencing_token": text(&event["fencing_token"]),
            "owner_id": event["owner_id"],
            "who": null,
            "why": null,
            "metadata": event["metadata"],
        })
    })
    .collect()
}

/// `2026-11-20T20:16:00.123456Z`
fn is_utc(text: &str) -> bool {
    text.len() == 27 && text.ends_with('Z') && text.as_bytes()[10] == b'T' && text.as_bytes()[19] == b'.'
}
