//! `sen task list`: tasks of durable executions.

use sen_core::error::Result;
use sen_core::model::listing::Page;
use sen_core::model::verdict::Severity;
use sen_core::systems::stent::verdict::State;
use sen_core::systems::stent::{TaskListState, ListFilter, ListOrder};

use crate::args::{Created, Paging, choice};
use crate::commands::page::{self, AttentionFirst, Shown};
use crate::completion::live::{Completes, Live};
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
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = choice::<TaskListState>())]
    pub state: Vec<TaskListState>,

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

    /// Worker prefix: only tasks claimed last by these workers
    #[arg(long, value_name = "TEXT", add = Completes(Live::Worker))]
    pub worker: Option<String>,

    /// Only whose error contains this text
    #[arg(long, value_name = "TEXT")]
    pub where_error: Option<String>,

    #[command(flatten)]
    pub created: Created,

    /// Order: created, started or completed (of those that are), the newest first [default: created; as stored with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = choice::<ListOrder>())]
    pub sort: Option<ListOrder>,

    /// Start after this task: the last one of the page before
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,

    #[command(flatten)]
    pub paging: Paging,
}

fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let payloads = ["args", "kwargs", "result", "outcome", "codec"];
    let page = args.paging.page(args.sort, &payloads, &session.globals)?;
    let filter = ListFilter {
        states: args.state,
        queue: args.queue,
        function: args.step,
        tag: args.tag,
        worker: args.worker,
        error: args.where_error,
        execution: args.execution,
        period: args.created.into(),
        page: Page { after: args.after, ..page },
    };
    let database = session.read().await?;
    if filter.states.is_empty() && page::is_for_attention(&filter.page, session) {
        let shown = AttentionFirst {
            command: &["sen", "task", "list"],
            look: &["sen", "task", "show"],
            nouns: "tasks",
            tone: ("state", severity),
            narrowed: ListFilter { page: Page::default(), ..filter.clone() } != ListFilter::default(),
            urgent: None,
        };
        let system = database.executions()?;
        let ask = async |which| {
            let states = page::states_for(which, severity);
            system.tasks(&ListFilter { states, ..filter.clone() }).await
        };
        return page::attention_first(&database, shown, &args.paging, ask).await;
    }
    let listing = database.executions()?.tasks(&filter).await?;
    let shown = Shown { nouns: "tasks", tone: Some(("state", severity)), pages: true, look: &["sen", "task", "show"] };
    Ok(page::list(listing, database, &args.paging, shown, session))
}
