//! Acts: the road look → judge → plan → permit → apply → report, for every system and every act.

use sen_model::error::Result;
use sen_model::observe::Silent;
use sen_model::permit::{Consent, Revocation, WritePermit};
use sen_model::plan::Plan;
use sen_model::report::Report;
use sen_model::request::Request;
use sen_model::system::System;

/// Who acts and why, for the record kept beside the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// Who: `maria@ops-3`.
    pub who: Option<String>,
    /// Why (`--reason`).
    pub why: Option<String>,
}

/// Looks and judges: says what `request` would write and what is refused. Writes nothing.
///
/// # Errors
/// What the store reports, and `Usage` for input that could never be stored.
pub async fn plan(system: &dyn System, request: &Request) -> Result<Plan> {
    system.plan(request).await
}

/// The permit for `plan`. Once `stop` is revoked the item under way is finished and the others are left alone.
///
/// # Errors
/// `Refused` when the plan is grave and nobody consented.
pub fn permit(plan: &Plan, consent: Consent, author: Author, stop: &Revocation) -> Result<WritePermit> {
    let permit = WritePermit::grant(plan, consent, author.why)?.until(stop.clone());
    Ok(match author.who {
        Some(who) => permit.on_behalf_of(who),
        None => permit,
    })
}

/// Writes what `plan` says, each step guarded by what was seen, and reports every item.
///
/// # Errors
/// `Refused` when the plan is grave and nobody consented. What goes wrong with an item is in the report.
pub async fn apply(
    system: &dyn System,
    plan: &Plan,
    consent: Consent,
    author: Author,
    stop: &Revocation,
) -> Result<Report> {
    let permit = permit(plan, consent, author, stop)?;
    system.apply(plan, &permit, &Silent).await
}
