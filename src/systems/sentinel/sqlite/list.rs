//! Lists of leases, filtered and ordered by SQLite and handed on in parts.

use rusqlite::{Connection, named_params};
use tokio::sync::mpsc;

use super::base::lease;
use crate::port::{Bound, LeaseChunk, LeaseQuery, Order};
use sen_model::error::Result;
use sen_model::time::Timestamp;
use sen_stores::sqlite::error_from;

const LIST: &str = "SELECT key, owner_id, status, fencing_token, lease_expires_at, lease_updated_at, hard_expires_at,
        lease_expires_at > :now, hard_expires_at > :now, ttl_ms, CASE WHEN :payloads THEN execution_result END
    FROM sentinel_leases
    WHERE (:states IS NULL OR EXISTS (SELECT 1 FROM json_each(:states) AS wanted WHERE wanted.value IN (status,
            CASE WHEN status IN ('reconciling', 'completed') THEN status
                 WHEN status IS NULL OR status NOT IN ('claimed', 'executing') OR typeof(lease_expires_at) <> 'integer'
                    THEN 'unreadable'
                 WHEN status = 'claimed' THEN CASE WHEN lease_expires_at > :now THEN 'held' ELSE 'free' END
                 WHEN lease_expires_at > :now THEN 'alive'
                 WHEN typeof(hard_expires_at) = 'integer' AND hard_expires_at > :now THEN 'stalled' ELSE 'uncertain' END)))
      AND (:prefix IS NULL OR substr(key, 1, length(:prefix)) = :prefix)
      AND (:owner IS NULL OR substr(owner_id, 1, length(:owner)) = :owner)
      AND (NOT :expired OR lease_expires_at <= :now)
      AND (NOT :alive OR lease_expires_at > :now)
      AND (:since IS NULL OR coalesce(lease_updated_at, lease_expires_at) >= :since)
      AND (:until IS NULL OR coalesce(lease_updated_at, lease_expires_at) < :until)
      AND (:older IS NULL OR coalesce(lease_updated_at, lease_expires_at) < :older)";

const fn order_by(order: Order, descending: bool) -> &'static str {
    match (order, descending) {
        (Order::Stored, false) => "",
        (Order::Stored, true) => " ORDER BY rowid DESC",
        (Order::Expires, false) => " ORDER BY lease_expires_at, key",
        (Order::Expires, true) => " ORDER BY lease_expires_at DESC, key DESC",
        (Order::Updated, false) => " ORDER BY coalesce(lease_updated_at, lease_expires_at), key",
        (Order::Updated, true) => " ORDER BY coalesce(lease_updated_at, lease_expires_at) DESC, key DESC",
        (Order::Token, false) => " ORDER BY fencing_token, key",
        (Order::Token, true) => " ORDER BY fencing_token DESC, key DESC",
        (Order::Key, false) => " ORDER BY key",
        (Order::Key, true) => " ORDER BY key DESC",
    }
}

/// Sends the leases that fit, until nobody listens any more.
pub(super) fn stream_leases(
    db: &Connection,
    query: &LeaseQuery,
    now: Timestamp,
    out: &mpsc::Sender<Result<LeaseChunk>>,
) -> Result<()> {
    let micros = now.as_micros();
    let moment = |bound: Bound| bound.at.or(bound.ago.map(|ago| micros.saturating_sub(ago)));
    let states = (!query.states.is_empty()).then(|| serde_json::Value::from(query.states.clone()).to_string());
    let [until, older] = query.upper_bounds().map(moment);
    let text = format!("{LIST}{} LIMIT :limit", order_by(query.order, query.descending));
    let mut statement = db.prepare(&text).map_err(error_from)?;
    let mut rows = statement
        .query(named_params! {
            ":now": micros, ":payloads": query.payloads, ":states": states, ":prefix": query.prefix, ":owner": query.owner,
            ":expired": query.expired, ":alive": query.alive, ":since": moment(query.lower_bound()), ":until": until, ":older": older,
            ":limit": query.limit.unwrap_or(-1),
        })
        .map_err(error_from)?;
    let mut chunk = Vec::new();
    while let Some(row) = rows.next().map_err(error_from)? {
        chunk.push(lease(row));
        if chunk.len() == 256 && out.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
            return Ok(());
        }
    }
    drop(out.blocking_send(Ok(chunk)));
    Ok(())
}
