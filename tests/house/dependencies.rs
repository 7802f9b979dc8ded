//! What this program is made of: licences, the registry they come from, and crates that are there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates that are there in two versions because others need them so; what is added here makes the program larger.
const TWICE: [&str; 10] = [
    "bitflags",
    "cfg_aliases",
    "fallible-iterator",
    "getrandom",
    "nix",
    "syn",
    "thiserror",
    "thiserror-impl",
    "wasi",
    "windows-sys",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The list of `deny.toml`.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).expect("it is text");
    let list = text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).expect("it has a list").0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a licence expression leaves a choice of allowed ones only.
fn fits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    let every = |term: &str| {
        let term = term.trim().trim_matches(['(', ')']);
        term.split(" OR ").any(|one| allowed.contains(one.trim().trim_matches(['(', ')'])))
    };
    expression.split(" AND ").all(every)
}

#[test]
fn every_dependency_has_an_allowed_licence_and_comes_from_the_registry() {
    let allowed = allowed();
    assert!(allowed.contains("MIT") && !fits("GPL-3.0", &allowed) && !fits("MIT AND GPL-3.0", &allowed), "{allowed:?}");
    assert!(fits("(MIT OR GPL-3.0) AND Unicode-3.0", &allowed) && fits("Unlicense/MIT", &allowed));
    let version = Command::new("rustc").arg("-vV").output().expect("rustc can be run").stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("it names its host").to_owned();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host])
        .current_dir(root())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let packages = told["packages"].as_array().expect("a list");
    assert!(packages.len() > 50, "the packages were not found");
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(licence) if fits(licence, &allowed) => {}
            licence => wrong.push(format!("{name}: licence {licence:?}")),
        }
        let source = package["source"].as_str();
        let own = package["manifest_path"].as_str().is_some_and(|path| Path::new(path).starts_with(root()));
        if !own && !source.is_some_and(|source| source.starts_with("registry+")) {
            wrong.push(format!("{name}: comes from {source:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_further_crate_is_there_twice() {
    let text = fs::read_to_string(root().join("Cargo.lock")).expect("it is text");
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for name in text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')) {
        *versions.entry(name).or_default() += 1;
    }
    let twice: BTreeSet<&str> = versions.iter().filter(|(_, count)| **count > 1).map(|(name, _)| *name).collect();
    let new: Vec<_> = twice.iter().filter(|name| !TWICE.contains(name)).collect();
    assert!(new.is_empty(), "there in several versions: {new:?} (`cargo tree -d`)");
}
