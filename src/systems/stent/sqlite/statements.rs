//! What is asked of SQLite about dead letters, and what replays, records and removes them.

use super::reading::{readable, task_columns};
use crate::cancelled::{cancelled_json, cancelled_pickle};

/// A field of a letter, as in `postgres/statements.rs`.
macro_rules! field {
    ($name:literal) => {
        concat!("CASE WHEN t.id IS NULL AND json_valid(d.data) THEN d.data ->> '$.", $name, "' ELSE t.", $name, " END")
    };
}

/// What letters are told apart by alone.
macro_rules! own {
    () => {
        "(:ids IS NULL OR d.id IN (SELECT value FROM json_each(:ids)))
            AND (:since IS NULL OR d.moved_at >= :since) AND (:until IS NULL OR d.moved_at < :until)
            AND (:error IS NULL OR instr(lower(d.reason), lower(:error)) > 0)"
    };
}

/// What their tasks have a say in, too.
macro_rules! of_task {
    () => {
        concat!(
            "(:kinds IS NULL OR ",
            field!("kind"),
            " IN (SELECT value FROM json_each(:kinds)))
            AND (:queue IS NULL OR ",
            field!("queue"),
            " = :queue OR (:queue = 'default' AND ",
            field!("queue"),
            " IS NULL))
            AND (:step IS NULL OR ",
            field!("step_name"),
            " = :step OR substr(",
            field!("step_name"),
            ", -length(:step) - 1) = ':' || :step)
            AND (:worker IS NULL OR substr(",
            field!("worker_id"),
            ", 1, length(:worker)) = :worker)"
        )
    };
}

/// Letters with what they belong to, as in `postgres/statements.rs`.
macro_rules! letters {
    ($wanted:expr) => {
        concat!(
            " FROM (SELECT d.id, d.moved_at, d.reason, d.data, ",
            readable!(),
            " AS readable, coalesce(d.reason IN ('Execution cancelled', 'Exception: Execution cancelled'), 0) AS cancelled, ",
            field!("kind"),
            " AS kind, ",
            field!("execution_id"),
            " AS execution_id, ",
            field!("parent_task_id"),
            " AS parent, ",
            field!("step_name"),
            " AS step, ",
            field!("queue"),
            " AS queue, ",
            field!("worker_id"),
            " AS worker, ",
            field!("retries"),
            " AS retries
            FROM dead_tasks AS d LEFT JOIN tasks AS t ON t.id = d.id WHERE ",
            $wanted,
            ") AS f
        LEFT JOIN executions AS e ON e.id = f.execution_id
        LEFT JOIN tasks AS p ON p.id = f.parent AND f.kind = 'activity'"
        )
    };
}

/// Whether a task has the error of a cancel, in either codec of the library.
macro_rules! stopped {
    ($task:literal) => {
        concat!(
            $task,
            ".state = 'failed' AND ",
            $task,
            ".error IS NOT NULL AND ",
            $task,
            ".error IN (CAST('",
            cancelled_json!(),
            "' AS BLOB), x'",
            cancelled_pickle!(),
            "')"
        )
    };
}

/// Whether a cancel ended a letter or a step of it, by its reason or the errors of its steps.
macro_rules! cancelled {
    () => {
        concat!(
            "CASE WHEN f.kind = 'orchestrator' AND e.state = 'failed' THEN f.cancelled OR EXISTS (
                SELECT 1 FROM (SELECT s.state, s.error, s.parent_task_id FROM tasks AS s
                    WHERE s.execution_id = f.execution_id) AS s
                WHERE s.parent_task_id = f.id AND ",
            stopped!("s"),
            ") ELSE 0 END"
        )
    };
}

macro_rules! replay_facts {
    () => {
        "f.kind, e.state, coalesce(e.expiry_at <= :now, 0), p.state,
            CASE WHEN (f.kind = 'orchestrator' AND e.state IN ('failed', 'pending', 'running'))
                OR (p.state = 'failed' AND e.state IN ('pending', 'running')) THEN EXISTS (
                SELECT 1 FROM tasks AS o WHERE o.execution_id = f.execution_id AND o.kind = 'orchestrator'
                    AND o.state IN ('pending', 'running')) ELSE 0 END,
            f.readable"
    };
}

macro_rules! told {
    ($wanted:expr, $order:literal) => {
        concat!(
            "SELECT f.id, f.moved_at, ",
            replay_facts!(),
            ", f.execution_id, f.step, f.reason, f.queue, f.worker, f.retries, CASE WHEN :dump THEN f.data END, ",
            cancelled!(),
            letters!($wanted),
            $order,
            " LIMIT coalesce(:limit, -1)"
        )
    };
}

macro_rules! look {
    ($order:literal) => {
        told!(concat!(own!(), " AND ", of_task!()), $order)
    };
}

pub(super) const OLDEST_FIRST: &str = look!(" ORDER BY f.moved_at, f.id");
pub(super) const UNORDERED: &str = look!("");
pub(super) const NEWEST_FIRST: &str = look!(" ORDER BY f.moved_at DESC, f.id DESC");

/// A page, as in `postgres/statements.rs`: tasks are asked only where they have a say.
macro_rules! page {
    ($inner:literal, $order:literal) => {
        told!(
            concat!(
                "d.id IN (SELECT d.id FROM dead_tasks AS d WHERE ",
                own!(),
                " AND (coalesce(:kinds, :queue, :step, :worker) IS NULL OR EXISTS (
                    SELECT 1 FROM (SELECT 1) LEFT JOIN tasks AS t ON t.id = d.id WHERE ",
                of_task!(),
                "))",
                $inner,
                " LIMIT coalesce(:limit, -1))"
            ),
            $order
        )
    };
}

pub(super) const OLDEST_PAGE: &str = page!(" ORDER BY d.moved_at, d.id", " ORDER BY f.moved_at, f.id");
pub(super) const NEWEST_PAGE: &str =
    page!(" ORDER BY d.moved_at DESC, d.id DESC", " ORDER BY f.moved_at DESC, f.id DESC");

pub(super) const LETTER: &str = "SELECT moved_at, data FROM dead_tasks WHERE id = ?1";
pub(super) const GROUNDS: &str = "SELECT e.state, coalesce(e.expiry_at <= ?3, 0),
    (SELECT p.state FROM tasks AS p WHERE p.id = ?2),
    EXISTS (SELECT 1 FROM tasks AS o WHERE o.execution_id = ?1 AND o.kind = 'orchestrator' AND o.state IN ('pending', 'running'))
    FROM (SELECT 1) LEFT JOIN executions AS e ON e.id = ?1";
pub(super) const INSERT: &str = "INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, retries, created_at,
        tags, priority, queue, idempotency_key, retry_policy)
    VALUES (:id, :execution_id, :step, :kind, :parent, 'pending', :args, :kwargs, 0, :created, :tags, :priority, :queue, :key, :policy)";
pub(super) const OPEN: &str =
    "UPDATE executions SET state = 'pending', started_at = NULL, completed_at = NULL, result = NULL, error = NULL,
    retries = 0, expiry_at = CASE WHEN expiry_at > ?2 THEN expiry_at END WHERE id = ?1";
pub(super) const DELETE: &str = "DELETE FROM dead_tasks WHERE id = ?1";
pub(super) const TASK: &str = "SELECT 1 FROM tasks WHERE id = ?1";
pub(super) const STATE: &str = "SELECT state FROM executions WHERE id = ?1";
pub(super) const RECORD: &str =
    "INSERT INTO execution_progress (execution_id, step, status, detail) VALUES (?1, ?2, ?3, ?4)";
pub(super) const OWNER: &str =
    "SELECT t.execution_id, t.step_name FROM tasks AS t JOIN executions AS e ON e.id = t.execution_id WHERE t.id = ?1";
/// As in `postgres/letters.rs`; ?1 is a list, ?2 now.
pub(super) const AROUND: &str = concat!(
    "SELECT x.id, t.id, t.parent_task_id, t.step_name, t.kind, t.state,
        t.state = 'completed' AND t.idempotency_key IS NOT NULL AND (
            EXISTS (SELECT 1 FROM idempotency AS i WHERE i.key = t.idempotency_key AND i.value IS NOT NULL)
            OR EXISTS (SELECT 1 FROM cache AS c WHERE c.key = t.idempotency_key AND c.value IS NOT NULL
                AND (c.expires_at IS NULL OR c.expires_at >= ?2))), ",
    stopped!("t"),
    ", t.retries, CASE WHEN t.state = 'failed' THEN t.retry_policy END
    FROM tasks AS x JOIN tasks AS t ON t.execution_id = x.execution_id
    WHERE x.id IN (SELECT value FROM json_each(?1)) AND x.kind = 'orchestrator' AND t.kind <> 'orchestrator' LIMIT ?3"
);
pub(super) const REMEMBERED: &str = concat!(
    "SELECT ",
    task_columns!("NULL", "t.args", "t.kwargs", "NULL"),
    " FROM tasks AS t WHERE t.id = ?1 AND t.state = 'failed'"
);
pub(super) const TASKS_AMONG: &str = "SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const TWINS: &str = "SELECT t.execution_id, t.id
    FROM (SELECT o.execution_id FROM tasks AS o WHERE o.kind = 'orchestrator' AND +o.state IN ('pending', 'running', 'completed')
            GROUP BY 1 HAVING count(*) > 1) AS twice
        JOIN tasks AS t ON t.execution_id = twice.execution_id
    WHERE t.kind = 'orchestrator' AND +t.state IN ('pending', 'running', 'completed')";

/// As in `postgres/letters.rs`; ?1 is a list of pairs.
pub(super) const COPIES: &str = "SELECT m.id, o.id FROM json_each(?1) AS w
    JOIN tasks AS m ON m.id = w.value ->> 1
    JOIN tasks AS o ON o.execution_id = m.execution_id AND o.id NOT IN (w.value ->> 0, w.value ->> 1)
        AND o.kind = m.kind AND o.step_name = m.step_name AND o.args = m.args AND o.kwargs = m.kwargs
        AND o.parent_task_id IS m.parent_task_id AND +o.state IN ('pending', 'running', 'completed')
    WHERE m.kind = 'orchestrator' OR o.created_at > coalesce(
        (SELECT p.completed_at FROM tasks AS p WHERE p.id = m.parent_task_id),
        CASE WHEN m.parent_task_id IS NULL THEN (SELECT l.completed_at FROM tasks AS l WHERE l.id = w.value ->> 0) END)";

/// As in `postgres/letters.rs`; ?1 is a list of tasks.
pub(super) const RECORDED: &str =
    "SELECT t.id FROM tasks AS t WHERE t.id IN (SELECT value FROM json_each(?1)) AND EXISTS (
        SELECT 1 FROM execution_progress AS p
        WHERE p.execution_id = t.execution_id AND instr(p.detail, ' replayed as task ' || t.id || ' ') > 0)";

pub(super) const SIGNED: &str = "SELECT w.value ->> '$[0]' FROM json_each(?1) AS w
    WHERE EXISTS (SELECT 1 FROM tasks AS t JOIN execution_progress AS p ON p.execution_id = t.execution_id
        WHERE t.id IN (w.value ->> '$[0]', w.value ->> '$[1]') AND instr(p.detail, ?2) > 0 AND instr(p.detail, t.id) > 0)";
