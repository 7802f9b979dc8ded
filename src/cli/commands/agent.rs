//! `sen agent`: tasks of AI agents, kept in Redis.

mod act;
mod costs;
mod events;
mod list;
mod rate_limit;
mod show;
mod stats;
mod submit;
mod workers;

use clap::Subcommand;
use futures_util::StreamExt as _;
use sen_core::error::Result;
use sen_core::model::listing::Filter;
use sen_core::model::value::Value;
use sen_core::model::verdict::Severity;
use sen_core::registry::Database;
use sen_core::system::System;
use sen_core::systems::node;
use sen_core::systems::node::verdict::State;

use crate::session::Session;
use crate::views::Answer;

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
pub async fn run(args: Args, session: &Session) -> Result<Answer> {
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

/// The system.
fn agents(database: &Database) -> Result<&dyn System> {
    database.system(node::NAME)
}

/// How severe a verdict on a task is.
fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}

/// The ids of all tasks that match.
async fn ids(system: &dyn System, filter: &Filter) -> Result<Vec<String>> {
    let mut listing = system.list(filter).await?;
    let mut ids = Vec::new();
    while let Some(part) = listing.parts.next().await {
        ids.extend(part?.rows.into_iter().filter_map(|mut row| match row.swap_remove(0) {
            Value::Text(id) => Some(id),
            _ => None,
        }));
    }
    Ok(ids)
}
