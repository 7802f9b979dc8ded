//! Lists: tasks that match a filter, sorted within a page or streamed; workers; buckets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use futures_util::{StreamExt as _, stream};

use super::limits::TokenBucket;
use super::port::{Depth, TaskStream};
use super::record::Task;
use super::verdict::{State, state};
use super::view::{TASK_COLUMNS, WORKER_COLUMNS, task_row, worker_row};
use crate::handle::Node;
use sen_model::choices;
use sen_model::error::Result;
use sen_model::listing::{Choice as _, Listing, Page, Period, one_part, parts};
use sen_model::time::Timestamp;

/// How many tasks are read again at once.
const AT_ONCE: usize = 50;

choices! {
    /// What is stored of a task, and what a verdict says of it.
    pub enum TaskState {
        /// Waits for a worker.
        Queued = "queued",
        /// Stored.
        Leased = "leased",
        /// Stored.
        InProgress = "in_progress",
        /// A verdict.
        Completed = "completed",
        /// A verdict: tasks that were cancelled or are out of attempts are stored as failed, too.
        Failed = "failed",
        /// Marked for a retry that no worker makes.
        Retrying = "retrying",
        /// A worker that lives holds it.
        Running = "running",
        /// Its worker's heartbeat is gone.
        WorkerGone = "worker_gone",
        /// Held beyond its lease.
        LeaseExpired = "lease_expired",
        /// Tried as often as it may be.
        OutOfAttempts = "out_of_attempts",
        /// It has spent what it may.
        OverCostLimit = "over_cost_limit",
        /// Cancelled.
        Cancelled = "cancelled",
        /// Completed, with an error kept.
        CompletedWithErrors = "completed_with_errors",
        /// No version writes such a hash.
        Unreadable = "unreadable",
    }
}

impl TaskState {
    /// Whether a task is in it. A name can be a status and a verdict: then the verdict counts, which is what `status` counts
    /// under that name.
    fn holds(self, task: &Task, now: Timestamp) -> bool {
        match State::parse(self.name()) {
            Some(judged) => state(task, now) == judged,
            None => task.seen.status == self.name(),
        }
    }
}

choices! {
    /// By what tasks are sorted: a number of each, the largest first.
    pub enum TaskOrder {
        /// How much attention it needs, then when it was submitted.
        Attention = "attention",
        /// When it was submitted.
        Created = "created",
        /// When it last changed.
        Updated = "updated",
        /// When its lease ends.
        Lease = "lease",
        /// How often it was tried.
        Attempts = "attempts",
        /// What it has cost.
        Cost = "cost",
    }
}

impl TaskOrder {
    fn rank(self, task: &Task, now: Timestamp) -> i64 {
        let time = |moment: Option<Timestamp>| moment.map_or(i64::MIN, Timestamp::as_micros);
        match self {
            // Moments stay below the bits of the severity for longer than anybody counts.
            Self::Attention => {
                let created = task.created_at.map_or(0, Timestamp::as_micros).clamp(0, (1 << 60) - 1);
                ((state(task, now).severity() as i64) << 60) | created
            }
            Self::Created => time(task.created_at),
            Self::Updated => time(task.updated_at),
            Self::Lease => time(task.lease_expires),
            Self::Attempts => task.attempts,
            Self::Cost => (task.cost * 1e9) as i64,
        }
    }
}

/// Which tasks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFilter {
    /// In one of these states; empty: all.
    pub states: Vec<TaskState>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this type.
    pub task_type: Option<String>,
    /// That this worker has or had.
    pub worker: Option<String>,
    /// Held beyond their lease.
    pub expired: bool,
    /// Held by a worker whose heartbeat is gone.
    pub dead_owner: bool,
    /// Whose error contains this text.
    pub error: Option<String>,
    /// When they last changed.
    pub period: Period,
    /// Which part of them.
    pub page: Page<TaskOrder>,
}

impl TaskFilter {
    /// `None` is as stored.
    fn order(&self) -> Option<TaskOrder> {
        self.page.order.or(self.page.limit.map(|_| TaskOrder::Created))
    }
}

/// A filter, its times resolved against the server's clock.
struct Matcher<'a> {
    filter: &'a TaskFilter,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl<'a> Matcher<'a> {
    fn new(filter: &'a TaskFilter, now: Timestamp) -> Self {
        let Period { older_than, since, until } = &filter.period;
        Self {
            before: older_than.map(|span| now.minus(span)),
            since: since.map(|when| when.resolve(now)),
            until: until.map(|when| when.resolve(now)),
            filter,
        }
    }

    /// Whether a task matches.
    fn has(&self, task: &Task, now: Timestamp) -> bool {
        let filter = self.filter;
        let is = |wanted: &Option<String>, value: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| value.as_ref() == Some(wanted))
        };
        let holds = |wanted: &Option<String>, value: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| value.as_ref().is_some_and(|value| value.contains(wanted.as_str())))
        };
        let changed = task.updated_at;
        (filter.states.is_empty() || filter.states.iter().any(|wanted| wanted.holds(task, now)))
            && is(&filter.tenant, &task.tenant_id)
            && is(&filter.task_type, &task.task_type)
            && is(&filter.worker, &task.owner)
            && holds(&filter.error, &task.error)
            && (!filter.expired || (task.is_held() && task.lease_expires.is_some_and(|end| end <= now)))
            && (!filter.dead_owner || (task.is_held() && (task.owner.is_none() || task.owner_alive == Some(false))))
            && self.before.is_none_or(|before| changed.is_some_and(|changed| changed < before))
            && self.since.is_none_or(|since| changed.is_some_and(|changed| changed >= since))
            && self.until.is_none_or(|until| changed.is_some_and(|changed| changed < until))
    }
}

/// A task in a heap of the best ones. Of equals the smaller id counts as better, so that a page is the same each time.
struct Ranked {
    rank: i64,
    task: Task,
}

impl Ranked {
    fn key(&self) -> (i64, Reverse<&str>) {
        (self.rank, Reverse(&self.task.id))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Node {
    /// The tasks that match.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn list(&self, filter: &TaskFilter) -> Result<Listing> {
        let Some(order) = filter.order() else { return self.stream_tasks(filter).await };
        let (now, matched, mut chosen) = self.best(filter, order).await?;
        if filter.page.payloads {
            self.add_payloads(&mut chosen).await?;
        }
        let more = matched > chosen.len() as u64;
        let rows = chosen.into_iter().map(|task| task_row(task, now)).collect();
        Ok(Listing { columns: TASK_COLUMNS, now, parts: one_part(rows, more) })
    }

    /// The ids of the tasks that match: the set of a bulk act, fixed before anything is written.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn ids(&self, filter: &TaskFilter) -> Result<Vec<String>> {
        let (_, _, chosen) = self.best(filter, filter.order().unwrap_or(TaskOrder::Created)).await?;
        Ok(chosen.into_iter().map(|task| task.id).collect())
    }

    /// Everything in stored order, as it comes.
    async fn stream_tasks(&self, filter: &TaskFilter) -> Result<Listing> {
        let depth = if filter.page.payloads { Depth::Payloads } else { Depth::Plain };
        let mut tasks = self.store.tasks(depth).await?;
        let Some(first) = tasks.next().await.transpose()? else {
            return Ok(Listing::of(TASK_COLUMNS, Timestamp::here(), Vec::new()));
        };
        let (now, filter) = (first.now, filter.clone());
        let all: TaskStream = Box::pin(stream::iter([Ok(first)]).chain(tasks));
        let matching = all.map(move |part| {
            let wanted = Matcher::new(&filter, now);
            Ok(part?.tasks.into_iter().filter(|task| wanted.has(task, now)).collect())
        });
        Ok(Listing { columns: TASK_COLUMNS, now, parts: parts(matching, None, move |task| task_row(task, now)) })
    }

    /// The server's clock, how many match, and the best so many, in order: all tasks pass, and only those are kept.
    async fn best(&self, filter: &TaskFilter, order: TaskOrder) -> Result<(Timestamp, u64, Vec<Task>)> {
        let limit = filter.page.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut tasks = self.store.tasks(Depth::Plain).await?;
        let mut best: BinaryHeap<Reverse<Ranked>> = BinaryHeap::new();
        let mut matched = 0_u64;
        let mut first = None;
        while let Some(part) = tasks.next().await {
            let part = part?;
            let wanted = Matcher::new(filter, *first.get_or_insert(part.now));
            for task in part.tasks.into_iter().filter(|task| wanted.has(task, part.now)) {
                matched += 1;
                let rank = order.rank(&task, part.now);
                let rank = if filter.page.reverse { rank.checked_neg().unwrap_or(i64::MAX) } else { rank };
                best.push(Reverse(Ranked { rank, task }));
                if best.len() > limit {
                    best.pop();
                }
            }
        }
        let chosen = best.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.task).collect();
        Ok((first.unwrap_or_else(Timestamp::here), matched, chosen))
    }

    /// Reads parameters and results of these tasks. One that has gone meanwhile stays without.
    async fn add_payloads(&self, tasks: &mut [Task]) -> Result<()> {
        for part in tasks.chunks_mut(AT_ONCE) {
            let ids: Vec<String> = part.iter().map(|task| task.id.clone()).collect();
            let (_, read) = self.store.peek(&ids, Depth::Payloads).await?;
            for (task, read) in part.iter_mut().zip(read) {
                let Some(read) = read else { continue };
                task.params = read.params;
                task.result = read.result;
                task.odd_payloads = read.odd_payloads;
            }
        }
        Ok(())
    }

    /// The workers: those with a heartbeat, and those that hold tasks without one.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn workers(&self) -> Result<Listing> {
        let mut tasks = self.store.tasks(Depth::Plain).await?;
        let mut held: BTreeMap<String, u64> = BTreeMap::new();
        while let Some(part) = tasks.next().await {
            for task in part?.tasks.into_iter().filter(Task::is_held) {
                *held.entry(task.owner.unwrap_or_default()).or_default() += 1;
            }
        }
        held.remove("");
        let (now, beats) = self.store.heartbeats(None).await?;
        let names: BTreeSet<&str> =
            beats.iter().map(|beat| beat.worker_id.as_str()).chain(held.keys().map(String::as_str)).collect();
        let rows = names
            .into_iter()
            .map(|name| {
                let beat = beats.iter().find(|beat| beat.worker_id == name);
                worker_row(name, beat, held.get(name).copied().unwrap_or(0))
            })
            .collect();
        Ok(Listing::of(WORKER_COLUMNS, now, rows))
    }

    /// The tenants' buckets of tokens, of all tenants or of one, and the server's clock.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn buckets(&self, tenant: Option<&str>) -> Result<(Timestamp, Vec<TokenBucket>)> {
        let (now, buckets) = self.store.buckets(tenant).await?;
        Ok((now, buckets.into_iter().map(TokenBucket::read).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_sorted_and_a_stream_is_not() {
        assert_eq!(TaskFilter::default().order(), None);
        let page = TaskFilter { page: Page::first(5), ..TaskFilter::default() };
        assert_eq!(page.order(), Some(TaskOrder::Created));
    }
}
