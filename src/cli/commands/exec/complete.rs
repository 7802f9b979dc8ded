//! `sen exec complete`: ends an execution with the result of its root task.

use sen_core::error::Result;
use sen_core::model::subject::Kind;
use sen_core::ops::related as related_keys;
use sen_core::systems::stent;
use sen_core::systems::stent::request::ExecutionRequest;

use super::notify::{self, Notify};
use crate::completion::live::{Completes, Live};
use crate::commands::act::{ActionOptions, apply_braked};
use crate::commands::brakes::BrakeOptions;
use crate::commands::related;
use crate::session::Session;
use crate::views::CommandOutput;

/// Complete a stuck execution with the stored result of its root task
///
/// A worker that dies between "task completed" and "execution completed" leaves an execution that nothing ends although its
/// work is done. Refused unless the root task is completed with a result, for at least a minute, and the execution has not
/// ended. The cache of a cached function is not written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen exec list --state stranded
  sen exec complete 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f --reason INC-482 --yes
  sen exec complete --dry-run 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f")]
pub struct Args {
    /// The executions' ids
    #[arg(required = true, value_name = "ID", add = Completes(Live::Execution))]
    pub ids: Vec<String>,

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
    let request = ExecutionRequest::Complete { ids: ids.clone() };
    let mut action = database.executions()?.plan(&request).await?;
    // Nothing is run by it; a key that is not settled can still say that the work had another outcome.
    let keys = related_keys::of_things(&database, database.system(stent::NAME)?, &ids, false).await?;
    related::warn(action.plan_mut(), keys, &options, session);
    let answer = apply_braked(&database, action, &options, session).await?;
    notify::publish(target, session).await;
    Ok(answer)
}
