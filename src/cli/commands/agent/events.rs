//! `sen agent events`.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sen_core::error::{Error, Result};
use sen_core::model::value::Row;
use sen_core::registry::Database;
use sen_core::text::named;
use sen_core::time::Timestamp;

use super::common::agents;
use crate::args::Happened;
use crate::commands::history::within;
use crate::completion::live::{Completes, Live};
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, Batch, Batches, ListView, View};

/// Show the newest events of all agent tasks, or of one, in time order
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen agent events
  sen agent events task_7957eed7bf74 --limit 0
  sen agent events --since 10m
  sen agent events --follow -o jsonl

The stream is cut at about 10000 events by whoever requeues, so older ones are gone. What sen did is there, too: with the \
operation's id, who did it and why.")]
pub struct Args {
    /// Only events of this task
    #[arg(value_name = "ID", add = Completes(Live::AgentTask))]
    pub task: Option<String>,

    #[command(flatten)]
    pub happened: Happened,

    /// Maximum number of events, the newest (0 = unlimited)
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u64,

    /// Go on and print new events as they are written, until interrupted
    #[arg(short, long, conflicts_with = "until")]
    pub follow: bool,

    /// End with exit code 4 when there are none
    #[arg(long)]
    pub fail_if_empty: bool,
}

const POLL: Duration = Duration::from_millis(500);

/// Where following stands.
struct Follower {
    database: Database,
    task: String,
    /// The moment and the number of the newest event that was shown.
    newest: Option<(Timestamp, i64)>,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    if args.follow && session.globals.output == Format::Json {
        return Err(Error::usage("--follow never ends, and a JSON array must").with_hint("use -o jsonl"));
    }
    let task = crate::keys::checked_key(args.task.unwrap_or_default())?;
    let database = session.read_agents().await?;
    let limit = (args.limit > 0).then_some(args.limit);
    let history = within(agents(&database)?, &task, limit, args.happened).await?;
    let limit = history.events.len();
    let note = history.older.then(|| format!("older events exist; these are the newest {limit} (--limit 0 shows all)"));
    // Events written before the first one was seen count as new.
    let newest = history.events.last().map(|event| (event.at, event.id)).or(Some((history.now, 0)));
    let rows = history.events.into_iter().map(|event| event.row).collect();
    let first = stream::iter([Ok(Batch { rows, note })]);
    let empty = if task.is_empty() { "no events".into() } else { format!("no events of {}", named(&task)) };
    let batches: Batches = if args.follow {
        Box::pin(first.chain(followed(Follower { database, task, newest })))
    } else {
        Box::pin(first)
    };
    Ok(CommandOutput::new(View::List(ListView {
        columns: history.columns,
        batches,
        now: history.now,
        tone: None,
        empty,
        fail_if_empty: args.fail_if_empty,
    })))
}

fn followed(follower: Follower) -> Batches {
    Box::pin(stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(rows) => Some((Ok(Batch { rows, note: None }), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Follower {
    /// The next events there are. Ids only grow, so those after the newest one are the new ones.
    async fn next(&mut self) -> Result<Vec<Row>> {
        loop {
            tokio::time::sleep(POLL).await;
            let since = self.newest.map(|(at, _)| at);
            let history = agents(&self.database)?.history_since(&self.task, since).await?;
            let last = self.newest.map_or(i64::MIN, |(_, id)| id);
            let fresh: Vec<_> = history.events.into_iter().filter(|event| event.id > last).collect();
            if let Some(event) = fresh.last() {
                self.newest = Some((event.at, event.id));
                return Ok(fresh.into_iter().map(|event| event.row).collect());
            }
        }
    }
}
