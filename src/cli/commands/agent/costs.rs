//! `sen agent costs`.

use futures_util::{StreamExt as _, stream};
use sen_core::error::Result;
use sen_core::model::listing::Filter;
use sen_core::model::value::{Row, Value};
use sen_core::systems::node;

use super::common::agents;
use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

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
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read_agents().await?;
    let filter = Filter { kind: node::kind::COSTS, parent: args.tenant, ..Filter::default() };
    let mut listing = agents(&database)?.list(&filter).await?;
    let mut rows: Vec<Row> = Vec::new();
    while let Some(part) = listing.parts.next().await {
        rows.extend(part?.rows);
    }
    let note = rows.last().and_then(under_reported);
    Ok(CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note })])),
        now: listing.now,
        tone: None,
        empty: "no agent tasks".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}

/// Says how much the controller leaves out, from the row of totals.
fn under_reported(total: &Row) -> Option<String> {
    let at = |name: &str| node::COST_COLUMNS.iter().position(|column| column.name == name);
    let number = |name: &str| match total.get(at(name)?)? {
        Value::Json(text) => text.parse::<f64>().ok(),
        _ => None,
    };
    let (spent, told) = (number("cost_usd")?, number("controller_usd")?);
    (spent - told > 1e-6).then(|| {
        format!(
            "the controller reports ${told:.4} of ${spent:.4}: when a task ends its cost stays in the checkpoint only"
        )
    })
}
