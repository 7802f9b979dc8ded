//! Executions under way, and the newest ids.

use futures_util::TryStreamExt as _;

use sen_model::activity::Activity;
use sen_model::error::Result;
use sen_model::listing::Page;
use sen_model::live::Live;
use sen_model::summary::Counting;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;

use crate::handle::Stent;
use crate::list::ListFilter;
use crate::names::{ExecutionListState, NAME, TaskListState};
use crate::port::{Ids, Listed};
use crate::verdict;
use crate::view;

impl Stent {
    /// At most `limit` executions that have not ended, the newest first.
    pub(crate) async fn activities(&self, limit: u64) -> Result<Vec<Activity>> {
        let open = [ExecutionListState::Pending, ExecutionListState::Running, ExecutionListState::Cancelling];
        let (now, listed) = self.newest_executions(&open, limit).await?;
        let now = self.zone.wall(now);
        let moment = |wall: Option<Wall>| wall.map(|wall| self.zone.moment(wall)).filter(|at| at.is_finite());
        let activity = |listed: Listed| {
            let state = verdict::listed(&listed, now);
            let execution = listed.execution;
            let begun = moment(execution.started_at);
            Activity {
                system: NAME,
                id: execution.id,
                state: state.of_execution(),
                what: execution.root_function,
                worker: None,
                since: begun.or(moment(execution.created_at)),
                until: moment(execution.expiry_at),
                begun: execution.started_at.is_some(),
            }
        };
        Ok(listed.into_iter().map(activity).collect())
    }

    /// The newest `limit` executions in these states (empty: all), and the database's clock.
    async fn newest_executions(&self, states: &[ExecutionListState], limit: u64) -> Result<(Timestamp, Vec<Listed>)> {
        let filter = ListFilter { states: states.to_vec(), page: Page::first(limit), ..ListFilter::default() };
        let rows = self.store.executions(&self.query(&filter)).await?;
        let mut listed = rows.chunks.try_concat().await?;
        listed.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((rows.now, listed))
    }

    /// At most `limit` values of this kind that begin with `prefix`. Ids are random: without a prefix the newest are taken.
    pub(crate) async fn completions(&self, kind: Live, prefix: &str, limit: u32) -> Result<Vec<String>> {
        match kind {
            Live::Execution | Live::Any if prefix.is_empty() => {
                let (_, listed) = self.newest_executions(&[], limit.into()).await?;
                Ok(listed.into_iter().map(|listed| listed.execution.id).collect())
            }
            Live::Task if prefix.is_empty() => {
                let filter = ListFilter::<TaskListState> { page: Page::first(limit.into()), ..ListFilter::default() };
                let tasks = self.store.tasks(&self.query(&filter)).await?.chunks.try_concat().await?;
                Ok(tasks.into_iter().map(|task| task.id).collect())
            }
            Live::Execution => self.store.ids(Ids::Executions, prefix, limit).await,
            Live::Task => self.store.ids(Ids::Tasks, prefix, limit).await,
            Live::Any => {
                let mut found = self.store.ids(Ids::Executions, prefix, limit).await?;
                found.extend(self.store.ids(Ids::Tasks, prefix, limit).await?);
                Ok(found)
            }
            Live::DeadLetter if !prefix.is_empty() => self.store.ids(Ids::Letters, prefix, limit).await,
            Live::Queue => Ok(view::queue_names(&self.store.census(&self.zone, Counting::Estimated).await?)),
            _ => Ok(Vec::new()),
        }
    }
}
