//! Warns of related keys with an unsettled outcome before the work that uses them runs again.

use sen_core::model::plan::{Plan, Risk};
use sen_core::ops::unsettled::Unsettled;

use crate::commands::act::ActionOptions;
use crate::session::Session;

/// Says which related keys have no settled outcome. Where a person can be asked, that makes even one dead letter a question.
pub fn warn(plan: &mut Plan, related: Vec<Unsettled>, options: &ActionOptions, session: &Session) {
    if plan.targets() == 0 || related.is_empty() {
        return;
    }
    let asks = session.can_ask() && !options.yes;
    if asks {
        plan.risk = Risk::Dangerous;
    }
    for one in related {
        let warning = one.warning();
        if !asks && !options.dry_run {
            session.warn(warning.clone());
        }
        plan.warnings.push(warning);
    }
}
