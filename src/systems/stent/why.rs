//! Why an execution, a task or a letter is as it is: one rule a function. Pure.

use crate::cancelled;
use crate::codec::decode;
use crate::port::{Activity, Look, Whole};
use crate::record::{ExecutionState, Task, TaskKind, TaskState, signal_step};
use crate::state::State;
use crate::verdict::{self, TIMED_OUT};
use sen_model::cause::{Cause, Place, Related, Relation, candidates};
use sen_model::text;
use sen_model::time::wall::Wall;
use sen_model::verdict::{NextCommand, Purpose, Severity};

/// What the rules go by.
pub(super) struct Facts<'a> {
    /// What the id names.
    pub look: &'a Look,
    /// What the workers' clock shows.
    pub now: Wall,
    /// The queue of the task that waits for a worker, if one does.
    pub queue: Option<Activity>,
    /// How many further letters died of the same error, where that was counted.
    pub alike: Option<u64>,
}

/// How long a task may wait for a worker before its queue is examined.
const PATIENCE: i64 = 60_000_000;
/// How long a queue may have no task started before its workers count as lost.
const SILENCE: i64 = 300_000_000;
/// How long a signal may be waited for before it is worth a warning.
const LONG_WAIT: i64 = 3_600_000_000;
/// How many ids of payloads are looked up elsewhere, and how many tasks.
const CANDIDATES: usize = 10;
const TASKS: usize = 5;

fn since(from: Option<Wall>, now: Wall) -> i64 {
    from.map_or(0, |from| now.as_micros().saturating_sub(from.as_micros()))
}

fn name(task: &Task) -> &str {
    task.step_name.as_deref().unwrap_or("(unnamed)")
}

fn queue(task: &Task) -> String {
    task.queue.as_deref().map_or_else(|| "the default queue".into(), |queue| format!("queue {}", text::named(queue)))
}

fn tasks_of(count: i64) -> String {
    if count == 1 { "1 task is".into() } else { format!("{count} tasks are") }
}

fn ready(task: &Task, now: Wall) -> bool {
    verdict::task(task, now) == State::Ready && since(task.scheduled_for.or(task.created_at), now) > PATIENCE
}

/// The task that has waited for a worker for too long, if one has.
pub(super) fn waiting_task(look: &Look, now: Wall) -> Option<&Task> {
    let goes_on = |whole: &&Whole| !whole.execution.state.is_terminal();
    let whole = look.execution.as_ref().filter(goes_on);
    let of_whole = whole.and_then(|whole| whole.tasks.iter().find(|task| ready(task, now)));
    of_whole.or_else(|| look.task.as_ref().filter(|task| ready(task, now)))
}

/// The causes of what an execution is at.
pub(super) fn of_execution(facts: &Facts<'_>, whole: &Whole) -> Vec<Cause> {
    let state = verdict::whole(whole, facts.now);
    let mut causes = Vec::new();
    causes.extend(wrong_time_zone(&whole.tasks, facts.now));
    causes.extend(stranded(whole, state));
    causes.extend(timed_out(whole, state));
    match stopped_by_cancel(whole, state, facts.now) {
        Some(stopped) => causes.push(stopped),
        None => {
            causes.extend(child_failed(whole, state));
            causes.extend(dead_lettered(whole, facts.alike));
        }
    }
    causes.extend(overdue(whole, state, facts.now));
    if !whole.execution.state.is_terminal() {
        causes.extend(worker_gone(Some(whole), &whole.tasks, facts.now));
        causes.extend(whole.tasks.iter().filter_map(|task| retry_backoff(task, whole, facts.now)).take(TASKS));
        causes.extend(no_worker(facts));
        causes.extend(signals(whole, facts.now));
    }
    if matches!(state, State::Scheduled | State::Sleeping) {
        let steps = whole.tasks.iter().filter(|task| !verdict::backs_off(task, facts.now));
        causes.extend(steps.filter_map(|task| later(task, facts.now)).take(1));
    }
    causes
}

/// The causes of what a task is at.
pub(super) fn of_task(facts: &Facts<'_>, task: &Task) -> Vec<Cause> {
    let mut causes = Vec::new();
    causes.extend(wrong_time_zone(std::slice::from_ref(task), facts.now));
    causes.extend(execution_gone(facts.look, &task.state));
    causes.extend(worker_gone(None, std::slice::from_ref(task), facts.now));
    causes.extend(no_worker(facts));
    causes.extend(later(task, facts.now));
    if cancelled::stopped(task) {
        let text = format!("{}: {}", name(task), cancelled::told_of(task, facts.now));
        let next = task.execution_id.iter().map(|id| NextCommand::new(&["sen", "why"], "who cancelled it").id(id));
        causes.push(Cause::likely(STOPPED, Severity::Warning, text).with_next(next.collect()));
    } else if task.state == TaskState::Failed
        && let Some(error) = error_of(task)
    {
        let text = format!("{} raised {error}", name(task));
        causes.push(Cause::stated("raised", &["tasks.state", "tasks.error"], Severity::Warning, text));
    }
    causes
}

/// The code of what a cancel stopped.
const STOPPED: &str = "stopped_by_cancel";

/// A cancel ended its steps, and its orchestrator then ended with that: nothing of it has failed.
fn stopped_by_cancel(whole: &Whole, state: State, now: Wall) -> Option<Cause> {
    if !matches!(state, State::Failed | State::TimedOut | State::Stranded) {
        return None;
    }
    let text = cancelled::told(whole, &cancelled::stopped_in(whole), now)?;
    let letter = whole.letters.last();
    let next = letter.map(|letter| NextCommand::new(&["sen", "dlq", "show"], "what a replay would do").id(&letter.id));
    Some(Cause::likely(STOPPED, Severity::Warning, text).with_next(next.into_iter().collect()))
}

/// The causes of a dead letter.
pub(super) fn of_letter(facts: &Facts<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    // Where the task's row is there, its own causes say this and name the error.
    let task = facts.look.task.as_ref();
    causes.extend(execution_gone(facts.look, &TaskState::Failed).filter(|_| task.is_none()));
    if let Some(outlived) = outlived(facts.look) {
        causes.push(outlived);
        return causes;
    }
    let reason = facts.look.letter.as_ref().and_then(|letter| letter.reason.as_deref());
    if task.is_some_and(cancelled::stopped) {
        return causes;
    }
    if task.is_none() && reason.is_some_and(cancelled::is_text) {
        let text = "it was stopped by a cancel; what it awaited may still be running or have happened";
        causes.push(Cause::likely(STOPPED, Severity::Warning, text));
        return causes;
    }
    let text = if task.is_some_and(|task| error_of(task).is_some()) {
        format!("it is a dead letter{}", alike(facts.alike))
    } else {
        let reason = reason.unwrap_or("no reason is kept");
        format!("it is a dead letter; its error: {reason}{}", alike(facts.alike))
    };
    causes.push(
        Cause::stated("dead_lettered", &["dead_tasks.id", "dead_tasks.reason"], Severity::Warning, text)
            .with_next(facts.alike.filter(|others| *others > 0).map(|_| groups()).into_iter().collect()),
    );
    causes
}

/// Another attempt has completed its execution, or its orchestrator did without it.
fn outlived(look: &Look) -> Option<Cause> {
    let letter = look.letter.as_ref()?;
    (look.owner.as_ref()?.state == ExecutionState::Completed).then(|| {
        let text = "it is a dead letter, and its execution has completed without it";
        let next = NextCommand::new(&["sen", "dlq", "discard"], "if its effect is not missed")
            .id(&letter.id)
            .option_mark("--export", "file");
        Cause::stated("outlived", &["dead_tasks.id", "executions.state"], Severity::Pending, text).with_next(vec![next])
    })
}

fn groups() -> NextCommand {
    NextCommand::new(&["sen", "dlq", "groups"], "the dead letters by step and error")
}

fn alike(others: Option<u64>) -> String {
    match others {
        Some(1) => ", and 1 other dead letter has the same error".into(),
        Some(others) if others > 1 => format!(", and {others} other dead letters have the same error"),
        _ => String::new(),
    }
}

/// A time that lies in the future and is not meant to: the workers' zone is not the one assumed.
fn wrong_time_zone(tasks: &[Task], now: Wall) -> Option<Cause> {
    let newest = tasks.iter().flat_map(|task| [task.created_at, task.started_at, task.completed_at]).flatten();
    let ahead = newest.filter(|time| time.is_finite()).map(Wall::as_micros).max()?.saturating_sub(now.as_micros());
    (ahead > 2 * PATIENCE).then(|| {
        let text = format!(
            "its times lie {} in the future: its workers probably write another time zone than assumed, and leases and delays are misread",
            sen_model::time::age(ahead)
        );
        let next = NextCommand::new(&["sen", "status"], "says which --worker-timezone would fit");
        Cause::likely("wrong_time_zone", Severity::Critical, text).with_next(vec![next])
    })
}

/// It has not ended and has no runnable task left.
fn stranded(whole: &Whole, state: State) -> Option<Cause> {
    (state == State::Stranded).then(|| {
        let text = match whole.completed_root() {
            Some(_) => {
                "its root task has completed with a result and the execution was not ended: its worker probably died between the two commits"
            }
            None => "no open task is left: a worker probably died between two commits, or a replay raced one",
        };
        Cause::likely("stranded", Severity::Critical, text)
            .with_next(vec![NextCommand::new(&["sen", "exec", "show"], "its tasks and dead letters").id(&whole.execution.id)])
    })
}

/// Its expiry came first. The library writes it into the task that was open, which has not failed.
fn timed_out(whole: &Whole, state: State) -> Option<Cause> {
    if state != State::TimedOut {
        return None;
    }
    let open = |task: &&Task| {
        task.kind != TaskKind::Orchestrator
            && (!task.state.is_terminal() || error_of(task).is_some_and(|error| error.ends_with(TIMED_OUT)))
    };
    if let Some(raised) = verdict::raised_timeout(&whole.execution) {
        return Some(Cause::likely("raised_timeout", Severity::Warning, raised));
    }
    let at =
        whole.tasks.iter().find(open).map(|task| format!(", and {} had not ended", name(task))).unwrap_or_default();
    let execution = &whole.execution;
    let after = execution.created_at.zip(execution.expiry_at);
    let after =
        after.map(|(from, to)| sen_model::time::age(since(Some(from), to))).unwrap_or_else(|| "some time".into());
    let text = format!("its expiry came {after} after it was dispatched{at}");
    let stated_by = &["executions.state", "executions.expiry_at", "executions.completed_at"];
    Some(Cause::stated("timed_out", stated_by, Severity::Warning, text))
}

fn error_of(task: &Task) -> Option<String> {
    verdict::error_line(task.error.as_deref()?)
}

/// The step that failed first: an orchestrator often reports it in other words, or in none.
fn child_failed(whole: &Whole, state: State) -> Option<Cause> {
    if !matches!(state, State::Failed | State::TimedOut | State::Stranded) {
        return None;
    }
    let own = |error: &String| state != State::TimedOut || !error.ends_with(TIMED_OUT);
    // What a cancel of an earlier round stopped has not failed.
    let failed = whole.tasks.iter().filter(|task| task.state == TaskState::Failed && !cancelled::stopped(task));
    let failed = failed.filter_map(|task| Some((task, error_of(task).filter(own)?)));
    let (first, error) = failed.min_by_key(|(task, _)| (task.completed_at, task.kind == TaskKind::Orchestrator))?;
    let what = if first.kind == TaskKind::Orchestrator { "its orchestrator" } else { name(first) };
    let tries = first.retries.unwrap_or_default() + 1;
    let tries = match verdict::not_retried(first) {
        Some(allowed) => format!("at try {tries} of {allowed}, and was not tried again ({})", verdict::FAILS_AGAIN),
        None if tries == 1 => "at its only try".to_owned(),
        None => format!("after {tries} tries"),
    };
    let text = format!("{what} failed first, {tries}: {error}");
    let stated_by = &["tasks.state", "tasks.error", "tasks.completed_at"];
    Some(Cause::stated("step_failed", stated_by, Severity::Warning, text))
}

/// Its dead letters wait for a person. Those of a completed execution do not matter ([`outlived`]).
fn dead_lettered(whole: &Whole, others: Option<u64>) -> Option<Cause> {
    let letter = whole.letters.first().filter(|_| whole.execution.state != ExecutionState::Completed)?;
    let count = whole.letters.len();
    let noun = if count == 1 { "dead letter" } else { "dead letters" };
    let text = format!("{count} {noun}{}", alike(others));
    let mut next = vec![NextCommand::new(&["sen", "dlq", "show"], "why, and what a replay would do").id(&letter.id)];
    next.extend(others.filter(|others| *others > 0).map(|_| groups()));
    Some(
        Cause::stated("dead_lettered", &["dead_tasks.id", "tasks.execution_id"], Severity::Warning, text)
            .with_next(next),
    )
}

/// Its expiry has passed and no worker has ended it.
fn overdue(whole: &Whole, state: State, now: Wall) -> Option<Cause> {
    if state != State::Overdue {
        return None;
    }
    let text = format!(
        "its expiry passed {} ago and it has not ended: a worker ends it when it next takes one of its tasks",
        sen_model::time::age(since(whole.execution.expiry_at, now))
    );
    Some(Cause::stated("overdue", &["executions.expiry_at", "executions.state"], Severity::Warning, text))
}

/// A task between two tries.
fn retry_backoff(task: &Task, whole: &Whole, now: Wall) -> Option<Cause> {
    let text = verdict::backoff(task, &whole.progress, now)?;
    let stated_by = &["tasks.retries", "tasks.retry_policy", "tasks.scheduled_for"];
    Some(Cause::stated("retry_backoff", stated_by, Severity::Pending, text))
}

/// Leases that are no longer renewed, one cause a worker, with what a worker that takes the tasks up runs again.
fn worker_gone(whole: Option<&Whole>, tasks: &[Task], now: Wall) -> Vec<Cause> {
    let mut of: Vec<(&str, Vec<&Task>)> = Vec::new();
    for task in tasks.iter().filter(|task| verdict::task(task, now) == State::Lost) {
        let worker = task.worker_id.as_deref().unwrap_or("(unnamed)");
        match of.iter_mut().find(|(known, _)| *known == worker) {
            Some((_, lost)) => lost.push(task),
            None => of.push((worker, vec![task])),
        }
    }
    let cause = |(worker, lost): (&str, Vec<&Task>)| {
        let steps: Vec<&str> = lost.iter().take(2).map(|task| name(task)).collect();
        let more = if lost.len() > 2 { format!(" and {} more", lost.len() - 2) } else { String::new() };
        let leases = if lost.len() == 1 { "its lease" } else { "its leases" };
        let again = whole.and_then(|whole| verdict::runs_again(whole, &lost, now)).map(|again| format!("; {again}"));
        let text = format!(
            "worker {worker} stopped renewing {leases} on {}{more}, over for {}: it is probably gone, stuck, or its clock is in another zone{}",
            steps.join(" and "),
            sen_model::time::age(lost.iter().map(|task| since(task.lease_expires_at, now)).min().unwrap_or_default()),
            again.unwrap_or_default()
        );
        let next = NextCommand::new(&["sen", "stats"], "who works, and how deep the queues are");
        Cause::likely("worker_gone", Severity::Warning, text).with_next(vec![next])
    };
    of.into_iter().take(TASKS).map(cause).collect()
}

/// A task waits: its queue is silent or behind, a limit holds its step back, or workers pass it over for its tags.
///
/// `claim_next_task` takes what is due by priority and age, passes over tasks that have tags of which the worker has none (a
/// worker without tags takes all), and tasks of a step of which `max_concurrent` run under a living lease, in any queue. Workers
/// leave no row of their own: one that polls and finds nothing for it cannot be seen.
fn no_worker(facts: &Facts<'_>) -> Option<Cause> {
    let (task, activity) = (waiting_task(facts.look, facts.now)?, facts.queue?);
    let waited = sen_model::time::age(since(task.scheduled_for.or(task.created_at), facts.now));
    let silent = activity.last_begun.is_none_or(|begun| since(Some(begun), facts.now) > SILENCE);
    let next = vec![NextCommand::new(&["sen", "stats"], "who works, and how deep the queues are")];
    let (step, queue, ready) = (name(task), queue(task), tasks_of(activity.ready));
    let last = activity.last_begun.map_or_else(
        || "and no row says that one was ever begun".into(),
        |begun| format!("and the last was begun {} ago", sen_model::time::age(since(Some(begun), facts.now))),
    );
    let behind = |text: String| Some(Cause::likely("queue_behind", Severity::Warning, text).with_next(next.clone()));
    if activity.of_step > 0 {
        let noun = if activity.of_step == 1 { "task" } else { "tasks" };
        let of_step = format!("{} {noun} of this step running", activity.of_step);
        return behind(if activity.passed > 0 {
            format!(
                "{step} has waited {waited}: {of_step}, and later tasks of {queue} were begun meanwhile ({}): probably a limit of the step (max_concurrent) holds it back",
                activity.passed
            )
        } else if activity.running == 0 && silent {
            format!(
                "{step} has waited {waited}: {ready} ready in {queue}, none runs, {last}; {of_step} in another queue: a limit of the step (max_concurrent) holds it back, or no worker polls its queue"
            )
        } else {
            format!(
                "{step} has waited {waited}: {ready} ready in {queue}, {of_step}: its workers are busy, or a limit of the step (max_concurrent) holds it back"
            )
        });
    }
    let tags = task.tags.join(", ");
    if activity.running == 0 && silent {
        // One that takes other tags polls it and begins nothing.
        let whose = if tags.is_empty() {
            String::new()
        } else {
            format!(", or only workers that do not take its tags ({tags}) do")
        };
        let text = format!(
            "{step} has waited {waited}: {ready} ready in {queue}, none runs, {last}; probably no worker polls it{whose}"
        );
        return Some(Cause::likely("no_worker", Severity::Critical, text).with_next(next));
    }
    if !tags.is_empty() && activity.passed > 0 && activity.alike == 0 {
        let text = format!(
            "{step} has waited {waited}: later tasks of {queue} were begun meanwhile ({}), and none with its tags: the workers that poll it probably do not take them ({tags})",
            activity.passed
        );
        return Some(Cause::likely("passed_over", Severity::Critical, text).with_next(next));
    }
    behind(match activity.last_begun.filter(|_| activity.running == 0) {
        // Its last worker may have stopped a moment ago, or takes few other tasks.
        Some(begun) => format!(
            "{step} has waited {waited}: {ready} ready in {queue}, none runs; the last was begun {} ago",
            sen_model::time::age(since(Some(begun), facts.now))
        ),
        None => {
            let whose = if tags.is_empty() { String::new() } else { format!(", or do not take its tags ({tags})") };
            format!(
                "{step} has waited {waited}: {ready} ready in {queue}, {} running: its workers are probably busy{whose}",
                activity.running
            )
        }
    })
}

/// Waits for signals that were not sent, or were sent and not heard.
fn signals(whole: &Whole, now: Wall) -> Vec<Cause> {
    let waits = whole.tasks.iter().filter(|task| verdict::task(task, now) == State::Waiting);
    waits
        .filter_map(|task| {
            let step = task.step_name.as_deref()?;
            let signal = step.strip_prefix("signal:").unwrap_or(step);
            let waited = since(task.created_at, now);
            let id = whole.execution.id.as_str();
            let sent = whole.signals.iter().find(|sent| signal_step(&sent.name) == step);
            Some(match sent {
                Some(sent) if sent.consumed == Some(false) && since(sent.created_at, now) > PATIENCE => {
                    let text = format!(
                        "signal {} was sent {} ago and the task that waits for it is still pending",
                        text::named(signal),
                        sen_model::time::age(since(sent.created_at, now))
                    );
                    let next = NextCommand::new(&["sen", "exec", "signal"], "send it again, with its payload")
                        .id(id)
                        .id(signal)
                        .mark("json")
                        .with(&["--replace"])
                        .purpose(Purpose::Run);
                    let stated_by = &["signals.consumed", "signals.created_at", "tasks.state"];
                    Cause::stated("signal_unheard", stated_by, Severity::Critical, text).with_next(vec![next])
                }
                Some(_) => return None,
                None => {
                    let severity = if waited > LONG_WAIT { Severity::Warning } else { Severity::Pending };
                    let text = format!(
                        "it has waited {} for signal {}, and no such signal is stored",
                        sen_model::time::age(waited),
                        text::named(signal)
                    );
                    let next = NextCommand::new(&["sen", "exec", "signal"], "send it, with its payload")
                        .id(id)
                        .id(signal)
                        .mark("json")
                        .purpose(Purpose::Run);
                    Cause::likely("signal_never_sent", severity, text).with_next(vec![next])
                }
            })
        })
        .collect()
}

/// A task that is to begin later.
fn later(task: &Task, now: Wall) -> Option<Cause> {
    if verdict::task(task, now) != State::Scheduled {
        return None;
    }
    let due = task.scheduled_for?.as_micros().saturating_sub(now.as_micros());
    let text = verdict::backoff(task, &[], now)
        .unwrap_or_else(|| format!("{} is not due before another {}", name(task), sen_model::time::age(due)));
    Some(Cause::stated("scheduled_later", &["tasks.scheduled_for"], Severity::Pending, text))
}

/// A task whose execution's row is not there.
fn execution_gone(look: &Look, state: &TaskState) -> Option<Cause> {
    (look.owner.is_none() && *state != TaskState::Completed).then(|| {
        let text = "no execution has the id it names: a worker that takes it up can only fail";
        Cause::likely("execution_gone", Severity::Critical, text)
    })
}

fn named(payload: Option<&[u8]>, out: &mut Vec<Related>) {
    let Some(payload) = payload else { return };
    let ids = candidates(&decode(payload).json, CANDIDATES);
    out.extend(ids.into_iter().map(|id| Related::likely(id, Relation::MentionedIn(Place::Arguments))));
}

/// What is related to an execution: failed tasks, dead letters, and what its arguments and tags name.
pub(super) fn related_to_execution(whole: &Whole, now: Wall) -> Vec<Related> {
    let completed = whole.execution.state == ExecutionState::Completed;
    let odd = |task: &&Task| {
        !completed
            && task.parent_task_id.is_some()
            && matches!(verdict::task(task, now), State::Failed | State::Lost | State::Unreadable)
    };
    let tasks = whole.tasks.iter().filter(odd).take(TASKS);
    let mut out: Vec<Related> = tasks.map(|task| Related::proven(&task.id, Relation::Task)).collect();
    let letters = whole.letters.iter().take(if completed { 0 } else { TASKS });
    out.extend(letters.map(|letter| Related::proven(&letter.id, Relation::DeadLetter)));
    named(whole.execution.args.as_deref(), &mut out);
    named(whole.execution.kwargs.as_deref(), &mut out);
    let tags = whole.execution.tags.iter().take(CANDIDATES);
    out.extend(tags.map(|tag| Related::likely(tag, Relation::Tag)));
    out
}

/// What is related to a task.
pub(super) fn related_to_task(task: &Task) -> Vec<Related> {
    let ids = [
        (&task.execution_id, Relation::Execution),
        (&task.parent_task_id, Relation::WaitingTask),
        (&task.idempotency_key, Relation::IdempotencyKey),
    ];
    let mut out: Vec<Related> =
        ids.into_iter().filter_map(|(id, relation)| Some(Related::proven(id.as_deref()?, relation))).collect();
    named(task.args.as_deref(), &mut out);
    named(task.kwargs.as_deref(), &mut out);
    out
}

#[cfg(test)]
mod tests;
