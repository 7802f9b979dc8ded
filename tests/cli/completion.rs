//! Completion of live values: what the program answers, what bash makes of it, and where the script is put.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::harness::patience::until;
use crate::harness::postgres::{Database, Server};
use crate::harness::sen::{SEN, sen};

fn leases() -> Database<'static> {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status) SELECT key, 'o', now(), 'completed' FROM unnest(ARRAY[
            'payments:order-1', 'payments:order-2', 'payments:it''s $HOME', 'mail:a', 'mail:b', 'plain', E'evil\\x1b[2J', E'evil\\nnewline']) AS key",
    );
    database
}

/// The lines the program answers to these words, the last of which is being typed.
fn answered(url: &str, words: &[&str], patiently: Option<&str>) -> Vec<String> {
    let index = (words.len() - 1).to_string();
    let args = [&["__complete", "zsh", &index, "--"], words].concat();
    let output = patiently.iter().fold(sen(&args).database(url), |run, name| run.env(name, "1")).run().expect_code(0);
    assert_eq!(output.stderr, "");
    output.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

/// In the time that a completion may take.
fn offered(url: &str, words: &[&str]) -> Vec<String> {
    answered(url, words, None)
}

/// Gives a completion as long as it takes, in a build that has this switch.
const PATIENTLY: &str = "SEN_DEBUG_PATIENCE";

/// The same where something is to be offered. Without the switch its time can be over on a slow machine before the database has
/// answered: it then says nothing, as it should, and the next try may fare better.
fn offered_in_time(url: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    until(&format!("an answer in time to {words:?}"), || {
        found = answered(url, words, Some(PATIENTLY));
        !found.is_empty()
    });
    found
}

#[test]
fn live_values_are_offered_where_they_belong() {
    let database = leases();
    let url = database.url();
    let nothing = |words: &[&str]| assert_eq!(offered(&url, words), Vec::<String>::new());
    let offered = |words: &[&str]| offered_in_time(&url, words);
    assert_eq!(offered(&["sen", "inspect", "payments:o"]), ["payments:order-1", "payments:order-2"]);
    for command in ["history", "reconcile", "release", "forget", "wait", "once"] {
        assert_eq!(offered(&["sen", command, "pl"]), ["plain"], "{command}");
    }
    assert_eq!(offered(&["sen", "list", "-n", ""]), ["mail", "payments"]);
    assert_eq!(offered(&["sen", "list", "--namespace=pa"]), ["--namespace=payments"]);
    assert_eq!(offered(&["sen", "list", "--state", "unc"]), ["uncertain"]);
    assert_eq!(offered(&["sen", "list", "--state", "free,al"]), ["free,alive"]);
    assert_eq!(offered(&["sen", "inspect", "--", "ma"]), ["mail:a", "mail:b"]);
    // Keys that no terminal should be handed are not offered; nor are options, until one is begun.
    nothing(&["sen", "inspect", "ev"]);
    until("keys, and no options", || !offered(&["sen", "inspect", ""]).iter().any(|word| word.starts_with('-')));
    assert!(offered(&["sen", "inspect", "--ev"]).contains(&"--events".to_owned()));
    assert!(offered(&["sen", "sta"]).contains(&"status".to_owned()));
    // The database named on the line is the one asked.
    let other = Server::shared().fresh_database();
    nothing(&["sen", "--database-url", &other.url(), "inspect", "pl"]);
}

#[test]
fn at_most_fifty_come_and_only_what_begins_so() {
    let database = leases();
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, status)
         SELECT 'bulk:' || n, 'o', now(), 'completed' FROM generate_series(1, 5000) AS n",
    );
    let many = offered_in_time(&database.url(), &["sen", "inspect", "bulk:1"]);
    assert_eq!(many.len(), 50);
    assert!(many.iter().all(|key| key.starts_with("bulk:1")));
    assert_eq!(offered_in_time(&database.url(), &["sen", "inspect", "plai"]), ["plain"]);
}

#[test]
fn where_the_database_is_away_nothing_is_said() {
    // Takes connections and never answers: without a limit this would not end.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent_url = format!("postgresql://u@{}/db", silent.local_addr().unwrap());
    let empty = Server::shared().fresh_database();
    for url in [&silent_url, "postgresql://u@127.0.0.1:1/db", "sqlite:/none/such.db", "nonsense://", "", &empty.url()] {
        assert_eq!(offered(url, &["sen", "inspect", "p"]), Vec::<String>::new(), "{url}");
    }
    for args in [
        &["__complete"][..],
        &["__complete", "tcsh", "1", "--", "sen"],
        &["__complete", "bash", "x", "--", "sen"],
        &["__complete", "bash", "99999999999", "--", "sen"],
        &["__complete", "bash", "18446744073709551615", "--", "sen"],
    ] {
        let output = sen(args).run().expect_code(0);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""), "{args:?}");
    }
}

/// What bash would put in place of the word before the cursor. Words are taken apart as bash does.
fn bash(url: &str, line: &str, words: &[&str]) -> String {
    let script = format!(
        "source <('{SEN}' completions bash)\nCOMP_LINE=$1; COMP_POINT=${{#1}}; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
         _sen '{SEN}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let mut command = Command::new("bash");
    command
        .args(["--norc", "--noprofile", "-c", &script, "bash", line])
        .args(words)
        .env("DATABASE_URL", url)
        .env(PATIENTLY, "1");
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

/// The same where something is to be offered, as with [`offered_in_time`].
fn bash_in_time(url: &str, line: &str, words: &[&str]) -> String {
    let mut found = String::new();
    until(&format!("an answer in time to {line}"), || {
        found = bash(url, line, words);
        found != "\n"
    });
    found
}

#[test]
fn bash_gets_the_part_behind_the_last_colon() {
    let database = leases();
    let nothing = bash(&database.url(), "sen inspect 'payments:it", &["sen", "inspect", "'payments:it"]);
    assert_eq!(nothing, "\n");
    let bash = |line: &str, words: &[&str]| bash_in_time(&database.url(), line, words);
    assert_eq!(
        bash("sen inspect pay", &["sen", "inspect", "pay"]),
        "payments:it\\'s\\ \\$HOME\npayments:order-1\npayments:order-2\n"
    );
    assert_eq!(bash("sen inspect payments:o", &["sen", "inspect", "payments", ":", "o"]), "order-1\norder-2\n");
    assert_eq!(bash("sen inspect mail:", &["sen", "inspect", "mail", ":"]), "a\nb\n");
    assert_eq!(bash("sen list --state=unc", &["sen", "list", "--state", "=", "unc"]), "uncertain\n");
    // A key with a backslash, and one that was begun in quotes, within which bash takes nothing apart.
    let words = ["sen", "inspect", "payments", ":", "it\\'s\\ "];
    assert_eq!(bash("sen inspect payments:it\\'s\\ ", &words), "it\\'s\\ \\$HOME\n");
    assert_eq!(bash("sen inspect \"payments:it", &["sen", "inspect", "\"payments:it"]), "payments:it's \\$HOME\n");
    assert_eq!(bash("sen inspect 'mail:", &["sen", "inspect", "'mail:"]), "mail:a\nmail:b\n");
}

#[test]
fn the_script_is_put_where_the_shell_looks() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let args = [&["completions"], args].concat();
        sen(args).env("HOME", home.path()).env("SHELL", "/bin/bash").run()
    };
    let said = run(&["--install"]).expect_code(0).stdout;
    let path = home.path().join(".local/share/bash-completion/completions/sen");
    assert!(said.starts_with(&format!("wrote {}\n", path.display())), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), run(&["bash"]).expect_code(0).stdout);
    assert!(run(&["--install", "bash"]).expect_code(0).stdout.starts_with("already there"));
    let said = run(&["--install", "zsh"]).expect_code(0).stdout;
    assert!(said.contains("add to ~/.zshrc") && said.contains("fpath="), "{said}");
    run(&["--install", "fish"]).expect_code(0);
    assert!(home.path().join(".config/fish/completions/sen.fish").is_file());
    fs::write(&path, "somebody's own\n").unwrap();
    let refused = run(&["--install"]).expect_code(7);
    assert!(refused.stderr.contains("was not written by sen"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's own\n");
    run(&["--install", "--yes"]).expect_code(0);
    assert!(fs::read_to_string(&path).unwrap().contains("__complete"));
    run(&["--install", "elvish"]).expect_code(2);
    run(&["--install", "--read-only"]).expect_code(7);
    run(&[]).expect_code(2);
}
