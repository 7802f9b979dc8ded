//! Tables are found by their columns under any name; what one model holds never shows in another's place.

use serde_json::json;

use super::place::{Place, VERSIONS};

/// 63 bytes, the most a name may have.
fn longest(last: char) -> String {
    let name = format!("{}{last}", "A \"long\" Name; ".repeat(5).chars().take(62).collect::<String>());
    assert_eq!(name.len(), 63);
    name
}

#[test]
fn odd_names_in_any_schema() {
    for (version, names) in [
        (VERSIONS[0], json!({"schema": "It's \"odd\"", "state": "Sagas; DROP TABLE x--", "enum": "Sta tus\"e"})),
        (
            VERSIONS[1],
            json!({"schema": "Od d", "state": "St \"ate", "history": "Hi'story", "outbox": "select", "inbox": "In box",
            "enum": "E n\"um"}),
        ),
        (
            VERSIONS[1],
            json!({"schema": longest('s'), "state": longest('a'), "history": longest('h'), "outbox": longest('o'),
            "inbox": longest('i'), "enum": longest('e')}),
        ),
    ] {
        let mut place = Place::with(version, names.clone());
        let failed = place.start("o-1", "order-once", json!({"charge": "fail"}));
        place.mode("o-1", "charge", "ok");
        let status = place.act(&["status"], 0).json();
        let tables = status["systems"].to_string();
        for name in
            names.as_object().expect("names").iter().filter(|(what, _)| !["enum", "schema"].contains(&what.as_str()))
        {
            let quoted = serde_json::to_string(name.1).expect("still JSON");
            assert!(tables.contains(quoted.trim_matches('"')), "{quoted} is not in {tables}");
        }
        for list in [&["--stuck"][..], &["--due"], &["--state", "failed,stuck,compensated"], &["--name", "order-once"]]
        {
            place.act(&[&["saga", "list"][..], list].concat(), 0);
        }
        place.act(&["saga", "retry", &failed, "--yes"], 0);
        place.run_due();
        assert_eq!(place.verdict(&failed), "completed");
        let waiting = place.start("o-2", "order", json!({"charge": "fail"}));
        place.act(&["saga", "compensate", &waiting, "--yes"], 0);
        place.run_due();
        assert_eq!(place.verdict(&waiting), "compensated");
        let aborted = place.start("o-3", "order", json!({"charge": "fail"}));
        place.act(&["saga", "abort", "--all", "--aggregation", "o-3", "--yes"], 0);
        assert_eq!(place.verdict(&aborted), "failed");
        if place.is_new() {
            place.ask(json!({"do": "dispatch", "how": "fail"}));
            place.act(&["saga", "outbox", "requeue", "--all", "--yes"], 0);
            assert_eq!(place.ask(json!({"do": "dispatch"})).as_array().map(Vec::len), Some(1));
            place.start("o-4", "order", json!({"charge": "await"}));
            place.act(
                &[
                    "saga",
                    "notify",
                    "o-4",
                    "--inbox",
                    "--event-id",
                    "e",
                    "--type",
                    "charge.confirmed",
                    "--correlation",
                    "o-4",
                    "--payload",
                    "{}",
                ],
                0,
            );
            assert_eq!(place.ask(json!({"do": "run_inbox_due"})), 1);
        }
        for command in [&["doctor"][..], &["grants", "--role", "operator"]] {
            place.act(command, 0);
        }
    }
}

#[test]
fn models_in_one_database_do_not_mix() {
    let mut orders = Place::new(VERSIONS[1]);
    let mut refunds = Place::beside(
        &orders,
        VERSIONS[1],
        json!({"state": "refund_saga", "history": "refund_saga_history",
        "outbox": "refund_outbox", "inbox": "refund_inbox"}),
    );
    let mut old = Place::beside(&orders, VERSIONS[0], json!({"schema": "older", "state": "order_saga"}));
    let failing = json!({"charge": "fail"});
    let (one, two, three) = (
        orders.start("same", "order-once", failing.clone()),
        refunds.start("same", "order-once", failing.clone()),
        old.start("same", "order-once", failing),
    );
    let listed = |words: &[&str]| {
        let rows = orders.act(&[&["saga", "list"][..], words].concat(), 0).json();
        let mut ids: Vec<String> =
            rows.as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    let mut all = vec![one.clone(), two.clone(), three.clone()];
    all.sort();
    assert_eq!(listed(&[]), all);
    assert_eq!(listed(&["--limit", "0"]), all);
    assert_eq!(listed(&["--saga-table", "refund_saga"]), [two.as_str()]);
    assert_eq!(listed(&["--saga-table", "older.order_saga"]), [three.as_str()]);
    orders.act(&["saga", "list", "--saga-table", "nope"], 2);
    orders.act(&["saga", "list", "--saga-table", "order_saga"], 2);
    // About the same thing: no guess which.
    orders.act(&["saga", "retry", "same", "--yes"], 5);
    assert_eq!(orders.act(&["saga", "show", "same"], 0).json().as_array().map(Vec::len), Some(3));
    orders.act(&["saga", "retry", "same", "--saga-table", "refund_saga", "--yes"], 0);
    orders.mode("same", "charge", "ok");
    assert_eq!((orders.run_due(), old.run_due(), refunds.run_due()), (0, 0, 1));
    assert_eq!(
        (orders.status(&one), refunds.status(&two), old.status(&three)),
        ("FAILED".into(), "COMPLETED".into(), "FAILED".into())
    );
    // Records and messages stand with their own.
    assert_eq!(orders.psql("SELECT count(*) FROM order_saga_history WHERE input ? '_sen'"), "0");
    assert_eq!(orders.psql("SELECT count(*) FROM refund_saga_history WHERE input ? '_sen'"), "1");
    orders.ask(json!({"do": "start", "order": "m-1"}));
    refunds.ask(json!({"do": "start", "order": "m-2"}));
    let boxes = |table: &str| orders.act(&["saga", "outbox", "list", "--saga-table", table], 0).json();
    assert_eq!(
        (boxes("public.order_saga")[0]["aggregation_id"].clone(), boxes("public.order_saga").as_array().map(Vec::len)),
        (json!("m-1"), Some(1))
    );
    assert_eq!(boxes("refund_saga").as_array().map(Vec::len), Some(2));
    assert_eq!(orders.act(&["saga", "show", "m-2"], 0).json()["messages"][0]["table"], "refund_outbox");
}

/// A role that may read but not write, and tables that are nearly like a saga's.
#[test]
fn lookalikes_are_none() {
    let mut place = Place::new(VERSIONS[1]);
    place.psql(
        "CREATE TABLE lookalike (id uuid, step_execution_token uuid, status text);
        CREATE VIEW sagas AS SELECT * FROM order_saga;
        CREATE TABLE queue (id uuid, next_attempt_at timestamptz, status text)",
    );
    place.start("o-1", "order", json!({}));
    assert_eq!(place.act(&["saga", "list"], 0).json().as_array().map(Vec::len), Some(1));
    let status = place.act(&["status"], 0).json().to_string();
    assert!(!status.contains("lookalike") && !status.contains("queue\""), "{status}");
}
