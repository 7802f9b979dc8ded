//! Connections that break while committing, operators who race, locks, servers that take no writes, and a kill at any time:
//! what `sen` then says must be what is in the rows.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::postgres::{Database, Options, Server};
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::sen::{Output, sen};

const COMMIT: &[u8] = b"COMMIT";

/// One act, from a key that is ripe for it.
struct Act {
    words: &'static [&'static str],
    /// The stored status it starts from.
    from: &'static str,
    /// Bytes of its statement that no other message holds.
    statement: &'static str,
    /// The stored status afterwards; none when the row goes.
    to: Option<&'static str>,
}

const TAKE_OVER: Act =
    Act { words: &["reconcile"], from: "executing", statement: "SET status = 'reconciling'", to: Some("reconciling") };
const OVERRULE: Act = Act { words: &["reconcile", "--before-hard-ttl", "--reason", "x", "--yes"], ..TAKE_OVER };
const COMPLETE: Act = Act {
    words: &["reconcile", "--token", "1", "--complete", r#"{"ok":1}"#, "--yes"],
    from: "reconciling",
    statement: "SET status = 'completed'",
    to: Some("completed"),
};
const RESET: Act = Act {
    words: &["reconcile", "--token", "1", "--reset", "--yes"],
    from: "reconciling",
    statement: "SET status = 'claimed'",
    to: Some("claimed"),
};
const RELEASE: Act = Act { words: &["release"], from: "claimed", statement: "DELETE FROM sentinel_leases", to: None };
const FORGET: Act =
    Act { words: &["forget", "--yes"], from: "completed", statement: "DELETE FROM sentinel_leases", to: None };

/// A database with the key `k`, whose token is 1 and whose time is over, and a neighbour like it.
fn ripe<'a>(server: &'a Server, act: &Act) -> Database<'a> {
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    for key in ["k", "neighbour"] {
        lease(&database, key, act.from, "1");
    }
    database.psql("SELECT setval('sentinel_token_seq', 100)");
    database
}

fn lease(database: &Database<'_>, key: &str, status: &str, token: &str) {
    database.psql(&format!(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
        VALUES ('{key}', 'web-1:42-7', now() - interval '1h', now() - interval '2h', now() - interval '1h', '{status}', {token})"
    ));
}

/// All that is stored: rows and events, in a fixed order.
fn stored(database: &Database<'_>) -> String {
    database.psql(
        "SELECT l::text FROM sentinel_leases AS l ORDER BY key;
        SELECT key, event, fencing_token FROM sentinel_events ORDER BY id",
    )
}

/// Checks that exactly this act was done, to this key, once.
#[track_caller]
fn assert_done(database: &Database<'_>, act: &Act) {
    let status = database.psql("SELECT status FROM sentinel_leases WHERE key = 'k'");
    assert_eq!(status, act.to.unwrap_or_default(), "{:?}", act.words);
    assert_eq!(database.psql("SELECT count(*) FROM sentinel_events WHERE key = 'k'"), "1", "{:?}", act.words);
    // What fences somebody out draws a token; the rest keeps the one it was guarded by.
    let drawn = database.psql("SELECT fencing_token > 100 FROM sentinel_leases WHERE key = 'k'");
    let draws = act.to.map(|to| if ["reconciling", "claimed"].contains(&to) { "t" } else { "f" });
    assert_eq!(drawn, draws.unwrap_or_default(), "{:?}", act.words);
    let neighbour = database.psql("SELECT status, fencing_token FROM sentinel_leases WHERE key = 'neighbour'");
    assert_eq!(neighbour, format!("{}|1", act.from), "{:?}", act.words);
}

fn through(proxy: &Proxy, database: &Database<'_>, act: &Act) -> crate::harness::sen::Sen {
    sen(act.words.iter().copied().chain(["k", "-o", "json"])).database(&proxy.url_of(&database.name))
}

fn item(output: &Output) -> Value {
    output.json()["results"][0].clone()
}

#[track_caller]
fn assert_item(output: &Output, outcome: &str, says: &str) {
    let item = item(output);
    assert_eq!(item["outcome"], outcome, "{item}");
    assert!(item["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{says:?} is not in {item}");
}

const ALL: [Act; 5] = [TAKE_OVER, COMPLETE, RESET, RELEASE, FORGET];

#[test]
fn a_commit_that_never_arrives_is_nothing_written() {
    let server = Server::shared();
    for act in &ALL {
        let database = ripe(server, act);
        let before = stored(&database);
        let proxy = Proxy::unix(server);
        proxy.trap_after(act.statement, Trap::Request(COMMIT.into()));
        let output = through(&proxy, &database, act).run().expect_code(6);
        assert_item(&output, "failed", "rolled back and nothing of it was written");
        assert_eq!(stored(&database), before, "{:?}", act.words);
    }
}

#[test]
fn a_statement_whose_answer_is_lost_is_nothing_written() {
    let server = Server::shared();
    let database = ripe(server, &COMPLETE);
    let before = stored(&database);
    let proxy = Proxy::unix(server);
    proxy.trap(Trap::Answer(COMPLETE.statement.into()));
    assert_item(&through(&proxy, &database, &COMPLETE).run().expect_code(6), "failed", "");
    assert_eq!(stored(&database), before);
}

#[test]
fn a_commit_whose_answer_is_lost_is_asked_about() {
    let server = Server::shared();
    for act in &ALL {
        let database = ripe(server, act);
        let proxy = Proxy::unix(server);
        proxy.trap_after(act.statement, Trap::Answer(COMMIT.into()));
        let output = through(&proxy, &database, act).run().expect_code(0);
        assert_item(&output, "applied", "");
        assert_eq!(proxy.seen().len(), 2, "a second connection asked: {:?}", act.words);
        assert_done(&database, act);
    }
}

/// Lets `act` come to its COMMIT, refuses new connections, and springs the trap.
fn cut_off(server: &Server, database: &Database<'_>, act: &Act, trap: Trap) -> Output {
    let proxy = Proxy::unix(server);
    proxy.trap(Trap::Hold(act.statement.into()));
    proxy.trap_after(act.statement, trap);
    let running = through(&proxy, database, act).start();
    proxy.wait_for_hold();
    proxy.refuse(true);
    proxy.stall(false);
    running.finish()
}

#[test]
fn a_commit_that_cannot_be_asked_about_is_unknown() {
    let server = Server::shared();
    for (trap, written) in [(Trap::Answer(COMMIT.into()), true), (Trap::Request(COMMIT.into()), false)] {
        let database = ripe(server, &COMPLETE);
        let before = stored(&database);
        let output = cut_off(server, &database, &COMPLETE, trap).expect_code(9);
        let operation = output.json()["operation"].as_str().expect("there is an operation id").to_owned();
        assert_item(&output, "unknown", &operation);
        if written {
            assert_done(&database, &COMPLETE);
            let kept = "SELECT metadata ->> 'operation' FROM sentinel_events WHERE event = 'completed'";
            assert_eq!(database.psql(kept), operation, "the id leads to the event");
        } else {
            assert_eq!(stored(&database), before);
        }
    }
}

#[test]
fn a_backend_that_is_ended_before_its_commit_wrote_nothing() {
    let server = Server::shared();
    let database = ripe(server, &COMPLETE);
    let before = stored(&database);
    let proxy = Proxy::unix(server);
    proxy.trap_after(COMPLETE.statement, Trap::Hold(COMMIT.into()));
    let running = through(&proxy, &database, &COMPLETE).start();
    proxy.wait_for_hold();
    database.psql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    proxy.stall(false);
    assert_item(&running.finish().expect_code(6), "failed", "rolled back and nothing of it was written");
    assert_eq!(stored(&database), before);
}

/// The second of two transactions is lost: the report must not hide the first, whose token is needed to go on.
#[test]
fn a_take_over_is_told_when_what_follows_it_fails() {
    let server = Server::shared();
    let words = &["reconcile", "--complete", r#"{"ok":1}"#, "--yes"];
    for (statement, trap, code) in [
        (COMPLETE.statement, Trap::Request(COMMIT.into()), 3),
        // Its own answer is had from a second connection, and so is what follows.
        (TAKE_OVER.statement, Trap::Answer(COMMIT.into()), 0),
    ] {
        let act = Act { words, ..TAKE_OVER };
        let database = ripe(server, &act);
        let proxy = Proxy::unix(server);
        proxy.trap_after(statement, trap);
        let output = through(&proxy, &database, &act).run();
        let token = database.psql("SELECT fencing_token FROM sentinel_leases WHERE key = 'k'");
        let report = item(&output);
        assert_eq!(report["fencing_token"], token, "{report}");
        assert_eq!(output.code, code, "{output:?}");
        if code != 0 {
            assert_item(&output, "failed", "taken over, but then");
            assert_done(&database, &TAKE_OVER);
            let again = ["reconcile", "k", "--token", &token, "--complete", r#"{"ok":1}"#, "--yes"];
            sen(again).database(&database.url()).run().expect_code(0);
        }
        assert_eq!(database.psql("SELECT status FROM sentinel_leases WHERE key = 'k'"), "completed");
    }
}

/// Between the look and the write anything may happen; each change here is one that a guard alone can see.
#[test]
fn what_changes_between_look_and_write_is_left_alone() {
    let token = "fencing_token = 2";
    let alive = "lease_expires_at = now() + interval '1 hour'";
    let limit = "hard_expires_at = now() + interval '1 hour'";
    let (executing, reconciling, claimed, completed) =
        ("status = 'executing'", "status = 'reconciling'", "status = 'claimed'", "status = 'completed'");
    let cases: [(&Act, &[&str]); 6] = [
        (&TAKE_OVER, &[token, reconciling, claimed, completed, alive, limit]),
        (&OVERRULE, &[token, reconciling, claimed, completed, alive]),
        (&COMPLETE, &[token, executing, claimed, completed]),
        (&RESET, &[token, executing, claimed, completed]),
        (&RELEASE, &[token, executing, reconciling, completed, alive]),
        (&FORGET, &[token, executing, reconciling, claimed]),
    ];
    let server = Server::shared();
    for (act, changes) in cases {
        for change in changes {
            let database = ripe(server, act);
            let proxy = Proxy::unix(server);
            proxy.trap(Trap::Hold(act.statement.into()));
            let running = through(&proxy, &database, act).start();
            proxy.wait_for_hold();
            database.psql(&format!("UPDATE sentinel_leases SET {change} WHERE key = 'k'"));
            let changed = stored(&database);
            proxy.stall(false);
            let output = running.finish();
            assert_eq!(stored(&database), changed, "{:?} in spite of {change}: {}", act.words, output.stdout);
            assert_item(&output.expect_code(5), "changed", "nothing was written");
        }
        // And the row may be gone.
        let database = ripe(server, act);
        let proxy = Proxy::unix(server);
        proxy.trap(Trap::Hold(act.statement.into()));
        let running = through(&proxy, &database, act).start();
        proxy.wait_for_hold();
        database.psql("DELETE FROM sentinel_leases WHERE key = 'k'");
        let changed = stored(&database);
        proxy.stall(false);
        assert_item(&running.finish().expect_code(4), "missing", "no longer exists");
        assert_eq!(stored(&database), changed);
    }
}

#[test]
fn rows_without_a_hard_limit_or_with_a_lease_ahead() {
    let database = ripe(Server::shared(), &TAKE_OVER);
    // No heartbeat extends a lease without a hard limit, so it counts as passed.
    database.psql("UPDATE sentinel_leases SET hard_expires_at = NULL WHERE key = 'k'");
    sen(["reconcile", "k"]).database(&database.url()).run().expect_code(0);
    // A key that is reset is free at once, whatever its lease was when it was taken over.
    let token = database.psql(
        "UPDATE sentinel_leases SET lease_expires_at = now() + interval '1h' WHERE key = 'k' RETURNING fencing_token",
    );
    sen(["reconcile", "k", "--token", &token, "--reset", "--yes"]).database(&database.url()).run().expect_code(0);
    let free = "SELECT status, lease_expires_at < clock_timestamp() FROM sentinel_leases WHERE key = 'k'";
    assert_eq!(database.psql(free), "claimed|t");
}

/// Neither an answer nor an end of the connection: the server gives the transaction up after ten seconds.
#[test]
fn a_commit_that_is_never_answered_is_asked_about() {
    let server = Server::shared();
    let database = ripe(server, &COMPLETE);
    let before = stored(&database);
    let proxy = Proxy::unix(server);
    proxy.trap_after(COMPLETE.statement, Trap::Mute(COMMIT.into()));
    let output = through(&proxy, &database, &COMPLETE).run().expect_code(6);
    assert_item(&output, "failed", "rolled back and nothing of it was written");
    assert_eq!(stored(&database), before);
}

#[test]
fn of_two_operators_one_settles() {
    let server = Server::shared();
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let mut ends = [0, 0];
    for round in 0..60 {
        let key = format!("k{round}");
        lease(&database, &key, "executing", "nextval('sentinel_token_seq')");
        let results = [r#"{"by":0}"#, r#"{"by":1}"#];
        let start = |result| {
            sen(["reconcile", &key, "--complete", result, "--yes", "-o", "json"]).database(&database.url()).start()
        };
        // Each begins first in turn.
        let (first, second) = (round % 2, 1 - round % 2);
        let (one, other) = (start(results[first]), start(results[second]));
        let (one, other) = (one.finish(), other.finish());
        let mut codes = [one.code, other.code];
        codes.sort_unstable();
        assert_eq!(codes, [0, 5], "round {round}\n{}\n{}", one.stdout, other.stdout);
        let (winner, loser) = if one.code == 0 { (first, &other) } else { (second, &one) };
        ends[winner] += 1;
        let told = item(loser);
        let state = told["detail"].as_str().expect("a detail is text");
        assert!(["reconciling", "completed", "taken it over"].iter().any(|word| state.contains(word)), "{told}");
        let row =
            database.psql(&format!("SELECT status, execution_result -> 'by' FROM sentinel_leases WHERE key = '{key}'"));
        assert_eq!(row, format!("completed|{winner}"), "round {round}");
    }
    assert_eq!(
        database.psql("SELECT event, count(*), count(DISTINCT key) FROM sentinel_events GROUP BY 1 ORDER BY 1"),
        "completed|60|60\nreconciling|60|60",
        "wins: {ends:?}"
    );
}

#[test]
fn a_locked_row_is_not_waited_for_for_ever() {
    let database = ripe(Server::shared(), &TAKE_OVER);
    let before = stored(&database);
    let mut session = database.session();
    session.run("BEGIN; SELECT FROM sentinel_leases FOR UPDATE");
    let output = sen(["reconcile", "k", "-o", "json"]).database(&database.url()).run().expect_code(1);
    assert_item(&output, "failed", "lock timeout");
    assert!((4..120).contains(&output.took.as_secs()), "{:?}", output.took);
    session.run("ROLLBACK");
    assert_eq!(stored(&database), before);
    sen(["reconcile", "k"]).database(&database.url()).run().expect_code(0);
}

#[test]
fn servers_that_take_no_writes_say_so() {
    let mut server = Server::start(&Options::new());
    let database = ripe(&server, &TAKE_OVER);
    let (name, before) = (database.name.clone(), stored(&database));
    database.psql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let output = sen(["reconcile", "k", "-o", "json"]).database(&database.url()).run().expect_code(5);
    assert_item(&output, "changed", "default_transaction_read_only is on");
    database.psql(&format!("SET default_transaction_read_only = off; ALTER DATABASE {name} RESET ALL; CHECKPOINT"));

    server.crash();
    server.resume_as_standby();
    let database = Database { server: &server, name };
    let output = sen(["reconcile", "k", "-o", "json"]).database(&database.url()).run().expect_code(5);
    // Servers before PostgreSQL 14 do not say at the login what they are: there the statement is refused.
    if output.stderr.is_empty() {
        assert_item(&output, "changed", "server is a standby");
    } else {
        let error: serde_json::Value = serde_json::from_str(&output.stderr).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("this server takes no writes: it is a standby"), "{error}");
    }
    assert_eq!(stored(&database), before);
}

/// A small generator (SplitMix64), so that a seed that was printed can be given back as `SEN_TEST_SEED`.
struct Chance(u64);

impl Chance {
    #[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
    fn new() -> Self {
        let given = std::env::var("SEN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let chance = Self(given.unwrap_or_else(|| RandomState::new().build_hasher().finish()));
        println!("SEN_TEST_SEED={}", chance.0);
        chance
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[test]
fn a_kill_at_any_time_leaves_whole_keys() {
    const KEYS: usize = 200;
    let mut chance = Chance::new();
    let server = Server::shared();
    let database = server.fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    let fill = |round: usize| {
        database.psql(&format!(
            "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status, fencing_token)
            SELECT 'r{round}-' || i, 'o', now() - interval '1h', now() - interval '1h', 'executing', nextval('sentinel_token_seq')
            FROM generate_series(1, {KEYS}) AS i"
        ));
    };
    let all = |round: usize| {
        let result = format!(r#"{{"round":{round}}}"#);
        sen(["reconcile", "--all", "--complete", &result, "--yes", "-o", "json"]).database(&database.url())
    };
    let mut progress = database.session();
    let mut seen = Vec::new();
    for round in 0..8 {
        fill(round);
        let mut running = all(round).start();
        // At a random key rather than after a random time: machines differ.
        let goal = chance.below(KEYS as u64);
        let done = format!("SELECT count(*) FROM sentinel_leases WHERE status = 'completed' AND key LIKE 'r{round}-%'");
        while running.is_running() && progress.run(&done).parse::<u64>().is_ok_and(|keys| keys < goal) {}
        std::thread::sleep(Duration::from_micros(chance.below(8_000)));
        if running.is_running() {
            running.signal(Signal::KILL);
        }
        running.finish();
        while database.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") != "2" {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Key by key: as before and without events; taken over, with the event of that token; or completed, with both.
        let states = database.psql(&format!(
            "SELECT status, count(*), bool_and(CASE status
                WHEN 'executing' THEN told IS NULL AND execution_result IS NULL
                WHEN 'reconciling' THEN told = 'reconciling ' || fencing_token AND execution_result IS NULL
                WHEN 'completed' THEN told = 'reconciling ' || fencing_token || ', completed ' || fencing_token
                    AND execution_result = '{{\"round\": {round}}}' END)
            FROM sentinel_leases LEFT JOIN
                (SELECT key, string_agg(event || ' ' || fencing_token, ', ' ORDER BY id) AS told FROM sentinel_events GROUP BY key)
                AS events USING (key)
            WHERE key LIKE 'r{round}-%' GROUP BY 1 ORDER BY 1"
        ));
        assert!(!states.is_empty() && states.lines().all(|line| line.ends_with("|t")), "{states}");
        let left: Vec<&str> = states.lines().filter(|line| line.starts_with("reconciling")).collect();
        assert!(left.is_empty() || left == ["reconciling|1|t"], "at most the key it was at is left half-way: {states}");
        seen.push(states.replace('\n', " "));
        assert_eq!(database.psql("SELECT count(*) - count(DISTINCT fencing_token) FROM sentinel_leases"), "0");
        // What is left is still there to be done.
        let report = all(round).run().expect_code(0).json();
        assert_eq!(report["applied"].as_u64(), Some(count(&states, "executing")), "{report}");
        let half = database.psql("SELECT key, fencing_token FROM sentinel_leases WHERE status = 'reconciling'");
        for (key, token) in half.lines().filter_map(|line| line.split_once('|')) {
            sen(["reconcile", key, "--token", token, "--reset", "--yes"])
                .database(&database.url())
                .run()
                .expect_code(0);
        }
        database.psql("DELETE FROM sentinel_leases WHERE status <> 'completed'");
    }
    assert!(seen.iter().any(|states| states.contains("executing")), "no kill came early enough: {seen:?}");
    let doubled = "SELECT count(*) FROM (SELECT FROM sentinel_events WHERE event = 'completed' GROUP BY key HAVING count(*) > 1) AS d";
    assert_eq!(database.psql(doubled), "0");
    assert_eq!(json!(database.psql("SELECT DISTINCT status FROM sentinel_leases")), "completed");
}

/// How many keys have this status, in the lines of the query above.
fn count(states: &str, status: &str) -> u64 {
    let line = states.lines().find_map(|line| line.strip_prefix(status)?.strip_prefix('|'));
    line.and_then(|rest| rest.split('|').next()?.parse().ok()).unwrap_or(0)
}

/// Whether the tables are there is asked on a second connection.
#[test]
fn init_whose_commit_is_lost_says_what_is_there() {
    let server = Server::shared();
    let there = "SELECT to_regclass('sentinel_events') IS NOT NULL";
    for (trap, code, made) in [(Trap::Answer(COMMIT.into()), 0, "t"), (Trap::Request(COMMIT.into()), 6, "f")] {
        let database = server.fresh_database();
        let proxy = Proxy::unix(server);
        proxy.trap_after("CREATE INDEX idx_sentinel_events", trap);
        sen(["init"]).database(&proxy.url_of(&database.name)).run().expect_code(code);
        assert_eq!(database.psql(there), made);
        sen(["init"]).database(&database.url()).run().expect_code(0);
        assert_eq!(database.psql(there), "t");
    }
}
