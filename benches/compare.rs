//! `sen` beside the real psql and the original Python tool, on one PostgreSQL of its own: `cargo bench`. See README.md.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its numbers")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fmt::Display;
use std::fs;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use harness::peers::SENTINEL_050;
use harness::postgres::{Options, Server, bin_dir};
use harness::sen::{SEN, clean_environment, sen};

/// What both tools fetch of a lease.
const COLUMNS: &str = "key, owner_id, status, fencing_token, lease_expires_at, lease_updated_at, hard_expires_at, ttl_ms, execution_result";

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("compare: run `cargo bench`");
        return;
    }
    let rows: u64 = setting("SEN_BENCH_ROWS", 1_000_000).max(1);
    let shots: usize = setting("SEN_BENCH_SHOTS", 200).max(1);
    let streams: usize = setting("SEN_BENCH_STREAMS", 11).max(1);
    let server = Server::start(&Options::new().conf("shared_buffers = 512MB").conf("max_wal_size = 8GB"));
    let database = server.fresh_database();
    let url = database.url();
    sen(["init"]).database(&url).run().expect_code(0);
    database.psql(&fill(rows));
    let python = SENTINEL_050.python().with_file_name("sen");

    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{rows} leases and as many events; {cores} cores; load before: {}", load());
    println!("{}", database.psql("SELECT version()"));

    let key = format!("payments:order-{}", rows.div_ceil(2));
    let select = format!("SELECT {COLUMNS}, lease_expires_at > now() FROM sentinel_leases WHERE key = '{key}'");
    let psql = || {
        let mut command = Command::new(bin_dir().join("psql"));
        command.arg("-X").arg("-d").arg(&url);
        command
    };
    let ours = |arguments: &[&str]| {
        let mut command = Command::new(SEN);
        command.args(arguments);
        command
    };

    let mut one_shot = [
        Contender::new("psql -XAtc 'SELECT …'", with(psql(), &["-Atc", &select])),
        Contender::new("sen inspect", ours(&["inspect", &key])),
        Contender::new("the same with -o json", ours(&["inspect", "-o", "json", &key])),
        Contender::new("sen --version", ours(&["--version"])),
    ];
    // The original takes so long that it gets fewer turns, among the others'.
    let mut original = [Contender::new("the original sen inspect", with(Command::new(python), &["inspect", &key]))];
    prepare(one_shot.iter_mut().chain(&mut original), &url);
    race(&mut one_shot, 5, false);
    race(&mut original, 2, false);
    let block = shots.div_ceil(20);
    for _ in 0..20 {
        race(&mut one_shot, block, true);
        race(&mut original, 1, true);
    }
    println!("\nOne lease, the whole process ({} runs each, {} of the original)", block * 20, original[0].took.len());
    report(&one_shot, &one_shot[0]);
    report(&original, &one_shot[0]);
    println!("  the original takes {:.1} times as long as sen inspect", original[0].median() / one_shot[1].median());

    let copy = format!("\\copy (SELECT {COLUMNS} FROM sentinel_leases) to stdout");
    let mut stream = [
        Contender::new("psql \\copy … to stdout", with(psql(), &["-qc", &copy])),
        Contender::new("sen list -o jsonl --limit 0", ours(&["list", "-o", "jsonl", "--limit", "0"])),
        Contender::new("sen list -o csv --limit 0", ours(&["list", "-o", "csv", "--limit", "0"])),
    ];
    prepare(stream.iter_mut(), &url);
    race(&mut stream, 1, false);
    race(&mut stream, streams, true);
    println!("\nEvery lease, streamed to /dev/null ({streams} runs each)");
    report(&stream, &stream[0]);

    println!("\nMemory and size");
    for contender in &mut stream {
        let peak = peak_memory(&mut contender.command);
        println!("  {:<30} {:>9.1} MiB at most", contender.name, peak as f64 / 1024.0);
    }
    let size = fs::metadata(SEN).expect("the binary is there").len();
    println!("  {:<30} {:>9.1} MiB", "the binary", size as f64 / f64::from(1 << 20));
    println!("\nload after: {}", load());
}

fn setting<T: FromStr<Err: Display>>(name: &str, otherwise: T) -> T {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// Fills the tables the way a payment service leaves them: nearly everything completed, a few alive or left behind.
fn fill(rows: u64) -> String {
    format!(
        "INSERT INTO sentinel_leases SELECT
            'payments:order-' || n, 'web-' || n % 40 || ':' || 1000 + n % 90 || '-140217000',
            now() - n * interval '1 second', now() - n * interval '1 second',
            now() - n * interval '1 second' + interval '5 minutes',
            CASE WHEN n % 1000 > 5 THEN jsonb_build_object('charge', 'ch_' || n, 'amount', n, 'currency', 'EUR') END,
            CASE WHEN n % 1000 > 5 THEN 'completed' WHEN n % 1000 > 2 THEN 'executing' ELSE 'claimed' END, n, 30000
            FROM generate_series(1, {rows}) AS n;
        INSERT INTO sentinel_events (key, event, occurred_at, fencing_token, owner_id) SELECT
            'payments:order-' || n, 'acquired', now() - n * interval '1 second', n, 'web-' || n % 40 || ':1-1'
            FROM generate_series(1, {rows}) AS n;
        VACUUM (ANALYZE, FREEZE);
        CHECKPOINT;"
    )
}

/// One of those that are compared.
struct Contender {
    name: &'static str,
    command: Command,
    took: Vec<Duration>,
}

impl Contender {
    fn new(name: &'static str, command: Command) -> Self {
        Self { name, command, took: Vec::new() }
    }

    fn run(&mut self) -> Duration {
        let started = Instant::now();
        let status = self.command.status().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let took = started.elapsed();
        assert!(status.success(), "{} failed: {status}", self.name);
        took
    }

    /// In milliseconds.
    fn median(&self) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort();
        sorted[sorted.len() / 2].as_secs_f64() * 1e3
    }

    /// In milliseconds.
    fn fastest(&self) -> f64 {
        self.took.iter().min().map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// The same surroundings for everybody.
fn prepare<'a>(contenders: impl Iterator<Item = &'a mut Contender>, url: &str) {
    for contender in contenders {
        contender.command.env_clear().envs(clean_environment()).env("DATABASE_URL", url);
        contender.command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir(std::env::temp_dir());
    }
}

/// Runs them in turns, so that what else happens on the machine hits all alike.
fn race(contenders: &mut [Contender], turns: usize, counted: bool) {
    for _ in 0..turns {
        for contender in &mut *contenders {
            let took = contender.run();
            if counted {
                contender.took.push(took);
            }
        }
    }
}

fn report(contenders: &[Contender], base: &Contender) {
    for contender in contenders {
        let (median, fastest) = (contender.median(), contender.fastest());
        println!(
            "  {:<30} median {median:>8.2} ms ({:>5.2} of psql)   fastest {fastest:>8.2} ms ({:>5.2})",
            contender.name,
            median / base.median(),
            fastest / base.fastest()
        );
    }
}

/// The high-water mark of a process of its own in KiB, as the kernel last told it: a run that is not timed.
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
