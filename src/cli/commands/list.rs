//! `sen list`: leases.

use std::time::Duration;

use futures_util::StreamExt as _;
use clap::builder::PossibleValuesParser;
use sen_core::error::{Error, Result};
use sen_core::model::listing::{Filter, Part};
use sen_core::model::verdict::Severity;
use sen_core::systems::sentinel;
use sen_core::systems::sentinel::verdict::State;
use sen_core::time::When;

use crate::completion::live::{Completes, Live};
use crate::args::{span, when};
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

/// List leases
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen list                                    the 100 with the latest expiry
  sen list --uncertain --older-than 10m
  sen list -n payments --state stalled,uncertain
  sen list --limit 0 -o jsonl > leases.jsonl  everything, streamed in stored order")]
pub struct Args {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = PossibleValuesParser::new(sentinel::STATES))]
    pub state: Vec<String>,

    /// Only keys of this namespace
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    /// Only owners that begin so: a host, or host:pid
    #[arg(long, value_name = "TEXT")]
    pub owner: Option<String>,

    /// Only leases that have expired
    #[arg(long)]
    pub expired: bool,

    /// Short for --state uncertain
    #[arg(long)]
    pub uncertain: bool,

    /// Only leases unchanged for longer than this
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub older_than: Option<Duration>,

    /// Only leases changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only leases changed before this
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,

    /// Order: expires, updated, token (newest or largest first) or key [default: expires; stored order with --limit 0]
    #[arg(long, value_name = "ORDER")]
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

fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let globals = &session.globals;
    let mut states = args.state;
    if args.uncertain {
        states.push("uncertain".into());
    }
    if args.reverse && args.limit == 0 && args.sort.is_none() {
        return Err(Error::usage("--reverse needs --sort when everything is streamed in stored order"));
    }
    let asked = globals.fields.iter().any(|field| field == "execution_result");
    let filter = Filter {
        states,
        namespace: args.namespace,
        owner: args.owner,
        expired: args.expired,
        older_than: args.older_than,
        since: args.since,
        until: args.until,
        sort: args.sort,
        reverse: args.reverse,
        limit: (args.limit > 0).then_some(args.limit),
        payloads: asked || (globals.fields.is_empty() && globals.output != Format::Table),
        ..Filter::default()
    };
    let database = session.read().await?;
    let listing = database.system(sentinel::NAME)?.list(&filter).await?;
    let limit = args.limit;
    let batches = listing.parts.map(move |part| {
        // The connection lives as long as its rows are read.
        let _open = &database;
        let Part { rows, more } = part?;
        let note = more.then(|| format!("more leases match; these are the first {limit} (--limit 0 lists all)"));
        Ok(Batch { rows, note })
    });
    Ok(CommandOutput::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone: Some(("verdict", severity)),
        empty: "no leases match".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}
