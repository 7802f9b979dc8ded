//! Leases on real PostgreSQL through the binary: what only shows there.

use crate::harness::patience::{longer, shown};
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::postgres::{Options, Server};
use crate::harness::sen::sen;

#[test]
fn plain_timestamps_are_read_in_the_servers_zone_whatever_the_client_says() {
    let database = Server::shared().fresh_database_with(&["timezone = 'America/New_York'"]);
    database.psql(
        "CREATE TABLE sentinel_leases (key text PRIMARY KEY, owner_id text NOT NULL, lease_expires_at timestamp NOT NULL,
            lease_updated_at timestamp, hard_expires_at timestamp, execution_result jsonb, status text NOT NULL DEFAULT 'claimed',
            fencing_token bigint NOT NULL DEFAULT 1, ttl_ms integer NOT NULL DEFAULT 3000);
         INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status) VALUES
            ('live', 'o', now() + interval '10 minutes', now() + interval '1 hour', 'executing'),
            ('over', 'o', now() - interval '10 minutes', now() - interval '5 minutes', 'executing')",
    );
    let truth = database.psql("SELECT to_char(lease_expires_at::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM sentinel_leases WHERE key = 'live'");
    for zone in ["Asia/Tokyo", "Pacific/Marquesas", "UTC"] {
        let inspect = |key: &str| {
            sen(["inspect", "-o", "json", key])
                .database(&database.url())
                .env("TZ", zone)
                .env("PGTZ", zone)
                .run()
                .expect_code(0)
                .json()
        };
        assert_eq!(inspect("live")["verdict"]["state"], "alive", "{zone}");
        assert_eq!(inspect("live")["lease_expires_at"], truth.as_str(), "{zone}");
        assert_eq!(inspect("over")["verdict"]["state"], "uncertain", "{zone}");
    }
}

#[test]
fn everything_works_through_a_pooler_in_transaction_mode() {
    let server = Server::start(&Options::new().tcp());
    let database = server.fresh_database();
    let bouncer = PgBouncer::start(&server);
    let url = bouncer.url_of(&database.name);
    sen(["init"]).database(&url).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status) VALUES ('k', 'o', now(), 'completed')",
    );
    for _ in 0..10 {
        sen(["inspect", "k"]).database(&url).run().expect_code(0);
        sen(["list", "--limit", "0", "-o", "jsonl"]).database(&url).run().expect_code(0);
        sen(["status"]).database(&url).run().expect_code(0);
    }
}

#[test]
fn secrets_in_results_are_masked_until_revealed() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        r#"INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status, execution_result)
           VALUES ('k', 'o', now(), 'completed', '{"api_key": "sk_live_123", "amount": 1.10}')"#,
    );
    let run = |args: &[&str]| sen(args).database(&database.url()).run().expect_code(0).stdout;
    for args in
        [&["inspect", "k"][..], &["inspect", "k", "-o", "json"], &["list", "-o", "jsonl"], &["list", "-o", "csv"]]
    {
        let shown = run(args);
        assert!(!shown.contains("sk_live_123") && shown.contains("1.10"), "{args:?}: {shown}");
    }
    assert!(run(&["inspect", "k", "-o", "json", "--reveal"]).contains("sk_live_123"));
}

#[test]
fn a_table_that_somebody_alters_is_reported_instead_of_waited_for() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let mut holder = database.session();
    holder.run("BEGIN; LOCK TABLE sentinel_leases");
    let output = shown("it is let in and waits for the table", |run| {
        let limit = format!("{}ms", longer(run));
        let output = sen(["inspect", "k", "--timeout", &limit]).database(&database.url()).run();
        (!output.stderr.contains("no answer within")).then_some(output)
    });
    let output = output.expect_code(1);
    assert!(output.stderr.contains("statement timeout") || output.stderr.contains("time"), "{}", output.stderr);
}

#[test]
fn a_database_in_sql_ascii_may_hold_any_bytes() {
    let server = Server::start(&Options::new().encoding("SQL_ASCII").locale("C"));
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(r"INSERT INTO sentinel_leases (key, owner_id, lease_expires_at) VALUES ('k', E'caf\xe9:1-1', now() - interval '1 minute')");
    let shown = sen(["inspect", "k", "-o", "json"]).database(&database.url()).run().expect_code(0).json();
    assert_eq!(shown["owner_id"], "caf\u{fffd}:1-1");
    assert!(shown["verdict"]["evidence"].to_string().contains("not UTF-8"), "{shown}");
    sen(["list"]).database(&database.url()).run().expect_code(0);
}

/// Later callers get what is stored as the return value of the function: what is unlike all other results is said before.
#[test]
fn a_result_of_another_shape_than_the_others_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let warnings = |key: &str, result: &str| {
        let args = ["reconcile", key, "--complete", result, "--dry-run", "-o", "json"];
        let plan = sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run().expect_code(0).json();
        plan["warnings"].to_string()
    };
    let odd = warnings("payments:order-7731", "\"done\"");
    assert!(
        odd.contains("the result is no JSON object, and those of other completed keys of payments are objects"),
        "{odd}"
    );
    assert!(!warnings("payments:order-7731", "{\"charge\": \"ch_1\"}").contains("completed keys of"));
    let db = rusqlite::Connection::open(folder.path().join("sen-demo.db")).unwrap();
    let other =
        "UPDATE sentinel_leases SET execution_result = '\"ok\"' WHERE key LIKE 'payments:%' AND status = 'completed'";
    db.execute(other, []).unwrap();
    assert!(warnings("payments:order-7731", "{}").contains("the result is an object"));
    assert!(!warnings("payments:order-7731", "1").contains("completed keys of"));
    // Where they differ nothing can be said.
    db.execute("UPDATE sentinel_leases SET execution_result = '{}' WHERE key = 'payments:order-7701'", []).unwrap();
    assert!(!warnings("payments:order-7731", "1").contains("completed keys of"));
}
