//! `sen dlq replay --all` beside hand-written SQL and the original tool's replay: of letters that are all orchestrators, and of
//! letters half of which are activities of executions that have failed, which takes `--force`.

use std::time::Instant;

use crate::harness::peers::{self, STENT_112};
use crate::harness::postgres::{Database, Server};
use crate::harness::psql;
use crate::meter::{median, peak, remove, sen, setting, title};

/// Letters as the library leaves them, to the blank: the execution failed, the task failed, the dump with error and traceback.
const FILL: &str = r#"
INSERT INTO executions SELECT 'e-' || md5(n::text), 'flows:failing', 'failed', convert_to('["order-' || n || '"]', 'utf8'), '{}', NULL,
    convert_to(repeat('x', 600), 'utf8'), 0, t, t, t, NULL, '["bulk"]', 0, 'main'
    FROM generate_series(1, {n}) AS n, LATERAL (SELECT timestamp '2026-11-20' + n * interval '10 ms' AS t) AS at;
INSERT INTO tasks SELECT md5('t' || n)::uuid::text, 'e-' || md5(n::text), 'flows:failing', 'orchestrator', NULL, 'failed',
    convert_to('["order-' || n || '"]', 'utf8'), '{}', NULL, convert_to(repeat('x', 600), 'utf8'), 1, t, t, t, 'worker-1', NULL,
    '["bulk"]', 0, 'main', NULL, '{"max_attempts": 2}', NULL
    FROM generate_series(1, {n}) AS n, LATERAL (SELECT timestamp '2026-11-20' + n * interval '10 ms' AS t) AS at;
INSERT INTO dead_tasks SELECT id, 'provider ' || n % 7 || ' unreachable for order-' || n || ' after 3000 ms', completed_at,
    replace(json_build_object('id', id, 'execution_id', execution_id, 'step_name', step_name, 'kind', kind, 'parent_task_id', NULL, 'state', state,
        'args', translate(encode(args, 'base64'), E'\n', ''), 'kwargs', translate(encode(kwargs, 'base64'), E'\n', ''), 'result', NULL,
        'error', translate(encode(error, 'base64'), E'\n', ''), 'retries', 1, 'created_at', created_at, 'started_at', started_at,
        'completed_at', completed_at, 'worker_id', worker_id, 'lease_expires_at', NULL, 'tags', json_build_array('bulk'), 'priority', 0,
        'queue', queue, 'retry_policy', json_build_object('max_attempts', 2, 'backoff_factor', 2.0, 'initial_delay', 0.01,
        'max_delay', 60.0, 'jitter', 0.0, 'retry_for', json_build_array('Exception')), 'idempotency_key', NULL, 'scheduled_for', NULL)::text, '" : ', '": ')
    FROM (SELECT *, row_number() OVER (ORDER BY created_at) AS n FROM tasks) AS t;
VACUUM ANALYZE; CHECKPOINT;"#;

/// The same work in one statement, as somebody who knows the tables would write it: without guards, limits or a plan.
const BY_HAND: &str = "WITH gone AS (DELETE FROM dead_tasks RETURNING id, data),
    letters AS MATERIALIZED (SELECT id, data::jsonb AS t FROM gone),
    made AS (INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, retries, created_at, tags,
            priority, queue, idempotency_key, retry_policy)
        SELECT gen_random_uuid()::text, t->>'execution_id', t->>'step_name', t->>'kind', t->>'parent_task_id', 'pending',
            decode(t->>'args', 'base64'), decode(t->>'kwargs', 'base64'), 0, now()::timestamp, (t->'tags')::text,
            (t->>'priority')::int, t->>'queue', t->>'idempotency_key', ((t->'retry_policy') - 'retry_for')::text FROM letters),
    opened AS (UPDATE executions AS e SET state = 'pending', started_at = NULL, completed_at = NULL, result = NULL, error = NULL,
        retries = 0 FROM letters AS l WHERE e.id = l.t->>'execution_id' AND l.t->>'kind' = 'orchestrator')";
/// The record that `sen` keeps beside each execution.
const RECORD: &str = ", noted AS (INSERT INTO execution_progress (execution_id, step, status, detail)
        SELECT t->>'execution_id', t->>'step_name', 'dispatched', 'dead letter ' || id || ' replayed as task ' || gen_random_uuid()
            || ' by maria@ops-3 (sen operation 0a9dd7a6-2f7b-4df1-9d1c-1a2b3c4d5e6f), database role postgres' FROM letters)";
const COUNT: &str = " SELECT count(*) FROM letters";

pub fn run() {
    let (rows, rounds): (u64, usize) = (setting("SEN_BENCH_LETTERS", 100_000), setting("SEN_BENCH_REPLAYS", 3));
    let server = crate::leases::server();
    title(&format!("Replaying {rows} dead letters, {rounds} rounds"));
    println!(
        "| | one statement by hand | the same with the record | sen | ratio | with the record | peak memory |\n|---|---|---|---|---|---|---|"
    );
    for (name, both, words) in [
        ("`sen dlq replay --all --yes`", false, &["dlq", "replay", "--all", "--yes", "-q"][..]),
        (
            "`sen dlq replay --all --force --yes`, half of them activities",
            true,
            &["dlq", "replay", "--all", "--force", "--yes", "-q"],
        ),
    ] {
        let mut took: [Vec<f64>; 3] = Default::default();
        let mut memory = 0.0_f64;
        for _ in 0..rounds {
            for (contender, times) in took.iter_mut().enumerate() {
                let database = if both { crate::executions::filled(&server, rows * 10) } else { filled(&server, rows) };
                let start = Instant::now();
                match contender {
                    0 => drop(psql::run(&database.url(), &[BY_HAND, COUNT].concat())),
                    1 => drop(psql::run(&database.url(), &[BY_HAND, RECORD, COUNT].concat())),
                    _ => memory = memory.max(peak(&mut sen(&database.url(), words)).1),
                }
                times.push(start.elapsed().as_secs_f64());
                assert_eq!(database.psql("SELECT count(*) FROM dead_tasks"), "0");
                remove(database);
            }
        }
        let ratio = |peer: usize| median(took[2].iter().zip(&took[peer]).map(|(own, theirs)| own / theirs).collect());
        let (by_hand, with_record) = (ratio(0), ratio(1));
        let [by_hand_took, record_took, sen_took] = took.map(median);
        println!(
            "| {name} | {by_hand_took:.2} s | {record_took:.2} s | {sen_took:.2} s ({:.0} a second) | **{by_hand:.2}** | {with_record:.2} | {memory:.1} MiB |",
            rows as f64 / sen_took
        );
    }
    let some = rows.min(1000);
    let database = filled(&server, some);
    let start = Instant::now();
    peers::ask(&STENT_112, "stent/flow.py", &[&database.url(), "replay-all"]);
    println!("\nThe original's replay of {some}: {:.0} a second.", some as f64 / start.elapsed().as_secs_f64());
}

fn filled(server: &Server, rows: u64) -> Database<'_> {
    let database = server.fresh_database();
    peers::ask(&STENT_112, "stent/truth.py", &[&database.url()]);
    for statement in FILL.replace("{n}", &rows.to_string()).split(';').filter(|statement| !statement.trim().is_empty())
    {
        database.psql(statement);
    }
    database
}
