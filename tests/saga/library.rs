//! Each act by `sen`, followed by the library's `run_due`, leads where the library's own admin call would have led.

use serde_json::{Value, json};

use super::place::{Place, VERSIONS, item};

/// What a saga has come to: everything that later runs depend on, without times, ids, and the records of who did what.
fn outcome(saga: &Value) -> Value {
    let history = saga["history"].as_array().expect("a history is a list");
    // What an operator did is recorded at both, in different words; a skipped step's success is more than a record.
    let own = history.iter().filter(|entry| entry["input"].get("_admin").is_none() || entry["status"] == "SUCCESS");
    let steps: Vec<Value> = own
        .map(|entry| {
            json!([entry["phase"].as_str().map(str::to_lowercase), entry["status"], entry["step_id"], entry["error"]])
        })
        .collect();
    let mut context = saga["context"].clone();
    for personal in ["saga_id", "initial_data", "notify_inbox", "latest_event_meta"] {
        context.as_object_mut().expect("a context is an object").remove(personal);
    }
    json!({"status": saga["status"], "step": saga["step"], "retries": saga["retries"], "error": saga["error"],
        "deadline": saga["deadline"].is_null(), "context": context, "steps": steps, "effects": saga["effects"]})
}

/// The order's own name folded away, so that two sagas can be compared.
fn compared(saga: &Value, order: &str) -> Value {
    serde_json::from_str(&outcome(saga).to_string().replace(order, "ORDER")).expect("still JSON")
}

/// Makes two equal sagas; the library acts on one, `sen` and then `run_due` on the other; both must come to the same.
#[track_caller]
fn same(place: &mut Place, name: &str, make: impl Fn(&mut Place, &str) -> String, act: Value, words: &[&str]) -> Value {
    let (left, right) = (format!("{name}-lib"), format!("{name}-sen"));
    let (theirs, ours) = (make(place, &left), make(place, &right));
    let mut command = act.as_object().expect("an act is an object").clone();
    command.insert("do".into(), json!("act"));
    command.insert("id".into(), json!(theirs));
    place.ask(Value::Object(command));
    let before = place.saga(&ours);
    let words: Vec<&str> = words.iter().map(|word| if *word == "ID" { ours.as_str() } else { word }).collect();
    let output = place.act(&words, 0);
    assert_eq!(item(&output)["outcome"], "applied");
    let changed = place.saga(&ours);
    assert_ne!(changed["token"], before["token"], "a new token fences the old worker out");
    let recorded =
        changed["history"].as_array().expect("a list").iter().any(|entry| entry["input"]["_sen"]["who"].is_string());
    assert!(recorded, "who did it is on record: {changed}");
    place.run_due();
    let (theirs, ours) = (place.saga(&theirs), place.saga(&ours));
    assert_eq!(compared(&theirs, &left), compared(&ours, &right), "{name}");
    ours
}

#[test]
fn acts_lead_where_the_librarys_own_lead() {
    VERSIONS.into_iter().for_each(|version| all_acts(&mut Place::new(version)));
}

/// Every act, on whatever the tables are in.
pub fn all_acts(place: &mut Place) {
    {
        // Retries: what failed for good, what waits for its next try; a step that works now, and one that fails again.
        let failed = |place: &mut Place, order: &str| {
            let id = place.start(order, "order-once", json!({"charge": "fail"}));
            assert_eq!(place.status(&id), "FAILED");
            place.mode(order, "charge", "ok");
            id
        };
        let done = same(place, "retry", failed, json!({"act": "retry_step"}), &["saga", "retry", "ID", "--yes"]);
        assert_eq!(done["status"], "COMPLETED");
        let again = |place: &mut Place, order: &str| place.start(order, "order", json!({"charge": "fail"}));
        let waits = same(place, "again", again, json!({"act": "retry_step"}), &["saga", "retry", "ID", "--yes"]);
        assert_eq!((waits["status"].as_str(), waits["retries"].as_i64()), (Some("SUSPENDED"), Some(1)));

        // Skips: the output feeds the next step.
        let output = json!({"charge": "by hand", "amount": 3.25});
        let skipped = same(
            place,
            "skip",
            again,
            json!({"act": "skip_step", "output": output}),
            &["saga", "skip", "ID", "--result", &output.to_string(), "--yes", "--force"],
        );
        assert_eq!(skipped["context"]["step_outputs"]["charge"], output);
        assert_eq!(skipped["status"], "COMPLETED");

        // Compensation of what failed, and of what waits.
        let compensated =
            same(place, "undo", failed, json!({"act": "compensate_step"}), &["saga", "compensate", "ID", "--yes"]);
        assert_eq!(compensated["status"], if place.is_new() { "COMPENSATED" } else { "FAILED" });
        same(place, "undo-waiting", again, json!({"act": "compensate_step"}), &["saga", "compensate", "ID", "--yes"]);
        let stuck_half = |place: &mut Place, order: &str| {
            let plan = json!({"charge": "fail", "undo-reserve": "fail"});
            let id = place.start(order, "order-rollback", plan);
            assert_eq!(place.status(&id), "FAILED");
            place.mode(order, "undo-reserve", "ok");
            id
        };
        same(
            place,
            "undo-again",
            stuck_half,
            json!({"act": "compensate_step"}),
            &["saga", "compensate", "ID", "--yes"],
        );

        // Aborting what waits.
        let aborted = same(place, "abort", again, json!({"act": "abort"}), &["saga", "abort", "ID", "--yes"]);
        assert_eq!(aborted["status"], "FAILED");
    }
}

/// The newest record of an operator's act: all but times, tokens, and who did it.
fn record(saga: &Value) -> Value {
    let history = saga["history"].as_array().expect("a history is a list");
    let entry = history.iter().rev().find(|entry| entry["input"].get("_admin").is_some()).expect("an act is on record");
    json!([
        entry["input"]["_admin"],
        entry["phase"].as_str().map(str::to_uppercase),
        entry["status"],
        entry["step_id"],
        entry["step_name"],
        entry["attempt"],
        entry["error"],
        entry["skipped"]
    ])
}

/// The record of an act names the step the saga stands at, as the library's own does.
#[test]
fn records_name_the_step_the_saga_stands_at() {
    VERSIONS.into_iter().for_each(|version| all_records(&mut Place::new(version)));
}

/// The records of every act, on whatever the tables are in.
pub fn all_records(place: &mut Place) {
    let named = |saga: &Value| (record(saga)[3].clone(), record(saga)[4].clone());
    let charge = (json!("charge"), json!("Charge"));
    // Nothing tells the name of a step that nobody has recorded.
    place.killed(json!({"do": "start", "order": "o-first", "saga": "order-once", "plan": {"charge": "hang"}}));
    let first = place.id_of("o-first");
    place.act(&["saga", "abort", &first, "--yes"], 0);
    assert_eq!(record(&place.saga(&first))[3], "__unknown__");
    // Other sagas of the definition do.
    for saga in ["order", "order-once", "order-rollback"] {
        place.start(&format!("done-{saga}"), saga, json!({}));
    }
    for (name, saga, plan) in [
        ("reserve", "order-once", json!({"reserve": "hang"})),
        ("charge", "order-once", json!({"charge": "hang"})),
        ("ship", "order-once", json!({"ship": "hang"})),
        ("undo", "order-rollback", json!({"charge": "fail", "undo-reserve": "hang"})),
        ("undo-2", "order-rollback", json!({"ship": "fail", "undo-reserve": "hang"})),
        ("waits", "order", json!({"charge": "fail"})),
    ] {
        let (left, right) = (format!("{name}-lib"), format!("{name}-sen"));
        for order in [&left, &right] {
            place.killed(json!({"do": "start", "order": order, "saga": saga, "plan": plan}));
        }
        let (theirs, ours) = (place.id_of(&left), place.id_of(&right));
        place.ask(json!({"do": "act", "act": "abort", "id": theirs}));
        place.act(&["saga", "abort", &ours, "--yes"], 0);
        let (theirs, ours) = (place.saga(&theirs), place.saga(&ours));
        assert_eq!(theirs["step"], ours["step"], "{name}");
        if place.is_new() {
            let folded = |saga: &Value, order: &str| record(saga).to_string().replace(order, "ORDER");
            assert_eq!(folded(&theirs, &left), folded(&ours, &right), "{name}");
        } else {
            let steps = [("reserve", "Reserve"), ("charge", "Charge"), ("ship", "Ship")];
            let (id, class) = steps[usize::try_from(ours["step"].as_i64().expect("a number")).expect("small")];
            assert_eq!(named(&ours), (json!(id), json!(class)), "{name}");
        }
    }
    // What comes after an abort stands at the same step.
    let aborted = place.id_of("charge-sen");
    place.act(&["saga", "retry", &aborted, "--yes"], 0);
    assert_eq!(
        (&record(&place.saga(&aborted))[0], named(&place.saga(&aborted))),
        (&json!("retry_step"), charge.clone())
    );
    let aborted = place.id_of("charge-lib");
    place.act(&["saga", "compensate", &aborted, "--yes"], 0);
    assert_eq!(named(&place.saga(&aborted)), charge);
    // Freed between two steps, and skipped.
    place.killed(json!({"do": "die_between", "order": "stuck"}));
    let stuck = place.id_of("stuck");
    place.act(&["saga", "unstick", &stuck, "--unchanged-for=0s", "--yes"], 0);
    assert_eq!(named(&place.saga(&stuck)), charge);
    let output = json!({"charge": "by hand", "amount": 3.25});
    let (theirs, ours) = (
        place.start("skip-lib", "order", json!({"charge": "fail"})),
        place.start("skip-sen", "order", json!({"charge": "fail"})),
    );
    place.ask(json!({"do": "act", "act": "skip_step", "id": theirs, "output": output}));
    place.act(&["saga", "skip", &ours, "--result", &output.to_string(), "--yes", "--force"], 0);
    assert_eq!(named(&place.saga(&theirs)), named(&place.saga(&ours)));
    assert_eq!(named(&place.saga(&ours)), charge);
}

/// Waiting for events is 0.7.3's; 0.1.1 knows only the payload.
#[test]
fn events_are_taken_as_by_notify() {
    all_events(Place::new(VERSIONS[1]), Place::new(VERSIONS[0]));
}

/// Every way of notifying, on whatever the tables are in.
pub fn all_events(mut place: Place, older: Place) {
    let waiting = json!({"charge": "await"});
    let (theirs, ours) =
        (place.start("o-lib", "order", waiting.clone()), place.start("o-sen", "order", waiting.clone()));
    assert_eq!(place.verdict(&ours), "waiting_event");
    let event =
        json!({"event_id": "e-1", "event_type": "charge.confirmed", "correlation_id": "o-lib", "payload": {"n": 1}});
    assert_eq!(place.ask(json!({"do": "notify", "id": theirs, "event": event})), "ACCEPTED");
    let notify = |more: &[&str]| {
        let words = ["saga", "notify", &ours, "--payload", r#"{"n": 1}"#, "--event-id", "e-1"];
        words.into_iter().chain(more.iter().copied()).map(str::to_owned).collect::<Vec<_>>()
    };
    for wrong in [&["--type", "lost", "--correlation", "o-sen"][..], &["--type", "charge.confirmed"], &[]] {
        let all = notify(wrong);
        place.act(&all.iter().map(String::as_str).collect::<Vec<_>>(), 5);
    }
    let all = notify(&["--type", "charge.confirmed", "--correlation", "o-sen"]);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    place.act(&all, 0);
    assert_eq!(place.run_due(), 1);
    let (left, right) = (place.saga(&theirs), place.saga(&ours));
    assert_eq!(compared(&left, "o-lib"), compared(&right, "o-sen"));
    assert_eq!(right["status"], "COMPLETED");
    assert_eq!(right["context"]["processed_event_ids"], json!(["e-1"]));
    place.act(&all, 5);

    // Through the inbox, once; the same event again is no second one.
    let third = place.start("o-in", "order", waiting);
    let ingest = [
        "saga",
        "notify",
        "o-in",
        "--inbox",
        "--event-id",
        "e-9",
        "--payload",
        "{}",
        "--type",
        "charge.confirmed",
        "--correlation",
        "o-in",
    ];
    assert_eq!(item(&place.act(&ingest, 0))["outcome"], "applied");
    assert_eq!(item(&place.act(&ingest, 0))["outcome"], "already_done");
    assert_eq!(place.ask(json!({"do": "run_inbox_due"})), 1);
    assert_eq!(place.status(&third), "COMPLETED");

    // 0.1.1: the payload alone, to a saga that is suspended.
    let mut place = older;
    let (theirs, ours) = (
        place.start("o-lib", "order", json!({"charge": "fail"})),
        place.start("o-sen", "order", json!({"charge": "fail"})),
    );
    place.mode("o-lib", "charge", "ok");
    place.mode("o-sen", "charge", "ok");
    assert_eq!(place.ask(json!({"do": "notify", "id": theirs, "event": {"n": 1}})), true);
    place.act(&["saga", "notify", &ours, "--payload", r#"{"n": 1}"#], 0);
    place.run_due();
    assert_eq!(compared(&place.saga(&theirs), "o-lib"), compared(&place.saga(&ours), "o-sen"));
}

/// Killed between two steps: no poll ever picks it up, until `unstick`; then every step runs once.
#[test]
fn orphans_without_a_deadline_are_freed() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        place.killed(json!({"do": "die_between", "order": "o-1"}));
        let id = place.id_of("o-1");
        assert_eq!(place.run_due(), 0);
        assert_eq!(place.verdict(&id), "between_steps");
        place.act(&["saga", "unstick", &id, "--yes"], 5);
        place.age("order_saga", "true", "2 minutes");
        assert_eq!((place.verdict(&id).as_str(), place.run_due()), ("stuck", 0));
        let listed = place.act(&["saga", "list", "--stuck"], 0).json();
        assert_eq!(listed[0]["id"], id.as_str());
        let doctor = place.sen(&["doctor"]).run().stdout;
        assert!(doctor.contains("1 saga stuck: active but"), "{doctor}");
        // `sen reconcile` is for leases: it says what this is and what to type.
        let pointed = place.sen(&["reconcile", &id, "--yes"]).run().expect_code(5).stderr;
        assert!(
            pointed.contains("is no lease but a saga") && pointed.contains(&format!("sen saga unstick {id}")),
            "{pointed}"
        );
        place.act(&["saga", "unstick", "--all", "--yes"], 0);
        assert_eq!(place.run_due(), 1);
        let saga = place.saga(&id);
        assert_eq!(saga["status"], "COMPLETED");
        let doctor = place.sen(&["doctor"]).run().stdout;
        assert!(!doctor.contains("saga stuck"), "{doctor}");
        assert_eq!(saga["effects"], json!(["execute reserve", "execute charge", "execute ship"]));
    }
}

/// What a worker writes under the token it had before an act is not accepted.
#[test]
fn late_results_are_ignored() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let output = json!({"charge": "late", "amount": 1.0});
        for (order, words) in [
            ("o-abort", &["saga", "abort", "ID", "--yes"][..]),
            ("o-abort-2", &["saga", "abort", "--all", "--aggregation", "o-abort-2", "--yes"]),
        ] {
            place.killed(json!({"do": "start", "order": order, "plan": {"charge": "hang"}}));
            let id = place.id_of(order);
            let before = place.saga(&id);
            assert_eq!((before["status"].as_str(), place.verdict(&id).as_str()), (Some("RUNNING"), "running"));
            let words: Vec<&str> = words.iter().map(|word| if *word == "ID" { id.as_str() } else { word }).collect();
            place.act(&words, 0);
            let after = place.saga(&id);
            let late =
                json!({"do": "late", "id": id, "order": order, "step": 1, "token": before["token"], "output": output});
            assert_eq!(place.ask(late), false);
            assert_eq!(place.saga(&id), after, "nothing of it was written");
            assert_eq!(after["status"], "FAILED");
        }
    }
}

/// Every kind of saga, made by running the library, with the verdict it must get.
#[test]
fn verdicts_on_what_the_library_left() {
    for version in VERSIONS {
        let mut place = Place::with(version, json!({"lease": 0.05}));
        let expect =
            |place: &Place, id: &str, verdict: &str| assert_eq!(place.verdict(id), verdict, "{}", version.name);
        let done = place.start("o-done", "order", json!({}));
        expect(&place, &done, "completed");
        let retry = place.start("o-retry", "order", json!({"charge": "fail"}));
        expect(&place, &retry, "waiting_retry");
        let failed = place.start("o-failed", "order-once", json!({"charge": "fail"}));
        expect(&place, &failed, "failed");
        let undone = place.start("o-undone", "order-rollback", json!({"charge": "fail"}));
        expect(&place, &undone, "compensated");
        let half = place.start("o-half", "order-rollback", json!({"charge": "fail", "undo-reserve": "fail"}));
        expect(&place, &half, "partly_compensated");
        place.killed(json!({"do": "start", "order": "o-run", "plan": {"charge": "hang"}}));
        place.killed(json!({"do": "start", "order": "o-comp", "saga": "order-rollback",
            "plan": {"charge": "fail", "undo-reserve": "hang"}}));
        let (running, compensating) = (place.id_of("o-run"), place.id_of("o-comp"));
        std::thread::sleep(std::time::Duration::from_millis(100));
        expect(&place, &running, "lease_expired");
        expect(&place, &compensating, "lease_expired");
        assert_eq!(place.saga(&compensating)["status"], "COMPENSATING");
        place.mode("o-run", "charge", "ok");
        place.mode("o-comp", "undo-reserve", "ok");
        if place.is_new() {
            let late = place.start("o-late", "order", json!({"charge": "await:0.01"}));
            std::thread::sleep(std::time::Duration::from_millis(50));
            expect(&place, &late, "due");
            place.run_due();
            expect(&place, &late, "timed_out");
            place.act(&["saga", "retry", &late, "--yes"], 0);
        }
        // Both are found under everything they go by.
        for id in [&done, "o-done"] {
            assert_eq!(place.act(&["inspect", id], 0).json()["aggregation_id"], "o-done");
        }
        let trace =
            place.act(&["saga", "show", &done], 0).json()["trace_id"].as_str().expect("a trace is text").to_owned();
        assert_eq!(place.act(&["inspect", &trace], 0).json()["id"], done.as_str());
        place.act(&["saga", "show", "o-none"], 4);
    }
}
