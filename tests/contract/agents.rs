//! Agent tasks in Redis. Here nothing is judged by the server, but lists, details and counts read different keys.

use std::collections::BTreeMap;

use sen_core::systems::node::TaskState;
use sen_core::systems::node::verdict::State;

use crate::harness::redis::{Client, Redis};
use crate::judged::{Kind, Status, active_agrees, grouped, names};

type Fields = &'static [(&'static str, &'static str)];

/// A task: its name, fields beside those that every task has, its checkpoint, and its state.
type Task = (&'static str, Fields, Option<&'static str>, &'static str);

const PAST: (&str, &str) = ("lease_expires", "2026-11-20T19:00:00");
const AHEAD: (&str, &str) = ("lease_expires", "2099-01-01T00:00:00.000001");
const LIVES: (&str, &str) = ("owner", "worker-1");
const GONE: (&str, &str) = ("owner", "worker-9");
const SPENT: (&str, &str) = ("attempts", "3");
const COSTLY: (&str, &str) = ("cost_so_far", "11.5");

/// Of a task whose one node ended well.
const FINE: &str = r#"{"node_states": {"a": {"node_id": "a", "error": null}}, "cost_so_far": 0.5}"#;
/// Of a task of which one node of two failed.
const BROKEN: &str =
    r#"{"node_states": {"a": {"node_id": "a", "error": null}, "b": {"node_id": "b", "error": "ValueError: no"}}}"#;
/// Of a task that has cost more than its hash says.
const DEAR: &str = r#"{"node_states": {}, "cost_so_far": 12.0}"#;

const TASKS: &[Task] = &[
    ("queued", &[], None, "queued"),
    ("queued-spent", &[SPENT], None, "queued"),
    ("queued-costly", &[COSTLY], None, "over_cost_limit"),
    ("queued-at-its-limit", &[("cost_so_far", "10.0")], None, "queued"),
    ("queued-without-limit", &[COSTLY, ("cost_limit", "")], None, "queued"),
    ("leased", &[("status", "leased"), LIVES, AHEAD], None, "running"),
    ("leased-over", &[("status", "leased"), LIVES, PAST], None, "lease_expired"),
    ("leased-costly", &[("status", "leased"), LIVES, AHEAD, COSTLY], None, "over_cost_limit"),
    ("leased-over-costly", &[("status", "leased"), LIVES, PAST, COSTLY], None, "over_cost_limit"),
    ("leased-without-lease", &[("status", "leased"), LIVES], None, "running"),
    ("leased-gone", &[("status", "leased"), GONE, AHEAD], None, "worker_gone"),
    ("leased-gone-over", &[("status", "leased"), GONE, PAST, COSTLY, SPENT], None, "worker_gone"),
    ("leased-by-no-one", &[("status", "leased"), AHEAD], None, "worker_gone"),
    ("in-progress", &[("status", "in_progress"), LIVES, AHEAD], None, "running"),
    ("in-progress-over", &[("status", "in_progress"), LIVES, PAST], None, "lease_expired"),
    ("in-progress-gone", &[("status", "in_progress"), GONE, AHEAD], None, "worker_gone"),
    ("completed", &[("status", "completed"), SPENT, COSTLY], None, "completed"),
    ("completed-well", &[("status", "completed")], Some(FINE), "completed"),
    ("completed-with-errors", &[("status", "completed")], Some(BROKEN), "completed_with_errors"),
    ("completed-with-odd-checkpoint", &[("status", "completed")], Some("["), "completed"),
    ("failed", &[("status", "failed"), ("error", "ValueError: no")], Some(BROKEN), "failed"),
    ("failed-costly", &[("status", "failed"), COSTLY], None, "failed"),
    ("failed-spent", &[("status", "failed"), SPENT], None, "out_of_attempts"),
    ("cancelled", &[("status", "failed"), ("error", "Cancelled by user")], None, "cancelled"),
    ("cancelled-spent", &[("status", "failed"), ("error", "Cancelled by user"), SPENT], None, "cancelled"),
    ("retrying", &[("status", "retrying")], None, "retrying"),
    ("retrying-costly", &[("status", "retrying"), COSTLY], None, "over_cost_limit"),
    ("odd-status", &[("status", "paused")], None, "unreadable"),
    ("no-status", &[("status", "")], None, "unreadable"),
    ("odd-number", &[("attempts", "many")], None, "unreadable"),
    ("odd-lease", &[("status", "leased"), LIVES, ("lease_expires", "soon")], None, "unreadable"),
    ("no-tenant", &[("tenant_id", "")], None, "unreadable"),
    // What follows is known to details only: a list reads neither the checkpoints of unfinished tasks nor payloads.
    ("queued-costly-by-its-checkpoint", &[], Some(DEAR), "queued"),
    ("leased-costly-by-its-checkpoint", &[("status", "leased"), LIVES, AHEAD], Some(DEAR), "running"),
    ("over-costly-by-its-checkpoint", &[("status", "leased"), LIVES, PAST], Some(DEAR), "lease_expired"),
    ("odd-parameters", &[("task_params", "[]")], None, "queued"),
    ("odd-result", &[("status", "completed"), ("result", "{")], None, "completed"),
];

const ONLY_IN_DETAILS: &[(&str, &str)] = &[
    ("queued-costly-by-its-checkpoint", "over_cost_limit"),
    ("leased-costly-by-its-checkpoint", "over_cost_limit"),
    ("over-costly-by-its-checkpoint", "over_cost_limit"),
    ("odd-parameters", "unreadable"),
    ("odd-result", "unreadable"),
];

fn plant(client: &mut Client, (id, fields, checkpoint, _): &Task) {
    let mut hash = BTreeMap::from([
        ("task_id", *id),
        ("status", "queued"),
        ("tenant_id", "acme"),
        ("task_type", "research"),
        ("agent_type", "lab"),
        ("owner", ""),
        ("lease_expires", ""),
        ("attempts", "0"),
        ("max_attempts", "3"),
        ("cost_so_far", "0.0"),
        ("cost_limit", "10.0"),
        ("task_params", r#"{"query": "q"}"#),
        ("created_at", "2026-11-20T21:38:48.000001"),
        ("updated_at", "2026-11-20T21:38:48.000001"),
    ]);
    hash.extend(fields.iter().copied());
    let key = format!("task:{id}:meta");
    let words: Vec<&str> =
        ["HSET", &key].into_iter().chain(hash.iter().flat_map(|(name, text)| [*name, *text])).collect();
    client.run(&words);
    if let Some(checkpoint) = checkpoint {
        client.run(&["SET", &format!("task:{id}:checkpoint"), checkpoint]);
    }
}

#[test]
fn agent_tasks_in_redis() {
    let server = Redis::start();
    let mut client = server.client();
    let beat = r#"{"worker_id":"worker-1","pid":7,"version":"0.1.0","current_task":null,"hostname":"vm","started_at":"2026-11-20T21:38:48","last_beat":"2026-11-20T21:38:50"}"#;
    client.run(&["SET", "worker:worker-1:hb", beat, "PX", "600000"]);
    TASKS.iter().for_each(|task| plant(&mut client, task));
    // A key under a task's name that holds no hash.
    client.run(&["SET", "task:no-hash:meta", "x"]);
    let mut expected: BTreeMap<String, String> =
        TASKS.iter().map(|(id, _, _, state)| ((*id).to_owned(), (*state).to_owned())).collect();
    expected.insert("no-hash".into(), "unreadable".into());

    let url = server.url();
    let kind = Kind {
        url: &url,
        list: &["agent", "list"],
        show: &["agent", "show"],
        id: "id",
        stored: "status",
        states: &names::<TaskState>(),
        never: &[],
        as_shown: &State::ALL.map(State::name),
        only_in_details: ONLY_IN_DETAILS,
    };
    let list = kind.agrees(&expected);
    let status = Status::of(&url, "node");
    assert_eq!(status.counts("counts"), grouped(list.values().map(|row| &*row.shown)));
    status.attention_agrees(&url);
    active_agrees(&url, "node", &list, |row| matches!(&*row.shown, "queued" | "running"));
}
