//! `sen dlq replay`: runs dead letters again.

use sen_core::error::Result;
use sen_core::letters::ReplayOptions;
use sen_core::ops::{prefix, related as related_keys};

use super::edit::EditOptions;
use super::filter::{DeadLetterFilter, SELECTION, dead_letter_systems, planned};
use crate::completion::live::{Completes, Live};
use crate::commands::act::{ActionOptions, apply_braked};
use crate::commands::brakes::BrakeOptions;
use crate::commands::related;
use crate::consent;
use crate::session::Session;
use crate::views::CommandOutput;

/// Run dead letters again, each exactly once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen dlq replay 4f0c1f6e-5a52-4a53-93f1-2f6b5ad1f3c0
  sen dlq replay --group 3b1f0a92cc --dry-run
  sen dlq replay --since 2h --where-error timeout --expect 128 --yes --reason INC-482
  sen dlq replay --all --rate 50/s --yes
  sen dlq replay --all --queue slow --limit 1000 --newest-first --yes
  sen dlq replay 4f0c1f6e-5a52-4a53-93f1-2f6b5ad1f3c0 --edit
  sen dlq replay --group 3b1f0a92cc --set .amount=12.5 --dry-run
  sen dlq replay --all --canary 20 --abort-above 10% --yes

The set is fixed when the command starts: what dies later is not touched. Each dead letter becomes a task whose id follows from \
the dead letter, in one transaction with its removal, so that two operators, a retry or a lost connection cannot run it \
twice; the task that died keeps its id and its arguments. Dead letters whose replay makes no sense are named and skipped unless --force is given. \
The original tool replaying the same dead letters at the same time can still copy them: such copies are reported, exit code 3.")]
pub struct Args {
    /// Dead letter ids
    #[arg(value_name = "ID", conflicts_with = "all", add = Completes(Live::DeadLetter))]
    pub ids: Vec<String>,

    /// Every dead letter
    #[arg(long, help_heading = SELECTION)]
    pub all: bool,

    /// Only of this queue; `default` also means without one
    #[arg(long, value_name = "NAME", help_heading = SELECTION, add = Completes(Live::Queue))]
    pub from_queue: Option<String>,

    #[command(flatten)]
    which: DeadLetterFilter,

    /// Maximum number of dead letters (0 = unlimited)
    #[arg(long, help_heading = SELECTION, value_name = "N")]
    pub limit: Option<u64>,

    /// The newest first; the oldest otherwise
    #[arg(long, help_heading = SELECTION)]
    pub newest_first: bool,

    /// Put them into this queue instead of their own
    #[arg(long, value_name = "NAME", add = Completes(Live::Queue))]
    pub queue: Option<String>,

    /// Maximum rate: 50/s, 600/m or 10000/h
    #[arg(long, value_parser = rate, value_name = "N/s")]
    pub rate: Option<f64>,

    /// So many per transaction [default: 500]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub batch: Option<u32>,

    /// Also those that would be skipped (the plan says what then happens)
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    edit: EditOptions,

    #[command(flatten)]
    brakes: BrakeOptions,

    #[command(flatten)]
    options: ActionOptions,
}

/// Reads a rate for clap: so many a second.
fn rate(text: &str) -> Result<f64, String> {
    let bad = || format!("{text:?} is not a rate: write it like 50/s, 600/m or 10000/h");
    let (number, unit) = text.split_once('/').ok_or_else(bad)?;
    let number: f64 = number.trim().parse().map_err(|_| bad())?;
    let seconds = match unit.trim() {
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let rate = number / seconds;
    (rate.is_finite() && rate > 0.0).then_some(rate).ok_or_else(bad)
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    args.which.named(&args.ids, args.from_queue.as_ref(), args.all)?;
    args.edit.must_be_of_one(&args.ids, &args.which.group, args.all)?;
    let mut acting = args.options;
    acting.brakes = args.brakes;
    args.edit.must_have_an_editor(acting.yes || acting.confirm.is_some() || acting.only_plans(), session)?;
    let database = acting.database(session).await?;
    let only = args.which.system.as_deref();
    let ids = acting.whole_ids(&database, only, prefix::DEAD_LETTERS, args.ids.clone()).await?;
    let mut filter = args.which.filter(&ids, args.from_queue.as_ref())?;
    filter.limit = args.limit.filter(|limit| *limit > 0);
    filter.newest_first = args.newest_first;
    let options = ReplayOptions { queue: args.queue, batch: args.batch, rate: args.rate, force: args.force };
    // What is edited is looked at, or consented to by --yes.
    let narrowed = args.edit.any() || args.all || args.force || !args.which.is_empty(args.from_queue.as_ref());
    let dead_letter_systems = dead_letter_systems(&database, only).await?;
    let (edit, scratch) = args.edit.wanted(&ids, &dead_letter_systems, session).await?.unzip();
    let answer = async {
    let (mut action, letters) = planned(&dead_letter_systems, &filter, async |letters, filter| match &edit {
        None => letters.plan_replay(filter, &options).await,
        Some(edit) => letters.plan_edited_replay(filter, &options, edit).await,
    })
    .await?;
    let related = related_keys::of_letters(&database, letters, &filter).await?;
    acting.yes |= !narrowed && consent::by_whole_id(session, &*action, &args.ids);
    related::warn(action.plan_mut(), related, &acting, session);
    let nothing = action.plan().targets() == 0;
    Ok((apply_braked(&database, action, &acting, session).await?, nothing))
    };
    let answer = answer.await;
    // What was typed is not lost where it was not written.
    if let Some(scratch) = scratch.flatten()
        && answer.as_ref().map_or(true, |(_, nothing)| *nothing)
    {
        session.note(scratch.kept());
    }
    answer.map(|(answer, _)| answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(rate("50/s"), Ok(50.0));
        assert_eq!(rate("600/m"), Ok(10.0));
        assert_eq!(rate("3600 / h"), Ok(1.0));
        for bad in ["50", "0/s", "-1/s", "x/s", "5/d", "inf/s", ""] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
