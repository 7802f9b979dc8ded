//! Every state of executions and tasks, from the rows that make it.

use super::*;
use crate::record::{Signal, signal_step};

pub(crate) const NOW: Wall = Wall::from_micros(1_795_205_760_000_000);

pub(crate) fn at(seconds: i64) -> Option<Wall> {
    Some(Wall::from_micros(NOW.as_micros() + seconds * 1_000_000))
}

fn execution(state: &str) -> Execution {
    Execution {
        id: "e1".into(),
        root_function: Some("flows:checkout".into()),
        state: ExecutionState::parse(state),
        args: None,
        kwargs: None,
        result: None,
        error: None,
        retries: Some(0),
        created_at: at(-100),
        started_at: at(-90),
        completed_at: None,
        expiry_at: None,
        tags: Vec::new(),
        priority: Some(0),
        queue: None,
        unreadable: Vec::new(),
    }
}

pub(crate) fn row(id: &str, parent: Option<&str>, kind: &str, state: &str) -> Task {
    Task {
        id: id.into(),
        execution_id: Some("e1".into()),
        step_name: Some("flows:step".into()),
        kind: TaskKind::parse(kind),
        parent_task_id: parent.map(str::to_owned),
        state: TaskState::parse(state),
        args: None,
        kwargs: None,
        result: None,
        error: None,
        retries: Some(0),
        created_at: at(-90),
        started_at: at(-80),
        completed_at: None,
        worker_id: Some("w1".into()),
        lease_expires_at: (state == "running").then_some(at(200)).flatten(),
        tags: Vec::new(),
        priority: Some(0),
        queue: Some("main".into()),
        idempotency_key: None,
        retry_policy: None,
        scheduled_for: None,
        has_result: false,
        unreadable: Vec::new(),
    }
}

pub(crate) fn with(state: &str, tasks: Vec<Task>) -> Whole {
    Whole {
        execution: execution(state),
        task_count: tasks.len() as i64,
        tasks,
        progress: Vec::new(),
        progress_count: 0,
        letters: Vec::new(),
        signals: Vec::new(),
        counters: Vec::new(),
        state: Vec::new(),
    }
}

pub(crate) fn root(state: &str) -> Task {
    row("t0", None, "orchestrator", state)
}

#[test]
fn executions() {
    let lost = Task { lease_expires_at: at(-1), ..root("running") };
    let later = Task { scheduled_for: at(60), ..root("pending") };
    let sleep = Task { scheduled_for: at(60), ..row("t1", Some("t0"), "activity", "pending") };
    let wait = Task { step_name: Some(signal_step("go")), ..row("t1", Some("t0"), "signal", "pending") };
    let cases = [
        ("completed", vec![root("completed")], State::Completed),
        ("failed", vec![root("failed")], State::Failed),
        ("timed_out", vec![root("failed")], State::TimedOut),
        ("cancelled", vec![root("failed")], State::Cancelled),
        ("strange", vec![root("running")], State::Unreadable),
        ("pending", vec![root("pending")], State::Ready),
        ("pending", vec![later], State::Scheduled),
        ("pending", vec![], State::Stranded),
        ("pending", vec![root("completed")], State::Stranded),
        ("running", vec![root("failed"), row("t1", Some("t0"), "activity", "completed")], State::Stranded),
        ("running", vec![root("running")], State::Running),
        ("running", vec![lost], State::Lost),
        ("running", vec![root("running"), sleep.clone()], State::Sleeping),
        ("running", vec![root("running"), wait.clone()], State::Waiting),
        ("running", vec![root("running"), wait.clone(), Task { id: "t2".into(), ..sleep.clone() }], State::Waiting),
        ("running", vec![root("running"), sleep, row("t2", Some("t0"), "activity", "pending")], State::Running),
        ("running", vec![root("running"), row("t1", Some("t0"), "activity", "running")], State::Running),
        ("cancelling", vec![root("running")], State::Cancelling),
    ];
    for (stored, tasks, wanted) in cases {
        let look = with(stored, tasks);
        assert_eq!(whole(&look, NOW), wanted, "{stored} {:?}", look.tasks);
        let verdict = judge(&look, NOW, &Zone::utc());
        assert_eq!(verdict.state, wanted.of_execution());
        assert_eq!(State::parse(verdict.state), Some(wanted));
        assert!(!verdict.summary.is_empty());
    }
}

#[test]
fn what_has_ended_is_not_explained_by_a_sleep_that_is_left() {
    let sleep = Task { scheduled_for: at(240), ..row("t1", Some("t0"), "activity", "pending") };
    let ended = judge(&with("completed", vec![root("completed"), sleep.clone()]), NOW, &Zone::utc());
    assert!(!ended.evidence.iter().any(|line| line.contains("due in")), "{ended:?}");
    let open = judge(&with("running", vec![root("running"), sleep]), NOW, &Zone::utc());
    assert!(open.evidence.iter().any(|line| line.contains("due in 4m")), "{open:?}");
}

#[test]
fn an_expiry_that_has_passed() {
    let mut look = with("running", vec![root("running")]);
    look.execution.expiry_at = at(-61);
    let verdict = judge(&look, NOW, &Zone::utc());
    assert_eq!(verdict.state, "overdue");
    assert!(verdict.evidence[0].contains("1m 1s ago"), "{:?}", verdict.evidence);
    let ended = Whole { execution: Execution { expiry_at: at(-1), ..execution("completed") }, ..look };
    assert_eq!(whole(&ended, NOW), State::Completed);
}

#[test]
fn tasks() {
    let cases = [
        (root("running"), State::Running),
        (Task { lease_expires_at: at(-1), ..root("running") }, State::Lost),
        (Task { lease_expires_at: None, ..root("running") }, State::Unreadable),
        (root("pending"), State::Ready),
        (Task { scheduled_for: at(-1), ..root("pending") }, State::Ready),
        (Task { scheduled_for: at(1), ..root("pending") }, State::Scheduled),
        (row("s", None, "signal", "pending"), State::Waiting),
        (root("completed"), State::Completed),
        (root("failed"), State::Failed),
        (root("?"), State::Unreadable),
    ];
    for (row, wanted) in cases {
        assert_eq!(task(&row, NOW), wanted, "{row:?}");
        let look = Look {
            now: sen_model::time::Timestamp::from_micros(0),
            execution: None,
            task: Some(row.clone()),
            owner: Some(execution("running")),
            letter: None,
            more: crate::port::More::default(),
        };
        let verdict = judge_task(&row, &look, NOW, &Zone::utc());
        assert_eq!(verdict.state, wanted.name());
    }
}

#[test]
fn lists_say_what_they_can_without_the_tasks() {
    let row = |state: &str, live, lost| Listed {
        execution: execution(state),
        live,
        lost,
        settling: Some(false),
        leaves: Leaves::default(),
    };
    let at_work = |leaves| Listed { leaves: Leaves::parse(leaves), ..row("running", Some(true), Some(false)) };
    assert_eq!(listed(&at_work("w"), NOW), State::Waiting);
    assert_eq!(listed(&at_work("sw"), NOW), State::Waiting);
    assert_eq!(listed(&at_work("s"), NOW), State::Sleeping);
    assert_eq!(listed(&at_work("rw"), NOW), State::Running);
    let settling = Listed { settling: Some(true), ..row("running", Some(false), Some(false)) };
    assert_eq!(listed(&settling, NOW), State::Settling);
    assert_eq!(listed(&row("running", Some(true), Some(false)), NOW), State::Running);
    assert_eq!(listed(&row("running", Some(true), Some(true)), NOW), State::Lost);
    assert_eq!(listed(&row("pending", Some(false), Some(false)), NOW), State::Stranded);
    assert_eq!(listed(&row("pending", Some(true), Some(false)), NOW), State::Ready);
    assert_eq!(listed(&row("completed", None, None), NOW), State::Completed);
}

#[test]
fn the_first_failure_and_the_way_out_are_told() {
    let error = br#"{"__type__": "Exception", "cls": "ConnectionError", "message": "down", "traceback": null, "attributes": {}}"#;
    let child = Task {
        error: Some(error.to_vec()),
        completed_at: at(-20),
        retries: Some(1),
        step_name: Some("flows:flaky".into()),
        ..row("t1", Some("t0"), "activity", "failed")
    };
    let parent = Task {
        error: Some(
            br#"{"__type__": "Exception", "cls": "ConnectionError", "message": "[Errno None] None: None -> None"}"#
                .to_vec(),
        ),
        completed_at: at(-10),
        ..root("failed")
    };
    let mut look = with("failed", vec![parent, child]);
    let letter = |id: &str| DeadTask {
        id: id.into(),
        reason: None,
        moved_at: at(-10),
        data: None,
        readable: true,
        unreadable: Vec::new(),
    };
    look.letters = vec![letter("t1"), letter("t0")];
    let verdict = judge(&look, NOW, &Zone::utc());
    assert!(
        verdict.evidence.contains(&"first to fail was flows:flaky, at try 2: ConnectionError: down".to_owned()),
        "{:?}",
        verdict.evidence
    );
    assert_eq!(verdict.next[1].command, "sen dlq replay t0");
}

/// An error with tries left is one that the policy does not cover: a replay is not what is recommended first.
#[test]
fn what_is_not_retried_is_looked_at_before_it_is_run_again() {
    let policy = |tries: u32| Some(format!("{{\"max_attempts\": {tries}}}"));
    let error =
        |class: &str| Some(format!(r#"{{"__type__": "Exception", "cls": "{class}", "message": "no"}}"#).into_bytes());
    for (tries, first) in [(4, "sen dlq show t0"), (1, "sen dlq replay t0")] {
        let child = Task {
            error: error("CardDeclined"),
            retry_policy: policy(tries),
            completed_at: at(-20),
            ..row("t1", Some("t0"), "activity", "failed")
        };
        let parent =
            Task { error: error("CardDeclined"), retry_policy: policy(1), completed_at: at(-10), ..root("failed") };
        let mut look = with("failed", vec![parent, child]);
        look.letters = vec![DeadTask {
            id: "t0".into(),
            reason: None,
            moved_at: at(-10),
            data: None,
            readable: true,
            unreadable: Vec::new(),
        }];
        let verdict = judge(&look, NOW, &Zone::utc());
        let next = sen_model::steps::numbered(&verdict.next);
        assert_eq!(next[0].command, first, "{verdict:?}");
        let acts: Vec<&str> = next
            .iter()
            .filter(|one| one.command.contains("dlq re") || one.command.contains("discard"))
            .map(|one| one.command.as_str())
            .collect();
        assert_eq!(acts[0].contains("discard"), tries == 4, "{acts:?}");
        assert_eq!(verdict.evidence.iter().any(|line| line.contains("was not tried again")), tries == 4, "{verdict:?}");
    }
}

#[test]
fn a_waiter_is_woken_by_the_command_told() {
    let wait = Task { step_name: Some(signal_step("go now")), ..row("t1", Some("t0"), "signal", "pending") };
    let mut look = with("running", vec![root("running"), wait]);
    look.signals = vec![Signal {
        name: "other".into(),
        payload: None,
        created_at: None,
        consumed: Some(false),
        consumed_at: None,
    }];
    let verdict = judge(&look, NOW, &Zone::utc());
    assert_eq!(verdict.next[0].command, "sen exec signal e1 'go now' ‹json›");
    assert!(verdict.evidence.iter().any(|line| line.contains("\"other\" was sent")));
}

#[test]
fn zones_are_doubted() {
    const MINUTE: i64 = 60_000_000;
    let hours = |hours: f64| at((hours * 3600.0) as i64);
    assert_eq!(zone_doubt(at(-5), NOW, None), None);
    assert_eq!(zone_doubt(at(60), NOW, Some(-MINUTE)), None, "clocks differ a little");
    let doubt = zone_doubt(hours(8.99), NOW, None).unwrap();
    assert_eq!(likely_ahead(doubt, 0), 9 * 60 * MINUTE);
    let doubt = zone_doubt(hours(5.5), NOW, None).unwrap();
    assert_eq!(likely_ahead(doubt, 0), 330 * MINUTE);
    let doubt = zone_doubt(at(-20), NOW, Some(300 * MINUTE - 20_000_000)).unwrap();
    assert_eq!(likely_ahead(doubt, 0), -300 * MINUTE);
    assert_eq!(zone_doubt(at(-20), NOW, Some(10 * MINUTE)), None, "machines' clocks differ by minutes");
    // An outage leaves old rows, however old they are.
    for minutes in [59, 60, 90, 120, 180, 300] {
        assert_eq!(zone_doubt(at(-60 * minutes), NOW, Some(-5)), None, "{minutes}");
    }
    assert_eq!(zone_doubt(None, NOW, None), None);
}

#[test]
fn the_gap_between_two_commits_is_no_verdict() {
    for (ended, wanted) in [(-1, State::Settling), (-59, State::Settling), (-61, State::Stranded)] {
        let done = Task { completed_at: at(ended), has_result: true, ..root("completed") };
        let look = with("running", vec![done]);
        let verdict = judge(&look, NOW, &Zone::utc());
        assert_eq!(verdict.state, wanted.name(), "{ended}");
        let completes = verdict.next.iter().any(|next| next.command == "sen exec complete e1");
        assert_eq!(completes, wanted == State::Stranded, "finished work is not offered to be cancelled: {verdict:?}");
        assert!(verdict.next.iter().all(|next| !next.command.contains("cancel")), "{verdict:?}");
    }
}

#[test]
fn a_backoff_and_what_runs_again_are_told() {
    let retry = Task {
        retries: Some(2),
        retry_policy: Some("{\"max_attempts\": 5}".into()),
        scheduled_for: at(30),
        ..row("t1", Some("t0"), "activity", "pending")
    };
    let mut look = with("running", vec![root("running"), retry]);
    look.progress = vec![super::super::record::Progress {
        ordinal: 1,
        step: Some("flows:step".into()),
        status: Some("failed".into()),
        started_at: None,
        completed_at: None,
        detail: Some("provider down".into()),
    }];
    let verdict = judge(&look, NOW, &Zone::utc());
    assert_eq!(
        verdict.summary,
        "it waits for its next try: flows:step failed at try 2 of 5 (provider down); the next try is due in 30s"
    );
    let lost = Task { lease_expires_at: at(-1), ..root("running") };
    let done = |id: &str, key: Option<&str>| Task {
        idempotency_key: key.map(str::to_owned),
        step_name: Some(format!("flows:{id}")),
        ..row(id, Some("t0"), "activity", "completed")
    };
    let look = with("running", vec![lost.clone(), done("charge", None), done("reserve", Some("k"))]);
    let evidence = judge(&look, NOW, &Zone::utc()).evidence.join("\n");
    assert!(evidence.contains("again from the start, with its finished step flows:charge, which is not"), "{evidence}");
    assert!(!evidence.contains("twice"), "{evidence}");
    // Its lost step is in no worker's hands either: its own task runs again, and so does a new one of the orchestrator.
    let step = Task {
        lease_expires_at: at(-1),
        step_name: Some("flows:pack".into()),
        ..row("t1", Some("t0"), "activity", "running")
    };
    let look = with("running", vec![lost, done("charge", None), step.clone()]);
    let evidence = judge(&look, NOW, &Zone::utc()).evidence.join("\n");
    let wanted = "the next worker to poll runs flows:step again from the start, with its finished step flows:charge, which is not \
        idempotent; flows:pack may run twice more: its lost task again, and a new one by the restarted flows:step (cancelling the execution prevents it)";
    assert!(evidence.contains(wanted), "{evidence}");
    // Where its orchestrator is in good hands it runs once more.
    let look = with("running", vec![root("running"), step]);
    let evidence = judge(&look, NOW, &Zone::utc()).evidence.join("\n");
    assert!(evidence.contains("runs flows:pack again") && !evidence.contains("twice"), "{evidence}");
}

#[test]
fn an_expiry_that_did_not_come_is_told_apart() {
    let mut look = with("timed_out", vec![root("failed")]);
    look.execution.expiry_at = at(100);
    look.execution.completed_at = at(-10);
    let verdict = judge(&look, NOW, &Zone::utc());
    assert!(verdict.summary.contains("before its expiry"), "{verdict:?}");
    assert!(verdict.evidence.iter().any(|line| line.contains("1m 50s before its expiry")), "{verdict:?}");
    look.execution.completed_at = at(101);
    assert_eq!(judge(&look, NOW, &Zone::utc()).summary, "its expiry passed before it was done");
}
