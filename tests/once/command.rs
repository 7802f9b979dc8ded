//! `sen once` as a person or a script uses it.

use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::daemon::{is_running, send};
use crate::harness::patience::until as wait_for;
use crate::harness::pty::terminal;
use crate::place::Place;

fn result(place: &Place, key: &str) -> Value {
    let text = place.sql(&format!("SELECT CAST(execution_result AS text) FROM sentinel_leases WHERE key = '{key}'"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{key}: {error}: {text}"))
}

#[test]
fn exit_codes_pass_through_and_are_cached() {
    let place = Place::sqlite();
    for code in 0..=255 {
        let (key, script) = (format!("k{code}"), format!("exit {code}"));
        place.sen(&["once", "-q", "--on-failure", "complete", &key, "--", "sh", "-c", &script]).run().expect_code(code);
        place.sen(&["once", "-q", "--on-failure", "complete", &key, "--", "false"]).run().expect_code(code);
        assert_eq!(result(&place, &key)["exit_code"], code);
    }
    let place = Place::postgres();
    for code in [0, 1, 2, 9, 75, 76, 125, 126, 127, 130, 255] {
        let (key, script) = (format!("k{code}"), format!("exit {code}"));
        place.sen(&["once", "-q", "--on-failure", "complete", &key, "--", "sh", "-c", &script]).run().expect_code(code);
        place.sen(&["once", "-q", &key, "--", "true"]).run().expect_code(code);
    }
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        let script = format!("kill -{signal} $$");
        place.sen(&["once", signal, "--", "sh", "-c", &script]).run().expect_code(code);
    }
}

#[test]
fn output_passes_through_and_is_replayed() {
    for place in [Place::sqlite(), Place::postgres()] {
        let script = "echo out; echo err >&2; printf 'no newline'";
        let first = place.sen(&["once", "k", "--", "sh", "-c", script]).run().expect_code(0);
        assert_eq!((first.stdout.as_str(), first.stderr.as_str()), ("out\nno newline", "err\n"));
        let quiet = place.sen(&["once", "k", "--", "sh", "-c", "echo again"]).run().expect_code(0);
        assert_eq!(quiet.stdout, "");
        assert!(quiet.stderr.contains("nothing was run now"), "{}", quiet.stderr);
        let replay = place.sen(&["once", "--print-cached", "k", "--", "sh", "-c", "echo again"]).run().expect_code(0);
        assert_eq!((replay.stdout.as_str(), replay.stderr.as_str()), ("out\nno newline", "err\n"));
        let stored = result(&place, "k");
        assert_eq!((&stored["stdout"], &stored["truncated"]), (&"out\nno newline".into(), &false.into()));
        assert_eq!(stored["stdout_bytes"], 14);
    }
}

#[test]
fn binary_output_is_kept_and_replayed_byte_for_byte() {
    for place in [Place::sqlite(), Place::postgres()] {
        let script = r"printf '\000\001\377\200abc'";
        let folder = tempfile::tempdir().unwrap();
        let bytes = |args: &[&str]| {
            // Through a file: the harness shows text.
            let file = folder.path().join("out");
            let words =
                args.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ");
            let line = format!("'{}' {words} > '{}'", crate::harness::sen::SEN, file.display());
            let status = std::process::Command::new("sh").args(["-c", &line]).env("DATABASE_URL", place.url()).status();
            assert!(status.unwrap().success());
            fs::read(file).unwrap()
        };
        let wanted = b"\x00\x01\xff\x80abc";
        assert_eq!(bytes(&["once", "b", "--", "sh", "-c", script]), wanted);
        assert_eq!(bytes(&["once", "--print-cached", "b", "--", "true"]), wanted);
        assert_eq!(result(&place, "b")["stdout_encoding"], "base64");
        // Valid UTF-8 with a NUL in it is what jsonb would refuse.
        assert_eq!(bytes(&["once", "n", "--", "sh", "-c", r"printf 'a\000b'"]), b"a\0b");
    }
}

#[test]
fn a_hundred_mebibytes_pass_in_bounded_memory() {
    let place = Place::postgres();
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script = "head -c 104857600 /dev/zero | tr '\\0' x; echo end; while [ ! -e \"$0\" ]; do sleep 0.05; done";
    let line = format!(
        "'{}' once big -- sh -c '{}' '{}' > '{}' 2> /dev/null & echo $!",
        crate::harness::sen::SEN,
        script.replace('\'', r"'\''"),
        seen.display(),
        folder.path().join("out").display()
    );
    let started =
        std::process::Command::new("sh").args(["-c", &line]).env("DATABASE_URL", place.url()).output().unwrap();
    let pid = String::from_utf8(started.stdout).unwrap().trim().to_owned();
    let out = folder.path().join("out");
    wait_for("all output", || fs::metadata(&out).is_ok_and(|file| file.len() == 104_857_604));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    fs::write(&seen, "").unwrap();
    wait_for("the completion", || place.status("big") == "completed");
    println!("peak resident memory after 100 MiB of output: {kib} KiB");
    assert!(kib < 40 * 1024, "{peak}");
    let stored = result(&place, "big");
    assert_eq!((&stored["truncated"], &stored["stdout_bytes"]), (&true.into(), &104_857_604_u64.into()));
    let kept = stored["stdout"].as_str().unwrap();
    assert_eq!(kept.len(), 64 * 1024);
    assert!(kept.ends_with("xend\n"));
    let replay = place.sen(&["once", "--print-cached", "big", "--", "true"]).run().expect_code(0);
    assert!(replay.stdout.contains("[sen: 104792068 bytes were not kept]"));
}

#[test]
fn what_a_failure_makes_of_the_key() {
    for place in [Place::sqlite(), Place::postgres()] {
        for (what, status, again) in [("uncertain", "executing", 76), ("complete", "completed", 3), ("release", "", 0)]
        {
            let key = format!("k-{what}");
            place.sen(&["once", "--on-failure", what, &key, "--", "sh", "-c", "exit 3"]).run().expect_code(3);
            assert_eq!(place.status(&key), status, "{what}");
            place.sen(&["once", &key, "--", "true"]).run().expect_code(again);
        }
        let default = place.sen(&["once", "d", "--", "false"]).run().expect_code(1);
        assert!(default.stderr.contains("\"d\" is uncertain now"), "{}", default.stderr);
        place.sen(&["inspect", "--check", "d"]).run().expect_code(10);
    }
}

#[test]
fn commands_that_cannot_run_leave_the_key_free() {
    for place in [Place::sqlite(), Place::postgres()] {
        let missing = place.sen(&["once", "k", "--", "/nonexistent/cmd"]).run().expect_code(127);
        assert!(missing.stderr.contains("nothing ran, and the key is free again"), "{}", missing.stderr);
        place.sen(&["once", "k", "--", "/etc/passwd"]).run().expect_code(126);
        assert_eq!(place.status("k"), "");
        assert_eq!(place.events("k"), "acquired executing released acquired executing released");
        place.sen(&["once", "k", "--", "true"]).run().expect_code(0);
    }
}

#[test]
fn failures_before_the_start_end_with_125() {
    let place = Place::sqlite();
    place.sen(&["once", "--bogus", "k", "--", "true"]).run().expect_code(125);
    place.sen(&["--read-only", "once", "k", "--", "true"]).run().expect_code(125);
    place.sen(&["once", "--ttl", "10ms", "k", "--", "true"]).run().expect_code(125);
    let nowhere = crate::harness::sen::sen(["once", "k", "--", "true"]);
    nowhere.database("postgresql:///x?host=/nonexistent").run().expect_code(125);
    crate::harness::sen::sen(["once", "k", "--", "true"]).run().expect_code(125);
    let folder = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(folder.path().join("empty.db")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let empty = crate::harness::sen::sen(["once", "k", "--", "true"]).cwd(folder.path());
    let empty = empty.database("sqlite:empty.db").run().expect_code(125);
    assert!(empty.stderr.contains("no Sentinel tables"), "{}", empty.stderr);
    let old = Place::postgres();
    old.sql("ALTER TABLE sentinel_leases DROP COLUMN ttl_ms");
    let old = old.sen(&["once", "k", "--", "true"]).run().expect_code(125);
    assert!(old.stderr.contains("older than 0.4.2"), "{}", old.stderr);
}

/// A script that ends with `rest` when a file is there, and that file.
fn until_told(folder: &tempfile::TempDir, rest: &str) -> (PathBuf, String) {
    let go = folder.path().join("go");
    let script = format!("while [ ! -e '{}' ]; do sleep 0.05; done; {rest}", go.display());
    (go, script)
}

#[test]
fn a_held_key_is_75_and_can_be_waited_for() {
    for place in [Place::sqlite(), Place::postgres()] {
        let folder = tempfile::tempdir().unwrap();
        let (go, script) = until_told(&folder, "echo done");
        let holder = place.sen(&["once", "k", "--", "sh", "-c", &script]).start();
        wait_for("the claim", || place.status("k") == "executing");
        let held = place.sen(&["once", "k", "--", "true"]).run().expect_code(75);
        assert!(held.stderr.contains("is being run by"), "{}", held.stderr);
        place.sen(&["once", "-E", "0", "k", "--", "true"]).run().expect_code(0);
        place.sen(&["once", "--wait", "200ms", "k", "--", "true"]).run().expect_code(75);
        let described = place.sen(&["once", "--describe", "-o", "json", "k", "--", "true"]).run().expect_code(0).json();
        assert_eq!((&described["state"], &described["exit_code"]), (&"alive".into(), &75.into()));
        let refused = || place.events("k").matches("rejected").count();
        let before = refused();
        let waiter = place.sen(&["once", "--wait", "10m", "--print-cached", "k", "--", "false"]).start();
        wait_for("the waiter", || refused() > before);
        fs::write(go, "").unwrap();
        assert_eq!(waiter.finish().expect_code(0).stdout, "done\n");
        holder.finish().expect_code(0);
    }
}

#[test]
fn a_waiter_takes_over_what_was_given_back() {
    let place = Place::postgres();
    let folder = tempfile::tempdir().unwrap();
    let (go, script) = until_told(&folder, "exit 1");
    let holder = place.sen(&["once", "--on-failure", "release", "k", "--", "sh", "-c", &script]).start();
    wait_for("the claim", || place.status("k") == "executing");
    let waiter = place.sen(&["once", "--wait", "10m", "k", "--", "echo", "mine"]).start();
    wait_for("the waiter", || place.events("k").contains("rejected"));
    fs::write(go, "").unwrap();
    assert_eq!(waiter.finish().expect_code(0).stdout, "mine\n");
    holder.finish().expect_code(1);
    // Waiting looks; it does not knock: one rejection.
    assert_eq!(place.events("k"), "acquired executing rejected released acquired executing completed");
}

#[test]
fn the_child_gets_key_and_token_and_no_credentials() {
    let place = Place::postgres();
    let run = place.sen(&["once", "-n", "jobs", "k", "--", "env"]).env("PGPASSWORD", "hunter2").env("SEN_PAGER", "x");
    let seen = run.env("PGP_KEY", "kept").run().expect_code(0).stdout;
    let token = place.sql("SELECT fencing_token FROM sentinel_leases WHERE key = 'jobs:k'");
    assert!(seen.contains("SEN_KEY=jobs:k\n") && seen.contains(&format!("SEN_FENCING_TOKEN={token}\n")), "{seen}");
    assert!(seen.contains("PGP_KEY=kept\n"), "{seen}");
    for name in ["DATABASE_URL", "PGPASSWORD", "SEN_PAGER", "hunter2"] {
        assert!(!seen.contains(name), "{name}: {seen}");
    }
}

/// Starts a command that writes `ready`, and waits for it.
fn start(place: &Place, folder: &Path, options: &[&str], script: &str) -> crate::harness::sen::Running {
    let ready = folder.join("ready");
    let _ = fs::remove_file(&ready);
    let script = format!("{script}; : > '{}'; while :; do sleep 0.05; done", ready.display());
    let mut args = vec!["once"];
    args.extend_from_slice(options);
    args.extend_from_slice(&["--", "sh", "-c", &script]);
    let running = place.sen(&args).start();
    wait_for("the command's start", || ready.exists());
    running
}

#[test]
fn signals_are_passed_on_and_the_second_ctrl_c_kills() {
    let place = Place::postgres();
    let folder = tempfile::tempdir().unwrap();
    for (signal, name, code) in [
        (Signal::TERM, "TERM", 41),
        (Signal::INT, "INT", 41),
        (Signal::HUP, "HUP", 41),
        (Signal::QUIT, "QUIT", 41),
        (Signal::USR1, "USR1", 41),
        (Signal::USR2, "USR2", 41),
    ] {
        let running = start(&place, folder.path(), &[name], &format!("trap 'exit 41' {name}"));
        running.signal(signal);
        running.finish().expect_code(code);
    }
    let heard = folder.path().join("heard");
    let script = format!("trap ': > \"{}\"' INT", heard.display());
    let mut stubborn = start(&place, folder.path(), &["stubborn"], &script);
    stubborn.signal(Signal::TSTP);
    stubborn.signal(Signal::INT);
    wait_for("the command hears the first one", || heard.exists());
    assert!(stubborn.is_running());
    stubborn.signal(Signal::INT);
    stubborn.finish().expect_code(137);
}

#[test]
fn ctrl_c_in_a_terminal() {
    let place = Place::sqlite();
    let script = "trap 'echo heard' INT; echo ready; while :; do sleep 0.1; done";
    let mut live = terminal(["once", "k", "--", "sh", "-c", script]).database(&place.url()).start();
    live.wait_for("ready");
    live.type_keys("\u{3}");
    live.wait_for("heard");
    // The terminal tells both. Two that come before `sen` has looked are one to it, so they go on until it has heard a second.
    while live.is_running() {
        live.type_keys("\u{3}");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    assert_eq!(live.finish().code, 137);
}

#[test]
fn a_command_that_reads_the_terminal_gets_it_and_gives_it_back() {
    let place = Place::sqlite();
    let mut live = terminal(["once", "k", "--", "sh", "-c", "echo ready; read line; echo got $line"])
        .database(&place.url())
        .start();
    live.wait_for("ready");
    live.type_keys("hello\r");
    live.wait_for("got hello");
    assert_eq!(live.finish().code, 0);
}

#[test]
fn a_process_left_behind_does_not_hold_the_end_up() {
    let place = Place::sqlite();
    let output = place.sen(&["once", "k", "--", "sh", "-c", "sleep 600 & echo $!"]).run().expect_code(0);
    let left: i32 = output.stdout.trim().parse().unwrap();
    assert!(is_running(left), "it was waited for");
    send(left, Signal::KILL);
    assert!(output.stderr.contains("left a process behind"), "{}", output.stderr);
    assert_eq!(place.status("k"), "completed");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_command() {
    let place = Place::sqlite();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let line = format!("'{}' once k -- sh -c '{script}' | head -n 1", crate::harness::sen::SEN);
    let output =
        std::process::Command::new("sh").args(["-c", &line]).env("DATABASE_URL", place.url()).output().unwrap();
    assert_eq!(output.stdout, b"line 0\n");
    wait_for("the completion", || place.status("k") == "completed");
    assert!(result(&place, "k")["stdout"].as_str().unwrap().ends_with("line 19999\n"));
}
