//! The guards of every change of a lease, and every interleaving of two operators and a worker, on each real cell.
//!
//! Each guard has a test that fails without it; ARCHITECTURE.md lists them.

use sen_core::model::plan::{Plan, Risk};
use sen_core::permit::{Consent, WritePermit};
use sen_core::systems::sentinel::port::{LeaseAct, LeaseStore, Verb};
use sen_core::systems::sentinel::record::Lease;

use crate::harness::postgres::Server;
use crate::leases::{Cell, OnPostgres, OnSqlite, Seed, V042, V050_DJANGO, on_one_runtime, permit};

fn act(key: &str, verb: Verb, token: i64) -> LeaseAct {
    LeaseAct { key: key.into(), verb, token, updated: None, note: r#"{"tool":"sen","who":"tester"}"#.into() }
}

/// A permit of an operation of its own, as every run of the tool has.
fn fresh_permit() -> WritePermit {
    WritePermit::grant(&Plan::new("test", Risk::Dangerous), Consent::InAdvance, Some("a test".into())).unwrap()
}

async fn apply(store: &dyn LeaseStore, key: &str, verb: Verb, token: i64) -> Option<i64> {
    let updated = look(store, key).await.and_then(|lease| lease.lease_updated_at);
    let act = LeaseAct { updated, ..act(key, verb, token) };
    store.act(&act, &fresh_permit()).await.unwrap().map(|acted| acted.token)
}

async fn look(store: &dyn LeaseStore, key: &str) -> Option<Lease> {
    store.look(key, 0).await.unwrap().lease
}

fn seed(key: &str) -> Seed<'_> {
    Seed {
        key,
        status: "executing",
        expires: -60,
        hard: Some(-30),
        token: 7,
        owner: "w:1-1",
        updated: -90,
        result: None,
    }
}

const TAKE_OVER: Verb = Verb::TakeOver { before_hard_limit: false };
const EARLY: Verb = Verb::TakeOver { before_hard_limit: true };

fn complete() -> Verb {
    Verb::Complete(r#"{"by": "operator"}"#.into())
}

/// What one cell must refuse and allow.
struct Case {
    name: &'static str,
    seed: Seed<'static>,
    verb: Verb,
    token: i64,
    applies: bool,
}

fn cases() -> Vec<Case> {
    let base = || seed("");
    let case = |name, seed, verb, token, applies| Case { name, seed, verb, token, applies };
    let status = |status| Seed { status, ..base() };
    let mut cases = vec![
        case("take over what is uncertain", base(), TAKE_OVER, 7, true),
        case("take over under another token", base(), TAKE_OVER, 8, false),
        case("take over while the lease is alive", Seed { expires: 60, hard: Some(90), ..base() }, EARLY, 7, false),
        case("take over inside the hard limit", Seed { hard: Some(60), ..base() }, TAKE_OVER, 7, false),
        case("take over inside the hard limit, meaning it", Seed { hard: Some(60), ..base() }, EARLY, 7, true),
        case("take over without a hard limit", Seed { hard: None, ..base() }, TAKE_OVER, 7, true),
        case("complete what is taken over", status("reconciling"), complete(), 7, true),
        case("complete under another token", status("reconciling"), complete(), 6, false),
        case("reset what is taken over", status("reconciling"), Verb::Reset, 7, true),
        case("reset under another token", status("reconciling"), Verb::Reset, 6, false),
        case("release a claim that is over", status("claimed"), Verb::Release, 7, true),
        case("release under another token", status("claimed"), Verb::Release, 6, false),
        case("release a claim that is alive", Seed { expires: 60, ..status("claimed") }, Verb::Release, 7, false),
        case("forget a result", status("completed"), Verb::Forget, 7, true),
        case("forget under another token", status("completed"), Verb::Forget, 6, false),
    ];
    let wrong = [
        (TAKE_OVER, ["claimed", "reconciling", "completed"]),
        (complete(), ["claimed", "executing", "completed"]),
        (Verb::Reset, ["claimed", "executing", "completed"]),
        (Verb::Release, ["executing", "reconciling", "completed"]),
        (Verb::Forget, ["claimed", "executing", "reconciling"]),
    ];
    for (verb, statuses) in wrong {
        cases.extend(
            statuses.map(|wrong| case("a change of a key in another status", status(wrong), verb.clone(), 7, false)),
        );
    }
    cases
}

fn guards(cell: &dyn Cell, events: Option<bool>) {
    let store = cell.store_for_writing();
    for (number, Case { name, seed, verb, token, applies }) in cases().into_iter().enumerate() {
        let key = format!("guard:{number}");
        cell.seed(&Seed { key: &key, ..seed });
        on_one_runtime(async {
            let before = look(store.as_ref(), &key).await.unwrap();
            let drawn = apply(store.as_ref(), &key, verb.clone(), token).await;
            let after = look(store.as_ref(), &key).await;
            let what = format!("{name}: {verb:?} on {}", seed.status);
            assert_eq!(drawn.is_some(), applies, "{what}");
            let told = match events {
                Some(_) => store.events(&key, None).await.unwrap().rows,
                None => Vec::new(),
            };
            if !applies {
                assert_eq!(after.as_ref(), Some(&before), "{what} wrote something");
                assert!(told.is_empty(), "{what} left an event");
                return;
            }
            match (&verb, after) {
                (Verb::TakeOver { .. }, Some(after)) => {
                    assert_eq!(after.status.as_str(), "reconciling", "{what}");
                    assert!(after.fencing_token > Some(7) && after.fencing_token == drawn, "{what}: no new token");
                }
                (Verb::Complete(result), Some(after)) => {
                    assert_eq!(after.status.as_str(), "completed", "{what}");
                    assert_eq!(after.execution_result.as_deref(), Some(result.as_str()), "{what}");
                }
                (Verb::Reset, Some(after)) => {
                    assert_eq!((after.status.as_str(), after.alive), ("claimed", Some(false)), "{what}");
                    assert!(after.fencing_token > Some(7) && after.fencing_token == drawn, "{what}: no new token");
                }
                (Verb::Release | Verb::Forget, None) => {}
                (_, after) => panic!("{what}: {after:?}"),
            }
            if let Some(with_note) = events {
                let [event] = told.as_slice() else { panic!("{what}: one event, not {told:?}") };
                assert_eq!((event.event.as_str(), &event.owner_id), (verb.event(), &None), "{what}");
                assert_eq!(event.metadata.is_some(), with_note, "{what}");
                assert!(event.metadata.as_ref().is_none_or(|note| note.contains("tester")), "{what}: {event:?}");
            }
        });
    }
}

fn postgres(tables: &str) -> OnPostgres<'static> {
    let cell = OnPostgres(Server::shared().fresh_database_with(&["timezone = 'Asia/Kathmandu'"]));
    cell.0.psql(tables);
    // Tokens drawn from the sequence must be larger than those of the seeds.
    cell.0.psql("SELECT setval('sentinel_token_seq', 100)");
    cell
}

fn postgres_of_init() -> OnPostgres<'static> {
    let cell = OnPostgres(Server::shared().fresh_database());
    on_one_runtime(cell.store_for_writing().init(&permit())).unwrap();
    cell.0.psql("SELECT setval('sentinel_token_seq', 100)");
    cell
}

fn sqlite() -> OnSqlite {
    let cell = OnSqlite::new();
    cell.execute("UPDATE sentinel_token_seq SET last_value = 100");
    cell
}

#[test]
fn every_guard_holds_on_postgres() {
    guards(&postgres_of_init(), Some(true));
}

#[test]
fn every_guard_holds_on_plain_timestamps_without_events() {
    guards(&postgres(V042), None);
}

#[test]
fn every_guard_holds_on_events_without_metadata() {
    guards(&postgres(V050_DJANGO), Some(false));
}

#[test]
fn every_guard_holds_on_sqlite() {
    guards(&sqlite(), Some(true));
}

/// Proof of life by looking twice: what has moved since it was seen is not taken over.
fn a_row_that_moved_since_it_was_seen_is_not_taken_over(cell: &dyn Cell) {
    let store = cell.store_for_writing();
    cell.seed(&Seed { key: "moved", hard: Some(600), ..seed("") });
    on_one_runtime(async {
        let seen = look(store.as_ref(), "moved").await.unwrap();
        assert!(cell.worker_beats("moved", 7));
        let stale = LeaseAct { updated: seen.lease_updated_at, ..act("moved", EARLY, 7) };
        assert_eq!(store.act(&stale, &fresh_permit()).await.unwrap(), None, "its worker lives");
        let now = look(store.as_ref(), "moved").await.unwrap();
        assert_eq!((now.status.as_str(), now.fencing_token), ("executing", Some(7)));
        assert!(apply(store.as_ref(), "moved", EARLY, 7).await.is_some(), "as seen now");
    });
}

#[test]
fn a_row_that_moved_since_it_was_seen_is_not_taken_over_on_postgres() {
    a_row_that_moved_since_it_was_seen_is_not_taken_over(&postgres_of_init());
}

#[test]
fn a_row_that_moved_since_it_was_seen_is_not_taken_over_on_plain_timestamps() {
    a_row_that_moved_since_it_was_seen_is_not_taken_over(&postgres(V042));
}

#[test]
fn a_row_that_moved_since_it_was_seen_is_not_taken_over_on_sqlite() {
    a_row_that_moved_since_it_was_seen_is_not_taken_over(&sqlite());
}

/// Who does what, in its own order; the interleavings mix these orders in every way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    /// Takes over and completes.
    Ann,
    /// Takes over and resets, then releases what it reset.
    Bob,
    /// The worker that was thought dead: beats, then completes as 0.5.0 does (guarded by owner and token alone).
    Worker,
}

const ORDERS: [(Actor, usize); 3] = [(Actor::Ann, 2), (Actor::Bob, 3), (Actor::Worker, 2)];

/// Every way to mix the actors' steps: 7!/(2!·3!·2!) = 210.
fn interleavings() -> Vec<Vec<Actor>> {
    fn mix(left: &mut [(Actor, usize); 3], so_far: &mut Vec<Actor>, out: &mut Vec<Vec<Actor>>) {
        if left.iter().all(|(_, steps)| *steps == 0) {
            out.push(so_far.clone());
        }
        for at in 0..left.len() {
            if left[at].1 > 0 {
                left[at].1 -= 1;
                so_far.push(left[at].0);
                mix(left, so_far, out);
                so_far.pop();
                left[at].1 += 1;
            }
        }
    }
    let mut out = Vec::new();
    mix(&mut ORDERS.clone(), &mut Vec::new(), &mut out);
    out
}

fn race(cell: &dyn Cell) {
    let all = interleavings();
    assert_eq!(all.len(), 210);
    let store = cell.store_for_writing();
    for (number, order) in all.iter().enumerate() {
        let key = format!("race:{number}");
        // Half of the races start inside the hard limit, where the worker may still beat and operators mean it.
        let early = number % 2 == 1;
        cell.seed(&Seed { key: &key, hard: Some(if early { 600 } else { -30 }), ..seed("") });
        on_one_runtime(run(cell, store.as_ref(), &key, order, early));
    }
}

async fn run(cell: &dyn Cell, store: &dyn LeaseStore, key: &str, order: &[Actor], early: bool) {
    let take_over = if early { EARLY } else { TAKE_OVER };
    let (mut ann, mut bob): (Vec<Option<i64>>, Vec<Option<i64>>) = (Vec::new(), Vec::new());
    let mut worker = Vec::new();
    for actor in order {
        match actor {
            Actor::Ann => {
                let done = match ann.as_slice() {
                    [] => apply(store, key, take_over.clone(), 7).await,
                    [Some(token), ..] => apply(store, key, complete(), *token).await,
                    _ => None,
                };
                ann.push(done);
            }
            Actor::Bob => {
                let done = match bob.as_slice() {
                    [] => apply(store, key, take_over.clone(), 7).await,
                    [Some(token)] => apply(store, key, Verb::Reset, *token).await,
                    [_, Some(token)] => apply(store, key, Verb::Release, *token).await,
                    _ => None,
                };
                bob.push(done);
            }
            Actor::Worker if worker.is_empty() => worker.push(cell.worker_beats(key, 7)),
            Actor::Worker => worker.push(cell.worker_completes(key, 7)),
        }
    }
    let after = look(store, key).await;
    let what = format!("{order:?} early={early}: ann {ann:?} bob {bob:?} worker {worker:?} → {after:?}");
    let (by_ann, by_bob, by_worker) = (ann[0].is_some(), bob[0].is_some(), worker[1]);
    // One of the three at most ever decides: nobody overrules what somebody else has taken or done.
    assert!(u8::from(by_ann) + u8::from(by_bob) + u8::from(by_worker) <= 1, "two deciders: {what}");
    let result = after.as_ref().and_then(|lease| lease.execution_result.as_deref());
    let status = after.as_ref().map(|lease| lease.status.as_str());
    if by_ann {
        assert_eq!(
            (ann[1].is_some(), status, result),
            (true, Some("completed"), Some(r#"{"by": "operator"}"#)),
            "{what}"
        );
    } else if by_bob {
        assert_eq!((bob[1].is_some(), bob[2].is_some(), status), (true, true, None), "{what}");
    } else if by_worker {
        assert_eq!((status, result), (Some("completed"), Some(r#"{"by": "worker"}"#)), "{what}");
    } else {
        assert_eq!(status, Some("executing"), "{what}");
    }
}

#[test]
fn two_operators_and_a_worker_in_every_order_on_postgres() {
    race(&postgres_of_init());
}

#[test]
fn two_operators_and_a_worker_in_every_order_on_plain_timestamps() {
    race(&postgres(V042));
}

#[test]
fn two_operators_and_a_worker_in_every_order_on_sqlite() {
    race(&sqlite());
}
