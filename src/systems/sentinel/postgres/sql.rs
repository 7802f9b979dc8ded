//! The statements that read.
//!
//! Versions differ by columns. One statement serves them all without asking first: in
//! `FROM (SELECT NULL::int AS ttl_ms) absent, LATERAL (SELECT ttl_ms FROM sentinel_leases)` the inner name means the
//! table's column where there is one and the outer NULL where there is none. Times are cast to timestamptz, which for the
//! plain TIMESTAMP of 0.4.x means the session's zone, the same that made them; alive and expired are compared by the
//! server, as the library does.

use crate::port::{LeaseQuery, Order};
use sen_stores::sql::Sql;

macro_rules! leases {
    ($result:literal, $rest:literal) => {
        concat!(
            "SELECT l.* FROM (SELECT NULL::timestamptz AS hard_expires_at, NULL::jsonb AS execution_result,
                NULL::jsonb AS response, NULL::int AS ttl_ms) AS absent,
            LATERAL (SELECT key::text, owner_id::text, status::text, fencing_token::int8,
                lease_expires_at::timestamptz, lease_updated_at::timestamptz, hard_expires_at::timestamptz AS hard,
                lease_expires_at > now() AS alive, hard_expires_at > now() AS hard_alive, ttl_ms::int8, ",
            $result,
            " AS result FROM sentinel_leases ",
            $rest,
            ") AS l"
        )
    };
}

pub(super) static LOOK: Sql = Sql::new(leases!("coalesce(execution_result, response)", "WHERE key = $1"));

const LIST: &str = leases!(
    "CASE WHEN $11 THEN coalesce(execution_result, response) END",
    "WHERE ($1::text[] IS NULL OR status = ANY($1) OR CASE
            WHEN status IN ('reconciling', 'completed') THEN NULL
            WHEN status IS NULL OR status NOT IN ('claimed', 'executing') OR lease_expires_at IS NULL THEN 'unreadable'
            WHEN status = 'claimed' THEN CASE WHEN lease_expires_at > now() THEN 'held' ELSE 'free' END
            WHEN lease_expires_at > now() THEN 'alive'
            WHEN hard_expires_at > now() THEN 'stalled' ELSE 'uncertain' END = ANY($1))
        AND ($2::text IS NULL OR starts_with(key::text, $2))
        AND ($3::text IS NULL OR starts_with(owner_id::text, $3))
        AND (NOT $4 OR lease_expires_at <= now())
        AND ($5::int8 IS NULL OR coalesce(lease_updated_at, lease_expires_at)::timestamptz
            >= timestamptz 'epoch' + $5 * interval '1 microsecond')
        AND ($6::int8 IS NULL OR coalesce(lease_updated_at, lease_expires_at)::timestamptz
            >= now() - $6 * interval '1 microsecond')
        AND ($7::int8 IS NULL OR coalesce(lease_updated_at, lease_expires_at)::timestamptz
            < timestamptz 'epoch' + $7 * interval '1 microsecond')
        AND ($8::int8 IS NULL OR coalesce(lease_updated_at, lease_expires_at)::timestamptz
            < now() - $8 * interval '1 microsecond')
        AND ($9::int8 IS NULL OR coalesce(lease_updated_at, lease_expires_at)::timestamptz
            < now() - $9 * interval '1 microsecond')
        AND (NOT $12 OR lease_expires_at > now())"
);

const fn order_by(order: Order, descending: bool) -> &'static str {
    match (order, descending) {
        (Order::Stored, _) => "",
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

macro_rules! events {
    ($rest:literal) => {
        concat!(
            "SELECT e.*, now() FROM (SELECT NULL::jsonb AS metadata) AS absent,
            LATERAL (SELECT id::int8, key::text, event::text, occurred_at::timestamptz AS at, fencing_token::int8,
                owner_id::text, metadata::text AS note
                FROM sentinel_events WHERE key = $1 ",
            $rest,
            ") AS e"
        )
    };
}

pub(super) static EVENTS: Sql = Sql::new(events!("ORDER BY occurred_at DESC, id DESC LIMIT $2"));

/// $1 keys. In the order of the keys, an unknown one as a row of NULL.
pub(super) static LOOKS: Sql = Sql::new(leases!("coalesce(execution_result, response)", "WHERE key = ANY($1::text[])"));

/// $1 keys, $2 how many events of each.
pub(super) static EVENTS_OF_ALL: Sql = Sql::new(
    "SELECT e.* FROM (SELECT NULL::jsonb AS metadata) AS absent, unnest($1::text[]) AS wanted(name),
    LATERAL (SELECT id::int8, key::text, event::text, occurred_at::timestamptz AS at, fencing_token::int8,
        owner_id::text, metadata::text AS note
        FROM sentinel_events WHERE key = wanted.name ORDER BY occurred_at DESC, id DESC LIMIT $2) AS e
    ORDER BY e.key, e.at DESC, e.id DESC",
);

pub(super) static EVENTS_SINCE: Sql = Sql::new(events!(
    "AND ($2::int8 IS NULL OR occurred_at >= timestamptz 'epoch' + $2 * interval '1 microsecond')
    ORDER BY occurred_at DESC, id DESC"
));

pub(super) static PROBE: Sql = Sql::new(
    "(SELECT key::text FROM sentinel_leases WHERE key = ANY($2) LIMIT 20)
    UNION ALL (SELECT key::text FROM sentinel_leases WHERE key > $1 ORDER BY key LIMIT 5)
    UNION ALL (SELECT key::text FROM sentinel_leases WHERE key < $1 ORDER BY key DESC LIMIT 5)",
);

/// The inner limit bounds what is read where the order of the index scatters a prefix.
pub(super) static KEYS: Sql = Sql::new(
    "SELECT key FROM (SELECT key::text FROM sentinel_leases WHERE key >= $1 ORDER BY sentinel_leases.key LIMIT 10 * $2) AS near
    WHERE starts_with(key, $1) LIMIT $2",
);

/// From namespace to namespace by one look into the index each. `z` because it comes late in every order of letters, and
/// at least the next key is gone to, so that it ends. $1 what they begin with, $2 how many.
macro_rules! namespaces {
    () => {
        "WITH RECURSIVE step AS (
            (SELECT key::text AS key, 1 AS taken FROM sentinel_leases WHERE key >= $1 ORDER BY sentinel_leases.key LIMIT 1)
            UNION ALL
            SELECT (SELECT key::text FROM sentinel_leases AS later
                WHERE later.key > greatest(step.key, split_part(step.key, ':', 1) || ':zzzzzzzzzzzz')
                ORDER BY later.key LIMIT 1), taken + 1
            FROM step WHERE step.key IS NOT NULL AND taken < 4 * $2
        ), spaces AS (SELECT DISTINCT split_part(key, ':', 1) AS name FROM step
            WHERE position(':' IN key) > 1 AND starts_with(key, $1) LIMIT $2)"
    };
}

pub(super) static NAMESPACES: Sql = Sql::new(concat!(namespaces!(), " SELECT name FROM spaces"));

/// $3 names, $4 whether only completed keys.
pub(super) static NAMED: Sql = Sql::new(concat!(
    namespaces!(),
    ", wanted AS (SELECT name FROM unnest($3::text[]) AS w (name)
        UNION SELECT s.name || ':' || w.name FROM spaces AS s CROSS JOIN unnest($3::text[]) AS w (name))
    SELECT l.key::text FROM wanted JOIN sentinel_leases AS l ON l.key = wanted.name
    WHERE NOT $4 OR l.status::text = 'completed' ORDER BY 1 LIMIT 1000"
));

/// The clock, and what the server says of itself.
pub(super) static SERVER: Sql =
    Sql::new("SELECT now(), current_setting('server_version'), current_setting('TimeZone'), pg_is_in_recovery()");

pub(super) static CENSUS: Sql = Sql::new(
    "SELECT l.* FROM (SELECT NULL::timestamptz AS hard_expires_at, NULL::int AS ttl_ms) AS absent,
    LATERAL (SELECT status::text, lease_expires_at > now() AS alive, hard_expires_at > now() AS hard_alive, count(*),
        min(coalesce(lease_updated_at, lease_expires_at)::timestamptz),
        max(lease_updated_at)::timestamptz,
        count(*) FILTER (WHERE lease_updated_at > now() + interval '1 minute'),
        coalesce(ttl_ms = 3000 AND lease_expires_at - lease_updated_at NOT BETWEEN interval '1500 milliseconds' AND interval '3010 milliseconds'
            AND lease_expires_at IS DISTINCT FROM hard_expires_at, false) AS no_heartbeat,
        count(*) FILTER (WHERE behind), min(key::text) FILTER (WHERE behind)
        FROM sentinel_leases CROSS JOIN LATERAL (SELECT CASE
            WHEN status::text = 'executing' AND lease_expires_at <= now() AND isfinite(lease_updated_at) AND isfinite(lease_expires_at)
                AND lease_updated_at BETWEEN now() - interval '855 minutes' AND now() - interval '15 minutes'
            THEN mod(extract(epoch FROM now() - lease_updated_at)::numeric, 900)
                <= greatest(ttl_ms / 1000.0, extract(epoch FROM lease_expires_at - lease_updated_at)::numeric) + 5
                AND ttl_ms IS NOT NULL
            END AS behind) AS zone
        GROUP BY 1, 2, 3, no_heartbeat) AS l",
);

pub(super) static TOLD: Sql = Sql::new(
    "SELECT event::text, count(*) FROM sentinel_events WHERE occurred_at >= now() - $1 * interval '1 microsecond'
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100",
);

pub(super) static LAST_EVENT: Sql =
    Sql::new("SELECT occurred_at::timestamptz FROM sentinel_events ORDER BY id DESC LIMIT 1");

/// Transactions older than a few seconds that hold the row of a key (its `xmax` is theirs, or one of a savepoint of theirs), or
/// the whole table in a mode that writers wait for.
pub(super) static LOCKS: Sql = Sql::new(
    "SELECT a.pid::int8, coalesce(a.application_name, ''),
        (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::int8, coalesce(a.state LIKE 'idle%', false),
        bool_or(l.locktype = 'relation')
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.granted AND a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '3 seconds'
        AND (l.locktype = 'transactionid' AND l.transactionid = (SELECT xmax FROM sentinel_leases WHERE key = $1)
            OR l.locktype = 'relation' AND l.relation = to_regclass('sentinel_leases')
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
    GROUP BY a.pid, a.application_name, a.xact_start, a.state ORDER BY a.xact_start LIMIT 5",
);

pub(super) static OBJECTS: Sql = Sql::new(
    "SELECT c.relname::text, format('%I.%I', n.nspname, c.relname), c.relkind = 'S',
        CASE WHEN c.relname = 'sentinel_events' THEN pg_total_relation_size(c.oid) END, s.n_live_tup, s.n_dead_tup
    FROM (SELECT to_regclass('sentinel_leases') AS oid UNION ALL SELECT to_regclass('sentinel_events')
        UNION ALL SELECT to_regclass('sentinel_token_seq')
        UNION ALL SELECT to_regclass(pg_get_serial_sequence(to_regclass('sentinel_events')::text, 'id'))) AS wanted
    JOIN pg_class AS c ON c.oid = wanted.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid",
);

/// The last token drawn (NULL where the role may not know, or none was), the largest in use, and whether there is a sequence.
pub(super) static TOKEN_STATE: Sql = Sql::new(
    "SELECT (SELECT CASE WHEN has_sequence_privilege(c.oid, 'USAGE, SELECT') THEN coalesce(pg_sequence_last_value(c.oid), 0) END
        FROM pg_class AS c WHERE c.oid = to_regclass('sentinel_token_seq')),
        (SELECT max(fencing_token)::int8 FROM sentinel_leases), to_regclass('sentinel_token_seq') IS NOT NULL",
);

/// $2 what the keys begin with whose results are looked at, a few of them.
pub(super) static STORABLE: Sql = Sql::new(
    "SELECT $1::text::jsonb IS NOT NULL, (
        SELECT CASE WHEN bool_and(l.object) THEN true WHEN NOT bool_or(l.object) THEN false END
        FROM (SELECT NULL::jsonb AS execution_result, NULL::jsonb AS response) AS absent,
        LATERAL (SELECT jsonb_typeof(near.result) = 'object' AS object FROM (
            SELECT key::text AS key, status::text AS status, coalesce(execution_result, response)::jsonb AS result
            FROM sentinel_leases WHERE key >= $2 ORDER BY sentinel_leases.key LIMIT 50) AS near
            WHERE starts_with(near.key, $2) AND near.status = 'completed' AND jsonb_typeof(near.result) <> 'null') AS l)",
);

/// Parameters: $1 states, $2 prefix, $3 owner, $4 whether only expired ones, $5 since, $6 since ago, $7 until, $8 until ago,
/// $9 older than, $10 limit, $11 whether results are wanted, $12 whether only living ones.
pub(super) fn list(query: &LeaseQuery) -> Sql {
    // The ORDER BY and LIMIT belong inside the lateral subquery, before its closing parenthesis and alias.
    let (head, tail) = LIST.split_at(LIST.len() - ") AS l".len());
    Sql::new(head).then(order_by(query.order, query.descending)).then(" LIMIT $10::int8").then(tail)
}
