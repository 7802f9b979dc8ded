//! `--connect-retry`: a server that is away for a while, starts up, or is a standby still.

use std::time::Duration;

use crate::harness::patience::until;
use crate::harness::postgres::{Options, Server};
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::psql;
use crate::harness::sen::sen;

#[test]
fn a_server_that_is_down_is_tried_for_as_long_as_said_and_not_at_all_by_itself() {
    let mut server = Server::start(&Options::new().conf("full_page_writes = on"));
    let name = server.fresh_database().name;
    let url = server.url_of(&name);
    sen(["init"]).database(&url).run().expect_code(0);
    psql::run(&url, "CHECKPOINT");
    server.kill();
    sen(["once", "now", "--", "true"]).database(&url).run().expect_code(125);
    sen(["list"]).database(&url).run().expect_code(6);
    let gave_up = sen(["list", "--connect-retry", "1s"]).database(&url).run().expect_code(6);
    assert!(gave_up.took >= Duration::from_secs(1), "{gave_up:?}");
    let once = sen(["once", "k", "--connect-retry", "2m", "--", "true"]).database(&url).start();
    let list = sen(["list", "-o", "json"]).database(&url).env("SEN_CONNECT_RETRY", "2m").start();
    std::thread::sleep(Duration::from_millis(300));
    server.resume();
    once.finish().expect_code(0);
    list.finish().expect_code(0);
    assert_eq!(psql::run(&url, "SELECT status FROM sentinel_leases WHERE key = 'k'"), "completed");
    let odd = sen(["list"]).database(&url).env("SEN_CONNECT_RETRY", "soon").run().expect_code(2);
    assert!(odd.stderr.contains("SEN_CONNECT_RETRY"), "{}", odd.stderr);
    // What a server has judged is not tried again.
    let judged = sen(["list", "--connect-retry", "5m"]).database(&server.url_of("nowhere")).run();
    judged.expect_code(6);
}

/// As behind a pooler, which takes connections while its server is away.
#[test]
fn a_connection_that_is_lost_before_its_first_answer_is_tried_again() {
    let server = Server::start(&Options::new());
    let name = server.fresh_database().name;
    sen(["init"]).database(&server.url_of(&name)).run().expect_code(0);
    let proxy = Proxy::unix(&server);
    for (retry, code, status) in [("0s", 125, ""), ("2m", 0, "completed")] {
        proxy.trap(Trap::Hold(b"pg_catalog.pg_attribute".to_vec()));
        let once = sen(["once", "k", "--connect-retry", retry, "--", "true"]).database(&proxy.url_of(&name)).start();
        proxy.wait_for_hold();
        proxy.cut();
        proxy.stall(false);
        once.finish().expect_code(code);
        let row = psql::run(&server.url_of(&name), "SELECT status FROM sentinel_leases WHERE key = 'k'");
        assert_eq!(row, status, "{retry}");
    }
}

#[test]
fn writers_wait_for_a_standby_to_be_promoted() {
    let mut primary = Server::start(&Options::new());
    let name = primary.fresh_database().name;
    sen(["init"]).database(&primary.url_of(&name)).run().expect_code(0);
    let standby = primary.standby("one");
    let url = standby.url_of(&name);
    until("the standby has the tables", || psql::try_run(&url, "SELECT count(*) FROM sentinel_leases").is_ok());
    primary.kill();
    // Readers are content with a standby.
    sen(["list", "--connect-retry", "2m"]).database(&url).run().expect_code(0);
    let mut once = sen(["once", "k", "--connect-retry", "2m", "--", "true"]).database(&url).start();
    std::thread::sleep(Duration::from_millis(300));
    assert!(once.is_running());
    standby.promote();
    once.finish().expect_code(0);
    assert_eq!(psql::run(&url, "SELECT status FROM sentinel_leases WHERE key = 'k'"), "completed");
}

/// A failover can take longer than a lease.
#[test]
fn a_result_is_stored_after_the_end_of_its_lease_where_the_operator_waits_so_long() {
    let server = Server::start(&Options::new());
    let name = server.fresh_database().name;
    sen(["init"]).database(&server.url_of(&name)).run().expect_code(0);
    let proxy = Proxy::unix(&server);
    for (retry, code, status) in [("0s", 9, "executing"), ("2m", 0, "completed")] {
        proxy.trap(Trap::Hold(b"execution_result = $5".to_vec()));
        let words = ["once", retry, "--ttl", "2s", "--connect-retry", retry, "--", "true"];
        let mut once = sen(words).database(&proxy.url_of(&name)).start();
        proxy.wait_for_hold();
        proxy.refuse(true);
        proxy.cut();
        proxy.stall(false);
        let row = |column: &str| {
            psql::run(&server.url_of(&name), &format!("SELECT {column} FROM sentinel_leases WHERE key = '{retry}'"))
        };
        until("the lease is over", || row("lease_expires_at < now()") == "t");
        if code == 0 {
            std::thread::sleep(Duration::from_secs(1));
            assert!(once.is_running(), "it waits on");
            proxy.refuse(false);
        }
        once.finish().expect_code(code);
        assert_eq!(row("status"), status, "{retry}");
        proxy.refuse(false);
    }
}

/// As by a pooler that holds it until its server is there again.
#[test]
fn a_claim_that_comes_too_late_is_given_back_and_made_anew_where_the_operator_waits_so_long() {
    let server = Server::start(&Options::new());
    let name = server.fresh_database().name;
    sen(["init"]).database(&server.url_of(&name)).run().expect_code(0);
    let proxy = Proxy::unix(&server);
    for (retry, code, status) in [("0s", 125, ""), ("2m", 0, "completed")] {
        proxy.trap(Trap::Hold(b"INSERT INTO sentinel_leases".to_vec()));
        let words = ["once", "k", "--ttl", "1s", "--connect-retry", retry, "--", "true"];
        let once = sen(words).database(&proxy.url_of(&name)).start();
        proxy.wait_for_hold();
        std::thread::sleep(Duration::from_secs(1));
        proxy.stall(false);
        let said = once.finish().expect_code(code).stderr;
        assert_eq!(said.contains("it was given back"), code != 0, "{said}");
        let row = psql::run(&server.url_of(&name), "SELECT status FROM sentinel_leases WHERE key = 'k'");
        assert_eq!(row, status, "{retry}");
    }
}
