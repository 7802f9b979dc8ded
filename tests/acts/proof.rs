//! What rows prove and what they do not: tokens of a sequence that was set back, workers whose zone is another, async clients
//! that send no heartbeats, and tables that a version of the library cannot work on.

use std::time::Duration;

use serde_json::Value;

use crate::harness::patience::{shown, until};
use crate::harness::peers::{Peer, SENTINEL_042, SENTINEL_050, SENTINEL_050_DJANGO, ask};
use crate::harness::python::Environment;
use crate::library::{DJANGO, FAR_MS, Place, WORKER};

/// Every text of a document, one a line.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(items) => items.iter().map(texts).collect(),
        Value::Object(fields) => fields.values().map(texts).collect(),
        _ => String::new(),
    }
}

fn token(place: &Place, key: &str) -> i64 {
    let sql = format!("SELECT fencing_token FROM sentinel_leases WHERE key = '{key}'");
    place.database.psql(&sql).parse().expect("a token is a number")
}

/// What doctor says, one text a line, and what it says to type.
fn doctor(place: &Place) -> (String, Vec<String>) {
    let told = place.act(&["doctor"], 0).json();
    let bad = |check: &&Value| check["severity"] != "ok";
    let checks: Vec<&Value> = told["checks"].as_array().expect("checks").iter().filter(bad).collect();
    let remedies = checks.iter().filter_map(|check| check["remedy"].as_str().map(str::to_owned)).collect();
    (checks.iter().map(|check| texts(check)).collect(), remedies)
}

fn a_sequence_that_was_set_back_gives_no_token_twice(library: &'static Environment) {
    let place = Place::new(library);
    place.database.psql("SELECT setval('sentinel_token_seq', 50)");
    let owners = place.library(&["killed", "near", "far"]);
    // As after a restore of the table alone: one below the row's token, and far below the other's.
    let near = token(&place, "near");
    place.database.psql(&format!("SELECT setval('sentinel_token_seq', {})", near - 1));
    place.act(&["reconcile", "near", "--yes"], 0);
    assert!(token(&place, "near") > near, "drawn again until it is larger");

    place.database.psql("UPDATE sentinel_leases SET fencing_token = 241 WHERE key = 'far'");
    place.database.psql("SELECT setval('sentinel_token_seq', 100)");
    let refused = place.act(&["reconcile", "far", "--complete", "{}", "--yes"], 5);
    let said = texts(&refused.json());
    assert!(said.contains("the sequence sentinel_token_seq is behind") && said.contains("241"), "{said}");
    assert_eq!(place.database.psql("SELECT status FROM sentinel_leases WHERE key = 'far'"), "executing");

    let (said, remedies) = doctor(&place);
    assert!(said.contains("a lease has fencing token 241"), "{said}");
    let repair = remedies.iter().find(|sql| sql.contains("setval")).expect("a statement to copy");
    place.database.psql(repair);
    assert!(!doctor(&place).0.contains("fencing token"), "the statement repairs it");
    place.act(&["reconcile", "far", "--yes"], 0);
    let owner = owners["far"]["owner_id"].as_str().expect("an owner");
    let late = place.library(&["late", "far", owner, "241"]);
    assert_eq!(late["complete"], false, "the late worker is fenced out");
}

#[test]
fn a_sequence_that_was_set_back_gives_no_token_twice_0_4_2() {
    a_sequence_that_was_set_back_gives_no_token_twice(&SENTINEL_042);
}

#[test]
fn a_sequence_that_was_set_back_gives_no_token_twice_0_5_0() {
    a_sequence_that_was_set_back_gives_no_token_twice(&SENTINEL_050);
}

#[test]
fn a_missing_sequence_is_named_and_made_again_above_every_token() {
    let place = Place::new(&SENTINEL_050);
    place.library(&["killed", "k"]);
    place.database.psql("UPDATE sentinel_leases SET fencing_token = 241; DROP SEQUENCE sentinel_token_seq");
    let said = texts(&place.act(&["reconcile", "k", "--yes"], 5).json());
    assert!(said.contains("the sequence sentinel_token_seq is missing"), "{said}");
    let once = place.act(&["once", "other", "--", "true"], 125);
    assert!(once.stderr.contains("the sequence sentinel_token_seq is missing"), "{}", once.stderr);
    assert!(doctor(&place).0.contains("is missing"));
    place.act(&["init"], 0);
    place.act(&["reconcile", "k", "--yes"], 0);
    assert_eq!(token(&place, "k"), 242);
}

/// 0.4.2 stores times without a zone, so that a session behind the server's writes a lease that reads as over for hours.
#[test]
fn a_healthy_worker_behind_the_servers_zone_is_seen_to_live() {
    // Whoever looks twice waits for a third of the time to live and a second: a worker that is held up for that second and sends
    // no heartbeat in time is not seen to live, and rightly.
    shown("a worker behind the server's zone is seen to live", |_| behind_the_servers_zone());
}

fn behind_the_servers_zone() -> Option<()> {
    let place = Place::new(&SENTINEL_042);
    let url = format!("{}&options=-c%20timezone%3DAmerica/New_York", place.database.url());
    let worker = Peer::start(place.library, WORKER, &[&url, "alive", "behind", "3000", FAR_MS]);
    let inspected = place.act(&["inspect", "behind"], 0).json()["verdict"].clone();
    assert_eq!(inspected["state"], "uncertain", "as its row reads");
    // Whatever speaks of it names the zone, and has it looked at twice before it is taken over.
    let observe = |next: &serde_json::Value| {
        next["command"].as_str().is_some_and(|next| next.starts_with("sen inspect --observe "))
    };
    let place_of = |next: &serde_json::Value, begin: &str| {
        let next = next.as_array().expect("a list");
        next.iter().position(|next| texts(next).contains(begin)).unwrap_or_else(|| panic!("no {begin} in {next:?}"))
    };
    assert!(texts(&inspected).contains("probably its worker's session is behind the server's zone"), "{inspected:#}");
    assert!(
        place_of(&inspected["next"], "inspect --observe") < place_of(&inspected["next"], "reconcile"),
        "{inspected:#}"
    );
    let status = texts(&place.act(&["status"], 0).json());
    assert!(status.contains("probably a session behind the server's zone"), "{status}");
    assert!(status.contains("sen inspect --observe"), "{status}");

    let why = place.act(&["why", "behind"], 0).json();
    assert!(why["next"].as_array().is_some_and(|next| next.first().is_some_and(observe)), "{why:#}");
    assert!(place_of(&why["next"], "inspect --observe") < place_of(&why["next"], "reconcile"), "{why:#}");
    let why = texts(&why);
    assert!(why.contains("zone_behind") && why.contains("sen inspect --observe"), "{why}");
    let seen = texts(&place.act(&["inspect", "--observe", "4s", "behind"], 0).json());
    let lives = |said: &str, lives: &str| said.contains(lives).then_some(());
    lives(&seen, "something still writes it: its worker lives")?;
    lives(&doctor(&place).0, "their workers live, and their sessions write times")?;
    for words in [["reconcile", "behind", "--complete", "{}", "--yes"].as_slice(), &["reconcile", "behind", "--yes"]] {
        lives(&texts(&place.run(words).json()), "its worker lives")?;
    }
    assert_eq!(place.database.psql("SELECT status FROM sentinel_leases"), "executing");

    // Dead, its row is the same and no longer moves.
    worker.kill();
    let seen = texts(&place.act(&["inspect", "--observe", "4s", "behind"], 0).json());
    assert!(seen.contains("nothing changed"), "{seen}");
    assert!(!doctor(&place).0.contains("workers live"));
    place.act(&["reconcile", "behind", "--complete", "{}", "--yes"], 0);
    Some(())
}

#[test]
fn a_worker_ahead_of_the_servers_zone_is_reported() {
    let place = Place::new(&SENTINEL_042);
    let url = format!("{}&options=-c%20timezone%3DAsia/Tokyo", place.database.url());
    let worker = Peer::start(place.library, WORKER, &[&url, "alive", "ahead", "30000", FAR_MS]);
    let said = texts(&place.act(&["status"], 0).json());
    assert!(said.contains("was last changed in the future"), "{said}");
    assert!(doctor(&place).0.contains("last changed in the future"));
    // Dead, its lease still looks alive, and for hours: nothing says that it is, nor waits for that.
    worker.kill();
    let verdict = place.act(&["inspect", "ahead"], 0).json()["verdict"].clone();
    let said = texts(&verdict);
    assert_eq!((&verdict["state"], &verdict["severity"]), (&"alive".into(), &"critical".into()), "{verdict:#}");
    assert!(said.contains("in the future: a session in another time zone, or a clock that is ahead"), "{said}");
    assert!(said.contains("whether its worker lives or not") && !said.contains("a worker is executing"), "{said}");
    assert!(said.contains("the last change of its row lies in the future: in "), "{said}");
    assert!(!said.contains("row last changed"), "{said}");
    let why = texts(&place.act(&["why", "ahead"], 0).json());
    for said in [said, why] {
        assert!(said.contains("sen inspect --observe") && said.contains("sen doctor"), "{said}");
        assert!(!said.contains("sen wait"), "{said}");
    }
    let seen = texts(&place.act(&["inspect", "--observe", "1s", "ahead"], 0).json());
    assert!(seen.contains("nothing changed"), "{seen}");
}

fn an_async_client_past_its_lease_is_well(library: &'static Environment) {
    let place = Place::new(library);
    let _workers = [place.late("async", "long", 4000, None), place.late("async", "short", 500, None)];
    for key in ["long", "short"] {
        let told = place.act(&["inspect", key], 0).json();
        let verdict = &told["verdict"];
        assert_eq!((&verdict["state"], &verdict["severity"]), (&"stalled".into(), &"pending".into()), "{verdict:#}");
        let said = texts(verdict);
        assert!(said.contains("its real TTL is about "), "{said}");
        assert!(!said.contains("before-hard-ttl"), "{said}");
        let why = place.act(&["why", key], 0).json();
        let causes = why["chain"][0]["causes"].as_array().expect("causes");
        let rules: Vec<&str> = causes.iter().filter_map(|cause| cause["rule"].as_str()).collect();
        assert_eq!(rules, ["async_holder"], "{why:#}");
        assert!(!texts(&why).contains("before-hard-ttl"), "{why:#}");
    }
    place.act(&["status", "--check"], 0);
}

#[test]
fn an_async_client_past_its_lease_is_well_0_4_2() {
    an_async_client_past_its_lease_is_well(&SENTINEL_042);
}

#[test]
fn an_async_client_past_its_lease_is_well_0_5_0() {
    an_async_client_past_its_lease_is_well(&SENTINEL_050);
}

/// 0.4.2 writes no events: those of an operator who settled the key before say nothing of its next run.
#[test]
fn a_run_of_0_4_2_on_tables_of_0_5_0_is_not_settled_by_an_operator() {
    let mut place = Place::new(&SENTINEL_050);
    place.library(&["killed", "k"]);
    place.act(&["reconcile", "k", "--complete", "{}", "--yes"], 0);
    let settled = texts(&place.act(&["inspect", "k"], 0).json()["verdict"]);
    assert!(settled.contains("settled by an operator"), "{settled}");
    place.act(&["forget", "k", "--yes"], 0);
    place.library = &SENTINEL_042;
    assert_eq!(place.library(&["once", "k"])["runs"], 1);
    let ran = texts(&place.act(&["inspect", "k"], 0).json()["verdict"]);
    assert!(!ran.contains("settled by an operator"), "{ran}");
}

/// What the real library does on each form of its own Django tables is what doctor says it does.
#[test]
fn doctor_says_which_version_cannot_work_on_django_tables() {
    let mut place = Place::new(&SENTINEL_050);
    place.database.psql("DROP TABLE sentinel_leases, sentinel_events; DROP SEQUENCE sentinel_token_seq");
    ask(&SENTINEL_050_DJANGO, DJANGO, &["migrate", &place.database.url()]);
    assert_eq!(place.library(&["attempt", "k"])["error"], "UndefinedColumn");
    let (said, remedies) = doctor(&place);
    assert!(said.contains("sentinel-coordination 0.5.0 cannot work on these tables"), "{said}");
    place.database.psql(remedies.iter().find(|sql| sql.contains("metadata")).expect("a statement to copy"));

    assert_eq!(place.library(&["attempt", "k"])["success"], true);
    assert_eq!(place.library(&["async_once", "a"])["error"], "NotNullViolation");
    let (said, remedies) = doctor(&place);
    assert!(!said.contains("sentinel-coordination 0.5.0 cannot work") && said.contains("async clients"), "{said}");
    place.database.psql(remedies.iter().find(|sql| sql.contains("ttl_ms")).expect("a statement to copy"));
    for library in [&SENTINEL_050, &SENTINEL_042] {
        place.library = library;
        assert_eq!(place.library(&["async_once", library.name])["success"], true, "{}", library.name);
    }
    assert!(!doctor(&place).0.contains("cannot work"));
}

/// A plan of many keys looks them up in sets.
#[test]
fn many_keys_are_looked_up_in_sets() {
    let place = Place::new(&SENTINEL_050);
    place.database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
            SELECT 'bulk:' || n, 'web:1-1', now() - interval '1 minute', now() - interval '2 minutes', now() - interval '1 minute',
                CASE WHEN n % 2 = 0 THEN 'executing' ELSE 'reconciling' END, n
            FROM generate_series(1, 1200) AS n",
    );
    let mut words = vec!["reconcile".to_owned(), "--dry-run".into()];
    words.extend((1..=1200).map(|n| format!("bulk:{n}")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let before = transactions(&place);
    let plan = place.run(&words).json();
    assert_eq!((&plan["planned"], &plan["changed"]), (&600.into(), &600.into()));
    // Three sets of keys, and what a command costs anyway; one by one they would be 1200.
    let cost = transactions(&place) - before;
    assert!(cost < 100, "{cost} transactions");
}

/// How many transactions have ended in the database.
fn transactions(place: &Place) -> i64 {
    let count = || {
        let sql = "SELECT pg_stat_clear_snapshot(), xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        place.database.psql(sql).trim_start_matches('|').parse::<i64>().expect("a number")
    };
    // The statistics come a moment late: they are complete when only this question is counted any more.
    let mut last = count();
    until("the statistics", || {
        std::thread::sleep(Duration::from_millis(1200));
        let now = count();
        let grown = now - std::mem::replace(&mut last, now);
        grown < 4
    });
    last
}
