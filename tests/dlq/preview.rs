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

/// Steps below steps go with them: they run again with what calls them, unless its result is kept.
#[test]
fn steps_below_steps_are_foreseen_as_they_happen() {
    for (library, place) in [
        (&STENT_112, Place::empty_postgres()),
        (&STENT_112, Place::empty_sqlite()),
        (&SENPUKI_030, Place::empty_postgres()),
        (&SENPUKI_030, Place::empty_sqlite()),
    ] {
        let url = place.for_library();
        let id = peers::ask(library, "stent/flow.py", &[&url, "nested"])["id"].as_str().unwrap().to_owned();
        let letters = place.json(&["dlq", "list", "--kind", "orchestrator"], 0);
        let letter = letters[0]["id"].as_str().unwrap();
        let ran = || {
            let of =
                |step: &str| place.count(&format!("tasks WHERE step_name = 'flows:{step}' AND execution_id = '{id}'"));
            ["pack", "charge", "reserve", "settle", "flaky"].map(of)
        };
        assert_eq!(ran(), [1, 2, 1, 1, 1]);
        let expected = json!([
            ["flows:charge", "runs_again", 1],
            ["flows:pack", "runs_again", 1],
            ["flows:flaky", "tried_again", 1],
            ["flows:reserve", "answered", 1],
            ["flows:settle", "answered", 1],
        ]);
        let foreseen = |steps: &Value| -> Value {
            steps.as_array().unwrap().iter().map(|one| json!([one["step"], one["effect"], one["count"]])).collect()
        };
        let shown = place.json(&["dlq", "show", letter], 0);
        assert_eq!(foreseen(&shown["replay_steps"]), expected, "{shown:#}");
        assert_eq!(shown["replay_steps_complete"], true);
        let plan = place.json(&["dlq", "replay", letter, "--dry-run"], 0);
        assert_eq!(
            (foreseen(&plan["replay_steps"]), &plan["replay_steps_not_shown"]),
            (expected, &Value::Null),
            "{plan}"
        );
        place.json(&["dlq", "replay", letter], 0);
        peers::ask(library, "stent/flow.py", &[&url, "heal"]);
        assert_eq!(place.sql(&format!("SELECT state FROM executions WHERE id = '{id}'")), "completed");
        assert_eq!(ran(), [2, 3, 1, 1, 2]);
    }
}

/// The preview is bounded, and says so on the screen and in data.
#[test]
fn what_a_preview_does_not_show_is_told() {
    for place in [Place::empty_postgres(), Place::empty_sqlite()] {
        place.letters(&STENT_112, 1003, &[]);
        let plan = place.json(&["dlq", "replay", "--all", "--dry-run"], 0);
        assert_eq!(plan["replay_steps_not_shown"], json!({"targets": 3, "tasks_beyond": null}), "{plan}");
        let page = place.command(&["dlq", "replay", "--all", "--dry-run"]).run().expect_code(0).stdout;
        assert!(page.contains("… the steps of 3 more are not shown"), "{page}");
        // One whose execution has more tasks than are looked at (they are multiplied here).
        let letter = place.json(&["dlq", "list", "--limit", "1"], 0)[0]["id"].as_str().unwrap().to_owned();
        place.sql(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20001)
            INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, retries, tags, priority)
            SELECT 'many-' || i, (SELECT execution_id FROM tasks WHERE id = '{letter}'), 'flows:square', 'activity', '{letter}',
                'completed', 0, '[]', 0 FROM n"
        ));
        let shown = place.json(&["dlq", "show", &letter], 0);
        assert_eq!(
            (&shown["replay_steps"][0]["count"], &shown["replay_steps_complete"]),
            (&json!(20000), &json!(false))
        );
        assert!(shown["verdict"]["evidence"].to_string().contains("more than 20000 tasks"), "{shown:#}");
        let plan = place.json(&["dlq", "replay", &letter, "--dry-run"], 0);
        assert_eq!(plan["replay_steps_not_shown"], json!({"targets": 0, "tasks_beyond": 20000}), "{plan}");
        let page = place.command(&["dlq", "replay", &letter, "--dry-run"]).run().expect_code(0).stdout;
        assert!(page.contains("… there are more than 20000 tasks"), "{page}");
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
