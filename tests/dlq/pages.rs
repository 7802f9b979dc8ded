//! A page of dead letters is the beginning of all of them, and groups count what a list says of each.

use serde_json::Value;

use super::place::{Place, Seed};

/// A letter's dump as the libraries write it: their order of fields, and a blank behind each colon and comma.
fn as_the_library_writes_it(seed: &Seed) -> String {
    let Seed { id, kind, .. } = seed;
    let parent = seed.parent.map_or_else(|| "null".into(), |_| format!("\"p-{id}\""));
    format!(
        "{{\"id\": \"{id}\", \"execution_id\": \"e-{id}\", \"step_name\": \"flows:step\", \"kind\": \"{kind}\", \
         \"parent_task_id\": {parent}, \"state\": \"failed\", \"args\": \"WyJvcmRlci03Il0=\", \"kwargs\": \"e30=\", \"result\": null, \
         \"error\": \"e30=\", \"retries\": 1, \"worker_id\": \"w-1\", \"queue\": \"main\"}}"
    )
}

/// Letters of every standing, each under an id of its own.
fn every_standing() -> Vec<Seed> {
    let seed = |id: &'static str, kind, execution| Seed { id, kind, execution, ..Seed::default() };
    let mut all: Vec<Seed> = Vec::new();
    let states = ["failed", "running", "pending", "completed", "cancelled", "cancelling", "timed_out", "paused"];
    for kind in ["orchestrator", "activity", "signal"] {
        for state in states {
            all.push(seed(format!("{kind}-{state}").leak(), kind, Some(state)));
        }
        all.push(seed(format!("{kind}-gone").leak(), kind, None));
        for (name, expiry) in [("expired", "2026-01-01T00:00:00"), ("expires", "2999-01-01T00:00:00")] {
            for state in ["failed", "running"] {
                let id = format!("{kind}-{state}-{name}").leak();
                all.push(Seed { expiry: Some(expiry), ..seed(id, kind, Some(state)) });
            }
        }
        all.push(Seed { live: true, ..seed(format!("{kind}-live").leak(), kind, Some("failed")) });
        for parent in ["failed", "running"] {
            let id = format!("{kind}-below-{parent}").leak();
            all.push(Seed { parent: Some(parent), ..seed(id, kind, Some("running")) });
        }
    }
    all
}

/// How many letters a list calls replayable, and how many there are.
fn listed(place: &Place, filter: &[&str]) -> (u64, u64) {
    let rows = place.json(&[&["dlq", "list", "--limit", "0"], filter].concat(), 0);
    let rows = rows.as_array().unwrap();
    (rows.iter().filter(|row| row["state"] == "replayable").count() as u64, rows.len() as u64)
}

fn grouped(place: &Place, filter: &[&str]) -> (u64, u64) {
    let groups = place.json(&[&["dlq", "groups"], filter].concat(), 0);
    let sum = |name: &str| groups.as_array().unwrap().iter().map(|group| group[name].as_u64().unwrap()).sum();
    (sum("replayable"), sum("count"))
}

#[test]
fn groups_count_what_a_list_calls_replayable() {
    // As other programs write them, as the libraries do, both at once; and without the rows of the tasks that died.
    for (usual, rows) in [(0, true), (1, true), (2, true), (1, false)] {
        for place in Place::both() {
            for (at, seed) in every_standing().iter().enumerate() {
                seed.plant(&place);
                if usual > at % 2 {
                    let (data, id) = (as_the_library_writes_it(seed), seed.id);
                    place.sql(&format!("UPDATE dead_tasks SET data = '{data}' WHERE id = '{id}'"));
                }
            }
            place.sql("UPDATE dead_tasks SET reason = 'Execution cancelled' WHERE id = 'orchestrator-failed-expires'");
            let odd = as_the_library_writes_it(&Seed { id: "with \\\" inside", ..Seed::default() });
            place
                .sql(&format!("INSERT INTO dead_tasks VALUES ('with \" inside', 'r', '2026-11-20T10:00:00', '{odd}')"));
            place.sql("INSERT INTO dead_tasks VALUES ('TaskRecord', 'r', '2026-11-20T10:00:00', 'TaskRecord(id=7)')");
            place.sql("INSERT INTO dead_tasks VALUES ('nothing', NULL, NULL, NULL)");
            if !rows {
                place.sql("DELETE FROM tasks WHERE id IN (SELECT id FROM dead_tasks)");
            }
            let (replayable, count) = listed(&place, &[]);
            assert!(replayable > 0 && replayable < count, "{replayable} of {count}");
            for filter in [
                &[][..],
                &["--kind", "activity"],
                &["--step", "step"],
                &["--step", "other"],
                &["--where-error", "LOST"],
                &["--worker", "w-"],
                &["--since", "2026-11-01"],
                &["--until", "2026-11-01"],
            ] {
                assert_eq!(grouped(&place, filter), listed(&place, filter), "{filter:?}, usual {usual}, rows {rows}");
            }
        }
    }
}

#[test]
fn a_page_is_the_beginning_of_all() {
    for place in Place::both() {
        for (at, id) in ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().enumerate() {
            let kind = if at % 3 == 0 { "activity" } else { "orchestrator" };
            let queue = [Some("main"), Some("mail"), None][at % 3];
            let moved_at = ["2026-11-20T10:00:00.5", "2026-11-20T11:00:00", "2026-11-19T10:00:00"][at / 3];
            Seed { id, kind, queue, moved_at, ..Seed::default() }.plant(&place);
        }
        // What has no time stands behind the rest; of what has no row the dump tells.
        place.sql("UPDATE dead_tasks SET moved_at = NULL WHERE id IN ('c', 'g')");
        place.sql("DELETE FROM tasks WHERE id IN ('b', 'd')");
        let ids = |words: &[&str]| -> Vec<String> {
            let rows = place.json(&[&["dlq", "list"], words].concat(), 0);
            rows.as_array().unwrap().iter().map(|row: &Value| row["id"].as_str().unwrap().to_owned()).collect()
        };
        for filter in [
            &[][..],
            &["--queue", "mail"],
            &["--queue", "default"],
            &["--kind", "activity"],
            &["--step", "step"],
            &["--worker", "w-1"],
            &["--worker", "w-2"],
            &["--where-error", "LOST"],
            &["--since", "2026-11-20"],
        ] {
            for order in [&[][..], &["--oldest-first"]] {
                let all = ids(&[filter, order, &["--limit", "0"]].concat());
                for limit in 1..=9 {
                    let page = ids(&[filter, order, &["--limit", &limit.to_string()]].concat());
                    assert_eq!(page, all[..all.len().min(limit)], "{filter:?} {order:?} --limit {limit}");
                }
            }
        }
        assert_eq!(ids(&["--limit", "0"]), ["f", "e", "d", "b", "a", "h", "g", "c"]);
        assert_eq!(ids(&["--limit", "0", "--queue", "mail"]), ["e", "b", "h"]);
    }
}
