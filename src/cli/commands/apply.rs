//! `sen apply`: a plan that was written to a file.

use std::path::PathBuf;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::plan::Plan;
use sen_core::model::prepared::{Origin, PreparedAction, SavedPlan};
use sen_core::model::report::{Item, Outcome, Report};
use sen_core::model::system::System;
use sen_core::registry::{Access, Database};
use sen_core::time::{Timestamp, humane};

use super::act::{ActionOptions, carried_out, execute};
use super::brakes::BrakeOptions;
use super::reported;
use super::dlq::discard::to_new_file;
use crate::consent;
use crate::exit::Exit;
use crate::journal::{self, Entry};
use crate::plans::PlanFile;
use crate::session::Session;
use crate::views::{Block, CommandOutput};

/// Apply a plan that was written with --plan-out
///
/// The plan is shown and confirmed as the act itself would be. Each target is changed only if it still is as the plan saw
/// it; what is not is reported as changed. A plan is applied once. One that was edited, has expired, or is of another
/// database is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen dlq replay --group 3b1f0a92cc --plan-out replay.plan
  sen apply replay.plan --dry-run
  sen apply replay.plan --check
  sen apply replay.plan --yes --reason INC-482
  sen apply replay.plan --canary 20 --abort-above 10% --yes")]
pub struct Args {
    /// The plan's file
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,

    /// Show the plan, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Look at each target again, say whether it still is as the plan saw it, and do nothing
    #[arg(long, conflicts_with_all = ["dry_run", "yes", "export", "canary", "canary_timeout", "abort_above", "max_in_flight"])]
    pub check: bool,

    /// Do not ask; scripts need it for what would be asked
    #[arg(short, long)]
    pub yes: bool,

    /// Name of the context or database, as consent where it is production
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub confirm: Option<String>,

    /// Reason, stored with the change, instead of the reason the plan was made with
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Do nothing unless the plan has exactly N targets
    #[arg(long, value_name = "N")]
    pub expect: Option<u64>,

    #[command(flatten)]
    pub brakes: BrakeOptions,

    /// For a plan that discards: write what is removed to this new file first
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub export: Option<PathBuf>,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let mut file = PlanFile::alone(&args.file)?;
    let saved = file.plan()?;
    let origin = saved.origin().cloned();
    if let Some(expires) = origin.as_ref().and_then(|origin| origin.expires)
        && Timestamp::here() > expires
    {
        let age = humane(Timestamp::here().micros_since(expires));
        return Err(Error::new(ErrorKind::Refused, format!("the plan expired {age} ago; nothing was written"))
            .with_hint("make it again: what it saw may be long gone (--plan-expires sets how long a plan is valid)"));
    }
    let options = ActionOptions {
        dry_run: args.dry_run,
        yes: args.yes,
        confirm: args.confirm,
        reason: args.reason.or_else(|| origin.as_ref().and_then(|origin| origin.reason.clone())),
        expect: args.expect,
        read_back: true,
        ..ActionOptions::default()
    };
    let database = database(saved.kind(), args.dry_run || args.check, session).await?;
    let action = restored(&database, saved, origin.as_ref(), session).await?;
    if args.check {
        journal::must_be_new(action.plan().operation, session).await?;
        return Ok(checked(action.plan(), action.check().await?));
    }
    let braking = args.brakes.follower(&database, &*action)?;
    if action.stores_first() && args.export.is_none() && !args.dry_run {
        return Err(Error::usage("this plan discards, and what is removed is written out first")
            .with_hint("name a new file with --export FILE"));
    }
    let open = |_: &Plan| args.export.as_deref().map(to_new_file).transpose();
    carried_out(execute(action, &options, braking, session, open).await?, session)
}

/// What of a plan would still be done.
fn checked(plan: &Plan, items: Vec<Item>) -> CommandOutput {
    /// How many targets that are no longer as seen are shown to people.
    const SHOWN: usize = 20;
    let (still, not): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|item| item.outcome == Outcome::Skipped);
    let mut lines: Vec<String> = not.iter().take(SHOWN).map(|item| consent::line(item)).collect();
    if not.len() > SHOWN {
        lines.push(format!("… and {} more (-o json has all)", not.len() - SHOWN));
    }
    let exit = match (still.len(), not.len()) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Changed,
        _ => Exit::Partial,
    };
    lines.push(format!("{} of {} still as the plan saw them; nothing was written", still.len(), items.len()));
    let planned = still.len() as u64;
    let report = Report { items, ..Report::new(plan.operation) };
    reported::view(&report, planned, true, lines.into_iter().map(Block::Note).collect()).ending(exit)
}

/// The database that a plan of this kind is for.
pub async fn database(kind: &str, reads: bool, session: &Session) -> Result<Database> {
    match (kind, reads) {
        (kind, true) if kind.starts_with("node.") => session.read_agents().await,
        (kind, false) if kind.starts_with("node.") => session.write_agents().await,
        (_, true) => session.read().await,
        ("sentinel.init" | "journal.init", false) => session.write(Access::Create).await,
        (_, false) => session.write(Access::Write).await,
    }
}

/// The action of a saved plan, if it is of this database.
pub async fn restored<'a>(
    database: &'a Database,
    saved: SavedPlan<'_>,
    origin: Option<&Origin>,
    session: &Session,
) -> Result<Box<dyn PreparedAction + 'a>> {
    if saved.plan().targets() != saved.targets() {
        return Err(Error::usage("this is not a plan that sen has written: it says another number of targets than it has"));
    }
    must_be_of(database, saved.kind(), saved.plan(), origin, session).await?;
    database.restore(saved)
}

/// The system that a plan of this kind is for, if this is the database it was made for.
///
/// # Errors
/// `Refused` when it is another; `NoSystem` when this one cannot hold the system.
pub async fn system_of<'a>(
    database: &'a Database,
    kind: &str,
    plan: &Plan,
    origin: Option<&Origin>,
    session: &Session,
) -> Result<&'a dyn System> {
    must_be_of(database, kind, plan, origin, session).await?;
    database.system(kind.split('.').next().unwrap_or_default())
}

/// Whether this is the database that a plan was made for.
///
/// # Errors
/// As [`system_of`].
async fn must_be_of(
    database: &Database,
    kind: &str,
    plan: &Plan,
    origin: Option<&Origin>,
    session: &Session,
) -> Result<()> {
    let (here, planned) = (named(database, kind)?, &plan.database);
    if !is_of(database, kind, plan, origin, session).await? {
        let refused = |what: String| Error::new(ErrorKind::Refused, format!("{what}; nothing was written"));
        return Err(if here == *planned {
            refused(format!("the plan is for another database of this name ({here})"))
                .with_hint("it was created anew since, or another server answers there; make the plan again if this is the one that is meant")
        } else {
            refused(format!("the plan is for {planned}, and this is {here}"))
                .with_hint("name the database it was made for with --database-url")
        });
    }
    Ok(())
}

/// Whether an operation that is only looked at was done in this database.
///
/// # Errors
/// `Usage` when it was another; `NoSystem` when this one cannot hold the system.
pub async fn must_be_here(database: &Database, entry: &Entry, session: &Session) -> Result<()> {
    if is_of(database, &entry.kind, &entry.plan, entry.origin.as_ref(), session).await? {
        return Ok(());
    }
    let here = named(database, &entry.kind)?;
    let message = format!("operation {} is of {}, and this is {here}", entry.plan.operation, entry.plan.database);
    Err(Error::usage(message).with_hint("name the database it was done in with --database-url"))
}

/// The database as that calls it which plans of this kind are for: a system, or the journal.
fn named<'a>(database: &'a Database, kind: &str) -> Result<&'a str> {
    match (kind.split('.').next().unwrap_or_default(), database.journal()) {
        ("journal", Some(journal)) => Ok(journal.store().named()),
        (system, _) => Ok(database.system(system)?.database()),
    }
}

/// Whether a plan was made for this database.
///
/// # Errors
/// `NoSystem` when this one cannot hold the system; what the server reports.
pub async fn is_of(
    database: &Database,
    kind: &str,
    plan: &Plan,
    origin: Option<&Origin>,
    session: &Session,
) -> Result<bool> {
    let here = named(database, kind)?;
    Ok(match (origin.and_then(|origin| origin.identity.as_ref()), session.identify(database).await?.name) {
        (Some(wanted), Some(identity)) => identity == *wanted,
        _ => here == plan.database,
    })
}
