//! Warns of related keys whose outcome is not settled, or that are completed, before the work that uses them runs again.

use sen_core::model::plan::Plan;
use sen_core::ops::related::RelatedKey;

use crate::commands::act::ActionOptions;
use crate::session::Session;

/// Says which related keys are not settled or completed: in the plan, and where that is not shown as a warning.
pub fn warn(plan: &mut Plan, related: Vec<RelatedKey>, options: &ActionOptions, session: &Session) {
    if plan.targets() == 0 || related.is_empty() {
        return;
    }
    let asks = session.can_ask() && !options.yes;
    for one in related {
        let warning = one.warning();
        if !asks && !options.dry_run {
            session.warn(warning.clone());
        }
        plan.warnings.push(warning);
    }
}
