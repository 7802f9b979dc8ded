//! Cancel and cleanup: guards, what is written, and what the real library makes of it.

use std::time::Duration;

use serde_json::Value;

use super::place::{Place, Seed};
use crate::harness::patience::{PATIENCE, longer, shown, until_within};
use crate::harness::peers::{self, Peer, SENPUKI_030, STENT_112};
use crate::harness::python::Environment;
use crate::harness::scale::sized;

fn item(report: &Value) -> (&str, &str) {
    let item = &report["results"][0];
    (item["outcome"].as_str().unwrap(), item["detail"].as_str().unwrap())
}

/// An execution in this state with a task in that one.
fn execution(place: &Place, state: &'static str, task: &str) {
    Seed { id: "x", execution: Some(state), ..Seed::default() }.plant(place);
    place.sql("DELETE FROM dead_tasks");
    place.sql(&format!("UPDATE tasks SET state = '{task}', completed_at = NULL"));
    place.sql("UPDATE executions SET error = NULL");
}

#[test]
fn what_has_not_ended_is_cancelled_with_its_tasks() {
    for state in ["pending", "running", "cancelling"] {
        for place in Place::both() {
            execution(&place, state, "running");
            let plan = place.json(&["exec", "cancel", "e-x", "--dry-run"], 0);
            assert_eq!(plan["planned"], 1);
            let both = place.json(&["exec", "cancel", "e-x", "nosuch", "--dry-run", "--expect", "1"], 3);
            let plan = &both["plan"]["header"]["plan"];
            assert_eq!((&plan["summary"], &plan["targets"]), (&"cancel 1 execution".into(), &1.into()), "{both}");
            let report = place.json(&["exec", "cancel", "e-x", "--reason", "INC-9", "--yes"], 0);
            assert!(item(&report).1.contains("1 of them running on w-1"), "{report}");
            let error = "7b225f5f747970655f5f223a2022457863657074696f6e22";
            let row = place.sql(&format!(
                "SELECT state, {} FROM executions WHERE completed_at IS NOT NULL",
                place.hex_of("error")
            ));
            assert!(row.starts_with(&format!("cancelled|{error}")), "{row}");
            let row = place
                .sql(&format!("SELECT state, {} FROM tasks WHERE completed_at IS NOT NULL", place.hex_of("error")));
            assert!(row.starts_with(&format!("failed|{error}")), "{row}");
            let record = place.sql("SELECT detail FROM execution_progress");
            assert!(
                record.starts_with(&format!("execution cancelled by {}", crate::harness::sen::operator()))
                    && record.contains("INC-9"),
                "{record}"
            );
            assert_eq!(item(&place.json(&["exec", "cancel", "e-x", "--yes"], 0)).0, "already_done");
        }
    }
}

#[test]
fn guard_what_has_ended_is_not_cancelled() {
    for state in ["completed", "failed", "timed_out"] {
        for place in Place::both() {
            execution(&place, state, "pending");
            let before = place.sql("SELECT * FROM executions");
            assert_eq!(item(&place.json(&["exec", "cancel", "e-x", "--yes"], 5)).0, "changed");
            assert_eq!(place.sql("SELECT * FROM executions"), before);
            assert_eq!(place.sql("SELECT state FROM tasks"), "pending");
        }
    }
    for place in Place::both() {
        place.act(&["exec", "cancel", "nosuch"], 4);
    }
}

#[test]
fn cleanup_counts_and_removes_what_ended_long_ago() {
    for place in Place::both() {
        for (id, state) in
            [("done", "completed"), ("dead", "failed"), ("live", "failed"), ("open", "running"), ("young", "completed")]
        {
            Seed { id, execution: Some(state), live: id == "live", ..Seed::default() }.plant(&place);
        }
        place.sql("DELETE FROM dead_tasks WHERE id <> 'dead'");
        place.sql("UPDATE executions SET completed_at = '2099-01-01T00:00:00' WHERE id = 'e-young'");
        for table in [
            "signals (execution_id, name)",
            "execution_counters (execution_id, name, value)",
            "execution_state (execution_id, key)",
        ] {
            let values = if table.contains("value") { "'e-done', 'n', 1" } else { "'e-done', 'n'" };
            place.sql(&format!("INSERT INTO {table} VALUES ({values})"));
        }
        place.sql("INSERT INTO execution_progress (execution_id, step) VALUES ('e-done', 's')");
        let plan = place.json(&["exec", "cleanup", "--older-than", "1h", "--dry-run"], 0);
        assert_eq!((&plan["planned"], &plan["skipped"]), (&1.into(), &2.into()), "{plan}");
        place.act(&["exec", "cleanup", "--older-than", "1h"], 7);
        place.act(&["exec", "cleanup", "--older-than", "1h", "--state", "running", "--yes"], 2);
        assert_eq!(
            place.json(&["exec", "cleanup", "--older-than", "1h", "--state", "cancelled", "--yes"], 0)["applied"],
            0
        );
        let report = place.json(&["exec", "cleanup", "--older-than", "1h", "--yes", "--expect", "1"], 0);
        assert_eq!((&report["applied"], &report["skipped"]), (&1.into(), &2.into()), "{report}");
        assert_eq!(place.sql("SELECT id FROM executions ORDER BY id"), "e-dead\ne-live\ne-open\ne-young");
        for table in ["tasks", "signals", "execution_counters", "execution_state", "execution_progress"] {
            assert_eq!(place.count(&format!("{table} WHERE execution_id = 'e-done'")), 0, "{table}");
        }
        assert_eq!(place.count("tasks WHERE execution_id = 'e-dead'"), 1);
    }
}

/// Waits until a condition holds; at full size that takes longer.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    until_within(PATIENCE.max(Duration::from_secs(sized(0, 900) as u64)), what, condition);
}

/// The step takes the longer the more often it had ended before it could be cancelled.
fn cancelled_beside_a_worker(place: &Place, library: &'static Environment, run: u32) -> Option<()> {
    let url = place.for_library();
    let seconds = (longer(run) as f64 * 1.5 / 1000.0).to_string();
    let made = peers::ask(library, "stent/flow.py", &[&url, "dispatch", "hang", &seconds]);
    let id = made["id"].as_str().unwrap();
    let worker = Peer::start(library, "stent/worker.py", &[&url]);
    assert_eq!(worker.made["step"], "flows:hang");
    // A worker claims the task first, and then marks the execution.
    until("the begin", || place.sql("SELECT state FROM executions") != "pending");
    let report =
        place.command(&["exec", "cancel", id, "--verify=10m", "-o", "json", "--yes"]).run().expect_code(5).json();
    if !item(&report).1.contains("overwritten") {
        return None;
    }
    assert_eq!(item(&report).0, "changed");
    assert!(item(&report).1.contains("completed"), "{report}");
    assert_eq!(place.sql("SELECT state FROM executions"), "completed");
    Some(())
}

#[test]
fn a_worker_that_overwrites_a_cancellation_is_reported() {
    let what = "a cancel beside a worker";
    shown(what, |run| cancelled_beside_a_worker(&Place::empty_postgres(), &STENT_112, run));
    shown(what, |run| cancelled_beside_a_worker(&Place::empty_sqlite(), &SENPUKI_030, run));
}

#[test]
fn a_cancellation_that_holds_is_verified_and_read_by_the_library() {
    for (place, codec) in [(Place::empty_postgres(), "pickle"), (Place::empty_sqlite(), "json")] {
        let url = place.for_library();
        let made = peers::ask(&STENT_112, "stent/flow.py", &[&url, "dispatch", "echo", "0", "--codec", codec]);
        let id = made["id"].as_str().unwrap();
        let report = place.json(&["exec", "cancel", id, "--verify", "--yes"], 0);
        assert!(item(&report).1.contains("verified: nothing was running"), "{report}");
        let worker = Peer::start(&STENT_112, "stent/worker.py", &[&url, "--codec", codec, "--until-idle", "--ready"]);
        drop(worker);
        let truth = peers::ask(&STENT_112, "stent/truth.py", &[&url, "--codec", codec]);
        let execution = &truth["executions"][id];
        assert_eq!((&execution["state"], &execution["result"]), (&"cancelled".into(), &Value::Null));
        assert_eq!(
            execution["error"]["message"].as_str().unwrap().trim_start_matches("Exception: "),
            "Execution cancelled"
        );
    }
}
