//! What every reader and writer of Sentinel's tables in SQLite begins with: the clock, tokens, and rows as values.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::port::{TOKENS, no_sequence};
use crate::record::{Lease, LeaseEvent, Status};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::time::Timestamp;
use sen_stores::sqlite::error_from;

const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000";

/// One lease, read by [`lease`].
pub(crate) const LOOK: &str =
    "SELECT key, owner_id, status, fencing_token, lease_expires_at, lease_updated_at, hard_expires_at,
        lease_expires_at > :now, hard_expires_at > :now, ttl_ms, execution_result
    FROM sentinel_leases WHERE key = :key";

/// A token larger than the last one drawn and than every token the key is known to have had: a sequence that was set back
/// would hand out a token again that a late worker holds.
const DRAW: &str = "UPDATE sentinel_token_seq SET last_value = 1 + max(last_value,
        coalesce((SELECT fencing_token FROM sentinel_leases WHERE key = :key), 0), :known)
    RETURNING last_value";

const KNOWN: &str = "SELECT coalesce(max(fencing_token), 0) FROM (SELECT fencing_token FROM sentinel_events
    WHERE key = :key ORDER BY occurred_at DESC LIMIT 100)";

/// Draws a fencing token for a key, within the transaction that uses it.
pub(crate) fn draw(writing: &Connection, key: &str) -> Result<i64> {
    if !has(writing, TOKENS)? {
        return Err(no_sequence());
    }
    let known: i64 = if has(writing, "sentinel_events")? {
        writing.query_row(KNOWN, named_params! {":key": key}, |row| row.get(0)).map_err(error_from)?
    } else {
        0
    };
    writing
        .query_row(DRAW, named_params! {":key": key, ":known": known}, |row| row.get(0))
        .optional()
        .map_err(error_from)?
        .ok_or_else(|| Error::new(ErrorKind::Unreadable, "sentinel_token_seq has no row"))
}

/// The clock.
pub(crate) fn now(db: &Connection) -> Result<Timestamp> {
    db.query_row(NOW, [], |row| row.get(0)).map(Timestamp::from_micros).map_err(error_from)
}

/// Whether a table is there.
pub(crate) fn has(db: &Connection, relation: &str) -> Result<bool> {
    db.query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [relation], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
        .map_err(error_from)
}

/// Every reader passes here first: a file without leases is not an SQL error but a missing system.
pub(crate) fn must_have_leases(db: &Connection) -> Result<()> {
    if has(db, "sentinel_leases")? {
        return Ok(());
    }
    Err(no_leases())
}

/// What a file without leases is said to be.
pub(crate) fn no_leases() -> Error {
    Error::new(ErrorKind::NoSystem, "this SQLite file has no Sentinel tables (sentinel_leases)")
        .with_hint("check the path in DATABASE_URL; `sen init` creates empty tables, `sen demo` a database to try")
}

/// SQLite columns hold values of any type: what does not fit is said, and the row goes on.
struct Cells<'row> {
    row: &'row Row<'row>,
    unreadable: Vec<String>,
}

impl Cells<'_> {
    fn complain(&mut self, name: &str, value: &ValueRef<'_>) {
        self.unreadable.push(format!("column {name} holds {}", value.data_type()));
    }

    fn int(&mut self, at: usize, name: &str) -> Option<i64> {
        match self.row.get_ref(at) {
            Ok(ValueRef::Integer(value)) => Some(value),
            Ok(ValueRef::Null) | Err(_) => None,
            Ok(other) => {
                self.complain(name, &other);
                None
            }
        }
    }

    fn flag(&mut self, at: usize) -> Option<bool> {
        match self.row.get_ref(at) {
            Ok(ValueRef::Integer(value)) => Some(value != 0),
            _ => None,
        }
    }

    fn time(&mut self, at: usize, name: &str) -> Option<Timestamp> {
        self.int(at, name).map(Timestamp::from_micros)
    }

    fn text(&mut self, at: usize, name: &str) -> Option<String> {
        match self.row.get_ref(at) {
            Ok(ValueRef::Text(bytes)) => {
                let text = String::from_utf8_lossy(bytes);
                if matches!(text, std::borrow::Cow::Owned(_)) {
                    self.unreadable.push(format!("column {name} is not UTF-8"));
                }
                Some(text.into_owned())
            }
            Ok(ValueRef::Null) | Err(_) => None,
            Ok(other) => {
                self.complain(name, &other);
                None
            }
        }
    }

    fn json(&mut self, at: usize, name: &str) -> Option<String> {
        let text = self.text(at, name)?;
        if crate::record::is_json(&text) {
            return Some(text);
        }
        self.unreadable.push(format!("column {name} is not valid JSON"));
        serde_json::to_string(&text).ok()
    }
}

/// A row of [`LOOK`].
pub(crate) fn lease(row: &Row<'_>) -> Lease {
    let mut cells = Cells { row, unreadable: Vec::new() };
    let status = cells.text(2, "status").unwrap_or_default();
    let lease_expires_at = cells.time(4, "lease_expires_at");
    let alive = if lease_expires_at.is_some() { cells.flag(7) } else { None };
    let hard_expires_at = cells.time(6, "hard_expires_at");
    let hard_alive = if hard_expires_at.is_some() { cells.flag(8) } else { None };
    Lease {
        key: cells.text(0, "key").unwrap_or_default(),
        owner_id: cells.text(1, "owner_id"),
        status: Status::parse(&status),
        fencing_token: cells.int(3, "fencing_token"),
        lease_expires_at,
        lease_updated_at: cells.time(5, "lease_updated_at"),
        hard_expires_at,
        alive,
        hard_alive,
        ttl_ms: cells.int(9, "ttl_ms"),
        execution_result: cells.json(10, "execution_result"),
        unreadable: cells.unreadable,
    }
}

/// A row of `sentinel_events`.
pub(super) fn event(row: &Row<'_>) -> LeaseEvent {
    let mut cells = Cells { row, unreadable: Vec::new() };
    LeaseEvent {
        id: cells.int(0, "id").unwrap_or_default(),
        key: cells.text(1, "key").unwrap_or_default(),
        event: cells.text(2, "event").unwrap_or_default(),
        occurred_at: cells.time(3, "occurred_at").unwrap_or(Timestamp::NEG_INFINITY),
        fencing_token: cells.int(4, "fencing_token"),
        owner_id: cells.text(5, "owner_id"),
        metadata: cells.json(6, "metadata"),
    }
}
