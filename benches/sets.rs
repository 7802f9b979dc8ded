//! What the plan of a bulk act costs: `sen reconcile --all` over many uncertain keys and `sen dlq replay --all` over many letters,
//! as a dry run, on a PostgreSQL of its own: `cargo bench --bench sets`. See sets.md.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its numbers")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::peers::{self, STENT_112};
use harness::postgres::{Database, Options, Server};
use harness::sen::{SEN, clean_environment, sen};

const KEYS: &str = "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
    SELECT 'payments:order-' || n, 'w:1-1', now() - interval '1 hour', now() - interval '1 hour', now() - interval '50 minutes',
        'executing', n FROM generate_series(1, {n}) AS n";
/// Copies of the one letter that the library made.
const LETTERS: [&str; 3] = [
    "INSERT INTO executions SELECT (jsonb_populate_record(e, jsonb_build_object('id', 'e-' || n))).*
        FROM executions AS e, generate_series(2, {n}) AS n",
    "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', 't-' || n, 'execution_id', 'e-' || n))).*
        FROM tasks AS t, generate_series(2, {n}) AS n",
    "INSERT INTO dead_tasks SELECT (jsonb_populate_record(d, jsonb_build_object('id', 't-' || n, 'data',
            (d.data::jsonb || jsonb_build_object('id', 't-' || n, 'execution_id', 'e-' || n))::text))).*
        FROM dead_tasks AS d, generate_series(2, {n}) AS n",
];

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("sets: run `cargo bench --bench sets`");
        return;
    }
    let rows = std::env::var("SEN_BENCH_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000_usize);
    let server = Server::start(&Options::new().conf("log_statement = all"));
    println!("{rows} rows; load before: {}", load());
    let leases = server.fresh_database();
    sen(["init"]).database(&leases.url()).run().expect_code(0);
    leases.psql(&KEYS.replace("{n}", &rows.to_string()));
    measure(&leases, &["reconcile", "--all", "--reset", "--dry-run"]);
    let letters = server.fresh_database();
    peers::ask(&STENT_112, "stent/letters.py", &[&letters.url(), "1"]);
    for statement in LETTERS {
        letters.psql(&statement.replace("{n}", &rows.to_string()));
    }
    measure(&letters, &["dlq", "replay", "--all", "--dry-run"]);
    println!("load after: {}", load());
}

/// Five runs: the median time, the largest size in memory, and the statements of one run.
fn measure(database: &Database<'_>, words: &[&str]) {
    let statements = || {
        let log = database.server.log();
        log.lines().filter(|line| line.contains("LOG:  execute") || line.contains("LOG:  statement")).count()
    };
    let before = statements();
    let (mut times, mut peak) = (Vec::new(), 0);
    for _ in 0..5 {
        let start = Instant::now();
        peak = peak.max(run(database, words));
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let each = (statements() - before) / times.len();
    println!("  sen {:<36} {:>6.2} s  {:>6.1} MiB  {each} statements", words.join(" "), times[2], peak as f64 / 1024.0);
}

/// Runs `sen` and returns its largest size in memory in KiB.
fn run(database: &Database<'_>, words: &[&str]) -> u64 {
    let mut command = Command::new(SEN);
    command.args(words).env_clear().envs(clean_environment()).env("DATABASE_URL", database.url());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("sen can be started");
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

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
