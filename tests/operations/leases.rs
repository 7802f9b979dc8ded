//! Going on with acts on leases: each step is told by its record, and what is between two steps is finished.

use super::machine::{Machine, results, uncertain_keys};
use super::place::Place;

#[test]
fn what_was_taken_over_is_settled_and_what_was_settled_is_told() {
    let place = Place::empty_postgres();
    uncertain_keys(&place, 6);
    let machine = Machine::new();
    machine.run(&place.url(), &["reconcile", "--all", "--reset", "--yes"], 0);
    machine.forget_outcomes();
    // Two of them as they were between the two steps: taken over with the token that the record names.
    place.sql(
        "UPDATE sentinel_leases AS l SET status = 'reconciling', fencing_token = e.fencing_token FROM sentinel_events AS e
            WHERE e.key = l.key AND e.metadata ->> 'act' = 'take_over' AND l.key IN ('k1', 'k2');
        DELETE FROM sentinel_events WHERE key IN ('k1', 'k2') AND metadata ->> 'act' = 'reset'",
    );
    // One that somebody else has taken since, and one that is gone.
    place.sql("UPDATE sentinel_leases SET fencing_token = 999999, status = 'executing' WHERE key = 'k3'");
    let (id, _) = machine.only();
    let report = machine.json(&place.url(), &["op", "resume", &id, "--yes"], 0);
    assert_eq!(
        (&report["applied"], results(&report, "already_done", "by this operation before")),
        (&2.into(), 4),
        "{report}"
    );
    assert_eq!(place.count("sentinel_leases WHERE status = 'claimed'"), 5);
    assert_eq!(place.sql("SELECT status FROM sentinel_leases WHERE key = 'k3'"), "executing");
}

#[test]
fn where_no_record_is_kept_nobody_claims_to_know() {
    let place = Place::empty_postgres();
    uncertain_keys(&place, 3);
    place.sql("UPDATE sentinel_leases SET status = 'completed', execution_result = '1'");
    let machine = Machine::new();
    machine.run(&place.url(), &["forget", "k1", "k2", "--yes"], 0);
    machine.forget_outcomes();
    let (id, _) = machine.only();
    // With its record, and without.
    place.sql("DELETE FROM sentinel_events WHERE key = 'k2'; UPDATE sentinel_events SET metadata = NULL");
    let report = machine.json(&place.url(), &["op", "resume", &id, "--yes"], 4);
    assert_eq!(results(&report, "missing", "perhaps by this operation itself"), 1, "{report}");
    place.sql("DROP TABLE sentinel_events");
    machine.forget_outcomes();
    let report = machine.json(&place.url(), &["op", "resume", &id, "--yes"], 4);
    assert_eq!(results(&report, "missing", "perhaps by this operation itself"), 2, "{report}");
}
