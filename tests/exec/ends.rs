//! How executions end when something is odd: a lost last commit, an exception that looks like an expiry.

use serde_json::json;

use crate::Place;
use crate::harness::peers::{self, SENPUKI_030, STENT_112};
use crate::harness::python::Environment;

/// A worker ends between "task completed" and "execution completed".
fn a_lost_end_is_settling_then_stranded_then_completed(library: &Environment, place: &Place<'_>) {
    let url = place.for_library();
    let made = peers::ask(library, "stent/flow.py", &[&url, "lose-end"]);
    let id = made["id"].as_str().unwrap();
    let shown = place.json(&["exec", "show", id]);
    assert_eq!(shown["verdict"]["state"], "settling", "{:#}", shown["verdict"]);
    place.sen(&["status", "--check"]).expect_code(0);
    let early = place.sen(&["exec", "complete", id]).expect_code(5);
    assert!(early.stdout.contains("less than a minute ago"), "{}", early.stdout);

    // A minute later (its times are moved).
    for (table, column) in
        [("tasks", "created_at"), ("tasks", "started_at"), ("tasks", "completed_at"), ("executions", "created_at")]
    {
        place.dated(table, column, id, 10);
    }
    place.sen(&["status", "--check"]).expect_code(10);
    let told = place.json(&["why", id]);
    let cause = &told["chain"][0]["causes"][0];
    assert_eq!((&cause["rule"], &cause["certainty"]), (&json!("stranded"), &json!("likely")), "{told:#}");
    assert_eq!(told["next"][0]["command"], format!("sen exec complete {id}"), "{told:#}");
    assert!(!told["next"].to_string().contains("cancel"), "{told:#}");
    let plan = place.json(&["exec", "complete", id, "--dry-run"]);
    assert_eq!(plan["planned"], 1);
    let report = place.json(&["exec", "complete", id, "--yes", "--reason", "INC-4"]);
    assert_eq!(report["applied"], 1, "{report:#}");
    let truth = place.truth(library, "json");
    let execution = &truth["executions"][id];
    assert_eq!(execution["state"], "completed");
    assert_eq!(execution["result"]["args"], json!(["done"]), "{execution:#}");
    assert!(execution["progress"].to_string().contains("execution completed with the result of task"), "{execution:#}");
    assert_eq!(place.json(&["exec", "complete", id])["already_done"], 1);
    place.sen(&["status", "--check"]).expect_code(0);
}

#[test]
fn a_lost_end_in_postgres() {
    a_lost_end_is_settling_then_stranded_then_completed(&STENT_112, &Place::postgres());
}

#[test]
fn a_lost_end_in_sqlite() {
    a_lost_end_is_settling_then_stranded_then_completed(&SENPUKI_030, &Place::sqlite());
}

/// `TimeoutError` under `max_duration` is stored as an expiry.
#[test]
fn a_timeout_error_is_not_called_an_expiry() {
    for (library, place) in [(&STENT_112, Place::postgres()), (&SENPUKI_030, Place::sqlite())] {
        let made = peers::ask(library, "stent/flow.py", &[&place.for_library(), "impatient"]);
        let id = made["id"].as_str().unwrap();
        let told = place.json(&["why", id]);
        let cause = &told["chain"][0]["causes"][0];
        assert_eq!((&cause["rule"], &cause["certainty"]), (&json!("raised_timeout"), &json!("likely")), "{told:#}");
        let shown = place.json(&["exec", "show", id]);
        assert_eq!(shown["status"], "timed_out");
        assert_eq!(shown["verdict"]["summary"], "it was ended as timed out, but before its expiry");
    }
}
