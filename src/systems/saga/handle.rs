//! Sagas in one database: the store, and what its queries share.

use std::sync::Arc;

use sen_model::error::{Error, ErrorKind, Result};

use crate::port::{self, SagaStore};
use crate::shape::Models;
use crate::state::State;

/// How many recorded steps come along with a saga that is looked at for an act.
pub(crate) const STEPS: i64 = 500;

/// Sagas in one database.
pub struct Sagas {
    pub(crate) store: Arc<dyn SagaStore>,
}

impl Sagas {
    /// Sagas over `store`.
    pub fn new(store: Box<dyn SagaStore>) -> Self {
        Self { store: store.into() }
    }

    /// The tables.
    ///
    /// # Errors
    /// `NoSystem` when there are none.
    pub(crate) async fn models(&self) -> Result<Arc<Models>> {
        let models = self.store.models().await?;
        if models.is_empty() {
            let message = format!("no saga tables in {}", self.store.database());
            return Err(Error::new(ErrorKind::NoSystem, message).with_hint(
                "they are known by their columns (step_execution_token, current_step_index, …), in any schema this role may read",
            ));
        }
        Ok(models)
    }

    /// Finds the sessions that lock the row of a saga that should be free: one without a deadline, or long overdue.
    pub(crate) async fn find_holders(&self, models: &Models, look: &mut port::Look) -> Result<()> {
        for seen in &mut look.sagas {
            let state = State::of(&seen.saga);
            let model = models.models.iter().find(|model| model.state.number == seen.model);
            if let (State::Stuck | State::Overdue | State::LeaseExpired, Some(model)) = (state, model) {
                seen.holders = self.store.holders(model, &seen.saga.id).await?;
            }
        }
        Ok(())
    }
}
