//! `sen doctor`, `sen grants`, `sen metrics`.

use crate::harness::postgres::{Options, Server};
use crate::harness::sen::sen;

/// The role of a name that no other test uses, logged in.
fn as_role(url: &str, role: &str) -> String {
    let (head, tail) = url.split_once("user=").unwrap();
    let rest = tail.split_once('&').map_or("", |(_, rest)| rest);
    format!("{head}user={role}&{rest}")
}

#[test]
fn what_grants_prints_is_enough_and_no_more() {
    let server = Server::start(&Options::new().durable());
    let database = server.fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status, fencing_token)
            VALUES ('u', 'w:1-1', now() - interval '1 hour', now() - interval '30 minutes', 'executing', 7),
                ('c', 'w:1-1', now() - interval '1 hour', now() - interval '30 minutes', 'completed', 8),
                ('f', 'w:1-1', now() - interval '1 hour', NULL, 'claimed', 9);
        SELECT setval('sentinel_token_seq', 9)",
    );
    let (reader, operator) = (format!("ro_{}", database.name), format!("op_{}", database.name));
    for (role, name) in [("ro", &reader), ("operator", &operator)] {
        database.psql(&format!("CREATE ROLE {name} LOGIN"));
        let nothing =
            sen(["doctor", "-o", "json", "--check"]).database(&as_role(&url, name)).run().expect_code(10).json();
        assert_eq!(nothing["worst"], "critical", "{nothing}");
        let sql = sen(["grants", "--role", role, "--to", name]).database(&url).run().expect_code(0).stdout;
        assert_eq!(sql.contains("UPDATE"), role == "operator", "{sql}");
        database.psql(&sql);
        let all = sen(["doctor", "-o", "json"]).database(&as_role(&url, name)).run().expect_code(0).json();
        // The uncertain key is what is left, in the words and the number of `status`.
        let found: Vec<&serde_json::Value> =
            all["checks"].as_array().unwrap().iter().filter(|check| check["severity"] != "ok").collect();
        assert!(found.len() == 1 && found[0]["topic"] == "attention", "{all}");
        let status = sen(["status", "-o", "json"]).database(&as_role(&url, name)).run().expect_code(0).json();
        assert_eq!(found[0]["summary"], status["attention"][0]["summary"]);
    }
    let read = as_role(&url, &reader);
    for args in [&["status"][..], &["list"], &["inspect", "u"], &["history", "u"], &["metrics"]] {
        sen(args).database(&read).run().expect_code(0);
    }
    let act = |url: &str, args: &[&str]| sen(args).database(url).run();
    assert_ne!(act(&read, &["reconcile", "u", "--reset", "--yes"]).code, 0);
    assert_eq!(database.psql("SELECT status FROM sentinel_leases WHERE key = 'u'"), "executing");
    let op = as_role(&url, &operator);
    act(&op, &["reconcile", "u", "--reset", "--yes"]).expect_code(0);
    act(&op, &["forget", "c", "--yes"]).expect_code(0);
    act(&op, &["release", "f"]).expect_code(0);
    act(&op, &["once", "new", "--", "true"]).expect_code(0);
    database.psql(&format!("DROP OWNED BY {reader}, {operator}; DROP ROLE {reader}, {operator}"));
}

#[test]
fn an_odd_role_name_is_quoted_and_sqlite_has_no_grants() {
    let server = Server::shared();
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let sql = sen(["grants", "--role", "ro", "--to", "a\"b c"]).database(&database.url()).run().expect_code(0).stdout;
    assert!(sql.lines().all(|line| line.ends_with(r#" TO "a""b c";"#)), "{sql}");
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let demo = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run();
    assert!(demo(&["grants", "--role", "ro"]).expect_code(2).stderr.contains("permissions"));
    let told = demo(&["doctor", "--check"]).expect_code(10).stdout;
    assert!(told.contains("no worker will ever poll"), "{told}");
}

/// Lines of the text format: comments, or a name, labels and a number.
#[test]
fn metrics_are_lines_prometheus_reads() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let run = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db").run();
    let text = run(&["metrics"]).expect_code(0).stdout;
    let line = regex::Regex::new(r#"^[a-z_]+(\{([a-z]+="[^"\\]*",?)+\})? -?[0-9.e+-]+$"#).unwrap();
    for text in text.lines().filter(|text| !text.starts_with("# ")) {
        assert!(line.is_match(text), "{text}");
    }
    assert!(text.contains(r#"sen_items{system="sentinel",kind="leases",state="uncertain"} 3"#), "{text}");
    assert!(run(&["metrics", "--textfile", "sen.prom"]).expect_code(0).stdout.is_empty());
    assert!(std::fs::read_to_string(folder.path().join("sen.prom")).unwrap().contains("sen_up 1"));
    sen(["metrics", "--textfile", "sen.prom"]).cwd(folder.path()).database("sqlite:gone.db").run().expect_code(6);
    let down = std::fs::read_to_string(folder.path().join("sen.prom")).unwrap();
    assert!(down.ends_with("sen_up 0\n") && !down.contains("sen_items"), "{down}");
}
