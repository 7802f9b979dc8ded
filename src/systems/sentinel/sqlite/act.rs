//! The statements that change a lease in SQLite: the guards of the PostgreSQL ones, in one IMMEDIATE transaction.

use rusqlite::{Connection, OptionalExtension as _, ToSql, TransactionBehavior, named_params};

use super::base::{draw, now};
use crate::port::{Acted, LeaseAct, Verb};
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_stores::sqlite::{commit, error_from};

const TAKE_OVER: &str = "UPDATE sentinel_leases
    SET status = 'reconciling', lease_updated_at = :now, fencing_token = :fresh
    WHERE key = :key AND fencing_token = :token AND status = 'executing' AND lease_expires_at < :now
        AND (:early OR hard_expires_at IS NULL OR hard_expires_at <= :now)
        AND lease_updated_at IS :updated
    RETURNING fencing_token";

const COMPLETE: &str = "UPDATE sentinel_leases
    SET status = 'completed', execution_result = :result, lease_updated_at = :now
    WHERE key = :key AND fencing_token = :token AND status = 'reconciling'
    RETURNING fencing_token";

const RESET: &str = "UPDATE sentinel_leases
    SET status = 'claimed', lease_updated_at = :now, lease_expires_at = min(lease_expires_at, :now), fencing_token = :fresh
    WHERE key = :key AND fencing_token = :token AND status = 'reconciling'
    RETURNING fencing_token";

const RELEASE: &str = "DELETE FROM sentinel_leases
    WHERE key = :key AND fencing_token = :token AND status = 'claimed' AND lease_expires_at < :now
    RETURNING fencing_token";

const FORGET: &str = "DELETE FROM sentinel_leases
    WHERE key = :key AND fencing_token = :token AND status = 'completed'
    RETURNING fencing_token";

const EVENT: &str = "INSERT INTO sentinel_events (key, event, occurred_at, fencing_token, metadata)
    VALUES (:key, :event, :now, :token, :note)";

/// Makes one guarded change; nothing is written when the guard does not match, the sequence included.
pub(super) fn act(db: &mut Connection, act: &LeaseAct) -> Result<Option<Acted>> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let now = now(&writing)?.as_micros();
    let fresh = || draw(&writing, &act.key);
    let updated = act.updated.map(Timestamp::as_micros);
    let (key, seen) = (&act.key, act.token);
    let change = |statement: &str, bound: &[(&str, &dyn ToSql)]| {
        let mut all: Vec<(&str, &dyn ToSql)> = vec![(":key", key), (":token", &seen)];
        all.extend_from_slice(bound);
        writing.query_row(statement, all.as_slice(), |row| row.get::<_, i64>(0)).optional().map_err(error_from)
    };
    let token = match &act.verb {
        Verb::TakeOver { before_hard_limit } => change(
            TAKE_OVER,
            &[(":now", &now), (":fresh", &fresh()?), (":early", before_hard_limit), (":updated", &updated)],
        )?,
        Verb::Complete(result) => change(COMPLETE, &[(":now", &now), (":result", result)])?,
        Verb::Reset => change(RESET, &[(":now", &now), (":fresh", &fresh()?)])?,
        Verb::Release => change(RELEASE, &[(":now", &now)])?,
        Verb::Forget => change(FORGET, &[])?,
    };
    let Some(token) = token else { return Ok(None) };
    let event = named_params! {
        ":key": act.key, ":event": act.verb.event(), ":now": now, ":token": token, ":note": act.note,
    };
    writing.execute(EVENT, event).map_err(error_from)?;
    commit(writing)?;
    Ok(Some(Acted { token }))
}
