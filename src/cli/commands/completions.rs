//! `sen completions`: completion scripts for shells.

use clap::CommandFactory as _;
use clap_complete::Shell;
use sen_core::error::{Error, ErrorKind, Result};

use crate::app::App;
use crate::views::{Answer, View};

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sen completions bash > ~/.local/share/bash-completion/completions/sen\n  sen completions zsh > ~/.zfunc/_sen"
)]
pub struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Answer> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut App::command(), "sen", &mut script);
    let text = String::from_utf8(script)
        .map_err(|error| Error::new(ErrorKind::Internal, "the script is not UTF-8").with_source(error))?;
    Ok(Answer::new(View::Text(text)))
}
