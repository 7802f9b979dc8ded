//! Operators against workers: a cancel or requeue never writes when status, owner or lease has moved.
//!
//! Full size (2,000 tasks) with `SEN_TEST_SCALE=full`; 200 otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::place::{Place, check_model};

fn count() -> usize {
    if std::env::var("SEN_TEST_SCALE").is_ok_and(|scale| scale == "full") { 2000 } else { 200 }
}

/// What was counted, for the run of full size.
#[expect(clippy::print_stderr, reason = "numbers for whoever runs the full size")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// As the real claim script: only a queued task, or one of its own.
const CLAIM: &str = r"
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'queued' then return 0 end
redis.call('HSET', KEYS[1], 'status', 'leased', 'owner', ARGV[1], 'lease_expires', ARGV[2])
redis.call('RPUSH', 'truth:claims', KEYS[1])
return 1";

/// Workers claim queued tasks while two operators cancel all of them. Every task ends claimed or cancelled, never both: a
/// claim that was written over would be a claim without an owner.
#[test]
fn a_cancel_never_writes_over_a_claim() {
    let place = Arc::new(Place::empty());
    let ids: Vec<String> = (0..count()).map(|number| format!("t{number}")).collect();
    for id in &ids {
        place.make(id, "queued", "", &[]);
    }
    place.beat("worker-1");
    place.beat("worker-2");
    let begun = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = ["worker-1", "worker-2"]
        .into_iter()
        .enumerate()
        .map(|(at, worker)| {
            let (place, begun, ids) = (Arc::clone(&place), Arc::clone(&begun), ids.clone());
            std::thread::spawn(move || {
                let mut client = place.server.client();
                while !begun.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                let mut won = 0;
                for number in 0..ids.len() {
                    // Each from its own end, so that workers and operators meet in the middle.
                    let id = &ids[if at == 0 { number } else { ids.len() - 1 - number }];
                    won += client
                        .run(&["EVAL", CLAIM, "1", &format!("task:{id}:meta"), worker, "2099-01-01T00:00:00"])
                        .int();
                }
                won
            })
        })
        .collect();
    let cancel = |from: usize| {
        let mut words = vec!["agent", "cancel", "--yes", "-o", "json"];
        words.extend(ids[from..].iter().chain(&ids[..from]).map(String::as_str));
        place.sen(&words).start()
    };
    let operators = [cancel(0), cancel(ids.len() / 2)];
    // They look at everything first; the workers come between that and the writing.
    std::thread::sleep(std::time::Duration::from_millis(15));
    begun.store(true, Ordering::Relaxed);
    let claims: i64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    let mut applied: BTreeMap<String, usize> = BTreeMap::new();
    for operator in operators {
        let output = operator.finish();
        assert!([0, 3, 5].contains(&output.code), "{}", output.stderr);
        for item in output.json()["results"].as_array().unwrap() {
            if item["outcome"] == "applied" {
                *applied.entry(item["subject"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    assert!(applied.values().all(|times| *times == 1), "a task was cancelled twice");
    let (mut claimed, mut cancelled) = (0, 0);
    for id in &ids {
        let hash = place.hash(id);
        check_model(&hash).unwrap_or_else(|why| panic!("{id}: {why}"));
        let reported = applied.contains_key(&format!("node:agent_task:{id}"));
        match hash["status"].as_str() {
            "leased" => {
                claimed += 1;
                assert!(hash["owner"].starts_with("worker-") && !reported, "{id}: {hash:?}");
            }
            "failed" => {
                cancelled += 1;
                assert!(hash["owner"].is_empty() && reported, "{id}: {hash:?}");
            }
            // Cancelled and claimed at no time.
            other => panic!("{id} is {other}"),
        }
    }
    // A leased task may be cancelled as well, if that is how it was seen: then its claim is among the cancelled.
    assert_eq!(claimed + cancelled, ids.len());
    assert!(claims as usize >= claimed, "{claims} claims, {claimed} left");
    let events = place.events();
    assert_eq!(events.iter().filter(|event| event["event"] == "task_cancelled").count(), cancelled);
    say(&format!("{} tasks: {claims} claims, {claimed} kept, {cancelled} cancelled", ids.len()));
}

/// Two operators requeue the same tasks of a dead worker, whose name comes back to life meanwhile. Each task is requeued at
/// most once, and counts one attempt exactly if it was.
#[test]
fn a_requeue_happens_once_and_not_under_a_live_worker() {
    let place = Place::empty();
    let ids: Vec<String> = (0..count()).map(|number| format!("t{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        place.make(id, "leased", &format!("worker-{}", number % 50), &[]);
    }
    let mut words = vec!["agent", "requeue", "--yes", "-o", "json"];
    words.extend(ids.iter().map(String::as_str));
    let operators = [place.sen(&words).start(), place.sen(&words).start()];
    for worker in 0..25 {
        place.beat(&format!("worker-{worker}"));
    }
    let mut applied = 0;
    for operator in operators {
        let output = operator.finish();
        assert!([0, 3, 5].contains(&output.code), "{}", output.stderr);
        applied += output.json()["applied"].as_u64().unwrap();
    }
    let mut requeued = 0;
    for id in &ids {
        let hash = place.hash(id);
        match (hash["status"].as_str(), hash["attempts"].as_str()) {
            ("queued", "1") => requeued += 1,
            ("leased", "0") => assert!(hash["owner"].starts_with("worker-")),
            other => panic!("{id}: {other:?}"),
        }
    }
    assert_eq!(applied, requeued);
    assert_eq!(place.events().len() as u64, requeued);
    say(&format!("{} tasks: {requeued} requeued once each", ids.len()));
}
