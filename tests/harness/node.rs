//! The keys that the real Sentinel-Node-Orchestrator wrote (`tests/fixtures/node`), for a Redis of the tests.

use std::path::Path;

use serde_json::Value;

use super::redis::{Client, Redis};

/// One key of the fixtures.
pub struct Key {
    /// Its name.
    pub key: String,
    /// The type of its value, as Redis names it.
    pub kind: String,
    /// What was left of it, in milliseconds; negative for ever.
    pub ttl: i64,
    /// Its value.
    pub value: Value,
}

/// A file of the fixtures.
pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every key that the real code wrote.
pub fn keys() -> Vec<Key> {
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a fixture is JSON");
        Key {
            key: value["key"].as_str().expect("a fixture has it").to_owned(),
            kind: value["type"].as_str().expect("a fixture has it").to_owned(),
            ttl: value["pttl_ms"].as_i64().expect("a fixture has it"),
            value: value["value"].clone(),
        }
    };
    fixture("keys.jsonl").lines().map(read).collect()
}

/// The workers whose heartbeat is kept alive in [`load_all`].
pub const LIVE: [&str; 2] = ["worker-1", "worker-live"];

/// Loads all of them; the heartbeats of the killed workers are gone.
pub fn load_all(server: &Redis) {
    let mut client = server.client();
    for key in keys() {
        load(&mut client, &key);
    }
}

/// Loads one key. Locks, checkpoints and live heartbeats get a TTL that outlives the test.
pub fn load(client: &mut Client, key: &Key) {
    let name = key.key.as_str();
    match key.kind.as_str() {
        "hash" => {
            let mut words = vec!["HSET", name];
            let fields = key.value.as_object().expect("a fixture has it");
            words.extend(
                fields.iter().flat_map(|(field, value)| [field.as_str(), value.as_str().expect("a fixture has it")]),
            );
            client.run(&words);
        }
        "string" => {
            client.run(&["SET", name, key.value.as_str().expect("a fixture has it")]);
        }
        "stream" => {
            for entry in key.value.as_array().expect("a fixture has it") {
                let mut words = vec!["XADD", name, entry[0].as_str().expect("a fixture has it")];
                let fields = entry[1].as_object().expect("a fixture has it");
                words.extend(
                    fields
                        .iter()
                        .flat_map(|(field, value)| [field.as_str(), value.as_str().expect("a fixture has it")]),
                );
                client.run(&words);
            }
        }
        other => panic!("{other} in the fixtures"),
    }
    if key.ttl > 0 {
        let dead = name.starts_with("worker:") && !LIVE.iter().any(|live| name == format!("worker:{live}:hb"));
        if dead {
            client.run(&["DEL", name]);
        } else {
            client.run(&["PEXPIRE", name, "3600000"]);
        }
    }
}
