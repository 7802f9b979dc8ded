//! Warns of related keys whose outcome is not settled, or that are completed, before the work that uses them runs again.

use sen_core::model::plan::Plan;
use sen_core::ops::related::RelatedKey;

use crate::commands::act::ActionOptions;
use crate::session::Session;

/// How many keys of a kind are named.
const SHOWN: usize = 10;

/// Says which related keys are not settled or completed: in the plan, and where that is not shown as a warning.
pub fn warn(plan: &mut Plan, related: Vec<RelatedKey>, options: &ActionOptions, session: &Session) {
    if plan.targets() == 0 || related.is_empty() {
        return;
    }
    let asks = session.can_ask() && !options.yes;
    let (completed, open): (Vec<_>, Vec<_>) =
        related.into_iter().partition(|one| matches!(one, RelatedKey::Completed { .. }));
    let told = [(open, "are not settled"), (completed, "are completed")].into_iter().flat_map(|(keys, how)| {
        let more = keys.len().saturating_sub(SHOWN);
        let rest = (more > 0).then(|| format!("{more} more related keys {how}"));
        keys.into_iter().take(SHOWN).map(|one| one.warning()).chain(rest)
    });
    for warning in told {
        if !asks && !options.dry_run {
            session.warn(warning.clone());
        }
        plan.warnings.push(warning);
    }
}
