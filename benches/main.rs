//! `sen` beside those that do the same: psql, SQLite's program, the original tools. `cargo bench` runs every part, `cargo bench
//! -- leases growth` these. Nothing here is a test: no run fails for being slow. See README.md.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its numbers")]

#[path = "../tests/harness/mod.rs"]
mod harness;

mod agents;
mod executions;
mod growth;
mod leases;
mod letters;
mod meter;
mod once;
mod sets;

/// A part and what it runs.
const PARTS: [(&str, fn()); 7] = [
    ("leases", leases::run),
    ("executions", executions::run),
    ("agents", agents::run),
    ("once", once::run),
    ("letters", letters::run),
    ("sets", sets::run),
    ("growth", growth::run),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts benchmarks too, without this word.
    if !words.iter().any(|word| word == "--bench") {
        println!("run `cargo bench`");
        return;
    }
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|word| PARTS.iter().all(|(name, _)| name != **word)) {
        println!("no part {unknown}; there are {}", PARTS.map(|(name, _)| name).join(", "));
        return;
    }
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            run();
        }
    }
    println!("\nload after: {}", meter::load());
}
