//! The sagas of `sen demo`: checkouts of the same shop, some minutes after its payment provider went away. Written straight
//! into the tables SQLAlchemy would make of the library's models; times are relative to the moment of making.

use rusqlite::{Transaction, params};
use serde_json::{Value, json};

use sen_model::error::Result;
use sen_stores::sqlite::{Sqlite, error_from};

/// The aggregation the demo shows first: its worker was killed between two steps.
pub const STUCK: &str = "order-7731";

const TABLES: &str = "
CREATE TABLE checkout_saga (
    id UUID NOT NULL, aggregation_id VARCHAR(255) NOT NULL, trace_id VARCHAR(255) NOT NULL, saga_name VARCHAR(255) NOT NULL,
    status VARCHAR(22) NOT NULL, current_step_index INTEGER NOT NULL, step_execution_token UUID, context JSON NOT NULL,
    deadline_at DATETIME, retry_counter INTEGER NOT NULL, last_error TEXT,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_checkout_saga_aggregation_id ON checkout_saga (aggregation_id);
CREATE INDEX ix_checkout_saga_trace_id ON checkout_saga (trace_id);
CREATE TABLE checkout_saga_history (
    id INTEGER NOT NULL, saga_id UUID NOT NULL, timestamp DATETIME NOT NULL, phase VARCHAR(10) NOT NULL,
    status VARCHAR(7) NOT NULL, step_id VARCHAR(255) NOT NULL, step_name VARCHAR(255) NOT NULL, attempt INTEGER NOT NULL,
    token UUID NOT NULL, input JSON, output JSON, error TEXT, skipped BOOLEAN NOT NULL,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (id), FOREIGN KEY(saga_id) REFERENCES checkout_saga (id) ON DELETE CASCADE
);
CREATE INDEX ix_checkout_saga_history_saga_id ON checkout_saga_history (saga_id);
CREATE TABLE checkout_outbox (
    id UUID NOT NULL, saga_id UUID NOT NULL, aggregation_id VARCHAR(255) NOT NULL, step_id VARCHAR(255) NOT NULL,
    trace_id VARCHAR(255) NOT NULL, topic VARCHAR(255) NOT NULL, message_key VARCHAR(255), payload JSON NOT NULL,
    headers JSON NOT NULL, status VARCHAR(11) NOT NULL, attempts INTEGER NOT NULL,
    next_attempt_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, last_error TEXT, sent_at DATETIME,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE checkout_inbox (
    id UUID NOT NULL, event_id VARCHAR(255) NOT NULL, saga_id UUID, aggregation_id VARCHAR(255), event_type VARCHAR(255),
    correlation_id VARCHAR(255), payload JSON NOT NULL, source VARCHAR(255), occurred_at DATETIME,
    status VARCHAR(10) NOT NULL, attempts INTEGER NOT NULL, next_attempt_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL,
    processed_at DATETIME, last_error TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (id), CONSTRAINT uq_inbox_event_id UNIQUE (event_id)
);";

/// A moment this many seconds from now, as SQLAlchemy writes it.
const AT: &str = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now', ?1 || ' seconds') || '000'";

const STEPS: [(&str, &str); 3] = [("reserve", "ReserveStock"), ("charge", "ChargeCard"), ("ship", "BookParcel")];

/// One saga of the demo. Spans are seconds from now; negative is past.
struct Tale {
    order: u32,
    status: &'static str,
    began: i64,
    updated: i64,
    deadline: Option<i64>,
    /// Steps that are done.
    done: usize,
    /// Steps that were rolled back.
    undone: usize,
    /// What went wrong with the step after those.
    error: Option<&'static str>,
    retries: u32,
    awaits: Option<&'static str>,
}

const fn tale(order: u32, status: &'static str, began: i64, updated: i64) -> Tale {
    Tale { order, status, began, updated, deadline: None, done: 0, undone: 0, error: None, retries: 0, awaits: None }
}

const AWAY: &str = "ConnectError('api.acme-pay.example: connection refused')";
const LATE: &str = "TimeoutError('the carrier did not answer in 10 s')";

const TALES: [Tale; 9] = [
    Tale { done: 3, ..tale(7701, "COMPLETED", -95 * 60, -95 * 60 + 2) },
    Tale { done: 3, ..tale(7702, "COMPLETED", -93 * 60, -93 * 60 + 3) },
    Tale { done: 3, ..tale(7718, "COMPLETED", -55 * 60, -31 * 60) },
    Tale { done: 1, ..tale(7731, "RUNNING", -19 * 60, -18 * 60) },
    Tale { done: 1, error: Some(AWAY), retries: 3, deadline: Some(240), ..tale(7735, "SUSPENDED", -18 * 60, -60) },
    Tale { done: 1, error: Some(AWAY), retries: 6, ..tale(7736, "FAILED", -16 * 60, -9 * 60) },
    Tale { done: 1, awaits: Some("payment.confirmed"), ..tale(7740, "SUSPENDED", -14 * 60, -14 * 60) },
    Tale { done: 2, undone: 2, error: Some(LATE), retries: 1, ..tale(7742, "COMPENSATED", -12 * 60, -11 * 60) },
    Tale { done: 2, undone: 1, error: Some(LATE), retries: 1, ..tale(7744, "FAILED", -10 * 60, -8 * 60) },
];

/// Creates the tables and fills them, in one transaction.
///
/// # Errors
/// What SQLite reports.
pub async fn fill(db: &Sqlite) -> Result<()> {
    db.run(|db| {
        let writing = db.transaction().map_err(error_from)?;
        tell(&writing).map_err(error_from)?;
        writing.commit().map_err(error_from)
    })
    .await
}

/// The same ids in every demo, so that commands can be passed on.
fn id(kind: u8, order: u32) -> String {
    format!("{order:08x}d{kind:03x}4e4ea0{order:06x}fadedcab1e")[..32].to_owned()
}

fn at(db: &Transaction<'_>, seconds: i64) -> rusqlite::Result<String> {
    db.prepare_cached(AT)?.query_row([seconds], |row| row.get(0))
}

fn output(step: usize, order: u32) -> Value {
    match step {
        0 => json!({"reservation": format!("res-{order}"), "items": 2}),
        1 => json!({"charge": format!("ch_{order}"), "amount": 42.5, "currency": "EUR"}),
        _ => json!({"parcel": format!("P{order}DE")}),
    }
}

fn tell(db: &Transaction<'_>) -> rusqlite::Result<()> {
    db.execute_batch(TABLES)?;
    for tale in &TALES {
        saga(db, tale)?;
    }
    let broker = "ConnectionError('broker-1:9092 is away')";
    message(db, 7718, "DISPATCHING", -31 * 60, 0, None)?;
    message(db, 7701, "SENT", -95 * 60, 0, None)?;
    message(db, 7702, "FAILED", -4 * 60, 17, Some(broker))?;
    message(db, 7742, "FAILED", -3 * 60, 9, Some(broker))?;
    db.execute(
        "INSERT INTO checkout_inbox (id, event_id, aggregation_id, event_type, correlation_id, payload, source, status,
            attempts, next_attempt_at, last_error, created_at, updated_at)
        VALUES (?1, 'evt_1Qm8c2', 'order-7690', 'payment.confirmed', 'order-7690', '{\"charge\": \"ch_7690\"}',
            'payments', 'FAILED', 30, ?2, 'Active saga for aggregation_id not found', ?3, ?2)",
        params![id(3, 7690), at(db, -20)?, at(db, -1200)?],
    )?;
    Ok(())
}

fn saga(db: &Transaction<'_>, tale: &Tale) -> rusqlite::Result<()> {
    let (own, token, about) = (id(1, tale.order), id(9, tale.order), format!("order-{}", tale.order));
    let outputs: serde_json::Map<String, Value> =
        (0..tale.done).map(|step| (STEPS[step].0.to_owned(), output(step, tale.order))).collect();
    let context = json!({
        "saga_id": uuid::Uuid::parse_str(&own).map(|id| id.to_string()).unwrap_or_default(), "saga_name": "checkout",
        "initial_data": {"order": about, "amount": 42.5, "card_token": "tok_visa"}, "step_outputs": outputs, "events": [],
        "latest_event": null, "latest_event_meta": {}, "processed_event_ids": [],
        "awaiting_event_types": tale.awaits.into_iter().collect::<Vec<_>>(),
        "awaiting_correlation_id": tale.awaits.map(|_| &about), "awaiting_until": null, "notify_inbox": [],
    });
    let failed = match (tale.status, tale.undone) {
        ("COMPENSATED", _) => Some("Compensation completed successfully".to_owned()),
        ("FAILED", 1) => Some("Compensation failed for step 'reserve': KeyError('res-7744')".to_owned()),
        _ => tale.error.map(str::to_owned),
    };
    let deadline = tale.deadline.map(|seconds| at(db, seconds)).transpose()?;
    db.execute(
        "INSERT INTO checkout_saga VALUES (?1, ?2, ?3, 'checkout', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            own,
            about,
            format!("trace-{}", tale.order),
            tale.status,
            (tale.done - tale.undone) as i64,
            token,
            context.to_string(),
            deadline,
            tale.retries,
            failed,
            at(db, tale.began)?,
            at(db, tale.updated)?,
        ],
    )?;
    let input = json!({"order": about, "amount": 42.5});
    let mut insert = db.prepare_cached(
        "INSERT INTO checkout_saga_history (saga_id, timestamp, phase, status, step_id, step_name, attempt, token, input,
            output, error, skipped) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0)",
    )?;
    let mut seconds = tale.began;
    let mut enter = |phase: &str, status: &str, step: usize, attempt: u32, error: Option<&str>| {
        seconds = (seconds + 1).min(tale.updated);
        let made = if status == "SUCCESS" { output(step, tale.order) } else { Value::Null };
        let (step_id, class) = STEPS[step];
        let entry = params![
            own,
            at(db, seconds)?,
            phase,
            status,
            step_id,
            class,
            attempt,
            token,
            input.to_string(),
            made.to_string(),
            error
        ];
        insert.execute(entry)
    };
    for step in 0..tale.done {
        enter("EXECUTE", "SUCCESS", step, 1, None)?;
    }
    for attempt in 1..=tale.retries {
        enter("EXECUTE", "ERROR", tale.done.min(2), attempt, tale.error)?;
    }
    if tale.awaits.is_some() {
        enter("EXECUTE", "WAITING", tale.done, 1, None)?;
    }
    for step in 0..tale.undone {
        enter("COMPENSATE", "SUCCESS", tale.done - 1 - step, 1, None)?;
    }
    if tale.status == "FAILED" && tale.undone == 1 {
        enter("COMPENSATE", "ERROR", 0, 1, Some("KeyError('res-7744')"))?;
    }
    Ok(())
}

fn message(
    db: &Transaction<'_>,
    order: u32,
    status: &str,
    updated: i64,
    attempts: u32,
    error: Option<&str>,
) -> rusqlite::Result<()> {
    let changed = at(db, updated)?;
    let sent = (status == "SENT").then_some(&changed);
    let about = format!("order-{order}");
    let payload = json!({"order": about, "charge": format!("ch_{order}")});
    db.execute(
        "INSERT INTO checkout_outbox VALUES (?1, ?2, ?3, 'charge', ?4, 'orders.charged', ?3, ?5, '{}', ?6, ?7, ?8, ?9, ?10,
            ?8, ?8)",
        params![id(2, order), id(1, order), about, format!("trace-{order}"), payload.to_string(), status, attempts, changed,
            error, sent],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_that_sqlite_takes_for_no_number() {
        for kind in 1..4 {
            for order in [7690, 7701, 7744] {
                let id = id(kind, order);
                assert!(uuid::Uuid::parse_str(&id).is_ok() && id.contains("faded"), "{id}");
            }
        }
        assert_ne!(id(1, 7701), id(2, 7701));
    }
}
