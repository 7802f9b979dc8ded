//! `sen saga`: sagas of python-saga-orchestrator, with their outboxes and inboxes.

mod act;
mod common;
mod list;
mod messages;
mod show;

use clap::Subcommand;
use sen_core::error::Result;

use crate::session::Session;
use crate::views::CommandOutput;

/// Sagas of python-saga-orchestrator, with their outboxes and inboxes
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  sen saga list --stuck                        what no worker will ever pick up
  sen saga show order-789                      by id, aggregation id or trace id
  sen saga unstick 7f3c9a1e-… --reason INC-482
  sen saga retry --all --state failed --name checkout --dry-run
  sen saga outbox list --stuck

The tables are found by their columns, whatever they are called and in whatever schema; `sen status` names them, and \
--saga-table picks one where there are several. SQL cannot run steps: an act makes the saga due, and the worker that polls \
next (`run_due`) goes on from there. Every act names the status, token and step that were seen, and draws a new token."
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Verb {
    List(Box<list::Args>),
    Show(show::Args),
    Retry(Box<act::RetryArgs>),
    Skip(Box<act::SkipArgs>),
    Compensate(Box<act::CompensateArgs>),
    Abort(Box<act::AbortArgs>),
    Unstick(Box<act::UnstickArgs>),
    Notify(Box<act::NotifyArgs>),
    Outbox(messages::OutboxArgs),
    Inbox(messages::InboxArgs),
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        Verb::List(args) => list::run(*args, session).await,
        Verb::Show(args) => show::run(args, session).await,
        Verb::Retry(args) => act::retry(*args, session).await,
        Verb::Skip(args) => act::skip(*args, session).await,
        Verb::Compensate(args) => act::compensate(*args, session).await,
        Verb::Abort(args) => act::abort(*args, session).await,
        Verb::Unstick(args) => act::unstick(*args, session).await,
        Verb::Notify(args) => act::notify(*args, session).await,
        Verb::Outbox(args) => messages::outbox(args, session).await,
        Verb::Inbox(args) => messages::inbox(args, session).await,
    }
}
