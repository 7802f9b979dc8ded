//! Cancel, requeue, submit and rate limits: what they write, under which guards, and that the models still parse it.

use serde_json::{Value, json};

use crate::harness::patience::{PATIENCE, shown, until};
use crate::place::{Place, check_model};

#[track_caller]
fn parses(place: &Place, id: &str) {
    check_model(&place.hash(id)).unwrap_or_else(|why| panic!("{id}: {why}"));
}

fn item(report: &Value) -> &Value {
    &report["results"][0]
}

#[test]
fn cancel_as_the_controller_does() {
    let place = Place::loaded();
    for id in ["task_086afa9f5fe8", "task_4e3b880ae856", "task_inprogress01", "task_retrying0001"] {
        let before = place.hash(id);
        let report = place.json(&["agent", "cancel", id, "--reason", "INC-482", "--yes"], 0);
        assert_eq!((&report["applied"], &item(&report)["detail"]), (&json!(1), &json!("cancelled")), "{id}");
        let hash = place.hash(id);
        parses(&place, id);
        assert_eq!((hash["status"].as_str(), hash["error"].as_str()), ("failed", "Cancelled by user"));
        assert_eq!((hash["owner"].as_str(), hash["lease_expires"].as_str()), ("", ""));
        assert_eq!(hash["completed_at"], hash["updated_at"]);
        for name in ["task_params", "attempts", "cost_so_far", "created_at", "tenant_id"] {
            assert_eq!(hash.get(name), before.get(name), "{name}");
        }
        let event = place.events().pop().unwrap();
        assert_eq!(event["event"], "task_cancelled");
        assert_eq!((event["task_id"].as_str(), event["old_status"].as_str()), (id, before["status"].as_str()));
        assert_eq!((event["why"].as_str(), event["tool"].as_str()), ("INC-482", "sen"));
        assert_eq!(event["operation"], report["operation"].as_str().unwrap());
        assert!(event["who"].starts_with(&crate::harness::sen::operator()), "{event:?}");
    }
    // Once more is nothing to do; what is over is refused; what is not there is missing.
    let again = place.json(&["agent", "cancel", "task_086afa9f5fe8", "--yes"], 0);
    assert_eq!(again["already_done"], 1);
    let before = place.everything();
    place.run(&["agent", "cancel", "task_1c95c165d749", "--yes"], 5);
    place.run(&["agent", "cancel", "nope"], 4);
    place.run(&["agent", "cancel", "task_8a1357ed5225", "--dry-run"], 0);
    place.run(&["agent", "cancel", "task_8a1357ed5225", "--read-only"], 7);
    place.run(&["agent", "cancel", "task_8a1357ed5225", "task_6bc11b68e30d"], 7);
    place.run(&["agent", "cancel", "task_8a1357ed5225", "--expect", "2", "--yes"], 5);
    let both = place.json(&["agent", "cancel", "task_8a1357ed5225", "nope", "--dry-run", "--expect", "1"], 3);
    let plan = &both["plan"]["header"]["plan"];
    assert_eq!((&plan["summary"], &plan["targets"]), (&"cancel 1 agent task".into(), &1.into()), "{both}");
    assert_eq!(place.everything(), before);
}

#[test]
fn requeue_as_the_watcher_does() {
    let place = Place::loaded();
    let id = "task_7957eed7bf74";
    let before = place.everything();
    let refused = place.run(&["agent", "requeue", id], 7);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    let plan = place.run(&["agent", "requeue", id, "--dry-run"], 0).stdout;
    assert!(plan.contains("if it is leased and it is worker-killed-0's"), "{plan}");
    assert_eq!(place.everything(), before);

    let report = place.json(&["agent", "requeue", id, "--yes"], 0);
    assert_eq!(item(&report)["detail"], "requeued, 1 attempt used");
    parses(&place, id);
    let hash = place.hash(id);
    assert_eq!((hash["status"].as_str(), hash["owner"].as_str(), hash["attempts"].as_str()), ("queued", "", "1"));
    let ours = place.events().pop().unwrap();
    let theirs = place.events().into_iter().find(|event| event.get("event").is_some()).unwrap();
    for name in theirs.keys() {
        assert!(ours.contains_key(name), "the watcher's event has {name}");
    }
    assert_eq!((ours["dead_worker"].as_str(), ours["old_status"].as_str()), ("worker-killed-0", "leased"));
    assert_eq!((ours["new_status"].as_str(), ours["attempts"].as_str()), ("queued", "1"));

    // The last attempt: the watcher's clean-up of leases does not look at them, nor does a worker that claims.
    place.make("last", "leased", "worker-gone", &[("attempts", "3")]);
    let plan = place.run(&["agent", "requeue", "last", "--dry-run"], 0).stdout;
    assert!(plan.contains("its attempts are used up (3 of 3)"), "{plan}");
    let report = place.json(&["agent", "requeue", "last", "--yes"], 0);
    assert_eq!(item(&report)["detail"], "requeued, 3 attempts used");
    parses(&place, "last");
    let hash = place.hash("last");
    assert!(!hash.contains_key("error"));
    assert_eq!((hash["status"].as_str(), hash["attempts"].as_str()), ("queued", "3"));

    // Attempts are the worker's to count.
    place.json(&["agent", "requeue", "task_retrying0001", "--yes"], 0);
    assert_eq!(
        (place.hash("task_retrying0001")["status"].as_str(), place.hash("task_retrying0001")["attempts"].as_str()),
        ("queued", "1")
    );

    let before = place.everything();
    for (id, code, why) in [
        ("task_235bed1ec052", 5, "the heartbeat of its worker worker-live is there"),
        ("task_4b206064b737", 5, "sen dlq replay task_4b206064b737"),
        ("task_1c95c165d749", 5, "completed already"),
        ("task_086afa9f5fe8", 0, "queued already"),
        ("nope", 4, "no such agent task"),
    ] {
        let report = place.json(&["agent", "requeue", id, "--yes"], code);
        assert!(item(&report)["detail"].as_str().unwrap().contains(why), "{report}");
    }
    assert_eq!(place.everything(), before);
}

#[test]
fn requeue_all_is_what_the_watcher_would_do() {
    let place = Place::loaded();
    let planned = place.json(&["agent", "requeue", "--all", "--dry-run"], 0);
    assert_eq!(planned["planned"], 4);
    let one = place.json(&["agent", "requeue", "--all", "--owner", "worker-x", "--dry-run"], 0);
    assert_eq!(one["planned"], 1);
    let done = place.json(&["agent", "requeue", "--all", "--yes", "--expect", "4"], 0);
    assert_eq!(done["applied"], 4);
    assert_eq!(place.json(&["agent", "requeue", "--all", "--yes"], 0)["applied"], 0);
    // The live worker's task is left alone.
    assert_eq!(place.hash("task_235bed1ec052")["status"], "leased");
}

#[test]
fn what_was_done_is_shown_before_a_requeue() {
    let place = Place::loaded();
    place.make("half", "leased", "worker-gone", &[]);
    place.server.run(&["SET", "effects:half:upload:a:result", "{}"]);
    place.server.run(&["SET", "effects:half:charge:lock", "1", "PX", "600000"]);
    place.server.run(&["SET", "effects:halfway:other:result", "{}"]);
    let plan = place.run(&["agent", "requeue", "half", "--dry-run"], 0).stdout;
    assert!(plan.contains("done and not repeated: upload:a"), "{plan}");
    assert!(plan.contains("begun, with no result, and possibly repeated: charge"), "{plan}");
    assert!(!plan.contains("other"), "{plan}");
    let shown = place.json(&["agent", "show", "half"], 0);
    assert_eq!(shown["effects"].as_array().unwrap().len(), 2);
}

/// Every guard of the scripts: a change between the look and the act leaves everything as it is.
#[test]
fn guards() {
    use sen_core::ops::act::{self, Author};
    use sen_core::permit::{Consent, Revocation};
    use sen_core::registry::{self, Access};
    use sen_core::stores::url::Target;
    use sen_core::systems::node::request::AgentRequest;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = Place::empty();
    let target = Target::resolve(Some(&place.server.url()), &|_| None).unwrap();
    let database = runtime.block_on(registry::open(&target, Access::Write, Some(PATIENCE))).unwrap();
    let system = database.agents().unwrap();
    type Change = fn(&Place);
    type Case<'a> = (&'a str, &'a dyn Fn(&Place), bool);
    let set = |name: &'static str, value: &'static str| move |place: &Place| place.set("t", &[(name, value)]);
    let status = set("status", "queued");
    let owner = set("owner", "worker-new");
    let lease = set("lease_expires", "2099-01-01T00:00:00.000002");
    let updated = set("updated_at", "2026-11-20T21:38:48.000002");
    let changes: [Case<'_>; 7] = [
        ("last change", &updated, false),
        ("status", &status, true),
        ("owner", &owner, true),
        ("lease", &lease, true),
        ("type", &((|place: &Place| drop(place.server.run(&["SET", "task:t:meta", "x"]))) as Change), true),
        ("gone", &((|place: &Place| drop(place.server.run(&["DEL", "task:t:meta"]))) as Change), true),
        ("heartbeat", &((|place: &Place| place.beat("worker-gone")) as Change), false),
    ];
    for (what, change, cancel_too) in changes {
        for cancel in [false, true] {
            if cancel && !cancel_too {
                continue;
            }
            place.server.run(&["FLUSHALL"]);
            place.make("t", "leased", "worker-gone", &[]);
            let ids = vec!["t".to_owned()];
            let request = if cancel {
                AgentRequest::Cancel { ids, verify: None }
            } else {
                AgentRequest::Requeue { ids, verify: None }
            };
            let action = runtime.block_on(system.plan(&request)).unwrap();
            assert_eq!(action.plan().targets(), 1, "{what}: {:?}", action.plan().refused);
            change(&place);
            let before = place.everything();
            let report = runtime
                .block_on(act::apply(action, Consent::InAdvance, Author::default(), &Revocation::default()))
                .unwrap();
            let expected = if what == "gone" { "missing" } else { "changed" };
            assert_eq!(report.items[0].outcome.name(), expected, "{what}, cancel {cancel}: {:?}", report.items);
            assert_eq!(place.everything(), before, "{what}, cancel {cancel}");
        }
    }
}

#[test]
fn an_undone_cancel_is_reported() {
    let place = Place::empty();
    place.make("busy", "leased", "worker-live", &[]);
    place.beat("worker-live");
    let whole = place.hash("busy");
    let running = place.sen(&["agent", "cancel", "busy", "--verify", "10m", "-o", "json", "--yes"]).start();
    until("the cancel", || place.hash("busy")["status"] == "failed");
    // What a live worker does when it renews its lease: it saves everything it remembers.
    let pairs: Vec<(&str, &str)> = whole.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    place.set("busy", &pairs);
    let output = running.finish().expect_code(5);
    assert!(output.took < PATIENCE, "it is reported as soon as it is seen");
    let detail = output.json()["results"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("cancelled, but then undone: worker-live saved the whole task again"), "{detail}");

    // Without --verify it is said that it may be undone.
    place.make("other", "leased", "worker-live", &[]);
    let report = place.json(&["agent", "cancel", "other", "--yes"], 0);
    assert!(
        item(&report)["detail"].as_str().unwrap().contains("worker-live was at work on it and may undo this"),
        "{report}"
    );

    // A requeue that is undone by the worker that was thought gone, and one that another worker takes up.
    let report = shown("both happen while it is watched", |run| {
        let (away, taken) = (format!("away-{run}"), format!("taken-{run}"));
        for id in [&away, &taken] {
            place.make(id, "leased", "worker-gone", &[("attempts", "1")]);
        }
        let whole = place.hash(&away);
        let watch = format!("{}s", 3 * 3_u64.pow(run));
        let mut running =
            place.sen(&["agent", "requeue", &away, &taken, "--yes", "--verify", &watch, "-o", "json"]).start();
        until("both are requeued", || [&away, &taken].iter().all(|id| place.hash(id)["status"] == "queued"));
        let mut pairs: Vec<(&str, &str)> = whole.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.push(("lease_expires", "2099-01-01T00:05:00.000001"));
        place.set(&away, &pairs);
        place.set(
            &taken,
            &[("status", "leased"), ("owner", "worker-gone"), ("lease_expires", "2099-01-01T00:09:00.000001")],
        );
        let in_time = running.is_running();
        let output = running.finish();
        // It looks five times a second, and had been about to end.
        (in_time && output.code != 0).then(|| output.expect_code(3).json())
    });
    assert_eq!((report["applied"].as_i64(), report["changed"].as_i64()), (Some(1), Some(1)), "{report}");
    assert!(report["results"][0]["detail"].as_str().unwrap().contains("undone"), "{report}");
}

#[test]
fn submit_as_the_controller_does() {
    let place = Place::loaded();
    let report = place
        .json(&["agent", "submit", "--tenant", "acme", "--type", "research", "--params", r#"{"query": "q – 1"}"#], 0);
    let subject = item(&report)["subject"].as_str().unwrap().to_owned();
    let id = subject.rsplit(':').next().unwrap();
    assert!(regex::Regex::new("^task_[0-9a-f]{12}$").unwrap().is_match(id), "{id}");
    parses(&place, id);
    let (ours, theirs) = (place.hash(id), place.hash("task_086afa9f5fe8"));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for name in ["status", "attempts", "max_attempts", "cost_so_far", "cost_limit", "task_type", "tenant_id"] {
        assert_eq!(ours[name], theirs[name], "{name}");
    }
    assert_eq!((ours["task_params"].as_str(), ours["agent_type"].as_str()), (r#"{"query": "q – 1"}"#, "prompt-based"));
    let named = ["agent", "submit", "--tenant", "a", "--type", "b", "--id", "nightly"];
    place.run(&named, 0);
    let before = place.everything();
    place.run(&named, 5);
    for wrong in [
        &["--params", "[]"][..],
        &["--params", "{"],
        &["--id", "a:b"],
        &["--cost-limit", "nan"],
        &["--max-attempts", "0"],
    ] {
        place.run(&[&["agent", "submit", "--tenant", "a", "--type", "b"], wrong].concat(), 2);
    }
    assert_eq!(place.everything(), before);
}

#[test]
fn rate_limits() {
    let place = Place::loaded();
    place.run(&["agent", "rate-limit", "set", "acme", "--capacity", "50", "--refill-rate", "2.5"], 0);
    let bucket = place.server.run(&["HGETALL", "ratelimit:tenant:acme"]).map();
    assert_eq!((bucket["tokens"].as_str(), bucket["refill_rate"].as_str()), ("50.0", "2.5"));
    assert!(bucket["last_refill"].parse::<f64>().unwrap() > 1.7e9);
    let ttl = place.server.run(&["TTL", "ratelimit:tenant:acme"]).int();
    assert!((86_000..=86_400).contains(&ttl), "{ttl}");
    assert_eq!(place.events().pop().unwrap()["event"], "rate_limit_set");
    place.run(&["agent", "rate-limit", "reset", "acme"], 0);
    assert_eq!(place.server.run(&["EXISTS", "ratelimit:tenant:acme"]).int(), 0);
    place.server.run(&["SET", "ratelimit:tenant:odd", "x"]);
    place.run(&["agent", "rate-limit", "set", "odd", "--capacity", "5"], 5);
    place.run(&["agent", "rate-limit", "reset", "odd"], 5);
    place.run(&["agent", "rate-limit", "set", "acme", "--capacity=-5"], 2);
}

#[test]
fn events_are_followed() {
    let place = Place::loaded();
    let running = place.sen(&["agent", "events", "--limit", "1", "--follow", "-o", "jsonl"]).start();
    running.wait_until("the last event before", |told| told.contains("node_completed"));
    place.run(&["agent", "cancel", "task_086afa9f5fe8", "--yes"], 0);
    place.run(&["agent", "cancel", "task_8a1357ed5225", "--yes"], 0);
    running.wait_until("both events", |told| told.matches('\n').count() >= 3);
    running.signal(rustix::process::Signal::INT);
    let output = running.finish().expect_code(130);
    let told: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["node_completed", "task_cancelled", "task_cancelled"]);
    assert_eq!(told[2]["task_id"], "task_8a1357ed5225");
}
