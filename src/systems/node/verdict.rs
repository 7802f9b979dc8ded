//! What a task's facts amount to. Pure: a task, the checkpoint and heartbeat beside it, the server's clock, a verdict.
//!
//! Sources: the claim script, the lease renewal, the watcher and the controller of Sentinel-Node-Orchestrator 0.1.0
//! (`redis_saver.py`, `worker.py`, `watcher.py`, `api.py`).

use super::checkpoint::{Checkpoint, Heartbeat};
use super::record::{Status, Task};
use sen_model::time::Timestamp;
use sen_model::verdict::{NextCommand, Purpose, Severity, Verdict};

/// What a task is, seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waiting for a worker.
    Queued,
    /// A worker has it, and both its heartbeat and its lease are alive.
    Running,
    /// Said to be held, and its worker's heartbeat is gone.
    WorkerGone,
    /// Held beyond its lease by a worker whose heartbeat is there.
    LeaseExpired,
    /// Failed with no attempts left.
    OutOfAttempts,
    /// Not over, and it has cost more than it may.
    OverCostLimit,
    /// Marked for a retry that no worker makes.
    Retrying,
    /// Failed.
    Failed,
    /// Cancelled by somebody.
    Cancelled,
    /// Done.
    Completed,
    /// Marked completed, although nodes of it failed.
    CompletedWithErrors,
    /// Its keys cannot be judged.
    Unreadable,
}

impl State {
    /// All of them, in the order a person reads them: what needs attention first.
    pub const ALL: [Self; 12] = [
        Self::WorkerGone,
        Self::Unreadable,
        Self::OutOfAttempts,
        Self::Failed,
        Self::CompletedWithErrors,
        Self::LeaseExpired,
        Self::OverCostLimit,
        Self::Retrying,
        Self::Running,
        Self::Queued,
        Self::Cancelled,
        Self::Completed,
    ];

    /// The name in lists and data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::WorkerGone => "worker_gone",
            Self::LeaseExpired => "lease_expired",
            Self::OutOfAttempts => "out_of_attempts",
            Self::OverCostLimit => "over_cost_limit",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::CompletedWithErrors => "completed_with_errors",
            Self::Unreadable => "unreadable",
        }
    }

    /// How much attention it needs.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Completed | Self::Cancelled => Severity::Ok,
            Self::Queued | Self::Running => Severity::Pending,
            Self::LeaseExpired
            | Self::OverCostLimit
            | Self::Retrying
            | Self::Failed
            | Self::CompletedWithErrors
            | Self::OutOfAttempts => Severity::Warning,
            Self::WorkerGone | Self::Unreadable => Severity::Critical,
        }
    }

    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The state of a task, as far as its hash and its owner's heartbeat tell.
pub fn state(task: &Task, now: Timestamp) -> State {
    let Some(status) = task.status.filter(|_| task.findings.is_empty()) else { return State::Unreadable };
    let over_limit = task.cost_limit.is_some_and(|limit| task.cost > limit);
    let gone = task.owner.is_none() || task.owner_alive == Some(false);
    match status {
        Status::Completed if task.has_failed_nodes() => State::CompletedWithErrors,
        Status::Completed => State::Completed,
        Status::Failed if task.is_cancelled() => State::Cancelled,
        Status::Failed if task.out_of_attempts() => State::OutOfAttempts,
        Status::Failed => State::Failed,
        // However often it was tried: neither the watcher, which queues it, nor a worker, which claims it, looks at that.
        Status::Leased | Status::InProgress if gone => State::WorkerGone,
        _ if over_limit => State::OverCostLimit,
        Status::Leased | Status::InProgress if task.lease_expires.is_some_and(|end| end <= now) => State::LeaseExpired,
        Status::Leased | Status::InProgress => State::Running,
        Status::Queued => State::Queued,
        Status::Retrying => State::Retrying,
    }
}

/// Whether a task is a dead letter: given up on, and nobody will take it up by itself.
pub fn is_dead(task: &Task, now: Timestamp) -> bool {
    matches!(state(task, now), State::Failed | State::Cancelled | State::OutOfAttempts)
}

/// Everything a verdict on one task rests on.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its checkpoint.
    pub checkpoint: Option<&'a Checkpoint>,
    /// The heartbeat of its owner.
    pub heartbeat: Option<&'a Heartbeat>,
    /// How many of its side effects are done.
    pub effects_done: usize,
    /// How many of its side effects have begun and are not done.
    pub effects_under_way: usize,
    /// The server's clock.
    pub now: Timestamp,
}

/// What a task has cost. The checkpoint may know of a cost that the hash does not.
pub(super) fn cost(task: &Task, checkpoint: Option<&Checkpoint>) -> f64 {
    checkpoint.map_or(task.cost, |checkpoint| checkpoint.cost().max(task.cost))
}

/// The state of a task with its checkpoint and its payloads.
pub(super) fn in_depth(task: &Task, checkpoint: Option<&Checkpoint>, now: Timestamp) -> State {
    let over = || task.cost_limit.is_some_and(|limit| cost(task, checkpoint) > limit);
    match state(task, now) {
        _ if !task.odd_payloads.is_empty() => State::Unreadable,
        State::Queued | State::Running | State::LeaseExpired if over() => State::OverCostLimit,
        other => other,
    }
}

/// Judges a task in depth.
pub fn judge(facts: &Facts<'_>) -> Verdict {
    let task = facts.task;
    let cost = cost(task, facts.checkpoint);
    let state = in_depth(task, facts.checkpoint, facts.now);
    Verdict {
        state: state.name(),
        severity: state.severity(),
        summary: summary(task, state).into(),
        evidence: evidence(facts, state, cost),
        next: next(task, state, facts.now),
    }
}

fn summary(task: &Task, state: State) -> &'static str {
    match state {
        State::Queued => "it waits for a worker",
        State::Running => "a worker has it, and both its heartbeat and its lease are alive",
        State::WorkerGone if task.status == Some(Status::Leased) => {
            "it is held by a worker whose heartbeat is gone; only a worker of the same name can claim it until it is requeued"
        }
        State::WorkerGone => {
            "it is held by a worker whose heartbeat is gone; no worker can claim it until it is requeued"
        }
        State::LeaseExpired if task.status == Some(Status::Leased) => {
            "its lease is over and its worker's heartbeat is there: the watcher queues it, and then a second worker may run it"
        }
        State::LeaseExpired => {
            "its lease is over and its worker's heartbeat is there; no other worker can claim it until it is requeued"
        }
        State::CompletedWithErrors if task.nodes.is_some_and(|(failed, all)| failed == all) => {
            "it is marked completed, but every one of its nodes failed"
        }
        State::CompletedWithErrors => "it is marked completed, but nodes of it failed",
        State::OutOfAttempts => "it failed and its attempts are used up",
        State::OverCostLimit => "it has cost more than its limit; no worker enforces that",
        State::Retrying => "it is marked for a retry, and no released worker claims that status",
        State::Failed => "it failed; it is not retried automatically",
        State::Cancelled => "cancelled by an operator",
        State::Completed => "it is done",
        State::Unreadable => "its hash cannot be judged, and the controller may be unable to read it",
    }
}

fn evidence(facts: &Facts<'_>, state: State, cost: f64) -> Vec<String> {
    let (task, now) = (facts.task, facts.now);
    let ago = |moment: Timestamp| sen_model::time::age(now.micros_since(moment));
    let mut out: Vec<String> = task.oddities().map(|finding| format!("unreadable: {finding}")).collect();
    if task.is_held() {
        out.push(match (&task.owner, facts.heartbeat) {
            (None, _) => "no owner is recorded".into(),
            (Some(owner), None) => {
                format!("worker {owner}: its heartbeat is gone, so it has been silent for its whole time to live")
            }
            (Some(owner), Some(beat)) => {
                let last = beat.last_beat.map(|last| format!(", last beat {} ago", ago(last))).unwrap_or_default();
                let place = beat.place().map(|place| format!(" ({place})")).unwrap_or_default();
                format!("worker {owner}{place}: its heartbeat is there{last}")
            }
        });
        if let Some(other) = facts.heartbeat.and_then(|beat| beat.current_task.as_deref())
            && other != task.id
        {
            out.push(format!("that heartbeat names another task, {other}: workers with the default name share one"));
        }
        match task.lease_expires {
            Some(end) if end <= now => out.push(format!("its lease ended {} ago", ago(end))),
            Some(end) => out.push(format!("its lease ends in {}", ago(end))),
            None => out.push("no lease is recorded".into()),
        }
        if matches!(state, State::WorkerGone) {
            out.push(
                "a missing heartbeat is no proof of a dead process: one that is cut off from Redis may still be acting"
                    .into(),
            );
        }
    }
    if state == State::WorkerGone
        && let (Some(Status::Leased), Some(owner)) = (task.status, &task.owner)
    {
        out.push(format!("a worker that starts under the name {owner} claims it at once, whatever its lease says"));
    }
    if state == State::CompletedWithErrors {
        let nodes = facts.checkpoint.map_or(&[][..], |checkpoint| &checkpoint.nodes);
        let failed = nodes.iter().filter_map(|node| Some((&node.id, node.error.as_ref()?)));
        out.extend(failed.map(|(node, error)| format!("node {node} failed: {error}")));
    }
    let attempts = format!("{} of {} attempts used", task.attempts, task.max_attempts);
    if !matches!(state, State::Completed | State::CompletedWithErrors | State::Unreadable) {
        out.push(
            match facts.checkpoint.filter(|_| state != State::Cancelled).and_then(|at| at.current_node.as_deref()) {
                Some(node) if node != "start" => {
                    format!(
                        "{attempts}; a worker that takes it up goes on after node {node}, and runs again what came after that"
                    )
                }
                _ => attempts,
            },
        );
    }
    if matches!(state, State::Queued | State::WorkerGone | State::LeaseExpired) && task.out_of_attempts() {
        out.push("its attempts are used up, but neither the watcher nor a worker that claims it looks at them".into());
    }
    if cost > task.cost {
        out.push(format!(
            "its checkpoint says ${cost:.4} were spent; its hash, and so the controller, says ${:.4}",
            task.cost
        ));
    }
    if let Some(limit) = task.cost_limit.filter(|limit| cost > *limit) {
        out.push(format!("${cost:.4} of at most ${limit:.4} spent"));
    }
    if facts.effects_done > 0 {
        let plural = if facts.effects_done == 1 { "effect is" } else { "effects are" };
        out.push(format!("{} side {plural} done and would not be repeated", facts.effects_done));
    }
    if facts.effects_under_way > 0 {
        out.push(format!(
            "{} side effects have begun and have no result: they happened or not",
            facts.effects_under_way
        ));
    }
    if let Some(error) = &task.error {
        out.push(format!("error: {error}"));
    }
    out
}

fn next(task: &Task, state: State, now: Timestamp) -> Vec<NextCommand> {
    let id = task.id.as_str();
    let agent = |verb: &str, why: &str| NextCommand::new(&["sen", "agent", verb], why).id(id);
    let requeue = |why: &str| agent("requeue", why).purpose(Purpose::Run);
    let cancel = || agent("cancel", "give it up").purpose(Purpose::GiveUp);
    match state {
        State::WorkerGone => {
            vec![requeue("let another worker go on, as the watcher does"), cancel()]
        }
        State::LeaseExpired => {
            let owner = task.owner.as_deref().unwrap_or_default();
            vec![NextCommand::new(&["sen", "inspect"], "what that worker does").id(owner), cancel()]
        }
        State::CompletedWithErrors => vec![agent("show", "each node, its error and what it returned")],
        State::Retrying => vec![requeue("let a worker take it"), cancel()],
        State::OutOfAttempts | State::Failed | State::Cancelled if is_dead(task, now) => {
            let replay = NextCommand::new(&["sen", "dlq", "replay"], "queue it again with its attempts reset");
            vec![replay.id(id).purpose(Purpose::Run)]
        }
        State::OverCostLimit | State::Running | State::Queued => vec![cancel()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(status: &str, pairs: &[(&str, &str)]) -> Task {
        let base = [("task_id", "t"), ("status", status), ("tenant_id", "acme"), ("task_type", "research")];
        let find = |field: &&str| {
            pairs.iter().chain(&base).find(|(name, _)| name == field).map(|(_, text)| (*text).to_owned())
        };
        Task::read("t".into(), crate::record::FIELDS.iter().map(find).collect())
    }

    fn now() -> Timestamp {
        crate::record::naive_utc("2026-11-20T20:00:00").unwrap()
    }

    /// Status, further fields, whether the owner's heartbeat is there, and the state.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<bool>, State);

    #[test]
    fn states() {
        let past = ("lease_expires", "2026-11-20T19:00:00");
        let ahead = ("lease_expires", "2026-11-20T21:00:00");
        let owner = ("owner", "w");
        let spent = [("attempts", "3")];
        let cases: [Case<'_>; 15] = [
            ("queued", &[], None, State::Queued),
            ("queued", &spent, None, State::Queued),
            ("queued", &[("cost_so_far", "2"), ("cost_limit", "1")], None, State::OverCostLimit),
            ("leased", &[owner, ahead], Some(true), State::Running),
            ("in_progress", &[owner, ahead], Some(true), State::Running),
            ("leased", &[owner, past], Some(true), State::LeaseExpired),
            ("leased", &[owner, ahead], Some(false), State::WorkerGone),
            ("leased", &[ahead], None, State::WorkerGone),
            ("leased", &[owner, past, spent[0]], Some(false), State::WorkerGone),
            ("failed", &[], None, State::Failed),
            ("failed", &spent, None, State::OutOfAttempts),
            ("failed", &[("error", CANCELLED), spent[0]], None, State::Cancelled),
            ("retrying", &[], None, State::Retrying),
            ("completed", &spent, None, State::Completed),
            ("paused", &[], None, State::Unreadable),
        ];
        for (status, pairs, alive, expected) in cases {
            let task = Task { owner_alive: alive, ..task(status, pairs) };
            assert_eq!(state(&task, now()), expected, "{status} {pairs:?}");
            assert!(State::parse(expected.name()) == Some(expected));
            let judged = judge(&Facts {
                task: &task,
                checkpoint: None,
                heartbeat: None,
                effects_done: 1,
                effects_under_way: 1,
                now: now(),
            });
            assert_eq!(judged.state, expected.name());
        }
    }

    use crate::record::CANCELLED;
}
