//! `sen dlq groups`: dead letters grouped by step and error.

use futures_util::stream;
use sen_core::error::Result;
use sen_core::model::letter::{GROUP_COLUMNS, LetterGroup, group_row};
use sen_core::time::Timestamp;

use super::filter::{DeadLetterFilter, SELECTION, dead_letter_systems};
use crate::completion::live::{Completes, Live};
use crate::session::Session;
use crate::views::{CommandOutput, Batch, ListView, View};

/// Group dead letters by step and error, replayable groups first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen dlq groups
  sen dlq groups --since 1h
  sen dlq groups -o json | jq -r '.[0].group'

Errors that differ only in ids, numbers and quoted values are one: `order 77 lost` and `order 78 lost` are `order <n> lost`. \
A group's name is the same tomorrow and on every machine: sen dlq replay --group NAME")]
pub struct Args {
    /// Only of this queue; `default` also means without one
    #[arg(long, value_name = "NAME", help_heading = SELECTION, add = Completes(Live::Queue))]
    pub queue: Option<String>,

    #[command(flatten)]
    which: DeadLetterFilter,

    /// Maximum number of rows (0 = unlimited)
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u64,

    /// End with exit code 4 when nothing matches
    #[arg(long)]
    pub fail_if_empty: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let filter = args.which.filter(&[], args.queue.as_ref())?;
    let database = session.read().await?;
    let mut groups = Vec::new();
    for (system, letters) in dead_letter_systems(&database, args.which.system.as_deref()).await? {
        groups.extend(database.seen(system, letters.groups(&filter).await)?.into_iter().flatten());
    }
    if groups.is_empty() {
        database.saw_all()?;
    }
    LetterGroup::sort(&mut groups);
    let all = groups.len();
    if args.limit > 0 {
        groups.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    }
    // Only people need a hint how to go on.
    let tip =
        || "`sen dlq list --group GROUP` shows one; `sen dlq replay --group GROUP --dry-run` shows what a replay would do";
    let noted: Vec<String> = groups
        .iter()
        .filter(|_| session.shows_progress())
        .filter_map(|group| Some(format!("{}: {}", group.id, group.note.as_ref()?)))
        .collect();
    let note = (groups.len() < all)
        .then(|| format!("{} more groups (--limit 0 shows all)", all - groups.len()))
        .or_else(|| (session.shows_progress() && all > 0).then(|| tip().to_owned()));
    let note = noted.into_iter().chain(note).reduce(|left, right| format!("{left}\n{right}"));
    let rows = groups.into_iter().map(group_row).collect();
    Ok(CommandOutput::new(View::List(ListView {
        columns: GROUP_COLUMNS,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note })])),
        now: Timestamp::here(),
        tone: None,
        empty: "no dead letters match".into(),
        fail_if_empty: args.fail_if_empty,
    })))
}

#[cfg(test)]
mod tests {
    use super::LetterGroup;
    use sen_core::model::letter::GROUP_COLUMNS;
    use sen_core::model::value::Show;

    #[test]
    fn what_can_be_replayed_comes_first_and_is_said_on_a_narrow_screen() {
        let group = |count, replayable| LetterGroup {
            system: "stent",
            id: "g".into(),
            step: "charge".into(),
            error: "down".into(),
            count,
            first: None,
            last: None,
            sample: "t1".into(),
            replayable,
            note: None,
        };
        let mut groups = vec![group(9, Some(0)), group(2, Some(2)), group(4, Some(1)), group(3, None)];
        LetterGroup::sort(&mut groups);
        assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [4, 3, 2, 9]);
        let column = GROUP_COLUMNS.iter().find(|column| column.name == "replayable").unwrap();
        assert_eq!(column.show, Show::Whole);
    }
}
