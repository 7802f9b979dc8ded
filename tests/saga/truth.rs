//! What `sen` says is so, made by the real library in each version: what is stated, what is only likely, what a poll will do.

use serde_json::{Value, json};

use super::place::{Base, Place, VERSIONS, item};
use super::why::{rules, why};
use crate::harness::patience::until;
use crate::harness::peers::{Peer, SAGA_011, SAGA_014, SAGA_024, SAGA_073};

/// What `sen saga show` says in one sentence.
#[track_caller]
fn summary(place: &Place, id: &str) -> String {
    text(&place.act(&["saga", "show", id], 0).json()["verdict"]["summary"])
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

/// The commands that `why` suggests for what was asked for.
#[track_caller]
fn suggested(place: &Place, id: &str) -> Vec<String> {
    let next = place.act(&["why", id], 0).json()["next"].clone();
    next.as_array().expect("a list").iter().map(|next| text(&next["command"])).collect()
}

/// No act that is suggested for a saga would be refused.
#[track_caller]
fn suggestions_are_taken(place: &Place, id: &str) {
    let shown = place.act(&["saga", "show", id], 0).json();
    for next in shown["verdict"]["next"].as_array().expect("a list") {
        let command = text(&next["command"]);
        let verbs = ["retry", "skip", "compensate", "abort", "unstick", "notify"];
        if !verbs.iter().any(|verb| command.starts_with(&format!("sen saga {verb} "))) {
            continue;
        }
        let words: Vec<String> = command
            .split(' ')
            .skip(1)
            .map(|word| if word == "‹json›" { r#"{"charge": "c", "amount": 1}"#.to_owned() } else { word.to_owned() })
            .collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--dry-run");
        if words[1] == "skip" {
            words.push("--force");
        }
        let plan = place.act(&words, 0).json();
        assert_eq!(plan["planned"], 1, "{command}: {plan}");
    }
}

/// The plan as people see it.
#[track_caller]
fn planned(place: &Place, words: &[&str]) -> String {
    let words = words.iter().copied().chain(["--dry-run"]);
    let output = crate::harness::sen::sen(words).database(&place.url()).run().expect_code(0);
    output.stdout + &output.stderr
}

/// A process of the library that hangs in a step: it is killed whatever becomes of the test.
struct Hanging(Option<Peer>);

impl Hanging {
    #[track_caller]
    fn at(place: &Place, command: &Value) -> Self {
        let mut peer = place.peer();
        let answer = peer.send(command);
        let hanging = Self(Some(peer));
        assert!(answer.get("hangs").is_some(), "{answer}");
        hanging
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if let Some(peer) = self.0.take() {
            peer.kill();
        }
    }
}

#[test]
fn a_stuck_saga_may_have_a_living_worker() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        // Its worker is killed between two steps, and another one goes on and is slow to build the next step's input.
        place.killed(json!({"do": "die_between", "order": "o-1", "plan": {"map": "block:600"}}));
        let slow = place.id_of("o-1");
        place.shift("1 hour");
        assert_eq!(rules(&place, &slow), ["likely orphan"]);
        let worker = Hanging::at(&place, &json!({"do": "drive", "id": slow}));
        assert_eq!(rules(&place, &slow), ["likely row_locked"]);
        has(&text(&why(&place, &slow)["causes"][0]["summary"]), "locked by session ");
        assert!(
            suggested(&place, &slow).iter().all(|next| !next.contains("unstick")),
            "{:?}",
            suggested(&place, &slow)
        );
        has(&planned(&place, &["saga", "unstick", &slow]), "its row is locked by session ");
        has(&planned(&place, &["saga", "unstick", &slow]), "would execute that step, too");
        drop(worker);
        // An input_map that raises leaves the very same row.
        let raised = place.try_ask(json!({"do": "start", "order": "o-2", "plan": {"map": "fail"}}));
        assert_eq!(raised["error"], "RuntimeError", "{raised}");
        let failing = place.id_of("o-2");
        place.shift("2 minutes");
        assert_eq!(rules(&place, &failing), ["likely orphan"]);
        has(&text(&why(&place, &failing)["causes"][0]["summary"]), "building the next step's input failed");
    }
}

/// Where the library raises on every poll, making the saga due helps nothing, and `--verify` says so.
#[test]
fn unstick_says_whether_it_helped() {
    for version in VERSIONS {
        let mut place = Place::with(version, json!({"lease": 0.2}));
        place.try_ask(json!({"do": "start", "order": "o-1", "plan": {"map": "fail"}}));
        place.killed(json!({"do": "die_between", "order": "o-2"}));
        let (failing, good) = (place.id_of("o-1"), place.id_of("o-2"));
        place.shift("1 hour");
        let mut watched = place.sen(&["saga", "unstick", &failing, "--verify=10m", "--yes"]).start();
        while watched.is_running() {
            place.try_ask(json!({"do": "run_due"}));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let told = watched.finish().expect_code(5);
        has(&text(&item(&told)["detail"]), "claimed again and again without a result");
        // The other one goes on, once the failing one no longer fails each poll that has claimed both.
        place.act(&["saga", "abort", &failing, "--yes"], 0);
        let watched = place.sen(&["saga", "unstick", &good, "--verify=10m", "--yes"]).start();
        until("it goes on", || {
            place.try_ask(json!({"do": "run_due"}));
            place.status(&good) == "COMPLETED"
        });
        has(&text(&item(&watched.finish().expect_code(0))["detail"]), "verified: it goes on");
        // Without a poll there is nothing to see, and that is said, too.
        place.killed(json!({"do": "die_between", "order": "o-3"}));
        let lonely = place.id_of("o-3");
        place.shift("1 hour");
        let told = place.act(&["saga", "unstick", &lonely, "--verify=1s", "--yes"], 0);
        has(&text(&item(&told)["detail"]), "no poll has claimed it within 1s");
        assert_eq!(place.verdict(&lonely), "due");
        has(&summary(&place, &lonely), "it was made due and waits for the next poll");
        assert_eq!(rules(&place, &lonely), ["proven made_due"]);
    }
}

/// `run_due` moves the deadline before it looks the saga up: a worker that does not know its name claims it for nothing.
#[test]
fn claimed_is_not_executed() {
    for version in VERSIONS {
        let place = Place::new(version);
        place.killed(json!({"do": "start", "order": "o-1", "plan": {"charge": "hang"}}));
        let id = place.id_of("o-1");
        assert!(rules(&place, &id).is_empty(), "claimed once, within its lease");
        has(&summary(&place, &id), "claimed by a worker whose lease is not over");
        place.shift("20 minutes");
        let mut stranger = place.peer();
        assert!(stranger.send(&json!({"do": "forget"})).get("ok").is_some());
        let polled = stranger.send(&json!({"do": "run_due"}));
        assert_eq!(polled["error"], "SagaDefinitionError", "{polled}");
        stranger.kill();
        assert_eq!(place.verdict(&id), "running");
        assert_eq!(rules(&place, &id), ["likely claimed_again"]);
        has(&text(&why(&place, &id)["causes"][0]["summary"]), "no definition named order");
    }
}

/// A roll-back that was under way when the saga was aborted may have happened.
#[test]
fn an_abort_during_a_roll_back_is_remembered() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let start = |order: &str| {
            json!({"do": "start", "order": order, "saga": "order-rollback",
                "plan": {"charge": "fail", "undo-reserve": "hang"}})
        };
        place.killed(start("o-1"));
        let id = place.id_of("o-1");
        place.act(&["saga", "abort", &id, "--yes", "--reason", "INC-9"], 0);
        assert_eq!(rules(&place, &id)[0], "proven aborted_in_roll_back");
        let shown = place.act(&["saga", "show", &id], 0).json()["verdict"].to_string();
        has(&shown, "while a roll-back of step reserve (Reserve) was under way");
        assert!(!shown.contains("can be retried") && !shown.contains("saga retry"), "{shown}");
        suggestions_are_taken(&place, &id);
        let refused = place.act(&["saga", "retry", &id, "--yes"], 5);
        has(&text(&item(&refused)["detail"]), "use --force");
        // Even then it asks first.
        place.act(&["saga", "retry", &id, "--force"], 7);
        place.act(&["saga", "retry", &id, "--force", "--yes"], 0);
        assert_eq!(place.verdict(&id), "due");
        // The library's own abort does not say what it came into.
        place.killed(start("o-2"));
        let own = place.id_of("o-2");
        place.ask(json!({"do": "act", "act": "abort", "id": own}));
        assert!(rules(&place, &own).contains(&"likely aborted_in_roll_back".to_owned()), "{:?}", rules(&place, &own));
        has(&planned(&place, &["saga", "retry", &own]), "does not record whether a roll-back was under way");
        // An abort while the next try was waited for leaves no such doubt.
        let plain = place.start("o-3", "order", json!({"charge": "fail"}));
        place.act(&["saga", "abort", &plain, "--yes"], 0);
        assert!(rules(&place, &plain).iter().all(|rule| !rule.contains("roll_back")), "{:?}", rules(&place, &plain));
        place.act(&["saga", "retry", &plain, "--dry-run"], 0);
    }
}

/// What `sen` says of a saga, in one text: the verdict, the causes, and what to type.
#[track_caller]
fn told(place: &Place, id: &str) -> (String, String) {
    (place.act(&["saga", "show", id], 0).json()["verdict"].to_string(), why(place, id).to_string())
}

/// A step that was under way when the saga was aborted may have happened: neither a retry nor a roll-back undoes that.
#[test]
fn an_abort_during_a_step_is_remembered() {
    const OPEN: &str = "under way when it was aborted: it may have happened and is not rolled back";
    for version in VERSIONS {
        let mut place = Place::new(version);
        // Whose record tells the name of the step that has left none.
        place.start("o-0", "order-once", json!({}));
        let hanging = json!({"charge": "hang"});
        for (order, own) in [("o-sen", false), ("o-lib", true)] {
            let start = json!({"do": "start", "order": order, "saga": "order-once", "plan": hanging});
            let worker = Hanging::at(&place, &start);
            let id = place.id_of(order);
            if own {
                place.ask(json!({"do": "act", "act": "abort", "id": id}));
            } else {
                has(&planned(&place, &["saga", "abort", &id]), "step charge (Charge) in flight is not stopped");
                place.act(&["saga", "abort", &id, "--yes"], 0);
            }
            // 0.1.1's own abort leaves no entry, and so no name.
            let step = if own && !place.is_new() { "the step after reserve (Reserve)" } else { "step charge (Charge)" };
            let (shown, causes) = told(&place, &id);
            for told in [&shown, &causes, &planned(&place, &["saga", "retry", &id])] {
                has(told, step);
                has(told, OPEN);
            }
            assert!(rules(&place, &id).contains(&"likely aborted_in_flight".to_owned()), "{:?}", rules(&place, &id));
            has(&planned(&place, &["saga", "compensate", &id]), OPEN);
            suggestions_are_taken(&place, &id);
            // A retry may execute it twice, and so asks first.
            place.act(&["saga", "retry", &id], 7);
            place.mode(order, "charge", "ok");
            place.act(&["saga", "retry", &id, "--yes"], 0);
            place.run_due();
            let saga = place.saga(&id);
            assert_eq!(saga["status"], "COMPLETED");
            let charged = saga["effects"].as_array().expect("a list").iter().filter(|what| *what == "execute charge");
            assert_eq!(charged.count(), 2, "it was executed twice");
            has(&told(&place, &id).0, "it may have happened besides the tries on record");
            drop(worker);
        }
        // Rolled back, the step under way is not.
        for (order, own) in [("o-back-sen", false), ("o-back-lib", true)] {
            let start = json!({"do": "start", "order": order, "saga": "order-rollback", "plan": hanging});
            let worker = Hanging::at(&place, &start);
            let id = place.id_of(order);
            if own {
                place.ask(json!({"do": "act", "act": "abort", "id": id}));
                place.ask(json!({"do": "act", "act": "compensate_step", "id": id}));
            } else {
                place.act(&["saga", "abort", &id, "--yes"], 0);
                place.act(&["saga", "compensate", &id, "--yes"], 0);
                place.run_due();
            }
            assert_eq!(place.verdict(&id), "compensated");
            let effects = place.saga(&id)["effects"].clone();
            assert_eq!(effects, json!(["execute reserve", "execute charge", "compensate reserve"]));
            let (shown, causes) = told(&place, &id);
            has(&shown, OPEN);
            has(&causes, OPEN);
            has(&shown, r#""severity":"warning""#);
            assert_eq!(rules(&place, &id), ["likely aborted_in_flight"]);
            drop(worker);
        }
        // Nothing is said where nothing was under way: while the next try was waited for, and before a poll came.
        let waits = place.start("o-waits", "order", json!({"charge": "fail"}));
        place.act(&["saga", "abort", &waits, "--yes"], 0);
        let due = place.start("o-due", "order-once", json!({"charge": "fail"}));
        place.act(&["saga", "retry", &due, "--yes"], 0);
        place.act(&["saga", "abort", &due, "--yes"], 0);
        for id in [&waits, &due] {
            assert!(rules(&place, id).iter().all(|rule| !rule.contains("in_flight")), "{:?}", rules(&place, id));
            place.act(&["saga", "retry", id, "--yes"], 0);
        }
    }
}

/// What is done when a wait is over differs by version and by what is waited for.
#[test]
fn what_a_poll_makes_of_a_wait_that_is_over() {
    let pause = || std::thread::sleep(std::time::Duration::from_millis(200));
    for version in [&SAGA_014, &SAGA_024] {
        let mut place = Place::new(version);
        let id = place.start("o-1", "order", json!({"charge": "await:0.1"}));
        pause();
        has(&summary(&place, &id), "executes the step again");
        suggestions_are_taken(&place, &id);
        place.run_due();
        assert_eq!(place.status(&id), "SUSPENDED", "it ran again and waits again");
        assert_eq!(place.saga(&id)["effects"], json!(["execute reserve", "execute charge", "execute charge"]));
    }
    let mut place = Place::new(&SAGA_073);
    let bare = place.start("o-1", "order", json!({"charge": "bare:0.1"}));
    let typed = place.start("o-2", "order", json!({"charge": "await:0.1"}));
    pause();
    has(&summary(&place, &bare), "the next poll executes the step again");
    has(&summary(&place, &typed), "the next poll times it out");
    suggestions_are_taken(&place, &typed);
    place.run_due();
    assert_eq!((place.status(&bare), place.status(&typed)), ("SUSPENDED".into(), "TIMEOUT".into()));
    assert_eq!(place.saga(&bare)["effects"], json!(["execute reserve", "execute charge", "execute charge"]));
}

fn doctor(place: &Place) -> String {
    place.sen(&["doctor"]).run().stdout
}

/// The statement that doctor gives for a missing label.
#[track_caller]
fn statements(place: &Place) -> String {
    let told: Value = serde_json::from_str(&doctor(place)).expect("doctor writes JSON");
    let mut found = Vec::new();
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) if text.starts_with("ALTER TYPE") => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(fields) => fields.values().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    walk(&told, &mut found);
    assert!(!found.is_empty(), "{told}");
    found.join(" ")
}

const OTHER: &str =
    r#"{"state": "other_saga", "history": "other_history", "outbox": "other_outbox", "inbox": "other_inbox"}"#;

fn run_statements(place: &Place, statements: &str) {
    // One at a time: a label cannot be used in the transaction that adds it.
    for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
        place.psql(statement);
    }
}

/// A type made by an older version lacks TIMEOUT: one wait that is over stops every saga of the table.
#[test]
fn a_type_without_timeout_stops_every_poll() {
    let old = Place::new(&SAGA_024);
    let names: Value = serde_json::from_str(OTHER).expect("JSON");
    let mut place = Place::beside(&old, &SAGA_073, names);
    let versions = old.act(&["status"], 0).json().to_string();
    has(&versions, "0.2.4 to 0.4.x");
    has(&versions, "0.5.0 to 0.7.3");
    let healthy = old.sen(&["status", "--check"]).run();
    assert_eq!(healthy.code, 0, "nothing waits, so nothing is wrong yet: {}", healthy.stdout);
    has(&doctor(&old), "cannot record that a wait for an event is over");
    let late = place.start("o-1", "order", json!({"charge": "await:0.1"}));
    let other = place.start("o-2", "order", json!({"charge": "fail"}));
    std::thread::sleep(std::time::Duration::from_millis(200));
    place.psql("UPDATE other_saga SET deadline_at = now() - interval '1 second' WHERE aggregation_id = 'o-2'");
    place.mode("o-2", "charge", "ok");
    let polled = place.try_ask(json!({"do": "run_due"}));
    assert!(polled.get("error").is_some(), "{polled}");
    assert_eq!(place.status(&other), "SUSPENDED", "no saga goes on");
    has(&summary(&place, &late), "each poll fails");
    assert_eq!(rules(&place, &late)[0], "likely poll_fails");
    let status = place.sen(&["status", "--check"]).run();
    assert_ne!(status.code, 0);
    has(&status.stdout, "its types lack TIMEOUT: each poll fails");
    has(&doctor(&place), "each poll fails now, and no saga goes on");
    run_statements(&place, &statements(&place));
    place.run_due();
    assert_eq!((place.status(&late), place.status(&other)), ("TIMEOUT".into(), "COMPLETED".into()));
    assert!(!doctor(&place).contains("ALTER TYPE"), "{}", doctor(&place));
}

/// A type made by 0.1.1 lacks what 0.7.3 asks for before it does anything.
#[test]
fn a_type_of_the_oldest_version_lets_no_saga_start() {
    let old = Place::new(&SAGA_011);
    let mut place = Place::beside(&old, &SAGA_073, serde_json::from_str(OTHER).expect("JSON"));
    let started = place.try_ask(json!({"do": "start", "order": "o-1", "plan": {}}));
    assert!(started.get("error").is_some(), "{started}");
    has(&doctor(&place), "this library version cannot work on these tables");
    let status = place.sen(&["status", "--check"]).run();
    assert_ne!(status.code, 0);
    has(&status.stdout, "can neither start nor poll sagas");
    run_statements(&place, &statements(&place));
    place.start("o-1", "order", json!({}));
    assert_eq!(place.sen(&["status", "--check"]).run().code, 0);
}

/// Messages that are due and not claimed are told everywhere, and so is an event that waits in the inbox.
#[test]
fn queues_that_nothing_empties_are_told() {
    for version in [&SAGA_014, &SAGA_073] {
        let mut place = Place::new(version);
        let done = place.start("o-1", "order", json!({}));
        let waiting = place.start("o-2", "order", json!({"charge": "await"}));
        let event = |id: &str, correlation: &str| json!({"event_id": id, "event_type": "charge.confirmed", "correlation_id": correlation, "payload": {}});
        assert_eq!(place.ask(json!({"do": "ingest", "id": waiting, "event": event("e-1", "o-2")})), json!(true));
        // A moment old: no alarm.
        assert_eq!(place.sen(&["status", "--check"]).run().code, 0);
        assert_eq!(rules(&place, &waiting), ["proven event_pending"]);
        place.shift("2 hours");
        let status = place.sen(&["status", "--check"]).run();
        assert_ne!(status.code, 0);
        has(&status.stdout, "1 outbox message due and not claimed, oldest 2h");
        has(&status.stdout, "1 inbox message due and not claimed, oldest 2h");
        let told = doctor(&place);
        has(&told, "1 outbox message due and not claimed, oldest 2h");
        has(&told, "1 inbox message due and not claimed, oldest 2h");
        assert_eq!(rules(&place, &done), ["proven outbox_waiting"]);
        assert_eq!(rules(&place, &waiting)[0], "proven event_pending");
        assert!(!place.act(&["why", &waiting], 0).stdout.contains("has not come"), "the event has come");
        assert!(!place.act(&["saga", "show", &waiting], 0).stdout.contains("saga notify"));
        let message = place.act(&["saga", "inbox", "list"], 0).json()[0]["id"].as_str().expect("an id").to_owned();
        assert_eq!(rules(&place, &message), ["proven inbox_waiting"]);
        // Applied and sent, all is quiet.
        place.ask(json!({"do": "run_inbox_due"}));
        place.ask(json!({"do": "dispatch"}));
        place.ask(json!({"do": "dispatch"}));
        assert!(rules(&place, &done).is_empty());
        // An event that came and was ignored while its saga still waits.
        let other = place.start("o-3", "order", json!({"charge": "await"}));
        assert_eq!(place.ask(json!({"do": "ingest", "id": other, "event": event("e-3", "wrong")})), json!(true));
        place.ask(json!({"do": "run_inbox_due"}));
        let status = place.sen(&["status", "--check"]).run();
        assert_ne!(status.code, 0);
        has(&status.stdout, "1 saga waits for an event that came and was ignored");
        has(&doctor(&place), "waits for an event that came and was ignored");
        assert_eq!(rules(&place, &other), ["proven event_ignored"]);
    }
}

/// A publisher works through the batch it has claimed: claimed for long is likely lost, not proven.
#[test]
fn a_slow_publisher_may_be_alive() {
    let mut place = Place::new(&SAGA_073);
    let id = place.start("o-1", "order", json!({}));
    let _publisher = Hanging::at(&place, &json!({"do": "dispatch", "how": "hang"}));
    place.shift("12 minutes");
    assert_eq!(rules(&place, &id), ["likely outbox_stuck"]);
    has(&text(&why(&place, &id)["causes"][0]["summary"]), "still working through its batch");
    has(&planned(&place, &["saga", "outbox", "requeue", "--all"]), "each may be sent twice");
    // As likely as that is, it is as grave wherever it is told.
    let message = text(&place.act(&["saga", "outbox", "list"], 0).json()[0]["id"]);
    let shown = place.act(&["saga", "outbox", "show", &message], 0).json()["verdict"].clone();
    assert_eq!((&shown["state"], &shown["severity"]), (&json!("left"), &json!("warning")), "{shown}");
    assert_eq!(why(&place, &id)["causes"][0]["severity"], "warning");
    assert_eq!(why(&place, &message)["causes"][0]["severity"], "warning");
    let status = place.act(&["status"], 0).json();
    let told = status["systems"].as_array().unwrap().iter().flat_map(|system| system["attention"].as_array().unwrap());
    let told: Vec<&Value> = told.filter(|item| text(&item["summary"]).contains("claimed and not finished")).collect();
    assert!(told.len() == 1 && told[0]["severity"] == "warning", "{status}");
}

/// What failed is named, and that it is not rolled back itself; what a kill leaves open is said.
#[test]
fn roll_backs_say_what_may_have_happened() {
    for version in VERSIONS {
        let mut place = Place::with(version, json!({"lease": 0.1}));
        let undone = place.start("o-1", "order-rollback", json!({"charge": "fail"}));
        let told = summary(&place, &undone);
        has(&told, "rolled back after step charge (Charge) failed: RuntimeError('charge refused for o-1')");
        has(&told, "that step itself is not rolled back");
        place.killed(json!({"do": "start", "order": "o-2", "saga": "order-rollback",
            "plan": {"charge": "fail", "undo-reserve": "hang"}}));
        std::thread::sleep(std::time::Duration::from_millis(200));
        let killed = place.id_of("o-2");
        assert_eq!(rules(&place, &killed), ["likely lease_expired"]);
        let why = text(&why(&place, &killed)["causes"][0]["summary"]);
        has(&why, "rolls step reserve (Reserve) back");
        has(&why, "the roll-back may have happened, and the next poll runs it again");
        place.mode("o-2", "undo-reserve", "ok");
        place.run_due();
        let effects = place.saga(&killed)["effects"].to_string();
        assert_eq!(effects.matches("compensate reserve").count(), 2, "{effects}");
        // A try that failed: which, of what, and when the next is.
        let patient = place.start("o-3", "order", json!({"charge": "fail"}));
        has(&summary(&place, &patient), "try 1 of step charge (Charge) failed");
        let shown = place.act(&["saga", "show", &patient], 0).json()["verdict"].to_string();
        has(&shown, "charge refused for o-3");
        has(&shown, "the next try is due in 5");
        suggestions_are_taken(&place, &patient);
    }
}

/// A failed saga whose work a later one has done is not simply retried.
#[test]
fn a_later_saga_of_the_same_aggregation_is_told() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let failed = place.start("o-1", "order-once", json!({"charge": "fail"}));
        assert_eq!(suggested(&place, &failed)[0], format!("sen saga retry {failed}"));
        let later = place.start("o-1", "order-once", json!({}));
        assert_eq!(rules(&place, &failed), ["proven later_saga", "proven step_failed"]);
        let next = suggested(&place, &failed);
        assert_eq!(next[0], format!("sen saga show {later}"), "{next:?}");
        has(&planned(&place, &["saga", "retry", &failed]), "this retry may do the same work twice");
        place.act(&["saga", "retry", &failed], 7);
        // One that failed, too, did no work.
        let again = place.start("o-2", "order-once", json!({"charge": "fail"}));
        place.start("o-2", "order-once", json!({"charge": "fail"}));
        assert_eq!(rules(&place, &again), ["proven step_failed"]);
    }
}

/// What an act made due is due, not the rest of a worker's lease.
#[test]
fn what_was_made_due_is_due() {
    for sqlite in [false, true] {
        let mut place = if sqlite { Place::sqlite(&SAGA_073) } else { Place::new(&SAGA_073) };
        let id = place.start("o-1", "order-once", json!({"charge": "fail"}));
        suggestions_are_taken(&place, &id);
        place.act(&["saga", "retry", &id, "--yes"], 0);
        assert_eq!(place.verdict(&id), "due");
        let listed = place.act(&["saga", "list", "--state", "due"], 0).json();
        assert_eq!(listed[0]["id"], id.as_str(), "{listed}");
        assert_eq!(place.act(&["status"], 0).json().to_string().matches("lease_expired\":1").count(), 0);
        suggestions_are_taken(&place, &id);
    }
}

/// The oldest version with events takes one that `sen` hands it, with type and correlation id.
#[test]
fn notify_is_no_dead_end() {
    let mut place = Place::new(&SAGA_014);
    let id = place.start("o-1", "order", json!({"charge": "await"}));
    suggestions_are_taken(&place, &id);
    let words = ["saga", "notify", &id, "--event-id", "e-1", "--type", "charge.confirmed", "--correlation", "o-1"];
    place.act(&[&words[..], &["--payload", "{\"ok\": true}"]].concat(), 0);
    place.mode("o-1", "charge", "ok");
    place.run_due();
    let saga = place.saga(&id);
    assert_eq!((saga["status"].as_str(), &saga["context"]["events"]), (Some("COMPLETED"), &json!([{"ok": true}])));
    assert!(matches!(place.base, Base::Postgres(_)));
}

/// A key of the same aggregation whose outcome is uncertain is settled before a saga that may have used it is retried.
#[test]
fn a_retry_warns_of_an_uncertain_key() {
    let mut place = Place::new(&SAGA_073);
    let id = place.start("order-7", "order-once", json!({"charge": "fail"}));
    place.psql(
        "CREATE SEQUENCE sentinel_token_seq; CREATE TABLE sentinel_leases (key text PRIMARY KEY, owner_id text NOT NULL,
            lease_expires_at timestamptz NOT NULL, lease_updated_at timestamptz, hard_expires_at timestamptz,
            execution_result jsonb, status text NOT NULL, fencing_token bigint NOT NULL, ttl_ms integer NOT NULL);
        INSERT INTO sentinel_leases VALUES ('payments:order-7', 'web-1:1-a', now() - interval '1 hour', now() - interval '1 hour',
            now() - interval '50 minutes', NULL, 'executing', 5, 3000)",
    );
    has(&planned(&place, &["saga", "retry", &id]), "related key payments:order-7 is uncertain");
    let done = place.act(&["saga", "retry", &id, "--yes"], 0);
    has(&done.stderr, "related key payments:order-7 is uncertain");
}
