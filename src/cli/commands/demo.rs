//! `sen demo`: creates a database with an incident to explore.

use std::path::{Path, PathBuf};

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::verdict::NextCommand;
use sen_core::ops::act::{self, Author};
use sen_core::model::summary::Counting;
use sen_core::ops::summary::summary;
use sen_core::permit::{Consent, Revocation};
use sen_core::registry::{self, Access};
use sen_core::systems::sentinel::request::LeaseRequest;
use sen_core::stores::sqlite::{self, Sqlite};
use sen_core::stores::url::Target;
use sen_core::systems::saga::demo as sagas;
use sen_core::systems::sentinel::demo;
use sen_core::systems::stent::demo as executions;

use crate::session::Session;
use crate::views::{CommandOutput, Block, DetailsView, View};
use crate::files;

/// Make a small database with an incident in it, and look at it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen demo\n  DATABASE_URL=sqlite:sen-demo.db sen list")]
pub struct Args {
    /// The file to make; an earlier demo is made anew, any other file is left alone
    #[arg(default_value = "sen-demo.db", value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    if session.globals.read_only {
        return Err(Error::new(ErrorKind::Refused, "this command writes a file, and --read-only was given"));
    }
    let path = args.file;
    remove_earlier(&path).await?;
    // It must be created here: an existing link would be followed.
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(files::cannot("create", &path))?;
    let target = Target::Sqlite(path.clone());
    {
        let database = registry::open(&target, Access::Create, None).await?;
        let action = database.leases()?.plan(&LeaseRequest::Init).await?;
        act::apply(action, Consent::Unasked, Author::default(), &Revocation::default()).await?;
    }
    let file = Sqlite::open(&path, sqlite::Access::Write).await?;
    demo::fill(&file).await?;
    executions::fill(&file).await?;
    sagas::fill(&file).await?;
    drop(file);

    let database = registry::open(&target, Access::Read, None).await?;
    let front = summary(&database, Counting::Exact).await?;
    let (mut detail, now) = (super::status::detail(&front), front.now);
    let made = format!(
        "made {}: the leases, executions and sagas of a payment service, some minutes after a provider outage",
        path.display()
    );
    let url = format!("sqlite:{}", path.display());
    let sen = std::env::args().next().unwrap_or_else(|| "sen".into());
    let command = |words: &[&str], why: &str| NextCommand::new(&[&[sen.as_str()], words].concat(), why);
    // The commands come first: a pager shows the beginning.
    let next = Block::Next(vec![
        NextCommand::new(&["export", &format!("DATABASE_URL={url}")], "what follows is about this file"),
        command(&["status"], "what needs attention, and the commands for it"),
        command(&["list", "--state", "uncertain,stalled"], "which keys need a person"),
        command(&["why", demo::UNCERTAIN_KEY], "one of them, and its related records"),
        command(&["inspect", demo::UNCERTAIN_KEY], "what is known of it, what cannot be"),
        command(&["history", demo::UNCERTAIN_KEY], "what happened to it, in time order"),
        command(&["exec", "list", "--state", "failed,stranded,lost"], "which executions need a person"),
        command(&["exec", "show", executions::FAILED], "one of them: its tasks, progress and error"),
        command(&["saga", "show", sagas::STUCK], "a saga that no worker will ever pick up again"),
    ]);
    detail.blocks.splice(0..0, [Block::Note(made), next, Block::Note(String::new())]);
    Ok(CommandOutput::new(View::Details(DetailsView { details: vec![detail], single: true, now })))
}

/// Deletes an earlier demo. Any other file is somebody's data.
async fn remove_earlier(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let ours = match Sqlite::open(path, sqlite::Access::Read).await {
        Ok(db) => demo::is_demo(&db).await?,
        Err(_) => false,
    };
    if !ours {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("{} exists and is not a demo of sen; it is left alone", path.display()),
        )
        .with_hint("name another file: sen demo FILE"));
    }
    std::fs::remove_file(path)
        .map_err(|error| Error::new(ErrorKind::Io, format!("cannot replace {}", path.display())).with_source(error))
}
