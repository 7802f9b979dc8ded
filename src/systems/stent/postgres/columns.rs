//! The pieces that statements share.

/// The columns of an execution, with the given expressions for its payloads: see `rows::execution`.
macro_rules! execution_columns {
    ($error:literal, $args:literal, $kwargs:literal, $result:literal) => {
        concat!(
            "e.id::text, e.root_function::text, e.state::text, e.retries::int8, e.created_at, e.started_at, e.completed_at,
            e.expiry_at, e.tags::text, e.priority::int8, e.queue::text, ",
            $error, ", ", $args, ", ", $kwargs, ", ", $result
        )
    };
}

/// The columns of a task, likewise: see `rows::task`.
macro_rules! task_columns {
    ($error:literal, $args:literal, $kwargs:literal, $result:literal) => {
        concat!(
            "t.id::text, t.execution_id::text, t.step_name::text, t.kind::text, t.parent_task_id::text, t.state::text,
            t.retries::int8, t.created_at, t.started_at, t.completed_at, t.worker_id::text, t.lease_expires_at, t.tags::text,
            t.priority::int8, t.queue::text, t.idempotency_key::text, t.retry_policy::text, t.scheduled_for, ",
            $error, ", ", $args, ", ", $kwargs, ", ", $result, ", t.result IS NOT NULL"
        )
    };
}

/// Whether a dump has this field with a text that is not empty: as the library writes it, else by a pattern.
macro_rules! filled {
    ($name:literal) => {
        concat!(
            "(CASE WHEN position('\"",
            $name,
            "\": \"' IN d.data) > 0 THEN position('\"",
            $name,
            "\": \"\"' IN d.data) = 0
                ELSE d.data ~ '\"",
            $name,
            "\"\\s*:\\s*\"[^\"]' END)"
        )
    };
}

/// Whether the task of a letter (`d`, its task's row being `t` where that is there) can be made again: from its dump, or,
/// where that is Python's text of senpuki 0.1.x, from the row of the task that died.
macro_rules! readable {
    () => {
        concat!(
            "coalesce(CASE WHEN left(d.data, 1) = '{' THEN ",
            filled!("execution_id"),
            " AND ",
            filled!("step_name"),
            " AND ",
            filled!("args"),
            " AND ",
            filled!("kwargs"),
            " WHEN starts_with(d.data, 'TaskRecord(') THEN ",
            remembered!("t"),
            " END, false)"
        )
    };
}

/// Whether the row of a task that died has all that a replay needs.
macro_rules! remembered {
    ($task:literal) => {
        concat!(
            $task,
            ".state = 'failed' AND ",
            $task,
            ".execution_id <> '' AND ",
            $task,
            ".step_name <> '' AND octet_length(",
            $task,
            ".args) > 0 AND octet_length(",
            $task,
            ".kwargs) > 0"
        )
    };
}

/// What the workers' clock shows now; the parameter is by how many microseconds it is ahead of UTC.
macro_rules! wall_now {
    ($ahead:literal) => {
        concat!("(now() AT TIME ZONE 'UTC' + ", $ahead, " * interval '1 microsecond')")
    };
}

pub(super) use {execution_columns, filled, readable, remembered, task_columns, wall_now};
