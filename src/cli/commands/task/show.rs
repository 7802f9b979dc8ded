//! `sen task show`: one task in depth.

use sen_core::error::Result;
use sen_core::model::subject::Kind;
use sen_core::systems::stent;

use crate::args::Facts;
use crate::completion::live::{Completes, Live};
use crate::commands::show;
use crate::session::Session;
use crate::views::CommandOutput;

/// Show a task: its lease and whether its worker is gone, arguments, result or error, retry policy, dead letter
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen task show 0f1c6a52-8d5b-4c0e-9b0a-1c2d3e4f5a6b
  sen task show -o json ID | jq .verdict

With --check the exit code is the worst of: 0 completed, 8 still under way, 10 failed or lost. A missing id is 4.")]
pub struct Args {
    /// The task's id
    #[arg(required = true, value_name = "ID", add = Completes(Live::Task))]
    pub ids: Vec<String>,

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
        kind: Kind::Task,
        list: "sen task list",
        ids: &args.ids,
        events: 0,
        check: args.check,
        facts: args.facts,
    };
    show::show(wanted, session).await
}
