//! Acts and `once` while a real cluster changes its primary: of every target what was said is what is there, what stopped is
//! gone on with, and nothing is done or started twice.
//!
//! It needs programs that the everyday run does without: `scripts/test --wide cluster` installs them and runs this. 200 changes of the
//! primary are the full size (`SEN_TEST_SCALE=full`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::harness::patience::{PATIENCE, until};
use crate::harness::patroni::{Cluster, Fall};
use crate::harness::peers::{Peer, SAGA_073, SENTINEL_050, STENT_112, ask};
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::psql;
use crate::harness::scale::sized;
use crate::harness::sen::{Output, Running, Sen, sen};

/// How many targets each act has, and how many keys are due at a time.
const TARGETS: usize = 24;
const DUE: usize = 5;

/// The tables that an act changes, as the libraries filled them.
const FILLED: [&str; 6] =
    ["executions", "tasks", "dead_tasks", "execution_progress", "order_saga", "order_saga_history"];

/// An act on everything there is.
struct Act {
    name: &'static str,
    words: &'static [&'static str],
    /// The targets that it has changed.
    done: &'static str,
    /// `true` once each target was changed exactly once.
    once: &'static str,
}

const ACTS: [Act; 3] = [
    Act {
        name: "reconcile",
        words: &["reconcile", "--all", "--reset", "--yes"],
        done: "SELECT key FROM sentinel_leases WHERE key LIKE 'lost-%' AND status = 'claimed'",
        once: "SELECT count(*) = 48 AND count(DISTINCT key || (metadata ->> 'act')) = 48 FROM sentinel_events
            WHERE key LIKE 'lost-%'",
    },
    Act {
        name: "dlq replay",
        words: &["dlq", "replay", "--all", "--system", "stent", "--batch", "2", "--yes"],
        done: "SELECT (kept).id FROM keep.dead_tasks WHERE (kept).id NOT IN (SELECT id FROM dead_tasks)",
        once: "SELECT count(*) = 24 AND count(DISTINCT execution_id) = 24
                AND (SELECT count(*) FROM execution_progress WHERE detail LIKE '%sen operation%') = 24
            FROM tasks WHERE state = 'pending'",
    },
    Act {
        name: "saga retry",
        words: &["saga", "retry", "--all", "--saga-table", "order_saga", "--yes"],
        done: "SELECT id FROM order_saga WHERE status::text = 'RUNNING'",
        once: "SELECT count(*) = 24 AND count(DISTINCT saga_id) = 24 FROM order_saga_history WHERE input::jsonb ? '_sen'",
    },
];

/// Asks whoever is the primary, for as long as it takes.
fn asked(url: &str, sql: &str) -> String {
    let mut answer = None;
    until("the primary answers", || {
        answer = psql::try_run(url, sql).ok();
        answer.is_some()
    });
    answer.unwrap()
}

/// Fills a database with what is ripe for every act, made by the real libraries, and keeps a copy of it, which is no table of theirs.
fn fill(url: &str) {
    ask(&SENTINEL_050, "sentinel/act.py", &[url, "init"]);
    ask(&STENT_112, "stent/letters.py", &[url, &TARGETS.to_string()]);
    let mut peer = Peer::start(&SAGA_073, "saga/peer.py", &[url, "{}"]);
    for command in [
        json!({"do": "init"}),
        json!({"do": "start_many", "order": "o", "count": TARGETS, "saga": "order-once", "plan": {"charge": "fail"}}),
    ] {
        let answer = peer.send(&command);
        assert!(answer.get("ok").is_some(), "{command}: {answer}");
    }
    drop(peer);
    let keep = FILLED.map(|table| format!("CREATE TABLE keep.{table} AS SELECT {table} AS kept FROM {table};"));
    psql::run(url, &format!("CREATE SCHEMA keep; {}", keep.concat()));
}

/// Everything as the libraries left it.
fn refill(url: &str) {
    let back = FILLED.map(|table| format!("INSERT INTO {table} SELECT (kept).* FROM keep.{table};"));
    psql::run(
        url,
        &format!(
            "BEGIN; TRUNCATE {}, sentinel_leases, sentinel_events CASCADE; {}
            INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
                SELECT 'lost-' || n, 'web-1:42-7', now() - interval '1h', now() - interval '7m', now() - interval '1h', 'executing',
                    nextval('sentinel_token_seq')
                FROM generate_series(1, {TARGETS}) AS n; COMMIT",
            FILLED.join(", "),
            back.concat()
        ),
    );
}

/// An operator's machine, on which one act is tried until it has come to its end.
struct Machine {
    act: &'static Act,
    state: tempfile::TempDir,
}

impl Machine {
    fn sen(&self, url: &str, words: &[&str]) -> Sen {
        sen(words)
            .database(url)
            .env("XDG_STATE_HOME", self.state.path())
            .env("SEN_CONNECT_RETRY", "60s")
            .timeout(2 * PATIENCE)
    }

    fn start(&self, url: &str) -> Running {
        self.sen(url, &[self.act.words, &["-o", "json"]].concat()).start()
    }

    /// The operation that has begun here, if one has.
    fn begun(&self) -> Option<String> {
        let list = self.sen("", &["op", "list", "-o", "json"]).run().expect_code(0).json();
        list.as_array().unwrap().first().map(|row| row["operation"].as_str().unwrap().to_owned())
    }

    /// Compares what was said with what is there.
    fn compare(&self, url: &str, output: &Output, counts: &mut BTreeMap<String, usize>) {
        let there = asked(url, self.act.done);
        let there: Vec<&str> = there.lines().collect();
        if self.begun().is_none() {
            assert!(there.is_empty() && output.code != 0, "nothing is changed without a journal: {output:?}");
            return;
        }
        assert!([0, 3, 5, 6, 9].contains(&output.code), "{output:?}");
        for item in output.json()["results"].as_array().unwrap() {
            let id = item["subject"].as_str().unwrap().rsplit(':').next().unwrap();
            let outcome = item["outcome"].as_str().unwrap();
            match outcome {
                "applied" | "already_done" => assert!(there.contains(&id), "said to be done and is not: {item}"),
                "failed" | "skipped" => assert!(!there.contains(&id), "said not to be done and is: {item}"),
                "unknown" => {}
                _ => panic!("that is no answer: {item}"),
            }
            *counts.entry(format!("{} {outcome}", self.act.name)).or_default() += 1;
        }
    }

    /// Goes on with what was stopped, until everything is done; each target once.
    fn finish(&self, url: &str, mut output: Output, counts: &mut BTreeMap<String, usize>) {
        self.compare(url, &output, counts);
        for _ in 0..5 {
            if output.code == 0 {
                break;
            }
            *counts.entry(format!("{} gone on with", self.act.name)).or_default() += 1;
            output = match self.begun() {
                Some(id) => self.sen(url, &["op", "resume", &id, "--yes", "-o", "json"]).run(),
                None => self.start(url).finish(),
            };
            self.compare(url, &output, counts);
        }
        assert_eq!(output.code, 0, "{}: {output:?}", self.act.name);
        let there = asked(url, self.act.done).lines().count();
        let once = asked(url, self.act.once);
        assert_eq!((there, once.as_str()), (TARGETS, "t"), "{}: {output:?}", self.act.name);
    }
}

/// A host whose cron starts every key that is due, one after the other.
struct Host {
    name: usize,
    folder: PathBuf,
}

impl Host {
    fn start(&self, url: &str, key: &str) -> Running {
        let note = format!("echo {} >> '{}'; sleep 0.2", self.name, self.folder.join(key).display());
        sen(["once", key, "--connect-retry", "60s", "--", "sh", "-c", &note])
            .database(url)
            .env("SEN_SPOOL_DIR", self.folder.join(format!("spool{}", self.name)))
            .timeout(2 * PATIENCE)
            .start()
    }
}

fn starts(folder: &Path, key: &str) -> usize {
    fs::read_to_string(folder.join(key)).unwrap_or_default().lines().count()
}

/// One change of the primary, under all acts and three hosts.
fn round(cluster: &mut Cluster, way: &Way, how: Fall, after: Duration, counts: &mut BTreeMap<String, usize>) {
    let (url, plain) = (&way.url, cluster.url_of("postgres"));
    refill(&plain);
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<String> = (0..DUE).map(|number| format!("due-{number}")).collect();
    let machines = ACTS.each_ref().map(|act| Machine { act, state: tempfile::tempdir().unwrap() });
    let mut acts = machines.each_ref().map(|machine| machine.start(url));
    std::thread::scope(|scope| {
        let hosts: Vec<_> = (0..3)
            .map(|name| {
                let host = Host { name, folder: folder.path().to_owned() };
                let keys = &keys;
                scope.spawn(move || keys.iter().map(|key| (key, host.start(url, key).finish())).collect::<Vec<_>>())
            })
            .collect();
        std::thread::sleep(after);
        for (act, machine) in acts.iter_mut().zip(&machines) {
            let met = format!("{} met by {how:?}", machine.act.name);
            *counts.entry(met).or_default() += usize::from(act.is_running());
        }
        *counts.entry(format!("once met by {how:?}")).or_default() +=
            hosts.iter().filter(|host| !host.is_finished()).count();
        cluster.fall(how);
        for host in hosts {
            for (key, output) in host.join().unwrap() {
                // Done here or before, held by another host, or begun by one whose lease ended before its result was stored.
                assert!([0, 75, 76].contains(&output.code), "{key}: {output:?}");
                *counts.entry(format!("once ended {}", output.code)).or_default() += 1;
            }
        }
    });
    for (act, machine) in acts.into_iter().zip(&machines) {
        machine.finish(&plain, act.finish(), counts);
    }
    for key in &keys {
        assert_eq!(starts(folder.path(), key), 1, "{key} started more or less than once");
        let row = asked(&plain, &format!("SELECT status FROM sentinel_leases WHERE key = '{key}'"));
        assert_eq!(row, "completed", "{key}");
    }
}

/// How `sen` reaches the primary.
struct Way {
    name: &'static str,
    url: String,
}

/// A small generator, so that a failure can be repeated from the seed it prints.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[expect(clippy::print_stdout, reason = "the numbers of a large run are read by a person")]
#[ignore = "needs Patroni, etcd and HAProxy: scripts/test --wide cluster"]
#[test]
fn nothing_false_and_nothing_twice_while_the_primary_changes() {
    let seed = std::env::var("SEN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1);
    println!("SEN_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let mut cluster = Cluster::start(&[("commit_delay", "20000"), ("commit_siblings", "0")]);
    fill(&cluster.url_of("postgres"));
    let pooler = PgBouncer::before("127.0.0.1", cluster.port, &["server_lifetime = 60"]);
    let ways = [
        Way { name: "HAProxy", url: cluster.url_of("postgres") },
        Way { name: "several hosts", url: cluster.hosts_url_of("postgres") },
        Way { name: "PgBouncer before HAProxy", url: pooler.url_of("postgres") },
    ];
    let mut counts = BTreeMap::new();
    for number in 0..sized(8, 200) {
        let how = match number % 10 {
            1 => Fall::Loss,
            at if at % 2 == 0 => Fall::Switchover,
            _ => Fall::Crash,
        };
        let way = &ways[number % ways.len()];
        let after = Duration::from_millis(100 + dice.below(1500));
        println!("{number}: {how:?} after {after:?}, by {}", way.name);
        *counts.entry(format!("{how:?} by {}", way.name)).or_default() += 1;
        round(&mut cluster, way, how, after, &mut counts);
        if number % 10 == 7 {
            println!("0 false, 0 double starts: {counts:#?}");
        }
        cluster.settle();
    }
}
