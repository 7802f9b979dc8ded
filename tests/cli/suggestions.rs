//! Every command that a screen of the demo suggests, as a table and as JSON, is one that `sen` takes.

use std::collections::BTreeSet;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::harness::sen::sen;

/// The screens without an id, and those with one: where its ids are listed, and in which field.
const SCREENS: [&[&str]; 17] = [
    &["demo", "other.db"],
    &["status"],
    &["doctor"],
    &["stats"],
    &["list"],
    &["list", "--state", "uncertain"],
    &["dlq", "list"],
    &["dlq", "groups"],
    &["dlq", "replay", "--all", "--system", "stent", "--dry-run"],
    &["exec", "list"],
    &["task", "list"],
    &["saga", "list"],
    &["saga", "list", "--state", "failed"],
    &["saga", "outbox", "list"],
    &["saga", "inbox", "list"],
    &["history", "payments:order-7729"],
    &["reconcile", "payments:order-7731", "--dry-run"],
];
/// The words that list things, the field with their ids, and the words that are asked of each.
type OfEach = (&'static [&'static str], &'static str, &'static [&'static [&'static str]]);

const OF_EACH: [OfEach; 7] = [
    (&["list"], "key", &[&["inspect"], &["why"]]),
    (&["dlq", "list"], "id", &[&["dlq", "show"], &["why"]]),
    (&["exec", "list"], "id", &[&["exec", "show"], &["why"]]),
    (&["task", "list"], "id", &[&["task", "show"]]),
    (&["saga", "list"], "id", &[&["saga", "show"], &["why"]]),
    (&["saga", "outbox", "list"], "id", &[&["saga", "outbox", "show"]]),
    (&["saga", "inbox", "list"], "id", &[&["saga", "inbox", "show"]]),
];

/// Every string of a document under the name `command`.
fn commands(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Value::String(text) = value
                    && name == "command"
                    && text.starts_with("sen ")
                {
                    out.insert(text.clone());
                }
                commands(value, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| commands(item, out)),
        _ => {}
    }
}

#[test]
fn every_command_that_a_screen_prints_is_taken_or_asks_to_be_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let place = |args: &[&str]| sen(args).cwd(folder.path()).database("sqlite:sen-demo.db");
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let mut screens: Vec<Vec<String>> =
        SCREENS.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect();
    for (list, field, verbs) in OF_EACH {
        let rows = place(&[list, &["--limit", "0", "-o", "json"]].concat()).run().expect_code(0).json();
        // One of each state says all that is said of it.
        let mut states = BTreeSet::new();
        for row in rows.as_array().unwrap() {
            if !states.insert((row["state"].to_string(), row["status"].to_string())) {
                continue;
            }
            let id = row[field].as_str().unwrap_or_else(|| panic!("{list:?}: {row}"));
            screens.extend(verbs.iter().map(|verb| verb.iter().chain([&id]).map(|word| (*word).to_owned()).collect()));
        }
    }
    let shown = Regex::new(r"(?m)^\s+(sen [a-z].*?)(?:\s{2,}#.*)?$|[`(](sen [a-z][^`)]*)[`)]").unwrap();
    let mut found = BTreeSet::new();
    for words in &screens {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let table = place(&words).run();
        assert!(matches!(table.code, 0 | 10), "{words:?}: {}", table.stderr);
        for line in shown.captures_iter(&(table.stdout + &table.stderr)) {
            found.insert(line.get(1).or(line.get(2)).unwrap().as_str().trim().to_owned());
        }
        let json = place(&[&words[..], &["-o", "json"]].concat()).run();
        if let Ok(document) = serde_json::from_str(&json.stdout) {
            commands(&document, &mut found);
        }
    }
    // Nothing answers there: a command that is taken cannot connect, and one that is not is refused before.
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_sen")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut marks = 0;
    for command in &found {
        let run = Command::new("bash")
            .args(["-c", command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        match run.status.code() {
            Some(2) if command.contains('‹') => {
                assert!(said.contains("is a mark for something that only you know"), "{command}: {said}");
                marks += 1;
            }
            code => assert!(matches!(code, Some(0 | 6)), "{command}: {code:?}: {said}"),
        }
        assert!(!command.split(' ').any(|word| ["WHY", "JSON", "FILE", "null", "N"].contains(&word)), "{command}");
    }
    assert!(found.len() >= 40 && marks >= 3, "{} commands, {marks} with marks: {found:#?}", found.len());
}
