//! What was typed and cannot be run: help, versions and errors of usage, in the form that was asked for.

use std::ffi::OsString;

use clap::{Command, ValueEnum as _};
use sen_core::error::Error;
use sen_core::model::verdict::shell_word;

use crate::exit::Exit;
use crate::help;
use crate::output::Format;
use crate::screen::Screen;

/// What clap says: help and version go to stdout and end well; everything else clap says is a usage error.
pub fn say(error: &clap::Error, arguments: &[OsString], root: Command, screen: &Screen) -> Exit {
    use clap::error::ErrorKind as Clap;
    let rendered = match error.kind() {
        Clap::DisplayHelp | Clap::DisplayHelpOnMissingArgumentOrSubcommand => helped(arguments, root.clone()),
        _ => error.render().to_string(),
    };
    match error.kind() {
        Clap::DisplayHelp | Clap::DisplayVersion => match screen.print(rendered) {
            Ok(()) => Exit::Done,
            Err(error) => screen.fault(&error, Format::Table),
        },
        // No subcommand: the whole help.
        Clap::DisplayHelpOnMissingArgumentOrSubcommand if !wants_json(arguments) => {
            screen.advise(&rendered);
            exit(arguments, &root)
        }
        _ if wants_json(arguments) => {
            let message = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            screen.fault(&Error::usage(message).with_hint("sen --help"), Format::Json);
            exit(arguments, &root)
        }
        _ => {
            screen.usage(&rendered);
            exit(arguments, &root)
        }
    }
}

/// The help of the command that the arguments name: on one screen, or at length with `--help`.
fn helped(arguments: &[OsString], root: Command) -> String {
    let typed: Vec<&str> = arguments.iter().skip(1).filter_map(|argument| argument.to_str()).collect();
    let mut built = root.clone();
    built.build();
    let (mut at, mut words) = (&built, Vec::new());
    for word in typed.iter().take_while(|word| **word != "--") {
        if let Some(inner) = at.find_subcommand(word) {
            words.push(inner.get_name().to_owned());
            at = inner;
        }
    }
    let long = typed.contains(&"--help");
    help::text(root, &words, long).unwrap_or_else(|error| error.to_string())
}

/// `once` stands between a script and its command, whose codes are its own: it fails with 125 before the start.
pub fn exit(arguments: &[OsString], root: &Command) -> Exit {
    let mut words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    let command = words.find(|word| root.find_subcommand(word).is_some());
    if command == Some("once") { Exit::NotStarted } else { Exit::Usage }
}

/// Whether the arguments ask for JSON, for the errors that stop them from being parsed.
fn wants_json(arguments: &[OsString]) -> bool {
    let texts: Vec<&str> =
        arguments.iter().filter_map(|argument| argument.to_str()).take_while(|text| *text != "--").collect();
    let format =
        |value: &str| Format::from_str(value, false).is_ok_and(|format| matches!(format, Format::Json | Format::Jsonl));
    texts.windows(2).any(|pair| matches!(pair[0], "-o" | "--output") && format(pair[1]))
        || texts.iter().any(|text| {
            text.strip_prefix("--output=")
                .or_else(|| text.strip_prefix("-o="))
                .or_else(|| text.strip_prefix("-o"))
                .is_some_and(format)
        })
}

/// What only connecting needs, with a value.
const CONNECTING: [&str; 4] = ["--database-url", "--redis-url", "--password-command", "--redis-password-command"];

/// The command as it was typed, without what makes it repeat or what only connecting needs.
pub fn title(arguments: &[OsString]) -> String {
    let mut words = vec!["sen".to_owned()];
    let mut typed = arguments.iter().skip(1);
    while let Some(word) = typed.next() {
        let word = word.to_string_lossy();
        let (name, joined) = word.split_once('=').map_or((&*word, false), |(name, _)| (name, true));
        if CONNECTING.contains(&name) {
            if !joined {
                typed.next();
            }
        } else if name != "--watch" {
            words.push(shell_word(&word));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognised_before_parsing() {
        let wants = |words: &[&str]| wants_json(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(
            wants(&["sen", "-o", "json", "nope"])
                && wants(&["sen", "nope", "--output=jsonl"])
                && wants(&["sen", "-ojson"])
        );
        assert!(
            !wants(&["sen", "nope"])
                && !wants(&["sen", "inspect", "--", "-o", "json"])
                && !wants(&["sen", "-o", "csv"])
        );
    }
}
