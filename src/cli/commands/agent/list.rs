//! `sen agent list`.

use sen_core::error::Result;
use sen_core::model::listing::Page;
use sen_core::systems::node::{TaskFilter, TaskOrder, TaskState};

use super::common::{Reading, severity};
use crate::args::{Changed, Paging, choice};
use crate::commands::page::{self, AttentionFirst, Shown};
use crate::session::Session;
use crate::views::CommandOutput;

/// List agent tasks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent list                                    what needs attention, then what was submitted last
  sen agent list --dead-owner
  sen agent list --state failed --where-error overloaded --tenant acme
  sen agent list --limit 0 -o jsonl > tasks.jsonl   everything, streamed in stored order

There is no index: every list walks over all tasks, some hundred keys at a time.")]
pub struct Args {
    #[command(flatten)]
    pub matching: Matching,

    /// Order: attention, created, updated, lease, attempts or cost, the largest first [default: attention in a table, else created; stored order with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = choice::<TaskOrder>())]
    pub sort: Option<TaskOrder>,

    #[command(flatten)]
    pub paging: Paging,

    #[command(flatten)]
    pub reading: Reading,
}

/// Which tasks.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Matching {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = choice::<TaskState>())]
    pub state: Vec<TaskState>,

    /// Only tasks of this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,

    /// Only tasks that this worker has or had
    #[arg(long, value_name = "WORKER")]
    pub owner: Option<String>,

    /// Only tasks of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub task_type: Option<String>,

    /// Only tasks held beyond their lease
    #[arg(long)]
    pub expired: bool,

    /// Only tasks held by a worker whose heartbeat is gone
    #[arg(long)]
    pub dead_owner: bool,

    /// Only tasks whose error contains this text
    #[arg(long, value_name = "TEXT")]
    pub where_error: Option<String>,

    #[command(flatten)]
    pub changed: Changed,
}

impl Matching {
    /// As a filter, of everything.
    pub fn filter(self) -> TaskFilter {
        TaskFilter {
            states: self.state,
            tenant: self.tenant,
            task_type: self.task_type,
            worker: self.owner,
            expired: self.expired,
            dead_owner: self.dead_owner,
            error: self.where_error,
            period: self.changed.into(),
            page: Page::default(),
        }
    }
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let page = args.paging.page(args.sort, &["task_params", "result"], &session.globals)?;
    let filter = TaskFilter { page, ..args.matching.filter() };
    let database = session.read_agents_from(args.reading.prefer_replica).await?;
    if filter.states.is_empty() && page::is_for_attention(&filter.page, session) {
        let shown = AttentionFirst {
            command: &["sen", "agent", "list"],
            look: &["sen", "agent", "show"],
            nouns: "agent tasks",
            tone: ("state", severity),
            narrowed: TaskFilter { page: Page::default(), ..filter.clone() } != TaskFilter::default(),
            urgent: None,
        };
        // Every question walks over all tasks, so this is one.
        let page = Page { order: Some(TaskOrder::Attention), ..filter.page.clone() };
        let listing = database.agents()?.list(&TaskFilter { page, ..filter }).await?;
        return page::in_order_of_attention(shown, &args.paging, listing).await;
    }
    let listing = database.agents()?.list(&filter).await?;
    let shown = Shown { nouns: "agent tasks", tone: Some(("state", severity)), pages: false, look: &["sen", "agent", "show"] };
    Ok(page::list(listing, database, &args.paging, shown, session))
}
