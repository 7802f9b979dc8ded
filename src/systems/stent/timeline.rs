//! What happened to executions, tasks and dead letters: by their rows and their progress. Pure.
//!
//! The library writes progress without a time where a try failed, and so does `sen` with its records: where a row that was
//! written in the same transaction has a time, that is taken; otherwise the entry stands behind the one before it.

use std::collections::HashMap;

use crate::letters::note;
use crate::names;
use crate::port::{Look, Whole};
use crate::record::{DeadTask, Execution, ExecutionState, Progress, Task, TaskKind, TaskState};
use crate::verdict::error_line;
use crate::words::name;
use sen_model::subject::Subject;
use sen_model::time::Timestamp;
use sen_model::time::wall::{Wall, Zone};
use sen_model::timeline::{TimeBasis, TimelineEntry};

/// The entries of what an id names. The tasks of an execution come with it.
pub(super) fn entries(look: &Look, zone: &Zone) -> Vec<TimelineEntry> {
    let clock = Clock { zone, now: look.now };
    let mut entries = Vec::new();
    if let Some(whole) = &look.execution {
        entries.extend(of_execution(whole, &clock));
    }
    if let Some(task) = &look.task {
        let subject = names::task(&task.id);
        entries.extend(of_task(task, &subject, true, &clock));
    }
    if let Some(letter) = &look.letter {
        entries.extend(of_letter(letter, look.task.as_ref(), &clock));
    }
    entries.retain(|entry| entry.at.is_finite());
    entries
}

struct Clock<'a> {
    zone: &'a Zone,
    now: Timestamp,
}

impl Clock<'_> {
    fn entry(&self, at: Option<Wall>, subject: &Subject, what: impl Into<String>) -> Option<TimelineEntry> {
        let at = at.filter(|at| at.is_finite())?;
        Some(TimelineEntry::new(self.zone.moment(at), TimeBasis::Worker, subject, what))
    }
}

fn of_execution(whole: &Whole, clock: &Clock<'_>) -> Vec<TimelineEntry> {
    let execution = &whole.execution;
    let subject = names::execution(&execution.id);
    let mut entries = Vec::new();
    entries.extend(clock.entry(execution.created_at, &subject, "execution dispatched"));
    entries.extend(clock.entry(execution.started_at, &subject, "execution started"));
    let noted = told(whole, &subject, clock);
    // What an operator ended is told by the record of that.
    let ended = noted.ended.is_none().then_some(execution.completed_at).flatten();
    let state = execution.state.as_str();
    let error = execution.error.as_deref().and_then(error_line);
    entries.extend(
        clock
            .entry(ended, &subject, format!("execution {}", state.replace('_', " ")))
            .map(|entry| entry.state(state).error(error)),
    );
    for task in &whole.tasks {
        let begun = !noted.begun.contains(&task.step_name.as_deref());
        entries.extend(of_task(task, &names::task(&task.id), begun, clock));
    }
    for letter in &whole.letters {
        let task = whole.tasks.iter().find(|task| task.id == letter.id);
        entries.extend(of_letter(letter, task, clock));
    }
    for signal in &whole.signals {
        if !noted.signals.contains(&signal.name.as_str()) {
            entries.extend(clock.entry(signal.created_at, &subject, format!("signal {} sent", signal.name)));
        }
        entries.extend(clock.entry(signal.consumed_at, &subject, format!("signal {} received", signal.name)));
    }
    entries.extend(noted.entries);
    entries
}

/// `begun`: whether its start is told here, and not by the progress.
fn of_task(task: &Task, subject: &Subject, begun: bool, clock: &Clock<'_>) -> Vec<TimelineEntry> {
    let step = name(task.step_name.as_deref());
    let worker = task.worker_id.as_deref();
    let mut entries = Vec::new();
    let waits = task.kind == TaskKind::Signal;
    let (made, done) = if waits { ("waits", "wait over") } else { ("queued", task.state.as_str()) };
    entries.extend(clock.entry(task.created_at, subject, format!("{step} {made}")));
    if begun {
        let started = clock.entry(task.started_at, subject, format!("{step} started"));
        entries.extend(started.map(|entry| entry.state("running").who(worker)));
    }
    let error = task.error.as_deref().filter(|_| task.state == TaskState::Failed).and_then(error_line);
    let ended = clock.entry(task.completed_at, subject, format!("{step} {done}"));
    entries.extend(ended.map(|entry| entry.state(task.state.as_str()).who(worker).error(error)));
    let lease = task.lease_expires_at.filter(|_| task.state == TaskState::Running);
    let expired = clock.entry(lease, subject, format!("lease of {step} expired"));
    entries.extend(expired.filter(|entry| entry.at <= clock.now).map(|entry| entry.who(worker)));
    entries
}

fn of_letter(letter: &DeadTask, task: Option<&Task>, clock: &Clock<'_>) -> Option<TimelineEntry> {
    let what = task.map_or_else(String::new, |task| format!(" of {}", name(task.step_name.as_deref())));
    let entry = clock.entry(letter.moved_at, &names::dead_letter(&letter.id), format!("dead letter{what} created"))?;
    Some(entry.state("dead").error(letter.reason.as_deref()))
}

/// What the progress of an execution says beyond its other rows.
#[derive(Default)]
struct Told<'a> {
    entries: Vec<TimelineEntry>,
    /// The steps whose starts it tells.
    begun: Vec<Option<&'a str>>,
    /// The signals that operators sent.
    signals: Vec<&'a str>,
    /// When an operator ended the execution.
    ended: Option<Wall>,
}

fn told<'a>(whole: &'a Whole, subject: &Subject, clock: &Clock<'_>) -> Told<'a> {
    let mut told = Told::default();
    // Every end of a task has its row, so the last of as many notes of it says the same once more.
    let mut ends: HashMap<(Option<&str>, &str), usize> = HashMap::new();
    for task in whole.tasks.iter().filter(|task| task.completed_at.is_some()) {
        *ends.entry((task.step_name.as_deref(), task.state.as_str())).or_default() += 1;
    }
    let mut doubled = Vec::new();
    for (at, step) in whole.progress.iter().enumerate().rev() {
        let key = (step.step.as_deref(), step.status.as_deref().unwrap_or_default());
        if note::read(step.detail.as_deref()).is_none()
            && let Some(left) = ends.get_mut(&key).filter(|left| **left > 0)
        {
            *left -= 1;
            doubled.push(at);
        }
    }
    let mut last = whole.execution.created_at;
    for (at, step) in whole.progress.iter().enumerate() {
        let own = step.completed_at.or(step.started_at);
        if let Some(read) = note::read(step.detail.as_deref()) {
            let moment = moment_of_act(whole, step, &read);
            if is_end(&whole.execution, moment) {
                told.ended = moment;
            }
            if read.is_signal() {
                told.signals.extend(signal_name(step));
            }
            let edited = read.edited.iter().map(|edited| format!(", {edited}"));
            let what: String = std::iter::once(read.what.clone()).chain(edited).collect();
            let entry = moment.map_or_else(
                || after(last, subject, what.clone(), clock),
                |moment| clock.entry(Some(moment), subject, what.clone()),
            );
            told.entries.extend(entry.map(|entry| entry.act(read.act)));
            last = last.max(moment);
            continue;
        }
        let status = step.status.as_deref().unwrap_or_default();
        let what = format!("{} {}", name(step.step.as_deref()), status.replace('_', " "));
        let error = step.detail.as_deref().filter(|_| status == "failed");
        let entry = match status {
            // Its task says when it was queued.
            "dispatched" => None,
            "running" => {
                told.begun.push(step.step.as_deref());
                let what = format!("{} started", name(step.step.as_deref()));
                let worker = worker_of(whole, step);
                clock.entry(step.started_at, subject, what).map(|entry| entry.who(worker))
            }
            _ if doubled.contains(&at) => None,
            _ => clock.entry(step.completed_at, subject, what.clone()).or_else(|| after(last, subject, what, clock)),
        };
        told.entries.extend(entry.map(|entry| entry.state(status).error(error)));
        last = last.max(own);
    }
    told
}

/// The worker of a start: known only of the claim that the task's row still names.
fn worker_of<'a>(whole: &'a Whole, step: &Progress) -> Option<&'a str> {
    let of_step = |task: &&Task| task.step_name == step.step;
    let mut tasks = whole.tasks.iter().filter(of_step);
    let (only, more) = (tasks.next()?, tasks.next());
    let starts = whole.progress.iter().filter(|other| other.step == step.step && other.status == step.status);
    (more.is_none() && starts.count() == 1).then_some(only.worker_id.as_deref()).flatten()
}

fn after(last: Option<Wall>, subject: &Subject, what: String, clock: &Clock<'_>) -> Option<TimelineEntry> {
    clock.entry(last, subject, what).map(|entry| TimelineEntry { basis: TimeBasis::After, ..entry })
}

fn signal_name(step: &Progress) -> Option<&str> {
    step.step.as_deref()?.strip_prefix("signal:")
}

/// When an operator acted, by the row that the same transaction wrote.
fn moment_of_act(whole: &Whole, step: &Progress, read: &note::Read) -> Option<Wall> {
    if let Some(fresh) = read.fresh_task() {
        return whole.tasks.iter().find(|task| task.id == fresh)?.created_at;
    }
    if read.is_signal() {
        let name = signal_name(step)?;
        return whole.signals.iter().find(|signal| signal.name == name)?.created_at;
    }
    let wanted = read.ended()?;
    let execution = &whole.execution;
    execution.completed_at.filter(|_| execution.state == wanted)
}

fn is_end(execution: &Execution, moment: Option<Wall>) -> bool {
    let by_operator = matches!(execution.state, ExecutionState::Cancelled | ExecutionState::Completed);
    moment.is_some() && by_operator && moment == execution.completed_at
}
