//! The rules of the house that no compiler checks: no circles between files, who may touch a stream, how statements are sent,
//! what a use case may read, where documents lead.

mod advisories;
mod circles;
mod dependencies;
mod links;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use circles::circles;
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
        ("systems/sentinel/verdict.rs", "use tokio_postgres::Row;", 1),
        ("systems/sentinel/rules.rs", "pub async fn plan() {}", 1),
        ("systems/sentinel/rules.rs", "async\nfn plan() {}\nlet x = rusqlite::Connection::open(p);", 2),
        ("systems/sentinel/postgres.rs", "client.query_typed(&format!(\"SELECT {x}\"), &[])", 2),
        ("systems/sentinel/postgres.rs", "client.query_typed(LOOK.as_str(), &[])", 1),
        ("systems/sentinel/postgres.rs", "client.batch_execute(RAISE)", 1),
        ("systems/sentinel/postgres.rs", "client\n  .prepare_typed(\n  \"SELECT now()\", &[])", 1),
        ("systems/sentinel/postgres.rs", "client\n  .execute(\n  &format!(\"x\"), &[])", 1),
        ("systems/sentinel/sqlite.rs", "connection.prepare(format!(\"x\").as_str())", 1),
        ("cli/commands/list.rs", "let out = std::io::stdout();", 1),
        ("cli/app.rs", "io::stderr().lock()", 1),
        ("core/ops/list.rs", "use std::io::stdout;", 1),
        ("core/ops/list.rs", "NextCommand::new(&[\"sen\", \"inspect\", &id], why)", 1),
        ("core/ops/snapshot.rs", "columns.iter().position(|column| column.name == \"id\")", 1),
        ("systems/saga/handle.rs", "plans: Mutex<HashMap<OperationId, Kept>>", 1),
    ] {
        let found = breaches(path, &format!("//! Planted.\n\n{text}\n"));
        assert_eq!(found.len(), count, "{path}: {text}\n{found:?}");
    }
    assert_eq!(breaches("cli/app.rs", "use std::fmt;\n").len(), 1, "a file without `//!`");
}

#[test]
fn what_is_allowed_passes() {
    for (path, text) in [
        (
            "systems/sentinel/postgres.rs",
            "client.query_typed(SELECT.for_postgres(), &[]).map_err(|e| format!(\"{e}\"))",
        ),
        (
            "systems/sentinel/verdict.rs",
            "// never async, no tokio\nlet text = \"async tokio\";\n#[cfg(test)]\nmod tests { use super::*; }",
        ),
        ("cli/screen.rs", "let out = std::io::stdout();"),
        ("cli/progress.rs", "let out = std::io::stderr();"),
        ("cli/app.rs", "/// Prints to stdout().\nfn app() {}"),
    ] {
        assert_eq!(breaches(path, &format!("//! Fine.\n\n{text}\n")), Vec::<String>::new(), "{path}: {text}");
    }
}

/// The crates, as folders below `src`.
const CRATES: [&str; 8] =
    ["model/", "stores/", "systems/sentinel/", "systems/stent/", "systems/saga/", "systems/node/", "core/", "cli/"];

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let mut found = Vec::new();
    let mut files = 0;
    for folder in CRATES {
        let own: Vec<(String, String)> = sources
            .iter()
            .filter_map(|(path, text)| Some((path.strip_prefix(folder)?.to_owned(), text.clone())))
            .collect();
        files += own.len();
        found.extend(circles(&own).into_iter().map(|circle| format!("{folder}: {}", circle.join(" "))));
    }
    assert_eq!(files, sources.len(), "a crate is not in the list");
    assert!(found.is_empty(), "files that import each other in a circle:\n{}", found.join("\n"));
}

#[test]
fn planted_circles_are_seen() {
    let planted = |files: &[(&str, &str)]| {
        circles(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
    };
    let through_the_parent = [("lib.rs", "mod a;\nuse a::x;"), ("a.rs", "fn f() { super::y() }")];
    assert_eq!(planted(&through_the_parent), [["lib", "a"]]);
    let three = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::{b::{x, y}, d};"),
        ("b.rs", "use super::c::Z;"),
        ("c.rs", "fn f() { crate::a::g() }"),
    ];
    assert_eq!(planted(&three), [["a", "b", "c"]]);
    let none = [
        ("lib.rs", "mod a; mod b;\npub use a::X;"),
        ("a.rs", "use crate::b::Y;\n// crate::X\n#[cfg(test)]\nmod tests { use super::*; use crate::X; }"),
        ("b.rs", "mod tests;"),
        ("b/tests.rs", "use super::*;"),
    ];
    assert_eq!(planted(&none), Vec::<Vec<String>>::new());
}

/// The names of the rules of `sen why`, with the file each stands in.
fn rules_of_why() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let of_why = |path: &str| path.starts_with("systems/") && path.contains("/why") && !path.ends_with("/tests.rs");
    for (path, text) in sources().into_iter().filter(|(path, _)| of_why(path)) {
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
