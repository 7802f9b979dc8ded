//! The journal: written before the change, for its user alone, true of what was stopped, and no obstacle where it cannot be kept.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::Value;

use super::machine::{Machine, balanced, letters, results, text};
use super::place::Place;
use crate::harness::patience::until;
use crate::harness::postgres::Server;
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::sen::{Running, sen};

const REPLAY: [&str; 4] = ["dlq", "replay", "--all", "--yes"];

#[test]
fn it_is_there_before_anything_is_changed_and_for_its_user_alone() {
    let [place, _] = Place::both();
    letters(&place, 30);
    let Place::Postgres(database) = &place else { unreachable!() };
    let machine = Machine::new();
    let proxy = Proxy::unix(Server::shared());
    proxy.trap_after("opened AS (", Trap::Hold(b"COMMIT".to_vec()));
    let running = machine.sen(&proxy.url_of(&database.name), &[&REPLAY[..], &["--reason", "INC-7"]].concat()).start();
    proxy.wait_for_hold();
    // Nothing is committed yet, and all that is to be done can be read.
    let [journal] = &machine.journals()[..] else { panic!("no journal") };
    let whole = std::fs::read_to_string(journal).unwrap();
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["lines"], &lines[0]["origin"]["reason"]), (33, &30.into(), &"INC-7".into()));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(journal), mode(&machine.folder())), (0o600, 0o700));
    assert_eq!(machine.only().1, "running");
    let (id, _) = machine.only();
    let refused = machine.run(&place.url(), &["op", "resume", &id, "--yes"], 5).stderr;
    assert!(refused.contains("running at this moment"), "{refused}");
    running.signal(Signal::KILL);
    running.finish();
    proxy.cut();
    assert_eq!(machine.only(), (id.clone(), "interrupted".into()));
    // Whether they were written is not told, and nobody says that they were not, or that all of it was taken back.
    let shown = machine.json("", &["op", "show", &id], 3);
    let counts = ["targets", "untold", "not_begun", "applied"].map(|name| shown[name].as_u64().unwrap());
    assert_eq!(counts, [30, 30, 0, 0]);
    let waited = machine.run(&place.url(), &["wait", "op", &id, "--timeout", "5s"], 10).stdout;
    let undone = machine.run(&place.url(), &["undo", &id, "--yes"], 3).stderr;
    for said in [waited, undone] {
        assert!(said.contains("whether 30 targets were written is not told"), "{said}");
    }
    assert_eq!(machine.only().1, "interrupted");
    // The server ends the transaction when it finds nobody there.
    until("the end of what was stopped", || {
        place.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()")
            == "0"
    });
    let dry = machine.json(&place.url(), &["op", "resume", &id, "--dry-run"], 0);
    assert_eq!(dry["planned"], 30);
    machine.run(&place.url(), &["op", "resume", &id], 7);
    let done = machine.json(&place.url(), &["op", "resume", &id[..6], "--yes"], 0);
    assert_eq!((&done["applied"], &done["operation"]), (&30.into(), &id.clone().into()));
    assert_eq!((balanced(&place, 30), machine.only().1), (30, "done".into()));
    // Nothing is left of it.
    let shown = machine.json(&place.url(), &["op", "resume", &id, "--yes"], 0);
    assert_eq!(shown["state"], "done");
}

#[test]
fn an_interrupt_finishes_what_is_under_way_and_the_rest_can_be_gone_on_with() {
    for place in Place::both() {
        letters(&place, 200);
        let machine = Machine::new();
        let words = [&REPLAY[..], &["--rate", "40/s", "-o", "json"]].concat();
        let running = machine.sen(&place.url(), &words).start();
        until("the first letters", || place.count("dead_tasks") < 200);
        running.signal(Signal::INT);
        let stopped = running.finish().expect_code(130).json();
        let done = stopped["applied"].as_u64().unwrap();
        assert_eq!((balanced(&place, 200), &stopped["skipped"]), (done, &(200 - done).into()));
        assert!(done < 200, "it was stopped");
        let (id, state) = machine.only();
        assert_eq!(state, "interrupted");
        let rest = machine.json(&place.url(), &["op", "resume", &id, "--yes"], 0);
        assert_eq!(rest["applied"], 200 - done);
        assert_eq!((balanced(&place, 200), machine.only().1), (200, "done".into()));
        let shown = machine.json("", &["op", "show", &id], 0);
        assert_eq!(results(&shown, "applied", "replayed as task"), 200);
    }
}

#[test]
fn an_act_goes_on_where_no_journal_can_be_kept() {
    let [_, place] = Place::both();
    letters(&place, 3);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    std::fs::write(&file, "").unwrap();
    let output = sen(REPLAY).database(&place.url()).env("XDG_STATE_HOME", &file).run().expect_code(0);
    assert!(output.stderr.contains("this operation is not in the journal"), "{}", output.stderr);
    assert_eq!(balanced(&place, 3), 3);
    let list = sen(["op", "list", "-o", "json"]).env("XDG_STATE_HOME", &file).run().expect_code(0);
    assert_eq!(list.json(), Value::Array(Vec::new()));
    // A dry run, a plan and a refusal keep none.
    let machine = Machine::new();
    machine.run(&place.url(), &["dlq", "replay", "--all", "--dry-run"], 0);
    machine.run(&place.url(), &["exec", "cancel", "nosuch"], 4);
    assert!(machine.journals().is_empty());
}

#[test]
fn two_who_go_on_at_once_do_it_once() {
    for place in Place::both() {
        letters(&place, 60);
        let machine = Machine::new();
        let running = machine.sen(&place.url(), &[&REPLAY[..], &["--rate", "40/s"]].concat()).start();
        until("the first letters", || place.count("dead_tasks") < 60);
        running.signal(Signal::KILL);
        running.finish();
        let (id, state) = machine.only();
        assert_eq!(state, "interrupted");
        let words = ["op", "resume", id.as_str(), "--yes", "-o", "json"];
        let both: Vec<Running> = (0..2).map(|_| machine.sen(&place.url(), &words).start()).collect();
        let outputs: Vec<_> = both.into_iter().map(Running::finish).collect();
        let codes: Vec<i32> = outputs.iter().map(|output| output.code).collect();
        assert!(codes.contains(&0) && codes.iter().all(|code| [0, 5].contains(code)), "{outputs:?}");
        assert_eq!((balanced(&place, 60), machine.only().1), (60, "done".into()));
        let shown = machine.json("", &["op", "show", &id], 0);
        let settled = results(&shown, "applied", "") + results(&shown, "already_done", "this operation did it before");
        assert_eq!(settled, 60, "{shown}");
    }
}

#[test]
fn a_journal_that_was_cut_is_gone_on_with() {
    let [_, place] = Place::both();
    letters(&place, 4);
    let machine = Machine::new();
    machine.run(&place.url(), &REPLAY, 0);
    let journal = machine.journals().remove(0);
    let whole = std::fs::read_to_string(&journal).unwrap();
    let settled = whole.find("{\"settled\"").unwrap();
    // In the middle of its first outcome; and with bytes behind it that are no text.
    for cut in [whole.as_bytes()[..settled + 20].to_vec(), [&whole.as_bytes()[..settled], b"\xff\xfe\n"].concat()] {
        std::fs::write(&journal, cut).unwrap();
        let (id, state) = machine.only();
        assert_eq!(state, "interrupted");
        let report = machine.json(&place.url(), &["op", "resume", &id, "--yes"], 0);
        assert_eq!(results(&report, "already_done", "this operation did it before"), 4);
        assert_eq!(machine.only().1, "done");
    }
    // One that was cut in its plan is told, and hides nothing.
    std::fs::write(machine.folder().join("0.jsonl"), "{\"lines\":3}\n").unwrap();
    let list = machine.run("", &["op", "list", "-o", "json"], 0);
    assert!(list.stderr.contains("0.jsonl") && list.json().as_array().unwrap().len() == 1, "{list:?}");
    machine.run("", &["op", "show", "nosuch"], 4);
    assert_eq!(text(&machine.json("", &["op", "show", &machine.only().0], 0)["state"]), "done");
}

#[test]
fn journals_of_what_has_ended_are_removed_and_the_others_kept() {
    let [_, place] = Place::both();
    letters(&place, 4);
    let machine = Machine::new();
    for letter in ["t-1", "t-2"] {
        machine.json(&place.url(), &["dlq", "replay", letter, "--yes"], 0);
    }
    // One that was killed: its journal ends behind its plan.
    let ended = machine.journals();
    machine.json(&place.url(), &["dlq", "replay", "t-3", "--yes"], 0);
    let killed = machine.journals().into_iter().find(|path| !ended.contains(path)).unwrap();
    let whole = std::fs::read_to_string(&killed).unwrap();
    let plan: Vec<&str> = whole.lines().take_while(|line| !line.contains("\"settled\"")).collect();
    std::fs::write(&killed, plan.join("\n") + "\n").unwrap();
    let clean = |words: &[&str], code| machine.json("", &[&["op", "clean", "--older-than"], words].concat(), code);
    let states = |of: &Value| -> Vec<String> {
        let mut states: Vec<_> =
            of.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect();
        states.sort();
        states
    };
    assert_eq!(clean(&["90d", "--yes"], 0)["removed"], serde_json::json!([]));
    until("the age of all", || {
        let plan = clean(&["1s", "--dry-run"], 0);
        plan["removed"].as_array().unwrap().len() + plan["kept"].as_array().unwrap().len() == 3
    });
    let plan = clean(&["1s", "--dry-run"], 0);
    assert_eq!((states(&plan["removed"]), states(&plan["kept"])), (vec!["done".into(); 2], vec!["interrupted".into()]));
    assert_eq!(machine.journals().len(), 3);
    let refused = machine.run("", &["op", "clean", "--older-than", "1s"], 7).stderr;
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(machine.journals().len(), 3);
    // One that runs is kept, whatever is asked for.
    let running = std::fs::File::open(&killed).unwrap();
    rustix::fs::flock(&running, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let done = clean(&["1s", "--yes", "--force"], 0);
    assert_eq!((states(&done["removed"]), states(&done["kept"])), (vec!["done".into(); 2], vec!["running".into()]));
    assert_eq!(machine.journals(), std::slice::from_ref(&killed));
    drop(running);
    assert_eq!(clean(&["1s", "--yes"], 0)["removed"], serde_json::json!([]));
    assert_eq!(states(&clean(&["1s", "--yes", "--force"], 0)["removed"]), ["interrupted"]);
    assert!(machine.journals().is_empty());
}

/// `last` is no older operation where the newest cannot be read, and a journal that is damaged is not said to be absent.
#[test]
fn a_journal_that_cannot_be_read_is_not_passed_over() {
    let [place, _] = Place::both();
    letters(&place, 2);
    let (machine, url) = (Machine::new(), place.url());
    machine.run(&url, &["dlq", "replay", "t-1", "--yes"], 0);
    let (first, _) = machine.only();
    machine.run(&url, &["dlq", "replay", "t-2", "--yes"], 0);
    let newest = machine.journals().into_iter().find(|path| !path.to_str().unwrap().contains(&first)).unwrap();
    std::fs::write(&newest, "").unwrap();
    let id = newest.file_stem().unwrap().to_str().unwrap();
    for words in [
        &["undo", "last", "--yes"][..],
        &["op", "show", "last"],
        &["op", "show", id],
        &["op", "resume", &id[..8], "--yes"],
    ] {
        let said = machine.run(&url, words, 2).stderr;
        assert!(said.contains(&format!("the journal of operation {id} cannot be read")), "{words:?} {said}");
    }
    machine.run(&url, &["op", "show", &first], 8);
    assert_eq!(place.count("tasks WHERE state = 'pending'"), 2);
}

/// An operation that did nothing is no success to wait for, and a database that cannot be asked is no answer.
#[test]
fn what_did_nothing_has_not_helped() {
    let [place, _] = Place::both();
    letters(&place, 1);
    let (machine, url, folder) = (Machine::new(), place.url(), tempfile::tempdir().unwrap());
    let plan = folder.path().join("a.plan");
    let plan = plan.to_str().unwrap();
    machine.run(&url, &["dlq", "replay", "--all", "--plan-out", plan], 0);
    place.sql("DELETE FROM dead_tasks");
    machine.run(&url, &["apply", plan, "--yes"], 4);
    let (id, _) = machine.only();
    assert_eq!(machine.json(&url, &["wait", "op", &id, "--timeout", "5s"], 10)["outcome"], "needs_attention");
    letters(&place, 0);
    place.sql("DELETE FROM tasks; DELETE FROM executions");
    letters(&place, 1);
    machine.run(&url, &["dlq", "replay", "--all", "--yes"], 0);
    let gone = "postgresql://nobody@127.0.0.1:1/nowhere";
    machine.run(gone, &["op", "show", "last"], 6);
    machine.run("", &["op", "show", "last"], 0);
}
