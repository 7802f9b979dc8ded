//! One scenario for every rule.

use super::*;
use crate::examples::{message, saga};
use crate::state::OVERDUE;
use sen_model::cause::Certainty;

fn entry(phase: &str, status: &str, input: Option<&str>) -> Entry {
    Entry {
        phase: phase.into(),
        status: status.into(),
        step_id: "charge".into(),
        step_name: "Charge".into(),
        attempt: 2,
        error: (status == "ERROR").then(|| "RuntimeError('refused')\nTraceback".into()),
        input: input.map(Into::into),
        ..Entry::default()
    }
}

fn rules(saga: Saga, steps: Vec<Entry>, messages: Vec<Message>) -> Vec<(&'static str, Severity)> {
    let seen = Observed { saga, model: 1, steps, recorded: 0, messages, holders: vec![] };
    of_saga(&seen, None).iter().map(|cause| (cause.rule, cause.severity)).collect()
}

const HOUR: i64 = 3_600_000_000;

#[test]
fn each_state_has_its_cause() {
    use Severity::{Critical, Pending, Warning};
    let error = || vec![entry("EXECUTE", "SUCCESS", None), entry("EXECUTE", "ERROR", None)];
    let undone = || [error(), vec![entry("COMPENSATE", "ERROR", None)]].concat();
    let plain = |status, over| saga(status, over);
    assert_eq!(rules(plain(Status::Running, None), vec![], vec![]), [("orphan", Critical)]);
    assert_eq!(rules(plain(Status::Running, Some(OVERDUE)), vec![], vec![]), [("no_worker_polls", Warning)]);
    assert_eq!(rules(plain(Status::Running, Some(5)), vec![], vec![]), [("lease_expired", Warning)]);
    assert_eq!(rules(plain(Status::Running, Some(-5)), error(), vec![]), []);
    assert_eq!(rules(plain(Status::Failed, None), error(), vec![]), [("step_failed", Warning)]);
    assert_eq!(rules(plain(Status::Suspended, Some(-5)), error(), vec![]), [("step_failed", Pending)]);
    let half = Saga { compensated: Some(true), ..plain(Status::Failed, None) };
    assert_eq!(rules(half, undone(), vec![]), [("compensation_failed", Critical)]);
    let missing = Saga { error: Some(format!("{} 'charge'", GAVE_UP[1])), ..plain(Status::Failed, None) };
    assert_eq!(rules(missing, vec![], vec![]), [("compensation_without_entry", Critical)]);
    let abort = entry("EXECUTE", "ERROR", Some(r#"{"_admin": "abort", "_sen": {"who": "maria@ops", "why": "INC-7"}}"#));
    let given_up = Observed {
        saga: plain(Status::Failed, None),
        model: 1,
        steps: vec![entry("EXECUTE", "SUCCESS", None), abort],
        recorded: 2,
        messages: vec![],
        holders: vec![],
    };
    assert_eq!(of_saga(&given_up, None)[0].text, "maria@ops (INC-7) aborted it");
    for healthy in [Status::Completed, Status::Compensated] {
        assert_eq!(rules(plain(healthy, None), vec![], vec![]), []);
    }
}

#[test]
fn waiting_for_an_event_has_many_reasons() {
    use Severity::{Critical, Warning};
    let waiting = |idle| Saga {
        awaiting: Some(Awaiting { types: vec!["paid".into()], ..Awaiting::default() }),
        idle,
        ..saga(Status::Suspended, None)
    };
    let steps = || vec![entry("EXECUTE", "WAITING", None)];
    assert_eq!(rules(waiting(5), steps(), vec![]), []);
    assert_eq!(rules(waiting(HOUR), steps(), vec![]), [("event_never_came", Warning)]);
    let ignored = vec![message(Mailbox::In, "IGNORED", 5)];
    assert_eq!(rules(waiting(HOUR), steps(), ignored), [("event_ignored", Warning)]);
    let held = vec![message(Mailbox::In, "PROCESSING", HOUR)];
    assert_eq!(rules(waiting(HOUR), steps(), held), [("event_held", Critical)]);
    let unsent = vec![message(Mailbox::Out, "DISPATCHING", HOUR)];
    assert_eq!(rules(waiting(5), steps(), unsent), [("request_unsent", Critical)]);
    let late = Saga { over: Some(5), due: Some(true), ..waiting(5) };
    assert_eq!(rules(late, steps(), vec![]), [("event_never_came", Warning)]);
    let timed_out = Saga { error: Some("Timed out waiting".into()), ..saga(Status::TimedOut, None) };
    assert_eq!(rules(timed_out, steps(), vec![]), [("wait_over", Warning)]);
}

#[test]
fn messages_are_explained_and_lead_to_their_sagas() {
    let done = || saga(Status::Completed, None);
    let failed = vec![message(Mailbox::Out, "FAILED", 5), message(Mailbox::Out, "DISPATCHING", HOUR)];
    assert_eq!(rules(done(), vec![], failed), [("outbox_stuck", Severity::Warning)]);
    // Claimed a moment ago: nothing is wrong.
    assert_eq!(rules(done(), vec![], vec![message(Mailbox::Out, "DISPATCHING", 5)]), []);
    assert!(of_message(&message(Mailbox::Out, "SENT", HOUR)).is_empty());
    let inbox = of_message(&message(Mailbox::In, "FAILED", HOUR));
    assert_eq!(inbox.iter().map(|cause| cause.rule).collect::<Vec<_>>(), ["inbox_stuck", "saga_over"]);
    let undone = Message { saga_status: Some(Status::Compensated), ..message(Mailbox::Out, "FAILED", HOUR) };
    let undone: Vec<&str> = of_message(&undone).iter().map(|cause| cause.rule).collect();
    assert_eq!(undone, ["outbox_stuck", "saga_rolled_back"]);
    let related: Vec<String> =
        related_to_message(&message(Mailbox::Out, "SENT", 5)).into_iter().map(|one| one.id).collect();
    assert_eq!(related, ["73277b4b-da5d-49ab-b7d1-76bbaee5575a", "order-1", "ch-77"]);
}

#[test]
fn a_saga_leads_to_what_its_context_names() {
    let context = r#"{"saga_id": "73277b4b-da5d-49ab-b7d1-76bbaee5575a", "initial_data": {"key": "payments:order-1"}}"#;
    let saga = Saga { context: Some(context.into()), ..saga(Status::Failed, None) };
    let seen = Observed {
        saga,
        model: 1,
        steps: vec![],
        recorded: 0,
        messages: vec![message(Mailbox::Out, "FAILED", 5)],
        holders: vec![],
    };
    let all: Vec<(String, Certainty)> = related_to_saga(&seen).into_iter().map(|one| (one.id, one.certainty)).collect();
    let (proven, likely) = (Certainty::Proven, Certainty::Likely);
    assert_eq!(
        all,
        [("order-1".into(), proven), ("t".into(), proven), ("m-1".into(), proven), ("payments:order-1".into(), likely)]
    );
}
