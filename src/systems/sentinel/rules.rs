//! What may be done to a lease, judged by what was seen. Pure: facts and a wish in, guarded steps or a refusal out.
//!
//! The rules are those of the library (`reconciliation.py` of 0.4.2 and 0.5.0), made stricter where it lets a living worker
//! be overruled: see each function.

use super::plan::LeaseStep;
use super::port::Verb;
use super::record::{Lease, NAME, Status};
use super::verdict::{State, state};
use crate::request::Decision;
use sen_model::report::{Item, Outcome};
use sen_model::subject::{Kind, Subject};

fn subject(lease: &Lease) -> Subject {
    Subject::new(NAME, Kind::Lease, lease.key.clone())
}

fn refusal(lease: &Lease, why: impl Into<String>) -> Box<Item> {
    Box::new(Item::new(subject(lease), Outcome::Changed, why).with_token(lease.fencing_token))
}

/// Nothing is to be done: it is as it is wished to be.
fn done_already(lease: &Lease, why: &str) -> Box<Item> {
    Box::new(Item::new(subject(lease), Outcome::AlreadyDone, why).with_token(lease.fencing_token))
}

/// Whether the result that is kept is the one to be kept, however it is spelled.
fn has_this_result(lease: &Lease, decision: &Decision) -> bool {
    let Decision::Completed(wished) = decision else { return false };
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let kept = lease.execution_result.as_deref().and_then(parsed);
    kept.is_some() && kept == parsed(wished)
}

fn token_of(lease: &Lease) -> Result<i64, Box<Item>> {
    lease.fencing_token.ok_or_else(|| refusal(lease, "its fencing token cannot be read"))
}

fn settlement(decision: &Decision) -> (Verb, &'static str) {
    match decision {
        Decision::Completed(result) => {
            (Verb::Complete(result.clone()), "later callers get this result without running")
        }
        Decision::NeverHappened => (Verb::Reset, "this permits a second execution, whatever the first has done"),
    }
}

/// Take over, and settle if it is known what happened.
///
/// An alive lease is never taken over, and one inside its hard limit only when the operator says so: its worker may be
/// alive. What somebody else has taken over needs that take-over's token, so that two operators cannot both settle it.
pub(super) fn reconcile(
    lease: &Lease,
    token: Option<i64>,
    before_hard_limit: bool,
    decision: Option<&Decision>,
) -> Result<Vec<LeaseStep>, Box<Item>> {
    let seen = token_of(lease)?;
    let state = state(&lease.status, lease.alive, lease.hard_alive);
    if token.is_some() && token != lease.fencing_token {
        return Err(refusal(
            lease,
            format!("its token is {}, not the one given: it has changed and is {}", seen, state.name()),
        ));
    }
    let mut steps = Vec::new();
    match state {
        State::Uncertain => steps.push(take_over(lease, seen, false)),
        State::Stalled if before_hard_limit => steps.push(take_over(lease, seen, true)),
        State::Stalled => {
            return Err(refusal(
                lease,
                "its hard limit is still ahead: the worker may be alive; --before-hard-ttl with --reason fences it out",
            ));
        }
        State::Reconciling => {
            if token.is_none() {
                return Err(refusal(
                    lease,
                    format!("another operator has taken it over; to settle it in their place pass --token {}", seen),
                ));
            }
            if let Some(decision) = decision {
                steps.push(settle(decision, Some(seen)));
            }
            return Ok(steps);
        }
        State::Alive => return Err(refusal(lease, "it is executing and its lease is alive: wait for it (`sen wait`)")),
        State::Held => {
            return Err(refusal(lease, "it is claimed and has not begun: there is nothing to reconcile"));
        }
        State::Free if decision == Some(&Decision::NeverHappened) => {
            return Err(done_already(lease, "it is free already: the next caller runs it"));
        }
        State::Free => return Err(refusal(lease, "it is free: no worker holds it, and there is nothing to reconcile")),
        State::Completed if decision.is_some_and(|decision| has_this_result(lease, decision)) => {
            return Err(done_already(lease, "it is completed already, with this very result"));
        }
        State::Completed => return Err(refusal(lease, "it is completed already; its result is kept")),
        State::Unreadable => return Err(refusal(lease, "its row cannot be judged")),
    }
    if let Some(decision) = decision {
        steps.push(settle(decision, None));
    }
    Ok(steps)
}

fn take_over(lease: &Lease, token: i64, before_hard_limit: bool) -> LeaseStep {
    let mut step = LeaseStep::new(Verb::TakeOver { before_hard_limit }, Some(token));
    step.updated = lease.lease_updated_at;
    step
}

/// The settlement of a lease with this token, or with the one that the take-over before it draws.
fn settle(decision: &Decision, token: Option<i64>) -> LeaseStep {
    let (verb, warning) = settlement(decision);
    LeaseStep::new(verb, token).warning(warning)
}

/// Remove a claim that is over and never began.
pub(super) fn release(lease: &Lease) -> Result<Vec<LeaseStep>, Box<Item>> {
    match state(&lease.status, lease.alive, lease.hard_alive) {
        State::Free => Ok(vec![LeaseStep::new(Verb::Release, Some(token_of(lease)?))]),
        State::Held => Err(refusal(lease, "a worker holds it and its lease is alive")),
        other => Err(refusal(lease, format!("it is {}: only a claim that is over can be released", other.name()))),
    }
}

/// Erase a cached result.
pub(super) fn forget(lease: &Lease) -> Result<Vec<LeaseStep>, Box<Item>> {
    if lease.status != Status::Completed {
        let state = state(&lease.status, lease.alive, lease.hard_alive);
        return Err(refusal(lease, format!("it is {}: only a completed key has a result to forget", state.name())));
    }
    let step = LeaseStep::new(Verb::Forget, Some(token_of(lease)?));
    Ok(vec![step.warning("the cached result is erased and the key can run again")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use sen_model::time::Timestamp;

    fn lease(status: Status, alive: bool, hard_alive: Option<bool>) -> Lease {
        Lease {
            key: "k".into(),
            owner_id: Some("web-1:42-7".into()),
            status,
            fencing_token: Some(7),
            lease_expires_at: Some(Timestamp::from_micros(0)),
            lease_updated_at: None,
            hard_expires_at: None,
            alive: Some(alive),
            hard_alive,
            ttl_ms: None,
            execution_result: None,
            unreadable: Vec::new(),
        }
    }

    fn acts(steps: Result<Vec<LeaseStep>, Box<Item>>) -> Vec<&'static str> {
        steps.map(|steps| steps.iter().map(|step| step.verb.name()).collect()).unwrap_or_else(|_| vec!["refused"])
    }

    #[test]
    fn what_may_be_reconciled() {
        let done = Decision::Completed("{}".into());
        let uncertain = lease(Status::Executing, false, Some(false));
        assert_eq!(acts(reconcile(&uncertain, None, false, None)), ["take_over"]);
        assert_eq!(acts(reconcile(&uncertain, Some(7), false, Some(&done))), ["take_over", "complete"]);
        assert_eq!(acts(reconcile(&uncertain, None, false, Some(&Decision::NeverHappened))), ["take_over", "reset"]);
        assert_eq!(acts(reconcile(&uncertain, Some(6), false, None)), ["refused"]);
        let stalled = lease(Status::Executing, false, Some(true));
        assert_eq!(acts(reconcile(&stalled, None, false, None)), ["refused"]);
        let forced = reconcile(&stalled, None, true, None).unwrap();
        assert_eq!(forced[0].verb, Verb::TakeOver { before_hard_limit: true });
        assert_eq!(acts(reconcile(&lease(Status::Executing, true, Some(true)), None, true, None)), ["refused"]);
        let taken = lease(Status::Reconciling, false, None);
        assert_eq!(acts(reconcile(&taken, None, false, Some(&done))), ["refused"]);
        assert_eq!(acts(reconcile(&taken, Some(7), false, Some(&done))), ["complete"]);
        for status in [Status::Completed, Status::Claimed, Status::Other("x".into())] {
            assert_eq!(acts(reconcile(&lease(status, false, None), None, true, None)), ["refused"]);
        }
    }

    #[test]
    fn what_is_as_it_is_wished_to_be_is_done_already() {
        let outcome = |lease: &Lease, decision: &Decision| {
            reconcile(lease, None, false, Some(decision)).map(|steps| steps.len()).unwrap_err().outcome
        };
        let kept = Lease {
            execution_result: Some(r#"{"charge": "ch_1", "n": 1}"#.into()),
            ..lease(Status::Completed, false, None)
        };
        let wished = |json: &str| Decision::Completed(json.into());
        assert_eq!(outcome(&kept, &wished(r#"{"n":1,"charge":"ch_1"}"#)), Outcome::AlreadyDone);
        assert_eq!(outcome(&kept, &wished(r#"{"n":2,"charge":"ch_1"}"#)), Outcome::Changed);
        assert_eq!(outcome(&kept, &Decision::NeverHappened), Outcome::Changed);
        let free = lease(Status::Claimed, false, None);
        assert_eq!(outcome(&free, &Decision::NeverHappened), Outcome::AlreadyDone);
        assert_eq!(outcome(&free, &wished("1")), Outcome::Changed);
        assert_eq!(outcome(&lease(Status::Claimed, true, None), &Decision::NeverHappened), Outcome::Changed);
    }

    #[test]
    fn what_may_be_released_and_forgotten() {
        assert_eq!(acts(release(&lease(Status::Claimed, false, None))), ["release"]);
        for (status, alive) in [
            (Status::Claimed, true),
            (Status::Executing, false),
            (Status::Completed, false),
            (Status::Reconciling, false),
        ] {
            assert_eq!(acts(release(&lease(status, alive, None))), ["refused"]);
        }
        assert_eq!(acts(forget(&lease(Status::Completed, false, None))), ["forget"]);
        assert_eq!(acts(forget(&lease(Status::Executing, false, None))), ["refused"]);
    }
}
