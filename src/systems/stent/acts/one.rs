//! Acts on one execution: cancel it, send it a signal.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::value::RawValue;

use super::rules::{self, Cancellable};
use super::{Cancel, Cancelled, EXECUTION, Kept, Signal, Stopped, announce, refused};
use crate::letters::act_note;
use crate::port::Whole;
use crate::record::ExecutionState;
use crate::{NAME, Stent};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::observe::Observer;
use sen_model::permit::WritePermit;
use sen_model::plan::{Gravity, Plan, Step};
use sen_model::report::{Item, Outcome, Report};
use sen_model::subject::Subject;
use sen_model::text::named;
use sen_model::time::{Timestamp, Uptime};
use sen_model::value::Value;

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

    pub(super) async fn plan_cancel(&self, ids: &[String], verify: Option<Duration>) -> Result<Plan> {
        let noun = if ids.len() == 1 { "execution" } else { "executions" };
        let gravity = if ids.len() > 1 { Gravity::Grave } else { Gravity::Harmless };
        let mut plan = Plan::new(format!("cancel {} {noun}", ids.len()), self.store.database(), gravity);
        let mut executions = HashMap::new();
        for id in ids {
            let Some(whole) = self.whole(id).await? else {
                plan.refused.push(refused(id, Outcome::Missing, "there is no such execution"));
                continue;
            };
            match rules::cancel(&whole.execution, &whole.tasks) {
                Cancellable::Yes(warnings) => {
                    let mut step = Step::new(Subject::new(NAME, EXECUTION, id), "cancel");
                    step.guard = vec![("state", Value::Name(whole.execution.state.name().unwrap_or("other")))];
                    step.warnings = warnings;
                    plan.steps.push(step);
                    let error = rules::cancelled_error(&whole.execution).map(<[u8]>::to_vec);
                    let state = whole.execution.state.as_str().to_owned();
                    let expires = whole.execution.expiry_at.is_some();
                    executions.insert(id.clone(), Cancelled { state, error, expires });
                }
                Cancellable::Already => plan.refused.push(refused(id, Outcome::AlreadyDone, "it is cancelled")),
                Cancellable::No(why) => plan.refused.push(refused(id, Outcome::Changed, why)),
            }
        }
        self.acts()?.keep(&plan, Kept::Cancel { executions, verify });
        Ok(plan)
    }

    pub(super) async fn cancel(
        &self,
        plan: &Plan,
        executions: &HashMap<String, Cancelled>,
        verify: Option<Duration>,
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        let note = act_note(permit);
        observer.begin(&plan.summary, Some(plan.targets()));
        for step in &plan.steps {
            let id = step.subject.id.as_str();
            let Some(Cancelled { state: seen, error, expires }) = executions.get(id) else { continue };
            if permit.is_revoked() {
                report.items.push(refused(id, Outcome::Skipped, "interrupted before it was begun"));
                continue;
            }
            let ahead = self.zone.ahead_at(Timestamp::here());
            let cancel = Cancel { id, seen, error: error.as_deref(), ahead, note: &note };
            let item = match self.acts()?.store.cancel(&cancel, permit).await {
                Ok(Some(stopped)) => {
                    announce(observer, "execution", id, "cancelled");
                    match verify {
                        Some(limit) => self.verified(id, (&stopped, *expires), error.as_deref(), limit).await,
                        None => refused(id, Outcome::Applied, told(&stopped, *expires)),
                    }
                }
                Ok(None) => self.what_is_there(id, Some(seen), "cancelled").await,
                Err(error) => failed(id, &error),
            };
            report.items.push(item);
            observer.advance(1);
        }
        report.items.extend(plan.refused.iter().cloned());
        Ok(report)
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
        // What waits for a signal goes on when another step of it was stopped, and nothing shows that it has ended but that.
        let told_of = usize::from(
            stopped.iter().any(|task| task.left.is_some()) && stopped.iter().any(|task| task.left.is_none()),
        );
        let end = Uptime::now().plus(limit);
        // A worker writes its task, and the execution just after it: the task alone is no end.
        let mut written: Option<Uptime> = None;
        loop {
            let watched = match self.acts() {
                Ok(acts) => acts.store.watch(id, &running, error).await,
                Err(error) => Err(error),
            };
            let watched = match watched {
                Ok(watched) => watched,
                Err(error) => {
                    return refused(id, Outcome::Applied, format!("{}; not verified: {error}", told(stopped)));
                }
            };
            match watched.state.as_deref() {
                Some("cancelled") => {}
                Some(state) => {
                    let why = format!(
                        "it was cancelled, and a worker that was at it has overwritten that: it is {state} now"
                    );
                    return refused(id, Outcome::Changed, why);
                }
                None => return refused(id, Outcome::Changed, "it was cancelled, and is gone now"),
            }
            let open = told_of + running.iter().filter(|task| !watched.written.contains(task)).count();
            let now = Uptime::now();
            let since = *written.get_or_insert(now);
            if open > 0 {
                written = None;
            }
            if open == 0 && (running.is_empty() || now >= since.plus(SETTLES) || now >= end) {
                let verified = if running.is_empty() { "nothing was running" } else { "its workers have finished" };
                return refused(
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
                return refused(id, Outcome::Applied, why);
            }
            tokio::time::sleep(LOOK.min(Uptime::now().until(end))).await;
        }
    }

    /// Re-reads an execution whose guard did not match.
    /// `seen` is its state where that was all that the guard asked for: if it is still so, the database kept the change out.
    pub(super) async fn what_is_there(&self, id: &str, seen: Option<&str>, wanted: &str) -> Item {
        match self.whole(id).await {
            Ok(Some(whole)) => {
                let state = whole.execution.state;
                if seen == Some(state.as_str()) && state.as_str() != wanted {
                    return refused(id, Outcome::Changed, sen_model::report::suppressed("executions"));
                }
                let outcome = if state.as_str() == wanted { Outcome::AlreadyDone } else { Outcome::Changed };
                refused(
                    id,
                    outcome,
                    format!("it has changed since it was looked at: it is {} now; nothing was written", state.as_str()),
                )
            }
            Ok(None) => refused(id, Outcome::Missing, "it is gone"),
            Err(error) => refused(id, Outcome::Changed, format!("it has changed, and cannot be read now: {error}")),
        }
    }

    pub(super) async fn plan_signal(&self, id: &str, name: &str, payload: &str, replace: bool) -> Result<Plan> {
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
        let mut plan = Plan::new(
            format!("send the signal {} to 1 execution", named(name)),
            self.store.database(),
            Gravity::Harmless,
        );
        let mut lingers = false;
        match self.whole(id).await? {
            None => plan.refused.push(refused(id, Outcome::Missing, "there is no such execution")),
            Some(whole) => match rules::signal(&whole.execution, &whole.tasks, &whole.signals, name, replace) {
                Ok(warnings) => {
                    let mut step = Step::new(Subject::new(NAME, EXECUTION, id), "signal");
                    step.guard = vec![("state", Value::Name(whole.execution.state.name().unwrap_or("other")))];
                    step.input = Some(payload.to_owned());
                    step.warnings = warnings;
                    plan.steps.push(step);
                    // Pending, and a worker may take it up before the signal is there.
                    lingers =
                        rules::may_begin_to_wait(&whole.tasks) || whole.execution.state == ExecutionState::Pending;
                }
                Err(why) => plan.refused.push(refused(id, Outcome::Changed, why)),
            },
        }
        let kept = Kept::Send { name: name.to_owned(), payload: payload.to_owned(), replace, lingers };
        self.acts()?.keep(&plan, kept);
        Ok(plan)
    }

    pub(super) async fn signal(
        &self,
        plan: &Plan,
        (name, payload, replace, lingers): (&str, &str, bool, bool),
        permit: &WritePermit,
        observer: &dyn Observer,
    ) -> Result<Report> {
        let mut report = Report::new(plan.operation);
        report.items.extend(plan.refused.iter().cloned());
        let note = act_note(permit);
        for step in &plan.steps {
            let id = step.subject.id.as_str();
            let ahead = self.zone.ahead_at(Timestamp::here());
            let signal = Signal { id, name, payload: payload.as_bytes(), replace, ahead, note: &note };
            let item = match self.acts()?.store.send(&signal, permit).await {
                Ok(Some(sent)) => {
                    let mut woken = sent.woken;
                    if woken.is_none() && lingers {
                        woken = self.linger(&signal, permit).await;
                    }
                    match woken {
                        Some(task) => {
                            announce(observer, "task", &task, "completed");
                            refused(id, Outcome::Applied, format!("sent, and the waiting task {task} is woken"))
                        }
                        None => refused(id, Outcome::Applied, "sent; it is read when the execution next waits for it"),
                    }
                }
                Ok(None) => match self.plan_signal(id, name, payload, replace).await {
                    Ok(again) => again.refused.into_iter().next().unwrap_or_else(|| {
                        refused(id, Outcome::Changed, "it changed while the signal was sent; nothing was written")
                    }),
                    Err(error) => failed(id, &error),
                },
                Err(error) => failed(id, &error),
            };
            report.items.push(item);
        }
        Ok(report)
    }

    /// A waiter looks for the signal and, when it finds none, begins to wait: two steps, and ours may come between them. So
    /// the signal is watched until it is read, or for a while.
    async fn linger(&self, signal: &Signal<'_>, permit: &WritePermit) -> Option<String> {
        let end = Uptime::now().plus(LINGER);
        let mut pause = Duration::from_millis(10);
        while Uptime::now() < end {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK);
            match self.acts().ok()?.store.wake(signal, permit).await {
                Ok(sent) if sent.woken.is_some() => return sent.woken,
                Ok(sent) if !sent.unread => return None,
                _ => {}
            }
        }
        None
    }
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

pub(super) fn failed(id: &str, error: &Error) -> Item {
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
    refused(id, outcome, why).lost(error.is_of_the_connection())
}
