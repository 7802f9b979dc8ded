//! Many tasks: one walk finds each once, in flat memory, with no command that holds the server up.
//!
//! The full size is 100,000 tasks. Times are a benchmark's business (`benches/agent.rs`).

use std::collections::BTreeSet;

use crate::harness::redis::Client;
use crate::harness::scale::sized;
use crate::harness::sen::{SEN, clean_environment};
use crate::place::Place;

fn count() -> usize {
    sized(5_000, 100_000)
}

fn fill(client: &mut Client, count: usize, padding: usize) {
    let params = format!(r#"{{"query": "{}"}}"#, "x".repeat(padding));
    for number in 0..count {
        let id = format!("task_{number:012x}");
        client.send(&[
            "HSET",
            &format!("task:{id}:meta"),
            "task_id",
            &id,
            "status",
            ["queued", "leased", "failed"][number % 3],
            "tenant_id",
            "acme",
            "owner",
            &format!("worker-{}", number % 50),
            "task_type",
            "research",
            "task_params",
            &params,
            "created_at",
            &format!("2026-11-20T21:38:48.{:06}", number),
            "updated_at",
            "2026-11-20T21:38:48.1",
        ]);
        if number % 500 == 499 || number + 1 == count {
            (0..=number % 500).for_each(|_| drop(client.answer()));
        }
    }
}

/// The most memory `sen` used, in KiB.
fn peak(place: &Place, words: &[&str]) -> u64 {
    let mut child = std::process::Command::new(SEN)
        .args(words)
        .env_clear()
        .envs(clean_environment())
        .env("DATABASE_URL", place.server.url())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    peak
}

#[test]
fn every_task_once_in_flat_memory() {
    let place = Place::empty();
    let tasks = count();
    fill(&mut place.server.client(), tasks, 40);
    let output = place.run(&["agent", "list", "--limit", "0", "-o", "csv", "--fields", "id"], 0);
    let ids: BTreeSet<&str> = output.stdout.lines().skip(1).collect();
    assert_eq!((ids.len(), output.stdout.lines().count() - 1), (tasks, tasks));
    let stats = place.json(&["agent", "stats"], 0);
    assert_eq!(stats["total_tasks"], tasks);
    // The newest come first, whatever the order of the walk.
    let page = place.json(&["agent", "list", "--limit", "3"], 0);
    let newest: Vec<&str> = page.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    let expected: Vec<String> = (1..=3).map(|back| format!("task_{:012x}", tasks - back)).collect();
    assert_eq!(newest, expected);
    // What the program takes for one task: a debug build is large itself.
    let own = peak(&place, &["agent", "show", &expected[0]]);
    for words in [&["agent", "stats"][..], &["agent", "list"], &["agent", "list", "--limit", "0", "-o", "jsonl"]] {
        let peak = peak(&place, words);
        assert!(peak.saturating_sub(own) < 16 << 10, "{words:?} took {peak} KiB, {own} of them the program's own");
    }
}

/// Large parameters do not add up: the parts get smaller as the tasks get larger.
#[test]
fn large_tasks_do_not_add_up() {
    let place = Place::empty();
    fill(&mut place.server.client(), 1000, 200_000);
    let peak = peak(&place, &["agent", "list", "--limit", "0", "-o", "jsonl"]);
    // 200 MB passed; a debug build of the program itself takes some of this.
    assert!(peak < 64 << 10, "{peak} KiB");
}

/// Tasks that come and go while the walk is on: those that stay are found, each once.
#[test]
fn a_walk_while_the_table_grows() {
    let place = Place::empty();
    fill(&mut place.server.client(), 3000, 40);
    let running = place.sen(&["agent", "list", "--limit", "0", "-o", "csv", "--fields", "id"]).start();
    let mut client = place.server.client();
    for number in 0..6000 {
        client.run(&["SET", &format!("other:{number}"), "x"]);
    }
    let output = running.finish().expect_code(0);
    let lines: Vec<&str> = output.stdout.lines().skip(1).collect();
    let ids: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!((ids.len(), lines.len()), (3000, 3000));
}
