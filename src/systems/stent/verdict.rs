//! What the rows of an execution or a task amount to. Pure: rows, what the workers' clock shows now, a verdict.
//!
//! Sources: `claim_next_task` (takes what is pending and due, or running with an expired lease), `run_claimed_task` (retries,
//! expiry, cancellation, dead letters) and `resolve_signal_wait` of senpuki 0.3.0 and stent 1.1.2.

mod again;
pub(crate) mod failure;
mod zone;

use crate::acts::rules as acts;
use crate::cancelled;
use crate::codec::{Outcome, decode};
use crate::letters::note;
use crate::letters::rules::{self, ReplayFacts, Replayability};
use crate::port::{Listed, Look, Whole};
use crate::record::{DeadTask, Execution, ExecutionState, Task, TaskKind, TaskState};
use crate::state::{GRACE, Leaves};
use crate::words::{name, since, span};
use sen_model::text::named;
use sen_model::time::wall::{Wall, Zone};
use sen_model::verdict::{NextCommand, Purpose, Verdict};

pub use crate::state::{State, task};
pub(crate) use again::{backoff, backs_off, runs_again};
pub use failure::error_line;
pub(crate) use failure::{FAILS_AGAIN, TIMED_OUT, not_retried};
use failure::{first_failed, first_failure};
pub use zone::{ZoneDoubt, likely_ahead, zone_doubt};

/// The state of an execution whose end is stored; `None` for one that has not ended.
fn ended(state: &ExecutionState) -> Option<State> {
    match state {
        ExecutionState::Completed => Some(State::Completed),
        ExecutionState::Failed => Some(State::Failed),
        ExecutionState::TimedOut => Some(State::TimedOut),
        ExecutionState::Cancelled => Some(State::Cancelled),
        ExecutionState::Other(_) => Some(State::Unreadable),
        ExecutionState::Pending | ExecutionState::Running | ExecutionState::Cancelling => None,
    }
}

fn overdue(execution: &Execution, now: Wall) -> bool {
    execution.expiry_at.is_some_and(|expiry| expiry < now)
}

/// The state of an execution in a list, where its tasks are known in outline.
pub fn listed(listed: &Listed, now: Wall) -> State {
    let execution = &listed.execution;
    if let Some(ended) = ended(&execution.state) {
        return ended;
    }
    if listed.live == Some(false) {
        if listed.settling == Some(true) { State::Settling } else { State::Stranded }
    } else if overdue(execution, now) {
        State::Overdue
    } else if listed.lost == Some(true) {
        State::Lost
    } else {
        match execution.state {
            ExecutionState::Cancelling => State::Cancelling,
            ExecutionState::Running => listed.leaves.state(),
            _ if listed.leaves.scheduled && !listed.leaves.ready => State::Scheduled,
            _ => State::Ready,
        }
    }
}

/// The state of an execution whose tasks are known.
pub fn whole(whole: &Whole, now: Wall) -> State {
    let execution = &whole.execution;
    if let Some(ended) = ended(&execution.state) {
        return ended;
    }
    let states: Vec<State> = whole.tasks.iter().map(|each| task(each, now)).collect();
    let any = |wanted: State| states.contains(&wanted);
    let cut = whole.task_count > whole.tasks.len() as i64;
    if !cut && !whole.tasks.iter().any(|task| task.state.is_open()) {
        if settling(whole, now) { State::Settling } else { State::Stranded }
    } else if overdue(execution, now) {
        State::Overdue
    } else if any(State::Lost) {
        State::Lost
    } else if execution.state == ExecutionState::Cancelling {
        State::Cancelling
    } else if execution.state == ExecutionState::Pending {
        if any(State::Scheduled) && !any(State::Ready) { State::Scheduled } else { State::Ready }
    } else {
        leaves(whole, &states).state()
    }
}

/// Whether anything of it changed within [`GRACE`].
fn settling(whole: &Whole, now: Wall) -> bool {
    let times = |task: &Task| [task.created_at, task.started_at, task.completed_at];
    let last = whole.tasks.iter().flat_map(times).chain([whole.execution.created_at]).flatten().max();
    last.is_some_and(|last| last.as_micros() >= now.as_micros().saturating_sub(GRACE))
}

fn leaves(whole: &Whole, states: &[State]) -> Leaves {
    let open = |task: &&Task| task.state.is_open();
    let parents: Vec<&str> =
        whole.tasks.iter().filter(open).filter_map(|task| task.parent_task_id.as_deref()).collect();
    let mut leaves = Leaves::default();
    for (task, state) in whole.tasks.iter().zip(states) {
        if task.state.is_open() && !parents.contains(&task.id.as_str()) {
            match state {
                State::Waiting => leaves.waiting = true,
                State::Scheduled => leaves.scheduled = true,
                State::Ready => leaves.ready = true,
                _ => leaves.running = true,
            }
        }
    }
    leaves
}

/// Judges an execution.
pub fn judge(look: &Whole, now: Wall, zone: &Zone) -> Verdict {
    let state = whole(look, now);
    let mut evidence = Vec::new();
    if state == State::Overdue
        && let Some(expiry) = look.execution.expiry_at
    {
        evidence.push(format!(
            "its expiry passed {} ago; a worker times it out when it next takes one of its tasks",
            span(expiry, now)
        ));
    }
    // What has ended begins no task any more; one that is under way may still act.
    let over = look.execution.state.is_terminal();
    let open = |task: &&Task| !task.state.is_terminal() && (!over || task.state == TaskState::Running);
    for task in look.tasks.iter().filter(open) {
        evidence.extend(backoff(task, &look.progress, now).or_else(|| open_task(task, now)));
        if evidence.len() >= 8 {
            evidence.push("and more: see its tasks".into());
            break;
        }
    }
    if state == State::Lost {
        let lost: Vec<&Task> = look.tasks.iter().filter(|one| task(one, now) == State::Lost).collect();
        evidence.extend(runs_again(look, &lost, now));
        evidence.push(zone_note(zone));
    }
    if state == State::TimedOut {
        evidence.extend(raised_timeout(&look.execution));
    }
    if state == State::Stranded {
        evidence.push(stranded(look, now));
    }
    if matches!(state, State::Failed | State::TimedOut | State::Stranded) {
        let stopped = cancelled::stopped_in(look);
        evidence.extend(cancelled::told(look, &stopped, now).or_else(|| first_failure(look)));
    }
    for signal in look.signals.iter().filter(|signal| signal.consumed == Some(false)) {
        // Its time is that of the first one of the name, so it does not say which came first.
        let answered = acts::answered(&look.execution, &look.tasks, &signal.name).is_some();
        let name = named(&signal.name);
        evidence.push(if answered {
            format!("signal {name} is not marked as taken, but its wait has its answer: if it was sent after that, it is never read")
        } else {
            format!("signal {name} was sent and not consumed yet")
        });
    }
    if !look.execution.state.is_terminal() {
        let acts = look.progress.iter().rev().filter_map(|step| note::read(step.detail.as_deref()));
        let replay = acts.into_iter().find(|act| act.fresh_task().is_some());
        evidence
            .extend(replay.map(|act| format!("{} by {}", act.what, act.act.who.as_deref().unwrap_or("an operator"))));
    }
    if state == State::Failed && !look.letters.is_empty() {
        evidence.push(
            "it cannot be ended with a result by hand: the library stores only what its function returns; if the work was done \
            elsewhere, remove its dead letters"
                .into(),
        );
    }
    if !look.letters.is_empty() {
        let letters = match look.letters.len() {
            1 => "one dead letter".into(),
            count => format!("{count} dead letters"),
        };
        evidence.push(format!("{letters} of it"));
    }
    evidence.extend(look.execution.unreadable.iter().map(|what| format!("unreadable: {what}")));
    Verdict {
        state: state.of_execution(),
        severity: state.severity(),
        summary: summary(look, state, now),
        evidence,
        next: next(look, state, now),
    }
}

fn summary(look: &Whole, state: State, now: Wall) -> String {
    let backoff = || look.tasks.iter().find_map(|task| backoff(task, &look.progress, now));
    match state {
        State::Sleeping | State::Scheduled => match backoff() {
            Some(backoff) => return format!("it waits for its next try: {backoff}"),
            None if state == State::Sleeping => "it sleeps until a later step is due",
            None => "it is to begin later",
        },
        State::TimedOut if raised_timeout(&look.execution).is_some() => {
            "it was ended as timed out, but before its expiry"
        }
        State::Completed if returned_error(&look.execution) => "it returned an error as its result",
        State::Completed => "its result is stored",
        State::Failed if !cancelled::stopped_in(look).is_empty() => {
            "it was cancelled, and its orchestrator then ended with an error"
        }
        State::Failed => "its orchestrator raised an exception and failed permanently",
        State::TimedOut => "its expiry passed before it was done",
        State::Cancelled => "it was cancelled",
        State::Cancelling => "its cancellation was requested",
        State::Settling => "its last task ended a moment ago; its worker is about to end the execution",
        State::Stranded => "unfinished, but no open task is left: probably no worker will end it",
        State::Overdue => "its expiry has passed and it has not ended",
        State::Lost => "running, but a lease expired: its worker is probably lost",
        State::Running => "a worker has it",
        State::Waiting => "it waits for a signal",
        State::Ready => "no worker has taken it yet",
        State::Unreadable => "its stored state is none the library writes",
    }
    .into()
}

/// Why an execution counts as timed out although its expiry had not come: the library stores every `TimeoutError` that leaves
/// the function under `max_duration` as an expiry.
pub(super) fn raised_timeout(execution: &Execution) -> Option<String> {
    // The end is written just after the timer fired, by the same clock.
    const SLACK: i64 = 50_000;
    let (ended, expiry) = (execution.completed_at?, execution.expiry_at?);
    (ended.as_micros() < expiry.as_micros().saturating_sub(SLACK)).then(|| {
        format!(
            "it ended {} before its expiry: its function probably raised TimeoutError, which the library stores as an expiry",
            span(ended, expiry)
        )
    })
}

fn returned_error(execution: &Execution) -> bool {
    execution.result.as_deref().is_some_and(|result| decode(result).outcome == Outcome::Error)
}

/// What is known of a task that has not ended.
fn open_task(task: &Task, now: Wall) -> Option<String> {
    let step = name(task.step_name.as_deref());
    let who = task.worker_id.as_deref().unwrap_or("an unnamed worker");
    Some(match self::task(task, now) {
        State::Lost => {
            let lease = span(task.lease_expires_at?, now);
            format!("{step}: worker {who} claimed it {} ago; its lease ended {lease} ago", since(task.started_at, now))
        }
        State::Running => {
            let lease = span(now, task.lease_expires_at?);
            format!(
                "{step}: worker {who} has had it for {}; its lease holds another {lease}",
                since(task.started_at, now)
            )
        }
        State::Waiting => {
            let signal = step.strip_prefix("signal:").unwrap_or(step);
            format!("it has been waiting for signal {} for {}", named(signal), since(task.created_at, now))
        }
        State::Scheduled => format!("{step}: due in {}", span(now, task.scheduled_for?)),
        State::Ready => {
            let queue =
                task.queue.as_deref().map_or_else(|| "any worker".into(), |queue| format!("a worker of queue {queue}"));
            let tried = task
                .retries
                .filter(|tries| *tries > 0)
                .map(|tries| format!(", tried {tries} times"))
                .unwrap_or_default();
            format!("{step}: waiting for {queue} for {}{tried}", since(task.scheduled_for.or(task.created_at), now))
        }
        _ => return None,
    })
}

fn zone_note(zone: &Zone) -> String {
    format!(
        "lease times are read in {}; to a reader in the wrong zone a living lease looks ended (--worker-timezone)",
        zone.name()
    )
}

/// How an execution without open tasks came about, as far as its root task shows.
fn stranded(look: &Whole, now: Wall) -> String {
    let root = look.tasks.iter().rfind(|task| task.kind == TaskKind::Orchestrator && task.parent_task_id.is_none());
    match root {
        None if look.tasks.is_empty() => "it has no tasks at all".into(),
        None => "it has no orchestrator task".into(),
        Some(root) => format!(
            "its orchestrator's task is {}, ended {} ago; a worker that died between two commits leaves this, and so does a replay of the original tool",
            root.state.as_str(),
            since(root.completed_at, now)
        ),
    }
}

fn next(look: &Whole, state: State, now: Wall) -> Vec<NextCommand> {
    let id = look.execution.id.as_str();
    let mut next = Vec::new();
    let letter = root_letter(look).filter(|_| matches!(state, State::Failed | State::Stranded));
    let mut replays = false;
    if let Some(letter) = letter {
        let show =
            NextCommand::new(&["sen", "dlq", "show"], "why it failed, and what a replay would do").id(&letter.id);
        // What fails the same way each time is looked at before it is run again.
        let first = first_failed(look).and_then(not_retried).is_some();
        next.push(if first { show.purpose(Purpose::Observe) } else { show });
        let command = match replayability(look, letter, now) {
            Replayability::Replayable => Some(&["sen", "dlq", "replay"][..]),
            // It has not ended, and for longer than its worker needs to end it.
            Replayability::ExecutionUnsettled if state == State::Stranded => {
                Some(&["sen", "dlq", "replay", "--force"][..])
            }
            _ => None,
        };
        if let Some(command) = command {
            let (why, purpose) = if first {
                ("the cause of its error is gone: run the execution again from its start", Purpose::RunDespite)
            } else {
                ("the execution is still wanted: run it again from its start", Purpose::Run)
            };
            next.push(NextCommand::new(command, why).id(&letter.id).purpose(purpose));
            let discard = NextCommand::new(
                &["sen", "dlq", "discard"],
                "the execution is not wanted any more: remove its dead letter; it stays failed",
            );
            next.push(discard.option_mark("--export", "file").id(&letter.id).purpose(Purpose::GiveUp));
            replays = true;
        }
    }
    match state {
        State::Waiting => {
            let waits =
                look.tasks.iter().filter(|task| task.kind == TaskKind::Signal && task.state == TaskState::Pending);
            for step in waits.filter_map(|task| task.step_name.as_deref()?.strip_prefix("signal:")) {
                let signal = NextCommand::new(&["sen", "exec", "signal"], "wake it, with its payload");
                next.push(signal.id(id).id(step).mark("json").purpose(Purpose::Run));
            }
        }
        State::Stranded if look.completed_root().is_some() => {
            next.push(
                NextCommand::new(&["sen", "exec", "complete"], "end it with the result of its root task")
                    .id(id)
                    .purpose(Purpose::Run),
            );
        }
        State::Stranded if !replays => {
            next.push(
                NextCommand::new(&["sen", "exec", "cancel"], "end it: its work is not done")
                    .id(id)
                    .purpose(Purpose::GiveUp),
            );
        }
        State::Lost | State::Ready => {
            next.push(NextCommand::new(&["sen", "stats"], "who works, and how deep the queues are"));
            if state == State::Lost {
                let why = "only if no worker is to take it up again: end it";
                next.push(NextCommand::new(&["sen", "exec", "cancel"], why).id(id).purpose(Purpose::Stop));
            }
        }
        _ => {}
    }
    next
}

/// The dead letter of the execution's orchestrator, or of whatever of it died last.
fn root_letter(look: &Whole) -> Option<&DeadTask> {
    let is_root =
        |letter: &&DeadTask| look.tasks.iter().any(|task| task.id == letter.id && task.kind == TaskKind::Orchestrator);
    look.letters.iter().rfind(is_root).or(look.letters.last())
}

/// Whether a letter of this execution can be replayed, by what is known of both.
fn replayability(look: &Whole, letter: &DeadTask, now: Wall) -> Replayability {
    let task = |id: &str| look.tasks.iter().find(|task| task.id == id);
    let dead = task(&letter.id);
    let going = |task: &Task| task.kind == TaskKind::Orchestrator && !task.state.is_terminal();
    rules::replayability(&ReplayFacts {
        kind: dead.map_or_else(|| TaskKind::parse(""), |task| task.kind.clone()),
        execution: Some(look.execution.state.clone()),
        expired: look.execution.expiry_at.is_some_and(|expiry| expiry <= now),
        parent: dead.and_then(|dead| Some(task(dead.parent_task_id.as_deref()?)?.state.clone())),
        live: look.tasks.iter().any(going),
        stopped: letter.reason.as_deref().is_some_and(cancelled::is_text)
            || look
                .tasks
                .iter()
                .any(|task| task.parent_task_id.as_deref() == Some(letter.id.as_str()) && cancelled::stopped(task)),
        readable: letter.readable,
    })
}

/// What a record beside the execution says of the dead letter of a task.
pub(super) fn replayed(fresh: &str) -> String {
    format!("its dead letter was replayed as task {fresh}")
}

/// Judges a task.
pub fn judge_task(task: &Task, look: &Look, now: Wall, zone: &Zone) -> Verdict {
    let state = self::task(task, now);
    let mut evidence: Vec<String> = backoff(task, &[], now).or_else(|| open_task(task, now)).into_iter().collect();
    let owner = look.owner.as_ref();
    match owner {
        None => evidence.push("no execution has the id it names: a worker that takes it can only fail".into()),
        Some(owner) if owner.state.is_terminal() && !task.state.is_terminal() => {
            evidence.push(format!("its execution is {} already: its result is not used", owner.state.as_str()));
        }
        Some(_) => {}
    }
    match state {
        State::Lost => evidence.push(zone_note(zone)),
        State::Failed if look.letter.is_none() => {
            evidence.extend(match &look.more.replayed_as {
                Some(fresh) => Some(replayed(fresh)),
                None if cancelled::stopped(task) => None,
                // All that its own row lets one say.
                None => Some(
                    "it has no dead letter: cancelled, timed out, replayed or discarded, or its worker died between two commits"
                        .into(),
                ),
            });
        }
        State::Failed => {
            let tries = task.retries.unwrap_or_default() + 1;
            evidence.push(if tries == 1 { "it was tried once".into() } else { format!("it was tried {tries} times") });
        }
        _ => {}
    }
    evidence.extend(task.unreadable.iter().map(|what| format!("unreadable: {what}")));
    let mut next = Vec::new();
    if let Some(fresh) = &look.more.replayed_as {
        next.push(NextCommand::new(&["sen", "why"], "the task of the replay").id(fresh));
    }
    if look.letter.is_some() {
        next.push(
            NextCommand::new(&["sen", "dlq", "show"], "its dead letter, and what a replay would do").id(&task.id),
        );
    }
    if let (State::Waiting, Some(execution), Some(signal)) =
        (state, &task.execution_id, task.step_name.as_deref().and_then(|step| step.strip_prefix("signal:")))
    {
        let wake = NextCommand::new(&["sen", "exec", "signal"], "wake it, with its payload");
        next.push(wake.id(execution).id(signal).mark("json").purpose(Purpose::Run));
    }
    if let Some(execution) = &task.execution_id {
        next.push(NextCommand::new(&["sen", "exec", "show"], "its execution").id(execution));
    }
    Verdict {
        state: state.name(),
        severity: state.severity(),
        summary: task_summary(task, state).into(),
        evidence,
        next,
    }
}

fn task_summary(task: &Task, state: State) -> &'static str {
    match (state, &task.kind) {
        (State::Completed, TaskKind::Signal) => "its signal has come",
        (State::Completed, _) => "its result is stored",
        (State::Failed, TaskKind::Orchestrator) if cancelled::stopped(task) => {
            "a cancel stopped it; the steps it awaited may still be running or have happened"
        }
        (State::Failed, _) if cancelled::stopped(task) => {
            "a cancel stopped it; it may still be running or have happened"
        }
        (State::Failed, _) => "it raised an exception and failed permanently",
        (State::Lost, _) => {
            "running, but its lease expired: its worker is probably lost, and the next one to poll runs it again"
        }
        (State::Running, _) => "a worker has it",
        (State::Waiting, _) => "it waits for a signal",
        (State::Scheduled, _) if task.retries.unwrap_or_default() > 0 => "it waits for its next try",
        (State::Scheduled, _) => "it is not due yet",
        (State::Ready, _) => "no worker has taken it yet",
        _ => "the row cannot be judged",
    }
}

#[cfg(test)]
pub(super) mod tests;
