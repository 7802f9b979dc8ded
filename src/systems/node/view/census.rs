//! All tasks counted as they pass: the survey of a database, and its statistics. Pure.

use std::collections::BTreeMap;

use super::whole;
use crate::port::Server;
use crate::record::NAME;
use crate::record::{Status, Task};
use crate::verdict::{State, is_dead, state};
use sen_model::columns;
use sen_model::record::Section;
use sen_model::subject::Kind;
use sen_model::summary::{Attention, Count, Statistics, Summary};
use sen_model::time::Timestamp;
use sen_model::value::Value;
use sen_model::verdict::{NextCommand, Severity};

/// How long queued tasks may wait for a first heartbeat: as long as one is kept.
const STARTING: i64 = 30_000_000;

columns! {
    STATE_COLUMNS,
    fn state_row(state: State, count: i64, oldest: Option<Timestamp>) {}
    "state", "STATE", Whole => Value::Name(state.name());
    "count", "COUNT", Whole => Value::Int(count);
    "oldest", "OLDEST", Whole => Value::time(oldest);
}

columns! {
    STATUS_COLUMNS,
    fn status_row(status: Status, count: i64) {}
    "status", "STATUS", Whole => Value::Name(status.name());
    "count", "COUNT", Whole => Value::Int(count);
}

columns! {
    TENANT_COLUMNS,
    fn tenant_row(tenant: &str, [tasks, queued, held, failed, completed]: [i64; 5]) {}
    "tenant_id", "TENANT", Whole => Value::Text(tenant.to_owned());
    "tasks", "TASKS", Whole => Value::Int(tasks);
    "queued", "QUEUED", Whole => Value::Int(queued);
    "held", "HELD", Whole => Value::Int(held);
    "failed", "FAILED", Whole => Value::Int(failed);
    "completed", "COMPLETED", Whole => Value::Int(completed);
}

/// Tasks counted as they pass.
#[derive(Debug, Default)]
pub(crate) struct Census {
    states: BTreeMap<State, (i64, Option<Timestamp>)>,
    statuses: BTreeMap<Status, i64>,
    tenants: BTreeMap<String, [i64; 5]>,
    /// How many.
    pub total: i64,
    /// How many of them were given up on.
    dead: i64,
    /// How many were completed and how many failed since a moment.
    ended: [i64; 2],
    since: Option<Timestamp>,
}

impl Census {
    /// Counting also what ended since this moment.
    pub(crate) fn since(moment: Timestamp) -> Self {
        Self { since: Some(moment), ..Self::default() }
    }

    /// Counts a task.
    pub(crate) fn add(&mut self, task: &Task, now: Timestamp) {
        self.total += 1;
        self.dead += i64::from(is_dead(task, now));
        let entry = self.states.entry(state(task, now)).or_default();
        entry.0 += 1;
        entry.1 = match (entry.1, task.updated_at) {
            (Some(oldest), Some(this)) => Some(oldest.min(this)),
            (oldest, this) => oldest.or(this),
        };
        let Some(status) = task.status else { return };
        *self.statuses.entry(status).or_default() += 1;
        let end = task.completed_at.or(task.updated_at);
        if self.since.is_some_and(|since| end.is_some_and(|end| end >= since)) {
            match status {
                Status::Completed => self.ended[0] += 1,
                Status::Failed => self.ended[1] += 1,
                _ => {}
            }
        }
        let Some(tenant) = &task.tenant_id else { return };
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.clone(), [0; 5]);
        }
        if let Some(row) = self.tenants.get_mut(tenant) {
            row[0] += 1;
            match status {
                Status::Queued | Status::Retrying => row[1] += 1,
                Status::Leased | Status::InProgress => row[2] += 1,
                Status::Failed => row[3] += 1,
                Status::Completed => row[4] += 1,
            }
        }
    }

    /// How many are stored under each status.
    pub(crate) fn by_status(&self) -> impl Iterator<Item = (Status, i64)> {
        Status::ALL.into_iter().map(|status| (status, self.statuses.get(&status).copied().unwrap_or(0)))
    }

    /// What was counted, for a look at the work rather than at what is wrong.
    pub(crate) fn statistics(&self, server: &Server, workers: usize, now: Timestamp) -> Statistics {
        let int = |count: i64| Value::Int(count);
        let states = State::ALL.into_iter().filter_map(|state| {
            let (count, oldest) = self.states.get(&state)?;
            Some(state_row(state, *count, *oldest))
        });
        let statuses = self.by_status().map(|(status, count)| status_row(status, count));
        let tenants = self.tenants.iter().map(|(tenant, counts)| tenant_row(tenant, *counts));
        let section = |name, heading, columns, rows| Section { name, heading, columns, rows };
        Statistics {
            system: NAME,
            estimated: false,
            now,
            facts: vec![
                ("total_tasks", int(self.total)),
                ("dead_letters", int(self.dead)),
                ("completed_in_window", int(self.ended[0])),
                ("failed_in_window", int(self.ended[1])),
                ("workers_alive", int(i64::try_from(workers).unwrap_or(i64::MAX))),
                ("events_kept", whole(server.events)),
            ],
            sections: vec![
                section("states", "by verdict", STATE_COLUMNS, states.collect()),
                section("statuses", "by stored status, as the controller counts", STATUS_COLUMNS, statuses.collect()),
                section("tenants", "by tenant", TENANT_COLUMNS, tenants.collect()),
            ],
        }
    }

    /// That tasks wait and no worker beats, if that has been so for a while: a worker may be about to start.
    fn unattended(&self, workers: usize, now: Timestamp) -> Option<String> {
        let (count, oldest) = self.states.get(&State::Queued).copied().filter(|(count, _)| *count > 0)?;
        let waited = oldest.map_or(i64::MAX, |oldest| now.micros_since(oldest));
        (workers == 0 && waited > STARTING).then(|| {
            let tasks = if count == 1 { "task" } else { "tasks" };
            let age = oldest.map(|_| format!(", oldest {}", sen_model::time::coarse_age(waited))).unwrap_or_default();
            format!("{count} queued agent {tasks} and no worker heartbeat: probably no worker is running{age}")
        })
    }

    /// The survey.
    pub(crate) fn summary(&self, server: Server, workers: usize, now: Timestamp) -> Summary {
        let counts: Vec<(State, Count)> = State::ALL
            .into_iter()
            .map(|state| {
                let (count, oldest) = self.states.get(&state).copied().unwrap_or_default();
                (state, Count { state: state.name(), severity: state.severity(), count, estimated: false, oldest })
            })
            .collect();
        let unattended = self.unattended(workers, now).map(|text| {
            let next = NextCommand::new(&["sen", "agent", "workers"], "which workers have a heartbeat");
            let (count, oldest) = self.states.get(&State::Queued).copied().unwrap_or_default();
            Attention::new(Severity::Warning, text, next).of(Kind::AgentTask, State::Queued.name(), count, oldest)
        });
        let attention =
            unattended.into_iter().chain(counts.iter().filter_map(|(state, count)| attention(*state, count, now)));
        let attention = attention.collect();
        Summary {
            queues: None,
            unread: Vec::new(),
            system: NAME,
            estimated: false,
            version: if server.replica { "0.1, on a replica".into() } else { "0.1".into() },
            writable: !server.replica,
            now,
            counted: "agent tasks",
            stored_states: false,
            list: &["sen", "agent", "list"],
            dead_letters: Some(self.dead),
            counts: counts.into_iter().map(|(_, count)| count).collect(),
            attention,
            facts: vec![
                ("server", Value::text(server.version)),
                ("workers_alive", Value::Int(i64::try_from(workers).unwrap_or(i64::MAX))),
                ("events_kept", whole(server.events)),
            ],
            sections: Vec::new(),
        }
    }
}

fn attention(state: State, count: &Count, now: Timestamp) -> Option<Attention> {
    if count.count == 0 {
        return None;
    }
    let one = count.count == 1;
    let text = match state {
        State::WorkerGone if one => "held by a worker whose heartbeat is gone",
        State::WorkerGone => "held by workers whose heartbeats are gone",
        State::LeaseExpired if one => {
            "the lease is over and the worker's heartbeat is there; a second worker may run it"
        }
        State::LeaseExpired => "the leases are over and the workers' heartbeats are there; second workers may run them",
        State::CompletedWithErrors => "marked completed, but nodes failed",
        State::OutOfAttempts => "no attempts are left",
        State::OverCostLimit => "more was spent than the limit allows",
        State::Retrying => "marked for a retry that no worker makes",
        State::Failed => "not retried automatically",
        State::Unreadable if one => "the hash cannot be judged",
        State::Unreadable => "the hashes cannot be judged",
        State::Queued | State::Running | State::Cancelled | State::Completed => return None,
    };
    let age = count.oldest.filter(|oldest| oldest.is_finite());
    let age = age
        .map(|oldest| format!(", oldest {}", sen_model::time::coarse_age(now.micros_since(oldest))))
        .unwrap_or_default();
    let tasks = if one { "task" } else { "tasks" };
    let text = format!("{} {tasks} {}: {text}{age}", count.count, state.name().replace('_', " "));
    let next = NextCommand::new(&["sen", "agent", "list", "--state", state.name()], "which ones");
    Some(Attention::new(state.severity(), text, next).of(Kind::AgentTask, state.name(), count.count, count.oldest))
}
