//! `sen report`: an incident for a ticket, in Markdown or as data. It judges nothing: what it tells is what `inspect`, `why`,
//! `timeline`, `status` and the journal of operations tell.

mod incident;
mod operation;
mod operations;
mod page;

use std::collections::HashSet;

use sen_core::error::{Error, Result};
use sen_core::ops::inspect;
use sen_core::registry::Database;

use self::incident::Incident;
use super::inspect::stored_key;
use super::timeline::{MOST, with_journal};
use super::{apply, pick};
use crate::args::Happened;
use crate::completion::live::{Completes, Live};
use crate::journal::{self, Entry};
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, Detail, DetailsView, View};

/// Write an incident as Markdown for a ticket: states, causes, what happened, what was done, what is left
///
/// Of keys and ids, of an operation and its targets, or with --since alone of what needs attention now and of the operations
/// of that time. Everything is as seen now, by the same rules as in `sen inspect`, `sen why` and `sen timeline`; secrets are masked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen report payments:order-789 > incident.md
  sen report --op last
  sen report --since 2h
  sen report payments:order-789 --since 2h -o json | jq .next")]
pub struct Args {
    /// Keys as stored, or any ids
    #[arg(value_name = "KEY|ID", required_unless_present_any = ["operations", "since"], add = Completes(Live::Any))]
    pub keys: Vec<String>,

    /// Operation of this user's journal, with its targets: its id, a unique prefix of it, or "last"; can be repeated
    #[arg(long = "op", id = "operations", value_name = "OP")]
    pub operations: Vec<String>,

    /// Put this namespace before every key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    #[command(flatten)]
    pub happened: Happened,

    /// Maximum number of entries of what happened: the first quarter, then the newest (0 = unlimited)
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u32,
}

/// So many records are described that were not named themselves: targets of operations, what needs attention.
const IN_DEPTH: usize = 5;

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let mut named: Vec<Entry> = Vec::new();
    for id in &args.operations {
        named.push(journal::entry(id, session).await?);
    }
    for entry in &named {
        apply::must_be_here(&database, entry, session).await?;
    }
    let mut asked = Vec::new();
    for key in &args.keys {
        asked.push(crate::keys::checked_key(stored_key(args.namespace.as_deref(), key))?);
    }
    let mut errors = Vec::new();
    let operations = named.iter().map(|entry| format!("operation {}", entry.plan.operation));
    let title = asked.iter().cloned().chain(operations).collect::<Vec<String>>().join(", ");
    let mut incident = Incident::new(title, args.happened, &database).await?;
    for id in &asked {
        if !incident.add(&database, id, MOST).await? {
            errors.push(missing(&database, id).await?);
        }
    }
    if errors.len() == asked.len() && named.is_empty() && !errors.is_empty() {
        return Err(errors.remove(0));
    }
    let others = if asked.is_empty() && named.is_empty() {
        let mut gravest = pick::gravest(&database, IN_DEPTH + 1).await?;
        incident.more = gravest.len() > IN_DEPTH;
        gravest.truncate(IN_DEPTH);
        gravest.into_iter().map(|id| vec![id]).collect()
    } else {
        let mut targets: Vec<Vec<String>> = named.iter().flat_map(operations::targets).collect();
        let mut known: HashSet<String> = asked.iter().cloned().collect();
        targets.retain(|ids| ids.iter().all(|id| known.insert(id.clone())));
        incident.passed_over = targets.len().saturating_sub(IN_DEPTH);
        targets.truncate(IN_DEPTH);
        targets
    };
    'others: for ids in others {
        for id in &ids {
            if incident.add(&database, id, MOST).await? {
                continue 'others;
            }
        }
        incident.gone.extend(ids);
    }
    let entries = with_journal(std::mem::take(&mut incident.entries));
    let entries = incident.within(entries);
    incident.operations = operations::of(&incident, &entries, &named, &database, session).await?;
    incident.keep(entries, args.limit);
    let globals = &session.globals;
    let view = if globals.output == Format::Table && globals.fields.is_empty() {
        View::Text(page::markdown(&incident, globals.reveal))
    } else {
        let details = vec![Detail { value: incident.value(), blocks: Vec::new() }];
        View::Details(DetailsView { details, single: true, now: incident.now })
    };
    Ok(CommandOutput::new(view).with_errors(errors))
}

/// Why there is nothing to report of a key.
async fn missing(database: &Database, id: &str) -> Result<Error> {
    Ok(match inspect::inspect(database, id, 0).await? {
        inspect::Lookup::Missing { key, similar } => inspect::missing("key or id", &key, &similar),
        // It was created in the meantime.
        inspect::Lookup::Record(_) => inspect::missing("key or id", id, &[]),
    })
}
