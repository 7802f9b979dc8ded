//! Guards: each has a case that would be written without it. What was seen must still be so when the change is made.

use serde_json::{Value, json};

use super::place::{Place, VERSIONS, item};
use crate::harness::patience::until;
use crate::harness::postgres::Database;
use crate::harness::psql::Session;

/// Everything in the tables of a saga, as text.
fn row(place: &Place, id: &str) -> String {
    let history = if place.is_new() {
        place.psql(&format!("SELECT count(*) FROM order_saga_history WHERE saga_id = '{id}'"))
    } else {
        String::new()
    };
    place.psql(&format!("SELECT * FROM order_saga WHERE id = '{id}'")) + &history
}

/// The act is refused with code 5, says `why`, and writes nothing.
#[track_caller]
fn refused(place: &Place, words: &[&str], id: &str, why: &str) {
    let before = row(place, id);
    let words: Vec<&str> = words.iter().map(|word| if *word == "ID" { id } else { word }).collect();
    let output = place.act(&words, 5);
    let detail = item(&output)["detail"].as_str().expect("a detail is text").to_owned();
    assert!(detail.contains(why), "{words:?}: {detail}");
    assert_eq!(row(place, id), before, "{words:?}");
}

const ACTS: [&[&str]; 6] = [
    &["saga", "retry", "ID", "--yes"],
    &["saga", "skip", "ID", "--force", "--yes"],
    &["saga", "compensate", "ID", "--yes"],
    &["saga", "abort", "ID", "--yes"],
    &["saga", "unstick", "ID", "--unchanged-for", "0s", "--yes"],
    &["saga", "notify", "ID"],
];

#[test]
fn what_is_over_stays_so() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let completed = place.start("o-1", "order", json!({}));
        for act in ACTS {
            refused(&place, act, &completed, "it is completed");
        }
        let undone = place.start("o-2", "order-rollback", json!({"charge": "fail"}));
        let over = if place.is_new() { "it is compensated" } else { "" };
        for act in ACTS {
            refused(&place, act, &undone, over);
        }
        let half = place.start("o-3", "order-rollback", json!({"charge": "fail", "undo-reserve": "fail"}));
        refused(&place, ACTS[0], &half, "compensation has begun");
        let nothing = place.start("o-4", "order-once", json!({"reserve": "fail"}));
        refused(&place, ACTS[2], &nothing, "nothing to roll back");
        refused(&place, ACTS[3], &nothing, "it is failed");
        assert_eq!(place.run_due(), 0);
    }
}

#[test]
fn living_workers_are_left_alone() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        place.killed(json!({"do": "start", "order": "o-1", "plan": {"charge": "hang"}}));
        let running = place.id_of("o-1");
        for act in [0, 1, 2, 4, 5] {
            refused(&place, ACTS[act], &running, "");
        }
        place.killed(json!({"do": "start", "order": "o-2", "saga": "order-rollback",
            "plan": {"charge": "fail", "undo-reserve": "hang"}}));
        refused(&place, ACTS[2], &place.id_of("o-2"), "lease is alive");
        // Between two steps: not stuck yet.
        place.killed(json!({"do": "die_between", "order": "o-3"}));
        let between = place.id_of("o-3");
        refused(&place, &["saga", "unstick", "ID", "--yes"], &between, "between two steps");
        place.ask(json!({"do": "run_due"}));
    }
}

#[test]
fn outputs_that_would_stop_the_poll_are_refused() {
    let mut place = Place::new(VERSIONS[1]);
    place.start("o-1", "order", json!({}));
    let id = place.start("o-2", "order", json!({"charge": "fail"}));
    let skip = |output: &'static str| ["saga", "skip", "ID", "--yes", "--result", output];
    refused(&place, &skip(r#"{"charge": "c"}"#), &id, "amount is missing");
    refused(&place, &skip(r#"{"charge": 5, "amount": 1}"#), &id, "charge is a number, not text");
    refused(&place, &skip("[]"), &id, "must be a JSON object");
    place.act(&["saga", "skip", &id, "--yes", "--result", "{"], 2);
    place.act(&["saga", "skip", &id, "--yes", "--result", r#"{"charge":"\u0000","amount":1}"#], 2);
    // Nobody is there to say yes.
    place.act(&["saga", "skip", &id, "--result", r#"{"charge": "c", "amount": 1}"#], 7);
    place.act(&["saga", "skip", &id, "--yes", "--result", r#"{"charge": "c", "amount": 1}"#], 0);
    // A step that was skipped can be compensated: its success has the input of the last try.
    place.mode("o-2", "ship", "fail");
    place.run_due();
    assert_eq!(place.status(&id), "SUSPENDED");
    place.act(&["saga", "compensate", &id, "--yes"], 0);
    place.run_due();
    let saga = place.saga(&id);
    assert_eq!(
        (saga["status"].as_str(), saga["error"].as_str()),
        (Some("COMPENSATED"), Some("Compensation completed successfully"))
    );
    assert!(saga["effects"].to_string().contains("compensate charge"), "{saga}");
}

/// A row that changes between the look and the write, in each of the three things that are named.
#[test]
fn what_was_seen_must_still_be_so() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        for (at, change) in
            ["status = 'COMPLETED'", "step_execution_token = gen_random_uuid()", "current_step_index = 2"]
                .into_iter()
                .enumerate()
        {
            for (act, saga, plan) in [
                (0, "order-once", json!({"charge": "fail"})),
                (1, "order", json!({"charge": "fail"})),
                (2, "order-once", json!({"charge": "fail"})),
                (3, "order", json!({"charge": "fail"})),
                (5, "order", json!({"charge": "fail"})),
            ] {
                let id = place.start(&format!("o-{at}-{act}"), saga, plan);
                overtaken(&place, ACTS[act], &id, change);
            }
            place.killed(json!({"do": "die_between", "order": format!("o-{at}-stuck")}));
            let id = place.id_of(&format!("o-{at}-stuck"));
            overtaken(&place, ACTS[4], &id, change);
        }
    }
}

/// `sen` looks, and while its write waits for the row somebody else's change commits first: it must be told.
#[track_caller]
fn overtaken(place: &Place, words: &[&str], id: &str, change: &str) {
    let super::place::Base::Postgres(database) = &place.base else { panic!("PostgreSQL only") };
    let words: Vec<&str> = words.iter().map(|word| if *word == "ID" { id } else { word }).collect();
    let mut session = database.session();
    session.run(&format!("BEGIN; UPDATE order_saga SET {change} WHERE id = '{id}'"));
    let running = place.sen(&words).start();
    wait_for_lock(database);
    session.run("COMMIT");
    let before = row(place, id);
    let output = running.finish().expect_code(5);
    let told = item(&output);
    assert_eq!(told["outcome"], "changed");
    assert!(told["detail"].as_str().expect("text").contains("it has changed since it was looked at"), "{told}");
    assert_eq!(row(place, id), before, "{words:?} over {change}");
    drop::<Session>(session);
}

/// Until somebody waits for a lock in this database.
pub fn wait_for_lock(database: &Database<'_>) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("sen waits for the row", || database.psql(waiting) != "0");
}

/// Further conditions that are part of the statements: a lease, an abandonment, a compensation, an event.
#[test]
fn further_conditions_hold_when_the_change_is_made() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        // Stuck when looked at, touched by its worker before the write.
        place.killed(json!({"do": "die_between", "order": "o-1"}));
        let id = place.id_of("o-1");
        place.age("order_saga", "true", "2 minutes");
        overtaken(&place, &["saga", "unstick", "ID", "--yes"], &id, "updated_at = now()");
        place.age("order_saga", "true", "2 minutes");
        overtaken(&place, &["saga", "unstick", "ID", "--yes"], &id, "deadline_at = now() + interval '1 minute'");
        // Its compensating worker's lease was over when looked at, and is renewed.
        place.killed(json!({"do": "start", "order": "o-2", "saga": "order-rollback",
            "plan": {"charge": "fail", "undo-reserve": "hang"}}));
        let id = place.id_of("o-2");
        place.psql(&format!("UPDATE order_saga SET deadline_at = now() - interval '1 second' WHERE id = '{id}'"));
        overtaken(&place, ACTS[2], &id, "deadline_at = now() + interval '1 minute'");
        // A compensation that comes on record after the look.
        let id = place.start("o-3", "order-once", json!({"charge": "fail"}));
        let change = if place.is_new() {
            place.psql(&format!(
                "CREATE FUNCTION pg_temp.x() RETURNS void LANGUAGE sql AS ''; \
                 INSERT INTO order_saga_history (saga_id, timestamp, phase, status, step_id, step_name, attempt, token, skipped) \
                 SELECT '{id}', now(), 'COMPENSATE', 'SUCCESS', 'x', 'X', 1, gen_random_uuid(), false WHERE false"
            ));
            None
        } else {
            Some(r#"step_history = step_history || '[{"phase": "compensate"}]'"#)
        };
        if let Some(change) = change {
            overtaken(&place, ACTS[0], &id, change);
        } else {
            compensated_meanwhile(&place, &id);
        }
        if place.is_new() {
            // The event was taken meanwhile; the wait was over meanwhile.
            let id = place.start("o-4", "order", json!({"charge": "await"}));
            let notify =
                ["saga", "notify", "ID", "--event-id", "e-1", "--type", "charge.confirmed", "--correlation", "o-4"];
            overtaken(&place, &notify, &id, r#"context = jsonb_set(context, '{processed_event_ids}', '["e-1"]')"#);
            let id = place.start("o-5", "order", json!({"charge": "await"}));
            let notify =
                ["saga", "notify", "ID", "--event-id", "e-1", "--type", "charge.confirmed", "--correlation", "o-5"];
            overtaken(
                &place,
                &notify,
                &id,
                r#"context = jsonb_set(context, '{awaiting_until}', '"2020-01-01T00:00:00+00:00"')"#,
            );
        }
    }
}

/// The history is another table: the entry must be seen although only the row itself is locked.
fn compensated_meanwhile(place: &Place, id: &str) {
    let super::place::Base::Postgres(database) = &place.base else { panic!("PostgreSQL only") };
    let plan = place.act(&["saga", "retry", id, "--dry-run"], 0).json();
    assert_eq!(plan["planned"], 1);
    let enter = format!(
        "INSERT INTO order_saga_history (saga_id, timestamp, phase, status, step_id, step_name, attempt, token, skipped)
        VALUES ('{id}', now(), 'COMPENSATE', 'SUCCESS', 'reserve', 'Reserve', 1, gen_random_uuid(), false)"
    );
    database.psql(&enter);
    refused(place, ACTS[0], id, "compensation has begun");
}

/// Exactly so many, or nothing; the record names who and why.
#[test]
fn bulk_acts_say_what_they_would_do_and_are_on_record() {
    let mut place = Place::new(VERSIONS[1]);
    for n in 0..3 {
        place.start(&format!("o-{n}"), "order-once", json!({"charge": "fail"}));
    }
    let all = ["saga", "retry", "--all", "--name", "order-once"];
    let dry = place.act(&[&all[..], &["--dry-run"]].concat(), 0).json();
    assert_eq!((dry["planned"].as_i64(), dry["dry_run"].as_bool()), (Some(3), Some(true)));
    place.act(&all, 7);
    place.act(&[&all[..], &["--yes", "--expect", "2"]].concat(), 5);
    place.act(&["saga", "abort", "--all", "--yes"], 2);
    let done = place.act(&[&all[..], &["--yes", "--reason", "INC-7"]].concat(), 0).json();
    assert_eq!(done["applied"], 3);
    let id = place.id_of("o-1");
    let saga: Value = place.saga(&id);
    let record = &saga["history"].as_array().expect("a list").last().expect("a record")["input"]["_sen"];
    assert_eq!((record["why"].as_str(), record["before"]["status"].as_str()), (Some("INC-7"), Some("FAILED")));
    assert!(
        record["who"].as_str().expect("text").starts_with(&crate::harness::sen::operator())
            && record["db_user"] == "postgres"
    );
    assert_eq!(record["operation"], done["operation"]);
    // What is refused is not announced: the same number is shown, expected and planned.
    let failed = place.start("o-3", "order-once", json!({"charge": "fail"}));
    let both = ["saga", "retry", &failed, &id];
    let dry = place.act(&[&both[..], &["--dry-run"]].concat(), 3).json();
    assert_eq!(
        (&dry["plan"]["header"]["plan"]["summary"], &dry["planned"]),
        (&"retry 1 saga".into(), &1.into()),
        "{dry}"
    );
    place.act(&[&both[..], &["--yes", "--expect", "2"]].concat(), 5);
    let done = place.act(&[&both[..], &["--yes", "--expect", "1"]].concat(), 3).json();
    assert_eq!((done["planned"].as_i64(), done["applied"].as_i64()), (Some(1), Some(1)));
    // Read-only is refused before anything is asked.
    place.act(&["saga", "retry", &id, "--read-only"], 7);
}

/// The privileges `sen grants` names are enough for every act, and reading alone is not.
#[test]
fn least_privileges_are_enough() {
    for version in VERSIONS {
        let mut place = Place::with(version, json!({"schema": "Sho p"}));
        let id = place.start("o-1", "order-once", json!({"charge": "fail"}));
        if place.is_new() {
            place.start("o-2", "order", json!({}));
            place.ask(json!({"do": "dispatch", "how": "fail"}));
        }
        let name = place.psql("SELECT current_database()");
        let roles = |role: &str| format!("{role}_{name}");
        for role in ["ro", "operator"] {
            let sql = crate::harness::sen::sen(["grants", "--role", role, "--to", &roles(role)]).database(&place.url());
            let sql = sql.run().expect_code(0).stdout;
            place.psql(&format!("CREATE ROLE {} LOGIN; {sql}", roles(role)));
        }
        let as_role = |role: &str, words: &[&str]| {
            let url = place.url().replace("user=postgres", &format!("user={}", roles(role)));
            crate::harness::sen::sen(words.iter().copied().chain(["-o", "json"])).database(&url).run()
        };
        as_role("ro", &["saga", "show", &id]).expect_code(0);
        as_role("ro", &["saga", "retry", &id, "--yes"]).expect_code(1);
        as_role("operator", &["saga", "retry", &id, "--yes"]).expect_code(0);
        if place.is_new() {
            as_role("operator", &["saga", "outbox", "requeue", "--all", "--yes"]).expect_code(0);
        }
    }
}
