//! `sen completions`: completion scripts for shells.

use clap_complete::Shell;
use sen_core::error::{Error, ErrorKind, Result};

use crate::completion::install::{Installed, install};
use crate::completion::script;
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// Print or install the completion script of a shell
///
/// In bash, zsh and fish it completes live values, too: keys, ids, groups, states, queues and namespaces of the database
/// in DATABASE_URL (or --database-url on the line). It asks for at most 50 and waits for at most 150 ms; when the database
/// is away it offers none and says nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen completions --install             for the shell in $SHELL, where it looks for your own scripts
  sen completions --install fish
  sen completions bash > /etc/bash_completion.d/sen")]
pub struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL", required_unless_present = "install")]
    pub shell: Option<Shell>,

    /// Write the script to your own folder for such scripts
    #[arg(long)]
    pub install: bool,

    /// Replace a file that sen has not written
    #[arg(short, long, requires = "install")]
    pub yes: bool,
}

/// The shells that ask the program itself.
fn asking(shell: Shell) -> Option<script::Shell> {
    script::Shell::parse(&shell.to_string())
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let text = match (args.install, args.shell) {
        (false, Some(shell)) => print(shell, session)?,
        (_, shell) => put(shell.or_else(Shell::from_env), args.yes, session)?,
    };
    Ok(CommandOutput::new(View::Text(text)))
}

fn print(shell: Shell, session: &Session) -> Result<String> {
    if let Some(shell) = asking(shell) {
        return Ok(shell.script());
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut (session.line.tree)(), "sen", &mut script);
    String::from_utf8(script)
        .map_err(|error| Error::new(ErrorKind::Internal, "the script is not UTF-8").with_source(error))
}

fn put(shell: Option<Shell>, yes: bool, session: &Session) -> Result<String> {
    if session.globals.read_only {
        return Err(Error::new(ErrorKind::Refused, "this command writes a file, and --read-only was given"));
    }
    let Some(asking) = shell.and_then(asking) else {
        let which = shell.map_or_else(|| "the shell in $SHELL".to_owned(), |shell| shell.to_string());
        return Err(Error::usage(format!("{which} has no known folder for such scripts"))
            .with_hint("name bash, zsh or fish; `sen completions SHELL` prints the script of any shell"));
    };
    let Installed { path, written, remains } = install(asking, &|name| std::env::var(name).ok(), yes)?;
    let what = if written { "wrote" } else { "already there:" };
    let mut text = format!("{what} {}\n", crate::clean::clean(&path.display().to_string()));
    for line in remains {
        text += &line;
        text.push('\n');
    }
    Ok(text)
}
