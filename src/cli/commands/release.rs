//! `sen release`: removes an expired claim.

use sen_core::error::Result;
use sen_core::systems::sentinel::request::LeaseRequest;

use super::act::{Targets, on_leases};
use crate::session::Session;
use crate::views::CommandOutput;

/// Remove a claim whose lease is over and whose function never began
///
/// Such a key is free already: releasing it only tidies up. A lease that is alive, executing, taken over or completed is
/// left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sen release webhooks:evt_1Qm7aa")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    on_leases(args.targets, session, |ids| LeaseRequest::Release { ids }).await
}
