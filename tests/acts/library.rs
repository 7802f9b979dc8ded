//! `sen` acts between runs of the real library: what it settles the library must honour, and whom it fences out the
//! library must turn away.

use serde_json::{Value, json};

use crate::harness::patience::{longer, shown, until};
use crate::harness::peers::{Peer, SENTINEL_042, SENTINEL_050, SENTINEL_050_DJANGO, ask};
use crate::harness::postgres::{Database, Server};
use crate::harness::python::Environment;
use crate::harness::sen::{Output, Sen, sen};

const ACT: &str = "sentinel/act.py";
pub(crate) const WORKER: &str = "sentinel/worker.py";
const TRUTH: &str = "sentinel/truth.py";
pub(crate) const DJANGO: &str = "sentinel/django_tables.py";

/// A hard limit that no test reaches.
pub(crate) const FAR_MS: &str = "600000";

/// A database, the library that works in it, and `sen` beside it.
pub(crate) struct Place {
    pub(crate) database: Database<'static>,
    pub(crate) library: &'static Environment,
}

impl Place {
    /// With the library's own tables.
    pub(crate) fn new(library: &'static Environment) -> Self {
        let place = Self::empty(library);
        place.library(&["init"]);
        place
    }

    fn empty(library: &'static Environment) -> Self {
        // On plain TIMESTAMP columns only the server's zone is right.
        Self { database: Server::shared().fresh_database_with(&["timezone = 'Europe/Berlin'"]), library }
    }

    pub(crate) fn library(&self, words: &[&str]) -> Value {
        let url = self.database.url();
        ask(self.library, ACT, &[&[url.as_str()], words].concat())
    }

    fn once(&self, key: &str) -> Value {
        self.library(&["once", key])
    }

    /// The library runs the function, once.
    #[track_caller]
    fn runs(&self, key: &str) {
        let ran = json!({"success": true, "status": "completed", "cached": false, "uncertain": false,
            "response": {"ran": 1}, "runs": 1});
        assert_eq!(self.once(key), ran, "{key}");
    }

    /// The library returns this result without running the function.
    #[track_caller]
    fn returns(&self, key: &str, result: &Value) {
        let cached = json!({"success": true, "status": "completed", "cached": true, "uncertain": false,
            "response": result, "runs": 0});
        assert_eq!(self.once(key), cached, "{key}");
    }

    /// A worker in the middle of its job.
    pub(crate) fn work(&self, role: &str, key: &str, ttl: &str, hard: &str) -> Peer {
        let peer = Peer::start(self.library, WORKER, &[&self.database.url(), role, key, ttl, hard]);
        assert_eq!(peer.made, "started");
        peer
    }

    /// A worker that sends no heartbeats, and whose short time to live is over, and its hard limit, too, where it is short. It has a
    /// long one to begin with, so that it begins however slow the machine is; then what its row says is shortened.
    pub(crate) fn late(&self, role: &str, key: &str, ttl: u32, hard: Option<u32>) -> Peer {
        let long = 60_000;
        let peer = self.work(role, key, &long.to_string(), hard.map_or(FAR_MS, |_| "60000"));
        let shorter = |column: &str, by: u32| format!("{column} = {column} - interval '{} milliseconds'", long - by);
        let mut sets = vec![shorter("lease_expires_at", ttl)];
        sets.extend(hard.map(|hard| shorter("hard_expires_at", hard)));
        // An async client leaves the column to its default.
        sets.push(format!("ttl_ms = CASE ttl_ms WHEN {long} THEN {ttl} ELSE ttl_ms END"));
        self.database.psql(&format!("UPDATE sentinel_leases SET {} WHERE key = '{key}'", sets.join(", ")));
        self.wait_until(key, "lease_expires_at < now()");
        if hard.is_some() {
            self.wait_until(key, "hard_expires_at < now()");
        }
        peer
    }

    fn sen(&self, words: &[&str]) -> Sen {
        sen(words.iter().copied().chain(["-o", "json"])).database(&self.database.url()).env("USER", "maria")
    }

    /// Runs `sen`.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.sen(words).run()
    }

    /// Runs `sen`, which must end with this code.
    #[track_caller]
    pub(crate) fn act(&self, words: &[&str], code: i32) -> Output {
        self.sen(words).run().expect_code(code)
    }

    fn row(&self, key: &str) -> String {
        self.database.psql(&format!("SELECT * FROM sentinel_leases WHERE key = '{key}'"))
    }

    fn token(&self, key: &str) -> i64 {
        let token = self.database.psql(&format!("SELECT fencing_token FROM sentinel_leases WHERE key = '{key}'"));
        token.parse().expect("a token is a number")
    }

    fn has_events(&self) -> bool {
        self.database.psql("SELECT to_regclass('sentinel_events') IS NOT NULL") == "t"
    }

    fn event_count(&self) -> String {
        if self.has_events() { self.database.psql("SELECT count(*) FROM sentinel_events") } else { "none".into() }
    }

    pub(crate) fn wait_until(&self, key: &str, condition: &str) {
        let query = format!("SELECT {condition} FROM sentinel_leases WHERE key = '{key}'");
        until(&format!("{key} is {condition}"), || self.database.psql(&query) == "t");
    }
}

/// The only item of a report.
fn item(output: &Output) -> Value {
    output.json()["results"][0].clone()
}

fn after_a_kill_the_operator_says_what_happened(library: &'static Environment) {
    let place = Place::new(library);
    let results = [
        ("object", json!({"ok": true})),
        ("nothing", Value::Null),
        ("number", json!(9_007_199_254_740_993_i64)),
        ("text", json!("paid ✓ \u{1f5dd} \" \\ \n")),
    ];
    let keys: Vec<&str> = results.iter().map(|(key, _)| *key).chain(["reset"]).collect();
    place.library(&[&["killed"], keys.as_slice()].concat());
    assert_eq!(place.once("reset")["uncertain"], true, "the library itself is at a loss");

    place.act(&["reconcile", "reset", "--reset", "--yes"], 0);
    place.runs("reset");
    for (key, result) in &results {
        place.act(&["reconcile", key, "--complete", &result.to_string(), "--yes"], 0);
        place.returns(key, result);
    }
    // What was settled stays so.
    place.act(&["reconcile", "object", "--reset", "--yes"], 5);
    place.returns("object", &json!({"ok": true}));
    assert_eq!(place.has_events(), library.name != SENTINEL_042.name);
}

fn late_workers_change_nothing(library: &'static Environment) {
    let place = Place::new(library);
    let owners = place.library(&["killed", "taken", "completed", "reset", "rerun"]);
    place.act(&["reconcile", "taken", "--reason", "looking into it"], 0);
    place.act(&["reconcile", "completed", "--complete", r#"{"ok":true}"#, "--yes"], 0);
    place.act(&["reconcile", "reset", "--reset", "--yes"], 0);
    place.act(&["reconcile", "rerun", "--reset", "--yes"], 0);
    place.runs("rerun");

    for (key, owner) in owners.as_object().expect("each key has its worker") {
        let (before, events) = (place.row(key), place.event_count());
        let token = owner["fencing_token"].to_string();
        let told = place.library(&["late", key, owner["owner_id"].as_str().expect("an owner is text"), &token]);
        let nothing = json!({"batch_heartbeat": [], "heartbeat": false, "start_execution": false,
            "expire_lease": false, "complete": false, "release": false});
        assert_eq!(told, nothing, "{key}");
        assert_eq!(place.row(key), before, "{key}");
        assert_eq!(place.event_count(), events, "{key}");
    }
    assert!(place.row("taken").contains("|reconciling|"));
    place.returns("completed", &json!({"ok": true}));
    place.runs("reset");
    place.returns("rerun", &json!({"ran": 1}));
}

/// An async worker sends no heartbeats (see `make.py`), so past its ttl only its hard limit protects it.
fn a_healthy_worker_past_its_ttl_is_left_alone(library: &'static Environment) {
    let place = Place::new(library);
    let mut worker = place.late("async", "k", 300, None);
    let mut other = place.late("async", "fenced", 300, None);
    let (before, events) = (place.row("k"), place.event_count());
    let token = place.token("k").to_string();
    let ways: [&[&str]; 6] = [
        &["reconcile", "k"],
        &["reconcile", "k", "--reset", "--yes"],
        &["reconcile", "k", "--complete", "{}", "--yes"],
        &["reconcile", "k", "--token", &token, "--reset", "--yes", "--reason", "impatience"],
        &["release", "k"],
        &["forget", "k", "--yes"],
    ];
    for words in ways.iter().cycle().take(200) {
        let report = item(&place.act(words, 5));
        assert_eq!(report["outcome"], "changed", "{report}");
    }
    // Not even in bulk, and not without saying why.
    place.act(&["reconcile", "--all", "--reset", "--yes"], 0);
    place.act(&["reconcile", "k", "--reset", "--before-hard-ttl", "--yes"], 2);
    assert_eq!(place.row("k"), before);
    assert_eq!(place.event_count(), events);
    assert_eq!(worker.tell(), json!({"success": true, "status": "completed", "uncertain": false}));
    place.returns("k", &json!({"by": "async"}));

    let overruled = ["reconcile", "fenced", "--before-hard-ttl", "--reason", "its host is gone", "--yes"];
    let report = item(&place.act(&overruled, 0));
    assert_eq!((&report["outcome"], &report["detail"]), (&json!("applied"), &json!("taken over")));
    assert_eq!(report["fencing_token"], place.token("fenced").to_string());
    let taken = place.row("fenced");
    assert_eq!(other.tell(), json!({"success": false, "status": null, "uncertain": true}));
    assert_eq!(place.row("fenced"), taken);
    place.act(&["reconcile", "fenced", "--reset", "--yes"], 5);
    place.act(&["reconcile", "fenced", "--token", &place.token("fenced").to_string(), "--reset", "--yes"], 0);
    place.runs("fenced");
}

/// A worker whose heartbeats arrive is not taken over, whatever is said.
fn a_worker_that_beats_is_left_alone(library: &'static Environment) {
    let place = Place::new(library);
    let mut worker = place.work("alive", "k", "30000", FAR_MS);
    for words in [&["--reset", "--yes"][..], &["--before-hard-ttl", "--reason", "x", "--reset", "--yes"]] {
        place.act(&[&["reconcile", "k"], words].concat(), 5);
    }
    assert_eq!(worker.tell()["success"], true);
    place.returns("k", &json!({"by": "alive"}));
}

fn waiting_for_workers(library: &'static Environment) {
    let place = Place::new(library);
    let wait = |key: &str, rest: &[&str]| place.sen(&[&["wait", key, "--for", "completed"], rest].concat());
    let mut worker = place.work("alive", "k", "30000", FAR_MS);
    let timed_out = shown("a wait is over before its goal is reached", |run| {
        let output = wait("k", &["--timeout", &format!("{}ms", longer(run))]).run();
        // The time bounds the log-in, too.
        (output.code != 6).then(|| output.expect_code(8).json())
    });
    assert_eq!((&timed_out["outcome"], &timed_out["state"]), (&json!("timed_out"), &json!("alive")));
    let waiting = wait("k", &["--timeout", "10m"]).start();
    assert_eq!(worker.tell()["success"], true);
    let reached = waiting.finish().expect_code(0).json();
    assert_eq!((&reached["outcome"], &reached["state"]), (&json!("reached"), &json!("completed")));

    let victim = place.work("alive", "victim", "3000", "4000");
    let waiting = wait("victim", &["--timeout", "10m"]).start();
    victim.kill();
    let uncertain = waiting.finish().expect_code(10).json();
    assert_eq!((&uncertain["outcome"], &uncertain["state"]), (&json!("needs_attention"), &json!("uncertain")));
}

fn released_and_forgotten_keys_run_again(library: &'static Environment) {
    let place = Place::new(library);
    place.library(&["claim", "abandoned"]);
    place.act(&["forget", "abandoned", "--yes"], 5);
    place.act(&["release", "abandoned"], 0);
    assert_eq!(place.row("abandoned"), "");
    place.act(&["release", "abandoned"], 4);
    place.runs("abandoned");

    place.act(&["release", "abandoned"], 5);
    place.returns("abandoned", &json!({"ran": 1}));
    place.act(&["forget", "abandoned"], 7);
    place.act(&["forget", "abandoned", "--yes"], 0);
    assert_eq!(place.row("abandoned"), "");
    place.runs("abandoned");
}

/// The tests above for each version of the library.
macro_rules! with {
    ($($library:ident as $name:ident),*: $tests:tt) => { $(with!(@ $library $name $tests);)* };
    (@ $library:ident $name:ident { $($test:ident)* }) => {
        mod $name {
            $(#[test] fn $test() { super::$test(&super::$library); })*
        }
    };
}

with! { SENTINEL_042 as v0_4_2, SENTINEL_050 as v0_5_0: {
    after_a_kill_the_operator_says_what_happened
    late_workers_change_nothing
    a_healthy_worker_past_its_ttl_is_left_alone
    a_worker_that_beats_is_left_alone
    waiting_for_workers
    released_and_forgotten_keys_run_again
} }

#[test]
fn the_record_of_who_and_why_is_read_by_the_library() {
    let place = Place::new(&SENTINEL_050);
    let workers = place.library(&["killed", "k", "f"]);
    let seen = workers["k"]["fencing_token"].to_string();
    let settled =
        place.act(&["reconcile", "k", "--complete", r#"{"ok":1}"#, "--yes", "--reason", "INC-482 \"paid\""], 0).json();
    let reset = place.act(&["reconcile", "f", "--reset", "--yes"], 0).json();
    place.runs("f");
    let forgotten = place.act(&["forget", "f", "--yes", "--reason", "again"], 0).json();

    let truth = ask(&SENTINEL_050, TRUTH, &[&place.database.url()]);
    let by_sen = |key: &str| -> Vec<Value> {
        let events = truth["history"][key].as_array().expect("the library has a history").iter();
        events.filter(|event| event["metadata"]["tool"] == "sen").cloned().collect()
    };
    let drawn = settled["results"][0]["fencing_token"].as_str().expect("a token is a string");
    let acts = [
        ("k", 0, "reconciling", "take_over", "executing", seen.as_str(), &settled, json!("INC-482 \"paid\"")),
        ("k", 1, "completed", "complete", "reconciling", drawn, &settled, json!("INC-482 \"paid\"")),
        ("f", 1, "reset", "reset", "reconciling", "", &reset, Value::Null),
        ("f", 2, "released", "forget", "completed", "", &forgotten, json!("again")),
    ];
    for (key, at, event, act, status, token, report, why) in acts {
        let told = &by_sen(key)[at];
        let note = &told["metadata"];
        assert_eq!((&told["event"], &told["owner_id"]), (&json!(event), &Value::Null), "{told}");
        assert_eq!((&note["act"], &note["why"]), (&json!(act), &why), "{told}");
        assert_eq!((&note["operation"], &note["db_user"]), (&report["operation"], &json!("postgres")), "{told}");
        assert!(note["who"].as_str().is_some_and(|who| who.starts_with(&crate::harness::sen::operator())), "{told}");
        assert_eq!(note["before"]["status"], status, "{told}");
        let before = note["before"]["fencing_token"].as_str().expect("a token is a string");
        assert!(token.is_empty() || before == token, "{told}");
    }
    assert_eq!((by_sen("k").len(), by_sen("f").len()), (2, 3));
    assert_eq!(by_sen("k")[1]["fencing_token"].to_string(), drawn);
    assert_eq!(truth["history"]["k"].as_array().map(Vec::len), Some(4), "acquired, executing and the two of sen");
}

/// Their events have no `metadata`; 0.5.0 cannot work on them (see `tests/peers`), 0.4.2 can.
#[test]
fn on_tables_made_by_django() {
    let place = Place::empty(&SENTINEL_042);
    ask(&SENTINEL_050_DJANGO, DJANGO, &["migrate", &place.database.url()]);
    place.library(&["killed", "k", "reset"]);
    place.act(&["reconcile", "k", "--complete", r#"{"ok":1}"#, "--yes", "--reason", "INC-482"], 0);
    place.act(&["reconcile", "reset", "--reset", "--yes"], 0);
    place.returns("k", &json!({"ok": 1}));
    place.runs("reset");
    place.act(&["forget", "k", "--yes"], 0);
    place.runs("k");

    let truth = ask(&SENTINEL_050_DJANGO, TRUTH, &[&place.database.url(), "--django"]);
    let names = |key: &str| -> Vec<&str> {
        let events = truth["history"][key].as_array().expect("there are events").iter();
        events.filter_map(|event| event["event"].as_str()).collect()
    };
    assert_eq!(names("k"), ["reconciling", "completed", "released"]);
    assert_eq!(names("reset"), ["reconciling", "reset"]);
}
