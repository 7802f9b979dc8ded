//! Each guard of each act, on every shape of the tables: the row is changed behind the holder's back in one respect, and
//! the act must not touch it. ARCHITECTURE.md lists which test fails without which guard.

use std::time::Duration;

use sen_core::model::plan::{Plan, Risk};
use sen_core::permit::{Consent, WritePermit};
use sen_core::registry::open_claims;
use sen_core::systems::sentinel::once_port::{Claim, ClaimRequest, ClaimStore, Held};
use sen_core::systems::sentinel::record::Status;

use crate::block_on;
use crate::place::Place;

fn permit() -> WritePermit {
    WritePermit::grant(&Plan::new("db", Risk::Safe), Consent::InAdvance, None).unwrap()
}

fn wish(key: &str, owner: &str) -> ClaimRequest {
    let (ttl, hard_ttl) = (Duration::from_secs(60), Duration::from_secs(600));
    ClaimRequest { key: key.into(), owner: owner.into(), ttl, hard_ttl }
}

async fn take(store: &dyn ClaimStore, key: &str, owner: &str) -> Held {
    match store.claim(&wish(key, owner), &permit()).await.unwrap() {
        Claim::Taken(held) => held,
        Claim::Refused(key_state) => panic!("{key}: {key_state:?}"),
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Beat,
    Complete,
    Release,
    Expire,
}

const ACTS: [Act; 4] = [Act::Beat, Act::Complete, Act::Release, Act::Expire];

async fn act(store: &dyn ClaimStore, act: Act, held: &Held) -> bool {
    match act {
        Act::Beat => store.beat(held, &permit()).await.unwrap().is_some(),
        Act::Complete => store.complete(held, "{\"late\":true}", &permit()).await.unwrap(),
        Act::Release => store.release(held, &permit()).await.unwrap(),
        Act::Expire => store.expire(held, None, &permit()).await.unwrap(),
    }
}

fn row(place: &Place, key: &str) -> String {
    let columns = "coalesce(owner_id, '') || '|' || status || '|' || fencing_token || '|' || lease_expires_at || '|'
        || hard_expires_at || '|' || coalesce(CAST(execution_result AS text), 'none')";
    place.sql(&format!("SELECT {columns} FROM sentinel_leases WHERE key = '{key}'"))
}

/// Runs every act on a row that `spoil` (SQL after SET) made somebody else's.
fn nothing_happens_when(spoil: &str) {
    for (name, place) in Place::all() {
        block_on(async {
            let store = open_claims(&place.target()).await.unwrap();
            for what in ACTS {
                let key = format!("k-{what:?}");
                let held = take(&*store, &key, "us:1-a").await;
                place.sql(&format!("UPDATE sentinel_leases SET {spoil} WHERE key = '{key}'"));
                let before = row(&place, &key);
                assert!(!act(&*store, what, &held).await, "{name}: {what:?} passed with {spoil}");
                assert_eq!(row(&place, &key), before, "{name}: {what:?} with {spoil}");
            }
        });
    }
}

#[test]
fn guard_owner() {
    nothing_happens_when("owner_id = 'them:2-b'");
}

#[test]
fn guard_token() {
    nothing_happens_when("fencing_token = fencing_token + 1");
}

#[test]
fn guard_status_reconciling() {
    nothing_happens_when("status = 'reconciling'");
}

#[test]
fn guard_status_completed() {
    nothing_happens_when("status = 'completed', execution_result = '{\"by\": \"operator\"}'");
}

#[test]
fn guard_status_claimed() {
    nothing_happens_when("status = 'claimed'");
}

#[test]
fn guard_key() {
    for (name, place) in Place::all() {
        block_on(async {
            let store = open_claims(&place.target()).await.unwrap();
            for what in ACTS {
                let (mine, other) = (format!("mine-{what:?}"), format!("other-{what:?}"));
                let held = take(&*store, &mine, "us:1-a").await;
                take(&*store, &other, "us:1-a").await;
                // The same owner and, by force, the same token: only the key tells them apart.
                place.sql(&format!("UPDATE sentinel_leases SET fencing_token = {} WHERE key = '{other}'", held.token));
                let before = row(&place, &other);
                assert!(act(&*store, what, &held).await, "{name}: {what:?}");
                assert_eq!(row(&place, &other), before, "{name}: {what:?}");
            }
        });
    }
}

#[test]
fn guard_hard_expiry_of_a_beat() {
    for (name, place) in Place::all() {
        block_on(async {
            let store = open_claims(&place.target()).await.unwrap();
            let held = take(&*store, "k", "us:1-a").await;
            assert!(act(&*store, Act::Beat, &held).await, "{name}");
            place.pass("k", "hard_expires_at");
            assert!(!act(&*store, Act::Beat, &held).await, "{name}");
        });
    }
}

#[test]
fn a_beat_extends_by_what_the_row_says_and_only_what_is_ours() {
    for (name, place) in Place::all() {
        block_on(async {
            let store = open_claims(&place.target()).await.unwrap();
            let held = take(&*store, "k", "us:1-a").await;
            place.sql("UPDATE sentinel_leases SET ttl_ms = 5000 WHERE key = 'k'");
            place.pass("k", "lease_expires_at");
            let beat = store.beat(&held, &permit()).await.unwrap().unwrap();
            assert_eq!(beat.ttl, Duration::from_secs(5), "{name}");
            let key_state = store.key_state("k").await.unwrap();
            let left = key_state.lease.unwrap().lease_expires_at.unwrap().micros_since(key_state.now);
            assert!((4_000_000..=5_000_000).contains(&left), "{name}: {left}");
        });
    }
}

/// Which keys a claim takes: absent, or claimed and expired; and no other.
#[test]
fn guard_claim() {
    for (name, place) in Place::all() {
        block_on(async {
            let store = open_claims(&place.target()).await.unwrap();
            let first = take(&*store, "k", "us:1-a").await;
            let mut token = first.token;
            for status in ["executing", "reconciling", "completed", "claimed"] {
                for expired in [false, true] {
                    place.sql(&format!("UPDATE sentinel_leases SET status = '{status}' WHERE key = 'k'"));
                    if expired {
                        place.pass("k", "lease_expires_at");
                    }
                    let before = row(&place, "k");
                    let free = status == "claimed" && expired;
                    match store.claim(&wish("k", "them:2-b"), &permit()).await.unwrap() {
                        Claim::Taken(held) => {
                            assert!(free, "{name}: took a key that is {status}, expired: {expired}");
                            assert!(held.token > token, "{name}: a taken key needs a new token");
                            token = held.token;
                            assert_eq!(place.status("k"), "executing", "{name}");
                        }
                        Claim::Refused(key_state) => {
                            assert!(!free, "{name}: refused a free key");
                            assert_eq!(key_state.lease.unwrap().status, Status::parse(status), "{name}");
                            assert_eq!(row(&place, "k"), before, "{name}");
                        }
                    }
                    // A live lease again for the next round.
                    let later = if name == "sqlite" { "9000000000000000" } else { "now() + interval '1 hour'" };
                    place.sql(&format!("UPDATE sentinel_leases SET lease_expires_at = {later} WHERE key = 'k'"));
                }
            }
        });
    }
}

#[test]
fn events_are_the_librarys() {
    for (name, place) in Place::all() {
        block_on(async {
            let store = open_claims(&place.target()).await.unwrap();
            let done = take(&*store, "done", "us:1-a").await;
            assert!(matches!(store.claim(&wish("done", "them:2-b"), &permit()).await.unwrap(), Claim::Refused(_)));
            assert!(act(&*store, Act::Complete, &done).await, "{name}");
            assert!(!act(&*store, Act::Complete, &done).await, "{name}: a second completion");
            let released = take(&*store, "released", "us:1-a").await;
            assert!(act(&*store, Act::Release, &released).await, "{name}");
            let failed = take(&*store, "failed", "us:1-a").await;
            assert!(act(&*store, Act::Expire, &failed).await, "{name}");
            let key_state = store.key_state("failed").await.unwrap().lease.unwrap();
            assert_eq!((key_state.alive, key_state.hard_alive), (Some(false), Some(false)), "{name}");
        });
        if name == "0.4.2" {
            continue;
        }
        assert_eq!(place.events("done"), "acquired executing rejected completed", "{name}");
        assert_eq!(place.events("released"), "acquired executing released", "{name}");
        assert_eq!(place.events("failed"), "acquired executing expired", "{name}");
        // As the library has it: a rejection names the holder.
        let rejected = "SELECT owner_id FROM sentinel_events WHERE event = 'rejected'";
        assert_eq!(place.sql(rejected), "us:1-a", "{name}");
    }
}

#[test]
fn results_with_nul_are_refused_before_anything_is_written() {
    for (name, place) in Place::all() {
        block_on(async {
            let store = open_claims(&place.target()).await.unwrap();
            let held = take(&*store, "k", "us:1-a").await;
            let refused = store.complete(&held, r#"{"a":"\u0000"}"#, &permit()).await.unwrap_err();
            assert!(refused.to_string().contains("NUL"), "{name}: {refused}");
            assert_eq!(place.status("k"), "executing", "{name}");
        });
    }
}
