//! Counts: what is there, who works, what got done.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::reading::{all, one};
use crate::cancelled::{cancelled_json, cancelled_pickle};
use crate::port::{Activity, Census, Group, Orphans, PASSED, Queues, Stats};
use crate::rows;
use crate::shape::{Library, Shape};
use crate::state::GRACE;
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_model::time::wall::{Wall, Zone};

const EXECUTIONS: &str = "SELECT 0, state, count(*), min(created_at), max(created_at), 0 FROM executions GROUP BY 2";

/// A worker ends what has expired just after that moment: ?1 lies a little before now. What has no open task is stranded
/// instead.
const OVERDUE: &str = "SELECT count(*), min(e.created_at), max(e.created_at) FROM executions AS e
    WHERE e.state IN ('pending', 'running', 'cancelling') AND e.expiry_at < ?1 AND EXISTS (
        SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state IN ('pending', 'running'))";

/// Without open tasks, and unchanged since ?1.
const STRANDED: &str = "SELECT count(*), min(e.created_at), max(e.created_at) FROM executions AS e
    WHERE e.state IN ('pending', 'running', 'cancelling') AND NOT EXISTS (
        SELECT 1 FROM tasks AS t WHERE t.execution_id = e.id AND t.state IN ('pending', 'running'))
        AND max(coalesce(e.created_at, ''), coalesce((SELECT max(max(coalesce(t.created_at, ''), coalesce(t.started_at, ''),
            coalesce(t.completed_at, ''))) FROM tasks AS t WHERE t.execution_id = e.id), '')) < ?1";

/// As in `postgres/census.rs`.
const TASKS: &str = "SELECT CASE WHEN state <> 'running' OR lease_expires_at IS NOT NULL THEN state END, kind, queue,
        coalesce(CASE state WHEN 'pending' THEN scheduled_for > ?1 WHEN 'running' THEN lease_expires_at < ?1 END, 0),
        count(*), min(created_at), max(max(created_at, coalesce(started_at, ''), coalesce(completed_at, ''))),
        max(lease_expires_at),
        min(CASE state WHEN 'running' THEN lease_expires_at ELSE coalesce(scheduled_for, created_at) END), max(started_at),
        CAST(max(julianday(created_at) - julianday(started_at)) * 86400e6 AS INTEGER),
        max(tags <> '[]'), max(CASE WHEN state = 'pending' THEN step_name IN (
            SELECT r.step_name FROM tasks AS r WHERE r.state = 'running' AND r.lease_expires_at >= ?1) END), 0
    FROM tasks GROUP BY 1, 2, 3, 4";

const LETTERS: &str = "SELECT count(*), min(moved_at), max(moved_at) FROM dead_tasks";

const DIED: &str = "SELECT count(*), min(moved_at), max(moved_at) FROM dead_tasks WHERE moved_at >= ?1";

const WORKERS: &str = "SELECT worker_id, count(*), count(*) FILTER (WHERE lease_expires_at < ?1), min(started_at),
        max(lease_expires_at)
    FROM tasks WHERE state = 'running' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1000";

const ENDED: &str = "SELECT state, count(*) FROM executions WHERE completed_at >= ?1 GROUP BY 1 ORDER BY 2 DESC";

const STEPS: &str = concat!(
    "SELECT step_name, count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'failed'),
        avg(julianday(completed_at) - julianday(started_at)) * 86400e6,
        max(julianday(completed_at) - julianday(started_at)) * 86400e6, coalesce(sum(retries), 0),
        count(*) FILTER (WHERE state = 'failed' AND error IN (CAST('",
    cancelled_json!(),
    "' AS BLOB), x'",
    cancelled_pickle!(),
    "'))
    FROM tasks WHERE completed_at >= ?1 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 100"
);

const HAS_STEP: &str = "SELECT 1 FROM tasks WHERE step_name = ?1 LIMIT 1";

/// As in `postgres/census.rs`: around the task ?2.
const ACTIVITY: &str = "SELECT count(*) FILTER (WHERE t.state = 'pending' AND t.kind <> 'signal' AND t.queue IS w.queue
            AND (t.scheduled_for IS NULL OR t.scheduled_for <= ?1)),
        count(*) FILTER (WHERE t.state = 'running' AND (w.queue IS NULL OR t.queue = w.queue) AND t.lease_expires_at >= ?1),
        max(t.started_at) FILTER (WHERE w.queue IS NULL OR t.queue = w.queue),
        count(*) FILTER (WHERE t.state = 'running' AND t.step_name = w.step_name AND t.lease_expires_at >= ?1),
        count(*) FILTER (WHERE (w.queue IS NULL OR t.queue = w.queue) AND t.started_at > coalesce(w.scheduled_for, w.created_at)
            AND t.created_at > w.created_at AND coalesce(t.priority, 0) <= coalesce(w.priority, 0)),
        count(*) FILTER (WHERE (w.queue IS NULL OR t.queue = w.queue)
            AND t.started_at > coalesce(w.scheduled_for, w.created_at) AND t.tags = w.tags)
    FROM tasks AS w CROSS JOIN tasks AS t
    WHERE w.id = ?2 AND (w.queue IS NULL OR t.queue = w.queue OR (t.state = 'running' AND t.step_name = w.step_name))";

/// As in `postgres/census.rs`: ?1 is the start of the span, ?2 its length in seconds.
const PASSED_OVER: &str = "SELECT w.queue, w.tags, w.count, w.due
    FROM (SELECT queue, step_name, tags, count(*) AS count, min(coalesce(scheduled_for, created_at)) AS due,
                max(created_at) AS made, max(coalesce(priority, 0)) AS priority
            FROM tasks
            WHERE state = 'pending' AND kind <> 'signal' AND tags <> '[]' AND coalesce(scheduled_for, created_at) < ?1
            GROUP BY 1, 2, 3 ORDER BY 5 LIMIT 5) AS w
        CROSS JOIN tasks AS t
    WHERE t.started_at >= ?1 AND (w.queue IS NULL OR t.queue = w.queue OR t.step_name = w.step_name)
    GROUP BY w.queue, w.step_name, w.tags, w.count, w.due
    HAVING max((w.queue IS NULL OR t.queue = w.queue) AND julianday(t.created_at) > julianday(w.made) + ?2 / 86400.0
            AND coalesce(t.priority, 0) <= w.priority)
        AND NOT max((w.queue IS NULL OR t.queue = w.queue) AND t.tags = w.tags)
        AND NOT max(t.state = 'running' AND t.step_name = w.step_name)";

const ORPHANS: &str = "SELECT (SELECT count(*) FROM tasks AS t JOIN executions AS e ON e.id = t.execution_id
            WHERE t.state = 'failed' AND e.state = 'failed' AND NOT EXISTS (SELECT 1 FROM dead_tasks AS d WHERE d.id = t.id)),
        (SELECT count(*) FROM dead_tasks AS d JOIN tasks AS t ON t.id = d.id
            WHERE NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.id = t.execution_id)),
        (SELECT count(*) FROM tasks AS t WHERE t.state IN ('pending', 'running')
            AND NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.id = t.execution_id)), 0, 0";

pub(super) fn activity(db: &Connection, now: Timestamp, task: &str, zone: &Zone) -> Result<Activity> {
    Ok(one(db, ACTIVITY, params![zone.wall(now).isoformat(), task], rows::activity)?.unwrap_or_default())
}

pub(super) fn orphans(db: &Connection) -> Result<Orphans> {
    Ok(one(db, ORPHANS, [], rows::orphans)?.unwrap_or_default())
}

fn only(db: &Connection, sql: &str, bound: impl rusqlite::Params) -> Result<Group> {
    Ok(one(db, sql, bound, rows::group)?.unwrap_or_default())
}

/// What the workers' clock showed so many microseconds ago.
fn before(now: Timestamp, zone: &Zone, micros: i64) -> String {
    Wall::from_micros(zone.wall(now).as_micros().saturating_sub(micros)).isoformat()
}

fn queues(db: &Connection, now: Timestamp, zone: &Zone) -> Result<Queues> {
    Ok(Queues {
        now,
        tasks: all(db, TASKS, params![before(now, zone, 0)], rows::task_group)?,
        passed: all(db, PASSED_OVER, params![before(now, zone, PASSED), PASSED / 1_000_000], rows::passed)?,
    })
}

pub(super) fn census(db: &Connection, shape: Shape, now: Timestamp, zone: &Zone) -> Result<Census> {
    let has = |step: &str| Ok::<_, sen_model::error::Error>(one(db, HAS_STEP, [step], |_| ())?.is_some());
    let executions = all(db, EXECUTIONS, [], rows::execution_count)?;
    Ok(Census {
        library: Library::of(has("stent.sleep")?, has("senpuki.sleep")?),
        executions: executions.into_iter().map(|count| (count.state, count.group)).collect(),
        overdue: only(db, OVERDUE, params![before(now, zone, 10_000_000)])?,
        stranded: only(db, STRANDED, params![before(now, zone, GRACE)])?,
        queues: queues(db, now, zone)?,
        letters: if shape.has_letters() { only(db, LETTERS, [])? } else { Group::default() },
        shape,
        facts: vec![("server", format!("SQLite {}", rusqlite::version()))],
    })
}

pub(super) fn stats(db: &Connection, shape: Shape, now: Timestamp, zone: &Zone, window: Duration) -> Result<Stats> {
    let (wall, since) = (zone.wall(now), zone.wall(now).minus(window));
    let (wall, since) = (wall.isoformat(), since.isoformat());
    Ok(Stats {
        workers: all(db, WORKERS, params![wall], rows::worker)?,
        ended: all(db, ENDED, params![since], rows::counted)?,
        steps: all(db, STEPS, params![since], rows::step)?,
        died: if shape.has_letters() { Some(only(db, DIED, params![since])?.count) } else { None },
        census: census(db, shape, now, zone)?,
    })
}
