//! `sen agent cancel` and `sen agent requeue`.

use std::time::Duration;

use sen_core::error::Result;
use sen_core::model::listing::Page;
use sen_core::model::subject::Kind;
use sen_core::systems::node;
use sen_core::systems::node::request::AgentRequest;
use sen_core::systems::node::{TaskOrder, TaskState};

use super::list::Matching;
use crate::completion::live::{Completes, Live};
use crate::args::span;
use crate::commands::act::{ActionOptions, apply_braked};
use crate::commands::brakes::BrakeOptions;
use crate::session::Session;
use crate::views::CommandOutput;

/// Give up agent tasks that are not over: they become failed, as with the controller
///
/// One script compares status, owner and lease with what was seen and changes the task, or nothing. A live worker cannot
/// be stopped from outside, and it saves the whole task when it ends, which undoes a cancel: sen reads the task again and
/// says so (exit code 5); --verify keeps watching.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent cancel task_086afa9f5fe8
  sen agent cancel task_235bed1ec052 --verify 2m --reason INC-482
  sen agent cancel --all --tenant umbrella --state queued --dry-run")]
pub struct CancelArgs {
    #[command(flatten)]
    targets: Targets,
}

/// Give agent tasks whose worker is gone back to the queue, as the watcher does
///
/// Its attempts stay as they are: the worker that takes it up counts them, and looks at no maximum. Needs the heartbeat of the task's worker to be
/// gone at the very moment of the change. The plan shows which side effects are done and which may be repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent requeue task_7957eed7bf74 --yes
  sen agent requeue --all --dry-run            every task whose worker is gone
  sen agent requeue --all --owner worker-3 --yes --reason 'host replaced'

A failed task is queued again with its attempts reset by `sen dlq replay ID`.")]
pub struct RequeueArgs {
    #[command(flatten)]
    targets: Targets,
}

/// Which tasks, and how.
#[derive(Debug, clap::Args)]
pub struct Targets {
    /// The task's id
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all", add = Completes(Live::AgentTask))]
    pub ids: Vec<String>,

    /// Every task that matches the filters
    #[arg(long)]
    pub all: bool,

    #[command(flatten)]
    pub matching: Matching,

    /// With --all: maximum number of tasks, first submitted first
    #[arg(long, value_name = "N", requires = "all")]
    pub limit: Option<u64>,

    /// Keep watching for so long that no worker undoes it
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub verify: Option<Duration>,

    #[command(flatten)]
    brakes: BrakeOptions,

    #[command(flatten)]
    options: ActionOptions,
}

/// Cancels.
pub async fn cancel(args: CancelArgs, session: &Session) -> Result<CommandOutput> {
    let not_over = [TaskState::Queued, TaskState::Leased, TaskState::InProgress, TaskState::Retrying];
    act(args.targets, session, &not_over, false, |ids, verify| AgentRequest::Cancel { ids, verify }).await
}

/// Requeues.
pub async fn requeue(args: RequeueArgs, session: &Session) -> Result<CommandOutput> {
    let held = [TaskState::Leased, TaskState::InProgress];
    act(args.targets, session, &held, true, |ids, verify| AgentRequest::Requeue { ids, verify }).await
}

async fn act(
    targets: Targets,
    session: &Session,
    states: &[TaskState],
    dead_owner: bool,
    request: fn(Vec<String>, Option<Duration>) -> AgentRequest,
) -> Result<CommandOutput> {
    let mut options = targets.options;
    options.brakes = targets.brakes;
    let database = options.agents(session).await?;
    let system = database.agents()?;
    let ids = if targets.all {
        let mut filter = targets.matching.filter();
        if filter.states.is_empty() {
            filter.states = states.to_vec();
        }
        filter.dead_owner |= dead_owner;
        let order = targets.limit.map(|_| TaskOrder::Created);
        filter.page = Page { limit: targets.limit, reverse: order.is_some(), order, ..Page::default() };
        system.ids(&filter).await?
    } else {
        options.whole_ids(&database, Some(node::NAME), &[Kind::AgentTask], targets.ids).await?
    };
    apply_braked(&database, system.plan(&request(ids, targets.verify)).await?, &options, session).await
}
