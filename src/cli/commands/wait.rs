//! `sen wait`: waits until a key reaches a state.

use std::time::Duration;

use clap::ValueEnum;
use sen_core::error::Result;
use sen_core::model::value::Value;
use sen_core::ops::wait::{self, Waited};
use sen_core::systems::sentinel;
use sen_core::time::{Timestamp, Uptime};

use super::inspect::stored_key;
use crate::completion::live::{Completes, Live};
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, View};

/// Wait until a key is completed, settled or free
///
/// Ends with exit code 0 when it is, 4 when it is not there from the start (`--for completed` waits for it to come), 8 when --timeout (1m by default) has passed, and 10 as soon as the key is uncertain:
/// then waiting longer cannot help.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen wait payments:order-789 --for completed --timeout 5m && echo paid")]
pub struct Args {
    /// The key as stored; its namespace is part of it
    #[arg(value_name = "KEY", add = Completes(Live::Lease))]
    pub key: String,

    /// What to wait for
    #[arg(long = "for", value_enum, default_value_t = Goal::Settled, value_name = "STATE")]
    pub goal: Goal,

    /// Put this namespace before the key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// The result is cached
    Completed,
    /// Completed, free, or gone since (a key that is not there from the start is an error)
    Settled,
    /// Nobody holds it, or there is no such key
    Free,
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let key = crate::keys::checked_key(stored_key(args.namespace.as_deref(), &args.key))?;
    let goal = match args.goal {
        Goal::Completed => wait::Goal::Completed,
        Goal::Settled => wait::Goal::Settled,
        Goal::Free => wait::Goal::Free,
    };
    let start = Uptime::now();
    let database = session.read().await?;
    // The time limit includes the log-in.
    let limit = session.globals.timeout.unwrap_or(PATIENCE).saturating_sub(start.until(Uptime::now()));
    let waited = wait::wait(database.system(sentinel::NAME)?, &key, goal, limit).await?;
    Ok(view(&key, waited))
}

fn view(key: &str, waited: Waited) -> CommandOutput {
    let (exit, outcome, found) = match &waited {
        Waited::Reached(found) => (Exit::Done, "reached", found.as_ref()),
        Waited::TimedOut(found) => (Exit::Pending, "timed_out", found.as_ref()),
        Waited::NeedsAPerson(found) => (Exit::Attention, "needs_attention", Some(found)),
    };
    let state = found.map(|found| found.verdict.state);
    let now = found.map_or_else(Timestamp::here, |found| found.now);
    let value = Value::Map(vec![
        ("key", Value::Text(key.to_owned())),
        ("outcome", Value::Name(outcome)),
        ("state", state.map_or(Value::Null, Value::Name)),
        ("observed_at", Value::Time(now)),
    ]);
    let there = state.map_or_else(|| "no such lease".to_owned(), |state| format!("it is {state}"));
    let line = match waited {
        Waited::Reached(_) => format!("{key}: {there}"),
        Waited::TimedOut(_) => format!("{key}: time is up, {there}"),
        Waited::NeedsAPerson(_) => format!("{key}: {there} and needs a person"),
    };
    let mut blocks = vec![Block::Note(line)];
    if let Waited::NeedsAPerson(found) = waited {
        blocks.push(Block::Next(found.verdict.next));
    }
    let details = vec![Detail { value, blocks }];
    CommandOutput::new(View::Details(DetailsView { details, single: true, now })).ending(exit)
}
