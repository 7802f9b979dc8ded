//! Acts from the command line: consent, dry runs, exit codes, the record they leave, and the question on a terminal.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::postgres::Server;
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::pty::terminal;
use crate::harness::redact::redact;
use crate::harness::sen::{Sen, sen};
use crate::harness::snapshot::assert_snapshot;

struct Demo {
    folder: tempfile::TempDir,
}

const KEY: &str = "payments:order-7731";

impl Demo {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        sen(["demo"]).cwd(folder.path()).run().expect_code(0);
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sen-demo.db")
    }

    fn sen(&self, args: &[&str]) -> Sen {
        sen(args).cwd(self.folder.path()).database("sqlite:sen-demo.db").env("USER", "maria")
    }

    /// A field of the first row of a list.
    fn first(&self, args: &[&str], field: &str) -> String {
        let rows = self.sen(&[args, &["-o", "json"]].concat()).run().expect_code(0).json();
        rows[0][field].as_str().unwrap_or_else(|| panic!("{args:?}: {rows:#}")).to_owned()
    }

    /// A dead letter that can be replayed, and its group.
    fn letter(&self) -> (String, String) {
        let shown = self.sen(&["dlq", "groups", "--system", "stent", "-o", "json"]).run().expect_code(0).json();
        let groups = shown.as_array().unwrap();
        let group = groups.iter().find(|group| group["replayable"] != 0).unwrap()["group"].as_str().unwrap();
        (self.first(&["dlq", "list", "--group", group], "id"), group.to_owned())
    }

    fn inspect(&self, key: &str) -> Value {
        self.sen(&["inspect", "-o", "json", key]).run().expect_code(0).json()
    }
}

#[test]
fn what_could_run_twice_is_asked_and_never_assumed() {
    let demo = Demo::make();
    let (letter, group) = demo.letter();
    let execution = demo.first(&["exec", "list", "--state", "running"], "id");
    let saga = demo.first(&["saga", "list", "--stuck"], "id");
    let before = fs::read(demo.path()).unwrap();
    for args in [
        &["reconcile", KEY, "--reset"][..],
        &["reconcile", KEY, "--complete", "{}"],
        &["forget", "emails:receipt-7701"],
        &["reconcile", KEY, "payments:order-7735"],
        &["reconcile", "--all"],
        &["reconcile", "--all", "--reset", "-o", "json", "--no-input"],
        &["reconcile", KEY, "--before-hard-ttl", "--reason", "INC-482"],
        &["dlq", "replay", &letter, "--group", &group],
        &["dlq", "replay", &letter, "--force"],
        &["saga", "unstick", &saga],
        &["exec", "cancel", &execution],
    ] {
        let output = demo.sen(args).env("CI", "true").run().expect_code(7);
        assert!(output.stderr.contains("--yes"), "{args:?}: {}", output.stderr);
    }
    for args in [
        &["reconcile", KEY, "--yes"][..],
        &["release", "webhooks:evt_1Qm7aa"],
        &["forget", "emails:receipt-7701", "-y"],
    ] {
        let mut args = args.to_vec();
        args.push("--read-only");
        demo.sen(&args).run().expect_code(7);
    }
    demo.sen(&["reconcile", KEY, "--before-hard-ttl"]).run().expect_code(2);
    demo.sen(&["reconcile"]).run().expect_code(2);
    assert_eq!(fs::read(demo.path()).unwrap(), before);
}

/// What was asked for by id or group and is skipped by a rule was not done, whether it is asked for alone, beside what is
/// done, or as a group; what a filter chose and a rule leaves out is no fault.
#[test]
fn the_same_act_ends_the_same_alone_mixed_and_in_bulk() {
    let demo = Demo::make();
    let (letter, _) = demo.letter();
    let rows = demo.sen(&["dlq", "list", "--system", "stent", "-o", "json"]).run().expect_code(0).json();
    let skipped = rows.as_array().unwrap().iter().find(|row| row["state"] != "replayable").unwrap();
    let id = skipped["id"].as_str().unwrap();
    let shown = demo.sen(&["dlq", "groups", "--system", "stent", "-o", "json"]).run().expect_code(0).json();
    let none =
        shown.as_array().unwrap().iter().find(|group| group["replayable"] == 0).unwrap_or_else(|| panic!("{shown:#}"));
    let group = none["group"].as_str().unwrap();
    for dry in [true, false] {
        let run = |args: &[&str], code: u8| {
            let consent = if dry { "--dry-run" } else { "--yes" };
            let output = demo.sen(&[args, &[consent]].concat()).run();
            assert_eq!(output.code, i32::from(code), "{args:?} {consent}: {}{}", output.stdout, output.stderr);
        };
        run(&["dlq", "replay", id], 5);
        run(&["dlq", "replay", "--group", group], 5);
        run(&["dlq", "replay", "--group", "0000000000"], 4);
        run(&["dlq", "replay", "--group", &format!("{group},0000000000")], 4);
        run(&["dlq", "discard", "--group", "0000000000", "--export", "gone.jsonl"], 4);
        run(&["dlq", "replay", "--all", "--system", "stent", "--where-error", "no such error"], 0);
        run(&["dlq", "replay", "--all", "--system", "stent", "--where-error", "no such error", "--fail-if-empty"], 4);
        run(&["dlq", "replay", id, &letter], 3);
        run(&["dlq", "replay", "--all", "--system", "stent"], 0);
    }
    demo.sen(&["dlq", "export", "--group", "0000000000"]).run().expect_code(4);
    assert!(!demo.folder.path().join("gone.jsonl").exists());
}

/// A monitor gets one line, and may look at what is critical only.
#[test]
fn a_monitor_gets_one_line() {
    let demo = Demo::make();
    for severity in ["warning", "critical"] {
        let line = demo.sen(&["status", "--check", "-q", "--severity", severity]).run().expect_code(10).stdout;
        assert!(line.starts_with("critical: ") && line.lines().count() == 1, "{line}");
    }
    demo.sen(&["status", "--severity", "critical"]).run().expect_code(2);
    let calm = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(calm.path().join("calm.db")).unwrap();
    let calm = |args: &[&str]| sen(args).cwd(calm.path()).database("sqlite:calm.db");
    calm(&["init"]).run().expect_code(0);
    assert_eq!(calm(&["status", "--check", "-q"]).run().expect_code(0).stdout, "ok: nothing needs a person\n");
}

/// Runbooks and the original tools name one dead letter by its whole id: that is consent where nobody can be asked.
#[test]
fn a_whole_id_of_a_dead_letter_is_consent_without_a_terminal_only() {
    let demo = Demo::make();
    let url = format!("sqlite:{}", demo.path().display());
    let (letter, _) = demo.letter();
    let mut asked = terminal(["dlq", "replay", &letter]).database(&url).size(40, 120).start();
    asked.wait_for("Proceed? [y/N]");
    asked.type_keys("n\r");
    assert_eq!(asked.finish().code, 7);
    let done = demo.sen(&["dlq", "replay", &letter, "-o", "json"]).run().expect_code(0).json();
    assert_eq!(done["applied"], 1, "{done}");
}

/// A plan to settle a key in another operator's place says whose it is.
#[test]
fn a_plan_names_whoever_holds_the_key() {
    let demo = Demo::make();
    let key = "payments:order-7729";
    let token = demo.inspect(key)["fencing_token"].as_str().unwrap().to_owned();
    let plan = demo.sen(&["reconcile", key, "--token", &token, "--reset", "--dry-run"]).run().expect_code(0).stdout;
    assert!(plan.contains("taken over ") && plan.contains(" by maria@ops-3 (INC-482: asking the provider)"), "{plan}");
}

/// A suggestion that was not filled in does nothing; the command of `sen once` may take what it likes.
#[test]
fn a_mark_is_no_argument() {
    let demo = Demo::make();
    let before = fs::read(demo.path()).unwrap();
    for args in [
        &["reconcile", KEY, "--complete", "‹json›", "--yes"][..],
        &["reconcile", KEY, "--complete=‹json›", "--yes"],
        &["reconcile", KEY, "--complete", "@‹file›", "--yes"],
        &["reconcile", KEY, "--reset", "--yes", "--reason", "‹reason›"],
        &["dlq", "discard", "--all", "--yes", "--export", "‹file›"],
        &["once", "‹key›", "--", "true"],
    ] {
        let output = demo.sen(args).run().expect_code(2);
        assert!(output.stderr.contains("is a mark for something that only you know"), "{args:?}: {}", output.stderr);
    }
    assert_eq!(fs::read(demo.path()).unwrap(), before);
    let own = demo.sen(&["once", "own:1", "--", "echo", "‹json›"]).run().expect_code(0);
    assert_eq!(own.stdout.trim(), "‹json›");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let demo = Demo::make();
    let before = fs::read(demo.path()).unwrap();
    let output = demo.sen(&["reconcile", KEY, "--complete", r#"{"ok":true}"#, "--dry-run"]).run().expect_code(0);
    assert_snapshot("acts/dry-run", &redact(&output.transcript()));
    let json = demo.sen(&["reconcile", "--all", "--reset", "--dry-run", "-o", "json"]).run().expect_code(0).json();
    assert_eq!((&json["dry_run"], &json["planned"], &json["applied"]), (&true.into(), &3.into(), &0.into()));
    demo.sen(&["reconcile", "--all", "--reset", "--dry-run", "--expect", "2"]).run().expect_code(5);
    // What is refused is not announced.
    let some = ["reconcile", KEY, "emails:receipt-7701", "nosuch", "--reset", "--dry-run"];
    let refused = demo.sen(&[&some[..], &["--expect", "1"]].concat()).run();
    assert!(refused.stdout.starts_with("take over and reset 1 key in sqlite:sen-demo.db (2 refused)\n"), "{refused:?}");
    demo.sen(&[&some[..], &["--expect", "3"]].concat()).run().expect_code(5);
    assert_eq!(fs::read(demo.path()).unwrap(), before);
}

#[test]
fn a_completed_key_has_its_result_and_the_record_of_who_and_why() {
    let demo = Demo::make();
    let done = demo.sen(&[
        "reconcile",
        KEY,
        "--complete",
        r#"{"charge":"ch_9"}"#,
        "--yes",
        "--reason",
        "INC-482",
        "-o",
        "json",
    ]);
    let report = done.run().expect_code(0).json();
    assert_eq!((&report["applied"], &report["results"][0]["outcome"]), (&1.into(), &"applied".into()));
    let shown = demo.inspect(KEY);
    assert_eq!((&shown["status"], &shown["execution_result"]["charge"]), (&"completed".into(), &"ch_9".into()));
    assert_eq!(shown["fencing_token"], report["results"][0]["fencing_token"]);
    let notes: Vec<&Value> = shown["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["metadata"])
        .filter(|note| !note.is_null())
        .collect();
    assert_eq!(notes.len(), 2, "{shown}");
    for note in notes {
        assert!(
            note["who"].as_str().unwrap().starts_with(&crate::harness::sen::operator()) && note["why"] == "INC-482",
            "{note}"
        );
        assert_eq!(note["operation"], report["operation"]);
    }
    assert!(
        shown["verdict"]["evidence"].to_string().contains(&format!("by {}", crate::harness::sen::operator())),
        "{shown}"
    );
    // Doing it again changes nothing and says what is there.
    let again = demo.sen(&["reconcile", KEY, "--reset", "--yes"]).run().expect_code(5);
    assert!(again.stdout.contains("completed already"), "{}", again.stdout);
    demo.sen(&["reconcile", "nobody", "--yes"]).run().expect_code(4);
}

#[test]
fn what_another_operator_has_taken_needs_its_token() {
    let demo = Demo::make();
    let taken = demo.sen(&["reconcile", KEY, "-o", "json", "--reason", "looking into it"]).run().expect_code(0).json();
    let token = taken["results"][0]["fencing_token"].as_str().unwrap().to_owned();
    let other = demo.sen(&["reconcile", KEY, "--reset", "--yes"]).env("USER", "bob").run().expect_code(5);
    assert!(
        other.stdout.contains(&crate::harness::sen::operator()) && other.stdout.contains("looking into it"),
        "{}",
        other.stdout
    );
    demo.sen(&["reconcile", KEY, "--token", "1", "--reset", "--yes"]).run().expect_code(5);
    demo.sen(&["reconcile", KEY, "--token", &token, "--reset", "--yes"]).run().expect_code(0);
    assert_eq!(demo.inspect(KEY)["verdict"]["state"], "free");
}

#[test]
fn results_come_from_the_argument_a_file_or_stdin_and_are_checked_first() {
    let demo = Demo::make();
    fs::write(demo.folder.path().join("result.json"), "{\"from\": \"file\"}\n").unwrap();
    for bad in ["{ok:true}", "", "1 2", r#"{"a":"\u0000"}"#, "@missing.json"] {
        demo.sen(&["reconcile", KEY, "--complete", bad, "--yes"]).run().expect_code(2);
    }
    assert_eq!(demo.inspect(KEY)["verdict"]["state"], "uncertain");
    demo.sen(&["reconcile", KEY, "--complete", "@result.json", "--yes"]).run().expect_code(0);
    assert_eq!(demo.inspect(KEY)["execution_result"]["from"], "file");
    demo.sen(&["reconcile", "payments:order-7735", "--complete", "-", "--yes"]).stdin("[-1.50]").run().expect_code(0);
    let shown = demo.sen(&["inspect", "-o", "json", "payments:order-7735"]).run().expect_code(0).stdout;
    assert!(shown.contains("[-1.50]"), "{shown}");
}

#[test]
fn bulk_acts_take_only_what_matches_and_only_what_is_uncertain() {
    let demo = Demo::make();
    let all =
        ["reconcile", "--all", "--namespace", "payments", "--uncertain-for", "17m", "--reset", "--yes", "-o", "json"];
    let report = demo.sen(&all).run().expect_code(0).json();
    assert_eq!(report["applied"], 2, "{report}");
    for (key, state) in [
        (KEY, "free"),
        ("payments:order-7735", "free"),
        ("payments:order-7736", "uncertain"),
        ("reports:daily-settlement", "stalled"),
    ] {
        assert_eq!(demo.inspect(key)["verdict"]["state"], state, "{key}");
    }
    // Some done, some not: partial. What is so already is no failure.
    demo.sen(&["reconcile", "payments:order-7736", "payments:order-7701", "--reset", "--yes"]).run().expect_code(3);
    demo.sen(&["reconcile", "payments:order-7736", KEY, "--reset", "--yes"]).run().expect_code(0);
    let none = demo.sen(&["reconcile", "--all", "--yes", "-o", "json"]).run().expect_code(0).json();
    assert_eq!((&none["applied"], &none["planned"]), (&0.into(), &0.into()));
}

#[test]
fn release_and_forget() {
    let demo = Demo::make();
    demo.sen(&["release", "webhooks:evt_1Qm7aa"]).run().expect_code(0);
    demo.sen(&["inspect", "webhooks:evt_1Qm7aa"]).run().expect_code(4);
    for key in ["webhooks:evt_1Qm8c2", KEY, "payments:order-7729", "payments:order-7701"] {
        demo.sen(&["release", key]).run().expect_code(5);
    }
    demo.sen(&["forget", "payments:order-7701", "--yes"]).run().expect_code(0);
    demo.sen(&["inspect", "payments:order-7701"]).run().expect_code(4);
    demo.sen(&["forget", KEY, "--yes"]).run().expect_code(5);
    let told = demo.sen(&["history", "payments:order-7701", "-o", "json"]).run().expect_code(0).json();
    assert_eq!(told.as_array().unwrap().last().unwrap()["metadata"]["act"], "forget");
}

#[test]
fn waiting_ends_with_the_goal_the_limit_or_a_person() {
    let demo = Demo::make();
    demo.sen(&["wait", "payments:order-7701", "--for", "completed"]).run().expect_code(0);
    demo.sen(&["wait", "nobody", "--for", "free"]).run().expect_code(0);
    demo.sen(&["wait", "reports:export-2026-q3", "--timeout", "300ms"]).run().expect_code(8);
    demo.sen(&["wait", "payments:order-7729", "--timeout", "300ms"]).run().expect_code(8);
    let uncertain = demo.sen(&["wait", KEY, "--timeout", "1h"]).run().expect_code(10);
    assert!(uncertain.stdout.contains("sen reconcile"), "{}", uncertain.stdout);
    let waiting = demo.sen(&["wait", "payments:order-7729", "--for", "completed", "--timeout", "10m"]).start();
    let token = demo.inspect("payments:order-7729")["fencing_token"].as_str().unwrap().to_owned();
    demo.sen(&["reconcile", "payments:order-7729", "--token", &token, "--complete", "1", "--yes"]).run().expect_code(0);
    waiting.finish().expect_code(0);
}

#[test]
fn on_a_terminal_the_evidence_is_shown_and_the_answer_is_done() {
    let demo = Demo::make();
    let url = format!("sqlite:{}", demo.path().display());
    let ask = |key: &str| terminal(["reconcile", key]).database(&url).size(40, 120).start();

    // The first choice changes nothing, and so does leaving by any other way.
    for (keys, more) in [("\r", None), ("\x1b", None), ("\x1b[B\r", Some("The result, as JSON"))] {
        let mut left = ask("payments:order-7736");
        left.wait_for("What really happened");
        assert!(left.screen().contains("hard limit passed"), "{}", left.screen());
        left.type_keys(keys);
        if let Some(more) = more {
            left.wait_for(more);
            left.type_keys("\r");
        }
        assert_eq!(left.finish().code, 7, "{keys:?}");
        assert_eq!(demo.inspect("payments:order-7736")["verdict"]["state"], "uncertain");
    }

    let mut never = ask(KEY);
    never.wait_for("What really happened");
    never.type_keys("\x1b[B\x1b[B\r");
    never.wait_for("Reason, kept in the history");
    never.type_keys("INC-482\r");
    never.wait_for("Proceed? [y/N]");
    never.type_keys("n\r");
    assert_eq!(never.finish().code, 7);
    assert_eq!(demo.inspect(KEY)["verdict"]["state"], "uncertain");
    let mut never = ask(KEY);
    never.wait_for("What really happened");
    never.type_keys("\x1b[B\x1b[B\r");
    never.wait_for("Reason, kept in the history");
    never.type_keys("INC-482\r");
    never.wait_for("Proceed? [y/N]");
    never.type_keys("y\r");
    assert_eq!(never.finish().code, 0);
    assert_eq!(demo.inspect(KEY)["verdict"]["state"], "free");
    assert!(demo.sen(&["history", KEY, "-o", "json"]).run().expect_code(0).stdout.contains("INC-482"));

    let mut completed = ask("payments:order-7735");
    completed.wait_for("What really happened");
    completed.type_keys("\x1b[B\r");
    completed.wait_for("The result, as JSON");
    completed.type_keys("{\"typed\":true}\r");
    completed.wait_for("Reason, kept in the history");
    completed.type_keys("\r");
    completed.wait_for("Proceed? [y/N]");
    completed.type_keys("y\r");
    assert_eq!(completed.finish().code, 0);
    assert_eq!(demo.inspect("payments:order-7735")["execution_result"]["typed"], true);

    let mut confirm = terminal(["forget", "payments:order-7701"]).database(&url).size(40, 120).start();
    confirm.wait_for("Proceed? [y/N]");
    assert!(confirm.screen().contains("the cached result is erased"), "{}", confirm.screen());
    confirm.type_keys("n\r");
    assert_eq!(confirm.finish().code, 7);
    let mut interrupted = terminal(["forget", "payments:order-7701"]).database(&url).size(40, 120).start();
    interrupted.wait_for("Proceed? [y/N]");
    interrupted.type_keys("\x03");
    let shown = interrupted.finish();
    assert_eq!(shown.code, 130);
    demo.sen(&["inspect", "payments:order-7701"]).run().expect_code(0);

    // What could only be refused is not asked: somebody has it, or its worker may be alive.
    for key in ["payments:order-7729", "reports:daily-settlement"] {
        assert_eq!(terminal(["reconcile", key]).database(&url).size(40, 120).run().code, 5, "{key}");
    }
    // Before the hard limit its worker may be alive: the reason is asked for, and without one nothing is done.
    for (reason, code) in [("\r", 2), ("its host is gone\r", 0)] {
        let words = ["reconcile", "reports:daily-settlement", "--before-hard-ttl"];
        let mut early = terminal(words).database(&url).size(40, 120).start();
        early.wait_for("What really happened");
        early.type_keys("\x1b[B\x1b[B\r");
        early.wait_for("Reason, kept in the history");
        early.type_keys(reason);
        if code == 0 {
            early.wait_for("Proceed? [y/N]");
            early.type_keys("y\r");
        }
        assert_eq!(early.finish().code, code, "{reason:?}");
    }
    // A terminal keeps nothing of what is removed.
    assert_eq!(terminal(["dlq", "discard", "--all", "--system", "stent"]).database(&url).size(40, 120).run().code, 2);
}

#[test]
fn an_interrupted_bulk_act_finishes_its_item_and_reports_the_truth() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status, fencing_token)
         SELECT 'k' || n, 'o', now() - interval '1 minute', now() - interval '1 minute', 'executing', n FROM generate_series(1, 100) AS n;
         SELECT setval('sentinel_token_seq', 100)",
    );
    let proxy = Proxy::unix(Server::shared());
    // While it is at its second key.
    let statement = "SET status = 'reconciling'";
    proxy.trap_after(statement, Trap::Hold(statement.into()));
    let url = proxy.url_of(&database.name);
    let running = sen(["reconcile", "--all", "--yes", "-o", "json"]).database(&url).start();
    let taken =
        || database.psql("SELECT count(*) FROM sentinel_leases WHERE status = 'reconciling'").parse::<u64>().unwrap();
    proxy.wait_for_hold();
    running.signal(Signal::INT);
    proxy.stall(false);
    let report = running.finish().expect_code(130).json();
    let (applied, skipped) = (report["applied"].as_u64().unwrap(), report["skipped"].as_u64().unwrap());
    assert_eq!((applied, applied + skipped), (taken(), 100), "{report}");
    assert!(applied > 0 && skipped > 0, "{report}");
}

/// Letters of several systems stand in one database: an act that one of them lacks stops only what is about it.
#[test]
fn discards_are_refused_only_where_they_are_meant() {
    let demo = Demo::make();
    let groups = demo.sen(&["dlq", "groups", "-o", "json"]).run().expect_code(0).json();
    let of = |system: &str| {
        let group = groups.as_array().unwrap().iter().find(|group| group["system"] == system).unwrap();
        group["group"].as_str().unwrap().to_owned()
    };
    let discard = |more: &[&str]| demo.sen(&[&["dlq", "discard", "--dry-run", "-o", "json"], more].concat()).run();
    let planned = discard(&["--group", &of("stent")]).expect_code(0).json();
    assert!(planned["planned"].as_u64().unwrap() > 0, "{planned}");
    assert!(discard(&["--group", &of("saga")]).expect_code(7).stderr.contains("not discarded"));
    assert!(discard(&["--all"]).expect_code(2).stderr.contains("--system stent"));
}

#[test]
fn suggestions_are_of_the_kind_that_is_asked_for() {
    let demo = Demo::make();
    // The beginning of this saga's id reads as a number, and its column is of numeric affinity.
    let saga = demo.sen(&["saga", "show", "00001e33-d001-4e4e-a000-1e33fadedcaf"]).run().expect_code(4).stderr;
    assert!(saga.contains("did you mean \"00001e33-"), "{saga}");
    let execution = demo.sen(&["exec", "show", "77310000-c4a6-4000-8000-00000000000f"]).run().expect_code(4).stderr;
    assert!(
        execution.contains("77310000-c4a6-4000-8000-000000000000") && !execution.contains("000000000001"),
        "{execution}"
    );
    assert!(demo.sen(&["wait", "payments:order-77310"]).run().expect_code(4).stderr.contains("payments:order-7731"));
}

/// However narrow the terminal, a list of operations tells who did what and why, in what state it is and how much is done.
#[test]
fn operations_tell_who_what_and_why_on_narrow_terminals() {
    let demo = Demo::make();
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let reset = ["reconcile", KEY, "--reset", "--yes", "--reason", "INC-482: the provider says it never arrived"];
    demo.sen(&reset).env("XDG_STATE_HOME", home).run().expect_code(0);
    demo.sen(&["reconcile", "--all", "--yes"]).env("XDG_STATE_HOME", home).run().expect_code(0);
    let all = demo.sen(&["op", "list", "-o", "json"]).env("XDG_STATE_HOME", home).run().expect_code(0).json();
    assert_eq!((&all[0]["targets"], &all[0]["applied"], &all[0]["reason"]), (&2.into(), &2.into(), &Value::Null));
    let who = all[0]["who"].as_str().unwrap();
    for (columns, what) in [(80, "take over a"), (100, "take over and reset")] {
        let shown = terminal(["op", "list"]).env("XDG_STATE_HOME", home).env("SEN_PAGER", "").size(24, columns).run();
        assert_eq!(shown.code, 0, "{}", shown.screen);
        let line =
            shown.screen.lines().find(|line| line.contains("INC-482:")).unwrap_or_else(|| panic!("{}", shown.screen));
        assert!(
            line.contains(what)
                && line.contains(&format!("  {}", &who[..who.len().min(6)]))
                && line.contains("  done  "),
            "{}",
            shown.screen
        );
        assert!(line.contains("   1   1  ") && line.contains('…'), "{}", shown.screen);
        assert!(shown.screen.lines().next().is_some_and(|heads| heads.contains("DONE  OF  WHAT")), "{}", shown.screen);
    }
}
