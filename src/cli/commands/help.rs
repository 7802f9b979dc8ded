//! `sen help`: help on a command, or on a topic.

use sen_core::error::Result;

use crate::exit;
use crate::help;
use crate::output::text::wrap;
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// How wide a table of the help is.
const WIDTH: usize = 80;

/// Show help: of a command, or on `options` or `exit-codes`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen help options\n  sen help exit-codes\n  sen help dlq replay")]
pub struct Args {
    /// A command (`dlq replay`), `options` or `exit-codes`
    #[arg(value_name = "TOPIC")]
    pub topic: Vec<String>,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let root = (session.line.tree)();
    let topic: Vec<&str> = args.topic.iter().map(String::as_str).collect();
    let text = match topic[..] {
        ["exit-codes"] => exit_codes(),
        ["options"] => help::options(&root),
        _ => help::text(root, &args.topic, true)?,
    };
    Ok(CommandOutput::new(View::Text(text)))
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes of sen. Scripts may depend on them.\n\n");
    for (code, meaning) in exit::TABLE {
        for (at, line) in wrap(meaning, WIDTH - 6).iter().enumerate() {
            text += &if at == 0 { format!("{code:>4}  {line}\n") } else { format!("      {line}\n") };
        }
    }
    text
}
