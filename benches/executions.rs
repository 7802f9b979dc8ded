//! A million executions, their tasks and a tenth as many dead letters: beside psql in PostgreSQL, and beside SQLite's own program
//! in a file. Both once as the library makes the tables and once with the indexes that `sen doctor` names.

use tempfile::TempDir;

use crate::harness::peers::{self, STENT_112};
use crate::harness::postgres::{Database, Server};
use crate::meter::{Served, pair, psql, sen, setting, sqlite, table, title};

const POSTGRES: &str = include_str!("executions.postgres.sql");
const SQLITE: &str = include_str!("executions.sqlite.sql");

/// The scan beside which counts stand.
pub const COUNTS: &str = "SELECT state, count(*), min(created_at) FROM executions GROUP BY 1";
const NEWEST: &str = "SELECT * FROM executions ORDER BY created_at DESC LIMIT 100";
const LETTERS: &str =
    "SELECT id, reason, moved_at, substr(data, 1, 100) FROM dead_tasks ORDER BY moved_at DESC LIMIT 100";
const DUMPS: &str = "SELECT id, data FROM dead_tasks";

/// What is asked, and the statement beside which it stands; the last one, which looks into what executions carry, differs.
fn rows<'a>(named: &'a str, key: &'a str) -> [(&'static str, &'a str, Vec<&'a str>); 10] {
    [
        ("`sen dlq list`", LETTERS, vec!["dlq", "list"]),
        ("`sen dlq groups`", DUMPS, vec!["dlq", "groups"]),
        ("`sen stats`", COUNTS, vec!["stats"]),
        ("`sen stats --exact`", COUNTS, vec!["stats", "--exact"]),
        ("`sen status`", COUNTS, vec!["status"]),
        ("`sen status --exact`", COUNTS, vec!["status", "--exact"]),
        ("`sen doctor`", COUNTS, vec!["doctor"]),
        ("`sen exec list`", NEWEST, vec!["exec", "list"]),
        ("`sen task list`", NEWEST, vec!["task", "list"]),
        ("`sen why NAME`", named, vec!["why", key]),
    ]
}

fn script(text: &str, rows: u64) -> String {
    text.replace("{rows}", &rows.to_string()).replace("{letters}", &(rows / 10).to_string())
}

pub fn filled(server: &Server, rows: u64) -> Database<'_> {
    let database = server.fresh_database();
    peers::ask(&STENT_112, "stent/truth.py", &[&database.url()]);
    database.psql(&script(POSTGRES, rows));
    database
}

/// The same in a file.
pub fn file(folder: &TempDir, rows: u64) -> String {
    let file = folder.path().join(format!("{rows}.db")).display().to_string();
    peers::ask(&STENT_112, "stent/truth.py", &[&file]);
    let connection = rusqlite::Connection::open(&file).expect("the file can be opened");
    connection.execute_batch(&script(SQLITE, rows)).expect("the file can be filled");
    file
}

pub fn run() {
    let rows: u64 = setting("SEN_BENCH_ROWS", 1_000_000).max(1000);
    // Of an execution that has not ended: found first, and found everywhere.
    let key = format!("order-{}", rows / 2);
    in_postgres(rows, &key);
    in_a_file(rows, &key);
}

fn in_postgres(count: u64, key: &str) {
    let server = crate::leases::server();
    let database = filled(&server, count);
    let (url, served) = (database.url(), Served::Postgres(&server));
    let named = format!("SELECT id FROM executions WHERE position('{key}'::bytea IN args) > 0 LIMIT 20");
    let what = format!("{count} executions and tasks, {} dead letters", count / 10);
    title(&format!("{what}, PostgreSQL {}", database.psql("SHOW server_version")));
    table("psql");
    for (name, statement, words) in rows(&named, key) {
        pair(name, served, psql(&url, statement), sen(&url, &words));
    }
    title(&format!("{what}, PostgreSQL, with these indexes"));
    for index in INDEXES {
        let took = crate::meter::time(&mut psql(&url, index));
        println!("    {index};   -- made in {took:.1} s");
    }
    database.psql("VACUUM (ANALYZE) executions, tasks, dead_tasks");
    println!();
    table("psql");
    for (name, statement, words) in rows(&named, key) {
        pair(name, served, psql(&url, statement), sen(&url, &words));
    }
}

/// What `sen doctor` recommends for these tables.
const INDEXES: [&str; 4] = [
    "CREATE INDEX ON executions (state, created_at)",
    "CREATE INDEX ON executions (created_at)",
    "CREATE INDEX ON dead_tasks (moved_at)",
    "CREATE INDEX ON tasks (completed_at)",
];

fn in_a_file(count: u64, key: &str) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = file(&folder, count);
    let url = format!("sqlite:{file}");
    let named = format!("SELECT id FROM executions WHERE instr(args, '{key}') > 0 LIMIT 20");
    title(&format!("{count} executions and tasks, {} dead letters, SQLite", count / 10));
    table("sqlite3");
    for (name, statement, words) in rows(&named, key) {
        pair(name, Served::Itself, sqlite(&file, statement), sen(&url, &words));
    }
}
