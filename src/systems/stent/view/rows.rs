//! Executions and tasks as rows of lists.

use super::values::{Clock, attempts, codec, error_line, int, json, outcome, payload, policy, state_name, texts};
use crate::port::Listed;
use crate::record::Task;
use crate::verdict;
use sen_model::columns;
use sen_model::value::Value;

fn unreadable(what: &[String]) -> Value {
    if what.is_empty() { Value::Null } else { texts(what) }
}

columns! {
    /// The columns of `sen exec list`.
    pub EXECUTION_COLUMNS,
    pub(crate) fn execution_row(listed: Listed, clock: &Clock<'_>) {
        let state = verdict::listed(&listed, clock.wall);
        let execution = listed.execution;
        let [args, kwargs, result] =
            [&execution.args, &execution.kwargs, &execution.result].map(|bytes| payload(bytes.as_deref()));
    }
    "id", "ID", Whole => Value::Text(execution.id);
    "root_function", "FUNCTION", Short => Value::text(execution.root_function);
    "state", "STATE", Whole => Value::Name(state.of_execution());
    "status", "STORED", Asked => state_name(execution.state.name(), execution.state.as_str());
    "created_at", "CREATED", Whole => clock.time(execution.created_at);
    "took_ms", "TOOK", Whole => clock.took(execution.started_at, execution.completed_at, execution.state.is_terminal());
    "queue", "QUEUE", Wide => Value::text(execution.queue);
    "error", "ERROR", Wide => error_line(execution.error.as_deref());
    "tags", "TAGS", Wide => texts(&execution.tags);
    "priority", "PRIORITY", Asked => int(execution.priority);
    "started_at", "STARTED", Asked => clock.time(execution.started_at);
    "completed_at", "COMPLETED", Asked => clock.time(execution.completed_at);
    "expires_at", "EXPIRES", Asked => clock.time(execution.expiry_at);
    "args", "ARGS", Asked => json(args.as_ref());
    "kwargs", "KWARGS", Asked => json(kwargs.as_ref());
    "outcome", "OUTCOME", Asked => outcome(result.as_ref());
    "result", "RESULT", Asked => json(result.as_ref());
    "codec", "CODEC", Asked => codec([&args, &kwargs, &result]);
    "unreadable", "UNREADABLE", Asked => unreadable(&execution.unreadable);
}

columns! {
    /// The columns of `sen task list`.
    pub TASK_COLUMNS,
    pub(crate) fn task_row(task: Task, clock: &Clock<'_>) {
        let state = verdict::task(&task, clock.wall);
        let attempts = attempts(&task);
        let [args, kwargs, result] = [&task.args, &task.kwargs, &task.result].map(|bytes| payload(bytes.as_deref()));
    }
    "id", "ID", Whole => Value::Text(task.id);
    "step", "STEP", Short => Value::text(task.step_name);
    "state", "STATE", Whole => Value::Name(state.name());
    "status", "STORED", Asked => state_name(task.state.name(), task.state.as_str());
    "created_at", "CREATED", Whole => clock.time(task.created_at);
    "took_ms", "TOOK", Whole => clock.took(task.started_at, task.completed_at, task.state.is_terminal());
    "kind", "KIND", Wide => state_name(task.kind.name(), task.kind.as_str());
    "queue", "QUEUE", Wide => Value::text(task.queue);
    "worker", "WORKER", Wide => Value::text(task.worker_id);
    "execution_id", "EXECUTION", Wide => Value::text(task.execution_id);
    "error", "ERROR", Wide => error_line(task.error.as_deref());
    "attempts", "TRIES", Asked => attempts;
    "priority", "PRIORITY", Asked => int(task.priority);
    "tags", "TAGS", Asked => texts(&task.tags);
    "parent_task_id", "PARENT", Asked => Value::text(task.parent_task_id);
    "started_at", "STARTED", Asked => clock.time(task.started_at);
    "completed_at", "COMPLETED", Asked => clock.time(task.completed_at);
    "lease_expires_at", "LEASE ENDS", Asked => clock.time(task.lease_expires_at);
    "scheduled_for", "DUE", Asked => clock.time(task.scheduled_for);
    "idempotency_key", "IDEMPOTENCY KEY", Asked => Value::text(task.idempotency_key);
    "retry_policy", "RETRY POLICY", Asked => policy(task.retry_policy);
    "args", "ARGS", Asked => json(args.as_ref());
    "kwargs", "KWARGS", Asked => json(kwargs.as_ref());
    "outcome", "OUTCOME", Asked => outcome(result.as_ref());
    "result", "RESULT", Asked => json(result.as_ref());
    "codec", "CODEC", Asked => codec([&args, &kwargs, &result]);
    "unreadable", "UNREADABLE", Asked => unreadable(&task.unreadable);
}
