//! Why a lease is as it is: one rule a function. Pure.

use super::liveness::{Worker, place as owner};
use super::record::{Lease, LeaseEvent, async_ttl, held_by_sen, rounded};
use super::verdict::{RunFailure, State, state, taken_over};
use super::zones::{self, when as seen_from};
use sen_model::cause::{Cause, Certainty, Explanation, Place, Related, Relation, candidates};
use sen_model::subject::Subject;
use sen_model::time::{Timestamp, humane};
use sen_model::verdict::{NextCommand, Severity, Verdict};

/// What the rules go by.
pub(super) struct Facts<'a> {
    /// The lease.
    pub lease: &'a Lease,
    /// Its newest events in time order; empty where none are kept.
    pub events: &'a [LeaseEvent],
    /// The database's clock.
    pub now: Timestamp,
    /// What is known of its worker.
    pub worker: Worker,
    /// Transactions that have held its row for long.
    pub locks: &'a [Lock],
    /// Whether its times are stored without a zone, so that a session's zone decides what they mean.
    pub zoneless: bool,
}

/// A transaction that holds the row of a lease and has for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The server process.
    pub pid: i64,
    /// Its `application_name`.
    pub application: String,
    /// How long its transaction has been open, in microseconds.
    pub age: i64,
    /// Whether it is doing nothing at the moment.
    pub idle: bool,
    /// Whether it holds the whole table, and not only the row.
    pub table: bool,
}

type Rule = fn(&Facts<'_>, State) -> Option<Cause>;

const RULES: [Rule; 11] = [
    raised,
    process_gone,
    holder_gone,
    holder_late,
    async_holder,
    heartbeat_stopped,
    no_heartbeat,
    abandoned_take_over,
    wrong_time_zone,
    zone_behind,
    blocked,
];

/// How many ids in a result are looked up elsewhere.
const CANDIDATES: usize = 10;

/// A lease and why it is so.
pub(super) fn explain(facts: &Facts<'_>, subject: Subject, verdict: Verdict) -> Explanation {
    let state = state(&facts.lease.status, facts.lease.alive, facts.lease.hard_alive);
    let mut causes: Vec<Cause> = RULES.iter().filter_map(|rule| rule(facts, state)).collect();
    if state == State::Unreadable {
        causes.push(unreadable(&verdict));
    }
    causes.sort_by_key(|cause| std::cmp::Reverse((cause.severity, cause.certainty)));
    // What settles the key belongs to the gravest of them.
    if let Some(first) = causes.first_mut() {
        first.next.extend(verdict.next);
    }
    Explanation {
        subject,
        state: verdict.state,
        age: facts.lease.age(),
        now: facts.now,
        summary: verdict.summary,
        severity: verdict.severity,
        causes,
        related: related(facts.lease),
    }
}

/// The key without its namespace, and what its result names.
fn related(lease: &Lease) -> Vec<Related> {
    let mut out = Vec::new();
    if let Some((_, bare)) = lease.key.split_once(':') {
        out.push(Related::likely(bare, Relation::SameKey));
    }
    let named = lease.execution_result.as_deref().map(|json| candidates(json, CANDIDATES)).unwrap_or_default();
    out.extend(named.into_iter().map(|id| Related::likely(id, Relation::MentionedIn(Place::Result))));
    out
}

fn of_this_run<'a>(facts: &'a Facts<'_>, name: &str) -> Option<&'a LeaseEvent> {
    zones::of_this_run(facts.lease, facts.events, name)
}

/// A row that no version of the library writes.
fn unreadable(verdict: &Verdict) -> Cause {
    Cause::stated("unreadable", &["sentinel_leases.status"], Severity::Critical, verdict.summary.clone())
}

/// The function raised after it had begun, and the library left the key uncertain.
fn raised(facts: &Facts<'_>, state: State) -> Option<Cause> {
    if !matches!(state, State::Uncertain | State::Stalled) {
        return None;
    }
    let Worker::Raised(when, certainty) = facts.worker else { return None };
    let ago = seen_from(when, facts.now);
    let run = of_this_run(facts, "expired").and_then(RunFailure::of);
    let text = match &run {
        Some(run) => {
            let stderr = run.stderr.as_ref().map(|tail| format!("; its stderr ended: {tail}")).unwrap_or_default();
            format!("{run} {ago}, in {}{stderr}", owner(facts.lease))
        }
        None if held_by_sen(facts.lease) => {
            format!("the command of sen once failed {ago}, in {}", owner(facts.lease))
        }
        None => format!("the function raised an exception {ago}, after it had begun, in {}", owner(facts.lease)),
    };
    Some(match certainty {
        Certainty::Proven => {
            let columns = &["sentinel_events.event", "sentinel_events.fencing_token", "sentinel_events.metadata"];
            Cause::stated("raised", columns, Severity::Critical, text)
        }
        Certainty::Likely => Cause::likely("raised", Severity::Critical, text),
    })
}

/// Whether the times of a lease say nothing of its holder: they were written in another zone, or it has ended by itself.
fn times_mislead(facts: &Facts<'_>, state: State) -> bool {
    raised(facts, state).is_some() || zone_off(facts).is_some()
}

/// The owner's process is looked for on this very machine and is not there.
fn process_gone(facts: &Facts<'_>, state: State) -> Option<Cause> {
    let held = matches!(state, State::Alive | State::Stalled | State::Uncertain);
    let gone = held && facts.worker == Worker::Gone;
    // Another machine or container can carry the same name: so not proven.
    gone.then(|| {
        let text = format!("{} is gone: no such process runs here", owner(facts.lease));
        Cause::likely("process_gone", Severity::Critical, text)
    })
}

/// Lease and hard limit are over: nobody is entitled to go on, and whoever it was has not finished. Where the process can be
/// looked for, [`process_gone`] and [`holder_late`] say more.
fn holder_gone(facts: &Facts<'_>, state: State) -> Option<Cause> {
    if state != State::Uncertain || facts.worker != Worker::Unseen || times_mislead(facts, state) {
        return None;
    }
    let text = format!(
        "the owner ({}) let its lease and its hard limit pass without finishing: killed, cut off, stuck, or slower than its limit",
        owner(facts.lease)
    );
    Some(Cause::likely("holder_gone", Severity::Critical, text))
}

/// As [`holder_gone`], and its process is there.
fn holder_late(facts: &Facts<'_>, state: State) -> Option<Cause> {
    if state != State::Uncertain || facts.worker != Worker::Here || times_mislead(facts, state) {
        return None;
    }
    let text = format!(
        "{} still runs here though its lease and its hard limit are over: it is stuck, or slower than its hard limit; it may still act",
        owner(facts.lease)
    );
    Some(Cause::likely("holder_late", Severity::Critical, text))
}

/// Whether a lease that is over was extended since the work began; `None` where its times do not tell.
///
/// A beat of 0.4.2 and 0.5.0 (`batch_heartbeat`) writes both times at once, so that they are one time to live apart. A claim does
/// so, too, but the beginning of the work (`start_execution`), at the moment of its event, moves the last change alone.
fn extended(facts: &Facts<'_>, state: State) -> Option<Option<bool>> {
    if state != State::Stalled || facts.worker == Worker::Gone || times_mislead(facts, state) {
        return None;
    }
    let lease = facts.lease;
    if async_ttl(lease).is_some() {
        return Some(Some(false));
    }
    let times = lease.lease_updated_at.zip(lease.lease_expires_at).zip(lease.ttl_ms);
    Some(times.map(|((updated, expires), ttl)| {
        let apart = expires.micros_since(updated).saturating_sub(ttl.saturating_mul(1000));
        match of_this_run(facts, "executing") {
            Some(begun) => updated.micros_since(begun.occurred_at).abs() >= 1000 || apart > 10,
            None => apart >= -10,
        }
    }))
}

fn ended(facts: &Facts<'_>) -> String {
    let end = facts.lease.lease_expires_at.filter(|end| end.is_finite());
    end.map(|end| format!(" {}", seen_from(end, facts.now))).unwrap_or_default()
}

/// A lease that was never extended: the async clients send no heartbeats (`sentinel/async_client.py`, 0.4.2 and 0.5.0).
fn async_holder(facts: &Facts<'_>, state: State) -> Option<Cause> {
    (extended(facts, state)? == Some(false)).then(|| match async_ttl(facts.lease) {
        Some(ttl) => {
            let text = format!(
                "{} is an async client, by its row (ttl_ms 3000, its times {} apart): it sends no heartbeats, and works or not until its hard limit",
                owner(facts.lease),
                humane(rounded(ttl))
            );
            Cause::likely("async_holder", Severity::Pending, text)
        }
        None => {
            let text = format!(
                "the lease was never extended since the work began: {} may be an async client, which sends no heartbeats and may be well",
                owner(facts.lease)
            );
            Cause::likely("async_holder", Severity::Warning, text)
        }
    })
}

/// A lease that was extended and no longer is: the heartbeats (`sentinel/heartbeat.py`) come from a thread of the process.
fn heartbeat_stopped(facts: &Facts<'_>, state: State) -> Option<Cause> {
    (extended(facts, state)? == Some(true)).then(|| {
        let text = format!(
            "the lease ended{} because {} stopped extending it: it hangs, is cut off, or is gone",
            ended(facts),
            owner(facts.lease)
        );
        Cause::likely("heartbeat_stopped", Severity::Warning, text)
    })
}

/// Either of the two: before 0.4.2 nothing says which.
fn no_heartbeat(facts: &Facts<'_>, state: State) -> Option<Cause> {
    extended(facts, state)?.is_none().then(|| {
        let text = format!(
            "the lease ended{} and {} does not extend it: an async client, which sends no heartbeats and may be well, or one that hangs, is cut off, or is gone",
            ended(facts),
            owner(facts.lease)
        );
        Cause::likely("no_heartbeat", Severity::Warning, text)
    })
}

/// A person took it over and has not said what happened.
fn abandoned_take_over(facts: &Facts<'_>, state: State) -> Option<Cause> {
    if state != State::Reconciling {
        return None;
    }
    let text = taken_over(facts.lease, facts.events, facts.now)
        .unwrap_or_else(|| "an operator has taken it over and has not settled it; who is not on record".into());
    Some(Cause::stated("taken_over", &["sentinel_leases.status", "sentinel_events.event"], Severity::Warning, text))
}

/// How far the times of a lease are off, if they are.
fn zone_off(facts: &Facts<'_>) -> Option<(i64, &'static str)> {
    zones::off(facts.lease, facts.events, facts.now)
}

/// A plain TIMESTAMP (0.4.2, and tables made by it) is read in the zone of whoever asks: a worker in another writes other times.
fn wrong_time_zone(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let (off, lies) = zone_off(facts)?;
    let text = format!(
        "its last change lies {} {lies}: a session in another time zone writes such times, and others may see its lease as over",
        sen_model::time::age(off)
    );
    let columns = &["sentinel_leases.lease_updated_at", "sentinel_events.occurred_at"];
    Some(
        Cause::stated("wrong_time_zone", columns, Severity::Critical, text)
            .with_next(vec![NextCommand::new(&["sen", "doctor"], "time zones and clocks")]),
    )
}

/// As [`wrong_time_zone`] where no event tells: a last change about a whole offset old fits a living worker whose session is
/// behind, and a worker that died so long ago.
fn zone_behind(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let offset = zones::behind(facts.lease, facts.events, facts.now, facts.zoneless)?;
    let text = format!(
        "its last change is about {} old, a whole time-zone offset: a living worker whose session is behind the server's zone leaves such times; look twice before you act",
        sen_model::time::age(offset)
    );
    Some(Cause::likely("zone_behind", Severity::Warning, text).with_next(vec![zones::observe(facts.lease)]))
}

/// Somebody holds the row: claims, beats and completions wait.
fn blocked(facts: &Facts<'_>, _: State) -> Option<Cause> {
    let lock = facts.locks.first()?;
    let doing = if lock.idle { "idle in a transaction" } else { "in a transaction" };
    let name = if lock.application.is_empty() { String::new() } else { format!(" ({})", lock.application) };
    let what = if lock.table { "the table of leases" } else { "this row" };
    let text = format!(
        "server process {}{name} has been {doing} for {} and holds {what}: other writers wait",
        lock.pid,
        sen_model::time::age(lock.age)
    );
    Some(
        Cause::stated(
            "blocked_transaction",
            &["pg_locks.granted", "pg_stat_activity.xact_start"],
            Severity::Warning,
            text,
        )
        .with_next(vec![NextCommand::new(&["sen", "doctor"], "which transactions are open")]),
    )
}

#[cfg(test)]
mod tests;
