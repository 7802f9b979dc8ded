//! Consent to a plan, and its application.

use sen_model::error::Result;
use sen_model::observe::Silent;
use sen_model::permit::{Consent, Revocation, WritePermit};
use sen_model::plan::Plan;
use sen_model::prepared::{Applying, PreparedAction};
use sen_model::report::Report;

/// Who acts and why, for the record kept beside the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// Who: `maria@ops-3`.
    pub who: Option<String>,
    /// Why (`--reason`).
    pub why: Option<String>,
}

/// The permit for `plan`. After `stop` is revoked the current item is finished and the others are skipped.
///
/// # Errors
/// `Refused` when the plan is dangerous and there is no consent.
pub fn permit(plan: &Plan, consent: Consent, author: Author, stop: &Revocation) -> Result<WritePermit> {
    let permit = WritePermit::grant(plan, consent, author.why)?.until(stop.clone());
    Ok(match author.who {
        Some(who) => permit.on_behalf_of(who),
        None => permit,
    })
}

/// Applies a plan, each target guarded by what was seen of it, and reports every item.
///
/// # Errors
/// `Refused` when the plan is dangerous and there is no consent. The failure of an item is in the report.
pub async fn apply(
    action: Box<dyn PreparedAction + '_>,
    consent: Consent,
    author: Author,
    stop: &Revocation,
) -> Result<Report> {
    let permit = permit(action.plan(), consent, author, stop)?;
    action.apply(Applying { permit: &permit, observer: &Silent, brakes: None, export: None }).await
}
