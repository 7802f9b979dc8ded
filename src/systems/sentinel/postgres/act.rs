//! The statements that change a lease: one per change, each with its guard, its event and the record of who and why.
//!
//! Parameters: $1 key, $2 token seen, $3 result, $4 note, $5 event, $6 whether the hard limit may be ahead, $7 last change
//! seen.
//!
//! A change that needs a new fencing token draws it first and is made only if that token is larger than every token the key
//! is known to have had: a sequence that was set back (a restore of the table alone, a cut-over to a replica) would hand out
//! a token again that a late worker holds.

use tokio_postgres::types::Type;

use crate::port::{LeaseAct, Verb};
use sen_stores::postgres::outcome::Proof;
use sen_stores::sql::Sql;

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
    SET status = 'reconciling', lease_updated_at = now(), fencing_token = drawn.token FROM drawn
    WHERE key = $1 AND fencing_token = $2 AND status = 'executing' AND lease_expires_at < now()
        AND ($6 OR hard_expires_at IS NULL OR hard_expires_at <= now())
        AND lease_updated_at::timestamptz IS NOT DISTINCT FROM $7::timestamptz
        AND drawn.token > fencing_token";

const COMPLETE: &str = "UPDATE sentinel_leases
    SET status = 'completed', execution_result = $3::jsonb, lease_updated_at = now()
    WHERE key = $1 AND fencing_token = $2 AND status = 'reconciling'";

/// The expiry moves to now: a key whose lease was taken over before its end must not look held.
const RESET: &str = "UPDATE sentinel_leases
    SET status = 'claimed', lease_updated_at = now(), lease_expires_at = least(lease_expires_at, now()),
        fencing_token = drawn.token FROM drawn
    WHERE key = $1 AND fencing_token = $2 AND status = 'reconciling' AND drawn.token > fencing_token";

const RELEASE: &str = "DELETE FROM sentinel_leases
    WHERE key = $1 AND fencing_token = $2 AND status = 'claimed' AND lease_expires_at < now()";

const FORGET: &str = "DELETE FROM sentinel_leases
    WHERE key = $1 AND fencing_token = $2 AND status = 'completed'";

const DRAWN: &str = "drawn AS (SELECT nextval('sentinel_token_seq') AS token), ";

/// The newest events of the key know its tokens even when the row was deleted and made anew.
const ABOVE_EVENTS: &str = "
        AND drawn.token > coalesce((SELECT max(newest.fencing_token) FROM (SELECT fencing_token FROM sentinel_events
            WHERE key = $1 ORDER BY occurred_at DESC LIMIT 100) AS newest), 0)";

/// $1 key, $2 token seen, $3 status seen: the next token and the largest known, while the row is as it was seen.
const DRAW: &str = "SELECT nextval('sentinel_token_seq')::int8, known.token FROM (
    SELECT greatest(fencing_token";
const DRAW_EVENTS: &str = ", (SELECT max(newest.fencing_token) FROM (SELECT fencing_token FROM sentinel_events
        WHERE key = $1 ORDER BY occurred_at DESC LIMIT 100) AS newest)";
const DRAW_TAIL: &str = ")::int8 AS token FROM sentinel_leases
    WHERE key = $1 AND fencing_token = $2 AND status = $3 OFFSET 0) AS known";

/// An operator's event names no owner: that is how the library's users tell it from a worker's.
const WITH_NOTE: &str =
    " RETURNING fencing_token), noted AS (INSERT INTO sentinel_events (key, event, fencing_token, metadata)
    SELECT $1, $5, fencing_token, jsonb_build_object('db_user', session_user) || $4::jsonb FROM changed)
    SELECT fencing_token::int8 FROM changed";

const WITHOUT_NOTE: &str =
    " RETURNING fencing_token), noted AS (INSERT INTO sentinel_events (key, event, fencing_token)
    SELECT $1, $5, fencing_token FROM changed)
    SELECT fencing_token::int8 FROM changed";

const NOWHERE: &str = " RETURNING fencing_token) SELECT fencing_token::int8 FROM changed";

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
    let (drawn, above) = match (verb.draws(), recording) {
        (false, _) => ("", ""),
        (true, Recording::Nowhere) => (DRAWN, ""),
        (true, _) => (DRAWN, ABOVE_EVENTS),
    };
    Sql::new("WITH ").then(drawn).then("changed AS (").then(change).then(above).then(tail)
}

/// The row of a lease, for an undo. $1 key.
pub(super) static ROW: Sql =
    Sql::new("SELECT 0::int8, 'sentinel_leases', row_to_json(l)::text FROM sentinel_leases AS l WHERE l.key = $1");

/// No claim of the key has been told since; $3 notes.
pub(super) const NOT_CLAIMED: &str = " AND NOT EXISTS (SELECT 1 FROM sentinel_events AS e
    WHERE e.key = p.note::jsonb ->> 'key' AND e.fencing_token > (p.note::jsonb ->> 'above')::int8)";

pub(super) const TOLD_BACK: &str = ", noted AS (INSERT INTO sentinel_events (key, event, fencing_token, metadata)
    SELECT f.note::jsonb ->> 'key', f.note::jsonb ->> 'event', (f.note::jsonb ->> 'token')::int8,
        jsonb_build_object('db_user', session_user) || (f.note::jsonb -> 'note') FROM fit AS f)";
pub(super) const TOLD_BACK_WITHOUT_NOTE: &str = ", noted AS (INSERT INTO sentinel_events (key, event, fencing_token)
    SELECT f.note::jsonb ->> 'key', f.note::jsonb ->> 'event', (f.note::jsonb ->> 'token')::int8 FROM fit AS f)";

/// $4 keys. Without a record nothing shows whose the rows are.
pub(super) static BACK: Sql = Sql::new(
    "CASE WHEN EXISTS (SELECT FROM sentinel_events WHERE key = ANY($4::text[]) AND metadata ->> 'operation' = $2)
        THEN 'landed' ELSE 'absent' END",
);

/// Draws a token for a key whose row is still as it was seen, beside the largest token it is known to have had.
pub(super) fn draw(recording: Recording) -> Sql {
    let events = if recording == Recording::Nowhere { "" } else { DRAW_EVENTS };
    Sql::new(DRAW).then(events).then(DRAW_TAIL)
}

/// Parameters of a proof: $4 key, $5 token seen, $6 event, $7 act, $8 token now in force, $9 status as seen, $10 status as
/// written (NULL when the row goes).
const NOTED: &str = "CASE WHEN EXISTS (SELECT FROM sentinel_events
    WHERE key = $4 AND metadata ->> 'operation' = $2 AND metadata ->> 'act' = $7) THEN 'landed'";

/// No other transaction wrote this event of this token at this very moment.
const TOLD: &str = "CASE WHEN EXISTS (SELECT FROM sentinel_events WHERE key = $4 AND event = $6 AND fencing_token = $8
    AND occurred_at::timestamptz = timestamptz 'epoch' + $3::int8 * interval '1 microsecond') THEN 'landed'";

/// Nor this row. Of one that goes nothing is left: another could have removed it as well, so that proves nothing.
const WRITTEN: &str =
    "CASE WHEN EXISTS (SELECT FROM sentinel_leases WHERE key = $4 AND fencing_token = $8 AND status = $10
        AND lease_updated_at::timestamptz = timestamptz 'epoch' + $3::int8 * interval '1 microsecond') THEN 'landed'";

/// A row never comes back to a status that it left with this token.
const AS_SEEN: &str = " WHEN EXISTS (SELECT FROM sentinel_leases WHERE key = $4 AND fencing_token = $5 AND status = $9)
    THEN 'absent' END";

/// How a change shows once it is committed.
pub(super) fn proof(act: &LeaseAct, recording: Recording, token: i64) -> Proof {
    let to = match &act.verb {
        Verb::TakeOver { .. } => Some("reconciling"),
        Verb::Complete(_) => Some("completed"),
        Verb::Reset => Some("claimed"),
        Verb::Release | Verb::Forget => None,
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
        .with(act.verb.required(), Type::TEXT)
        .with(to, Type::TEXT)
}
