//! `sen demo`, and every reading command on what it made.

use std::fs;
use std::process::Command;

use crate::harness::redact::redact;
use crate::harness::sen::{Sen, sen};
use crate::harness::snapshot::assert_snapshot;

struct Demo {
    folder: tempfile::TempDir,
}

impl Demo {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        sen(["demo"]).cwd(folder.path()).run().expect_code(0);
        Self { folder }
    }

    fn sen(&self, args: &[&str]) -> Sen {
        sen(args).cwd(self.folder.path()).database("sqlite:sen-demo.db")
    }
}

#[test]
fn the_first_screen() {
    let folder = tempfile::tempdir().unwrap();
    let output = sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let shown = output.stdout.replace(env!("CARGO_BIN_EXE_sen"), "sen");
    assert_snapshot("demo/demo", &narrow(&redact(&shown)));
    // The commands are to be typed as they stand.
    let (_, commands) = output.stdout.split_once("next:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split("   #").next().unwrap().trim())
        .collect();
    let commands: Vec<&str> = commands.into_iter().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (export, commands) = commands.split_first().unwrap();
    assert_eq!((*export, commands.len()), ("export DATABASE_URL=sqlite:sen-demo.db", 8), "{}", output.stdout);
    for command in commands {
        let run = Command::new("sh")
            .args(["-c", &format!("{export}; {command}")])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(run.status.success() && !run.stdout.is_empty(), "{command}: {run:?}");
    }
}

#[test]
fn an_earlier_demo_is_made_anew_and_nothing_else_is_touched() {
    let demo = Demo::make();
    sen(["demo"]).cwd(demo.folder.path()).run().expect_code(0);
    let other = demo.folder.path().join("mine.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE precious (a); INSERT INTO precious VALUES (1)")
        .unwrap();
    let text = demo.folder.path().join("notes.txt");
    fs::write(&text, "precious").unwrap();
    for (path, before) in [(&other, fs::read(&other).unwrap()), (&text, fs::read(&text).unwrap())] {
        let output = sen(["demo", path.to_str().unwrap()]).cwd(demo.folder.path()).run().expect_code(7);
        assert!(output.stderr.contains("left alone"), "{}", output.stderr);
        assert_eq!(fs::read(path).unwrap(), before);
    }
    sen(["--read-only", "demo", "new.db"]).cwd(demo.folder.path()).run().expect_code(7);
    assert!(!demo.folder.path().join("new.db").exists());
}

#[test]
fn every_reading_command_shows_the_story() {
    let demo = Demo::make();
    let cases: [(&str, &[&str]); 9] = [
        ("status", &["status"]),
        ("list", &["list"]),
        ("list-attention", &["list", "--state", "uncertain,stalled,reconciling", "--sort", "key"]),
        ("list-csv", &["list", "-o", "csv", "--namespace", "payments", "--sort", "key"]),
        (
            "list-fields",
            &["list", "--fields", "key,status,lease_alive,execution_result", "--sort", "key", "--limit", "3"],
        ),
        ("inspect-uncertain", &["inspect", "payments:order-7731"]),
        ("inspect-reconciling", &["inspect", "payments:order-7729"]),
        ("inspect-completed-json", &["inspect", "payments:order-7718", "-o", "json"]),
        ("history", &["history", "payments:order-7718"]),
    ];
    for (name, args) in cases {
        let output = demo.sen(args).run().expect_code(0);
        assert_snapshot(&format!("demo/{name}"), &narrow(&redact(&output.transcript())));
    }
}

/// Columns two blanks apart: how wide they are depends on ages, and so on how long the test has taken.
fn narrow(text: &str) -> String {
    regex::Regex::new(r"(\S) {3,}").unwrap().replace_all(text, "$1  ").into_owned()
}

#[test]
fn check_turns_verdicts_into_exit_codes() {
    let demo = Demo::make();
    for (key, code) in [
        ("payments:order-7731", 10),
        ("payments:order-7729", 10),
        ("reports:daily-settlement", 8),
        ("reports:export-2026-q3", 8),
        ("webhooks:evt_1Qm8c2", 8),
        ("webhooks:evt_1Qm7aa", 0),
        ("payments:order-7718", 0),
        ("payments:none", 4),
    ] {
        demo.sen(&["inspect", "--check", key]).run().expect_code(code);
    }
    demo.sen(&["inspect", "payments:order-7731"]).run().expect_code(0);
    demo.sen(&["status", "--check"]).run().expect_code(10);
    demo.sen(&["inspect", "--check", "payments:order-7718", "payments:order-7731", "nobody"]).run().expect_code(10);
}

#[test]
fn missing_keys_exit_4_with_what_may_have_been_meant() {
    let demo = Demo::make();
    let output = demo.sen(&["inspect", "payments:oder-7731"]).run().expect_code(4);
    assert!(
        output.stderr.contains(r#"no key or id "payments:oder-7731"; did you mean "payments:order-7731"?"#),
        "{}",
        output.stderr
    );
    let json = demo.sen(&["inspect", "payments:oder-7731", "-o", "json"]).run().expect_code(4);
    assert!(json.stderr.starts_with(r#"{"error":{"code":"not_found","message":"no key or id"#), "{}", json.stderr);
    let several = demo.sen(&["inspect", "-o", "json", "nobody", "payments:order-7718"]).run().expect_code(4);
    assert_eq!(several.json().as_array().unwrap().len(), 1);
    demo.sen(&["history", "nobody"]).run().expect_code(4);
    // With its namespace apart, as the library takes it.
    demo.sen(&["inspect", "-n", "payments", "order-7718"]).run().expect_code(0);
}

#[test]
fn filters_select_and_an_empty_list_is_no_error() {
    let demo = Demo::make();
    let keys = |args: &[&str]| {
        let mut all = vec!["list", "-o", "jsonl", "--fields", "key", "--sort", "key"];
        all.extend_from_slice(args);
        demo.sen(&all).run().expect_code(0).stdout
    };
    assert_eq!(keys(&["--uncertain"]).lines().count(), 3);
    assert_eq!(keys(&["--state", "claimed"]).lines().count(), 2);
    assert_eq!(keys(&["--owner", "batch-1:"]).lines().count(), 5);
    assert_eq!(keys(&["--older-than", "12h"]), "{\"key\":\"reports:daily-settlement-2026-11-19\"}\n");
    assert_eq!(keys(&["--since", "1m"]), "{\"key\":\"webhooks:evt_1Qm8c2\"}\n");
    assert_eq!(keys(&["--limit", "0"]).lines().count(), 21);
    assert_eq!(demo.sen(&["list", "-o", "json", "--namespace", "nope"]).run().expect_code(0).stdout, "[]\n");
    let empty = demo.sen(&["list", "--namespace", "nope", "--fail-if-empty"]).run().expect_code(4);
    assert_eq!((empty.stdout.as_str(), empty.stderr.as_str()), ("", "no leases match\n"));
    let limited = demo.sen(&["list", "--limit", "2"]).run().expect_code(0);
    assert!(limited.stderr.contains("the first 2 shown, more match"), "{}", limited.stderr);
    demo.sen(&["list", "--state", "asleep"]).run().expect_code(2);
    demo.sen(&["list", "--fields", "kye"]).run().expect_code(2);
}

#[test]
fn init_creates_once_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let sen = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:jobs.db");
    sen(&["init", "--read-only"]).run().expect_code(7);
    sen(&["init", "--dry-run"]).run().expect_code(0);
    assert!(!folder.path().join("jobs.db").exists());
    let first = sen(&["init", "-o", "json"]).run().expect_code(0).json();
    assert_eq!((&first["applied"], &first["already_done"]), (&3.into(), &0.into()));
    let again = sen(&["init", "-o", "json"]).run().expect_code(0).json();
    assert_eq!((&again["applied"], &again["already_done"]), (&0.into(), &3.into()));
    assert_snapshot("demo/init-again", &redact(&sen(&["init"]).run().expect_code(0).transcript()));
    let nothing = sen(&["status"]).run().expect_code(0);
    assert!(nothing.stdout.contains("nothing needs a person"), "{}", nothing.stdout);
}

#[test]
fn files_that_are_no_database_are_refused_clearly_and_nothing_is_created() {
    let demo = Demo::make();
    let folder = demo.folder.path();
    fs::write(
        folder.join("text.db"),
        "not a database, although it has a name like one and some length to it".repeat(3),
    )
    .unwrap();
    let whole = fs::read(folder.join("sen-demo.db")).unwrap();
    fs::write(folder.join("short.db"), &whole[..whole.len() / 2 - 100]).unwrap();
    fs::write(folder.join("empty.db"), "").unwrap();
    let run = |file: &str| sen(["list"]).cwd(folder).database(&format!("sqlite:{file}")).run();
    let before = fs::read_dir(folder).unwrap().count();
    assert!(run("missing.db").expect_code(6).stderr.contains("there is no file missing.db"));
    assert!(run("text.db").expect_code(6).stderr.contains("not an SQLite database"));
    run(".").expect_code(6);
    assert!(run("empty.db").expect_code(2).stderr.contains("no Sentinel tables"));
    let short = run("short.db");
    assert!(short.code == 1 || short.code == 6, "{short:?}");
    assert!(short.stderr.contains("damaged or cut short"), "{}", short.stderr);
    assert_eq!(fs::read_dir(folder).unwrap().count(), before, "a reader left something behind");
}

#[test]
fn a_locked_file_says_so() {
    let demo = Demo::make();
    let holder = rusqlite::Connection::open(demo.folder.path().join("sen-demo.db")).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let output = demo.sen(&["list"]).run().expect_code(1);
    assert!(output.stderr.contains("locked by another process"), "{}", output.stderr);
}
