//! One scenario a line: what was seen, and the rules that must name it.

use super::super::record::{DeadTask, Signal};
use super::super::verdict::tests::{NOW, at, root, row, with};
use super::*;
use proptest::prelude::*;
use sen_model::time::Timestamp;

fn look(whole: Whole) -> Look {
    Look {
        now: Timestamp::from_micros(0),
        owner: None,
        task: None,
        letter: None,
        execution: Some(whole),
        more: crate::port::More::default(),
    }
}

fn rules(whole: Whole, queue: Option<Activity>) -> Vec<&'static str> {
    let look = look(whole);
    let facts = Facts { look: &look, now: NOW, queue, alike: Some(2) };
    let whole = look.execution.as_ref().unwrap();
    of_execution(&facts, whole).iter().map(|cause| cause.rule).collect()
}

fn failed(id: &str, kind: &str) -> Task {
    Task {
        error: Some(
            br#"{"__type__": "Exception", "class": "ConnectionError", "message": "gone", "traceback": null}"#.to_vec(),
        ),
        completed_at: at(-5),
        ..row(id, Some("t0"), kind, "failed")
    }
}

fn ended_by_expiry(id: &str, kind: &str) -> Task {
    let error =
        br#"{"__type__": "Exception", "class": "Exception", "message": "Execution timed out", "traceback": null}"#;
    Task { error: Some(error.to_vec()), ..failed(id, kind) }
}

fn letter(id: &str) -> DeadTask {
    DeadTask {
        id: id.into(),
        reason: Some("gone".into()),
        moved_at: at(-5),
        data: None,
        readable: true,
        unreadable: Vec::new(),
    }
}

fn by_cancel(id: &str, kind: &str) -> Task {
    let error = Some(crate::cancelled::cancelled_json!().as_bytes().to_vec());
    Task { error, completed_at: at(-5), ..row(id, (id != "t0").then_some("t0"), kind, "failed") }
}

fn sent(consumed: bool, seconds: i64) -> Signal {
    Signal { name: "go".into(), payload: None, created_at: at(seconds), consumed: Some(consumed), consumed_at: None }
}

#[test]
fn each_cause_is_named_and_healthy_executions_have_none() {
    let wait = |seconds| Task {
        step_name: Some(signal_step("go")),
        created_at: at(seconds),
        ..row("t1", Some("t0"), "signal", "pending")
    };
    let pending = |created| Task { created_at: at(created), ..root("pending") };
    let silent = Activity { ready: 3, running: 0, last_begun: at(-4000), ..Activity::default() };
    let busy = Activity { ready: 300, running: 4, last_begun: at(-1), ..Activity::default() };
    let tagged = |created| Task { tags: vec!["batch".into()], ..pending(created) };
    let passed = Activity { passed: 7, ..busy };
    let letters = |whole: Whole| Whole { letters: vec![letter("t1")], ..whole };
    let signals = |whole: Whole, signal| Whole { signals: vec![signal], ..whole };
    let waiting = |seconds| with("running", vec![root("running"), wait(seconds)]);
    let lost = Task { lease_expires_at: at(-30), ..root("running") };
    let child = Task { lease_expires_at: at(-20), ..row("t1", Some("t0"), "activity", "running") };
    let due = Task { scheduled_for: at(3600), ..root("pending") };
    let retry = Task { retries: Some(1), scheduled_for: at(30), ..row("t1", Some("t0"), "activity", "pending") };
    let future = Task { started_at: at(7200), ..root("running") };
    let cases = [
        ("running", with("running", vec![root("running")]), None, vec![]),
        ("completed", with("completed", vec![root("completed")]), None, vec![]),
        (
            "completed though a step failed",
            with("completed", vec![root("completed"), failed("t1", "activity")]),
            None,
            vec![],
        ),
        ("completed and a letter left", letters(with("completed", vec![root("completed")])), None, vec![]),
        (
            "timed out",
            with("timed_out", vec![ended_by_expiry("t0", "orchestrator"), ended_by_expiry("t1", "activity")]),
            None,
            vec!["timed_out"],
        ),
        (
            "timed out after a failure",
            with("timed_out", vec![ended_by_expiry("t0", "orchestrator"), failed("t1", "activity")]),
            None,
            vec!["timed_out", "step_failed"],
        ),
        ("cancelled", with("cancelled", vec![root("failed")]), None, vec![]),
        (
            "cancelled, and marked failed by its orchestrator",
            letters(with("failed", vec![by_cancel("t0", "orchestrator"), by_cancel("t1", "activity")])),
            None,
            vec!["stopped_by_cancel"],
        ),
        (
            "failed for itself after a round that was cancelled",
            with(
                "failed",
                vec![
                    root("failed"),
                    failed("t1", "activity"),
                    Task { parent_task_id: Some("old".into()), ..by_cancel("t2", "activity") },
                ],
            ),
            None,
            vec!["step_failed"],
        ),
        ("just dispatched", with("pending", vec![pending(-5)]), Some(silent), vec![]),
        ("nobody polls", with("pending", vec![pending(-90)]), Some(silent), vec!["no_worker"]),
        ("behind", with("pending", vec![pending(-90)]), Some(busy), vec!["queue_behind"]),
        ("passed over for its tags", with("pending", vec![tagged(-90)]), Some(passed), vec!["passed_over"]),
        ("passed over, and has none", with("pending", vec![pending(-90)]), Some(passed), vec!["queue_behind"]),
        (
            "workers take its tags",
            with("pending", vec![tagged(-90)]),
            Some(Activity { alike: 1, ..passed }),
            vec!["queue_behind"],
        ),
        (
            "held back by a limit in a silent queue",
            with("pending", vec![tagged(-90)]),
            Some(Activity { of_step: 1, ..silent }),
            vec!["queue_behind"],
        ),
        ("worker gone", with("running", vec![lost.clone()]), None, vec!["worker_gone"]),
        ("worker gone, twice", with("running", vec![lost, child]), None, vec!["worker_gone"]),
        ("to begin later", with("pending", vec![due]), None, vec!["scheduled_later"]),
        ("another zone", with("running", vec![future]), None, vec!["wrong_time_zone"]),
        ("between two tries", with("running", vec![root("running"), retry]), None, vec!["retry_backoff"]),
        ("no task left", with("running", vec![root("completed")]), None, vec!["stranded"]),
        ("no signal yet", waiting(-30), None, vec!["signal_never_sent"]),
        ("signal on its way", signals(waiting(-30), sent(false, -1)), None, vec![]),
        ("signal not heard", signals(waiting(-300), sent(false, -200)), None, vec!["signal_unheard"]),
        (
            "failed with a letter",
            letters(with("failed", vec![failed("t0", "orchestrator"), failed("t1", "activity")])),
            None,
            vec!["step_failed", "dead_lettered"],
        ),
    ];
    for (name, whole, queue, expected) in cases {
        assert_eq!(rules(whole, queue), expected, "{name}");
    }
    let mut late = with("running", vec![root("running")]);
    late.execution.expiry_at = at(-10);
    assert_eq!(rules(late, None), ["overdue"]);
}

#[test]
fn the_step_that_failed_first_is_named_not_the_orchestrator_that_reported_it() {
    let look = look(with("failed", vec![failed("t0", "orchestrator"), failed("t1", "activity")]));
    let facts = Facts { look: &look, now: NOW, queue: None, alike: None };
    let causes = of_execution(&facts, look.execution.as_ref().unwrap());
    assert!(causes[0].text.starts_with("flows:step failed first"), "{causes:?}");
}

#[test]
fn tasks_and_letters_name_what_they_hang_together_with() {
    let task = Task {
        args: Some(br#"["payments:order-7"]"#.to_vec()),
        idempotency_key: Some("order-7".into()),
        ..row("t1", Some("t0"), "activity", "pending")
    };
    let ids: Vec<String> = related_to_task(&task).into_iter().map(|related| related.id).collect();
    assert_eq!(ids, ["e1", "t0", "order-7", "payments:order-7"]);
    let mut of_letter_only = look(with("failed", vec![]));
    of_letter_only.execution = None;
    of_letter_only.letter = Some(letter("t1"));
    let facts = Facts { look: &of_letter_only, now: NOW, queue: None, alike: Some(5) };
    let rules: Vec<&str> = of_letter(&facts).iter().map(|cause| cause.rule).collect();
    assert_eq!(rules, ["execution_gone", "dead_lettered"]);
}

proptest! {
    #[test]
    fn rules_never_panic_and_what_ended_well_has_no_causes_but_odd_clocks(
        state in "pending|running|completed|failed|timed_out|cancelling|cancelled|\\PC{0,4}", task in "pending|running|completed|failed|\\PC{0,4}",
        kind in "orchestrator|activity|signal|\\PC{0,4}", created in any::<Option<i64>>(), lease in any::<Option<i64>>(), due in any::<Option<i64>>(),
    ) {
        let wall = |micros: Option<i64>| micros.map(Wall::from_micros);
        let task = Task { created_at: wall(created), lease_expires_at: wall(lease), scheduled_for: wall(due), ..row("t1", None, &kind, &task) };
        let look = Look { task: Some(task.clone()), ..look(with(&state, vec![task.clone()])) };
        let facts = Facts { look: &look, now: NOW, queue: Some(Activity::default()), alike: None };
        let _ = (of_task(&facts, &task), of_letter(&facts));
        let causes = of_execution(&facts, look.execution.as_ref().unwrap());
        if matches!(&*state, "completed" | "cancelled") {
            prop_assert!(causes.iter().all(|cause| cause.rule == "wrong_time_zone"), "{:?}", causes);
        }
    }
}
