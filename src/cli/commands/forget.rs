//! `sen forget`: deletes a cached result.

use sen_core::error::Result;
use sen_core::systems::sentinel::request::LeaseRequest;

use super::act::{Targets, on_leases};
use crate::session::Session;
use crate::views::CommandOutput;

/// Erase a cached result, so that the key can run again
///
/// This permits a second execution and destroys the result, so it asks first. Keys that are not completed are left
/// alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen forget emails:receipt-7701 --yes --reason INC-482")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    on_leases(args.targets, session, |ids| LeaseRequest::Forget { ids }).await
}
