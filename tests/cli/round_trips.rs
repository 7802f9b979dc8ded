//! What a command costs the database, counted in protocol messages.

use std::time::Duration;

use crate::harness::postgres::{Options, Server};
use crate::harness::proxy::Proxy;
use crate::harness::sen::sen;

#[test]
fn reading_commands_take_one_round_trip_after_the_login() {
    let server = Server::start(&Options::new().tcp());
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status) VALUES ('k', 'o', now(), 'completed')",
    );
    for args in [&["inspect", "k"][..], &["list"], &["status"], &["list", "--limit", "0", "-o", "jsonl"]] {
        let proxy = Proxy::unix(&server);
        // More than 8 KiB of questions leave in several writes, none of which waits for an answer.
        proxy.latency(Duration::from_millis(100));
        sen(args).database(&proxy.url_of(&database.name)).run().expect_code(0);
        let seen = proxy.seen_to_the_end();
        assert_eq!(seen.len(), 1, "one connection: {seen:?}");
        assert_eq!(seen[0].flights, 1, "{args:?}: {seen:?}");
        // Unnamed statements only: a named one would break behind a pooler, and preparing costs a trip.
        assert!(seen[0].messages.iter().all(|message| *message != "Close"), "{seen:?}");
    }
    // Before 0.5.0 there is no events table; that costs no further trip either.
    database.psql("DROP TABLE sentinel_events");
    let proxy = Proxy::unix(&server);
    proxy.latency(Duration::from_millis(100));
    sen(["inspect", "k"]).database(&proxy.url_of(&database.name)).run().expect_code(0);
    assert_eq!(proxy.seen_to_the_end()[0].flights, 1);
}
