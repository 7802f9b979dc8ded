//! `sen init`: creates the tables in an empty database.

use sen_core::error::Result;
use sen_core::model::plan::Risk;
use sen_core::registry::Access;
use sen_core::systems::sentinel::request::LeaseRequest;

use super::act::{ActionOptions, apply};
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// Create the Sentinel tables (as version 0.5.0 does) where they are missing
///
/// Nothing that exists is altered. Running it again does nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen init --dry-run\n  sen init\n  sen --database-url sqlite:jobs.db init")]
pub struct Args {
    #[command(flatten)]
    options: ActionOptions,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    let options = args.options;
    if options.dry_run && session.makes_file()? {
        let note = "the file and the Sentinel tables would be created\n";
        return Ok(CommandOutput::new(View::Text(note.into())));
    }
    let database = if options.only_plans() { session.read().await? } else { session.write(Access::Create).await? };
    if !options.dry_run {
        session.identify(&database).await?;
    }
    let mut action = database.leases()?.plan(&LeaseRequest::Init).await?;
    if session.production()?.is_some() {
        // No act takes tables away again.
        action.plan_mut().risk = Risk::Dangerous;
    }
    apply(action, &options, session).await
}
