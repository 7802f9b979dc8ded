//! `sen wait op`: waits until everything that an operation has begun has ended.

use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::course::{Course, Tally};
use sen_core::model::report::Outcome;
use sen_core::model::value::Value;
use sen_core::model::verdict::NextCommand;
use sen_core::time::{Timestamp, Uptime};

use crate::commands::brakes::resuming;
use crate::commands::followed::Standings;
use crate::commands::op::untold;
use crate::exit::Exit;
use crate::journal::{self, Entry, State};
use crate::session::Session;
use crate::views::{Block, CommandOutput, Detail, DetailsView, View};

/// Wait until everything that an operation has begun has ended
///
/// Its targets are followed as `sen op show` does. Ends with exit code 0 when all have ended well; 8 when --timeout (1m by
/// default) has passed; 10 when all have ended and some need a person: they died again or are stuck, or the operation was stopped
/// before everything was begun, has failed with some of it, or has done nothing; 4 when it is not in this user's journal, or when targets no longer exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen wait op 0f3c --timeout 10m
  sen wait op last && echo 'it helped'")]
pub struct Args {
    /// The operation's id, or a unique prefix of it; "last" is the newest
    #[arg(value_name = "OP")]
    pub id: String,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the last answer may take after the time limit.
const MARGIN: Duration = Duration::from_secs(2);

/// Runs it.
pub async fn run(args: &Args, session: &Session, end: Uptime) -> Result<CommandOutput> {
    let mut entry = journal::entry(&args.id, session).await?;
    let id = entry.plan.operation.to_string();
    let (mut followed, mut pause) = (None, FIRST_PAUSE);
    loop {
        let begun = Uptime::now();
        if followed.is_none()
            && let Some(standings) = Standings::of(&entry, session).await?
        {
            let database = standings.database(&entry, session).await?;
            followed = Some((standings, database));
        }
        if let Some((standings, database)) = &mut followed {
            let limit = begun.until(end) + MARGIN;
            tokio::time::timeout(limit, standings.look(&entry, database)).await.map_err(|_| late())??;
        }
        let standings = followed.as_ref().map(|(standings, _)| standings);
        let tally = standings.map(Standings::tally).unwrap_or_default();
        // Of what has not ended elsewhere nobody can tell whether it runs.
        let may_run = matches!(entry.state, State::Running | State::Open);
        let is_over = !may_run && tally.sum(Course::is_open) == 0;
        if is_over || begun.until(end).is_zero() {
            return Ok(told(&entry, standings, tally, is_over));
        }
        // What takes long is asked less often.
        let took = begun.until(Uptime::now());
        tokio::time::sleep(pause.max(took).min(begun.until(end))).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        if may_run {
            entry = journal::entry(&id, session).await?;
        }
    }
}

fn late() -> Error {
    Error::new(ErrorKind::Pending, "time is up, and the database did not answer the last question")
        .with_hint("check the server and the network to it")
}

/// How the waiting ended, for people and as data.
fn told(entry: &Entry, standings: Option<&Standings>, tally: Tally, is_over: bool) -> CommandOutput {
    let id = entry.plan.operation.to_string();
    let stopped = matches!(entry.state, State::Interrupted | State::Unknown) || entry.untold > 0;
    let done = [Outcome::Applied, Outcome::AlreadyDone].map(|outcome| entry.count(outcome)).iter().sum::<u64>();
    // Nothing that was wanted was done, or some of it has failed: nobody is to read that as a success.
    let failed = entry.state == State::Partial && (done == 0 || entry.count(Outcome::Failed) > 0);
    let (exit, outcome) = match () {
        () if !is_over => (Exit::Pending, "timed_out"),
        () if stopped || failed || tally.sum(Course::is_bad) > 0 => (Exit::Attention, "needs_attention"),
        () if tally.of(Course::Unknown) > 0 => (Exit::NotFound, "unknown"),
        () => (Exit::Done, "reached"),
    };
    let how = standings.map_or_else(|| "nothing of it is known to go on".to_owned(), Standings::words);
    let how = untold(entry).map_or(how.clone(), |untold| format!("{how}; {untold}"));
    let state = entry.state.name();
    let line = match outcome {
        "timed_out" => format!("operation {id}: time is up, it is {state}: {how}"),
        "needs_attention" => format!("operation {id}: it is {state} and needs a person: {how}"),
        _ => format!("operation {id}: it is {state}: {how}"),
    };
    let mut next = Vec::new();
    if exit != Exit::Done {
        next.push(NextCommand::new(&["sen", "op", "show"], "each target and how it stands").id(&id));
    }
    if stopped || entry.count(Outcome::Failed) > 0 {
        next.push(resuming(&id, &entry.brakes));
    }
    let value = Value::Map(vec![
        ("operation", Value::Text(id)),
        ("outcome", Value::Name(outcome)),
        ("state", Value::Name(state)),
        ("followed", standings.map_or(Value::Null, Standings::value)),
        ("next", sen_core::model::steps::values(&next)),
    ]);
    let mut blocks = vec![Block::Note(line)];
    if !next.is_empty() {
        blocks.push(Block::Next(next));
    }
    let details = vec![Detail { value, blocks }];
    let view = View::Details(DetailsView { details, single: true, now: Timestamp::here() });
    CommandOutput::new(view).ending(exit)
}
