//! A plan that was read back: what its operation did before, and what of it would still be done.

use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::report::{Item, Outcome};

use super::handle::{STEPS, Sagas};
use super::plan::{SagaTarget, Write};
use super::port::{Change, SagaSelector};
use super::record::subject;
use super::shape::{Model, Models};
use super::state::State;

impl Sagas {
    /// Of an operation that may have been begun before: whether the saga's history has its record, or the saga still the token
    /// that the plan gives it. `None`: neither, and not all of the history is there to be read.
    pub(super) async fn own_record(&self, model: &Model, change: &Change, permit: &WritePermit) -> Option<bool> {
        if !permit.may_have_begun() {
            return Some(false);
        }
        let id = change.id.as_str();
        let models = Models { models: vec![model.clone()], ..Models::default() };
        let look =
            self.store.look(&models, &SagaSelector { id, exact: true, steps: STEPS, messages: false }).await.ok()?;
        let seen = look.sagas.first()?;
        let operation = permit.operation().to_string();
        if seen.saga.token.as_deref() == Some(&change.fresh) || seen.steps.iter().any(|step| step.is_of(&operation)) {
            return Some(true);
        }
        let whole = i64::try_from(seen.steps.len()).is_ok_and(|read| read >= seen.recorded);
        (whole && (model.history.is_some() || model.keeps_history())).then_some(false)
    }

    /// Whether a saga is still as the plan saw it.
    pub(super) async fn check_one(&self, models: &Models, target: &SagaTarget) -> Result<Item> {
        let subject = subject(&target.id);
        let change = match &target.write {
            Write::Change(change) => change,
            Write::Ingest(inbox, _) => {
                return Ok(if models.inboxes.iter().any(|table| table.shown() == *inbox) {
                    Item::still(subject)
                } else {
                    Item::new(subject, Outcome::Missing, format!("the inbox {inbox} is no longer there"))
                });
            }
        };
        let Some(model) = models.models.iter().find(|model| model.state.shown() == target.table) else {
            return Ok(Item::new(subject, Outcome::Missing, format!("its table {} is no longer there", target.table)));
        };
        let models = Models { models: vec![model.clone()], ..Models::default() };
        let wanted = SagaSelector { id: &change.id, exact: true, steps: STEPS, messages: false };
        let look = self.store.look(&models, &wanted).await?;
        let Some(seen) = look.sagas.first() else { return Ok(Item::new(subject, Outcome::Missing, "it is gone")) };
        let saga = &seen.saga;
        let same = saga.status.as_str() == change.status && saga.token == change.token && saga.step == change.step;
        let free = !change.guard.lease_over || saga.deadline.is_none_or(|deadline| deadline <= look.now);
        let whole = !change.guard.not_compensated || !seen.steps.iter().any(|step| step.compensates());
        if same && free && whole {
            return Ok(Item::still(subject));
        }
        let state = State::of(saga).name().replace('_', " ");
        let why = format!("it has changed since it was looked at: now {state}, step {}", saga.step);
        Ok(Item::new(subject, Outcome::Changed, why))
    }
}
