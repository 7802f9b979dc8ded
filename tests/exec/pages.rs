//! Pages and streams over many rows: each row once, in constant memory, in one round trip.

use std::collections::BTreeSet;

use crate::Place;
use crate::harness::peers::{self, STENT_112};
use crate::harness::postgres::{Options, Server};
use crate::harness::proxy::round_trips;
use crate::harness::scale::sized;
use crate::harness::sen::{SEN, sen};

/// Rows: a million is the size of the promise.
fn rows() -> usize {
    sized(20_000, 1_000_000)
}

const FILL: &str = "INSERT INTO executions SELECT 'e' || lpad(n::text, 9, '0'), 'flows:f' || n % 7, (array['completed', 'completed',
        'failed', 'running', 'pending'])[1 + n % 5], convert_to('[' || n || ']', 'UTF8'), '{}', convert_to('{\"n\": ' || n || '}', 'UTF8'),
        CASE WHEN n % 5 = 2 THEN convert_to('{\"__type__\": \"Exception\", \"cls\": \"ValueError\", \"message\": \"bad ' || n || '\"}', 'UTF8') END,
        0, now() AT TIME ZONE 'UTC' - n % 1000 * interval '1 second', now() AT TIME ZONE 'UTC', NULL, NULL, '[\"t' || n % 3 || '\"]', 0, 'q' || n % 4
    FROM generate_series(1, ROWS) AS n;
    INSERT INTO tasks (id, execution_id, step_name, kind, state, retries, created_at, tags, priority)
    SELECT 't' || lpad(n::text, 9, '0'), 'e' || lpad(n::text, 9, '0'), 'flows:f', 'orchestrator', 'pending', 0, now() AT TIME ZONE 'UTC', '[]', 0
    FROM generate_series(1, ROWS) AS n WHERE n % 5 IN (3, 4);
    ANALYZE executions; ANALYZE tasks";

fn filled() -> Place<'static> {
    let place = Place::postgres();
    peers::ask(&STENT_112, "stent/letters.py", &[&place.for_library(), "1"]);
    let Place::Postgres(database) = &place else { unreachable!() };
    database.psql("DELETE FROM executions; DELETE FROM tasks; DELETE FROM dead_tasks");
    database.psql(&FILL.replace("ROWS", &rows().to_string()));
    place
}

fn ids(place: &Place<'_>, args: &[&str]) -> Vec<String> {
    let rows = place.json(&[&["exec", "list", "--fields", "id"], args].concat());
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pages_follow_one_another_without_gap_or_repeat() {
    let place = filled();
    // A thousand rows share each moment, so the id has to decide.
    for order in [&["--sort", "created"][..], &["--sort", "created", "--reverse"]] {
        let mut seen = BTreeSet::new();
        let mut after: Option<String> = None;
        for _ in 0..8 {
            let mut args = [&["--limit", "300", "--tag", "t1"][..], order].concat();
            if let Some(after) = &after {
                args.extend(["--after", after.as_str()]);
            }
            let page = ids(&place, &args);
            assert_eq!(page.len(), 300);
            for id in &page {
                assert!(seen.insert(id.clone()), "{id} came twice");
            }
            after = page.last().cloned();
        }
        let whole = ids(&place, &[&["--limit", "2400", "--tag", "t1"][..], order].concat());
        assert_eq!(whole.into_iter().collect::<BTreeSet<_>>(), seen);
    }
    let gone = place.sen(&["exec", "list", "--after", "no-such-row"]).expect_code(4);
    assert!(gone.stderr.contains("no-such-row"), "{}", gone.stderr);
    let more = place.sen(&["exec", "list", "--limit", "2"]).expect_code(0);
    assert!(more.stderr.contains("the first 2 shown, more match"), "{}", more.stderr);
    let sorted = place.sen(&["exec", "list", "--limit", "2", "--sort", "created"]).expect_code(0);
    assert!(
        sorted.stderr.contains("more executions match") && sorted.stderr.contains("--after e"),
        "{}",
        sorted.stderr
    );
}

/// The most memory of its own that a run of sen was seen to have, in KiB, and what it printed, counted. Pages of the program itself do
/// not count: a debug build has many.
fn peak(place: &Place<'_>, args: &[&str]) -> (u64, usize) {
    use std::io::{BufRead as _, BufReader};
    let mut child = std::process::Command::new(SEN)
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("DATABASE_URL", place.url())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut highest, mut lines) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        lines += 1;
        drop(line.unwrap());
        if lines % 1000 == 0 {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let mark = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let kilobytes = mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok());
            highest = highest.max(kilobytes.unwrap_or(0));
        }
    }
    assert!(child.wait().unwrap().success());
    (highest, lines)
}

#[test]
fn everything_streams_in_constant_memory() {
    let place = filled();
    let (memory, lines) = peak(&place, &["exec", "list", "--limit", "0", "-o", "jsonl"]);
    assert_eq!(lines, rows());
    assert!(memory > 0 && memory < 16 * 1024, "{memory} KiB");
    let (memory, lines) = peak(&place, &["task", "list", "--limit", "0", "-o", "jsonl"]);
    assert_eq!(lines, rows() * 2 / 5);
    assert!(memory < 16 * 1024, "{memory} KiB");
}

/// What a command costs the database: one write and its answer, where that can do.
#[test]
fn lists_and_details_take_one_round_trip_after_the_login() {
    let server = Server::start(&Options::new().tcp());
    let database = server.fresh_database();
    let made = peers::ask(&STENT_112, "stent/make.py", &[&database.url(), "--only-finished"]);
    let execution = made["executions"]["checkout"].as_str().unwrap();
    let letter = made["letters"]["declined/activity"].as_str().unwrap();
    for (args, flights) in [
        (&["exec", "list"][..], 1),
        (&["exec", "list", "--limit", "0", "-o", "jsonl"], 1),
        (&["exec", "list", "--stuck"], 1),
        (&["exec", "show", execution], 1),
        (&["task", "list"], 1),
        (&["task", "show", letter], 1),
        // The catalogue first: what is asked depends on which tables there are.
        (&["stats"], 2),
        (&["inspect", execution], 2),
    ] {
        // More than 8 KiB of questions leave in several writes, none of which waits for an answer.
        let seen = round_trips(&server, flights, |proxy| {
            sen(args).database(&proxy.url_of(&database.name)).run().expect_code(0);
        });
        assert!(seen.messages.iter().all(|message| *message != "Close"), "{seen:?}");
    }
    let log = server.log();
    assert!(!log.contains("unexpected EOF"), "{log}");
}

/// Whether the tables are there is asked of the catalogue: a database without them gets no error into its log.
#[test]
fn a_database_of_another_system_is_told_apart_in_silence() {
    let server = Server::start(&Options::new().tcp());
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql("CREATE TABLE tasks (id int, title text); CREATE TABLE executions (id int, state text); CREATE TABLE signals (x int)");
    sen(["inspect", "nothing"]).database(&database.url()).run().expect_code(4);
    sen(["status"]).database(&database.url()).run().expect_code(0);
    assert!(!server.log().contains("ERROR"), "{}", server.log());
    let output = sen(["exec", "list"]).database(&database.url()).run().expect_code(2);
    assert!(output.stderr.contains("no Stent or Senpuki tables"), "{}", output.stderr);
    let stats = sen(["stats"]).database(&database.url()).run().expect_code(0);
    assert!(!stats.stdout.contains("executions") && !server.log().contains("relation \"tasks\""), "{}", stats.stdout);
    sen(["exec", "show", "x"]).database(&database.url()).run().expect_code(2);
}
