//! What runs again: a step between two tries, and what a killed worker leaves. The real libraries, in both stores; what is said
//! is compared with what then happens.

use crate::harness::patience::until;
use crate::harness::peers::{self, Peer};
use crate::harness::python::Environment;
use crate::why::rules;
use crate::{Place, cells};

fn dispatched(library: &Environment, place: &Place<'_>, words: &[&str]) -> String {
    let made = peers::ask(library, "stent/flow.py", &[&[&place.for_library(), "dispatch"], words].concat());
    made["id"].as_str().unwrap().to_owned()
}

/// Which try of how many failed, why, and when the next one is due.
#[test]
fn a_step_between_two_tries_says_which_why_and_when() {
    for (library, place) in cells() {
        let id = dispatched(library, &place, &["patient", "\"order-7\""]);
        let _worker = Peer::start(library, "stent/worker.py", &[&place.for_library(), "--ready"]);
        until("a try fails", || place.count("tasks WHERE state = 'pending' AND retries > 0") == 1);
        assert_eq!(rules(&place, &[], &id), ["proven retry_backoff"]);
        let shown = place.json(&["exec", "show", &id]);
        let why = place.json(&["why", &id])["chain"][0]["causes"][0]["summary"].as_str().unwrap().to_owned();
        let summary = shown["verdict"]["summary"].as_str().unwrap();
        for told in [summary, &why] {
            assert!(told.contains("flows:stubborn failed at try 1 of 4"), "{told}");
            assert!(told.contains("gateway closed for order-7"), "{told}");
            assert!(told.contains("the next try is due in 5"), "in less than an hour: {told}");
        }
        let step = place.json(&["task", "list", "--execution", &id, "--step", "stubborn"]);
        let task = place.json(&["task", "show", step[0]["id"].as_str().unwrap()]);
        assert_eq!(task["verdict"]["summary"], "it waits for its next try");
        assert!(task["verdict"]["evidence"].to_string().contains("failed at try 1 of 4"), "{task:#}");
        place.sen(&["status", "--check"]).expect_code(0);
    }
}

/// A worker that takes the work of a killed one up runs the orchestrator, the lost step and what is not idempotent again.
#[test]
fn what_a_killed_worker_leaves_runs_again_as_is_said() {
    for (library, place) in cells() {
        let id = dispatched(library, &place, &["parcel", "\"order-7\""]);
        let victim = Peer::start(library, "stent/worker.py", &[&place.for_library(), "--ready", "--id", "victim"]);
        let running = "tasks WHERE state = 'running' AND step_name = 'flows:hang'";
        until("it hangs in its last step", || place.count(running) == 1);
        victim.kill();
        // Some minutes later (its leases are moved).
        place.leases_are_over("victim");
        assert_eq!(place.json(&["exec", "show", &id])["verdict"]["state"], "lost");
        assert_eq!(place.json(&["task", "list", "--state", "lost"]).as_array().unwrap().len(), 2);
        assert_eq!(rules(&place, &[], &id), ["likely worker_gone"]);
        // Its age counts from the end of the lease (which was moved before everything else here), not from its creation.
        let status = place.json(&["status"]).to_string();
        let told = status.split("\"kind\":\"task\"").nth(1).unwrap();
        let oldest = told.split("\"oldest\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let lost = place.json(&["task", "list", "--state", "lost"]);
        assert_eq!(oldest, lost[0]["lease_expires_at"].as_str().unwrap(), "{status}");
        let again = "the next worker to poll runs flows:parcel again from the start, with its finished step flows:charge, which \
                     is not idempotent; flows:hang may run twice more: its lost task again, and a new one by the restarted \
                     flows:parcel (cancelling the execution prevents it)";
        let shown = place.json(&["exec", "show", &id])["verdict"]["evidence"].to_string();
        assert!(shown.contains(again), "{shown}");
        let why = place.json(&["why", &id])["chain"][0]["causes"][0]["summary"].as_str().unwrap().to_owned();
        assert!(why.starts_with("worker victim stopped renewing its leases") && why.contains(again), "{why}");
        // As it then happens.
        let ran = |step: &str| place.count(&format!("tasks WHERE step_name = 'flows:{step}'"));
        let runs = || (ran("charge"), ran("reserve"), ran("hang"));
        assert_eq!(runs(), (1, 1, 1));
        let _worker = Peer::start(library, "stent/worker.py", &[&place.for_library(), "--ready", "--id", "next"]);
        until("it is taken up", || ran("hang") == 2);
        assert_eq!(runs(), (2, 1, 2));
        let taken =
            "tasks WHERE worker_id = 'next' AND state = 'running' AND step_name IN ('flows:parcel', 'flows:hang')";
        until("the lost step runs, too", || place.count(taken) == 3);
    }
}
