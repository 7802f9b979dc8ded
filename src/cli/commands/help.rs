//! `sen help`: help on a command, or on a topic.

use sen_core::error::{Error, Result};

use crate::exit;
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// Show help: of a command, or on `exit-codes`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen help exit-codes\n  sen help dlq replay")]
pub struct Args {
    /// A command (`dlq replay`), or `exit-codes`
    #[arg(value_name = "TOPIC")]
    pub topic: Vec<String>,
}

/// The command that `words` name below `root`.
///
/// # Errors
/// `Usage` where there is no such command.
pub(super) fn command<'a>(root: &'a mut clap::Command, words: &[String]) -> Result<&'a mut clap::Command> {
    words.iter().try_fold(root, |command, word| {
        command.find_subcommand_mut(word).ok_or_else(|| {
            Error::usage(format!("there is no command {:?}", words.join(" ")))
                .with_hint("`sen help` lists the commands; there is also `sen help exit-codes`")
        })
    })
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let mut root = (session.line.tree)();
    root.build();
    let text = match args.topic.as_slice() {
        [topic] if topic == "exit-codes" => exit_codes(),
        words => command(&mut root, words)?.render_long_help().to_string(),
    };
    Ok(CommandOutput::new(View::Text(text)))
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes of sen. Scripts may depend on them.\n\n");
    for (code, meaning) in exit::TABLE {
        text += &format!("{code:>4}  {meaning}\n");
    }
    text
}
