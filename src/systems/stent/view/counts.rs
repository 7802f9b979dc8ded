//! Counts for `sen status` and `sen stats`.

use std::collections::BTreeSet;

use super::values::Clock;
use crate::names::NAME;
use crate::port::{Census, Group, Queues, SILENT, Stats, Step, TaskGroup, Worker};
use crate::record::{ExecutionState, TaskKind, TaskState};
use crate::state::State;
use crate::verdict::{ZoneDoubt, likely_ahead, zone_doubt};
use crate::words::many;
use sen_model::columns;
use sen_model::record::Section;
use sen_model::subject::Kind;
use sen_model::summary::{Attention, Count, Counted, Statistics, Summary, per_minute};
use sen_model::time::wall::{Wall, Zone, offset_name};
use sen_model::value::{Row, Value};
use sen_model::verdict::{NextCommand, Severity};

fn add(into: &mut Group, other: Group) {
    into.count += other.count;
    into.estimated |= other.estimated;
    into.oldest = match (into.oldest, other.oldest) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    };
    into.newest = into.newest.max(other.newest);
}

fn sum<'a>(groups: impl IntoIterator<Item = &'a TaskGroup>) -> Group {
    let mut all = Group::default();
    groups.into_iter().for_each(|group| add(&mut all, group.group));
    all
}

/// The state of a group of tasks.
fn judged(group: &TaskGroup) -> State {
    match (TaskState::parse(&group.state), TaskKind::parse(&group.kind), group.off) {
        (TaskState::Pending, TaskKind::Signal, _) => State::Waiting,
        (TaskState::Pending, _, true) => State::Scheduled,
        (TaskState::Pending, _, false) => State::Ready,
        (TaskState::Running, _, true) => State::Lost,
        (TaskState::Running, _, false) => State::Running,
        (TaskState::Completed, ..) => State::Completed,
        (TaskState::Failed, ..) => State::Failed,
        _ => State::Unreadable,
    }
}

const TASK_STATES: [State; 8] = [
    State::Lost,
    State::Unreadable,
    State::Failed,
    State::Running,
    State::Ready,
    State::Scheduled,
    State::Waiting,
    State::Completed,
];

columns! {
    /// As [`BY_STATE`], of states as they are stored and not judged.
    STORED,
    fn by_stored_state(state: &'static str, count: i64, estimated: bool, oldest: Value) {}
    "state", "STORED STATE", Whole => Value::Name(state);
    "count", "COUNT", Whole => Value::count(count, estimated);
    "oldest", "OLDEST", Whole => oldest;
    "estimated", "ESTIMATED", Asked => Value::Bool(estimated);
}

columns! {
    BY_STATE,
    fn by_state(state: &'static str, group: Group, clock: &Clock<'_>) {}
    "state", "STATE", Whole => Value::Name(state);
    "count", "COUNT", Whole => Value::count(group.count, group.estimated);
    "oldest", "OLDEST", Whole => clock.time(group.oldest);
    "estimated", "ESTIMATED", Asked => Value::Bool(group.estimated);
}

fn tasks(census: &Census, clock: &Clock<'_>) -> Section {
    let rows = TASK_STATES.iter().filter_map(|state| {
        let all = sum(census.queues.tasks.iter().filter(|group| judged(group) == *state));
        (all.count > 0).then(|| by_state(state.name(), all, clock))
    });
    Section { name: "tasks", heading: "tasks", columns: BY_STATE, rows: rows.collect() }
}

columns! {
    QUEUES,
    fn queue_row(name: Option<&str>, ready: &Group, scheduled: &Group, clock: &Clock<'_>) {}
    "queue", "QUEUE", Whole => Value::text(name);
    "ready", "READY", Whole => Value::Int(ready.count);
    "scheduled", "SCHEDULED", Whole => Value::Int(scheduled.count);
    "oldest_ready_at", "OLDEST READY", Whole => clock.time(ready.oldest);
}

/// The queues in which tasks wait for workers; `None` is that of all workers.
fn waiting_queues(census: &Census) -> BTreeSet<Option<&str>> {
    let waits = |group: &&TaskGroup| matches!(judged(group), State::Ready | State::Scheduled);
    census.queues.tasks.iter().filter(waits).map(|group| group.queue.as_deref()).collect()
}

/// The names of queues in which tasks wait.
pub(crate) fn queue_names(census: &Census) -> Vec<String> {
    waiting_queues(census).into_iter().flatten().map(str::to_owned).collect()
}

/// What waits for workers, by queue. Tasks without one are every worker's.
fn queues(census: &Census, clock: &Clock<'_>) -> Section {
    let depth = |state| census.queues.tasks.iter().filter(move |group| judged(group) == state);
    let row = |name: Option<&str>| {
        let of = |state| sum(depth(state).filter(|group| group.queue.as_deref() == name));
        queue_row(name, &of(State::Ready), &of(State::Scheduled), clock)
    };
    Section {
        name: "queues",
        heading: "queues (\"-\" = default queue)",
        columns: QUEUES,
        rows: waiting_queues(census).into_iter().map(row).collect(),
    }
}

fn counts(census: &Census, clock: &Clock<'_>) -> Vec<Count> {
    const STATES: [(&str, Severity); 7] = [
        ("failed", Severity::Warning),
        ("timed_out", Severity::Warning),
        ("cancelling", Severity::Pending),
        ("running", Severity::Pending),
        ("pending", Severity::Pending),
        ("cancelled", Severity::Ok),
        ("completed", Severity::Ok),
    ];
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let mut all = Group::default();
        census.executions.iter().filter(|(state, _)| wanted(state)).for_each(|(_, group)| add(&mut all, *group));
        all
    };
    let count = |state: &'static str, severity, group: Group| Count {
        state,
        severity,
        count: group.count,
        estimated: group.estimated,
        oldest: group.oldest.map(|oldest| clock.zone.moment(oldest)),
    };
    let mut all: Vec<Count> =
        STATES.iter().map(|(state, severity)| count(state, *severity, of(&|stored| stored == *state))).collect();
    let odd = of(&|stored| ExecutionState::parse(stored).name().is_none());
    if odd.count > 0 {
        all.insert(0, count("unreadable", Severity::Critical, odd));
    }
    all
}

fn facts(census: &Census, clock: &Clock<'_>) -> Vec<(&'static str, Value)> {
    let mut facts = vec![
        ("schema", Value::text(census.shape.schema.clone())),
        ("worker_timezone", Value::Text(clock.zone.name().to_owned())),
        ("dead_letters", if census.shape.has_letters() { Value::Int(census.letters.count) } else { Value::Null }),
        ("newest_row_at", clock.time(newest(census))),
    ];
    facts.extend(census.facts.iter().map(|(name, text)| (*name, Value::Text(text.clone()))));
    facts
}

/// The newest time of a row that is not meant to lie in the future.
fn newest(census: &Census) -> Option<Wall> {
    let executions = census.executions.iter().map(|(_, group)| group.newest);
    executions
        .chain(census.queues.tasks.iter().map(|group| group.group.newest))
        .chain([census.letters.newest])
        .flatten()
        .max()
}

/// Whether anything was not counted by itself.
fn estimated(census: &Census) -> bool {
    let tasks = census.queues.tasks.iter().map(|group| group.group);
    census.executions.iter().map(|(_, group)| *group).chain(tasks).any(|group| group.estimated)
}

pub(crate) fn summary(census: &Census, zone: &Zone) -> Summary {
    let clock = Clock::new(zone, census.queues.now);
    Summary {
        queues: Some(1),
        estimated: estimated(census),
        unread: census.shape.unread.iter().cloned().collect(),
        system: NAME,
        version: census.shape.version(census.library),
        writable: true,
        now: census.queues.now,
        counted: "executions",
        stored_states: true,
        list: &["sen", "exec", "list"],
        counts: counts(census, &clock),
        attention: attention(census, &clock),
        facts: facts(census, &clock),
        sections: vec![tasks(census, &clock), queues(census, &clock)],
        dead_letters: census.shape.has_letters().then_some(census.letters.count),
    }
}

fn attention(census: &Census, clock: &Clock<'_>) -> Vec<Attention> {
    let ago = |wall: Option<Wall>| {
        let micros = wall.map(|wall| clock.wall.as_micros().saturating_sub(wall.as_micros()).max(0));
        micros.map_or_else(String::new, |micros| format!(", oldest {}", sen_model::time::coarse_age(micros)))
    };
    let of = |state| sum(census.queues.tasks.iter().filter(move |group| judged(group) == state));
    let lost = of(State::Lost);
    let mut all = Vec::new();
    let moment = |wall: Option<Wall>| wall.map(|wall| clock.zone.moment(wall));
    let mut say = |severity, text: String, words: &[&str], why: &str, counted: Option<Counted>| {
        all.push(Attention { counted, ..Attention::new(severity, text, NextCommand::new(words, why)) });
    };
    let counted =
        |kind, state: &'static str, count, oldest| Some(Counted { kind, state, count, oldest: moment(oldest) });
    let stranded = census.stranded;
    if stranded.count > 0 {
        let text = format!(
            "{} stuck: unfinished, but no runnable task left, unchanged for over a minute{}",
            many(stranded.count, "execution"),
            ago(stranded.oldest)
        );
        say(
            Severity::Critical,
            text,
            &["sen", "exec", "list", "--state", "stranded"],
            "which ones",
            counted(Kind::Execution, "stranded", stranded.count, stranded.oldest),
        );
    }
    let overdue = census.overdue;
    if overdue.count > 0 {
        let text = format!("{} past its expiry and not ended{}", many(overdue.count, "execution"), ago(overdue.oldest));
        say(
            Severity::Warning,
            text,
            &["sen", "exec", "list", "--state", "overdue"],
            "which ones",
            counted(Kind::Execution, "overdue", overdue.count, overdue.oldest),
        );
    }
    if lost.count > 0 {
        // As old as the end of the first lease: before that a worker had it.
        let ended =
            census.queues.tasks.iter().filter(|group| judged(group) == State::Lost).filter_map(|group| group.due);
        let ended = ended.min();
        let text = format!("{} running, lease expired: worker probably lost{}", many(lost.count, "task"), ago(ended));
        say(
            Severity::Warning,
            text,
            &["sen", "task", "list", "--state", "lost"],
            "which ones",
            counted(Kind::Task, "lost", lost.count, ended),
        );
    }
    for Silent { text, count, due } in silent(&census.queues, clock) {
        say(Severity::Warning, text, &["sen", "stats"], "queues and workers", counted(Kind::Task, "ready", count, due));
    }
    if census.letters.count > 0 {
        let died = census.letters.newest.map(|wall| clock.wall.as_micros().saturating_sub(wall.as_micros()).max(0));
        let died =
            died.map_or_else(String::new, |micros| format!(", the newest {} old", sen_model::time::coarse_age(micros)));
        say(
            Severity::Warning,
            format!("{}{died}", many(census.letters.count, "dead letter")),
            &["sen", "dlq", "groups", "--system", NAME],
            "of what they died",
            counted(Kind::DeadLetter, "dead", census.letters.count, census.letters.oldest),
        );
    }
    // Last: a wrong zone looks like an outage, and so does an outage.
    if let Some(doubt) =
        zone_doubt(newest(census), clock.wall, census.queues.tasks.iter().filter_map(|group| group.lead).max())
    {
        let likely = offset_name(likely_ahead(doubt, clock.zone.ahead_at(clock.now)));
        let name = clock.zone.name();
        let text = match doubt {
            ZoneDoubt::Ahead(ahead) => format!(
                "the newest rows lie {} in the future: workers probably do not write {name}, perhaps {likely}",
                sen_model::time::age(ahead)
            ),
            ZoneDoubt::Behind(lead) => format!(
                "tasks were begun up to {} before they were made: workers probably write another time zone than what makes the tasks, perhaps {likely}",
                sen_model::time::age(lead)
            ),
        };
        let zone = format!("--worker-timezone={likely}");
        say(Severity::Warning, text, &["sen", "status", &zone], "see whether that fits", None);
    }
    all.sort_by_key(|item| std::cmp::Reverse(item.severity));
    all
}

/// As [`SILENT`] where tasks of other queues run: a worker that is busy there may serve this queue, too.
const SILENT_BESIDE_OTHERS: i64 = 300_000_000;

/// Due tasks that no worker begins.
struct Silent {
    text: String,
    count: i64,
    due: Option<Wall>,
}

/// Queues whose due tasks no worker begins, and tasks that workers pass over, each in words. Tasks without a queue are every
/// worker's.
fn silent(queues: &Queues, clock: &Clock<'_>) -> Vec<Silent> {
    let age = |wall: Wall| clock.wall.as_micros().saturating_sub(wall.as_micros());
    let ready = || queues.tasks.iter().filter(|group| judged(group) == State::Ready);
    let busy = queues.tasks.iter().any(|group| judged(group) == State::Running);
    let patience = if busy { SILENT_BESIDE_OTHERS } else { SILENT };
    let mut names: Vec<Option<&str>> = ready().map(|group| group.queue.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    let told = |name: &Option<&str>| {
        let of_queue = |group: &&TaskGroup| name.is_none() || group.queue.as_deref() == *name;
        let all = || queues.tasks.iter().filter(of_queue);
        let waiting = || ready().filter(|group| group.queue.as_deref() == *name);
        let first = waiting().filter_map(|group| group.due).min()?;
        let due = Some(age(first)).filter(|due| *due > patience)?;
        let begun = all().filter_map(|group| group.begun).max().map(age);
        if all().any(|group| judged(group) == State::Running) || begun.is_some_and(|begun| begun <= patience) {
            return None;
        }
        let total = waiting().map(|group| group.group.count).sum::<i64>();
        let count = many(total, "task");
        let queue = name.map_or_else(String::new, |name| format!(" of queue {}", sen_model::text::named(name)));
        let begun = begun.map_or_else(
            || "no row says that one was ever begun".into(),
            |begun| format!("the last was begun {} ago", sen_model::time::age(begun)),
        );
        // A worker that takes other tags polls the queue and begins nothing of it.
        let mut whose = String::new();
        if waiting().any(|group| group.tagged) {
            whose += ", or only workers that do not take the tags of its tasks do";
        }
        if waiting().any(|group| group.held) {
            whose += ", or a limit of their step (max_concurrent) holds them back";
        }
        let text = format!(
            "{count}{queue} ready, due for {}, none running, {begun}: probably no worker polls it{whose}",
            sen_model::time::age(due)
        );
        Some(Silent { text, count: total, due: Some(first) })
    };
    let mut silent: Vec<Silent> = names.iter().filter_map(told).collect();
    silent.extend(queues.passed.iter().map(|passed| {
        let queue = passed.queue.as_deref().map_or_else(String::new, |name| format!(" of queue {}", sen_model::text::named(name)));
        let tags: Vec<String> = serde_json::from_str(&passed.tags).unwrap_or_default();
        let text = format!(
            "{}{queue} ready, due for {}, while later ones are begun: the workers that poll it probably do not take the tags {}",
            many(passed.count, "task"),
            sen_model::time::age(passed.due.map_or(0, age)),
            tags.iter().map(|tag| sen_model::text::named(tag).to_string()).collect::<Vec<_>>().join(", ")
        );
        Silent { text, count: passed.count, due: passed.due }
    }));
    silent
}

columns! {
    EXECUTIONS,
    fn ended_row(state: &str, count: i64, window: std::time::Duration) {}
    "state", "STORED STATE", Whole => Value::Text(state.to_owned());
    "count", "COUNT", Whole => Value::Int(count);
    "per_minute", "PER MINUTE", Whole => per_minute(count, window);
}

columns! {
    DIED,
    fn died_row(count: i64, window: std::time::Duration) {}
    "state", "STATE", Whole => Value::Name("dead");
    "count", "COUNT", Whole => Value::Int(count);
    "per_minute", "PER MINUTE", Whole => per_minute(count, window);
}

columns! {
    WORKERS,
    fn worker(worker: &Worker, clock: &Clock<'_>) {}
    "worker", "WORKER", Whole => Value::text(worker.name.clone());
    "running", "RUNNING", Whole => Value::Int(worker.running);
    "lost", "LEASE EXPIRED", Whole => Value::Int(worker.lost);
    "oldest_started_at", "SINCE", Whole => clock.time(worker.since);
    "lease_expires_at", "LEASE UNTIL", Whole => clock.time(worker.lease);
}

columns! {
    STEPS,
    fn step(step: &Step) {
        let millis =
            |micros: Option<f64>| micros.map_or(Value::Null, |micros| Value::Millis((micros / 1000.0).round() as i64));
    }
    "step", "STEP", Short => Value::text(step.name.clone());
    "completed", "COMPLETED", Whole => Value::Int(step.completed);
    "failed", "FAILED", Whole => Value::Int(step.failed);
    "cancelled", "CANCELLED", Whole => Value::Int(step.cancelled);
    "retries", "RETRIES", Whole => Value::Int(step.retries);
    "mean_ms", "MEAN", Whole => millis(step.mean);
    "longest_ms", "LONGEST", Whole => millis(step.longest);
}

pub(crate) fn stats(stats: &Stats, zone: &Zone, window: std::time::Duration) -> Statistics {
    let census = &stats.census;
    let clock = Clock::new(zone, census.queues.now);
    let counted: Vec<Row> = counts(census, &clock)
        .into_iter()
        .filter(|count| count.count > 0)
        .map(|count| by_stored_state(count.state, count.count, count.estimated, Value::time(count.oldest)))
        .collect();
    let mut total = Group::default();
    census.executions.iter().for_each(|(_, group)| add(&mut total, *group));
    let tasks_total = sum(&census.queues.tasks);
    let ready = sum(census.queues.tasks.iter().filter(|group| judged(group) == State::Ready));
    let done: i64 = stats.steps.iter().map(|step| step.completed).sum();
    let failed: i64 = stats.steps.iter().map(|step| step.failed).sum();
    let cancelled: i64 = stats.steps.iter().map(|step| step.cancelled).sum();
    let ended: Vec<Row> = stats.ended.iter().map(|(state, count)| ended_row(state, *count, window)).collect();
    let minutes = window.as_secs_f64() / 60.0;
    let rate = if minutes > 0.0 { format!("{:.1}", (done + failed) as f64 / minutes) } else { "0".into() };
    Statistics {
        system: NAME,
        now: census.queues.now,
        estimated: estimated(census),
        facts: vec![
            ("executions_total", Value::count(total.count, total.estimated)),
            ("tasks_total", Value::count(tasks_total.count, tasks_total.estimated)),
            ("dead_letters", if census.shape.has_letters() { Value::Int(census.letters.count) } else { Value::Null }),
            ("oldest_ready_at", clock.time(ready.oldest)),
            ("window_ms", Value::Millis(i64::try_from(window.as_millis()).unwrap_or(i64::MAX))),
            ("tasks_completed", Value::Int(done)),
            ("tasks_failed", Value::Int(failed)),
            ("tasks_cancelled", Value::Int(cancelled)),
            ("tasks_per_minute", Value::Json(rate)),
            ("worker_timezone", Value::Text(zone.name().to_owned())),
        ],
        sections: vec![
            Section {
                name: "executions",
                heading: "executions, by the state that is stored",
                columns: STORED,
                rows: counted,
            },
            tasks(census, &clock),
            queues(census, &clock),
            Section {
                name: "workers",
                heading: "workers",
                columns: WORKERS,
                rows: stats.workers.iter().map(|each| worker(each, &clock)).collect(),
            },
            Section { name: "ended", heading: "executions ended in the window", columns: EXECUTIONS, rows: ended },
            Section {
                name: "died",
                heading: "dead letters of the window that are still there",
                columns: DIED,
                rows: stats.died.iter().filter(|count| **count > 0).map(|count| died_row(*count, window)).collect(),
            },
            Section {
                name: "steps",
                heading: "steps ended in the window",
                columns: STEPS,
                rows: stats.steps.iter().map(step).collect(),
            },
        ],
    }
}
