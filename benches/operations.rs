//! What operations cost beside a plain replay: a plan in a file and its application, an operation that was killed half way and is
//! resumed, and an undo, each of many dead letters on a PostgreSQL of its own, without and with a journal in the database:
//! `cargo bench --bench operations`. See README.md.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its numbers")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::peers::{self, STENT_112};
use harness::postgres::{Database, Options, Server};
use harness::sen::{SEN, clean_environment, sen};

/// Copies of the one letter that the library made.
const LETTERS: [&str; 3] = [
    "INSERT INTO executions SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'tags', n::text))).*
        FROM executions AS e, generate_series(2, {n}) AS n",
    "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'execution_id', x.id))).*
        FROM tasks AS t, executions AS x WHERE NOT EXISTS (SELECT 1 FROM tasks AS o WHERE o.execution_id = x.id)",
    "INSERT INTO dead_tasks SELECT (jsonb_populate_record(d, jsonb_build_object('id', t.id, 'data',
            (d.data::jsonb || jsonb_build_object('id', t.id, 'execution_id', t.execution_id))::text))).*
        FROM dead_tasks AS d, tasks AS t WHERE NOT EXISTS (SELECT 1 FROM dead_tasks AS o WHERE o.id = t.id)",
];

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("operations: run `cargo bench --bench operations`");
        return;
    }
    let count = std::env::var("SEN_BENCH_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000_usize);
    let server = Server::start(&Options::new());
    println!("{count} dead letters; load before: {}", load());
    for journal in [false, true] {
        let database = server.fresh_database();
        peers::ask(&STENT_112, "stent/letters.py", &[&database.url(), "1"]);
        for statement in LETTERS {
            database.psql(&statement.replace("{n}", &count.to_string()));
        }
        database.psql("VACUUM ANALYZE");
        if journal {
            sen(["init", "journal", "--yes"]).database(&database.url()).run().expect_code(0);
        }
        println!("{}", if journal { "with a journal in the database" } else { "journal in a file alone" });
        measure(&database, count);
    }
    println!("load after: {}", load());
}

/// A replay and its undo; a plan and its application, and its undo; a replay that is killed half way, resumed and taken back.
fn measure(database: &Database<'_>, count: usize) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let place = |name: &str| folder.path().join(name);
    let [replay, plan, killed] = ["replay", "plan", "killed"].map(place);
    let file = folder.path().join("replay.plan");
    let file = file.to_str().expect("a path is text");
    run(database, &replay, &["dlq", "replay", "--all", "--yes"], None);
    run(database, &replay, &["undo", "last", "--yes"], None);
    run(database, &plan, &["dlq", "replay", "--all", "--plan-out", file], None);
    run(database, &plan, &["apply", file, "--yes"], None);
    run(database, &plan, &["undo", "last", "--yes"], None);
    run(database, &killed, &["dlq", "replay", "--all", "--yes"], Some(count / 2));
    run(database, &killed, &["op", "resume", "last", "--yes"], None);
    run(database, &killed, &["undo", "last", "--yes"], None);
}

/// Runs `sen` with this state folder, kills it when no more than so many letters are left, and prints its time, that of a
/// processor in it, and its largest size in memory.
fn run(database: &Database<'_>, state: &Path, words: &[&str], kill_at: Option<usize>) {
    let mut command = Command::new(SEN);
    command.args(words).env_clear().envs(clean_environment()).env("DATABASE_URL", database.url());
    command.env("XDG_STATE_HOME", state).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().expect("sen can be started");
    let child_id = child.id();
    let of = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child_id)).unwrap_or_default();
    let (mut peak, mut busy, mut killed) = (0_u64, 0_u64, false);
    let ended = loop {
        let text = of("status");
        let line = text.lines().find(|line| line.starts_with("VmHWM"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        // The hundredths of a second in its own code and in the system's, behind its name in parentheses.
        let stat = of("stat");
        let behind = stat.rsplit(')').next().unwrap_or_default();
        let ticks = behind.split_whitespace().skip(11).take(2).filter_map(|number| number.parse::<u64>().ok());
        busy = busy.max(ticks.sum());
        if let Some(ended) = child.try_wait().expect("a child can be waited for") {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(if kill_at.is_some() { 100 } else { 5 }));
        let left = || database.psql("SELECT count(*) FROM dead_tasks").trim().parse().unwrap_or(usize::MAX);
        if let Some(most) = kill_at.filter(|_| !killed)
            && left() <= most
        {
            child.kill().expect("a child can be killed");
            killed = true;
        }
    };
    assert!(ended.success() || killed, "{words:?} ended with {ended}");
    let shown = words.join(" ").replace(state.parent().and_then(Path::to_str).unwrap_or_default(), "…");
    let took = start.elapsed().as_secs_f64();
    println!(
        "  sen {shown:<46} {took:>7.1} s  {:>6.1} MiB{}",
        peak as f64 / 1024.0,
        if killed { "  killed" } else { "" }
    );
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
