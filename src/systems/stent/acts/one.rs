//! Acts on one execution: cancel it, complete it, send it a signal.

use std::time::Duration;

use sen_model::error::{Error, ErrorKind, Result};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::{Plan, Risk};
use sen_model::prepared::{Prepared, PreparedAction};
use sen_model::report::{Item, Outcome, suppressed};
use sen_model::text::named;
use sen_model::time::{Timestamp, Uptime};
use serde_json::value::RawValue;

use super::items::{announce, item};
use super::port::{Cancel, Complete, Signal, Stopped};
use super::rules::{self, Cancellable};
use crate::codec::Codec;
use crate::handle::Stent;
use crate::letters::note::mark;
use crate::names;
use crate::plan::{ExecutionAct, ExecutionAction, ExecutionTarget, Observed};
use crate::port::Whole;
use crate::record::{Execution, ExecutionState};
use crate::words::many;

/// Between two looks at a cancelled execution.
const LOOK: Duration = Duration::from_millis(250);
/// How long an execution is watched after the last of its running tasks was written.
const SETTLES: Duration = Duration::from_secs(3);
/// How long a signal is watched over: a waiter that looked just before it was sent begins to wait just after.
const LINGER: Duration = Duration::from_secs(2);

impl Stent {
    async fn whole(&self, id: &str) -> Result<Option<Whole>> {
        Ok(self.store.find(id, 0, false).await?.execution)
    }

    pub(super) async fn plan_cancel(
        &self,
        ids: &[String],
        verify: Option<Duration>,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        // It ends work that may be alive.
        let mut plan = Plan::new(self.store.database(), Risk::Dangerous);
        let mut targets = Vec::new();
        for id in ids {
            let look = self.store.find(id, 0, false).await?;
            let Some(whole) = look.execution else {
                plan.refused.push(item(id, Outcome::Missing, "no such execution"));
                continue;
            };
            let execution = &whole.execution;
            match rules::cancel(execution, &whole.tasks, self.zone.wall(look.now)) {
                Cancellable::Yes(warnings) => {
                    let seen =
                        Observed::Cancel { codec: rules::codec(execution), expires: execution.expiry_at.is_some() };
                    targets.push(target(execution, seen, warnings));
                }
                Cancellable::Already => plan.refused.push(item(id, Outcome::AlreadyDone, "it is cancelled")),
                Cancellable::No(why) => plan.refused.push(item(id, Outcome::Changed, why)),
            }
        }
        Ok(self.prepared(plan, ExecutionAct::Cancel { verify }, targets))
    }

    pub(super) async fn plan_complete(&self, ids: &[String]) -> Result<Box<dyn PreparedAction + '_>> {
        // That no worker ends it is likely, not more.
        let mut plan = Plan::new(self.store.database(), Risk::Dangerous);
        let mut targets = Vec::new();
        for id in ids {
            let look = self.store.find(id, 0, false).await?;
            let Some(whole) = look.execution else {
                plan.refused.push(item(id, Outcome::Missing, "no such execution"));
                continue;
            };
            match rules::complete(&whole, self.zone.wall(look.now)) {
                Ok(root) => {
                    let mut warnings = vec![format!("it ends with the stored result of its root task {}", root.id)];
                    warnings.extend(self.result_of(&root.id).await?.map(|result| format!("that result: {result}")));
                    targets.push(target(&whole.execution, Observed::Complete { task: root.id.clone() }, warnings));
                }
                Err((outcome, why)) => plan.refused.push(item(id, outcome, why)),
            }
        }
        Ok(self.prepared(plan, ExecutionAct::Complete, targets))
    }

    fn prepared(&self, plan: Plan, act: ExecutionAct, targets: Vec<ExecutionTarget>) -> Box<dyn PreparedAction + '_> {
        let what = match &act {
            ExecutionAct::Signal { name, .. } => format!("send the signal {} to", named(name)),
            other => other.name().to_owned(),
        };
        let summary = |count| format!("{what} {}", many(count, "execution"));
        Prepared::boxed(self, plan, ExecutionAction { act, targets }, summary)
    }

    /// Makes the change of one execution.
    pub(super) async fn apply_one(
        &self,
        act: &ExecutionAct,
        target: &ExecutionTarget,
        note: &str,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Item {
        let done = match (act, &target.seen) {
            (ExecutionAct::Cancel { verify }, Observed::Cancel { codec, expires }) => {
                self.cancel(target, *verify, (*codec, *expires), note, permit, observer).await
            }
            (ExecutionAct::Complete, Observed::Complete { task }) => {
                self.complete(target, task, note, permit, observer).await
            }
            (ExecutionAct::Signal { name, payload, replace }, Observed::Signal { lingers }) => {
                self.signal(target, (name, payload, *replace, *lingers), note, permit, observer).await
            }
            _ => Err(Error::usage(format!("the plan does not say what was seen for this act ({})", act.name()))),
        };
        let item = done.unwrap_or_else(|error| Item::failed(names::execution(&target.id), &error));
        if !permit.may_have_begun() || item.outcome == Outcome::Applied {
            return item;
        }
        let own = match self.acts() {
            Ok(acts) => acts.signed(&target.id, &mark(permit)).await.ok().flatten(),
            Err(_) => None,
        };
        item.own(own)
    }

    /// Whether the act would still be done.
    pub(super) async fn check_one(&self, act: &ExecutionAct, target: &ExecutionTarget) -> Result<Item> {
        let id = target.id.as_str();
        if let ExecutionAct::Signal { name, replace, .. } = act {
            let judged = self.signallable(id, name, *replace).await?;
            return Ok(judged.map_or_else(|refusal| refusal, |_| Item::still(names::execution(id))));
        }
        let look = self.store.find(id, 0, false).await?;
        let Some(whole) = look.execution else { return Ok(item(id, Outcome::Missing, "it is gone")) };
        if whole.execution.state.as_str() != target.state {
            let why = format!("it has changed since it was looked at: it is {} now", whole.execution.state.as_str());
            return Ok(item(id, Outcome::Changed, why));
        }
        let refusal = match &target.seen {
            Observed::Complete { task } => match rules::complete(&whole, self.zone.wall(look.now)) {
                Ok(root) if root.id == *task => None,
                Ok(root) => Some((Outcome::Changed, format!("its root task is {} now", root.id))),
                Err(refusal) => Some(refusal),
            },
            _ => match rules::cancel(&whole.execution, &whole.tasks, self.zone.wall(look.now)) {
                Cancellable::Yes(_) => None,
                Cancellable::Already => Some((Outcome::AlreadyDone, "it is cancelled".to_owned())),
                Cancellable::No(why) => Some((Outcome::Changed, why)),
            },
        };
        Ok(refusal.map_or_else(|| Item::still(names::execution(id)), |(outcome, why)| item(id, outcome, why)))
    }

    async fn cancel(
        &self,
        target: &ExecutionTarget,
        verify: Option<Duration>,
        (codec, expires): (Codec, bool),
        note: &str,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Result<Item> {
        let (id, seen) = (target.id.as_str(), target.state.as_str());
        let error = rules::cancelled_error(codec);
        let cancel = Cancel { id, seen, error, ahead: self.zone.ahead_at(Timestamp::here()), note };
        let Some((stopped, changes)) = self.acts()?.cancel(&cancel, permit).await? else {
            return Ok(self.what_is_there(id, Some(seen), "cancelled").await);
        };
        announce(observer, "execution", id, "cancelled");
        Ok(match verify {
            Some(limit) => self.verified(id, (&stopped, expires), error, limit).await,
            None => item(id, Outcome::Applied, told(&stopped, expires)),
        }
        .changing(changes))
    }

    async fn complete(
        &self,
        target: &ExecutionTarget,
        task: &str,
        note: &str,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Result<Item> {
        let (id, seen) = (target.id.as_str(), target.state.as_str());
        let complete = Complete { id, seen, task, ahead: self.zone.ahead_at(Timestamp::here()), note };
        let Some(changes) = self.acts()?.complete(&complete, permit).await? else {
            return Ok(self.what_is_there(id, None, "completed").await);
        };
        announce(observer, "execution", id, "completed");
        let done = format!("completed with the result of its root task {task}");
        Ok(item(id, Outcome::Applied, done).changing(changes))
    }

    /// Watches until what was running has been written by its workers, or time is up.
    async fn verified(
        &self,
        id: &str,
        (stopped, expires): (&[Stopped], bool),
        error: Option<&[u8]>,
        limit: Duration,
    ) -> Item {
        let told = |stopped| told(stopped, expires);
        let running: Vec<String> = stopped.iter().filter(|task| task.running).map(|task| task.id.clone()).collect();
        // A task that waits for a signal continues when another step of it was stopped; nothing else shows its end.
        let told_of = usize::from(
            stopped.iter().any(|task| task.left.is_some()) && stopped.iter().any(|task| task.left.is_none()),
        );
        let end = Uptime::now().plus(limit);
        // A worker writes its task, and the execution just after it: the task alone is no end.
        let mut written: Option<Uptime> = None;
        loop {
            let watched = match self.acts() {
                Ok(acts) => acts.watch(id, &running, error).await,
                Err(error) => Err(error),
            };
            let watched = match watched {
                Ok(watched) => watched,
                Err(error) => {
                    return item(id, Outcome::Applied, format!("{}; not verified: {error}", told(stopped)));
                }
            };
            match watched.state.as_deref() {
                Some("cancelled") => {}
                Some(state) => {
                    let why = format!(
                        "it was cancelled, and the worker that was running it has overwritten that: it is {state} now"
                    );
                    return item(id, Outcome::Changed, why);
                }
                None => return item(id, Outcome::Changed, "it was cancelled, and no longer exists"),
            }
            let open = told_of + running.iter().filter(|task| !watched.written.contains(task)).count();
            let now = Uptime::now();
            let since = *written.get_or_insert(now);
            if open > 0 {
                written = None;
            }
            if open == 0 && (running.is_empty() || now >= since.plus(SETTLES) || now >= end) {
                let verified = if running.is_empty() { "nothing was running" } else { "its workers have finished" };
                return item(
                    id,
                    Outcome::Applied,
                    format!("{}; verified: {verified}, and it is still cancelled", told(stopped)),
                );
            }
            if Uptime::now() >= end {
                let why = format!(
                    "{}; still cancelled after {}, but {open} of its tasks may still run and overwrite that",
                    told(stopped),
                    sen_model::time::humane(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX))
                );
                return item(id, Outcome::Applied, why);
            }
            tokio::time::sleep(LOOK.min(Uptime::now().until(end))).await;
        }
    }

    /// Re-reads an execution whose guard did not match.
    /// `seen` is its state where the guard compared nothing else: if that is unchanged, the database kept the change out.
    pub(super) async fn what_is_there(&self, id: &str, seen: Option<&str>, wanted: &str) -> Item {
        match self.whole(id).await {
            Ok(Some(whole)) => {
                let state = whole.execution.state;
                if seen == Some(state.as_str()) && state.as_str() != wanted {
                    return item(id, Outcome::Changed, suppressed("executions"));
                }
                let outcome = if state.as_str() == wanted { Outcome::AlreadyDone } else { Outcome::Changed };
                item(
                    id,
                    outcome,
                    format!("it has changed since it was looked at: it is {} now; nothing was written", state.as_str()),
                )
            }
            Ok(None) => item(id, Outcome::Missing, "it no longer exists"),
            Err(error) => item(id, Outcome::Changed, format!("it has changed, and cannot be read now: {error}")),
        }
    }

    pub(super) async fn plan_signal(
        &self,
        id: &str,
        name: &str,
        payload: &str,
        replace: bool,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        if name.is_empty() || name.contains('\0') {
            return Err(Error::usage("a signal needs a name"));
        }
        if let Err(error) = serde_json::from_str::<&RawValue>(payload) {
            return Err(Error::usage(format!("what the signal carries is not JSON: {error}"))
                .with_hint("quote it for the shell: '{\"by\":\"maria\"}'; a text needs quotes of its own: '\"yes\"'"));
        }
        if !self.store.shape().await?.has_signals() {
            return Err(Error::new(
                ErrorKind::NoSystem,
                "this version of the tables has no signals (before senpuki 0.2)",
            ));
        }
        // A signal that is replaced is lost.
        let risk = if replace { Risk::Dangerous } else { Risk::Safe };
        let mut plan = Plan::new(self.store.database(), risk);
        let mut targets = Vec::new();
        match self.signallable(id, name, replace).await? {
            Ok(target) => targets.push(target),
            Err(refusal) => plan.refused.push(refusal),
        }
        let act = ExecutionAct::Signal { name: name.to_owned(), payload: payload.to_owned(), replace };
        Ok(self.prepared(plan, act, targets))
    }

    /// The execution that a signal can be sent to, as it is now, or why it cannot.
    async fn signallable(&self, id: &str, name: &str, replace: bool) -> Result<Result<ExecutionTarget, Item>> {
        let Some(whole) = self.whole(id).await? else {
            return Ok(Err(item(id, Outcome::Missing, "no such execution")));
        };
        Ok(match rules::signal(&whole.execution, &whole.tasks, &whole.signals, name, replace) {
            Ok(warnings) => {
                // Pending, and a worker may take it up before the signal is there.
                let lingers =
                    rules::may_begin_to_wait(&whole.tasks) || whole.execution.state == ExecutionState::Pending;
                Ok(target(&whole.execution, Observed::Signal { lingers }, warnings))
            }
            Err(why) => Err(item(id, Outcome::Changed, why)),
        })
    }

    async fn signal(
        &self,
        target: &ExecutionTarget,
        (name, payload, replace, lingers): (&str, &str, bool, bool),
        note: &str,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Result<Item> {
        let id = target.id.as_str();
        let ahead = self.zone.ahead_at(Timestamp::here());
        let waiter = rules::waiter_id(id, name);
        let signal = Signal { id, name, payload: payload.as_bytes(), waiter: waiter.as_deref(), replace, ahead, note };
        let Some(sent) = self.acts()?.send(&signal, permit).await? else {
            return Ok(match self.signallable(id, name, replace).await? {
                Err(refusal) => refusal,
                Ok(_) => item(id, Outcome::Changed, "it changed while the signal was sent; nothing was written"),
            });
        };
        let woken = match sent.woken {
            None if lingers => self.linger(&signal, permit).await,
            woken => woken,
        };
        Ok(match woken {
            Some(task) => {
                announce(observer, "task", &task, "completed");
                item(id, Outcome::Applied, format!("sent, and the waiting task {task} is woken"))
                    .lasting("the task that waited for it was woken, and may have read it")
            }
            None => item(id, Outcome::Applied, "sent; it is read when the execution next waits for it")
                .changing(sent.changes),
        })
    }

    /// A waiter looks for the signal and, when it finds none, begins to wait: two steps, and ours may fall between them. So
    /// the signal is watched until it is read, or for a while.
    async fn linger(&self, signal: &Signal<'_>, permit: &WritePermit) -> Option<String> {
        let end = Uptime::now().plus(LINGER);
        let mut pause = Duration::from_millis(10);
        while Uptime::now() < end {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK);
            match self.acts().ok()?.wake(signal, permit).await {
                Ok(sent) if sent.woken.is_some() => return sent.woken,
                Ok(sent) if !sent.unread => return None,
                _ => {}
            }
        }
        None
    }
}

fn target(execution: &Execution, seen: Observed, warnings: Vec<String>) -> ExecutionTarget {
    ExecutionTarget { id: execution.id.clone(), state: execution.state.as_str().to_owned(), seen, warnings }
}

fn told(stopped: &[Stopped], expires: bool) -> String {
    let (left, stopped): (Vec<&Stopped>, Vec<&Stopped>) = stopped.iter().partition(|task| task.left.is_some());
    let signals: Vec<&str> = left.iter().filter_map(|task| task.left.as_deref()?.strip_prefix("signal:")).collect();
    let workers = |tasks: &[&Stopped]| {
        let mut workers: Vec<String> = tasks.iter().filter_map(|task| task.worker.clone()).collect();
        workers.sort_unstable();
        workers.dedup();
        if workers.is_empty() { String::new() } else { format!(" on {}", workers.join(", ")) }
    };
    let left = if left.is_empty() {
        String::new()
    } else {
        let ends = if expires { "; at its expiry that worker marks it timed out instead" } else { "" };
        let runs = if stopped.is_empty() {
            "Nothing of it runs unless that signal is sent from Python"
        } else {
            "It is told that its other open steps failed, and may run its own error handling"
        };
        format!(
            "; left as they are: the wait for signal {} and the orchestrator that waits{}. {runs}; a worker ends the \
             orchestrator when it takes it up after a restart{ends}",
            signals.join(", "),
            workers(&left)
        )
    };
    let running: Vec<&Stopped> = stopped.iter().copied().filter(|task| task.running).collect();
    let tasks = match stopped.len() {
        0 if !left.is_empty() => "cancelled".into(),
        0 => "cancelled; it had no open task".into(),
        1 => "cancelled with its open task".to_owned(),
        many => format!("cancelled with its {many} open tasks"),
    };
    if running.is_empty() {
        return format!("{tasks}{left}");
    }
    let on = workers(&running);
    format!("{tasks}; {} of them running{on}, which can finish and overwrite the cancellation{left}", running.len())
}
