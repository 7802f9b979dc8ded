//! One scenario for every rule.

use super::*;
use crate::record::Status;
use crate::verdict::judge;
use proptest::prelude::*;
use sen_model::subject::Kind;

const NOW: Timestamp = Timestamp::from_micros(10_000_000_000);

fn lease(status: Status, expires: i64, hard: i64) -> Lease {
    let at = |seconds: i64| Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000);
    Lease {
        key: "payments:order-7".into(),
        owner_id: Some("web-1:42-7".into()),
        status,
        fencing_token: Some(7),
        lease_expires_at: Some(at(expires)),
        lease_updated_at: Some(at(expires - 30)),
        hard_expires_at: Some(at(hard)),
        alive: Some(expires > 0),
        hard_alive: Some(hard > 0),
        ttl_ms: Some(30_000),
        execution_result: None,
        unreadable: Vec::new(),
    }
}

/// As `expire_lease` leaves it, some seconds after the last heartbeat.
fn ended_at_once() -> Lease {
    let mut lease = lease(Status::Executing, -60, -60);
    lease.lease_updated_at = Some(Timestamp::from_micros(NOW.as_micros() - 64_000_000));
    lease
}

/// As a claim and, milliseconds later, the beginning of the work leave it.
fn begun_late(ttl_ms: impl Into<Option<i64>>) -> Lease {
    let mut lease = lease(Status::Executing, -30, 300);
    lease.lease_updated_at = Some(Timestamp::from_micros(NOW.as_micros() - 59_997_000));
    lease.ttl_ms = ttl_ms.into();
    lease
}

fn event(name: &str, seconds: i64) -> LeaseEvent {
    LeaseEvent {
        id: 1,
        key: "payments:order-7".into(),
        event: name.into(),
        occurred_at: Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000),
        fencing_token: Some(7),
        owner_id: Some("web-1:42-7".into()),
        metadata: None,
    }
}

/// The event of an undo.
fn put_back(name: &str, seconds: i64) -> LeaseEvent {
    LeaseEvent { metadata: Some("{\"tool\":\"sen\",\"act\":\"undo\"}".into()), ..event(name, seconds) }
}

fn rules(lease: &Lease, events: &[LeaseEvent], process_here: Option<bool>, locks: &[Lock]) -> Vec<&'static str> {
    let worker = Worker::of(lease, events, process_here);
    let facts = Facts { lease, events, now: NOW, worker, locks, zoneless: true };
    let subject = Subject::new("sentinel", Kind::Lease, lease.key.clone());
    explain(&facts, subject, judge(lease, events, NOW, true, process_here))
        .causes
        .iter()
        .map(|cause| cause.rule)
        .collect()
}

/// Name, lease, events, whether the owner's process runs here, long locks, and the rules expected.
type Scenario<'a> = (&'a str, Lease, Vec<LeaseEvent>, Option<bool>, &'a [Lock], &'a [&'a str]);

/// One scenario a line: what was seen, and the rules that must name it.
#[test]
fn each_cause_is_named_and_healthy_keys_have_none() {
    let lock = [Lock { pid: 9, application: "etl".into(), age: 400_000_000, idle: true, table: false }];
    let (executing, none) = (Status::Executing, [].as_slice());
    let cases: [Scenario<'_>; 24] = [
        ("alive", lease(executing.clone(), 20, 300), vec![event("executing", -10)], None, none, &[]),
        ("alive, here", lease(executing.clone(), 20, 300), vec![], Some(true), none, &[]),
        ("held", lease(Status::Claimed, 20, 300), vec![], None, none, &[]),
        ("free", lease(Status::Claimed, -20, -3), vec![], None, none, &[]),
        ("free and held", lease(Status::Claimed, -20, -3), vec![], None, &lock, &["blocked_transaction"]),
        ("completed", lease(Status::Completed, -20, -3), vec![event("completed", -5)], None, none, &[]),
        ("alive, its process gone", lease(executing.clone(), 20, 300), vec![], Some(false), none, &["process_gone"]),
        ("over", lease(executing.clone(), -90, -30), vec![event("executing", -120)], None, none, &["holder_gone"]),
        ("raised", lease(executing.clone(), -90, -30), vec![event("expired", -60)], None, none, &["raised"]),
        (
            "raised in an earlier run",
            lease(executing.clone(), -90, -30),
            vec![LeaseEvent { fencing_token: Some(6), ..event("expired", -600) }],
            None,
            none,
            &["holder_gone"],
        ),
        ("async", lease(executing.clone(), -30, 300), vec![event("executing", -60)], None, none, &["async_holder"]),
        (
            "beaten, then silent",
            lease(executing.clone(), -30, 300),
            vec![event("executing", -400)],
            None,
            none,
            &["heartbeat_stopped"],
        ),
        ("over, no events", lease(executing.clone(), -30, 300), vec![], None, none, &["heartbeat_stopped"]),
        ("async, no events", begun_late(30_000), vec![], None, none, &["async_holder"]),
        ("async for 30 s", begun_late(3000), vec![event("executing", -60)], None, none, &["async_holder"]),
        ("over, 0.4.1", begun_late(None), vec![], None, none, &["no_heartbeat"]),
        ("over, its process here", lease(executing.clone(), -90, -30), vec![], Some(true), none, &["holder_late"]),
        ("over, its process gone", lease(executing.clone(), -90, -30), vec![], Some(false), none, &["process_gone"]),
        ("raised, no events", ended_at_once(), vec![], Some(false), none, &["raised"]),
        (
            "begun after its last change",
            lease(executing.clone(), -90, -30),
            vec![event("executing", -9)],
            Some(true),
            none,
            &["wrong_time_zone"],
        ),
        (
            "put back by sen undo",
            lease(executing.clone(), -90, -30),
            vec![event("executing", -130), put_back("executing", -9)],
            Some(true),
            none,
            &["holder_late"],
        ),
        (
            "put back, its beginning no longer among the events",
            lease(executing.clone(), -90, -30),
            vec![put_back("executing", -9)],
            Some(true),
            none,
            &["holder_late"],
        ),
        (
            "taken over",
            lease(Status::Reconciling, -90, -30),
            vec![event("reconciling", -9)],
            None,
            none,
            &["taken_over"],
        ),
        ("blocked", lease(executing, 20, 300), vec![], None, &lock, &["blocked_transaction"]),
    ];
    for (name, lease, events, here, locks, expected) in cases {
        assert_eq!(rules(&lease, &events, here, locks), expected, "{name}");
    }
    let mut zone = lease(Status::Executing, 20, 300);
    zone.lease_updated_at = Some(Timestamp::from_micros(NOW.as_micros() + 3_600_000_000));
    assert_eq!(rules(&zone, &[], None, &[]), ["wrong_time_zone"]);
}

#[test]
fn the_way_out_stands_with_the_gravest_cause() {
    let lease = lease(Status::Executing, -90, -30);
    let facts = Facts { lease: &lease, events: &[], now: NOW, worker: Worker::Unseen, locks: &[], zoneless: true };
    let explained = explain(&facts, Subject::new("sentinel", Kind::Lease, "k"), judge(&lease, &[], NOW, true, None));
    assert!(explained.causes[0].next[0].command.starts_with("sen reconcile"), "{explained:?}");
    assert_eq!(explained.related[0].id, "order-7");
}

proptest! {
    #[test]
    fn rules_never_panic_and_settled_keys_have_no_causes_but_odd_clocks(
        status in "claimed|executing|reconciling|completed|\\PC{0,5}", expires in any::<i64>(), updated in any::<i64>(),
        alive in any::<Option<bool>>(), hard in any::<Option<bool>>(), here in any::<Option<bool>>(), ttl in any::<Option<i64>>(),
        same in any::<bool>(), raised in any::<bool>(),
    ) {
        let mut lease = lease(Status::parse(&status), -1, -1);
        (lease.alive, lease.hard_alive, lease.ttl_ms) = (alive, hard, ttl);
        lease.lease_expires_at = Some(Timestamp::from_micros(expires));
        lease.hard_expires_at = Some(Timestamp::from_micros(if same { expires } else { updated }));
        lease.lease_updated_at = Some(Timestamp::from_micros(updated));
        let events = if raised { vec![event("expired", -3)] } else { vec![] };
        let found = rules(&lease, &events, here, &[]);
        if judge(&lease, &events, NOW, true, None).severity >= Severity::Warning {
            prop_assert!(!found.is_empty(), "{:?}", lease);
        }
        if status == "completed" {
            prop_assert!(found.iter().all(|rule| *rule == "wrong_time_zone"), "{:?}", found);
        }
    }
}
