//! `sen exec`: durable executions of Stent and Senpuki.

pub mod cancel;
pub mod cleanup;
pub mod complete;
pub mod list;
pub mod notify;
pub mod show;
pub mod signal;

use sen_core::error::Result;

use crate::session::Session;
use crate::views::CommandOutput;

/// Durable executions (Stent, Senpuki): see, cancel, complete, signal and clean them up
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sen exec list --stuck                    stuck executions
  sen exec show 9b2f6c1e-4f0e-4a55-9a5b-0c7d2f1f7a10
  sen exec cancel --verify=2m ID           and watch that no worker overwrites it
  sen exec signal ID approve '{\"by\":\"maria\"}'
  sen exec cleanup --older-than 30d --dry-run"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with executions.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    List(Box<list::Args>),
    Show(show::Args),
    Cancel(cancel::Args),
    Complete(complete::Args),
    Signal(signal::Args),
    Cleanup(cleanup::Args),
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        Verb::List(args) => list::run(*args, session).await,
        Verb::Show(args) => show::run(args, session).await,
        Verb::Cancel(args) => cancel::run(args, session).await,
        Verb::Complete(args) => complete::run(args, session).await,
        Verb::Signal(args) => signal::run(args, session).await,
        Verb::Cleanup(args) => cleanup::run(args, session).await,
    }
}
