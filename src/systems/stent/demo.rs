//! The durable executions behind the incident of `sen demo`, in SQLite, as stent 1.1.2 itself would have left them: the library
//! can open the file and go on.

use rusqlite::{Transaction, params};
use serde_json::{Value, json};

use super::codec::base64;
use sen_model::error::Result;
use sen_model::time::wall::{Wall, Zone};
use sen_stores::sqlite::{Sqlite, error_from};

/// The execution the demo shows first: its charge failed permanently.
pub const FAILED: &str = "77310000-c4a6-4000-8000-000000000000";

/// The tables of stent 1.1.2 (`backend/sqlite.py`): the same names, columns, types and indexes.
const TABLES: &str = "
    CREATE TABLE signals (execution_id TEXT, name TEXT, payload BLOB, created_at TIMESTAMP, consumed BOOLEAN,
        consumed_at TIMESTAMP, PRIMARY KEY (execution_id, name));
    CREATE TABLE executions (id TEXT PRIMARY KEY, root_function TEXT, state TEXT, args BLOB, kwargs BLOB, result BLOB,
        error BLOB, retries INTEGER, created_at TIMESTAMP, started_at TIMESTAMP, completed_at TIMESTAMP, expiry_at TIMESTAMP,
        tags TEXT, priority INTEGER, queue TEXT);
    CREATE TABLE execution_progress (execution_id TEXT, step TEXT, status TEXT, started_at TIMESTAMP,
        completed_at TIMESTAMP, detail TEXT, ordinal INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE INDEX idx_progress_exec ON execution_progress(execution_id);
    CREATE TABLE tasks (id TEXT PRIMARY KEY, execution_id TEXT, step_name TEXT, kind TEXT, parent_task_id TEXT, state TEXT,
        args BLOB, kwargs BLOB, result BLOB, error BLOB, retries INTEGER, created_at TIMESTAMP, started_at TIMESTAMP,
        completed_at TIMESTAMP, worker_id TEXT, lease_expires_at TIMESTAMP, tags TEXT, priority INTEGER, queue TEXT,
        idempotency_key TEXT, retry_policy TEXT, scheduled_for TIMESTAMP);
    CREATE INDEX idx_tasks_state_queue_scheduled ON tasks(state, queue, scheduled_for);
    CREATE INDEX idx_tasks_priority_created ON tasks(priority, created_at);
    CREATE INDEX idx_tasks_execution ON tasks(execution_id);
    CREATE INDEX idx_tasks_step_lease ON tasks(step_name, state, lease_expires_at);
    CREATE TABLE dead_tasks (id TEXT PRIMARY KEY, reason TEXT, moved_at TIMESTAMP, data TEXT);
    CREATE TABLE cache (key TEXT PRIMARY KEY, value BLOB, expires_at TIMESTAMP);
    CREATE TABLE idempotency (key TEXT PRIMARY KEY, value BLOB);
    CREATE TABLE execution_counters (execution_id TEXT, name TEXT, value REAL NOT NULL, PRIMARY KEY (execution_id, name));
    CREATE TABLE execution_state (execution_id TEXT, key TEXT, value BLOB, PRIMARY KEY (execution_id, key));";

/// Makes the tables and fills them, in one transaction.
///
/// # Errors
/// What SQLite reports.
pub async fn fill(db: &Sqlite) -> Result<()> {
    db.run(|db| {
        let now = super::sqlite::reading::now(db)?;
        let writing = db.transaction().map_err(error_from)?;
        writing.execute_batch(TABLES).map_err(error_from)?;
        tell(&Story { db: &writing, now: Zone::utc().wall(now) }).map_err(error_from)?;
        writing.commit().map_err(error_from)
    })
    .await
}

/// When something happened, in seconds before now.
type Ago = i64;

/// Step, status, when it was begun and when it ended, and what there was to say.
type Happening<'a> = (&'a str, &'a str, Option<Ago>, Option<Ago>, Option<&'a str>);

struct Story<'a> {
    db: &'a Transaction<'a>,
    now: Wall,
}

/// An execution; `None` where its time has not come.
struct Execution<'a> {
    order: u32,
    function: &'a str,
    state: &'a str,
    args: Value,
    outcome: (Option<Value>, Option<Value>),
    times: [Option<Ago>; 3],
    queue: Option<&'a str>,
}

/// A task of it, by its number; the first is the orchestrator.
struct Task<'a> {
    order: u32,
    number: u32,
    step: &'a str,
    kind: &'a str,
    state: &'a str,
    args: Value,
    outcome: (Option<Value>, Option<Value>),
    retries: i64,
    times: [Option<Ago>; 3],
    worker: Option<(&'a str, Ago)>,
    due: Option<Ago>,
    queue: Option<&'a str>,
}

/// The id of an order's execution (0) or of one of its tasks.
fn id(order: u32, number: u32) -> String {
    format!("{order:04}0000-c4a6-4000-8000-{number:012}")
}

const WORKER: &str = "pay-worker-1";
const KILLED: &str = "pay-worker-2";

fn tell(story: &Story<'_>) -> rusqlite::Result<()> {
    for (at, order) in [7701, 7702, 7705, 7709, 7712, 7715].into_iter().enumerate() {
        story.settled(order, 5700 - 360 * at as i64)?;
    }
    story.failed(7731, 1140, "TimeoutError", "no answer from api.acme-pay.example after 30s", 3)?;
    story.failed(7735, 1110, "TimeoutError", "no answer from api.acme-pay.example after 30s", 3)?;
    story.failed(7738, 1020, "ConnectionError", "connection refused by api.acme-pay.example:443", 3)?;
    story.failed(7747, 300, "CardDeclined", "card declined: do_not_honor", 0)?;
    story.lost(7736, 960)?;
    story.waiting(7740, 840)?;
    story.sleeping(7733, 1080)?;
    for order in [7751, 7752] {
        story.pending(order, 60)?;
    }
    story.stranded(7729, 1500)
}

impl Story<'_> {
    fn at(&self, ago: Option<Ago>) -> Option<String> {
        let before = |ago: Ago| Wall::from_micros(self.now.as_micros() - ago * 1_000_000).isoformat();
        ago.map(before)
    }

    fn execution(&self, one: Execution<'_>) -> rusqlite::Result<()> {
        let bytes = |value: Option<Value>| value.map(|value| value.to_string().into_bytes());
        let [created, started, completed] = one.times.map(|ago| self.at(ago));
        self.db.execute(
            "INSERT INTO executions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, NULL, ?11, 0, ?12)",
            params![
                id(one.order, 0),
                one.function,
                one.state,
                one.args.to_string().into_bytes(),
                b"{}",
                bytes(one.outcome.0),
                bytes(one.outcome.1),
                created,
                started,
                completed,
                r#"["orders"]"#,
                one.queue
            ],
        )?;
        Ok(())
    }

    /// Puts a task in, and into the dead letters when it failed.
    fn task(&self, one: Task<'_>) -> rusqlite::Result<()> {
        let [created, started, completed] = one.times.map(|ago| self.at(ago));
        let bytes = |value: &Option<Value>| value.as_ref().map(|value| value.to_string().into_bytes());
        let (result, error) = (bytes(&one.outcome.0), bytes(&one.outcome.1));
        let parent = (one.number > 1).then(|| id(one.order, 1));
        let lease = one.worker.and_then(|(_, until)| self.at(Some(until)));
        let tries = if one.kind == "orchestrator" { 1 } else { 4 };
        let policy = json!({
            "max_attempts": tries, "backoff_factor": 2.0, "initial_delay": 1.0, "max_delay": 60.0, "jitter": 0.1
        });
        let args = one.args.to_string().into_bytes();
        let worker = one.worker.map(|(name, _)| name);
        self.db.execute(
            "INSERT INTO tasks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, '[]', 0, ?17, NULL, ?18, ?19)",
            params![
                id(one.order, one.number),
                id(one.order, 0),
                one.step,
                one.kind,
                parent,
                one.state,
                args,
                b"{}",
                result,
                error,
                one.retries,
                created,
                started,
                completed,
                worker,
                lease,
                one.queue,
                policy.to_string(),
                self.at(one.due)
            ],
        )?;
        let Some(raised) = one.outcome.1.filter(|_| one.state == "failed") else { return Ok(()) };
        let mut policy = policy;
        let covered =
            if one.kind == "orchestrator" { json!(["Exception"]) } else { json!(["TimeoutError", "ConnectionError"]) };
        policy["retry_for"] = covered;
        let dump = json!({
            "id": id(one.order, one.number), "execution_id": id(one.order, 0), "step_name": one.step, "kind": one.kind,
            "parent_task_id": parent, "state": "failed", "args": base64(&args), "kwargs": base64(b"{}"), "result": null,
            "error": error.as_deref().map(base64), "retries": one.retries, "created_at": created, "started_at": started,
            "completed_at": completed, "worker_id": worker, "lease_expires_at": lease, "tags": [], "priority": 0,
            "queue": one.queue, "retry_policy": policy, "idempotency_key": null, "scheduled_for": null,
        });
        self.db.execute(
            "INSERT INTO dead_tasks VALUES (?1, ?2, ?3, ?4)",
            params![id(one.order, one.number), raised["message"].as_str(), completed, dump.to_string()],
        )?;
        Ok(())
    }

    fn progress(&self, order: u32, steps: &[Happening<'_>]) -> rusqlite::Result<()> {
        for (step, status, started, completed, detail) in steps {
            self.db.execute(
                "INSERT INTO execution_progress (execution_id, step, status, started_at, completed_at, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id(order, 0), step, status, self.at(*started), self.at(*completed), detail],
            )?;
        }
        Ok(())
    }

    fn checkout(
        &self,
        order: u32,
        state: &str,
        outcome: (Option<Value>, Option<Value>),
        times: [Option<Ago>; 3],
    ) -> rusqlite::Result<()> {
        let args = json!([format!("order-{order}")]);
        self.execution(Execution { order, function: "shop:checkout", state, args, outcome, times, queue: None })
    }

    /// The orchestrator's task.
    fn root(
        &self,
        order: u32,
        state: &str,
        outcome: (Option<Value>, Option<Value>),
        times: [Option<Ago>; 3],
        worker: Option<(&str, Ago)>,
    ) -> rusqlite::Result<()> {
        let args = json!([format!("order-{order}")]);
        self.task(Task {
            order,
            number: 1,
            step: "shop:checkout",
            kind: "orchestrator",
            state,
            args,
            outcome,
            retries: 0,
            times,
            worker,
            due: None,
            queue: None,
        })
    }

    fn settled(&self, order: u32, ago: Ago) -> rusqlite::Result<()> {
        let result = json!({"charge": format!("ch_{order}"), "receipt": "sent"});
        let times = [Some(ago), Some(ago), Some(ago - 3)];
        let worker = Some((WORKER, ago - 300));
        self.checkout(order, "completed", (Some(result.clone()), None), times)?;
        self.root(order, "completed", (Some(result), None), times, worker)?;
        for (number, step, queue, value) in [
            (2, "shop:charge", None, json!({"charge": format!("ch_{order}")})),
            (3, "shop:send_receipt", Some("mail"), json!("sent")),
        ] {
            let began = ago - i64::from(number) + 1;
            self.task(Task {
                order,
                number,
                step,
                kind: "activity",
                state: "completed",
                args: json!([format!("order-{order}")]),
                outcome: (Some(value), None),
                retries: 0,
                times: [Some(began), Some(began), Some(began - 1)],
                worker,
                due: None,
                queue,
            })?;
        }
        self.progress(
            order,
            &[
                ("shop:checkout", "running", Some(ago), None, None),
                ("shop:charge", "dispatched", None, None, None),
                ("shop:charge", "completed", Some(ago - 1), Some(ago - 2), None),
                ("shop:send_receipt", "dispatched", None, None, None),
                ("shop:send_receipt", "completed", Some(ago - 2), Some(ago - 3), None),
                ("shop:checkout", "completed", Some(ago), Some(ago - 3), None),
            ],
        )
    }

    fn failed(&self, order: u32, ago: Ago, class: &str, message: &str, retries: i64) -> rusqlite::Result<()> {
        let raised = |step: &str| {
            json!({
                "__type__": "Exception", "cls": class, "message": message, "attributes": {},
                "traceback": format!("Traceback (most recent call last):\n  File \"/srv/shop/flows.py\", line 41, in {step}\n    return await acme.charge(order)\n{class}: {message}\n"),
            })
        };
        let took = 8 * retries + 2;
        let times = [Some(ago), Some(ago), Some(ago - took)];
        let worker = Some((WORKER, ago - 300));
        self.checkout(order, "failed", (None, Some(raised("checkout"))), times)?;
        self.root(order, "failed", (None, Some(raised("checkout"))), times, worker)?;
        self.task(Task {
            order,
            number: 2,
            step: "shop:charge",
            kind: "activity",
            state: "failed",
            args: json!([format!("order-{order}")]),
            outcome: (None, Some(raised("charge"))),
            retries,
            times: [Some(ago), Some(ago - took + 2), Some(ago - took + 1)],
            worker,
            due: None,
            queue: None,
        })?;
        let mut steps =
            vec![("shop:checkout", "running", Some(ago), None, None), ("shop:charge", "dispatched", None, None, None)];
        for attempt in 0..=retries {
            steps.push(("shop:charge", "running", Some(ago - 8 * attempt), None, None));
            steps.push(("shop:charge", "failed", None, None, Some(message)));
        }
        steps.push(("shop:checkout", "failed", None, None, Some(message)));
        self.progress(order, &steps)
    }

    /// Its worker was killed in the middle of the charge.
    fn lost(&self, order: u32, ago: Ago) -> rusqlite::Result<()> {
        let times = [Some(ago), Some(ago), None];
        let worker = Some((KILLED, ago - 300));
        self.checkout(order, "running", (None, None), times)?;
        self.root(order, "running", (None, None), times, worker)?;
        self.task(Task {
            order,
            number: 2,
            step: "shop:charge",
            kind: "activity",
            state: "running",
            args: json!([format!("order-{order}")]),
            outcome: (None, None),
            retries: 0,
            times,
            worker,
            due: None,
            queue: None,
        })?;
        self.progress(
            order,
            &[("shop:checkout", "running", Some(ago), None, None), ("shop:charge", "running", Some(ago), None, None)],
        )
    }

    /// A large order that a person has to approve.
    fn waiting(&self, order: u32, ago: Ago) -> rusqlite::Result<()> {
        let times = [Some(ago), Some(ago), None];
        self.checkout(order, "running", (None, None), times)?;
        self.root(order, "running", (None, None), times, Some((WORKER, -7200)))?;
        self.task(Task {
            order,
            number: 2,
            step: "signal:approve",
            kind: "signal",
            state: "pending",
            args: json!([]),
            outcome: (None, None),
            retries: 0,
            times: [Some(ago), None, None],
            worker: None,
            due: None,
            queue: None,
        })?;
        self.db.execute("INSERT INTO execution_counters VALUES (?1, 'amount', 18400.0)", [id(order, 0)])?;
        self.db.execute(
            "INSERT INTO execution_state VALUES (?1, 'phase', ?2)",
            params![id(order, 0), br#""awaiting approval""#],
        )?;
        self.progress(
            order,
            &[
                ("shop:checkout", "running", Some(ago), None, None),
                ("signal:approve", "dispatched", None, None, Some("Waiting for signal")),
            ],
        )
    }

    /// It tries again when the provider is expected back.
    fn sleeping(&self, order: u32, ago: Ago) -> rusqlite::Result<()> {
        let times = [Some(ago), Some(ago), None];
        self.checkout(order, "running", (None, None), times)?;
        self.root(order, "running", (None, None), times, Some((WORKER, -7200)))?;
        self.task(Task {
            order,
            number: 2,
            step: "stent.sleep",
            kind: "activity",
            state: "pending",
            args: json!([3600.0]),
            outcome: (None, None),
            retries: 0,
            times: [Some(ago), None, None],
            worker: None,
            due: Some(ago - 3600),
            queue: None,
        })?;
        self.progress(
            order,
            &[
                ("shop:checkout", "running", Some(ago), None, None),
                ("stent.sleep", "dispatched", None, None, Some("Scheduled for 1:00:00")),
            ],
        )
    }

    fn pending(&self, order: u32, ago: Ago) -> rusqlite::Result<()> {
        let times = [Some(ago), None, None];
        self.checkout(order, "pending", (None, None), times)?;
        self.root(order, "pending", (None, None), times, None)
    }

    /// What the original tool's replay can leave: pending, and no task that would run it.
    fn stranded(&self, order: u32, ago: Ago) -> rusqlite::Result<()> {
        let result = json!({"charge": format!("ch_{order}"), "receipt": "sent"});
        self.checkout(order, "pending", (None, None), [Some(ago), None, None])?;
        self.root(
            order,
            "completed",
            (Some(result), None),
            [Some(ago), Some(ago), Some(ago - 2)],
            Some((WORKER, ago - 300)),
        )
    }
}
