//! `docs/json.md`: the fields of every JSON output, generated from what the commands print on the demo and compared with the
//! committed file. `SEN_TEST_ACCEPT=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::harness::sen::sen;

/// Every command that prints JSON: its name for the reader, its arguments on the demo, and the exit code it has there.
const COMMANDS: &[(&str, &[&str], i32)] = &[
    ("sen status", &["status"], 0),
    ("sen inspect KEY", &["inspect", "payments:order-7731"], 0),
    ("sen why KEY", &["why", "payments:order-7731"], 0),
    ("sen list", &["list", "--limit", "0"], 0),
    ("sen history KEY", &["history", "payments:order-7731", "--limit", "0"], 0),
    ("sen reconcile, release, forget and every other act", &["reconcile", "payments:order-7731", "--dry-run"], 0),
    ("sen wait KEY", &["wait", "emails:receipt-7701"], 0),
    ("sen once KEY --describe", &["once", "new-key", "--describe", "--", "true"], 0),
    ("sen doctor", &["doctor"], 0),
    ("sen stats", &["stats"], 0),
    ("sen exec list", &["exec", "list", "--limit", "0"], 0),
    ("sen exec show ID", &["exec", "show", "77310000-c4a6-4000-8000-000000000000"], 0),
    ("sen task list", &["task", "list", "--limit", "0"], 0),
    ("sen task show ID", &["task", "show", "77310000-c4a6-4000-8000-000000000002"], 0),
    ("sen dlq list", &["dlq", "list", "--limit", "0"], 0),
    ("sen dlq groups", &["dlq", "groups"], 0),
    ("sen dlq show ID", &["dlq", "show", "77310000-c4a6-4000-8000-000000000001"], 0),
    ("sen saga list", &["saga", "list", "--limit", "0"], 0),
    ("sen saga show ID", &["saga", "show", "00001e33-d001-4e4e-a000-1e33fadedcab"], 0),
    ("sen saga outbox list", &["saga", "outbox", "list"], 0),
    ("sen saga outbox show ID", &["saga", "outbox", "show", "00001e3e-d002-4e4e-a000-1e3efadedcab"], 0),
    ("sen saga inbox list", &["saga", "inbox", "list"], 0),
];

/// Field by dotted path, in order of appearance, with the types seen.
#[derive(Default)]
struct Fields {
    order: Vec<String>,
    types: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Fields {
    fn see(&mut self, path: &str, value: &Value) {
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(text) if is_time(text) => "time",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !path.is_empty() && name != "object" {
            if !self.types.contains_key(path) {
                self.order.push(path.to_owned());
            }
            self.types.entry(path.to_owned()).or_default().insert(name);
        }
        match value {
            // What a result or a payload holds is its writer's business.
            Value::Object(_) if is_payload(path) => {
                if !self.types.contains_key(path) {
                    self.order.push(path.to_owned());
                }
                self.types.entry(path.to_owned()).or_default().insert("any JSON");
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.see(&inner, field);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.see(&format!("{path}[]"), item)),
            _ => {}
        }
    }
}

fn is_payload(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path).trim_end_matches("[]");
    ["execution_result", "metadata", "payload", "args", "kwargs", "result", "input", "output", "context"]
        .contains(&last)
}

fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T'
}

/// The fields of one output.
fn section(out: &mut String, title: &str, json: Value) {
    let (kind, items) = match json {
        Value::Array(items) => ("An array; its elements", items),
        one => ("One object", vec![one]),
    };
    let mut fields = Fields::default();
    items.iter().for_each(|item| fields.see("", item));
    let _ = write!(out, "\n## `{title}`\n\n{kind}:\n\n| field | type |\n|---|---|\n");
    for path in &fields.order {
        let types: Vec<&str> = fields.types[path].iter().copied().collect();
        let _ = writeln!(out, "| `{path}` | {} |", types.join(" or "));
    }
}

/// A plan in a file, line by line, and what is told of the operation once it is applied.
fn operations(folder: &Path, out: &mut String) {
    let state = folder.join("state");
    let run = |words: &[&str]| {
        let sen = sen(words).cwd(folder).database("sqlite:sen-demo.db").env("XDG_STATE_HOME", &state);
        sen.run().expect_code(0)
    };
    run(&["reconcile", "payments:order-7731", "--reason", "INC-482", "--plan-out", "take-over.plan"]);
    let plan = std::fs::read_to_string(folder.join("take-over.plan")).unwrap();
    let lines: Vec<Value> = plan.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [head, target, checksum] = &lines[..] else { panic!("{plan}") };
    section(out, "--plan-out FILE, the first line", head.clone());
    section(out, "--plan-out FILE, a line for each target", target.clone());
    section(out, "--plan-out FILE, the last line", checksum.clone());
    run(&["apply", "take-over.plan", "--yes"]);
    section(out, "sen op list", run(&["op", "list", "-o", "json"]).json());
    let operation = head["plan"]["operation"].as_str().unwrap();
    section(out, "sen op show OP", run(&["op", "show", operation, "-o", "json"]).json());
}

fn document() -> String {
    let folder = tempfile::tempdir().unwrap();
    sen(["demo"]).cwd(folder.path()).run().expect_code(0);
    let mut out = String::from(
        "# JSON output\n\nCommands that show something take `-o json` (one document), and lists also `-o jsonl` (one object per line, \
        streamed). `dlq export` always\nwrites one object per line; `metrics`, `completions` and `man` have formats of their own. \
        Times are RFC 3339 in UTC; 64-bit numbers\nthat can pass 2^53 (tokens, event ids) are strings; what is not there is `null`; \
        adding a field is no break, removing one is.\nErrors are `{\"error\": {\"code\", \"message\", \"hint\", \"causes\", \"sqlstate\"}}` \
        on stderr.\n\n\
        This page is generated from what the commands print on the demo (`sen demo`) and compared with it by the tests, so a type that\n\
        never occurs there is not listed, nor are `sen agent` (the demo has no Redis) and the fields that only another system has.\n\
        `[]` stands for the elements of an array.\n",
    );
    for (title, args, code) in COMMANDS {
        let args: Vec<&str> = args.iter().take(1).chain(&["-o", "json"]).chain(&args[1..]).copied().collect();
        let json = sen(&args).cwd(folder.path()).database("sqlite:sen-demo.db").run().expect_code(*code).json();
        section(&mut out, title, json);
    }
    operations(folder.path(), &mut out);
    out
}

#[test]
fn the_schema_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let fresh = document();
    if std::env::var_os("SEN_TEST_ACCEPT").is_some_and(|value| value == "1") {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == fresh, "docs/json.md is stale: SEN_TEST_ACCEPT=1 cargo test --test cli json");
}
