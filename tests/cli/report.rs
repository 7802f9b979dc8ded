//! `sen report`: an incident as Markdown for a ticket, and the same as data.

use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::harness::sen::{Output, operator, sen};

const LETTER: &str = "77310000-c4a6-4000-8000-000000000001";
const EXECUTION: &str = "77310000-c4a6-4000-8000-000000000000";

fn run(folder: &Path, args: &[&str]) -> Output {
    sen(args)
        .cwd(folder)
        .database("sqlite:sen-demo.db")
        .env("XDG_STATE_HOME", folder.join("state").to_str().unwrap())
        .run()
}

fn demo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    folder
}

/// The headings, and all other text, of a document; fails where text of a database has formed anything that a report has not.
fn rendered(markdown: &str) -> (Vec<String>, String) {
    let (mut headings, mut text, mut heading) = (Vec::new(), String::new(), false);
    for event in Parser::new_ext(markdown, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading = true;
                headings.push(String::new());
            }
            Event::End(pulldown_cmark::TagEnd::Heading(_)) => heading = false,
            Event::Text(part) | Event::Code(part) if heading => headings.last_mut().unwrap().push_str(&part),
            Event::Text(part) | Event::Code(part) => text.push_str(&part),
            Event::Start(
                Tag::Paragraph
                | Tag::List(None)
                | Tag::Item
                | Tag::Strong
                | Tag::CodeBlock(_)
                | Tag::Table(_)
                | Tag::TableHead
                | Tag::TableRow
                | Tag::TableCell,
            ) => text.push('\n'),
            Event::End(_) | Event::SoftBreak => text.push('\n'),
            other => panic!("{other:?} in {markdown}"),
        }
    }
    (headings, text)
}

#[test]
fn an_incident_is_told_from_its_state_to_what_is_left() {
    let folder = demo();
    let reason = "INC-482 | <b>*bold*</b> token=s3cr3t-value";
    run(folder.path(), &["dlq", "replay", LETTER, "--yes", "--reason", reason]).expect_code(0);
    let markdown = run(folder.path(), &["report", "payments:order-7731"]).expect_code(0).stdout;
    let (headings, text) = rendered(&markdown);
    assert_eq!(
        headings,
        [
            "Incident report: payments:order-7731",
            "State",
            "lease payments:order-7731: uncertain",
            "Causes",
            "What happened",
            "What operators did",
            "What is left",
        ]
    );
    for part in [
        "started, no live owner: outcome unknown",
        "let its lease and its hard limit pass",
        "lease acquired",
        "INC-482 | <b>*bold*</b> token=***",
        "replay 1 dead letter",
        "applied: replayed as task",
        "sen reconcile payments:order-7731",
        &operator(),
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!markdown.contains("s3cr3t-value"), "{markdown}");
    let revealed = run(folder.path(), &["report", "payments:order-7731", "--reveal"]).expect_code(0).stdout;
    assert!(revealed.contains("s3cr3t-value"), "{revealed}");
    // The same as data, and the same as the commands say whose data it is.
    let json = run(folder.path(), &["report", "payments:order-7731", "-o", "json"]).expect_code(0).json();
    let why = run(folder.path(), &["why", "payments:order-7731", "-o", "json"]).expect_code(0).json();
    let ids = |of: &serde_json::Value| -> Vec<(String, String)> {
        let text = |link: &serde_json::Value, name: &str| link[name].as_str().unwrap().to_owned();
        of["chain"].as_array().unwrap().iter().map(|link| (text(link, "subject"), text(link, "state"))).collect()
    };
    assert_eq!(ids(&json), ids(&why));
    assert_eq!(json["next"], why["next"]);
    let timeline = run(folder.path(), &["timeline", "payments:order-7731", "-o", "json"]).expect_code(0).json();
    let whats = |of: &serde_json::Value| -> Vec<String> {
        of.as_array().unwrap().iter().map(|entry| entry["what"].to_string()).collect()
    };
    assert_eq!(whats(&json["timeline"]), whats(&timeline));
    let operation = &json["operations"][0];
    assert_eq!((&operation["state"], &operation["known_from"]), (&"done".into(), &"journal".into()));
    assert_eq!(operation["reason"], "INC-482 | <b>*bold*</b> token=***");
}

#[test]
fn an_operation_is_told_with_its_targets_and_without_its_journal_by_its_records() {
    let folder = demo();
    run(folder.path(), &["dlq", "replay", LETTER, "--yes", "--reason", "INC-482"]).expect_code(0);
    let listed = run(folder.path(), &["op", "list", "-o", "json"]).expect_code(0).json();
    let operation = listed[0]["operation"].as_str().unwrap();
    let told = run(folder.path(), &["report", "--op", "last", "-o", "json"]).expect_code(0).json();
    assert_eq!(told["operations"][0]["operation"], operation);
    assert_eq!(told["records"][0]["system"], "stent", "{told}");
    assert_eq!(told["operations"][0]["results"][0]["state_now"], "ready");
    // Another user has no journal of it: the records beside the rows tell who and why.
    let others = sen(["report", EXECUTION, "-o", "json"])
        .cwd(folder.path())
        .database("sqlite:sen-demo.db")
        .env("XDG_STATE_HOME", folder.path().join("other").to_str().unwrap())
        .run()
        .expect_code(0)
        .json();
    let known = &others["operations"][0];
    assert_eq!((&known["operation"], &known["reason"]), (&operation.into(), &"INC-482".into()));
    assert_eq!((&known["known_from"], &known["state"]), (&"records".into(), &serde_json::Value::Null));
    // What is taken back is told with what took it back.
    run(folder.path(), &["undo", "last", "--yes"]).expect_code(0);
    let undone = run(folder.path(), &["report", "--op", operation, "-o", "json"]).expect_code(0).json();
    let states: Vec<_> = undone["operations"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["undone", "done"]);
    assert_eq!(undone["operations"][0]["undone_by"], undone["operations"][1]["operation"]);
    // It is not told of another database.
    sen(["demo", "other.db"]).cwd(folder.path()).run().expect_code(0);
    let elsewhere = sen(["report", "--op", operation])
        .cwd(folder.path())
        .database("sqlite:other.db")
        .env("XDG_STATE_HOME", folder.path().join("state").to_str().unwrap())
        .run();
    assert_eq!(elsewhere.code, 2, "{elsewhere:?}");
}

#[test]
fn without_a_key_it_is_what_needs_attention_and_what_was_done_in_that_time() {
    let folder = demo();
    run(folder.path(), &["dlq", "replay", LETTER, "--yes"]).expect_code(0);
    let told = run(folder.path(), &["report", "--since", "2h", "-o", "json"]).expect_code(0).json();
    let status = run(folder.path(), &["status", "-o", "json"]).expect_code(0).json();
    let texts = |of: &serde_json::Value| -> Vec<_> {
        of["attention"].as_array().unwrap().iter().map(|item| item["next"]["command"].clone()).collect()
    };
    assert_eq!(texts(&told), texts(&status));
    // The replay, and the take-over that is part of the incident.
    let who = |of: &serde_json::Value| of["who"].as_str().unwrap_or_default().to_owned();
    let operations: Vec<String> = told["operations"].as_array().unwrap().iter().map(who).collect();
    assert!(operations.len() == 2 && operations[0] == "maria@ops-3", "{operations:?}");
    assert_eq!(told["records"].as_array().unwrap().len(), 5);
    let (headings, _) = rendered(&run(folder.path(), &["report", "--since", "2h"]).expect_code(0).stdout);
    assert_eq!(headings[..3], ["Incident report: what needs attention", "What needs attention", "State"]);
    // What is cut keeps its beginning.
    let cut = run(folder.path(), &["report", "payments:order-7731", "--limit", "8"]).expect_code(0).stdout;
    assert!(cut.contains("The first 2 and the newest 6;") && cut.contains("lease acquired"), "{cut}");
    // Nothing was done in the time that is still to come.
    let later = run(folder.path(), &["report", "--since", "2h", "--until", "90m", "-o", "json"]).expect_code(0).json();
    assert_eq!(later["operations"], serde_json::json!([]));
}

#[test]
fn what_a_database_holds_forms_nothing_in_a_ticket() {
    let folder = demo();
    let hostile =
        "| x | <img src=x onerror=alert(1)> ``` \n```\n# owned\n[a](http://evil.example) \u{1b}[2J @all &amp; \\|";
    let database = rusqlite::Connection::open(folder.path().join("sen-demo.db")).unwrap();
    database.execute("UPDATE sentinel_leases SET owner_id = ?1 WHERE key = 'payments:order-7731'", [hostile]).unwrap();
    let args = serde_json::to_vec(&serde_json::json!([hostile, {"password": "hunter22"}, "x".repeat(400)])).unwrap();
    database.execute("UPDATE tasks SET args = ?1", [&args]).unwrap();
    for key in ["payments:order-7731", "77310000-c4a6-4000-8000-000000000002"] {
        let markdown = run(folder.path(), &["report", key]).expect_code(0).stdout;
        let (headings, text) = rendered(&markdown);
        assert!(headings.iter().all(|heading| heading != "owned"), "{headings:?}");
        assert!(text.contains("<img src=x onerror=alert(1)> ```"), "{text}");
        assert!(!markdown.contains('\u{1b}') && !markdown.contains("hunter22"), "{markdown}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let folder = demo();
    let missing = run(folder.path(), &["report", "payments:order-7732x"]).expect_code(4).stderr;
    assert!(missing.contains("did you mean"), "{missing}");
    let some = run(folder.path(), &["report", "payments:order-7731", "payments:order-7732x"]);
    assert!(some.stdout.contains("uncertain") && some.stderr.contains("did you mean"), "{some:?}");
    run(folder.path(), &["report"]).expect_code(2);
    run(folder.path(), &["report", "--op", "ffff"]).expect_code(4);
}
