//! The runbook for leases, against PostgreSQL; those for letters and sagas stand with their systems.

use crate::harness::postgres::Server;
use crate::harness::runbook::run;
use crate::harness::sen::sen;

#[test]
fn an_uncertain_payment_is_settled_by_what_the_provider_says() {
    let server = Server::shared();
    let database = server.fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
            SELECT key, 'web-1:42-7', now() - interval '1 hour', now() - interval '1 hour', now() + hard, 'executing', 7
            FROM (VALUES ('charged', interval '-30 minutes'), ('not charged', interval '-30 minutes'),
                ('unknown', interval '-30 minutes'), ('alive', interval '30 minutes')) AS v (key, hard);
        SELECT setval('sentinel_token_seq', 7)",
    );
    let status = |key: &str| database.psql(&format!("SELECT status FROM sentinel_leases WHERE key = '{key}'"));
    let runbook = |key: &str, lookup: &str| run("uncertain-payment.sh", &[key, lookup, "INC-7"], &url);

    let folder = tempfile::tempdir().unwrap();
    let provider = folder.path().join("provider");
    std::fs::write(&provider, "echo '{\"charge\": \"ch_1\"}'").unwrap();
    runbook("charged", &format!("sh {}", provider.display())).expect_code(0);
    assert_eq!(status("charged"), "completed");
    let result = database.psql("SELECT execution_result->>'charge' FROM sentinel_leases WHERE key = 'charged'");
    assert_eq!(result, "ch_1");
    runbook("charged", "false").expect_code(0);
    runbook("not charged", "true").expect_code(0);
    assert_eq!(status("not charged"), "claimed");
    runbook("unknown", "false").expect_code(1);
    assert_eq!(status("unknown"), "executing");
    runbook("alive", "true").expect_code(8);
    assert_eq!(status("alive"), "executing");
    runbook("missing", "true").expect_code(4);
    // What is left, for an alert, for a look at which host it was, and for a ticket.
    let said = run("alert.sh", &[], &url).expect_code(10).said;
    assert!(said.starts_with("critical\t1\tlease\tuncertain\t20"), "{said}");
    assert!(said.contains("sen list --state uncertain"), "{said}");
    let said = run("uncertain-groups.sh", &[], &url).expect_code(0).said;
    let columns: Vec<&str> = said.trim_end().split('\t').collect();
    assert_eq!((&columns[..3], columns[4]), (&["1", "-", "web-1"][..], "unknown"), "{said}");
    let said = run("ticket.sh", &["unknown"], &url).expect_code(0).said;
    assert!(said.starts_with("## unknown: critical\n") && said.contains("\n    sen reconcile unknown   # "), "{said}");
    run("ticket.sh", &["missing"], &url).expect_code(4);
    let why =
        database.psql("SELECT metadata->>'why' FROM sentinel_events WHERE key = 'charged' AND event = 'completed'");
    assert_eq!(why, "INC-7");
}
