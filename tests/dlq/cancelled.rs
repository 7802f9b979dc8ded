//! An execution that was cancelled while a worker was at a step of it: the library marks it failed and leaves a dead letter, although
//! nothing of it has failed and the step goes on. What is said of that, and what a replay asks for.

use serde_json::{Value, json};

use super::acts::until;
use super::place::Place;
use crate::harness::patience::{longer, shown};
use crate::harness::peers::{self, Peer, SENPUKI_030, STENT_112};
use crate::harness::python::Environment;

fn causes(place: &Place, id: &str) -> Vec<Value> {
    let told = place.json(&["why", id], 0);
    told["chain"][0]["causes"].as_array().unwrap_or_else(|| panic!("no causes: {told:#}")).clone()
}

/// That the only cause is the cancel, not called proven, and that no replay is offered.
fn is_told_as_cancelled(place: &Place, id: &str) -> String {
    let told = causes(place, id);
    let named: Vec<(&str, &str)> = told
        .iter()
        .map(|cause| (cause["rule"].as_str().unwrap_or_default(), cause["certainty"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(named, [("stopped_by_cancel", "likely")], "{id}: {told:#?}");
    for page in [place.json(&["why", id], 0), place.json(&["inspect", id], 0)] {
        let page = page.to_string();
        assert!(!page.contains("sen dlq replay") && !page.contains("raised"), "{page}");
    }
    told[0]["summary"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_cancel_stopped_has_not_failed_and_is_not_replayed_unasked() {
    for (library, place, own) in [
        (&STENT_112, Place::empty_postgres(), false),
        (&SENPUKI_030, Place::empty_sqlite(), false),
        (&STENT_112, Place::empty_sqlite(), true),
        (&STENT_112, Place::empty_postgres(), true),
        (&SENPUKI_030, Place::empty_postgres(), false),
    ] {
        let url = place.for_library();
        let made = peers::ask(library, "stent/flow.py", &[&url, "dispatch", "slowly", "3600"]);
        let id = made["id"].as_str().unwrap();
        let _worker = Peer::start(library, "stent/worker.py", &[&url, "--ready"]);
        let step = |state: &str| place.count(&format!("tasks WHERE step_name = 'flows:hang' AND state = '{state}'"));
        until("the step", || step("running") == 1);
        if own {
            peers::ask(library, "stent/flow.py", &[&url, "cancel", id]);
        } else {
            place.json(&["exec", "cancel", id, "--yes", "--reason", "INC-9"], 0);
        }
        until("its dead letter", || {
            place.count("dead_tasks") == 1 && place.count("executions WHERE state = 'failed'") == 1
        });
        let letter = place.sql("SELECT id FROM dead_tasks");
        let task = place.sql("SELECT id FROM tasks WHERE step_name = 'flows:hang'");
        assert_eq!(step("failed"), 1, "it is still running, whatever its row says");

        // What was cancelled has not failed in the numbers either, and what an operator did is not the work of a worker.
        let stats = place.json(&["stats"], 0);
        let hang = stats["systems"][0]["steps"].as_array().unwrap().iter().find(|step| step["step"] == "flows:hang");
        let hang = hang.unwrap_or_else(|| panic!("{stats:#}"));
        assert_eq!((&hang["failed"], &hang["cancelled"]), (&json!(0), &json!(1)), "{stats:#}");
        let told = place.json(&["exec", "show", id], 0);
        let acts = told["acts"].as_array().unwrap();
        assert_eq!(acts.len(), usize::from(!own), "{told:#}");
        if let Some(act) = acts.first() {
            assert_eq!((&act["what"], &act["why"]), (&json!("execution cancelled"), &json!("INC-9")), "{told:#}");
            assert!(act["who"].is_string() && !told["progress"].to_string().contains("sen operation"), "{told:#}");
        }

        let text = is_told_as_cancelled(&place, id);
        assert!(text.contains("flows:hang did not fail"), "{text}");
        assert!(text.contains(if own { "who did is not recorded" } else { "INC-9 (sen operation " }), "{text}");
        is_told_as_cancelled(&place, &task);
        is_told_as_cancelled(&place, &letter);

        let shown = place.json(&["dlq", "show", &letter], 0);
        assert_eq!(shown["verdict"]["state"], "stopped_by_cancel", "{shown:#}");
        assert_eq!(shown["replay_steps"][0]["effect"], "stopped_by_cancel", "{shown:#}");
        assert_eq!(place.json(&["dlq", "groups"], 0)[0]["replayable"], 0);
        // Asked for by its id or among all: it is left alone unless forced, and that wants a consent of its own.
        let refused = place.json(&["dlq", "replay", &letter, "--yes"], 5);
        assert!(refused["results"][0]["detail"].as_str().unwrap().contains("was cancelled"), "{refused}");
        place.json(&["dlq", "replay", "--all", "--yes"], 0);
        place.act(&["dlq", "replay", &letter, "--force"], 7);
        assert_eq!((place.count("dead_tasks"), place.count("tasks")), (1, 2), "nothing was written");
        let plan = place.json(&["dlq", "replay", &letter, "--force", "--dry-run"], 0);
        assert!(plan.to_string().contains("may still be running or have happened"), "{plan}");
        assert_eq!(plan["replay_steps"][0]["effect"], json!("stopped_by_cancel"), "{plan}");
    }
}

/// The step that was cancelled goes on: when it has ended, its row says so, and a replay would do it twice.
#[test]
fn what_a_cancel_stopped_and_has_happened_since_is_told() {
    let what = "a step that is cancelled before it ends";
    shown(what, |run| ends_after_its_cancel(&STENT_112, &Place::empty_sqlite(), run));
    shown(what, |run| ends_after_its_cancel(&SENPUKI_030, &Place::empty_postgres(), run));
}

/// The step takes the longer the more often it had ended before it could be cancelled.
fn ends_after_its_cancel(library: &'static Environment, place: &Place, run: u32) -> Option<()> {
    let url = place.for_library();
    let seconds = (longer(run) * 5 / 1000).to_string();
    let made = peers::ask(library, "stent/flow.py", &[&url, "dispatch", "slowly", &seconds]);
    let id = made["id"].as_str().unwrap();
    let _worker = Peer::start(library, "stent/worker.py", &[&url, "--ready"]);
    let step = |state: &str| place.count(&format!("tasks WHERE step_name = 'flows:hang' AND state = '{state}'"));
    until("the step", || step("running") + step("completed") == 1);
    if place.command(&["exec", "cancel", id, "--yes"]).run().code != 0 || step("completed") == 1 {
        return None;
    }
    until("its end", || step("completed") == 1 && place.count("dead_tasks") == 1);
    let letter = place.sql("SELECT id FROM dead_tasks");
    is_told_as_cancelled(place, id);
    let shown = place.json(&["dlq", "show", &letter], 0);
    assert_eq!(shown["verdict"]["state"], "stopped_by_cancel", "{shown:#}");
    assert_eq!(shown["replay_steps"][0]["effect"], "runs_again", "{shown:#}");
    place.act(&["dlq", "replay", &letter, "--yes"], 5);
    Some(())
}
