//! What became of the work of an operation, and the brakes that follow it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::machine::{Machine, letters, text};
use super::place::Place;
use super::sagas_place;
use crate::harness::patience::{PATIENCE, until};
use crate::harness::peers::{self, Peer, SAGA_073, STENT_112};
use crate::harness::postgres::{Options, Server};
use crate::harness::psql;

/// The tasks that replays made, of the dead letters whose number leaves this rest when it is divided by ten.
fn made(rest: u32) -> String {
    format!("state = 'pending' AND CAST(substr(execution_id, 3) AS integer) % 10 = {rest}")
}

/// What `sen op show` says of how targets stand, of each course that there is one of.
#[track_caller]
fn standing(machine: &Machine, url: &str, id: &str, code: i32) -> (Value, Value) {
    let shown = machine.json(url, &["op", "show", id], code);
    let followed = shown["followed"].as_object().unwrap_or_else(|| panic!("{shown}"));
    let courses =
        ["died_again", "stuck", "unknown", "waiting", "running", "ended_otherwise", "taken_back", "succeeded"];
    let there = courses.iter().filter(|course| followed[**course] != 0);
    let there: serde_json::Map<String, Value> =
        there.map(|course| ((*course).to_owned(), followed[*course].clone())).collect();
    (Value::Object(there), shown)
}

#[test]
fn replayed_dead_letters_are_followed_by_their_new_tasks() {
    for place in Place::both() {
        letters(&place, 40);
        let (machine, url) = (Machine::new(), place.url());
        machine.run(&url, &["dlq", "replay", "--all", "--yes"], 0);
        let (id, _) = machine.only();
        assert_eq!(standing(&machine, &url, &id, 8).0, json!({"waiting": 40}));
        machine.run(&url, &["wait", "op", &id, "--timeout", "500ms"], 8);
        let dies = |rest: u32, error: &str| {
            place.sql(&format!(
                "INSERT INTO dead_tasks (id, reason, moved_at, data)
                    SELECT id, '{error}', '2026-11-21T10:00:00', '{{}}' FROM tasks WHERE {}",
                made(rest)
            ));
            place.sql(&format!("UPDATE tasks SET state = 'failed' WHERE {}", made(rest)));
        };
        dies(1, "order 4711 lost");
        dies(2, "the disk is full");
        place.sql(&format!(
            "UPDATE tasks SET state = 'running', lease_expires_at = '2099-01-01T00:00:00' WHERE {}",
            made(3)
        ));
        place.sql(&format!("DELETE FROM tasks WHERE {}", made(4)));
        let (there, shown) = standing(&machine, &url, &id, 8);
        assert_eq!(there, json!({"died_again": 8, "unknown": 4, "running": 4, "waiting": 24}), "{shown}");
        let followed = &shown["followed"];
        assert_eq!((&followed["same_error"], &followed["another_error"]), (&json!(4), &json!(4)));
        let worst = &followed["worst"];
        assert_eq!((&worst[0]["now"], &worst[39]["now"]), (&json!("died_again"), &json!("running")));
        let same: Vec<&Value> = worst.as_array().unwrap().iter().filter(|one| one["same_error"] == true).collect();
        assert!(same.iter().all(|one| one["error"] == "order 4711 lost"), "{worst}");
        let people = machine.run(&url, &["op", "show", &id], 8).stdout;
        assert!(people.contains("8 died again (4 of the same error, 4 of another)"), "{people}");
        assert!(people.contains("another error: the disk is full"), "{people}");
        // Nothing is open any more: what died again decides, and what is gone after it.
        place.sql("UPDATE tasks SET state = 'completed' WHERE state IN ('pending', 'running')");
        assert_eq!(standing(&machine, &url, &id, 3).0, json!({"died_again": 8, "unknown": 4, "succeeded": 28}));
        machine.run(&url, &["wait", "op", &id], 10);
        machine.run(&url, &["wait", "-o", "json", "op", &id], 10);
        machine.run(&url, &["wait", "--for", "completed", "op", &id], 2);
        // The journal alone needs no database.
        assert_eq!(machine.json("", &["op", "show", &id], 0)["followed"], Value::Null);
    }
}

#[test]
fn what_was_taken_back_is_told_as_that() {
    for place in Place::both() {
        letters(&place, 2);
        let (machine, url) = (Machine::new(), place.url());
        let report = machine.json(&url, &["dlq", "replay", "t-1", "t-2", "--yes"], 0);
        let replay = text(&report["operation"]);
        place.sql("UPDATE tasks SET state = 'completed' WHERE state = 'pending' AND execution_id = 'e-2'");
        machine.run(&url, &["undo", &replay, "--yes"], 3);
        assert_eq!(standing(&machine, &url, &replay, 0).0, json!({"taken_back": 1, "succeeded": 1}));
        machine.run(&url, &["wait", "op", &replay], 0);
        // Elsewhere the database tells it.
        for journal in machine.journals() {
            if !journal.to_str().unwrap().contains(&replay) {
                std::fs::remove_file(journal).unwrap();
            }
        }
        let (there, shown) = standing(&machine, &url, &replay, 0);
        assert_eq!(there, json!({"taken_back": 1, "succeeded": 1}), "{shown}");
    }
}

/// Completes or fails what is pending as a worker would, until `done`: of ten executions the first `bad` fail.
fn work(place: &Place, bad: u32, done: &AtomicBool) {
    let some = "id IN (SELECT id FROM tasks WHERE state = 'pending' LIMIT 20)";
    while !done.load(Ordering::Relaxed) {
        place.sql(&format!(
            "UPDATE tasks SET state = CASE WHEN CAST(substr(execution_id, 3) AS integer) % 10 < {bad} THEN 'failed'
                ELSE 'completed' END WHERE {some}"
        ));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `act` beside such a worker.
fn beside_a_worker<T>(place: &Place, bad: u32, act: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| work(place, bad, &done));
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        done.store(true, Ordering::Relaxed);
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn a_replay_of_which_too_much_dies_again_stops_within_a_batch() {
    let [place, _] = Place::both();
    letters(&place, 3000);
    let (machine, url) = (Machine::new(), place.url());
    let words = ["dlq", "replay", "--all", "--yes", "--abort-above", "10%", "--batch", "100"];
    let report = beside_a_worker(&place, 3, || machine.json(&url, &words, 3));
    assert_eq!(report["not_begun"], report["skipped"]);
    let begun = report["applied"].as_u64().unwrap();
    // At most a hundred are in flight; of two hundred about sixty fail, and twenty were enough.
    assert!((1..=300).contains(&begun), "{begun} of 3000 were begun");
    assert_eq!(report["skipped"], 3000 - begun);
    assert!(text(&report["stopped"]).contains("died again, more than 10 %"), "{}", report["stopped"]);
    assert_eq!(place.count("dead_tasks"), 3000 - begun, "what was not begun is as it was");
    let (id, state) = machine.only();
    assert_eq!(state, "interrupted");
    let shown = machine.sen("", &["op", "show", &id, "-o", "json"]).run().expect_code(0).json();
    assert_eq!(shown["stopped"], report["stopped"]);
    // Going on at one's own risk.
    let words = ["op", "resume", &id, "--yes", "--abort-above", "50%"];
    let report = beside_a_worker(&place, 3, || machine.json(&url, &words, 0));
    assert_eq!((&report["applied"], place.count("dead_tasks")), (&json!(3000 - begun), 0));
    until("everything has ended", || {
        place.count("tasks WHERE state = 'pending'") == 0 || {
            place.sql("UPDATE tasks SET state = 'completed' WHERE state = 'pending'");
            false
        }
    });
    let (there, _) = standing(&machine, &url, &id, 3);
    assert!(there["died_again"].as_u64().unwrap() >= 300 && there["succeeded"].as_u64().unwrap() >= 2000, "{there}");
}

#[test]
fn a_canary_that_goes_well_is_followed_by_the_rest() {
    let place = Place::empty_postgres();
    place.letters(&STENT_112, 40, &[]);
    let (machine, url) = (Machine::new(), place.url());
    let _worker = Peer::start(&STENT_112, "stent/flow.py", &[&place.for_library(), "serve-healed"]);
    let words = ["dlq", "replay", "--all", "--yes", "--canary", "5", "--max-in-flight", "20"];
    let output = machine.run(&url, &words, 0);
    assert!(output.stderr.contains("the canary went well: 5 succeeded"), "{}", output.stderr);
    let (id, state) = machine.only();
    assert_eq!((place.count("dead_tasks"), state.as_str()), (0, "done"));
    let waited = machine.sen(&url, &["wait", "op", &id, "--timeout", "10m"]).timeout(2 * PATIENCE).run().expect_code(0);
    assert!(waited.stdout.contains("40 succeeded"), "{}", waited.stdout);
    assert_eq!(standing(&machine, &url, &id, 0).0, json!({"succeeded": 40}));
}

#[test]
fn without_a_worker_there_is_no_verdict() {
    for place in Place::both() {
        letters(&place, 50);
        place.sql("UPDATE dead_tasks SET reason = 'the disk is full' WHERE id IN ('t-1', 't-2')");
        let (machine, url) = (Machine::new(), place.url());
        let limit = ["--canary-timeout", "200ms", "--yes"];
        let words = [&["dlq", "replay", "--all", "--canary", "4"], &limit[..]].concat();
        let output = machine.run(&url, &words, 8);
        assert!(output.stdout.contains("no worker has taken it up"), "{}", output.stdout);
        assert!(output.stdout.contains("4 applied, 46 not begun"), "{}", output.stdout);
        assert!(output.stdout.contains("sen op resume"), "{}", output.stdout);
        // Two of each group.
        let rare = "tasks WHERE state = 'pending' AND execution_id IN ('e-1', 'e-2')";
        assert_eq!((place.count("tasks WHERE state = 'pending'"), place.count(rare)), (4, 2));
        let (id, state) = machine.only();
        assert_eq!(state, "interrupted");
        // What is in flight from before counts, and an operation that was stopped is not settled.
        let words = [&["op", "resume", &id, "--max-in-flight", "7"], &limit[..]].concat();
        let report = machine.json(&url, &words, 8);
        assert_eq!((&report["applied"], place.count("tasks WHERE state = 'pending'")), (&json!(3), 7), "{report}");
        place.sql("UPDATE tasks SET state = 'completed' WHERE state = 'pending'");
        machine.run(&url, &["wait", "op", &id], 10);
        machine.run(&url, &["op", "resume", &id, "--yes"], 0);
        assert_eq!((place.count("dead_tasks"), machine.only().1.as_str()), (0, "done"));
    }
}

#[test]
fn who_goes_on_after_the_brakes_is_told_and_may_brake_again() {
    for place in Place::both() {
        letters(&place, 4);
        let (machine, url) = (Machine::new(), place.url());
        let brakes = ["--canary", "1", "--abort-above", "10%"];
        let words = [&["dlq", "replay", "--all", "--yes"], &brakes[..]].concat();
        let output = beside_a_worker(&place, 10, || machine.run(&url, &words, 3));
        let (id, _) = machine.only();
        let again = format!("sen op resume {id} --canary 1 --abort-above 10%");
        assert!(output.stdout.contains(&again), "{}", output.stdout);
        for (words, code) in [(["op", "show"], 3), (["wait", "op"], 10)] {
            let output = machine.run(&url, &[&words[..], &[&id]].concat(), code);
            assert!(output.stdout.contains(&again), "{}", output.stdout);
        }
        let planned = machine.run(&url, &["op", "resume", &id, "--dry-run"], 0).stdout;
        assert!(
            planned.contains("its brakes stopped it (the canary failed: 1 died again), and nothing brakes it"),
            "{planned}"
        );
        assert!(planned.contains("the 3 of 4 that are left"), "{planned}");
        let whole = machine.json(&url, &["op", "resume", &id, "--dry-run"], 0);
        let set = &whole["plan"]["header"]["plan"]["set"];
        assert_eq!((&set["oldest"], &set["sample"]), (&Value::Null, &json!([])), "{whole}");
        let braked = [&["op", "resume", &id], &brakes[..]].concat();
        let planned = machine.run(&url, &[&braked[..], &["--dry-run"]].concat(), 0).stdout;
        assert!(!planned.contains("nothing brakes it"), "{planned}");
        // What died before is no verdict on what goes well now.
        let braked = [&braked[..], &["--yes"]].concat();
        let output = beside_a_worker(&place, 0, || machine.run(&url, &braked, 0));
        assert!(output.stderr.contains("the canary went well: 1 succeeded"), "{}", output.stderr);
        assert_eq!((place.count("dead_tasks"), machine.only().1.as_str()), (0, "done"));
    }
}

#[test]
fn an_interrupted_canary_says_how_to_go_on() {
    let [_, place] = Place::both();
    letters(&place, 3);
    let (machine, url) = (Machine::new(), place.url());
    let running = machine.sen(&url, &["dlq", "replay", "--all", "--yes", "--canary", "1"]).start();
    until("the canary is begun", || place.count("tasks WHERE state = 'pending'") == 1);
    running.signal(rustix::process::Signal::INT);
    let output = running.finish().expect_code(130);
    let (id, state) = machine.only();
    assert_eq!(state, "interrupted");
    for next in [format!("sen op show {id}"), format!("sen op resume {id} --canary 1")] {
        assert!(output.stdout.contains(&next), "{}", output.stdout);
    }
}

#[test]
fn a_stopped_operation_that_was_taken_back_needs_nobody() {
    for place in Place::both() {
        letters(&place, 3);
        let (machine, url) = (Machine::new(), place.url());
        let words = ["dlq", "replay", "--all", "--yes", "--canary", "1", "--canary-timeout", "100ms"];
        let stopped = text(&machine.json(&url, &words, 8)["operation"]);
        machine.run(&url, &["undo", &stopped, "--yes"], 0);
        let (there, shown) = standing(&machine, &url, &stopped, 0);
        assert_eq!((there, &shown["state"]), (json!({"taken_back": 1}), &json!("undone")), "{shown}");
        for words in [["op", "show"], ["wait", "op"]] {
            let output = machine.run(&url, &[&words[..], &[&stopped]].concat(), 0);
            assert!(!output.stdout.contains("resume"), "{}", output.stdout);
        }
        let planned = machine.run(&url, &["op", "resume", &stopped, "--dry-run"], 0).stdout;
        assert!(planned.contains("all that it did was taken back by"), "{planned}");
        assert_eq!(place.count("dead_tasks"), 3);
    }
}

#[test]
fn an_operation_is_followed_in_its_own_database_only() {
    let [here, there] = [Place::both(), Place::both()].map(|[_, place]| place);
    letters(&here, 2);
    letters(&there, 2);
    let (machine, url) = (Machine::new(), there.url());
    machine.run(&here.url(), &["dlq", "replay", "--all", "--yes"], 0);
    let (id, _) = machine.only();
    let shown = machine.run(&url, &["op", "show", &id], 0);
    assert!(shown.stderr.contains("warning: ") && shown.stdout.contains("applied"), "{}", shown.stderr);
    let others = [&["wait", "op", &id][..], &["report", "--op", &id]].map(|words| machine.run(&url, words, 2));
    for output in others.iter().chain([&shown]) {
        assert!(output.stderr.contains(", and this is "), "{}", output.stderr);
        assert!(!output.stderr.contains("nothing was written"), "{}", output.stderr);
    }
}

#[test]
fn brakes_are_no_part_of_a_plan_and_a_share_of_few_is_told_to_be_idle() {
    let [_, place] = Place::both();
    letters(&place, 3);
    let (machine, url, folder) = (Machine::new(), place.url(), tempfile::tempdir().unwrap());
    let plan = folder.path().join("plan");
    for brake in [["--canary", "1"], ["--abort-above", "10%"], ["--max-in-flight", "2"]] {
        let words = [&["dlq", "replay", "--all", "--plan-out", plan.to_str().unwrap()], &brake[..]].concat();
        let output = machine.run(&url, &words, 2);
        assert!(output.stderr.contains(brake[0]) && output.stderr.contains("sen apply"), "{}", output.stderr);
        assert!(!plan.exists());
    }
    let words = ["dlq", "replay", "--all", "--abort-above", "10%", "--dry-run"];
    let idle = "--abort-above can hardly stop anything here: the plan has 3 targets";
    let output = machine.run(&url, &words, 0);
    assert!(output.stderr.contains(idle), "{}", output.stderr);
    let output = machine.run(&url, &[&words[..], &["--max-in-flight", "2"]].concat(), 0);
    assert!(!output.stderr.contains("hardly"), "{}", output.stderr);
}

#[test]
fn what_cannot_be_followed_has_no_brakes() {
    let [_, place] = Place::both();
    letters(&place, 3);
    let (machine, url, folder) = (Machine::new(), place.url(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plan, export) = (path("plan"), path("export"));
    machine.run(&url, &["dlq", "discard", "--all", "--plan-out", &plan], 0);
    let words = ["apply", &plan, "--yes", "--export", &export, "--canary", "1", "--abort-above", "5%"];
    let output = machine.run(&url, &words, 2);
    assert!(output.stderr.contains("--canary, --abort-above cannot be used here"), "{}", output.stderr);
    assert_eq!((place.count("dead_tasks"), machine.journals().len()), (3, 0));
    let output = machine.run(&url, &["dlq", "replay", "--all", "--yes", "--canary-timeout", "1s"], 2);
    assert!(output.stderr.contains("none is given"), "{}", output.stderr);
    let output = machine.run(&url, &["dlq", "replay", "--all", "--yes", "--abort-above", "10"], 2);
    assert!(output.stderr.contains("10%"), "{}", output.stderr);
}

#[test]
fn retried_sagas_are_followed() {
    let mut place = sagas_place::Place::new(&SAGA_073);
    let ids = ["o-1", "o-2"].map(|order| place.start(order, "order-once", json!({"charge": "fail"})));
    let (machine, url) = (Machine::new(), place.url());
    let words = ["saga", "retry", "--all", "--state", "failed", "--yes", "--canary", "1", "--canary-timeout", "100ms"];
    let report = machine.json(&url, &words, 8);
    assert_eq!(report["applied"], 1, "{report}");
    let (id, _) = machine.only();
    assert_eq!(standing(&machine, &url, &id, 8).0, json!({"waiting": 1}));
    machine.run(&url, &["op", "resume", &id, "--yes"], 0);
    // The library's own worker takes them up: one succeeds now, the other fails as before.
    place.mode("o-1", "charge", "ok");
    until("both have ended", || {
        place.run_due();
        place.status(&ids[0]) == "COMPLETED" && place.status(&ids[1]) == "FAILED"
    });
    let (there, shown) = standing(&machine, &url, &id, 3);
    assert_eq!(there, json!({"died_again": 1, "succeeded": 1}), "{shown}");
    assert_eq!(shown["followed"]["same_error"], 1, "{shown}");
}

/// A standby that is behind shows the letters that were replayed: nothing was taken back, and nothing died again.
#[test]
fn a_standby_that_is_behind_has_no_say() {
    let primary = Server::start(&Options::new());
    let own = primary.url_of("postgres");
    peers::ask(&STENT_112, "stent/letters.py", &[&own, "3"]);
    let standby = primary.standby("one");
    let url = standby.url_of("postgres");
    until("the standby has the letters", || psql::run(&url, "SELECT count(*) > 0 FROM dead_tasks") == "t");
    psql::run(&url, "SELECT pg_wal_replay_pause()");
    let machine = Machine::new();
    machine.run(&own, &["dlq", "replay", "--all", "--yes", "--kind", "orchestrator"], 0);
    let (id, _) = machine.only();
    let (there, shown) = standing(&machine, &url, &id, 3);
    let there: Vec<&String> = there.as_object().unwrap().keys().collect();
    assert_eq!(there, ["unknown"], "{shown}");
    assert!(shown.to_string().contains("ask the primary"), "{shown}");
    machine.run(&url, &["wait", "op", &id, "--timeout", "5s"], 4);
    assert_eq!(standing(&machine, &own, &id, 8).0, json!({"waiting": shown["applied"]}));
}
