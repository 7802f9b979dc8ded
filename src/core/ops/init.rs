//! Creating what a system needs in an empty database: the first act on the road look → judge → plan → permit → apply.

use crate::error::Result;
use crate::model::plan::Plan;
use crate::model::report::Report;
use crate::permit::{Consent, WritePermit};
use crate::system::{Request, System};

/// Says what `init` would create.
///
/// # Errors
/// What the store reports.
pub async fn plan(system: &dyn System) -> Result<Plan> {
    system.plan(&Request::Init).await
}

/// Creates what is missing. Nothing that exists is altered.
///
/// # Errors
/// What the store reports; nothing is created then.
pub async fn apply(system: &dyn System, plan: &Plan, reason: Option<String>) -> Result<Report> {
    let permit = WritePermit::grant(plan, Consent::Unasked, reason)?;
    system.apply(plan, &permit).await
}
