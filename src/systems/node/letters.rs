//! The dead letters of this system: tasks that failed, and tasks left behind with no attempts. Their hash is the letter.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::handle::Node;
use super::plan::{TaskAction, TaskHead};
use super::port::{Depth, TaskStream};
use super::record::NAME;
use super::record::Task;
use super::rules::{self, Replayability, subject};
use super::verdict::is_dead;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letter::{Letter, LetterGroup, Parent, group_id, normalize_error};
use sen_model::letters::{DeadLetters, LetterFilter, Letters, ReplayOptions};
use sen_model::plan::{Plan, Risk, Set};
use sen_model::prepared::{Prepared, PreparedAction, Sink};
use sen_model::record::Record;
use sen_model::report::{Item, Outcome};
use sen_model::text::many;
use sen_model::time::Timestamp;

/// What these letters are.
const KIND: &str = "agent_task";
/// How many are replayed at once unless told otherwise.
const BATCH: usize = 50;
/// How many lines of a plan's sample.
const SAMPLE: usize = 5;

/// A filter, its times resolved against the server's clock.
struct Wanted<'a> {
    filter: &'a LetterFilter,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    now: Timestamp,
}

/// When a task died, as far as it says.
fn died_at(task: &Task) -> Option<Timestamp> {
    task.completed_at.or(task.updated_at)
}

fn step(task: &Task) -> &str {
    task.task_type.as_deref().unwrap_or_default()
}

fn group_of(task: &Task) -> (String, String) {
    let folded = normalize_error(task.error.as_deref().unwrap_or("(no error was recorded)"));
    (group_id(step(task), &folded), folded)
}

impl<'a> Wanted<'a> {
    fn new(filter: &'a LetterFilter, now: Timestamp) -> Self {
        Self {
            filter,
            before: filter.older_than.map(|span| now.minus(span)),
            since: filter.since.map(|when| when.resolve(now)),
            until: filter.until.map(|when| when.resolve(now)),
            now,
        }
    }

    fn has(&self, task: &Task) -> bool {
        let filter = self.filter;
        let died = died_at(task);
        is_dead(task, self.now)
            && (filter.ids.is_empty() || filter.ids.contains(&task.id))
            && (filter.kinds.is_empty() || filter.kinds.iter().any(|kind| kind == KIND))
            // There are no queues here.
            && filter.queue.is_none()
            && filter.step.as_deref().is_none_or(|wanted| step(task) == wanted)
            && filter.worker.as_ref().is_none_or(|worker| task.owner.as_ref() == Some(worker))
            && filter.error.as_ref().is_none_or(|text| task.error.as_ref().is_some_and(|error| error.contains(text.as_str())))
            && self.before.is_none_or(|before| died.is_some_and(|died| died < before))
            && self.since.is_none_or(|since| died.is_some_and(|died| died >= since))
            && self.until.is_none_or(|until| died.is_some_and(|died| died < until))
            && (filter.groups.is_empty() || filter.groups.contains(&group_of(task).0))
    }
}

fn letter(task: Task, now: Timestamp, payloads: bool) -> Letter {
    let note = (task.status == Some(super::record::Status::Failed) && task.is_cancelled())
        .then(|| "cancelled by an operator; replayed only by id or with --force".to_owned());
    Letter {
        system: NAME,
        kind: KIND,
        step: step(&task).to_owned(),
        died_at: died_at(&task),
        queue: None,
        parent: task.tenant_id.clone().map(Parent::Tenant),
        group: group_of(&task).0,
        attempts: Some(task.attempts),
        replayability: rules::replayability(&task, now).name(),
        note,
        payload: payloads.then(|| document(&task).to_string()),
        error: task.error,
        id: task.id,
    }
}

/// A whole letter as one JSON object, under the names of the hash.
fn document(task: &Task) -> serde_json::Value {
    let parsed =
        |text: &Option<String>| text.as_ref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    json!({
        "system": NAME, "kind": KIND, "task_id": task.id, "status": task.seen.status, "tenant_id": task.tenant_id,
        "owner": task.owner, "lease_expires": task.lease_expires, "current_node": task.current_node,
        "attempts": task.attempts, "max_attempts": task.max_attempts, "cost_so_far": task.cost,
        "cost_limit": task.cost_limit, "task_type": task.task_type, "agent_type": task.agent_type,
        "task_params": parsed(&task.params), "created_at": task.created_at, "updated_at": task.updated_at,
        "completed_at": task.completed_at, "result": parsed(&task.result), "error": task.error,
    })
}

impl Node {
    /// The tasks a filter is about: those it names, or all.
    async fn candidates(&self, filter: &LetterFilter, depth: Depth) -> Result<TaskStream> {
        if filter.ids.is_empty() {
            return self.store.tasks(depth).await;
        }
        let (now, tasks) = self.store.peek(&filter.ids, depth).await?;
        let tasks = tasks.into_iter().flatten().collect();
        Ok(Box::pin(stream::iter([Ok(super::port::Tasks { now, tasks, checkpoints: Vec::new() })])))
    }

    /// All matching tasks, each handed to `tell`; returns the server's clock.
    async fn each_dead(
        &self,
        filter: &LetterFilter,
        depth: Depth,
        mut tell: impl FnMut(Task, Timestamp) -> Result<()> + Send,
    ) -> Result<Timestamp> {
        let mut stream = self.candidates(filter, depth).await?;
        let mut now = None;
        while let Some(part) = stream.next().await {
            let part = part?;
            now = now.or(Some(part.now));
            let wanted = Wanted::new(filter, part.now);
            for task in part.tasks {
                if wanted.has(&task) {
                    tell(task, part.now)?;
                }
            }
        }
        Ok(now.unwrap_or_else(Timestamp::here))
    }

    /// How many further tasks failed of the same error, if this one failed.
    pub(super) async fn alike(&self, task: &Task, now: Timestamp) -> Result<Option<u64>> {
        if !is_dead(task, now) || task.is_cancelled() || task.is_held() {
            return Ok(None);
        }
        let same = LetterFilter { groups: vec![group_of(task).0], ..LetterFilter::default() };
        let mut others = 0;
        self.each_dead(&same, Depth::Plain, |other, _| {
            others += u64::from(other.id != task.id);
            Ok(())
        })
        .await?;
        Ok(Some(others))
    }

    /// The newest or oldest so many, in order.
    async fn chosen(&self, filter: &LetterFilter, depth: Depth) -> Result<(Timestamp, Vec<Task>)> {
        let limit = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut found: BTreeMap<(i64, String), Task> = BTreeMap::new();
        let sign = if filter.newest_first { -1 } else { 1 };
        let now = self
            .each_dead(filter, depth, |task, _| {
                let at = died_at(&task).map_or(0, Timestamp::as_micros).saturating_mul(sign);
                found.insert((at, task.id.clone()), task);
                if found.len() > limit {
                    found.pop_last();
                }
                Ok(())
            })
            .await?;
        Ok((now, found.into_values().collect()))
    }
}

#[async_trait]
impl DeadLetters for Node {
    async fn list(&self, filter: &LetterFilter) -> Result<Letters> {
        let payloads = filter.payloads;
        let depth = if payloads { Depth::Payloads } else { Depth::Plain };
        if filter.limit.is_some() || !filter.ids.is_empty() {
            let (now, tasks) = self.chosen(filter, depth).await?;
            let letters = tasks.into_iter().map(|task| letter(task, now, payloads)).collect();
            return Ok(Letters { now, parts: Box::pin(stream::iter([Ok(letters)])) });
        }
        // All of them: in stored order, for memory must stay flat.
        let mut tasks = self.store.tasks(depth).await?;
        let Some(first) = tasks.next().await.transpose()? else {
            return Ok(Letters { now: Timestamp::here(), parts: Box::pin(stream::empty()) });
        };
        let now = first.now;
        let filter = filter.clone();
        let parts = stream::iter([Ok(first)]).chain(tasks).map(move |part| {
            let wanted = Wanted::new(&filter, now);
            let dead = part?.tasks.into_iter().filter(|task| wanted.has(task));
            Ok(dead.map(|task| letter(task, now, payloads)).collect())
        });
        Ok(Letters { now, parts: Box::pin(parts) })
    }

    async fn groups(&self, filter: &LetterFilter) -> Result<Vec<LetterGroup>> {
        let mut groups: BTreeMap<String, LetterGroup> = BTreeMap::new();
        self.each_dead(filter, Depth::Plain, |task, now| {
            let (id, folded) = group_of(&task);
            let died = died_at(&task);
            let group = groups.entry(id.clone()).or_insert_with(|| LetterGroup {
                system: NAME,
                id,
                step: step(&task).to_owned(),
                error: folded,
                count: 0,
                first: died,
                last: died,
                sample: task.id.clone(),
                replayable: Some(0),
                note: None,
            });
            group.count += 1;
            group.first = [group.first, died].into_iter().flatten().min();
            group.last = group.last.max(died);
            if rules::replayability(&task, now) == Replayability::Replayable {
                group.replayable = group.replayable.map(|count| count + 1);
            }
            Ok(())
        })
        .await?;
        let mut groups: Vec<LetterGroup> = groups.into_values().collect();
        groups.sort_by(|left, right| right.count.cmp(&left.count).then_with(|| left.id.cmp(&right.id)));
        Ok(groups)
    }

    async fn show(&self, id: &str) -> Result<Vec<Record>> {
        let (now, tasks) = self.store.peek(&[id.to_owned()], Depth::Plain).await?;
        if !tasks.into_iter().flatten().any(|task| is_dead(&task, now)) {
            return Ok(Vec::new());
        }
        Ok(self.find_task(id, 5).await?.into_iter().collect())
    }

    async fn plan_replay(
        &self,
        filter: &LetterFilter,
        options: &ReplayOptions,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        if options.queue.is_some() {
            return Err(Error::usage("agent tasks have no queues"));
        }
        let (now, tasks) = self.chosen(filter, Depth::Plain).await?;
        let mut plan = Plan::new(self.store.database(), Risk::Dangerous);
        let mut set = Set::default();
        let mut skipped: BTreeMap<Replayability, u64> = BTreeMap::new();
        let mut targets = Vec::new();
        let mut saved = 0_u64;
        for id in filter.ids.iter().filter(|id| !tasks.iter().any(|task| task.id == **id)) {
            // Named, and no dead letter (any more): the reason is told.
            let found = self.store.peek(std::slice::from_ref(id), Depth::Plain).await?.1.pop().flatten();
            let refusal = found.map(|task| rules::replay(&task, now));
            plan.refused.push(match refusal {
                Some(Err(item)) => *item,
                Some(Ok(_)) => Item::new(subject(id), Outcome::Skipped, "the other conditions leave it out"),
                None => Item::new(subject(id), Outcome::Missing, "no such agent task"),
            });
        }
        for task in &tasks {
            let replayability = rules::replayability(task, now);
            if replayability != Replayability::Replayable && !options.force && filter.ids.is_empty() {
                *skipped.entry(replayability).or_default() += 1;
                continue;
            }
            match rules::replay(task, now) {
                Ok(target) => {
                    targets.push(target);
                    let died = died_at(task);
                    set.oldest = [set.oldest, died].into_iter().flatten().min();
                    set.newest = set.newest.max(died);
                    saved += u64::from(task.current_node.as_deref().is_some_and(|node| node != "start"));
                    if set.sample.len() < SAMPLE {
                        let error = task.error.as_deref().unwrap_or("no error was recorded");
                        set.sample.push(format!("{} ({}): {error}", task.id, step_name(task)));
                    }
                }
                Err(refusal) => plan.refused.push(*refusal),
            }
        }
        if saved > 0 {
            set.warnings.push(format!(
                "{saved} of them go on after the node that was saved last; earlier nodes are not run again"
            ));
        }
        if let [target] = targets.as_slice() {
            let effects = self.store.effects(std::slice::from_ref(&target.act.id)).await?;
            set.warnings.extend(rules::told(&effects));
        } else if !targets.is_empty() {
            set.warnings.push(
                "side effects whose result is stored are not repeated; those without one are (`sen agent show ID`)"
                    .into(),
            );
        }
        set.warnings.extend(
            (!targets.is_empty())
                .then(|| "a worker counts on from the attempts in the checkpoint, where there is one".to_owned()),
        );
        set.skipped = skipped
            .into_iter()
            .map(|(replayability, count)| match replayability {
                Replayability::Cancelled => ("cancelled by an operator (--force replays them, too)".to_owned(), count),
                other => (other.name().to_owned(), count),
            })
            .collect();
        if let [only] = targets.as_slice() {
            set.single_id = Some(only.act.id.clone());
        }
        plan.set = Some(set);
        let batch = options.batch.map_or(BATCH, |batch| usize::try_from(batch).unwrap_or(BATCH)).clamp(1, 500);
        let head = TaskHead { verify: None, batch, rate: options.rate.filter(|rate| *rate > 0.0), set: true };
        let summary = |count| format!("queue {} again, attempts reset", many(count, "failed agent task"));
        Ok(Prepared::boxed(self, plan, TaskAction { head, targets }, summary))
    }

    async fn plan_discard(&self, filter: &LetterFilter) -> Result<Box<dyn PreparedAction + '_>> {
        let mut matching = 0_u64;
        self.each_dead(filter, Depth::Plain, |_, _| {
            matching += 1;
            Ok(())
        })
        .await?;
        if matching > 0 {
            return Err(no_discard());
        }
        // Letters of another system are meant.
        let plan = Plan::new(self.store.database(), Risk::Dangerous);
        let head = TaskHead { verify: None, batch: BATCH, rate: None, set: true };
        let summary = |count| format!("discard {}", many(count, "failed agent task"));
        Ok(Prepared::boxed(self, plan, TaskAction { head, targets: Vec::new() }, summary))
    }

    async fn export(&self, filter: &LetterFilter, sink: Sink<'_>) -> Result<u64> {
        let mut count = 0;
        self.each_dead(filter, Depth::Payloads, |task, _| {
            sink(&document(&task).to_string())?;
            count += 1;
            Ok(())
        })
        .await?;
        Ok(count)
    }
}

fn step_name(task: &Task) -> &str {
    task.task_type.as_deref().unwrap_or("no type")
}

/// The hash of a failed task is not only a letter: it is the only record of the task, its cost is summed from it, and the
/// results beside it are what keeps its side effects from being repeated. The system itself never removes one.
fn no_discard() -> Error {
    Error::new(
        ErrorKind::Refused,
        "failed agent tasks are not discarded: the hash is the task's only record, and its cost is counted from it",
    )
    .with_hint("`sen dlq export` copies them; --system names the dead letters of another system")
}
