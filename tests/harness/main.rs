//! The harness tested on itself: what the other tests believe of it.

#![cfg(feature = "postgres")]

#[path = "mod.rs"]
mod harness;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::daemon::alive;
use harness::patience::until;
use harness::pgbouncer::PgBouncer;
use harness::postgres::{Options, Server};
use harness::proxy::{Proxy, Trap};
use harness::{psql, redact, snapshot};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn every_test_gets_an_empty_database_of_its_own() {
    let server = Server::shared();
    let (one, other) = (server.fresh_database(), server.fresh_database_with(&["timezone = 'Asia/Tokyo'"]));
    one.psql("CREATE TABLE only_here (id int)");
    assert_eq!(other.psql("SELECT to_regclass('only_here') IS NULL"), "t");
    assert_eq!(other.psql("SHOW timezone"), "Asia/Tokyo");
    assert_eq!(one.psql("SHOW server_encoding; SHOW lc_collate; SHOW fsync"), "UTF8\nC.UTF-8\noff");
    assert_eq!(psql::run(&one.tcp_url(), "SELECT current_database()"), one.name);
    assert!(psql::try_run(&one.url(), "SELECT nonsense").unwrap_err().contains("nonsense"));
}

#[test]
fn a_session_holds_its_transaction_open() {
    let database = Server::shared().fresh_database();
    database.psql("CREATE TABLE t (id int)");
    let mut session = database.session();
    session.run("BEGIN; LOCK TABLE t");
    assert!(psql::try_run(&database.url(), "SET lock_timeout = '50ms'; SELECT * FROM t").is_err());
    session.run("COMMIT");
    assert_eq!(database.psql("SELECT count(*) FROM t"), "0");
}

#[test]
fn a_dedicated_server_crashes_comes_back_and_leaves_nothing() {
    let options =
        Options::new().timezone("Europe/Berlin").hba("local all nobody_at_all reject").conf("work_mem = '7MB'");
    let mut server = Server::start(&options);
    let database = server.fresh_database();
    let (name, url) = (database.name.clone(), database.url());
    assert_eq!(database.psql("SHOW timezone; SHOW work_mem; SHOW listen_addresses"), "Europe/Berlin\n7MB\n");
    server.crash();
    assert!(psql::try_run(&url, "SELECT 1").is_err());
    server.resume();
    assert_eq!(psql::run(&server.url_of(&name), "SELECT 1"), "1");
    let (home, pid) = (server.socket_dir().to_owned(), server.pid());
    drop(server);
    assert!(!home.exists() && !alive(pid));
}

#[test]
fn pgbouncer_pools_by_transaction() {
    let server = Server::shared();
    let database = server.fresh_database();
    let pooler = PgBouncer::start(server);
    assert_eq!(psql::run(&pooler.url_of(&database.name), "SELECT 1"), "1");
    assert_eq!(psql::run(&pooler.tcp_url_of(&database.name), "SELECT current_database()"), database.name);
    let refused = psql::try_run(&format!("{}&options=-cwork_mem%3D1MB", pooler.url_of(&database.name)), "SELECT 1");
    assert!(refused.unwrap_err().contains("unsupported startup parameter"));
}

#[test]
fn the_proxy_counts_round_trips_and_names_messages() {
    let server = Server::shared();
    let database = server.fresh_database();
    for proxy in [Proxy::tcp(server), Proxy::unix(server)] {
        proxy.latency(Duration::from_millis(2));
        psql::run(&proxy.url_of(&database.name), "SELECT 1;\nSELECT 2;");
        let seen = proxy.seen_to_the_end();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].start_up_flights, seen[0].flights), (seen[0].start_up.len(), 2), "{seen:?}");
        assert_eq!(seen[0].messages, ["Query", "Query", "Terminate"]);
    }
}

#[test]
fn the_proxy_stalls_cuts_and_springs_traps() {
    let server = Server::shared();
    let database = server.fresh_database();
    database.psql("CREATE TABLE t (id int)");
    let proxy = Proxy::unix(server);
    let url = proxy.url_of(&database.name);

    proxy.trap(Trap::Request(b"INSERT".to_vec()));
    assert!(psql::try_run(&url, "INSERT INTO t VALUES (1)").is_err());
    proxy.trap(Trap::Answer(b"INSERT".to_vec()));
    assert!(psql::try_run(&url, "INSERT INTO t VALUES (2)").is_err());
    assert_eq!(database.psql("SELECT id FROM t"), "2", "the second one arrived, the first did not");

    proxy.refuse(true);
    assert!(psql::try_run(&url, "SELECT 1").is_err());
    proxy.refuse(false);

    proxy.stall(true);
    let waiting = std::thread::spawn(move || psql::try_run(&url, "SELECT 1"));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished());
    proxy.stall(false);
    assert_eq!(waiting.join().unwrap().unwrap(), "1");

    let mut session = psql::Session::open(&proxy.url_of(&database.name));
    session.run("SELECT 1");
    proxy.cut();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| session.run("SELECT 1")));
    assert!(ended.is_err());
}

/// Set for the process that is to be killed by the next test.
const VICTIM: &str = "SEN_TEST_HARNESS_VICTIM";

#[test]
fn servers_end_with_a_test_process_that_is_killed() {
    if std::env::var_os(VICTIM).is_some() {
        let server = Server::start(&Options::new());
        let pooler = PgBouncer::start(&server);
        // Straight to the file, past libtest's capture: the other process waits for this line.
        let line = format!("{} {} {}\n", server.pid(), server.socket_dir().display(), pooler.socket_dir().display());
        fs::write("/dev/stdout", line).unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers_end_with_a_test_process_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines
        .filter(|line| line.contains("sen-pg-"))
        .find_map(|line| Some(line[line.find(char::is_numeric)?..].to_owned()));
    let line = line.expect("the other process says what it started");
    let parts: Vec<&str> = line.split_whitespace().collect();
    let pid: i32 = parts[0].parse().unwrap();
    assert!(alive(pid) && fs::exists(parts[1]).unwrap() && fs::exists(parts[2]).unwrap());

    kill_process(Pid::from_child(&victim), Signal::KILL).unwrap();
    victim.wait().unwrap();
    until(&format!("nothing is left of {line}"), || {
        !alive(pid) && !fs::exists(parts[1]).unwrap() && !fs::exists(parts[2]).unwrap()
    });
}

#[test]
fn fleeting_things_are_redacted() {
    let temp = std::env::temp_dir();
    let text = format!(
        "at 2026-11-20T20:16:00.123456Z, 3m ago (12.5ms) by host-1:42-140 token=17 in {}/sen-pg-12-0/.s.PGSQL.5433: sen 0.1.0, key-12 d2",
        temp.display()
    );
    assert_eq!(
        redact::redact(&text),
        "at <time>, <duration> (<duration>) by <owner> token=<token> in <temp>/.s.PGSQL.<port>: sen <version>, key-12 d2"
    );
    assert_eq!(redact::redact(r#"{"fencing_token": "12", "id": "13"}"#), r#"{"fencing_token": "<token>", "id": "13"}"#);
}

#[test]
fn a_difference_shows_only_what_differs() {
    assert_eq!(snapshot::difference("a\nb\nc\n", "a\nx\ny\nc\n"), "  a\n- b\n+ x\n+ y\n  c\n  \n");
    assert_eq!(snapshot::difference("a\na", "a"), "  a\n- a\n");
}

#[test]
fn sizes_go_from_that_of_every_day_to_the_full_one() {
    let sizes = [0.1, 1.0, 50.5, 100.0].map(|scale| harness::scale::sized_at(20, 220, scale));
    assert_eq!(sizes, [20, 20, 120, 220]);
    assert_eq!(harness::scale::sized_at(60, 60, 100.0), 60);
}
