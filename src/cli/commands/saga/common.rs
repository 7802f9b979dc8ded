//! Shared by the commands on sagas and their messages.

use sen_core::model::verdict::Severity;
use sen_core::systems::saga::verdict::State;

/// How severe a verdict on a saga is.
pub fn severity(state: &str) -> Severity {
    State::parse(state).map_or(Severity::Ok, State::severity)
}
