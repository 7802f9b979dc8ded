//! The statements that change a lease in SQLite: the guards of the PostgreSQL ones, in one IMMEDIATE transaction.

use rusqlite::{Connection, OptionalExtension as _, ToSql, TransactionBehavior, named_params, params};

use super::base::{draw, now};
use crate::port::{Acted, KEPT, LEASES, LeaseAct, Verb};
use sen_model::error::Result;
use sen_model::journal::Changes;
use sen_model::rows::{RowChange, Seen, changes};
use sen_model::time::Timestamp;
use sen_model::undo::Standing;
use sen_stores::sql::Sql;
use sen_stores::sqlite::{commit_keeping, error_from, part, restore};

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

/// The row of a lease, for an undo.
const ROW: &str = "SELECT * FROM sentinel_leases WHERE key = ?1";

/// A claim of the key that was told since.
const CLAIMED: &str = "SELECT 1 FROM sentinel_events WHERE key = ?1 AND fencing_token > ?2 LIMIT 1";

const EVENT: &str = "INSERT INTO sentinel_events (key, event, occurred_at, fencing_token, metadata)
    VALUES (:key, :event, :now, :token, :note)";

/// Makes one guarded change; nothing is written when the guard does not match, the sequence included.
pub(super) fn act(db: &mut Connection, act: &LeaseAct) -> Result<Option<Acted>> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let now = now(&writing)?.as_micros();
    let fresh = || draw(&writing, &act.key);
    let updated = act.updated.map(Timestamp::as_micros);
    let (key, seen) = (&act.key, act.token);
    let row = |seen: &mut Seen| restore::look(&writing, LEASES, ROW, &[key], seen);
    let (mut before, mut after) = (Seen::new(), Seen::new());
    row(&mut before)?;
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
    row(&mut after)?;
    let mut changed = Changes::from([(0, changes(&KEPT, before, after))]);
    commit_keeping(writing, &changed)?;
    Ok(Some(Acted { token, changes: changed.remove(&0).unwrap_or_default() }))
}

/// The tables whose rows are put back.
fn tables() -> [restore::Target<'static>; 1] {
    [restore::Target { name: LEASES, sql: Sql::new(LEASES), key: &["key"] }]
}

/// How the rows of each of these stand.
pub(super) fn standings(db: &mut Connection, targets: &[Vec<RowChange>]) -> Result<Vec<Standing>> {
    let snapshot = db.transaction().map_err(error_from)?;
    targets.iter().map(|changes| restore::standing(&snapshot, &tables(), changes)).collect()
}

/// A lease whose rows are put back, owned, for the thread of the connection.
pub(super) struct Back {
    pub(super) key: String,
    pub(super) changes: Vec<RowChange>,
    pub(super) event: &'static str,
    pub(super) token: i64,
    pub(super) above: i64,
    pub(super) note: String,
}

/// Puts back the rows of those of these that are as they were left; which.
pub(super) fn take_back(db: &mut Connection, targets: &[Back]) -> Result<Vec<bool>> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let now = now(&writing)?.as_micros();
    let mut done = Vec::with_capacity(targets.len());
    for back in targets {
        let as_left = restore::standing(&writing, &tables(), &back.changes)? == Standing::AsLeft;
        let claimed =
            writing.query_row(CLAIMED, params![back.key, back.above], |_| Ok(())).optional().map_err(error_from)?;
        if !as_left || claimed.is_some() {
            done.push(false);
            continue;
        }
        let whole = part(&writing, || {
            restore::put_back(&writing, &tables(), &back.changes)?;
            let event = named_params! {
                ":key": back.key, ":event": back.event, ":now": now, ":token": back.token, ":note": back.note,
            };
            writing.execute(EVENT, event).map_err(error_from)
        });
        done.push(whole?.is_some());
    }
    let reversed = |(at, back): (usize, &Back)| (at, back.changes.iter().map(RowChange::reversed).collect());
    let changed = targets.iter().enumerate().filter(|(at, _)| done[*at]).map(reversed).collect();
    commit_keeping(writing, &changed)?;
    Ok(done)
}
