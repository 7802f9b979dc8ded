//! The committed completions and manual pages are what the binary prints. `SEN_TEST_ACCEPT=1` writes them anew.

use std::fs;
use std::path::Path;

use crate::harness::sen::sen;

fn compare(file: &str, args: &[&str]) {
    let fresh = sen(args).run().expect_code(0).stdout;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("SEN_TEST_ACCEPT").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == fresh, "{file} is stale: SEN_TEST_ACCEPT=1 cargo test --test cli generated");
}

#[test]
fn completions_are_fresh() {
    for (shell, file) in [
        ("bash", "completions/sen.bash"),
        ("zsh", "completions/_sen"),
        ("fish", "completions/sen.fish"),
        ("powershell", "completions/_sen.ps1"),
        ("elvish", "completions/sen.elv"),
    ] {
        compare(file, &["completions", shell]);
    }
}

/// The commands below `words`, as its help lists them.
pub fn commands(words: &[String]) -> Vec<Vec<String>> {
    let words_and_help: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    let help = sen(words_and_help).run().expect_code(0).stdout;
    // The root has its commands in groups.
    let list = match help.split_once(if words.is_empty() { "Look:\n" } else { "Commands:\n" }) {
        Some((_, list)) if words.is_empty() => list.split_once("Examples:").unwrap().0,
        Some((_, list)) => list.split_once("\n\n").unwrap().0,
        None => return Vec::new(),
    };
    list.lines()
        .filter(|line| line.starts_with("  "))
        // Deeper lines go on with a description.
        .filter(|line| !line.starts_with("   "))
        .map(|line| [words, &[line.split_whitespace().next().unwrap().to_owned()]].concat())
        .flat_map(|command| [vec![command.clone()], commands(&command)].concat())
        .collect()
}

#[test]
fn manual_pages_are_fresh_and_complete() {
    compare("man/sen.1", &["man"]);
    let commands = commands(&[]);
    assert!(commands.len() >= 50, "{commands:?}");
    // The name of a page names it, too, and every first help fits a screen of 80 columns and 24 lines.
    assert_eq!(sen(["man", "dlq-replay"]).run().stdout, sen(["man", "dlq", "replay"]).run().stdout);
    for command in commands.iter().chain([&Vec::new()]) {
        let words = command.iter().map(String::as_str).chain(["-h"]);
        let help = sen(words).env("COLUMNS", "80").run().expect_code(0).stdout;
        let wide = help.lines().filter(|line| line.chars().count() > 80 && !line.starts_with("  sen "));
        assert_eq!((help.lines().count().max(24), wide.count()), (24, 0), "{command:?}:\n{help}");
        assert!(help.contains("sen help options"), "{help}");
    }
    let page = |words: &[String]| format!("sen-{}.1", words.join("-"));
    for command in &commands {
        let words: Vec<&str> = ["man"].into_iter().chain(command.iter().map(String::as_str)).collect();
        let file = format!("man/{}", page(command));
        compare(&file, &words);
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        assert!(text.contains(".SH EXAMPLES\n.nf\n"), "{file} has no examples");
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = name == "sen.1" || commands.iter().any(|command| name == page(command));
        assert!(known, "man/{name} belongs to no command");
    }
}

#[test]
fn the_readme_has_the_table_of_exit_codes() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    // A long meaning goes on in the next line.
    let table = sen(["help", "exit-codes"]).run().expect_code(0).stdout.replace("\n      ", " ");
    for line in table.lines().skip(2) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(readme.contains(&format!("| {code} | {meaning} |")), "README.md lacks: | {code} | {meaning} |");
    }
}
