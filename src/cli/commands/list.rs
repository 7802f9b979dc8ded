//! `sen list`: leases.

use sen_core::error::Result;
use sen_core::model::listing::Page;
use sen_core::model::verdict::Severity;
use sen_core::systems::sentinel::verdict::State;
use sen_core::systems::sentinel::{LeaseFilter, LeaseOrder, LeaseState};

use crate::args::{Changed, Paging, choice};
use crate::commands::page::{self, AttentionFirst, Shown};
use crate::completion::live::{Completes, Live};
use crate::session::Session;
use crate::views::CommandOutput;

/// List leases
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen list                                    what needs attention, then the latest expiry: 100 in all
  sen list --uncertain --older-than 10m
  sen list -n payments --state stalled,uncertain
  sen list --limit 0 -o jsonl > leases.jsonl  everything, streamed in stored order")]
pub struct Args {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = choice::<LeaseState>())]
    pub state: Vec<LeaseState>,

    /// Only keys of this namespace
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    /// Owner prefix: a host, or host:pid
    #[arg(long, value_name = "TEXT")]
    pub owner: Option<String>,

    /// Only leases that have expired
    #[arg(long)]
    pub expired: bool,

    /// Short for --state uncertain
    #[arg(long)]
    pub uncertain: bool,

    #[command(flatten)]
    pub changed: Changed,

    /// Order: expires, updated, token (newest or largest first) or key [default: what needs attention first, then expires; stored order with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = choice::<LeaseOrder>())]
    pub sort: Option<LeaseOrder>,

    #[command(flatten)]
    pub paging: Paging,
}

fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let mut states = args.state;
    if args.uncertain {
        states.push(LeaseState::Uncertain);
    }
    let filter = LeaseFilter {
        states,
        namespace: args.namespace,
        owner: args.owner,
        expired: args.expired,
        period: args.changed.into(),
        page: args.paging.page(args.sort, &["execution_result"], &session.globals)?,
    };
    let database = session.read().await?;
    if filter.states.is_empty() && page::is_for_attention(&filter.page, session) {
        let shown = AttentionFirst {
            command: &["sen", "list"],
            look: &["sen", "why"],
            nouns: "leases",
            tone: ("state", severity),
            narrowed: LeaseFilter { page: Page::default(), ..filter.clone() } != LeaseFilter::default(),
            urgent: None,
        };
        let leases = database.leases()?;
        let ask = async |which| {
            let states = page::states_for(which, severity);
            leases.list(&LeaseFilter { states, ..filter.clone() }).await
        };
        return page::attention_first(&database, shown, &args.paging, ask).await;
    }
    let listing = database.leases()?.list(&filter).await?;
    let shown = Shown { nouns: "leases", tone: Some(("state", severity)), pages: false, look: &["sen", "why"] };
    Ok(page::list(listing, database, &args.paging, shown, session))
}
