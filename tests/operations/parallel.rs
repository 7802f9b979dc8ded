//! One plan applied by many at once, on one machine and on many: every target exactly once.

use super::machine::{Machine, balanced, letters, replay_plan, uncertain_keys};
use super::place::Place;
use crate::harness::patience::PATIENCE;
use crate::harness::scale::sized;
use crate::harness::sen::{Output, Running};

/// Runs `apply` on these machines at the same time.
fn at_once(machines: &[&Machine], place: &Place, file: &str) -> Vec<Output> {
    // A hundred of them stand in each other's way for long.
    let limit = PATIENCE * sized(1, 6) as u32;
    let start =
        |machine: &&Machine| machine.sen(&place.url(), &["apply", file, "--yes", "-o", "json"]).timeout(limit).start();
    let running: Vec<Running> = machines.iter().map(start).collect();
    running.into_iter().map(Running::finish).collect()
}

/// The sum of a count over all that reported.
fn sum(outputs: &[Output], name: &str) -> u64 {
    let count = |output: &Output| serde_json::from_str::<serde_json::Value>(&output.stdout).ok()?[name].as_u64();
    outputs.iter().filter_map(count).sum()
}

#[test]
fn twenty_machines_apply_each_letter_once() {
    for place in Place::both() {
        let count = sized(200, 2000);
        letters(&place, count);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("replay.plan");
        replay_plan(&Machine::new(), &place, &file);
        let machines: Vec<Machine> = (0..sized(20, 100)).map(|_| Machine::new()).collect();
        let outputs = at_once(&machines.iter().collect::<Vec<_>>(), &place, file.to_str().unwrap());
        assert_eq!(balanced(&place, count as u64), count as u64);
        assert_eq!(sum(&outputs, "applied"), count as u64, "who did it says so, and nobody else");
        for output in &outputs {
            assert!([0, 3, 5].contains(&output.code), "{output:?}");
        }
        // Everybody else saw that it was done, or that somebody was at it.
        let told = ["applied", "already_done", "changed", "missing"].map(|name| sum(&outputs, name));
        assert_eq!(told.iter().sum::<u64>(), (count * machines.len()) as u64, "{told:?}");
    }
}

#[test]
fn twenty_machines_settle_each_key_once() {
    let place = Place::empty_postgres();
    let count = sized(10, 100);
    uncertain_keys(&place, count);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reset.plan");
    let path = file.to_str().unwrap();
    Machine::new().run(&place.url(), &["reconcile", "--all", "--reset", "--plan-out", path], 0);
    let machines: Vec<Machine> = (0..sized(20, 100)).map(|_| Machine::new()).collect();
    let outputs = at_once(&machines.iter().collect::<Vec<_>>(), &place, path);
    assert_eq!(place.count("sentinel_leases WHERE status = 'claimed'"), count as u64);
    let events = place.sql("SELECT count(*), count(DISTINCT key || (metadata ->> 'act')) FROM sentinel_events");
    assert_eq!(events, format!("{0}|{0}", 2 * count), "each taken over once and reset once");
    // Steps of one key may be taken by two of them, who then both did some of it.
    assert!(sum(&outputs, "applied") >= count as u64, "{outputs:?}");
}

#[test]
fn on_one_machine_one_applies_it() {
    for place in Place::both() {
        letters(&place, 50);
        let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
        let file = folder.path().join("replay.plan");
        replay_plan(&machine, &place, &file);
        let outputs = at_once(&[&machine; 20], &place, file.to_str().unwrap());
        let codes = |code: i32| outputs.iter().filter(|output| output.code == code).count();
        assert_eq!((codes(0), codes(7)), (1, 19), "{outputs:?}");
        assert_eq!((balanced(&place, 50), sum(&outputs, "applied")), (50, 50));
        assert_eq!(machine.only().1, "done");
    }
}
