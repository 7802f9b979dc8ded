//! Counts of what has ended may come from the server's statistics; whatever can need attention is counted nevertheless.

use serde_json::Value;

use crate::Place;
use crate::harness::peers::{self, STENT_112};
use crate::harness::postgres::Database;

/// A thousand executions that are completed, one that has no task left since yesterday, and one whose state nobody knows.
const FILL: &str = "INSERT INTO executions (id, root_function, state, args, kwargs, retries, created_at, completed_at, tags, priority)
    SELECT 'e' || n, 'flows:f', CASE n WHEN 1001 THEN 'running' WHEN 1002 THEN 'odd' ELSE 'completed' END, '[]', '{}', 0,
        now() AT TIME ZONE 'UTC' - interval '1 day', CASE WHEN n <= 1000 THEN now() AT TIME ZONE 'UTC' END, '[]', 0
    FROM generate_series(1, 1002) AS n;
    INSERT INTO tasks (id, execution_id, step_name, kind, state, retries, created_at, tags, priority)
    SELECT 't' || n, 'e' || n, 'flows:f', 'orchestrator', 'completed', 0, now() AT TIME ZONE 'UTC' - interval '1 day', '[]', 0
    FROM generate_series(1, 1002) AS n";
/// The statistics of a large table, as ANALYZE would have left them.
const LARGE: &str = "ANALYZE executions; ANALYZE tasks;
    UPDATE pg_class SET reltuples = 600000 WHERE relname IN ('executions', 'tasks')";

fn filled() -> Place<'static> {
    let place = Place::postgres();
    peers::ask(&STENT_112, "stent/truth.py", &[&place.for_library()]);
    database(&place).psql(FILL);
    place
}

fn database<'a>(place: &'a Place<'static>) -> &'a Database<'static> {
    let Place::Postgres(database) = place else { unreachable!() };
    database
}

/// The count of a state in `status`, and whether it is an estimate.
fn count(place: &Place<'_>, words: &[&str], state: &str) -> (i64, bool) {
    let all = place.json(words);
    let stent = &all["systems"][0];
    let counts = stent["counts"].as_array().unwrap();
    let found = counts.iter().find(|count| count["state"] == state).unwrap();
    assert!(found["estimated"] == false || stent["counts_estimated"] == true, "{all}");
    (found["count"].as_i64().unwrap(), found["estimated"].as_bool().unwrap())
}

#[test]
fn what_has_ended_is_estimated_where_the_statistics_are_fresh_and_what_needs_attention_never_is() {
    let place = filled();
    assert_eq!(count(&place, &["status"], "completed"), (1000, false), "the tables are small");
    for index in ["SELECT", "CREATE INDEX ON executions (state, created_at)"] {
        database(&place).psql(index);
        database(&place).psql(LARGE);
        let (about, estimated) = count(&place, &["status"], "completed");
        assert!(estimated && (590_000..=600_000).contains(&about), "{about} {estimated}");
        assert_eq!(count(&place, &["status"], "running"), (1, false));
        assert_eq!(count(&place, &["status"], "unreadable"), (1, false));
        // What has ended in a state that the statistics do not have is not left out.
        database(&place).psql("UPDATE executions SET state = 'timed_out' WHERE id = 'e1000'");
        assert_eq!(count(&place, &["status"], "timed_out"), (1, false));
        database(&place).psql("UPDATE executions SET state = 'completed' WHERE id = 'e1000'");
        assert_eq!(count(&place, &["status", "--exact"], "completed"), (1000, false));
        for words in [&["status"][..], &["status", "--exact"]] {
            let attention = &place.json(words)["attention"];
            let stuck = attention.as_array().unwrap().iter().find(|item| item["state"] == "stranded").unwrap();
            assert_eq!(stuck["count"], 1, "{attention}");
        }
        let screen = place.sen(&["status"]).stdout;
        assert!(screen.contains("~600000") && screen.contains("--exact counts"), "{screen}");
        assert!(!place.sen(&["status", "--exact"]).stdout.contains('~'));
        let stats = &place.json(&["stats"])["systems"][0];
        assert_eq!(
            (&stats["counts_estimated"], &stats["ended"][0]["count"]),
            (&Value::Bool(true), &Value::from(1000)),
            "{stats}"
        );
        assert_eq!(place.json(&["stats", "--exact"])["systems"][0]["executions_total"], 1002);
    }
}

#[test]
fn what_has_changed_much_since_is_counted() {
    let place = filled();
    database(&place).psql(LARGE);
    database(&place).psql("UPDATE pg_class SET reltuples = 500000 WHERE relname = 'executions'");
    assert!(count(&place, &["status"], "completed").1);
    let many: Vec<&str> = (0..60).map(|_| "UPDATE executions SET retries = retries + 1").collect();
    database(&place).psql(&many.join(";\n"));
    // The server is told of the changes of a session at its end.
    crate::harness::patience::until("the changes are known", || !count(&place, &["status"], "completed").1);
}

#[test]
fn what_was_never_analysed_is_counted() {
    let place = filled();
    database(&place).psql("UPDATE pg_class SET reltuples = 600000 WHERE relname IN ('executions', 'tasks')");
    assert_eq!(count(&place, &["status"], "completed"), (1000, false));
}
