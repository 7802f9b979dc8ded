//! `sen dlq discard`: exports dead letters, then deletes them.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::ops::prefix;

use super::filter::{DeadLetterFilter, SELECTION, dead_letter_systems, planned};
use crate::completion::live::{Completes, Live};
use crate::commands::act::{ActionOptions, Execution, Export, execute, finished};
use crate::commands::reported::{self, reported};
use crate::screen;
use crate::session::Session;
use crate::views::{CommandOutput, View};
use crate::files;

/// Remove dead letters for good, each after it has been written out whole
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen dlq discard 4f0c1f6e-5a52-4a53-93f1-2f6b5ad1f3c0 --export gone.jsonl --yes
  sen dlq discard --group 3b1f0a92cc --older-than 30d --export gone.jsonl --yes
  sen dlq discard --all --yes > gone.jsonl

Every dead letter is written out as one JSON object a line before it is removed: to the file of --export, synced to disk, which \
must not exist yet; without it to standard output, and the report is then on standard error; a terminal keeps nothing and is refused.

Messages of sagas are not discarded: their row is the only record that something was to be sent or has come.")]
pub struct Args {
    /// Dead letter ids
    #[arg(value_name = "ID", conflicts_with = "all", add = Completes(Live::DeadLetter))]
    pub ids: Vec<String>,

    /// Every dead letter
    #[arg(long, help_heading = SELECTION)]
    pub all: bool,

    /// Only of this queue; `default` also means without one
    #[arg(long, value_name = "NAME", help_heading = SELECTION, add = Completes(Live::Queue))]
    pub queue: Option<String>,

    #[command(flatten)]
    which: DeadLetterFilter,

    /// Maximum number of dead letters (0 = unlimited)
    #[arg(long, help_heading = SELECTION, value_name = "N")]
    pub limit: Option<u64>,

    /// The newest first; the oldest otherwise
    #[arg(long, help_heading = SELECTION)]
    pub newest_first: bool,

    /// Write them to this new file (- for standard output)
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,

    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    args.which.named(&args.ids, args.queue.as_ref(), args.all)?;
    // On a terminal they would scroll away and be lost.
    let export = args.export.as_ref().filter(|path| path.as_os_str() != "-");
    if export.is_none() && !args.options.only_plans() && session.prints_to_terminal() {
        return Err(Error::usage("dead letters are written out before they are removed, and a terminal keeps nothing")
            .with_hint("name a new file with --export FILE, or redirect standard output"));
    }
    let mut acting = args.options;
    let database = acting.database(session).await?;
    let only = args.which.system.as_deref();
    let ids = acting.whole_ids(&database, only, prefix::DEAD_LETTERS, args.ids).await?;
    let mut filter = args.which.filter(&ids, args.queue.as_ref())?;
    filter.limit = args.limit.filter(|limit| *limit > 0);
    filter.newest_first = args.newest_first;
    let dead_letter_systems = dead_letter_systems(&database, only).await?;
    let (action, _) = planned(&dead_letter_systems, &filter, async |letters, filter| letters.plan_discard(filter).await).await?;
    let execution = execute(action, &acting, None, session, |_| {
        Ok(Some(match export.cloned() {
            Some(path) => to_new_file(&path)?,
            None => {
                let (mut out, _) = screen::relay()?;
                Box::new(move |lines: &str| {
                    out.write_all(format!("{lines}\n").as_bytes()).map_err(|error| {
                        Error::new(ErrorKind::Io, "cannot write to standard output").with_source(error)
                    })
                })
            }
        }))
    })
    .await?;
    Ok(match execution {
        Execution::Planned(answer) => answer,
        Execution::Applied(report, outline) if export.is_some() => finished(reported(&report, &outline), session),
        Execution::Applied(report, outline) => {
            // Standard output contains the dead letters.
            reported::lines(&report, &outline.plan).into_iter().for_each(|line| session.note(line));
            finished(CommandOutput::new(View::Nothing).ending(reported::exit(&report)), session)
        }
    })
}

/// Writes what is removed to a new file.
pub fn to_new_file(path: &Path) -> Result<Export<'static>> {
    let mut file = files::create(path).map_err(files::cannot("create", path))?;
    let path = path.to_owned();
    Ok(Box::new(move |lines: &str| store(&mut file, lines, &path)))
}

fn store(file: &mut File, lines: &str, path: &Path) -> Result<()> {
    let stored = file.write_all(format!("{lines}\n").as_bytes()).and_then(|()| file.sync_data());
    stored.map_err(files::cannot("write", path))
}
