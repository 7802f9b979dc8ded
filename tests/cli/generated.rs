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

/// The commands as `sen --help` lists them.
fn commands() -> Vec<String> {
    let help = sen(["--help"]).run().expect_code(0).stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    list.lines()
        .take_while(|line| !line.is_empty())
        // Deeper lines go on with a description.
        .filter(|line| !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[test]
fn manual_pages_are_fresh_and_complete() {
    compare("man/sen.1", &["man"]);
    let commands = commands();
    assert!(commands.len() >= 9, "{commands:?}");
    for command in &commands {
        compare(&format!("man/sen-{command}.1"), &["man", command]);
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = name == "sen.1" || commands.iter().any(|command| name == format!("sen-{command}.1"));
        assert!(known, "man/{name} belongs to no command");
    }
}

#[test]
fn the_readme_has_the_table_of_exit_codes() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let table = sen(["help", "exit-codes"]).run().expect_code(0).stdout;
    for line in table.lines().skip(2) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(readme.contains(&format!("| {code} | {meaning} |")), "README.md lacks: | {code} | {meaning} |");
    }
}
