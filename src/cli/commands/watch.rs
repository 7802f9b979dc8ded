//! `sen watch`: the dashboard.

use std::time::Duration;

use sen_core::error::{Error, Result};
use sen_core::time::Timestamp;

use crate::args::span;
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, View};
use crate::watch::{lines, live};

/// Watch what needs attention, counts, running work and dead letters, live
///
/// A full screen on a terminal; into a pipe one line for every change. It asks one question at a time, and never
/// keeps the database busy for more than 2 % of one core: where an answer takes long it looks less often. It changes
/// nothing by itself: an act that is chosen runs outside of the full screen, with the plan and the question of its command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen watch
  sen watch --interval 10s
  sen watch -o jsonl | jq -r 'select(.critical > 0) | .attention[].next[].command'

Keys: arrows move, Tab goes to the next pane; Enter goes from a row to its rows, to one of them in depth, to its chain of causes; \
t shows its timeline, Esc goes back; a offers the acts on it, which show their plan and ask as the commands do; / finds keys, ids and \
what mentions them; c copies a command, s sorts, ? helps, q ends.")]
pub struct Args {
    /// From one look to the next, at least
    #[arg(long, value_parser = span, default_value = "2s", value_name = "SPAN")]
    pub interval: Duration,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    if session.globals.output == Format::Json {
        return Err(Error::usage("watch never ends, and a JSON document must").with_hint("use -o jsonl"));
    }
    if args.interval < Duration::from_millis(100) {
        return Err(Error::usage("--interval is too short").with_hint("100ms is the shortest"));
    }
    let (target, beside) = session.targets()?;
    let source = live::Source { target, beside, settings: session.settings()? };
    let database = source.open().await?;
    database.warnings().iter().for_each(|warning| session.warn(warning));
    match session.full_screen()? {
        Some(terminal) => {
            let exit = live::run(session, source, database, args.interval, terminal).await?;
            Ok(CommandOutput::new(View::Nothing).ending(exit))
        }
        None => Ok(CommandOutput::new(View::List(lines::list(source, database, args.interval, Timestamp::here())))),
    }
}
