//! Many contenders for many keys, some of them killed at random: no key's command is ever started twice, and what is cached
//! is what was logged.
//!
//! The full size is 32 contenders and 500 keys (some minutes on two cores); `SEN_TEST_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::patience::until;
use crate::harness::scale::sized;
use crate::harness::sen::SEN;
use crate::place::Place;

/// xorshift64*: a seed, and the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}

/// Whether a process has this file in its command line.
fn is_named(file: &Path) -> bool {
    let file = file.to_str().unwrap();
    fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(file))
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    number("SEN_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 2_654_435_761 + 1)
}

/// The command: says who it is on stdout and in the log, and sometimes dies before or after.
const SCRIPT: &str = r#"[ "$1" = before ] && kill -KILL $$
line="$SEN_KEY $SEN_FENCING_TOKEN $0"; echo "$line" >> "$2"; echo "$line"
[ "$1" = after ] && kill -KILL $$
exit 0"#;

fn contend(place: &Place, contenders: u64, keys: u64, seed: u64) {
    println!("seed {seed}, {contenders} contenders, {keys} keys");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, "").unwrap();
    let url = place.url();
    std::thread::scope(|scope| {
        for contender in 0..contenders {
            let (url, log) = (&url, &log);
            scope.spawn(move || {
                let mut dice = Dice(seed.wrapping_add(contender * 7919) | 1);
                for key in 0..keys {
                    let fate = ["before", "after", "", "", "", "", "", ""][dice.roll(8) as usize];
                    // Of the first two it is certain what becomes of them, whatever the dice say of the others.
                    let fate = ["before", ""].get(key as usize).copied().unwrap_or(fate);
                    let mut running = Command::new(SEN)
                        .args(["once", "-q", &format!("k{key}"), "--", "sh", "-c", SCRIPT])
                        .args([&format!("c{contender}"), fate])
                        .arg(log)
                        .env_clear()
                        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                        .env("DATABASE_URL", url)
                        .stdin(Stdio::null())
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .spawn()
                        .unwrap();
                    if dice.roll(6) == 0 && key > 1 {
                        std::thread::sleep(Duration::from_micros(dice.roll(60_000)));
                        let _ = running.kill();
                    }
                    running.wait().unwrap();
                }
            });
        }
    });
    until("the end of what a killed `sen` has left behind, which may still be writing", || !is_named(&log));
    let mut starts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        let key = line.split(' ').next().unwrap().to_owned();
        starts.entry(key).or_default().push(line.to_owned());
    }
    let twice: Vec<_> = starts.iter().filter(|(_, lines)| lines.len() > 1).collect();
    assert!(twice.is_empty(), "seed {seed}: started more than once: {twice:?}");
    let (mut completed, mut uncertain) = (0, 0);
    for key in 0..keys {
        let key = format!("k{key}");
        match place.status(&key).as_str() {
            "completed" => {
                completed += 1;
                let sql = format!("SELECT CAST(execution_result AS text) FROM sentinel_leases WHERE key = '{key}'");
                let result: serde_json::Value = serde_json::from_str(&place.sql(&sql)).unwrap();
                let logged = starts.get(&key).map(|lines| format!("{}\n", lines[0]));
                assert_eq!(result["stdout"].as_str(), logged.as_deref(), "seed {seed}: {key}");
            }
            "executing" => uncertain += 1,
            other => panic!("seed {seed}: {key} is {other:?}"),
        }
    }
    println!("{} starts, {completed} completed, {uncertain} uncertain", starts.len());
    assert!(completed > 0 && uncertain > 0, "seed {seed}: {completed} completed, {uncertain} uncertain");
}

#[test]
fn no_key_starts_twice_on_postgresql() {
    contend(&Place::postgres(), 32, sized(30, 500) as u64, seed());
}

#[test]
fn no_key_starts_twice_on_sqlite() {
    contend(&Place::sqlite(), 8, sized(20, 100) as u64, seed());
}
