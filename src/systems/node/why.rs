//! Why an agent task or a worker is as it is: one rule a function. Pure.
//!
//! The files named are those of Sentinel-Node-Orchestrator 0.1.0.

use super::checkpoint::{Effect, Heartbeat};
use super::port::Look;
use super::record::{Status, Task};
use super::verdict::{State, cost, in_depth};
use sen_model::cause::{Cause, Place, Related, Relation, candidates_in_prose};
use sen_model::time::Timestamp;
use sen_model::verdict::{NextCommand, Purpose, Severity};

/// What the rules go by.
pub(super) struct Facts<'a> {
    /// The task with its checkpoint and its owner's heartbeat.
    pub look: &'a Look,
    /// Its side effects.
    pub effects: &'a [Effect],
    /// All heartbeats, where it is not over.
    pub workers: Option<&'a [Heartbeat]>,
    /// How many further tasks failed of the same error, where it failed.
    pub alike: Option<u64>,
}

type Rule = fn(&Facts<'_>, State) -> Option<Cause>;

const RULES: [Rule; 15] = [
    worker_gone,
    no_owner,
    shared_name,
    lease_not_renewed,
    second_run,
    no_watcher,
    no_worker,
    workers_busy,
    retry_unclaimed,
    over_cost_limit,
    rate_limited,
    failed,
    out_of_attempts,
    node_failed,
    effect_unsettled,
];

/// How long a task may wait for a worker before somebody asks why: workers poll every 5 s, heartbeats are kept for 30 s.
const PATIENCE: i64 = 60_000_000;
/// How long a lease may be over before the watcher, which looks every 10 s, counts as not running.
const SCANS: i64 = 60_000_000;
/// How many ids named in one document are looked up elsewhere, and how many tasks of a worker.
const CANDIDATES: usize = 8;
const TASKS: usize = 5;
/// How long an error may be within a sentence.
const LINE: usize = 200;

/// The causes of what a task is at.
pub(super) fn of_task(facts: &Facts<'_>) -> Vec<Cause> {
    let look = facts.look;
    let state = in_depth(&look.task, look.checkpoint.as_ref(), look.now);
    if state == State::Unreadable {
        return unreadable(&look.task);
    }
    RULES.iter().filter_map(|rule| rule(facts, state)).collect()
}

/// The causes of what a worker is at.
pub(super) fn of_worker(worker: &str, beat: Option<&Heartbeat>, held: &[Task]) -> Vec<Cause> {
    let mut causes = Vec::new();
    causes.extend(heartbeat_gone(beat, held));
    causes.extend(heartbeat_unreadable(beat));
    causes.extend(holds_several(worker, beat, held));
    causes
}

/// Whether the workers are worth a look: something may be at work on this task, or ought to be.
pub(super) fn needs_workers(look: &Look) -> bool {
    look.task.is_held() || look.task.status == Some(Status::Queued)
}

/// How long a queued task has waited, if that is long.
fn waited(task: &Task, now: Timestamp) -> Option<i64> {
    let since = task.updated_at.or(task.created_at).filter(|_| task.status == Some(Status::Queued))?;
    Some(now.micros_since(since)).filter(|waited| *waited > PATIENCE)
}

/// What a task hangs together with.
pub(super) fn related_to_task(look: &Look) -> Vec<Related> {
    let task = &look.task;
    let mut out = Vec::new();
    // A task that is over keeps the name of its last worker, which does other things by now.
    if task.is_held() {
        out.extend(task.owner.as_deref().map(|owner| Related::proven(owner, Relation::Worker)));
        out.extend(other_task(look).map(|other| Related::proven(other, Relation::TaskInHeartbeat)));
    }
    let mut named = |ids: Vec<String>, place| {
        for id in ids {
            if id != task.id && out.iter().all(|known: &Related| known.id != id) {
                out.push(Related::likely(id, Relation::MentionedIn(place)));
            }
        }
    };
    named(prose(task.params.as_deref()), Place::Prompt);
    named(prose(task.result.as_deref()), Place::Result);
    if let Some(checkpoint) = &look.checkpoint {
        let nodes = checkpoint.nodes.iter().rev();
        let mut ids: Vec<String> = nodes.flat_map(|node| prose(node.outputs.as_deref())).collect();
        ids.extend(checkpoint.artifacts.iter().map(|(_, place)| place.clone()).filter(|place| !place.contains("://")));
        ids.truncate(CANDIDATES);
        named(ids, Place::Checkpoint);
    }
    out
}

/// What a worker hangs together with: the tasks it is said to hold.
pub(super) fn related_to_worker(held: &[Task]) -> Vec<Related> {
    held.iter().take(TASKS).map(|task| Related::proven(&task.id, Relation::HeldTask)).collect()
}

fn prose(json: Option<&str>) -> Vec<String> {
    json.map(|json| candidates_in_prose(json, CANDIDATES)).unwrap_or_default()
}

/// The first line of an error, at a length that fits a sentence.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    match line.char_indices().nth(LINE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

fn owner(task: &Task) -> &str {
    task.owner.as_deref().unwrap_or("(unnamed)")
}

/// Whether the worker that holds a task has no heartbeat.
fn gone(task: &Task) -> bool {
    task.is_held() && task.owner.is_some() && task.owner_alive == Some(false)
}

/// `redis_saver.py` reads the hash into a model; `worker.py` stops when that fails for a task it has claimed, `api.py`
/// answers with an error.
fn unreadable(task: &Task) -> Vec<Cause> {
    let findings: Vec<&String> = task.oddities().collect();
    let text = match findings.split_first() {
        Some((first, [])) => format!("its keys cannot be understood: {first}"),
        Some((first, more)) => format!("its keys cannot be understood: {first}, and {} findings more", more.len()),
        None => "its keys cannot be understood".into(),
    };
    let poison = if task.status == Some(Status::Queued) { "; a worker that claims it may stop over it" } else { "" };
    let next = NextCommand::new(&["sen", "agent", "show"], "what is stored, field by field").id(&task.id);
    let cause = Cause::stated("unreadable_hash", &["task:meta"], Severity::Critical, text + poison);
    vec![cause.with_next(vec![next])]
}

/// `worker.py` keeps its heartbeat for three beats. Without one it was killed, has ended, or cannot reach Redis.
fn worker_gone(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let (task, now) = (&facts.look.task, facts.look.now);
    if !gone(task) {
        return None;
    }
    let seen = task
        .updated_at
        .map(|at| format!("; it last saved this task {} ago", sen_model::time::age(now.micros_since(at))));
    let text = format!(
        "worker {} has no heartbeat: probably killed, ended, or cut off from Redis{}",
        owner(task),
        seen.unwrap_or_default()
    );
    Some(Cause::likely("worker_gone", Severity::Critical, text))
}

/// Every claim (`redis_saver.py`, `claim_task`) writes status and owner at once; no code holds a task without an owner.
fn no_owner(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let task = &facts.look.task;
    (task.is_held() && task.owner.is_none()).then(|| {
        let text = "its status says that a worker has it, and no owner is recorded";
        Cause::stated("no_owner", &["task:meta.status", "task:meta.owner"], Severity::Critical, text)
    })
}

/// The other task that the heartbeat of this one's worker names, if it was beaten after this one was last saved: a worker
/// between two tasks goes on naming the former until its next beat.
fn other_task(look: &Look) -> Option<&str> {
    let beat = look.heartbeat.as_ref()?;
    let later = beat.last_beat.zip(look.task.updated_at).is_some_and(|(beat, saved)| beat > saved);
    beat.current_task.as_deref().filter(|other| later && *other != look.task.id)
}

/// `config.py` calls every worker `worker-0` unless told otherwise; `worker.py` works at one task at a time, and
/// `claim_task` lets a worker take what one of the same name holds.
fn shared_name(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let (task, beat) = (&facts.look.task, facts.look.heartbeat.as_ref()?);
    if !task.is_held() {
        return None;
    }
    let what = if let Some(other) = other_task(facts.look) {
        format!("names another task, {other}")
    } else if beat.started_at.zip(task.updated_at).is_some_and(|(started, saved)| started > saved) {
        "is that of a process that began after this task was last saved".into()
    } else {
        return None;
    };
    let text = format!(
        "the heartbeat of {} {what}: two workers share the name, or it was started again and left this task",
        owner(task)
    );
    let next = NextCommand::new(&["sen", "agent", "list"], "everything under that name").option("--owner", owner(task));
    Some(Cause::likely("shared_name", Severity::Warning, text).with_next(vec![next]))
}

/// `worker.py` renews leases in a loop of its own, which one error ends for good while the heartbeats go on.
fn lease_not_renewed(facts: &Facts<'_>, state: State) -> Option<Cause> {
    let (task, now) = (&facts.look.task, facts.look.now);
    let end = task.lease_expires.filter(|end| *end <= now && task.is_held() && !gone(task))?;
    // Where it is known that the heartbeat is another's, nobody is left who would renew it.
    if shared_name(facts, state).is_some() {
        return None;
    }
    let then = if task.status == Some(Status::Leased) {
        "; the watcher queues it all the same, and a second worker may then run it while this one still works"
    } else {
        ""
    };
    let text = format!(
        "worker {} beats and has not renewed its lease, which ended {} ago: its renewal loop ended, or it left this task{then}",
        owner(task),
        sen_model::time::age(now.micros_since(end))
    );
    Some(Cause::likely("lease_not_renewed", Severity::Warning, text))
}

/// `watcher.py` queues what is leased and over whatever its worker does, and `claim_task` does not ask for heartbeats: the
/// first worker goes on, names the task at every beat, and saves the whole of it when it ends.
fn second_run(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let task = &facts.look.task;
    let open = task.is_held() || task.status == Some(Status::Queued);
    let saved = task.updated_at.filter(|_| open)?;
    let other = facts.workers?.iter().find(|beat| {
        beat.current_task.as_ref() == Some(&task.id)
            && task.owner.as_ref() != Some(&beat.worker_id)
            // A beat from before says only what was.
            && beat.last_beat.is_some_and(|beaten| beaten > saved)
    })?;
    let now = if task.is_held() { format!("worker {} holds it", owner(task)) } else { "it is queued".to_owned() };
    let text = format!(
        "the heartbeat of worker {} names it as its current task although {now}: two workers may run it at the same time",
        other.worker_id
    );
    let next = NextCommand::new(&["sen", "agent", "workers"], "who works at what");
    Some(Cause::likely("second_run", Severity::Warning, text).with_next(vec![next]))
}

/// `watcher.py` queues tasks whose status is `leased` and whose lease is over at every scan (`cleanup_expired_leases`).
fn no_watcher(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let (task, now) = (&facts.look.task, facts.look.now);
    let over = now.micros_since(task.lease_expires.filter(|_| task.status == Some(Status::Leased))?);
    (over > SCANS).then(|| {
        let text = format!(
            "probably no watcher runs: it would have queued this task when its lease ended {} ago",
            sen_model::time::age(over)
        );
        Cause::likely("no_watcher", Severity::Warning, text)
    })
}

/// `worker.py` polls every 5 s and beats all the while: no heartbeat at all, no worker.
fn no_worker(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let waited = waited(&facts.look.task, facts.look.now)?;
    facts.workers?.is_empty().then(|| {
        let text = format!(
            "it has waited {} and there is no heartbeat of any worker: probably none is running",
            sen_model::time::age(waited)
        );
        let next = NextCommand::new(&["sen", "agent", "stats"], "what waits, and who works");
        Cause::likely("no_worker", Severity::Critical, text).with_next(vec![next])
    })
}

/// `worker.py` works at one task at a time and takes the first queued one that SCAN hands it: there is no order.
fn workers_busy(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let waited = waited(&facts.look.task, facts.look.now)?;
    let workers = facts.workers.filter(|workers| !workers.is_empty())?;
    workers.iter().all(|beat| beat.current_task.as_ref().is_some_and(|at| *at != facts.look.task.id)).then(|| {
        let who = match workers.len() {
            1 => format!("the only worker, {}, is", workers[0].worker_id),
            many => format!("all {many} workers are"),
        };
        let text = format!(
            "it has waited {}, and {who} at other tasks; there is no order among what waits",
            sen_model::time::age(waited)
        );
        let next = NextCommand::new(&["sen", "agent", "workers"], "who works at what");
        Cause::likely("workers_busy", Severity::Pending, text).with_next(vec![next])
    })
}

/// `claim_task` (`redis_saver.py`) takes what is queued and nothing else; `watcher.py` does not look at this status either.
fn retry_unclaimed(facts: &Facts<'_>, _: State) -> Option<Cause> {
    (facts.look.task.status == Some(Status::Retrying)).then(|| {
        let text = "it is marked for a retry, and no released worker or watcher looks at that status";
        Cause::likely("retry_unclaimed", Severity::Warning, text)
    })
}

/// `api.py` stores the limit, and nothing reads it. The checkpoint knows of costs that the hash has lost.
fn over_cost_limit(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let task = &facts.look.task;
    let spent = cost(task, facts.look.checkpoint.as_ref());
    let over = task.status.is_some_and(|status| !status.is_over());
    let limit = task.cost_limit.filter(|limit| over && spent > *limit)?;
    let text = format!("it has cost ${spent:.4} of at most ${limit:.4}; a limit is stored, not enforced");
    let next = NextCommand::new(&["sen", "agent", "cancel"], "give it up").id(&task.id).purpose(Purpose::GiveUp);
    let stated_by = &["task:meta.cost_limit", "task:meta.cost_so_far", "task:checkpoint.llm_calls"];
    Some(Cause::stated("over_cost_limit", stated_by, Severity::Warning, text).with_next(vec![next]))
}

/// What `worker.py` raises when a tenant's bucket is empty twice in a row (`_execute_node`).
const RATE_LIMITED: &str = "Rate limit still exceeded";

fn failure<'a>(facts: &'a Facts<'_>, state: State) -> Option<&'a str> {
    let task = &facts.look.task;
    let failed = task.status == Some(Status::Failed) && state != State::Cancelled;
    failed.then(|| task.error.as_deref().unwrap_or("no error is recorded"))
}

fn alike(facts: &Facts<'_>) -> (String, Vec<NextCommand>) {
    // What fails alike is looked at before one of it is run again.
    let groups = || {
        let next = NextCommand::new(&["sen", "dlq", "groups"], "the failed tasks by type and error");
        vec![next.purpose(Purpose::Observe)]
    };
    match facts.alike {
        Some(1) => (", and 1 other task of the same".into(), groups()),
        Some(others) if others > 1 => (format!(", and {others} other tasks of the same"), groups()),
        _ => (String::new(), Vec::new()),
    }
}

/// `worker.py` waits once for the tenant's bucket and then fails the whole task.
fn rate_limited(facts: &Facts<'_>, state: State) -> Option<Cause> {
    failure(facts, state).filter(|error| error.starts_with(RATE_LIMITED))?;
    let tenant = facts.look.task.tenant_id.as_deref().unwrap_or_default();
    let (others, mut next) = alike(facts);
    next.insert(
        0,
        NextCommand::new(&["sen", "agent", "rate-limit", "get"], "the tenant's tokens now")
            .id(tenant)
            .purpose(Purpose::Observe),
    );
    let text = format!("the rate limit of tenant {tenant} failed it, for its bucket was empty twice in a row{others}");
    Some(Cause::stated("rate_limited", &["task:meta.error"], Severity::Warning, text).with_next(next))
}

/// `worker.py` (`execute_task`) stores what a task raised, and nothing tries it again.
fn failed(facts: &Facts<'_>, state: State) -> Option<Cause> {
    let error = failure(facts, state).filter(|error| !error.starts_with(RATE_LIMITED))?;
    let (others, next) = alike(facts);
    let text = format!("it failed{others}: {}", first_line(error));
    Some(Cause::stated("failed", &["task:meta.status", "task:meta.error"], Severity::Warning, text).with_next(next))
}

/// `worker.py` counts an attempt when a task fails, `watcher.py` fails one whose worker died as often as it may be tried.
fn out_of_attempts(facts: &Facts<'_>, state: State) -> Option<Cause> {
    let task = &facts.look.task;
    (state == State::OutOfAttempts).then(|| {
        let text = format!("it failed with its attempts used up, {} of {}", task.attempts, task.max_attempts);
        let stated_by = &["task:meta.status", "task:meta.attempts", "task:meta.max_attempts"];
        Cause::stated("out_of_attempts", stated_by, Severity::Warning, text)
    })
}

/// `worker.py` (`_execute_node`) stores a node's error, goes on with the next node, and marks the task completed at the end.
fn node_failed(facts: &Facts<'_>, state: State) -> Option<Cause> {
    let checkpoint = facts.look.checkpoint.as_ref().filter(|_| state == State::CompletedWithErrors)?;
    let (failed, all) = checkpoint.node_errors();
    let (id, error) = checkpoint.nodes.iter().find_map(|node| Some((&node.id, node.error.as_ref()?)))?;
    let how_many = if failed == all { format!("all {all} nodes") } else { format!("{failed} of {all} nodes") };
    let text = format!("{how_many} failed, and it was marked completed all the same; node {id}: {}", first_line(error));
    let next = NextCommand::new(&["sen", "agent", "show"], "each node and its error").id(&facts.look.task.id);
    let stated_by = &["task:meta.status", "task:checkpoint.node_states"];
    Some(Cause::stated("node_failed", stated_by, Severity::Warning, text).with_next(vec![next]))
}

/// `effects.py` sets a lock, acts, and stores the result. A lock without a result is a side effect that happened or not; when
/// the lock is gone (60 s), the next attempt repeats it.
fn effect_unsettled(facts: &Facts<'_>, state: State) -> Option<Cause> {
    // Under a living worker it is under way.
    if matches!(state, State::Running | State::Completed | State::CompletedWithErrors | State::Cancelled)
        || (state == State::OverCostLimit && facts.look.task.owner_alive == Some(true))
    {
        return None;
    }
    let open: Vec<&str> =
        facts.effects.iter().filter(|effect| !effect.is_done()).map(|effect| effect.key.as_str()).collect();
    let (first, more) = open.split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let text = format!(
        "side effect {first}{more} has begun and no result is stored: it happened or not, and another attempt may repeat it"
    );
    let severity = if gone(&facts.look.task) { Severity::Critical } else { Severity::Warning };
    let next = NextCommand::new(&["sen", "agent", "show"], "its side effects").id(&facts.look.task.id);
    Some(Cause::likely("effect_unsettled", severity, text).with_next(vec![next]))
}

/// As [`worker_gone`], of all it holds.
fn heartbeat_gone(beat: Option<&Heartbeat>, held: &[Task]) -> Option<Cause> {
    (beat.is_none() && !held.is_empty()).then(|| {
        let tasks = if held.len() == 1 { "a task says".to_owned() } else { format!("{} tasks say", held.len()) };
        let text = format!("it has no heartbeat, and {tasks} it is at work: killed, ended, or cut off from Redis");
        Cause::likely("heartbeat_gone", Severity::Critical, text)
    })
}

/// `worker.py` writes its heartbeat as JSON and with a time to live; the watcher only asks whether it is there.
fn heartbeat_unreadable(beat: Option<&Heartbeat>) -> Option<Cause> {
    let findings = &beat?.findings;
    (!findings.is_empty())
        .then(|| Cause::stated("heartbeat_unreadable", &["worker:hb"], Severity::Warning, findings.join("; ")))
}

/// `worker.py` takes one task, and the next when that is over.
fn holds_several(worker: &str, beat: Option<&Heartbeat>, held: &[Task]) -> Option<Cause> {
    (beat.is_some() && held.len() > 1).then(|| {
        let text = format!(
            "it holds {} tasks, and a worker works at one: two share the name, or it was started again and left some",
            held.len()
        );
        let next = NextCommand::new(&["sen", "agent", "list"], "everything under that name").option("--owner", worker);
        Cause::likely("shared_name", Severity::Warning, text).with_next(vec![next])
    })
}

#[cfg(test)]
mod tests;
