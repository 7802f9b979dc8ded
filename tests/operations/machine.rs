//! An operator's machine: a state folder of its own, and data in bulk to act on.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::place::Place;
use crate::harness::sen::{Output, Sen, sen};

/// A machine, and the user on it.
pub(crate) struct Machine {
    state: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap() }
    }

    /// `sen` on it, at the database of this URL.
    pub(crate) fn sen(&self, url: &str, words: &[&str]) -> Sen {
        sen(words).database(url).env("USER", "maria").env("XDG_STATE_HOME", self.state.path())
    }

    /// Runs `sen -o json`, which must end with this code.
    #[track_caller]
    pub(crate) fn json(&self, url: &str, words: &[&str], code: i32) -> Value {
        self.sen(url, &[words, &["-o", "json"]].concat()).run().expect_code(code).json()
    }

    #[track_caller]
    pub(crate) fn run(&self, url: &str, words: &[&str], code: i32) -> Output {
        self.sen(url, words).run().expect_code(code)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.state.path().join("sen/operations")
    }

    /// The journals on it.
    pub(crate) fn journals(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder()).into_iter().flatten().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
    }

    /// What `sen op list` says of its only operation: its id and its state.
    #[track_caller]
    pub(crate) fn only(&self) -> (String, String) {
        let list = self.json("", &["op", "list"], 0);
        let rows = list.as_array().unwrap();
        assert_eq!(rows.len(), 1, "{list}");
        (text(&rows[0]["operation"]), text(&rows[0]["state"]))
    }

    /// Forgets what became of the targets, as a kill does between a commit and the journal.
    pub(crate) fn forget_outcomes(&self) {
        let [journal] = &self.journals()[..] else { panic!("one operation") };
        let whole = std::fs::read_to_string(journal).unwrap();
        let head: Value = serde_json::from_str(whole.lines().next().unwrap()).unwrap();
        let plan = usize::try_from(head["lines"].as_u64().unwrap()).unwrap() + 2;
        let kept: Vec<&str> = whole.split_inclusive('\n').take(plan).collect();
        assert!(kept.len() == plan && kept.concat().len() < whole.len(), "outcomes were written");
        std::fs::write(journal, kept.concat()).unwrap();
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// How many of the results have this outcome and say this.
pub(crate) fn results(report: &Value, outcome: &str, says: &str) -> usize {
    let results = report["results"].as_array().unwrap_or_else(|| panic!("no report: {report}"));
    let is = |item: &&Value| item["outcome"] == outcome && item["detail"].as_str().unwrap().contains(says);
    results.iter().filter(is).count()
}

/// `count` dead letters, as the library leaves them, by SQL.
pub(crate) fn letters(place: &Place, count: usize) {
    let series = match place {
        Place::Postgres(_) => format!("generate_series(1, {count}) AS n"),
        Place::Sqlite(_) => format!(
            "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
        ),
    };
    let args = place.bytes(b"[1]");
    place.sql(&format!(
        "INSERT INTO executions (id, root_function, state, args, kwargs, error, created_at, completed_at, tags, priority)
            SELECT 'e-' || n, 'f', 'failed', {args}, {args}, {args}, '2026-11-20T10:00:00', '2026-11-20T10:00:00', '[]', 0 FROM {series};
        INSERT INTO tasks (id, execution_id, step_name, kind, state, args, kwargs, retries, created_at, completed_at, tags, priority,
            retry_policy)
            SELECT 't-' || n, 'e-' || n, 'f', 'orchestrator', 'failed', {args}, {args}, 0, '2026-11-20T10:00:00', '2026-11-20T10:00:00',
            '[]', 0, '{{}}' FROM {series};
        INSERT INTO dead_tasks (id, reason, moved_at, data)
            SELECT 't-' || n, 'order ' || n || ' lost', '2026-11-20T10:00:00',
            '{{\"id\": \"t-' || n || '\", \"execution_id\": \"e-' || n || '\", \"step_name\": \"f\", \"kind\": \"orchestrator\", \"parent_task_id\": null,
            \"state\": \"failed\", \"args\": \"WzFd\", \"kwargs\": \"WzFd\", \"retries\": 0, \"tags\": [], \"priority\": 0, \"queue\": null,
            \"retry_policy\": null, \"idempotency_key\": null}}' FROM {series}"
    ));
}

/// `count` keys whose workers died in the middle, in tables of Sentinel that `sen init` makes.
pub(crate) fn uncertain_keys(place: &Place, count: usize) {
    sen(["init"]).database(&place.url()).run().expect_code(0);
    match place {
        Place::Postgres(database) => {
            database.psql(&format!(
                "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at, status, fencing_token)
                    SELECT 'k' || n, 'web-1:42-7', now() - interval '1h', now() - interval '7m', now() - interval '1h', 'executing', n
                    FROM generate_series(1, {count}) AS n;
                SELECT setval('sentinel_token_seq', 100000)"
            ));
        }
        Place::Sqlite(_) => panic!("leases in SQLite are made by `sen demo` and the library"),
    }
}

/// A plan of replaying everything there is, in a new file on this machine.
#[track_caller]
pub(crate) fn replay_plan(machine: &Machine, place: &Place, file: &Path) -> Value {
    let file = file.to_str().unwrap();
    machine.json(&place.url(), &["dlq", "replay", "--all", "--reason", "INC-7", "--plan-out", file], 0)
}

/// Everything that a replay changes.
pub(crate) fn stored(place: &Place) -> String {
    ["executions", "tasks", "dead_tasks", "execution_progress"]
        .map(|table| {
            let id = if table == "execution_progress" { "ordinal" } else { "id" };
            place.sql(&format!("SELECT * FROM {table} ORDER BY {id}"))
        })
        .join("\n--\n")
}

/// Letters in = tasks made + letters left, each at most once.
#[track_caller]
pub(crate) fn balanced(place: &Place, count: u64) -> u64 {
    let (made, left) = (place.count("tasks WHERE state = 'pending'"), place.count("dead_tasks"));
    assert_eq!(made + left, count, "{made} made, {left} left");
    let twice =
        "(SELECT execution_id FROM tasks WHERE state = 'pending' GROUP BY execution_id HAVING count(*) > 1) AS twice";
    assert_eq!(place.count(twice), 0);
    assert_eq!(place.count("execution_progress WHERE detail LIKE '%sen operation%'"), made, "a record for each");
    made
}
