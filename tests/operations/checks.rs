//! `sen apply --check`: what would still be done, told target by target, and nothing written.

use super::machine::{Machine, letters, replay_plan, results, stored, uncertain_keys};
use super::place::Place;
use crate::harness::sen::sen;

#[test]
fn letters_are_looked_at_again() {
    for place in Place::both() {
        letters(&place, 6);
        let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
        let (url, file) = (place.url(), folder.path().join("replay.plan"));
        let check = ["apply", file.to_str().unwrap(), "--check"];
        replay_plan(&machine, &place, &file);
        assert_eq!(results(&machine.json(&url, &check, 0), "planned", "still applies"), 6);
        place.sql("UPDATE dead_tasks SET moved_at = '2026-11-21T10:00:00' WHERE id = 't-1'");
        place.sql("DELETE FROM dead_tasks WHERE id = 't-2'");
        place.sql("UPDATE executions SET state = 'completed' WHERE id = 'e-3'");
        let before = stored(&place);
        let report = machine.json(&url, &check, 3);
        let counts = [("planned", "still applies"), ("changed", ""), ("missing", "")]
            .map(|(outcome, says)| results(&report, outcome, says));
        assert_eq!(counts, [3, 2, 1], "{report}");
        let shown = machine.run(&url, &check, 3).stdout;
        assert!(shown.contains("3 of 6 still as the plan saw them; nothing was written"), "{shown}");
        assert_eq!((stored(&place), machine.journals().len()), (before, 0));
        // What it says is what applying comes to.
        let applied = machine.json(&url, &["apply", check[1], "--yes"], 3);
        assert_eq!((&applied["applied"], &applied["changed"], &applied["missing"]), (&3.into(), &2.into(), &1.into()));
        machine.run(&url, &check, 7);
        assert_eq!(results(&Machine::new().json(&url, &check, 5), "planned", ""), 0);
    }
}

#[test]
fn leases_are_looked_at_again() {
    let place = Place::empty_postgres();
    uncertain_keys(&place, 5);
    let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
    let (url, file) = (place.url(), folder.path().join("reset.plan"));
    let path = file.to_str().unwrap();
    machine.run(&url, &["reconcile", "--all", "--reset", "--plan-out", path], 0);
    let check = ["apply", path, "--check"];
    assert_eq!(results(&machine.json(&url, &check, 0), "planned", "still applies"), 5);
    sen(["reconcile", "k1", "--yes"]).database(&url).run().expect_code(0);
    place.sql("DELETE FROM sentinel_leases WHERE key = 'k2'");
    place.sql("UPDATE sentinel_leases SET lease_updated_at = now() WHERE key = 'k3'");
    let before = place.sql("SELECT * FROM sentinel_leases ORDER BY key");
    let report = machine.json(&url, &check, 3);
    assert_eq!(
        (results(&report, "planned", ""), results(&report, "changed", ""), results(&report, "missing", "")),
        (2, 2, 1)
    );
    assert_eq!(place.sql("SELECT * FROM sentinel_leases ORDER BY key"), before);
    let applied = machine.json(&url, &["apply", path, "--yes"], 3);
    assert_eq!((&applied["applied"], &applied["changed"], &applied["missing"]), (&2.into(), &2.into(), &1.into()));
}
