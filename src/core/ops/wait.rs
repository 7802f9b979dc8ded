//! Waiting until a record of any system has settled or reached a state, by polling with growing pauses.

use std::time::Duration;

use super::inspect::{Lookup, inspect, missing, missing_lease};
use crate::registry::Database;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::listing::Choice;
use sen_model::record::Record;
use sen_model::subject::{Kind, Subject};
use sen_model::text::named;
use sen_model::value::Value;
use sen_model::verdict::Severity;

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// It has ended well: nothing of it is under way, and it needs no person. A lease may also be free or gone.
    Settled,
    /// This state, as a list or the database names it.
    State(String),
}

/// What is waited for, once it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub subject: Subject,
    /// The id that was asked for, where its work goes on under another one: a dead letter that was replayed.
    pub instead_of: Option<String>,
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Waited {
    /// The goal is reached; `None` where a lease does not exist, or no longer.
    Reached(Option<Record>),
    /// It needs a person; waiting longer cannot help.
    NeedsAPerson(Record),
    /// It ended, and not as was waited for.
    EndedOtherwise(Record),
    /// The time limit has passed.
    TimedOut(Option<Record>),
}

/// How the last poll found what was waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What it was.
    pub target: Target,
    /// How it ended.
    pub waited: Waited,
}

/// How long the last answer may take after the time limit.
const MARGIN: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The kinds that can be waited for.
pub const KINDS: [Kind; 8] = Kind::RECORDS;

fn names<C: Choice>() -> Vec<&'static str> {
    C::ALL.iter().map(|choice| choice.name()).collect()
}

/// The states of a kind, as its lists have them.
pub fn states(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Lease => names::<sen_sentinel::LeaseState>(),
        Kind::Execution => names::<sen_stent::ExecutionListState>(),
        // A dead letter goes on as a task.
        Kind::Task | Kind::DeadLetter => names::<sen_stent::TaskListState>(),
        Kind::Saga => names::<sen_saga::SagaState>(),
        Kind::Outbox | Kind::Inbox => names::<sen_saga::MessageState>(),
        Kind::AgentTask => names::<sen_node::TaskState>(),
        _ => Vec::new(),
    }
}

/// States that are warnings and change only when a person acts. The others of that severity are taken up by workers.
const STOPPED: [&str; 9] = [
    "failed",
    "timed_out",
    "out_of_attempts",
    "completed_with_errors",
    "retrying",
    "compensated",
    "dead",
    "left",
    "ignored",
];

/// Whether only a person can bring it further.
fn is_stopped(kind: Kind, state: &str, severity: Severity) -> bool {
    // The library tries messages again for ever.
    let tried_again = matches!(kind, Kind::Outbox | Kind::Inbox) && state == "failed";
    severity == Severity::Critical || (severity == Severity::Warning && !tried_again && STOPPED.contains(&state))
}

/// A field's text, in lower case.
fn field(record: &Record, name: &str) -> Option<String> {
    record.fields.iter().find(|(known, _)| *known == name).and_then(|(_, value)| match value {
        Value::Name(text) => Some((*text).to_owned()),
        Value::Text(text) => Some(text.to_ascii_lowercase()),
        _ => None,
    })
}

/// What a poll that found `found` means; `None` to go on waiting.
fn judged(goal: &Goal, kind: Kind, found: Option<&Record>) -> Option<Waited> {
    let state = found.map(|found| found.verdict.state);
    let is_lease = kind == Kind::Lease;
    let reached = match goal {
        Goal::Settled if is_lease => matches!(state, None | Some("completed" | "free")),
        Goal::Settled => found.is_some_and(|found| found.verdict.severity == Severity::Ok),
        // No lease is a lease that nobody holds.
        Goal::State(wanted) if found.is_none() => is_lease && wanted == "free",
        Goal::State(wanted) => {
            state == Some(wanted.as_str())
                || found.and_then(|found| field(found, "status")).as_deref() == Some(wanted.as_str())
        }
    };
    if reached {
        return Some(Waited::Reached(found.cloned()));
    }
    let found = found?;
    match found.verdict.severity {
        severity if is_stopped(kind, found.verdict.state, severity) => Some(Waited::NeedsAPerson(found.clone())),
        // A key is claimed again and again; anything else that has ended stays so.
        Severity::Ok if !is_lease => Some(Waited::EndedOtherwise(found.clone())),
        _ => None,
    }
}

/// Finds what is to be waited for: a lease where one has this key, else the only other record that has the id.
///
/// # Errors
/// `NotFound` when nothing has the id; `Usage` when several records have it, or when its kind has no state of that name; what the
/// store reports.
async fn find(database: &Database, id: &str, goal: &Goal, only: Option<Kind>) -> Result<Option<Record>> {
    let (found, similar) = match inspect(database, id, 0).await? {
        Lookup::Record(found) => (found, Vec::new()),
        Lookup::Missing { similar, .. } => (Vec::new(), similar),
    };
    let mut found: Vec<Record> = found.into_iter().filter(|one| KINDS.contains(&one.subject.kind)).collect();
    if let Some(only) = only {
        found.retain(|one| one.subject.kind == only);
    }
    if let Some(at) = found.iter().position(|one| one.subject.kind == Kind::Lease) {
        found = vec![found.swap_remove(at)];
    }
    let may_come = only.is_none_or(|only| only == Kind::Lease) && lease_may_come(database, goal);
    match found.len() {
        0 if may_come => Ok(None),
        0 if only == Some(Kind::Lease) => Err(missing_lease(id, &similar)),
        0 => Err(missing(only.map_or("key or id", Kind::words), id, &similar)),
        1 => Ok(found.pop()),
        _ => {
            let all: Vec<String> =
                found.iter().map(|one| format!("{} {}", one.subject.kind.words(), one.subject.id)).collect();
            Err(Error::usage(format!("{} is {} records: {}", named(id), all.len(), all.join(", ")))
                .with_hint("name one by its own id, or choose with --kind"))
        }
    }
}

/// Whether a lease that is not there yet can be waited for.
fn lease_may_come(database: &Database, goal: &Goal) -> bool {
    matches!(goal, Goal::State(state) if states(Kind::Lease).contains(&state.as_str()))
        && database.system(sen_sentinel::NAME).is_ok()
}

fn known(goal: &Goal, kind: Kind) -> Result<()> {
    let Goal::State(state) = goal else { return Ok(()) };
    let all = states(kind);
    if all.contains(&state.as_str()) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "a record of kind {} has no state {state:?}; possible: settled, {}",
        kind.words(),
        all.join(", ")
    )))
}

/// Polls what has `id` until the goal is reached, waiting longer cannot help, or `limit` has passed. A dead letter that was
/// replayed is followed to the task that it became.
///
/// # Errors
/// As of finding it; `NotFound` when it is removed meanwhile, but for a lease; what the store reports.
pub async fn wait(database: &Database, id: &str, goal: &Goal, only: Option<Kind>, limit: Duration) -> Result<Answer> {
    let end = tokio::time::Instant::now() + limit;
    let late = || {
        Error::new(ErrorKind::Pending, "time is up, and the database did not answer the last question")
            .with_hint("check the server and the network to it")
    };
    // The limit is that of the wait: a server that does not answer must not prolong it.
    let first = tokio::time::timeout_at(end + MARGIN, find(database, id, goal, only)).await.map_err(|_| late())??;
    let subject = match &first {
        Some(found) => found.subject.clone(),
        None => Subject::new(sen_sentinel::NAME, Kind::Lease, id),
    };
    known(goal, subject.kind)?;
    let system = database.system(subject.system)?;
    let mut target = Target { subject, instead_of: None };
    let mut found = first;
    let mut pause = FIRST_PAUSE;
    loop {
        let kind = target.subject.kind;
        let waited = match judged(goal, kind, found.as_ref()) {
            Some(Waited::NeedsAPerson(record)) => {
                let next =
                    tokio::time::timeout_at(end + MARGIN, system.goes_on_as(&record)).await.map_err(|_| late())??;
                match next.filter(|next| *next != record.subject.id) {
                    Some(next) => {
                        target.instead_of.get_or_insert_with(|| id.to_owned());
                        target.subject = Subject::new(target.subject.system, kind, next);
                        None
                    }
                    None => Some(Waited::NeedsAPerson(record)),
                }
            }
            None if tokio::time::Instant::now() >= end => Some(Waited::TimedOut(found.take())),
            Some(waited) => Some(waited),
            None => {
                tokio::time::sleep_until((tokio::time::Instant::now() + pause).min(end)).await;
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                None
            }
        };
        if let Some(waited) = waited {
            return Ok(Answer { target, waited });
        }
        let Subject { kind, id, .. } = &target.subject;
        let polled = tokio::time::timeout_at(end + MARGIN, system.show(*kind, id, 0)).await.map_err(|_| late())?;
        found = polled?.into_iter().next();
        if found.is_none() && *kind != Kind::Lease {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{} {} no longer exists: it was removed while it was waited for", kind.words(), named(id)),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state that is a warning is either left to a person or taken up by a worker.
    #[test]
    fn what_only_a_person_can_bring_further_is_known_of_every_state() {
        let stopped = |kind, all: Vec<(&'static str, Severity)>| -> Vec<&'static str> {
            let warnings = all.into_iter().filter(|(_, severity)| *severity == Severity::Warning);
            warnings.filter(|(state, severity)| is_stopped(kind, state, *severity)).map(|(state, _)| state).collect()
        };
        let open = |kind, all: Vec<(&'static str, Severity)>| -> Vec<&'static str> {
            let warnings = all.into_iter().filter(|(_, severity)| *severity == Severity::Warning);
            warnings.filter(|(state, severity)| !is_stopped(kind, state, *severity)).map(|(state, _)| state).collect()
        };
        let leases = || sen_sentinel::verdict::State::ALL.map(|state| (state.name(), state.severity())).to_vec();
        assert_eq!(
            (stopped(Kind::Lease, leases()), open(Kind::Lease, leases())),
            (vec![], vec!["reconciling", "stalled"])
        );
        let runs = || sen_stent::state::State::ALL.map(|state| (state.of_execution(), state.severity())).to_vec();
        let expected = (vec!["failed", "timed_out"], vec!["overdue", "lost"]);
        assert_eq!((stopped(Kind::Execution, runs()), open(Kind::Execution, runs())), expected);
        let sagas = || sen_saga::verdict::State::ALL.map(|state| (state.name(), state.severity())).to_vec();
        let expected = (vec!["timed_out", "failed"], vec!["overdue", "lease_expired"]);
        assert_eq!((stopped(Kind::Saga, sagas()), open(Kind::Saga, sagas())), expected);
        let tasks = || sen_node::verdict::State::ALL.map(|state| (state.name(), state.severity())).to_vec();
        let expected = (
            vec!["out_of_attempts", "failed", "completed_with_errors", "retrying"],
            vec!["lease_expired", "over_cost_limit"],
        );
        assert_eq!((stopped(Kind::AgentTask, tasks()), open(Kind::AgentTask, tasks())), expected);
    }

    #[test]
    fn messages_are_tried_again_and_dead_letters_are_not() {
        assert!(!is_stopped(Kind::Outbox, "failed", Severity::Warning));
        assert!(is_stopped(Kind::DeadLetter, "dead", Severity::Warning));
        assert!(is_stopped(Kind::Outbox, "left", Severity::Warning));
    }
}
