//! `sen history`: the events of a key.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::record::History;
use sen_core::model::subject::Kind;
use sen_core::model::value::{Row, Value};
use sen_core::ops::follow::Follower;
use sen_core::ops::{inspect, prefix};
use sen_core::registry::Database;
use sen_core::system::System;
use sen_core::systems::sentinel;
use sen_core::text::named;
use sen_core::time::{Timestamp, When};

use super::inspect::stored_key;
use crate::args::Happened;
use crate::completion::live::{Completes, Live};
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, Batch, Batches, ListView, View};

/// Show what happened to a key: its newest events, in time order
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen history payments:order-789
  sen history --limit 0 -o jsonl payments:order-789
  sen history --since 2h payments:order-789
  sen history --follow payments:order-789

`rejected` events carry the holder's token and owner, not those of the caller that was turned away. \
A `completed` or `reset` event without an owner was written by an operator.")]
pub struct Args {
    /// The key as stored; its namespace is part of it
    #[arg(value_name = "KEY", add = Completes(Live::Lease))]
    pub key: String,

    /// Put this namespace before the key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    #[command(flatten)]
    pub happened: Happened,

    /// Maximum number of events, the newest (0 = unlimited)
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u64,

    /// Go on and print new events as they are committed, until interrupted
    #[arg(short, long, conflicts_with = "until")]
    pub follow: bool,

    /// End with exit code 4 when the lease exists and has no events
    #[arg(long)]
    pub fail_if_empty: bool,
}

const POLL: Duration = Duration::from_millis(500);

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    if args.follow && session.globals.output == Format::Json {
        return Err(Error::usage("--follow never ends, and a JSON array must").with_hint("use -o jsonl"));
    }
    let key = crate::keys::checked_key(stored_key(args.namespace.as_deref(), &args.key))?;
    let database = session.read().await?;
    // A key as a list shows it, with its middle left out.
    let whole = prefix::resolve(&database, Some(sentinel::NAME), &[Kind::Lease], &key).await?;
    let key = whole.unwrap_or(key);
    let system = database.system(sentinel::NAME)?;
    let limit = (args.limit > 0).then_some(args.limit);
    let history = match within(system, &key, limit, args.happened).await {
        Ok(history) => history,
        // Before 0.5.0 no events were stored. If the key exists, a script should go on.
        Err(error) if error.kind() == ErrorKind::NoSystem && !args.follow => {
            let Some(found) = system.find(&key, 0).await?.into_iter().next() else {
                return Err(inspect::missing_lease(&key, &system.suggest(&key).await?));
            };
            return Ok(empty(found.now, &error, args.fail_if_empty));
        }
        Err(error) => return Err(error),
    };
    if history.events.is_empty() && args.happened.is_any() && system.find(&key, 0).await?.is_empty() && !args.follow {
        return Err(inspect::missing("lease or event of", &key, &system.suggest(&key).await?));
    }
    let (columns, now, older) = (history.columns, history.now, history.older);
    let mut follower = Follower::new(&key, &history.events);
    if let Some(since) = args.happened.since {
        follower = follower.since(since.resolve(now));
    }
    let event = columns.iter().position(|column| column.name == "event");
    let is_rejected = |row: &Row| event.and_then(|at| row.get(at)) == Some(&Value::Text("rejected".into()));
    let rejected = session.shows_progress() && history.events.iter().any(|event| is_rejected(&event.row));
    let notes = [
        older.then(|| format!("older events exist; these are the newest {} (--limit 0 shows all)", args.limit)),
        rejected.then(|| "rejected: another caller was turned away; OWNER is whoever held the key".to_owned()),
    ];
    let note = notes.into_iter().flatten().reduce(|left, right| format!("{left}\n{right}"));
    let rows = history.events.into_iter().map(|event| event.row).collect();
    let first = stream::iter([Ok(Batch { rows, note })]);
    let batches: Batches =
        if args.follow { Box::pin(first.chain(followed(database, follower))) } else { Box::pin(first) };
    Ok(CommandOutput::new(View::List(ListView {
        columns,
        batches,
        now,
        tone: None,
        empty: format!("no events of {}", named(&key)),
        fail_if_empty: args.fail_if_empty,
    })))
}

/// The newest `limit` events of a time, all of them when `None`.
pub(crate) async fn within(
    system: &dyn System,
    id: &str,
    limit: Option<u64>,
    happened: Happened,
) -> Result<History> {
    if happened.is_any() {
        return system.history(id, limit).await;
    }
    let since = match happened.since {
        // How long ago is a matter of the database's clock, which comes with any answer.
        Some(ago @ When::Ago(_)) => Some(ago.resolve(system.history(id, Some(1)).await?.now)),
        Some(When::At(moment)) => Some(moment),
        None => None,
    };
    let mut history = system.history_since(id, since).await?;
    history.events.retain(|event| happened.holds(event.at, history.now));
    let keep = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    history.older = history.events.len() > keep;
    history.events.drain(..history.events.len().saturating_sub(keep));
    Ok(history)
}

/// No events, and the reason.
fn empty(now: Timestamp, reason: &Error, fail_if_empty: bool) -> CommandOutput {
    let note = Batch { rows: Vec::new(), note: Some(reason.to_string()) };
    CommandOutput::new(View::List(ListView {
        columns: sentinel::EVENT_COLUMNS,
        batches: Box::pin(stream::iter([Ok(note)])),
        now,
        tone: None,
        empty: "no events".into(),
        fail_if_empty,
    }))
}

fn followed(database: Database, follower: Follower) -> Batches {
    Box::pin(stream::unfold(Some((database, follower)), |state| async {
        let (database, mut follower) = state?;
        match next_events(&database, &mut follower).await {
            Ok(rows) => Some((Ok(Batch { rows, note: None }), Some((database, follower)))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// The next events there are. While there are none the list is silent, which is what makes the screen show what it holds.
async fn next_events(database: &Database, follower: &mut Follower) -> Result<Vec<Row>> {
    loop {
        tokio::time::sleep(POLL).await;
        let events = follower.poll(database.system(sentinel::NAME)?).await?;
        if !events.is_empty() {
            return Ok(events.into_iter().map(|event| event.row).collect());
        }
    }
}
