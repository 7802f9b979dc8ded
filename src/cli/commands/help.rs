//! `sen help`: help on a command, or on a topic.

use clap::CommandFactory as _;
use sen_core::error::{Error, Result};

use crate::app::App;
use crate::exit;
use crate::views::{Answer, View};

/// Show help: of a command, or on `exit-codes`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A command, or `exit-codes`
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Answer> {
    let mut root = App::command();
    root.build();
    let text = match args.topic.as_deref() {
        None => root.render_long_help().to_string(),
        Some("exit-codes") => exit_codes(),
        Some(topic) => match root.find_subcommand_mut(topic) {
            Some(command) => command.render_long_help().to_string(),
            None => {
                return Err(Error::usage(format!("no help on {topic:?}"))
                    .with_hint("`sen help` lists the commands; there is also `sen help exit-codes`"));
            }
        },
    };
    Ok(Answer::new(View::Text(text)))
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes of sen. Scripts may depend on them.\n\n");
    for (code, meaning) in exit::TABLE {
        text += &format!("{code:>4}  {meaning}\n");
    }
    text
}
