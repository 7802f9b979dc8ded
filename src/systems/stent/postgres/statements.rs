//! The statements about dead letters: what is known of them, and what replays and removes them. One file: its macros are parts of one
//! another.
//!
//! The dead task's row is still in `tasks`, so its kind, step and execution are read from there by its id; only where that row
//! no longer exists are they picked out of the dump. No index helps an order by time, so nothing here sorts by time twice.
//!
//! The subqueries with `OFFSET 0` keep the planner to the index on the execution or the key: by statistics taken before a
//! large replay, an index on `state` would look as if it held nothing.

use super::columns::{filled, readable, remembered, wall_now};
use crate::cancelled::{cancelled_json, cancelled_pickle};
use sen_stores::postgres::write::free;
use sen_stores::sql::Sql;

pub(super) static READY: Sql = Sql::new(
    "SELECT now(),
        (SELECT count(*) = 4 FROM pg_attribute WHERE attrelid = to_regclass('dead_tasks') AND NOT attisdropped
            AND attname IN ('id', 'reason', 'moved_at', 'data'))
        AND (SELECT count(*) = 4 FROM pg_attribute WHERE attrelid = to_regclass('tasks') AND NOT attisdropped
            AND attname IN ('id', 'execution_id', 'step_name', 'retry_policy'))
        AND (SELECT count(*) = 3 FROM pg_attribute WHERE attrelid = to_regclass('executions') AND NOT attisdropped
            AND attname IN ('id', 'root_function', 'expiry_at')),
        (SELECT count(*) = 4 FROM pg_attribute WHERE attrelid = to_regclass('execution_progress') AND NOT attisdropped
            AND attname IN ('execution_id', 'step', 'status', 'detail'))",
);

/// A field of a letter (`d`) or of its task (`t`): from the task's row, or picked out of the dump where that row is gone.
macro_rules! field {
    ($name:literal, $column:literal) => {
        concat!(
            "CASE WHEN t.id IS NULL THEN substring(d.data FROM '\"",
            $name,
            "\"\\s*:\\s*\"([^\"]*)\"') ELSE t.",
            $column,
            " END"
        )
    };
}

/// Which letters. $1 ids, $2 kinds, $3 queue, $4 step, $5 error, $6 worker, $7 since, $8 until. What is not asked for is gone
/// before the statement is planned, and with it the join of the tasks where nothing else needs them.
macro_rules! wanted {
    () => {
        concat!(
            "($1::text[] IS NULL OR d.id = ANY($1))
                AND ($5::text IS NULL OR position(lower($5) IN lower(d.reason)) > 0)
                AND ($7::timestamp IS NULL OR d.moved_at >= $7)
                AND ($8::timestamp IS NULL OR d.moved_at < $8)
                AND ($2::text[] IS NULL OR ",
            field!("kind", "kind"),
            " = ANY($2))
                AND ($3::text IS NULL OR ",
            field!("queue", "queue"),
            " = $3 OR ($3 = 'default' AND ",
            field!("queue", "queue"),
            " IS NULL))
                AND ($4::text IS NULL OR ",
            field!("step_name", "step_name"),
            " = $4 OR right(",
            field!("step_name", "step_name"),
            ", length($4) + 1) = ':' || $4)
                AND ($6::text IS NULL OR starts_with(",
            field!("worker_id", "worker_id"),
            ", $6))"
        )
    };
}

/// Letters with what they belong to, of those that `$which` names. $9 ahead, $10 texts, $11 dump. The inner query is fenced
/// off, so that the dumps do not travel through joins and sorts.
macro_rules! letters {
    ($which:expr) => {
        concat!(
            " FROM (SELECT d.id, d.moved_at, ",
            readable!(),
            " AS readable, d.reason IN ('Execution cancelled', 'Exception: Execution cancelled') IS TRUE AS cancelled, ",
            field!("kind", "kind"),
            " AS kind, ",
            field!("execution_id", "execution_id"),
            " AS execution_id, ",
            field!("parent_task_id", "parent_task_id"),
            " AS parent, CASE WHEN $10 THEN ",
            field!("step_name", "step_name"),
            " END AS step, CASE WHEN $10 THEN ",
            field!("queue", "queue"),
            " END AS queue, CASE WHEN $10 THEN ",
            field!("worker_id", "worker_id"),
            " END AS worker, CASE WHEN $10 THEN CASE WHEN t.id IS NULL
                THEN substring(d.data FROM '\"retries\"\\s*:\\s*([0-9]{1,9})')::int ELSE t.retries END END AS retries,
            CASE WHEN $10 THEN d.reason END AS reason, CASE WHEN $11 THEN d.data END AS data
            FROM ",
            $which,
            " OFFSET 0) AS f
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
            ".error IN ('",
            cancelled_json!(),
            "'::bytea, '\\x",
            cancelled_pickle!(),
            "'::bytea)"
        )
    };
}

/// Whether a cancel ended a letter or a step of it, by its reason or the errors of its steps.
macro_rules! cancelled {
    () => {
        concat!(
            "CASE WHEN f.kind = 'orchestrator' AND e.state = 'failed' THEN f.cancelled OR EXISTS (
                SELECT 1 FROM (SELECT s.state, s.error, s.parent_task_id FROM tasks AS s
                    WHERE s.execution_id = f.execution_id OFFSET 0) AS s
                WHERE s.parent_task_id = f.id AND ",
            stopped!("s"),
            ") ELSE false END"
        )
    };
}

/// What the replayability is judged by: kind, execution's state, expired, parent's state, live, object.
macro_rules! replay_facts {
    () => {
        concat!(
            "f.kind::text, e.state::text, coalesce(e.expiry_at <= ",
            wall_now!("$9"),
            ", false), p.state::text,
            CASE WHEN (f.kind = 'orchestrator' AND e.state IN ('failed', 'pending', 'running'))
                OR (p.state = 'failed' AND e.state IN ('pending', 'running')) THEN EXISTS (
                SELECT 1 FROM tasks AS o WHERE o.execution_id = f.execution_id AND o.kind = 'orchestrator'
                    AND o.state IN ('pending', 'running')) ELSE false END,
            f.readable"
        )
    };
}

/// Everything that is told of letters.
macro_rules! told {
    ($which:expr) => {
        concat!(
            "SELECT f.id::text, f.moved_at, ",
            replay_facts!(),
            ", f.execution_id::text, f.step::text, f.reason::text, f.queue::text, f.worker::text, f.retries::int8, f.data::text, ",
            cancelled!(),
            letters!($which)
        )
    };
}

macro_rules! look {
    ($and:expr, $order:literal) => {
        concat!(
            told!(concat!("dead_tasks AS d LEFT JOIN tasks AS t ON t.id = d.id WHERE ", wanted!(), $and)),
            $order,
            " LIMIT $12"
        )
    };
}

pub(super) static OLDEST_FIRST: Sql = Sql::new(look!("", " ORDER BY f.moved_at, f.id"));
pub(super) static UNORDERED: Sql = Sql::new(look!("", ""));
pub(super) static NEWEST_FIRST: Sql = Sql::new(look!("", " ORDER BY f.moved_at DESC NULLS LAST, f.id DESC"));

/// A page: its letters are chosen first, by ids and times alone where nothing else is asked for, and only they are judged.
macro_rules! page {
    ($first:literal, $rest:expr, $order:literal) => {
        concat!(
            "WITH dated AS MATERIALIZED (
                SELECT d.id FROM dead_tasks AS d LEFT JOIN tasks AS t ON t.id = d.id WHERE ",
            wanted!(),
            $first,
            " LIMIT $12)",
            $rest,
            told!("page AS w JOIN dead_tasks AS d ON d.id = w.id LEFT JOIN tasks AS t ON t.id = d.id"),
            $order
        )
    };
}

pub(super) static OLDEST_PAGE: Sql =
    Sql::new(page!(" ORDER BY d.moved_at, d.id", ", page AS (SELECT id FROM dated) ", " ORDER BY f.moved_at, f.id"));

/// What has no time stands behind the rest, which no index on the time has it do: it is looked for on its own, where there is
/// room for it.
pub(super) static NEWEST_PAGE: Sql = Sql::new(page!(
    " AND d.moved_at IS NOT NULL ORDER BY d.moved_at DESC, d.id DESC",
    concat!(
        ", page AS (
            SELECT id FROM dated
            UNION ALL (SELECT d.id FROM dead_tasks AS d LEFT JOIN tasks AS t ON t.id = d.id WHERE ",
        wanted!(),
        " AND d.moved_at IS NULL ORDER BY d.id DESC LIMIT $12 - (SELECT count(*) FROM dated))) "
    ),
    " ORDER BY f.moved_at DESC NULLS LAST, f.id DESC"
));

/// A piece of a dump between two quotes.
macro_rules! piece {
    ($at:literal) => {
        concat!("split_part(d.data, '\"', ", $at, ")")
    };
}

/// Whether a dump is as the libraries write it, with all that a replay needs, so that its fields are the pieces at these
/// places, which costs a fraction of looking for each by its name.
macro_rules! usual {
    () => {
        concat!(
            "(d.data LIKE '{\"id\": \"%\", \"execution_id\": \"_%\", \"step_name\": \"_%\", \"kind\": \"%\", \"parent_task_id\": %, \
             \"args\": \"_%\", \"kwargs\": \"_%\", \"result\": %' AND ",
            piece!("6"),
            " = 'execution_id' AND ",
            piece!("10"),
            " = 'step_name' AND ",
            piece!("14"),
            " = 'kind' AND ",
            piece!("18"),
            " = 'parent_task_id' AND strpos(",
            piece!("8"),
            " || ",
            piece!("12"),
            " || ",
            piece!("20"),
            ", '\\') = 0)"
        )
    };
}

/// What a group is made of, and whether the letter can be replayed (`rules::replayability`, in SQL: no letter is asked about
/// by itself, so that a hundred thousand cost two passes over what they belong to). The last column is whether the dump is
/// [`usual`], without which the others mean nothing. The parameters of [`wanted`], of which $3 and $6 are not asked for.
pub(super) static DEATHS: Sql = Sql::new(concat!(
    "SELECT f.id::text, f.moved_at, f.step::text, f.reason::text, CASE f.kind
        WHEN 'orchestrator' THEN f.reason IN ('Execution cancelled', 'Exception: Execution cancelled') IS NOT TRUE
            AND EXISTS (SELECT 1 FROM executions AS e
                WHERE e.id = f.execution_id AND e.state = 'failed' AND (e.expiry_at <= ",
    wall_now!("$9"),
    ") IS NOT TRUE)
            AND NOT EXISTS (SELECT 1 FROM tasks AS o
                WHERE o.execution_id = f.execution_id AND o.kind = 'orchestrator' AND o.state IN ('pending', 'running'))
            AND NOT EXISTS (SELECT 1 FROM tasks AS s
                WHERE s.execution_id = f.execution_id AND s.parent_task_id = f.id AND ",
    stopped!("s"),
    ")
        WHEN 'activity' THEN EXISTS (SELECT 1 FROM executions AS e
                WHERE e.id = f.execution_id AND e.state IN ('pending', 'running') AND (e.expiry_at <= ",
    wall_now!("$9"),
    ") IS NOT TRUE)
            AND NOT EXISTS (SELECT 1 FROM tasks AS p WHERE p.id = f.parent AND p.state = 'failed')
        ELSE false END, f.usual
    FROM (SELECT d.id, d.moved_at, d.reason, ",
    piece!("8"),
    " AS execution_id, ",
    piece!("12"),
    " AS step, ",
    piece!("16"),
    " AS kind, CASE ",
    piece!("19"),
    " WHEN ': ' THEN ",
    piece!("20"),
    " END AS parent, ",
    usual!(),
    " AS usual FROM dead_tasks AS d
        WHERE ($5::text IS NULL OR position(lower($5) IN lower(d.reason)) > 0)
            AND ($7::timestamp IS NULL OR d.moved_at >= $7) AND ($8::timestamp IS NULL OR d.moved_at < $8)
        OFFSET 0) AS f
    WHERE f.usual IS NOT TRUE OR (($2::text[] IS NULL OR f.kind = ANY($2))
        AND ($4::text IS NULL OR f.step = $4 OR right(f.step, length($4) + 1) = ':' || $4))"
));

/// Letters whose dump is not [`usual`].
pub(super) static UNUSUAL: Sql = Sql::new(look!(concat!(" AND ", usual!(), " IS NOT TRUE"), ""));

/// The dead letters of a batch that are as seen and not locked by another transaction.
/// $1 ids, $2 times of death, $3 ids of the tasks to be made, by place.
macro_rules! taken {
    () => {
        "WITH taken AS MATERIALIZED (
            SELECT w.place, d.id, w.fresh, d.data
            FROM unnest($1::text[], $2::timestamp[], $3::text[]) WITH ORDINALITY AS w (id, moved_at, fresh, place)
                JOIN dead_tasks AS d ON d.id = w.id AND d.moved_at IS NOT DISTINCT FROM w.moved_at
            FOR UPDATE OF d SKIP LOCKED)"
    };
}

/// The same as [`taken`] of letters that also have the arguments that were seen, with others in their place.
/// $8 args and $9 kwargs as seen, $10 args and $11 kwargs to be written, $12 what the record says of it, all by place.
macro_rules! edited {
    () => {
        "WITH taken AS MATERIALIZED (
            SELECT w.place, d.id, w.fresh, (d.data::jsonb || jsonb_build_object('args', w.args, 'kwargs', w.kwargs))::text AS data,
                w.edited
            FROM unnest($1::text[], $2::timestamp[], $3::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
                    WITH ORDINALITY AS w (id, moved_at, fresh, seen_args, seen_kwargs, args, kwargs, edited, place)
                JOIN dead_tasks AS d ON d.id = w.id AND d.moved_at IS NOT DISTINCT FROM w.moved_at
                    AND CASE WHEN left(d.data, 1) = '{' THEN
                        d.data::jsonb ->> 'args' = w.seen_args AND d.data::jsonb ->> 'kwargs' = w.seen_kwargs END
            FOR UPDATE OF d SKIP LOCKED)"
    };
}

/// $4 queue, $5 force, $6 ahead, $7 note.
macro_rules! replay {
    ($record:literal) => {
        replay!(taken, $record)
    };
    ($taken:ident, $record:literal) => {
        concat!(
            $taken!(),
            ", letters AS MATERIALIZED (
                SELECT t.place, t.id, t.fresh, x.* FROM taken AS t, jsonb_to_record(t.data::jsonb) AS x (
                    execution_id text, step_name text, kind text, parent_task_id text, args text, kwargs text, tags jsonb,
                    priority int, queue text, idempotency_key text, retry_policy jsonb)
                WHERE left(t.data, 1) = '{' AND x.execution_id <> '' AND x.step_name <> '' AND x.args <> '' AND x.kwargs <> ''
                UNION ALL
                SELECT t.place, t.id, t.fresh, r.execution_id, r.step_name, r.kind, r.parent_task_id, encode(r.args, 'base64'),
                    encode(r.kwargs, 'base64'), nullif(r.tags, '')::jsonb, r.priority, r.queue, r.idempotency_key,
                    nullif(r.retry_policy, '')::jsonb
                FROM taken AS t CROSS JOIN LATERAL (SELECT d.* FROM tasks AS d WHERE d.id = t.id OFFSET 0) AS r
                WHERE starts_with(t.data, 'TaskRecord(') AND ",
            remembered!("r"),
            "),
            opened AS (
                UPDATE executions AS e SET state = 'pending', started_at = NULL, completed_at = NULL, result = NULL, error = NULL,
                    retries = 0, expiry_at = CASE WHEN e.expiry_at > ",
            wall_now!("$6"),
            " THEN e.expiry_at END
                FROM letters AS l WHERE l.kind = 'orchestrator' AND e.id = l.execution_id
                    AND ($5 OR (e.state = 'failed' AND (e.expiry_at > ",
            wall_now!("$6"),
            ") IS NOT FALSE))
                    AND NOT EXISTS (SELECT 1 FROM (
                        SELECT o.kind, o.state FROM tasks AS o WHERE o.execution_id = l.execution_id OFFSET 0) AS o
                        WHERE o.kind = 'orchestrator' AND o.state IN ('pending', 'running'))
                RETURNING l.*),
            joined AS MATERIALIZED (
                SELECT l.* FROM letters AS l JOIN executions AS e ON e.id = l.execution_id
                WHERE l.kind = 'activity' AND l.execution_id NOT IN (SELECT o.execution_id FROM opened AS o) AND ($5 OR (
                    e.state IN ('pending', 'running') AND (e.expiry_at > ",
            wall_now!("$6"),
            ") IS NOT FALSE
                    AND NOT EXISTS (SELECT 1 FROM (
                        SELECT p.state FROM tasks AS p WHERE p.id = l.parent_task_id OFFSET 0) AS p WHERE p.state = 'failed')))
                FOR SHARE OF e),
            beside AS (
                SELECT l.* FROM letters AS l
                WHERE $5 AND l.kind = 'activity' AND l.execution_id IN (SELECT o.execution_id FROM opened AS o)),
            orphans AS (
                SELECT l.* FROM letters AS l WHERE $5 AND l.kind IN ('orchestrator', 'activity')
                    AND NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.id = l.execution_id)),
            ready AS (SELECT * FROM opened UNION ALL SELECT * FROM joined UNION ALL SELECT * FROM beside
                UNION ALL SELECT * FROM orphans),
            gone AS (DELETE FROM dead_tasks AS d USING ready AS r WHERE d.id = r.id RETURNING r.*),
            made AS (
                INSERT INTO tasks (id, execution_id, step_name, kind, parent_task_id, state, args, kwargs, retries, created_at, tags,
                    priority, queue, idempotency_key, retry_policy)
                SELECT fresh, execution_id, step_name, kind, parent_task_id, 'pending',
                    coalesce(decode(args, 'base64'), ''), coalesce(decode(kwargs, 'base64'), ''), 0, ",
            wall_now!("$6"),
            " + place * interval '1 microsecond', coalesce(tags, '[]')::text, coalesce(priority, 0), coalesce($4, queue),
                    idempotency_key, coalesce(retry_policy - 'retry_for', '{}')::text
                FROM gone RETURNING id)",
            $record,
            " SELECT place::int8, CASE WHEN (SELECT count(*) FROM made) < (SELECT count(*) FROM gone) THEN 'tasks' END AS kept_out
            FROM gone WHERE $7::text IS NOT NULL"
        )
    };
}

/// An act of an operator stands where the library's users look for what happened to an execution.
pub(super) static REPLAY: Sql = Sql::new(replay!(
    ", noted AS (
        INSERT INTO execution_progress (execution_id, step, status, detail)
        SELECT execution_id, step_name, 'dispatched',
            'dead letter ' || id || ' replayed as task ' || fresh || ' ' || $7 || ', database role ' || session_user
        FROM gone)"
));
/// The same of letters with other arguments, which the record names.
pub(super) static REPLAY_EDITED: Sql = Sql::new(replay!(
    edited,
    ", noted AS (
        INSERT INTO execution_progress (execution_id, step, status, detail)
        SELECT g.execution_id, g.step_name, 'dispatched',
            'dead letter ' || g.id || ' replayed as task ' || g.fresh || ' ' || $7 || t.edited
                || CASE WHEN EXISTS (SELECT FROM tasks AS o WHERE o.id = g.id)
                    THEN ' (the original ones are with task ' || g.id || ')' ELSE '' END
                || ', database role ' || session_user
        FROM gone AS g JOIN taken AS t ON t.place = g.place)"
));
pub(super) static REPLAY_WITHOUT_RECORD: Sql = Sql::new(replay!(""));

macro_rules! remove {
    ($record:literal) => {
        concat!(
            taken!(),
            ", gone AS (
                DELETE FROM dead_tasks AS d USING taken AS t WHERE d.id = t.id RETURNING t.place, t.id)",
            $record,
            " SELECT place::int8 FROM gone WHERE $4::text IS NOT NULL"
        )
    };
}

/// The dead letters of a batch that are unchanged and not locked. $1 ids, $2 times of death.
pub(super) static LEFT: Sql = Sql::new(concat!(
    "SELECT w.place::int8 FROM unnest($1::text[], $2::timestamp[]) WITH ORDINALITY AS w (id, moved_at, place)
        JOIN dead_tasks AS d ON d.id = w.id AND d.moved_at IS NOT DISTINCT FROM w.moved_at WHERE ",
    free!("d")
));

/// $4 note.
pub(super) static REMOVE: Sql = Sql::new(remove!(
    ", noted AS (
        INSERT INTO execution_progress (execution_id, step, status, detail)
        SELECT t.execution_id, t.step_name, 'failed',
            'dead letter ' || g.id || ' discarded ' || $4 || ', database role ' || session_user
        FROM gone AS g JOIN tasks AS t ON t.id = g.id JOIN executions AS e ON e.id = t.execution_id)"
));
pub(super) static REMOVE_WITHOUT_RECORD: Sql = Sql::new(remove!(""));

/// The tasks around orchestrators ($1), and whether the result of each is kept; $2 ahead, $3 how many at most.
pub(super) static AROUND: Sql = Sql::new(concat!(
    "SELECT x.id::text, t.id::text, t.parent_task_id::text, t.step_name::text, t.kind::text, t.state::text,
        t.state = 'completed' AND t.idempotency_key IS NOT NULL AND (
            EXISTS (SELECT 1 FROM idempotency AS i WHERE i.key = t.idempotency_key AND i.value IS NOT NULL)
            OR EXISTS (SELECT 1 FROM cache AS c WHERE c.key = t.idempotency_key AND c.value IS NOT NULL
                AND (c.expires_at >= ",
    wall_now!("$2"),
    ") IS NOT FALSE)), ",
    stopped!("t"),
    ", t.retries::int8, CASE WHEN t.state = 'failed' THEN t.retry_policy::text END
    FROM tasks AS x CROSS JOIN LATERAL (SELECT o.* FROM tasks AS o WHERE o.execution_id = x.execution_id OFFSET 0) AS t
    WHERE x.id = ANY($1) AND x.kind = 'orchestrator' AND t.kind <> 'orchestrator' LIMIT $3"
));

/// Whether letters are still there as they were seen: then nothing of the transaction is, for it took all of them.
/// $4 ids, $5 times of death, $6 the tasks of their replays, $7 the operation as the record names it.
macro_rules! still {
    () => {
        "WHEN EXISTS (SELECT FROM unnest($4::text[], $5::timestamp[]) AS w (id, moved_at)
            JOIN dead_tasks AS d ON d.id = w.id AND d.moved_at IS NOT DISTINCT FROM w.moved_at) THEN 'absent'"
    };
}

macro_rules! recorded {
    ($tasks:literal) => {
        concat!(
            "WHEN EXISTS (SELECT FROM tasks AS t JOIN execution_progress AS p ON p.execution_id = t.execution_id
                WHERE t.id = ANY(",
            $tasks,
            ") AND strpos(p.detail, $7) > 0 AND strpos(p.detail, t.id) > 0) THEN 'landed' "
        )
    };
}

/// The id of a replay's task follows from its letter and its death, so where all of them are there the letters are replayed.
macro_rules! all_made {
    () => {
        " WHEN (SELECT count(*) FROM tasks AS t WHERE t.id = ANY($6::text[])) = cardinality($6::text[]) THEN 'landed' END"
    };
}

pub(super) static REPLAYED: Sql = Sql::new(concat!("CASE ", recorded!("$6::text[]"), still!(), all_made!()));
pub(super) static REPLAYED_WITHOUT_RECORD: Sql = Sql::new(concat!("CASE ", still!(), all_made!()));

/// Where no record is kept, nothing shows who removed them.
pub(super) static REMOVED: Sql = Sql::new(concat!("CASE ", recorded!("$4::text[]"), still!(), " END"));
pub(super) static REMOVED_WITHOUT_RECORD: Sql = Sql::new(concat!("CASE ", still!(), " END"));

pub(super) static TASKS_AMONG: Sql = Sql::new("SELECT id::text FROM tasks WHERE id = ANY($1)");

/// Of an orchestrator any other that has not failed; of an activity one that was made after what waited for it had ended.
/// $1 letters, $2 the tasks made of them.
pub(super) static COPIES: Sql = Sql::new(
    "SELECT m.id::text, o.id::text
    FROM unnest($1::text[], $2::text[]) AS w (letter, task)
        CROSS JOIN LATERAL (SELECT t.* FROM tasks AS t WHERE t.id = w.task OFFSET 0) AS m
        CROSS JOIN LATERAL (SELECT t.* FROM tasks AS t WHERE t.execution_id = m.execution_id OFFSET 0) AS o
    WHERE o.id NOT IN (w.letter, w.task)
        AND o.kind = m.kind AND o.step_name = m.step_name AND o.args = m.args AND o.kwargs = m.kwargs
        AND o.parent_task_id IS NOT DISTINCT FROM m.parent_task_id AND o.state IN ('pending', 'running', 'completed')
        AND (m.kind = 'orchestrator' OR o.created_at > coalesce(
            (SELECT p.completed_at FROM tasks AS p WHERE p.id = m.parent_task_id),
            CASE WHEN m.parent_task_id IS NULL THEN (SELECT l.completed_at FROM tasks AS l WHERE l.id = w.letter) END))",
);

/// Of tasks ($1) those that a record of [`REPLAY`] names.
pub(super) static RECORDED: Sql = Sql::new(
    "SELECT t.id::text FROM tasks AS t WHERE t.id = ANY($1) AND EXISTS (
        SELECT 1 FROM execution_progress AS p
        WHERE p.execution_id = t.execution_id AND strpos(p.detail, ' replayed as task ' || t.id || ' ') > 0)",
);

/// $1 letters, $2 the tasks made of them, $3 the operation as the record names it.
pub(super) static SIGNED: Sql = Sql::new(
    "SELECT w.letter FROM unnest($1::text[], $2::text[]) AS w (letter, task)
    WHERE EXISTS (SELECT 1 FROM tasks AS t JOIN execution_progress AS p ON p.execution_id = t.execution_id
        WHERE t.id IN (w.letter, w.task) AND strpos(p.detail, $3) > 0 AND strpos(p.detail, t.id) > 0)",
);

pub(super) static TWINS: Sql = Sql::new(
    "SELECT t.execution_id::text, t.id::text
    FROM (SELECT o.execution_id FROM tasks AS o
            WHERE o.kind = 'orchestrator' AND o.state || '' IN ('pending', 'running', 'completed')
            GROUP BY 1 HAVING count(*) > 1 OFFSET 0) AS twice
        JOIN tasks AS t ON t.execution_id = twice.execution_id
    WHERE t.kind = 'orchestrator' AND t.state || '' IN ('pending', 'running', 'completed')",
);
