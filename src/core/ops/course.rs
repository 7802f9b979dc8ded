//! Following what an act has changed, in whichever system.

use async_trait::async_trait;
use sen_model::brakes::Following;
use sen_model::course::{Act, Course, Followed, Now};
use sen_model::error::Result;
use sen_model::rows::RowChange;
use sen_model::subject::Subject;
use sen_model::system::System;

use crate::registry::Database;

/// Follows what an act has changed in a system.
pub struct Follower<'a> {
    system: &'a dyn System,
    act: Act,
    /// Whether rows may be seen as they were before the act.
    standby: bool,
}

impl<'a> Follower<'a> {
    /// What this act changes, in the system it is for.
    ///
    /// # Errors
    /// `NoSystem` when the database cannot hold it.
    pub fn of(database: &'a Database, act: Act) -> Result<Self> {
        let system = database.system(act.kind.split('.').next().unwrap_or_default())?;
        Ok(Self { system, act, standby: database.is_standby() })
    }

    /// The error that a target had failed with, as the rows tell that the act changed.
    pub fn failed_with(&self, changes: &[RowChange]) -> Option<String> {
        self.system.failed_with(changes)
    }
}

#[async_trait]
impl Following for Follower<'_> {
    async fn now(&self, targets: &[Followed]) -> Result<Vec<Now>> {
        let mut all = self.system.courses(&self.act, targets).await?;
        // How it was before the act looks the same as that it came to nothing.
        let as_before = |now: &&mut Now| {
            matches!(now.course, Course::DiedAgain | Course::Stuck | Course::TakenBack | Course::EndedOtherwise)
        };
        for now in all.iter_mut().filter(|_| self.standby).filter(as_before) {
            *now = Now::unknown("a standby may show what was before the operation: ask the primary");
        }
        Ok(all)
    }

    async fn groups(&self, subjects: &[Subject]) -> Result<Vec<String>> {
        self.system.alike(subjects).await
    }
}
