//! On the fixtures: every field as the controller returned it, in whatever zone this machine is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::place::{Place, controller, keys};

/// A time of the controller's, as `sen` writes it.
fn utc(value: &Value) -> Value {
    match value.as_str() {
        None => Value::Null,
        Some(text) if text.contains('.') => json!(format!("{text}Z")),
        Some(text) => json!(format!("{text}.000000Z")),
    }
}

/// Absent and empty are the same to the system.
fn none_if_empty(value: &Value) -> Value {
    if value == "" { Value::Null } else { value.clone() }
}

#[test]
fn every_task_as_the_controller_returned_it() {
    let place = Place::loaded();
    for zone in ["UTC", "Asia/Tokyo", "America/St_Johns"] {
        let output =
            place.sen(&["agent", "list", "--limit", "1000", "-o", "json"]).env("TZ", zone).run().expect_code(0);
        let ours = output.json();
        let theirs = controller()["GET /tasks?limit=1000"]["tasks"].clone();
        let (ours, theirs) = (ours.as_array().unwrap(), theirs.as_array().unwrap());
        assert_eq!((ours.len(), theirs.len()), (38, 38));
        for (ours, theirs) in ours.iter().zip(theirs) {
            // The same order, too: submitted last comes first.
            assert_eq!(ours["id"], theirs["task_id"]);
            for name in [
                "status",
                "tenant_id",
                "agent_type",
                "task_type",
                "task_params",
                "cost_so_far",
                "attempts",
                "max_attempts",
                "result",
            ] {
                assert_eq!(ours[name], theirs[name], "{name} of {}", theirs["task_id"]);
            }
            for (name, theirs_name) in [("worker", "owner"), ("error", "error")] {
                assert_eq!(ours[name], none_if_empty(&theirs[theirs_name]), "{name} of {}", theirs["task_id"]);
            }
            for name in ["created_at", "updated_at", "completed_at"] {
                assert_eq!(ours[name], utc(&theirs[name]), "{name} of {}", theirs["task_id"]);
            }
            assert_eq!(ours["findings"], json!([]));
        }
    }
}

#[test]
fn a_stream_holds_the_same_as_a_page() {
    let place = Place::loaded();
    let ids = |rows: &Value| -> Vec<String> {
        let mut ids: Vec<String> =
            rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let all = place.json(&["agent", "list", "--limit", "0"], 0);
    assert_eq!(ids(&all), ids(&place.json(&["agent", "list", "--limit", "38"], 0)));
    let page = place.run(&["agent", "list", "--limit", "3"], 0);
    assert_eq!(page.stdout.lines().count(), 4);
    assert!(page.stderr.contains("the first 3 shown, more match"), "{}", page.stderr);
}

#[test]
fn counts_as_the_controller_counts() {
    let place = Place::loaded();
    let stats = place.json(&["agent", "stats"], 0);
    let theirs = &controller()["GET /stats"];
    assert_eq!(stats["total_tasks"], theirs["total_tasks"]);
    for status in ["queued", "leased", "in_progress", "completed", "failed", "retrying"] {
        assert_eq!(stats["by_status"][status], theirs[status], "{status}");
    }
    let counts: BTreeMap<&str, i64> = stats["states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| (count["state"].as_str().unwrap(), count["count"].as_i64().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let expected = [
        ("cancelled", 2),
        ("completed", 13),
        ("completed_with_errors", 3),
        ("failed", 3),
        ("lease_expired", 1),
        ("out_of_attempts", 1),
        ("queued", 10),
        ("retrying", 1),
        ("worker_gone", 4),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    let status = place.json(&["status"], 0);
    assert_eq!(status["systems"][0]["system"], "node");
    assert!(place.run(&["status", "--check"], 10).stdout.contains("worker gone"));
}

#[test]
fn filters() {
    let place = Place::loaded();
    let count =
        |words: &[&str]| place.json(&[&["agent", "list", "--limit", "0"], words].concat(), 0).as_array().unwrap().len();
    let live = ["--owner", "worker-live"];
    for (words, expected) in [
        (&["--state", "leased"][..], 4),
        (&["--state", "leased,in_progress"], 5),
        (&["--state", "worker_gone"], 4),
        (&["--state", "failed"], 3),
        (&["--state", "failed,cancelled,out_of_attempts"], 6),
        (&["--state", "cancelled"], 2),
        (&["--tenant", "acme"], 22),
        (&["--tenant", "acme", "--state", "completed"], 8),
        (&["--type", "research"], 38),
        (&["--type", "other"], 0),
        (&["--expired"], 5),
        (&["--dead-owner"], 4),
        (&["--where-error", "no-such-agent"], 3),
        (&["--since", "2026-11-20T21:38:50Z"], 13),
        (&["--until", "2026-11-20T21:38:50Z"], 25),
        (&live, 1),
    ] {
        assert_eq!(count(words), expected, "{words:?}");
    }
    place.run(&["agent", "list", "--state", "nonsense"], 2);
    place.run(&["agent", "list", "--tenant", "nobody", "--fail-if-empty"], 4);
}

/// Every field of a checkpoint stands somewhere in what is shown of its task.
#[test]
fn every_checkpoint_and_heartbeat() {
    let place = Place::loaded();
    let mut checkpoints = 0;
    for key in keys() {
        let Some(id) = key.key.strip_prefix("task:").and_then(|rest| rest.strip_suffix(":checkpoint")) else {
            continue;
        };
        checkpoints += 1;
        let theirs: Value = serde_json::from_str(key.value.as_str().unwrap()).unwrap();
        let ours = place.json(&["agent", "show", id], 0);
        assert_eq!(ours["node_path"], theirs["node_history"]);
        let nodes = theirs["node_states"].as_object().unwrap();
        assert_eq!(ours["nodes"].as_array().unwrap().len(), nodes.len());
        for node in ours["nodes"].as_array().unwrap() {
            let stored = &nodes[node["node_id"].as_str().unwrap()];
            for name in ["node_type", "inputs", "outputs", "metadata", "error"] {
                assert_eq!(node[name], stored[name], "{name} of {id}");
            }
            for name in ["started_at", "completed_at"] {
                assert_eq!(node[name], utc(&stored[name]), "{name} of {id}");
            }
        }
        let calls = theirs["llm_calls"].as_array().unwrap();
        for (ours, theirs) in ours["llm_calls"].as_array().unwrap().iter().zip(calls) {
            for name in ["model", "prompt_tokens", "completion_tokens", "total_tokens", "cost_usd", "latency_ms"] {
                assert_eq!(ours[name], theirs[name], "{name} of {id}");
            }
            assert_eq!(ours["at"], utc(&theirs["timestamp"]));
        }
        assert_eq!(ours["llm_calls"].as_array().unwrap().len(), calls.len());
        let told: BTreeMap<&str, &Value> = ours["checkpoint"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["field"].as_str().unwrap(), &row["value"]))
            .collect();
        for (name, value) in theirs.as_object().unwrap() {
            if !["node_states", "llm_calls", "node_history", "task_id"].contains(&name.as_str()) && !value.is_null() {
                assert_eq!(told.get(name.as_str()), Some(&value), "{name} of {id}");
            }
        }
    }
    assert_eq!(checkpoints, 20);
    let beats: Vec<_> = keys().into_iter().filter(|key| key.key.starts_with("worker:worker-live")).collect();
    let theirs: Value = serde_json::from_str(beats[0].value.as_str().unwrap()).unwrap();
    let ours = place.json(&["agent", "show", "worker-live"], 0);
    for name in ["hostname", "pid", "version", "current_task"] {
        assert_eq!(ours[name], theirs[name], "{name}");
    }
    assert_eq!((&ours["started_at"], &ours["last_beat_at"]), (&utc(&theirs["started_at"]), &utc(&theirs["last_beat"])));
}

#[test]
fn a_task_in_depth() {
    let place = Place::loaded();
    let found = place.json(&["agent", "show", "task_1c95c165d749"], 0);
    // The real worker went on after a node that failed, and marked the task completed.
    assert_eq!(found["verdict"]["state"], "completed_with_errors");
    assert_eq!(
        found["effects"],
        json!([{"effect": "upload:summary", "state": "done", "lock_ms": found["effects"][0]["lock_ms"], "result": {"uri": "s3://out/task_1c95c165d749"}}])
    );
    let kinds: Vec<&str> =
        found["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["node_completed", "node_failed", "node_completed", "node_completed"]);
    // The hash lost what the checkpoint says was spent.
    assert_eq!((&found["cost_so_far"], &found["spent_usd"]), (&json!(0.0), &json!(0.025)));
    assert_eq!(place.json(&["inspect", "task_1c95c165d749"], 0)["subject"], "node:agent_task:task_1c95c165d749");
    let gone = place.json(&["inspect", "worker-killed-0"], 0);
    assert_eq!((&gone["verdict"]["state"], &gone["tasks"][0]["id"]), (&json!("gone"), &json!("task_7957eed7bf74")));
    let told = place.run(&["agent", "show", "1c95c165d749"], 4).stderr;
    assert!(told.contains("did you mean \"task_1c95c165d749\"?"), "{told}");
    place.run(&["agent", "show", "--check", "task_7957eed7bf74"], 10);
    place.run(&["agent", "show", "--check", "task_086afa9f5fe8"], 8);
    place.run(&["agent", "show", "--check", "task_1c95c165d749"], 10);
}

#[test]
fn encrypted_fields_are_named_and_not_shown() {
    let place = Place::loaded();
    let checkpoint = r#"{"task_id":"task_235bed1ec052","current_node":"start","agent_state":{"__encrypted__":true,"value":"gAAAAAB"}}"#;
    place.server.run(&["SET", "task:task_235bed1ec052:checkpoint", checkpoint]);
    let found = place.json(&["agent", "show", "task_235bed1ec052"], 0);
    assert_eq!(found["encrypted"], json!(["agent_state"]));
    let told = place.run(&["agent", "show", "task_235bed1ec052"], 0).stdout;
    assert!(told.contains("agent_state") && told.contains("encrypted") && !told.contains("gAAAAAB"), "{told}");
}

#[test]
fn costs_say_what_the_controller_leaves_out() {
    let place = Place::loaded();
    let output = place.sen(&["agent", "costs", "-o", "json"]).env("TZ", "Asia/Tokyo").run().expect_code(0);
    assert!(output.stderr.contains("the controller reports $0.0375 of $0.6000"), "{}", output.stderr);
    let rows = output.json();
    let of = |tenant: &str, scope: &str| {
        rows.as_array().unwrap().iter().find(|row| row["tenant_id"] == tenant && row["scope"] == scope).unwrap().clone()
    };
    for tenant in ["acme", "globex", "hooli", "initech", "umbrella"] {
        let theirs = &controller()[format!("GET /tenants/{tenant}/costs")];
        let ours = of(tenant, "tenant");
        assert_eq!(ours["controller_usd"], theirs["total_cost_usd"], "{tenant}");
        assert_eq!(ours["tasks"], theirs["task_count"], "{tenant}");
    }
    // Added up from the fixtures' checkpoints by hand.
    let mut spent = 0.0;
    for key in keys().iter().filter(|key| key.key.ends_with(":checkpoint")) {
        let checkpoint: Value = serde_json::from_str(key.value.as_str().unwrap()).unwrap();
        spent += checkpoint["llm_calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| call["cost_usd"].as_f64().unwrap())
            .sum::<f64>();
    }
    let all = rows.as_array().unwrap().last().unwrap();
    assert_eq!((&all["scope"], all["tenant_id"].is_null()), (&json!("all"), true));
    assert!((all["cost_usd"].as_f64().unwrap() - spent).abs() < 1e-9);
    assert_eq!(of("acme", "day")["day"], "2026-11-20");
    let one = place.json(&["agent", "costs", "--tenant", "globex"], 0);
    assert!(one.as_array().unwrap().iter().all(|row| row["tenant_id"] == "globex" || row["scope"] == "all"));
}

#[test]
fn workers_events_and_rate_limits() {
    let place = Place::loaded();
    let workers = place.json(&["agent", "workers"], 0);
    let told: Vec<(&str, &str, i64)> = workers
        .as_array()
        .unwrap()
        .iter()
        .map(|worker| {
            let text = |name: &str| worker[name].as_str().unwrap();
            (text("worker"), text("state"), worker["tasks_held"].as_i64().unwrap())
        })
        .collect();
    let expected = [
        ("worker-1", "alive", 0),
        ("worker-killed-0", "gone", 1),
        ("worker-killed-1", "gone", 1),
        ("worker-killed-2", "gone", 1),
        ("worker-live", "alive", 1),
        ("worker-x", "gone", 1),
    ];
    assert_eq!(told, expected);

    let events = place.json(&["agent", "events", "--limit", "0"], 0);
    assert_eq!(events.as_array().unwrap().len(), 70);
    assert_eq!(place.json(&["agent", "events", "task_9d5d02596819"], 0).as_array().unwrap().len(), 4);
    let newest = place.json(&["agent", "events", "--limit", "2"], 0);
    assert_eq!(newest[1], events[69]);

    let limits = place.json(&["agent", "rate-limit", "get"], 0);
    for limit in limits.as_array().unwrap() {
        let theirs = &controller()[format!("GET /tenants/{}/rate-limit", limit["tenant_id"].as_str().unwrap())];
        for name in ["capacity", "refill_rate", "tokens"] {
            assert_eq!(limit[name], theirs[name], "{name}");
        }
        // The controller writes this one in the zone of its machine, which was UTC.
        assert_eq!(limit["last_refill"], utc(&theirs["last_refill"]));
    }
    let full = place.json(&["agent", "rate-limit", "get", "hooli"], 0);
    assert_eq!((&full[0]["tokens"], full[0]["stored_tokens"].is_null()), (&json!(100.0), true));
}

#[test]
fn one_status_shows_both_databases() {
    use crate::harness::postgres::Server;
    let place = Place::loaded();
    let database = Server::shared().fresh_database();
    let both = |words: &[&str]| {
        crate::harness::sen::sen(words.iter().copied())
            .database(&database.url())
            .env("SEN_REDIS_URL", place.server.url())
    };
    both(&["init"]).run().expect_code(0);
    let status = both(&["status", "-o", "json"]).run().expect_code(0).json();
    let systems: Vec<&str> =
        status["systems"].as_array().unwrap().iter().map(|system| system["system"].as_str().unwrap()).collect();
    assert_eq!(systems, ["sentinel", "node"]);
    let told = both(&["status"]).run().expect_code(0).stdout;
    assert!(told.contains(&place.server.url()) && told.contains("postgresql://"), "{told}");
    both(&["inspect", "task_1c95c165d749"]).run().expect_code(0);
    both(&["agent", "list"]).run().expect_code(0);
    // A Redis that is down stops only what is about it.
    let down = |words: &[&str]| {
        crate::harness::sen::sen(words.iter().copied())
            .database(&database.url())
            .env("SEN_REDIS_URL", "redis://127.0.0.1:1")
    };
    down(&["list"]).run().expect_code(0);
    let status = down(&["status"]).run().expect_code(6);
    assert!(status.stdout.contains("sentinel") && status.stderr.contains("127.0.0.1:1"), "{}", status.stderr);
    // Only a Redis, and none at all.
    crate::harness::sen::sen(["status", "--redis-url", &place.server.url()]).run().expect_code(0);
    let none = crate::harness::sen::sen(["agent", "list"]).database(&database.url()).run().expect_code(2);
    assert!(none.stderr.contains("no Redis is named"), "{}", none.stderr);
}

#[test]
fn completion_doctor_and_statistics() {
    use std::time::Duration;

    use sen_core::model::live::Live;
    use sen_core::model::summary::Counting;
    use sen_core::registry::{self, Access};
    use sen_core::stores::url::Target;
    use sen_core::systems::node;

    let place = Place::loaded();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = Target::resolve(Some(&place.server.url()), &|_| None).unwrap();
        let database = registry::open(&target, Access::Read, Some(crate::harness::patience::PATIENCE)).await.unwrap();
        let system = database.system(node::NAME).unwrap();
        assert!(system.present().await.unwrap());
        assert_eq!(system.complete(Live::AgentTask, "task_0e41", 10).await.unwrap(), ["task_0e41c04ec91f"]);
        assert_eq!(system.complete(Live::AgentTask, "task_", 5).await.unwrap().len(), 5);
        assert!(system.complete(Live::Lease, "", 9).await.unwrap().is_empty());
        let checks = system.diagnostics().await.unwrap().checks;
        assert!(checks.iter().any(|check| check.topic == "persistence"), "{checks:?}");
        let window = Duration::from_secs(3650 * 86_400);
        let statistics = system.stats(window, Counting::Exact).await.unwrap().unwrap();
        let facts: BTreeMap<&str, _> = statistics.facts.into_iter().collect();
        assert_eq!(facts["completed_in_window"], sen_core::model::value::Value::Int(16));
        assert_eq!(facts["failed_in_window"], sen_core::model::value::Value::Int(6));
    });
    assert_eq!(place.json(&["stats"], 0)["systems"][0]["system"], "node");
}
