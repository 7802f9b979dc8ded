//! The rules of the house that no compiler checks: which floor imports which, who may touch a stream, what opens a file.

mod advisories;
mod dependencies;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use rules::breaches;

/// Every Rust file below `src`, with its path from there.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path: PathBuf = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("it lies below src").to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(&path).expect("a source file is text")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_house_stands() {
    let sources = sources();
    assert!(sources.len() > 10, "the sources were not found");
    let found: Vec<String> = sources.iter().flat_map(|(path, text)| breaches(path, text)).collect();
    assert!(found.is_empty(), "breaches of the house rules:\n{}", found.join("\n"));
}

/// Each planted breach, and how many there are in it.
#[test]
fn planted_breaches_are_seen() {
    for (path, text, count) in [
        ("core/error.rs", "use crate::model::plan::Plan;", 1),
        ("core/model/plan.rs", "use crate::system::System;", 1),
        ("core/model/plan.rs", "use crate::{error::Error, stores::url, ops};", 2),
        ("core/model/plan.rs", "use crate::{\n    error::Error,\n    systems::{\n        sentinel,\n    },\n};", 1),
        ("core/permit.rs", "pub(crate) use crate::ops::inspect as look;", 1),
        ("core/stores/postgres.rs", "use crate::systems::sentinel::port::LeaseStore;", 1),
        ("core/stores/postgres.rs", "fn f() { crate::registry::open() }", 1),
        ("core/stores/postgres.rs", "use super::super::systems::sentinel;", 1),
        ("core/stores.rs", "use super::registry;", 1),
        ("core/systems/sentinel/record.rs", "use crate::systems::stent::record::Task;", 1),
        ("core/systems/sentinel/record.rs", "use super::super::stent::record::Task;", 1),
        ("core/systems/sentinel.rs", "use super::stent;", 1),
        ("core/systems/sentinel/verdict.rs", "use tokio_postgres::Row;", 1),
        ("core/systems/sentinel/remedy.rs", "pub async fn plan() {}", 1),
        ("core/systems/sentinel/remedy.rs", "async\nfn plan() {}\nlet x = rusqlite::Connection::open(p);", 2),
        ("core/systems/sentinel/postgres.rs", "client.query_typed(&format!(\"SELECT {x}\"), &[])", 2),
        ("core/systems/sentinel/postgres.rs", "client.query_typed(LOOK.as_str(), &[])", 1),
        ("core/systems/sentinel/postgres.rs", "client.batch_execute(RAISE)", 1),
        ("core/systems/sentinel/postgres.rs", "client\n  .prepare_typed(\n  \"SELECT now()\", &[])", 1),
        ("core/systems/sentinel/postgres.rs", "client\n  .execute(\n  &format!(\"x\"), &[])", 1),
        ("core/systems/sentinel/sqlite.rs", "connection.prepare(format!(\"x\").as_str())", 1),
        ("cli/commands/list.rs", "let out = std::io::stdout();", 1),
        ("cli/app.rs", "io::stderr().lock()", 1),
        ("core/ops/list.rs", "use std::io::stdout;", 1),
        ("core/ops/list.rs", "NextCommand::new(&[\"sen\", \"inspect\", &id], why)", 1),
    ] {
        let found = breaches(path, &format!("//! Planted.\n\n{text}\n"));
        assert_eq!(found.len(), count, "{path}: {text}\n{found:?}");
    }
    assert_eq!(breaches("cli/app.rs", "use std::fmt;\n").len(), 1, "a file without `//!`");
}

#[test]
fn what_is_allowed_passes() {
    for (path, text) in [
        ("core/model/plan.rs", "use crate::{error::Error, time};\nuse super::subject::Subject;"),
        ("core/permit.rs", "use crate::model::plan::Plan;"),
        ("core/stores/postgres.rs", "use super::url::Url;\nuse crate::secret::Secret;"),
        (
            "core/systems/sentinel/postgres.rs",
            "use super::record::Lease;\nuse crate::stores::postgres::Session;\nuse tokio_postgres::Row;",
        ),
        (
            "core/systems/sentinel/postgres.rs",
            "client.query_typed(SELECT.for_postgres(), &[]).map_err(|e| format!(\"{e}\"))",
        ),
        (
            "core/systems/sentinel/verdict.rs",
            "// never async, no tokio\nlet text = \"async tokio\";\n#[cfg(test)]\nmod tests { use super::*; }",
        ),
        ("core/registry.rs", "use crate::systems::{sentinel, stent};"),
        ("core/ops/list.rs", "use crate::registry::Registry;"),
        ("core/lib.rs", "pub mod ops;"),
        ("cli/screen.rs", "let out = std::io::stdout();"),
        ("cli/progress.rs", "let out = std::io::stderr();"),
        ("cli/app.rs", "/// Prints to stdout().\nfn app() {}"),
    ] {
        assert_eq!(breaches(path, &format!("//! Fine.\n\n{text}\n")), Vec::<String>::new(), "{path}: {text}");
    }
}

/// The names of the rules of `sen why`, with the file each stands in.
fn rules_of_why() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, text) in
        sources().into_iter().filter(|(path, _)| path.ends_with("/why.rs") && path.starts_with("core/systems/"))
    {
        let rules = text.split("#[cfg(test)]").next().unwrap_or_default();
        let makers = ["Cause::new(", "Cause::stated(", "Cause::likely("];
        for call in makers.iter().flat_map(|maker| rules.split(*maker).skip(1)) {
            // A rule that is given its name by a variable is found by another call, or is not one.
            if let Some(name) = call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                found.push((name.to_owned(), path.clone()));
            }
        }
    }
    found
}

/// A rule that no scenario expects could be wrong without anybody noticing, and one that is not listed is not found.
#[test]
fn every_rule_of_why_is_listed_and_has_a_scenario() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("it is text");
    let mut scenarios = String::new();
    for folder in ["acts", "agent", "exec", "saga"] {
        for entry in fs::read_dir(root.join("tests").join(folder)).expect("the folder is there") {
            scenarios.push_str(&fs::read_to_string(entry.expect("it is listed").path()).expect("it is text"));
        }
    }
    for (path, text) in sources().into_iter().filter(|(path, _)| path.contains("/why")) {
        let inline = text.split_once("#[cfg(test)]").map(|(_, tests)| tests.to_owned());
        scenarios.extend(if path.ends_with("/tests.rs") { Some(text) } else { inline });
    }
    let rules = rules_of_why();
    assert!(rules.len() > 40, "the rules were not found");
    for (rule, path) in rules {
        assert!(listed.contains(&format!("`{rule}`")), "{rule} of {path} is not in ARCHITECTURE.md");
        let expected = scenarios.contains(&format!("\"{rule}\"")) || scenarios.contains(&format!(" {rule}\""));
        assert!(expected, "no scenario expects {rule} of {path}");
    }
}

/// Words of what no row states. A cause that says one of them is likely at most.
const ABSENCES: [&str; 8] =
    ["nobody", "no worker", "no one", "no poll", "never", "worker ended", "worker has ended", "is gone"];

/// The string literals of a piece of source.
fn literals(source: &str) -> Vec<&str> {
    source.split('"').skip(1).step_by(2).collect()
}

/// The functions in `source` that state a cause and have a literal that claims an absence.
fn stated_absences(source: &str) -> Vec<String> {
    let claims = |text: &str| {
        let text = text.to_lowercase();
        ABSENCES.iter().any(|absence| text.contains(absence))
    };
    source
        .split("\nfn ")
        .skip(1)
        .filter(|function| function.contains("Cause::stated("))
        .filter(|function| literals(function).into_iter().any(|text| text.contains(' ') && claims(text)))
        .map(|function| function.split(['(', '<']).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn nothing_that_no_row_states_is_called_proven() {
    let planted = "\nfn f() { Cause::stated(\"f\", &[\"t.c\"], s, \"no worker polls it\") }\nfn g() { Cause::likely(\"g\", s, \"never\") }";
    assert_eq!(stated_absences(planted), ["f"]);
    for (path, text) in sources() {
        let own = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert_eq!(stated_absences(own), Vec::<String>::new(), "{path}: say it with Cause::likely");
    }
}
