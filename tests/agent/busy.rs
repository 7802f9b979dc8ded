//! A busy healthy system never alarms, and one whose workers are gone does at once. The workers here write what the real
//! worker writes, in its order: heartbeats with a time to live, claims of what is queued, checkpoints after every node with
//! fields of the hash beside them, renewals and ends as whole hashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::patience::until;
use crate::harness::redis::Client;
use crate::place::Place;

/// Takes a task that is queued, or that one of the same name holds.
const CLAIM: &str = "
local status, owner = redis.call('HGET', KEYS[1], 'status'), redis.call('HGET', KEYS[1], 'owner')
if status ~= 'queued' and not (status == 'leased' and owner == ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'status', 'leased', 'owner', ARGV[1], 'lease_expires', ARGV[2], 'updated_at', ARGV[3])
return 1";

/// Now and so many seconds, as the system writes it.
fn at(seconds: i64) -> String {
    let moment = sen_core::time::Timestamp::here().as_micros() + seconds * 1_000_000;
    sen_core::systems::node::record::to_naive_utc(sen_core::time::Timestamp::from_micros(moment))
}

struct Worker {
    name: String,
    client: Client,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    /// Whether every node of it fails.
    fails: bool,
    beaten: Option<Instant>,
}

impl Worker {
    fn beat(&mut self, current: Option<&str>) {
        if self.beaten.is_some_and(|beaten| beaten.elapsed() < Duration::from_secs(1)) {
            return;
        }
        self.beaten = Some(Instant::now());
        let beat = serde_json::json!({
            "worker_id": self.name, "pid": 7, "version": "0.1.0", "current_task": current, "hostname": "vm",
            "started_at": "2026-11-20T21:38:48", "last_beat": at(0),
        });
        self.client.run(&["SET", &format!("worker:{}:hb", self.name), &beat.to_string(), "EX", "30"]);
    }

    fn run(mut self, die_in: Option<&str>) {
        // Only to spare the test: the real worker tries every task anew each time.
        let mut tried = std::collections::HashSet::new();
        while !self.stop.load(Ordering::Relaxed) {
            self.beat(None);
            let keys = self.client.run(&["KEYS", "task:*:meta"]).list();
            let untried = keys.iter().map(|key| key.text().to_owned()).filter(|key| tried.insert(key.clone()));
            let claimed = untried
                .collect::<Vec<_>>()
                .into_iter()
                .find(|key| self.client.run(&["EVAL", CLAIM, "1", key, &self.name, &at(300), &at(0)]).int() == 1);
            let Some(key) = claimed else {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            let id = key.strip_prefix("task:").unwrap().strip_suffix(":meta").unwrap().to_owned();
            // The whole task as it was at the beginning is what is saved at the end.
            let whole = self.client.run(&["HGETALL", &key]).map();
            let attempts = (whole["attempts"].parse::<i64>().unwrap() + 1).to_string();
            let mut nodes = serde_json::Map::new();
            for node in ["search", "analyze", "summarize", "complete"] {
                self.beaten = None;
                self.beat(Some(&id));
                std::thread::sleep(Duration::from_millis(15));
                if die_in == Some(node) {
                    return;
                }
                let error = if self.fails { serde_json::json!("boom") } else { serde_json::Value::Null };
                nodes.insert(
                    node.into(),
                    serde_json::json!({"node_id": node, "node_type": node, "outputs": {}, "error": error}),
                );
                let checkpoint = serde_json::json!({"task_id": id, "current_node": node, "node_states": nodes, "cost_so_far": 0.0, "llm_calls": []});
                self.client.run(&["SET", &format!("task:{id}:checkpoint"), &checkpoint.to_string(), "EX", "604800"]);
                self.client.run(&[
                    "HSET",
                    &key,
                    "current_node",
                    node,
                    "attempts",
                    &attempts,
                    "cost_so_far",
                    "0.0",
                    "updated_at",
                    &at(0),
                ]);
            }
            let end = at(0);
            let mut words = vec!["HSET", key.as_str()];
            let over =
                [("status", "completed"), ("completed_at", end.as_str()), ("result", r#"{"status": "success"}"#)];
            let kept = whole.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            for (name, value) in kept.filter(|(name, _)| over.iter().all(|(set, _)| set != name)).chain(over) {
                words.extend([name, value]);
            }
            self.client.run(&words);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn until_completed(place: &Place, id: &str) {
    until("the end of the task", || place.hash(id)["status"] == "completed");
}

struct System {
    place: Arc<Place>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    made: AtomicU64,
}

impl System {
    fn new() -> Self {
        Self { place: Arc::new(Place::empty()), stop: Arc::default(), done: Arc::default(), made: AtomicU64::new(0) }
    }

    fn start(&self, name: &str, fails: bool, die_in: Option<&'static str>) -> JoinHandle<()> {
        let worker = Worker {
            name: name.to_owned(),
            client: self.place.server.client(),
            stop: Arc::clone(&self.stop),
            done: Arc::clone(&self.done),
            fails,
            beaten: None,
        };
        std::thread::spawn(move || worker.run(die_in))
    }

    fn submit(&self, count: u64) {
        for _ in 0..count {
            let id = format!("task_{:012x}", self.made.fetch_add(1, Ordering::Relaxed));
            let now = at(0);
            self.place.make(&id, "queued", "", &[("created_at", &now), ("updated_at", &now)]);
        }
    }

    /// Whether a poll alarms, and what it says.
    fn poll(&self) -> (bool, String) {
        let output = self.place.sen(&["status", "--check"]).run();
        assert!(output.code == 0 || output.code == 10, "{}{}", output.stdout, output.stderr);
        (output.code == 10, output.stdout)
    }
}

#[test]
fn a_busy_healthy_system_never_alarms_and_a_dead_worker_does() {
    let system = System::new();
    let workers: Vec<_> = (0..3).map(|number| system.start(&format!("worker-{number}"), false, None)).collect();
    for number in 0..200 {
        system.submit(3);
        let (alarm, told) = system.poll();
        assert!(!alarm, "poll {number}: {told}");
    }
    assert!(system.done.load(Ordering::Relaxed) > 100, "the workers worked");
    // One dies in the middle of a node; its heartbeat's time to live passes.
    system.start("worker-x", false, Some("analyze")).join().unwrap();
    let held = || system.place.json(&["agent", "list", "--owner", "worker-x", "--state", "leased"], 0);
    assert_eq!(held().as_array().unwrap().len(), 1);
    system.place.server.run(&["DEL", "worker:worker-x:hb"]);
    let polls: Vec<_> = (0..2).map(|_| system.poll()).collect();
    assert!(polls.iter().any(|(alarm, told)| *alarm && told.contains("worker gone")), "{polls:?}");
    system.stop.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn tasks_whose_nodes_all_failed_are_not_done() {
    let system = System::new();
    system.submit(1);
    let worker = system.start("worker-0", true, None);
    let id = "task_000000000000";
    until_completed(&system.place, id);
    system.stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
    let place = &system.place;
    assert!(system.poll().1.contains("1 task completed with errors"), "{}", system.poll().1);
    let shown = place.json(&["agent", "show", id], 0);
    assert_eq!(shown["verdict"]["state"], "completed_with_errors", "{shown}");
    assert_eq!(shown["verdict"]["severity"], "warning");
    let told = place.run(&["why", id], 0).stdout;
    assert!(told.contains("all 4 nodes failed") && told.contains("boom"), "{told}");
    let listed = place.json(&["agent", "list", "--state", "completed_with_errors"], 0);
    assert_eq!(listed[0]["id"], id, "{listed}");
    place.run(&["inspect", "--check", id], 10);
}

#[test]
fn queued_tasks_without_a_worker_need_attention() {
    let place = Place::empty();
    for number in 0..15 {
        place.make(&format!("t{number}"), "queued", "", &[]);
    }
    for words in [&["status", "--check"][..], &["doctor", "--check"]] {
        let told = place.run(words, 10).stdout;
        assert!(told.contains("15 queued agent tasks") && told.contains("probably no worker is running"), "{told}");
    }
    let causes = place.json(&["why", "t1"], 0);
    assert_eq!(causes["chain"][0]["causes"][0]["rule"], "no_worker");
    assert_eq!(causes["chain"][0]["causes"][0]["certainty"], "likely");
    place.beat("worker-0");
    let told = place.run(&["status", "--check"], 0).stdout;
    assert!(!told.contains("probably no worker"), "{told}");
    assert!(!place.run(&["doctor"], 0).stdout.contains("probably no worker"));
}

/// What the watcher's clean-up of leases, the claim and the renewal of the real code make of a task.
#[test]
fn a_restarted_worker_and_the_watcher_do_as_is_said() {
    let system = System::new();
    let place = &system.place;
    // Its worker died in the last attempt. The watcher queues it whatever its attempts, and so does a requeue.
    place.make("spent", "leased", "worker-gone", &[("attempts", "3")]);
    let shown = place.json(&["agent", "show", "spent"], 0);
    assert_eq!(shown["verdict"]["state"], "worker_gone");
    assert_eq!(place.json(&["dlq", "list"], 0), serde_json::json!([]));
    let evidence = shown["verdict"]["evidence"].to_string();
    assert!(evidence.contains("a worker that starts under the name worker-gone claims it at once"), "{evidence}");
    // It does.
    let claim = place.server.run(&["EVAL", CLAIM, "1", "task:spent:meta", "worker-gone", &at(300), &at(0)]);
    assert_eq!(claim.int(), 1);
    place.run(&["agent", "requeue", "spent", "--yes"], 0);
    assert_eq!(place.hash("spent")["status"], "queued");
    let worker = system.start("worker-0", false, None);
    until_completed(place, "spent");
    system.stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
    // A lease that passed under a living worker: the watcher queues the task, and the worker goes on.
    place.make("slow", "leased", "worker-0", &[("lease_expires", "2026-11-20T21:00:00.000001")]);
    place.beat("worker-0");
    let told = place.run(&["why", "slow"], 0).stdout;
    assert!(told.contains("a second worker may then run it while this one still works"), "{told}");
    place.set("slow", &[("status", "queued"), ("owner", ""), ("lease_expires", "")]);
    let beat = serde_json::json!({"worker_id": "worker-0", "current_task": "slow", "last_beat": at(0)}).to_string();
    place.server.run(&["SET", "worker:worker-0:hb", &beat, "EX", "600"]);
    let causes = place.json(&["why", "slow"], 0)["chain"][0]["causes"].clone();
    let rules: Vec<_> = causes.as_array().unwrap().iter().map(|cause| cause["rule"].clone()).collect();
    assert!(rules.contains(&"second_run".into()), "{causes}");
}
