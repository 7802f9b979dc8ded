//! What a lease's facts amount to. Pure: a lease as the database compared it, the database's clock, a verdict.
//!
//! Sources: the claim, heartbeat and reconcile statements of sentinel-coordination 0.4.2 and 0.5.0 (`core.py`,
//! `reconciliation.py`, `heartbeat.py`).

use super::liveness::Worker;
use super::record::{Lease, LeaseEvent, Status, async_ttl, held_by_sen, owner_parts, rounded};
use super::zones::{self, when};
use sen_model::time::{Timestamp, humane};
use sen_model::verdict::{NextCommand, Purpose, Severity, Verdict};

/// What a lease is, seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Claimed and expired: the next caller takes it.
    Free,
    /// Claimed and alive: somebody is about to begin.
    Held,
    /// Executing, and the lease is alive.
    Alive,
    /// Executing, the lease has expired, the hard expiry is ahead: the worker may be alive.
    Stalled,
    /// Executing, and nobody is entitled to it any more: it happened, or it did not.
    Uncertain,
    /// Taken over by an operator.
    Reconciling,
    /// Done; the result is cached.
    Completed,
    /// The row cannot be judged.
    Unreadable,
}

impl State {
    /// All of them, in the order a person reads them: what needs attention first.
    pub const ALL: [Self; 8] = [
        Self::Uncertain,
        Self::Unreadable,
        Self::Reconciling,
        Self::Stalled,
        Self::Alive,
        Self::Held,
        Self::Free,
        Self::Completed,
    ];

    /// The name in lists and data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Alive => "alive",
            Self::Stalled => "stalled",
            Self::Uncertain => "uncertain",
            Self::Reconciling => "reconciling",
            Self::Completed => "completed",
            Self::Unreadable => "unreadable",
        }
    }

    /// How much attention it needs.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Free | Self::Completed => Severity::Ok,
            Self::Held | Self::Alive => Severity::Pending,
            Self::Stalled | Self::Reconciling => Severity::Warning,
            Self::Uncertain | Self::Unreadable => Severity::Critical,
        }
    }

    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The state of a lease with this status, liveness and hard-expiry liveness.
///
/// A missing hard expiry counts as passed: without one no heartbeat of the library can extend the lease
/// (`hard_expires_at > NOW()` is not true for NULL).
pub fn state(status: &Status, alive: Option<bool>, hard_alive: Option<bool>) -> State {
    match (status, alive) {
        (Status::Completed, _) => State::Completed,
        (Status::Reconciling, _) => State::Reconciling,
        (Status::Claimed, Some(true)) => State::Held,
        (Status::Claimed, Some(false)) => State::Free,
        (Status::Executing, Some(true)) => State::Alive,
        (Status::Executing, Some(false)) if hard_alive == Some(true) => State::Stalled,
        (Status::Executing, Some(false)) => State::Uncertain,
        (Status::Claimed | Status::Executing, None) | (Status::Other(_), _) => State::Unreadable,
    }
}

/// What the times of a lease leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Its last change lies so far in the future.
    Ahead(i64),
    /// It is about a whole time-zone offset old.
    Behind(i64),
    /// Nothing.
    None,
}

/// Judges a lease. `events` are its newest events in time order, empty where none are kept; `zoneless`: its times are stored
/// without a zone; `here`: whether its owner's process runs on this machine, where that can be seen.
pub fn judge(lease: &Lease, events: &[LeaseEvent], now: Timestamp, zoneless: bool, here: Option<bool>) -> Verdict {
    let state = state(&lease.status, lease.alive, lease.hard_alive);
    let mut evidence = Vec::new();
    evidence.extend(worker(lease, state));
    evidence.extend(async_ttl(lease).map(|ttl| {
        format!(
            "async client: its row keeps the default ttl_ms of 3000, its real TTL is about {}",
            humane(rounded(ttl))
        )
    }));
    evidence.extend(times(lease, state, now, Worker::of(lease, events, here)));
    evidence.extend(past(lease, events, now));
    evidence.extend(lease.unreadable.iter().map(|what| format!("unreadable: {what}")));
    // It sends no heartbeats, so that an expired lease says nothing of it before its hard limit.
    let quiet = state == State::Stalled && async_ttl(lease).is_some();
    let held = matches!(state, State::Held | State::Alive | State::Stalled);
    let doubt = match (zones::ahead(lease, now).filter(|_| held), zones::behind(lease, events, now, zoneless)) {
        (Some(ahead), _) => Doubt::Ahead(ahead),
        (None, Some(behind)) => Doubt::Behind(behind),
        (None, None) => Doubt::None,
    };
    let severity = match doubt {
        Doubt::Ahead(_) => Severity::Critical,
        _ if quiet => Severity::Pending,
        _ => state.severity(),
    };
    Verdict {
        state: state.name(),
        severity,
        summary: summary(lease, state, doubt),
        evidence,
        next: next(lease, state, doubt),
    }
}

fn summary(lease: &Lease, state: State, doubt: Doubt) -> String {
    match doubt {
        Doubt::Ahead(ahead) => format!(
            "its last change lies {} in the future: a session in another time zone, or a clock that is ahead, writes such times, \
             and the lease looks alive whether its worker lives or not",
            sen_model::time::age(ahead)
        ),
        Doubt::Behind(offset) => format!(
            "{}; but its last change is about {} old, a whole time-zone offset: probably its worker's session is behind the \
             server's zone, and it may live",
            plain(lease, state),
            sen_model::time::age(offset)
        ),
        Doubt::None => plain(lease, state).into(),
    }
}

fn plain(lease: &Lease, state: State) -> &'static str {
    match state {
        State::Free => "not held by any worker; the next caller runs it",
        State::Held => "a worker has claimed this key and has not begun",
        State::Alive => "a worker is executing and its lease is alive",
        State::Stalled if async_ttl(lease).is_some() => {
            "started by an async client, which sends no heartbeats: its lease expires while it works, up to its hard limit"
        }
        State::Stalled => "the lease has expired but its hard limit has not: the worker may be alive, or dead",
        State::Uncertain if lease.hard_expires_at.is_none() => {
            "started, lease expired (no hard limit recorded): outcome unknown"
        }
        State::Uncertain => "started, no live owner: outcome unknown (the side effect may or may not have happened)",
        State::Reconciling => "an operator has taken this key over and has not settled it",
        State::Completed => "done; later callers get the cached result",
        State::Unreadable => "this row cannot be judged: no version of Sentinel writes it like this",
    }
}

fn worker(lease: &Lease, state: State) -> Option<String> {
    let owner = lease.owner_id.as_deref()?;
    let what = if state == State::Free { "last owner" } else { "owner" };
    Some(match owner_parts(owner) {
        Some((host, pid, _)) => format!("{what}: process {pid} on host {host}"),
        None => format!("{what}: {owner}"),
    })
}

fn times(lease: &Lease, state: State, now: Timestamp, worker: Worker) -> Vec<String> {
    let ago = |moment: Timestamp| when(moment, now);
    let mut out = Vec::new();
    let finite = |moment: Option<Timestamp>| moment.filter(|moment| moment.is_finite());
    match (finite(lease.lease_expires_at), lease.alive) {
        (Some(end), Some(true)) if state != State::Completed => out.push(format!("lease ends {}", ago(end))),
        (Some(end), Some(false)) if !matches!(state, State::Completed | State::Reconciling) => {
            out.push(format!("lease expired {}", ago(end)));
        }
        _ => {}
    }
    if matches!(state, State::Alive | State::Stalled | State::Uncertain) {
        match (finite(lease.hard_expires_at), lease.hard_alive) {
            (Some(end), Some(true)) => out.push(format!("hard limit {}", ago(end))),
            (Some(end), _) => out.push(format!("hard limit passed {}", ago(end))),
            (None, _) => out.push("no hard limit is recorded".into()),
        }
    }
    match state {
        State::Stalled if !matches!(worker, Worker::Unseen) => out.extend(worker.evidence().map(str::to_owned)),
        State::Stalled => {
            out.push("an expired lease is no proof of a dead worker: async clients of 0.4 never extend it, and a blocked process cannot".into());
        }
        State::Uncertain => out.extend(worker.evidence().map(str::to_owned)),
        _ => {}
    }
    if let Some(updated) = finite(lease.lease_updated_at) {
        out.push(if updated > now {
            format!("the last change of its row lies in the future: {}", ago(updated))
        } else {
            format!("row last changed {}", ago(updated))
        });
    }
    out
}

fn past(lease: &Lease, events: &[LeaseEvent], now: Timestamp) -> Vec<String> {
    let mut out = Vec::new();
    let told = |event: &&LeaseEvent| event.occurred_at.is_finite() && !event.puts_back();
    let newest = |name: &str| events.iter().rev().filter(told).find(|event| event.event == name);
    let this_run = |event: &&LeaseEvent| event.fencing_token.is_none() || event.fencing_token == lease.fencing_token;
    if let Some(back) =
        events.iter().rev().find(|event| event.occurred_at.is_finite()).filter(|event| event.puts_back())
    {
        let (who, why) = author(back);
        out.push(format!("put back as it was {}{who}{why}", when(back.occurred_at, now)));
    }
    if matches!(lease.status, Status::Executing)
        && let Some(start) = newest("executing").filter(this_run)
    {
        out.push(format!("execution began {}", when(start.occurred_at, now)));
    }
    if matches!(lease.status, Status::Executing)
        && let Some(failure) = newest("expired").filter(this_run)
    {
        let at = when(failure.occurred_at, now);
        out.push(match RunFailure::of(failure) {
            Some(run) => format!("{run} {at} (event \"expired\")"),
            None if held_by_sen(lease) => format!("the command of sen once failed {at} (event \"expired\")"),
            None => format!("the function raised an exception {at}, after it had begun (event \"expired\")"),
        });
        out.extend(RunFailure::of(failure).and_then(|run| run.stderr).map(|tail| format!("its stderr ended: {tail}")));
    }
    out.extend(taken_over(lease, events, now).map(|held| format!("{held}; settling it needs its token")));
    if matches!(lease.status, Status::Completed)
        && let Some(end) = newest("completed").filter(this_run)
    {
        let settled = end.owner_id.is_none();
        let by = if settled { "settled by an operator, not by the worker," } else { "completed by its worker" };
        let (who, why) = author(end);
        out.push(format!("{by} {}{who}{why}", when(end.occurred_at, now)));
    }
    out
}

/// How a command that `sen once` ran failed, as its event keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunFailure {
    exit_code: Option<i64>,
    signal: Option<i64>,
    error: Option<String>,
    /// The end of what it wrote to standard error, in one line.
    pub stderr: Option<String>,
}

impl RunFailure {
    /// What an event says of it, if `sen once` wrote one.
    pub fn of(event: &LeaseEvent) -> Option<Self> {
        let note: serde_json::Value = serde_json::from_str(event.metadata.as_deref()?).ok()?;
        let failure = note.get("failure")?;
        let text = |name: &str| failure.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        let number = |name: &str| failure.get(name).and_then(serde_json::Value::as_i64);
        let stderr = text("stderr_tail").map(|tail| tail.trim().replace('\n', " | ")).filter(|tail| !tail.is_empty());
        Some(Self { exit_code: number("exit_code"), signal: number("signal"), error: text("error"), stderr })
    }
}

impl std::fmt::Display for RunFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.error, self.signal, self.exit_code) {
            (Some(error), ..) => write!(f, "the run failed: {error}"),
            (None, Some(signal), _) => write!(f, "the command of sen once was ended by signal {signal}"),
            (None, None, Some(code)) => write!(f, "the command of sen once ended with exit code {code}"),
            (None, None, None) => f.write_str("the run of sen once failed"),
        }
    }
}

/// When, by whom and why a key in `reconciling` was taken over, as far as its events tell.
pub(super) fn taken_over(lease: &Lease, events: &[LeaseEvent], now: Timestamp) -> Option<String> {
    let told = |event: &&LeaseEvent| event.occurred_at.is_finite() && !event.puts_back();
    let taken = events.iter().rev().filter(told).find(|event| event.event == "reconciling");
    let taken = taken.filter(|_| matches!(lease.status, Status::Reconciling))?;
    let (who, why) = author(taken);
    Some(format!("taken over {}{who}{why}", when(taken.occurred_at, now)))
}

/// Who wrote an event and why, where `sen` noted it (` by maria@ops-3`, ` (INC-482)`).
fn author(event: &LeaseEvent) -> (String, String) {
    let [who, why] = event.author();
    let who = who.map(|who| format!(" by {who}")).unwrap_or_default();
    (who, why.map(|why| format!(" ({why})")).unwrap_or_default())
}

fn next(lease: &Lease, state: State, doubt: Doubt) -> Vec<NextCommand> {
    match doubt {
        // Its end is not when its lease ends.
        Doubt::Ahead(_) => {
            vec![zones::observe(lease), NextCommand::new(&["sen", "doctor"], "time zones and clocks")]
        }
        Doubt::Behind(_) => std::iter::once(zones::observe(lease)).chain(usual(lease, state)).collect(),
        Doubt::None => usual(lease, state),
    }
}

fn usual(lease: &Lease, state: State) -> Vec<NextCommand> {
    let command = |words: &[&str], why: &str| NextCommand::new(words, why).id(&lease.key);
    let history = command(&["sen", "history"], "what happened to it, in time order");
    match state {
        State::Uncertain => vec![
            command(&["sen", "reconcile"], "take it over and record the outcome").purpose(Purpose::Settle),
            history,
        ],
        State::Reconciling => {
            let settle = |why: &str| {
                let next = NextCommand::new(&["sen", "reconcile"], why).purpose(Purpose::Settle);
                match lease.fencing_token {
                    Some(token) => next.option("--token", &token.to_string()),
                    None => next.option_mark("--token", "token"),
                }
            };
            let completed = settle("it completed, with this result").option_mark("--complete", "json");
            let never = settle("it never happened: the next caller runs it").with(&["--reset"]);
            vec![history, completed.id(&lease.key), never.id(&lease.key)]
        }
        State::Stalled if async_ttl(lease).is_some() => {
            vec![command(&["sen", "wait"], "until it ends, or its hard limit passes"), history]
        }
        State::Stalled => vec![
            command(&["sen", "wait"], "its worker may be alive: wait until it ends, or its hard limit passes")
                .purpose(Purpose::Run),
            history,
            NextCommand::new(
                &["sen", "reconcile", "--before-hard-ttl"],
                "you know that its worker is dead: take it over before that",
            )
            .option_mark("--reason", "reason")
            .id(&lease.key)
            .purpose(Purpose::GiveUp),
        ],
        State::Unreadable => vec![command(&["sen", "inspect", "-o", "json"], "every fact of it, for a ticket")],
        State::Alive | State::Held => vec![command(&["sen", "wait"], "until it ends")],
        State::Free | State::Completed => vec![history],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lease(status: Status, alive: Option<bool>, hard_alive: Option<bool>) -> Lease {
        let moment = |alive: bool| Timestamp::from_micros(if alive { 2_000_000_000 } else { 500_000_000 });
        Lease {
            key: "-k".into(),
            owner_id: Some("web-1:42-7".into()),
            status,
            fencing_token: Some(7),
            lease_expires_at: alive.map(moment),
            lease_updated_at: Some(Timestamp::from_micros(400_000_000)),
            hard_expires_at: hard_alive.map(moment),
            alive,
            hard_alive,
            ttl_ms: Some(60_000),
            execution_result: None,
            unreadable: Vec::new(),
        }
    }

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn event(name: &str, owner: Option<&str>, token: Option<i64>) -> LeaseEvent {
        LeaseEvent {
            id: 1,
            key: "k".into(),
            event: name.into(),
            occurred_at: Timestamp::from_micros(600_000_000),
            fencing_token: token,
            owner_id: owner.map(Into::into),
            metadata: None,
        }
    }

    #[test]
    fn every_combination_has_the_documented_state() {
        let (yes, no) = (Some(true), Some(false));
        let cases = [
            (Status::Claimed, yes, yes, State::Held),
            (Status::Claimed, no, no, State::Free),
            (Status::Claimed, no, yes, State::Free),
            (Status::Claimed, None, yes, State::Unreadable),
            (Status::Executing, yes, yes, State::Alive),
            (Status::Executing, yes, no, State::Alive),
            (Status::Executing, no, yes, State::Stalled),
            (Status::Executing, no, no, State::Uncertain),
            (Status::Executing, no, None, State::Uncertain),
            (Status::Executing, None, None, State::Unreadable),
            (Status::Reconciling, no, no, State::Reconciling),
            (Status::Completed, no, no, State::Completed),
            (Status::Other("done".into()), yes, yes, State::Unreadable),
        ];
        for (status, alive, hard, expected) in cases {
            assert_eq!(state(&status, alive, hard), expected, "{status:?} {alive:?} {hard:?}");
        }
    }

    #[test]
    fn a_worker_inside_its_hard_limit_is_never_called_uncertain() {
        let verdict = judge(&lease(Status::Executing, Some(false), Some(true)), &[], NOW, false, None);
        assert_eq!((verdict.state, verdict.severity), ("stalled", Severity::Warning));
        assert!(verdict.evidence.iter().any(|line| line.contains("no proof of a dead worker")), "{verdict:?}");
    }

    #[test]
    fn events_tell_who_settled_and_whether_it_raised() {
        let done =
            judge(&lease(Status::Completed, Some(false), None), &[event("completed", None, None)], NOW, false, None);
        assert!(done.evidence.iter().any(|line| line.contains("settled by an operator")));
        let raised = judge(
            &lease(Status::Executing, Some(false), Some(false)),
            &[event("expired", Some("o"), Some(7))],
            NOW,
            false,
            None,
        );
        assert!(raised.evidence.iter().any(|line| line.contains("raised an exception")));
        let earlier_run = judge(
            &lease(Status::Executing, Some(false), Some(false)),
            &[event("expired", Some("o"), Some(6))],
            NOW,
            false,
            None,
        );
        assert!(!earlier_run.evidence.iter().any(|line| line.contains("raised an exception")));
    }

    #[test]
    fn commands_for_keys_that_look_like_options_stay_safe() {
        let verdict = judge(&lease(Status::Executing, Some(false), Some(false)), &[], NOW, false, None);
        assert!(verdict.next.iter().all(|next| next.command.ends_with("-- -k")), "{:?}", verdict.next);
    }

    proptest! {
        #[test]
        fn judging_never_panics(
            status in "claimed|executing|reconciling|completed|\\PC{0,5}",
            alive in any::<Option<bool>>(), hard in any::<Option<bool>>(),
            at in any::<i64>(), now in any::<i64>(), owner in any::<Option<String>>(), key in any::<String>(),
        ) {
            let mut lease = lease(Status::parse(&status), alive, hard);
            lease.key = key;
            lease.owner_id = owner;
            lease.lease_updated_at = Some(Timestamp::from_micros(at));
            let verdict = judge(&lease, &[event("completed", None, None)], Timestamp::from_micros(now), false, None);
            let severity = State::parse(verdict.state).map(State::severity);
            let quiet = verdict.state == "stalled" && async_ttl(&lease).is_some();
            let held = matches!(verdict.state, "held" | "alive" | "stalled");
            let ahead = held && at.saturating_sub(now) > 60_000_000;
            let expected = match (ahead, quiet) {
                (true, _) => Some(Severity::Critical),
                (false, true) => Some(Severity::Pending),
                (false, false) => severity,
            };
            prop_assert_eq!(expected, Some(verdict.severity));
            prop_assert!(!verdict.summary.is_empty());
        }
    }
}
