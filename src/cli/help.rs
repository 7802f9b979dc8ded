//! Help as it is shown: `-h` fits a screen of 24 lines, `--help` says everything, and what every command takes is said once.

use clap::Command;
use sen_core::error::{Error, Result};

use crate::args::EVERYWHERE;
use crate::commands;

/// The lines of a screen.
const SCREEN: usize = 24;
/// Examples that `-h` shows at most.
const EXAMPLES: usize = 3;
/// Options that `-h` shows for as long as it can.
const FIRST: [&str; 9] = ["all", "group", "state", "complete", "reset", "goal", "dry_run", "yes", "reason"];

/// Behind the options of a command.
const SHARED: &str = "Options for every command: -o json, --fields, --timeout, … (sen help options)";

const OF_ONE: &str = "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}";
const OF_ALL: &str = "{before-help}{about-with-newline}\n{usage-heading} {usage}{after-help}";

/// The help of the command that `words` name below `root`, at length or on one screen.
///
/// # Errors
/// `Usage` where there is no such command.
pub fn text(root: Command, words: &[String], long: bool) -> Result<String> {
    let mut root = grouped(root.mut_args(|arg| {
        let shared = arg.get_help_heading() == Some(EVERYWHERE);
        arg.hide(shared)
    }));
    root.build();
    if words.is_empty() {
        let help = if long { root.render_long_help() } else { root.render_help() };
        return Ok(help.to_string());
    }
    let parts = parts(&root, words);
    let command = command(&mut root, words)?.clone().help_template(OF_ONE);
    if !long {
        return Ok(brief(command, &parts));
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    Ok(command.after_long_help(format!("{SHARED}\n\n{after}")).render_long_help().to_string())
}

/// The options that every command takes, explained.
pub fn options(root: &Command) -> String {
    let shared = root.get_arguments().filter(|arg| arg.get_help_heading() == Some(EVERYWHERE)).cloned();
    let mut page = Command::new("sen")
        .args(shared.map(|arg| arg.global(false)))
        .disable_help_flag(true)
        .max_term_width(100)
        .help_template("Options that every command takes, before or behind its name.\n\n{all-args}\n");
    page.render_long_help().to_string()
}

/// The command that `words` name below `root`: `dlq replay`, or the name of its manual page, `dlq-replay`.
///
/// # Errors
/// `Usage` where there is no such command, with the one that may have been meant.
pub fn command<'a>(root: &'a mut Command, words: &[String]) -> Result<&'a mut Command> {
    let parts = parts(root, words);
    let mut at = root;
    for (place, word) in parts.iter().enumerate() {
        if at.find_subcommand(word).is_none() {
            let near = at
                .get_subcommands()
                .map(|one| (strsim::jaro_winkler(one.get_name(), word), one.get_name()))
                .filter(|(alike, _)| *alike > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let meant = near.map(|(_, name)| [&parts[..place], &[name.to_owned()]].concat().join(" "));
            let error = Error::usage(format!("there is no command {:?}", words.join(" ")));
            return Err(error.with_hint(match meant {
                Some(meant) => format!("did you mean `sen {meant}`?"),
                None => {
                    "`sen help` lists the commands; there are also `sen help options` and `sen help exit-codes`".into()
                }
            }));
        }
        at = at.find_subcommand_mut(word).ok_or_else(|| Error::usage("no such command"))?;
    }
    Ok(at)
}

/// Words as they name commands: a hyphen may stand between two of them, as in the name of a manual page.
pub fn parts(root: &Command, words: &[String]) -> Vec<String> {
    let mut at = Some(root);
    let mut out = Vec::new();
    for word in words.iter().map(|word| word.strip_prefix("sen-").unwrap_or(word)) {
        let mut rest = word;
        while !rest.is_empty() {
            // The longest name that fits: `rate-limit` holds a hyphen itself.
            let fits =
                |name: &&str| rest.strip_prefix(*name).is_some_and(|more| more.is_empty() || more.starts_with('-'));
            let name = at
                .into_iter()
                .flat_map(Command::get_subcommands)
                .map(Command::get_name)
                .filter(fits)
                .max_by_key(|name| name.len());
            let Some(name) = name else {
                out.push(rest.to_owned());
                break;
            };
            out.push(name.to_owned());
            at = at.and_then(|at| at.find_subcommand(name));
            rest = rest[name.len()..].trim_start_matches('-');
        }
    }
    out
}

/// The root with its commands in groups: their names, or at length a line for each.
fn grouped(root: Command) -> Command {
    let about = |name: &str| {
        root.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string).unwrap_or_default()
    };
    let (mut short, mut long) = (String::new(), String::new());
    for (group, names) in commands::groups() {
        short += &format!("{:<8} {}\n", format!("{group}:"), names.join(" "));
        long += &format!("{group}:\n");
        let one = |name| Command::new(name).about(about(name));
        let mut page = Command::new("sen").subcommands(names.into_iter().map(one)).disable_help_subcommand(true);
        page = page.max_term_width(100).help_template("{subcommands}");
        long += &format!("{}\n\n", page.render_help().to_string().trim_end());
    }
    let after = root.get_after_help().map(ToString::to_string).unwrap_or_default();
    root.help_template(OF_ALL)
        .after_help(format!("{short}\n{SHARED}\nA line for each command: sen --help\n\n{after}"))
        .after_long_help(format!(
            "{long}`ls` is short for `list`, and `get` for `show` and `inspect`.\n{SHARED}\n\n{after}"
        ))
}

/// The examples among what stands below a command's options.
fn examples(after: &str) -> Vec<&str> {
    after.lines().skip_while(|line| *line != "Examples:").skip(1).take_while(|line| line.starts_with("  ")).collect()
}

/// The help on one screen: what does not fit is named, and explained by `--help`.
fn brief(command: Command, words: &[String]) -> String {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = examples(&after);
    let mut hidden: Vec<String> = Vec::new();
    let mut most = EXAMPLES.min(examples.len());
    loop {
        let mut page = command.clone().mut_args(|arg| {
            let hide = arg.get_long().is_none_or(|long| long == "help" || hidden.iter().any(|name| name == long));
            // One heading for all leaves more lines to the options.
            if arg.is_positional() { arg } else { arg.hide_short_help(hide).help_heading(None::<&str>) }
        });
        let mut below = SHARED.to_owned();
        if !hidden.is_empty() {
            let names: Vec<String> = hidden.iter().rev().map(|name| format!("--{name}")).collect();
            below += &format!("\nMore options (sen help {}): {}", words.join(" "), names.join(" "));
        }
        if most > 0 {
            below += "\n\nExamples:\n";
            below += &examples[..most].join("\n");
        }
        page = page.after_help(below);
        let text = page.render_help().to_string();
        if text.lines().count() <= SCREEN {
            return text;
        }
        let shown = |arg: &&clap::Arg| {
            let hidden = arg.get_long().is_none_or(|long| hidden.iter().any(|name| name == long));
            !hidden
                && !arg.is_hide_set()
                && !arg.is_positional()
                && !matches!(arg.get_id().as_str(), "help" | "version")
        };
        let first = |arg: &clap::Arg| FIRST.contains(&arg.get_id().as_str());
        let next = command.get_arguments().filter(shown).filter(|arg| !first(arg)).last();
        let next = next.or_else(|| command.get_arguments().filter(shown).last().filter(|_| most <= 1));
        match next.and_then(clap::Arg::get_long) {
            Some(long) => hidden.push(long.to_owned()),
            None if most > 0 => most -= 1,
            None => return text,
        }
    }
}
