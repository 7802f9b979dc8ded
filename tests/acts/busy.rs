//! A busy, healthy service of the real library never alarms, and one whose worker was killed does.

use crate::harness::peers::{Peer, SENTINEL_042, SENTINEL_050};
use crate::harness::python::Environment;
use crate::harness::scale::sized;
use crate::library::{Place, WORKER};

fn no_alarm_while_busy_and_one_after_a_kill(library: &'static Environment) {
    let place = Place::new(library);
    let busy = ["sync", "async"].map(|role| Peer::start(library, "sentinel/busy.py", &[&place.database.url(), role]));
    // Long enough for the leases of the two long async jobs to be over.
    place.wait_until("busy:long-1000", "lease_expires_at < now()");
    place.wait_until("busy:long-4000", "lease_expires_at < now()");
    for poll in 1..=sized(20, 200) {
        let seen = place.run(&["status", "--check"]);
        assert_eq!(seen.code, 0, "poll {poll} alarmed:\n{}\n{}", seen.stdout, seen.stderr);
    }
    let victim = Peer::start(library, WORKER, &[&place.database.url(), "alive", "victim", "3000", "4000"]);
    victim.kill();
    place.wait_until("victim", "hard_expires_at < now()");
    let alarmed = (0..2).any(|_| place.run(&["status", "--check"]).code == 10);
    assert!(alarmed, "a killed worker's key is told within two polls");
    drop(busy);
}

#[test]
fn sentinel_0_4_2_busy() {
    no_alarm_while_busy_and_one_after_a_kill(&SENTINEL_042);
}

#[test]
fn sentinel_0_5_0_busy() {
    no_alarm_while_busy_and_one_after_a_kill(&SENTINEL_050);
}
