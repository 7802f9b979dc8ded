//! The journal in the database: entered in the transaction of each change, read by every operator, and no obstacle to who may not
//! write it.

use rustix::process::Signal;
use serde_json::Value;

use super::machine::{Machine, balanced, letters, replay_plan, results, stored, text, uncertain_keys};
use super::place::Place;
use crate::harness::patience::until;
use crate::harness::postgres::Server;
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::sen::Running;

const REPLAY: [&str; 4] = ["dlq", "replay", "--all", "--yes"];

/// The table of what was entered.
fn items(place: &Place) -> &'static str {
    match place {
        Place::Postgres(_) => "sen.operation_item",
        Place::Sqlite(_) => "sen_operation_item",
    }
}

fn entered(place: &Place, kind: &str) -> u64 {
    place.count(&format!("{} WHERE kind = '{kind}'", items(place)))
}

/// Both stores with a journal and so many dead letters.
fn places(count: usize) -> [Place; 2] {
    let places = Place::both();
    for place in &places {
        let made = Machine::new().json(&place.url(), &["init", "journal", "--yes"], 0);
        assert_eq!((&made["applied"], &made["planned"]), (&2.into(), &2.into()));
        letters(place, count);
    }
    places
}

/// The only operation that replays, as this machine lists it at this database.
#[track_caller]
fn listed(machine: &Machine, place: &Place) -> Value {
    let list = machine.json(&place.url(), &["op", "list"], 0);
    let rows = list.as_array().unwrap();
    let replays = |row: &&Value| row["what"].as_str().unwrap().contains("replay");
    let mut found = rows.iter().filter(replays);
    let only = found.next().unwrap_or_else(|| panic!("no replay: {list}")).clone();
    assert!(found.next().is_none(), "one operation is one entry: {list}");
    only
}

#[test]
fn what_one_operator_began_another_lists_resumes_and_takes_back() {
    for place in places(200) {
        let before = stored(&place);
        let [here, there] = [Machine::new(), Machine::new()];
        let running = here.sen(&place.url(), &[&REPLAY[..], &["--rate", "40/s", "--reason", "INC-7"]].concat()).start();
        until("the first letters", || place.count("dead_tasks") < 200);
        let seen = listed(&there, &place);
        assert_eq!((&seen["state"], &seen["reason"], &seen["targets"]), (&"open".into(), &"INC-7".into(), &200.into()));
        running.signal(Signal::KILL);
        running.finish();
        until("the end of the transaction that was under way", || {
            place.count("dead_tasks") + entered(&place, "changed") == 200
        });
        let done = balanced(&place, 200);
        let seen = listed(&there, &place);
        assert_eq!((&seen["applied"], &seen["state"]), (&done.into(), &"open".into()), "as many as were committed");
        let own = listed(&here, &place);
        assert_eq!((&own["applied"], &own["state"]), (&done.into(), &"interrupted".into()));
        let id = text(&seen["operation"]);
        // How the work of what was told goes is known; of what was written last it is not.
        let shown = there.sen(&place.url(), &["op", "show", &id, "-o", "json"]).run();
        assert!([3, 8].contains(&shown.code), "{}", shown.transcript());
        let shown = shown.json();
        assert_eq!((results(&shown, "applied", ""), &shown["not_begun"]), (done as usize, &(200 - done).into()));
        let shown = there.sen(&place.url(), &["op", "show", &id]).run().stdout;
        assert!(shown.contains("open") && !shown.contains("WzFd"), "payloads are nobody's to read: {shown}");
        let dry = there.json(&place.url(), &["op", "resume", &id, "--dry-run"], 0);
        let rest = there.json(&place.url(), &["op", "resume", &id, "--yes"], 0);
        let (applied, own) =
            (rest["applied"].as_u64().unwrap(), results(&rest, "already_done", "this operation did it before"));
        assert_eq!((applied + done, rest["planned"].as_u64()), (200, dry["planned"].as_u64()));
        assert!(own as u64 <= done, "what it had not told of itself");
        assert_eq!(balanced(&place, 200), 200);
        for machine in [&here, &there, &Machine::new()] {
            let seen = listed(machine, &place);
            assert_eq!((&seen["state"], &seen["applied"]), (&"done".into(), &200.into()));
        }
        // Whoever applied it, everybody can take all of it back: also what was written in the moment before the kill.
        let undone = Machine::new().json(&place.url(), &["undo", &id, "--yes"], 0);
        assert_eq!(undone["applied"], 200, "{undone}");
        let records = |text: String| text.split("\n--\n").take(3).collect::<Vec<_>>().join("\n--\n");
        assert_eq!(records(stored(&place)), records(before));
        let list = here.json(&place.url(), &["op", "list"], 0);
        let of = list.as_array().unwrap().iter().find(|row| row["operation"] == id.as_str()).unwrap();
        assert_eq!((&of["state"], &of["undone_by"]), (&"undone".into(), &undone["operation"]));
    }
}

/// Who goes on after a kill is told the brakes it had, wherever that is.
#[test]
fn the_brakes_of_what_was_killed_are_known_everywhere() {
    for place in places(5) {
        let [here, there] = [Machine::new(), Machine::new()];
        let brakes = ["--canary", "2", "--canary-timeout", "1m"];
        let running = here.sen(&place.url(), &[&REPLAY[..], &brakes].concat()).start();
        until("the canary", || place.count("dead_tasks") == 3 && entered(&place, "begun") == 1);
        running.signal(Signal::KILL);
        running.finish();
        for machine in [&here, &there] {
            let id = text(&listed(machine, &place)["operation"]);
            let shown = machine.sen(&place.url(), &["op", "show", &id]).run().stdout;
            let next = shown.lines().find(|line| line.contains("sen op resume")).unwrap_or_else(|| panic!("{shown}"));
            assert!(next.contains("--canary 2"), "{shown}");
        }
    }
}

#[test]
fn nothing_is_entered_of_what_is_not_committed_and_the_other_way_round() {
    let [place, file] = places(30);
    // It fails at COMMIT, behind every statement.
    place.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let machine = Machine::new();
    machine.json(&place.url(), &REPLAY, 1);
    assert_eq!((entered(&place, "changed"), entered(&place, "planned"), place.count("dead_tasks")), (0, 30, 30));
    place.sql("DROP TRIGGER late ON tasks");
    place.sql("CREATE TRIGGER never BEFORE INSERT ON sen.operation_item FOR EACH ROW WHEN (NEW.kind = 'changed') EXECUTE FUNCTION refuse()");
    file.sql(
        "CREATE TRIGGER never BEFORE INSERT ON sen_operation_item WHEN NEW.kind = 'changed'
            BEGIN SELECT RAISE(ABORT, 'not today'); END",
    );
    for place in [&place, &file] {
        let refused = Machine::new().json(&place.url(), &REPLAY, 1);
        assert_eq!((results(&refused, "failed", ""), place.count("dead_tasks")), (30, 30), "{refused}");
        assert_eq!(place.count("tasks WHERE state = 'pending'"), 0);
    }
}

#[test]
fn what_was_held_at_its_commit_is_not_entered() {
    let [place, _] = places(30);
    let Place::Postgres(database) = &place else { unreachable!() };
    let [here, there] = [Machine::new(), Machine::new()];
    let proxy = Proxy::unix(Server::shared());
    proxy.trap_after("opened AS (", Trap::Hold(b"COMMIT".to_vec()));
    let running = here.sen(&proxy.url_of(&database.name), &REPLAY).start();
    proxy.wait_for_hold();
    // What is to be done is known to everybody before anything is.
    let seen = listed(&there, &place);
    assert_eq!((&seen["targets"], &seen["applied"], &seen["state"]), (&30.into(), &0.into(), &"open".into()));
    running.signal(Signal::KILL);
    running.finish();
    proxy.cut();
    let id = text(&seen["operation"]);
    let words = ["op", "resume", id.as_str(), "--yes"];
    until("the end of what was stopped", || there.sen(&place.url(), &words).run().code == 0);
    assert_eq!((balanced(&place, 30), entered(&place, "changed")), (30, 30));
    assert_eq!(listed(&here, &place)["state"], "done");
}

#[test]
fn one_plan_is_applied_once_whoever_has_it() {
    for place in places(20) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("replay.plan");
        let [here, there] = [Machine::new(), Machine::new()];
        replay_plan(&here, &place, &file);
        let file = file.to_str().unwrap();
        assert_eq!(here.json(&place.url(), &["apply", file, "--yes"], 0)["applied"], 20);
        for words in [vec!["apply", file, "--yes"], vec!["apply", file, "--check"]] {
            let refused = there.run(&place.url(), &words, 7).stderr;
            assert!(refused.contains("was applied before"), "{refused}");
        }
        assert!(there.journals().is_empty(), "nothing was begun");
        assert_eq!((entered(&place, "planned"), entered(&place, "changed")), (20, 20));
    }
}

#[test]
fn two_machines_that_resume_at_once_do_it_once() {
    for place in places(60) {
        let here = Machine::new();
        let running = here.sen(&place.url(), &[&REPLAY[..], &["--rate", "40/s"]].concat()).start();
        until("the first letters", || place.count("dead_tasks") < 60);
        running.signal(Signal::KILL);
        running.finish();
        let id = text(&listed(&here, &place)["operation"]);
        let machines = [here, Machine::new(), Machine::new()];
        let words = ["op", "resume", id.as_str(), "--yes", "-o", "json"];
        let all: Vec<Running> = machines.iter().map(|machine| machine.sen(&place.url(), &words).start()).collect();
        let outputs: Vec<_> = all.into_iter().map(Running::finish).collect();
        let codes: Vec<i32> = outputs.iter().map(|output| output.code).collect();
        assert!(codes.contains(&0) && codes.iter().all(|code| [0, 3, 5].contains(code)), "{outputs:?}");
        until("the rest", || {
            machines[1].sen(&place.url(), &["op", "resume", &id, "--yes"]).run();
            balanced(&place, 60) == 60
        });
        assert_eq!(entered(&place, "changed"), 60, "each once");
        assert_eq!(listed(&machines[2], &place)["state"], "done");
    }
}

#[test]
fn who_may_not_write_it_acts_without_and_is_told() {
    let [place, _] = places(3);
    let Place::Postgres(database) = &place else { unreachable!() };
    place.sql(&format!(
        "CREATE ROLE {0} LOGIN; GRANT USAGE ON SCHEMA public TO {0};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0};
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {0}",
        database.name
    ));
    let url = format!("{}&user={}", place.url(), database.name);
    let machine = Machine::new();
    let output = machine.run(&url, &REPLAY, 0);
    assert_eq!(output.stderr.matches("is not in the database's journal").count(), 1, "{}", output.stderr);
    assert_eq!((balanced(&place, 3), entered(&place, "planned")), (3, 0));
    let list = machine.run(&url, &["op", "list"], 0);
    assert!(list.stderr.contains("what other operators did is not known"), "{}", list.stderr);
    let undone = machine.json(&url, &["undo", "last", "--yes"], 0);
    assert_eq!((&undone["applied"], place.count("dead_tasks")), (&3.into(), 3));
}

#[test]
fn a_key_that_was_taken_over_and_not_settled_is_neither_done_nor_lost() {
    let place = Place::empty_postgres();
    Machine::new().json(&place.url(), &["init", "journal", "--yes"], 0);
    uncertain_keys(&place, 1);
    let Place::Postgres(database) = &place else { unreachable!() };
    let before = place.sql("SELECT status, fencing_token FROM sentinel_leases");
    let [here, there] = [Machine::new(), Machine::new()];
    let proxy = Proxy::unix(Server::shared());
    // The second of its two transactions.
    proxy.trap_after("'claimed'", Trap::Hold(b"COMMIT".to_vec()));
    let running = here.sen(&proxy.url_of(&database.name), &["reconcile", "k1", "--reset", "--yes"]).start();
    proxy.wait_for_hold();
    running.signal(Signal::KILL);
    running.finish();
    proxy.cut();
    until("the end of what was stopped", || {
        place.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()")
            == "0"
    });
    let list = there.json(&place.url(), &["op", "list"], 0);
    let entry = list.as_array().unwrap().iter().find(|row| row["what"].as_str().unwrap().contains("reset")).unwrap();
    let id = text(&entry["operation"]);
    assert_eq!(
        (&entry["state"], place.sql("SELECT status FROM sentinel_leases")),
        (&"open".into(), "reconciling".into())
    );
    let done = there.json(&place.url(), &["op", "resume", &id, "--yes"], 0);
    assert_eq!(
        (&done["applied"], place.sql("SELECT status FROM sentinel_leases")),
        (&1.into(), "claimed".into()),
        "{done}"
    );
    // Both transactions are in the journal, so both are taken back.
    let undone = Machine::new().json(&place.url(), &["undo", &id, "--yes"], 0);
    assert_eq!(undone["applied"], 1, "{undone}");
    assert_eq!(place.sql("SELECT status, fencing_token FROM sentinel_leases"), before);
}

#[test]
fn a_run_that_was_taken_over_ends_at_its_next_change() {
    for place in places(60) {
        let [here, there] = [Machine::new(), Machine::new()];
        let running = here.sen(&place.url(), &[&REPLAY[..], &["--rate", "8/s", "-o", "json"]].concat()).start();
        until("the first letters", || place.count("dead_tasks") < 60);
        let id = text(&listed(&there, &place)["operation"]);
        let dry = there.run(&place.url(), &["op", "resume", &id, "--dry-run"], 0).stdout;
        assert!(dry.contains("still runs elsewhere"), "{dry}");
        let rest = there.json(&place.url(), &["op", "resume", &id, "--yes"], 0);
        let stopped = running.finish().json();
        assert!(results(&stopped, "changed", "another process has resumed this operation") > 0, "{stopped}");
        let applied = rest["applied"].as_u64().unwrap() + stopped["applied"].as_u64().unwrap();
        assert_eq!((balanced(&place, 60), entered(&place, "changed"), applied), (60, 60, 60));
    }
}
