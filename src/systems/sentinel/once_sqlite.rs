//! Running work once per key on the embedded SQLite form of Sentinel's tables. SQL and row mapping, nothing else.
//!
//! Every act is one BEGIN IMMEDIATE transaction: the write lock is taken before anything is read, so what is read is what
//! the write is based on.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, named_params};

use super::once_port::{Beat, Claim, ClaimRequest, ClaimStore, FailedRun, Held, KeyState, check_result, metadata};
use super::sqlite::base::{LOOK, draw, has, lease, must_have_leases, now};
use sen_model::error::Result;
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;
use sen_stores::sqlite::{Sqlite, commit, error_from};

/// Sentinel for workers in one SQLite file.
pub struct SqliteClaims {
    db: Sqlite,
}

const CLAIM: &str = "INSERT INTO sentinel_leases (key, owner_id, lease_expires_at, lease_updated_at, hard_expires_at,
        fencing_token, ttl_ms, status)
    VALUES (:key, :owner, :now + :ttl * 1000, :now, :now + :hard * 1000, :token, :ttl, 'executing')
    ON CONFLICT (key) DO UPDATE SET owner_id = excluded.owner_id, lease_expires_at = excluded.lease_expires_at,
        lease_updated_at = excluded.lease_updated_at, hard_expires_at = excluded.hard_expires_at,
        fencing_token = excluded.fencing_token, ttl_ms = excluded.ttl_ms, status = 'executing'
    WHERE lease_expires_at < :now AND status = 'claimed'";

const EVENT: &str = "INSERT INTO sentinel_events (key, event, occurred_at, owner_id, fencing_token, metadata)
    VALUES (:key, :event, :now, :owner, :token, :note)";

const BEAT: &str = "UPDATE sentinel_leases SET lease_expires_at = :now + ttl_ms * 1000, lease_updated_at = :now
    WHERE key = :key AND owner_id = :owner AND fencing_token = :token AND status = 'executing' AND hard_expires_at > :now
    RETURNING ttl_ms";

const COMPLETE: &str =
    "UPDATE sentinel_leases SET status = 'completed', execution_result = :result, lease_updated_at = :now
    WHERE key = :key AND owner_id = :owner AND fencing_token = :token AND status = 'executing' AND :now IS NOT NULL";

const RELEASE: &str = "DELETE FROM sentinel_leases
    WHERE key = :key AND owner_id = :owner AND fencing_token = :token AND status = 'executing'
        AND :now IS NOT NULL AND :result IS NULL";

const EXPIRE: &str = "UPDATE sentinel_leases SET hard_expires_at = :now, lease_expires_at = :now
    WHERE key = :key AND owner_id = :owner AND fencing_token = :token AND status = 'executing' AND :result IS NULL";

impl SqliteClaims {
    /// Over an open file.
    ///
    /// # Errors
    /// `NoSystem` without Sentinel's tables.
    pub async fn open(db: Sqlite) -> Result<Self> {
        db.run(|db| must_have_leases(db)).await?;
        Ok(Self { db })
    }

    async fn guarded(
        &self,
        sql: &'static str,
        event: &'static str,
        held: &Held,
        permit: &WritePermit,
        result: Option<&str>,
        run: Option<&FailedRun>,
    ) -> Result<bool> {
        let (held, note) = (held.clone(), metadata(&held.owner, run, false, permit));
        let result = result.map(str::to_owned);
        self.db
            .run(move |db| {
                let writing = begin(db)?;
                let now = now(&writing)?;
                let changed = writing
                    .execute(
                        sql,
                        named_params! {":key": held.key, ":owner": held.owner, ":token": held.token,
                        ":now": now.as_micros(), ":result": result},
                    )
                    .map_err(error_from)?;
                if changed > 0 {
                    tell(&writing, &held.key, event, now, Some(&held.owner), Some(held.token), &note)?;
                }
                commit(writing)?;
                Ok(changed > 0)
            })
            .await
    }
}

fn begin(db: &mut Connection) -> Result<Transaction<'_>> {
    db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error_from)
}

fn tell(
    db: &Connection,
    key: &str,
    event: &str,
    now: Timestamp,
    owner: Option<&str>,
    token: Option<i64>,
    note: &str,
) -> Result<()> {
    if !has(db, "sentinel_events")? {
        return Ok(());
    }
    let bound = named_params! {":key": key, ":event": event, ":now": now.as_micros(), ":owner": owner,
    ":token": token, ":note": note};
    db.execute(EVENT, bound).map(drop).map_err(error_from)
}

fn look(db: &Connection, key: &str, now: Timestamp) -> Result<KeyState> {
    let found = db
        .query_row(LOOK, named_params! {":key": key, ":now": now.as_micros()}, |row| Ok(lease(row)))
        .optional()
        .map_err(error_from)?;
    Ok(KeyState { now, lease: found })
}

#[async_trait]
impl ClaimStore for SqliteClaims {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn key_state(&self, key: &str) -> Result<KeyState> {
        let key = key.to_owned();
        self.db.run(move |db| look(db, &key, now(db)?)).await
    }

    async fn claim(&self, wish: &ClaimRequest, permit: &WritePermit) -> Result<Claim> {
        let (ttl, hard_ttl, note) = (wish.ttl_ms()?, wish.hard_ttl_ms(), metadata(&wish.owner, None, false, permit));
        let wish = wish.clone();
        self.db
            .run(move |db| {
                let writing = begin(db)?;
                let now = now(&writing)?;
                let token = draw(&writing, &wish.key)?;
                let taken = writing
                    .execute(
                        CLAIM,
                        named_params! {":key": wish.key, ":owner": wish.owner, ":now": now.as_micros(),
                        ":ttl": ttl, ":hard": hard_ttl, ":token": token},
                    )
                    .map_err(error_from)?;
                let claim = if taken > 0 {
                    for event in ["acquired", "executing"] {
                        tell(&writing, &wish.key, event, now, Some(&wish.owner), Some(token), &note)?;
                    }
                    Claim::Taken(Held { key: wish.key, owner: wish.owner, token })
                } else {
                    let key_state = look(&writing, &wish.key, now)?;
                    let holder = key_state.lease.as_ref();
                    let owner = holder.and_then(|lease| lease.owner_id.as_deref());
                    let token = holder.and_then(|lease| lease.fencing_token);
                    tell(&writing, &wish.key, "rejected", now, owner, token, &note)?;
                    Claim::Refused(key_state)
                };
                commit(writing)?;
                Ok(claim)
            })
            .await
    }

    async fn beat(&self, held: &Held, _permit: &WritePermit) -> Result<Option<Beat>> {
        let held = held.clone();
        self.db
            .run(move |db| {
                let writing = begin(db)?;
                let now = now(&writing)?.as_micros();
                let bound = named_params! {":key": held.key, ":owner": held.owner, ":token": held.token, ":now": now};
                let ttl: Option<i64> =
                    writing.query_row(BEAT, bound, |row| row.get(0)).optional().map_err(error_from)?;
                commit(writing)?;
                Ok(ttl.map(|ttl| Beat { ttl: Duration::from_millis(u64::try_from(ttl).unwrap_or(0)) }))
            })
            .await
    }

    async fn complete(&self, held: &Held, result: &str, permit: &WritePermit) -> Result<bool> {
        check_result(result)?;
        self.guarded(COMPLETE, "completed", held, permit, Some(result), None).await
    }

    async fn release(&self, held: &Held, permit: &WritePermit) -> Result<bool> {
        self.guarded(RELEASE, "released", held, permit, None, None).await
    }

    async fn expire(&self, held: &Held, run: Option<&FailedRun>, permit: &WritePermit) -> Result<bool> {
        self.guarded(EXPIRE, "expired", held, permit, None, run).await
    }
}
