//! `sen timeline`: what happened to a key and everything related to it, in one order of time.

use std::collections::HashMap;

use futures_util::stream;
use sen_core::error::Result;
use sen_core::model::columns;
use sen_core::model::timeline::{TimeBasis, TimelineEntry, ordered};
use sen_core::model::value::{Row, Value};
use sen_core::model::verdict::Severity;
use sen_core::ops::timeline::{Timeline, timeline};
use sen_core::ops::{inspect, inspect::Lookup, prefix};
use sen_core::time::Timestamp;

use super::inspect::stored_key;
use crate::args::Happened;
use crate::completion::live::{Completes, Live};
use crate::journal;
use crate::session::Session;
use crate::views::{Batch, CommandOutput, ListView, View};

/// Show what happened to a key or id and to everything related to it, in one order of time
///
/// Lease events, executions, steps, retries, dead letters, sagas, messages, and what operators did, of the same records as in
/// `sen why`. Where no time is recorded an entry stands behind the one before it, and `≥` marks its time: then or later.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen timeline payments:order-789
  sen timeline --since 2h order-789
  sen timeline -o jsonl order-789 | jq 'select(.who != null)'
  sen timeline -o csv --limit 0 order-789 > order-789.csv

`clock` in -o json says whose time it is: of the database, of a worker (in the zone of --worker-timezone where it stores none), \
of this user's `journal` of operations, or `after`: not recorded, at this time or later.")]
pub struct Args {
    /// The key as stored, or any id
    #[arg(value_name = "KEY|ID", add = Completes(Live::Any))]
    pub id: String,

    /// Put this namespace before the key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    #[command(flatten)]
    pub happened: Happened,

    /// Maximum number of entries, the newest (0 = unlimited)
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub limit: u32,

    /// End with exit code 4 when nothing happened in that time
    #[arg(long)]
    pub fail_if_empty: bool,
}

/// So many events of one record are read at most: a key that is claimed every second has a million.
pub(super) const MOST: u32 = 10_000;

columns! {
    /// The columns of what happened.
    pub(super) COLUMNS,
    /// An entry under them.
    pub(super) fn entry_row(entry: TimelineEntry) {
        let at = if entry.basis == TimeBasis::After { Value::NotBefore(entry.at) } else { Value::Time(entry.at) };
        let reason = match (&entry.why, &entry.error) {
            (Some(why), Some(error)) => Some(format!("{why}; {error}")),
            (why, error) => why.as_ref().or(error.as_ref()).cloned(),
        };
    }
    "at", "TIME", Moment => at;
    "system", "SYSTEM", Wide => Value::Name(entry.subject.system);
    "what", "WHAT", Short => Value::Text(entry.what);
    "state", "STATE", Wide => Value::text(entry.state);
    "who", "WHO", Short => Value::text(entry.who);
    "reason", "WHY OR ERROR", Short => Value::text(reason);
    "kind", "KIND", Asked => Value::Name(entry.subject.kind.name());
    "id", "ID", Wide => Value::Text(entry.subject.id);
    "why", "WHY", Asked => Value::text(entry.why);
    "error", "ERROR", Asked => Value::text(entry.error);
    "operation", "OPERATION", Asked => Value::text(entry.operation);
    "clock", "CLOCK", Asked => Value::Name(entry.basis.name());
}

/// How severe a state is that followed: an end without success is shown as lists show it.
fn severity(state: &str) -> Severity {
    match state {
        "failed" | "error" | "dead" | "timed_out" | "timeout" | "expired" => Severity::Warning,
        "reconciling" | "running" | "executing" | "waiting" => Severity::Pending,
        _ => Severity::Ok,
    }
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let mut id = crate::keys::checked_key(stored_key(args.namespace.as_deref(), &args.id))?;
    // What `--until` leaves out must not use up the newest ones; one more shows whether there are older ones.
    let most = if args.limit == 0 || args.happened.until.is_some() { MOST } else { args.limit.saturating_add(1).min(MOST) };
    let mut told = timeline(&database, &id, most).await?;
    if told.links.is_empty()
        && told.entries.is_empty()
        && let Some(whole) = prefix::resolve(&database, None, prefix::ANY, &id).await?
    {
        told = timeline(&database, &whole, most).await?;
        id = whole;
    }
    let Timeline { entries, links, cut, unsearched, now } = told;
    if links.is_empty() && entries.is_empty() {
        return Err(match inspect::inspect(&database, &id, 0).await? {
            Lookup::Missing { key, similar } => inspect::missing("key or id", &key, &similar),
            // It was created in the meantime.
            Lookup::Record(_) => inspect::missing("key or id", &id, &[]),
        });
    }
    let now = now.unwrap_or_else(Timestamp::here);
    let (entries, older) = chosen(with_journal(entries), &args, now);
    let mut notes = Vec::new();
    if older {
        notes.push(format!("older entries exist; these are the newest {} (--limit 0 shows all)", args.limit));
    }
    if cut {
        notes.push("more related records exist (limit reached)".into());
    }
    if unsearched {
        notes.push("there was too much to search through for what mentions it".into());
    }
    let note = (!notes.is_empty()).then(|| notes.join("\n"));
    let rows: Vec<Row> = entries.into_iter().map(entry_row).collect();
    Ok(CommandOutput::new(View::List(ListView {
        columns: COLUMNS,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note })])),
        now,
        tone: Some(("state", severity)),
        empty: "nothing happened in that time".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}

/// The same with the times that this user's journal has of acts of which the system recorded none.
pub(super) fn with_journal(mut entries: Vec<TimelineEntry>) -> Vec<TimelineEntry> {
    let mut known = HashMap::new();
    for entry in entries.iter_mut().filter(|entry| entry.basis == TimeBasis::After) {
        let Some(operation) = &entry.operation else { continue };
        let acted = known.entry(operation.clone()).or_insert_with(|| journal::acted(operation));
        match *acted {
            // One moment, as exactly as it is shown to people; of a longer operation only its beginning is sure.
            Some((first, last)) if last.micros_since(first) < 1_000_000 => {
                (entry.at, entry.basis) = (last, TimeBasis::Journal);
            }
            Some((first, _)) => entry.at = entry.at.max(first),
            None => {}
        }
    }
    ordered(entries)
}

/// The newest entries of the time asked for, and whether older ones are left out.
fn chosen(mut entries: Vec<TimelineEntry>, args: &Args, now: Timestamp) -> (Vec<TimelineEntry>, bool) {
    entries.retain(|entry| args.happened.holds(entry.at, now));
    let keep = if args.limit == 0 { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let older = entries.len() > keep;
    entries.drain(..entries.len().saturating_sub(keep));
    (entries, older)
}
