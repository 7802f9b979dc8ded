//! The runbooks in `docs/runbooks`, run as they stand, against PostgreSQL.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::postgres::Server;
use crate::harness::sen::{clean_environment, sen};

/// How a runbook ended.
struct Ended {
    code: i32,
    said: String,
}

impl Ended {
    #[track_caller]
    fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.said);
        self
    }
}

/// Runs a script with the `sen` under test first in its path.
fn run(script: &str, args: &[&str], url: &str) -> Ended {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = Path::new(env!("CARGO_BIN_EXE_sen")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([own.to_path_buf()].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let output = Command::new("sh")
        .arg(root.join("docs/runbooks").join(script))
        .args(args)
        .env_clear()
        .envs(clean_environment())
        .env("PATH", path)
        .env("DATABASE_URL", url)
        .env("WAIT", "1s")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ended { code: output.status.code().unwrap_or(-1), said }
}

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
                ('unknown', interval '-30 minutes'), ('alive', interval '30 minutes')) AS v (key, hard)",
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
    let why =
        database.psql("SELECT metadata->>'why' FROM sentinel_events WHERE key = 'charged' AND event = 'completed'");
    assert_eq!(why, "INC-7");
}
