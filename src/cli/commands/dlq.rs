//! `sen dlq`: dead letters of all systems.

pub mod discard;
pub mod edit;
pub mod export;
pub mod groups;
pub mod list;
pub mod replay;
pub mod show;
pub mod filter;

use sen_core::error::Result;

use crate::session::Session;
use crate::views::CommandOutput;

/// Dead letters: see them in groups, replay, discard or export them
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  sen dlq groups                                   what died, by step and error
  sen dlq replay 4f0c1f6e-…                        one dead letter
  sen dlq replay --group 3b1f0a92cc --dry-run      what a replay would and would not do
  sen dlq replay --all --rate 50/s --reason INC-482 --yes

Messages of sagas can be replayed and exported, not discarded."
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs, in the order of the help.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    List(Box<list::Args>),
    Groups(Box<groups::Args>),
    Show(show::Args),
    Replay(Box<replay::Args>),
    Discard(Box<discard::Args>),
    Export(Box<export::Args>),
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        Verb::List(args) => list::run(*args, session).await,
        Verb::Groups(args) => groups::run(*args, session).await,
        Verb::Show(args) => show::run(args, session).await,
        Verb::Replay(args) => replay::run(*args, session).await,
        Verb::Discard(args) => discard::run(*args, session).await,
        Verb::Export(args) => export::run(*args, session).await,
    }
}
