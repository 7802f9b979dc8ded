//! The permit to write. Every writing method of every store port takes one, and only consent to a plan can mint one,
//! so that a write without a plan and consent does not compile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::ident::OperationId;
use crate::plan::{Plan, Risk};

/// How consent was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// No consent was asked for; enough for a safe act only.
    Unasked,
    /// A person saw the plan and said yes.
    Confirmed,
    /// The caller consented in advance (`--yes`, or a Rust program that called the act by name).
    InAdvance,
}

/// Withdraws permission while a plan is being applied: what is under way is finished, nothing more is begun.
#[derive(Debug, Clone, Default)]
pub struct Revocation(Arc<AtomicBool>);

impl Revocation {
    /// Withdraws it.
    pub fn revoke(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has been withdrawn.
    pub fn is_revoked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Permission to apply one plan.
#[derive(Debug, Clone)]
pub struct WritePermit {
    operation: OperationId,
    reason: Option<String>,
    operator: Option<String>,
    revocation: Revocation,
    begun_before: bool,
}

impl WritePermit {
    /// Mints the permit for `plan`.
    ///
    /// # Errors
    /// `Refused` when the plan is dangerous and there is no consent.
    pub fn grant(plan: &Plan, consent: Consent, reason: Option<String>) -> Result<Self> {
        if plan.risk == Risk::Dangerous && consent == Consent::Unasked {
            return Err(Error::new(ErrorKind::Refused, format!("not confirmed: {}", plan.summary()))
                .with_hint("look at the plan with --dry-run, then pass --yes to consent"));
        }
        Ok(Self {
            operation: plan.operation,
            reason,
            operator: None,
            revocation: Revocation::default(),
            begun_before: false,
        })
    }

    /// Names who acts (`maria@ops-3`), for the record kept beside the rows.
    #[must_use]
    pub fn on_behalf_of(mut self, operator: impl Into<String>) -> Self {
        self.operator = Some(operator.into());
        self
    }

    /// Lets `revocation` withdraw this permit between two items.
    #[must_use]
    pub fn until(mut self, revocation: Revocation) -> Self {
        self.revocation = revocation;
        self
    }

    /// Says that this operation may have been begun before, here or elsewhere, and stopped: what is no longer as the plan saw it
    /// can then have been changed by the operation itself, and its records are asked.
    #[must_use]
    pub fn begun_before(mut self) -> Self {
        self.begun_before = true;
        self
    }

    /// Whether this operation may have been begun before.
    pub fn may_have_begun(&self) -> bool {
        self.begun_before
    }

    /// Whether nothing more may be begun.
    pub fn is_revoked(&self) -> bool {
        self.revocation.is_revoked()
    }

    /// Who acts, as far as the caller said.
    pub fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }

    /// The operation this permit is for.
    pub fn operation(&self) -> OperationId {
        self.operation
    }

    /// Why the operator does it (`--reason`).
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Refuses a plan other than the one consented to.
    ///
    /// # Errors
    /// `Internal`: the caller mixed up two plans.
    pub fn must_be_for(&self, plan: &Plan) -> Result<()> {
        if self.operation == plan.operation {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Internal, "this permit is for another plan"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_plans_need_consent_and_permits_are_for_one_plan() {
        let dangerous = Plan::new("db", Risk::Dangerous);
        assert_eq!(WritePermit::grant(&dangerous, Consent::Unasked, None).unwrap_err().kind(), ErrorKind::Refused);
        let permit = WritePermit::grant(&dangerous, Consent::Confirmed, Some("INC-7".into())).unwrap();
        assert_eq!(permit.reason(), Some("INC-7"));
        assert!(permit.must_be_for(&dangerous).is_ok());
        let other = Plan::new("db", Risk::Safe);
        assert!(permit.must_be_for(&other).is_err());
        assert!(WritePermit::grant(&other, Consent::Unasked, None).is_ok());
    }
}
