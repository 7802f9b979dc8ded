//! Help, and what is said about command lines that make no sense.

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
