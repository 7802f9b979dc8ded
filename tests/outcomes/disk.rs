//! A disk that fails while SQLite commits: what it has then, nobody knows from here.

use std::process::Command;

use serde_json::Value;

use crate::harness::sen::{clean_environment, sen};

/// The journal is a WAL that another connection reads, so that the change goes behind what is there: beyond the largest size
/// that the system lets this process write.
#[test]
fn a_commit_that_the_disk_fails_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("work.db");
    let url = format!("sqlite:{}", path.display());
    sen(["init"]).database(&url).run().expect_code(0);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, status, fencing_token)
            VALUES ('k', 'w:1-1', 1, 1, 'completed', 1);
        CREATE TABLE filler (bytes)",
    )
    .unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM filler").unwrap();
    for _ in 0..8 {
        db.execute_batch("INSERT INTO filler VALUES (zeroblob(100000))").unwrap();
    }
    let line = "trap '' XFSZ; ulimit -f 200; exec \"$0\" forget k --yes -o json";
    let output = Command::new("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_sen")])
        .env_clear()
        .envs(clean_environment())
        .env("DATABASE_URL", &url)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let item = &report["results"][0];
    assert_eq!((item["outcome"].as_str(), output.status.code()), (Some("unknown"), Some(9)), "{output:?}");
    assert!(item["detail"].as_str().unwrap().contains("the disk failed while"), "{item}");
    // Once the disk works, the same command settles it.
    drop(reader);
    sen(["forget", "k", "--yes"]).database(&url).run().expect_code(0);
    assert_eq!(db.query_row("SELECT count(*) FROM sentinel_leases", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}
