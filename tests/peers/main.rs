//! The real Python library makes the data; `sen` reads it; what `sen` says must be what the library says of itself.

#![cfg(feature = "postgres")]

mod contract;
#[path = "../harness/mod.rs"]
mod harness;

use harness::peers::{Peer, SENTINEL_042, SENTINEL_050, SENTINEL_050_DJANGO, ask};
use harness::postgres::{Database, Server};
use harness::python::Environment;
use serde_json::Value;

const MAKE: &str = "sentinel/make.py";
const TRUTH: &str = "sentinel/truth.py";
const DJANGO: &str = "sentinel/django_tables.py";

/// A zone the workers see and no client here is in: on plain TIMESTAMP columns only the server's setting is right.
const ZONE: &str = "timezone = 'Europe/Berlin'";

fn database() -> Database<'static> {
    Server::shared().fresh_database_with(&[ZONE])
}

/// Compares in a clean environment and in one whose zones must not matter.
fn agree(database: &Database<'_>, made: &[&Value], environment: &Environment, truth_args: &[&str]) {
    let url = database.url();
    let args: Vec<&str> = std::iter::once(url.as_str()).chain(truth_args.iter().copied()).collect();
    let truth = || {
        let truth = ask(environment, TRUTH, &args);
        assert_eq!(truth["timezone"], "Europe/Berlin");
        truth
    };
    for env in [&[][..], &[("TZ", "Asia/Tokyo"), ("PGTZ", "America/New_York")][..]] {
        contract::compare(&url, env, &truth, made);
    }
}

#[test]
fn sentinel_0_4_2() {
    let database = database();
    let peer = Peer::start(&SENTINEL_042, MAKE, &[&database.url()]);
    assert_eq!(peer.made["library"], "0.4.2");
    let zoned = "SELECT data_type FROM information_schema.columns WHERE column_name = 'lease_expires_at'";
    assert_eq!(database.psql(zoned), "timestamp without time zone");
    agree(&database, &[&peer.made], &SENTINEL_042, &[]);
}

#[test]
fn sentinel_0_5_0() {
    let database = database();
    let peer = Peer::start(&SENTINEL_050, MAKE, &[&database.url()]);
    assert_eq!(peer.made["library"], "0.5.0");
    agree(&database, &[&peer.made], &SENTINEL_050, &[]);
}

/// Plain TIMESTAMP leases beside an events table; some keys older than the events.
#[test]
fn sentinel_0_4_2_opened_by_0_5_0() {
    let database = database();
    let older = ask(&SENTINEL_042, MAKE, &[&database.url(), "--only-finished", "--prefix", "old-"]);
    let peer = Peer::start(&SENTINEL_050, MAKE, &[&database.url()]);
    let zoned = "SELECT data_type FROM information_schema.columns WHERE column_name = 'lease_expires_at'";
    assert_eq!(database.psql(zoned), "timestamp without time zone");
    agree(&database, &[&older, &peer.made], &SENTINEL_050, &[]);
}

/// 0.5.0 cannot work on the tables its own migrations make (its events need `metadata`), so 0.4.2 makes the leases and the
/// migrations' own model the events.
#[test]
fn sentinel_tables_made_by_django() {
    let database = database();
    let url = database.url();
    let tried = ask(&SENTINEL_050_DJANGO, DJANGO, &["migrate", &url]);
    for way in ["once", "django_once"] {
        assert_eq!(tried[way]["error"], "UndefinedColumn", "{tried}: if this works now, let 0.5.0 make the data");
    }
    let peer = Peer::start(&SENTINEL_042, MAKE, &[&url, "--existing-tables", "--sync-only"]);
    ask(&SENTINEL_050_DJANGO, DJANGO, &["events", &url, "uncertain"]);
    agree(&database, &[&peer.made], &SENTINEL_050_DJANGO, &["--django"]);
}
