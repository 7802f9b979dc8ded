//! `sen agent list`.

use std::time::Duration;

use futures_util::StreamExt as _;
use clap::builder::PossibleValuesParser;
use sen_core::error::{Error, Result};
use sen_core::model::listing::{Filter, Part};
use sen_core::systems::node;
use sen_core::time::When;

use super::common::{agents, severity};
use crate::args::{span, when};
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

/// List agent tasks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent list                                    the 100 that were submitted last
  sen agent list --dead-owner
  sen agent list --state failed --where-error overloaded --tenant acme
  sen agent list --limit 0 -o jsonl > tasks.jsonl   everything, streamed in stored order

There is no index: every list walks over all tasks, some hundred keys at a time.")]
pub struct Args {
    #[command(flatten)]
    pub matching: Matching,

    /// Order: created, updated, lease, attempts or cost, the largest first [default: created; stored order with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = PossibleValuesParser::new(["created", "updated", "lease", "attempts", "cost"]))]
    pub sort: Option<String>,

    /// The order reversed
    #[arg(long)]
    pub reverse: bool,

    /// At most so many; 0 for all, streamed
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,

    /// End with exit code 4 when nothing matches
    #[arg(long)]
    pub fail_if_empty: bool,
}

/// Which tasks.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Matching {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = PossibleValuesParser::new(node::STATES))]
    pub state: Vec<String>,

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

    /// Only tasks unchanged for longer than this
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub older_than: Option<Duration>,

    /// Only tasks changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only tasks changed before this
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,
}

impl Matching {
    /// As a filter.
    pub fn filter(self) -> Filter {
        Filter {
            states: self.state,
            parent: self.tenant,
            worker: self.owner,
            function: self.task_type,
            expired: self.expired,
            flags: if self.dead_owner { vec![node::DEAD_OWNER] } else { Vec::new() },
            error: self.where_error,
            older_than: self.older_than,
            since: self.since,
            until: self.until,
            ..Filter::default()
        }
    }
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let globals = &session.globals;
    if args.reverse && args.limit == 0 && args.sort.is_none() {
        return Err(Error::usage("--reverse needs --sort when everything is streamed in stored order"));
    }
    let asked = globals.fields.iter().any(|field| ["task_params", "result"].contains(&field.as_str()));
    let filter = Filter {
        sort: args.sort,
        reverse: args.reverse,
        limit: (args.limit > 0).then_some(args.limit),
        payloads: asked || (globals.fields.is_empty() && globals.output != Format::Table),
        ..args.matching.filter()
    };
    let database = session.read_agents().await?;
    let listing = agents(&database)?.list(&filter).await?;
    let limit = args.limit;
    let batches = listing.parts.map(move |part| {
        // The connection lives as long as its rows are read.
        let _open = &database;
        let Part { rows, more } = part?;
        let note = more.then(|| format!("more tasks match; these are the first {limit} (--limit 0 lists all)"));
        Ok(Batch { rows, note })
    });
    Ok(CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone: Some(("verdict", severity)),
        empty: "no agent tasks match".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}
