//! `sen exec list`: durable executions.

use sen_core::error::Result;
use sen_core::model::listing::Page;
use sen_core::model::verdict::Severity;
use sen_core::systems::stent::verdict::State;
use sen_core::systems::stent::{ExecutionListState, ListFilter, ListOrder};

use crate::args::{Created, Paging, choice};
use crate::commands::page::{self, AttentionFirst, Shown};
use crate::completion::live::{Completes, Live};
use crate::session::Session;
use crate::views::CommandOutput;

/// List executions, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen exec list                                  the 100 newest
  sen exec list --stuck                          what needs a person: stranded, overdue, lost
  sen exec list --state failed --since 1h --where-error 'card declined'
  sen exec list --after ID                       the next page
  sen exec list --limit 0 -o jsonl > all.jsonl   everything, streamed in stored order")]
pub struct Args {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = choice::<ExecutionListState>())]
    pub state: Vec<ExecutionListState>,

    /// Only what is stuck: short for --state stranded,overdue,lost
    #[arg(long)]
    pub stuck: bool,

    /// Only of this queue; `default` also means without one
    #[arg(long, value_name = "NAME", add = Completes(Live::Queue))]
    pub queue: Option<String>,

    /// Only of this function: module:name, or the name alone
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,

    /// Only with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,

    /// Worker prefix: only executions with a task claimed by these workers
    #[arg(long, value_name = "TEXT", add = Completes(Live::Worker))]
    pub worker: Option<String>,

    /// Only those whose error, or that of one of their tasks, contains this text
    #[arg(long, value_name = "TEXT")]
    pub where_error: Option<String>,

    #[command(flatten)]
    pub created: Created,

    /// Order: created, started or completed (of those that are), the newest first [default: created; as stored with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = choice::<ListOrder>())]
    pub sort: Option<ListOrder>,

    /// Start after this execution: the last one of the page before
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
    let mut states = args.state;
    if args.stuck {
        states.extend([ExecutionListState::Stranded, ExecutionListState::Overdue, ExecutionListState::Lost]);
    }
    let payloads = ["args", "kwargs", "result", "outcome", "codec"];
    let page = args.paging.page(args.sort, &payloads, &session.globals)?;
    let filter = ListFilter {
        states,
        queue: args.queue,
        function: args.function,
        tag: args.tag,
        worker: args.worker,
        error: args.where_error,
        execution: None,
        period: args.created.into(),
        page: Page { after: args.after, ..page },
    };
    let database = session.read().await?;
    if filter.states.is_empty() && page::is_for_attention(&filter.page, session) {
        let shown = AttentionFirst {
            command: &["sen", "exec", "list"],
            look: &["sen", "exec", "show"],
            nouns: "executions",
            tone: ("state", severity),
            narrowed: ListFilter { page: Page::default(), ..filter.clone() } != ListFilter::default(),
            urgent: None,
        };
        let system = database.executions()?;
        let ask = async |which| {
            let states = page::states_for(which, severity);
            system.executions(&ListFilter { states, ..filter.clone() }).await
        };
        return page::attention_first(&database, shown, &args.paging, ask).await;
    }
    let listing = database.executions()?.executions(&filter).await?;
    let shown = Shown { nouns: "executions", tone: Some(("state", severity)), pages: true, look: &["sen", "exec", "show"] };
    Ok(page::list(listing, database, &args.paging, shown, session))
}
