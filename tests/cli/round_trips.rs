//! What a command costs the database, counted in protocol messages.

use crate::harness::postgres::{Options, Server};
use crate::harness::proxy::round_trips;
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
        // More than 8 KiB of questions leave in several writes, none of which waits for an answer.
        let seen = round_trips(&server, 1, |proxy| {
            sen(args).database(&proxy.url_of(&database.name)).run().expect_code(0);
        });
        // Unnamed statements only: a named one would break behind a pooler, and preparing costs a trip.
        assert!(seen.messages.iter().all(|message| *message != "Close"), "{seen:?}");
    }
    // Before 0.5.0 there is no events table; that costs no further trip either.
    database.psql("DROP TABLE sentinel_events");
    round_trips(&server, 1, |proxy| {
        sen(["inspect", "k"]).database(&proxy.url_of(&database.name)).run().expect_code(0);
    });
}
