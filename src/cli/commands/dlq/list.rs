//! `sen dlq list`: dead letters.

use std::cmp::Reverse;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sen_core::error::Result;
use sen_core::model::letter::{LETTER_COLUMNS, Letter, REPLAYABLE, letter_row};
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::time::Timestamp;

use super::filter::{DeadLetterFilter, SELECTION, dead_letter_systems};
use crate::completion::live::{Completes, Live};
use crate::output::Format;
use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

/// List dead letters: those that can be replayed, then the others, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen dlq list                                     the 100 newest, those that can be replayed first
  sen dlq list --group 3b1f0a92cc                  those that died alike (see `sen dlq groups`)
  sen dlq list --since 1h --where-error 'card declined'
  sen dlq list --limit 0 -o jsonl > letters.jsonl  all of them, streamed

STATE says whether it can be replayed: `replayable`, or why it is skipped.")]
pub struct Args {
    /// Only of this queue; `default` also means without one
    #[arg(long, value_name = "NAME", help_heading = SELECTION, add = Completes(Live::Queue))]
    pub queue: Option<String>,

    #[command(flatten)]
    which: DeadLetterFilter,

    /// The oldest first
    #[arg(long)]
    pub oldest_first: bool,

    /// Maximum number of rows (0 = unlimited, streamed)
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,

    /// End with exit code 4 when nothing matches
    #[arg(long)]
    pub fail_if_empty: bool,
}

/// How much a state matters.
pub fn severity(replayability: &str) -> Severity {
    if replayability == REPLAYABLE { Severity::Warning } else { Severity::Pending }
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let globals = &session.globals;
    let mut filter = args.which.filter(&[], args.queue.as_ref())?;
    filter.newest_first = !args.oldest_first;
    filter.payloads = globals.fields.iter().any(|field| field == "payload")
        || (globals.fields.is_empty() && globals.output != Format::Table);
    filter.limit = (args.limit > 0).then(|| args.limit.saturating_add(1));
    let database = session.read().await?;
    let mut now = Timestamp::NEG_INFINITY;
    let mut parts = Vec::new();
    for (system, letters) in dead_letter_systems(&database, args.which.system.as_deref()).await? {
        let Some(listed) = database.seen(system, letters.list(&filter).await)? else { continue };
        now = now.max(listed.now);
        parts.push(listed.parts);
    }
    if parts.is_empty() {
        database.saw_all()?;
    }
    if globals.output == Format::Table && args.limit > 0 && !args.oldest_first {
        let mut letters = Vec::new();
        for part in parts {
            letters.extend(part.try_concat().await?);
        }
        return Ok(page(letters, now, &args));
    }
    let limit = if args.limit == 0 { u64::MAX } else { args.limit };
    let mut left = limit;
    let mut told = false;
    let batches = stream::iter(parts).flatten().map(move |part| {
        // The connection lives as long as its rows are read.
        let _open = &database;
        let mut letters = part?;
        let keep = usize::try_from(left).unwrap_or(usize::MAX).min(letters.len());
        let more = letters.len() > keep && !told;
        told |= more;
        letters.truncate(keep);
        left -= keep as u64;
        let note = more.then(|| {
            format!(
                "more dead letters match; {limit} shown (--limit 0 lists all, `sen dlq groups` sums them up)"
            )
        });
        Ok(Batch { rows: letters.into_iter().map(letter_row).collect(), note })
    });
    Ok(CommandOutput::new(View::List(ListView {
        columns: LETTER_COLUMNS,
        batches: Box::pin(batches),
        now,
        tone: Some(("state", severity)),
        empty: "no dead letters match".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}

/// A page for people: the newest of all systems, those that can be replayed first.
fn page(mut letters: Vec<Letter>, now: Timestamp, args: &Args) -> CommandOutput {
    letters.sort_by_key(|letter| Reverse(letter.died_at));
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let more = letters.len() > limit;
    letters.truncate(limit);
    letters.sort_by_key(|letter| Reverse(severity(letter.replayability)));
    let note = footer(&letters, more, &args.which.group);
    let rows = letters.into_iter().map(letter_row).collect();
    CommandOutput::new(View::List(ListView {
        columns: LETTER_COLUMNS,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note })])),
        now,
        tone: Some(("state", severity)),
        empty: "no dead letters match".into(),
        fail_if_empty: args.fail_if_empty,
    }))
}

/// What is on the page, and what to type next.
fn footer(letters: &[Letter], more: bool, groups: &[String]) -> Option<String> {
    let first = letters.first()?;
    let replayable = letters.iter().filter(|letter| letter.is_replayable()).count();
    let mut parts = Vec::new();
    if replayable > 0 {
        parts.push(format!("{replayable} replayable"));
    }
    if replayable < letters.len() {
        parts.push(format!("{} not replayable (STATE says why)", letters.len() - replayable));
    }
    if more {
        parts.push(format!("the first {} shown, more match (--limit 0 lists all)", letters.len()));
    }
    let next = match groups {
        [group] if replayable > 0 => {
            NextCommand::new(&["sen", "dlq", "replay"], "").option("--group", group).with(&["--dry-run"])
        }
        _ if letters.len() == 1 || replayable == 0 => NextCommand::new(&["sen", "dlq", "show"], "").id(&first.id),
        _ => NextCommand::new(&["sen", "dlq", "groups"], ""),
    };
    Some(format!("{}\nnext: {}", parts.join(" · "), next.command))
}
