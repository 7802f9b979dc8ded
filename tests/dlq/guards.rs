//! Every guard of a replay and of a discard, in both stores: what it protects is planted after the plan was made, by an
//! operator's other hand, or stands there from the start and is forced or not. Each test fails when its guard is taken out.

use serde_json::Value;

use super::place::{Place, Seed};
use crate::harness::patience::{shown, until};

/// The tasks that replays made, and the letters left.
fn made_and_left(place: &Place) -> (u64, u64) {
    (place.count("tasks WHERE state = 'pending' AND id NOT LIKE 'l-%'"), place.count("dead_tasks"))
}

fn item(output: &Value) -> (String, String) {
    let item = &output["results"][0];
    (item["outcome"].as_str().unwrap().to_owned(), item["detail"].as_str().unwrap().to_owned())
}

/// What stands in the way, with the words that must name it and whether `--force` gets past it.
fn cases() -> Vec<(Seed, &'static str, bool)> {
    let seed = Seed::default;
    let activity = || Seed { kind: "activity", execution: Some("running"), ..Seed::default() };
    vec![
        (Seed { execution: None, ..seed() }, "no execution has the id", true),
        (Seed { execution: Some("cancelled"), ..seed() }, "cancelled", true),
        (Seed { execution: Some("cancelling"), ..seed() }, "cancelled", true),
        (Seed { execution: Some("timed_out"), ..seed() }, "timed out", true),
        (Seed { execution: Some("completed"), ..seed() }, "completed", true),
        (Seed { execution: Some("running"), ..seed() }, "not ended", true),
        (Seed { expiry: Some("2026-01-01T00:00:00"), ..seed() }, "expired", true),
        (Seed { live: true, ..seed() }, "queued or running", false),
        (Seed { data: Some("[1]"), ..seed() }, "cannot be read back", false),
        // Whole by its first character, and without what a task needs.
        (
            Seed { data: Some("{\"id\": \"letter\", \"kind\": \"orchestrator\"}"), ..seed() },
            "lacks what a task needs",
            false,
        ),
        (
            Seed {
                data: Some(
                    "{\"execution_id\": \"e-letter\", \"step_name\": \"s\", \"kind\": \"orchestrator\", \"args\": \"\", \"kwargs\": \"e30=\"}",
                ),
                ..seed()
            },
            "lacks what a task needs",
            false,
        ),
        (
            Seed {
                data: Some(
                    "{\"execution_id\": null, \"step_name\": \"s\", \"kind\": \"orchestrator\", \"args\": \"W10=\", \"kwargs\": \"e30=\"}",
                ),
                ..seed()
            },
            "lacks what a task needs",
            false,
        ),
        (Seed { execution: None, ..activity() }, "no execution has the id", true),
        (Seed { execution: Some("cancelled"), ..activity() }, "cancelled", true),
        (Seed { execution: Some("completed"), ..activity() }, "completed", true),
        (Seed { execution: Some("failed"), ..activity() }, "would not be used", true),
        (Seed { parent: Some("failed"), ..activity() }, "would not be used", true),
        (Seed { expiry: Some("2026-01-01T00:00:00"), ..activity() }, "expired", true),
    ]
}

#[test]
fn what_makes_no_sense_is_named_and_left_alone_unless_forced() {
    for (seed, words, forceable) in cases() {
        for place in Place::both() {
            let what = format!("{} in {:?}, parent {:?}", seed.kind, seed.execution, seed.parent);
            seed.plant(&place);
            let before = place.sql("SELECT id, state FROM executions ORDER BY id");
            let plan = place.json(&["dlq", "replay", "letter", "--dry-run"], 5);
            assert!(item(&plan).1.contains(words), "{what}: {plan}");
            let report = place.json(&["dlq", "replay", "letter"], 5);
            assert_eq!(item(&report).0, "changed", "{what}");
            assert_eq!(made_and_left(&place), (0, 1), "{what}");
            let bulk = place.json(&["dlq", "replay", "--all", "--yes"], 0);
            assert_eq!((bulk["skipped"].as_u64(), bulk["applied"].as_u64()), (Some(1), Some(0)), "{what}: {bulk}");
            assert_eq!(place.sql("SELECT id, state FROM executions ORDER BY id"), before, "{what}");
            let listed = place.json(&["dlq", "list"], 0);
            assert_ne!(listed[0]["state"], "replayable", "{what}");
            let code = if forceable { 0 } else { 5 };
            place.json(&["dlq", "replay", "letter", "--force", "--yes"], code);
            assert_eq!(made_and_left(&place), if forceable { (1, 0) } else { (0, 1) }, "{what}, forced");
            if forceable && seed.kind == "orchestrator" && seed.execution.is_some() {
                let opened = place.sql("SELECT state, result, expiry_at FROM executions");
                assert_eq!(opened, "pending||", "{what}, forced");
            }
        }
    }
}

/// Between the plan and the statement the world goes on: `meanwhile` happens when the statement is about to run.
fn changes_meanwhile(seed: &Seed, meanwhile: &str, outcome: &str) {
    for kind in [0, 1] {
        shown(meanwhile, |run| {
            let place = Place::both().into_iter().nth(kind).unwrap();
            changed_meanwhile(&place, seed, meanwhile, outcome, ["60/m", "15/m", "4/m", "1/m"].get(run as usize)?)
        });
    }
}

/// Nothing when the letter was replayed before the change came, for which a slower pace gives more time.
fn changed_meanwhile(place: &Place, seed: &Seed, meanwhile: &str, outcome: &str, rate: &str) -> Option<()> {
    seed.plant(place);
    // A second letter, so that the pace gives time between the plan and the act on the first... of the two.
    Seed { id: "a-first", moved_at: "2026-11-20T09:00:00", ..Seed::default() }.plant(place);
    let running = place.command(&["dlq", "replay", "--all", "--yes", "--rate", rate, "-o", "json"]).start();
    until("the first one is replayed", || place.count("dead_tasks WHERE id = 'a-first'") == 0);
    for statement in meanwhile.split(';') {
        place.sql(statement);
    }
    let report = running.finish().json();
    let results = report["results"].as_array().unwrap();
    let item = results.iter().find(|item| item["subject"] == "stent:dead_letter:letter").unwrap();
    if item["outcome"] == "applied" {
        return None;
    }
    assert_eq!(item["outcome"], outcome, "{meanwhile}: {item}");
    let made = place.count("tasks WHERE state = 'pending' AND execution_id = 'e-letter' AND id NOT LIKE 'l-%'");
    assert_eq!(made, 0, "{meanwhile}");
    Some(())
}

#[test]
fn guard_letter_is_there() {
    changes_meanwhile(&Seed::default(), "DELETE FROM dead_tasks WHERE id = 'letter'", "missing");
}

#[test]
fn guard_moved_at_as_seen() {
    let again = "UPDATE dead_tasks SET moved_at = '2026-11-21T10:00:00' WHERE id = 'letter'";
    changes_meanwhile(&Seed::default(), again, "changed");
}

#[test]
fn guard_execution_has_failed() {
    for state in ["cancelled", "completed", "timed_out", "running"] {
        changes_meanwhile(
            &Seed::default(),
            &format!("UPDATE executions SET state = '{state}' WHERE id = 'e-letter'"),
            "changed",
        );
    }
    changes_meanwhile(&Seed::default(), "DELETE FROM executions WHERE id = 'e-letter'", "changed");
}

#[test]
fn guard_execution_has_not_expired() {
    let expire = "UPDATE executions SET expiry_at = '2026-01-01T00:00:00' WHERE id = 'e-letter'";
    changes_meanwhile(&Seed::default(), expire, "changed");
    let activity = Seed { kind: "activity", execution: Some("running"), ..Seed::default() };
    changes_meanwhile(&activity, expire, "changed");
}

#[test]
fn guard_no_orchestrator_is_queued() {
    let queue = "INSERT INTO tasks (id, execution_id, kind, step_name, state) VALUES ('l-x', 'e-letter', 'orchestrator', 's', 'pending')";
    changes_meanwhile(&Seed::default(), queue, "changed");
}

#[test]
fn guard_execution_of_an_activity() {
    let activity = Seed { kind: "activity", execution: Some("running"), parent: Some("running"), ..Seed::default() };
    for state in ["cancelled", "completed", "failed"] {
        changes_meanwhile(
            &activity,
            &format!("UPDATE executions SET state = '{state}' WHERE id = 'e-letter'"),
            "changed",
        );
    }
    changes_meanwhile(&activity, "UPDATE tasks SET state = 'failed' WHERE id = 'p-letter'", "changed");
}

#[test]
fn what_is_replayed_is_what_died() {
    for place in Place::both() {
        Seed { args: b"\x80\x04]\x94(K\x01e.", ..Seed::default() }.plant(&place);
        Seed { id: "other", kind: "activity", execution: Some("running"), queue: None, ..Seed::default() }
            .plant(&place);
        place.json(&["dlq", "replay", "letter", "--reason", "INC-7"], 0);
        place.json(&["dlq", "replay", "other", "--queue", "slow"], 0);
        let columns = format!(
            "SELECT execution_id, step_name, kind, {}, {}, retries, started_at, worker_id, tags, priority, queue, idempotency_key,
                scheduled_for, result, error FROM tasks WHERE state = 'pending' ORDER BY execution_id",
            place.hex_of("args"),
            place.hex_of("kwargs")
        );
        let rows = place.sql(&columns);
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(rows[0], "e-letter|flows:step|orchestrator|80045d94284b01652e|7b7d|0|||[\"t\"]|3|main|key-7|||");
        assert_eq!(rows[1], "e-other|flows:step|activity|5b226f726465722d37225d|7b7d|0|||[\"t\"]|3|slow|key-7|||");
        let policy = place.sql("SELECT retry_policy FROM tasks WHERE state = 'pending' AND execution_id = 'e-letter'");
        let policy: Value = serde_json::from_str(&policy).unwrap();
        assert_eq!(policy["max_attempts"], 2);
        assert_eq!(policy.as_object().unwrap().len(), 5, "{policy}");
        assert_eq!(place.sql("SELECT state, error, completed_at FROM executions WHERE id = 'e-letter'"), "pending||");
        assert_eq!(place.sql("SELECT state FROM executions WHERE id = 'e-other'"), "running");
        let record = place.sql("SELECT status, detail FROM execution_progress WHERE execution_id = 'e-letter'");
        assert!(record.starts_with("dispatched|dead letter letter replayed as task "), "{record}");
        assert!(
            record.contains(&format!("by {}", crate::harness::sen::operator()))
                && record.contains(": INC-7 (sen operation "),
            "{record}"
        );
        // Its own id again would be a task that has failed.
        assert_eq!(place.sql("SELECT state FROM tasks WHERE id = 'letter'"), "failed");
    }
}

#[test]
fn a_letter_put_back_is_not_replayed_twice() {
    for place in Place::both() {
        Seed::default().plant(&place);
        place.sql("CREATE TABLE kept AS SELECT * FROM dead_tasks");
        place.json(&["dlq", "replay", "letter"], 0);
        place.sql("UPDATE executions SET state = 'failed'");
        place.sql("UPDATE tasks SET state = 'completed' WHERE state = 'pending'");
        place.sql("INSERT INTO dead_tasks SELECT * FROM kept");
        let report = place.json(&["dlq", "replay", "letter"], 5);
        assert!(item(&report).1.contains("replayed before and put back"), "{report}");
        assert_eq!(place.count("tasks"), 2);
        assert_eq!(place.count("dead_tasks"), 1);
    }
}

#[test]
fn a_damaged_letter_does_not_stop_the_others() {
    for place in Place::both() {
        for (id, data) in [
            ("a", None),
            ("b", Some("{\"id\": \"b\", \"args\"")),
            ("c", None),
            (
                "d",
                Some(
                    "{\"args\": \"!\", \"kwargs\": \"e30=\", \"execution_id\": \"e-d\", \"step_name\": \"s\", \"kind\": \"orchestrator\", \"id\": \"d\"}",
                ),
            ),
            ("e", None),
        ] {
            Seed { id, data, ..Seed::default() }.plant(&place);
        }
        let report = place.json(&["dlq", "replay", "--all", "--yes"], 3);
        assert_eq!(report["applied"], 3, "{report}");
        assert_eq!(made_and_left(&place), (3, 2));
    }
}

#[test]
fn guard_a_discard_removes_only_what_it_wrote_out() {
    for place in Place::both() {
        Seed::default().plant(&place);
        Seed { id: "other", ..Seed::default() }.plant(&place);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gone.jsonl");
        let path = file.to_str().unwrap();
        let before = place.sql("SELECT data FROM dead_tasks WHERE id = 'letter'");
        place.act(&["dlq", "discard", "letter", "--export", path], 7);
        assert!(!file.exists());
        place.json(&["dlq", "discard", "letter", "--export", path, "--yes"], 0);
        assert_eq!(place.sql("SELECT id FROM dead_tasks"), "other");
        let line: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(line["data"], serde_json::from_str::<Value>(&before).unwrap());
        assert_eq!((&line["id"], &line["moved_at"]), (&"letter".into(), &"2026-11-20T10:00:00.123456".into()));
        let record = place.sql("SELECT detail FROM execution_progress WHERE execution_id = 'e-letter'");
        assert!(
            record.starts_with(&format!("dead letter letter discarded by {}", crate::harness::sen::operator())),
            "{record}"
        );
        // The file is there: nothing may be overwritten, so nothing is removed.
        place.act(&["dlq", "discard", "other", "--export", path, "--yes"], 1);
        assert_eq!(place.count("dead_tasks"), 1);
        // A full disk, before anything is removed.
        let full = place.command(&["dlq", "discard", "other", "--export", "/proc/self/nowhere/x", "--yes"]).run();
        assert_eq!((full.code, place.count("dead_tasks")), (1, 1));
        // Without a file the letters are what is printed.
        let printed = place.command(&["dlq", "discard", "--all", "--yes"]).run().expect_code(0);
        assert!(printed.stdout.starts_with("{\"system\":\"stent\",\"id\":\"other\""), "{}", printed.stdout);
        assert_eq!((printed.stdout.lines().count(), place.count("dead_tasks")), (1, 0));
    }
}

/// `-` is standard output, as in other programs, and no file of that name.
#[test]
fn a_discard_to_a_dash_writes_to_standard_output() {
    for place in Place::both() {
        Seed::default().plant(&place);
        let folder = tempfile::tempdir().unwrap();
        let words = ["dlq", "discard", "letter", "--export", "-", "--yes"];
        // A terminal keeps nothing: what is written there is lost.
        let shown = crate::harness::pty::terminal(words).database(&place.url()).run();
        assert_eq!((shown.code, place.count("dead_tasks")), (2, 1), "{}", shown.screen);
        assert!(shown.screen.contains("--export FILE"), "{}", shown.screen);
        let printed = place.command(&words).cwd(folder.path()).run().expect_code(0);
        assert!(printed.stdout.starts_with("{\"system\":\"stent\",\"id\":\"letter\""), "{}", printed.stdout);
        assert_eq!((printed.stdout.lines().count(), place.count("dead_tasks")), (1, 0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
