//! What the plan of a bulk act costs: `sen reconcile --all` over many uncertain keys and `sen dlq replay --all` over many letters,
//! as a dry run. See sets.md.

use crate::harness::peers::{self, STENT_112};
use crate::harness::postgres::{Database, Options, Server};
use crate::meter::{human, median, peak, sen, setting, time, title};

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

pub fn run() {
    let rows: usize = setting("SEN_BENCH_KEYS", 50_000);
    let server = Server::start(&Options::new().conf("log_statement = all"));
    title(&format!("The plans of bulk acts over {rows} rows"));
    println!("| | median of 5 | peak memory | statements |\n|---|---|---|---|");
    let leases = server.fresh_database();
    time(&mut sen(&leases.url(), &["init", "-q"]));
    leases.psql(&KEYS.replace("{n}", &rows.to_string()));
    measure(&leases, &["reconcile", "--all", "--reset", "--dry-run"]);
    let letters = server.fresh_database();
    peers::ask(&STENT_112, "stent/letters.py", &[&letters.url(), "1"]);
    for statement in LETTERS {
        letters.psql(&statement.replace("{n}", &rows.to_string()));
    }
    measure(&letters, &["dlq", "replay", "--all", "--dry-run"]);
}

/// Five runs: the median time, the largest size in memory, and the statements of one run.
fn measure(database: &Database<'_>, words: &[&str]) {
    let statements = || {
        let log = database.server.log();
        log.lines().filter(|line| line.contains("LOG:  execute") || line.contains("LOG:  statement")).count()
    };
    let before = statements();
    let runs: Vec<(f64, f64)> = (0..5).map(|_| peak(&mut sen(&database.url(), words))).collect();
    let each = (statements() - before) / runs.len();
    let memory = runs.iter().map(|(_, memory)| *memory).fold(0.0, f64::max);
    let took = median(runs.into_iter().map(|(took, _)| took).collect());
    println!("| `sen {}` | {} | {memory:.1} MiB | {each} |", words.join(" "), human(took));
}
