//! The runbook for a flood of dead letters, on letters of the real library in PostgreSQL.

use super::place::Place;
use crate::harness::peers::STENT_112;
use crate::harness::runbook::run;

#[test]
fn a_flood_of_letters_is_replayed_after_a_canary() {
    let place = Place::empty_postgres();
    place.letters(&STENT_112, 5, &["--errors", "1"]);
    let url = place.url();
    assert!(run("dead-letter-flood.sh", &[], &url).expect_code(0).said.contains("failing"));
    let group = place.json(&["dlq", "groups"], 0)[0]["group"].as_str().unwrap().to_owned();
    // They died a while ago, so that only a letter that is new counts as the canary's.
    place.sql("UPDATE dead_tasks SET moved_at = moved_at - interval '1 hour'");
    run("dead-letter-flood.sh", &[&group, "100/s", "INC-9"], &url).expect_code(0);
    assert_eq!(place.count("dead_tasks"), 0);
    assert_eq!(place.count("tasks WHERE state = 'pending'"), 5);
    assert_eq!(place.count("executions WHERE state = 'pending'"), 5);
    // Nothing of it is left: sen's own code says so.
    run("dead-letter-flood.sh", &[&group], &url).expect_code(4);
}

#[test]
fn a_canary_that_dies_again_stops_the_runbook() {
    let place = Place::empty_postgres();
    place.letters(&STENT_112, 3, &["--errors", "1"]);
    let group = place.json(&["dlq", "groups"], 0)[0]["group"].as_str().unwrap().to_owned();
    // The newest stands for the canary's next death.
    place.sql(
        "UPDATE dead_tasks SET moved_at = now() AT TIME ZONE 'UTC' + CASE WHEN id = (SELECT max(id) FROM dead_tasks)
            THEN interval '1 hour' ELSE - interval '1 hour' END",
    );
    let ended = run("dead-letter-flood.sh", &[&group], &place.url()).expect_code(10);
    assert!(ended.said.contains("the cause is still there"), "{}", ended.said);
    assert_eq!(place.count("dead_tasks"), 2, "one went, the others were left alone");
}
