//! One scenario a line: what was seen, and the rules that must name it.

use super::*;
use crate::checkpoint::Checkpoint;
use crate::record::{CANCELLED, FIELDS, naive_utc, to_naive_utc};
use proptest::prelude::*;

fn now() -> Timestamp {
    naive_utc("2026-11-20T20:00:00").unwrap()
}

fn at(seconds: i64) -> String {
    to_naive_utc(Timestamp::from_micros(now().as_micros() + seconds * 1_000_000))
}

fn task(status: &str, pairs: &[(&str, &str)]) -> Task {
    let saved = at(-20);
    let base = [
        ("task_id", "t"),
        ("status", status),
        ("tenant_id", "acme"),
        ("task_type", "research"),
        ("updated_at", saved.as_str()),
    ];
    let find = |field: &&str| pairs.iter().chain(&base).find(|(name, _)| name == field).map(|(_, text)| (*text).into());
    let mut task = Task::read("t".into(), FIELDS.iter().map(find).collect());
    task.owner_alive = Some(false).filter(|_| task.is_held());
    task
}

fn held(lease: i64, more: &[(&str, &str)]) -> Task {
    let lease = at(lease);
    task("leased", &[&[("owner", "w"), ("lease_expires", lease.as_str())], more].concat())
}

/// A heartbeat of the worker: when it was beaten, when its process began, and the task it names.
fn beat(beaten: i64, started: i64, current: Option<&str>) -> Heartbeat {
    let stored = serde_json::json!({"last_beat": at(beaten), "started_at": at(started), "current_task": current});
    Heartbeat::read("w", &stored.to_string(), Some(9000))
}

fn look(mut task: Task, heartbeat: Option<Heartbeat>) -> Look {
    if task.is_held() && heartbeat.is_some() {
        task.owner_alive = Some(true);
    }
    Look { task, unknown: Vec::new(), checkpoint: None, heartbeat, now: now() }
}

fn effect(done: bool) -> Effect {
    Effect {
        task_id: "t".into(),
        key: "charge".into(),
        lock_ttl_ms: Some(5),
        result: Some("{}".into()).filter(|_| done),
    }
}

fn rules(look: &Look, effects: &[Effect], workers: Option<&[Heartbeat]>) -> Vec<&'static str> {
    of_task(&Facts { look, effects, workers, alike: Some(2) }).iter().map(|cause| cause.rule).collect()
}

/// Name, task, the heartbeat of its owner, effects, all heartbeats, and the rules expected.
type Scenario<'a> = (&'a str, Task, Option<Heartbeat>, &'a [Effect], Option<&'a [Heartbeat]>, &'a [&'a str]);

#[test]
fn each_cause_is_named_and_healthy_tasks_have_none() {
    let (begun, done, none) = ([effect(false)], [effect(true)], [].as_slice());
    let alive = || Some(beat(-2, -900, Some("t")));
    let old = at(-600);
    let waiting = [("updated_at", old.as_str())];
    let (idle, busy) = ([beat(-2, -900, None)], [beat(-2, -900, Some("x"))]);
    let over = [("cost_so_far", "2"), ("cost_limit", "1")];
    let second = [Heartbeat { worker_id: "v".into(), ..beat(-2, -900, Some("t")) }];
    let before = [Heartbeat { worker_id: "v".into(), ..beat(-50, -900, Some("t")) }];
    let cases: [Scenario<'_>; 31] = [
        ("running", held(200, &[]), alive(), none, None, &[]),
        ("running, an effect under way", held(200, &[]), alive(), &begun, None, &[]),
        ("running, first beat", held(200, &[]), Some(beat(-2, -900, None)), none, None, &[]),
        ("running, claimed since the beat", held(200, &[]), Some(beat(-25, -900, Some("x"))), none, None, &[]),
        ("completed", task("completed", &over), None, &done, None, &[]),
        ("cancelled", task("failed", &[("error", CANCELLED)]), None, &begun, None, &[]),
        ("just queued", task("queued", &[]), None, none, Some(&[]), &[]),
        ("queued, an idle worker", task("queued", &waiting), None, none, Some(&idle), &[]),
        ("nobody polls", task("queued", &waiting), None, none, Some(&[]), &["no_worker"]),
        ("all busy", task("queued", &waiting), None, none, Some(&busy), &["workers_busy"]),
        ("queued again with an effect", task("queued", &[]), None, &begun, None, &["effect_unsettled"]),
        ("worker gone", held(200, &[]), None, &done, None, &["worker_gone"]),
        ("worker gone in an effect", held(200, &[]), None, &begun, None, &["worker_gone", "effect_unsettled"]),
        ("worker gone, no watcher", held(-200, &[]), None, none, None, &["worker_gone", "no_watcher"]),
        ("no owner", task("leased", &[]), None, none, None, &["no_owner"]),
        ("lease just over", held(-5, &[]), alive(), none, None, &["lease_not_renewed"]),
        ("lease long over", held(-200, &[]), alive(), none, None, &["lease_not_renewed", "no_watcher"]),
        ("another task", held(200, &[]), Some(beat(-2, -900, Some("x"))), none, None, &["shared_name"]),
        ("another task, lease over", held(-5, &[]), Some(beat(-2, -900, Some("x"))), none, None, &["shared_name"]),
        ("another process", held(200, &[]), Some(beat(-2, -10, None)), none, None, &["shared_name"]),
        ("worker gone, attempts used up", held(200, &[("attempts", "3")]), None, none, None, &["worker_gone"]),
        ("queued under a living worker", task("queued", &[]), None, none, Some(&second), &["second_run"]),
        ("queued, named before that", task("queued", &[]), None, none, Some(&before), &[]),
        ("held by two", held(200, &[]), Some(beat(-2, -900, Some("t"))), none, Some(&second), &["second_run"]),
        ("retrying", task("retrying", &[]), None, none, None, &["retry_unclaimed"]),
        ("too dear", held(200, &over), alive(), &begun, None, &["over_cost_limit"]),
        ("too dear and queued", task("queued", &over), None, none, None, &["over_cost_limit"]),
        ("failed", task("failed", &[("error", "boom")]), None, none, None, &["failed"]),
        ("no attempts", task("failed", &[("attempts", "3")]), None, none, None, &["failed", "out_of_attempts"]),
        (
            "rate limited",
            task("failed", &[("error", "Rate limit still exceeded after retry for tenant acme")]),
            None,
            none,
            None,
            &["rate_limited"],
        ),
        ("unreadable", task("queued", &[("attempts", "many")]), None, none, None, &["unreadable_hash"]),
    ];
    for (name, task, beat, effects, workers, expected) in cases {
        assert_eq!(rules(&look(task, beat), effects, workers), expected, "{name}");
    }
    // The checkpoint knows of a cost that the hash does not.
    let mut dear = look(task("queued", &[("cost_limit", "1")]), None);
    dear.checkpoint = Some(Checkpoint::read("t", r#"{"current_node":"a","cost_so_far":1.5}"#.into(), None));
    assert_eq!(rules(&dear, &[], None), ["over_cost_limit"]);
    // And of nodes that failed.
    let mut done = look(task("completed", &[]), None);
    let stored = r#"{"current_node":"a","node_states":{"a":{"error":"boom"},"b":{"error":null}}}"#;
    done.checkpoint = Some(Checkpoint::read("t", stored.into(), None));
    done.task.nodes = done.checkpoint.as_ref().map(Checkpoint::node_errors);
    assert_eq!(rules(&done, &[effect(false)], None), ["node_failed"]);
}

#[test]
fn workers_have_causes_too() {
    let names = |beat: Option<&Heartbeat>, held: &[Task]| -> Vec<&'static str> {
        of_worker("w", beat, held).iter().map(|cause| cause.rule).collect()
    };
    let fine = beat(-2, -900, None);
    assert!(names(Some(&fine), &[held(200, &[])]).is_empty() && names(Some(&fine), &[]).is_empty());
    assert_eq!(names(None, &[held(200, &[])]), ["heartbeat_gone"]);
    assert_eq!(names(Some(&fine), &[held(200, &[]), held(200, &[])]), ["shared_name"]);
    assert_eq!(names(Some(&Heartbeat::read("w", "{}", None)), &[]), ["heartbeat_unreadable"]);
}

#[test]
fn texts_name_what_was_found() {
    let seen = look(task("failed", &[("error", "boom\nat line 3")]), None);
    let cause = of_task(&Facts { look: &seen, effects: &[], workers: None, alike: Some(2) }).remove(0);
    assert_eq!(cause.text, "it failed, and 2 other tasks of the same: boom");
    assert_eq!(cause.next[0].command, "sen dlq groups");
    let mut seen = look(
        held(200, &[("task_params", r#"{"query": "Refund order-7731, please"}"#), ("result", r#"{"lease": "a:b"}"#)]),
        Some(beat(-2, -900, Some("x"))),
    );
    let node = r#"{"current_node":"a","node_states":{"a":{"outputs":{"id":"t","paid":"inv-9","at":"2026-11-20T21:38:48.1"}}}}"#;
    seen.checkpoint = Some(Checkpoint::read("t", node.into(), None));
    let ids: Vec<String> = related_to_task(&seen).into_iter().map(|related| related.id).collect();
    assert_eq!(ids, ["w", "x", "order-7731", "inv-9"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rules_never_panic_and_what_goes_well_has_no_causes(
        status in "queued|leased|leased|in_progress|completed|failed|retrying|\\PC{0,5}", owner in "|w|w", error in "|Cancelled by user|\\PC{0,9}",
        // Mostly such as can be read, or hardly any task would be judged by its state.
        fields in prop::collection::vec(prop_oneof![19 => "|[0-9]{1,3}", 1 => "-?[0-9.]{1,20}|\\PC{0,6}"], 4), lease in any::<i32>(), saved in any::<i32>(),
        alive in any::<Option<bool>>(), stored in "\\PC{0,9}|\\{\"current_task\": ?\"[tx]\"\\}", begun in 0_usize..3, alike in any::<Option<u64>>(),
        beaten in any::<i32>(), started in any::<i32>(), current in prop::option::of("t|x"), workers in prop::option::of(0_usize..3),
    ) {
        let (lease, saved) = (at(i64::from(lease)), at(i64::from(saved)));
        let pairs = [
            ("owner", owner.as_str()), ("error", &error), ("lease_expires", &lease), ("updated_at", &saved), ("attempts", &fields[0]),
            ("max_attempts", &fields[1]), ("cost_so_far", &fields[2]), ("cost_limit", &fields[3]),
        ];
        let task = Task { owner_alive: alive, ..task(&status, &pairs) };
        let beat = beat(i64::from(beaten), i64::from(started), current.as_deref());
        let checkpoint = Some(Checkpoint::read("t", stored.clone(), None));
        let seen = Look { task, unknown: Vec::new(), checkpoint, heartbeat: alive.map(|_| beat.clone()), now: now() };
        let effects = vec![effect(false); begun];
        let workers = workers.map(|count| vec![beat.clone(); count]);
        let facts = Facts { look: &seen, effects: &effects, workers: workers.as_deref(), alike };
        let causes = of_task(&facts);
        let _ = (related_to_task(&seen), of_worker("w", Some(&Heartbeat::read("w", &stored, None)), std::slice::from_ref(&seen.task)));
        let state = in_depth(&seen.task, seen.checkpoint.as_ref(), seen.now);
        // The heartbeat of a task that runs well names it or none, and its process took it.
        let own = current.as_deref() != Some("x") && beat.started_at <= seen.task.updated_at;
        match state {
            State::Completed | State::Cancelled => prop_assert!(causes.is_empty(), "{:?}", causes),
            State::Running if own => prop_assert!(causes.is_empty(), "{:?}", causes),
            State::Running | State::Queued => {}
            // Whatever else needs attention is given a cause by a rule of its own.
            _ => prop_assert!(causes.iter().any(|cause| cause.severity >= Severity::Warning), "{:?} {:?}", state, seen.task),
        }
    }
}
