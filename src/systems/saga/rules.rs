//! What may be done to a saga, judged by what was seen. Pure: facts and a wish in, a guarded change or a refusal out.
//!
//! The rules are those of the library's admin API (`core/engine.py` of 0.1.1 and 0.7.3). Where that runs the saga at once,
//! the change makes it due instead, for SQL cannot run steps: the next `run_due` goes on exactly there. Every change names
//! status, token and step as seen and draws a new token. Where the library would let an operator overrule a living worker
//! or end what is over, these rules are stricter; see each function.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

use super::port::{Change, Edits, Event, Guard, Seen};
use super::record::{Entry, Saga, Status};
use super::shape::Model;
use super::story::{self, RollBack};
use super::verdict::BETWEEN;
use super::verdict::words::under_way;
use sen_model::ident::OperationId;
use sen_model::text::named;
use sen_model::time::{Timestamp, humane};
use sen_model::verdict::Severity;

mod standing;

pub(super) use standing::{Standing, standing};

/// A message that was claimed and is unchanged for this long counts as a dead letter.
pub const LEFT: Duration = Duration::from_secs(600);

/// How grave a message in trouble is by itself, wherever it is told: one that failed, one that is due for long, and one whose
/// claim is old, for which a living process may still be at work.
pub const TROUBLE: Severity = Severity::Warning;

/// A change, and what the operator must know before consenting; or why not.
pub(super) type Ruling = Result<(Change, Vec<String>), String>;

/// A saga with what a change of it needs.
pub(super) struct Subject<'a> {
    /// The saga and its steps.
    pub seen: &'a Seen,
    /// The tables it is in.
    pub model: &'a Model,
    /// A token that is not in use.
    pub fresh: String,
}

/// The input of an operator's entry before it is signed.
fn marked(act: &str) -> Map<String, Json> {
    let mut input = Map::new();
    input.insert("_admin".into(), act.into());
    input
}

impl Subject<'_> {
    fn saga(&self) -> &Saga {
        &self.seen.saga
    }

    /// A change that makes the saga due with `to` as its status, and records `act`.
    fn change(&self, act: &str, to: &'static str) -> Change {
        let saga = self.saga();
        let (step_id, step_name) = match self.current().or_else(|| self.last()) {
            Some(entry) => (entry.step_id.clone(), entry.step_name.clone()),
            // As the library does where it cannot tell.
            None => ("__unknown__".into(), "Unknown".into()),
        };
        Change {
            id: saga.id.clone(),
            status: saga.status.as_str().to_owned(),
            token: saga.token.clone(),
            step: saga.step,
            guard: Guard::default(),
            to: to.to_owned(),
            fresh: self.fresh.clone(),
            due: true,
            advance: false,
            fresh_tries: false,
            error: None,
            context: Edits::default(),
            // Neither a success nor an error of anything: the library looks for those, and for compensations.
            entry: Entry {
                phase: "EXECUTE".into(),
                status: "WAITING".into(),
                step_id,
                step_name,
                token: saga.token.clone(),
                input: Some(Json::Object(marked(act)).to_string()),
                skipped: true,
                ..Entry::default()
            },
            success: None,
        }
    }

    /// The newest recorded try of the step the saga stands at.
    pub(super) fn current(&self) -> Option<&Entry> {
        let tries = self.seen.steps.iter().rev().filter(|entry| entry.executes());
        let last = tries.into_iter().find(|entry| entry.act().is_none_or(|act| act == "skip_step"))?;
        (!last.is("SUCCESS")).then_some(last)
    }

    fn last(&self) -> Option<&Entry> {
        self.seen.steps.iter().rev().find(|entry| entry.act().is_none())
    }

    /// The context's fields without what is awaited, in the versions that keep it there.
    fn nothing_awaited(&self) -> Vec<(&'static str, String)> {
        if self.model.keeps_history() && self.saga().awaiting.is_none() {
            return Vec::new();
        }
        let empty = |name, text: &str| (name, text.to_owned());
        let mut fields = vec![
            empty("awaiting_event_types", "[]"),
            empty("awaiting_correlation_id", "null"),
            empty("awaiting_until", "null"),
        ];
        // 0.1.4 to 0.5.0 keep the first type once more; left there it would be waited for again.
        if self.saga().context.as_ref().is_some_and(|context| context.contains("\"awaiting_event_type\"")) {
            fields.push(empty("awaiting_event_type", "null"));
        }
        fields
    }

    fn recordable(&self) -> Result<(), String> {
        if self.model.writable() {
            return Ok(());
        }
        Err("its history table is not known, so the act could not be recorded nor its rules checked".into())
    }
}

/// A JSON object of fields whose values are JSON text already: numbers keep every digit.
fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: BTreeMap<&str, Box<RawValue>> = fields
        .into_iter()
        .filter_map(|(name, text)| RawValue::from_string(text).ok().map(|value| (name, value)))
        .collect();
    serde_json::to_string(&fields).unwrap_or_else(|_| "{}".into())
}

fn is(saga: &Saga, allowed: &[Status]) -> bool {
    allowed.contains(&saga.status)
}

fn stands(saga: &Saga) -> String {
    saga.status.name().map_or_else(|| saga.status.as_str().to_owned(), |name| name.replace('_', " "))
}

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
            let left = saga.over.map(humane).unwrap_or_default();
            return Err(format!(
                "a worker is rolling it back and its lease is alive for {left}: the next poll goes on by itself"
            ));
        }
        change.guard.lease_over = true;
    }
    change.fresh_tries = true;
    change.context.set = object(subject.nothing_awaited());
    let steps = if saga.step == 1 { "1 step is".into() } else { format!("{} steps are", saga.step) };
    Ok((change, vec![format!("{steps} rolled back when a worker next polls; a step in flight is not")]))
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
    if matches!(saga.status, Status::Running | Status::Compensating) {
        notes.push("a step in flight is not stopped; its late result will be ignored".into());
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
    let wanted = i64::try_from(unchanged_for.as_micros()).unwrap_or(i64::MAX);
    if saga.idle < wanted {
        return Err(format!(
            "it changed {} ago: a worker may be between two steps (--unchanged-for is {})",
            humane(saga.idle),
            humane(wanted)
        ));
    }
    let mut change = subject.change("unstick", to);
    change.guard.abandoned_for = Some(unchanged_for);
    let mut notes = vec![
        "it goes on with its current step when a worker next polls".to_owned(),
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
    let unlike = match earlier.and_then(|text| serde_json::from_str::<Json>(text).ok()) {
        Some(earlier) => unlike(&earlier, &given, "")
            .map(|what| format!("the output is not shaped like earlier ones of this step: {what}")),
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

/// Where `given` is not shaped like `earlier`: a missing or unknown field, another type. Null fits everything.
fn unlike(earlier: &Json, given: &Json, at: &str) -> Option<String> {
    let kind = |value: &Json| match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    };
    match (earlier, given) {
        (Json::Null, _) | (_, Json::Null) => None,
        (Json::Object(earlier), Json::Object(given)) => {
            let path = |name: &String| if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            let missing = earlier.keys().find(|name| !given.contains_key(*name));
            let unknown = given.keys().find(|name| !earlier.contains_key(*name));
            missing
                .map(|name| format!("{} is missing", path(name)))
                .or_else(|| unknown.map(|name| format!("{} is not in them", path(name))))
                .or_else(|| earlier.iter().find_map(|(name, value)| unlike(value, given.get(name)?, &path(name))))
        }
        _ if kind(earlier) == kind(given) => None,
        _ => Some(format!("{at} is {}, not {}", kind(given), kind(earlier))),
    }
}

/// Whether a suspended saga would take this event, by the rules of `notify_detailed`.
pub(super) fn takes(subject: &Subject<'_>, event: &Event, now: Timestamp) -> Result<(), String> {
    let saga = subject.saga();
    let allowed: &[Status] = if subject.model.keeps_history() {
        &[Status::Suspended]
    } else {
        &[Status::Suspended, Status::CompensatingSuspended]
    };
    if !is(saga, allowed) {
        return Err(format!("it is {}: only a suspended saga can be notified", stands(saga)));
    }
    let context: Json = saga.context.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let taken = context.get("processed_event_ids").and_then(Json::as_array);
    if let Some(id) = &event.id
        && taken.is_some_and(|taken| taken.iter().any(|known| known.as_str() == Some(id)))
    {
        return Err(format!("it has taken the event {} already", named(id)));
    }
    let Some(awaiting) = &saga.awaiting else { return Ok(()) };
    if !awaiting.types.is_empty() && !event.kind.as_ref().is_some_and(|kind| awaiting.types.contains(kind)) {
        return Err(format!("it waits for {}: say --type", awaiting.words()));
    }
    if let Some(wanted) = &awaiting.correlation
        && !is_nothing(event)
        && event.correlation.as_ref() != Some(wanted)
    {
        return Err(format!("it waits for {}: say --correlation", awaiting.words()));
    }
    let until = awaiting.until.as_deref().and_then(|text| sen_model::time::When::parse(text).ok());
    if until.is_some_and(|until| until.resolve(now) < now) {
        return Err("the time it waited for has passed: the next poll times it out, and then it can be retried".into());
    }
    Ok(())
}

/// Whether nothing was said of an event: a bare wake-up.
fn is_nothing(event: &Event) -> bool {
    event.id.is_none() && event.kind.is_none() && event.correlation.is_none() && event.payload == "null"
}

/// `notify`: the event goes into the context as the library puts it there.
pub(super) fn notify(subject: &Subject<'_>, event: &Event, now: Timestamp) -> Ruling {
    subject.recordable()?;
    takes(subject, event, now)?;
    let saga = subject.saga();
    let to = if saga.status == Status::Suspended { "RUNNING" } else { "COMPENSATING" };
    let mut change = subject.change("notify", to);
    change.guard.event = Some(event.id.clone());
    let payload = event.payload.clone();
    // 0.1.1 takes the bare payload; from 0.1.4 on events have ids and types, and their waits are in the context.
    let typed =
        saga.awaiting.is_some() || saga.context.as_ref().is_some_and(|context| context.contains("\"notify_inbox\""));
    if subject.model.keeps_history() && !typed {
        if event.kind.is_some() || event.correlation.is_some() || event.id.is_some() {
            return Err("this version knows no types, correlation ids or ids of events: give the payload alone".into());
        }
        if payload != "null" {
            change.context.append = object([("events", format!("[{payload}]"))]);
            change.context.set = object([("latest_event", payload)]);
        }
        return Ok((change, vec!["its step is executed again with the event when a worker next polls".into()]));
    }
    let text = |value: &Option<String>| json!(value).to_string();
    let mut set = subject.nothing_awaited();
    let mut append = Vec::new();
    if !is_nothing(event) {
        let meta = object([
            ("event_id", text(&event.id)),
            ("event_type", text(&event.kind)),
            ("correlation_id", text(&event.correlation)),
            ("payload", payload.clone()),
            ("source", "\"sen\"".into()),
            ("occurred_at", "null".into()),
        ]);
        set.extend([("latest_event", payload.clone()), ("latest_event_meta", meta)]);
        append.push(("events", format!("[{payload}]")));
        append.extend(event.id.as_ref().map(|id| ("processed_event_ids", json!([id]).to_string())));
    }
    let log = json!([{
        "timestamp": now.to_string(),
        "result": "ACCEPTED",
        "event_id": event.id,
        "event_type": event.kind,
        "correlation_id": event.correlation,
    }]);
    append.push(("notify_inbox", log.to_string()));
    change.context.set = object(set);
    change.context.append = object(append);
    Ok((change, vec!["it goes on with this event when a worker next polls".into()]))
}

/// An entry's input with who did it, why, and what was there before.
pub(super) fn signed(change: &Change, operation: OperationId, who: Option<&str>, why: Option<&str>) -> Change {
    let mut change = change.clone();
    let input = change.entry.input.as_deref().and_then(|input| serde_json::from_str(input).ok());
    let mut input = if let Some(Json::Object(fields)) = input { fields } else { Map::new() };
    let before =
        json!({"status": change.status, "step_execution_token": change.token, "current_step_index": change.step});
    input.insert("_sen".into(), json!({"operation": operation.to_string(), "who": who, "why": why, "before": before}));
    change.entry.input = Some(Json::Object(input).to_string());
    change
}

/// The record of an act on a message, as the input of a history entry.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn note(act: &str, operation: OperationId, who: Option<&str>, why: Option<&str>) -> String {
    json!({"_admin": act, "_sen": {"operation": operation.to_string(), "who": who, "why": why}}).to_string()
}

/// The record of a requeue.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn requeued(
    kind: super::record::Mailbox,
    operation: OperationId,
    who: Option<&str>,
    why: Option<&str>,
) -> String {
    let act = match kind {
        super::record::Mailbox::Out => "requeue_outbox",
        super::record::Mailbox::In => "requeue_inbox",
    };
    note(act, operation, who, why)
}

/// Who put an event into an inbox, for the column that says where it came from: 255 characters.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn source(who: Option<&str>, why: Option<&str>) -> String {
    let who = who.map(|who| format!(": {who}")).unwrap_or_default();
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    format!("sen{who}{why}").chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Awaiting;
    use crate::shape::{Field, Table};
    use crate::verdict::tests::saga;

    fn model(kept: bool) -> Model {
        let names = if kept { vec!["step_history"] } else { vec!["saga_name"] };
        let field = |name: &str| Field {
            name: name.into(),
            type_schema: String::new(),
            type_name: String::new(),
            labels: Vec::new(),
        };
        let table = Table {
            number: 1,
            schema: None,
            name: "s".into(),
            fields: names.into_iter().map(field).collect(),
            references: None,
            sequence: None,
            rows: None,
        };
        let history = (!kept).then(|| table.clone());
        Model { state: table, history, outbox: None, inbox: None, doubts: Vec::new() }
    }

    fn seen(saga: Saga, steps: &[(&str, &str)]) -> Seen {
        let step = |(phase, status): &(&str, &str)| Entry {
            phase: (*phase).into(),
            status: (*status).into(),
            step_id: "pay".into(),
            step_name: "Pay".into(),
            input: Some(r#"{"order": 1}"#.into()),
            ..Entry::default()
        };
        Seen {
            saga,
            model: 1,
            steps: steps.iter().map(step).collect(),
            recorded: 0,
            messages: Vec::new(),
            holders: Vec::new(),
        }
    }

    fn with<T>(seen: &Seen, act: impl FnOnce(&Subject<'_>) -> T) -> T {
        let model = model(false);
        act(&Subject { seen, model: &model, fresh: "new".into() })
    }

    const ALL: [Status; 8] = [
        Status::Running,
        Status::Suspended,
        Status::Failed,
        Status::Compensating,
        Status::CompensatingSuspended,
        Status::Compensated,
        Status::Completed,
        Status::TimedOut,
    ];

    fn allowed(act: impl Fn(&Subject<'_>) -> Ruling) -> Vec<&'static str> {
        let try_ = |status: &Status| {
            let saga = Saga { compensated: Some(false), ..saga(status.clone(), None) };
            with(&seen(saga, &[("EXECUTE", "ERROR")]), &act).is_ok()
        };
        ALL.iter().filter(|status| try_(status)).filter_map(Status::name).collect()
    }

    #[test]
    fn each_act_has_its_statuses() {
        assert_eq!(allowed(|subject| retry(subject, false)), ["suspended", "failed", "timeout"]);
        assert_eq!(allowed(compensate), ["suspended", "failed", "compensating", "compensating_suspended", "timeout"]);
        assert_eq!(allowed(abort), ["running", "suspended", "compensating", "compensating_suspended", "timeout"]);
        assert_eq!(allowed(|subject| unstick(subject, Duration::from_secs(60))), ["running", "compensating"]);
        assert_eq!(allowed(|subject| skip(subject, None, true, None)), ["suspended"]);
        let event = Event { payload: "null".into(), ..Event::default() };
        let now = Timestamp::from_micros(0);
        assert_eq!(allowed(|subject| notify(subject, &event, now)), ["suspended", "compensating_suspended"]);
    }

    #[test]
    fn what_must_not_be_is_refused() {
        let compensated = Saga { compensated: Some(true), ..saga(Status::Failed, None) };
        assert!(
            with(&seen(compensated, &[]), |subject| retry(subject, false))
                .unwrap_err()
                .contains("compensation has begun")
        );
        let nothing = Saga { step: 0, ..saga(Status::Failed, None) };
        assert!(with(&seen(nothing, &[]), compensate).unwrap_err().contains("nothing to roll back"));
        assert!(with(&seen(saga(Status::Compensating, Some(-9)), &[]), compensate).unwrap_err().contains("alive"));
        let young = Saga { idle: 5, ..saga(Status::Running, None) };
        let minute = Duration::from_secs(60);
        assert!(with(&seen(young, &[]), |subject| unstick(subject, minute)).unwrap_err().contains("between two steps"));
        let due = Saga { deadline: Some(Timestamp::from_micros(1)), ..saga(Status::Running, Some(5)) };
        assert!(with(&seen(due, &[]), |subject| unstick(subject, minute)).unwrap_err().contains("has a deadline"));
    }

    #[test]
    fn outputs_must_look_like_earlier_ones() {
        let suspended = seen(saga(Status::Suspended, Some(-9)), &[("EXECUTE", "ERROR")]);
        let tried = |output, force, earlier| with(&suspended, |subject| skip(subject, Some(output), force, earlier));
        let earlier = Some(r#"{"id": "x", "sum": {"n": 1}}"#);
        assert!(tried(r#"{"id": "y", "sum": {"n": 2.5}}"#, false, earlier).is_ok());
        for (bad, why) in [
            (r#"{"id": "y"}"#, "sum is missing"),
            (r#"{"id": 5, "sum": {"n": 1}}"#, "id is a number, not text"),
            (r#"{"id": "y", "sum": {"n": 1, "m": 2}}"#, "sum.m is not in them"),
            ("[]", "must be a JSON object"),
            ("{", "not valid JSON"),
        ] {
            assert!(tried(bad, false, earlier).unwrap_err().contains(why), "{bad}");
        }
        assert!(tried("{}", false, None).unwrap_err().contains("no earlier success"));
        assert!(tried("{}", true, None).is_ok());
        let (change, _) = tried(r#"{"id": "y", "sum": {"n": 12345678901234567890123}}"#, false, earlier).unwrap();
        assert!(change.context.outputs.contains("12345678901234567890123"), "{change:?}");
        let entries = change.entries();
        assert_eq!(
            (entries[0].act().as_deref(), entries[1].input.as_deref()),
            (Some("skip_step"), Some(r#"{"order": 1}"#))
        );
        assert!(entries[1].is("SUCCESS") && !entries[0].is("SUCCESS"));
    }

    #[test]
    fn events_must_be_the_awaited_ones() {
        let awaiting = Some(Awaiting { types: vec!["paid".into()], correlation: Some("o-1".into()), until: None });
        let context = Some(r#"{"processed_event_ids": ["e-1"]}"#.to_owned());
        let waiting = seen(Saga { awaiting, context, ..saga(Status::Suspended, None) }, &[("EXECUTE", "WAITING")]);
        let event = |id: &str, kind: &str, correlation: &str| Event {
            id: Some(id.into()),
            kind: Some(kind.into()),
            correlation: Some(correlation.into()),
            payload: r#"{"a": 1.10}"#.into(),
            ..Event::default()
        };
        let now = Timestamp::from_micros(5);
        let tried = |event: Event| with(&waiting, |subject| notify(subject, &event, now));
        assert!(tried(event("e-1", "paid", "o-1")).unwrap_err().contains("already"));
        assert!(tried(event("e-2", "lost", "o-1")).unwrap_err().contains("--type"));
        assert!(tried(event("e-2", "paid", "o-2")).unwrap_err().contains("--correlation"));
        let (change, _) = tried(event("e-2", "paid", "o-1")).unwrap();
        assert!(change.context.append.contains(r#""events":[{"a": 1.10}]"#), "{}", change.context.append);
        assert!(change.context.set.contains(r#""awaiting_event_types":[]"#), "{}", change.context.set);
        assert_eq!(change.to, "RUNNING");
    }
}
