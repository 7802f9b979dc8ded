//! Bulk acts killed at any moment and gone on with: targets in = done + reported, none twice, none lost.
//!
//! The full count is over three hundred kills (`SEN_TEST_SCALE=full`).

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::machine::{Machine, balanced, letters, results, uncertain_keys};
use super::place::Place;
use super::sagas_place;
use crate::harness::patience::PATIENCE;
use crate::harness::peers::SAGA_073;
use crate::harness::scale::sized;

/// A small generator, so that a failure can be repeated from the seed it prints.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("SEN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1);
        println!("SEN_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// How many kills of each act in each store.
fn kills() -> usize {
    sized(4, 60)
}

/// Kills an act at a random moment, and what goes on with it, too, until it comes to its end in peace. `done` counts what is
/// there of it; `more` is said of every attempt. Returns how often a kill met it.
fn killed(
    dice: &mut Dice,
    url: &str,
    (words, mut more): (&[&str], impl FnMut() -> Vec<String>),
    count: usize,
    done: impl Fn() -> u64,
) -> usize {
    let machine = Machine::new();
    let mut met = 0;
    let mut resume: Option<String> = None;
    for round in 0.. {
        let id = resume.clone().unwrap_or_default();
        let words = if resume.is_some() { vec!["op", "resume", &id, "--yes"] } else { words.to_vec() };
        let more = more();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let running = machine.sen(url, &[&words[..], &more, &["-o", "json"]].concat()).timeout(2 * PATIENCE).start();
        if round < 3 {
            // From the start until well into the work, whatever that takes here.
            let journal = machine.folder();
            let begun = std::time::Instant::now();
            while resume.is_none() && machine.journals().is_empty() && begun.elapsed() < PATIENCE && done() == 0 {
                assert!(!journal.is_file());
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(dice.below(250)));
            running.signal(Signal::KILL);
        }
        let output = running.finish();
        let there = done();
        if machine.journals().is_empty() {
            assert_eq!(there, 0, "nothing is changed without a journal");
            continue;
        }
        let (id, state) = machine.only();
        let shown = machine.sen("", &["op", "show", &id, "-o", "json"]).run().json();
        let told = (results(&shown, "applied", "") + results(&shown, "already_done", "")) as u64;
        assert!(told <= there, "{told} told, {there} there: {shown}");
        if output.code == -9 {
            met += usize::from(told < count as u64);
            let open = shown["untold"].as_u64().unwrap() + shown["not_begun"].as_u64().unwrap();
            assert_eq!(open + shown["settled"].as_u64().unwrap(), count as u64, "{shown}");
            assert!(["interrupted", "done", "partial"].contains(&state.as_str()), "{state}: {shown}");
            resume = Some(id);
            continue;
        }
        output.expect_code(0);
        assert_eq!((there, told, state.as_str()), (count as u64, count as u64, "done"), "{shown}");
        return met;
    }
    unreachable!("it ends when it is not killed")
}

#[test]
fn replays_are_gone_on_with() {
    for place in Place::both() {
        let mut dice = Dice::new();
        let (mut met, mut runs) = (0, 0);
        // In PostgreSQL the database has a journal as well.
        if matches!(place, Place::Postgres(_)) {
            Machine::new().json(&place.url(), &["init", "journal", "--yes"], 0);
        }
        while met < kills() && runs < 4 * kills() {
            for table in ["executions", "tasks", "dead_tasks", "execution_progress"] {
                place.sql(&format!("DELETE FROM {table}"));
            }
            letters(&place, 60);
            let done = || {
                let made = place.count("tasks WHERE state = 'pending'");
                assert!(made <= 60);
                made
            };
            met += killed(
                &mut dice,
                &place.url(),
                (&["dlq", "replay", "--all", "--yes", "--rate", "100/s"], Vec::new),
                60,
                done,
            );
            runs += 1;
            assert_eq!(balanced(&place, 60), 60);
            if matches!(place, Place::Postgres(_)) {
                let entered = "sen.operation_item WHERE kind = 'changed'";
                assert_eq!(place.count(entered), 60 * runs as u64, "each change is entered once");
            }
        }
        println!("replay: {met} kills in {runs} operations");
        assert!(met > 0);
    }
}

/// What is removed was written out before, however often it is killed: no letter is in neither place.
#[test]
fn discards_are_gone_on_with() {
    for place in Place::both() {
        let mut dice = Dice::new();
        let (mut met, mut runs) = (0, 0);
        while met < kills() && runs < 4 * kills() {
            for table in ["executions", "tasks", "dead_tasks", "execution_progress"] {
                place.sql(&format!("DELETE FROM {table}"));
            }
            letters(&place, 3000);
            let done = || 3000 - place.count("dead_tasks");
            let exports = tempfile::tempdir().unwrap();
            let mut number = 0;
            let more = || {
                number += 1;
                vec!["--export".into(), exports.path().join(format!("{number}.jsonl")).to_str().unwrap().into()]
            };
            met += killed(&mut dice, &place.url(), (&["dlq", "discard", "--all", "--yes"], more), 3000, done);
            runs += 1;
            let mut stored = BTreeSet::new();
            for file in std::fs::read_dir(exports.path()).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                // A kill may have cut the last line of a file, whose letter was then not removed yet.
                let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                stored.extend(whole.map(|letter| letter["id"].as_str().unwrap().to_owned()));
            }
            assert_eq!((place.count("dead_tasks"), stored.len()), (0, 3000));
        }
        println!("discard: {met} kills in {runs} operations");
        assert!(met > 0);
    }
}

#[test]
fn reconciliations_are_gone_on_with() {
    let place = Place::empty_postgres();
    let mut dice = Dice::new();
    let (mut met, mut runs) = (0, 0);
    while met < kills() && runs < 4 * kills() {
        if runs > 0 {
            place.sql("DELETE FROM sentinel_leases");
            place.sql("DELETE FROM sentinel_events");
        }
        uncertain_keys(&place, 40);
        let done = || place.count("sentinel_leases WHERE status = 'claimed'");
        met += killed(&mut dice, &place.url(), (&["reconcile", "--all", "--reset", "--yes"], Vec::new), 40, done);
        runs += 1;
        let events = place.sql("SELECT count(*), count(DISTINCT key || (metadata ->> 'act')) FROM sentinel_events");
        assert_eq!(events, "80|80", "each taken over once and reset once");
    }
    println!("reconcile: {met} kills in {runs} operations");
    assert!(met > 0);
}

#[test]
fn retries_of_sagas_are_gone_on_with() {
    let mut place = sagas_place::Place::new(&SAGA_073);
    let mut dice = Dice::new();
    let (mut met, mut runs) = (0, 0);
    while met < kills() && runs < 4 * kills() {
        let order = format!("o-{runs}");
        place.ask(
            json!({"do": "start_many", "order": order, "count": 20, "saga": "order-once", "plan": {"charge": "fail"}}),
        );
        let retried = format!(
            "SELECT count(*) FROM order_saga AS s WHERE s.aggregation_id LIKE '{order}-%' AND EXISTS (
                SELECT FROM order_saga_history AS h WHERE h.saga_id = s.id AND h.input::jsonb ? '_sen')"
        );
        let done = || place.psql(&retried).parse().unwrap();
        let words = ["saga", "retry", "--all", "--name", "order-once", "--yes"];
        met += killed(&mut dice, &place.url(), (&words, Vec::new), 20, done);
        runs += 1;
        let records = format!(
            "SELECT count(*) FROM order_saga AS s JOIN order_saga_history AS h ON h.saga_id = s.id
                WHERE s.aggregation_id LIKE '{order}-%' AND h.input::jsonb ? '_sen'"
        );
        assert_eq!(place.psql(&records), "20", "each once");
        place.psql("DELETE FROM order_saga_history; DELETE FROM order_saga");
    }
    println!("saga retry: {met} kills in {runs} operations");
    assert!(met > 0);
}
