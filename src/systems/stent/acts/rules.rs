//! What may be done to an execution, judged by what was seen, and the bytes that an act writes. Pure.

use uuid::Uuid;

use crate::cancelled::cancelled_json;
use crate::codec::Codec;
use crate::port::Whole;
use crate::record::{Execution, ExecutionState, Signal, Task, TaskKind, TaskState, signal_step};
use crate::state::{self, GRACE, State};
use sen_model::report::Outcome;
use sen_model::text::named;
use sen_model::time::wall::Wall;

/// `Exception("Execution cancelled")`, as the library's cancel stores it: its JSON codec.
const CANCELLED_JSON: &[u8] = cancelled_json!().as_bytes();
/// The same as Python pickles it (protocol 4).
const CANCELLED_PICKLE: &[u8] =
    b"\x80\x04\x954\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94\x8c\tException\x94\x93\x94\x8c\x13Execution cancelled\x94\x85\x94R\x94.";

/// The error of what a cancel stops, in the codec of the execution; `None` where that is neither of the library's.
pub const fn cancelled_error(codec: Codec) -> Option<&'static [u8]> {
    match codec {
        Codec::Json => Some(CANCELLED_JSON),
        Codec::Pickle => Some(CANCELLED_PICKLE),
        Codec::Empty | Codec::Unknown => None,
    }
}

/// The codec of an execution: that of its arguments, which it always has.
pub fn codec(execution: &Execution) -> Codec {
    Codec::of(execution.args.as_deref().unwrap_or_default())
}

/// Whether an execution can be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancellable {
    /// It can, with this to be known first.
    Yes(Vec<String>),
    /// It is.
    Already,
    /// It cannot; why.
    No(String),
}

/// Judges a cancel.
pub fn cancel(execution: &Execution, tasks: &[Task], now: Wall) -> Cancellable {
    match &execution.state {
        ExecutionState::Cancelled => Cancellable::Already,
        ExecutionState::Pending | ExecutionState::Running | ExecutionState::Cancelling => {
            let running: Vec<&Task> = tasks.iter().filter(|task| task.state == TaskState::Running).collect();
            let mut warnings = Vec::new();
            if !running.is_empty() {
                let left = left_alone(tasks);
                let stops = tasks.iter().any(|task| !task.state.is_terminal() && !left.contains(&task.id.as_str()));
                let on = |task: &&Task| {
                    let worker = task.worker_id.as_deref()?;
                    // As the verdict and the cause of such a task say.
                    let lost = state::task(task, now) == State::Lost;
                    Some(if lost { format!("{worker}, lease expired: probably lost") } else { worker.to_owned() })
                };
                let mut workers: Vec<String> = running.iter().filter_map(on).collect();
                workers.sort_unstable();
                workers.dedup();
                let tasks =
                    if running.len() == 1 { "1 task is".into() } else { format!("{} tasks are", running.len()) };

                let went = match (left.is_empty(), stops) {
                    (false, false) => "the wait for its signal is left as it is, so that nothing goes on",
                    (false, true) => {
                        "the wait for its signal is left as it is, but its orchestrator is told that its other open steps \
                         failed, and may run its own error handling"
                    }
                    (true, _) => {
                        "its orchestrator is told that its open steps failed, and may run its own error handling"
                    }
                };
                warnings.push(format!(
                    "{tasks} running ({}): work that has begun cannot be stopped from outside, and a worker that finishes an \
                     orchestrator overwrites the cancellation; --verify watches for that; {went}",
                    if workers.is_empty() { "on an unnamed worker".into() } else { workers.join("; ") }
                ));
            }
            Cancellable::Yes(warnings)
        }
        other => Cancellable::No(format!("it is {} and cannot be cancelled any more", other.as_str())),
    }
}

/// What a cancel leaves as it is: waits for signals under a task that runs, and what runs above them. As in the stores.
fn left_alone(tasks: &[Task]) -> Vec<&str> {
    let running =
        |id: Option<&str>| tasks.iter().find(|task| Some(task.id.as_str()) == id && task.state == TaskState::Running);
    let mut left = Vec::new();
    for task in tasks.iter().filter(|task| task.kind == TaskKind::Signal && task.state == TaskState::Pending) {
        let mut above = running(task.parent_task_id.as_deref());
        if above.is_some() {
            left.push(task.id.as_str());
        }
        while let Some(task) = above.filter(|task| !left.contains(&task.id.as_str())) {
            left.push(task.id.as_str());
            above = running(task.parent_task_id.as_deref());
        }
    }
    left
}

/// Whether an execution can be ended with the result of its root task: that task, or why not.
pub fn complete(whole: &Whole, now: Wall) -> Result<&Task, (Outcome, String)> {
    let state = &whole.execution.state;
    let no = |why: String| Err((Outcome::Changed, why));
    match state {
        ExecutionState::Completed => return Err((Outcome::AlreadyDone, "it is completed".into())),
        ExecutionState::Pending | ExecutionState::Running => {}
        other => return no(format!("it is {}: only an execution that is not ended can be completed", other.as_str())),
    }
    if whole.tasks.iter().any(|task| task.kind == TaskKind::Orchestrator && !task.state.is_terminal()) {
        return no("its orchestrator is still pending or running".into());
    }
    let Some(root) = whole.completed_root() else {
        return no("its root task is not completed with a result: there is nothing to complete it with".into());
    };
    let since = root.completed_at.map_or(i64::MAX, |at| now.as_micros().saturating_sub(at.as_micros()));
    if since < GRACE {
        return no(
            "its root task ended less than a minute ago: its worker is probably about to end it; try again later"
                .into(),
        );
    }
    Ok(root)
}

/// Whether a signal can be sent: what is to be known, or why not.
pub fn signal(
    execution: &Execution,
    tasks: &[Task],
    signals: &[Signal],
    name: &str,
    replace: bool,
) -> Result<Vec<String>, String> {
    if !matches!(execution.state, ExecutionState::Pending | ExecutionState::Running) {
        return Err(format!("it is {}: nothing in it waits for a signal any more", execution.state.as_str()));
    }
    match codec(execution) {
        Codec::Json => {}
        Codec::Pickle => {
            return Err("its payloads are pickles, which sen does not write: send the signal from Python".into());
        }
        Codec::Empty | Codec::Unknown => return Err("its payloads are in an unknown codec".into()),
    }
    if let Some(ended) = answered(execution, tasks, name) {
        let keeps = if ended.state == TaskState::Completed { "keeps that answer" } else { "is answered with nothing" };
        return Err(format!(
            "it has waited for signal {} and {keeps} whenever it waits for it again, also in a replay: a further signal of that \
             name is never read",
            named(name)
        ));
    }
    let mut warnings = Vec::new();
    if let Some(there) = signals.iter().find(|signal| signal.name == name)
        && there.consumed != Some(true)
    {
        if !replace {
            return Err(format!("an unread signal {} exists already; --replace replaces it", named(name)));
        }
        warnings.push("it replaces an unread signal".into());
    }
    let step = signal_step(name);
    let waits = tasks.iter().find(|task| task.kind == TaskKind::Signal && task.step_name.as_deref() == Some(&step));
    if waits.is_none_or(|task| task.state.is_terminal()) {
        warnings.push("nothing waits for it yet: it is kept until something does".into());
    }
    Ok(warnings)
}

/// The wait for a signal of this name that has ended, if there is one: its task has an id of its own (`resolve_signal_wait`), so every
/// further wait for the name finds it and takes what it holds. Where the execution's id is no UUID every wait is a new one.
pub(crate) fn answered<'a>(execution: &Execution, tasks: &'a [Task], name: &str) -> Option<&'a Task> {
    let waiter = waiter_id(&execution.id, name)?;
    tasks.iter().find(|task| task.id == waiter && task.state.is_terminal())
}

/// Whether something in the execution may begin to wait for a signal at this very moment.
pub fn may_begin_to_wait(tasks: &[Task]) -> bool {
    tasks.iter().any(|task| task.state == TaskState::Running && task.kind != TaskKind::Signal)
}

/// The id of the task that waits for a signal, as the library makes it.
pub fn waiter_id(execution: &str, name: &str) -> Option<String> {
    let space = Uuid::try_parse(execution).ok()?;
    Some(Uuid::new_v5(&space, signal_step(name).as_bytes()).to_string())
}

/// Ended states that a cleanup removes.
pub const ENDED: [&str; 4] = ["completed", "failed", "timed_out", "cancelled"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::{NOW, at, row, with};

    fn execution(state: ExecutionState, args: &[u8]) -> Execution {
        Execution {
            id: "e".into(),
            root_function: None,
            state,
            args: Some(args.to_vec()),
            kwargs: None,
            result: None,
            error: None,
            retries: None,
            created_at: None,
            started_at: None,
            completed_at: None,
            expiry_at: None,
            tags: Vec::new(),
            priority: None,
            queue: None,
            unreadable: Vec::new(),
        }
    }

    #[test]
    fn what_can_be_cancelled() {
        for state in [ExecutionState::Pending, ExecutionState::Running, ExecutionState::Cancelling] {
            assert_eq!(cancel(&execution(state, b"[]"), &[], NOW), Cancellable::Yes(Vec::new()));
        }
        assert_eq!(cancel(&execution(ExecutionState::Cancelled, b"[]"), &[], NOW), Cancellable::Already);
        for state in [ExecutionState::Completed, ExecutionState::Failed, ExecutionState::TimedOut] {
            assert!(matches!(cancel(&execution(state, b"[]"), &[], NOW), Cancellable::No(_)));
        }
    }

    #[test]
    fn what_can_be_signalled() {
        let unread =
            Signal { name: "go".into(), payload: None, created_at: None, consumed: Some(false), consumed_at: None };
        let read = Signal { consumed: Some(true), ..unread.clone() };
        let running = execution(ExecutionState::Running, b"[]");
        assert!(signal(&running, &[], &[], "go", false).is_ok());
        assert!(signal(&running, &[], std::slice::from_ref(&read), "go", false).is_ok());
        assert!(signal(&running, &[], std::slice::from_ref(&unread), "go", false).unwrap_err().contains("--replace"));
        assert!(signal(&running, &[], std::slice::from_ref(&unread), "go", true).is_ok());
        assert!(signal(&running, &[], std::slice::from_ref(&unread), "stop", false).is_ok());
        assert!(
            signal(&execution(ExecutionState::Running, b"\x80\x04."), &[], &[], "go", false)
                .unwrap_err()
                .contains("pickle")
        );
        assert!(signal(&execution(ExecutionState::Cancelled, b"[]"), &[], &[], "go", false).is_err());
        let named = Execution { id: "6f0c1f6e-3a77-4b54-9a54-1b9d3fca1f55".into(), ..running.clone() };
        let waiter = waiter_id(&named.id, "go").unwrap_or_default();
        for (state, refused) in [("pending", false), ("completed", true), ("failed", true)] {
            let wait = Task { step_name: Some(signal_step("go")), ..row(&waiter, Some("t0"), "signal", state) };
            for replace in [false, true] {
                let ruled = signal(&named, std::slice::from_ref(&wait), &[], "go", replace);
                assert_eq!(ruled.is_err(), refused, "{state}");
            }
            // An id that is no UUID: the library makes every wait anew.
            assert!(signal(&running, &[wait], &[], "go", false).is_ok());
        }
    }

    #[test]
    fn errors_are_in_the_codec_of_the_execution() {
        let of = |args: &[u8]| cancelled_error(codec(&execution(ExecutionState::Running, args)));
        assert!(of(b"[1]").unwrap().starts_with(b"{"));
        assert!(of(b"\x80\x04)").unwrap().starts_with(b"\x80\x04"));
        assert_eq!(of(b"\xff"), None);
    }

    #[test]
    fn waiters_have_the_library_s_ids() {
        // uuid.uuid5(uuid.UUID("12345678-1234-5678-1234-567812345678"), "signal:approve")
        let id = waiter_id("12345678-1234-5678-1234-567812345678", "approve");
        assert_eq!(id.as_deref(), Some("56b4da4a-85dd-52af-ac5e-69491dda3ff1"));
        assert_eq!(waiter_id("not a uuid", "approve"), None);
    }

    /// Each condition has a case that only it refuses.
    #[test]
    fn what_can_be_completed() {
        let root = || Task { has_result: true, completed_at: at(-60), ..row("t0", None, "orchestrator", "completed") };
        let judged = |state: &str, tasks: Vec<Task>| {
            complete(&with(state, tasks), NOW).map(|root| root.id.clone()).map_err(|(outcome, _)| outcome)
        };
        let child = |state: &str| row("t1", Some("t0"), "orchestrator", state);
        let activity = row("t1", Some("t0"), "activity", "pending");
        for state in ["pending", "running"] {
            assert_eq!(judged(state, vec![root()]), Ok("t0".into()));
        }
        assert_eq!(judged("running", vec![root(), activity]), Ok("t0".into()));
        assert_eq!(judged("completed", vec![root()]), Err(Outcome::AlreadyDone));
        let odd = [
            ("cancelling", vec![root()]),
            ("cancelled", vec![root()]),
            ("failed", vec![root()]),
            ("timed_out", vec![root()]),
            ("running", vec![root(), child("pending")]),
            ("running", vec![root(), child("running")]),
            ("running", vec![Task { state: TaskState::Failed, ..root() }]),
            ("running", vec![Task { has_result: false, ..root() }]),
            ("running", vec![Task { kind: TaskKind::Activity, ..root() }]),
            ("running", vec![Task { parent_task_id: Some("t9".into()), ..root() }]),
            ("running", vec![Task { completed_at: at(-59), ..root() }]),
            ("running", Vec::new()),
        ];
        for (state, tasks) in odd {
            assert_eq!(judged(state, tasks.clone()), Err(Outcome::Changed), "{state}: {tasks:?}");
        }
    }

    /// Whether a wait is left alone depends on what is stopped beside it, and on what runs above it.
    #[test]
    fn a_cancel_says_when_error_handling_may_run() {
        let root = row("t0", None, "orchestrator", "running");
        let wait = |parent: &str| row("t1", Some(parent), "signal", "pending");
        let beside = row("t2", Some("t0"), "activity", "pending");
        let warned = |tasks: &[Task]| match cancel(&execution(ExecutionState::Running, b"[]"), tasks, NOW) {
            Cancellable::Yes(warnings) => warnings.concat(),
            other => panic!("{other:?}"),
        };
        let alone = warned(&[root.clone(), wait("t0")]);
        assert!(alone.contains("so that nothing goes on") && !alone.contains("error handling"), "{alone}");
        for tasks in [
            vec![root.clone(), beside.clone()],
            vec![root.clone(), wait("t0"), beside.clone()],
            vec![root.clone(), wait("t9")],
            vec![root.clone(), wait("t0"), Task { state: TaskState::Running, ..beside.clone() }],
        ] {
            let told = warned(&tasks);
            assert!(told.contains("may run its own error handling") && !told.contains("nothing goes on"), "{told}");
        }
        assert_eq!(warned(&[row("t0", None, "orchestrator", "pending")]), "");
        // What is said of its worker is what the verdict says.
        let over = Task { worker_id: Some("w-2".into()), lease_expires_at: at(-60), ..root.clone() };
        assert!(warned(&[over]).contains("(w-2, lease expired: probably lost)"));
        let alive = Task { worker_id: Some("w-1".into()), lease_expires_at: at(60), ..root };
        assert!(warned(&[alive]).contains("(w-1)"));
    }
}
