//! `sen why` on leases that the real library left: each key is told its causes, all of them and no others.
//!
//! Everything is made by running the library. What time would do is done by short times to live, or times are moved; one row is
//! edited, and that is said at it.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::peers::{Peer, SENTINEL_042, SENTINEL_050};
use crate::harness::python::Environment;
use crate::library::{FAR_MS, Place, WORKER};

/// Long enough for a worker to beat while the machine is busy.
const BEATING_MS: &str = "30000";

/// Every cause with its certainty, the gravest first.
#[track_caller]
fn rules(place: &Place, key: &str) -> Vec<String> {
    let told = place.act(&["why", key], 0).json();
    let causes = told["chain"][0]["causes"].as_array().unwrap_or_else(|| panic!("no causes: {told}"));
    let word = |cause: &Value, name: &str| cause[name].as_str().expect("text").to_owned();
    causes.iter().map(|cause| format!("{} {}", word(cause, "certainty"), word(cause, "rule"))).collect()
}

/// The process that holds a key, stopped for as long as this lives.
struct Stopped(Pid);

impl Stopped {
    fn new(place: &Place, key: &str) -> Self {
        let owner =
            format!("SELECT split_part(split_part(owner_id, ':', 2), '-', 1) FROM sentinel_leases WHERE key = '{key}'");
        let pid = place.database.psql(&owner).parse().expect("an owner names its process");
        let pid = Pid::from_raw(pid).expect("a process has a number");
        kill_process(pid, Signal::STOP).expect("a child can be stopped");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// A worker whose session is in another zone than the server.
fn elsewhere(place: &Place, key: &str, zone: &str) -> Peer {
    let url = format!("{}&options=-c%20timezone%3D{zone}", place.database.url());
    let peer = Peer::start(place.library, WORKER, &[&url, "alive", key, BEATING_MS, FAR_MS]);
    assert_eq!(peer.made, "started");
    peer
}

/// How each key comes about, and every rule that holds; first that of 0.4.2, which keeps no events, then that of 0.5.0.
const SCENARIOS: [(&str, &str, &[&str], &[&str]); 13] = [
    ("completed", "a call that returned", &[], &[]),
    ("free", "a claim whose holder vanished before it began, its lease over", &[], &[]),
    ("claimed", "a claim that has not begun", &[], &[]),
    ("alive", "a worker at work, while a transaction holds the row of another key", &[], &[]),
    ("raised", "the function raised after it had begun", &["likely raised"], &["proven raised"]),
    (
        "killed",
        "a worker killed on this machine, lease and hard limit over",
        &["likely process_gone"],
        &["likely process_gone"],
    ),
    (
        "away",
        "the same, its owner's host edited to another machine's",
        &["likely holder_gone"],
        &["likely holder_gone"],
    ),
    ("late", "a worker past its hard limit, still at work", &["likely holder_late"], &["likely holder_late"]),
    ("async", "an async client at work, its lease over", &["likely async_holder"], &["likely async_holder"]),
    (
        "stopped",
        "a worker stopped (SIGSTOP) after some beats",
        &["likely heartbeat_stopped"],
        &["likely heartbeat_stopped"],
    ),
    ("taken", "killed, then taken over by the library's own act", &["proven taken_over"], &["proven taken_over"]),
    ("tokyo", "a worker whose session is ahead of the server's zone", &["proven wrong_time_zone"], &[]),
    (
        "blocked",
        "a worker at work, its row held by an open transaction",
        &["proven blocked_transaction"],
        &["proven blocked_transaction"],
    ),
];

fn each_key_is_told_its_causes(library: &'static Environment, events: bool) {
    let place = Place::new(library);
    let _peers = [
        place.work("alive", "alive", BEATING_MS, FAR_MS),
        // Its beats wait, too, and its lease must not end meanwhile.
        place.work("alive", "blocked", "500000", FAR_MS),
        place.late("silent", "late", 300, Some(600)),
        place.late("async", "async", 300, None),
        elsewhere(&place, "tokyo", "Asia/Tokyo"),
    ];
    let mut session = place.database.session();
    session.run("BEGIN; SAVEPOINT s; SELECT 1 FROM sentinel_leases WHERE key = 'blocked' FOR UPDATE;");
    let opened = Instant::now();

    let beats = place.work("alive", "stopped", "3000", FAR_MS);
    // More than its time to live: it has beaten by then.
    let beaten = "lease_expires_at > (SELECT at FROM begun) + interval '3500 milliseconds'";
    place.database.psql("CREATE TABLE begun AS SELECT now()::timestamptz AS at");
    place.wait_until("stopped", beaten);
    let stopped = Stopped::new(&place, "stopped");
    place.library(&["causes"]);
    place.database.psql("UPDATE sentinel_leases SET owner_id = 'web-1:42-7' WHERE key = 'away'");
    place.wait_until("stopped", "lease_expires_at < now()");
    // Only transactions older than three seconds are worth a word.
    std::thread::sleep(Duration::from_millis(3100).saturating_sub(opened.elapsed()));

    for (key, how, without_events, with_events) in SCENARIOS {
        let expected = if events { with_events } else { without_events };
        assert_eq!(rules(&place, key), expected, "{key}: {how}: {:#}", place.act(&["why", key], 0).json());
    }
    drop(session);
    place.wait_until("blocked", "true");
    drop(stopped);
    drop(beats);
}

#[test]
fn sentinel_0_4_2() {
    each_key_is_told_its_causes(&SENTINEL_042, false);
}

#[test]
fn sentinel_0_5_0() {
    each_key_is_told_its_causes(&SENTINEL_050, true);
}

/// Plain TIMESTAMP leases beside an events table: the events tell of a zone behind, too, where the lease seems over for hours.
#[test]
fn sentinel_0_4_2_opened_by_0_5_0() {
    let mut place = Place::new(&SENTINEL_042);
    place.library = &SENTINEL_050;
    place.library(&["init"]);
    let _peers = [elsewhere(&place, "ahead", "Asia/Tokyo"), elsewhere(&place, "behind", "America/New_York")];
    for key in ["ahead", "behind"] {
        assert_eq!(rules(&place, key), ["proven wrong_time_zone"], "{key}");
    }
    let alive = place.work("alive", "alive", BEATING_MS, FAR_MS);
    assert!(rules(&place, "alive").is_empty());
    drop(alive);
}
