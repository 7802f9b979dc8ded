//! What every part measures with: two contenders in turns, their times, the processor time of both sides, and peak memory.

use std::fmt::Display;
use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::harness::daemon::children_of;
use crate::harness::postgres::{Database, psql as psql_program};
use crate::harness::psql;
use crate::harness::sen::{SEN, clean_environment};

/// A number of the environment, or another.
pub fn setting<T: FromStr<Err: Display>>(name: &str, otherwise: T) -> T {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// What the machine has to do: the three averages of the kernel.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The title of a part.
pub fn title(text: &str) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("\n## {text}\n\n{cores} cores, load before: {}\n", load());
}

/// The same surroundings for everybody, and nothing printed.
fn quiet(mut command: Command, url: &str) -> Command {
    command.env_clear().envs(clean_environment()).env("DATABASE_URL", url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir(std::env::temp_dir());
    command
}

/// `sen` with these words.
pub fn sen(url: &str, words: &[&str]) -> Command {
    let mut command = Command::new(SEN);
    command.args(words);
    quiet(command, url)
}

/// The real psql with one statement.
pub fn psql(url: &str, statement: &str) -> Command {
    let mut command = Command::new(psql_program());
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]);
    quiet(command, url)
}

/// SQLite's own program with one statement.
pub fn sqlite(file: &str, statement: &str) -> Command {
    let mut command = Command::new("sqlite3");
    command.args(["-batch", "-readonly", file, statement]);
    quiet(command, file)
}

/// Any other program.
pub fn other(url: &str, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    quiet(command, url)
}

/// Removes a database that is no longer needed: the disk may be small.
pub fn remove(database: Database<'_>) {
    psql::run(&database.server.url_of("postgres"), &format!("DROP DATABASE {} WITH (FORCE)", database.name));
}

/// The middle of some numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Whether a run ended as it should; a search that was cut short may have found nothing (4).
fn is_well(status: ExitStatus) -> bool {
    matches!(status.code(), Some(0 | 4))
}

/// Seconds that a run takes, which must end well.
pub fn time(command: &mut Command) -> f64 {
    let started = Instant::now();
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let took = started.elapsed().as_secs_f64();
    assert!(is_well(status), "{command:?} failed: {status}");
    took
}

/// Seconds of a run, and its high-water mark of memory in MiB as the kernel last told it before the end.
pub fn peak(command: &mut Command) -> (f64, f64) {
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("a child can be waited for") {
            assert!(is_well(ended), "{command:?} ended with {ended}");
            return (started.elapsed().as_secs_f64(), f64::from(peak) / 1024.0);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The processor time of a process (with its `children` that have ended, or alone), in hundredths of a second.
fn ticks(process: &str, children: bool) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<f64> =
        text.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // Without the state, which is no number: the own time at 10, that of children at 12.
    let at = if children { 12 } else { 10 };
    fields.get(at).zip(fields.get(at + 1)).map_or(0.0, |(user, system)| user + system)
}

/// Whose processor time is counted beside the contenders'.
#[derive(Clone, Copy)]
pub enum Served<'a> {
    /// Nobody's: a file.
    Itself,
    /// A PostgreSQL: the processes that it starts, once they have ended.
    Postgres(&'a crate::harness::postgres::Server),
}

impl Served<'_> {
    fn ticks(self, resident: usize) -> f64 {
        match self {
            Self::Itself => 0.0,
            Self::Postgres(server) => {
                // The process of a client ends a little after the client.
                let until = Instant::now() + Duration::from_millis(200);
                while children_of(server.pid()).len() > resident && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(1));
                }
                ticks(&server.pid().to_string(), true)
            }
        }
    }

    fn resident(self) -> usize {
        if let Self::Postgres(server) = self { children_of(server.pid()).len() } else { 0 }
    }
}

/// One contender's runs.
#[derive(Default, Clone)]
struct Runs {
    took: Vec<f64>,
    own: f64,
    served: f64,
}

/// Quick commands get so many rounds, slow ones a tenth.
fn rounds(once: f64) -> usize {
    let quick: usize = setting("SEN_BENCH_SHOTS", 100);
    if once < 0.05 { quick } else { setting("SEN_BENCH_ROUNDS", 9) }.max(1)
}

/// The head of the table that [`pair`] adds a line to.
pub fn table(peer: &str) {
    println!(
        "| | {peer} | sen | ratio: median of the rounds (lowest, highest) | processor time of the server: {peer}, sen, ratio \
         | of the client: {peer}, sen | peak memory of sen |"
    );
    println!("|---|---|---|---|---|---|---|");
}

/// Both in turns, so that whatever else happens on the machine hits both alike. The ratio is the median of the rounds' own.
pub fn pair(name: &str, served: Served<'_>, mut peer: Command, mut ours: Command) {
    let resident = served.resident();
    let first = time(&mut peer).max(time(&mut ours));
    let mut runs = [Runs::default(), Runs::default()];
    let rounds = rounds(first);
    for _ in 0..rounds {
        for (command, runs) in [&mut peer, &mut ours].into_iter().zip(&mut runs) {
            let before = (ticks("self", true), served.ticks(resident));
            runs.took.push(time(command));
            runs.own += ticks("self", true) - before.0;
            runs.served += served.ticks(resident) - before.1;
        }
    }
    let [theirs, own] = runs;
    let mut ratios: Vec<f64> = own.took.iter().zip(&theirs.took).map(|(own, theirs)| own / theirs).collect();
    ratios.sort_by(f64::total_cmp);
    // A tick is ten milliseconds.
    let each = |ticks: f64| ticks * 10.0 / rounds as f64;
    let (_, memory) = peak(&mut ours);
    println!(
        "| {name} | {} | {} | **{:.2}** ({:.2}, {:.2}) | {:.1} ms, {:.1} ms, {:.2} | {:.1} ms, {:.1} ms | {memory:.1} MiB |",
        human(median(theirs.took)),
        human(median(own.took)),
        median(ratios.clone()),
        ratios[0],
        ratios[ratios.len() - 1],
        each(theirs.served),
        each(own.served),
        own.served / theirs.served,
        each(theirs.own),
        each(own.own),
    );
}

/// Seconds for people.
pub fn human(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}
