//! `sen watch` and `--watch`, in real terminals and pipes, over databases that change, stop and come back.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::patience::until;
use crate::harness::postgres::{Database, Options, Server};
use crate::harness::pty::{Live, terminal};
use crate::harness::sen::{SEN, sen};

const ALTERNATE: &[u8] = b"\x1b[?1049h";
const BACK: &[u8] = b"\x1b[?1049l";

fn count(raw: &[u8], what: &[u8]) -> usize {
    raw.windows(what.len()).filter(|window| *window == what).count()
}

fn leases(database: &Database<'_>) {
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
         VALUES ('payments:lost', 'h:1-1', now() - interval '1 hour', now() - interval '1 hour', now() - interval '1 hour', 'executing', 1),
                ('payments:live', 'h:2-1', now() + interval '1 hour', now(), now() + interval '2 hours', 'executing', 2),
                ('mail:done', 'h:3-1', now(), now(), now(), 'completed', 3)",
    );
    // The servers of the tests forget on a crash what no checkpoint has written.
    database.psql("CHECKPOINT");
}

fn watch(database: &Database<'_>, rows: u16, columns: u16) -> Live {
    let live = terminal(["watch", "--interval", "200ms"]).database(&database.url()).size(rows, columns).start();
    live.wait_for("sen list --state uncertain");
    live
}

#[test]
fn it_shows_what_matters_at_any_size_and_through_resizes() {
    let database = Server::shared().fresh_database();
    leases(&database);
    let mut live = watch(&database, 24, 80);
    for text in ["1 critical", "1 key uncertain", "states 3", "payments:live", "in progress 1"] {
        live.wait_for(text);
    }
    live.resize(60, 200);
    live.wait_for("Tab pane  Enter rows");
    live.wait_until("all of the larger screen", |screen| {
        screen.contains("payments:live") && screen.lines().count() == 60
    });
    live.resize(10, 40);
    live.wait_for("attention 1  states 3");
    assert!(live.screen().lines().count() <= 10);
    live.resize(1, 4);
    live.resize(24, 80);
    live.wait_for("payments:live");
    // What changes shows without a key.
    database.psql("UPDATE sentinel_leases SET status = 'completed' WHERE key = 'payments:lost'");
    live.wait_for("nothing needs a person");
    live.type_keys("q");
    let shown = live.finish();
    assert_eq!(shown.code, 0);
    assert_eq!((count(&shown.raw, ALTERNATE), count(&shown.raw, BACK)), (1, 1));
}

#[test]
fn keys_open_filter_sort_and_copy() {
    let database = Server::shared().fresh_database();
    leases(&database);
    let mut live = watch(&database, 30, 100);
    live.type_keys("?");
    live.wait_for("another order of the pane");
    live.type_keys("?\t\t\r");
    // The same facts as `sen inspect`.
    live.wait_for("fencing_token:    2");
    live.wait_for("ALIVE");
    live.type_keys("c");
    live.wait_for("copied: sen inspect payments:live");
    let osc52 = b"\x1b]52;c;c2VuIGluc3BlY3QgcGF5bWVudHM6bGl2ZQ==\x07";
    assert_eq!(count(&live.raw(), osc52), 1);
    live.type_keys("q");
    live.wait_for("in progress 1 · by age");
    live.type_keys("s");
    live.wait_for("in progress 1 · by system");
    live.type_keys("/none-such\r");
    live.wait_for("nothing matches the filter");
    live.type_keys("\u{1b}");
    live.wait_for("payments:live");
    live.type_keys("\u{3}");
    assert_eq!(live.finish().code, 130);
}

#[test]
fn enter_leads_from_attention_to_rows_to_one_of_them_and_its_causes_and_esc_back() {
    let database = Server::shared().fresh_database();
    leases(&database);
    let mut live = watch(&database, 24, 80);
    live.type_keys("\r");
    live.wait_for("┌ list --state uncertain");
    live.wait_for("▸ payments:lost");
    live.type_keys("\r");
    live.wait_for("┌ inspect payments:lost");
    live.wait_for("UNCERTAIN");
    // It fits the terminal, whatever becomes of that.
    live.resize(40, 120);
    live.wait_until("all of the larger screen", |screen| screen.lines().count() == 40 && screen.contains("UNCERTAIN"));
    live.type_keys("\r");
    live.wait_for("┌ why payments:lost");
    live.type_keys("t");
    live.wait_for("┌ timeline payments:lost");
    live.wait_for("lease expired");
    for shown in ["┌ why payments:lost", "┌ inspect payments:lost", "▸ payments:lost", "attention 1 · by severity"]
    {
        live.type_keys("\u{1b}");
        live.wait_for(shown);
    }
    live.type_keys("q");
    assert_eq!(live.finish().code, 0);
}

#[test]
fn an_act_shows_its_plan_and_asks_as_its_command_does() {
    let database = Server::shared().fresh_database();
    leases(&database);
    let mut live = watch(&database, 30, 100);
    live.type_keys("\r");
    live.wait_for("▸ payments:lost");
    live.type_keys("a");
    live.wait_for("▸ sen reconcile payments:lost");
    live.type_keys("\r");
    live.wait_for("What really happened");
    live.type_keys("jj\r");
    live.wait_for("Reason");
    live.type_keys("INC-7\r");
    live.wait_for("Proceed?");
    assert_eq!(database.psql("SELECT status FROM sentinel_leases WHERE key = 'payments:lost'").trim(), "executing");
    live.type_keys("y\r");
    live.wait_for("Enter goes back");
    live.type_keys("\r");
    live.wait_for("┌ list --state uncertain");
    assert_eq!(database.psql("SELECT status FROM sentinel_leases WHERE key = 'payments:lost'").trim(), "claimed");
    let record = database.psql("SELECT metadata->>'act', metadata->>'why' FROM sentinel_events WHERE event = 'reset'");
    assert_eq!(record.trim(), "reset|INC-7");
    // What is in no pane is found in the database. Also a harmless act asks.
    live.type_keys("\u{1b}");
    live.wait_for("attention 0");
    live.type_keys("/payments:lost\r");
    live.wait_for("┌ found: payments:lost");
    live.type_keys("a");
    live.wait_for("▸ sen release payments:lost");
    live.type_keys("\r");
    live.wait_for("Reason");
    live.type_keys("\r");
    live.wait_for("Proceed?");
    live.type_keys("n\r");
    live.wait_for("nothing was written");
    live.type_keys("\r");
    live.wait_for("┌ found: payments:lost");
    assert_eq!(database.psql("SELECT count(*) FROM sentinel_leases WHERE key = 'payments:lost'").trim(), "1");
    live.type_keys("qq");
    assert_eq!(live.finish().code, 0);
}

#[test]
fn an_interrupt_of_a_question_leaves_the_act_and_a_second_one_the_watch() {
    let database = Server::shared().fresh_database();
    leases(&database);
    let mut live = watch(&database, 30, 100);
    live.type_keys("\r");
    for round in 1..=2 {
        live.wait_for("▸ payments:lost");
        live.type_keys("a");
        live.wait_for("▸ sen reconcile payments:lost");
        live.type_keys("\r");
        until("the question", || count(&live.raw(), b"What really happened") >= round);
        live.wait_for("What really happened");
        live.type_keys("\u{3}");
        until("the act is left", || count(&live.raw(), b"Enter goes back") == round);
        live.wait_for("interrupted; nothing was written");
        if round == 1 {
            live.type_keys("\r");
            live.wait_for("┌ list --state uncertain");
        }
    }
    assert!(live.is_running());
    live.type_keys("\u{3}");
    assert_eq!(live.finish().code, 130);
    assert_eq!(database.psql("SELECT status FROM sentinel_leases WHERE key = 'payments:lost'").trim(), "executing");
}

#[test]
fn nothing_is_changed_where_only_reading_is_allowed() {
    let database = Server::shared().fresh_database();
    leases(&database);
    let mut live =
        terminal(["watch", "--interval", "200ms", "--read-only"]).database(&database.url()).size(24, 80).start();
    live.wait_for("sen list --state uncertain");
    live.type_keys("\r");
    live.wait_for("▸ payments:lost");
    live.type_keys("a");
    live.wait_for("▸ sen reconcile payments:lost");
    live.type_keys("\r");
    live.wait_for("--read-only was given");
    live.type_keys("\u{3}");
    assert_eq!(live.finish().code, 130);
    assert_eq!(database.psql("SELECT status FROM sentinel_leases WHERE key = 'payments:lost'").trim(), "executing");
}

#[test]
fn a_restart_of_the_server_is_survived() {
    let mut server = Server::start(&Options::new());
    let name = {
        let database = server.fresh_database();
        leases(&database);
        database.name
    };
    let url = server.url_of(&name);
    let mut live = terminal(["watch", "--interval", "200ms"]).database(&url).start();
    live.wait_for("sen list --state uncertain");
    server.crash();
    live.wait_for("disconnected since");
    // The last picture stays.
    assert!(live.screen().contains("payments:live"), "{}", live.screen());
    live.type_keys("\t\t\r");
    live.wait_for("not connected");
    server.resume();
    live.wait_for("here again");
    live.wait_until("connected again", |screen| !screen.contains("disconnected"));
    live.type_keys("q");
    assert_eq!(live.finish().code, 0);
}

#[test]
fn the_terminal_is_given_back_whatever_ends_it() {
    let database = Server::shared().fresh_database();
    leases(&database);
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let live = watch(&database, 24, 80);
        kill_process(live.pid(), signal).unwrap();
        let shown = live.finish();
        assert_eq!(shown.code, code, "{signal:?}");
        assert_eq!((count(&shown.raw, ALTERNATE), count(&shown.raw, BACK)), (1, 1), "{signal:?}");
        let last = |what: &[u8]| shown.raw.windows(what.len()).rposition(|window| window == what);
        assert!(last(b"\x1b[?25h") > last(b"\x1b[?25l"), "{signal:?}: the cursor is back");
    }
    // A panic's message comes after the screen is given back, and the screen only once. The switch is not in a release.
    if cfg!(debug_assertions) {
        let shown = terminal(["watch"]).database(&database.url()).env("SEN_DEBUG_PANIC", "1").run();
        let (_, after) = shown.raw.split_at(shown.raw.windows(BACK.len()).position(|window| window == BACK).unwrap());
        assert!(String::from_utf8_lossy(after).contains("SEN_DEBUG_PANIC"), "{}", shown.screen);
        assert_eq!(count(&shown.raw, BACK), 1);
    }
}

#[test]
fn what_cannot_be_watched_is_said_without_a_screen() {
    let empty = Server::shared().fresh_database();
    let shown = terminal(["watch"]).database(&empty.url()).run();
    assert_eq!(shown.code, 2, "{}", shown.screen);
    assert!(shown.screen.contains("no supported tables"), "{}", shown.screen);
    let shown = terminal(["watch"]).database("sqlite:/none/such.db").run();
    assert_eq!((shown.code, count(&shown.raw, ALTERNATE)), (6, 0), "{}", shown.screen);
    sen(["watch", "-o", "json"]).database(&empty.url()).run().expect_code(2);
    sen(["watch", "--interval", "1ms"]).database(&empty.url()).run().expect_code(2);
}

#[test]
fn hostile_text_does_not_act_and_no_color_is_obeyed() {
    let database = Server::shared().fresh_database();
    sen(["init"]).database(&database.url()).run().expect_code(0);
    database.psql(
        r"INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status)
          VALUES (E'\x1b]0;owned\x07\x1b[2J\u202e\r\nkey', E'\x1b[31mowner', now() + interval '1 hour', now(), now() + interval '1 hour', 'executing')",
    );
    let mut live = terminal(["watch"]).database(&database.url()).env("NO_COLOR", "1").size(30, 160).start();
    live.wait_for(r"\u{1b}]0;owned\u{7}");
    live.type_keys("\t\t\r");
    live.wait_for("fencing_token:");
    live.type_keys("cqq");
    let shown = live.finish();
    assert_eq!(shown.code, 0);
    assert_eq!(count(&shown.raw, b"\x1b]0;"), 0);
    let text = String::from_utf8_lossy(&shown.raw).into_owned();
    assert!(!text.contains('\u{202e}') && !text.contains("\x1b[31m"));
    // Foreground or background colours: 3x, 4x, 9x, 10x, 38;…; only attributes and resets remain.
    let colour = regex::Regex::new(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9]+)*m").unwrap();
    assert!(!colour.is_match(&text), "{:?}", colour.find(&text));
}

/// `sen` into a pipe, and its lines.
fn piped(args: &[&str], url: &str) -> (Child, std::io::Lines<BufReader<std::process::ChildStdout>>) {
    let mut command = Command::new(SEN);
    command.args(args).env_clear().env("DATABASE_URL", url).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[test]
fn a_pipe_gets_a_line_for_every_change() {
    let mut server = Server::start(&Options::new());
    let database = server.fresh_database();
    leases(&database);
    let (url, name) = (database.url(), database.name.clone());
    // Young enough that its age reads differently every second.
    database.psql("UPDATE sentinel_leases SET lease_updated_at = now() - interval '3 s' WHERE key = 'payments:lost'");
    let (mut child, mut lines) = piped(&["watch", "--interval", "100ms", "-o", "jsonl"], &url);
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    assert_eq!((&first["event"], &first["critical"]), (&"state".into(), &1.into()));
    assert_eq!(first["summary"], "uncertain 1, alive 1, completed 1");
    assert_eq!(first["attention"][0]["next"][0]["command"], "sen list --state uncertain");
    // What only grows older is no change: the next line is the next change.
    std::thread::sleep(Duration::from_millis(2500));
    database.psql("UPDATE sentinel_leases SET status = 'reconciling' WHERE key = 'payments:lost'");
    database.psql("CHECKPOINT");
    let second = next();
    assert_eq!((&second["critical"], &second["warning"]), (&0.into(), &1.into()));
    server.crash();
    assert_eq!(next()["event"], "disconnected");
    server.resume();
    assert_eq!(next()["event"], "connected");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Nobody reads: it ends with the next change, and quietly.
    let (mut child, mut lines) = piped(&["watch", "--interval", "100ms"], &server.url_of(&name));
    assert!(lines.next().unwrap().unwrap().starts_with("TIME"));
    drop(lines);
    Database { server: &server, name }
        .psql("UPDATE sentinel_leases SET status = 'completed' WHERE key = 'payments:lost'");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn lists_are_repeated_in_place() {
    let database = Server::shared().fresh_database();
    leases(&database);
    let mut live = terminal(["list", "--state", "uncertain", "--watch=200ms"]).database(&database.url()).start();
    live.wait_for("sen list --state uncertain   every ");
    live.wait_for("payments:lost");
    database.psql("UPDATE sentinel_leases SET key = 'payments:found' WHERE key = 'payments:lost'");
    live.wait_until("the new one alone", |screen| {
        screen.contains("payments:found") && !screen.contains("payments:lost")
    });
    database.psql("UPDATE sentinel_leases SET status = 'completed'");
    live.wait_until("nothing", |screen| screen.contains("no leases match") && !screen.contains("payments:found"));
    live.resize(8, 60);
    database.psql(
        "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, hard_expires_at, status)
         SELECT 'many-' || n, 'o', now() - interval '1 hour', now() - interval '1 hour', 'executing' FROM generate_series(1, 30) AS n",
    );
    live.wait_until("the first of many lines", |screen| {
        screen.contains("more lines") && screen.starts_with("sen list")
    });
    live.type_keys("\u{3}");
    assert_eq!(live.finish().code, 130);
}

#[test]
fn a_repeated_command_goes_on_where_it_can_and_writes_nothing() {
    let mut server = Server::start(&Options::new());
    let database = server.fresh_database();
    leases(&database);
    let url = database.url();
    let mut live = terminal(["status", "--watch=200ms"]).database(&url).start();
    live.wait_for("1 key uncertain");
    server.crash();
    live.wait_for("error: cannot connect");
    assert!(live.screen().contains("1 key uncertain"), "the last picture stays: {}", live.screen());
    server.resume();
    live.wait_until("no error any more", |screen| !screen.contains("error:"));
    live.type_keys("\u{3}");
    assert_eq!(live.finish().code, 130);
    for args in [
        &["forget", "k", "--watch"][..],
        &["init", "--watch"],
        &["demo", "--watch"],
        &["once", "--watch", "k", "--", "true"],
    ] {
        let refused = sen(args).database(&url).run();
        assert!(refused.code == 2 || refused.code == 125, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains("--watch"), "{args:?}: {}", refused.stderr);
    }
    sen(["list", "--watch=5"]).database(&url).run().expect_code(2);
    sen(["list", "--watch", "--state", "asleep"]).database(&url).run().expect_code(2);
    // Into a pipe one after another.
    let (mut child, mut lines) = piped(&["list", "--watch=100ms", "--fields", "key", "--state", "alive"], &url);
    let seen: Vec<String> = (&mut lines).take(5).map(Result::unwrap).collect();
    assert!(seen[2].starts_with("--- "), "{seen:?}");
    assert_eq!((&seen[0], &seen[1]), (&seen[3], &seen[4]));
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Tables of executions with what is read of them.
const EXECUTIONS: &str = "CREATE TABLE executions (id TEXT PRIMARY KEY, root_function TEXT, state TEXT, args BYTEA, kwargs BYTEA, result BYTEA,
            error BYTEA, retries INTEGER, created_at TIMESTAMP, started_at TIMESTAMP, completed_at TIMESTAMP, expiry_at TIMESTAMP,
            tags TEXT, priority INTEGER, queue TEXT);
        CREATE TABLE tasks (id TEXT PRIMARY KEY, execution_id TEXT, step_name TEXT, kind TEXT, parent_task_id TEXT, state TEXT,
            args BYTEA, kwargs BYTEA, result BYTEA, error BYTEA, retries INTEGER, created_at TIMESTAMP, started_at TIMESTAMP,
            completed_at TIMESTAMP, worker_id TEXT, lease_expires_at TIMESTAMP, tags TEXT, priority INTEGER, queue TEXT,
            idempotency_key TEXT, retry_policy TEXT, scheduled_for TIMESTAMP)";

/// Looking in vain for tables leaves a line in the server's log; looking again and again must not.
#[test]
fn what_is_not_there_is_not_asked_for_again_and_again() {
    let server = Server::start(&Options::new());
    let database = server.fresh_database();
    database.psql(EXECUTIONS);
    let (mut child, mut lines) = piped(&["watch", "--interval", "100ms", "-o", "jsonl"], &database.url());
    for n in 0..4 {
        assert!(lines.next().unwrap().unwrap().contains("\"state\""));
        database.psql(&format!(
            "INSERT INTO executions (id, root_function, state, created_at, retries) VALUES ('e-{n}', 'f', 'failed', now(), 0)"
        ));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    child.wait().unwrap();
    let log = server.log();
    assert!(log.matches("relation \"sentinel_leases\" does not exist").count() <= 1, "{log}");
}

#[test]
fn tables_that_come_and_go_are_noticed() {
    let server = Server::start(&Options::new());
    let database = server.fresh_database();
    leases(&database);
    let (mut child, mut lines) = piped(&["watch", "--interval", "100ms", "-o", "jsonl"], &database.url());
    let mut until = |what: &dyn Fn(&str) -> bool| while !what(&lines.next().unwrap().unwrap()) {};
    until(&|line| line.contains("uncertain 1"));
    database.psql(EXECUTIONS);
    database.psql(
        "INSERT INTO executions (id, root_function, state, created_at, retries) VALUES ('e', 'f', 'failed', now(), 0)",
    );
    until(&|line| line.contains("uncertain 1") && line.contains("failed 1"));
    database.psql("DROP TABLE sentinel_leases, sentinel_events");
    until(&|line| line.contains("\"state\"") && !line.contains("uncertain 1") && line.contains("failed 1"));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    child.wait().unwrap();
}
