//! `sen undo`: an operation taken back, as far as nothing has happened on top.

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::undo::UndoRequest;

use super::act::{self, ActionOptions};
use super::apply::system_of;
use crate::exit::Exit;
use crate::journal::{self, State};
use crate::session::Session;
use crate::views::CommandOutput;

/// Take an operation back
///
/// Every act keeps the rows that it changed in the journal, as they were before: in this user's, and in the database's where it has one. Each target gets its rows back only if they
/// still are exactly as the operation left them: what a worker or another operator has changed since stays as it is and is
/// reported with the reason. Records and events of the operation stay, and the undo adds its own. An undo is an operation
/// itself, and can be taken back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen op list
  sen undo last --dry-run
  sen undo 0f3c --reason 'wrong group' --yes")]
pub struct Args {
    /// The operation's id, or a unique prefix of it; "last" is the newest
    #[arg(value_name = "OP")]
    pub id: String,

    #[command(flatten)]
    pub options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let entry = journal::entry(&args.id, session).await?;
    if entry.state == State::Running {
        return Err(Error::new(ErrorKind::Changed, "this operation is running at this moment")
            .with_hint("wait for its end, or stop it with Ctrl-C where it runs"));
    }
    if entry.kind == "journal.init" {
        return Err(Error::new(ErrorKind::Refused, "the tables of the journal are not taken away again"));
    }
    let (targets, refused) = entry.undoing()?;
    let agents = entry.kind.starts_with("node.");
    let database = if agents { args.options.agents(session).await? } else { args.options.database(session).await? };
    let system = system_of(&database, &entry.kind, &entry.plan, entry.origin.as_ref(), session).await?;
    let (operation, first) = (entry.plan.operation, entry.first().to_owned());
    let mut undo = system.plan_undo(UndoRequest { operation, first, targets, refused }).await?;
    if entry.state == State::Open {
        let note = "it has not ended, and nobody can tell from here whether it still runs elsewhere: what it does from now on is not taken back";
        undo.plan_mut().warnings.push(note.into());
    }
    let untold = super::op::untold(&entry);
    if let Some(untold) = &untold {
        let note = format!("{untold}; nothing of those is taken back");
        let shown = args.options.dry_run || (session.can_ask() && !args.options.yes && undo.plan().targets() > 0);
        if !shown {
            // The plan, which has it, is not.
            session.warn(note.clone());
        }
        undo.plan_mut().warnings.push(note);
    }
    let answer = act::apply(undo, &args.options, session).await?;
    let part = untold.is_some() && answer.exit == Exit::Done;
    Ok(if part { answer.ending(Exit::Partial) } else { answer })
}
