//! What may be done to a saga, judged by what was seen. Pure: facts and a request in, a guarded change or a refusal out.
//!
//! The rules are those of the library's admin API (`core/engine.py` of 0.1.1 and 0.7.3). Where that runs the saga at once,
//! the change makes it due instead, as SQL cannot run steps: the next `run_due` continues exactly there. Every change names
//! status, token and step as seen and draws a new token. Where the library would let an operator overrule a living worker
//! or end what has ended, these rules are stricter; see each function.

use std::time::Duration;

use serde_json::Value as Json;

use super::port::micros;
use super::record::{Entry, Status};
use super::state::BETWEEN;
use super::story::{self, RollBack};
use super::verdict::words::{in_flight, under_way};
use sen_model::time::humane;

mod event;
mod replayability;
mod signed;
mod subject;

pub(super) use event::{notify, takes};
pub(super) use replayability::{
    LEFT, Replayability, TROUBLE, UNSENDABLE, is_dead, old_claim, replayability, rolled_back,
};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) use signed::{requeued, source};
pub(super) use signed::{signed, taken_back};
pub(super) use subject::{Ruling, Subject};
use subject::{is, object, stands};

/// `retry_step`: SUSPENDED, FAILED or TIMEOUT; not after a compensation has begun. Stricter than the library's where an abort is
/// on record that came during a roll-back: what was being undone may be, and the next steps would run on top of that.
pub(super) fn retry(subject: &Subject<'_>, force: bool) -> Ruling {
    subject.recordable()?;
    let saga = subject.saga();
    if !is(saga, &[Status::Suspended, Status::Failed, Status::TimedOut]) {
        return Err(format!("it is {}: only a suspended, failed or timed out saga can be retried", stands(saga)));
    }
    if saga.status == Status::Failed && saga.compensated != Some(false) {
        return Err(
            "its compensation has begun: what is rolled back cannot be retried, only compensated further".into()
        );
    }
    let doubt = story::roll_back(saga, &subject.seen.steps);
    if doubt == RollBack::UnderWay && !force {
        return Err(format!(
            "{}: compensate it, or find out what is undone and use --force",
            under_way(&subject.seen.steps)
        ));
    }
    let mut change = subject.change("retry_step", "RUNNING");
    change.fresh_tries = true;
    change.error = Some(None);
    change.context.set = object(subject.nothing_awaited());
    change.guard.not_compensated = saga.status == Status::Failed;
    let mut notes = vec!["its current step is executed again when a worker next polls".to_owned()];
    notes.extend(in_flight(saga, &subject.seen.steps));
    match doubt {
        RollBack::UnderWay => notes.push(under_way(&subject.seen.steps)),
        RollBack::Possible => notes.push(
            "the library's abort does not record whether a roll-back was under way, which may have happened".into(),
        ),
        RollBack::None => {}
    }
    if let Some(later) = saga.later.as_ref().filter(|later| later.counts()) {
        notes.push(format!(
            "a later saga of {}, {}, is {}: this retry may do the same work twice",
            saga.aggregation,
            later.id,
            later.words()
        ));
    }
    if saga.awaiting.is_some() {
        notes.push("it gives up waiting for its event: the step runs from its beginning".into());
    }
    if saga.status == Status::Failed && subject.current().is_none() && saga.step > 0 {
        notes.push("its last recorded step succeeded: if that was the last one, the saga ends as completed".into());
    }
    Ok((change, notes))
}

/// `compensate_step`: SUSPENDED, FAILED, TIMEOUT, or compensating already; something must be done that can be rolled back.
/// A worker that holds a live lease on a compensation is left alone: the library would roll the step back twice.
pub(super) fn compensate(subject: &Subject<'_>) -> Ruling {
    subject.recordable()?;
    let saga = subject.saga();
    let allowed =
        [Status::Suspended, Status::Failed, Status::TimedOut, Status::Compensating, Status::CompensatingSuspended];
    if !is(saga, &allowed) {
        return Err(format!(
            "it is {}: only a suspended, failed, timed out or compensating saga can be compensated",
            stands(saga)
        ));
    }
    if saga.step <= 0 {
        return Err("no step of it is done: there is nothing to roll back".into());
    }
    let mut change = subject.change("compensate_step", "COMPENSATING");
    if saga.status == Status::Compensating {
        if saga.due == Some(false) {
            let left = saga.over.map(sen_model::time::age).unwrap_or_default();
            return Err(format!(
                "a worker is rolling it back and its lease is alive for {left}: the next poll goes on by itself"
            ));
        }
        change.guard.lease_over = true;
    }
    change.fresh_tries = true;
    change.context.set = object(subject.nothing_awaited());
    let steps = if saga.step == 1 { "1 step is".into() } else { format!("{} steps are", saga.step) };
    let mut notes = vec![format!("{steps} rolled back when a worker next polls; a step in flight is not")];
    notes.extend(in_flight(saga, &subject.seen.steps));
    Ok((change, notes))
}

/// `abort`, which in the library has no guard and turns COMPLETED into FAILED: here only what is active or timed out.
pub(super) fn abort(subject: &Subject<'_>) -> Ruling {
    subject.recordable()?;
    let saga = subject.saga();
    let allowed =
        [Status::Running, Status::Suspended, Status::Compensating, Status::CompensatingSuspended, Status::TimedOut];
    if !is(saga, &allowed) {
        return Err(format!("it is {}: only an active or timed out saga can be aborted", stands(saga)));
    }
    let error = saga.error.clone().unwrap_or_else(|| "Aborted by admin".into());
    let mut change = subject.change("abort", "FAILED");
    change.due = false;
    change.error = Some(Some(error.clone()));
    change.context.set = object(subject.nothing_awaited());
    change.entry.status = "ERROR".into();
    change.entry.error = Some(error);
    change.entry.attempt = saga.retries + 1;
    let mut notes = vec!["nothing is rolled back: `sen saga compensate` does that".to_owned()];
    if change.claimed {
        let what = match saga.status {
            Status::Compensating => "a roll-back".to_owned(),
            _ if change.entry.step_id == story::UNKNOWN => "a step".to_owned(),
            _ => format!("step {} ({})", change.entry.step_id, change.entry.step_name),
        };
        notes.push(format!("{what} in flight is not stopped, so that it may happen; its late result will be ignored"));
    } else if saga.status == Status::Running && saga.deadline.is_none() {
        // Beginning the next step changes nothing else that is guarded, and the record says that none had begun.
        change.guard.abandoned_for = Some(Duration::ZERO);
    }
    Ok((change, notes))
}

/// No poll looks for an active saga without a deadline. One that changed a moment ago is between two steps.
pub(super) fn unstick(subject: &Subject<'_>, unchanged_for: Duration) -> Ruling {
    subject.recordable()?;
    let saga = subject.saga();
    let to = match saga.status {
        Status::Running => "RUNNING",
        Status::Compensating => "COMPENSATING",
        _ => return Err(format!("it is {}: only a running or compensating saga can be stuck", stands(saga))),
    };
    if saga.deadline.is_some() {
        return Err("it has a deadline: the next poll after that picks it up by itself".into());
    }
    let wanted = micros(unchanged_for);
    if saga.idle < wanted {
        return Err(format!(
            "it changed {} ago: a worker may be between two steps (--unchanged-for is {})",
            sen_model::time::age(saga.idle),
            humane(wanted)
        ));
    }
    let mut change = subject.change("unstick", to);
    change.guard.abandoned_for = Some(unchanged_for);
    let step = match saga.status {
        Status::Compensating => story::next_to_roll_back(&subject.seen.steps)
            .map(|entry| format!("the roll-back of step {} ({})", entry.step_id, entry.step_name)),
        _ => (change.entry.step_id != story::UNKNOWN)
            .then(|| format!("step {} ({})", change.entry.step_id, change.entry.step_name)),
    };
    let mut notes = vec![
        format!("it goes on with {} when a worker next polls", step.as_deref().unwrap_or("its current step")),
        "a worker that lives and is only slow (a blocked event loop, a slow input_map) would execute that step, too"
            .to_owned(),
        "where building the step's input fails, each poll claims it and fails: --verify shows whether it goes on"
            .to_owned(),
    ];
    if let Some(holder) = subject.seen.holders.first() {
        notes.push(format!(
            "its row is locked by {}: a worker may be at it, and the change waits for that transaction",
            holder.words()
        ));
    }
    if wanted < BETWEEN {
        notes.push(format!("the library itself takes a moment between two steps: {} may be too short", humane(wanted)));
    }
    Ok((change, notes))
}

/// `skip_step`: SUSPENDED only. `earlier` is the output of a real success of the same step, to compare with.
///
/// The success it leaves must serve a later compensation, which reads the step's input from it, and models may refuse fields
/// they do not know: so unlike the library's it holds the input of the last try, untouched, and the record stands beside it.
pub(super) fn skip(subject: &Subject<'_>, output: Option<&str>, force: bool, earlier: Option<&str>) -> Ruling {
    subject.recordable()?;
    let saga = subject.saga();
    if saga.status != Status::Suspended {
        return Err(format!("it is {}: only a suspended saga can skip its step", stands(saga)));
    }
    let Some(step) = subject.current() else {
        return Err("which step it stands at is not on record, so no output can be put in its place".into());
    };
    let output = output.unwrap_or("{}");
    let given: Json = serde_json::from_str(output).map_err(|error| format!("the output is not valid JSON: {error}"))?;
    if !given.is_object() {
        return Err("the output must be a JSON object, as every step's is".into());
    }
    let mut notes = vec![format!("step {} ({}) counts as done without having run", step.step_id, step.step_name)];
    notes.extend(in_flight(saga, &subject.seen.steps));
    let unlike = match earlier.and_then(|text| serde_json::from_str::<Json>(text).ok()) {
        Some(earlier) => Some(unlike(&earlier, &given, "")).filter(|all| !all.is_empty()).map(|all| {
            let all = all.join(", ");
            format!(
                "the output is not shaped like earlier ones of this step: {all}; an earlier one is {}",
                shape(&earlier)
            )
        }),
        None => Some("no earlier success of this step is on record to compare the output with".into()),
    };
    match unlike {
        Some(unlike) if !force => {
            return Err(format!(
                "{unlike}; an output the next step cannot read stops the workers' whole poll (--force overrides)"
            ));
        }
        Some(unlike) => notes.push(unlike),
        None => {}
    }
    notes.push("if it is the last step the saga ends as completed, and its hooks do not fire".into());
    let mut change = subject.change("skip_step", "RUNNING");
    change.advance = true;
    change.fresh_tries = true;
    change.error = Some(None);
    change.context.set = object(subject.nothing_awaited());
    change.context.outputs = object([(step.step_id.as_str(), output.to_owned())]);
    change.success = Some(Entry {
        status: "SUCCESS".into(),
        attempt: 0,
        input: Some(step.input.clone().unwrap_or_else(|| "{}".into())),
        output: Some(output.to_owned()),
        ..change.entry.clone()
    });
    Ok((change, notes))
}

/// What kind of value it is.
const fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// The fields of an output with what they hold, and none of the values: `{"amount": a number}`.
fn shape(output: &Json) -> String {
    match output {
        Json::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}: {}", Json::from(name.as_str()), shape(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => kind(other).to_owned(),
    }
}

/// Everything in which `given` is not shaped like `earlier`: missing and unknown fields, other types. Null fits everything.
fn unlike(earlier: &Json, given: &Json, at: &str) -> Vec<String> {
    match (earlier, given) {
        (Json::Null, _) | (_, Json::Null) => Vec::new(),
        (Json::Object(earlier), Json::Object(given)) => {
            let path = |name: &String| if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            let missing = earlier.keys().filter(|name| !given.contains_key(*name));
            let unknown = given.keys().filter(|name| !earlier.contains_key(*name));
            let both = earlier.iter().filter_map(|(name, value)| Some((name, value, given.get(name)?)));
            missing
                .map(|name| format!("{} is missing", path(name)))
                .chain(unknown.map(|name| format!("{} is not in them", path(name))))
                .chain(both.flat_map(|(name, earlier, given)| unlike(earlier, given, &path(name))))
                .collect()
        }
        _ if kind(earlier) == kind(given) => Vec::new(),
        _ => vec![format!("{at} is {}, not {}", kind(given), kind(earlier))],
    }
}

#[cfg(test)]
mod tests;
