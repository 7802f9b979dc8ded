//! Executions and tasks as rows of lists.

use super::values::{Clock, codec, column, error_line, int, json, outcome, payload, policy, state_name, texts};
use crate::port::Listed;
use crate::record::Task;
use crate::state::State;
use crate::verdict;
use sen_model::value::{Column, Row, Show, Value};

/// The columns of `sen exec list`.
pub const EXECUTION_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Whole),
    column("root_function", "FUNCTION", Show::Short),
    column("verdict", "STATE", Show::Whole),
    column("state", "STORED", Show::Asked),
    column("created_at", "CREATED", Show::Whole),
    column("took", "TOOK", Show::Whole),
    column("queue", "QUEUE", Show::Wide),
    column("error", "ERROR", Show::Wide),
    column("tags", "TAGS", Show::Wide),
    column("priority", "PRIORITY", Show::Asked),
    column("started_at", "STARTED", Show::Asked),
    column("completed_at", "COMPLETED", Show::Asked),
    column("expiry_at", "EXPIRES", Show::Asked),
    column("args", "ARGS", Show::Asked),
    column("kwargs", "KWARGS", Show::Asked),
    column("outcome", "OUTCOME", Show::Asked),
    column("result", "RESULT", Show::Asked),
    column("codec", "CODEC", Show::Asked),
    column("unreadable", "UNREADABLE", Show::Asked),
];

/// The columns of `sen task list`.
pub const TASK_COLUMNS: &[Column] = &[
    column("id", "ID", Show::Whole),
    column("step_name", "STEP", Show::Short),
    column("verdict", "STATE", Show::Whole),
    column("state", "STORED", Show::Asked),
    column("created_at", "CREATED", Show::Whole),
    column("took", "TOOK", Show::Whole),
    column("kind", "KIND", Show::Wide),
    column("queue", "QUEUE", Show::Wide),
    column("worker_id", "WORKER", Show::Wide),
    column("execution_id", "EXECUTION", Show::Wide),
    column("error", "ERROR", Show::Wide),
    column("retries", "RETRIES", Show::Asked),
    column("priority", "PRIORITY", Show::Asked),
    column("tags", "TAGS", Show::Asked),
    column("parent_task_id", "PARENT", Show::Asked),
    column("started_at", "STARTED", Show::Asked),
    column("completed_at", "COMPLETED", Show::Asked),
    column("lease_expires_at", "LEASE ENDS", Show::Asked),
    column("scheduled_for", "DUE", Show::Asked),
    column("idempotency_key", "IDEMPOTENCY KEY", Show::Asked),
    column("retry_policy", "RETRY POLICY", Show::Asked),
    column("args", "ARGS", Show::Asked),
    column("kwargs", "KWARGS", Show::Asked),
    column("outcome", "OUTCOME", Show::Asked),
    column("result", "RESULT", Show::Asked),
    column("codec", "CODEC", Show::Asked),
    column("unreadable", "UNREADABLE", Show::Asked),
];

fn unreadable(what: &[String]) -> Value {
    if what.is_empty() { Value::Null } else { texts(what) }
}

pub(crate) fn execution_row(listed: Listed, clock: &Clock<'_>) -> Row {
    let state = verdict::listed(&listed, clock.wall);
    let execution = listed.execution;
    let [args, kwargs, result] =
        [&execution.args, &execution.kwargs, &execution.result].map(|bytes| payload(bytes.as_deref()));
    vec![
        Value::Text(execution.id),
        Value::text(execution.root_function),
        Value::Name(if state == State::Ready { "pending" } else { state.name() }),
        state_name(execution.state.name(), execution.state.as_str()),
        clock.time(execution.created_at),
        clock.took(execution.started_at, execution.completed_at, execution.state.is_terminal()),
        Value::text(execution.queue),
        error_line(execution.error.as_deref()),
        texts(&execution.tags),
        int(execution.priority),
        clock.time(execution.started_at),
        clock.time(execution.completed_at),
        clock.time(execution.expiry_at),
        json(args.as_ref()),
        json(kwargs.as_ref()),
        outcome(result.as_ref()),
        json(result.as_ref()),
        codec([&args, &kwargs, &result]),
        unreadable(&execution.unreadable),
    ]
}

pub(crate) fn task_row(task: Task, clock: &Clock<'_>) -> Row {
    let state = verdict::task(&task, clock.wall);
    let [args, kwargs, result] = [&task.args, &task.kwargs, &task.result].map(|bytes| payload(bytes.as_deref()));
    vec![
        Value::Text(task.id),
        Value::text(task.step_name),
        Value::Name(state.name()),
        state_name(task.state.name(), task.state.as_str()),
        clock.time(task.created_at),
        clock.took(task.started_at, task.completed_at, task.state.is_terminal()),
        state_name(task.kind.name(), task.kind.as_str()),
        Value::text(task.queue),
        Value::text(task.worker_id),
        Value::text(task.execution_id),
        error_line(task.error.as_deref()),
        int(task.retries),
        int(task.priority),
        texts(&task.tags),
        Value::text(task.parent_task_id),
        clock.time(task.started_at),
        clock.time(task.completed_at),
        clock.time(task.lease_expires_at),
        clock.time(task.scheduled_for),
        Value::text(task.idempotency_key),
        policy(task.retry_policy),
        json(args.as_ref()),
        json(kwargs.as_ref()),
        outcome(result.as_ref()),
        json(result.as_ref()),
        codec([&args, &kwargs, &result]),
        unreadable(&task.unreadable),
    ]
}
