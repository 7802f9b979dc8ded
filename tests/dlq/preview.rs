//! What a replay says it will do with each step, and what the real library then does.

use serde_json::{Value, json};

use super::place::Place;
use crate::harness::peers::{self, SENPUKI_030, STENT_112};

#[test]
fn each_step_of_a_replay_is_foreseen_as_it_happens() {
    for (library, place) in [(&STENT_112, Place::empty_postgres()), (&SENPUKI_030, Place::empty_sqlite())] {
        let url = place.for_library();
        let id = peers::ask(library, "stent/flow.py", &[&url, "journey"])["id"].as_str().unwrap().to_owned();
        let letters = place.json(&["dlq", "list", "--kind", "orchestrator"], 0);
        let letter = letters[0]["id"].as_str().unwrap();
        let foreseen = |steps: &Value| -> Vec<(String, String)> {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            steps.as_array().unwrap().iter().map(|step| (text(&step["step"]), text(&step["effect"]))).collect()
        };
        let expected: Vec<(String, String)> = [
            ("flows:charge", "runs_again"),
            ("flows:flaky", "tried_again"),
            ("flows:reserve", "answered"),
            ("signal:approve", "signal_answered"),
        ]
        .map(|(step, effect)| (step.to_owned(), effect.to_owned()))
        .into();
        assert_eq!(foreseen(&place.json(&["dlq", "show", letter], 0)["replay_steps"]), expected);
        let plan = place.json(&["dlq", "replay", letter, "--dry-run"], 0);
        assert_eq!(foreseen(&plan["replay_steps"]), expected, "{plan}");
        let page = place.command(&["dlq", "replay", letter, "--dry-run"]).run().expect_code(0).stdout;
        assert!(page.contains("step flows:charge (1): completed; runs again"), "{page}");
        place.json(&["dlq", "replay", letter], 0);
        peers::ask(library, "stent/flow.py", &[&url, "heal"]);
        assert_eq!(place.sql(&format!("SELECT state FROM executions WHERE id = '{id}'")), "completed");
        let ran = |step: &str| place.count(&format!("tasks WHERE step_name = '{step}' AND execution_id = '{id}'"));
        assert_eq!(
            (ran("flows:charge"), ran("flows:reserve"), ran("signal:approve"), ran("flows:flaky")),
            (2, 1, 1, 2)
        );
    }
}

/// What a forced replay does does not depend on how many dead letters go into one transaction, and nobody else is accused.
#[test]
fn force_does_the_same_in_batches_of_any_size() {
    for batch in ["1", "500"] {
        for place in [Place::empty_postgres(), Place::empty_sqlite()] {
            peers::ask(&STENT_112, "stent/flow.py", &[&place.for_library(), "die", "4"]);
            let report = place.json(&["dlq", "replay", "--all", "--force", "--yes", "--batch", batch], 0);
            assert_eq!((&report["applied"], &report["changed"]), (&json!(8), &json!(0)), "batch {batch}: {report}");
            assert_eq!(place.count("dead_tasks"), 0);
        }
    }
}

/// Many operators at once: what another one has replayed is done, not "put back", and ends with 0.
#[test]
fn operators_at_once_are_told_the_truth_and_end_with_0() {
    for place in [Place::empty_postgres(), Place::empty_sqlite()] {
        place.letters(&STENT_112, 120, &[]);
        let words = ["dlq", "replay", "--all", "--yes", "--batch", "5", "-o", "json"];
        let running: Vec<_> = (0..6).map(|_| place.command(&words).start()).collect();
        let mut applied = 0;
        for one in running {
            let output = one.finish().expect_code(0);
            assert!(!output.stdout.contains("put back"), "{}", output.stdout);
            applied += output.json()["applied"].as_u64().unwrap();
        }
        assert_eq!((applied, place.count("dead_tasks")), (120, 0));
    }
}
