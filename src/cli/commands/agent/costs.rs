//! `sen agent costs`.

use futures_util::stream;
use sen_core::error::Result;
use sen_core::systems::node::{COST_COLUMNS, Costs};

use super::common::Reading;
use crate::session::Session;
use crate::views::{Batch, CommandOutput, ListView, View};

/// Show what agent tasks have cost, per tenant and day, with totals
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent costs
  sen agent costs --tenant acme -o csv
  sen agent costs -o jsonl | jq 'select(.scope == \"tenant\")'

USD is the sum of the model calls in the tasks' checkpoints, by the day (UTC) of each call. CONTROLLER is what the \
controller's API reports: the sum of the hashes, which lose a task's cost when its worker saves it at the end. \
Checkpoints are kept for seven days; what was spent before that and is not in a hash is gone.")]
pub struct Args {
    /// Only this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,

    /// End with exit code 4 when there are no tasks
    #[arg(long)]
    pub fail_if_empty: bool,

    #[command(flatten)]
    pub reading: Reading,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read_agents_from(args.reading.prefer_replica).await?;
    let Costs { now, rows, spent, reported } = database.agents()?.costs(args.tenant.as_deref()).await?;
    let note = (spent - reported > 1e-6).then(|| {
        format!(
            "the controller reports ${reported:.4} of ${spent:.4}: when a task ends its cost stays in the checkpoint only"
        )
    });
    Ok(CommandOutput::new(View::List(ListView {
        columns: COST_COLUMNS,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note })])),
        now,
        tone: None,
        empty: "no agent tasks".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}
