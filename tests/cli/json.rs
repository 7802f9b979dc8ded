//! `docs/json.md`: the fields of every JSON output, generated from the columns of the lists and what the commands print on the
//! demo, and compared with the committed file. `SEN_TEST_ACCEPT=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::generated::commands;
use crate::harness::node::load_all;
use crate::harness::redis;
use crate::harness::sen::{Output, sen};

/// Every command that prints JSON: its name for the reader, its arguments on the demo, and the exit code it has there.
const COMMANDS: &[(&str, &[&str], i32)] = &[
    ("sen status", &["status"], 0),
    ("sen inspect KEY", &["inspect", "payments:order-7731"], 0),
    ("sen why KEY", &["why", "payments:order-7731"], 0),
    ("sen timeline KEY", &["timeline", "payments:order-7731"], 0),
    ("sen list", &["list", "--limit", "0"], 0),
    ("sen history KEY", &["history", "payments:order-7731", "--limit", "0"], 0),
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
    ("sen saga inbox show ID", &["saga", "inbox", "show", "00001e0a-d003-4e4e-a000-1e0afadedcab"], 0),
    ("sen demo FILE", &["demo", "other.db"], 0),
];

/// The same for agent tasks, on what the real Sentinel-Node-Orchestrator wrote.
const AGENTS: &[(&str, &[&str], i32)] = &[
    ("sen agent list", &["agent", "list", "--limit", "0"], 0),
    ("sen agent show ID", &["agent", "show", "task_inprogress01"], 0),
    ("sen agent show WORKER", &["agent", "show", "worker-1"], 0),
    ("sen agent stats", &["agent", "stats"], 0),
    ("sen agent costs", &["agent", "costs"], 0),
    ("sen agent workers", &["agent", "workers"], 0),
    ("sen agent events", &["agent", "events", "--limit", "0"], 0),
    ("sen agent rate-limit get", &["agent", "rate-limit", "get"], 0),
];

/// What has no JSON of its own, as the page says.
const OWN_FORMATS: [&str; 7] = ["metrics", "completions", "man", "help", "grants", "once", "context use"];

/// Acts that apply what was planned before, or make what was not there, and so have no dry run of their own.
const NEVER_DRY: [&str; 1] = ["op resume"];

/// Field by dotted path, in order of appearance, with the types seen.
#[derive(Default)]
struct Fields {
    order: Vec<String>,
    types: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Fields {
    /// With the columns of a list, whatever its rows hold.
    fn of(columns: Vec<String>) -> Self {
        Self { order: columns, ..Self::default() }
    }

    fn note(&mut self, path: &str, kind: &'static str) {
        if !self.order.iter().any(|known| known == path) {
            // Behind the other parts of the same field.
            let top = path.split(['.', '[']).next().unwrap_or(path);
            let same = |known: &String| known.split(['.', '[']).next() == Some(top);
            let at = self.order.iter().rposition(same).map_or(self.order.len(), |at| at + 1);
            self.order.insert(at, path.to_owned());
        }
        self.types.entry(path.to_owned()).or_default().insert(kind);
    }

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
        let column = self.order.iter().any(|known| known == path) && !is_payload(path);
        if !path.is_empty() && (name != "object" || column) {
            self.note(path, name);
        }
        match value {
            // What a result or a payload holds is its writer's business.
            Value::Object(_) if is_payload(path) => {
                self.note(path, "any JSON");
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
    ["execution_result", "metadata", "payload", "args", "kwargs", "result", "input", "output", "context", "task_params"]
        .contains(&last)
}

fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T'
}

/// The fields of one output.
fn section(out: &mut String, title: &str, columns: Vec<String>, json: Value) {
    let (kind, items) = match json {
        Value::Array(items) => ("An array; its elements", items),
        one => ("One object", vec![one]),
    };
    let mut fields = Fields::of(columns);
    items.iter().for_each(|item| fields.see("", item));
    let _ = write!(out, "\n## `{title}`\n\n{kind}:\n\n| field | type |\n|---|---|\n");
    for path in &fields.order {
        let types: Vec<&str> = fields.types.get(path).into_iter().flatten().copied().collect();
        let types = if types.is_empty() { "not on the demo".to_owned() } else { types.join(" or ") };
        let _ = writeln!(out, "| `{path}` | {types} |");
    }
}

/// What one command prints, and where it lists, all its columns: the header of its CSV.
fn printed(out: &mut String, title: &str, args: &[&str], run: impl Fn(&[&str]) -> Output, code: i32) {
    let asked =
        |format| -> Vec<&str> { args.iter().take(1).chain(&["-o", format]).chain(&args[1..]).copied().collect() };
    let csv = run(&asked("csv"));
    let header = if csv.code == 0 { csv.stdout.lines().next().unwrap_or_default() } else { "" };
    let columns = header.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    section(out, title, columns, run(&asked("json")).expect_code(code).json());
}

/// An act that is only shown and one that is carried out, a plan in a file, line by line, and what is told of the operation
/// once it is applied.
fn operations(folder: &Path, out: &mut String) {
    let state = folder.join("state");
    let run = |words: &[&str]| {
        let sen = sen(words).cwd(folder).database("sqlite:sen-demo.db").env("XDG_STATE_HOME", &state);
        sen.run()
    };
    let act = ["reconcile", "payments:order-7731", "--reason", "INC-482"];
    printed(out, "an act with --dry-run", &[&act[..], &["--dry-run"]].concat(), run, 0);
    run(&[&act[..], &["--plan-out", "take-over.plan"]].concat()).expect_code(0);
    let plan = std::fs::read_to_string(folder.join("take-over.plan")).unwrap();
    let lines: Vec<Value> = plan.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [head, target, checksum] = &lines[..] else { panic!("{plan}") };
    section(out, "--plan-out FILE, the first line", Vec::new(), head.clone());
    section(out, "--plan-out FILE, a line for each target", Vec::new(), target.clone());
    section(out, "--plan-out FILE, the last line", Vec::new(), checksum.clone());
    printed(out, "sen apply FILE, and every other act", &["apply", "take-over.plan", "--yes"], run, 0);
    printed(out, "sen op list", &["op", "list"], run, 0);
    let operation = head["plan"]["operation"].as_str().unwrap();
    // Nobody has settled the key yet.
    printed(out, "sen op show OP", &["op", "show", operation], run, 8);
    printed(out, "sen wait op OP", &["wait", "op", operation, "--timeout", "300ms"], run, 8);
    printed(out, "sen op clean", &["op", "clean", "--older-than", "1ms", "--dry-run"], run, 0);
    printed(out, "sen report KEY", &["report", "payments:order-7731"], run, 0);
}

/// What is written line by line: letters as they are kept, and a dashboard in a pipe.
fn lines(folder: &Path, out: &mut String) {
    let run = |words: &[&str]| sen(words).cwd(folder).database("sqlite:sen-demo.db");
    let parsed = |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let letters = run(&["dlq", "export", "--all"]).run().expect_code(0).stdout;
    section(out, "sen dlq export", Vec::new(), Value::Array(parsed(&letters)));
    let watch = run(&["watch", "-o", "jsonl"]).start();
    watch.wait_until("a line of watch", |text| text.contains('\n'));
    watch.signal(Signal::INT);
    section(out, "sen watch -o jsonl", Vec::new(), Value::Array(parsed(&watch.finish().stdout)));
}

/// Databases that have a name.
fn contexts(folder: &Path, out: &mut String) {
    let own = folder.join("own");
    std::fs::create_dir(&own).unwrap();
    let text =
        "[context.demo]\ndatabase_url = \"sqlite:sen-demo.db\"\nworker_timezone = \"Europe/Berlin\"\nmax_targets = 5\n";
    std::fs::write(own.join(".sen.toml"), text).unwrap();
    let run = |words: &[&str]| sen(words).cwd(&own).run();
    printed(out, "sen context list", &["context", "list"], run, 0);
    printed(out, "sen context show NAME", &["context", "show", "demo"], run, 0);
}

fn document() -> String {
    let folder = tempfile::tempdir().unwrap();
    let demo = |words: &[&str]| sen(words).cwd(folder.path()).database("sqlite:sen-demo.db").run();
    demo(&["demo"]).expect_code(0);
    let mut sections = String::new();
    for (title, args, code) in COMMANDS {
        printed(&mut sections, title, args, demo, *code);
    }
    let redis = redis::Options::new().tcp().start();
    load_all(&redis);
    for (title, args, code) in AGENTS {
        printed(&mut sections, title, args, |words| sen(words).database(&redis.url()).run(), *code);
    }
    lines(folder.path(), &mut sections);
    contexts(folder.path(), &mut sections);
    operations(folder.path(), &mut sections);
    let own: Vec<String> = OWN_FORMATS.iter().map(|command| format!("`sen {command}`")).collect();
    let told = |command: &str| {
        own.contains(&format!("`sen {command}`"))
            || sections.lines().any(|line| {
                let title = line.strip_prefix("## `sen ").and_then(|title| title.strip_prefix(command));
                title.is_some_and(|rest| rest.starts_with(['`', ' ', ',']))
            })
    };
    let all: Vec<String> = commands(&[]).iter().map(|words| words.join(" ")).collect();
    let leaf = |command: &&String| !all.iter().any(|other| other.starts_with(&format!("{command} ")));
    let acts: Vec<&String> = all.iter().filter(leaf).filter(|command| !told(command)).collect();
    for act in &acts {
        let help = sen(act.split(' ').chain(["--help"])).run().expect_code(0).stdout;
        let dry = help.contains("--dry-run") || NEVER_DRY.contains(&act.as_str());
        assert!(dry, "`sen {act}` is no act: what it prints belongs on docs/json.md");
    }
    let acts: Vec<String> = acts.iter().map(|act| format!("`sen {act}`")).collect();
    format!(
        "# JSON output\n\n\
        Commands that show something take `-o json` (one document), and lists also `-o jsonl` (one object per line, streamed) and `-o csv`.\n\
        Times are RFC 3339 in UTC; 64-bit numbers that can pass 2^53 (tokens, event ids) are strings; what is not there is `null`; adding a\n\
        field is no break, removing one is. Errors are `{{\"error\": {{\"code\", \"message\", \"hint\", \"causes\", \"sqlstate\"}}}}` on stderr.\n\n\
        These have formats of their own: {}.\n\n\
        Acts all answer alike, with `--dry-run` and without; see `an act with --dry-run` and `sen apply FILE` below. They are\n{}.\n\n\
        This page is generated and compared by the tests: the fields of lists from their columns, the others and all types from what the\n\
        commands print on the demo (`sen demo`), and for `sen agent` on a Redis of the real system. A type that never occurs there is not\n\
        listed. `[]` stands for the elements of an array.\n\n\
        `next` is what to type next, everywhere of one shape. Commands with the same `step` are alternatives: one of them is taken, and the\n\
        first is the recommended one; steps follow one another by their numbers; a command without a step (`null`) only shows more.\n{sections}",
        own.join(", "),
        acts.join(", "),
    )
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
