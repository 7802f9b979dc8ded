//! `sen exec signal`: sends a signal to a waiting execution.

use sen_core::error::Result;
use sen_core::model::subject::Kind;
use sen_core::systems::stent;
use sen_core::systems::stent::request::ExecutionRequest;

use super::notify::{self, Notify};
use crate::completion::live::{Completes, Live};
use crate::commands::act::{ActionOptions, apply};
use crate::commands::reconcile::read_json;
use crate::session::Session;
use crate::views::CommandOutput;

/// Send a signal to an execution and wake what waits for it
///
/// A signal that nothing waits for yet is kept until something does. An unread one is not overwritten unless
/// --replace is given. Where the execution is at work, sen watches for two seconds that a wait which began at the very moment
/// is woken, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen exec signal 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f approve '{\"by\":\"maria\"}'
  sen exec signal 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f approve @answer.json
  sen exec signal 0b1c4f7e-2f3a-4c5d-8e6f-7a8b9c0d1e2f approve --replace 'null'")]
pub struct Args {
    /// The execution's id
    #[arg(value_name = "ID", add = Completes(Live::Execution))]
    pub id: String,

    /// The signal's name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// What it carries: JSON, @FILE, or - for stdin
    #[arg(value_name = "JSON", default_value = "null", allow_hyphen_values = true)]
    pub payload: String,

    /// Replace an unread signal of the same name
    #[arg(long)]
    pub replace: bool,

    #[command(flatten)]
    notify: Notify,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let target = args.notify.target(session)?;
    let name = args.name;
    let mut options = args.options;
    let payload = read_json(&args.payload, "payload")?;
    let database = options.database(session).await?;
    let id = options.whole_ids(&database, Some(stent::NAME), &[Kind::Execution], vec![args.id]).await?.concat();
    let request = ExecutionRequest::Signal { id, name, payload, replace: args.replace };
    let answer = apply(database.executions()?.plan(&request).await?, &options, session).await?;
    notify::publish(target, session).await;
    Ok(answer)
}
