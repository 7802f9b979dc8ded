//! `sen task`: tasks of durable executions.

pub mod list;
pub mod show;

use sen_core::error::Result;

use crate::session::Session;
use crate::views::CommandOutput;

/// Tasks of durable executions (Stent, Senpuki): list and show them
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sen task list --state lost               running, but the worker's lease has ended
  sen task list --execution ID --limit 0   all of one execution
  sen task show 0f1c6a52-8d5b-4c0e-9b0a-1c2d3e4f5a6b"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with tasks.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    List(Box<list::Args>),
    Show(show::Args),
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        Verb::List(args) => list::run(*args, session).await,
        Verb::Show(args) => show::run(args, session).await,
    }
}
