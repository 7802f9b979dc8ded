//! Acts on executions: cancel, complete, signal, cleanup. What may be done is judged in [`rules`] (pure); the statements judge
//! again.

pub mod port;
pub mod rules;

pub use port::{ActStore, Cancel, Complete, Signal};

mod cleanup;
mod items;
mod one;

use async_trait::async_trait;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::error::Result;
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::Plan;
use sen_model::prepared::{Apply, Applying, PreparedAction};
use sen_model::report::{Item, Report};
use sen_model::subject::Subject;

use crate::handle::Stent;
use crate::letters::note::note;
use crate::names;
use crate::plan::ExecutionAction;
use crate::request::ExecutionRequest;

impl Stent {
    /// Looks, judges, and says what would be written.
    ///
    /// # Errors
    /// What the store reports, and `Usage` for input that could never be stored.
    pub async fn plan(&self, request: &ExecutionRequest) -> Result<Box<dyn PreparedAction + '_>> {
        if !self.store.shape().await?.present() {
            return Err(self.absent());
        }
        match request {
            ExecutionRequest::Cancel { ids, verify } => self.plan_cancel(ids, *verify).await,
            ExecutionRequest::Complete { ids } => self.plan_complete(ids).await,
            ExecutionRequest::Signal { id, name, payload, replace } => {
                self.plan_signal(id, name, payload, *replace).await
            }
            ExecutionRequest::Cleanup { older_than, states, limit } => {
                self.plan_cleanup(*older_than, states, *limit).await
            }
        }
    }
}

/// Executions that are acted on one after the other.
struct Executions<'a> {
    stent: &'a Stent,
    action: &'a ExecutionAction,
    permit: &'a WritePermit,
    observer: &'a dyn Observer,
    note: String,
}

#[async_trait]
impl Targets for Executions<'_> {
    fn subject(&self, place: usize) -> Subject {
        names::execution(&self.action.targets[place].id)
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for place in places {
            let target = &self.action.targets[*place];
            let (act, note) = (&self.action.act, self.note.as_str());
            items.push(self.stent.apply_one(act, target, note, self.permit, self.observer).await);
        }
        Ok(items)
    }
}

#[async_trait]
impl Apply<ExecutionAction> for Stent {
    async fn apply(&self, plan: &Plan, action: ExecutionAction, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, brakes, .. } = applying;
        let mut executions = Executions { stent: self, action: &action, permit, observer, note: note(permit) };
        Ok(run_batch(&mut [&mut executions], plan, action.targets.len(), Pace::SINGLE.braked(brakes), permit, observer)
            .await)
    }

    async fn check(&self, action: &ExecutionAction) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(action.targets.len());
        for target in &action.targets {
            items.push(self.check_one(&action.act, target).await?);
        }
        Ok(items)
    }
}
