//! Lists of executions and of tasks.

use sen_model::error::Result;
use sen_model::listing::{Choice, Listing, Page, Period, parts};
use sen_model::time::{Timestamp, When};

use super::names::{ExecutionListState, ListOrder, TaskListState};
use super::port::{Bound, ExecutionQuery, Order};
use super::view::values::Clock;
use super::view::{self, EXECUTION_COLUMNS, TASK_COLUMNS};
use crate::codec;
use crate::handle::Stent;

/// Which executions, or which tasks, with their states `S`.
#[derive(Debug, Clone, PartialEq)]
pub struct ListFilter<S> {
    /// In one of these states; empty: all.
    pub states: Vec<S>,
    /// Of this queue; `default` is also what has none.
    pub queue: Option<String>,
    /// Of this function (tasks: step), with or without its module.
    pub function: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of workers whose name begins so.
    pub worker: Option<String>,
    /// Whose error contains this text.
    pub error: Option<String>,
    /// Tasks of this execution.
    pub execution: Option<String>,
    /// When they were made.
    pub period: Period,
    /// Which part of them.
    pub page: Page<ListOrder>,
}

impl<S> Default for ListFilter<S> {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            queue: None,
            function: None,
            tag: None,
            worker: None,
            error: None,
            execution: None,
            period: Period::default(),
            page: Page::default(),
        }
    }
}

impl Stent {
    pub(crate) fn query<S: Choice>(&self, filter: &ListFilter<S>) -> ExecutionQuery {
        let page = &filter.page;
        let (order, newest_first) = match page.order {
            None if page.limit.is_none() && page.after.is_none() => (Order::Stored, false),
            None | Some(ListOrder::Created) => (Order::Created, true),
            Some(ListOrder::Started) => (Order::Started, true),
            Some(ListOrder::Completed) => (Order::Completed, true),
        };
        let period = &filter.period;
        ExecutionQuery {
            states: filter.states.iter().map(|state| state.name().to_owned()).collect(),
            queue: filter.queue.clone(),
            function: filter.function.clone(),
            tag: filter.tag.as_deref().map(codec::tag_needles).unwrap_or_default(),
            worker: filter.worker.clone(),
            error: filter.error.as_deref().map(codec::needles).unwrap_or_default(),
            execution: filter.execution.clone(),
            ids: None,
            since: Bound::of(period.since, &self.zone),
            until: [Bound::of(period.until, &self.zone), Bound::of(period.older_than.map(When::Ago), &self.zone)],
            after: page.after.clone(),
            order,
            descending: newest_first != page.reverse,
            limit: page.one_more(),
            payloads: page.payloads,
            // The zone's offset now: this machine's clock is good enough to tell the season.
            ahead: self.zone.ahead_at(Timestamp::here()),
        }
    }

    /// The executions that match.
    ///
    /// # Errors
    /// What the store reports; `NoSystem` when there are none here.
    pub async fn executions(&self, filter: &ListFilter<ExecutionListState>) -> Result<Listing> {
        let rows = self.store.executions(&self.query(filter)).await?;
        let (zone, now) = (self.zone.clone(), rows.now);
        let row = move |listed| view::execution_row(listed, &Clock::new(&zone, now));
        Ok(Listing { columns: EXECUTION_COLUMNS, now, parts: parts(rows.chunks, filter.page.limit, row) })
    }

    /// The tasks that match.
    ///
    /// # Errors
    /// What the store reports; `NoSystem` when there are none here.
    pub async fn tasks(&self, filter: &ListFilter<TaskListState>) -> Result<Listing> {
        let rows = self.store.tasks(&self.query(filter)).await?;
        let (zone, now) = (self.zone.clone(), rows.now);
        let row = move |task| view::task_row(task, &Clock::new(&zone, now));
        Ok(Listing { columns: TASK_COLUMNS, now, parts: parts(rows.chunks, filter.page.limit, row) })
    }
}
