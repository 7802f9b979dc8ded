//! Planning acts and applying them. Rules are in `rules.rs`, scripts in the store.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use sen_model::batch::{Pace, Targets, run_batch};
use sen_model::error::{Error, Result};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::{Plan, Risk};
use sen_model::prepared::{Apply, Applying, Prepared, PreparedAction};
use sen_model::report::{Item, Outcome, Report};
use sen_model::subject::Subject;
use sen_model::text::many;
use sen_model::time::Uptime;

use crate::checkpoint::Effect;
use crate::handle::Node;
use crate::plan::{Single, SingleAction, TaskAction, TaskHead, TaskTarget};
use crate::port::{Act, Acted, Depth, NewTask, Verb};
use crate::record::{Status, Task};
use crate::request::{AgentRequest, Submission};
use crate::rules::{self, subject};

/// How many changes are sent at once.
const AT_ONCE: usize = 50;
/// How many tasks are looked at at once.
const LOOKED_AT: usize = 500;
/// About so many events are kept, whoever writes them.
const KEPT: usize = 10_000;
/// How often a change is looked after.
const BEAT: Duration = Duration::from_millis(200);

impl Node {
    /// Looks, judges, and says what would be written.
    ///
    /// # Errors
    /// What the store reports, and `Usage` for input that could never be stored.
    pub async fn plan(&self, request: &AgentRequest) -> Result<Box<dyn PreparedAction + '_>> {
        match request {
            AgentRequest::Cancel { ids, verify } => {
                self.plan_tasks(Verb::Cancel, ids, *verify, |task, _| rules::cancel(task)).await
            }
            AgentRequest::Requeue { ids, verify } => self.plan_tasks(Verb::Requeue, ids, *verify, rules::requeue).await,
            AgentRequest::Submit(submission) => self.plan_submit(submission),
            AgentRequest::FillBucket { tenant, capacity, refill_rate } => {
                let (tenant, tokens) = (tenant.clone(), capacity.clone());
                let fill = Single::FillBucket { tenant: tenant.clone(), tokens, refill_rate: refill_rate.clone() };
                Ok(self.plan_single(format!("set the rate limit of {tenant}"), fill))
            }
            AgentRequest::EmptyBucket { tenant } => {
                let empty = Single::EmptyBucket { tenant: tenant.clone() };
                Ok(self.plan_single(format!("reset the rate limit of {tenant}"), empty))
            }
        }
    }

    async fn plan_tasks(
        &self,
        verb: Verb,
        ids: &[String],
        verify: Option<Duration>,
        judge: impl Fn(&Task, &[Effect]) -> Result<TaskTarget, Box<Item>>,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        // A cancelled task may have a living worker, and a requeued one may be run by two.
        let mut plan = Plan::new(self.store.database(), Risk::Dangerous);
        let mut targets = Vec::new();
        let mut effects: HashMap<String, Vec<Effect>> = HashMap::new();
        if verb == Verb::Requeue {
            for effect in self.store.effects(ids).await? {
                effects.entry(effect.task_id.clone()).or_default().push(effect);
            }
        }
        // With the payloads: a task that the workers cannot read must not be given to them again.
        for part in ids.chunks(AT_ONCE) {
            let (_, tasks) = self.store.peek(part, Depth::Payloads).await?;
            for (id, task) in part.iter().zip(tasks) {
                let Some(task) = task else {
                    plan.refused.push(Item::new(subject(id), Outcome::Missing, "no such agent task"));
                    continue;
                };
                match judge(&task, effects.get(id).map_or(&[], Vec::as_slice)) {
                    Ok(target) => targets.push(target),
                    Err(refusal) => plan.refused.push(*refusal),
                }
            }
        }
        let head = TaskHead { verify, batch: AT_ONCE, rate: None, set: false };
        let summary = |count| format!("{} {}", verb.name(), many(count, "agent task"));
        Ok(Prepared::boxed(self, plan, TaskAction { head, targets }, summary))
    }

    fn plan_submit(&self, new: &Submission) -> Result<Box<dyn PreparedAction + '_>> {
        match serde_json::from_str::<serde_json::Value>(&new.params) {
            Ok(serde_json::Value::Object(_)) => {}
            Ok(_) => return Err(Error::usage("the parameters are no JSON object").with_hint("write {\"query\":\"…\"}")),
            Err(error) => return Err(Error::usage("the parameters are no JSON").with_source(error)),
        }
        let id = new.id.clone().unwrap_or_else(|| {
            let random = uuid::Uuid::new_v4().simple().to_string();
            format!("task_{}", &random[..12])
        });
        if id.is_empty() || id.contains([':', '\0', '\n']) {
            return Err(Error::usage("the id of a task cannot be empty or hold a colon: workers cut it off there"));
        }
        let summary = format!("submit an agent task for {}", new.tenant);
        Ok(self.plan_single(summary, Single::Submit { id, submission: Box::new(new.clone()) }))
    }

    fn plan_single(&self, summary: String, single: Single) -> Box<dyn PreparedAction + '_> {
        let plan = Plan::new(self.store.database(), Risk::Safe);
        Prepared::boxed(self, plan, SingleAction(single), |_| summary)
    }

    async fn submit(&self, id: &str, new: &Submission, permit: &WritePermit) -> Result<(Outcome, &'static str)> {
        // As the system's own models are saved: what is absent is left out, and the limit is what the controller gives.
        let mut fields = vec![
            ("task_id", id.to_owned()),
            ("status", "queued".to_owned()),
            ("tenant_id", new.tenant.clone()),
            ("attempts", "0".to_owned()),
            ("max_attempts", new.max_attempts.to_string()),
            ("cost_so_far", "0.0".to_owned()),
            ("task_type", new.task_type.clone()),
            ("agent_type", new.agent_type.clone()),
            ("task_params", new.params.clone()),
        ];
        fields.extend(new.cost_limit.as_ref().map(|limit| ("cost_limit", limit.to_string())));
        Ok(if self.store.submit(&NewTask { id: id.to_owned(), fields }, permit).await? {
            (Outcome::Applied, "queued")
        } else {
            (Outcome::Changed, "there is something under this id already; nothing was written")
        })
    }

    async fn set_bucket(
        &self,
        tenant: &str,
        fill: Option<(f64, Option<f64>)>,
        permit: &WritePermit,
    ) -> Result<(Outcome, &'static str)> {
        Ok(match (self.store.set_bucket(tenant, fill, permit).await?, fill.is_some()) {
            (false, _) => (Outcome::Changed, "its key holds something else than a bucket; nothing was written"),
            (true, true) => (Outcome::Applied, "set for a day"),
            (true, false) => (Outcome::Applied, "reset: the bucket is full"),
        })
    }

    /// What the records of an operation that may have been begun before show it to have changed: tasks and tenants; and whether
    /// records can have been cut off. `None`: they cannot be read.
    async fn own(&self, permit: &WritePermit) -> Option<(HashSet<String>, bool)> {
        if !permit.may_have_begun() {
            return Some((HashSet::new(), false));
        }
        let operation = permit.operation().to_string();
        let events = self.store.events(None, None).await.ok()?.events;
        let own = events.iter().filter(|event| event.field("operation") == Some(&operation));
        let about = own.filter_map(|event| event.field("task_id").or(event.field("tenant_id"))).map(str::to_owned);
        Some((about.collect(), events.len() >= KEPT))
    }

    /// Whether a task is still as an act on it requires.
    fn still(target: &TaskTarget, task: Option<Task>) -> Item {
        let Act { id, verb, seen } = &target.act;
        let Some(task) = task else { return Item::new(subject(id), Outcome::Missing, "it is gone") };
        let now = &task.seen;
        let same = now.status == seen.status && now.owner == seen.owner && now.lease == seen.lease;
        if same && (*verb == Verb::Cancel || now.updated == seen.updated) {
            return Item::still(subject(id));
        }
        let why = format!("it has changed since it was looked at: now {}", now.status);
        Item::new(subject(id), Outcome::Changed, why)
    }

    /// Reads changed tasks again, once or for a while: a live worker saves whole tasks and so undoes a change.
    async fn look_after(
        &self,
        report: &mut Report,
        mut made: Vec<(usize, Act, i64)>,
        span: Option<Duration>,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) {
        let until = Uptime::now().plus(span.unwrap_or_default());
        if let Some(span) = span.filter(|_| !made.is_empty()) {
            let span = sen_model::time::humane(i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
            observer.say(&format!("watching for {span} that no worker undoes it"));
        }
        while !made.is_empty() {
            let mut kept = Vec::new();
            for part in made.chunks(LOOKED_AT) {
                let ids: Vec<String> = part.iter().map(|(_, act, _)| act.id.clone()).collect();
                // What was written was confirmed; that it cannot be read now changes nothing about that.
                let Ok((_, tasks)) = self.store.peek(&ids, Depth::Plain).await else { return };
                for ((at, act, attempts), task) in part.iter().zip(tasks) {
                    match task.and_then(|task| undone(act, *attempts, &task)) {
                        Some(how) => {
                            let item = &mut report.items[*at];
                            item.outcome = Outcome::Changed;
                            item.detail = format!("{}, but then {how}", item.detail);
                            observer.settled(*at, item);
                        }
                        None => kept.push((*at, act.clone(), *attempts)),
                    }
                }
            }
            made = kept;
            if Uptime::now() >= until || permit.is_revoked() {
                return;
            }
            tokio::time::sleep(BEAT).await;
        }
    }
}

/// How a change was undone, if it was. A task that has been taken up properly since is no such case: a claim writes the
/// time, while a worker that saves what it remembers sets time or attempts back.
fn undone(act: &Act, attempts: i64, task: &Task) -> Option<String> {
    let back =
        task.seen.status == act.seen.status && task.seen.owner == act.seen.owner && task.seen.lease == act.seen.lease;
    let undone = match act.verb {
        Verb::Cancel => task.status != Some(Status::Failed),
        Verb::Requeue => {
            // A claim writes a time of its own; only what was remembered brings the old one back.
            let remembered = task.seen.updated == act.seen.updated || task.attempts < attempts;
            back || (task.seen.owner == act.seen.owner && !act.seen.owner.is_empty() && remembered)
        }
        Verb::Replay => false,
    };
    let who = Some(act.seen.owner.as_str()).filter(|owner| !owner.is_empty()).unwrap_or("a worker");
    undone.then(|| format!("undone: {who} saved the whole task again, and it is {} now", task.seen.status))
}

/// Tasks that are changed some at a time.
struct Tasks<'a> {
    node: &'a Node,
    action: &'a TaskAction,
    permit: &'a WritePermit,
    /// What was changed: the place of the task, and the attempts that it was left with.
    made: Vec<(usize, i64)>,
}

#[async_trait]
impl Targets for Tasks<'_> {
    fn subject(&self, place: usize) -> Subject {
        subject(&self.action.targets[place].act.id)
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let acts: Vec<Act> = places.iter().map(|place| self.action.targets[*place].act.clone()).collect();
        let outcomes = self.node.store.act_all(&acts, self.permit).await;
        let mut items = Vec::new();
        for (place, outcome) in places.iter().zip(outcomes) {
            let target = &self.action.targets[*place];
            let act = &target.act;
            let (mut item, attempts) = item(act, outcome);
            if item.outcome == Outcome::Applied {
                let undoable = act.verb == Verb::Cancel && !target.warnings.is_empty() && !act.seen.owner.is_empty();
                if undoable && self.action.head.verify.is_none() {
                    item.detail +=
                        &format!("; {} was at work on it and may undo this (--verify watches)", act.seen.owner);
                }
                self.made.push((*place, attempts));
            }
            items.push(item);
        }
        if self.permit.may_have_begun() && items.iter().any(|item| item.outcome != Outcome::Applied) {
            let own = self.node.own(self.permit).await;
            let shown = |item: &Item| {
                let (about, cut) = own.as_ref()?;
                let is = about.contains(&item.subject.id);
                (is || !cut).then_some(is)
            };
            items = items
                .into_iter()
                .map(|item| {
                    let shown = shown(&item);
                    item.own(shown)
                })
                .collect();
        }
        Ok(items)
    }
}

#[async_trait]
impl Apply<TaskAction> for Node {
    async fn apply(&self, plan: &Plan, action: TaskAction, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, brakes, .. } = applying;
        let TaskHead { verify, batch, rate, set } = action.head;
        let pace = if set { Pace::bulk(batch, rate) } else { Pace { batch, rate, ..Pace::SINGLE } };
        let pace = pace.braked(brakes);
        let mut tasks = Tasks { node: self, action: &action, permit, made: Vec::new() };
        let mut report = run_batch(&mut [&mut tasks], plan, action.targets.len(), pace, permit, observer).await;
        if !set {
            // Each is listed then, at its place.
            let made =
                tasks.made.into_iter().map(|(place, attempts)| (place, action.targets[place].act.clone(), attempts));
            self.look_after(&mut report, made.collect(), verify, permit, observer).await;
        }
        Ok(report)
    }

    async fn check(&self, action: &TaskAction) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(action.targets.len());
        for part in action.targets.chunks(LOOKED_AT) {
            let ids: Vec<String> = part.iter().map(|target| target.act.id.clone()).collect();
            let (_, tasks) = self.store.peek(&ids, Depth::Plain).await?;
            items.extend(part.iter().zip(tasks).map(|(target, task)| Self::still(target, task)));
        }
        Ok(items)
    }
}

#[async_trait]
impl Apply<SingleAction> for Node {
    async fn apply(&self, plan: &Plan, action: SingleAction, applying: Applying<'_>) -> Result<Report> {
        let permit = applying.permit;
        let SingleAction(single) = action;
        let subject = single.subject();
        let mut report = Report::new(plan.operation);
        // It is not guarded by what was seen: what was done before must not be done again.
        if self.own(permit).await.is_some_and(|(about, _)| about.contains(&subject.id)) {
            report.items.push(Item::new(subject, Outcome::AlreadyDone, "").own(Some(true)));
            applying.observer.settled(0, &report.items[0]);
            return Ok(report);
        }
        let done = match &single {
            Single::Submit { id, submission } => self.submit(id, submission, permit).await,
            Single::FillBucket { tenant, tokens, refill_rate } => {
                let rate = refill_rate.as_ref().and_then(serde_json::Number::as_f64);
                self.set_bucket(tenant, Some((tokens.as_f64().unwrap_or(0.0), rate)), permit).await
            }
            Single::EmptyBucket { tenant } => self.set_bucket(tenant, None, permit).await,
        };
        report.items.push(match done {
            Ok((outcome, detail)) => Item::new(subject, outcome, detail),
            Err(error) => Item::failed(subject, &error),
        });
        applying.observer.settled(0, &report.items[0]);
        Ok(report)
    }

    async fn check(&self, action: &SingleAction) -> Result<Vec<Item>> {
        let subject = action.0.subject();
        let taken = match &action.0 {
            Single::Submit { id, .. } => {
                self.store.peek(std::slice::from_ref(id), Depth::Plain).await?.1.pop().flatten()
            }
            Single::FillBucket { .. } | Single::EmptyBucket { .. } => None,
        };
        Ok(vec![match taken {
            Some(_) => Item::new(subject, Outcome::Changed, "there is something under this id already"),
            None => Item::still(subject),
        }])
    }
}

/// What became of a change, and the attempts it left.
pub(super) fn item(act: &Act, outcome: Result<Acted>) -> (Item, i64) {
    let subject = subject(&act.id);
    let changed = "it has changed since it was looked at";
    let (outcome, detail) = match outcome {
        Ok(Acted::Done(made)) => {
            let detail = match (&act.verb, made.status.as_str()) {
                (Verb::Cancel, _) => "cancelled".to_owned(),
                (Verb::Requeue, _) if made.attempts == 1 => "requeued, 1 attempt used".to_owned(),
                (Verb::Requeue, _) => format!("requeued, {} attempts used", made.attempts),
                (Verb::Replay, _) => "queued again, its attempts reset".to_owned(),
            };
            return (Item::new(subject, Outcome::Applied, detail).changing(made.changes), made.attempts);
        }
        Ok(Acted::Changed { status, owner }) => {
            let owner = if owner.is_empty() { String::new() } else { format!(", owner {owner}") };
            (Outcome::Changed, format!("{changed}: now {status}{owner}; nothing was written"))
        }
        Ok(Acted::OwnerAlive) => {
            (Outcome::Changed, format!("the heartbeat of {} is there again; nothing was written", act.seen.owner))
        }
        Ok(Acted::Missing) => (Outcome::Missing, "it no longer exists".into()),
        Ok(Acted::NoHash(kind)) => {
            (Outcome::Changed, format!("{changed}: its key holds a {kind}; nothing was written"))
        }
        Ok(Acted::TooLate) => (Outcome::Failed, "Redis came to it too late; nothing was written".into()),
        Err(error) => return (Item::failed(subject, &error), 0),
    };
    (Item::new(subject, outcome, detail), 0)
}
