//! Messages that failed or were claimed and not finished: dead letters, until they are made due again.

use serde_json::{Value, json};

use super::guards::wait_for_lock;
use super::place::{Place, VERSIONS, item};

fn new() -> Place {
    Place::new(VERSIONS[1])
}

fn statuses(place: &mut Place, name: &str) -> Vec<String> {
    let messages = place.ask(json!({"do": "messages", "box": name}));
    let status = |message: &Value| message["status"].as_str().expect("a status is text").to_owned();
    messages.as_array().expect("a list").iter().map(status).collect()
}

#[test]
fn failed_messages_are_sent_when_requeued() {
    let mut place = new();
    place.start("o-1", "order", json!({}));
    place.start("o-2", "order", json!({}));
    assert_eq!(place.ask(json!({"do": "dispatch", "how": "fail"})), json!([]));
    assert_eq!(statuses(&mut place, "outbox"), ["FAILED", "FAILED"]);
    // The library tries again half a minute later; until then nothing is due.
    assert_eq!(place.ask(json!({"do": "dispatch"})), json!([]));
    let listed = place.act(&["saga", "outbox", "list", "--stuck"], 0).json();
    let first = listed[1]["id"].as_str().expect("an id").to_owned();
    assert_eq!((listed.as_array().map(Vec::len), listed[0]["replay"].as_str()), (Some(2), Some("replayable")));
    let found = place.act(&["inspect", &first], 0).json();
    assert_eq!((found["verdict"]["state"].as_str(), found["system"].as_str()), (Some("failed"), Some("saga")));
    place.act(&["saga", "outbox", "requeue", &first], 7);
    assert_eq!(
        item(&place.act(&["saga", "outbox", "requeue", &first, "--yes", "--reason", "INC-3"], 0))["outcome"],
        "applied"
    );
    assert_eq!(place.ask(json!({"do": "dispatch"})).as_array().map(Vec::len), Some(1));
    let mut states = statuses(&mut place, "outbox");
    states.sort();
    assert_eq!(states, ["FAILED", "SENT"]);
    // Sent is sent; the rest in bulk.
    place.act(&["saga", "outbox", "requeue", &first, "--yes"], 5);
    let dry = place.act(&["saga", "outbox", "requeue", "--all", "--dry-run"], 0).json();
    assert_eq!(dry["planned"], 1);
    // They are dead letters like those of any other system.
    let group = place.act(&["dlq", "groups", "--system", "saga"], 0).json()[0].clone();
    assert_eq!((group["step"].as_str(), group["count"].as_i64()), (Some("orders.charged"), Some(1)));
    let sample = group["sample_id"].as_str().expect("an id");
    assert_eq!(place.act(&["dlq", "show", sample], 0).json()["verdict"]["state"], "failed");
    place
        .act(&["dlq", "replay", "--group", group["group"].as_str().expect("a group"), "--reason", "INC-4", "--yes"], 0);
    assert_eq!(place.ask(json!({"do": "dispatch"})).as_array().map(Vec::len), Some(1));
    assert_eq!(statuses(&mut place, "outbox"), ["SENT", "SENT"]);
    // The saga's history says who made it due.
    let noted = place.psql("SELECT input -> '_sen' ->> 'why' FROM order_saga_history WHERE input ->> '_admin' = 'requeue_outbox' ORDER BY id");
    assert_eq!(noted, "INC-3\nINC-4");
}

#[test]
fn messages_left_by_a_killed_publisher_are_sent_when_requeued() {
    let mut place = new();
    place.start("o-1", "order", json!({}));
    place.killed(json!({"do": "dispatch", "how": "hang"}));
    assert_eq!(statuses(&mut place, "outbox"), ["DISPATCHING"]);
    assert_eq!(place.ask(json!({"do": "dispatch"})), json!([]), "nobody ever takes it again");
    let id = place.act(&["saga", "outbox", "list"], 0).json()[0]["id"].as_str().expect("an id").to_owned();
    // A moment ago it was taken: a publisher may live.
    let refusal = item(&place.act(&["saga", "outbox", "requeue", &id, "--yes"], 5));
    assert!(
        refusal["detail"].as_str().expect("text").contains("the process that claimed it may be at it"),
        "{refusal}"
    );
    assert_eq!(place.act(&["saga", "outbox", "list", "--stuck"], 0).json(), json!([]));
    place.age("order_outbox", "true", "11 minutes");
    assert_eq!(place.act(&["saga", "outbox", "show", &id], 0).json()["verdict"]["state"], "left");
    place.act(&["saga", "outbox", "requeue", "--all", "--yes"], 0);
    assert_eq!(place.ask(json!({"do": "dispatch"})).as_array().map(Vec::len), Some(1));
    assert_eq!(statuses(&mut place, "outbox"), ["SENT"]);
}

#[test]
fn a_message_that_changed_since_it_was_seen_is_left_alone() {
    let mut place = new();
    place.start("o-1", "order", json!({}));
    place.ask(json!({"do": "dispatch", "how": "fail"}));
    let super::place::Base::Postgres(database) = &place.base else { panic!("PostgreSQL only") };
    let id = place.act(&["saga", "outbox", "list"], 0).json()[0]["id"].as_str().expect("an id").to_owned();
    let fail = "UPDATE order_outbox SET status = 'FAILED', updated_at = now() - interval '1 hour'";
    // Between the look and the write: the table of the records is locked, which the write waits for and the look does not.
    for change in ["status = 'SENT'", "status = 'DISPATCHING'", "updated_at = now()"] {
        place.psql(fail);
        let mut session = database.session();
        session.run("BEGIN; LOCK TABLE order_saga_history IN ACCESS EXCLUSIVE MODE");
        let running = place.sen(&["saga", "outbox", "requeue", &id, "--yes"]).start();
        wait_for_lock(database);
        place.psql(&format!("UPDATE order_outbox SET {change}"));
        session.run("COMMIT");
        let told = running.finish().expect_code(5);
        assert_eq!(item(&told)["outcome"], "changed", "{change}");
        assert_ne!(place.psql("SELECT status FROM order_outbox"), "PENDING", "{change}");
    }
    // A publisher has the row at this moment: it is left to that, without waiting.
    place.psql(fail);
    let mut session = database.session();
    session.run("BEGIN; SELECT FROM order_outbox FOR UPDATE");
    assert_eq!(item(&place.act(&["saga", "outbox", "requeue", &id, "--yes"], 5))["outcome"], "changed");
    session.run("ROLLBACK");
    assert_eq!(place.psql("SELECT status FROM order_outbox"), "FAILED");
}

#[test]
fn inbox_messages_are_applied_when_their_saga_waits() {
    let mut place = new();
    let waiting = place.start("o-1", "order", json!({"charge": "await"}));
    let done = place.start("o-2", "order", json!({}));
    let event = |order: &str, id: &str| json!({"event_id": id, "event_type": "charge.confirmed", "correlation_id": order, "payload": {"n": 1}});
    // Taken by a worker that was killed while it applied it; before the saga took it.
    place.ask(json!({"do": "ingest", "id": waiting, "event": event("o-1", "e-1")}));
    place.ask(json!({"do": "ingest", "id": done, "event": event("o-2", "e-2")}));
    place.psql("UPDATE order_inbox SET status = 'PROCESSING', updated_at = now() - interval '1 hour'");
    assert_eq!(place.ask(json!({"do": "run_inbox_due"})), 0, "nobody ever takes them again");
    let listed = place.act(&["saga", "inbox", "list", "--stuck"], 0).json();
    let standing = |id: &str| {
        let rows = listed.as_array().expect("a list");
        rows.iter().find(|row| row["event_id"] == id).expect("it is listed")["replay"].clone()
    };
    assert_eq!((standing("e-1"), standing("e-2")), (json!("replayable"), json!("saga_not_waiting")));
    let plan = place.act(&["saga", "inbox", "requeue", "--all", "--dry-run"], 0).json();
    assert_eq!(plan["planned"], 1);
    place.act(&["saga", "inbox", "requeue", "e-2", "--yes"], 5);
    place.act(&["saga", "inbox", "requeue", "e-1", "--yes"], 0);
    assert_eq!(place.ask(json!({"do": "run_inbox_due"})), 1);
    assert_eq!(place.status(&waiting), "COMPLETED");
    place.act(&["saga", "inbox", "requeue", "e-2", "--yes", "--force"], 0);
    place.ask(json!({"do": "run_inbox_due"}));
    let mut states = statuses(&mut place, "inbox");
    states.sort();
    assert_eq!(states, ["APPLIED", "IGNORED"]);
    // What was ignored is requeued only when it is named.
    assert_eq!(place.act(&["saga", "inbox", "requeue", "--all", "--dry-run"], 0).json()["planned"], 0);
}

#[test]
fn failed_inbox_messages_are_dead_letters() {
    let mut place = new();
    let event = json!({"event_id": "e-1", "event_type": "t", "payload": {}});
    place.ask(json!({"do": "ingest", "order": "nobody", "event": event}));
    place.ask(json!({"do": "run_inbox_due"}));
    assert_eq!(statuses(&mut place, "inbox"), ["FAILED"]);
    let listed = place.act(&["saga", "inbox", "list", "--stuck"], 0).json();
    assert!(
        listed[0]["error"].as_str().expect("text").contains("Active saga for aggregation_id not found"),
        "{listed}"
    );
    assert_eq!(place.act(&["saga", "inbox", "show", "e-1"], 0).json()["verdict"]["state"], "failed");
    // Nothing has this id; the message that is about it is found.
    let chain = place.act(&["why", "nobody"], 0).json();
    assert_eq!(chain["chain"][0]["causes"][0]["rule"], "inbox_stuck", "{chain}");
    let id = place.start("nobody", "order", json!({"charge": "await"}));
    place.psql("UPDATE order_inbox SET event_type = 'charge.confirmed', correlation_id = 'nobody'");
    place.act(&["saga", "inbox", "requeue", "e-1", "--yes"], 0);
    place.ask(json!({"do": "run_inbox_due"}));
    assert_eq!((place.status(&id).as_str(), statuses(&mut place, "inbox")), ("COMPLETED", vec!["APPLIED".to_owned()]));
}
