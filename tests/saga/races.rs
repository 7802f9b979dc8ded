//! Acts against workers that poll all the while: nothing that is over changes, nothing is lost, the loser is told.
//!
//! The full size is 500 races of each act.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::place::{Place, VERSIONS};
use crate::harness::patience::until;
use crate::harness::scale::sized;

/// Races of each act.
fn races() -> usize {
    sized(50, 500)
}

/// Sagas that are due at this moment, so that the poll and the act meet; then both at once.
fn race(place: &mut Place, act: &str, more: &[&str], saga: &str, plan: Value, make_due: &str) -> BTreeMap<String, u64> {
    let count = races();
    let order = format!("race-{act}");
    let ids = place.ask(json!({"do": "start_many", "order": order, "count": count, "saga": saga, "plan": plan}));
    let ids: Vec<String> =
        ids.as_array().expect("a list").iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    place.psql(&format!(
        "INSERT INTO shop_control SELECT aggregation_id, 'charge', 'ok' FROM order_saga
        WHERE aggregation_id LIKE '{order}-%' ON CONFLICT DO NOTHING"
    ));
    let mut workers = [place.peer(), place.peer()];
    for worker in &mut workers {
        assert!(worker.send(&json!({"do": "poll", "limit": 3})).get("ok").is_some());
    }
    place.psql(&format!("UPDATE order_saga SET {make_due} WHERE aggregation_id LIKE '{order}-%'"));
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut applied = Vec::new();
    for part in ids.chunks(10) {
        let words: Vec<&str> =
            ["saga", act].into_iter().chain(part.iter().map(String::as_str)).chain(more.iter().copied()).collect();
        let output = place.sen(&words).run();
        assert!([0, 3, 5].contains(&output.code), "{}", output.stderr);
        for item in output.json()["results"].as_array().expect("a list") {
            let outcome = item["outcome"].as_str().expect("an outcome").to_owned();
            if outcome == "applied" {
                let subject = item["subject"].as_str().expect("a subject");
                applied.push(subject.rsplit(':').next().expect("an id").to_owned());
            }
            *told.entry(outcome).or_default() += 1;
        }
    }
    // Whatever is due still is picked up before the worker rests.
    let going = format!(
        "SELECT count(*) FROM order_saga WHERE aggregation_id LIKE '{order}-%'
            AND status::text NOT IN ('COMPLETED', 'FAILED', 'COMPENSATED', 'TIMEOUT')"
    );
    until("every saga's end", || place.psql(&going) == "0");
    for mut worker in workers {
        let rested = worker.send(&json!({"do": "rest"}));
        assert!(rested.get("ok").is_some(), "the poll went on to its end: {rested}");
        worker.kill();
    }
    assert_eq!(told.values().sum::<u64>(), count as u64, "each is told of: {told:?}");
    for id in &ids {
        let saga = place.saga(id);
        let records = saga["history"].as_array().expect("a list").iter();
        let records = records.filter(|entry| entry["input"].get("_sen").is_some()).count();
        let written = applied.contains(id);
        assert_eq!(records, usize::from(written), "one record for one act: {saga}");
        let effects = saga["effects"].to_string();
        let status = saga["status"].as_str().expect("a status");
        match act {
            // What the worker has ended stays ended; what was aborted is never carried on.
            "abort" => {
                assert_eq!(status, if written { "FAILED" } else { "COMPLETED" }, "{saga}");
                // A step in flight runs to its end; what it comes to is not accepted any more.
                let shipped = saga["history"].as_array().expect("a list").iter();
                let shipped =
                    shipped.filter(|entry| entry["step_id"] == "ship" && entry["status"] == "SUCCESS").count();
                assert!(!written || shipped == 0, "{saga}");
            }
            "compensate" => {
                let undone = if place.is_new() { "COMPENSATED" } else { "FAILED" };
                assert_eq!(status, if written { undone } else { "COMPLETED" }, "{saga}");
            }
            _ => assert_eq!(status, "COMPLETED", "{saga}"),
        }
        assert!(effects.matches("execute ship").count() <= 1, "no step behind the race ran twice: {saga}");
    }
    told
}

#[test]
fn acts_race_with_workers_that_poll() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let now = "deadline_at = now()";
        let waiting = || json!({"charge": "fail"});
        let output = r#"{"charge": "c", "amount": 1}"#;
        let mut report = Vec::new();
        report.push(("retry", race(&mut place, "retry", &["--yes"], "order", waiting(), now)));
        report.push(("abort", race(&mut place, "abort", &["--yes"], "order", waiting(), now)));
        report.push(("compensate", race(&mut place, "compensate", &["--yes"], "order", waiting(), now)));
        let skip = ["--yes", "--result", output, "--force"];
        report.push(("skip", race(&mut place, "skip", &skip, "order", waiting(), now)));
        // A worker that wakes up between two steps against `unstick`: the row changes at the same moment.
        let stuck = "status = 'RUNNING', deadline_at = NULL, updated_at = now() - interval '1 hour'";
        report.push(("unstick", race(&mut place, "unstick", &["--yes"], "order", waiting(), stuck)));
        report.push(("notify", notify(&mut place)));
        for (act, told) in report {
            println!("{} {act}: {told:?}", version.name);
        }
    }
}

/// One at a time, for that is how events come, while what is waited for runs out of time here and there.
fn notify(place: &mut Place) -> BTreeMap<String, u64> {
    let count = races();
    let plan = if place.is_new() { json!({"charge": "await:3600"}) } else { json!({"charge": "fail"}) };
    let ids =
        place.ask(json!({"do": "start_many", "order": "race-notify", "count": count, "saga": "order", "plan": plan}));
    if !place.is_new() {
        place.psql(
            "INSERT INTO shop_control SELECT aggregation_id, 'charge', 'ok' FROM order_saga
            WHERE aggregation_id LIKE 'race-notify-%' ON CONFLICT DO NOTHING",
        );
    }
    let mut worker = place.peer();
    worker.send(&json!({"do": "poll", "limit": 1}));
    place.psql(&format!(
        "UPDATE order_saga SET deadline_at = now() + random() * {count} * interval '50 milliseconds'
        WHERE aggregation_id LIKE 'race-notify-%'"
    ));
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut applied = Vec::new();
    for (n, id) in ids.as_array().expect("a list").iter().enumerate() {
        let id = id.as_str().expect("an id");
        let (about, event) = (format!("race-notify-{n}"), ["--type", "charge.confirmed", "--correlation"]);
        let mut words = vec!["saga", "notify", id, "--payload", "{}"];
        if place.is_new() {
            words.extend(event);
            words.push(&about);
        }
        let output = place.sen(&words).run();
        assert!([0, 5].contains(&output.code), "{}", output.stderr);
        let outcome = output.json()["results"][0]["outcome"].as_str().expect("text").to_owned();
        if outcome == "applied" {
            applied.push(id.to_owned());
        }
        *told.entry(outcome).or_default() += 1;
    }
    let going = "SELECT count(*) FROM order_saga WHERE aggregation_id LIKE 'race-notify-%'
        AND status::text NOT IN ('COMPLETED', 'TIMEOUT')";
    until("every saga's end", || place.psql(going) == "0");
    assert!(worker.send(&json!({"do": "rest"})).get("ok").is_some());
    worker.kill();
    for id in ids.as_array().expect("a list") {
        let id = id.as_str().expect("an id");
        let saga = place.saga(id);
        let late = place.is_new() && !applied.iter().any(|applied| applied == id);
        assert_eq!(saga["status"], if late { "TIMEOUT" } else { "COMPLETED" }, "{saga}");
        let shipped = saga["effects"].to_string().matches("execute ship").count();
        assert_eq!(shipped, usize::from(!late), "{saga}");
    }
    told
}

/// Two operators at once: each saga is written by one of them, and the other is told.
#[test]
fn two_operators_do_not_both_act() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let count = races() / 2;
        let ids = place.ask(json!({"do": "start_many", "order": "two", "count": count, "saga": "order",
            "plan": {"charge": "fail"}}));
        let ids: Vec<&str> = ids.as_array().expect("a list").iter().map(|id| id.as_str().expect("an id")).collect();
        place.psql(
            "UPDATE order_saga SET status = 'RUNNING', deadline_at = NULL, updated_at = now() - interval '1 hour'",
        );
        let words: Vec<&str> = ["saga", "unstick"].into_iter().chain(ids.iter().copied()).chain(["--yes"]).collect();
        let both = [place.sen(&words).start(), place.sen(&words).start()];
        let mut applied: Vec<String> = Vec::new();
        for running in both {
            let output = running.finish();
            assert!([0, 3, 5].contains(&output.code), "{}", output.stderr);
            let json = output.json();
            let results = json["results"].as_array().expect("a list");
            assert_eq!(results.len(), count, "each is told of");
            let done = results.iter().filter(|item| item["outcome"] == "applied");
            applied.extend(done.map(|item| item["subject"].as_str().expect("a subject").to_owned()));
        }
        applied.sort();
        applied.dedup();
        assert_eq!(applied.len(), count, "each is written once");
        for id in ids {
            let saga = place.saga(id);
            let history = saga["history"].as_array().expect("a list");
            assert_eq!(history.iter().filter(|entry| entry["input"].get("_sen").is_some()).count(), 1, "{saga}");
        }
    }
}
