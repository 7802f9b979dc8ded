//! `sen saga list`.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use sen_core::error::Result;
use sen_core::model::listing::Filter;
use sen_core::systems::saga::{self, flag};
use sen_core::time::When;

use super::common::{Shown, listed, severity};
use crate::completion::live::{Completes, Live};
use crate::args::{span, when};
use crate::session::Session;
use crate::views::CommandOutput;

/// List sagas, the one that changed last first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen saga list                                    the 100 that changed last
  sen saga list --stuck                            active without a deadline: no worker ever picks them up
  sen saga list --state failed,timed_out --name checkout --since 1h
  sen saga list --aggregation order-789
  sen saga list --limit 0 -o jsonl > sagas.jsonl   everything, streamed in stored order")]
pub struct Args {
    #[command(flatten)]
    pub matching: Matching,

    /// Order: updated, created (newest first) or deadline (earliest first) [default: updated; stored order with --limit 0]
    #[arg(long, value_name = "ORDER", value_parser = PossibleValuesParser::new(["updated", "created", "deadline"]))]
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

/// Which sagas.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which sagas")]
pub struct Matching {
    /// Only in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE,…", value_parser = PossibleValuesParser::new(saga::STATES))]
    pub state: Vec<String>,

    /// Only those of this saga definition
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Only those about this
    #[arg(long, value_name = "ID")]
    pub aggregation: Option<String>,

    /// Only active ones without a deadline, unchanged for a minute: no worker picks them up
    #[arg(long)]
    pub stuck: bool,

    /// Only those whose deadline has passed: the next poll picks them up
    #[arg(long)]
    pub due: bool,

    /// Only those whose last error contains this text
    #[arg(long, value_name = "TEXT")]
    pub where_error: Option<String>,

    /// Only those unchanged for longer than this
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub older_than: Option<Duration>,

    /// Only those changed at or after this: 2026-11-20T20:16:00Z, 2026-11-20, or 2h for two hours ago
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub since: Option<When>,

    /// Only those changed before this
    #[arg(long, value_parser = when, value_name = "TIME")]
    pub until: Option<When>,

    /// Only those in this table: its name, or schema.name
    #[arg(long, value_name = "TABLE", add = Completes(Live::SagaTable))]
    pub saga_table: Option<String>,
}

impl Matching {
    /// As a filter.
    pub fn filter(self) -> Filter {
        let flags = [(self.stuck, flag::STUCK), (self.due, flag::DUE)];
        Filter {
            states: self.state,
            function: self.name,
            parent: self.aggregation,
            flags: flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag).collect(),
            error: self.where_error,
            older_than: self.older_than,
            since: self.since,
            until: self.until,
            namespace: self.saga_table,
            ..Filter::default()
        }
    }
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let filter = Filter {
        sort: args.sort,
        reverse: args.reverse,
        limit: (args.limit > 0).then_some(args.limit),
        ..args.matching.filter()
    };
    let shown =
        Shown { nouns: "sagas", tone: ("verdict", severity), payload: "context", fail_if_empty: args.fail_if_empty };
    listed(filter, shown, session).await
}
