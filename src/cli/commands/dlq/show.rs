//! `sen dlq show`: one dead letter in depth.

use clap::builder::PossibleValuesParser;
use sen_core::error::{Error, ErrorKind, Result};
use sen_core::ops::{inspect, prefix};
use sen_core::text::named;
use sen_core::time::Timestamp;

use super::filter::{SYSTEMS, dead_letter_systems};
use crate::args::Facts;
use crate::completion::live::{Completes, Live};
use crate::commands::inspect::detail;
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{CommandOutput, DetailsView, View};

/// Show a dead letter: its work, why it failed, and whether it can be replayed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen dlq show 4f0c1f6e-5a52-4a53-93f1-2f6b5ad1f3c0
  sen dlq show -o json 4f0c1f6e-5a52-4a53-93f1-2f6b5ad1f3c0 | jq .args")]
pub struct Args {
    /// The dead letter id, which is the id of the task that failed
    #[arg(required = true, value_name = "ID", add = Completes(Live::DeadLetter))]
    pub ids: Vec<String>,

    /// Only of this system
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(SYSTEMS))]
    pub system: Option<String>,

    #[command(flatten)]
    pub facts: Facts,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let dead_letter_systems = dead_letter_systems(&database, args.system.as_deref()).await?;
    let single = args.ids.len() == 1;
    let (mut details, mut errors, mut now) = (Vec::new(), Vec::new(), Timestamp::NEG_INFINITY);
    for id in &args.ids {
        let id = crate::keys::checked_key(id.clone())?;
        let before = details.len();
        let (ids, _) = prefix::whole(&database, args.system.as_deref(), prefix::DEAD_LETTERS, vec![id]).await?;
        let id = ids.concat();
        for (system, letters) in &dead_letter_systems {
            for found in database.seen(system, letters.show(&id).await)?.into_iter().flatten() {
                now = now.max(found.now);
                details.push(detail(found, args.facts.all_fields));
            }
        }
        if details.len() == before && database.saw_all_of(single)? {
            let hint = match inspect::something_else(&database, &id).await? {
                Some(other) => format!("{other}; its dead letter may have been replayed or discarded"),
                None => "`sen dlq list` shows them".to_owned(),
            };
            errors.push(Error::new(ErrorKind::NotFound, format!("no dead letter {}", named(&id))).with_hint(hint));
        }
    }
    if single && let Some(error) = errors.pop() {
        return Err(error);
    }
    let exit = if errors.is_empty() { Exit::Done } else { Exit::NotFound };
    Ok(CommandOutput::new(View::Details(DetailsView { details, single, now })).ending(exit).with_errors(errors))
}
