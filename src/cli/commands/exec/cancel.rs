//! `sen exec cancel`: cancels executions.

use std::time::Duration;

use sen_core::error::Result;
use sen_core::model::subject::Kind;
use sen_core::systems::stent;
use sen_core::systems::stent::request::ExecutionRequest;

use super::notify::{self, Notify};
use crate::completion::live::{Completes, Live};
use crate::args::span;
use crate::commands::act::{ActionOptions, apply_braked};
use crate::commands::brakes::BrakeOptions;
use crate::session::Session;
use crate::views::CommandOutput;

/// Cancel an execution: end it and its open tasks
///
/// Work that a worker has begun cannot be stopped from outside: it finishes, and a worker that finishes an orchestrator writes
/// its result over the cancellation. --verify watches for that and says so (exit code 5). A wait for a signal is left as it
/// is, with the orchestrator that waits: failed, it would let a live orchestrator go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen exec cancel 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f --reason INC-482
  sen exec cancel --verify=2m 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f
  sen exec cancel --notify redis://localhost 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f")]
pub struct Args {
    /// The executions' ids
    #[arg(required = true, value_name = "ID", add = Completes(Live::Execution))]
    pub ids: Vec<String>,

    /// Watch until its workers have finished or so long, whichever is first [default: 30s]
    #[arg(long, value_parser = span, value_name = "SPAN", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    pub verify: Option<Duration>,

    #[command(flatten)]
    notify: Notify,

    #[command(flatten)]
    brakes: BrakeOptions,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let target = args.notify.target(session)?;
    let mut options = args.options;
    options.brakes = args.brakes;
    let database = options.database(session).await?;
    let ids = options.whole_ids(&database, Some(stent::NAME), &[Kind::Execution], args.ids).await?;
    let request = ExecutionRequest::Cancel { ids, verify: args.verify };
    let answer = apply_braked(&database, database.executions()?.plan(&request).await?, &options, session).await?;
    notify::publish(target, session).await;
    Ok(answer)
}
