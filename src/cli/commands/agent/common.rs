//! Shared by the commands on agent tasks.

use sen_core::error::Result;
use sen_core::model::verdict::Severity;
use sen_core::registry::Database;
use sen_core::system::System;
use sen_core::systems::node::verdict::State;

/// The system.
pub fn agents(database: &Database) -> Result<&dyn System> {
    Ok(database.agents()?)
}

/// How severe a verdict on a task is.
pub fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}
