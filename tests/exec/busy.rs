//! A busy healthy system raises no alarm, and one whose worker is killed does.

use sen_core::time::Timestamp;

use crate::Place;
use crate::harness::patience::until;
use crate::harness::peers::{Peer, SENPUKI_030, STENT_112};
use crate::harness::python::Environment;
use crate::harness::scale::sized;

#[expect(clippy::print_stdout, reason = "numbers for whoever runs the full size")]
fn no_alarm_while_it_works_and_one_when_its_worker_is_killed(library: &Environment, place: &Place<'_>) {
    let worker = Peer::start(library, "stent/flow.py", &[&place.for_library(), "busy", "15"]);
    let polls = sized(25, 200);
    for poll in 0..polls {
        let told = place.sen(&["status", "--check"]);
        assert_eq!(told.code, 0, "poll {poll}: {}{}", told.stdout, told.stderr);
    }
    assert!(!place.json(&["exec", "list", "--state", "completed"]).as_array().unwrap().is_empty(), "it worked");
    println!("{}: {polls} polls, 0 alarms", library.name);
    worker.kill();
    // Nobody can tell a killed worker from a slow one before a lease of its is over, for up to fifteen seconds. What is
    // asked of the rows here is only that; then the alarm has to be in one of the next two polls.
    until("a lease is over", || {
        let now = Timestamp::here().to_string();
        place.count(&format!("tasks WHERE state = 'running' AND lease_expires_at < '{}'", now.trim_end_matches('Z')))
            > 0
    });
    let told = [place.sen(&["status", "--check"]), place.sen(&["status", "--check"])];
    let alarm = told.iter().any(|told| told.code == 10 && told.stdout.contains("lease expired: worker probably lost"));
    assert!(alarm, "{}{}", told[0].stdout, told[1].stdout);
}

#[test]
fn stent_in_postgres() {
    no_alarm_while_it_works_and_one_when_its_worker_is_killed(&STENT_112, &Place::postgres());
}

#[test]
fn senpuki_in_sqlite() {
    no_alarm_while_it_works_and_one_when_its_worker_is_killed(&SENPUKI_030, &Place::sqlite());
}

/// Tasks that wait in a queue with no worker alive are told after a minute (their times are moved), as likely; and old rows
/// alone, whatever their age, are no sign of another time zone.
#[test]
fn a_queue_without_workers_is_told_and_no_zone_is_doubted() {
    for place in [Place::postgres(), Place::sqlite()] {
        let url = place.for_library();
        let made = crate::harness::peers::ask(&STENT_112, "stent/flow.py", &[&url, "dispatch", "live", "1"]);
        let id = made["id"].as_str().unwrap();
        place.sen(&["status", "--check"]).expect_code(0);
        for minutes in [59, 60, 90, 120, 180] {
            place.dated("tasks", "created_at", id, minutes);
            place.dated("executions", "created_at", id, minutes);
            let status = place.sen(&["status", "--check"]).expect_code(10).stdout;
            assert!(status.contains("of queue \"live\" ready, due for"), "{status}");
            assert!(
                status.contains("probably no worker polls it") && !status.contains("--worker-timezone"),
                "{status}"
            );
        }
        let doctor = place.sen(&["doctor"]).stdout;
        assert!(doctor.contains("probably no worker polls it"), "{doctor}");
    }
}
