//! Executions and tasks of Stent: PostgreSQL and SQLite.

use std::collections::BTreeMap;

use sen_core::systems::stent::{ExecutionListState, TaskListState};

use crate::executions_place::Place;
use crate::judged::{Kind, Status, active_agrees, grouped, names};
use crate::moment;

const HOUR: i64 = 3600;
/// What has just changed; a bit ahead, so that it stays so however slow the machine is.
const JUST: i64 = 600;

/// A task: its kind, stored state, the number of the task it is a child of, what its time is, and its state.
struct Task {
    kind: Option<&'static str>,
    stored: Option<&'static str>,
    parent: Option<usize>,
    /// Of a running one the end of its lease, of a pending one when it is due, else when it ended; seconds from now.
    time: Option<i64>,
    is: &'static str,
}

const fn task(kind: &'static str, stored: &'static str, time: Option<i64>, is: &'static str) -> Task {
    Task { kind: Some(kind), stored: Some(stored), parent: None, time, is }
}

impl Task {
    const fn below(self, parent: usize) -> Self {
        Self { parent: Some(parent), ..self }
    }
}

/// An orchestrator at work.
const WORKS: Task = task("orchestrator", "running", Some(HOUR), "running");
/// One whose lease has ended.
const LOST: Task = task("orchestrator", "running", Some(-HOUR), "lost");
/// One that may be claimed.
const READY: Task = task("orchestrator", "pending", None, "ready");
const DONE: Task = task("activity", "completed", Some(-HOUR), "completed");
const SIGNAL: Task = task("signal", "pending", None, "waiting");
const SLEEP: Task = task("activity", "pending", Some(HOUR), "scheduled");
const STEP: Task = task("activity", "pending", Some(-HOUR), "ready");

/// An execution: its name, stored state, when it was made and when it expires (seconds from now), its tasks, its state.
struct Execution {
    name: &'static str,
    stored: Option<&'static str>,
    created: Option<i64>,
    expiry: Option<i64>,
    tasks: &'static [Task],
    is: &'static str,
}

const fn execution(name: &'static str, stored: &'static str, tasks: &'static [Task], is: &'static str) -> Execution {
    Execution { name, stored: Some(stored), created: Some(-2 * HOUR), expiry: None, tasks, is }
}

impl Execution {
    const fn expired(self) -> Self {
        Self { expiry: Some(-HOUR), ..self }
    }
}

const EXECUTIONS: &[Execution] = &[
    execution("pending", "pending", &[READY], "pending"),
    Execution { expiry: Some(HOUR), ..execution("pending-in-time", "pending", &[STEP, SLEEP], "pending") },
    execution("pending-claimed", "pending", &[WORKS], "pending"),
    execution("pending-scheduled", "pending", &[task("orchestrator", "pending", Some(HOUR), "scheduled")], "scheduled"),
    execution("pending-with-steps", "pending", &[READY, SLEEP.below(0)], "pending"),
    execution("pending-lost", "pending", &[LOST, SLEEP], "lost"),
    execution("pending-scheduled-overdue", "pending", &[SLEEP], "overdue").expired(),
    execution("pending-without-tasks", "pending", &[], "stranded"),
    Execution { created: Some(JUST), ..execution("pending-just-made", "pending", &[], "settling") },
    execution("running", "running", &[WORKS], "running"),
    execution("running-claimable", "running", &[READY], "running"),
    execution(
        "running-a-step",
        "running",
        &[WORKS, task("activity", "running", Some(HOUR), "running").below(0)],
        "running",
    ),
    execution(
        "running-a-step-to-be-claimed",
        "running",
        &[WORKS, STEP.below(0), SLEEP.below(0), SIGNAL.below(0)],
        "running",
    ),
    execution("running-without-a-lease", "running", &[task("orchestrator", "running", None, "unreadable")], "running"),
    execution("waiting", "running", &[WORKS, SIGNAL.below(0), DONE.below(0)], "waiting"),
    execution("waiting-and-sleeping", "running", &[WORKS, SIGNAL.below(0), SLEEP.below(0)], "waiting"),
    execution("waiting-lost", "running", &[LOST, SIGNAL.below(0)], "lost"),
    execution("waiting-overdue", "running", &[WORKS, SIGNAL.below(0)], "overdue").expired(),
    execution("sleeping", "running", &[WORKS, SLEEP.below(0)], "sleeping"),
    execution("sleeping-lost", "running", &[LOST, SLEEP.below(0)], "lost"),
    execution("sleeping-overdue", "running", &[WORKS, SLEEP.below(0)], "overdue").expired(),
    execution("lost", "running", &[LOST], "lost"),
    execution("lost-below", "running", &[WORKS, task("activity", "running", Some(-1), "lost").below(0)], "lost"),
    execution("lost-overdue", "running", &[LOST], "overdue").expired(),
    execution("overdue", "running", &[WORKS], "overdue").expired(),
    execution("stranded", "running", &[DONE], "stranded"),
    execution("stranded-overdue", "running", &[DONE], "stranded").expired(),
    Execution { created: None, ..execution("stranded-without-times", "running", &[], "stranded") },
    execution("stranded-odd-task", "running", &[Task { stored: Some("paused"), ..DONE_ODD }], "stranded"),
    execution("stranded-failed", "running", &[task("orchestrator", "failed", Some(-HOUR), "failed")], "stranded"),
    execution("settling", "running", &[task("orchestrator", "completed", Some(JUST), "completed")], "settling"),
    execution("settling-overdue", "running", &[task("orchestrator", "completed", Some(JUST), "completed")], "settling")
        .expired(),
    execution("cancelling", "cancelling", &[WORKS], "cancelling"),
    execution("cancelling-waiting", "cancelling", &[WORKS, SIGNAL.below(0)], "cancelling"),
    execution("cancelling-lost", "cancelling", &[LOST], "lost"),
    execution("cancelling-overdue", "cancelling", &[WORKS], "overdue").expired(),
    execution("cancelling-stranded", "cancelling", &[DONE], "stranded"),
    execution("completed", "completed", &[DONE], "completed").expired(),
    execution("completed-with-open-tasks", "completed", &[LOST, SIGNAL.below(0), SLEEP.below(0)], "completed")
        .expired(),
    execution("failed", "failed", &[LOST], "failed").expired(),
    execution("failed-without-tasks", "failed", &[], "failed"),
    execution("timed-out", "timed_out", &[SIGNAL], "timed_out").expired(),
    execution("cancelled", "cancelled", &[SLEEP], "cancelled").expired(),
    execution("odd", "paused", &[LOST, SIGNAL.below(0)], "unreadable").expired(),
    execution("odd-without-tasks", "paused", &[], "unreadable"),
    Execution { created: Some(JUST), ..execution("odd-just-made", "", &[DONE], "unreadable") },
    Execution { stored: None, ..execution("none", "", &[LOST], "unreadable").expired() },
    Execution { stored: None, ..execution("none-without-tasks", "", &[], "unreadable") },
    // Only for their tasks.
    execution(
        "of-odd-tasks",
        "running",
        &[
            WORKS,
            Task { kind: None, ..STEP },
            Task { kind: None, time: None, ..STEP },
            Task { kind: None, ..SLEEP },
            Task { kind: Some("errand"), ..STEP },
            Task { kind: None, ..LOST },
            Task { stored: None, ..DONE_ODD },
            Task { stored: Some(""), ..DONE_ODD },
            task("signal", "pending", Some(HOUR), "waiting"),
            task("signal", "running", Some(HOUR), "running"),
            task("signal", "running", Some(-HOUR), "lost"),
            task("signal", "completed", None, "completed"),
            task("activity", "failed", None, "failed"),
        ],
        "lost",
    ),
];

/// A task in a state that no version writes.
const DONE_ODD: Task = Task { is: "unreadable", ..DONE };

fn text(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), |text| format!("'{text}'"))
}

fn time(seconds: Option<i64>) -> String {
    text(seconds.map(|seconds| moment(seconds, "%Y-%m-%dT%H:%M:%S%.6f")).as_deref())
}

type States = BTreeMap<String, String>;

/// Puts everything in; the states of the executions and of the tasks.
fn plant(place: &Place) -> (States, States) {
    let (mut executions, mut tasks) = (States::new(), States::new());
    let mut sql = String::new();
    for Execution { name, stored, created, expiry, tasks: own, is } in EXECUTIONS {
        sql += &format!(
            "INSERT INTO executions (id, root_function, state, retries, created_at, expiry_at, tags, priority)
            VALUES ('{name}', 'flows:root', {}, 0, {}, {}, '[]', 0);\n",
            text(*stored),
            time(*created),
            time(*expiry),
        );
        executions.insert((*name).to_owned(), (*is).to_owned());
        for (at, task) in own.iter().enumerate() {
            let id = format!("{name}/{at}");
            let (running, pending) = (task.stored == Some("running"), task.stored == Some("pending"));
            let when = |meant: bool| time(task.time.filter(|_| meant));
            sql += &format!(
                "INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, retries, created_at, completed_at,
                    lease_expires_at, scheduled_for, tags, priority)
                VALUES ('{id}', '{name}', 'flows:step', {}, {}, {}, 0, {}, {}, {}, {}, '[]', 0);\n",
                text(task.kind),
                text(task.parent.map(|parent| format!("{name}/{parent}")).as_deref()),
                text(task.stored),
                time(Some(-2 * HOUR)),
                when(!running && !pending),
                when(running),
                when(pending),
            );
            tasks.insert(id, task.is.to_owned());
        }
    }
    place.sql(&sql);
    (executions, tasks)
}

fn agree(place: &Place) {
    let (executions, tasks) = plant(place);
    let url = place.url();
    let of_executions = Kind {
        url: &url,
        list: &["exec", "list"],
        show: &["exec", "show"],
        id: "id",
        stored: "status",
        states: &names::<ExecutionListState>(),
        never: &[],
        as_shown: &[],
        only_in_details: &[],
    };
    let list = of_executions.agrees(&executions);
    let status = Status::of(&url, "stent");
    // Executions are counted by what is stored: an execution's own state needs its tasks.
    let stored = list.values().map(|row| match &*row.stored {
        _ if row.shown == "unreadable" => "unreadable",
        stored => stored,
    });
    assert_eq!(status.counts("counts"), grouped(stored));
    active_agrees(&url, "stent", &list, |row| matches!(&*row.stored, "pending" | "running" | "cancelling"));
    let of_tasks =
        Kind { list: &["task", "list"], show: &["task", "show"], states: &names::<TaskListState>(), ..of_executions };
    let list = of_tasks.agrees(&tasks);
    assert_eq!(status.counts("tasks"), grouped(list.values().map(|row| &*row.shown)));
    status.attention_agrees(&url);
}

#[test]
fn executions_in_postgresql() {
    let [postgres, _] = Place::both();
    agree(&postgres);
}

#[test]
fn executions_in_sqlite() {
    let [_, sqlite] = Place::both();
    agree(&sqlite);
}
