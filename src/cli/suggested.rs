//! Tests of suggested commands: each must parse and name exactly what was meant, after a real shell has read it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sen_core::model::verdict::NextCommand;

use crate::app::App;

/// The positional arguments of the innermost command, as clap took them.
fn positionals(words: &[String]) -> Result<Vec<String>, clap::Error> {
    let mut command = App::command();
    command.build();
    let mut matches = &command.try_get_matches_from_mut(words)?;
    let mut command = &command;
    while let Some((name, inner)) = matches.subcommand() {
        command = command.find_subcommand(name).expect("clap matched it");
        matches = inner;
    }
    let values =
        command.get_positionals().filter_map(|argument| {
            matches.try_get_raw(argument.get_id().as_str()).ok().flatten().map(|raw| {
                raw.map(|value| value.to_str().expect("it came from a String").to_owned()).collect::<Vec<_>>()
            })
        });
    Ok(values.flatten().collect())
}

/// The words that `shell` makes of each line.
fn split(shell: &str, lines: &[String]) -> Vec<Vec<String>> {
    let mut script = String::from("sen() { printf '%s\\0' sen \"$@\"; printf '\\1\\0'; }\n");
    for line in lines {
        script += line;
        script.push('\n');
    }
    let mut child = Command::new(shell).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found = vec![Vec::new()];
    for word in text.split_terminator('\0') {
        if word == "\u{1}" {
            found.push(Vec::new());
        } else {
            found.last_mut().unwrap().push(word.to_owned());
        }
    }
    found.pop();
    found
}

fn shells() -> impl Iterator<Item = &'static str> {
    ["bash", "zsh"].into_iter().filter(|shell| {
        let found = Command::new(shell).args(["-c", "exit 0"]).stdin(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    })
}

fn hostile_ids() -> Vec<String> {
    let listed = [
        "--all",
        "-",
        "--",
        "-y",
        "--yes",
        "--database-url=x",
        "-o",
        "=ls",
        "~root",
        "*",
        "a b",
        "'",
        "\"",
        "$HOME",
        "$(id)",
        "`id`",
        "!!",
        "a;id",
        "a|id",
        "a&b",
        "<x",
        ">x",
        "#x",
        "\\",
        "orders:7\n",
        "orders:7\\n",
        "\\n",
        "\n",
        "\t",
        " ",
        "a\u{a0}b",
        "\u{202e}abc",
        "x\u{3164}",
        "{a,b}",
        "[a]",
        "a\\",
        "\u{1b}[2J",
        "注文",
        "é",
        "help",
        "list",
        "@file",
        "%1",
        "a\r",
        "!x\n",
    ];
    let one =
        prop_oneof![crate::clean::hostile(), "[-=~!$`'\"\\\\nrt{}a7: \n\t*?#@|&;<>()]{1,12}", "-{1,2}[a-z-]{1,10}"];
    let mut runner = TestRunner::deterministic();
    let random = (0..700).map(|_| one.new_tree(&mut runner).unwrap().current());
    let ids = listed.into_iter().map(str::to_owned).chain(random);
    // An argument cannot contain a NUL; the separator of this test's output is left out, too.
    ids.filter(|id| !id.is_empty() && !id.contains(['\0', '\u{1}'])).collect()
}

#[test]
fn a_suggestion_names_exactly_the_id_after_a_shell_has_read_it() {
    let ids = hostile_ids();
    let one: [&[&str]; 12] = [
        &["sen", "inspect"],
        &["sen", "history"],
        &["sen", "reconcile"],
        &["sen", "wait"],
        &["sen", "why"],
        &["sen", "dlq", "show"],
        &["sen", "dlq", "replay"],
        &["sen", "exec", "cancel"],
        &["sen", "saga", "retry"],
        &["sen", "saga", "outbox", "requeue"],
        &["sen", "agent", "show"],
        &["sen", "agent", "rate-limit", "get"],
    ];
    let command = |at: usize, id: &str| match at % (one.len() + 3) {
        at if at < one.len() => (NextCommand::new(one[at], "").id(id), vec![id.to_owned()]),
        at if at == one.len() => (
            NextCommand::new(&["sen", "dlq", "discard"], "").id(id).option_mark("--export", "file"),
            vec![id.to_owned()],
        ),
        at if at == one.len() + 1 => {
            let next = NextCommand::new(&["sen", "exec", "signal"], "").id("e1").id(id).mark("json");
            (next, ["e1", id, "‹json›"].map(str::to_owned).to_vec())
        }
        _ => (NextCommand::new(&["sen", "saga", "notify"], "").id(id).option("--type", id), vec![id.to_owned()]),
    };
    let all: Vec<_> = ids.iter().enumerate().map(|(at, id)| command(at, id)).collect();
    let lines: Vec<String> = all.iter().map(|(next, _)| next.command.clone()).collect();
    let mut tried = 0;
    for shell in shells() {
        let words = split(shell, &lines);
        assert_eq!(words.len(), lines.len(), "{shell} ran something else");
        for ((line, words), (_, want)) in lines.iter().zip(&words).zip(&all) {
            let got = positionals(words).unwrap_or_else(|error| panic!("{shell}: {line}\n{words:?}\n{error}"));
            assert_eq!(&got, want, "{shell}: {line}");
            assert_eq!(crate::clean::clean(line), line.as_str(), "a screen shows another command");
            tried += 1;
        }
    }
    assert!(tried >= 500, "no shell to try");
}

fn sources(folder: &Path, out: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("suggested.rs") {
            out.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Whether clap knows every word of it. What is left to the reader (`ID`, or nothing) is not a fault.
fn parses(words: &[String]) -> Result<(), String> {
    match App::command().try_get_matches_from(words) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::TooFewValues
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Ok(()),
            // Only the option was named.
            _ if error.to_string().contains("a value is required") => Ok(()),
            _ => Err(error.to_string()),
        },
    }
}

#[test]
fn every_command_in_the_sources_parses() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let new = regex::Regex::new(r"NextCommand::new\(\s*&\[([^\]]*)\]").unwrap();
    let chain = regex::Regex::new(
        r#"^\s*\.(id|mark|option|option_mark|with)\(\s*(?:&\[)?("[^"]*"|[^"\]),]*)?((?:,\s*"[^"]*")*)"#,
    )
    .unwrap();
    let quoted = regex::Regex::new(r"`(sen [^`]*)`").unwrap();
    let bare = regex::Regex::new(r#"(?:with_hint|with_remedy)\("(sen [^"]*)""#).unwrap();
    let literal = regex::Regex::new(r#""([^"]*)""#).unwrap();
    let (mut built, mut written) = (0, BTreeSet::new());
    for (path, text) in &files {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for found in new.captures_iter(code) {
            let list = &found[1];
            let mut words: Vec<String> = Vec::new();
            for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                match literal.captures(word) {
                    Some(text) => words.push(text[1].to_owned()),
                    // A state from a variable: any valid one.
                    None if words.last().is_some_and(|last| last == "--state") => {
                        words.push(if words[1] == "list" { "uncertain" } else { "failed" }.into());
                    }
                    None if words.last().is_some_and(|last| last == "--system") => words.push("saga".into()),
                    // A number: any value is valid.
                    None if words.last().is_some_and(|last| last.starts_with("--")) => words.push("1".into()),
                    // The verb comes from a variable.
                    None => words.clear(),
                }
            }
            if words.first().is_none_or(|word| word != "sen") || words.len() < 2 {
                continue;
            }
            // The calls chained to it.
            let mut rest = &code[found.get(0).unwrap().end()..];
            rest = rest.find(')').map_or("", |at| &rest[at + 1..]);
            while let Some(more) = chain.captures(rest) {
                match &more[1] {
                    "id" | "mark" => words.push("x1".into()),
                    "option" | "option_mark" => words.extend([more[2].trim_matches('"').to_owned(), "1m".into()]),
                    _ => words.extend(literal.captures_iter(&more[0]).map(|text| text[1].to_owned())),
                }
                rest = &rest[more.get(0).unwrap().end()..];
                rest = rest.find(')').map_or("", |at| &rest[at + 1..]);
            }
            parses(&words).unwrap_or_else(|error| panic!("{path}: {words:?}\n{error}"));
            built += 1;
        }
        for found in quoted.captures_iter(text).chain(bare.captures_iter(text)) {
            let line = found[1].split("  #").next().unwrap_or_default().to_owned();
            let prose = line.contains(['{', '…', '|', ';', '\n']) || line.starts_with("sen __");
            if !prose {
                written.insert((path.clone(), line));
            }
        }
    }
    for (path, line) in &written {
        let words: Vec<String> =
            line.split_whitespace().map(|word| if word == "SHELL" { "bash" } else { word }.to_owned()).collect();
        parses(&words).unwrap_or_else(|error| panic!("{path}: `{line}`\n{error}"));
    }
    assert!(built >= 40 && written.len() >= 40, "{built} built, {} written", written.len());
}
