//! `sen agent`: tasks of AI agents, kept in Redis.

mod act;
mod common;
mod costs;
mod events;
mod list;
mod rate_limit;
mod show;
mod stats;
mod submit;
mod workers;

use clap::Subcommand;
use sen_core::error::Result;

use crate::session::Session;
use crate::views::CommandOutput;

/// Agent tasks of Sentinel-Node-Orchestrator, kept in Redis
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  export SEN_REDIS_URL=redis://:password@host/0
  sen agent list --state worker_gone
  sen agent show task_7957eed7bf74
  sen agent requeue --all --dry-run          what the watcher would requeue
  sen agent costs --tenant acme

The database is SEN_REDIS_URL or --redis-url, else DATABASE_URL when that names a Redis. Failed tasks are dead letters: \
`sen dlq replay` queues them again."
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Verb {
    List(list::Args),
    Show(show::Args),
    Submit(submit::Args),
    Cancel(act::CancelArgs),
    Requeue(act::RequeueArgs),
    Stats(stats::Args),
    Costs(costs::Args),
    Workers(workers::Args),
    Events(events::Args),
    RateLimit(rate_limit::Args),
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        Verb::List(args) => list::run(args, session).await,
        Verb::Show(args) => show::run(args, session).await,
        Verb::Submit(args) => submit::run(args, session).await,
        Verb::Cancel(args) => act::cancel(args, session).await,
        Verb::Requeue(args) => act::requeue(args, session).await,
        Verb::Stats(args) => stats::run(args, session).await,
        Verb::Costs(args) => costs::run(args, session).await,
        Verb::Workers(args) => workers::run(args, session).await,
        Verb::Events(args) => events::run(args, session).await,
        Verb::RateLimit(args) => rate_limit::run(args, session).await,
    }
}
