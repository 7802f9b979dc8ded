//! Plans and their application: the road from a wish to a report. Rules are in `remedy.rs`, scripts in the cell.

use std::collections::HashMap;
use std::time::Duration;

use super::checkpoint::Effect;
use super::port::{Act, Acted, Depth, NewTask, Verb};
use super::record::{Seen, Status, Task};
use super::remedy::{self, LEASE, OWNER, STATUS, UPDATED, subject};
use super::{NAME, Node};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::{Gravity, Plan, Step};
use sen_model::report::{Item, Outcome, Report};
use sen_model::request::{AgentRequest, Request, Submission};
use sen_model::subject::Subject;
use sen_model::time::Uptime;
use sen_model::value::Value;

/// How many changes are sent at once.
const AT_ONCE: usize = 50;
/// How many tasks are looked at at once.
const LOOKED_AT: usize = 500;
/// How often a change is looked after.
const BEAT: Duration = Duration::from_millis(200);
/// The guard that is none: how long to look after a change.
const VERIFY: &str = "verify";

impl Node {
    pub(super) async fn make_plan(&self, request: &Request) -> Result<Plan> {
        let Request::Agent(request) = request else {
            return Err(Error::usage("agent tasks know no such act"));
        };
        match request {
            AgentRequest::Cancel { ids, verify } => {
                self.plan_tasks("cancel", ids, *verify, |task, _| remedy::cancel(task)).await
            }
            AgentRequest::Requeue { ids, verify } => self.plan_tasks("requeue", ids, *verify, remedy::requeue).await,
            AgentRequest::Submit(submission) => self.plan_submit(submission).await,
            AgentRequest::FillBucket { tenant, capacity, refill_rate } => {
                let input = serde_json::json!({ "tokens": capacity, "refill_rate": refill_rate });
                Ok(self.plan_bucket(tenant, "set_rate_limit", Some(input.to_string())))
            }
            AgentRequest::EmptyBucket { tenant } => Ok(self.plan_bucket(tenant, "reset_rate_limit", None)),
        }
    }

    async fn plan_tasks(
        &self,
        what: &'static str,
        ids: &[String],
        verify: Option<Duration>,
        judge: impl Fn(&Task, &[Effect]) -> Result<Step, Box<Item>>,
    ) -> Result<Plan> {
        let grave = what == "requeue" || ids.len() > 1;
        let gravity = if grave { Gravity::Grave } else { Gravity::Harmless };
        let mut plan = Plan::new("", self.store.database(), gravity);
        let mut effects: HashMap<String, Vec<Effect>> = HashMap::new();
        if what == "requeue" {
            for effect in self.store.effects(ids).await? {
                effects.entry(effect.task_id.clone()).or_default().push(effect);
            }
        }
        // With the payloads: a task that the workers cannot read must not be given to them again.
        for part in ids.chunks(AT_ONCE) {
            let (_, tasks) = self.store.peek(part, Depth::Payloads).await?;
            for (id, task) in part.iter().zip(tasks) {
                let Some(task) = task else {
                    plan.refused.push(Item::new(subject(id), Outcome::Missing, "there is no such agent task"));
                    continue;
                };
                match judge(&task, effects.get(id).map_or(&[], Vec::as_slice)) {
                    Ok(mut step) => {
                        if let Some(span) = verify {
                            step.guard
                                .push((VERIFY, Value::Millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))));
                        }
                        plan.steps.push(step);
                    }
                    Err(refusal) => plan.refused.push(*refusal),
                }
            }
        }
        let noun = if plan.steps.len() == 1 { "agent task" } else { "agent tasks" };
        plan.summary = format!("{what} {} {noun}", plan.steps.len());
        Ok(plan)
    }

    async fn plan_submit(&self, new: &Submission) -> Result<Plan> {
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
        let mut plan =
            Plan::new(format!("submit an agent task for {}", new.tenant), self.store.database(), Gravity::Harmless);
        let mut step = Step::new(subject(&id), "submit");
        step.input = Some(
            serde_json::json!({
                "tenant_id": new.tenant, "task_type": new.task_type, "agent_type": new.agent_type, "task_params": new.params,
                "cost_limit": new.cost_limit, "max_attempts": new.max_attempts,
            })
            .to_string(),
        );
        plan.steps.push(step);
        Ok(plan)
    }

    fn plan_bucket(&self, tenant: &str, act: &'static str, input: Option<String>) -> Plan {
        let what = if input.is_some() { "set" } else { "reset" };
        let mut plan =
            Plan::new(format!("{what} the rate limit of {tenant}"), self.store.database(), Gravity::Harmless);
        let mut step = Step::new(Subject::new(NAME, "rate_limit", tenant), act);
        step.input = input;
        plan.steps.push(step);
        plan
    }

    /// Writes what a plan says, in its order, some changes at a time, and looks after them.
    pub(super) async fn carry_out(&self, plan: &Plan, permit: &WritePermit, observer: &dyn Observer) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        if let [step] = plan.steps.as_slice()
            && matches!(step.act, "submit" | "set_rate_limit" | "reset_rate_limit")
        {
            report.items.push(self.carry_out_other(step, permit).await);
            return Ok(report);
        }
        observer.begin(&plan.summary, Some(plan.targets()));
        let mut made = Vec::new();
        for steps in plan.steps.chunks(AT_ONCE) {
            if permit.is_revoked() {
                let skipped =
                    |step: &Step| Item::new(step.subject.clone(), Outcome::Skipped, "interrupted before it was begun");
                report.items.extend(steps.iter().map(skipped));
                continue;
            }
            let acts = steps.iter().map(task_act).collect::<Result<Vec<_>>>()?;
            let outcomes = self.store.act_all(&acts, permit).await;
            for ((act, outcome), step) in acts.into_iter().zip(outcomes).zip(steps) {
                let (mut item, attempts) = item(&act, outcome);
                if item.outcome == Outcome::Applied {
                    let undoable = act.verb == Verb::Cancel && !step.warnings.is_empty() && !act.seen.owner.is_empty();
                    if undoable && step.guarded(VERIFY).is_none() {
                        item.detail +=
                            &format!("; {} was at work on it and may undo this (--verify watches)", act.seen.owner);
                    }
                    made.push((report.items.len(), act, attempts));
                }
                report.items.push(item);
            }
            observer.advance(steps.len() as u64);
        }
        let span = plan.steps.iter().find_map(|step| match step.guarded(VERIFY) {
            Some(Value::Millis(span)) => u64::try_from(*span).ok().map(Duration::from_millis),
            _ => None,
        });
        self.look_after(&mut report, made, span, permit, observer).await;
        report.items.extend(plan.refused.iter().cloned());
        Ok(report)
    }

    async fn carry_out_other(&self, step: &Step, permit: &WritePermit) -> Item {
        let done = match step.act {
            "submit" => self.submit(step, permit).await,
            _ => self.set_bucket(step, permit).await,
        };
        match done {
            Ok((outcome, detail)) => Item::new(step.subject.clone(), outcome, detail),
            Err(error) => failed(step.subject.clone(), &error),
        }
    }

    async fn submit(&self, step: &Step, permit: &WritePermit) -> Result<(Outcome, &'static str)> {
        let input: serde_json::Value =
            serde_json::from_str(step.input.as_deref().unwrap_or_default()).map_err(|error| {
                Error::new(ErrorKind::Internal, "the step is not one of a submission").with_source(error)
            })?;
        let id = step.subject.id.clone();
        let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
        // As the system's own models are saved: what is absent is left out, and the limit is what the controller gives.
        let mut fields = vec![
            ("task_id", id.clone()),
            ("status", "queued".to_owned()),
            ("tenant_id", text("tenant_id")),
            ("attempts", "0".to_owned()),
            ("max_attempts", input["max_attempts"].to_string()),
            ("cost_so_far", "0.0".to_owned()),
            ("task_type", text("task_type")),
            ("agent_type", text("agent_type")),
            ("task_params", text("task_params")),
        ];
        if !input["cost_limit"].is_null() {
            fields.push(("cost_limit", input["cost_limit"].to_string()));
        }
        Ok(if self.store.submit(&NewTask { id, fields }, permit).await? {
            (Outcome::Applied, "queued")
        } else {
            (Outcome::Changed, "there is something under this id already; nothing was written")
        })
    }

    async fn set_bucket(&self, step: &Step, permit: &WritePermit) -> Result<(Outcome, &'static str)> {
        let fill = match &step.input {
            None => None,
            Some(input) => {
                let input: serde_json::Value = serde_json::from_str(input).map_err(|error| {
                    Error::new(ErrorKind::Internal, "the step is not one of a bucket").with_source(error)
                })?;
                Some((input["tokens"].as_f64().unwrap_or(0.0), input["refill_rate"].as_f64()))
            }
        };
        Ok(match (self.store.set_bucket(&step.subject.id, fill, permit).await?, fill.is_some()) {
            (false, _) => (Outcome::Changed, "its key holds something else than a bucket; nothing was written"),
            (true, true) => (Outcome::Applied, "set for a day"),
            (true, false) => (Outcome::Applied, "reset: the bucket is full"),
        })
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

/// What a step says is to be done to a task.
pub(super) fn task_act(step: &Step) -> Result<Act> {
    let verb = match step.act {
        "cancel" => Verb::Cancel,
        "requeue" => Verb::Requeue,
        "replay" => Verb::Replay,
        other => {
            return Err(Error::new(ErrorKind::Internal, format!("the step {other:?} is not one of an agent task")));
        }
    };
    let seen = |name: &str| match step.guarded(name) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Name(name)) => (*name).to_owned(),
        _ => String::new(),
    };
    let seen = Seen { status: seen(STATUS), owner: seen(OWNER), lease: seen(LEASE), updated: seen(UPDATED) };
    Ok(Act { id: step.subject.id.clone(), verb, seen })
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
            return (Item::new(subject, Outcome::Applied, detail), made.attempts);
        }
        Ok(Acted::Changed { status, owner }) => {
            let owner = if owner.is_empty() { String::new() } else { format!(", owner {owner}") };
            (Outcome::Changed, format!("{changed}: now {status}{owner}; nothing was written"))
        }
        Ok(Acted::OwnerAlive) => {
            (Outcome::Changed, format!("the heartbeat of {} is there again; nothing was written", act.seen.owner))
        }
        Ok(Acted::Missing) => (Outcome::Missing, "it is gone".into()),
        Ok(Acted::NoHash(kind)) => {
            (Outcome::Changed, format!("{changed}: its key holds a {kind}; nothing was written"))
        }
        Ok(Acted::TooLate) => (Outcome::Failed, "Redis came to it too late; nothing was written".into()),
        Err(error) => return (failed(subject, &error), 0),
    };
    (Item::new(subject, outcome, detail), 0)
}

fn failed(subject: Subject, error: &Error) -> Item {
    let outcome = match error.kind() {
        ErrorKind::OutcomeUnknown => Outcome::Unknown,
        ErrorKind::Changed | ErrorKind::KeptOut | ErrorKind::Refused => Outcome::Changed,
        _ => Outcome::Failed,
    };
    let mut why = error.to_string();
    // Where there is no connection, nothing was sent.
    if error.kind() == ErrorKind::Connect {
        why.insert_str(0, "not begun: ");
    }
    why.extend(error.causes().iter().map(|cause| format!(": {cause}")));
    why.extend(error.hint().map(|hint| format!(" ({hint})")));
    Item::new(subject, outcome, why).lost(error.is_of_the_connection())
}
