//! `sen exec show`: an execution with its tasks, progress and payload.

use sen_core::error::Result;
use sen_core::model::subject::Kind;
use sen_core::systems::stent;

use crate::args::Facts;
use crate::completion::live::{Completes, Live};
use crate::commands::show;
use crate::session::Session;
use crate::views::CommandOutput;

/// Show an execution: its tasks as a tree, its progress, arguments, result or error, signals, counters and state
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen exec show 9b2f6c1e-4f0e-4a55-9a5b-0c7d2f1f7a10
  sen exec show -o json ID | jq '.tasks[] | select(.state == \"failed\")'
  sen exec show --check ID || echo \"not done yet, or needs a person\"

Payloads are decoded without running anything: JSON with the library's tagged objects, pickles as structure, anything else \
as a preview. Times are stored without a zone and read in --worker-timezone.

With --check the exit code is the worst of: 0 completed or cancelled, 8 still under way, \
10 failed, timed out, overdue, stranded or lost (needs a person). A missing id is 4.")]
pub struct Args {
    /// The execution's id
    #[arg(required = true, value_name = "ID", add = Completes(Live::Execution))]
    pub ids: Vec<String>,

    /// How much of the newest progress to show
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub events: u32,

    /// Turn the verdict into the exit code
    #[arg(long)]
    pub check: bool,

    #[command(flatten)]
    pub facts: Facts,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let wanted = show::ShowRequest {
        system: stent::NAME,
        kind: Kind::Execution,
        list: "sen exec list",
        ids: &args.ids,
        events: args.events,
        check: args.check,
        facts: args.facts,
    };
    show::show(wanted, session).await
}
