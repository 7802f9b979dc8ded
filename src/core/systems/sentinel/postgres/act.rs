//! The statements that change a lease: one per change, each with its guard, its event and the record of who and why.
//!
//! Parameters: $1 key, $2 token seen, $3 result, $4 note, $5 event, $6 whether the hard limit may be ahead.

use crate::sql::Sql;
use crate::systems::sentinel::port::Verb;

/// Where the record of an act can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    /// No events table (0.4.x).
    Nowhere,
    /// Events without `metadata` (Django's migrations).
    WithoutNote,
    /// Events with `metadata` (0.5.0).
    WithNote,
}

const TAKE_OVER: &str = "UPDATE sentinel_leases
    SET status = 'reconciling', lease_updated_at = now(), fencing_token = nextval('sentinel_token_seq')
    WHERE key = $1 AND fencing_token = $2 AND status = 'executing' AND lease_expires_at < now()
        AND ($6 OR hard_expires_at IS NULL OR hard_expires_at <= now())
    RETURNING fencing_token";

const COMPLETE: &str = "UPDATE sentinel_leases
    SET status = 'completed', execution_result = $3::jsonb, lease_updated_at = now()
    WHERE key = $1 AND fencing_token = $2 AND status = 'reconciling'
    RETURNING fencing_token";

/// The expiry moves to now: a key whose lease was taken over before its end must not look held.
const RESET: &str = "UPDATE sentinel_leases
    SET status = 'claimed', lease_updated_at = now(), lease_expires_at = least(lease_expires_at, now()),
        fencing_token = nextval('sentinel_token_seq')
    WHERE key = $1 AND fencing_token = $2 AND status = 'reconciling'
    RETURNING fencing_token";

const RELEASE: &str = "DELETE FROM sentinel_leases
    WHERE key = $1 AND fencing_token = $2 AND status = 'claimed' AND lease_expires_at < now()
    RETURNING fencing_token";

const FORGET: &str = "DELETE FROM sentinel_leases
    WHERE key = $1 AND fencing_token = $2 AND status = 'completed'
    RETURNING fencing_token";

/// An operator's event names no owner: that is how the library's users tell it from a worker's.
const WITH_NOTE: &str = "), noted AS (INSERT INTO sentinel_events (key, event, fencing_token, metadata)
    SELECT $1, $5, fencing_token, jsonb_build_object('db_user', session_user) || $4::jsonb FROM changed)
    SELECT fencing_token::int8 FROM changed";

const WITHOUT_NOTE: &str = "), noted AS (INSERT INTO sentinel_events (key, event, fencing_token)
    SELECT $1, $5, fencing_token FROM changed)
    SELECT fencing_token::int8 FROM changed";

const NOWHERE: &str = ") SELECT fencing_token::int8 FROM changed";

/// The statement for a change: it returns the token now in force, or no row when the guard did not match.
pub(super) fn statement(verb: &Verb, recording: Recording) -> Sql {
    let change = match verb {
        Verb::TakeOver { .. } => TAKE_OVER,
        Verb::Complete(_) => COMPLETE,
        Verb::Reset => RESET,
        Verb::Release => RELEASE,
        Verb::Forget => FORGET,
    };
    let tail = match recording {
        Recording::Nowhere => NOWHERE,
        Recording::WithoutNote => WITHOUT_NOTE,
        Recording::WithNote => WITH_NOTE,
    };
    Sql::new("WITH changed AS (").then(change).then(tail)
}
