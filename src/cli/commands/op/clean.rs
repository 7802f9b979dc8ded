//! `sen op clean`: removes journals that are no longer needed.

use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::value::Value;
use sen_core::time::Timestamp;

use crate::args::span;
use crate::consent;
use crate::journal::{self, Entry, State};
use crate::session::Session;
use crate::times::{Precision, Times};
use crate::views::{Block, CommandOutput, Detail, DetailsView, View};

/// Remove the journals of operations that ended long ago
///
/// Without its journal an operation can no longer be shown, resumed or taken back from here, and its plan is no longer known as
/// applied. The records of what was changed stay in the systems' own tables. What runs, was interrupted, or has an unknown
/// outcome is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen op clean --older-than 90d --dry-run\n  sen op clean --older-than 90d --yes")]
pub struct Args {
    /// Only operations that were last acted on longer ago than this
    #[arg(long, value_parser = span, value_name = "SPAN")]
    older_than: Duration,

    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask; scripts need it
    #[arg(short, long)]
    yes: bool,

    /// Also what was interrupted or has an unknown outcome; never what runs
    #[arg(long)]
    force: bool,
}

/// How many operations are shown to people.
const SHOWN: usize = 20;

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<CommandOutput> {
    let (entries, unreadable) = journal::entries(session, None).await;
    unreadable.iter().for_each(|error| session.warn(error.in_full()));
    let now = Timestamp::here();
    let bound = now.minus(args.older_than);
    let mut old: Vec<Entry> = entries
        .into_iter()
        .filter(|entry| entry.is_here() && entry.last().is_some_and(|at| at < bound))
        .collect();
    old.reverse();
    let (chosen, kept): (Vec<Entry>, Vec<Entry>) = old.into_iter().partition(|entry| match entry.state {
        State::Done | State::Undone | State::Partial => true,
        State::Interrupted | State::Open | State::Unknown => args.force,
        State::Running => false,
    });
    let count = |count: usize| if count == 1 { "1 journal".to_owned() } else { format!("{count} journals") };
    let mut lines: Vec<String> = chosen.iter().take(SHOWN).map(line).collect();
    if chosen.len() > SHOWN {
        lines.push(format!("… and {} more (-o json has all)", chosen.len() - SHOWN));
    }
    let mut errors = Vec::new();
    let mut removed: Vec<&Entry> = chosen.iter().collect();
    if chosen.is_empty() {
        lines.push("no journal is removed".into());
    } else if args.dry_run {
        lines.push(format!("{} would be removed", count(chosen.len())));
    } else {
        if !args.yes {
            let what = format!("remove {} for good; these operations can then no longer be shown or taken back", count(chosen.len()));
            if !session.can_ask() {
                return Err(Error::new(ErrorKind::Refused, format!("not confirmed: {what}"))
                    .with_hint("look with --dry-run, then pass --yes to consent"));
            }
            session.say(&lines);
            session.say(&[what]);
            if !consent::confirmed("Proceed?", false)? {
                return Err(Error::new(ErrorKind::Refused, "not confirmed; nothing was removed"));
            }
            lines.clear();
        }
        removed.retain(|entry| match entry.remove() {
            Ok(()) => true,
            Err(error) => {
                errors.push(error);
                false
            }
        });
        lines.push(format!("{} removed", count(removed.len())));
    }
    lines.extend(kept.iter().take(SHOWN).map(|entry| format!("kept, {}: {}", entry.state.name(), line(entry))));
    let value = Value::Map(vec![
        ("dry_run", Value::Bool(args.dry_run)),
        ("older_than", Value::Time(bound)),
        ("removed", Value::List(removed.into_iter().map(told).collect())),
        ("kept", Value::List(kept.iter().map(told).collect())),
    ]);
    let blocks = lines.into_iter().map(Block::Note).collect();
    let view = DetailsView { details: vec![Detail { value, blocks }], single: true, now };
    Ok(CommandOutput::new(View::Details(view)).with_errors(errors))
}

fn line(entry: &Entry) -> String {
    let at = entry.at().map_or_else(String::new, |at| Times::Rfc3339.text(at, at, Precision::Seconds) + "  ");
    format!("{}  {at}{}", entry.plan.operation, entry.plan.summary())
}

fn told(entry: &Entry) -> Value {
    Value::Map(vec![
        ("operation", Value::Text(entry.plan.operation.to_string())),
        ("at", Value::time(entry.at())),
        ("state", Value::Name(entry.state.name())),
        ("what", Value::Text(entry.plan.summary().to_owned())),
    ])
}
