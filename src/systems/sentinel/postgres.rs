//! Sentinel's tables in PostgreSQL, in every version that made them. SQL and row mapping, nothing else.
//!
//! Versions differ by columns. One statement serves them all without asking first: in
//! `FROM (SELECT NULL::int AS ttl_ms) absent, LATERAL (SELECT ttl_ms FROM sentinel_leases)` the inner name means the
//! table's column where there is one and the outer NULL where there is none. Times are cast to timestamptz, which for the
//! plain TIMESTAMP of 0.4.x means the session's zone, the same that made them; alive and expired are compared by the
//! server, as the library does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

mod act;

use super::port::{
    Acted, Census, Events, Group, LeaseAct, LeaseQuery, LeaseStore, Leases, Look, Order, RELATIONS, TOKENS, Typed,
    Upkeep, Verb, no_sequence, sequence_behind,
};
use super::record::{Lease, LeaseEvent, Status};
use super::shape::{ColumnFact, Shape};
use super::why::Lock;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::report::{Item, Outcome};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::encode;
use sen_stores::postgres::link::Link;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::{Ask, chunks};
use sen_stores::sql::Sql;

/// Sentinel in one PostgreSQL database.
pub struct PostgresLeases {
    link: Arc<Link>,
}

impl PostgresLeases {
    /// Over a shared connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link }
    }
}

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

static CLOCK: Sql = Sql::new("SELECT now()");

static LOOK: Sql = Sql::new(leases!("coalesce(execution_result, response)", "WHERE key = $1"));

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

static EVENTS: Sql = Sql::new(events!("ORDER BY occurred_at DESC, id DESC LIMIT $2"));

/// $1 keys. In the order of the keys, an unknown one as a row of NULL.
const LOOK_ALL: &str = leases!("coalesce(execution_result, response)", "WHERE key = ANY($1::text[])");

/// $1 keys, $2 how many events of each.
const EVENTS_ALL: &str =
    "SELECT e.* FROM (SELECT NULL::jsonb AS metadata) AS absent, unnest($1::text[]) AS wanted(name),
    LATERAL (SELECT id::int8, key::text, event::text, occurred_at::timestamptz AS at, fencing_token::int8,
        owner_id::text, metadata::text AS note
        FROM sentinel_events WHERE key = wanted.name ORDER BY occurred_at DESC, id DESC LIMIT $2) AS e
    ORDER BY e.key, e.at DESC, e.id DESC";

static LOOKS: Sql = Sql::new(LOOK_ALL);
static EVENTS_OF_ALL: Sql = Sql::new(EVENTS_ALL);

/// How many keys one statement looks up.
const SET: usize = 500;

static EVENTS_SINCE: Sql = Sql::new(events!(
    "AND ($2::int8 IS NULL OR occurred_at >= timestamptz 'epoch' + $2 * interval '1 microsecond')
    ORDER BY occurred_at DESC, id DESC"
));

static PROBE: Sql = Sql::new(
    "(SELECT key::text FROM sentinel_leases WHERE key = ANY($2) LIMIT 20)
    UNION ALL (SELECT key::text FROM sentinel_leases WHERE key > $1 ORDER BY key LIMIT 5)
    UNION ALL (SELECT key::text FROM sentinel_leases WHERE key < $1 ORDER BY key DESC LIMIT 5)",
);

/// The inner limit bounds what is read where the order of the index scatters a prefix.
static KEYS: Sql = Sql::new(
    "SELECT key FROM (SELECT key::text FROM sentinel_leases WHERE key >= $1 ORDER BY sentinel_leases.key LIMIT 10 * $2) AS near
    WHERE starts_with(key, $1) LIMIT $2",
);

/// From namespace to namespace by one look into the index each. `z` because it comes late in every order of letters, and
/// at least the next key is gone to, so that it ends.
static NAMESPACES: Sql = Sql::new(
    "WITH RECURSIVE step AS (
        (SELECT key::text AS key, 1 AS taken FROM sentinel_leases WHERE key >= $1 ORDER BY sentinel_leases.key LIMIT 1)
        UNION ALL
        SELECT (SELECT key::text FROM sentinel_leases AS later
            WHERE later.key > greatest(step.key, split_part(step.key, ':', 1) || ':zzzzzzzzzzzz')
            ORDER BY later.key LIMIT 1), taken + 1
        FROM step WHERE step.key IS NOT NULL AND taken < 4 * $2
    )
    SELECT DISTINCT split_part(key, ':', 1) FROM step
    WHERE position(':' IN key) > 1 AND starts_with(key, $1) LIMIT $2",
);

static COLUMNS: Sql = Sql::new(
    "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)::text, n.nspname::text, now(),
        current_setting('server_version'), current_setting('TimeZone'), pg_is_in_recovery(), greatest(c.reltuples, 0)::int8
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE a.attrelid IN (to_regclass('sentinel_leases'), to_regclass('sentinel_events'))
        AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum",
);

static CENSUS: Sql = Sql::new(
    "SELECT l.* FROM (SELECT NULL::timestamptz AS hard_expires_at, NULL::int AS ttl_ms) AS absent,
    LATERAL (SELECT status::text, lease_expires_at > now() AS alive, hard_expires_at > now() AS hard_alive, count(*),
        min(coalesce(lease_updated_at, lease_expires_at)::timestamptz),
        max(lease_updated_at)::timestamptz,
        count(*) FILTER (WHERE lease_updated_at > now() + interval '1 minute'),
        coalesce(ttl_ms = 3000 AND lease_expires_at - lease_updated_at NOT BETWEEN interval '1500 milliseconds' AND interval '3010 milliseconds'
            AND lease_expires_at IS DISTINCT FROM hard_expires_at, false) AS no_heartbeat
        FROM sentinel_leases GROUP BY 1, 2, 3, no_heartbeat) AS l",
);

static LAST_EVENT: Sql = Sql::new("SELECT occurred_at::timestamptz FROM sentinel_events ORDER BY id DESC LIMIT 1");

/// $4 what was created: the catalogue says by which transaction.
static MADE: Sql = Sql::new(
    "CASE WHEN (SELECT count(*) FROM unnest($4::text[]) AS name JOIN pg_class AS c ON c.oid = to_regclass(name)
            WHERE c.xmin::text::int8 = $1::int8 % 4294967296) = cardinality($4::text[]) THEN 'landed'
        WHEN NOT EXISTS (SELECT 1 FROM unnest($4::text[]) AS name WHERE to_regclass(name) IS NOT NULL) THEN 'absent' END",
);

static HAVE: Sql = Sql::new("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL");

/// Transactions older than a few seconds that hold the row of a key (its `xmax` is theirs, or one of a savepoint of theirs), or
/// the whole table in a mode that writers wait for.
static LOCKS: Sql = Sql::new(
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

static OBJECTS: Sql = Sql::new(
    "SELECT c.relname::text, format('%I.%I', n.nspname, c.relname), c.relkind = 'S',
        CASE WHEN c.relname = 'sentinel_events' THEN pg_total_relation_size(c.oid) END, s.n_live_tup, s.n_dead_tup
    FROM (SELECT to_regclass('sentinel_leases') AS oid UNION ALL SELECT to_regclass('sentinel_events')
        UNION ALL SELECT to_regclass('sentinel_token_seq')
        UNION ALL SELECT to_regclass(pg_get_serial_sequence(to_regclass('sentinel_events')::text, 'id'))) AS wanted
    JOIN pg_class AS c ON c.oid = wanted.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid",
);

/// The last token drawn (NULL where the role may not know, or none was), the largest in use, and whether there is a sequence.
static TOKEN_STATE: Sql = Sql::new(
    "SELECT (SELECT CASE WHEN has_sequence_privilege(c.oid, 'USAGE, SELECT') THEN coalesce(pg_sequence_last_value(c.oid), 0) END
        FROM pg_class AS c WHERE c.oid = to_regclass('sentinel_token_seq')),
        (SELECT max(fencing_token)::int8 FROM sentinel_leases), to_regclass('sentinel_token_seq') IS NOT NULL",
);

/// The columns, and whether a row can be inserted without naming them.
static INSERTABLE: Sql = Sql::new(
    "SELECT c.relname::text, a.attname::text, NOT a.attnotnull OR a.atthasdef OR a.attidentity <> ''
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE a.attrelid IN (to_regclass('sentinel_leases'), to_regclass('sentinel_events'))
        AND a.attnum > 0 AND NOT a.attisdropped",
);

static ZONELESS: Sql = Sql::new(
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('sentinel_leases')
        AND attname = 'lease_expires_at' AND atttypid = 'timestamp'::regtype AND NOT attisdropped)",
);

static STORABLE: Sql = Sql::new("SELECT $1::text::jsonb IS NOT NULL");

/// A new sequence begins above every token in use.
static RAISE: Sql = Sql::new(
    "SELECT setval('sentinel_token_seq', max(fencing_token)) FROM sentinel_leases HAVING max(fencing_token) > 0",
);

/// What decides how an act is written: whether there is an events table, its `metadata`, and the `ttl_ms` of 0.4.2.
static RECORDING: Sql = Sql::new(
    "SELECT to_regclass('sentinel_events') IS NOT NULL,
        EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('sentinel_events') AND attname = 'metadata'
            AND NOT attisdropped),
        to_regclass('sentinel_leases') IS NULL OR EXISTS (SELECT 1 FROM pg_attribute
            WHERE attrelid = to_regclass('sentinel_leases') AND attname = 'ttl_ms' AND NOT attisdropped)",
);

/// The schema of sentinel-coordination 0.5.0 (`schema.py`): the same columns, types, checks, defaults and index names.
const CREATE: [&str; 3] = [
    "CREATE SEQUENCE sentinel_token_seq",
    "CREATE TABLE sentinel_leases (
        key text PRIMARY KEY,
        owner_id text NOT NULL,
        lease_expires_at timestamptz NOT NULL,
        lease_updated_at timestamptz,
        hard_expires_at timestamptz,
        execution_result jsonb,
        status text NOT NULL DEFAULT 'claimed' CHECK (status OPERATOR(pg_catalog.=) ANY ('{claimed,executing,completed,reconciling}')),
        fencing_token bigint NOT NULL DEFAULT 1,
        ttl_ms integer NOT NULL DEFAULT 3000
    );
    CREATE INDEX idx_sentinel_expiry ON sentinel_leases (lease_expires_at)",
    "CREATE TABLE sentinel_events (
        id bigserial PRIMARY KEY,
        key text NOT NULL,
        event text NOT NULL CHECK (event OPERATOR(pg_catalog.=) ANY
            ('{acquired,rejected,executing,completed,expired,reconciling,released,reset}')),
        occurred_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
        fencing_token bigint,
        owner_id text,
        metadata jsonb
    );
    CREATE INDEX idx_sentinel_events ON sentinel_events (key, occurred_at, fencing_token)",
];

/// Serialises concurrent `sen init`: CREATE IF NOT EXISTS alone can collide in the catalogue.
static INIT_LOCK: Sql = Sql::new("SELECT pg_advisory_xact_lock(hashtext('sen init sentinel'))");

pub(super) fn lease(row: &Row) -> Lease {
    let mut cells = Cells::new(row);
    Lease {
        key: cells.text(0).unwrap_or_default(),
        owner_id: cells.text(1),
        status: Status::parse(&cells.text(2).unwrap_or_default()),
        fencing_token: cells.int(3),
        lease_expires_at: cells.time(4),
        lease_updated_at: cells.time(5),
        hard_expires_at: cells.time(6),
        alive: cells.flag(7),
        hard_alive: cells.flag(8),
        ttl_ms: cells.int(9),
        execution_result: cells.json(10),
        unreadable: cells.unreadable,
    }
}

fn event(row: &Row) -> LeaseEvent {
    let mut cells = Cells::new(row);
    LeaseEvent {
        id: cells.int(0).unwrap_or_default(),
        key: cells.text(1).unwrap_or_default(),
        event: cells.text(2).unwrap_or_default(),
        occurred_at: cells.time(3).unwrap_or(Timestamp::NEG_INFINITY),
        fencing_token: cells.int(4),
        owner_id: cells.text(5),
        metadata: cells.text(6),
    }
}

fn in_time_order(rows: &[Row]) -> Vec<LeaseEvent> {
    rows.iter().rev().map(event).collect()
}

fn clock(rows: &[Row]) -> Timestamp {
    rows.first().and_then(|row| Cells::new(row).time(0)).unwrap_or(Timestamp::NEG_INFINITY)
}

const UNDEFINED_TABLE: &str = "42P01";

/// How often a token is drawn when the sequence gives one that the key has had.
const DRAWS: u32 = 4;

impl PostgresLeases {
    /// Draws a token for a key whose row is as it was seen: the token, and the largest the key is known to have had.
    async fn draw(
        &self,
        act: &LeaseAct,
        recording: act::Recording,
        permit: &WritePermit,
    ) -> Result<Option<(i64, i64)>> {
        let (sql, status) = (act::draw(recording), act.verb.required());
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&act.key, Type::TEXT), (&act.token, Type::INT8), (&status, Type::TEXT)];
        // A drawn token changes no row, whatever becomes of its transaction.
        let proof = |_: &Written<'_>| Proof::new(Sql::new("'absent'"));
        let row = self.link.change(&Ask::new(&sql, params), &proof, permit.operation()).await;
        Ok(row.map_err(|error| self.no_leases(error))?.and_then(|row| {
            let mut cells = Cells::new(&row);
            cells.int(0).zip(cells.int(1))
        }))
    }

    fn no_leases(&self, error: Error) -> Error {
        if error.sqlstate() != Some(UNDEFINED_TABLE) {
            return error;
        }
        // The server says this name in every language.
        if error.to_string().contains(TOKENS) {
            return no_sequence();
        }
        Error::new(ErrorKind::NoSystem, format!("no Sentinel tables (sentinel_leases) in {}", self.link.describe())).with_hint(
            "is this the right database, and does the role's search_path name the schema? `sen init` creates empty tables",
        )
    }

    /// What stands for events that are not there, or that this role may not read, which is then told beside the leases.
    fn unread<T>(&self, error: Error) -> Result<Option<T>> {
        match error {
            error if error.sqlstate() == Some(UNDEFINED_TABLE) => Ok(None),
            error if error.kind() == ErrorKind::Denied => {
                self.link.hidden().deny(error.with_context("events are not shown"));
                Ok(None)
            }
            error => Err(error),
        }
    }

    /// The one answer that says whether there is an events table.
    async fn events_of(&self, sql: &Sql, params: Vec<(&(dyn ToSql + Sync), Type)>) -> Result<Events> {
        let asks = [Ask::new(&CLOCK, []), Ask::new(sql, params)];
        let [clock_rows, rows] = two(self.link.snapshot(&asks).await?);
        match rows {
            Ok(rows) => Ok(Events { now: clock(&clock_rows?), rows: in_time_order(&rows) }),
            Err(error) if error.sqlstate() == Some(UNDEFINED_TABLE) => Err(Error::new(
                ErrorKind::NoSystem,
                "no events are kept here: there is no sentinel_events table, and sentinel-coordination before 0.5.0 wrote none",
            )
            .with_hint("`sen inspect` shows the lease itself")),
            Err(error) => Err(error),
        }
    }
}

impl PostgresLeases {
    /// Where the record of an act can be kept.
    async fn recording(&self) -> Result<act::Recording> {
        let rows = self.link.ask(Ask::new(&RECORDING, [])).await?;
        let Some(row) = rows.first() else {
            return Err(Error::new(ErrorKind::Internal, "an answer is missing"));
        };
        let mut cells = Cells::new(row);
        let (events, metadata, served) = (cells.flag(0), cells.flag(1), cells.flag(2));
        if served != Some(true) {
            return Err(Error::new(
                ErrorKind::Refused,
                "these tables are older than sentinel-coordination 0.4.2: reading only",
            ));
        }
        Ok(match (events, metadata) {
            (Some(true), Some(true)) => act::Recording::WithNote,
            (Some(true), _) => act::Recording::WithoutNote,
            _ => act::Recording::Nowhere,
        })
    }
}

fn two<T>(answers: Vec<Result<T>>) -> [Result<T>; 2] {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an answer is missing")));
    [next(), next()]
}

#[async_trait]
impl LeaseStore for PostgresLeases {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn look(&self, key: &str, events: u32) -> Result<Look> {
        let limit = i64::from(events);
        let asks = [
            Ask::new(&CLOCK, []),
            Ask::new(&LOOK, [(&key as _, Type::TEXT)]),
            // Last: before 0.5.0 there is no such table, and the error ends the transaction.
            Ask::new(&EVENTS, [(&key as _, Type::TEXT), (&limit as _, Type::INT8)]),
        ];
        let mut answers = self.link.snapshot(&asks).await?.into_iter();
        let (Some(now), Some(found), Some(events)) = (answers.next(), answers.next(), answers.next()) else {
            return Err(Error::new(ErrorKind::Internal, "an answer is missing"));
        };
        let now = clock(&now?);
        let lease = found.map_err(|error| self.no_leases(error))?.first().map(lease);
        let events = match events {
            Ok(rows) => Some(Events { now, rows: in_time_order(&rows) }),
            Err(error) => self.unread(error)?,
        };
        Ok(Look { now, lease, events })
    }

    async fn look_all(&self, keys: &[String], events: u32) -> Result<Vec<Look>> {
        let limit = i64::from(events);
        let mut looks = Vec::with_capacity(keys.len());
        for set in keys.chunks(SET) {
            let asks = [
                Ask::new(&CLOCK, []),
                Ask::new(&LOOKS, [(&set as _, Type::TEXT_ARRAY)]),
                Ask::new(&EVENTS_OF_ALL, [(&set as _, Type::TEXT_ARRAY), (&limit as _, Type::INT8)]),
            ];
            let mut answers = self.link.snapshot(&asks).await?.into_iter();
            let (Some(now), Some(found), Some(told)) = (answers.next(), answers.next(), answers.next()) else {
                return Err(Error::new(ErrorKind::Internal, "an answer is missing"));
            };
            let now = clock(&now?);
            let found = found.map_err(|error| self.no_leases(error))?;
            let mut leases: HashMap<String, Lease> =
                found.iter().map(lease).map(|lease| (lease.key.clone(), lease)).collect();
            let mut told: Option<HashMap<String, Vec<LeaseEvent>>> = match told {
                Ok(rows) => {
                    let mut by_key: HashMap<String, Vec<LeaseEvent>> = HashMap::new();
                    for event in in_time_order(&rows) {
                        by_key.entry(event.key.clone()).or_default().push(event);
                    }
                    Some(by_key)
                }
                Err(error) if error.sqlstate() == Some(UNDEFINED_TABLE) => None,
                Err(error) => return Err(error),
            };
            looks.extend(set.iter().map(|key| Look {
                now,
                lease: leases.remove(key),
                events: told.as_mut().map(|told| Events { now, rows: told.remove(key).unwrap_or_default() }),
            }));
        }
        Ok(looks)
    }

    async fn zoneless(&self) -> Result<bool> {
        let rows = self.link.ask(Ask::new(&ZONELESS, [])).await?;
        Ok(rows.first().is_some_and(|row| Cells::new(row).flag(0) == Some(true)))
    }

    async fn storable(&self, result: &str) -> Result<()> {
        match self.link.ask(Ask::new(&STORABLE, [(&result as _, Type::TEXT)])).await {
            Ok(_) => Ok(()),
            Err(error) if error.sqlstate().is_some_and(|code| code.starts_with("22")) => {
                let message = format!("the database cannot hold this result: {error}");
                Err(Error::usage(message)
                    .with_hint("its encoding may lack a character: write it as ASCII, or encode it as base64"))
            }
            Err(error) => Err(error),
        }
    }

    async fn list(&self, query: &LeaseQuery) -> Result<Leases> {
        let sql = list_sql(query);
        let states = (!query.states.is_empty()).then_some(&query.states);
        let since = query.lower_bound();
        let [until, older] = query.upper_bounds();
        let params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
            (&states, Type::TEXT_ARRAY),
            (&query.prefix, Type::TEXT),
            (&query.owner, Type::TEXT),
            (&query.expired, Type::BOOL),
            (&since.at, Type::INT8),
            (&since.ago, Type::INT8),
            (&until.at, Type::INT8),
            (&until.ago, Type::INT8),
            (&older.ago, Type::INT8),
            (&query.limit, Type::INT8),
            (&query.payloads, Type::BOOL),
            (&query.alive, Type::BOOL),
        ];
        let long = Ask::new(&sql, params);
        let (now, rows) =
            self.link.snapshot_stream(&Ask::new(&CLOCK, []), &long).await.map_err(|error| self.no_leases(error))?;
        Ok(Leases { now: clock(&now), chunks: Box::pin(chunks(rows, lease)) })
    }

    async fn events(&self, key: &str, limit: Option<i64>) -> Result<Events> {
        self.events_of(&EVENTS, vec![(&key, Type::TEXT), (&limit, Type::INT8)]).await
    }

    async fn events_since(&self, key: &str, since: Option<Timestamp>) -> Result<Events> {
        let since = since.map(Timestamp::as_micros);
        self.events_of(&EVENTS_SINCE, vec![(&key, Type::TEXT), (&since, Type::INT8)]).await
    }

    async fn probe_keys(&self, key: &str, candidates: &[String]) -> Result<Vec<String>> {
        let probe = Ask::new(&PROBE, [(&key as _, Type::TEXT), (&candidates as _, Type::TEXT_ARRAY)]);
        Ok(self.link.ask(probe).await?.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn complete(&self, what: Typed, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let limit = i64::from(limit);
        let sql = match what {
            Typed::Key => &KEYS,
            Typed::Namespace => &NAMESPACES,
        };
        let rows = self.link.ask(Ask::new(sql, [(&prefix as _, Type::TEXT), (&limit as _, Type::INT8)])).await?;
        Ok(rows.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn census(&self) -> Result<Census> {
        let asks = [Ask::new(&COLUMNS, []), Ask::new(&CENSUS, []), Ask::new(&LAST_EVENT, [])];
        let mut answers = self.link.snapshot(&asks).await?.into_iter();
        let (Some(columns), Some(groups), Some(last)) = (answers.next(), answers.next(), answers.next()) else {
            return Err(Error::new(ErrorKind::Internal, "an answer is missing"));
        };
        let groups = groups.map_err(|error| self.no_leases(error))?;
        let columns = columns?;
        let last_event = match last {
            Ok(rows) => rows.first().and_then(|row| Cells::new(row).time(0)),
            Err(error) => self.unread(error)?,
        };
        Ok(census(&columns, &groups, last_event))
    }

    async fn act(&self, act: &LeaseAct, permit: &WritePermit) -> Result<Option<Acted>> {
        let recording = self.recording().await?;
        let sql = act::statement(&act.verb, recording);
        let (result, before_hard_limit) = match &act.verb {
            Verb::Complete(result) => (Some(result), false),
            Verb::TakeOver { before_hard_limit } => (None, *before_hard_limit),
            Verb::Reset | Verb::Release | Verb::Forget => (None, false),
        };
        let event = act.verb.event();
        let updated = act.updated.map(encode::stamp);
        let params: [(&(dyn ToSql + Sync), Type); 7] = [
            (&act.key, Type::TEXT),
            (&act.token, Type::INT8),
            (&result, Type::TEXT),
            (&act.note, Type::TEXT),
            (&event, Type::TEXT),
            (&before_hard_limit, Type::BOOL),
            (&updated, Type::TIMESTAMPTZ),
        ];
        let change = Ask::new(&sql, params);
        let token = |row: &Row| Cells::new(row).int(0).unwrap_or(act.token);
        let proof = |written: &Written<'_>| act::proof(act, recording, written.rows.first().map_or(act.token, token));
        let (mut behind, mut sound) = (None::<(i64, i64)>, 0);
        for _ in 0..DRAWS {
            let row = self.link.change(&change, &proof, permit.operation()).await;
            let row = row.map_err(|error| self.no_leases(error))?;
            if let Some(row) = row {
                return Ok(Some(Acted { token: token(&row) }));
            }
            if !act.verb.draws() {
                return Ok(None);
            }
            // The row is as it was seen, or it has changed; in the first case the token drawn may have been too small.
            let Some((drawn, known)) = self.draw(act, recording, permit).await? else { return Ok(None) };
            if drawn <= known {
                (behind, sound) = (Some((drawn, known)), 0);
            } else {
                sound += 1;
            }
            // Twice with a sound token: it is another guard that does not hold.
            if sound == 2 {
                return Ok(None);
            }
        }
        // Only a change that drew too small a token leaves this loop: a sound one says above what it met.
        behind.map_or(Ok(None), |(drawn, known)| Err(sequence_behind(drawn, known)))
    }

    async fn locks(&self, key: &str) -> Result<Vec<Lock>> {
        let rows = self.link.ask(Ask::new(&LOCKS, [(&key as _, Type::TEXT)])).await?;
        let lock = |row: &Row| {
            let mut cells = Cells::new(row);
            Lock {
                pid: cells.int(0).unwrap_or_default(),
                application: cells.text(1).unwrap_or_default(),
                age: cells.int(2).unwrap_or_default(),
                idle: cells.flag(3) == Some(true),
                table: cells.flag(4) == Some(true),
            }
        };
        Ok(rows.iter().map(lock).collect())
    }

    async fn upkeep(&self) -> Result<Upkeep> {
        let rows = self.link.ask(Ask::new(&OBJECTS, [])).await?;
        let mut upkeep = Upkeep::default();
        if let Ok(rows) = self.link.ask(Ask::new(&TOKEN_STATE, [])).await
            && let Some(row) = rows.first()
        {
            let mut cells = Cells::new(row);
            (upkeep.last_token, upkeep.largest_token) = (cells.int(0), cells.int(1));
            upkeep.no_sequence = cells.flag(2) == Some(false);
        }
        for row in &self.link.ask(Ask::new(&INSERTABLE, [])).await? {
            let mut cells = Cells::new(row);
            let mut text = |at| cells.text(at).unwrap_or_default();
            let (relation, name) = (text(0), text(1));
            upkeep.columns.push((relation, name, cells.flag(2) == Some(true)));
        }
        for row in &rows {
            let mut cells = Cells::new(row);
            let (name, full) = (cells.text(0).unwrap_or_default(), cells.text(1).unwrap_or_default());
            if name == "sentinel_events" {
                (upkeep.events_bytes, upkeep.events_rows, upkeep.events_dead) =
                    (cells.int(3), cells.int(4), cells.int(5));
            }
            upkeep.objects.push((name, full, cells.flag(2) == Some(true)));
        }
        Ok(upkeep)
    }

    async fn relations(&self) -> Result<Vec<String>> {
        let wanted = RELATIONS.as_slice();
        let have = Ask::new(&HAVE, [(&wanted as _, Type::TEXT_ARRAY)]);
        Ok(self.link.ask(have).await?.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn init(&self, permit: &WritePermit) -> Result<Vec<Item>> {
        let db = self.link.live().await?;
        let fail = |error| db.explain(error);
        let client = db.client();
        let mark = db.begin(permit.operation()).await?;
        let begin = async {
            client.batch_execute(INIT_LOCK.for_postgres()).await?;
            client.query_typed(HAVE.for_postgres(), &[(&RELATIONS.as_slice(), Type::TEXT_ARRAY)]).await
        };
        let have: Vec<String> = match db.answer(Some(INIT), begin.boxed()).await? {
            Ok(rows) => rows.iter().filter_map(|row| Cells::new(row).text(0)).collect(),
            Err(error) => return Err(fail(error).await),
        };
        let mut items = Vec::new();
        for (name, ddl) in RELATIONS.iter().zip(CREATE) {
            let exists = have.iter().any(|seen| seen == name);
            if !exists && let Err(error) = db.answer(Some(INIT), client.batch_execute(ddl).boxed()).await? {
                return Err(fail(error).await);
            }
            let (outcome, detail) =
                if exists { (Outcome::AlreadyDone, "already there") } else { (Outcome::Applied, "created") };
            items.push(Item::new(Subject::new(crate::record::NAME, "relation", *name), outcome, detail));
        }
        if !have.iter().any(|seen| seen == TOKENS)
            && let Err(error) = db.answer(Some(INIT), client.batch_execute(RAISE.for_postgres()).boxed()).await?
        {
            return Err(fail(error).await);
        }
        let made: Vec<String> = RELATIONS
            .iter()
            .filter(|name| !have.iter().any(|seen| seen == *name))
            .map(|name| (*name).to_owned())
            .collect();
        let proof = || Proof::new(MADE.clone()).with(made, Type::TEXT_ARRAY);
        db.commit(&mark, self.link.again(), proof).await.map_err(|error| match error.kind() {
            ErrorKind::OutcomeUnknown => error.with_hint("run `sen init` again: it creates only what is missing"),
            _ => error,
        })?;
        Ok(items)
    }
}

/// How long one statement of making the tables may take, as its transaction says.
const INIT: Duration = Duration::from_secs(30);

fn list_sql(query: &LeaseQuery) -> Sql {
    // The ORDER BY and LIMIT belong inside the lateral subquery, before its closing parenthesis and alias.
    let (head, tail) = LIST.split_at(LIST.len() - ") AS l".len());
    Sql::new(head).then(order_by(query.order, query.descending)).then(" LIMIT $10::int8").then(tail)
}

fn census(columns: &[Row], groups: &[Row], last_event: Option<Timestamp>) -> Census {
    let mut facts = Vec::new();
    let mut events = None;
    let mut now = Timestamp::NEG_INFINITY;
    let mut shape = Shape::default();
    for row in columns {
        let mut cells = Cells::new(row);
        let mut text = |at| cells.text(at).unwrap_or_default();
        let fact = ColumnFact { relation: text(0), name: text(1), type_name: text(2), schema: text(3) };
        if facts.is_empty() {
            facts = vec![("server", format!("PostgreSQL {}", text(5))), ("server_time_zone", text(6))];
            if cells.flag(7) == Some(true) {
                facts.push(("standby", "yes: reading only".into()));
            }
        }
        now = cells.time(4).unwrap_or(now);
        if fact.relation == "sentinel_events" {
            events = cells.int(8);
        }
        shape.columns.push(fact);
    }
    let groups = groups
        .iter()
        .map(|row| {
            let mut cells = Cells::new(row);
            Group {
                status: cells.text(0).unwrap_or_default(),
                alive: cells.flag(1),
                hard_alive: cells.flag(2),
                count: cells.int(3).unwrap_or_default(),
                oldest: cells.time(4),
                newest: cells.time(5),
                ahead: cells.int(6).unwrap_or_default(),
                no_heartbeat: cells.flag(7) == Some(true),
            }
        })
        .collect();
    Census { now, shape, groups, events, last_event, facts }
}
