//! Operators against workers: a cancel or requeue never writes when status, owner, lease or heartbeat has moved.
//!
//! Every operator looks first; then all of them act while workers claim and come back to life. What happened when is
//! counted afterwards. The full size is 2,000 tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

use sen_core::model::report::{Outcome, Report};
use sen_core::ops::act::{self, Author};
use sen_core::permit::{Consent, Revocation};
use sen_core::registry::{self, Access};
use sen_core::stores::url::Target;
use sen_core::systems::node::request::AgentRequest;

use crate::harness::patience::PATIENCE;
use crate::harness::redis::Answer;
use crate::harness::scale::sized;
use crate::place::{Place, check_model};

fn count() -> usize {
    sized(300, 2000)
}

/// What was counted, for the run of full size.
#[expect(clippy::print_stderr, reason = "numbers for whoever runs the full size")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// Looks, waits for everybody, acts. What it looked at it saw before anybody changed anything.
fn operator(place: &Arc<Place>, request: AgentRequest, ready: &Arc<Barrier>) -> JoinHandle<Report> {
    let (url, ready) = (place.server.url(), Arc::clone(ready));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let target = Target::resolve(Some(&url), &|_| None).unwrap();
        runtime.block_on(async {
            let database = registry::open(&target, Access::Write, Some(PATIENCE)).await.unwrap();
            let system = database.agents().unwrap();
            let action = system.plan(&request).await.unwrap();
            ready.wait();
            act::apply(action, Consent::InAdvance, Author::default(), &Revocation::default()).await.unwrap()
        })
    })
}

fn applied(report: &Report) -> BTreeSet<String> {
    let done = report.items.iter().filter(|item| item.outcome == Outcome::Applied);
    done.map(|item| item.subject.id.clone()).collect()
}

/// As the real claim script: only a queued task.
const CLAIM: &str = r"
if redis.call('HGET', KEYS[1], 'status') ~= 'queued' then return 0 end
redis.call('HSET', KEYS[1], 'status', 'leased', 'owner', ARGV[1], 'lease_expires', '2099-01-01T00:00:00')
return 1";

/// Two operators cancel tasks that they saw queued, while four workers claim them. Every claim must stand: a task ends claimed
/// or cancelled, and each cancelled one was cancelled by exactly one operator.
#[test]
fn a_cancel_never_writes_over_a_claim() {
    let place = Arc::new(Place::empty());
    let ids: Vec<String> = (0..count()).map(|number| format!("t{number}")).collect();
    for id in &ids {
        place.make(id, "queued", "", &[]);
    }
    for worker in ["worker-1", "worker-2", "worker-3", "worker-4"] {
        place.beat(worker);
    }
    let ready = Arc::new(Barrier::new(6));
    let cancel = |from: usize| {
        let ids = ids[from..].iter().chain(&ids[..from]).cloned().collect();
        operator(&place, AgentRequest::Cancel { ids, verify: None }, &ready)
    };
    let operators = [cancel(0), cancel(ids.len() / 2)];
    let worker = |name: &'static str, step: usize| {
        let (place, ids, ready) = (Arc::clone(&place), ids.clone(), Arc::clone(&ready));
        std::thread::spawn(move || {
            let mut client = place.server.client();
            let mut won = BTreeSet::new();
            ready.wait();
            for number in 0..ids.len() {
                // Each in an order of its own, all over the list.
                let id = &ids[number * step % ids.len()];
                if client.run(&["EVAL", CLAIM, "1", &format!("task:{id}:meta"), name]) == Answer::Int(1) {
                    assert!(won.insert(id.clone()), "{id} was claimed twice");
                }
            }
            won
        })
    };
    let workers = [worker("worker-1", 7), worker("worker-2", 11), worker("worker-3", 13), worker("worker-4", 17)];
    let reports = operators.map(|operator| operator.join().unwrap());
    let claimed: Vec<BTreeSet<String>> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    let cancelled = reports.each_ref().map(applied);
    assert!(cancelled[0].is_disjoint(&cancelled[1]), "a task was cancelled twice");
    let claims: BTreeSet<&String> = claimed.iter().flatten().collect();
    let cancels: BTreeSet<&String> = cancelled.iter().flatten().collect();
    assert!(claims.is_disjoint(&cancels), "a cancel was written over a claim, or a claim over a cancel");
    assert_eq!(claims.len() + cancels.len(), ids.len());
    for id in &ids {
        let hash = place.hash(id);
        check_model(&hash).unwrap_or_else(|why| panic!("{id}: {why}"));
        let expected = if claims.contains(id) { ("leased", false) } else { ("failed", true) };
        assert_eq!((hash["status"].as_str(), hash["owner"].is_empty()), expected, "{id}: {hash:?}");
    }
    assert_eq!(place.events().len(), cancels.len());
    say(&format!("{} tasks: {} claims stand, {} cancelled once each", ids.len(), claims.len(), cancels.len()));
}

/// A worker comes back to life; the stream says when.
const REVIVE: &str = r"
redis.call('SET', KEYS[1], '{}', 'PX', '600000')
redis.call('XADD', KEYS[2], '*', 'event', 'revived', 'worker', ARGV[1])
return 1";

/// Two operators requeue the tasks of dead workers, of which one after the other comes back to life. Each task is requeued at
/// most once, keeps its attempts, and never after its worker's heartbeat was there.
#[test]
fn a_requeue_happens_once_and_not_under_a_live_worker() {
    let place = Arc::new(Place::empty());
    let workers = count() / 10;
    let ids: Vec<String> = (0..count()).map(|number| format!("t{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        place.make(id, "leased", &format!("worker-{}", number % workers), &[]);
    }
    let ready = Arc::new(Barrier::new(3));
    let requeue = |from: usize| {
        let ids = ids[from..].iter().chain(&ids[..from]).cloned().collect();
        operator(&place, AgentRequest::Requeue { ids, verify: None }, &ready)
    };
    let operators = [requeue(0), requeue(ids.len() / 3)];
    let mut client = place.server.client();
    ready.wait();
    for worker in 0..workers {
        let name = format!("worker-{worker}");
        client.run(&["EVAL", REVIVE, "2", &format!("worker:{name}:hb"), "stream:events", &name]);
    }
    let reports = operators.map(|operator| operator.join().unwrap());
    let [first, second] = reports.each_ref().map(applied);
    assert!(first.is_disjoint(&second), "a task was requeued twice");
    let done: BTreeSet<&String> = first.union(&second).collect();
    for id in &ids {
        let hash = place.hash(id);
        let expected = if done.contains(id) { ("queued", "0") } else { ("leased", "0") };
        assert_eq!((hash["status"].as_str(), hash["attempts"].as_str()), expected, "{id}");
    }
    let mut alive = BTreeSet::new();
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for event in place.events() {
        if event["event"] == "revived" {
            alive.insert(event["worker"].clone());
        } else {
            assert!(!alive.contains(&event["dead_worker"]), "requeued under a live worker: {event:?}");
            *told.entry(event["task_id"].clone()).or_default() += 1;
        }
    }
    assert_eq!(told.keys().collect::<BTreeSet<_>>(), done);
    assert!(told.values().all(|times| *times == 1));
    say(&format!(
        "{} tasks of {workers} workers: {} requeued once each, {} left to workers that came back",
        ids.len(),
        done.len(),
        ids.len() - done.len()
    ));
}
