//! Closed pipes, full disks, and output that appears while it is followed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::postgres::Server;
use crate::harness::pty::terminal;
use crate::harness::sen::{SEN, sen};

fn many_leases() -> crate::harness::postgres::Database<'static> {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status, fencing_token)
         SELECT 'key-' || n, 'host:1-1', now() + interval '1 hour', 'executing', n FROM generate_series(1, 50000) AS n",
    );
    database
}

fn list(url: &str, format: &str) -> Command {
    let mut command = Command::new(SEN);
    command.args(["list", "--limit", "0", "-o", format]).env_clear().env("DATABASE_URL", url);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let database = many_leases();
    for format in ["table", "json", "jsonl", "csv"] {
        let mut child = list(&database.url(), format).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        drop(reader);
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success() && said.is_empty(), "{format}: {status} {said}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let database = many_leases();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = list(&database.url(), "jsonl").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}

#[test]
fn followed_events_appear_as_they_are_committed_even_out_of_order() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let event = |id: u32, name: &str| {
        format!("INSERT INTO sentinel_events (id, key, event, fencing_token) VALUES ({id}, 'k', '{name}', {id})")
    };
    database.psql(&event(1, "acquired"));
    let mut child = Command::new(SEN)
        .args(["history", "--follow", "-o", "jsonl", "--fields", "id,event", "k"])
        .env_clear()
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"id":"1","event":"acquired"}"#);
    // Event 2 draws its number and its time first, and commits after event 3.
    let mut late = database.session();
    late.run(&format!("BEGIN; {}", event(2, "executing")));
    std::thread::sleep(Duration::from_millis(50));
    database.psql(&event(3, "rejected"));
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"id":"3","event":"rejected"}"#);
    late.run("COMMIT");
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"id":"2","event":"executing"}"#);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn on_a_terminal_followed_events_are_shown_at_once() {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let url = format!("sqlite:{}", folder.path().join("sen-demo.db").display());
    let mut live = terminal(["history", "--follow", "payments:order-7718"]).database(&url).size(30, 120).start();
    // Fewer lines than the screen has: a pager must not hold them back while nothing happens.
    live.wait_for("reconciling");
    live.type_keys("\x03");
    assert_eq!(live.finish().code, 130);
}
