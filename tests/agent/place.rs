//! A Redis with agent tasks, `sen` beside it, and the rules that the system's own models enforce.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::node::{fixture, load_all};
pub(crate) use crate::harness::node::{keys, load};
use crate::harness::redis::{Options, Redis};
use crate::harness::sen::{Output, Sen, sen};

/// What the real controller answered.
pub(crate) fn controller() -> Value {
    serde_json::from_str(&fixture("controller.json")).expect("a fixture is JSON")
}

/// A server with the fixtures.
pub(crate) struct Place {
    pub server: Redis,
}

impl Place {
    /// Nothing in it.
    pub(crate) fn empty() -> Self {
        Self { server: Options::new().tcp().start() }
    }

    /// The fixtures; the heartbeats of the killed workers are gone.
    pub(crate) fn loaded() -> Self {
        let place = Self::empty();
        load_all(&place.server);
        place
    }

    pub(crate) fn sen(&self, words: &[&str]) -> Sen {
        sen(words.iter().copied()).database(&self.server.url()).env("USER", "maria")
    }

    /// Runs `sen -o json`, which must end with this code.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str], code: i32) -> Value {
        self.sen(&[words, &["-o", "json"]].concat()).run().expect_code(code).json()
    }

    #[track_caller]
    pub(crate) fn run(&self, words: &[&str], code: i32) -> Output {
        self.sen(words).run().expect_code(code)
    }

    /// The hash of a task.
    pub(crate) fn hash(&self, id: &str) -> BTreeMap<String, String> {
        self.server.run(&["HGETALL", &format!("task:{id}:meta")]).map()
    }

    pub(crate) fn set(&self, id: &str, pairs: &[(&str, &str)]) {
        let key = format!("task:{id}:meta");
        let mut words = vec!["HSET", &key];
        words.extend(pairs.iter().flat_map(|(name, value)| [*name, *value]));
        self.server.run(&words);
    }

    /// A task of this status and owner, as the system's own code would save it.
    pub(crate) fn make(&self, id: &str, status: &str, owner: &str, more: &[(&str, &str)]) {
        let lease = if owner.is_empty() { "" } else { "2099-01-01T00:00:00.000001" };
        let mut pairs = vec![
            ("task_id", id),
            ("status", status),
            ("tenant_id", "acme"),
            ("task_type", "research"),
            ("agent_type", "lab"),
            ("owner", owner),
            ("lease_expires", lease),
            ("attempts", "0"),
            ("max_attempts", "3"),
            ("cost_so_far", "0.0"),
            ("cost_limit", "10.0"),
            ("task_params", "{\"query\": \"q\"}"),
            ("created_at", "2026-11-20T21:38:48.000001"),
            ("updated_at", "2026-11-20T21:38:48.000001"),
        ];
        pairs.extend(more);
        self.set(id, &pairs);
    }

    /// A heartbeat that stays.
    pub(crate) fn beat(&self, worker: &str) {
        let beat = format!(
            r#"{{"worker_id":"{worker}","pid":7,"version":"0.1.0","current_task":null,"hostname":"vm","started_at":"2026-11-20T21:38:48","last_beat":"2026-11-20T21:38:50"}}"#
        );
        self.server.run(&["SET", &format!("worker:{worker}:hb"), &beat, "PX", "600000"]);
    }

    /// The flat fields of all events, oldest first.
    pub(crate) fn events(&self) -> Vec<BTreeMap<String, String>> {
        let entries = self.server.run(&["XRANGE", "stream:events", "-", "+"]).list();
        entries.into_iter().map(|entry| entry.list().remove(1).map()).collect()
    }

    /// Every key with its content, to compare before and after.
    pub(crate) fn everything(&self) -> BTreeMap<String, String> {
        let mut client = self.server.client();
        let names: BTreeSet<String> =
            client.run(&["KEYS", "*"]).list().iter().map(|key| key.text().to_owned()).collect();
        let mut content = |key: &String| {
            let words: Vec<&str> = match client.run(&["TYPE", key]).text() {
                "hash" => vec!["HGETALL", key],
                "stream" => vec!["XRANGE", key, "-", "+"],
                "string" => vec!["GET", key],
                _ => vec!["TYPE", key],
            };
            let mut pairs = format!("{:?}", client.run(&words));
            if words[0] == "HGETALL" {
                pairs = format!("{:?}", client.run(&words).map());
            }
            pairs
        };
        names.into_iter().map(|key| (key.clone(), content(&key))).collect()
    }
}

const STATUSES: [&str; 6] = ["queued", "leased", "in_progress", "completed", "failed", "retrying"];

/// The rules the real models enforce when they read a task's hash (the README of the fixtures lists them).
pub(crate) fn check_model(hash: &BTreeMap<String, String>) -> Result<(), String> {
    for name in ["task_id", "status", "tenant_id", "task_type"] {
        if !hash.contains_key(name) {
            return Err(format!("{name} is required"));
        }
    }
    if !STATUSES.contains(&hash["status"].as_str()) {
        return Err(format!("status {:?}", hash["status"]));
    }
    for (name, may_be_empty) in
        [("lease_expires", true), ("completed_at", true), ("created_at", false), ("updated_at", false)]
    {
        match hash.get(name).map(String::as_str) {
            None => {}
            Some("") if may_be_empty => {}
            Some(text) if is_naive(text) => {}
            Some(text) => return Err(format!("{name} {text:?}")),
        }
    }
    for name in ["attempts", "max_attempts"] {
        if let Some(text) = hash.get(name).filter(|text| text.parse::<i64>().is_err()) {
            return Err(format!("{name} {text:?}"));
        }
    }
    for name in ["cost_so_far", "cost_limit"] {
        if let Some(text) = hash.get(name).filter(|text| text.parse::<f64>().is_err()) {
            return Err(format!("{name} {text:?}"));
        }
    }
    for name in ["task_params", "result"] {
        let object = |text: &String| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
        if let Some(text) = hash.get(name).filter(|text| !object(text)) {
            return Err(format!("{name} {text:?}"));
        }
    }
    Ok(())
}

/// ISO 8601 without a zone.
fn is_naive(text: &str) -> bool {
    let pattern = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?$").unwrap();
    pattern.is_match(text)
}

#[test]
fn the_checker_accepts_what_the_real_code_wrote_and_sees_breaches() {
    let place = Place::loaded();
    let hashes: Vec<_> = keys().into_iter().filter(|key| key.key.ends_with(":meta")).collect();
    assert_eq!(hashes.len(), 38);
    for key in &hashes {
        let id = key.key.strip_prefix("task:").unwrap().strip_suffix(":meta").unwrap();
        check_model(&place.hash(id)).unwrap_or_else(|why| panic!("{id}: {why}"));
    }
    let good = place.hash("task_inprogress01");
    for (name, value) in [
        ("status", "cancelled"),
        ("updated_at", ""),
        ("updated_at", "2026-11-20T21:38:48Z"),
        ("lease_expires", "None"),
        ("attempts", "1.5"),
        ("cost_so_far", ""),
        ("result", ""),
        ("task_params", "[]"),
    ] {
        let mut bad = good.clone();
        bad.insert(name.into(), value.into());
        assert!(check_model(&bad).is_err(), "{name} {value:?}");
    }
    let mut bad = good;
    bad.remove("tenant_id");
    assert!(check_model(&bad).is_err());
}
