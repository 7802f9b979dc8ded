//! `sen agent show`.

use sen_core::error::Result;
use sen_core::model::subject::Kind;
use sen_core::ops::{inspect, prefix};
use sen_core::time::Timestamp;

use super::common::agents;
use crate::args::Facts;
use crate::completion::live::{Completes, Live};
use crate::commands::inspect::{detail, verdict_exit};
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{CommandOutput, DetailsView, View};

/// Show everything known of an agent task or a worker, with a verdict
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent show task_7957eed7bf74
  sen agent show worker-1
  sen agent show -o json task_7957eed7bf74 | jq '.llm_calls | map(.cost_usd) | add'

A task comes with its checkpoint (nodes, model calls, fields that are stored encrypted), its worker's heartbeat, its \
side effects and its newest events. With --check the exit code is 0 completed or cancelled, 8 queued or running, 10 for \
what needs a person.")]
pub struct Args {
    /// The id of the task or worker
    #[arg(required = true, value_name = "ID", add = Completes(Live::AgentTask))]
    pub ids: Vec<String>,

    /// How many of the newest events to show
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub events: u32,

    /// Turn the verdict into the exit code
    #[arg(long)]
    pub check: bool,

    #[command(flatten)]
    pub facts: Facts,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read_agents().await?;
    let system = agents(&database)?;
    let single = args.ids.len() == 1;
    let (mut details, mut errors) = (Vec::new(), Vec::new());
    let (mut now, mut exit) = (Timestamp::NEG_INFINITY, Exit::Done);
    for id in args.ids {
        let id = crate::keys::checked_key(id)?;
        let mut found = system.find(&id, args.events).await?;
        if found.is_empty()
            && let Some(whole) = prefix::resolve(&database, Some(system.name()), &[Kind::AgentTask], &id).await?
        {
            found = system.find(&whole, args.events).await?;
        }
        if found.is_empty() {
            let error = inspect::missing("agent task or worker", &id, &system.suggest(&id).await?)
                .with_hint("`sen agent list` and `sen agent workers` show what there is");
            if single {
                return Err(error);
            }
            errors.push(error);
        }
        for found in found {
            now = found.now;
            let this = verdict_exit(&found.verdict);
            if args.check && (this == Exit::Attention || exit == Exit::Done) {
                exit = this;
            }
            details.push(detail(found, args.facts.all_fields));
        }
    }
    if !errors.is_empty() && exit != Exit::Attention {
        exit = Exit::NotFound;
    }
    Ok(CommandOutput::new(View::Details(DetailsView { details, single, now })).ending(exit).with_errors(errors))
}
