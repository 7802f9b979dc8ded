//! A cancel of an execution that waits for a signal: nothing of it goes on, whatever its worker does.

use std::time::{Duration, Instant};

use super::acts::until;
use super::place::Place;
use crate::harness::peers::{self, Peer, SENPUKI_030, STENT_112};

#[test]
fn a_cancelled_wait_for_a_signal_stays_cancelled() {
    for (library, place) in [(&STENT_112, Place::empty_postgres()), (&SENPUKI_030, Place::empty_sqlite())] {
        let url = place.for_library();
        let made = peers::ask(library, "stent/flow.py", &[&url, "dispatch", "approval", "{\"id\": 1}"]);
        let id = made["id"].as_str().unwrap();
        let worker = Peer::start(library, "stent/worker.py", &[&url]);
        until("the wait", || place.count("tasks WHERE kind = 'signal' AND state = 'pending'") == 1);
        let report = place.json(&["exec", "cancel", id, "--yes"], 0);
        let detail = report["results"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("left as they are: the wait for signal approve"), "{report}");
        // The live worker looks for the signal many times a second; its orchestrator does not go on.
        let open =
            "tasks WHERE (kind = 'signal' AND state = 'pending') OR (kind = 'orchestrator' AND state = 'running')";
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            assert_eq!(place.sql("SELECT state FROM executions"), "cancelled");
            assert_eq!(place.count(open), 2);
            std::thread::sleep(Duration::from_millis(100));
        }
        place.act(&["exec", "signal", id, "approve", "1"], 5);
        worker.kill();
        // Its lease is over (it is moved).
        place.sql("UPDATE tasks SET lease_expires_at = created_at WHERE state = 'running'");
        let _again = Peer::start(library, "stent/worker.py", &[&url, "--ready"]);
        until("the end of its orchestrator", || {
            place.count("tasks WHERE kind = 'orchestrator' AND state = 'failed'") == 1
        });
        assert_eq!(place.sql("SELECT state FROM executions WHERE result IS NULL"), "cancelled");
        assert_eq!(place.count("dead_tasks"), 0);
        // The wait is left and hinders nothing.
        let plan = place.json(&["exec", "cleanup", "--older-than", "1s", "--dry-run"], 0);
        assert_eq!((&plan["planned"], &plan["skipped"]), (&1.into(), &0.into()), "{plan}");
    }
}

/// An orchestrator that awaits a step is told that it failed, and goes on in its own way: that cannot be prevented, because a
/// worker would take up a step that was left and fail it just so. It is said before and after, also beside a wait for a signal.
#[test]
fn a_cancel_warns_where_error_handling_will_run() {
    for (library, place) in [(&STENT_112, Place::empty_postgres()), (&SENPUKI_030, Place::empty_sqlite())] {
        for (flow, waits) in [("forgiving", 0), ("either", 1)] {
            let url = place.for_library();
            let made = peers::ask(library, "stent/flow.py", &[&url, "dispatch", flow, "1"]);
            let id = made["id"].as_str().unwrap();
            // Nobody serves the queue of the step.
            let worker = Peer::start(library, "stent/worker.py", &[&url, "--queue", "main", "--ready"]);
            let open = |kind: &str| {
                place.count(&format!("tasks WHERE execution_id = '{id}' AND kind = '{kind}' AND state = 'pending'"))
            };
            until("the step", || open("activity") == 1 && open("signal") == waits);
            let plan = place.json(&["exec", "cancel", id, "--dry-run"], 0).to_string();
            assert!(plan.contains("may run its own error handling"), "{plan}");
            assert!(!plan.contains("nothing goes on"), "{plan}");
            let report = place.json(&["exec", "cancel", id, "--verify=10m", "--yes"], 5);
            let detail = report["results"][0]["detail"].as_str().unwrap();
            assert!(detail.contains("has overwritten that: it is completed now"), "{report}");
            let truth = peers::ask(library, "stent/truth.py", &[&url]);
            let result = truth["executions"][id]["result"].as_str().unwrap();
            assert!(result.starts_with("handled: ") && result.ends_with("Execution cancelled"), "{result}");
            worker.kill();
        }
    }
}
