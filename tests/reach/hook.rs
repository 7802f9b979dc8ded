//! What is told when an act is done: the report, to a program, once; and what becomes of that program changes nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::daemon::wait_for_the_end_of;
use crate::harness::patience::until;
use crate::harness::sen::{Output, Sen, sen};
use crate::programs::Programs;

/// The tables of the demo, in a file.
fn demo(programs: &Programs) -> String {
    let path = programs.path("demo.db");
    sen(["demo", path.to_str().unwrap()]).run().expect_code(0);
    format!("sqlite:{}", path.display())
}

/// A hook that keeps what it is told.
fn keeps(programs: &Programs, name: &str) -> String {
    programs
        .script(name, &format!("cat > {}/{name}.json\necho printed\necho complained >&2", programs.folder().display()))
}

fn told(programs: &Programs, name: &str) -> Value {
    serde_json::from_str(&programs.read(&format!("{name}.json"))).unwrap()
}

const KEY: &str = "payments:order-7731";

#[test]
fn a_report_is_told_as_json() {
    let programs = Programs::new();
    let (url, hook) = (demo(&programs), keeps(&programs, "hook"));
    let run = |args: &[&str]| sen(args).database(&url).env("SEN_HOOK", &hook).run();
    // What reads, a dry run, and what is refused tell nothing.
    run(&["status"]).expect_code(0);
    run(&["reconcile", KEY, "--reset", "--dry-run"]).expect_code(0);
    run(&["reconcile", KEY, "--reset"]).expect_code(7);
    assert!(!programs.path("hook.json").exists());
    let done = run(&["reconcile", KEY, "--reset", "--yes", "--reason", "INC-482", "-o", "json"]).expect_code(0);
    assert!(!done.stdout.contains("printed") && done.stderr.is_empty(), "{done:?}");
    let (hook, report) = (told(&programs, "hook"), done.json());
    for (name, value) in report.as_object().unwrap() {
        assert_eq!(&hook[name], value, "{name}");
    }
    assert_eq!((&hook["applied"], &hook["exit_code"], &hook["reason"]), (&json!(1), &json!(0), &json!("INC-482")));
    assert!(hook["database"].as_str().unwrap().starts_with("sqlite:"), "{hook}");
    assert!(hook["who"].as_str().unwrap().starts_with(&crate::harness::sen::operator()), "{hook}");
    assert!(hook["summary"].as_str().unwrap().contains("1 key"), "{hook}");
    assert_eq!(hook["version"], env!("CARGO_PKG_VERSION"));
    // A report with nothing applied is one as well; the flag is heard rather than the variable.
    let other = keeps(&programs, "other");
    run(&["reconcile", "payments:order-1", "--reset", "--yes", "--on-report", &other]).expect_code(4);
    assert_eq!((&told(&programs, "other")["missing"], &told(&programs, "other")["exit_code"]), (&json!(1), &json!(4)));
    // Bulk acts, and those that print something else than their report.
    run(&["dlq", "discard", "--all", "--system", "stent", "--yes", "--export", "-"]).expect_code(0);
    assert!(told(&programs, "hook")["applied"].as_u64().unwrap() > 1);
}

#[test]
fn a_hook_that_fails_changes_nothing() {
    let act = |programs: &Programs| -> Sen {
        let url = demo(programs);
        sen(["reconcile", KEY, "--reset", "--yes"]).database(&url)
    };
    let fine = |output: Output| {
        let output = output.expect_code(0);
        assert!(output.stdout.contains(&format!("{KEY}: ")), "{output:?}");
        output.stderr
    };
    let plain = fine(act(&Programs::new()).run());
    assert_eq!(plain, "");
    for (lines, says) in [
        ("echo 'no such channel' >&2; exit 3", "ended with exit code 3 (no such channel)"),
        ("kill -9 $$", "was ended by signal 9"),
    ] {
        let programs = Programs::new();
        let hook = programs.script("hook", lines);
        let said = fine(act(&programs).env("SEN_HOOK", hook).run());
        assert!(said.contains("warning: the hook") && said.contains(says), "{said}");
        assert!(said.contains("what was done stays done"), "{said}");
    }
    for (hook, says) in [("/nowhere/hook", "was not found"), ("'open", "quotation mark"), ("/", "cannot be started")] {
        let said = fine(act(&Programs::new()).env("SEN_HOOK", hook).run());
        assert!(said.contains(says), "{said}");
    }
    // One that reads nothing, and one that does not end.
    assert_eq!(fine(act(&Programs::new()).env("SEN_HOOK", "true").run()), "");
    let said = fine(act(&Programs::new()).env("SEN_HOOK", "sleep 600").run());
    assert!(said.contains("sleep did not end within 10s and was killed"), "{said}");
}

#[test]
fn an_interrupt_ends_the_hook_and_keeps_the_exit_code() {
    let programs = Programs::new();
    let url = demo(&programs);
    let hook = programs.script("hook", &format!("echo $$ > {}/pid\nexec sleep 600", programs.folder().display()));
    let running = sen(["reconcile", KEY, "--reset", "--yes"]).database(&url).env("SEN_HOOK", hook).start();
    until("the hook runs", || !programs.read("pid").trim().is_empty());
    running.signal(rustix::process::Signal::INT);
    let output = running.finish().expect_code(0);
    assert!(output.stdout.contains(KEY), "the report stands on the screen before the hook is told: {output:?}");
    wait_for_the_end_of(&[programs.read("pid").trim().parse().unwrap()]);
}

/// Runs an example of the docs with a report, and with a `curl` that keeps what it would have sent.
fn example(name: &str, report: &Value, env: &[(&str, &str)]) -> (bool, Value) {
    let programs = Programs::new();
    programs.script("curl", &format!("cat > {0}/sent.json\necho \"$@\" > {0}/args", programs.folder().display()));
    let path = format!("{}:{}", programs.folder().display(), std::env::var("PATH").unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hooks").join(name);
    let mut child = Command::new(script)
        .env_clear()
        .env("PATH", path)
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(report.to_string().as_bytes())
        .unwrap_or_else(|error| assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe));
    let success = child.wait().unwrap().success();
    let sent = programs.read("sent.json");
    (success, if sent.is_empty() { Value::Null } else { serde_json::from_str(&sent).unwrap() })
}

fn report(applied: u64, unknown: u64) -> Value {
    json!({
        "summary": "take over and reset 1 \"key\"", "database": "postgresql://me@db:5432/payments", "who": "maria@ops-3",
        "reason": "INC-482", "operation": "6f1c", "planned": 1, "applied": applied, "already_done": 0, "changed": 0,
        "missing": 0, "skipped": 0, "failed": 0, "unknown": unknown, "exit_code": if unknown > 0 { 9 } else { 0 },
        "results": [{"subject": "lease payments:order-1", "outcome": "applied", "detail": "done", "fencing_token": null}],
        "results_cut": false, "dry_run": false, "version": "0.1.0",
    })
}

#[test]
fn the_examples_for_a_chat_and_an_incident_tool_work() {
    let chat = [("SEN_CHAT_WEBHOOK", "https://chat.example/hook")];
    let (success, sent) = example("chat.sh", &report(1, 0), &chat);
    let text = sent["text"].as_str().unwrap();
    assert!(
        success && text.contains("maria@ops-3") && text.contains("1 \"key\"") && text.contains("1 applied"),
        "{text}"
    );
    assert!(!example("chat.sh", &report(1, 0), &[]).0, "without a place to send it to it fails");
    let incident = [("SEN_INCIDENT_URL", "https://incidents.example/v2/enqueue"), ("SEN_INCIDENT_KEY", "k")];
    let (success, sent) = example("incident.sh", &report(0, 1), &incident);
    assert!(success && sent["routing_key"] == "k" && sent["event_action"] == "trigger", "{sent}");
    assert!(sent["payload"]["summary"].as_str().unwrap().contains("outcome unknown"), "{sent}");
    assert_eq!(sent["payload"]["custom_details"]["operation"], "6f1c");
    // What went well is no incident.
    assert_eq!(example("incident.sh", &report(1, 0), &incident), (true, Value::Null));
}
