//! `sen wait`: waits until records have settled or reached a state.

mod op;

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::record::Record;
use sen_core::model::subject::Kind;
use sen_core::model::value::Value;
use sen_core::ops::wait::{self, Answer, Goal, KINDS, Target, Waited};
use sen_core::time::{Timestamp, Uptime};

use super::inspect::{stored_key, worse};
use crate::completion::live::{Completes, Live};
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{Block, CommandOutput, Detail, DetailsView, View};

/// Wait until a lease, execution, task, saga, message or agent task has settled
///
/// Settled means: nothing of it is under way, and it needs no person. Ends with exit code 0 when it is so, or in the state of
/// --for; 8 when --timeout (1m by default) has passed; 10 as soon as waiting longer cannot help: it is uncertain, has failed, or
/// has ended in another state; 4 when it is not there. A dead letter that was replayed is followed to the task that it became.
/// A key without a lease is free; --for completed waits for a lease that is not there yet. Of several ids the worst code counts.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  sen wait payments:order-789 --for completed --timeout 5m && echo paid
  sen wait 9b2f6c1e-4f0e-4a55-9a5b-0c7d2f1f7a10        an execution: 0 once it has completed, 10 if it failed
  sen dlq replay -o json ID | jq -r '.results[].new_id' | xargs sen wait --timeout 2m
  sen wait op 0f3c --timeout 10m                       until everything that an operation has begun has ended"
)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Option<Verb>,

    /// Keys as stored, with their namespace, or ids
    #[arg(required = true, value_name = "KEY|ID", add = Completes(Live::Any))]
    pub ids: Vec<String>,

    /// What to wait for: `settled`, or a state of its kind
    #[arg(long = "for", value_parser = goal(), default_value = SETTLED, value_name = "STATE", hide_possible_values = true)]
    pub goal: Goal,

    /// Of several records with this id, the one of this kind (without it, a lease)
    #[arg(long, value_parser = kind(), value_name = "KIND", hide_possible_values = true)]
    pub kind: Option<Kind>,

    /// Put this namespace before the key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,
}

/// What else can be waited for.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    Op(op::Args),
}

const SETTLED: &str = "settled";

const PATIENCE: Duration = Duration::from_secs(60);

/// Every state of every kind, for completion and for the error that names them.
fn goal() -> impl TypedValueParser<Value = Goal> {
    let mut states: Vec<&'static str> = KINDS.into_iter().flat_map(wait::states).collect();
    states.sort_unstable();
    states.dedup();
    let values = [SETTLED].into_iter().chain(states).map(PossibleValue::new);
    PossibleValuesParser::new(values).map(|name| if name == SETTLED { Goal::Settled } else { Goal::State(name) })
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(KINDS.map(Kind::name))
        .try_map(|name| KINDS.into_iter().find(|kind| kind.name() == name).ok_or("no such kind"))
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let start = Uptime::now();
    if let Some(Verb::Op(operation)) = &args.verb {
        // What stands before it would be dropped silently.
        if !args.ids.is_empty() || args.goal != Goal::Settled || args.kind.is_some() || args.namespace.is_some() {
            return Err(Error::usage("`sen wait op` takes one operation, and neither keys nor --for, --kind or --namespace")
                .with_hint("a key that is called op is waited for with `sen wait -- op`"));
        }
        return op::run(operation, session, start.plus(session.globals.timeout.unwrap_or(PATIENCE))).await;
    }
    let database = session.read().await?;
    let only = args.namespace.as_ref().map_or(args.kind, |_| Some(Kind::Lease));
    let single = args.ids.len() == 1;
    let (mut details, mut errors, mut exit) = (Vec::new(), Vec::new(), Exit::Done);
    let mut now = Timestamp::NEG_INFINITY;
    for id in &args.ids {
        let id = crate::keys::checked_key(stored_key(args.namespace.as_deref(), id))?;
        // The time limit includes the log-in, and is that of all of them together.
        let limit = session.globals.timeout.unwrap_or(PATIENCE).saturating_sub(start.until(Uptime::now()));
        match wait::wait(&database, &id, &args.goal, only, limit).await {
            Ok(answer) => {
                let (detail, ended, seen) = told(answer);
                exit = worse(exit, ended);
                now = now.max(seen);
                details.push(detail);
            }
            // The others are waited for; this is reported at the end.
            Err(error) if !single && error.kind() == ErrorKind::NotFound => {
                exit = worse(exit, Exit::NotFound);
                errors.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    if errors.is_empty() {
        // What was found was waited for; what else could have this name is a remark, and no failure.
        session.denied().into_iter().for_each(|error| session.warn(error.in_full()));
    }
    let view = View::Details(DetailsView { details, single, now });
    Ok(CommandOutput::new(view).ending(exit).with_errors(errors))
}

/// How waiting for one record ended, for people and as data.
fn told(Answer { target, waited }: Answer) -> (Detail, Exit, Timestamp) {
    let Target { subject, instead_of } = target;
    let (exit, outcome, found) = match waited {
        Waited::Reached(found) => (Exit::Done, "reached", found),
        Waited::TimedOut(found) => (Exit::Pending, "timed_out", found),
        Waited::NeedsAPerson(found) => (Exit::Attention, "needs_attention", Some(found)),
        Waited::EndedOtherwise(found) => (Exit::Attention, "ended_otherwise", Some(found)),
    };
    let now = found.as_ref().map_or_else(Timestamp::here, |found| found.now);
    let verdict = found.map(|Record { verdict, .. }| verdict);
    let state = verdict.as_ref().map(|verdict| verdict.state);
    let name = match &instead_of {
        Some(letter) => format!("{letter}, replayed as task {}", subject.id),
        None => subject.id.clone(),
    };
    let there = match state {
        Some(state) => format!("it is {}", state.replace('_', " ")),
        None => format!("no such {}", subject.kind.words()),
    };
    let line = match outcome {
        "timed_out" => format!("{name}: time is up, {there}"),
        "needs_attention" => format!("{name}: {there} and needs a person"),
        "ended_otherwise" => format!("{name}: {there}, so waiting longer cannot help"),
        _ => format!("{name}: {there}"),
    };
    let mut blocks = vec![Block::Note(line)];
    let next = verdict.filter(|_| exit == Exit::Attention).map(|verdict| verdict.next).unwrap_or_default();
    let id = instead_of.as_ref().unwrap_or(&subject.id).clone();
    let value = Value::Map(vec![
        ("subject", Value::Text(subject.to_string())),
        ("system", Value::Name(subject.system)),
        ("id", Value::Text(id)),
        ("new_id", Value::text(instead_of.as_ref().map(|_| subject.id.clone()))),
        ("outcome", Value::Name(outcome)),
        ("state", state.map_or(Value::Null, Value::Name)),
        ("next", sen_core::model::steps::values(&next)),
        ("observed_at", Value::Time(now)),
    ]);
    if !next.is_empty() {
        blocks.push(Block::Next(next));
    }
    (Detail { value, blocks }, exit, now)
}
