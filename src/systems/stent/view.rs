//! How executions, tasks and dead letters are shown: neutral rows, fields and sections. Counts are in `counts.rs`, lists in
//! `rows.rs`, the tree of tasks in `tree.rs`, single values in `values.rs`.

mod counts;
mod rows;
mod tree;
pub(crate) mod values;

pub(crate) use counts::{queue_names, stats, summary};
pub use rows::{EXECUTION_COLUMNS, TASK_COLUMNS};
pub(crate) use rows::{execution_row, task_row};

use crate::codec::decode;
use crate::dump::{self, Dump};
use crate::letters::note;
use crate::names;
use crate::port::{Look, Whole};
use crate::record::{DeadTask, Progress, Signal, Task};
use crate::state::State;
use crate::verdict;
use sen_model::columns;
use sen_model::record::{Record, Section};
use sen_model::subject::Kind;
use sen_model::time::wall::Zone;
use sen_model::value::Value;
use sen_model::verdict::{NextCommand, Severity, Verdict};
use values::{Clock, Fields, attempts, codec, error_line, int, json, outcome, payload, policy, state_name, texts};

/// Arguments, result and error of an execution or a task.
fn payload_fields(args: Option<&[u8]>, kwargs: Option<&[u8]>, result: Option<&[u8]>, error: Option<&[u8]>) -> Fields {
    let raw = error;
    let [args, kwargs, result, error] = [args, kwargs, result, error].map(payload);
    let exception =
        error.as_ref().or(result.as_ref()).and_then(|decoded| decoded.exception.clone()).unwrap_or_default();
    let notes: Vec<String> = [("args", &args), ("kwargs", &kwargs), ("result", &result), ("error", &error)]
        .into_iter()
        .filter_map(|(name, decoded)| Some(format!("{name}: {}", decoded.as_ref()?.note.as_ref()?)))
        .collect();
    vec![
        ("args", json(args.as_ref())),
        ("kwargs", json(kwargs.as_ref())),
        ("outcome", outcome(result.as_ref())),
        ("result", json(result.as_ref())),
        ("error", error_line(raw)),
        ("error_type", Value::text(Some(exception.class).filter(|class| !class.is_empty()))),
        ("error_attributes", exception.attributes.map_or(Value::Null, Value::Json)),
        ("traceback", exception.traceback.map_or(Value::Null, Value::Lines)),
        ("codec", codec([&args, &kwargs, &result, &error])),
        ("payload_notes", if notes.is_empty() { Value::Null } else { texts(&notes) }),
    ]
}

/// What an id names: an execution, a task, or a dead letter whose task no longer exists.
pub(crate) fn found(look: Look, zone: &Zone) -> Vec<Record> {
    let clock = Clock::new(zone, look.now);
    let mut all = Vec::new();
    all.extend(look.execution.as_ref().map(|whole| {
        let mut record = execution(whole, &clock);
        record.verdict.evidence.extend(look.more.root_result.as_deref().map(root_result));
        record
    }));
    all.extend(look.task.as_ref().map(|one| task(one, &look, &clock)));
    if look.task.is_none() {
        all.extend(look.letter.as_ref().map(|one| letter(one, &clock)));
    }
    all
}

/// The result with which a stranded execution could be ended, for people.
pub(crate) fn root_result(result: &str) -> String {
    format!("the result of its root task: {result}")
}

/// What of an execution matters first.
const EXECUTION_FIELDS: &[&str] = &[
    "root_function",
    "queue",
    "tags",
    "created_at",
    "started_at",
    "completed_at",
    "took_ms",
    "expires_at",
    "args",
    "kwargs",
    "error",
    "result",
    "counters",
    "custom_state",
    "payload_notes",
    "traceback",
];

/// What of a task, or of a dead letter without one, matters first.
const TASK_FIELDS: &[&str] = &[
    "step",
    "kind",
    "execution_id",
    "execution_status",
    "queue",
    "worker",
    "attempts",
    "lease_expires_at",
    "scheduled_for",
    "created_at",
    "started_at",
    "completed_at",
    "took_ms",
    "died_at",
    "dead_letter_at",
    "dead_letter_error",
    "args",
    "kwargs",
    "error",
    "result",
    "payload_notes",
    "data",
    "traceback",
];

fn execution(whole: &Whole, clock: &Clock<'_>) -> Record {
    let execution = &whole.execution;
    let mut fields = vec![
        ("id", Value::Text(execution.id.clone())),
        ("root_function", Value::text(execution.root_function.clone())),
        ("status", state_name(execution.state.name(), execution.state.as_str())),
        ("queue", Value::text(execution.queue.clone())),
        ("priority", int(execution.priority)),
        ("tags", texts(&execution.tags)),
        ("created_at", clock.time(execution.created_at)),
        ("started_at", clock.time(execution.started_at)),
        ("completed_at", clock.time(execution.completed_at)),
        ("took_ms", clock.took(execution.started_at, execution.completed_at, execution.state.is_terminal())),
    ];
    fields.push(("expires_at", clock.time(execution.expiry_at)));
    fields.extend(payload_fields(
        execution.args.as_deref(),
        execution.kwargs.as_deref(),
        execution.result.as_deref(),
        execution.error.as_deref(),
    ));
    fields.push(("counters", counters(&whole.counters)));
    fields.push(("custom_state", custom_state(&whole.state)));
    fields.push(("task_count", Value::Int(whole.task_count)));
    fields.push(("progress_count", Value::Int(whole.progress_count)));
    fields.push(("worker_timezone", Value::Text(clock.zone.name().to_owned())));
    Record {
        subject: names::execution(&execution.id),
        now: clock.now,
        fields,
        key_fields: EXECUTION_FIELDS,
        age: clock.age(execution.created_at, execution.started_at, execution.completed_at),
        verdict: verdict::judge(whole, clock.wall, clock.zone),
        history: None,
        sections: vec![
            tree::section(&whole.tasks, whole.task_count, clock),
            progress(&whole.progress, clock),
            acts(&whole.progress, clock),
            signals(whole, clock),
            letters(&whole.letters, clock),
        ],
    }
}

/// An object of names and numbers; a whole number without its `.0`.
fn counters(counters: &[(String, f64)]) -> Value {
    if counters.is_empty() {
        return Value::Null;
    }
    let number = |value: f64| {
        if value.fract() == 0.0 && value.abs() < 9e15 { serde_json::Value::from(value as i64) } else { value.into() }
    };
    let object: serde_json::Map<String, serde_json::Value> =
        counters.iter().map(|(name, value)| (name.clone(), number(*value))).collect();
    Value::Json(serde_json::Value::Object(object).to_string())
}

fn custom_state(state: &[(String, Option<Vec<u8>>)]) -> Value {
    if state.is_empty() {
        return Value::Null;
    }
    let mut text = String::from("{");
    for (at, (key, value)) in state.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text += &serde_json::Value::from(key.as_str()).to_string();
        text.push(':');
        text += &value.as_deref().map_or_else(|| "null".to_owned(), |value| decode(value).json);
    }
    text.push('}');
    Value::Json(text)
}

columns! {
    PROGRESS,
    fn progress_row(step: &Progress, clock: &Clock<'_>) {}
    "at", "AT", Moment => clock.time(step.completed_at.or(step.started_at));
    "status", "STATUS", Whole => Value::text(step.status.clone());
    "step", "STEP", Short => Value::text(step.step.clone());
    "took_ms", "TOOK", Wide => clock.took(step.started_at, step.completed_at, true);
    "detail", "DETAIL", Short => Value::text(step.detail.clone());
    "ordinal", "NO", Asked => Value::Big(step.ordinal);
    "started_at", "STARTED", Asked => clock.time(step.started_at);
    "completed_at", "COMPLETED", Asked => clock.time(step.completed_at);
}

/// What workers wrote; the acts of operators stand among it in the table ([`acts`]).
fn progress(steps: &[Progress], clock: &Clock<'_>) -> Section {
    let worked = steps.iter().filter(|step| note::read(step.detail.as_deref()).is_none());
    let rows = worked.map(|step| progress_row(step, clock)).collect();
    Section { name: "progress", heading: "progress", columns: PROGRESS, rows }
}

columns! {
    ACTS,
    fn act_row(step: &Progress, read: note::Read, clock: &Clock<'_>) {}
    "at", "AT", Moment => clock.time(step.completed_at.or(step.started_at));
    "what", "WHAT", Short => Value::Text(read.what);
    "who", "WHO", Whole => Value::text(read.act.who);
    "why", "WHY", Short => Value::text(read.act.why);
    "operation", "OPERATION", Wide => Value::text(read.act.operation);
    "step", "STEP", Asked => Value::text(step.step.clone());
    "ordinal", "NO", Asked => Value::Big(step.ordinal);
}

/// What operators did with this program, by the records it left in the progress.
fn acts(steps: &[Progress], clock: &Clock<'_>) -> Section {
    let read = |step: &Progress| note::read(step.detail.as_deref()).map(|read| act_row(step, read, clock));
    Section { name: "acts", heading: "acts of operators", columns: ACTS, rows: steps.iter().filter_map(read).collect() }
}

columns! {
    SIGNALS,
    fn signal_row(signal: &Signal, clock: &Clock<'_>) {}
    "name", "SIGNAL", Whole => Value::Text(signal.name.clone());
    "consumed", "TAKEN", Whole => signal.consumed.map_or(Value::Null, Value::Bool);
    "created_at", "SENT", Whole => clock.time(signal.created_at);
    "consumed_at", "TAKEN AT", Wide => clock.time(signal.consumed_at);
    "payload", "PAYLOAD", Short => json(payload(signal.payload.as_deref()).as_ref());
}

fn signals(whole: &Whole, clock: &Clock<'_>) -> Section {
    let rows = whole.signals.iter().map(|signal| signal_row(signal, clock)).collect();
    Section { name: "signals", heading: "signals sent", columns: SIGNALS, rows }
}

columns! {
    LETTERS,
    fn letter_row(letter: &DeadTask, clock: &Clock<'_>) {}
    "id", "DEAD LETTER", Whole => Value::Text(letter.id.clone());
    "died_at", "DIED", Whole => clock.time(letter.moved_at);
    "error", "ERROR", Short => Value::text(letter.reason.clone());
}

fn letters(letters: &[DeadTask], clock: &Clock<'_>) -> Section {
    let rows = letters.iter().map(|letter| letter_row(letter, clock)).collect();
    Section { name: "dead_letters", heading: "dead letters", columns: LETTERS, rows }
}

fn task_fields(task: &Task, clock: &Clock<'_>) -> Fields {
    let mut fields = vec![
        ("id", Value::Text(task.id.clone())),
        ("execution_id", Value::text(task.execution_id.clone())),
        ("step", Value::text(task.step_name.clone())),
        ("kind", state_name(task.kind.name(), task.kind.as_str())),
        ("status", state_name(task.state.name(), task.state.as_str())),
        ("queue", Value::text(task.queue.clone())),
        ("priority", int(task.priority)),
        ("attempts", attempts(task)),
        ("worker", Value::text(task.worker_id.clone())),
        ("lease_expires_at", clock.time(task.lease_expires_at)),
        ("created_at", clock.time(task.created_at)),
        ("started_at", clock.time(task.started_at)),
        ("completed_at", clock.time(task.completed_at)),
        ("took_ms", clock.took(task.started_at, task.completed_at, task.state.is_terminal())),
    ];
    fields.push(("scheduled_for", clock.time(task.scheduled_for)));
    fields.push(("parent_task_id", Value::text(task.parent_task_id.clone())));
    fields.push(("tags", if task.tags.is_empty() { Value::Null } else { texts(&task.tags) }));
    fields.push(("idempotency_key", Value::text(task.idempotency_key.clone())));
    fields.push(("retry_policy", policy(task.retry_policy.clone().filter(|policy| policy != "{}"))));
    fields.extend(payload_fields(
        task.args.as_deref(),
        task.kwargs.as_deref(),
        task.result.as_deref(),
        task.error.as_deref(),
    ));
    fields
}

fn task(task: &Task, look: &Look, clock: &Clock<'_>) -> Record {
    let mut fields = task_fields(task, clock);
    let letter = look.letter.as_ref();
    fields.push(("dead_letter_at", clock.time(letter.and_then(|letter| letter.moved_at))));
    fields.push(("dead_letter_error", Value::text(letter.and_then(|letter| letter.reason.clone()))));
    let owner = look.owner.as_ref().map_or(Value::Null, |owner| state_name(owner.state.name(), owner.state.as_str()));
    fields.push(("execution_status", owner));
    fields.push(("worker_timezone", Value::Text(clock.zone.name().to_owned())));
    Record {
        subject: names::task(&task.id),
        now: clock.now,
        fields,
        key_fields: TASK_FIELDS,
        age: clock.age(task.created_at, task.started_at, task.completed_at),
        verdict: verdict::judge_task(task, look, clock.wall, clock.zone),
        history: None,
        sections: Vec::new(),
    }
}

/// The execution of a failed task that is no dead letter (any more): it may have been replayed.
pub(crate) fn may_be_replayed(record: &Record) -> Option<&str> {
    let field = |name: &str| record.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    let failed = record.subject.kind == Kind::Task && record.verdict.state == State::Failed.name();
    match (failed, field("dead_letter_at"), field("execution_id")) {
        (true, Some(Value::Null), Some(Value::Text(execution))) => Some(execution),
        _ => None,
    }
}

/// A dead letter whose task is no longer in `tasks`.
fn letter(letter: &DeadTask, clock: &Clock<'_>) -> Record {
    let mut fields = vec![
        ("id", Value::Text(letter.id.clone())),
        ("died_at", clock.time(letter.moved_at)),
        ("error", Value::text(letter.reason.clone())),
    ];
    let mut evidence = vec!["its row in `tasks` no longer exists".to_owned()];
    match letter.data.as_deref().map(dump::parse) {
        Some(Dump::Task { task, .. }) => {
            fields.extend(task_fields(&task, clock).into_iter().filter(|(name, _)| *name != "id"));
        }
        Some(Dump::Repr) => {
            evidence.push(
                "it was written by senpuki 0.1.x as text, and the row of its task no longer exists: it cannot be replayed"
                    .into(),
            );
            fields.push(("data", Value::text(letter.data.clone())));
        }
        Some(Dump::Unreadable(why)) => {
            evidence.push(why);
            fields.push(("data", Value::text(letter.data.clone())));
        }
        None => evidence.push("it holds no task".into()),
    }
    Record {
        subject: names::dead_letter(&letter.id),
        now: clock.now,
        fields,
        key_fields: TASK_FIELDS,
        age: clock.died(letter.moved_at),
        verdict: Verdict {
            state: "dead",
            severity: Severity::Warning,
            summary: "a dead letter".into(),
            evidence,
            next: vec![NextCommand::new(&["sen", "dlq", "show"], "what a replay would do").id(&letter.id)],
        },
        history: None,
        sections: Vec::new(),
    }
}
