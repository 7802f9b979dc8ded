//! `sen_core::once` from Rust.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sen_core::once::{Client, Failure, Once, Outcome};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::block_on;
use crate::harness::postgres::{Options, Server};
use crate::harness::proxy::{Proxy, Trap};
use crate::place::Place;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Receipt {
    id: u32,
    note: Option<String>,
}

fn places() -> [Place; 2] {
    [Place::sqlite(), Place::postgres()]
}

fn proxied(server: &Server) -> (Proxy, String) {
    let database = server.fresh_database();
    crate::harness::sen::sen(["init"]).database(&database.url()).run().expect_code(0);
    let proxy = Proxy::unix(server);
    let url = proxy.url_of(&database.name);
    (proxy, url)
}

async fn client(url: &str) -> Client {
    let target = sen_core::stores::url::Target::resolve(Some(url), &|_| None).unwrap();
    Client::connect(target).await.unwrap()
}

#[test]
fn the_first_call_runs_and_later_ones_get_its_result() {
    for place in places() {
        block_on(async {
            let client = Client::connect(place.target()).await.unwrap();
            let runs = AtomicU32::new(0);
            let receipt = Receipt { id: 7, note: Some("paid \u{2713}".into()) };
            let call = async || {
                let work = async |lease: sen_core::once::Held| -> Result<Receipt, io::Error> {
                    assert!(lease.token > 0);
                    runs.fetch_add(1, Ordering::SeqCst);
                    Ok(receipt.clone())
                };
                Once::new(&client, "order-1").namespace("payments").run(work).await.unwrap()
            };
            assert_eq!(call().await, Outcome::Ran(receipt.clone()));
            assert_eq!(call().await, Outcome::Cached(receipt.clone()));
            assert_eq!(runs.load(Ordering::SeqCst), 1);
            let other = Once::new(&client, "payments:order-1").run(async |_| Ok::<_, io::Error>(5)).await;
            assert!(matches!(other, Err(Failure::NotStarted(_))), "{other:?}");
        });
    }
}

#[test]
fn failures_and_panics_leave_the_key_uncertain() {
    for place in places() {
        block_on(async {
            let client = Client::connect(place.target()).await.unwrap();
            let failed = Once::new(&client, "f").run(async |_| Err::<(), _>(io::Error::other("declined"))).await;
            assert!(matches!(&failed, Err(Failure::Work(error)) if error.to_string() == "declined"), "{failed:?}");
            let panicked: Result<Outcome<()>, _> =
                Once::new(&client, "p").run(async |_| -> Result<(), io::Error> { panic!("boom {}", 1) }).await;
            assert!(matches!(&panicked, Err(Failure::Panicked(text)) if text == "boom 1"), "{panicked:?}");
            for key in ["f", "p"] {
                let again = Once::new(&client, key).run(async |_| Ok::<_, io::Error>(())).await.unwrap();
                assert!(matches!(again, Outcome::Uncertain { state: "uncertain", .. }), "{again:?}");
            }
        });
    }
}

#[test]
fn two_calls_at_once_run_once() {
    for place in places() {
        block_on(async {
            let client = Client::connect(place.target()).await.unwrap();
            let slow = Once::new(&client, "k");
            let (begun, refused) = (Notify::new(), Notify::new());
            let (first, second) = tokio::join!(
                slow.run(async |_| {
                    begun.notify_one();
                    refused.notified().await;
                    Ok::<_, io::Error>(1)
                }),
                async {
                    begun.notified().await;
                    let second = slow.run(async |_| Ok::<_, io::Error>(2)).await;
                    refused.notify_one();
                    second
                }
            );
            assert_eq!(first.unwrap(), Outcome::Ran(1));
            assert!(matches!(second.unwrap(), Outcome::Alive { owner: Some(_), .. }));
        });
    }
}

#[test]
fn heartbeats_keep_a_long_run_alive_and_the_hard_limit_ends_it() {
    for place in places() {
        block_on(async {
            let client = Client::connect(place.target()).await.unwrap();
            // It works until two heartbeats have extended its lease; they come every four seconds and have until the ninth.
            let expiry = || place.sql("SELECT CAST(lease_expires_at AS text) FROM sentinel_leases WHERE key = 'kept'");
            let two_beats = async |_| {
                for _ in 0..2 {
                    let before = expiry();
                    while expiry() == before {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Ok::<_, io::Error>(())
            };
            let kept = Once::new(&client, "kept").ttl(Duration::from_secs(12)).run(two_beats).await.unwrap();
            assert_eq!(kept, Outcome::Ran(()));
            // This one would never end.
            let limit = Duration::from_secs(3);
            let endless = async |_| std::future::pending::<Result<(), io::Error>>().await;
            let ended = Once::new(&client, "hard").ttl(limit).hard_ttl(limit).run(endless).await;
            assert!(matches!(ended, Err(Failure::Fenced(_))), "{ended:?}");
            assert_eq!(place.status("hard"), "executing");
        });
    }
}

#[test]
fn a_run_that_somebody_took_over_is_stopped() {
    let place = Place::postgres();
    block_on(async {
        let client = Client::connect(place.target()).await.unwrap();
        let ended = Once::new(&client, "k")
            .ttl(Duration::from_secs(12))
            .run(async |_| {
                place.sql("UPDATE sentinel_leases SET status = 'reconciling', fencing_token = fencing_token + 1");
                std::future::pending::<Result<(), io::Error>>().await
            })
            .await;
        assert!(matches!(ended, Err(Failure::Fenced(sen_core::once::Lost::Refused))), "{ended:?}");
        assert_eq!(place.status("k"), "reconciling");
    });
}

#[test]
fn a_claim_whose_answer_is_lost_is_found_to_be_ours() {
    let server = Server::start(&Options::new());
    let (proxy, url) = proxied(&server);
    block_on(async {
        let client = client(&url).await;
        for trap in [
            Trap::Answer(b"INSERT INTO sentinel_leases".to_vec()),
            Trap::Request(b"INSERT INTO sentinel_leases".to_vec()),
        ] {
            let key = format!("{trap:?}").chars().take(5).collect::<String>();
            proxy.trap(trap);
            let outcome = Once::new(&client, key).run(async |_| Ok::<_, io::Error>(1)).await.unwrap();
            assert_eq!(outcome, Outcome::Ran(1));
        }
    });
}

#[test]
fn a_completion_whose_answer_is_lost_is_found_to_be_stored() {
    let server = Server::start(&Options::new());
    let (proxy, url) = proxied(&server);
    block_on(async {
        let client = client(&url).await;
        for trap in [Trap::Answer(b"'completed'".to_vec()), Trap::Request(b"'completed'".to_vec())] {
            let key = format!("{trap:?}").chars().take(5).collect::<String>();
            proxy.trap(trap);
            let outcome = Once::new(&client, key.as_str()).run(async |_| Ok::<_, io::Error>(1)).await.unwrap();
            assert_eq!(outcome, Outcome::Ran(1), "{key}");
            let again = Once::new(&client, key.as_str()).run(async |_| Ok::<_, io::Error>(2)).await.unwrap();
            assert_eq!(again, Outcome::Cached(1), "{key}");
        }
    });
}
