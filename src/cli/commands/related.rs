//! Related keys without a settled outcome, said before what calls them runs again.

use sen_core::model::plan::{Gravity, Plan};
use sen_core::ops::unsettled::Unsettled;

use crate::commands::act::Acting;
use crate::session::Session;

/// Says which related keys have no settled outcome. Where a person can be asked, that makes even one dead letter a question.
pub fn warn(plan: &mut Plan, related: Vec<Unsettled>, acting: &Acting, session: &Session) {
    if plan.targets() == 0 || related.is_empty() {
        return;
    }
    let asks = session.can_ask() && !acting.yes;
    if asks {
        plan.gravity = Gravity::Grave;
    }
    for one in related {
        let warning = one.warning();
        if !asks && !acting.dry_run {
            session.warn(warning.clone());
        }
        match (&mut plan.set, plan.steps.first_mut()) {
            (Some(set), _) => set.warnings.push(warning),
            (None, Some(step)) => step.warnings.push(warning),
            (None, None) => {}
        }
    }
}
