//! Running work once per key on Sentinel's tables in PostgreSQL. SQL and row mapping, nothing else.
//!
//! The statements differ only in what they write to `sentinel_events`: nothing where there is no such table (0.4.2), no
//! `metadata` where Django's migrations made it. One look at the catalogue when the connection is opened decides. Times
//! are never set or compared here but by the server's `now()`, in whatever zone the session has, as the library does.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::once_port::{Beat, Claim, ClaimRequest, ClaimStore, FailedRun, Held, KeyState, check_result, metadata};
use super::port::{TOKENS, no_sequence, sequence_behind};
use super::postgres::rows::lease;
use super::record::Status;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;
use sen_stores::postgres::Postgres;
use sen_stores::postgres::autocommit::CachedStatement;
use sen_stores::postgres::decode::Cells;
use sen_stores::sql::Sql;

/// Sentinel for workers in one PostgreSQL database.
pub struct PostgresClaims {
    db: Postgres,
    sql: &'static Statements,
    has_events: bool,
    utf8: bool,
    claim: CachedStatement,
    complete: CachedStatement,
}

/// The statements for one shape of the events table.
struct Statements {
    claim: Sql,
    refusal: Sql,
    complete: Sql,
    release: Sql,
    expire: Sql,
}

/// Columns in the order `lease` reads them.
macro_rules! row {
    ($result:literal) => {
        concat!(
            "key::text, owner_id::text, status::text, fencing_token::int8, lease_expires_at::timestamptz,
            lease_updated_at::timestamptz, hard_expires_at::timestamptz, lease_expires_at > now(), hard_expires_at > now(),
            ttl_ms::int8, ",
            $result,
            ", now()"
        )
    };
}

/// Every act is one statement and its own transaction, so that it costs one round trip and no more. It bounds its wait for
/// a row's lock itself: the row of this sub-select is made before any lock is waited for. A session setting would not do,
/// because a pooler in transaction mode shares sessions. Nor does a claim that a crash can take back: where
/// `synchronous_commit` is off it is raised for this transaction, and what is above off stays as it was set.
macro_rules! limits {
    () => {
        "(SELECT pg_catalog.set_config('lock_timeout', '5s', true) || pg_catalog.set_config('synchronous_commit',
            CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                ELSE pg_catalog.current_setting('synchronous_commit') END, true) AS lock_wait) AS limits"
    };
}

/// The newest events of a key that has no row know the tokens that it had.
macro_rules! known {
    () => {
        "(SELECT max(newest.fencing_token) FROM (SELECT fencing_token FROM sentinel_events
            WHERE key = $1::text ORDER BY occurred_at DESC LIMIT 100) AS newest)"
    };
}

/// A token drawn for a key without a row must be above those; a row has the guard of its own.
macro_rules! above {
    () => {
        concat!(
            " AND (EXISTS (SELECT 1 FROM sentinel_leases WHERE key = $1::text) OR drawn.token > coalesce(",
            known!(),
            ", 0))"
        )
    };
}

/// $1 key, $2 owner, $3 ttl, $4 hard ttl, $5 metadata. The token that was drawn comes back whether it was used or not: it is
/// used only when it is larger than every token the key is known to have had.
macro_rules! claim {
    ($above:expr, $told:literal) => {
        Sql::new(concat!(
            "WITH drawn AS (SELECT nextval('sentinel_token_seq') AS token), taken AS (
                INSERT INTO sentinel_leases AS l (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at,
                    fencing_token, ttl_ms, status)
                SELECT $1::text, $2::text, now() + $3::int4 * interval '1 millisecond', now(),
                    now() + $4::int8 * interval '1 millisecond', drawn.token, $3::int4, 'executing'
                FROM drawn, ",
            limits!(),
            " WHERE limits.lock_wait <> ''",
            $above,
            " ON CONFLICT (key) DO UPDATE SET owner_id = EXCLUDED.owner_id, lease_expires_at = EXCLUDED.lease_expires_at,
                    lease_updated_at = now(), hard_expires_at = EXCLUDED.hard_expires_at,
                    fencing_token = EXCLUDED.fencing_token, ttl_ms = EXCLUDED.ttl_ms, status = 'executing'
                WHERE l.lease_expires_at < now() AND l.status = 'claimed' AND EXCLUDED.fencing_token > l.fencing_token
                RETURNING key, owner_id, fencing_token
            )",
            $told,
            " SELECT (SELECT fencing_token::int8 FROM taken), token::int8 FROM drawn"
        ))
    };
}

/// $1 key, $2 metadata. What stands in the way of a claim; the rejection is noted unless the key has just become free.
macro_rules! refusal {
    ($told:literal) => {
        Sql::new(concat!(
            "WITH refused AS (SELECT * FROM sentinel_leases WHERE key = $1::text)",
            $told,
            " SELECT ",
            row!("execution_result::text"),
            " FROM refused"
        ))
    };
}

/// $1 key, $2 owner, $3 token, $4 metadata; the change may use $5.
macro_rules! guarded {
    ($change:literal, $told:literal) => {
        Sql::new(concat!(
            "WITH done AS (",
            $change,
            limits!(),
            " WHERE limits.lock_wait <> '' AND key = $1::text AND owner_id = $2::text AND fencing_token = $3::int8 AND status = 'executing'
                RETURNING key, owner_id, fencing_token)",
            $told,
            " SELECT 1 FROM done"
        ))
    };
}

macro_rules! statements {
    ($above:expr, $told:literal, $refused:literal, $completed:literal, $released:literal, $expired:literal) => {
        Statements {
            claim: claim!($above, $told),
            refusal: refusal!($refused),
            complete: guarded!(
                "UPDATE sentinel_leases SET status = 'completed', execution_result = $5::text::jsonb, lease_updated_at = now() FROM ",
                $completed
            ),
            release: guarded!("DELETE FROM sentinel_leases USING ", $released),
            expire: guarded!(
                "UPDATE sentinel_leases SET hard_expires_at = now(), lease_expires_at = now() FROM ",
                $expired
            ),
        }
    };
}

static WITHOUT_EVENTS: Statements = statements!("", "", "", "", "", "");

static WITHOUT_METADATA: Statements = statements!(
    above!(),
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token)
        SELECT t.key, e.event, now(), t.owner_id, t.fencing_token
        FROM taken AS t, (VALUES (1, 'acquired'), (2, 'executing')) AS e (at, event) ORDER BY e.at)",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token)
        SELECT key, 'rejected', now(), owner_id, fencing_token FROM refused
        WHERE status <> 'claimed' OR lease_expires_at > now())",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token)
        SELECT key, 'completed', now(), owner_id, fencing_token FROM done)",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token)
        SELECT key, 'released', now(), owner_id, fencing_token FROM done)",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token)
        SELECT key, 'expired', now(), owner_id, fencing_token FROM done)"
);

static WITH_METADATA: Statements = statements!(
    above!(),
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token, metadata)
        SELECT t.key, e.event, now(), t.owner_id, t.fencing_token, $5::text::jsonb
        FROM taken AS t, (VALUES (1, 'acquired'), (2, 'executing')) AS e (at, event) ORDER BY e.at)",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token, metadata)
        SELECT key, 'rejected', now(), owner_id, fencing_token, $2::text::jsonb FROM refused
        WHERE status <> 'claimed' OR lease_expires_at > now())",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token, metadata)
        SELECT key, 'completed', now(), owner_id, fencing_token, $4::text::jsonb FROM done)",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token, metadata)
        SELECT key, 'released', now(), owner_id, fencing_token, $4::text::jsonb FROM done)",
    ", told AS (INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token, metadata)
        SELECT key, 'expired', now(), owner_id, fencing_token, $4::text::jsonb FROM done)"
);

static STANDING: Sql = Sql::new(concat!(
    "SELECT ",
    row!("execution_result::text"),
    " FROM sentinel_leases WHERE key = $1::text UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, now()"
));

static KNOWN: Sql = Sql::new(concat!("SELECT ", known!(), "::int8"));

static BEAT: Sql = Sql::new(
    "UPDATE sentinel_leases SET lease_expires_at = now() + ttl_ms * interval '1 millisecond', lease_updated_at = now()
    WHERE key = $1::text AND owner_id = $2::text AND fencing_token = $3::int8 AND status = 'executing'
        AND hard_expires_at > now()
    RETURNING ttl_ms::int8",
);

static SHAPE: Sql = Sql::new(
    "SELECT to_regclass('sentinel_leases') IS NOT NULL, to_regclass('sentinel_events') IS NOT NULL,
        EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('sentinel_leases') AND attname = 'ttl_ms'
            AND NOT attisdropped),
        EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('sentinel_events') AND attname = 'metadata'
            AND NOT attisdropped), getdatabaseencoding() = 'UTF8'",
);

/// A missing sequence, told from other errors by its name, which the server says in every language.
fn no_tokens(error: Error) -> Error {
    if error.sqlstate() == Some("42P01") && error.to_string().contains(TOKENS) { no_sequence() } else { error }
}

/// How often a claim is made again when the key changed hands in that very moment, or its token was one used before.
const TRIES: u32 = 8;

/// How a key that is ours is let go.
#[derive(Clone, Copy)]
enum End<'a> {
    Complete(&'a str),
    Release,
    Expire(Option<&'a FailedRun>),
}

impl PostgresClaims {
    /// Over an open connection; looks at the catalogue once.
    ///
    /// # Errors
    /// `NoSystem` without Sentinel's tables, `Refused` where they are older than 0.4.2.
    pub async fn open(db: Postgres) -> Result<Self> {
        let row = db.quick(&SHAPE, &[]).await?.into_iter().next();
        let row = row.ok_or_else(|| Error::new(ErrorKind::Unreadable, "the catalogue gave no answer"))?;
        let mut cells = Cells::new(&row);
        let mut is = |at| cells.flag(at) == Some(true);
        if !is(0) {
            let message = format!("no Sentinel tables (sentinel_leases) in {}", db.describe());
            return Err(Error::new(ErrorKind::NoSystem, message).with_hint(
                "is this the right database, and does the role's search_path name the schema? `sen init` creates empty tables",
            ));
        }
        if !is(2) {
            let message = "the Sentinel tables here are older than 0.4.2: they can only be read";
            return Err(Error::new(ErrorKind::Refused, message).with_hint("upgrade sentinel-coordination first"));
        }
        let sql = match (is(1), is(3)) {
            (false, _) => &WITHOUT_EVENTS,
            (true, false) => &WITHOUT_METADATA,
            (true, true) => &WITH_METADATA,
        };
        let (has_events, utf8) = (is(1), is(4));
        Ok(Self {
            db,
            sql,
            has_events,
            utf8,
            claim: CachedStatement::new(&sql.claim),
            complete: CachedStatement::new(&sql.complete),
        })
    }

    /// The largest token that the newest events of a key name.
    async fn known(&self, key: &str) -> Result<Option<i64>> {
        if !self.has_events {
            return Ok(None);
        }
        match self.db.client().query_typed(KNOWN.for_postgres(), &[(&key, Type::TEXT)]).await {
            Ok(rows) => Ok(rows.first().and_then(|row| Cells::new(row).int(0))),
            Err(error) => Err(self.db.explain(error).await),
        }
    }

    async fn guarded(&self, end: End<'_>, held: &Held, permit: &WritePermit) -> Result<bool> {
        let run = if let End::Expire(run) = end { run } else { None };
        let note = metadata(&held.owner, run, !self.utf8, permit);
        let result = if let End::Complete(result) = end { Some(result) } else { None };
        let params = [
            (&held.key as _, Type::TEXT),
            (&held.owner as _, Type::TEXT),
            (&held.token as _, Type::INT8),
            (&note as _, Type::TEXT),
            (&result as _, Type::TEXT),
        ];
        let rows = match end {
            End::Complete(_) => self.db.write_often(&self.complete, &params).await?,
            End::Release => self.db.write_one(&self.sql.release, &params).await?,
            End::Expire(_) => self.db.write_one(&self.sql.expire, &params).await?,
        };
        Ok(!rows.is_empty())
    }
}

fn key_state(row: &Row) -> KeyState {
    let now = Cells::new(row).time(11).unwrap_or(Timestamp::NEG_INFINITY);
    let lease = Cells::new(row).text(0).map(|_| lease(row));
    KeyState { now, lease }
}

#[async_trait]
impl ClaimStore for PostgresClaims {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn key_state(&self, key: &str) -> Result<KeyState> {
        let rows = self.db.quick(&STANDING, &[(&key, Type::TEXT)]).await?;
        rows.first().map(key_state).ok_or_else(|| Error::new(ErrorKind::Internal, "an answer is missing"))
    }

    async fn claim(&self, wish: &ClaimRequest, permit: &WritePermit) -> Result<Claim> {
        let (ttl, hard_ttl) = (wish.ttl_ms()?, wish.hard_ttl_ms());
        let note = metadata(&wish.owner, None, !self.utf8, permit);
        let params = [
            (&wish.key as _, Type::TEXT),
            (&wish.owner as _, Type::TEXT),
            (&ttl as _, Type::INT4),
            (&hard_ttl as _, Type::INT8),
            (&note as _, Type::TEXT),
        ];
        let (mut seen, mut drawn) = (None, None);
        for _ in 0..TRIES {
            let rows = self.db.write_often(&self.claim, &params).await.map_err(no_tokens)?;
            let mut cells = rows.first().map(Cells::new);
            if let Some(token) = cells.as_mut().and_then(|cells| cells.int(0)) {
                return Ok(Claim::Taken(Held { key: wish.key.clone(), owner: wish.owner.clone(), token }));
            }
            drawn = cells.as_mut().and_then(|cells| cells.int(1));
            let asked = [(&wish.key as _, Type::TEXT), (&note as _, Type::TEXT)];
            let rows = self.db.write_one(&self.sql.refusal, &asked).await?;
            // Gone, or free by now: somebody let go in that very moment, and the claim is made again.
            let Some(key_state) = rows.first().map(key_state) else { continue };
            match &key_state.lease {
                Some(lease) if lease.status != Status::Claimed || lease.alive == Some(true) => {
                    return Ok(Claim::Refused(key_state));
                }
                _ => seen = Some(key_state),
            }
        }
        let known = match &seen {
            Some(key_state) => key_state.lease.as_ref().and_then(|lease| lease.fencing_token),
            None => self.known(&wish.key).await?,
        };
        if let Some((drawn, known)) = drawn.zip(known).filter(|(drawn, known)| drawn <= known) {
            return Err(sequence_behind(drawn, known));
        }
        match seen {
            Some(key_state) => Ok(Claim::Refused(key_state)),
            None => Err(Error::new(ErrorKind::Changed, "the key appeared and vanished each time it was claimed")),
        }
    }

    async fn beat(&self, held: &Held, _permit: &WritePermit) -> Result<Option<Beat>> {
        let params = [(&held.key as _, Type::TEXT), (&held.owner as _, Type::TEXT), (&held.token as _, Type::INT8)];
        // A statement of its own: it does no harm when it comes late, for the guard is in it.
        match self.db.client().query_typed(BEAT.for_postgres(), &params).await {
            Ok(rows) => Ok(rows.first().map(|row| {
                let ttl = Cells::new(row).int(0).unwrap_or(0);
                Beat { ttl: Duration::from_millis(u64::try_from(ttl).unwrap_or(0)) }
            })),
            Err(error) => Err(self.db.explain(error).await),
        }
    }

    async fn complete(&self, held: &Held, result: &str, permit: &WritePermit) -> Result<bool> {
        check_result(result)?;
        self.guarded(End::Complete(result), held, permit).await
    }

    async fn release(&self, held: &Held, permit: &WritePermit) -> Result<bool> {
        self.guarded(End::Release, held, permit).await
    }

    async fn expire(&self, held: &Held, run: Option<&FailedRun>, permit: &WritePermit) -> Result<bool> {
        self.guarded(End::Expire(run), held, permit).await
    }

    fn ascii_only(&self) -> bool {
        !self.utf8
    }
}
