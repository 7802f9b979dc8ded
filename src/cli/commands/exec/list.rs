//! `sen exec list`: durable executions.

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
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = PossibleValuesParser::new(stent::EXECUTION_STATES))]
    pub state: Vec<String>,

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

    /// Only those of which a worker whose name begins so has had a task
    #[arg(long, value_name = "TEXT", add = Completes(Live::Worker))]
    pub worker: Option<String>,

    /// Only those whose error, or that of one of their tasks, contains this text
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

    /// Begin behind this execution: the last one of the page before
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
        kind: "execution",
        states: args.state,
        queue: args.queue,
        function: args.function,
        tag: args.tag,
        worker: args.worker,
        error: args.where_error,
        flags: if args.stuck { vec!["stuck"] } else { Vec::new() },
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
        nouns: "executions",
        tone: severity,
        payloads: &["args", "kwargs", "result", "outcome", "codec"],
        fail_if_empty: args.fail_if_empty,
    };
    page::list(filter, page, session).await
}
