//! `sen why` on what the real controller, workers and watcher left in Redis: each task is told its causes, all of them and no
//! others, and is led to what it hangs together with.

use serde_json::{Value, json};

use crate::place::{Place, keys};

/// The whole answer.
#[track_caller]
fn why(place: &Place, id: &str) -> Value {
    place.json(&["why", id], 0)
}

/// The rules that hold, the gravest first.
#[track_caller]
fn rules(place: &Place, id: &str) -> Vec<String> {
    let told = why(place, id);
    let causes = told["chain"][0]["causes"].as_array().unwrap_or_else(|| panic!("no causes: {told}"));
    causes.iter().map(|cause| cause["rule"].as_str().unwrap().to_owned()).collect()
}

/// The heartbeat that the real worker `worker-live` wrote, with other values in it.
fn beat(place: &Place, worker: &str, changes: &[(&str, Value)]) {
    let stored = keys().into_iter().find(|key| key.key == "worker:worker-live:hb").unwrap().value;
    let mut beat: Value = serde_json::from_str(stored.as_str().unwrap()).unwrap();
    beat["worker_id"] = json!(worker);
    for (name, value) in changes {
        beat[*name] = value.clone();
    }
    place.server.run(&["SET", &format!("worker:{worker}:hb"), &beat.to_string(), "PX", "600000"]);
}

/// What was killed in the middle of a node.
const KILLED: &str = "task_7957eed7bf74";
/// What a worker holds whose heartbeat is there.
const HELD: &str = "task_235bed1ec052";
const QUEUED: &str = "task_086afa9f5fe8";
/// A lease that no test reaches the end of.
const AHEAD: (&str, &str) = ("lease_expires", "2099-01-01T00:00:00.000001");

fn no_beats(place: &Place) {
    for worker in ["worker-1", "worker-live"] {
        place.server.run(&["DEL", &format!("worker:{worker}:hb")]);
    }
}

/// How it comes about, the task, what is changed of what the real code wrote, and every rule that holds.
type Scenario = (&'static str, &'static str, fn(&Place), &'static [&'static str]);

const SCENARIOS: [Scenario; 25] = [
    // As the real code left them.
    ("completed", "task_0e41c04ec91f", |_| (), &[]),
    (
        "completed, the real worker having gone on after a node that failed",
        "task_1c95c165d749",
        |_| (),
        &["node_failed"],
    ),
    ("cancelled through the controller", "task_122c768051e0", |_| (), &[]),
    ("queued, workers alive", QUEUED, |_| (), &[]),
    ("queued again by the watcher, workers alive", "task_d305f21ab30d", |_| (), &[]),
    ("its worker was killed, and no watcher ran since", KILLED, |_| (), &["worker_gone", "no_watcher"]),
    ("its worker beats and lets the lease pass", HELD, |_| (), &["lease_not_renewed", "no_watcher"]),
    ("failed by the worker, as two others were", "task_4b206064b737", |_| (), &["failed"]),
    ("failed by the watcher after its last attempt", "task_f770cd25c8f6", |_| (), &["failed", "out_of_attempts"]),
    (
        "in progress, its worker gone: the watcher looks at leased ones only",
        "task_inprogress01",
        |_| (),
        &["worker_gone"],
    ),
    ("marked for a retry", "task_retrying0001", |_| (), &["retry_unclaimed"]),
    // With an edit that stands for time, or for what a test cannot have the real code do.
    ("held under a living lease", HELD, |place| place.set(HELD, &[AHEAD]), &[]),
    ("killed a moment ago", KILLED, |place| place.set(KILLED, &[AHEAD]), &["worker_gone"]),
    ("queued, every heartbeat gone", QUEUED, no_beats, &["no_worker"]),
    (
        "queued, every worker at another task",
        QUEUED,
        |place| {
            no_beats(place);
            beat(place, "worker-live", &[("current_task", json!(HELD))]);
        },
        &["workers_busy"],
    ),
    (
        "its worker's heartbeat names another task",
        HELD,
        |place| {
            place.set(HELD, &[AHEAD]);
            let later = json!("2026-11-20T21:39:10.000000");
            beat(place, "worker-live", &[("current_task", json!(QUEUED)), ("last_beat", later)]);
        },
        &["shared_name"],
    ),
    (
        "its worker was started again",
        HELD,
        |place| {
            place.set(HELD, &[AHEAD]);
            beat(place, "worker-live", &[("started_at", json!("2026-11-20T21:39:00.000000"))]);
        },
        &["shared_name"],
    ),
    (
        "it costs more than its limit, and only the checkpoint knows",
        HELD,
        |place| {
            let spent = keys().into_iter().find(|key| key.key == format!("task:{KILLED}:checkpoint")).unwrap().value;
            let spent = spent.as_str().unwrap().replace(KILLED, HELD);
            place.server.run(&["SET", &format!("task:{HELD}:checkpoint"), &spent]);
            place.set(HELD, &[AHEAD, ("cost_limit", "0.01")]);
        },
        &["over_cost_limit"],
    ),
    (
        "killed within a side effect, its limit passed",
        KILLED,
        |place| {
            place.set(KILLED, &[("cost_limit", "0.01")]);
            place.server.run(&["SET", &format!("effects:{KILLED}:upload:summary:lock"), "1", "PX", "600000"]);
        },
        &["worker_gone", "effect_unsettled", "over_cost_limit", "no_watcher"],
    ),
    (
        "killed after its last attempt",
        KILLED,
        |place| place.set(KILLED, &[("attempts", "3")]),
        &["worker_gone", "no_watcher"],
    ),
    (
        "failed for the rate limit, in the worker's words",
        "task_4b206064b737",
        |place| {
            let error = "Rate limit still exceeded after retry for tenant initech";
            place.set("task_4b206064b737", &[("error", error)]);
        },
        &["rate_limited"],
    ),
    (
        "completed, and every node failed",
        "task_0e41c04ec91f",
        |place| {
            let stored = keys().into_iter().find(|key| key.key == "task:task_0e41c04ec91f:checkpoint").unwrap().value;
            let mut stored: Value = serde_json::from_str(stored.as_str().unwrap()).unwrap();
            for node in stored["node_states"].as_object_mut().unwrap().values_mut() {
                node["error"] = json!("Connection error.");
            }
            place.server.run(&["SET", "task:task_0e41c04ec91f:checkpoint", &stored.to_string()]);
        },
        &["node_failed"],
    ),
    (
        "queued by the watcher while its worker went on",
        QUEUED,
        |place| {
            let later = json!("2099-01-01T00:00:00.000000");
            beat(place, "worker-live", &[("current_task", json!(QUEUED)), ("last_beat", later)]);
        },
        &["second_run"],
    ),
    ("held by nobody", KILLED, |place| place.set(KILLED, &[AHEAD, ("owner", "")]), &["no_owner"]),
    ("its hash cannot be read", QUEUED, |place| place.set(QUEUED, &[("attempts", "many")]), &["unreadable_hash"]),
];

#[test]
fn each_task_is_told_its_causes() {
    for (name, id, change, expected) in SCENARIOS {
        let place = Place::loaded();
        change(&place);
        assert_eq!(rules(&place, id), expected, "{name}: {}", why(&place, id));
    }
}

#[test]
fn causes_lead_to_what_can_be_typed() {
    let place = Place::loaded();
    let killed = why(&place, KILLED);
    assert_eq!(killed["next"][0]["command"], format!("sen agent requeue {KILLED}"));
    let failed = why(&place, "task_4b206064b737");
    assert!(
        failed["chain"][0]["causes"][0]["summary"]
            .as_str()
            .unwrap()
            .starts_with("it failed, and 2 other tasks of the same: Unknown agent type: no-such-agent"),
        "{failed}"
    );
    let next: Vec<&Value> = failed["next"].as_array().unwrap().iter().map(|next| &next["command"]).collect();
    assert_eq!(json!(next), json!(["sen dlq groups", "sen dlq replay task_4b206064b737"]));
    place.set("task_4b206064b737", &[("error", "Rate limit still exceeded after retry for tenant initech")]);
    assert_eq!(why(&place, "task_4b206064b737")["next"][0]["command"], "sen agent rate-limit get initech");
    place.run(&["why", "--check", KILLED], 10);
    place.run(&["why", "--check", "task_0e41c04ec91f"], 0);
    place.run(&["why", "no-such-task"], 4);
}

/// From a task to its worker, to what else that holds, and to what its prompt names.
#[test]
fn a_chain_leads_through_workers_and_prompts() {
    let place = Place::loaded();
    let prompt = r#"{"query": "Go on where task_4b206064b737 failed, please."}"#;
    place.set("task_4e3b880ae856", &[("owner", "worker-killed-0"), ("task_params", prompt)]);
    let told = why(&place, KILLED);
    let chain: Vec<(&str, &Value)> = told["chain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| (link["subject"].as_str().unwrap(), &link["relation"]))
        .collect();
    assert_eq!(
        chain,
        [
            ("node:agent_task:task_7957eed7bf74", &Value::Null),
            ("node:worker:worker-killed-0", &json!("its worker")),
            ("node:agent_task:task_4e3b880ae856", &json!("a task it holds")),
            ("node:agent_task:task_4b206064b737", &json!("named in its prompt")),
        ]
    );
    assert_eq!(told["chain"][1]["causes"][0]["rule"], "heartbeat_gone");
    assert_eq!(told["chain"][3]["relation_certainty"], "likely");

    assert_eq!(rules(&place, "worker-killed-0"), ["heartbeat_gone"]);
    for worker in ["worker-live", "worker-1"] {
        assert!(rules(&place, worker).is_empty(), "{worker}");
    }
    place.set(KILLED, &[("owner", "worker-live")]);
    assert_eq!(rules(&place, "worker-live"), ["shared_name"]);
    place.server.run(&["PERSIST", "worker:worker-1:hb"]);
    assert_eq!(rules(&place, "worker-1"), ["heartbeat_unreadable"]);
}
