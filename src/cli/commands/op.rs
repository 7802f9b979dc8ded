//! `sen op`: what was done from here, and resuming what was stopped.

mod clean;

use clap::Subcommand;
use futures_util::stream;
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::columns;
use sen_core::model::prepared::SavedPlan;
use sen_core::model::report::{Item, Outcome};
use sen_core::model::text::many;
use sen_core::model::value::{Row, Value};
use sen_core::model::verdict::Severity;
use sen_core::time::Timestamp;

use super::act::{ActionOptions, carried_out, execute_part};
use super::apply::{database, restored};
use super::brakes::{BrakeOptions, resuming};
use super::dlq::discard::to_new_file;
use super::followed::{self, Standings};
use crate::exit::Exit;
use crate::fault;
use crate::journal::{self, Entry, State};
use crate::sections::objects;
use crate::session::Session;
use crate::views::{Batch, Block, CommandOutput, Detail, DetailsView, ListView, View};

/// List, show and resume operations, and clean up their journals
///
/// Every act writes its plan to $XDG_STATE_HOME/sen/operations before it changes anything, and a line for what became of each
/// target. That journal is this user's on this machine. Where the database keeps one (`sen init journal`), every act enters the same
/// there, in the transaction of each change, and all operators see all operations. The record of each change also stands in the
/// system's own tables, with the operation's id.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  sen op list\n  sen op show 0f3c\n  sen op resume 0f3c --yes"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Show(ShowArgs),
    Resume(ResumeArgs),
    Clean(clean::Args),
}

/// List operations, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen op list\n  sen op list -o jsonl | jq -r 'select(.state == \"interrupted\") | .operation'")]
struct ListArgs {
    /// Maximum number of rows (0 = unlimited)
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u64,

    /// End with exit code 4 when there are none
    #[arg(long)]
    fail_if_empty: bool,
}

/// Show an operation: its plan, what became of each target, and how its work stands now
///
/// What the act has changed is followed in the database: whether what was replayed has succeeded, has died again (of the same
/// error or of another), waits or runs. Ends with exit code 8 while some of it has not ended, then with 3 when some died again, are
/// stuck, or cannot be told. Without a database the journal alone is shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen op show 0f3c\n  sen op show 0f3c --watch\n  sen op show 0f3c -o json | jq '.results[] | select(.outcome != \"applied\")'")]
struct ShowArgs {
    /// The operation's id, or a unique prefix of it; "last" is the newest
    #[arg(value_name = "OP")]
    id: String,
}

/// Resume an operation that was stopped
///
/// What was not begun, and what failed, is taken up again with the same operation id. Every target is still guarded by what
/// the plan saw, so nothing is done twice: what the operation itself changed just before it was stopped is told as already done
/// where its record shows that, and as perhaps changed by it where no record is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen op resume 0f3c --dry-run\n  sen op resume 0f3c --yes")]
struct ResumeArgs {
    /// The operation's id, or a unique prefix of it
    #[arg(value_name = "OP")]
    id: String,

    /// Show what is left to do, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask; scripts need it for what would be asked
    #[arg(short, long)]
    yes: bool,

    /// Name of the context or database, as consent where it is production
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    confirm: Option<String>,

    #[command(flatten)]
    brakes: BrakeOptions,

    /// Of an operation that discards: write what is removed to this new file first
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    export: Option<std::path::PathBuf>,
}

columns! {
    /// The columns of operations.
    pub(super) COLUMNS,
    /// An operation under them.
    pub(super) fn entry_row(entry: &Entry) {
        let origin = entry.origin.as_ref();
        let applied = entry.count(Outcome::Applied) + entry.count(Outcome::AlreadyDone);
        let int = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    }
    "operation", "OPERATION", Whole => Value::Text(entry.plan.operation.to_string());
    "at", "TIME", Whole => Value::time(entry.at());
    "state", "STATE", Whole => Value::Name(entry.state.name());
    "applied", "DONE", Whole => int(applied);
    "targets", "OF", Whole => int(entry.targets);
    "settled", "SETTLED", Asked => int(entry.settled.len() as u64);
    "what", "WHAT", Short => Value::Text(entry.plan.summary().to_owned());
    "who", "WHO", Short => Value::text(origin.map(|origin| origin.who.clone()));
    "reason", "WHY", Short => Value::text(origin.and_then(|origin| origin.reason.clone()));
    "undone_by", "UNDONE BY", Asked => Value::text(entry.undone_by.map(|operation| operation.to_string()));
    "database", "DATABASE", Asked => Value::Text(entry.plan.database.clone());
}

columns! {
    /// The columns of what became of targets.
    pub(super) RESULTS,
    /// A target under them.
    pub(super) fn item_row(item: &Item) {}
    "subject", "TARGET", Whole => Value::Text(item.subject.to_string());
    "outcome", "OUTCOME", Whole => Value::Name(item.outcome.name());
    "detail", "DETAIL", Short => Value::Text(item.detail.clone());
    "fencing_token", "TOKEN", Asked => item.fencing_token.map_or(Value::Null, Value::Big);
    "new_id", "NEW ID", Asked => Value::text(item.new_id.clone());
}

fn severity(state: &str) -> Severity {
    match state {
        "unknown" => Severity::Critical,
        "partial" | "interrupted" | "open" => Severity::Warning,
        "running" => Severity::Pending,
        _ => Severity::Ok,
    }
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match args.verb {
        Verb::List(args) => Ok(list(&args, session).await),
        Verb::Show(args) => show(&journal::entry(&args.id, session).await?, session).await,
        Verb::Resume(args) => resume(&args, session).await,
        Verb::Clean(args) => clean::run(&args, session).await,
    }
}

async fn list(args: &ListArgs, session: &Session) -> CommandOutput {
    // One more tells that there are more.
    let most = Some(args.limit.saturating_add(1)).filter(|_| args.limit > 0);
    let (entries, unreadable) = journal::entries(session, most).await;
    unreadable.iter().for_each(|error| session.warn(error.in_full()));
    let limit = if args.limit == 0 { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let note = (entries.len() > limit).then(|| format!("{} older operations are not shown (--limit 0 shows all)", entries.len() - limit));
    let rows: Vec<Row> = entries.iter().take(limit).map(entry_row).collect();
    CommandOutput::new(View::List(ListView {
        columns: COLUMNS,
        batches: Box::pin(stream::iter([Ok(Batch { rows, note })])),
        now: Timestamp::here(),
        tone: Some(("state", severity)),
        empty: "no operations are known".into(),
        fail_if_empty: args.fail_if_empty,
    }))
}

async fn show(entry: &Entry, session: &Session) -> Result<CommandOutput> {
    let rows: Vec<Row> = entry.settled.values().map(|item| item_row(&item)).collect();
    let mut fields: Vec<(&'static str, Value)> =
        COLUMNS.iter().map(|column| column.name).zip(entry_row(entry)).collect();
    let open = entry.targets.saturating_sub(entry.settled.len() as u64 + entry.untold);
    for (name, count) in [("not_begun", open), ("untold", entry.untold)] {
        fields.push((name, Value::Int(i64::try_from(count).unwrap_or(i64::MAX))));
    }
    fields.push(("stopped", Value::text(entry.stopped.clone())));
    let (standings, failed) = match Standings::now(entry, session).await {
        Ok(standings) => (standings, None),
        Err(error) => (None, Some(error)),
    };
    let mut blocks: Vec<Block> = fields
        .iter()
        .filter(|(name, value)| *value != Value::Null && !(*name == "untold" && entry.untold == 0))
        .map(|(name, value)| Block::Field(name, value.clone()))
        .collect();
    let id = entry.plan.operation.to_string();
    blocks.extend(standings.iter().map(|standings| Block::Field("now", Value::Text(standings.words()))));
    let (shown, more) = followed::results(entry, standings.as_ref());
    if !shown.is_empty() {
        blocks.push(Block::Heading("results".into()));
        blocks.push(Block::Table(followed::RESULTS, shown));
        if more > 0 {
            blocks.push(Block::Note(format!("… and {more} more (-o json has all)")));
        }
    }
    blocks.extend(untold(entry).into_iter().flat_map(|note| [Block::Note(String::new()), Block::Note(note)]));
    if !entry.open_places().is_empty() && !matches!(entry.state, State::Running | State::Undone) {
        blocks.push(Block::Next(vec![resuming(&id, &entry.brakes)]));
    }
    fields.push(("followed", standings.as_ref().map_or(Value::Null, Standings::value)));
    fields.push(("not_followed", Value::text(failed.as_ref().map(Error::to_string))));
    fields.push(("results", objects(RESULTS, &rows)));
    let exit = match (&standings, &failed) {
        // The journal alone tells what it can where no database is named.
        (None, Some(error)) if error.kind() != ErrorKind::Usage => fault::exit(error.kind()),
        (standings, _) => standings.as_ref().map_or(Exit::Done, Standings::exit),
    };
    let exit = if exit == Exit::Done && entry.untold > 0 { Exit::Partial } else { exit };
    let details = vec![Detail { value: Value::Map(fields), blocks }];
    let view = View::Details(DetailsView { details, single: true, now: Timestamp::here() });
    // The journal tells without a database, too; where one is named, that it cannot be asked is an error.
    let (missing, failed) = match failed {
        Some(error) if error.kind() == ErrorKind::Usage => (Some(error), None),
        failed => (None, failed),
    };
    missing.into_iter().for_each(|error| session.warn(format!("how its work stands now is not known: {error}")));
    Ok(CommandOutput::new(view).ending(exit).with_errors(failed.into_iter().collect()))
}

/// Why it is not known what became of all.
pub(super) fn untold(entry: &Entry) -> Option<String> {
    (entry.untold > 0).then(|| {
        format!(
            "it was killed, or its journal could not be written on: whether {} were written is not told (sen op resume finds out, and \
             does what was not)",
            many(entry.untold, "target")
        )
    })
}

/// What to know before an operation goes on.
fn notes(entry: &Entry, brakes: &BrakeOptions) -> Vec<String> {
    let undone = entry.undone_by.filter(|_| entry.state == State::Undone);
    let undone = undone.map(|undo| {
        format!("all that it did was taken back by {undo}: this applies what it had not begun, and not that again")
    });
    let unbraked = entry.stopped.as_ref().filter(|_| brakes.words().is_empty()).map(|why| {
        let again = if entry.brakes.is_empty() { String::new() } else { format!(": {}", entry.brakes.join(" ")) };
        format!("its brakes stopped it ({why}), and nothing brakes it now unless they are given again{again}")
    });
    let elsewhere = (entry.state == State::Open).then(|| {
        "it has not ended, and nobody can tell from here whether it still runs elsewhere: if it does, that ends at its next change".to_owned()
    });
    undone.into_iter().chain(unbraked).chain(elsewhere).collect()
}

async fn resume(args: &ResumeArgs, session: &Session) -> Result<CommandOutput> {
    let entry = journal::entry(&args.id, session).await?;
    if entry.state == State::Running {
        return Err(Error::new(ErrorKind::Changed, "this operation is running at this moment")
            .with_hint("wait for its end, or stop it with Ctrl-C where it runs"));
    }
    let places = entry.open_places();
    if places.is_empty() {
        // There is nothing to do, however its work goes on.
        return Ok(show(&entry, session).await?.ending(Exit::Done));
    }
    let notes = notes(&entry, &args.brakes);
    if args.yes {
        // The plan, which has them, is not shown.
        notes.iter().for_each(|note| session.warn(note.clone()));
    }
    let part = entry.part(&places, &notes)?;
    let mut lines = part.as_slice();
    let saved = SavedPlan::read(&mut lines)?;
    let database = database(saved.kind(), args.dry_run, session).await?;
    let action = restored(&database, saved, entry.origin.as_ref(), session).await?;
    let braking = args.brakes.follower(&database, &*action)?;
    if action.stores_first() && args.export.is_none() && !args.dry_run {
        return Err(Error::usage("this operation discards, and what is removed is written out first")
            .with_hint("name a new file with --export FILE"));
    }
    let options = ActionOptions {
        dry_run: args.dry_run,
        yes: args.yes,
        confirm: args.confirm.clone(),
        reason: entry.origin.as_ref().and_then(|origin| origin.reason.clone()),
        read_back: true,
        ..ActionOptions::default()
    };
    let open = || args.export.as_deref().map(to_new_file).transpose();
    carried_out(execute_part(action, &options, session, (&entry, places), braking, open).await?, session)
}
