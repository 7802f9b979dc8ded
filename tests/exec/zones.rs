//! Workers in another zone: what sen makes of their wall clock, with the right zone and without.

use serde_json::Value;

use crate::Place;
use crate::harness::peers::{self, STENT_112};
use crate::harness::postgres::Server;
use crate::harness::sen::sen;

/// How far a time of sen's lies from now, in seconds.
fn age(now: &Value, then: &Value) -> f64 {
    let seconds =
        |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond() as f64 / 1e6;
    seconds(now) - seconds(then)
}

fn told(place: &Place<'_>) {
    let made =
        peers::ask(&STENT_112, "stent/make.py", &[&place.for_library(), "--only-finished", "--tz", "Asia/Tokyo"]);
    let id = made["executions"]["checkout"].as_str().unwrap();

    // Read in UTC, all of it lies nine hours ahead, and status says so and what to try.
    let shown = place.json(&["exec", "show", id]);
    let ahead = -age(&shown["observed_at"], &shown["created_at"]);
    assert!((8.0 * 3600.0..=9.0 * 3600.0).contains(&ahead), "{ahead}");
    let status = place.json(&["status"]);
    let attention = status["attention"].to_string();
    place.sen(&["status", "--worker-timezone=+09:00"]).expect_code(0);
    assert!(attention.contains("in the future") && attention.contains("--worker-timezone=+09:00"), "{attention}");

    for zone in ["Asia/Tokyo", "+09:00"] {
        let shown = place.json(&["--worker-timezone", zone, "exec", "show", id]);
        let age = age(&shown["observed_at"], &shown["created_at"]);
        assert!((0.0..600.0).contains(&age), "{zone}: {age}");
        assert_eq!(shown["worker_timezone"], zone);
        let status = place.json(&["--worker-timezone", zone, "status"]);
        assert!(!status["attention"].to_string().contains("future"), "{status:#}");
        // Spans are told apart on the workers' clock, too.
        let recent = place.json(&["--worker-timezone", zone, "exec", "list", "--since", "10m"]);
        assert!(recent.as_array().unwrap().len() > 10, "{zone}");
        let due = place.json(&["--worker-timezone", zone, "task", "list", "--state", "scheduled"]);
        assert_eq!(due.as_array().unwrap().len(), 1, "{zone}: {due:#}");
    }
    let by_environment =
        sen(["exec", "show", "-o", "json", id]).database(&place.url()).env("SEN_WORKER_TIMEZONE", "Asia/Tokyo").run();
    assert_eq!(by_environment.expect_code(0).json()["worker_timezone"], "Asia/Tokyo");
    let odd = sen(["exec", "list"]).database(&place.url()).env("SEN_WORKER_TIMEZONE", "Mars").run().expect_code(2);
    assert!(odd.stderr.contains("SEN_WORKER_TIMEZONE"), "{}", odd.stderr);
    place.sen(&["--worker-timezone", "nonsense", "exec", "list"]).expect_code(2);
}

#[test]
fn workers_in_tokyo_on_sqlite() {
    told(&Place::sqlite());
}

/// The zone of the server, the database and the role has no say: the times are the workers', not the session's.
#[test]
fn workers_in_tokyo_on_postgres_whose_sessions_are_elsewhere() {
    let database = Server::shared().fresh_database_with(&["timezone = 'America/New_York'"]);
    told(&Place::Postgres(database));
}

/// What a warning about the zone says to type is understood as it stands, also for zones behind UTC; and a zone may stand
/// behind a blank or an equals sign.
#[test]
fn every_command_of_the_warning_about_the_zone_runs() {
    let place = Place::sqlite();
    peers::ask(&STENT_112, "stent/make.py", &[&place.for_library(), "--only-finished"]);
    let mut zones = std::collections::BTreeSet::new();
    // Read as written elsewhere, the newest rows lie in the future; moved, some were begun before they were made.
    for read_in in ["-01:00", "-03:30", "-11:00", "+05:45", "America/New_York", "UTC"] {
        for begun in ["", "-1 hours", "-2 hours", "+9 hours"] {
            let db = rusqlite::Connection::open(place.for_library()).unwrap();
            let shift = if begun.is_empty() {
                "created_at".to_owned()
            } else {
                format!("strftime('%Y-%m-%dT%H:%M:%f000', created_at, '{begun}')")
            };
            db.execute(&format!("UPDATE tasks SET started_at = {shift} WHERE started_at IS NOT NULL"), []).unwrap();
            for words in
                [&["--worker-timezone", read_in, "status"][..], &["status", &format!("--worker-timezone={read_in}")]]
            {
                let status = place.json(words);
                for item in status["attention"].as_array().unwrap() {
                    let command = item["next"][0]["command"].as_str().unwrap();
                    let Some((_, zone)) = command.split_once("--worker-timezone") else { continue };
                    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
                    place.sen(&words).expect_code(0);
                    zones.insert(zone.trim_start_matches(['=', ' ']).to_owned());
                }
            }
        }
    }
    assert!(
        zones.iter().any(|zone| zone.starts_with('-')) && zones.iter().any(|zone| zone.starts_with('+')),
        "{zones:?}"
    );
    for zone in ["-01:00", "-11:30", "+00:00", "+14:00", "Europe/Berlin"] {
        place.sen(&["exec", "list", "--worker-timezone", zone]).expect_code(0);
        place.sen(&["exec", "list", &format!("--worker-timezone={zone}")]).expect_code(0);
    }
}

#[test]
fn leases_are_judged_on_the_workers_clock() {
    let place = Place::sqlite();
    let url = place.for_library();
    let peer = peers::Peer::start(&STENT_112, "stent/make.py", &[&url, "--tz", "America/New_York"]);
    let running = peer.made["executions"]["running"].as_str().unwrap();
    // In UTC the lease of a worker five hours behind looks ended.
    assert_eq!(place.json(&["exec", "show", running])["verdict"]["state"], "lost");
    let right = place.json(&["--worker-timezone", "America/New_York", "exec", "show", running]);
    assert_eq!(right["verdict"]["state"], "running", "{:#}", right["verdict"]);
    let lost = place.json(&["--worker-timezone", "America/New_York", "task", "list", "--state", "lost"]);
    assert_eq!(lost.as_array().unwrap().len(), 2);
    let stats = place.json(&["--worker-timezone", "America/New_York", "stats"]);
    assert!(stats["systems"][0]["tasks_completed"].as_i64().unwrap() > 10);
}
