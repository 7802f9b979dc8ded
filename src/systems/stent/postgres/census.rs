//! Counts: what is there, who works, what got done.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use super::columns::wall_now;
use super::reading::{Answers, CLOCK, all, clock, one};
use crate::cancelled::{cancelled_json, cancelled_pickle};
use crate::port::{
    Activity, Census, FAILED_LOOKED_AT, Group, LETTERS_LOOKED_AT, Orphans, PASSED, Queues, SILENT, Stats,
};
use crate::rows;
use crate::shape::{Library, Shape};
use crate::state::GRACE;
use sen_model::error::Result;
use sen_model::summary::Counting;
use sen_model::time::Timestamp;
use sen_model::time::wall::Zone;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

static FACTS: Sql = Sql::new(
    "SELECT current_setting('server_version'), pg_is_in_recovery(),
        EXISTS (SELECT 1 FROM tasks WHERE step_name = 'stent.sleep'),
        EXISTS (SELECT 1 FROM tasks WHERE step_name = 'senpuki.sleep')",
);

/// So many open tasks at most are asked one by one for their executions; more of them are joined with all executions.
macro_rules! few {
    () => {
        "(SELECT count(*) <= 50000 FROM (SELECT FROM tasks AS t WHERE t.state IN ('pending', 'running') LIMIT 50001) AS open)"
    };
}

/// Executions that go on and have open tasks, and those of them that are past their expiry: a worker ends what has expired just
/// after that moment. What has no open task is stranded instead. The first half is for when few tasks are open.
macro_rules! live {
    () => {
        concat!(
            "SELECT count(*) AS count, count(*) FILTER (WHERE l.past) AS overdue, min(l.created_at) FILTER (WHERE l.past) AS oldest,
                max(l.created_at) FILTER (WHERE l.past) AS newest
            FROM (SELECT e.created_at, coalesce(e.expiry_at < ",
            wall_now!("$1"),
            " - interval '10 seconds', false) AS past
                FROM (SELECT DISTINCT t.execution_id FROM tasks AS t WHERE t.state IN ('pending', 'running')) AS t
                    CROSS JOIN LATERAL (SELECT e.state, e.created_at, e.expiry_at FROM executions AS e
                        WHERE e.id = t.execution_id OFFSET 0) AS e
                WHERE ",
            few!(),
            " AND e.state IN ('pending', 'running', 'cancelling')
                UNION ALL SELECT e.created_at, coalesce(e.expiry_at < ",
            wall_now!("$1"),
            " - interval '10 seconds', false)
                FROM executions AS e
                WHERE NOT ",
            few!(),
            " AND e.state IN ('pending', 'running', 'cancelling')
                    AND e.id IN (SELECT t.execution_id FROM tasks AS t WHERE t.state IN ('pending', 'running'))) AS l"
        )
    };
}

/// The states in which nothing is left to do.
macro_rules! ended {
    (executions) => {
        "('completed', 'failed', 'cancelled', 'timed_out')"
    };
    (tasks) => {
        "('completed', 'failed')"
    };
}

/// About how many rows of a large table are in each state that has ended, by the statistics of its last ANALYZE and what it has
/// grown since; no row where counting has to be exact (`$exact`), where the table is small, or where these are not fresh: where more
/// than a tenth has changed since, as the server has it analysed anew by default. Of a standby nothing is known, and a role from which
/// rows are hidden sees no statistics.
macro_rules! known {
    ($table:ident, $exact:literal) => {
        concat!(
            "known AS MATERIALIZED (
            SELECT v.state, (v.share * n.total)::int8 AS count
            FROM (SELECT c.relname, s.nspname, c.reltuples * pg_relation_size(c.oid)
                        / (greatest(c.relpages, 1) * current_setting('block_size')::float8) AS total
                    FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
                    WHERE NOT ",
            $exact,
            " AND c.oid = to_regclass('",
            stringify!($table),
            "') AND c.relkind = 'r' AND c.reltuples >= 500000
                        AND pg_stat_get_mod_since_analyze(c.oid) <= c.reltuples / 10
                        AND coalesce(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) IS NOT NULL) AS n
                JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = n.relname AND s.attname = 'state' AND NOT s.inherited
                CROSS JOIN LATERAL unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS v (state, share)
            WHERE (SELECT sum(f.share) FROM unnest(s.most_common_freqs) AS f (share)) + s.null_frac > 0.99
                AND v.state IN ",
            ended!($table),
            ")"
        )
    };
}

/// Numbers that [`executions`] gives its rows.
const BY_STATE: i64 = 0;
const OVERDUE: i64 = 1;
const STRANDED: i64 = 2;
const ABOUT: i64 = 3;

/// Whether executions of this state are not [`known`]: those that go on, and those of a state that the statistics do not have.
macro_rules! unknown {
    () => {
        "(e.state = ANY ((SELECT h.states FROM how AS h)::text[])) IS NOT TRUE"
    };
}

/// Executions by state, those past their expiry and those that are stranded: without open tasks, and for longer
/// than their worker needs to end them ($2). Nobody looks for the latter where as many have open tasks as go on. `$counted` counts
/// those that ended within a window among others, which `$or` adds to those that are looked at; `$ended` counts them alone.
///
/// Where the ended ones are [`known`], only what goes on, or is in a state that the statistics do not have, is counted by itself: in the index on the state where
/// there is one, each state on its own; else in a scan that sorts nothing out but those.
macro_rules! executions {
    ($exact:literal, $counted:expr, $or:expr, $ended:expr) => {
        concat!(
            "WITH RECURSIVE ",
            known!(executions, $exact),
            ", how AS MATERIALIZED (SELECT EXISTS (SELECT FROM known) AS known, (SELECT array_agg(k.state) FROM known AS k) AS states, EXISTS (
                SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                WHERE i.indrelid = to_regclass('executions') AND i.indisvalid AND i.indpred IS NULL AND a.attname = 'state') AS indexed),
            states AS (
                (SELECT e.state FROM executions AS e WHERE e.state IS NOT NULL ORDER BY e.state LIMIT 1)
                UNION ALL
                SELECT (SELECT e.state FROM executions AS e WHERE e.state > s.state ORDER BY e.state LIMIT 1)
                FROM states AS s WHERE s.state IS NOT NULL),
            counted AS MATERIALIZED (
                SELECT e.state, count(*) AS count, min(e.created_at) AS oldest, max(e.created_at) AS newest, ",
            $counted,
            " AS ended
                FROM executions AS e WHERE NOT (SELECT h.known FROM how AS h) GROUP BY 1
                UNION ALL
                SELECT e.state, count(*) FILTER (WHERE ",
            unknown!(),
            "), min(e.created_at) FILTER (WHERE ",
            unknown!(),
            "), max(e.created_at) FILTER (WHERE ",
            unknown!(),
            "), ",
            $counted,
            " FROM executions AS e WHERE (SELECT h.known AND NOT h.indexed FROM how AS h) AND (",
            unknown!(),
            $or,
            ") GROUP BY 1
                UNION ALL
                SELECT s.state, c.count, c.oldest, c.newest, 0
                FROM states AS s CROSS JOIN LATERAL (
                    SELECT count(*) AS count, min(e.created_at) AS oldest, max(e.created_at) AS newest
                    FROM executions AS e WHERE e.state = s.state) AS c
                WHERE (SELECT h.known AND h.indexed FROM how AS h) AND s.state NOT IN (SELECT k.state FROM known AS k)
                UNION ALL
                SELECT NULL, count(*), min(e.created_at), max(e.created_at), 0
                FROM executions AS e WHERE (SELECT h.known AND h.indexed FROM how AS h) AND e.state IS NULL HAVING count(*) > 0
",
            $ended,
            "),
            live AS MATERIALIZED (",
            live!(),
            ")
            SELECT 0::int8, c.state::text, c.count, c.oldest, c.newest, c.ended FROM counted AS c
            UNION ALL SELECT 3, k.state, k.count, NULL, NULL, 0 FROM known AS k
            UNION ALL SELECT 1, NULL, l.overdue, l.oldest, l.newest, 0 FROM live AS l
            UNION ALL SELECT 2, NULL, count(*), min(e.created_at), max(e.created_at), 0
            FROM (SELECT e.id, e.created_at FROM executions AS e
                WHERE (SELECT sum(c.count)::int8 FROM counted AS c WHERE c.state IN ('pending', 'running', 'cancelling'))
                        > (SELECT l.count FROM live AS l)
                    AND e.state IN ('pending', 'running', 'cancelling') AND NOT EXISTS (
                        SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state IN ('pending', 'running'))
                OFFSET 0) AS e
            WHERE (greatest(e.created_at, (SELECT max(greatest(t.created_at, t.started_at, t.completed_at)) FROM tasks AS t
                WHERE t.execution_id = e.id)) >= ",
            wall_now!("$1"),
            " - $2 * interval '1 microsecond') IS NOT TRUE"
        )
    };
}

static EXECUTIONS: Sql = Sql::new(executions!("$3", "0::int8", "", ""));

/// The same with those that ended within the window ($4).
static EXECUTIONS_ENDED: Sql = Sql::new(executions!(
    "$3",
    concat!("count(*) FILTER (WHERE e.completed_at >= ", wall_now!("$1"), " - $4 * interval '1 microsecond')"),
    concat!(" OR e.completed_at >= ", wall_now!("$1"), " - $4 * interval '1 microsecond'"),
    concat!(
        " UNION ALL SELECT e.state, 0, NULL, NULL, count(*) FROM executions AS e
            WHERE (SELECT h.known AND h.indexed FROM how AS h) AND e.completed_at >= ",
        wall_now!("$1"),
        " - $4 * interval '1 microsecond' GROUP BY 1"
    )
));

/// Tasks that are not over. A running task without a lease, which no claim leaves, is in no state.
static OPEN: Sql = Sql::new(concat!(
    "SELECT CASE WHEN state = 'pending' OR lease_expires_at IS NOT NULL THEN state::text END, kind::text, queue::text,
        coalesce(CASE state WHEN 'pending' THEN scheduled_for > ",
    wall_now!("$1"),
    " WHEN 'running' THEN lease_expires_at < ",
    wall_now!("$1"),
    " END, false), count(*), min(created_at), max(greatest(created_at, started_at, completed_at)), max(lease_expires_at),
        min(CASE state WHEN 'running' THEN lease_expires_at ELSE coalesce(scheduled_for, created_at) END), max(started_at),
        (extract(epoch FROM max(created_at - started_at) FILTER (WHERE isfinite(created_at) AND isfinite(started_at))) * 1e6)::int8,
        bool_or(tags <> '[]'), bool_or(CASE WHEN state = 'pending' THEN step_name IN (
            SELECT r.step_name FROM tasks AS r WHERE r.state = 'running' AND r.lease_expires_at >= ",
    wall_now!("$1"),
    ") END), false
    FROM tasks WHERE state IN ('pending', 'running') GROUP BY 1, 2, 3, 4"
));

/// The newest tasks of each urgency, a thousand of each: a piece of the index each, and no scan.
macro_rules! recent {
    () => {
        "urgency AS (
            (SELECT p.priority FROM tasks AS p WHERE p.priority IS NOT NULL ORDER BY p.priority LIMIT 1)
            UNION ALL
            SELECT (SELECT p.priority FROM tasks AS p WHERE p.priority > u.priority ORDER BY p.priority LIMIT 1)
            FROM urgency AS u WHERE u.priority IS NOT NULL),
        recent AS MATERIALIZED (
            SELECT n.created_at, n.started_at, n.completed_at
            FROM urgency AS u CROSS JOIN LATERAL (
                SELECT t.created_at, t.started_at, t.completed_at FROM tasks AS t WHERE t.priority = u.priority
                ORDER BY t.created_at DESC LIMIT 1000) AS n
            UNION ALL
            (SELECT t.created_at, t.started_at, t.completed_at FROM tasks AS t WHERE t.priority IS NULL
                ORDER BY t.created_at DESC LIMIT 1000))"
    };
}

/// Tasks that are over, by state, counted in the index alone where they are not [`known`]; and of the newest tasks the last time that
/// any of them shows, and how long before it was made one was begun. Other times of tasks that are over stand in no index and are not asked for.
static OVER: Sql = Sql::new(concat!(
    "WITH RECURSIVE ",
    known!(tasks, "$1"),
    ", states AS (
        (SELECT t.state FROM tasks AS t WHERE t.state IS NOT NULL ORDER BY t.state LIMIT 1)
        UNION ALL
        SELECT (SELECT t.state FROM tasks AS t WHERE t.state > s.state ORDER BY t.state LIMIT 1)
        FROM states AS s WHERE s.state IS NOT NULL), ",
    recent!(),
    " SELECT s.state::text, NULL::text, NULL::text, false, (SELECT count(*) FROM tasks AS t WHERE t.state = s.state), NULL::timestamp,
        NULL::timestamp, NULL::timestamp, NULL::timestamp, NULL::timestamp, NULL::int8, NULL::bool, NULL::bool, false
    FROM states AS s WHERE s.state NOT IN ('pending', 'running') AND s.state NOT IN (SELECT k.state FROM known AS k)
    UNION ALL SELECT k.state, NULL, NULL, false, k.count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true FROM known AS k
    UNION ALL SELECT NULL, NULL, NULL, false, (SELECT count(*) FROM tasks AS t WHERE t.state IS NULL), NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, false
    UNION ALL SELECT 'completed', NULL, NULL, false, 0, NULL, max(greatest(r.created_at, r.started_at, r.completed_at)), NULL, NULL,
        NULL, (extract(epoch FROM max(r.created_at - r.started_at)
            FILTER (WHERE isfinite(r.created_at) AND isfinite(r.started_at))) * 1e6)::int8, NULL, NULL, false
    FROM recent AS r"
));

/// When a task of each queue was last begun that is over, where that decides whether workers are gone: tasks of a queue have been
/// due for [`SILENT`] ($2) and none of it runs. No index has these times, so nobody looks for them otherwise.
static BEGUN: Sql = Sql::new(concat!(
    "WITH quiet AS MATERIALIZED (
        SELECT w.queue FROM (
            SELECT o.queue FROM tasks AS o
            WHERE o.state = 'pending' AND o.kind <> 'signal' AND (o.scheduled_for > ",
    wall_now!("$1"),
    ") IS NOT TRUE AND coalesce(o.scheduled_for, o.created_at) < ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond' GROUP BY 1) AS w
        WHERE NOT EXISTS (SELECT FROM tasks AS r WHERE r.state = 'running' AND r.lease_expires_at >= ",
    wall_now!("$1"),
    " AND (w.queue IS NULL OR r.queue = w.queue)))
    SELECT 'completed', NULL::text, t.queue::text, false, 0::int8, NULL::timestamp, NULL::timestamp, NULL::timestamp,
        NULL::timestamp, max(t.started_at), NULL::int8, NULL::bool, NULL::bool, false
    FROM tasks AS t
    WHERE EXISTS (SELECT FROM quiet) AND (EXISTS (SELECT FROM quiet AS q WHERE q.queue IS NULL)
        OR t.queue IN (SELECT q.queue FROM quiet AS q))
    GROUP BY t.queue"
));

/// One scan has both; where there is an index on the time, it alone has them.
static LETTERS: Sql = Sql::new("SELECT count(*), NULL::timestamp, max(moved_at) FROM dead_tasks");

static DIED: Sql = Sql::new(concat!(
    "SELECT count(*) FROM dead_tasks WHERE moved_at >= ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond'"
));

static WORKERS: Sql = Sql::new(concat!(
    "SELECT worker_id::text, count(*), count(*) FILTER (WHERE lease_expires_at < ",
    wall_now!("$1"),
    "), min(started_at), max(lease_expires_at) FROM tasks WHERE state = 'running' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1000"
));

static STEPS: Sql = Sql::new(concat!(
    "SELECT step_name::text, count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'failed'),
        avg(extract(epoch FROM completed_at - started_at))::float8 * 1e6,
        max(extract(epoch FROM completed_at - started_at))::float8 * 1e6, coalesce(sum(retries), 0)::int8,
        count(*) FILTER (WHERE state = 'failed' AND error IN ('",
    cancelled_json!(),
    "'::bytea, '\\x",
    cancelled_pickle!(),
    "'::bytea))
    FROM tasks WHERE completed_at >= ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 100"
));

/// Around the task $2.
static ACTIVITY: Sql = Sql::new(concat!(
    "SELECT count(*) FILTER (WHERE t.state = 'pending' AND t.kind <> 'signal' AND t.queue IS NOT DISTINCT FROM w.queue
            AND (t.scheduled_for IS NULL OR t.scheduled_for <= ",
    wall_now!("$1"),
    ")), count(*) FILTER (WHERE t.state = 'running' AND (w.queue IS NULL OR t.queue = w.queue) AND t.lease_expires_at >= ",
    wall_now!("$1"),
    "), max(t.started_at) FILTER (WHERE w.queue IS NULL OR t.queue = w.queue),
        count(*) FILTER (WHERE t.state = 'running' AND t.step_name = w.step_name AND t.lease_expires_at >= ",
    wall_now!("$1"),
    "), count(*) FILTER (WHERE (w.queue IS NULL OR t.queue = w.queue) AND t.started_at > w.due
            AND t.created_at > w.created_at AND coalesce(t.priority, 0) <= coalesce(w.priority, 0)),
        count(*) FILTER (WHERE (w.queue IS NULL OR t.queue = w.queue) AND t.started_at > w.due AND t.tags = w.tags)
    FROM (SELECT o.queue, o.step_name, o.tags, o.priority, o.created_at, coalesce(o.scheduled_for, o.created_at) AS due
            FROM tasks AS o WHERE o.id = $2) AS w
        CROSS JOIN tasks AS t
    WHERE w.queue IS NULL OR t.queue = w.queue OR (t.state = 'running' AND t.step_name = w.step_name)"
));

/// [`port::Passed`](crate::port::Passed): $2 is how long; the oldest five kinds of them are looked at, and only where a task
/// was made so much later than the last of them.
static PASSED_OVER: Sql = Sql::new(concat!(
    "WITH RECURSIVE ",
    recent!(),
    ", waiting AS MATERIALIZED (
        SELECT o.queue, o.step_name, o.tags, count(*) AS count, min(coalesce(o.scheduled_for, o.created_at)) AS due,
            max(o.created_at) AS made, max(coalesce(o.priority, 0)) AS priority
        FROM tasks AS o
        WHERE o.state = 'pending' AND o.kind <> 'signal' AND o.tags <> '[]' AND coalesce(o.scheduled_for, o.created_at) < ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond' GROUP BY 1, 2, 3 ORDER BY 5 LIMIT 5)
    SELECT w.queue::text, w.tags::text, w.count, w.due
    FROM waiting AS w CROSS JOIN tasks AS t
    WHERE (SELECT max(r.created_at) FROM recent AS r) > (SELECT min(w.made) FROM waiting AS w) + $2 * interval '1 microsecond'
        AND t.started_at >= ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond' AND (w.queue IS NULL OR t.queue = w.queue OR t.step_name = w.step_name)
    GROUP BY w.queue, w.step_name, w.tags, w.count, w.due
    HAVING bool_or((w.queue IS NULL OR t.queue = w.queue) AND t.created_at > w.made + $2 * interval '1 microsecond'
            AND coalesce(t.priority, 0) <= w.priority)
        AND NOT bool_or((w.queue IS NULL OR t.queue = w.queue) AND t.tags = w.tags)
        AND NOT bool_or(t.state = 'running' AND t.step_name = w.step_name)"
));

/// Of failed tasks $1 are looked at, of letters the $2 oldest: executions are cleaned up by age. Whether there are more follows.
static ORPHANS: Sql = Sql::new(
    "SELECT (SELECT count(*) FROM (SELECT t.execution_id
                FROM (SELECT t.id, t.execution_id FROM tasks AS t WHERE t.state = 'failed' LIMIT $1) AS t
                WHERE NOT EXISTS (SELECT FROM dead_tasks AS d WHERE d.id = t.id) OFFSET 0) AS t
            JOIN executions AS e ON e.id = t.execution_id WHERE e.state = 'failed'),
        (SELECT count(*) FROM (SELECT t.execution_id
                FROM (SELECT d.id FROM dead_tasks AS d ORDER BY d.moved_at LIMIT $2) AS d JOIN tasks AS t ON t.id = d.id
                OFFSET 0) AS t
            WHERE NOT EXISTS (SELECT FROM executions AS e WHERE e.id = t.execution_id)),
        (SELECT count(*) FROM tasks AS t WHERE t.state IN ('pending', 'running')
            AND NOT EXISTS (SELECT FROM executions AS e WHERE e.id = t.execution_id)),
        (SELECT count(*) > $1 FROM (SELECT FROM tasks AS t WHERE t.state = 'failed' LIMIT $1 + 1) AS t),
        (SELECT count(*) > $2 FROM dead_tasks)",
);

pub(super) async fn activity(link: &SharedConnection, task: &str, zone: &Zone) -> Result<Activity> {
    let ahead = zone.ahead_at(Timestamp::here());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&ahead, Type::INT8), (&task, Type::TEXT)];
    let rows = link.ask(Query::new(&ACTIVITY, params)).await?;
    Ok(one(&rows, rows::activity).unwrap_or_default())
}

pub(super) async fn orphans(link: &SharedConnection) -> Result<Orphans> {
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&FAILED_LOOKED_AT, Type::INT8), (&LETTERS_LOOKED_AT, Type::INT8)];
    let rows = link.ask(Query::new(&ORPHANS, params)).await?;
    Ok(one(&rows, rows::orphans).unwrap_or_default())
}

pub(super) async fn census(link: &SharedConnection, shape: Shape, zone: &Zone, counting: Counting) -> Result<Census> {
    Ok(ask(link, shape, zone, None, counting).await?.census)
}

pub(super) async fn stats(
    link: &SharedConnection,
    shape: Shape,
    zone: &Zone,
    window: Duration,
    counting: Counting,
) -> Result<Stats> {
    ask(link, shape, zone, Some(window), counting).await
}

/// The zone's offset now: this machine's clock is good enough to tell the season.
fn ahead(zone: &Zone) -> i64 {
    zone.ahead_at(Timestamp::here())
}

/// What [`queues_of`] takes the answers of.
fn ask_queues(ahead: &i64) -> [Query<'_>; 4] {
    let now: (&(dyn ToSql + Sync), Type) = (ahead, Type::INT8);
    [
        Query::new(&CLOCK, []),
        Query::new(&OPEN, [now.clone()]),
        Query::new(&BEGUN, [now.clone(), (&SILENT as _, Type::INT8)]),
        Query::new(&PASSED_OVER, [now, (&PASSED as _, Type::INT8)]),
    ]
}

fn queues_of(answers: &mut Answers) -> Result<Queues> {
    let (now, open, begun, passed) = (answers.take()?, answers.take()?, answers.take()?, answers.take()?);
    let mut tasks = all(&open, rows::task_group);
    tasks.extend(all(&begun, rows::task_group));
    Ok(Queues { now: clock(&now), tasks, passed: all(&passed, rows::passed) })
}

/// The counts of a census, and with a window those of the statistics, in one snapshot.
async fn ask(
    link: &SharedConnection,
    shape: Shape,
    zone: &Zone,
    window: Option<Duration>,
    counting: Counting,
) -> Result<Stats> {
    let exact = counting == Counting::Exact;
    let exact: (&(dyn ToSql + Sync), Type) = (&exact, Type::BOOL);
    let ahead = ahead(zone);
    let back = window.map_or(0, |window| i64::try_from(window.as_micros()).unwrap_or(i64::MAX));
    let now: (&(dyn ToSql + Sync), Type) = (&ahead, Type::INT8);
    let back: (&(dyn ToSql + Sync), Type) = (&back, Type::INT8);
    let grace: (&(dyn ToSql + Sync), Type) = (&GRACE, Type::INT8);
    let mut asks = Vec::from(ask_queues(&ahead));
    asks.extend([Query::new(&FACTS, []), Query::new(&OVER, [exact.clone()])]);
    if window.is_some() {
        asks.extend([
            Query::new(&EXECUTIONS_ENDED, [now.clone(), grace, exact, back.clone()]),
            Query::new(&WORKERS, [now.clone()]),
            Query::new(&STEPS, [now.clone(), back.clone()]),
        ]);
    } else {
        asks.push(Query::new(&EXECUTIONS, [now.clone(), grace, exact]));
    }
    if shape.has_letters() {
        asks.push(Query::new(&LETTERS, []));
        if window.is_some() {
            asks.push(Query::new(&DIED, [now, back]));
        }
    }
    let mut answers = Answers::of(link, &asks).await?;
    let mut queues = queues_of(&mut answers)?;
    let mut next = || answers.take();
    let (facts, over, executions) = (next()?, next()?, next()?);
    let (workers, steps) = if window.is_some() { (next()?, next()?) } else { (Vec::new(), Vec::new()) };
    let letters = if shape.has_letters() { next()? } else { Vec::new() };
    let died = if shape.has_letters() && window.is_some() { next()? } else { Vec::new() };
    let died = died.first().and_then(|row| Cells::new(row).int(0));
    let mut told = Vec::new();
    let mut library = Library::Unknown;
    if let Some(row) = facts.first() {
        let mut cells = Cells::new(row);
        told.extend(cells.text(0).map(|version| ("server", format!("PostgreSQL {version}"))));
        if cells.flag(1) == Some(true) {
            told.push(("role", "standby: reading only".to_owned()));
        }
        library = Library::of(cells.flag(2) == Some(true), cells.flag(3) == Some(true));
    }
    queues.tasks.extend(all(&over, rows::task_group));
    let counted = all(&executions, rows::execution_count);
    let alone = |which| counted.iter().find(|count| count.which == which).map(|count| count.group).unwrap_or_default();
    let by_state = || counted.iter().filter(|count| matches!(count.which, BY_STATE | ABOUT));
    let group = |count: &rows::ExecutionCount| Group { estimated: count.which == ABOUT, ..count.group };
    let mut ended: Vec<(String, i64)> =
        by_state().filter(|count| count.ended > 0).map(|count| (count.state.clone(), count.ended)).collect();
    ended.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let census = Census {
        shape,
        library,
        executions: by_state().map(|count| (count.state.clone(), group(count))).collect(),
        overdue: alone(OVERDUE),
        stranded: alone(STRANDED),
        queues,
        letters: one(&letters, rows::group).unwrap_or_default(),
        facts: told,
    };
    Ok(Stats { census, workers: all(&workers, rows::worker), ended, steps: all(&steps, rows::step), died })
}
