//! `--connect-retry`: a server that is away for a while, starts up, or is a standby still.

use std::time::Duration;

use crate::harness::patience::until;
use crate::harness::postgres::{Options, Server};
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
