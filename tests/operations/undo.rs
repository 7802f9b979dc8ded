//! Taking operations back: the same rows as before each act, only where nothing has happened on top, and never a second effect
//! or a lost one beside a live worker.

use std::time::Duration;

use serde_json::{Value, json};

use super::machine::{Machine, letters, results, text, uncertain_keys};
use super::place::{Place, Seed};
use super::sagas_place;
use crate::harness::patience::until;
use crate::harness::peers::{self, Peer, SAGA_011, SAGA_073, SENTINEL_050, STENT_112};
use crate::harness::scale::sized;

/// What a system's tables hold, but for the records that acts leave.
fn rows(place: &Place, tables: &[&str]) -> String {
    let all = |table: &&str| {
        let order = if *table == "sentinel_leases" { "key" } else { "1, 2" };
        format!("{table}\n{}", place.sql(&format!("SELECT * FROM {table} ORDER BY {order}")))
    };
    tables.iter().map(all).collect::<Vec<_>>().join("\n--\n")
}

const STENT: [&str; 6] = ["executions", "tasks", "dead_tasks", "signals", "execution_counters", "execution_state"];
const LEASES: [&str; 1] = ["sentinel_leases"];

/// The newest operation.
fn newest(machine: &Machine) -> String {
    text(&machine.json("", &["op", "list", "--limit", "1"], 0)[0]["operation"])
}

/// Does something, takes it back, does it again by taking that back, and takes this back: each time the rows are those of
/// before. What the first report said.
#[track_caller]
fn there_and_back(place: &Place, tables: &[&str], words: &[&str]) -> Value {
    let machine = Machine::new();
    // In PostgreSQL the first undo is another operator's, who knows of it from the journal in the database.
    let other = matches!(place, Place::Postgres(_)).then(Machine::new);
    if let Some(other) = &other {
        other.json(&place.url(), &["init", "journal", "--yes"], 0);
    }
    let before = rows(place, tables);
    let report = machine.json(&place.url(), words, 0);
    let after = rows(place, tables);
    assert_ne!(before, after, "{words:?} changes something");
    let first = newest(&machine);
    let plan = machine.json(&place.url(), &["undo", &first, "--dry-run"], 0);
    assert_eq!((&plan["planned"], rows(place, tables)), (&report["applied"], after.clone()), "{plan}");
    let mut operation = newest(&machine);
    for (at, wanted) in [&before, &after, &before].into_iter().enumerate() {
        let machine = other.as_ref().filter(|_| at == 0).unwrap_or(&machine);
        let undone = machine.json(&place.url(), &["undo", &operation, "--yes", "--reason", "INC-9"], 0);
        assert_eq!(undone["applied"], report["applied"], "{undone}");
        assert_eq!(&rows(place, tables), wanted, "{words:?}");
        operation = text(&undone["operation"]);
    }
    let again = machine.json(&place.url(), &["undo", &first, "--yes"], 0);
    assert_eq!((&again["applied"], &again["already_done"]), (&0.into(), &report["applied"]), "{again}");
    report
}

/// Does something, disturbs it, and finds that it is not taken back; what is told of it.
#[track_caller]
fn refused(place: &Place, tables: &[&str], words: &[&str], disturb: &str, says: &str) {
    let machine = Machine::new();
    machine.json(&place.url(), words, 0);
    let operation = newest(&machine);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("undo.plan");
    let file = file.to_str().unwrap();
    machine.json(&place.url(), &["undo", &operation, "--plan-out", file], 0);
    place.sql(disturb);
    let disturbed = rows(place, tables);
    // Seen when it is planned, and held by the statement.
    for words in [vec!["undo", &operation, "--yes"], vec!["apply", file, "--yes"]] {
        let report = machine.json(&place.url(), &words, 5);
        assert_eq!((&report["applied"], results(&report, "changed", says)), (&0.into(), 1), "{disturb}: {report}");
        assert_eq!(rows(place, tables), disturbed, "{disturb}");
    }
}

#[test]
fn letters_come_back_whole() {
    for place in Place::both() {
        letters(&place, 3);
        place.sql("UPDATE executions SET expiry_at = '2026-11-19T10:00:00', tags = '[\"ä\", \"''\"]', result = NULL WHERE id = 'e-2'");
        there_and_back(&place, &STENT, &["dlq", "replay", "t-1", "--yes"]);
        there_and_back(&place, &STENT, &["dlq", "replay", "--all", "--queue", "slow", "--yes"]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("letters.jsonl");
        there_and_back(&place, &STENT, &["dlq", "discard", "t-1", "t-3", "--yes", "--export", file.to_str().unwrap()]);
        let records = |what: &str| {
            place.count(&format!("execution_progress WHERE detail LIKE '{what} by %INC-9 (sen operation %'"))
        };
        assert_eq!((records("dead letter t-1 taken back"), records("dead letter t-1 done again")), (6, 3));
        assert_eq!((records("dead letter t-3 taken back"), records("dead letter t-3 done again")), (4, 2));
    }
}

#[test]
fn letters_that_were_taken_up_stay_as_they_are() {
    let replay = ["dlq", "replay", "letter", "--yes"];
    for (disturb, says) in [
        ("UPDATE tasks SET state = 'running', worker_id = 'w' WHERE state = 'pending'", "tasks is running"),
        ("UPDATE tasks SET worker_id = 'w' WHERE state = 'pending'", "tasks is pending now, or has changed otherwise"),
        ("DELETE FROM tasks WHERE state = 'pending'", "tasks is gone"),
        ("UPDATE executions SET state = 'running'", "executions is running"),
        (
            "UPDATE executions SET expiry_at = '2030-01-01T00:00:00'",
            "executions is pending now, or has changed otherwise",
        ),
        (
            "INSERT INTO dead_tasks (id, reason, moved_at, data) VALUES ('letter', 'again', '2026-11-21T10:00:00', '{}')",
            "dead_tasks has changed",
        ),
    ] {
        for place in Place::both() {
            Seed::default().plant(&place);
            refused(&place, &STENT, &replay, disturb, says);
        }
    }
}

#[test]
fn what_else_is_done_to_executions_is_taken_back() {
    for place in Place::both() {
        for (id, execution) in [("a", "running"), ("b", "running"), ("c", "failed")] {
            Seed { id, execution: Some(execution), live: id != "c", ..Seed::default() }.plant(&place);
        }
        place.sql(
            "DELETE FROM dead_tasks; INSERT INTO execution_counters VALUES ('e-c', 'n', 0.1), ('e-c', 'm', 3);
            UPDATE tasks SET state = 'running', worker_id = 'w' WHERE id = 'l-b'",
        );
        let value = place.bytes(&[0, 255, 39]);
        place.sql(&format!("INSERT INTO execution_state VALUES ('e-c', 'k', {value})"));
        there_and_back(&place, &STENT, &["exec", "cancel", "e-a", "e-b", "--yes"]);
        there_and_back(&place, &STENT, &["exec", "signal", "e-a", "go", "1"]);
        let all = [&STENT[..], &["execution_progress"]].concat();
        place.sql(
            "INSERT INTO execution_progress (execution_id, step, status, detail) VALUES ('e-c', 's', 'completed', 'x')",
        );
        let machine = Machine::new();
        let before = rows(&place, &all);
        machine.run(&place.url(), &["exec", "cleanup", "--older-than", "1h", "--state", "failed", "--yes"], 0);
        assert_eq!(place.count("execution_counters"), 0);
        machine.run(&place.url(), &["undo", &newest(&machine), "--yes"], 0);
        place.sql("DELETE FROM execution_progress WHERE detail LIKE 'execution e-c taken back by %'");
        assert_eq!(rows(&place, &all), before);
        // A root task that has completed, and an execution that has not.
        place.sql(
            "DELETE FROM tasks WHERE id = 'l-a'; UPDATE tasks SET state = 'completed', result = args WHERE id = 'a'",
        );
        there_and_back(&place, &STENT, &["exec", "complete", "e-a", "--yes"]);
    }
}

#[test]
fn executions_on_which_something_happened_stay_as_they_are() {
    let cancel = ["exec", "cancel", "e-letter", "--yes"];
    for (words, disturb, says) in [
        (&cancel[..], "UPDATE tasks SET state = 'completed' WHERE id = 'l-letter'", "tasks is completed"),
        (&cancel, "UPDATE executions SET state = 'failed'", "executions is failed"),
        (&["exec", "signal", "e-letter", "go", "1"], "UPDATE signals SET consumed = true", "signals has changed"),
    ] {
        for place in Place::both() {
            Seed { execution: Some("running"), live: true, ..Seed::default() }.plant(&place);
            refused(&place, &STENT, words, disturb, says);
        }
    }
    // A wait that the signal ended.
    for place in Place::both() {
        Seed { execution: Some("running"), live: true, ..Seed::default() }.plant(&place);
        place.sql("UPDATE tasks SET kind = 'signal', step_name = 'signal:go', state = 'pending' WHERE id = 'l-letter'");
        let machine = Machine::new();
        machine.run(&place.url(), &["exec", "signal", "e-letter", "go", "1"], 0);
        let report = machine.json(&place.url(), &["undo", &newest(&machine), "--yes"], 5);
        assert_eq!(
            results(&report, "changed", "cannot be taken back: the task that waited for it was woken"),
            1,
            "{report}"
        );
    }
}

/// Leases in every state that an act takes.
fn leases() -> Place {
    let place = Place::empty_postgres();
    uncertain_keys(&place, 6);
    place.sql(
        "UPDATE sentinel_leases SET status = 'completed', execution_result = '{\"n\": 1.10, \"a\": \"ä\"}' WHERE key = 'k1';
        UPDATE sentinel_leases SET status = 'claimed' WHERE key = 'k2';
        UPDATE sentinel_leases SET status = 'reconciling' WHERE key IN ('k3', 'k4')",
    );
    place
}

#[test]
fn leases_come_back_as_they_were() {
    let place = leases();
    for words in [
        &["forget", "k1", "--yes"][..],
        &["release", "k2"],
        &["reconcile", "k3", "--token", "3", "--complete", "{\"done\": true}", "--yes"],
        &["reconcile", "k4", "--token", "4", "--reset", "--yes"],
        &["reconcile", "k5"],
        &["reconcile", "k5", "k6", "--reset", "--yes"],
        &["reconcile", "k6", "--complete", "1", "--yes"],
    ] {
        there_and_back(&place, &LEASES, words);
    }
    let told = place.sql("SELECT event || ' ' || fencing_token FROM sentinel_events WHERE metadata ->> 'act' = 'undo' AND key IN ('k1', 'k5') ORDER BY id");
    assert!(told.starts_with("completed 1\nreleased 1\ncompleted 1\nexecuting 5\nreconciling "), "{told}");
    assert_eq!(place.sql("SELECT count(*) FROM sentinel_events WHERE metadata ->> 'act' = 'undo' AND metadata ->> 'why' = 'INC-9' AND metadata ->> 'of' IS NOT NULL"), "24");
}

#[test]
fn leases_that_moved_on_stay_as_they_are() {
    let claimed = "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status, fencing_token) VALUES ('k1', 'o', now(), 'claimed', 200000)";
    let between = "INSERT INTO sentinel_events (key, event, fencing_token) VALUES ('k1', 'acquired', 200000), ('k1', 'released', 200000)";
    for (words, disturb, says) in [
        (&["forget", "k1", "--yes"][..], claimed, "sentinel_leases is claimed"),
        (&["forget", "k1", "--yes"], between, "has been claimed, and released, again"),
        (
            &["reconcile", "k5"],
            "UPDATE sentinel_leases SET fencing_token = 300000 WHERE key = 'k5'",
            "is reconciling now, or has changed",
        ),
        (
            &["reconcile", "k5", "--reset", "--yes"],
            "UPDATE sentinel_leases SET status = 'executing' WHERE key = 'k5'",
            "is executing",
        ),
        (
            &["reconcile", "k5", "--complete", "1", "--yes"],
            "UPDATE sentinel_leases SET execution_result = '2' WHERE key = 'k5'",
            "is completed now, or has changed",
        ),
    ] {
        refused(&leases(), &LEASES, words, disturb, says);
    }
}

/// Leases in a file, as the demo has them.
fn leases_in_a_file() -> Place {
    let place = Place::empty_sqlite();
    crate::harness::sen::sen(["demo", &place.for_library()]).run().expect_code(0);
    place
}

#[test]
fn leases_in_a_file_come_back_unless_they_moved_on() {
    for words in [
        &["release", "webhooks:evt_1Qm7aa", "--yes"][..],
        &["forget", "payments:order-7701", "--yes"],
        &["reconcile", "payments:order-7731"],
        &["reconcile", "payments:order-7731", "--complete", "{\"by\": \"maria\"}", "--yes"],
        &["reconcile", "payments:order-7731", "--reset", "--yes"],
    ] {
        there_and_back(&leases_in_a_file(), &LEASES, words);
    }
    let forget = &["forget", "payments:order-7701", "--yes"][..];
    let claimed =
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, status, fencing_token)
        VALUES ('payments:order-7701', 'o', 1, 1, 'claimed', 200000)";
    let between = "INSERT INTO sentinel_events (key, event, fencing_token)
        VALUES ('payments:order-7701', 'acquired', 200000), ('payments:order-7701', 'released', 200000)";
    let moved = "UPDATE sentinel_leases SET fencing_token = 300000 WHERE key = 'payments:order-7731'";
    for (words, disturb, says) in [
        (forget, claimed, "sentinel_leases is claimed"),
        (forget, between, "has been claimed, and released, again"),
        (&["reconcile", "payments:order-7731"], moved, "is reconciling now, or has changed"),
    ] {
        refused(&leases_in_a_file(), &LEASES, words, disturb, says);
    }
}

/// The library goes on as if nothing had been, and a caller that was given a result meanwhile is told of.
#[test]
fn the_sentinel_library_goes_on() {
    let place = Place::empty_postgres();
    let (url, machine) = (place.url(), Machine::new());
    let call = |what: &str| peers::ask(&SENTINEL_050, "sentinel/once_call.py", &[&url, what, "k1"]);
    peers::ask(&SENTINEL_050, "sentinel/once_call.py", &[&url, "init"]);
    uncertain_keys(&place, 1);
    machine.run(&url, &["reconcile", "k1", "--complete", "{\"by\": \"maria\"}", "--yes"], 0);
    let complete = newest(&machine);
    assert_eq!(call("once")["response"]["by"], "maria");
    let plan = machine.json(&url, &["undo", &complete, "--dry-run"], 0);
    assert!(plan["warnings"].to_string().contains("1 caller has been given the result"), "{plan}");
    machine.run(&url, &["undo", &complete, "--yes"], 0);
    assert_eq!(call("once")["uncertain"], true);
    machine.run(&url, &["reconcile", "k1", "--reset", "--yes"], 0);
    let reset = newest(&machine);
    machine.run(&url, &["undo", &reset, "--yes"], 0);
    assert_eq!(call("once")["uncertain"], true);
    // Done once more, and used by a caller: then it is not taken back.
    machine.run(&url, &["undo", &newest(&machine), "--yes"], 0);
    let redone = newest(&machine);
    assert_eq!((&call("once")["cached"], &call("once")["response"]["by"]), (&Value::from(false), &"python".into()));
    let report = machine.json(&url, &["undo", &reset, "--yes"], 5);
    assert_eq!(results(&report, "changed", "is completed now"), 1, "{report}");
    machine.json(&url, &["forget", "k1", "--yes"], 0);
    machine.json(&url, &["undo", &newest(&machine), "--yes"], 0);
    assert_eq!((&call("once")["cached"], &call("once")["response"]["by"]), (&Value::from(true), &"python".into()));
    assert_ne!(redone, reset);
}

/// A replay that was taken back is replayed once more, and the library's worker runs each exactly once.
#[test]
fn the_stent_library_goes_on() {
    for place in [Place::empty_postgres(), Place::empty_sqlite()] {
        let (url, library, machine) = (place.url(), place.for_library(), Machine::new());
        peers::ask(&STENT_112, "stent/flow.py", &[&library, "die", "3"]);
        let replay = ["dlq", "replay", "--all", "--kind", "orchestrator", "--yes"];
        machine.run(&url, &replay, 0);
        machine.run(&url, &["undo", &newest(&machine), "--yes"], 0);
        peers::ask(&STENT_112, "stent/flow.py", &[&library, "heal"]);
        assert_eq!(place.count("executions WHERE state = 'failed'"), 3, "nothing ran");
        machine.run(&url, &replay, 0);
        peers::ask(&STENT_112, "stent/flow.py", &[&library, "heal"]);
        assert_eq!(place.count("executions WHERE state = 'completed'"), 3);
        assert_eq!(place.count("tasks WHERE kind = 'orchestrator' AND state = 'completed'"), 3, "each once");
    }
}

/// Replays that are taken back while the library's worker claims what they made: each letter is back and its execution failed
/// as before, or it ran exactly once. `SEN_TEST_SCALE=full` makes it five hundred for each store.
#[test]
fn undo_against_a_live_worker() {
    for place in [Place::empty_postgres(), Place::empty_sqlite()] {
        let count = sized(30, 500);
        place.letters(&STENT_112, count, &[]);
        let (url, machine) = (place.url(), Machine::new());
        let worker = Peer::start(&STENT_112, "stent/flow.py", &[&place.for_library(), "serve-healed", "1"]);
        assert_eq!(worker.made["ready"], true);
        let (mut back, mut ran) = (0, 0);
        for round in 0..count.div_ceil(10) {
            machine.sen(&url, &["dlq", "replay", "--all", "--limit", "10", "--yes"]).run();
            // At another moment of what the worker does with them each time, from before its next poll until after it.
            std::thread::sleep(Duration::from_millis(round as u64 % 8 * 100));
            let report = machine.sen(&url, &["undo", &newest(&machine), "--yes", "-o", "json"]).run().json();
            back += report["applied"].as_u64().unwrap();
            ran += report["changed"].as_u64().unwrap();
        }
        let open = |table: &str| place.count(&format!("{table} WHERE state IN ('pending', 'running')"));
        until("the worker is idle", || open("tasks") + open("executions") == 0);
        drop(worker);
        println!("{back} taken back, {ran} taken up");
        let (letters, done) = (place.count("dead_tasks"), place.count("executions WHERE state = 'completed'"));
        assert_eq!(letters + done, count as u64, "{letters} letters, {done} completed: none lost, none twice");
        assert_eq!(place.count("executions WHERE state = 'failed'"), letters);
        let twice = "(SELECT execution_id FROM tasks WHERE kind = 'orchestrator' AND state = 'completed' GROUP BY execution_id HAVING count(*) > 1) AS twice";
        assert_eq!(
            (place.count(twice), place.count("tasks WHERE kind = 'orchestrator' AND state = 'completed'")),
            (0, done)
        );
    }
}

/// What the library's tables hold of sagas, but for tokens, histories, and the moment at which an act made one due.
fn sagas(place: &sagas_place::Place) -> String {
    let columns = "SELECT id, status, current_step_index, CASE WHEN deadline_at = updated_at THEN 'due' ELSE CAST(deadline_at AS text) END,
        CASE WHEN deadline_at = updated_at THEN 'due' ELSE CAST(updated_at AS text) END, retry_counter, last_error, context
        FROM order_saga ORDER BY id";
    match &place.base {
        sagas_place::Base::Postgres(database) => database.psql(columns),
        sagas_place::Base::Sqlite(folder) => {
            let db = rusqlite::Connection::open(folder.path().join("sagas.db")).unwrap();
            let mut statement = db.prepare(columns).unwrap();
            let cell = |row: &rusqlite::Row<'_>, at| format!("{:?}", row.get_ref(at).unwrap());
            let rows = statement.query_map([], |row| Ok((0..8).map(|at| cell(row, at)).collect::<Vec<_>>().join("|")));
            rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Does something, takes it back, does it again, and takes it back.
#[track_caller]
fn saga_there_and_back(place: &sagas_place::Place, words: &[&str]) {
    let machine = Machine::new();
    let (url, before) = (place.url(), sagas(place));
    machine.run(&url, words, 0);
    let after = sagas(place);
    assert_ne!(before, after, "{words:?}");
    for wanted in [&before, &after, &before] {
        let report = machine.json(&url, &["undo", "last", "--yes", "--reason", "INC-9"], 0);
        assert_eq!((&report["applied"], &sagas(place)), (&1.into(), wanted), "{words:?} {report}");
    }
}

/// A saga is as before its act, a worker finds nothing to do, and a retry after that leads on as if nothing had been.
#[test]
fn sagas_come_back_and_the_library_goes_on() {
    for mut place in
        [sagas_place::Place::new(&SAGA_011), sagas_place::Place::new(&SAGA_073), sagas_place::Place::sqlite(&SAGA_073)]
    {
        let id = place.start("o-1", "order-once", json!({"charge": "fail"}));
        for words in [&["saga", "retry", id.as_str(), "--yes"][..], &["saga", "compensate", &id, "--yes"]] {
            saga_there_and_back(&place, words);
            assert_eq!(place.run_due(), 0, "nothing is due");
            let history = place.act(&["saga", "show", &id], 0).stdout;
            assert!(history.contains("INC-9"), "{history}");
        }
        let machine = Machine::new();
        machine.run(&place.url(), &["saga", "retry", &id, "--yes"], 0);
        place.mode("o-1", "charge", "ok");
        assert_eq!(place.run_due(), 1);
        assert_eq!(place.status(&id), "COMPLETED");
        let report = machine.json(&place.url(), &["undo", "last", "--yes"], 5);
        assert_eq!(results(&report, "changed", "is COMPLETED now"), 1, "{report}");
        // One between two tries.
        let id = place.start("o-2", "order", json!({"charge": "fail"}));
        let output = r#"{"charge": "by hand", "amount": 3.25}"#;
        saga_there_and_back(&place, &["saga", "skip", &id, "--result", output, "--force", "--yes"]);
        saga_there_and_back(&place, &["saga", "abort", &id, "--yes"]);
    }
}

/// An undo is no worker's change: what stood between two steps is stuck again at once, and what is due again was claimed by nobody.
#[test]
fn an_undo_of_a_saga_is_no_workers_change() {
    for mut place in
        [sagas_place::Place::new(&SAGA_011), sagas_place::Place::new(&SAGA_073), sagas_place::Place::sqlite(&SAGA_073)]
    {
        let id = place.start("o-1", "order", json!({"charge": "fail"}));
        match &place.base {
            sagas_place::Base::Postgres(database) => database.psql(
                "UPDATE order_saga SET status = 'RUNNING', deadline_at = NULL, updated_at = now() - interval '1 hour'",
            ),
            sagas_place::Base::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.path().join("sagas.db")).unwrap();
                let older = "UPDATE order_saga SET status = 'RUNNING', deadline_at = NULL,
                    updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 hour')";
                db.execute(older, []).unwrap().to_string()
            }
        };
        let (machine, url) = (Machine::new(), place.url());
        let shown = |words: &[&str]| machine.json(&url, words, 0);
        let undo = || {
            let shown = machine.json(&url, &["undo", "last", "--yes"], 0);
            text(&shown["operation"])
        };
        let state = |wanted: &str| {
            let saga = shown(&["saga", "show", &id]);
            assert_eq!(saga["verdict"]["state"], wanted, "{saga}");
            let steps = saga["steps"].as_array().unwrap();
            let last = &steps[steps.len() - 1];
            assert_eq!((&last["step_id"], &last["step_name"]), (&"charge".into(), &"Charge".into()), "{saga}");
        };
        state("stuck");
        let unstuck = text(&shown(&["saga", "unstick", &id, "--yes"])["operation"]);
        state("due");
        let undone = undo();
        state("stuck");
        let operation = |id: &str| machine.json("", &["op", "show", id], 0);
        assert_eq!(
            (&operation(&unstuck)["state"], &operation(&unstuck)["undone_by"]),
            (&"undone".into(), &undone.as_str().into())
        );
        // It may be done again at once, by a new act or by taking the undo back.
        let plan = shown(&["saga", "unstick", &id, "--dry-run"]);
        assert_eq!(plan["planned"], 1, "{plan}");
        let redone = undo();
        state("due");
        assert_eq!((&operation(&unstuck)["state"], &operation(&undone)["state"]), (&"done".into(), &"undone".into()));
        assert_eq!(operation(&redone)["what"], "redo: unstick 1 saga");
        let why = shown(&["why", &id]).to_string();
        assert!(why.contains("made_due") && !why.contains("lease_expired"), "{why}");
        let plan = shown(&["saga", "abort", &id, "--dry-run"]).to_string();
        assert!(!plan.contains("in flight"), "{plan}");
        undo();
        assert_eq!(operation(&redone)["state"], "undone");
        state("stuck");
    }
}

/// Retries that are taken back while a worker polls: the saga is failed as before and its step did not run again, or it ran.
#[test]
fn undo_of_a_saga_against_a_polling_worker() {
    for mut place in [sagas_place::Place::new(&SAGA_073), sagas_place::Place::sqlite(&SAGA_073)] {
        let id = place.start("o-1", "order-once", json!({"charge": "fail"}));
        let tries = |place: &mut sagas_place::Place| {
            let history = place.saga(&id)["history"].as_array().cloned().unwrap_or_default();
            history.iter().filter(|entry| entry["status"] == "ERROR").count()
        };
        let (machine, url) = (Machine::new(), place.url());
        let (mut back, mut ran, mut before) = (0, 0, tries(&mut place));
        // When the worker polls, after the undo is started: moved each time towards where either may be first.
        let mut head_start = Duration::ZERO;
        let mut worker = place.peer();
        for _ in 0..sized(12, 500) {
            machine.run(&url, &["saga", "retry", &id, "--yes"], 0);
            let operation = newest(&machine);
            let report = std::thread::scope(|scope| {
                let polls = scope.spawn(|| {
                    std::thread::sleep(head_start);
                    worker.send(&json!({"do": "run_due"}))
                });
                let report = machine.sen(&url, &["undo", &operation, "--yes", "-o", "json"]).run().json();
                let polled = polls.join().unwrap();
                assert!(polled.get("ok").is_some(), "{polled}");
                report
            });
            let undone = report["applied"] == 1;
            if undone {
                back += 1;
                head_start = head_start.saturating_sub(Duration::from_millis(25));
            } else {
                ran += 1;
                head_start += Duration::from_millis(25);
            }
            let now = tries(&mut place);
            assert_eq!(now - before, usize::from(!undone), "{report}");
            assert_eq!(place.status(&id), "FAILED");
            before = now;
        }
        println!("{back} taken back, {ran} taken up");
    }
}

/// Messages that were made due again, and events that were put into an inbox.
#[test]
fn messages_of_sagas_come_back() {
    let mut place = sagas_place::Place::new(&SAGA_073);
    let id = place.start("o-1", "order", json!({"charge": "await"}));
    let (machine, url) = (Machine::new(), place.url());
    let event = ["--event-id", "e-1", "--type", "charge.confirmed", "--payload", "{}", "--correlation", "o-1"];
    machine.run(&url, &[&["saga", "notify", &id, "--inbox"][..], &event].concat(), 0);
    let inbox = || place.psql("SELECT id, status, attempts, next_attempt_at, updated_at FROM order_inbox");
    assert!(inbox().contains("PENDING"));
    machine.run(&url, &["undo", "last", "--yes"], 0);
    assert_eq!(inbox(), "");
    machine.run(&url, &["undo", "last", "--yes"], 0);
    place.psql("UPDATE order_inbox SET status = 'FAILED', attempts = 3");
    let failed = inbox();
    let message = place.psql("SELECT id FROM order_inbox");
    machine.run(&url, &["saga", "inbox", "requeue", &message, "--yes"], 0);
    assert_ne!(inbox(), failed);
    machine.run(&url, &["undo", "last", "--yes"], 0);
    assert_eq!(inbox(), failed);
    machine.run(&url, &["saga", "inbox", "requeue", &message, "--yes"], 0);
    place.psql("UPDATE order_inbox SET status = 'PROCESSING'");
    let report = machine.json(&url, &["undo", "last", "--yes"], 5);
    assert_eq!(results(&report, "changed", "is PROCESSING now"), 1, "{report}");
}

/// Of many a few are named, and all are taken back.
#[test]
fn many_are_told_in_a_few_lines() {
    for place in Place::both() {
        letters(&place, 450);
        let (machine, before) = (Machine::new(), rows(&place, &STENT));
        machine.run(&place.url(), &["dlq", "replay", "--all", "--yes"], 0);
        place.sql("UPDATE tasks SET worker_id = 'w' WHERE execution_id = 'e-7' AND state = 'pending'");
        let shown = machine.run(&place.url(), &["undo", "last", "--dry-run"], 3).stdout;
        assert!(shown.lines().count() < 20 && shown.contains("take back 449 of operation"), "{shown}");
        let report = machine.json(&place.url(), &["undo", "last", "--yes"], 3);
        assert_eq!((&report["applied"], &report["changed"]), (&449.into(), &1.into()));
        place.sql("UPDATE tasks SET worker_id = NULL WHERE execution_id = 'e-7' AND state = 'pending'");
        let replayed = text(&machine.json("", &["op", "list", "--limit", "2"], 0)[1]["operation"]);
        machine.json(&place.url(), &["undo", &replayed, "--yes"], 0);
        assert_eq!(rows(&place, &STENT), before);
    }
}

#[test]
fn what_the_journal_does_not_have_is_named() {
    let place = Place::both().into_iter().next().unwrap();
    letters(&place, 2);
    let machine = Machine::new();
    machine.run(&place.url(), &["dlq", "replay", "t-1", "--yes"], 0);
    let operation = newest(&machine);
    machine.forget_outcomes();
    machine.run(&place.url(), &["op", "resume", &operation, "--yes"], 0);
    let report = machine.json(&place.url(), &["undo", &operation, "--yes"], 5);
    assert_eq!(results(&report, "changed", "the journal does not have its rows as they were"), 1, "{report}");
    let other = Place::both().into_iter().next().unwrap();
    let refused = machine.run(&other.url(), &["undo", &operation, "--yes"], 7);
    assert!(refused.stderr.contains("nothing was written"), "{}", refused.transcript());
}
