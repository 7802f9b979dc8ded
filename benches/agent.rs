//! `sen agent` beside what the controller does, one HGETALL per key in sequence, on a Redis of its own:
//! `cargo bench --bench agent`. See README.md.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its numbers")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::python::Environment;
use harness::redis::{Client, Redis};
use harness::sen::{SEN, clean_environment};

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

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("agent: run `cargo bench --bench agent`");
        return;
    }
    let tasks: usize = std::env::var("SEN_BENCH_TASKS").map_or(100_000, |text| text.parse().expect("a number"));
    let server = Redis::start();
    fill(&mut server.client(), tasks);
    println!("{tasks} tasks with a checkpoint each; load before: {}", load());
    server.run(&["CONFIG", "SET", "slowlog-log-slower-than", "500"]);
    server.run(&["CONFIG", "SET", "slowlog-max-len", "10000"]);

    let python = CLIENT.python();
    let mut controller = Command::new(python);
    controller.args(["-c", CONTROLLER]).arg(server.socket());
    let theirs = time(&mut controller);
    let ours = time_of(|| sequential(&mut server.client()));
    println!("\nOne HGETALL per key in sequence");
    println!("  redis.asyncio, as in the controller   {:>8.2} s", theirs.as_secs_f64());
    println!("  a blocking loop in Rust               {:>8.2} s", ours.as_secs_f64());

    server.run(&["SLOWLOG", "RESET"]);
    println!("\nThe whole process (median of 5)");
    for words in [
        &["agent", "stats"][..],
        &["agent", "list"],
        &["agent", "list", "--limit", "0", "-o", "jsonl"],
        &["agent", "list", "--limit", "0", "-o", "csv", "--fields", "task_id,status,owner"],
        &["agent", "list", "--dead-owner"],
        &["agent", "costs"],
        &["agent", "show", "task_000000000007"],
        &["status"],
    ] {
        let command = || {
            let mut command = Command::new(SEN);
            command.args(words).env_clear().envs(clean_environment()).env("DATABASE_URL", server.url());
            command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir(std::env::temp_dir());
            command
        };
        let mut took: Vec<Duration> = (0..5).map(|_| time(&mut command())).collect();
        took.sort();
        let median = took[2].as_secs_f64();
        let peak = peak_memory(&mut command()) as f64 / 1024.0;
        println!(
            "  {:<62} {:>8.3} s  {:>6.1}x  {:>6.1}x in Rust  {peak:>5.1} MiB at most",
            words.join(" "),
            median,
            theirs.as_secs_f64() / median,
            ours.as_secs_f64() / median,
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
    println!("\nThe slowest commands in the server (µs), of those above 500: {}", longest.len());
    for (micros, words) in longest.iter().rev().take(5) {
        println!("  {micros:>6}  {words}");
    }
    println!("\nload after: {}", load());
}

fn fill(client: &mut Client, tasks: usize) {
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
        for key in page.pop().map(harness::redis::Answer::list).unwrap_or_default() {
            drop(client.run(&["HGETALL", key.text()]));
        }
        cursor = page.pop().map(|cursor| cursor.text().to_owned()).unwrap_or_default();
        if cursor == "0" {
            return;
        }
    }
}

fn time(command: &mut Command) -> Duration {
    time_of(|| {
        let status = command.status().expect("it can be started");
        assert!(status.success(), "{command:?} failed: {status}");
    })
}

fn time_of(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// The high-water mark of a process of its own in KiB, as the kernel last told it.
fn peak_memory(command: &mut Command) -> u64 {
    let mut child = command.spawn().expect("it can be started");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("it can be waited for").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}
