//! Shared by the commands on agent tasks.

use sen_core::error::Result;
use sen_core::model::verdict::Severity;
use sen_core::registry::Database;
use sen_core::system::System;
use sen_core::systems::node::verdict::State;

/// Where a walk over all tasks reads.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Reading {
    /// Walk over the tasks on a replica of the Redis, where one hears from it; stderr says which, and how far behind it is
    #[arg(long)]
    pub prefer_replica: bool,
}

/// The system.
pub fn agents(database: &Database) -> Result<&dyn System> {
    Ok(database.agents()?)
}

/// How severe a verdict on a task is.
pub fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}
