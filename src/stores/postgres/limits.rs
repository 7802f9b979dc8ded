//! The limits that a writing transaction sets for itself.

use std::time::Duration;

/// The limits keep a write from queueing behind somebody's lock and a vanished client from holding one.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// How long the statements before COMMIT may take, as BEGIN sets it.
pub(super) const STATEMENT: Duration = Duration::from_secs(30);
