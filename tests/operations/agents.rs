//! Operations on agent tasks in Redis: plans, the journal, and what the stream shows of an operation that was stopped.

use super::machine::{Machine, results};
use crate::harness::redis::{Answer, Redis};

const OWN: &str = "this operation did it before";

fn make(server: &Redis, id: &str) {
    let key = format!("task:{id}:meta");
    let pairs = [
        "task_id",
        id,
        "status",
        "queued",
        "tenant_id",
        "acme",
        "task_type",
        "research",
        "owner",
        "",
        "lease_expires",
        "",
        "attempts",
        "0",
        "max_attempts",
        "3",
        "task_params",
        "{}",
        "created_at",
        "2026-11-20T21:38:48.000001",
        "updated_at",
        "2026-11-20T21:38:48.000001",
    ];
    server.run(&[&["HSET", key.as_str()], &pairs[..]].concat());
}

#[test]
fn a_plan_is_checked_applied_and_gone_on_with() {
    let server = Redis::start();
    let url = server.url();
    let ids: Vec<String> = (0..5).map(|n| format!("task_{n}")).collect();
    ids.iter().for_each(|id| make(&server, id));
    let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("cancel.plan");
    let path = file.to_str().unwrap();
    let mut words = vec!["agent", "cancel"];
    words.extend(ids.iter().map(String::as_str));
    machine.run(&url, &[&words[..], &["--plan-out", path]].concat(), 0);
    assert_eq!(results(&machine.json(&url, &["apply", path, "--check"], 0), "planned", "still applies"), 5);
    server.run(&["HSET", "task:task_0:meta", "status", "completed"]);
    server.run(&["DEL", "task:task_1:meta"]);
    let report = machine.json(&url, &["apply", path, "--check"], 3);
    assert_eq!((results(&report, "changed", ""), results(&report, "missing", "")), (1, 1));
    let report = machine.json(&url, &["apply", path, "--yes"], 3);
    assert_eq!((&report["applied"], &report["changed"], &report["missing"]), (&3.into(), &1.into(), &1.into()));
    machine.forget_outcomes();
    let (id, _) = machine.only();
    let report = machine.json(&url, &["op", "resume", &id, "--yes"], 3);
    assert_eq!(
        (results(&report, "already_done", OWN), results(&report, "changed", ""), results(&report, "missing", "")),
        (3, 1, 1)
    );
    // The stream is gone: nobody claims to know, and no task is cancelled again.
    machine.forget_outcomes();
    server.run(&["DEL", "stream:events"]);
    let report = machine.json(&url, &["op", "resume", &id, "--yes"], 5);
    assert_eq!((&report["applied"], &report["changed"]), (&0.into(), &4.into()), "{report}");
}

#[test]
fn a_task_that_was_submitted_is_not_submitted_again() {
    let server = Redis::start();
    let url = server.url();
    make(&server, "task_x");
    let machine = Machine::new();
    machine.run(&url, &["agent", "submit", "--tenant", "acme", "--type", "research", "--params", "{}"], 0);
    assert_eq!(machine.only().1, "done");
    machine.forget_outcomes();
    let (id, _) = machine.only();
    let report = machine.json(&url, &["op", "resume", &id, "--yes"], 0);
    assert_eq!(results(&report, "already_done", OWN), 1, "{report}");
    assert_eq!(server.run(&["KEYS", "task:*:meta"]).list().len(), 2);
}

/// Every field comes back, and what anybody has written since is left.
#[test]
fn what_was_done_to_tasks_is_taken_back() {
    let server = Redis::start();
    let (url, machine) = (server.url(), Machine::new());
    make(&server, "task_a");
    server.run(&[
        "HSET",
        "task:task_a:meta",
        "status",
        "in_progress",
        "owner",
        "w-1",
        "lease_expires",
        "2026-11-20T21:38:48",
        "extra",
        "ä\"'",
    ]);
    let hash = || {
        let Answer::List(all) = server.run(&["HGETALL", "task:task_a:meta"]) else { panic!("no hash") };
        let mut fields: Vec<String> = all.chunks(2).map(|pair| format!("{pair:?}")).collect();
        fields.sort();
        fields
    };
    for words in [&["agent", "cancel", "task_a", "--yes"][..], &["agent", "requeue", "task_a", "--yes"]] {
        let before = hash();
        machine.run(&url, words, 0);
        let after = hash();
        assert_ne!(before, after);
        for wanted in [&before, &after, &before] {
            let report = machine.json(&url, &["undo", "last", "--yes", "--reason", "INC-9"], 0);
            assert_eq!((&report["applied"], &hash()), (&1.into(), wanted), "{words:?} {report}");
        }
        assert!(format!("{:?}", server.run(&["XRANGE", "stream:events", "-", "+"])).contains("task_restored"));
        for disturb in [["status", "completed"], ["owner", "w-2"], ["attempts", "7"], ["new", "field"]] {
            machine.run(&url, words, 0);
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("undo.plan");
            let file = file.to_str().unwrap();
            machine.run(&url, &["undo", "last", "--plan-out", file], 0);
            server.run(&["HSET", "task:task_a:meta", disturb[0], disturb[1]]);
            let disturbed = hash();
            // Seen when it is planned, and held by the script.
            for undo in [&["undo", "last", "--yes"][..], &["apply", file, "--yes"]] {
                let report = machine.json(&url, undo, 5);
                let changed = results(&report, "changed", "since the operation");
                assert_eq!((changed, hash()), (1, disturbed.clone()), "{disturb:?} {undo:?}: {report}");
            }
            server.run(&["DEL", "task:task_a:meta"]);
            make(&server, "task_a");
            server.run(&[
                "HSET",
                "task:task_a:meta",
                "status",
                "in_progress",
                "owner",
                "w-1",
                "lease_expires",
                "2026-11-20T21:38:48",
                "extra",
                "ä\"'",
            ]);
        }
    }
}

#[test]
fn replayed_tasks_are_followed_and_braked() {
    let server = Redis::start();
    let url = server.url();
    let ids: Vec<String> = (0..6).map(|n| format!("task_{n}")).collect();
    for id in &ids {
        make(&server, id);
        let key = format!("task:{id}:meta");
        server.run(&["HSET", &key, "status", "failed", "error", "model 7 is overloaded", "attempts", "3"]);
    }
    let machine = Machine::new();
    let limit = ["--canary-timeout", "100ms", "--yes"];
    let report = machine.json(&url, &[&["dlq", "replay", "--all", "--canary", "2"], &limit[..]].concat(), 8);
    assert_eq!((&report["applied"], &report["skipped"]), (&2.into(), &4.into()), "{report}");
    let (id, state) = machine.only();
    assert_eq!(state, "interrupted");
    machine.run(&url, &["op", "resume", &id, "--yes"], 0);
    let set = |task: usize, status: &str, error: &str| {
        server.run(&["HSET", &format!("task:task_{task}:meta"), "status", status, "error", error]);
    };
    set(0, "failed", "model 9 is overloaded");
    set(1, "failed", "no such tool");
    set(2, "completed", "");
    let shown = machine.json(&url, &["op", "show", &id], 8);
    let followed = &shown["followed"];
    let counts =
        ["died_again", "same_error", "another_error", "succeeded", "waiting"].map(|name| followed[name].clone());
    assert_eq!(counts, [2, 1, 1, 1, 3].map(serde_json::Value::from), "{shown}");
    machine.run(&url, &["wait", "op", &id, "--timeout", "500ms"], 8);
    (3..6).for_each(|task| set(task, "completed", ""));
    machine.run(&url, &["wait", "op", &id], 10);
}
