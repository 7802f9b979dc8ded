//! Counts: what is there, who works, what got done.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use super::columns::wall_now;
use super::reading::{Answers, all, clock, one};
use crate::port::{Activity, Census, Orphans, PASSED, Stats};
use crate::rows;
use crate::shape::{Library, Shape};
use crate::state::GRACE;
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_model::time::wall::Zone;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::read::Query;
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

static FACTS: Sql = Sql::new(
    "SELECT now(), current_setting('server_version'), pg_is_in_recovery(),
        EXISTS (SELECT 1 FROM tasks WHERE step_name = 'stent.sleep'),
        EXISTS (SELECT 1 FROM tasks WHERE step_name = 'senpuki.sleep')",
);

static EXECUTIONS: Sql = Sql::new(concat!(
    "SELECT e.state::text, e.state IN ('pending', 'running', 'cancelling') AND coalesce(e.expiry_at < ",
    wall_now!("$1"),
    // A worker ends what has expired just after that moment. What has no open task is stranded instead.
    " - interval '10 seconds', false) AND EXISTS (
            SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state IN ('pending', 'running')),
        count(*), min(e.created_at), max(e.created_at) FROM executions AS e GROUP BY 1, 2"
));

/// Without open tasks, and for longer than its worker needs to end it ($2).
static STRANDED: Sql = Sql::new(concat!(
    "SELECT count(*), min(e.created_at), max(e.created_at) FROM executions AS e
    WHERE e.state IN ('pending', 'running', 'cancelling') AND NOT EXISTS (
        SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state IN ('pending', 'running'))
        AND (greatest(e.created_at, (SELECT max(greatest(t.created_at, t.started_at, t.completed_at)) FROM tasks AS t
            WHERE t.execution_id = e.id)) >= ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond') IS NOT TRUE"
));

/// A running task without a lease, which no claim leaves, is in no state.
static TASKS: Sql = Sql::new(concat!(
    "SELECT CASE WHEN state <> 'running' OR lease_expires_at IS NOT NULL THEN state::text END, kind::text, queue::text,
        coalesce(CASE state WHEN 'pending' THEN scheduled_for > ",
    wall_now!("$1"),
    " WHEN 'running' THEN lease_expires_at < ",
    wall_now!("$1"),
    " END, false), count(*), min(created_at), max(greatest(created_at, started_at, completed_at)), max(lease_expires_at),
        min(coalesce(scheduled_for, created_at)), max(started_at),
        (extract(epoch FROM max(created_at - started_at) FILTER (WHERE isfinite(created_at) AND isfinite(started_at))) * 1e6)::int8,
        bool_or(tags <> '[]'), bool_or(CASE WHEN state = 'pending' THEN step_name IN (
            SELECT r.step_name FROM tasks AS r WHERE r.state = 'running' AND r.lease_expires_at >= ",
    wall_now!("$1"),
    ") END)
    FROM tasks GROUP BY 1, 2, 3, 4"
));

static LETTERS: Sql = Sql::new("SELECT count(*), min(moved_at), max(moved_at) FROM dead_tasks");

static WORKERS: Sql = Sql::new(concat!(
    "SELECT worker_id::text, count(*), count(*) FILTER (WHERE lease_expires_at < ",
    wall_now!("$1"),
    "), min(started_at), max(lease_expires_at) FROM tasks WHERE state = 'running' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1000"
));

static ENDED: Sql = Sql::new(concat!(
    "SELECT state::text, count(*) FROM executions WHERE completed_at >= ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond' GROUP BY 1 ORDER BY 2 DESC"
));

static STEPS: Sql = Sql::new(concat!(
    "SELECT step_name::text, count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'failed'),
        avg(extract(epoch FROM completed_at - started_at))::float8 * 1e6,
        max(extract(epoch FROM completed_at - started_at))::float8 * 1e6, coalesce(sum(retries), 0)::int8
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

/// [`port::Passed`](crate::port::Passed): $2 is how long; the oldest five kinds of them are looked at.
static PASSED_OVER: Sql = Sql::new(concat!(
    "SELECT w.queue::text, w.tags::text, w.count, w.due
    FROM (SELECT o.queue, o.step_name, o.tags, count(*) AS count, min(coalesce(o.scheduled_for, o.created_at)) AS due,
                max(o.created_at) AS made, max(coalesce(o.priority, 0)) AS priority
            FROM tasks AS o
            WHERE o.state = 'pending' AND o.kind <> 'signal' AND o.tags <> '[]' AND coalesce(o.scheduled_for, o.created_at) < ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond' GROUP BY 1, 2, 3 ORDER BY 5 LIMIT 5) AS w
        CROSS JOIN tasks AS t
    WHERE t.started_at >= ",
    wall_now!("$1"),
    " - $2 * interval '1 microsecond' AND (w.queue IS NULL OR t.queue = w.queue OR t.step_name = w.step_name)
    GROUP BY w.queue, w.step_name, w.tags, w.count, w.due
    HAVING bool_or((w.queue IS NULL OR t.queue = w.queue) AND t.created_at > w.made + $2 * interval '1 microsecond'
            AND coalesce(t.priority, 0) <= w.priority)
        AND NOT bool_or((w.queue IS NULL OR t.queue = w.queue) AND t.tags = w.tags)
        AND NOT bool_or(t.state = 'running' AND t.step_name = w.step_name)"
));

static ORPHANS: Sql = Sql::new(
    "SELECT (SELECT count(*) FROM tasks AS t JOIN executions AS e ON e.id = t.execution_id
            WHERE t.state = 'failed' AND e.state = 'failed' AND NOT EXISTS (SELECT FROM dead_tasks AS d WHERE d.id = t.id)),
        (SELECT count(*) FROM dead_tasks AS d JOIN tasks AS t ON t.id = d.id
            WHERE NOT EXISTS (SELECT FROM executions AS e WHERE e.id = t.execution_id)),
        (SELECT count(*) FROM tasks AS t WHERE NOT EXISTS (SELECT FROM executions AS e WHERE e.id = t.execution_id))",
);

pub(super) async fn activity(link: &SharedConnection, task: &str, zone: &Zone) -> Result<Activity> {
    let ahead = zone.ahead_at(Timestamp::here());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&ahead, Type::INT8), (&task, Type::TEXT)];
    let rows = link.ask(Query::new(&ACTIVITY, params)).await?;
    Ok(one(&rows, rows::activity).unwrap_or_default())
}

pub(super) async fn orphans(link: &SharedConnection) -> Result<Orphans> {
    let rows = link.ask(Query::new(&ORPHANS, [])).await?;
    Ok(one(&rows, rows::orphans).unwrap_or_default())
}

pub(super) async fn census(link: &SharedConnection, shape: Shape, zone: &Zone) -> Result<Census> {
    Ok(ask(link, shape, zone, None).await?.census)
}

pub(super) async fn stats(link: &SharedConnection, shape: Shape, zone: &Zone, window: Duration) -> Result<Stats> {
    ask(link, shape, zone, Some(window)).await
}

/// The counts of a census, and with a window those of the statistics, in one snapshot.
async fn ask(link: &SharedConnection, shape: Shape, zone: &Zone, window: Option<Duration>) -> Result<Stats> {
    // The zone's offset now: this machine's clock is good enough to tell the season.
    let ahead = zone.ahead_at(Timestamp::here());
    let back = window.map_or(0, |window| i64::try_from(window.as_micros()).unwrap_or(i64::MAX));
    let now: (&(dyn ToSql + Sync), Type) = (&ahead, Type::INT8);
    let within = || [now.clone(), (&back as &(dyn ToSql + Sync), Type::INT8)];
    let mut asks = vec![
        Query::new(&FACTS, []),
        Query::new(&EXECUTIONS, [now.clone()]),
        Query::new(&STRANDED, [now.clone(), (&GRACE as _, Type::INT8)]),
        Query::new(&TASKS, [now.clone()]),
        Query::new(&PASSED_OVER, [now.clone(), (&PASSED as _, Type::INT8)]),
    ];
    if window.is_some() {
        asks.extend([Query::new(&WORKERS, [now.clone()]), Query::new(&ENDED, within()), Query::new(&STEPS, within())]);
    }
    if shape.has_letters() {
        asks.push(Query::new(&LETTERS, []));
    }
    let mut answers = Answers::of(link, &asks).await?;
    let mut next = || answers.take();
    let (facts, by_state, stranded, by_task, over) = (next()?, next()?, next()?, next()?, next()?);
    let none = Vec::new;
    let (workers, ended, steps) = if window.is_some() { (next()?, next()?, next()?) } else { (none(), none(), none()) };
    let letters = if shape.has_letters() { next()? } else { none() };
    let mut told = Vec::new();
    let mut library = Library::Unknown;
    if let Some(row) = facts.first() {
        let mut cells = Cells::new(row);
        told.extend(cells.text(1).map(|version| ("server", format!("PostgreSQL {version}"))));
        if cells.flag(2) == Some(true) {
            told.push(("role", "standby: reading only".to_owned()));
        }
        library = Library::of(cells.flag(3) == Some(true), cells.flag(4) == Some(true));
    }
    let census = Census {
        now: clock(&facts),
        shape,
        library,
        executions: all(&by_state, rows::execution_group),
        stranded: one(&stranded, rows::group).unwrap_or_default(),
        tasks: all(&by_task, rows::task_group),
        passed: all(&over, rows::passed),
        letters: one(&letters, rows::group).unwrap_or_default(),
        facts: told,
    };
    Ok(Stats {
        census,
        workers: all(&workers, rows::worker),
        ended: all(&ended, rows::counted),
        steps: all(&steps, rows::step),
    })
}
