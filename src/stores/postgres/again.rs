//! Connecting again within one command: where to, and what is left for it.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Postgres;
use crate::budget::Budget;
use crate::conninfo::Conninfo;
use sen_model::error::Result;

/// How a command connects again, and what is left for it.
#[derive(Debug)]
pub struct Again {
    info: Conninfo,
    budget: Budget,
}

impl Again {
    /// With everything left.
    pub fn new(info: Conninfo) -> Self {
        let budget = Budget::longer_by(info.connect_retry);
        Self { info, budget }
    }

    /// Where it leads.
    pub fn info(&self) -> &Conninfo {
        &self.info
    }

    /// What is left.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A new connection.
    ///
    /// # Errors
    /// `Connect`, at once when nothing is left to try it.
    pub async fn connect(&self) -> Result<Postgres> {
        self.spend(Postgres::connect(&self.info).boxed()).await
    }

    /// Runs `step` of what a lost connection needs within the time that is left.
    ///
    /// # Errors
    /// As [`Budget::spend`].
    pub async fn spend<T>(&self, step: BoxFuture<'_, Result<T>>) -> Result<T> {
        self.budget.spend(step).await
    }
}
