//! `sen exec cleanup`: removes executions that ended long ago.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use sen_core::error::Result;
use sen_core::systems::stent;
use sen_core::systems::stent::request::ExecutionRequest;

use crate::args::span;
use crate::commands::act::{ActionOptions, apply};
use crate::session::Session;
use crate::views::CommandOutput;

/// Remove executions that ended long ago, with everything that belongs to them
///
/// Executions with dead letters, or with tasks that are pending or running, are left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen exec cleanup --older-than 30d --dry-run
  sen exec cleanup --older-than 30d --state completed --yes --reason 'retention'")]
pub struct Args {
    /// Only those that ended longer ago than this
    #[arg(long, required = true, value_parser = span, value_name = "SPAN")]
    pub older_than: Duration,

    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = PossibleValuesParser::new(stent::acts::rules::ENDED))]
    pub state: Vec<String>,

    /// Maximum number of executions, oldest first (0 = unlimited)
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = args.options.database(session).await?;
    let limit = args.limit.filter(|limit| *limit > 0);
    let request =
        ExecutionRequest::Cleanup { older_than: args.older_than, states: args.state, limit };
    apply(database.executions()?.plan(&request).await?, &args.options, session).await
}
