//! The whole task in the text of a dead letter: JSON as senpuki 0.2.0 and later and stent write it, or Python's
//! `str(task)` from senpuki 0.1.x, which can be shown and not be read back. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::record::{Task, TaskKind, TaskState};
use sen_model::time::wall::Wall;

/// What the text of a dead letter holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Dump {
    /// The task.
    Task {
        /// The task as it was when it died.
        task: Box<Task>,
        /// Names of the exceptions it is tried again for; the `tasks` table does not keep them.
        retry_for: Vec<String>,
    },
    /// Python's `str(task)`: from senpuki 0.1.x.
    Repr,
    /// Neither; why.
    Unreadable(String),
}

/// Reads the text of a dead letter.
pub fn parse(text: &str) -> Dump {
    if text.starts_with("TaskRecord(") {
        return Dump::Repr;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => task(&fields),
        Ok(_) => Dump::Unreadable("the dump is no JSON object".into()),
        Err(error) => Dump::Unreadable(format!("the dump is no JSON: {error}")),
    }
}

fn task(fields: &Map<String, Value>) -> Dump {
    let mut unreadable = Vec::new();
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(id) = text("id") else { return Dump::Unreadable("the dump has no id".into()) };
    let mut bytes = |name: &str| {
        let read = text(name).map(|text| STANDARD.decode(text));
        read.and_then(|read| read.map_err(|error| unreadable.push(format!("{name}: {error}"))).ok())
    };
    let (args, kwargs, result, error) = (bytes("args"), bytes("kwargs"), bytes("result"), bytes("error"));
    let mut time = |name: &str| {
        let shown = text(name)?;
        let read = Wall::parse(&shown);
        if read.is_none() {
            unreadable.push(format!("{name}: {shown:?} is no time"));
        }
        read
    };
    let task = Task {
        execution_id: text("execution_id"),
        step_name: text("step_name"),
        kind: TaskKind::parse(&text("kind").unwrap_or_default()),
        parent_task_id: text("parent_task_id"),
        state: TaskState::parse(&text("state").unwrap_or_default()),
        args,
        kwargs,
        has_result: result.is_some(),
        result,
        error,
        retries: fields.get("retries").and_then(Value::as_i64),
        created_at: time("created_at"),
        started_at: time("started_at"),
        completed_at: time("completed_at"),
        worker_id: text("worker_id"),
        lease_expires_at: time("lease_expires_at"),
        scheduled_for: time("scheduled_for"),
        tags: texts(fields.get("tags")),
        priority: fields.get("priority").and_then(Value::as_i64),
        queue: text("queue"),
        idempotency_key: text("idempotency_key"),
        retry_policy: fields.get("retry_policy").filter(|policy| policy.is_object()).map(Value::to_string),
        id,
        unreadable,
    };
    let retry_for = fields.get("retry_policy").map(|policy| texts(policy.get("retry_for"))).unwrap_or_default();
    Dump::Task { task: Box::new(task), retry_for }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_dump_of_stent() {
        let text = r#"{"id": "t1", "execution_id": "e1", "step_name": "m:f", "kind": "activity", "parent_task_id": "t0", "state": "failed",
            "args": "W10=", "kwargs": "e30=", "result": null, "error": "!", "retries": 2, "created_at": "2026-11-20T20:16:00.123456",
            "started_at": "2026-11-20T20:16:01", "completed_at": null, "worker_id": "w", "lease_expires_at": "soon", "tags": ["a"],
            "priority": 3, "queue": null, "retry_policy": {"max_attempts": 3, "retry_for": ["ValueError"]}, "idempotency_key": null,
            "scheduled_for": null}"#;
        let Dump::Task { task, retry_for } = parse(text) else { panic!("not read") };
        assert_eq!((task.id.as_str(), task.args.as_deref()), ("t1", Some(&b"[]"[..])));
        assert_eq!(task.kind, TaskKind::Activity);
        assert_eq!(task.started_at.unwrap().isoformat(), "2026-11-20T20:16:01");
        assert_eq!(retry_for, ["ValueError"]);
        assert_eq!(task.unreadable.len(), 2, "{:?}", task.unreadable);
    }

    #[test]
    fn a_dump_of_senpuki_0_1() {
        assert_eq!(parse("TaskRecord(id='x', execution_id='y')"), Dump::Repr);
        assert!(matches!(parse("[1]"), Dump::Unreadable(_)) && matches!(parse(""), Dump::Unreadable(_)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            drop(parse(&text));
        }
    }
}
