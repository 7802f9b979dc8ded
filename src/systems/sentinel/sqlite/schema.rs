//! Empty tables: our own mirror of 0.5.0's schema.

use rusqlite::{Connection, TransactionBehavior};

use super::base::has;
use crate::port::{LEASES, RELATIONS};
use crate::record::NAME;
use sen_model::error::Result;
use sen_model::report::{Item, Outcome};
use sen_model::subject::{Kind, Subject};
use sen_stores::sqlite::{commit, error_from};

const CREATE: [(&str, &str); 3] = [
    (
        RELATIONS[0],
        "CREATE TABLE sentinel_token_seq (last_value INTEGER NOT NULL);
         INSERT INTO sentinel_token_seq VALUES (0);",
    ),
    (
        RELATIONS[1],
        "CREATE TABLE sentinel_leases (
             key TEXT NOT NULL PRIMARY KEY,
             owner_id TEXT NOT NULL,
             lease_expires_at INTEGER NOT NULL,
             lease_updated_at INTEGER,
             hard_expires_at INTEGER,
             execution_result TEXT CHECK (execution_result IS NULL OR json_valid(execution_result)),
             status TEXT NOT NULL DEFAULT 'claimed' CHECK (status IN ('claimed','executing','completed','reconciling')),
             fencing_token INTEGER NOT NULL DEFAULT 1,
             ttl_ms INTEGER NOT NULL DEFAULT 3000
         );
         CREATE INDEX idx_sentinel_expiry ON sentinel_leases (lease_expires_at);",
    ),
    (
        RELATIONS[2],
        "CREATE TABLE sentinel_events (
             id INTEGER PRIMARY KEY AUTOINCREMENT,
             key TEXT NOT NULL,
             event TEXT NOT NULL CHECK (event IN ('acquired','rejected','executing','completed','expired','reconciling','released','reset')),
             occurred_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
             fencing_token INTEGER,
             owner_id TEXT,
             metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata))
         );
         CREATE INDEX idx_sentinel_events ON sentinel_events (key, occurred_at, fencing_token);",
    ),
];

/// A new sequence begins above every token in use.
const RAISE: &str = "UPDATE sentinel_token_seq SET last_value =
    max(last_value, coalesce((SELECT max(fencing_token) FROM sentinel_leases), 0))";

/// Creates what is missing.
pub(super) fn init(db: &mut Connection) -> Result<Vec<Item>> {
    let writing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)?;
    let mut items = Vec::new();
    for (name, ddl) in CREATE {
        let exists = has(&writing, name)?;
        if !exists {
            writing.execute_batch(ddl).map_err(error_from)?;
        }
        let (outcome, detail) =
            if exists { (Outcome::AlreadyDone, "already there") } else { (Outcome::Applied, "created") };
        items.push(Item::new(Subject::new(NAME, Kind::Relation, name), outcome, detail));
        if name == LEASES && items[0].outcome == Outcome::Applied {
            writing.execute_batch(RAISE).map_err(error_from)?;
        }
    }
    commit(writing)?;
    Ok(items)
}
