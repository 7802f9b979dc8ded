//! `sen why` on what the real library left: each saga is told its cause, and led to what it hangs together with.

use serde_json::{Value, json};

use super::place::{Place, VERSIONS};

/// What was asked for, as `sen why` explains it.
#[track_caller]
pub fn why(place: &Place, id: &str) -> Value {
    place.act(&["why", id], 0).json()["chain"][0].clone()
}

/// The rules that hold, the gravest first, each with its certainty.
#[track_caller]
pub fn rules(place: &Place, id: &str) -> Vec<String> {
    let told = why(place, id);
    let causes = told["causes"].as_array().unwrap_or_else(|| panic!("no causes: {told}"));
    let word = |cause: &Value, name: &str| cause[name].as_str().expect("text").to_owned();
    causes.iter().map(|cause| format!("{} {}", word(cause, "certainty"), word(cause, "rule"))).collect()
}

#[test]
fn each_saga_is_told_its_cause() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let done = place.start("o-1", "order", json!({}));
        assert!(rules(&place, &done).is_empty());
        let failed = place.start("o-2", "order-once", json!({"charge": "fail"}));
        assert_eq!(rules(&place, &failed), ["proven step_failed"]);
        let text = why(&place, &failed)["causes"][0]["summary"].as_str().expect("text").to_owned();
        assert!(
            text.contains("step charge (Charge) failed at try 1: RuntimeError('charge refused for o-2')"),
            "{text}"
        );
        let patient = place.start("o-3", "order", json!({"charge": "fail"}));
        assert_eq!(rules(&place, &patient), ["proven step_failed"]);
        let half = place.start("o-4", "order-rollback", json!({"charge": "fail", "undo-reserve": "fail"}));
        assert_eq!(rules(&place, &half), ["proven compensation_failed"]);
        // By what it is about and by its own id it is the same saga.
        assert_eq!(why(&place, "o-4")["subject"], why(&place, &half)["subject"]);
        place.act(&["saga", "abort", &patient, "--yes", "--reason", "INC-9"], 0);
        assert_eq!(rules(&place, &patient)[0], "proven aborted");

        place.killed(json!({"do": "die_between", "order": "o-5"}));
        let orphan = place.id_of("o-5");
        place.age("order_saga", "aggregation_id = 'o-5'", "1 hour");
        assert_eq!(rules(&place, &orphan), ["likely orphan"]);
        assert_eq!(place.act(&["why", &orphan], 0).json()["next"][0]["command"], format!("sen saga unstick {orphan}"));
        place.psql("UPDATE order_saga SET deadline_at = now() - interval '1 hour' WHERE aggregation_id = 'o-5'");
        assert_eq!(rules(&place, &orphan), ["likely no_worker_polls"]);
        place.psql("UPDATE order_saga SET deadline_at = now() - interval '1 second' WHERE aggregation_id = 'o-5'");
        assert_eq!(rules(&place, &orphan), ["likely lease_expired"]);
    }
}

#[test]
fn an_event_that_does_not_come_has_its_reason() {
    let mut place = Place::new(VERSIONS[1]);
    let waiting = place.start("o-1", "order", json!({"charge": "await"}));
    assert!(rules(&place, &waiting).is_empty(), "it has waited for a moment only");
    place.age("order_saga", "true", "2 hours");
    assert_eq!(rules(&place, &waiting), ["likely event_never_came"]);
    // It came, for somebody else.
    let event = json!({"event_id": "e-1", "event_type": "charge.confirmed", "correlation_id": "wrong", "payload": {}});
    assert_eq!(place.ask(json!({"do": "ingest", "id": waiting, "event": event})), json!(true));
    place.ask(json!({"do": "run_inbox_due"}));
    assert_eq!(rules(&place, &waiting), ["proven event_ignored"]);
    // Its own message is a link of the chain.
    let chain = place.act(&["why", &waiting], 0).json();
    let inbox = chain["chain"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|link| link["subject"].as_str().is_some_and(|subject| subject.starts_with("saga:inbox:")));
    let inbox = inbox.unwrap_or_else(|| panic!("the message is not in the chain: {chain}"));
    assert_eq!((&inbox["causes"][0]["rule"], &inbox["relation"]), (&json!("event_ignored"), &json!("its message")));

    let late = place.start("o-2", "order", json!({"charge": "await:0.1"}));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(rules(&place, &late), ["likely event_never_came"]);
    place.run_due();
    assert_eq!((rules(&place, &late), place.status(&late)), (vec!["proven wait_over".into()], "TIMEOUT".into()));
}

#[test]
fn messages_that_are_not_sent_are_told_and_lead_to_their_saga() {
    let mut place = Place::new(VERSIONS[1]);
    let done = place.start("o-1", "order", json!({}));
    place.ask(json!({"do": "dispatch", "how": "fail"}));
    assert_eq!(rules(&place, &done), ["proven outbox_stuck"]);
    let message = place.act(&["saga", "outbox", "list"], 0).json()[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(rules(&place, &message), ["proven outbox_stuck"]);
    let chain = place.act(&["why", &message], 0).json();
    assert_eq!(chain["chain"][1]["subject"], format!("saga:saga:{done}"), "{chain}");
    let text = chain["chain"][0]["causes"][0]["summary"].as_str().expect("text");
    assert!(text.contains("orders.charged could not be sent in 1 try: ConnectionError('broker is away')"), "{text}");
}

#[test]
fn sqlite_tells_the_same() {
    let mut place = Place::sqlite(VERSIONS[1]);
    let half = place.start("o-1", "order-rollback", json!({"charge": "fail", "undo-reserve": "fail"}));
    assert_eq!(rules(&place, &half), ["proven compensation_failed"]);
    place.start("o-2", "order", json!({}));
    place.ask(json!({"do": "dispatch", "how": "fail"}));
    assert_eq!(rules(&place, "o-2"), ["proven outbox_stuck"]);
}
