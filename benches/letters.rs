//! `sen dlq replay --all` and `sen dlq groups` beside hand-written SQL and the original tool's replay, on one PostgreSQL of its
//! own: `cargo bench --bench letters`. See letters.md.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its numbers")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::peers::{self, STENT_112};
use harness::postgres::{Database, Options, Server};
use harness::psql;
use harness::sen::{SEN, clean_environment};

/// Letters as the library leaves them: the execution failed, the task failed, the dump with error and traceback.
const FILL: &str = r#"
INSERT INTO executions SELECT 'e-' || md5(n::text), 'flows:failing', 'failed', convert_to('["order-' || n || '"]', 'utf8'), '{}', NULL,
    convert_to(repeat('x', 600), 'utf8'), 0, t, t, t, NULL, '["bulk"]', 0, 'main'
    FROM generate_series(1, {n}) AS n, LATERAL (SELECT timestamp '2026-11-20' + n * interval '10 ms' AS t) AS at;
INSERT INTO tasks SELECT md5('t' || n)::uuid::text, 'e-' || md5(n::text), 'flows:failing', 'orchestrator', NULL, 'failed',
    convert_to('["order-' || n || '"]', 'utf8'), '{}', NULL, convert_to(repeat('x', 600), 'utf8'), 1, t, t, t, 'worker-1', NULL,
    '["bulk"]', 0, 'main', NULL, '{"max_attempts": 2}', NULL
    FROM generate_series(1, {n}) AS n, LATERAL (SELECT timestamp '2026-11-20' + n * interval '10 ms' AS t) AS at;
INSERT INTO dead_tasks SELECT id, 'provider ' || n % 7 || ' unreachable for order-' || n || ' after 3000 ms', completed_at,
    json_build_object('id', id, 'execution_id', execution_id, 'step_name', step_name, 'kind', kind, 'parent_task_id', NULL, 'state', state,
        'args', translate(encode(args, 'base64'), E'\n', ''), 'kwargs', translate(encode(kwargs, 'base64'), E'\n', ''), 'result', NULL,
        'error', translate(encode(error, 'base64'), E'\n', ''), 'retries', 1, 'created_at', created_at, 'started_at', started_at,
        'completed_at', completed_at, 'worker_id', worker_id, 'lease_expires_at', NULL, 'tags', json_build_array('bulk'), 'priority', 0,
        'queue', queue, 'retry_policy', json_build_object('max_attempts', 2, 'backoff_factor', 2.0, 'initial_delay', 0.01,
        'max_delay', 60.0, 'jitter', 0.0, 'retry_for', json_build_array('Exception')), 'idempotency_key', NULL, 'scheduled_for', NULL)::text
    FROM (SELECT *, row_number() OVER (ORDER BY created_at) AS n FROM tasks) AS t;
VACUUM ANALYZE; CHECKPOINT;"#;

/// The same work in one statement, as somebody who knows the tables would write it: without guards, limits or a plan.
const BY_HAND: &str = "WITH gone AS (DELETE FROM dead_tasks RETURNING id, data),
    letters AS MATERIALIZED (SELECT id, data::jsonb AS t FROM gone),
    made AS (INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, retries, created_at, tags,
            priority, queue, idempotency_key, retry_policy)
        SELECT gen_random_uuid()::text, t->>'execution_id', t->>'step_name', t->>'kind', t->>'parent_task_id', 'pending',
            decode(t->>'args', 'base64'), decode(t->>'kwargs', 'base64'), 0, now()::timestamp, (t->'tags')::text,
            (t->>'priority')::int, t->>'queue', t->>'idempotency_key', ((t->'retry_policy') - 'retry_for')::text FROM letters),
    opened AS (UPDATE executions AS e SET state = 'pending', started_at = NULL, completed_at = NULL, result = NULL, error = NULL,
        retries = 0 FROM letters AS l WHERE e.id = l.t->>'execution_id' AND l.t->>'kind' = 'orchestrator')";
/// The record that `sen` keeps beside each execution.
const RECORD: &str = ", noted AS (INSERT INTO execution_progress (execution_id, step, status, detail)
        SELECT t->>'execution_id', t->>'step_name', 'dispatched', 'dead letter ' || id || ' replayed as task ' || gen_random_uuid()
            || ' by maria@ops-3 (sen operation 0a9dd7a6-2f7b-4df1-9d1c-1a2b3c4d5e6f), database role postgres' FROM letters)";
const COUNT: &str = " SELECT count(*) FROM letters";

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("letters: run `cargo bench --bench letters`");
        return;
    }
    let setting = |name: &str, otherwise: usize| {
        std::env::var(name)
            .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let (rows, rounds) = (setting("SEN_BENCH_LETTERS", 100_000), setting("SEN_BENCH_ROUNDS", 3));
    let server = Server::start(&Options::new().conf("shared_buffers = 512MB").conf("max_wal_size = 8GB"));
    println!("{rows} letters, {rounds} rounds; load before: {}", load());

    let mut took: [Vec<f64>; 3] = Default::default();
    let mut peak = 0;
    for _ in 0..rounds {
        for (contender, times) in took.iter_mut().enumerate() {
            let database = filled(&server, rows);
            let start = Instant::now();
            match contender {
                0 => drop(psql::run(&database.url(), &[BY_HAND, COUNT].concat())),
                1 => drop(psql::run(&database.url(), &[BY_HAND, RECORD, COUNT].concat())),
                _ => peak = peak.max(ours(&database, &["dlq", "replay", "--all", "--yes", "-q"])),
            }
            times.push(start.elapsed().as_secs_f64());
            let made = database.psql("SELECT count(*) FROM tasks WHERE state = 'pending'");
            assert_eq!(made, rows.to_string());
        }
    }
    let names = ["one statement by hand", "the same with the record", "sen dlq replay --all --yes"];
    let medians = took.map(median);
    println!("\nReplaying all of them");
    for (name, seconds) in names.iter().zip(medians) {
        let rate = rows as f64 / seconds;
        println!("  {name:<28} {seconds:>7.2} s {rate:>9.0} letters/s {:>6.2} ×", seconds / medians[0]);
    }
    println!("  beside the statement that keeps the record, too: {:.2} ×", medians[2] / medians[1]);
    println!("  memory of sen at most {:.1} MiB", peak as f64 / 1024.0);

    let some = rows.min(1000);
    let database = filled(&server, some);
    let start = Instant::now();
    peers::ask(&STENT_112, "stent/flow.py", &[&database.url(), "replay-all"]);
    let rate = some as f64 / start.elapsed().as_secs_f64();
    println!(
        "  the original's replay of {some}: {rate:.0} letters/s, {:.0} times slower",
        rows as f64 / medians[2] / rate
    );

    let database = filled(&server, rows);
    let sql =
        "SELECT step_name, reason, count(*), min(moved_at), max(moved_at), min(d.id), e.state FROM dead_tasks AS d
        JOIN tasks AS t ON t.id = d.id LEFT JOIN executions AS e ON e.id = t.execution_id GROUP BY 1, 2, 7";
    let mut groups: [Vec<f64>; 2] = Default::default();
    for _ in 0..=rounds * 2 {
        for (contender, times) in groups.iter_mut().enumerate() {
            let start = Instant::now();
            match contender {
                0 => drop(psql::run(&database.url(), sql)),
                _ => drop(ours(&database, &["dlq", "groups", "-o", "json"])),
            }
            times.push(start.elapsed().as_secs_f64());
        }
    }
    let [by_hand, sen] = groups.map(median);
    println!(
        "\nGrouping {rows} letters\n  psql, the rows it takes {by_hand:.2} s, sen dlq groups {sen:.2} s: {:.2} ×",
        sen / by_hand
    );
    println!("\nload after: {}", load());
}

fn filled(server: &Server, rows: usize) -> Database<'_> {
    let database = server.fresh_database();
    peers::ask(&STENT_112, "stent/truth.py", &[&database.url()]);
    for statement in FILL.replace("{n}", &rows.to_string()).split(';').filter(|statement| !statement.trim().is_empty())
    {
        database.psql(statement);
    }
    database
}

/// Runs `sen` and returns its largest size in memory in KiB.
fn ours(database: &Database<'_>, words: &[&str]) -> u64 {
    let mut child = Command::new(SEN)
        .args(words)
        .env_clear()
        .envs(clean_environment())
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("sen can be started");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("a child can be waited for") {
            assert!(ended.success(), "{words:?} ended with {ended}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
