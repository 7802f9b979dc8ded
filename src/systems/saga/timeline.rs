//! What happened to sagas and their messages: by their recorded steps and their rows. Pure.

use super::message::Message;
use super::port::Observed;
use super::record::{Entry, NAME, subject};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;
use sen_model::timeline::{OperatorAct, TimeBasis, TimelineEntry};

/// The entries of a saga and of its messages.
pub(super) fn of_saga(seen: &Observed) -> Vec<TimelineEntry> {
    let saga = &seen.saga;
    let subject = subject(&saga.id);
    let at = |at: Option<Timestamp>, what: String| {
        let at = at.filter(|at| at.is_finite())?;
        Some(TimelineEntry::new(at, TimeBasis::Database, &subject, what))
    };
    let name = saga.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let mut entries: Vec<TimelineEntry> = at(saga.created, format!("saga{name} started")).into_iter().collect();
    // Some versions record no time with what an operator did: it came after what stands before it.
    let mut last = saga.created;
    for step in &seen.steps {
        let basis = if step.at.is_some() { basis(step) } else { TimeBasis::After };
        last = step.at.or(last);
        entries.extend(last.filter(|at| at.is_finite()).map(|at| of_step(step, at, basis, &subject)));
    }
    let status = saga.status.name().unwrap_or_else(|| saga.status.as_str());
    let changed = at(saga.updated, "last change of its row".to_owned());
    entries.extend(changed.map(|entry| entry.state(status).error(saga.error.as_deref())));
    if saga.due == Some(true) && !saga.handed {
        entries.extend(
            saga.deadline
                .filter(|at| at.is_finite())
                .map(|at| TimelineEntry::new(at, TimeBasis::Worker, &subject, "deadline passed")),
        );
    }
    entries.extend(seen.messages.iter().flat_map(of_message));
    entries
}

/// What `sen` records has the database's time; the library takes that of its process.
fn basis(step: &Entry) -> TimeBasis {
    if record(step).is_some() { TimeBasis::Database } else { TimeBasis::Worker }
}

/// The record that `sen` left of its act.
fn record(step: &Entry) -> Option<OperatorAct> {
    let input: serde_json::Value = serde_json::from_str(step.input.as_deref()?).ok()?;
    OperatorAct::of(input.get("_sen")?)
}

fn of_step(step: &Entry, at: Timestamp, basis: TimeBasis, subject: &Subject) -> TimelineEntry {
    let status = step.status.to_ascii_lowercase();
    let error = step.error.as_deref();
    if let Some(act) = step.act() {
        let what = format!("{} by an operator at step {}", act.replace('_', " "), step.step_id);
        let entry = TimelineEntry::new(at, basis, subject, what).state(status);
        return match record(step) {
            Some(act) => entry.act(act),
            None => entry,
        };
    }
    let step_of = if step.compensates() { "compensation of step" } else { "step" };
    let done = match status.as_str() {
        "success" => "done",
        "error" => "failed",
        "waiting" => "waits",
        "timeout" => "timed out",
        other => other,
    };
    TimelineEntry::new(at, basis, subject, format!("{step_of} {} {done}", step.step_id))
        .state(status.clone())
        .error(error)
}

/// The entries of a message.
pub(super) fn of_message(message: &Message) -> Vec<TimelineEntry> {
    let subject = Subject::new(NAME, message.kind.subject(), message.id.clone());
    let topic = message.topic.as_deref().map(|topic| format!(" {topic}")).unwrap_or_default();
    let name = format!("{} message{topic}", message.kind.name());
    let entry = |at: Option<Timestamp>, basis, what: String| {
        Some(TimelineEntry::new(at.filter(|at| at.is_finite())?, basis, &subject, what))
    };
    let status = message.status.words().to_owned();
    let created = entry(message.created, TimeBasis::Database, format!("{name} created"));
    let settled = entry(message.done, TimeBasis::Worker, format!("{name} {status}"));
    // Until it is settled, the last change is the last attempt, or its creation.
    let open = message.done.is_none() && message.updated != message.created;
    let changed = entry(message.updated.filter(|_| open), TimeBasis::Database, format!("{name} {status}"));
    let last = settled.or(changed).map(|entry| entry.state(status).error(message.error.as_deref()));
    created.into_iter().chain(last).collect()
}
