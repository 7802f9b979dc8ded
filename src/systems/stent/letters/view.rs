//! How dead letters are shown: as rows, as groups, one in depth, and whole for an export.

use std::collections::HashMap;

use serde_json::json;
use serde_json::value::RawValue;

use super::port::{Death, Fact};
use super::rules::{self, Replayability, replayability};
use super::steps::{Foresight, StepFact, TASKS};
use crate::codec::decode;
use crate::dump::{self, Dump};
use crate::names::{NAME, dead_letter};
use crate::record::{Task, TaskKind};
use crate::verdict as again;
use crate::view::values::{Clock, Fields, int, texts};
use sen_model::columns;
use sen_model::letter::{Letter, LetterGroup, Parent, group_id, normalize_error};
use sen_model::letters::LetterFilter;
use sen_model::plan::StepPreview;
use sen_model::record::{Record, Section};
use sen_model::time::Timestamp;
use sen_model::time::wall::{Wall, Zone};
use sen_model::value::Value;
use sen_model::verdict::{NextCommand, Purpose, Severity, Verdict};

fn kind(kind: &TaskKind) -> &'static str {
    kind.name().unwrap_or("unknown")
}

fn folded(reason: Option<&str>) -> String {
    normalize_error(reason.unwrap_or_default())
}

/// Whether a letter is of one of these groups (any letter is when none is named).
pub(super) fn is_in(fact: &Fact, groups: &[String]) -> bool {
    groups.is_empty() || {
        let group = group_id(fact.step.as_deref().unwrap_or_default(), &folded(fact.reason.as_deref()));
        groups.contains(&group)
    }
}

/// A letter in one line, for people.
pub(super) fn line(fact: &Fact) -> String {
    let error = fact.reason.as_deref().unwrap_or("no reason given");
    let error: String = error.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{}  {}  {error}", fact.id, fact.step.as_deref().unwrap_or("unknown step"))
}

/// A letter for a list.
pub(super) fn letter(fact: Fact, zone: &Zone) -> Letter {
    let replayability = replayability(&fact.replay_facts);
    let group = group_id(fact.step.as_deref().unwrap_or_default(), &folded(fact.reason.as_deref()));
    let note = if replayability == Replayability::Replayable {
        rules::consequence(&fact.replay_facts.kind)
    } else {
        replayability.why()
    };
    Letter {
        system: NAME,
        kind: kind(&fact.replay_facts.kind),
        step: fact.step.unwrap_or_default(),
        error: fact.reason,
        died_at: fact.moved_at.map(|wall| zone.moment(wall)),
        queue: fact.queue,
        parent: fact.execution_id.map(Parent::Execution),
        group,
        attempts: fact.retries.map(|retries| retries.saturating_add(1)),
        replayability: replayability.name(),
        note: Some(note.to_owned()),
        payload: fact.dump.as_deref().and_then(payload),
        id: fact.id,
    }
}

/// Arguments as JSON, and the idempotency key, where it has one.
fn payload(text: &str) -> Option<String> {
    let Dump::Task { task, .. } = dump::parse(text) else { return None };
    let decoded = |bytes: &Option<Vec<u8>>| decode(bytes.as_deref().unwrap_or_default()).json;
    let key = task.idempotency_key.filter(|key| !key.is_empty());
    let key = key.map(|key| format!(", \"idempotency_key\": {}", json!(key))).unwrap_or_default();
    Some(format!("{{\"args\": {}, \"kwargs\": {}{key}}}", decoded(&task.args), decoded(&task.kwargs)))
}

/// The letter as it is kept, as one JSON object in one line: its dump as JSON where it is such, else as text.
pub(super) fn whole(fact: &Fact) -> String {
    let dump = fact.dump.as_deref();
    let raw = dump.filter(|dump| dump.starts_with('{') && !dump.contains(['\n', '\r']));
    let raw = raw.and_then(|dump| serde_json::from_str::<&RawValue>(dump).ok());
    let text = |value: Option<&str>| serde_json::to_string(&value).unwrap_or_else(|_| "null".into());
    let data = raw.map_or_else(|| text(dump), |raw| raw.get().to_owned());
    let moved_at = fact.moved_at.map(|wall| wall.isoformat());
    format!(
        "{{\"system\":\"{NAME}\",\"id\":{},\"reason\":{},\"moved_at\":{},\"data\":{data}}}",
        json!(fact.id),
        text(fact.reason.as_deref()),
        text(moved_at.as_deref())
    )
}

/// Groups of letters that died alike, gathered one by one.
#[derive(Default)]
pub(super) struct Groups {
    /// By step and folded error, a NUL between them.
    groups: HashMap<String, Group>,
    key: String,
}

struct Group {
    count: u64,
    replayable: u64,
    first: Option<Wall>,
    last: Option<Wall>,
    sample: String,
}

impl Groups {
    pub(super) fn add(&mut self, death: Death) {
        self.key.clear();
        self.key.push_str(death.step.as_deref().unwrap_or_default());
        self.key.push('\0');
        self.key.push_str(&folded(death.reason.as_deref()));
        let replayable = u64::from(death.replayable);
        match self.groups.get_mut(&self.key) {
            Some(group) => {
                group.count += 1;
                group.replayable += replayable;
                group.first = group.first.into_iter().chain(death.moved_at).min();
                if death.moved_at > group.last {
                    (group.last, group.sample) = (death.moved_at, death.id);
                }
            }
            None => {
                let (first, last) = (death.moved_at, death.moved_at);
                self.groups.insert(self.key.clone(), Group { count: 1, replayable, first, last, sample: death.id });
            }
        }
    }

    /// The groups that are wanted, the largest first.
    pub(super) fn close(self, filter: &LetterFilter, zone: &Zone) -> Vec<LetterGroup> {
        let moment = |wall: Option<Wall>| wall.map(|wall| zone.moment(wall));
        let told = |(key, group): (String, Group)| {
            let (step, error) = key.split_once('\0').unwrap_or((&key, ""));
            LetterGroup {
                system: NAME,
                id: group_id(step, error),
                step: step.to_owned(),
                error: error.to_owned(),
                count: group.count,
                first: moment(group.first),
                last: moment(group.last),
                sample: group.sample,
                replayable: Some(group.replayable),
                note: None,
            }
        };
        let mut groups: Vec<LetterGroup> = self.groups.into_iter().map(told).collect();
        groups.retain(|group| filter.groups.is_empty() || filter.groups.contains(&group.id));
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.step, &a.error).cmp(&(&b.step, &b.error))));
        let limit = filter.limit.and_then(|limit| usize::try_from(limit).ok());
        groups.truncate(limit.unwrap_or(usize::MAX));
        groups
    }
}

/// What a replay does with each step, what may act twice first.
pub(super) fn preview(steps: Vec<StepFact>) -> Vec<StepPreview> {
    let told = |fact: StepFact| StepPreview {
        step: fact.step,
        effect: fact.effect.name().to_owned(),
        count: fact.count,
        text: fact.effect.words().to_owned(),
    };
    steps.into_iter().map(told).collect()
}

columns! {
    REPLAY,
    fn replay_row(step: StepPreview) {}
    "step", "STEP", Whole => Value::Text(step.step);
    "count", "COUNT", Whole => Value::Int(i64::try_from(step.count).unwrap_or(i64::MAX));
    "effect", "EFFECT", Asked => Value::Text(step.effect);
    "text", "IN A REPLAY", Whole => Value::Text(step.text);
}

fn replay_section(steps: &[StepFact]) -> Section {
    let rows = preview(steps.to_vec()).into_iter().map(replay_row).collect();
    Section { name: "replay_steps", heading: "what a replay does with each step", columns: REPLAY, rows }
}

/// What of a letter matters first.
const KEY_FIELDS: &[&str] = &[
    "kind",
    "step",
    "error",
    "execution_id",
    "execution_status",
    "group",
    "attempts",
    "worker",
    "queue",
    "created_at",
    "died_at",
    "retry_for_lost",
    "args",
    "kwargs",
    "data",
    "traceback",
];

/// One letter in depth.
pub(super) fn found(fact: Fact, foresight: &Foresight, now: Timestamp, zone: &Zone) -> Record {
    let replayability = replayability(&fact.replay_facts);
    let parsed = fact.dump.as_deref().map(dump::parse);
    let clock = Clock::new(zone, now);
    let mut fields = vec![
        ("id", Value::Text(fact.id.clone())),
        ("kind", Value::Name(kind(&fact.replay_facts.kind))),
        ("step", Value::text(fact.step.clone())),
        ("error", Value::text(fact.reason.clone())),
        ("died_at", clock.time(fact.moved_at)),
        ("execution_id", Value::text(fact.execution_id.clone())),
        (
            "execution_status",
            fact.replay_facts.execution.as_ref().map_or(Value::Null, |state| Value::Text(state.as_str().to_owned())),
        ),
    ];
    let group = group_id(fact.step.as_deref().unwrap_or_default(), &folded(fact.reason.as_deref()));
    fields.push(("group", Value::Text(group.clone())));
    fields.push(("queue", Value::text(fact.queue.clone())));
    fields.push(("attempts", int(fact.retries.map(|retries| retries.saturating_add(1)))));
    fields.push(("worker", Value::text(fact.worker.clone())));
    fields.push(("replay_steps_complete", Value::Bool(!foresight.more)));
    let mut evidence = Vec::new();
    if foresight.more {
        evidence
            .push(format!("its execution has more than {TASKS} tasks; what a replay does with the rest is not shown"));
    }
    let mut traceback = None;
    let mut not_retried = foresight.not_retried().map(str::to_owned);
    match parsed {
        Some(Dump::Task { task, retry_for }) => {
            traceback = task_fields(&task, &retry_for, &clock, &mut fields);
            evidence.extend(task.unreadable.iter().map(|what| format!("unreadable: {what}")));
            // How often an orchestrator is tried says nothing of the step that failed below it.
            let own = task.kind == TaskKind::Activity && again::not_retried(&task).is_some();
            not_retried = not_retried.or_else(|| task.step_name.clone().filter(|_| own));
        }
        Some(Dump::Repr) => {
            evidence.push(
                if fact.replay_facts.readable {
                    "it was written by senpuki 0.1.x as text; a replay makes the task from its failed row, which still has its arguments"
                } else {
                    "it was written by senpuki 0.1.x as text that cannot be read back, and the row of its task does not help"
                }
                .into(),
            );
            fields.push(("data", Value::text(fact.dump.clone())));
        }
        Some(Dump::Unreadable(why)) => {
            evidence.push(why);
            fields.push(("data", Value::text(fact.dump.clone())));
        }
        None => {}
    }
    if let Some(traceback) = traceback {
        fields.push(("traceback", Value::Lines(traceback)));
    }
    Record {
        subject: dead_letter(&fact.id),
        now,
        fields,
        key_fields: KEY_FIELDS,
        age: clock.died(fact.moved_at),
        verdict: verdict(&fact, replayability, &group, not_retried, evidence),
        history: None,
        sections: vec![replay_section(&foresight.steps)],
    }
}

/// The fields of the task in the dump; returns the traceback of its error.
fn task_fields(task: &Task, retry_for: &[String], clock: &Clock<'_>, fields: &mut Fields) -> Option<String> {
    fields.push(("parent_task_id", Value::text(task.parent_task_id.clone())));
    fields.push(("priority", int(task.priority)));
    fields.push(("tags", texts(&task.tags)));
    fields.push(("created_at", clock.time(task.created_at)));
    fields.push(("started_at", clock.time(task.started_at)));
    fields.push(("idempotency_key", Value::text(task.idempotency_key.clone())));
    fields.push(("retry_policy", task.retry_policy.clone().map_or(Value::Null, Value::Json)));
    if !retry_for.is_empty() && retry_for != ["Exception"] {
        fields.push(("retry_for_lost", texts(retry_for)));
    }
    let args = decode(task.args.as_deref().unwrap_or_default());
    let kwargs = decode(task.kwargs.as_deref().unwrap_or_default());
    fields.push(("codec", Value::Name(args.codec.name())));
    fields.push(("args", Value::Json(args.json)));
    fields.push(("kwargs", Value::Json(kwargs.json)));
    let error = task.error.as_deref().map(decode)?;
    error.exception.and_then(|exception| exception.traceback)
}

fn verdict(
    fact: &Fact,
    replayability: Replayability,
    group: &str,
    not_retried: Option<String>,
    mut evidence: Vec<String>,
) -> Verdict {
    let orchestrator = fact.replay_facts.kind == TaskKind::Orchestrator;
    let replayable = replayability == Replayability::Replayable;
    let summary = if replayable { "a worker can run it again".to_owned() } else { replayability.why().to_owned() };
    if replayable {
        evidence.push(rules::consequence(&fact.replay_facts.kind).to_owned());
    } else if replayability.can_be_forced() {
        evidence
            .extend(rules::forced(replayability, orchestrator).map(|what| format!("replayed with --force: {what}")));
    }
    if let Some(step) = &not_retried {
        evidence.push(format!("{step} was not tried again although tries were left: {}", again::FAILS_AGAIN));
    }
    if let Some(error) = &fact.reason {
        let step = fact.step.as_deref().unwrap_or("it");
        evidence.insert(0, format!("{step} failed: {}", error.lines().next().unwrap_or_default()));
    }
    let mut next = Vec::new();
    if fact.replay_facts.execution.is_some()
        && let Some(execution) = &fact.execution_id
    {
        // What fails the same way each time, or is run again by its orchestrator, is decided on there.
        // It is run again with the execution, or not at all.
        let first = replayability == Replayability::OrchestratorFailed;
        let why = if first {
            "its execution: this step runs again with it, or not at all"
        } else {
            "the execution it belongs to"
        };
        let show = NextCommand::new(&["sen", "exec", "show"], why).id(execution);
        next.push(if first { show.purpose(Purpose::Observe) } else { show });
    }
    if replayable {
        let (why, purpose) = match (not_retried.is_some(), orchestrator) {
            (true, _) => ("the cause of its error is gone: run it again", Purpose::RunDespite),
            (false, true) => ("its work is still wanted: run it again from its start", Purpose::Run),
            (false, false) => ("its effect is still wanted: run it again", Purpose::Run),
        };
        next.push(NextCommand::new(&["sen", "dlq", "replay"], why).id(&fact.id).purpose(purpose));
    }
    next.push(
        NextCommand::new(&["sen", "dlq", "list"], "the dead letters with the same error").option("--group", group),
    );
    let why = if replayable {
        "it is not wanted any more: remove it; it is written to the file first"
    } else {
        "remove it; it is written to the file first"
    };
    let discard = NextCommand::new(&["sen", "dlq", "discard"], why);
    next.push(discard.id(&fact.id).option_mark("--export", "file").purpose(Purpose::GiveUp));
    Verdict { state: replayability.name(), severity: Severity::Warning, summary, evidence, next }
}
