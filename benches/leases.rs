//! A million leases and their events beside psql and the original Python tool.

use std::fs;

use crate::harness::peers::SENTINEL_050;
use crate::harness::postgres::{Database, Options, Server};
use crate::harness::sen::SEN;
use crate::meter::{Served, other, pair, psql, sen, setting, table, title};

/// What both tools fetch of a lease.
const COLUMNS: &str = "key, owner_id, status, fencing_token, lease_expires_at, lease_updated_at, hard_expires_at, ttl_ms, execution_result";

/// Fills the tables the way a payment service leaves them: nearly everything completed, a few alive or left behind, three events
/// each.
const FILL: &str = "INSERT INTO sentinel_leases SELECT
        'payments:order-' || n, 'web-' || n % 40 || ':' || 1000 + n % 90 || '-140217000',
        now() - n * interval '1 second', now() - n * interval '1 second', now() - n * interval '1 second' + interval '5 minutes',
        CASE WHEN n % 1000 > 5 THEN jsonb_build_object('charge', 'ch_' || n, 'amount', n, 'currency', 'EUR') END,
        CASE WHEN n % 1000 > 5 THEN 'completed' WHEN n % 1000 > 2 THEN 'executing' ELSE 'claimed' END, n, 30000
        FROM generate_series(1, {rows}) AS n;
    INSERT INTO sentinel_events (key, event, occurred_at, fencing_token, owner_id) SELECT
        'payments:order-' || n, event, now() - n * interval '1 second', n, 'web-' || n % 40 || ':1-1'
        FROM generate_series({rows}, 1, -1) AS n, unnest(ARRAY['acquired', 'executing', 'completed']) AS event
        WHERE event <> 'completed' OR n % 1000 > 5;
    VACUUM (ANALYZE);
    CHECKPOINT;";

/// A server that is large enough for these sizes.
pub fn server() -> Server {
    Server::start(&Options::new().conf("shared_buffers = 512MB").conf("max_wal_size = 8GB"))
}

pub fn filled(server: &Server, rows: u64) -> Database<'_> {
    let database = server.fresh_database();
    crate::meter::time(&mut sen(&database.url(), &["init", "-q"]));
    database.psql(&FILL.replace("{rows}", &rows.to_string()));
    database
}

pub fn run() {
    let rows: u64 = setting("SEN_BENCH_ROWS", 1_000_000).max(1);
    let server = server();
    let database = filled(&server, rows);
    let (url, served) = (database.url(), Served::Postgres(&server));
    title(&format!("{rows} leases and their events, {}", database.psql("SHOW server_version")));
    let key = format!("payments:order-{}", rows.div_ceil(2));
    let one = format!("SELECT {COLUMNS}, lease_expires_at > now() FROM sentinel_leases WHERE key = '{key}'");
    let events = format!("SELECT * FROM sentinel_events WHERE key = '{key}' ORDER BY occurred_at DESC LIMIT 100");
    let counts = "SELECT status, count(*), min(lease_updated_at) FROM sentinel_leases GROUP BY 1";
    let copy = format!("\\copy (SELECT {COLUMNS} FROM sentinel_leases) to stdout");
    table("psql");
    for (name, statement, words) in [
        ("`sen inspect KEY`", &one[..], &["inspect", &key][..]),
        ("`sen inspect KEY -o json`", &one, &["inspect", "-o", "json", &key]),
        ("`sen why KEY`", &one, &["why", &key]),
        ("`sen history KEY`", &events, &["history", &key]),
        ("`sen list`", counts, &["list"]),
        ("`sen status`", counts, &["status"]),
        ("`sen stats`", counts, &["stats"]),
        ("`sen doctor`", counts, &["doctor"]),
        ("`sen list -o jsonl --limit 0`", &copy, &["list", "-o", "jsonl", "--limit", "0"]),
        ("`sen list -o csv --limit 0`", &copy, &["list", "-o", "csv", "--limit", "0"]),
        ("`sen --version`", "SELECT", &["--version"]),
    ] {
        pair(name, served, psql(&url, statement), sen(&url, words));
    }
    let original = SENTINEL_050.python().with_file_name("sen");
    println!();
    table("the original");
    pair("`sen inspect KEY`", served, other(&url, original, &["inspect", &key]), sen(&url, &["inspect", &key]));
    let size = fs::metadata(SEN).expect("the binary is there").len();
    println!("\nThe binary: {:.1} MB", size as f64 / 1e6);
}
