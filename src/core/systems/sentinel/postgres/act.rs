//! The statements that change a lease: one per change, each with its guard, its event and the record of who and why.
//!
//! Parameters: $1 key, $2 token seen, $3 result, $4 note, $5 event, $6 whether the hard limit may be ahead.

use tokio_postgres::types::Type;

use crate::sql::Sql;
use crate::stores::postgres::outcome::Proof;
use crate::systems::sentinel::port::{LeaseAct, Verb};

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

/// Parameters of a proof: $4 key, $5 token seen, $6 event, $7 act, $8 token now in force, $9 status as seen, $10 status as
/// written (NULL when the row goes).
const NOTED: &str = "CASE WHEN EXISTS (SELECT FROM sentinel_events
    WHERE key = $4 AND metadata ->> 'operation' = $2 AND metadata ->> 'act' = $7) THEN 'landed'";

/// No other transaction wrote this event of this token at this very moment.
const TOLD: &str = "CASE WHEN EXISTS (SELECT FROM sentinel_events WHERE key = $4 AND event = $6 AND fencing_token = $8
    AND occurred_at::timestamptz = timestamptz 'epoch' + $3::int8 * interval '1 microsecond') THEN 'landed'";

/// Nor this row. Of one that goes nothing is left, so that another could have removed it as well.
const WRITTEN: &str =
    "CASE WHEN EXISTS (SELECT FROM sentinel_leases WHERE key = $4 AND fencing_token = $8 AND status = $10
        AND lease_updated_at::timestamptz = timestamptz 'epoch' + $3::int8 * interval '1 microsecond') THEN 'landed'
    WHEN $10::text IS NULL AND NOT EXISTS (SELECT FROM sentinel_leases WHERE key = $4) THEN 'effect'";

/// A row never comes back to a status that it left with this token.
const AS_SEEN: &str = " WHEN EXISTS (SELECT FROM sentinel_leases WHERE key = $4 AND fencing_token = $5 AND status = $9)
    THEN 'absent' END";

/// How a change shows once it is committed.
pub(super) fn proof(act: &LeaseAct, recording: Recording, token: i64) -> Proof {
    let (from, to) = match &act.verb {
        Verb::TakeOver { .. } => ("executing", Some("reconciling")),
        Verb::Complete(_) => ("reconciling", Some("completed")),
        Verb::Reset => ("reconciling", Some("claimed")),
        Verb::Release => ("claimed", None),
        Verb::Forget => ("completed", None),
    };
    let head = match recording {
        Recording::Nowhere => WRITTEN,
        Recording::WithoutNote => TOLD,
        Recording::WithNote => NOTED,
    };
    Proof::new(Sql::new(head).then(AS_SEEN))
        .with(act.key.clone(), Type::TEXT)
        .with(act.token, Type::INT8)
        .with(act.verb.event(), Type::TEXT)
        .with(act.verb.name(), Type::TEXT)
        .with(token, Type::INT8)
        .with(from, Type::TEXT)
        .with(to, Type::TEXT)
}
