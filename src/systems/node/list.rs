//! Lists: tasks that match a filter, sorted within a page or streamed; workers; buckets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use futures_util::{StreamExt as _, stream};

use super::port::{Depth, TaskStream};
use super::record::Task;
use super::verdict::state;
use super::view::{BUCKET_COLUMNS, TASK_COLUMNS, WORKER_COLUMNS, bucket_row, task_row, worker_row};
use super::{DEAD_OWNER, Node, STATES};
use sen_model::error::{Error, Result};
use sen_model::listing::{Filter, Listing, Part};
use sen_model::time::Timestamp;

/// How many tasks are read again at once.
const AT_ONCE: usize = 50;

/// By what tasks are sorted: a number of each, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Created,
    Updated,
    Lease,
    Attempts,
    Cost,
}

fn order(filter: &Filter) -> Result<Option<Order>> {
    Ok(match filter.sort.as_deref() {
        None if filter.limit.is_none() => None,
        None | Some("created") => Some(Order::Created),
        Some("updated") => Some(Order::Updated),
        Some("lease") => Some(Order::Lease),
        Some("attempts") => Some(Order::Attempts),
        Some("cost") => Some(Order::Cost),
        Some(other) => {
            return Err(Error::usage(format!("cannot sort by {other:?}"))
                .with_hint("known orders: created, updated, lease, attempts, cost"));
        }
    })
}

impl Order {
    fn rank(self, task: &Task) -> i64 {
        let time = |moment: Option<Timestamp>| moment.map_or(i64::MIN, Timestamp::as_micros);
        match self {
            Self::Created => time(task.created_at),
            Self::Updated => time(task.updated_at),
            Self::Lease => time(task.lease_expires),
            Self::Attempts => task.attempts,
            Self::Cost => (task.cost * 1e9) as i64,
        }
    }
}

/// A filter, its times resolved against the server's clock.
pub(super) struct Wanted {
    filter: Filter,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Wanted {
    /// Whether a task matches.
    pub(super) fn has(&self, task: &Task, now: Timestamp) -> bool {
        let filter = &self.filter;
        let is = |wanted: &Option<String>, value: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| value.as_ref() == Some(wanted))
        };
        let holds = |wanted: &Option<String>, value: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| value.as_ref().is_some_and(|value| value.contains(wanted.as_str())))
        };
        let state = state(task, now).name();
        (filter.states.is_empty() || filter.states.iter().any(|wanted| *wanted == task.seen.status || wanted == state))
            && is(&filter.parent, &task.tenant_id)
            && is(&filter.function, &task.task_type)
            && is(&filter.worker, &task.owner)
            && filter
                .owner
                .as_ref()
                .is_none_or(|wanted| task.owner.as_ref().is_some_and(|owner| owner.starts_with(wanted)))
            && holds(&filter.error, &task.error)
            && (!filter.expired || (task.is_held() && task.lease_expires.is_some_and(|end| end <= now)))
            && (!filter.flags.contains(&DEAD_OWNER)
                || (task.is_held() && (task.owner.is_none() || task.owner_alive == Some(false))))
            && self.before.is_none_or(|before| task.updated_at.is_some_and(|updated| updated < before))
            && self.since.is_none_or(|since| task.updated_at.is_some_and(|updated| updated >= since))
            && self.until.is_none_or(|until| task.updated_at.is_some_and(|updated| updated < until))
    }
}

pub(super) fn wanted(filter: &Filter, now: Timestamp) -> Wanted {
    Wanted {
        before: filter.older_than.map(|span| now.minus(span)),
        since: filter.since.map(|when| when.resolve(now)),
        until: filter.until.map(|when| when.resolve(now)),
        filter: filter.clone(),
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
    pub(super) async fn list_tasks(&self, filter: &Filter) -> Result<Listing> {
        for state in &filter.states {
            if !STATES.contains(&state.as_str()) {
                return Err(Error::usage(format!("no agent task is ever {state:?}"))
                    .with_hint(format!("known states: {}", STATES.join(", "))));
            }
        }
        match order(filter)? {
            None => self.stream_tasks(filter).await,
            Some(order) => self.page_of_tasks(filter, order).await,
        }
    }

    /// Everything in stored order, as it comes.
    async fn stream_tasks(&self, filter: &Filter) -> Result<Listing> {
        let depth = if filter.payloads { Depth::Payloads } else { Depth::Plain };
        let mut tasks = self.store.tasks(depth).await?;
        let Some(first) = tasks.next().await.transpose()? else {
            return Ok(Listing { columns: TASK_COLUMNS, now: Timestamp::here(), parts: Box::pin(stream::empty()) });
        };
        let now = first.now;
        let wanted = wanted(filter, now);
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let all: TaskStream = Box::pin(stream::iter([Ok(first)]).chain(tasks));
        let parts = all.map(move |part| {
            let part = part?;
            let mut rows = Vec::new();
            let mut more = false;
            for task in part.tasks {
                if wanted.has(&task, now) {
                    more |= left == 0;
                    if left > 0 {
                        left -= 1;
                        rows.push(task_row(task, now));
                    }
                }
            }
            Ok(Part { rows, more })
        });
        Ok(Listing { columns: TASK_COLUMNS, now, parts: Box::pin(parts) })
    }

    /// The best so many, in order: all tasks pass, and only those are kept.
    async fn page_of_tasks(&self, filter: &Filter, order: Order) -> Result<Listing> {
        let limit = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut tasks = self.store.tasks(Depth::Plain).await?;
        let mut best: BinaryHeap<Reverse<Ranked>> = BinaryHeap::new();
        let mut matched = 0_u64;
        let mut now = None;
        let mut filtered = None;
        while let Some(part) = tasks.next().await {
            let part = part?;
            now = now.or(Some(part.now));
            let wanted = filtered.get_or_insert_with(|| wanted(filter, part.now));
            for task in part.tasks {
                if !wanted.has(&task, part.now) {
                    continue;
                }
                matched += 1;
                let rank = order.rank(&task);
                let rank = if filter.reverse { rank.checked_neg().unwrap_or(i64::MAX) } else { rank };
                best.push(Reverse(Ranked { rank, task }));
                if best.len() > limit {
                    best.pop();
                }
            }
        }
        let now = now.unwrap_or_else(Timestamp::here);
        let mut chosen: Vec<Task> = best.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.task).collect();
        if filter.payloads {
            self.add_payloads(&mut chosen).await?;
        }
        let more = matched > chosen.len() as u64;
        let rows = chosen.into_iter().map(|task| task_row(task, now)).collect();
        Ok(Listing { columns: TASK_COLUMNS, now, parts: Box::pin(stream::iter([Ok(Part { rows, more })])) })
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

    pub(super) async fn list_workers(&self) -> Result<Listing> {
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
        Ok(Listing { columns: WORKER_COLUMNS, now, parts: Box::pin(stream::iter([Ok(Part { rows, more: false })])) })
    }

    pub(super) async fn list_buckets(&self, filter: &Filter) -> Result<Listing> {
        let (now, buckets) = self.store.buckets(filter.parent.as_deref()).await?;
        let rows = buckets.into_iter().map(bucket_row).collect();
        Ok(Listing { columns: BUCKET_COLUMNS, now, parts: Box::pin(stream::iter([Ok(Part { rows, more: false })])) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_sorted_and_a_stream_is_not() {
        assert_eq!(order(&Filter::default()).unwrap(), None);
        assert_eq!(order(&Filter { limit: Some(5), ..Filter::default() }).unwrap(), Some(Order::Created));
        assert!(order(&Filter { sort: Some("colour".into()), ..Filter::default() }).is_err());
    }
}
