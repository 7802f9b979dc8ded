//! `sen man`: manual pages, one for each command and subcommand.

use clap::Command;
use sen_core::error::{Error, ErrorKind, Result};

use crate::exit;
use crate::help;
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// Print a manual page: `sen man | man -l -`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen man | man -l -\n  sen man dlq-replay | man -l -")]
pub struct Args {
    /// The command to describe (`dlq replay` or `dlq-replay`); without one, sen itself
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let mut root = (session.line.tree)();
    root.build();
    let words = help::parts(&root, &args.command);
    let command = help::command(&mut root, &words)?.clone();
    let page = render(command, &words)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot render the page").with_source(error))?;
    Ok(CommandOutput::new(View::Text(page)))
}

fn render(command: Command, words: &[String]) -> std::io::Result<String> {
    let name = [&["sen".to_owned()], words].concat().join("-");
    // Global options are described once, on the page of sen.
    let shared: Vec<_> = command
        .get_arguments()
        .filter(|arg| !words.is_empty() && arg.get_help_heading() == Some(crate::args::EVERYWHERE))
        .map(|arg| arg.get_id().clone())
        .collect();
    let command =
        shared.iter().fold(command, |command, id| command.mut_arg(id, |arg| arg.hide(true))).display_name(name.clone());
    let verbs: Vec<(String, String)> = command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| (verb.get_name().to_owned(), verb.get_about().map(ToString::to_string).unwrap_or_default()))
        .collect();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    // Which build prints a page is nothing that the page is about.
    let command = command.long_version(None::<&'static str>);
    let page = clap_mangen::Man::new(command).title(name.clone()).date("").manual("sen manual");

    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    let mut text = String::from_utf8_lossy(&out).into_owned();
    text += ".SH SYNOPSIS\n.nf\n";
    text += &plain(usage.trim_start_matches("Usage:").trim());
    text += ".fi\n";
    let mut out = Vec::new();
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    text += &String::from_utf8_lossy(&out);
    if !shared.is_empty() {
        text += ".PP\nOptions that every command takes are described in \\fBsen\\fR(1).\n";
    }
    if !verbs.is_empty() {
        text += ".SH COMMANDS\n";
        for (verb, about) in &verbs {
            text += &format!(".TP\n\\fB{}\\fR(1)\n{}", escaped(&format!("{name}-{verb}")), plain(about));
        }
    }
    text += &examples_and_notes(&after);
    text += ".SH \"EXIT STATUS\"\n";
    let once = words.first().is_none_or(|word| word == "once");
    for (code, meaning) in exit::TABLE.iter().filter(|(_, meaning)| once || !meaning.starts_with("once:")) {
        text += &format!(".TP\n\\fB{code}\\fR\n{}", plain(meaning));
    }
    text += ".SH ENVIRONMENT\n.TP\n\\fBDATABASE_URL\\fR\nThe database: postgres://…, sqlite:PATH or a libpq connection string. \
             Without it the PG* variables of libpq apply.\n.TP\n\\fBSEN_REDIS_URL\\fR\nThe Redis that holds the agent tasks.\n\
             .TP\n\\fBSEN_PASSWORD_COMMAND\\fR, \\fBSEN_REDIS_PASSWORD_COMMAND\\fR\nPrograms that print the password of either.\n\
             .TP\n\\fBSEN_HOOK\\fR\nA program that gets the report of every act as JSON.\n\
             .TP\n\\fBNO_COLOR\\fR, \\fBCLICOLOR\\fR, \\fBCLICOLOR_FORCE\\fR, \
             \\fBPAGER\\fR, \\fBSEN_PAGER\\fR, \\fBCOLUMNS\\fR\nAs elsewhere.\n";
    if let Some((_, parents)) = words.split_last() {
        let parent = [&["sen".to_owned()], parents].concat().join("-");
        text += &format!(".SH \"SEE ALSO\"\n\\fB{}\\fR(1)\n", escaped(&parent));
    }
    Ok(text)
}

/// What stands below a command's options in its help: the lines of examples, which are not to be filled, and paragraphs.
fn examples_and_notes(after: &str) -> String {
    let (mut examples, mut notes) = (String::new(), String::new());
    for line in after.lines() {
        match line.strip_prefix("  ") {
            _ if line == "Examples:" => {}
            Some(example) => examples += &plain(example),
            None if line.trim().is_empty() => notes += ".PP\n",
            None => notes += &plain(line),
        }
    }
    let mut text = String::new();
    if !examples.is_empty() {
        text += &format!(".SH EXAMPLES\n.nf\n{examples}.fi\n");
    }
    if notes.lines().any(|line| line != ".PP") {
        text += &format!(".SH NOTES\n{notes}");
    }
    text
}

/// Text as lines of roff: nothing in it is a request or an escape.
fn plain(text: &str) -> String {
    let line = |line: &str| {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        format!("{guard}{}\n", escaped(line))
    };
    text.lines().map(line).collect()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines_and_prose_becomes_paragraphs() {
        let text = examples_and_notes("Examples:\n  sen a -b\n  sen c\n\nOne.\n\n.Two \\x");
        assert_eq!(text, ".SH EXAMPLES\n.nf\nsen a \\-b\nsen c\n.fi\n.SH NOTES\n.PP\nOne.\n.PP\n\\&.Two \\ex\n");
        assert_eq!(examples_and_notes(""), "");
    }
}
