//! Several operators at once, killed and cut off at any time: every letter is replayed exactly once, none is lost, and what
//! was reported is what is in the table.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::place::{Place, Seed};
use crate::harness::patience::{PATIENCE, shown, until};
use crate::harness::peers::{self, STENT_112};
use crate::harness::postgres::{Database, Server};
use crate::harness::proxy::{Proxy, Trap};
use crate::harness::scale::sized;
use crate::harness::sen::{Output, Running, sen};

/// A small generator, so that a failure can be repeated from the seed it prints.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("SEN_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| u64::from(std::process::id()) | 1);
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

/// Letters in bulk, as the library leaves them, by SQL.
fn fill(place: &Place, count: usize) {
    let series = match place {
        Place::Postgres(_) => format!("generate_series(1, {count}) AS n"),
        Place::Sqlite(_) => format!(
            "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
        ),
    };
    let args = place.bytes(b"[1]");
    place.sql(&format!(
        "INSERT INTO executions (id, root_function, state, args, kwargs, error, created_at, completed_at, tags, priority)
            SELECT 'e-' || n, 'f', 'failed', {args}, {args}, {args}, '2026-11-20T10:00:00', '2026-11-20T10:00:00', '[]', 0 FROM {series}"
    ));
    place.sql(&format!(
        "INSERT INTO tasks (id, execution_id, step_name, kind, state, args, kwargs, retries, created_at, completed_at, tags, priority,
            retry_policy)
            SELECT 't-' || n, 'e-' || n, 'f', 'orchestrator', 'failed', {args}, {args}, 0, '2026-11-20T10:00:00', '2026-11-20T10:00:00',
            '[]', 0, '{{}}' FROM {series}"
    ));
    place.sql(&format!(
        "INSERT INTO dead_tasks (id, reason, moved_at, data)
            SELECT 't-' || n, 'order ' || n || ' lost', '2026-11-20T10:00:00',
            '{{\"id\": \"t-' || n || '\", \"execution_id\": \"e-' || n || '\", \"step_name\": \"f\", \"kind\": \"orchestrator\", \"parent_task_id\": null,
            \"state\": \"failed\", \"args\": \"WzFd\", \"kwargs\": \"WzFd\", \"retries\": 0, \"tags\": [], \"priority\": 0, \"queue\": null,
            \"retry_policy\": null, \"idempotency_key\": null}}' FROM {series}"
    ));
}

/// Letters in = tasks made + letters left, and no execution twice.
#[track_caller]
fn balanced(place: &Place, count: u64) -> u64 {
    let made = place.count("tasks WHERE state = 'pending'");
    let left = place.count("dead_tasks");
    assert_eq!(made + left, count, "{made} made, {left} left");
    assert_eq!(place.count("(SELECT execution_id FROM tasks WHERE state = 'pending' GROUP BY execution_id HAVING count(*) > 1) AS twice"), 0);
    assert_eq!(place.count("executions WHERE state = 'pending'"), made, "an execution is opened exactly with its task");
    made
}

fn applied(output: &Output) -> u64 {
    serde_json::from_str::<Value>(&output.stdout).map_or(0, |report| report["applied"].as_u64().unwrap_or(0))
}

fn race(place: &Place, operators: usize, count: usize, urls: &[String]) {
    let mut dice = Dice::new();
    let mut reported = 0;
    let mut killed = 0;
    let mut rounds = 0;
    while place.count("dead_tasks") > 0 {
        rounds += 1;
        assert!(rounds < 200, "it does not end");
        let start = |at: usize| -> Running {
            let words = ["dlq", "replay", "--all", "--yes", "--batch", "50", "-o", "json"];
            sen(words).database(&urls[at % urls.len()]).timeout(2 * PATIENCE).start()
        };
        let mut running: Vec<Option<Running>> = (0..operators).map(|at| Some(start(at))).collect();
        // In the first rounds everybody is killed at some moment, and nobody finishes the work in peace.
        let span = sized(60, 400) as u64;
        for slot in &mut running {
            if rounds < 4 {
                std::thread::sleep(Duration::from_millis(dice.below(span)));
                let victim = slot.take().unwrap();
                victim.signal(Signal::KILL);
                let output = victim.finish();
                if output.code == -9 { killed += 1 } else { reported += applied(&output) }
            }
        }
        for survivor in running.into_iter().flatten() {
            reported += applied(&survivor.finish());
        }
        let made = balanced(place, count as u64);
        assert!(reported <= made, "{reported} reported, {made} made");
        if killed == 0 {
            assert_eq!(reported, made, "reported is what is in the table");
        }
    }
    println!("{count} letters, {operators} operators, {rounds} rounds, {killed} killed: {reported} reported");
    assert_eq!(balanced(place, count as u64), count as u64);
}

#[test]
fn operators_at_once_and_killed_in_sqlite() {
    let [_, place] = Place::both();
    let count = sized(400, 5000);
    fill(&place, count);
    race(&place, sized(4, 8), count, &[place.url()]);
}

#[test]
fn operators_at_once_killed_and_cut_off_in_postgres() {
    let [place, _] = Place::both();
    let count = sized(1000, 20_000);
    fill(&place, count);
    let Place::Postgres(database) = &place else { unreachable!() };
    let proxies: Vec<Proxy> = (0..4).map(|_| Proxy::unix(Server::shared())).collect();
    let mut urls: Vec<String> = proxies.iter().map(|proxy| proxy.url_of(&database.name)).collect();
    urls.push(database.url());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(30 + dice.below(200)));
                proxies[usize::try_from(dice.below(4)).unwrap()].cut();
            }
        });
        race(&place, sized(6, 16), count, &urls);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn operators_at_once_report_what_is_in_the_table() {
    for place in Place::both() {
        let count = sized(600, 5000);
        fill(&place, count);
        let running: Vec<Running> = (0..4)
            .map(|_| {
                place
                    .command(&["dlq", "replay", "--all", "--yes", "--batch", "20", "-o", "json"])
                    .timeout(2 * PATIENCE)
                    .start()
            })
            .collect();
        let outputs: Vec<Output> = running.into_iter().map(Running::finish).collect();
        for output in &outputs {
            let report = output.json();
            let settled = ["applied", "already_done"].iter().filter_map(|name| report[*name].as_u64()).sum::<u64>();
            assert_eq!((output.code, settled), (0, report["planned"].as_u64().unwrap()), "{report}");
        }
        assert_eq!(outputs.iter().map(applied).sum::<u64>(), count as u64);
        assert_eq!(balanced(&place, count as u64), count as u64);
    }
}

#[test]
fn a_replay_ends_while_letters_keep_arriving_and_touches_only_what_was_there() {
    for place in Place::both() {
        for id in ["a", "b", "c"] {
            Seed { id, ..Seed::default() }.plant(&place);
        }
        let running = place.command(&["dlq", "replay", "--all", "--yes", "--rate", "4/s", "-o", "json"]).start();
        until("the first one", || place.count("dead_tasks WHERE id = 'a'") == 0);
        // One that died before the others, by its clock, and one after: neither stood there at the start.
        Seed { id: "early", moved_at: "2026-01-01T00:00:00", ..Seed::default() }.plant(&place);
        Seed { id: "late", moved_at: "2026-12-01T00:00:00", ..Seed::default() }.plant(&place);
        let report = running.finish().expect_code(0).json();
        assert_eq!((&report["planned"], &report["applied"]), (&3.into(), &3.into()), "{report}");
        assert_eq!(place.sql("SELECT id FROM dead_tasks ORDER BY id"), "early\nlate");
    }
}

/// The database of a place and a proxy before it.
fn behind(place: &Place) -> (&Database<'static>, Proxy) {
    let Place::Postgres(database) = place else { unreachable!() };
    (database, Proxy::unix(Server::shared()))
}

#[test]
fn a_lost_commit_is_asked_about() {
    for (trap, what) in
        [(Trap::Answer(b"COMMIT".to_vec()), "its answer"), (Trap::Request(b"COMMIT".to_vec()), "itself")]
    {
        let [place, _] = Place::both();
        Seed::default().plant(&place);
        let (database, proxy) = behind(&place);
        proxy.trap_after("opened AS", trap);
        let report = sen(["dlq", "replay", "letter", "-o", "json"])
            .database(&proxy.url_of(&database.name))
            .run()
            .expect_code(0)
            .json();
        assert_eq!(report["applied"], 1, "COMMIT lost {what}: {report}");
        assert_eq!(place.count("tasks WHERE state = 'pending'"), 1);
    }
}

#[test]
fn a_commit_that_cannot_be_asked_about_is_unknown() {
    let [place, _] = Place::both();
    Seed::default().plant(&place);
    let (database, proxy) = behind(&place);
    proxy.trap(Trap::Hold(b"opened AS".to_vec()));
    proxy.trap_after("opened AS", Trap::Answer(b"COMMIT".to_vec()));
    let running = sen(["dlq", "replay", "letter", "-o", "json"]).database(&proxy.url_of(&database.name)).start();
    proxy.wait_for_hold();
    proxy.refuse(true);
    proxy.stall(false);
    let output = running.finish().expect_code(9);
    assert_eq!(output.json()["unknown"], 1, "{}", output.stdout);
}

#[test]
fn an_interrupt_finishes_the_batch_and_says_what_is_left() {
    let [place, _] = Place::both();
    for id in ["a", "b", "c"] {
        Seed { id, ..Seed::default() }.plant(&place);
    }
    let running = place.command(&["dlq", "replay", "--all", "--yes", "--rate", "1/m", "-o", "json"]).start();
    until("the first one", || place.count("dead_tasks WHERE id = 'a'") == 0);
    running.signal(Signal::INT);
    let output = running.finish().expect_code(130);
    let report = output.json();
    assert_eq!((&report["applied"], &report["skipped"]), (&1.into(), &2.into()), "{report}");
    assert_eq!(place.count("dead_tasks"), 2);
}

#[test]
fn copies_made_by_the_original_tool_are_reported() {
    for make in [Place::empty_postgres, Place::empty_sqlite] {
        shown("the original goes on while letters are replayed", |run| {
            copied_meanwhile(&make(), ["360/m", "60/m", "20/m", "10/m"].get(run as usize)?)
        });
    }
}

/// Nothing when the replay had ended before the original had made its copies, for which a slower pace gives more time.
fn copied_meanwhile(place: &Place, rate: &str) -> Option<()> {
    place.letters(&STENT_112, 6, &[]);
    // The original reads the letters, ours replays them, the original goes on: its copies cannot be prevented.
    let url = place.for_library();
    let mut original = peers::Peer::start(&STENT_112, "stent/flow.py", &[&url, "replay-slowly"]);
    let mut running = place.command(&["dlq", "replay", "--all", "--yes", "--rate", rate, "-o", "json"]).start();
    until("the first one", || place.count("dead_tasks") <= 5);
    let copied = original.tell();
    assert!(copied["copied"].as_u64().unwrap() > 0);
    let in_time = running.is_running();
    let output = running.finish();
    if !in_time || output.code == 0 {
        return None;
    }
    let report = output.expect_code(3).json();
    let items = report["results"].as_array().unwrap();
    let copies =
        items.iter().filter(|item| item["subject"].as_str().unwrap().starts_with("stent:task:")).count() as u64;
    let twice = place.count(
        "(SELECT execution_id FROM tasks WHERE state = 'pending' GROUP BY execution_id HAVING count(*) > 1) AS twice",
    );
    assert!(twice > 0, "the race did not happen");
    assert_eq!(copies, twice, "{report}");
    Some(())
}

/// A task with a name-based id is another tool's all the same, and what an earlier `sen` made is not.
#[test]
fn a_copy_is_told_by_its_exact_id() {
    for place in [Place::empty_postgres(), Place::empty_sqlite()] {
        place.letters(&STENT_112, 2, &["--kind", "activity"]);
        let url = place.for_library();
        let copies = |code: i32| {
            let words = ["dlq", "replay", "--all", "--force", "--yes"];
            let report = place.json(&words, code);
            assert_eq!(report["applied"], 2, "{report}");
            let items = report["results"].as_array().unwrap().iter();
            items.filter(|item| item["subject"].as_str().unwrap().starts_with("stent:task:")).count()
        };
        // The letters come back as they were, but for their times of death: the tasks of the first replay are still there.
        place.sql("CREATE TABLE kept AS SELECT * FROM dead_tasks");
        assert_eq!(copies(0), 0);
        place.sql("INSERT INTO dead_tasks SELECT id, reason, '2026-01-02T03:04:05.678901', data FROM kept");
        assert_eq!(copies(0), 0, "of an earlier replay of its own");
        place.sql("INSERT INTO dead_tasks SELECT id, reason, '2026-01-03T03:04:05.678901', data FROM kept");
        assert_eq!(peers::ask(&STENT_112, "stent/flow.py", &[&url, "replay-named"])["copied"], 2);
        assert_eq!(copies(3), 2, "of another tool");
    }
}
