//! Who may do what, and what the library must find afterwards.

use super::*;
use crate::examples::saga;
use crate::port::{Event, Observed};
use crate::record::{Awaiting, Saga};
use crate::shape::{Field, Model, Table};
use sen_model::time::Timestamp;

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
        rows: None,
    };
    let history = (!kept).then(|| table.clone());
    Model { state: table, history, outbox: None, inbox: None, doubts: Vec::new() }
}

fn seen(saga: Saga, steps: &[(&str, &str)]) -> Observed {
    let step = |(phase, status): &(&str, &str)| Entry {
        phase: (*phase).into(),
        status: (*status).into(),
        step_id: "pay".into(),
        step_name: "Pay".into(),
        input: Some(r#"{"order": 1}"#.into()),
        ..Entry::default()
    };
    Observed {
        saga,
        model: 1,
        steps: steps.iter().map(step).collect(),
        recorded: 0,
        messages: Vec::new(),
        holders: Vec::new(),
    }
}

fn with<T>(seen: &Observed, act: impl FnOnce(&Subject<'_>) -> T) -> T {
    let model = model(false);
    act(&Subject { seen, model: &model, fresh: "new".into(), elsewhere: None })
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
        with(&seen(compensated, &[]), |subject| retry(subject, false)).unwrap_err().contains("compensation has begun")
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
fn the_step_that_goes_on_is_named_where_it_is_known() {
    let stuck = seen(saga(Status::Running, None), &[("EXECUTE", "ERROR")]);
    let notes = |seen: &Observed| with(seen, |subject| unstick(subject, Duration::from_secs(60))).unwrap().1;
    assert!(notes(&stuck)[0].starts_with("it goes on with step pay (Pay) when"), "{:?}", notes(&stuck));
    let back = seen(saga(Status::Compensating, None), &[("EXECUTE", "SUCCESS")]);
    assert!(notes(&back)[0].starts_with("it goes on with the roll-back of step pay (Pay) when"), "{:?}", notes(&back));
    let between = seen(saga(Status::Running, None), &[("EXECUTE", "SUCCESS")]);
    assert!(notes(&between)[0].starts_with("it goes on with its current step when"), "{:?}", notes(&between));
}

#[test]
fn outputs_must_look_like_earlier_ones() {
    let suspended = seen(saga(Status::Suspended, Some(-9)), &[("EXECUTE", "ERROR")]);
    let tried = |output, force, earlier| with(&suspended, |subject| skip(subject, Some(output), force, earlier));
    let earlier = Some(r#"{"id": "x", "sum": {"n": 1}}"#);
    assert!(tried(r#"{"id": "y", "sum": {"n": 2.5}}"#, false, earlier).is_ok());
    for (bad, why) in [
        (r#"{"id": "y"}"#, "sum is missing; an earlier one is {\"id\": text, \"sum\": {\"n\": a number}}"),
        (r#"{"ids": "y", "sum": {"n": "1"}}"#, "id is missing, ids is not in them, sum.n is text, not a number;"),
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
