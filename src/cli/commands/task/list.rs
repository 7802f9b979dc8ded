//! `sen task list`: tasks of durable executions.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use sen_core::error::Result;
use sen_core::model::listing::Filter;
use sen_core::model::verdict::Severity;
use sen_core::systems::stent;
use sen_core::systems::stent::verdict::State;
use sen_core::time::When;

use crate::completion::live::{Completes, Live};
use crate::args::{span, when};
use crate::commands::page::{self, Page};
use crate::session::Session;
use crate::views::CommandOutput;

/// List tasks, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen task list                                  the 100 newest
  sen task list --state lost                     running, but the worker's lease has ended
  sen task list --state ready --queue mail       what waits for a worker of a queue
  sen task list --execution ID --limit 0         all of one execution
  sen task list --state failed --where-error timeout -o jsonl")]
pub struct Args {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = PossibleValuesParser::new(stent::TASK_STATES))]
    pub state: Vec<String>,

    /// Only of this execution
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,

    /// Only of this queue; `default` also means without one
    #[arg(long, value_name = "NAME", add = Completes(Live::Queue))]
    pub queue: Option<String>,

    /// Only of this step: module:name, or the name alone (for a signal's waiter: the signal's name)
    #[arg(long, visible_alias = "function", value_name = "NAME")]
    pub step: Option<String>,

    /// Only with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,

    /// Only claimed last by a worker whose name begins so
    #[arg(long, value_name = "TEXT", add = Completes(Live::Worker))]
    pub worker: Option<String>,

    /// Only whose error contains this text
    #[arg(long, value_name = "TEXT")]
    pub where_error: Option<String>,

    /// Only created longer ago than this
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub older_than: Option<Duration>,

    /// Only created at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only created before this
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,

    /// Order: created, started or completed (of those that are), the newest first [default: created; as stored with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = PossibleValuesParser::new(["created", "started", "completed"]))]
    pub sort: Option<String>,

    /// The order reversed
    #[arg(long)]
    pub reverse: bool,

    /// Begin behind this task: the last one of the page before
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,

    /// At most so many; 0 for all, streamed
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,

    /// End with exit code 4 when nothing matches
    #[arg(long)]
    pub fail_if_empty: bool,
}

fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let filter = Filter {
        kind: stent::TASKS,
        states: args.state,
        queue: args.queue,
        function: args.step,
        tag: args.tag,
        worker: args.worker,
        error: args.where_error,
        parent: args.execution,
        older_than: args.older_than,
        since: args.since,
        until: args.until,
        sort: args.sort,
        reverse: args.reverse,
        after: args.after,
        limit: (args.limit > 0).then_some(args.limit),
        ..Filter::default()
    };
    let page = Page {
        system: stent::NAME,
        nouns: "tasks",
        tone: severity,
        payloads: &["args", "kwargs", "result", "outcome", "codec"],
        fail_if_empty: args.fail_if_empty,
    };
    page::list(filter, page, session).await
}
