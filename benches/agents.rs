//! `sen agent` beside what the controller does, one HGETALL per key in sequence, on a Redis of its own.

use std::process::Command;
use std::time::Instant;

use crate::harness::python::Environment;
use crate::harness::redis::{Answer, Client, Redis};
use crate::meter::{human, median, other, peak, sen, setting, time, title};

/// The client library of the controller.
const CLIENT: Environment = Environment { name: "redis-py", oldest: (3, 9), requirements: &["redis==6.4.0"] };

/// The controller's loop: SCAN, and for each key a HGETALL that is waited for. What its web framework and its models cost
/// comes on top and is left out.
const CONTROLLER: &str = r#"
import asyncio, sys
import redis.asyncio as redis
async def main():
    client = redis.Redis(unix_socket_path=sys.argv[1])
    counts, cursor = {}, 0
    while True:
        cursor, keys = await client.scan(cursor, match="task:*:meta", count=100)
        for key in keys:
            data = await client.hgetall(key)
            status = data[b"status"].decode()
            counts[status] = counts.get(status, 0) + 1
        if cursor == 0:
            break
    print(sum(counts.values()))
asyncio.run(main())
"#;

/// The controller's loop.
pub fn scan(server: &Redis) -> Command {
    other(&server.url(), CLIENT.python(), &["-c", CONTROLLER, &server.socket().display().to_string()])
}

pub fn run() {
    let tasks: usize = setting("SEN_BENCH_TASKS", 100_000);
    let server = Redis::start();
    fill(&mut server.client(), tasks);
    title(&format!("{tasks} agent tasks with a checkpoint each, Redis"));
    server.run(&["CONFIG", "SET", "slowlog-log-slower-than", "500"]);
    server.run(&["CONFIG", "SET", "slowlog-max-len", "10000"]);
    let theirs = time(&mut scan(&server));
    let started = Instant::now();
    sequential(&mut server.client());
    let ours = started.elapsed().as_secs_f64();
    println!(
        "One HGETALL per key in sequence: redis.asyncio, as in the controller, {}; a loop in Rust {}.\n",
        human(theirs),
        human(ours)
    );
    server.run(&["SLOWLOG", "RESET"]);
    println!(
        "| | median | against the controller's way | against the loop in Rust | peak memory |\n|---|---|---|---|---|"
    );
    for words in [
        &["agent", "stats"][..],
        &["agent", "list"],
        &["agent", "list", "--limit", "0", "-o", "jsonl"],
        &["agent", "list", "--dead-owner"],
        &["agent", "costs"],
        &["agent", "show", "task_000000000007"],
        &["status"],
    ] {
        let mut command = sen(&server.url(), words);
        let median = median((0..setting("SEN_BENCH_ROUNDS", 9)).map(|_| time(&mut command)).collect());
        let (_, memory) = peak(&mut command);
        println!(
            "| `sen {}` | {} | {:.1} times | {:.1} times | {memory:.1} MiB |",
            words.join(" "),
            human(median),
            theirs / median,
            ours / median,
        );
    }
    let slow = server.run(&["SLOWLOG", "GET", "10000"]).list();
    let mut longest: Vec<(i64, String)> = slow
        .into_iter()
        .map(|entry| {
            let parts = entry.list();
            let words: Vec<String> =
                parts[3].clone().list().iter().take(2).map(|word| word.text().chars().take(40).collect()).collect();
            (parts[2].int(), words.join(" "))
        })
        .collect();
    longest.sort();
    let worst: Vec<String> =
        longest.iter().rev().take(3).map(|(micros, words)| format!("{micros} µs {words}")).collect();
    println!(
        "\nCommands that kept the server longer than 500 µs: {}; the longest: {}.",
        longest.len(),
        worst.join(", ")
    );
}

pub fn fill(client: &mut Client, tasks: usize) {
    let status = ["completed", "completed", "completed", "queued", "leased", "failed"];
    for number in 0..tasks {
        let id = format!("task_{number:012x}");
        let status = status[number % status.len()];
        let worker = format!("worker-{}", number % 40);
        let meta = format!("task:{id}:meta");
        let params = format!(r#"{{"query": "what happened to order {number} and why", "depth": {}}}"#, number % 5);
        let second = number % 60;
        let minute = number / 60 % 60;
        let created = format!("2026-11-20T21:{minute:02}:{second:02}.{:06}", number % 1_000_000);
        client.send(&[
            "HSET",
            &meta,
            "task_id",
            &id,
            "status",
            status,
            "tenant_id",
            ["acme", "globex", "hooli"][number % 3],
            "owner",
            &worker,
            "lease_expires",
            "2099-11-20T21:43:48.174942",
            "current_node",
            "search",
            "attempts",
            "1",
            "max_attempts",
            "3",
            "cost_so_far",
            "0.0125",
            "cost_limit",
            "10.0",
            "task_type",
            "research",
            "agent_type",
            "lab",
            "task_params",
            &params,
            "created_at",
            &created,
            "updated_at",
            &created,
            "result",
            r#"{"status": "success", "message": "Task completed"}"#,
        ]);
        let call = format!(
            r#"{{"model": "gpt-4o-mini", "prompt_tokens": 120, "completion_tokens": 40, "total_tokens": 160, "cost_usd": 0.0125, "latency_ms": 412.0, "timestamp": "{created}"}}"#
        );
        let checkpoint = format!(
            r#"{{"task_id": "{id}", "current_node": "search", "node_history": ["start", "search"], "node_states": {{"search": {{"node_id": "search", "node_type": "search", "inputs": {{"query": "what happened to order {number}"}}, "outputs": {{"text": "nothing much happened to it, all in all"}}, "started_at": "{created}", "completed_at": "{created}", "error": null}}}}, "cost_so_far": 0.025, "llm_calls": [{call}, {call}], "attempts": 1, "updated_at": "{created}"}}"#
        );
        client.send(&["SET", &format!("task:{id}:checkpoint"), &checkpoint, "EX", "600000"]);
        if number % 500 == 499 || number + 1 == tasks {
            (0..2 * (number % 500 + 1)).for_each(|_| drop(client.answer()));
        }
    }
    for worker in 0..30 {
        client.run(&["SET", &format!("worker:worker-{worker}:hb"), r#"{"pid":7,"hostname":"vm"}"#, "EX", "60000"]);
    }
}

fn sequential(client: &mut Client) {
    let mut cursor = "0".to_owned();
    loop {
        let mut page = client.run(&["SCAN", &cursor, "MATCH", "task:*:meta", "COUNT", "100"]).list();
        for key in page.pop().map(Answer::list).unwrap_or_default() {
            drop(client.run(&["HGETALL", key.text()]));
        }
        cursor = page.pop().map(|cursor| cursor.text().to_owned()).unwrap_or_default();
        if cursor == "0" {
            return;
        }
    }
}
