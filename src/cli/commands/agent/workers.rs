//! `sen agent workers`.

use futures_util::StreamExt as _;
use sen_core::error::Result;
use sen_core::systems::node;

use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

/// List workers: those with a heartbeat, and those that hold tasks without one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent workers
  sen agent workers -o json | jq '.[] | select(.state == \"gone\") | .worker'

A heartbeat is a key that expires: a worker that is not listed and holds no task has left no trace. Workers that keep the \
default name all write one key, so one line may stand for several of them.")]
pub struct Args {
    /// End with exit code 4 when there are none
    #[arg(long)]
    pub fail_if_empty: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read_agents().await?;
    let listing = database.agents()?.workers().await?;
    let batches = listing.parts.map(|part| Ok(Batch { rows: part?.rows, note: None }));
    Ok(CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone: Some(("state", node::worker_severity)),
        empty: "no workers".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}
