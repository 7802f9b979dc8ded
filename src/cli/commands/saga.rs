//! `sen saga`: sagas of python-saga-orchestrator, with their outboxes and inboxes.

mod act;
mod list;
mod messages;
mod show;

use clap::Subcommand;
use futures_util::StreamExt as _;
use sen_core::error::{Error, Result};
use sen_core::model::listing::{Filter, Part};
use sen_core::model::value::Value;
use sen_core::model::verdict::Severity;
use sen_core::system::System;
use sen_core::systems::saga::{self, verdict::State};

use crate::output::Format;
use crate::session::Session;
use crate::views::{Answer, Batch, ListView, View};

/// Sagas of python-saga-orchestrator, with their outboxes and inboxes
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  sen saga list --stuck                        what no worker will ever pick up
  sen saga show order-789                      by id, aggregation id or trace id
  sen saga unstick 7f3c9a1e-… --reason INC-482
  sen saga retry --all --state failed --name checkout --dry-run
  sen saga outbox list --stuck

The tables are found by their columns, whatever they are called and in whatever schema; `sen status` names them, and \
--saga-table picks one where there are several. SQL cannot run steps: an act makes the saga due, and the worker that polls \
next (`run_due`) goes on from there. Every act names the status, token and step that were seen, and draws a new token."
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Verb {
    List(Box<list::Args>),
    Show(show::Args),
    Retry(Box<act::RetryArgs>),
    Skip(Box<act::SkipArgs>),
    Compensate(Box<act::CompensateArgs>),
    Abort(Box<act::AbortArgs>),
    Unstick(Box<act::UnstickArgs>),
    Notify(Box<act::NotifyArgs>),
    Outbox(messages::OutboxArgs),
    Inbox(messages::InboxArgs),
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<Answer> {
    match args.verb {
        Verb::List(args) => list::run(*args, session).await,
        Verb::Show(args) => show::run(args, session).await,
        Verb::Retry(args) => act::retry(*args, session).await,
        Verb::Skip(args) => act::skip(*args, session).await,
        Verb::Compensate(args) => act::compensate(*args, session).await,
        Verb::Abort(args) => act::abort(*args, session).await,
        Verb::Unstick(args) => act::unstick(*args, session).await,
        Verb::Notify(args) => act::notify(*args, session).await,
        Verb::Outbox(args) => messages::outbox(args, session).await,
        Verb::Inbox(args) => messages::inbox(args, session).await,
    }
}

/// How severe a verdict on a saga is.
fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}

/// How a list is shown.
struct Shown {
    nouns: &'static str,
    tone: (&'static str, fn(&str) -> Severity),
    payload: &'static str,
    fail_if_empty: bool,
}

/// Lists what matches.
async fn listed(mut filter: Filter, shown: Shown, session: &Session) -> Result<Answer> {
    let globals = &session.globals;
    if filter.kind.is_empty() && filter.reverse && filter.limit.is_none() && filter.sort.is_none() {
        return Err(Error::usage("--reverse needs --sort when everything is streamed in stored order"));
    }
    let asked = globals.fields.iter().any(|field| field == shown.payload);
    filter.payloads = asked || (globals.fields.is_empty() && globals.output != Format::Table);
    let database = session.read().await?;
    let listing = database.system(saga::NAME)?.list(&filter).await?;
    let (limit, nouns) = (filter.limit.unwrap_or_default(), shown.nouns);
    let batches = listing.parts.map(move |part| {
        // The connection lives as long as its rows are read.
        let _open = &database;
        let Part { rows, more } = part?;
        let note = more.then(|| format!("more {nouns} match; these are the first {limit} (--limit 0 lists all)"));
        Ok(Batch { rows, note })
    });
    Ok(Answer::new(View::List(ListView {
        columns: listing.columns,
        batches: Box::pin(batches),
        now: listing.now,
        tone: Some(shown.tone),
        empty: format!("no {nouns} match"),
        fail_if_empty: shown.fail_if_empty,
    })))
}

/// The ids of all sagas that match: the set of a bulk act, fixed before anything is written.
async fn ids(system: &dyn System, filter: &Filter) -> Result<Vec<String>> {
    let mut listing = system.list(filter).await?;
    let mut ids = Vec::new();
    while let Some(part) = listing.parts.next().await {
        ids.extend(part?.rows.into_iter().filter_map(|mut row| match row.swap_remove(0) {
            Value::Text(id) => Some(id),
            _ => None,
        }));
    }
    Ok(ids)
}
