//! Help, and what is said about command lines that make no sense.

use std::path::Path;
use std::process::Command;

use crate::generated::commands;
use crate::harness::redact::redact;
use crate::harness::sen::sen;
use crate::harness::snapshot::assert_snapshot;

#[test]
fn help_screens() {
    for topic in [
        "status",
        "inspect",
        "list",
        "history",
        "reconcile",
        "release",
        "forget",
        "wait",
        "init",
        "demo",
        "completions",
        "man",
        "options",
        "exit-codes",
    ] {
        let output = sen(["help", topic]).run().expect_code(0);
        assert_snapshot(&format!("help/{topic}"), &output.stdout);
    }
    assert_snapshot("help/sen", &sen(["--help"]).run().expect_code(0).stdout);
    assert_snapshot("help/short", &sen(["-h"]).run().expect_code(0).stdout);
    assert_snapshot("help/dlq-replay", &sen(["dlq", "replay", "-h"]).run().expect_code(0).stdout);
    assert_eq!(sen(["help"]).run().expect_code(0).stdout, sen(["--help"]).run().stdout);
    assert_snapshot("help/version", &redact(&sen(["--version"]).run().expect_code(0).stdout));
}

#[test]
fn usage_errors_are_one_clear_message_and_exit_2() {
    let cases: [(&str, &[&str]); 15] = [
        ("mistyped-state", &["list", "--state", "uncertian"]),
        ("mistyped-verb", &["saga", "unstuck", "7"]),
        ("mistyped-topic", &["help", "dlq", "reply"]),
        ("nothing", &[]),
        ("unknown-command", &["inspct", "k"]),
        ("abbreviated-command", &["insp", "k"]),
        ("unknown-option", &["list", "--stat", "alive"]),
        ("missing-key", &["inspect"]),
        ("bare-number", &["list", "--older-than", "10"]),
        ("naive-time", &["list", "--since", "2026-11-20T10:00:00"]),
        ("unknown-format", &["list", "-o", "yaml"]),
        ("unknown-topic", &["help", "everything"]),
        ("unknown-manual", &["man", "everything"]),
        ("follow-json", &["history", "--follow", "-o", "json", "k"]),
        ("reverse-stored", &["list", "--limit", "0", "--reverse"]),
    ];
    for (name, args) in cases {
        let output = sen(args).run().expect_code(2);
        assert_eq!(output.stdout, "", "{name}");
        assert_snapshot(&format!("usage/{name}"), &redact(&output.transcript()));
    }
}

#[test]
fn a_time_that_ends_before_it_begins_is_refused() {
    for (since, until) in
        [("1h", "2h"), ("1h", "1h"), ("2026-11-02", "2026-11-01"), ("2026-11-01T02:00:00+02:00", "2026-11-01")]
    {
        for command in
            [&["report"][..], &["list"], &["history", "k"], &["dlq", "list"], &["timeline", "k"], &["exec", "list"]]
        {
            let words = [command, &["--since", since, "--until", until]].concat();
            let said = sen(&words).database("sqlite:never-opened.db").run().expect_code(2).stderr;
            assert!(said.contains("--until is not after --since"), "{words:?}: {said}");
        }
    }
}

#[test]
fn with_json_even_usage_errors_are_json() {
    for args in
        [&["-o", "json", "inspct"][..], &["list", "-ojson", "--older-than", "10"], &["help", "nothing", "-o", "jsonl"]]
    {
        let output = sen(args).run().expect_code(2);
        let error: serde_json::Value = serde_json::from_str(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{}", output.stderr);
        assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[test]
fn hostile_arguments_reach_no_terminal() {
    let output = sen(["inspect\u{1b}]0;pwned\u{7}"]).run().expect_code(2);
    assert!(!output.stderr.contains('\u{1b}'), "{:?}", output.stderr);
}

/// The help of a command, and its first example there, without where its output goes.
fn example(command: &str) -> (String, String) {
    let help = sen(command.split(' ').chain(["--help"])).run().expect_code(0).stdout;
    let start = format!("sen {command}");
    let alone = |line: &&str| line.starts_with(&start) && !line.contains(['|', '&', '$']);
    let found = help.lines().map(str::trim).find(alone).unwrap_or(&start);
    let words = found.split("   ").next().and_then(|words| words.split(" > ").next());
    (help.clone(), words.unwrap_or(found).to_owned())
}

#[test]
fn csv_is_for_lists_and_refused_elsewhere_before_anything_is_done() {
    let all: Vec<String> = commands(&[]).iter().map(|words| words.join(" ")).collect();
    let leaves: Vec<&String> =
        all.iter().filter(|command| !all.iter().any(|other| other.starts_with(&format!("{command} ")))).collect();
    assert!(leaves.len() >= 45, "{leaves:?}");
    let folder = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_sen")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut lists = Vec::new();
    for command in leaves {
        let (help, shown) = example(command);
        let words = format!("sen {command}");
        let run = Command::new("bash")
            .args(["-c", &shown.replacen(&words, &format!("{words} -o csv"), 1)])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", &path)
            .env("HOME", folder.path())
            // Nothing answers there: what is not refused cannot connect.
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
            .env("SEN_REDIS_URL", "redis://127.0.0.1:1/0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        let refused = said.contains("cannot be printed as CSV; nothing was done");
        let wanted = if command == "once" { 125 } else { 2 };
        assert_eq!(refused, run.status.code() == Some(wanted), "{shown}: {said}");
        assert!(!refused || !help.starts_with("List "), "{command} lists and has no CSV");
        if !refused {
            lists.push(command.as_str());
        }
    }
    // `context list` needs no database; of the folder nothing else could have been read, and nothing was written.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let known = [
        "watch",
        "list",
        "history",
        "timeline",
        "dlq list",
        "dlq groups",
        "exec list",
        "task list",
        "saga list",
        "saga outbox list",
        "saga inbox list",
        "agent list",
        "agent costs",
        "agent workers",
        "agent events",
        "agent rate-limit get",
        "op list",
        "context list",
    ];
    let mut known = known.to_vec();
    known.sort_unstable();
    lists.sort_unstable();
    assert_eq!(lists, known);
}

#[test]
fn a_mistyped_saga_definition_is_answered_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| sen(words).cwd(folder.path()).database("sqlite:sen-demo.db").run();
    run(&["demo"]).expect_code(0);
    let meant = "no sagas match: did you mean --name checkout?\n";
    for more in [&[][..], &["--sort", "created"], &["--state", "failed"]] {
        let output = run(&[&["saga", "list", "--name", "chekout"], more].concat()).expect_code(0);
        assert!(output.stderr.ends_with(meant), "{more:?}: {}", output.stderr);
    }
    // One that is there, and one that resembles none.
    let nothing = run(&["saga", "list", "--name", "checkout", "--aggregation", "nobody"]).expect_code(0);
    assert_eq!(nothing.stderr, "no sagas match\n");
    assert_eq!(run(&["saga", "list", "--name", "shipping"]).expect_code(0).stderr, "no sagas match\n");
}
