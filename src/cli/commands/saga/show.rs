//! `sen saga show`.

use sen_core::error::Result;
use sen_core::model::subject::Kind;
use sen_core::systems::saga;

use crate::args::Facts;
use crate::completion::live::{Completes, Live};
use crate::commands::show::{self, ShowRequest};
use crate::session::Session;
use crate::views::CommandOutput;

/// Show everything known of a saga: its steps, its messages, what it waits for, with a verdict
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga show 7f3c9a1e-52fd-4d0e-b5d3-0f8a4c11d9ab
  sen saga show order-789                            every saga about it, the one that changed last first
  sen saga show -o json order-789 | jq '.steps[] | {step_id, status, error}'

With --check the exit code is 0 completed or compensated, 8 under way or waiting, 10 for what needs a person.")]
pub struct Args {
    /// The saga's id, aggregation id or trace id
    #[arg(required = true, value_name = "ID", add = Completes(Live::Saga))]
    pub ids: Vec<String>,

    /// How many of the newest recorded steps to show
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub steps: u32,

    /// Turn the verdict into the exit code
    #[arg(long)]
    pub check: bool,

    #[command(flatten)]
    pub facts: Facts,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let wanted = ShowRequest {
        system: saga::NAME,
        kind: Kind::Saga,
        list: "sen saga list",
        ids: &args.ids,
        events: args.steps,
        check: args.check,
        facts: args.facts,
    };
    show::show(wanted, session).await
}
