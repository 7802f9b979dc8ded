//! Sentinel's tables in SQLite: our own mirror of 0.5.0's schema. SQL and row mapping, nothing else.
//!
//! Times are INTEGER microseconds since 1970 (the clock is SQLite's own, in milliseconds), so that comparing and adding
//! needs no time zone; `sentinel_token_seq` is a table of one row, because SQLite has no sequences.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use tokio::sync::mpsc;

mod act;

use super::port::{
    Acted, Census, Events, Group, LEASES, LeaseAct, LeaseChunk, LeaseQuery, LeaseStore, Leases, Look, Order, RELATIONS,
    TOKENS, Typed, Upkeep, no_sequence,
};
use super::record::{Lease, LeaseEvent, Status};
use super::shape::{ColumnFact, Shape};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::report::{Item, Outcome};
use sen_model::subject::Subject;
use sen_model::time::Timestamp;
use sen_stores::sqlite::{Sqlite, commit, error_from};

/// Sentinel in one SQLite file.
pub struct SqliteLeases {
    db: Arc<Sqlite>,
}

impl SqliteLeases {
    /// Over an open file.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }
}

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

const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000";

pub(super) const LOOK: &str =
    "SELECT key, owner_id, status, fencing_token, lease_expires_at, lease_updated_at, hard_expires_at,
        lease_expires_at > :now, hard_expires_at > :now, ttl_ms, execution_result
    FROM sentinel_leases WHERE key = :key";

const EVENTS: &str = "SELECT id, key, event, occurred_at, fencing_token, owner_id, metadata
    FROM sentinel_events WHERE key = :key ORDER BY occurred_at DESC, id DESC LIMIT :limit";

const EVENTS_SINCE: &str = "SELECT id, key, event, occurred_at, fencing_token, owner_id, metadata
    FROM sentinel_events WHERE key = :key AND (:since IS NULL OR occurred_at >= :since) ORDER BY occurred_at DESC, id DESC";

const LIST: &str = "SELECT key, owner_id, status, fencing_token, lease_expires_at, lease_updated_at, hard_expires_at,
        lease_expires_at > :now, hard_expires_at > :now, ttl_ms, CASE WHEN :payloads THEN execution_result END
    FROM sentinel_leases
    WHERE (:states IS NULL OR EXISTS (SELECT 1 FROM json_each(:states) AS wanted WHERE wanted.value IN (status,
            CASE WHEN status IN ('reconciling', 'completed') THEN status
                 WHEN status IS NULL OR status NOT IN ('claimed', 'executing') OR typeof(lease_expires_at) <> 'integer'
                    THEN 'unreadable'
                 WHEN status = 'claimed' THEN CASE WHEN lease_expires_at > :now THEN 'held' ELSE 'free' END
                 WHEN lease_expires_at > :now THEN 'alive'
                 WHEN typeof(hard_expires_at) = 'integer' AND hard_expires_at > :now THEN 'stalled' ELSE 'uncertain' END)))
      AND (:prefix IS NULL OR substr(key, 1, length(:prefix)) = :prefix)
      AND (:owner IS NULL OR substr(owner_id, 1, length(:owner)) = :owner)
      AND (NOT :expired OR lease_expires_at <= :now)
      AND (NOT :alive OR lease_expires_at > :now)
      AND (:since IS NULL OR coalesce(lease_updated_at, lease_expires_at) >= :since)
      AND (:until IS NULL OR coalesce(lease_updated_at, lease_expires_at) < :until)
      AND (:older IS NULL OR coalesce(lease_updated_at, lease_expires_at) < :older)";

/// Any column can hold a value of any type, and only a number is a time.
const CENSUS: &str =
    "SELECT status, CASE typeof(lease_expires_at) WHEN 'integer' THEN lease_expires_at > :now END AS alive,
        CASE typeof(hard_expires_at) WHEN 'integer' THEN hard_expires_at > :now END AS hard, count(*),
        min(coalesce(lease_updated_at, lease_expires_at)), max(lease_updated_at),
        count(*) FILTER (WHERE lease_updated_at > :now + 60000000),
        coalesce(ttl_ms = 3000 AND lease_expires_at - lease_updated_at NOT BETWEEN 1500000 AND 3010000
            AND lease_expires_at IS NOT hard_expires_at, 0) AS no_heartbeat
    FROM sentinel_leases GROUP BY 1, 2, 3, no_heartbeat";

/// A token larger than the last one drawn and than every token the key is known to have had: a sequence that was set back
/// would hand out a token again that a late worker holds.
const DRAW: &str = "UPDATE sentinel_token_seq SET last_value = 1 + max(last_value,
        coalesce((SELECT fencing_token FROM sentinel_leases WHERE key = :key), 0), :known)
    RETURNING last_value";

const KNOWN: &str = "SELECT coalesce(max(fencing_token), 0) FROM (SELECT fencing_token FROM sentinel_events
    WHERE key = :key ORDER BY occurred_at DESC LIMIT 100)";

/// Draws a fencing token for a key, within the transaction that uses it.
pub(super) fn draw(writing: &Connection, key: &str) -> Result<i64> {
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

/// How many keys are looked up in one transaction.
const SET: usize = 500;

const fn order_by(order: Order, descending: bool) -> &'static str {
    match (order, descending) {
        (Order::Stored, false) => "",
        (Order::Stored, true) => " ORDER BY rowid DESC",
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

const KEYS: &str = "SELECT key FROM (SELECT key FROM sentinel_leases WHERE key >= ?1 ORDER BY key LIMIT 10 * ?2)
    WHERE substr(key, 1, length(?1)) = ?1 LIMIT ?2";

/// From namespace to namespace by one look into the index each: `;` follows `:`.
const NAMESPACES: &str = "WITH RECURSIVE step(key, taken) AS (
        SELECT * FROM (SELECT key, 1 FROM sentinel_leases WHERE key >= ?1 ORDER BY key LIMIT 1)
        UNION ALL
        SELECT (SELECT key FROM sentinel_leases AS later WHERE later.key > max(step.key,
                CASE WHEN instr(step.key, ':') > 0 THEN substr(step.key, 1, instr(step.key, ':') - 1) || ';'
                ELSE step.key END) ORDER BY key LIMIT 1), taken + 1
        FROM step WHERE step.key IS NOT NULL AND taken < 4 * ?2
    )
    SELECT DISTINCT substr(key, 1, instr(key, ':') - 1) FROM step
    WHERE instr(key, ':') > 1 AND substr(key, 1, length(?1)) = ?1 LIMIT ?2";

pub(super) fn now(db: &Connection) -> Result<Timestamp> {
    db.query_row(NOW, [], |row| row.get(0)).map(Timestamp::from_micros).map_err(error_from)
}

pub(super) fn has(db: &Connection, relation: &str) -> Result<bool> {
    db.query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [relation], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
        .map_err(error_from)
}

/// Every reader passes here first: a file without leases is not an SQL error but a missing system.
pub(super) fn must_have_leases(db: &Connection) -> Result<()> {
    if has(db, "sentinel_leases")? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NoSystem, "this SQLite file has no Sentinel tables (sentinel_leases)")
        .with_hint("check the path in DATABASE_URL; `sen init` creates empty tables, `sen demo` a database to try"))
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
        if super::record::is_json(&text) {
            return Some(text);
        }
        self.unreadable.push(format!("column {name} is not valid JSON"));
        serde_json::to_string(&text).ok()
    }
}

pub(super) fn lease(row: &Row<'_>) -> Lease {
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

fn event(row: &Row<'_>) -> LeaseEvent {
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

fn events(db: &Connection, key: &str, limit: Option<i64>) -> Result<Vec<LeaseEvent>> {
    let mut statement = db.prepare(EVENTS).map_err(error_from)?;
    let rows = statement.query_map(named_params! {":key": key, ":limit": limit.unwrap_or(-1)}, |row| Ok(event(row)));
    collect_in_time_order(rows.map_err(error_from)?)
}

fn collect_in_time_order(rows: impl Iterator<Item = rusqlite::Result<LeaseEvent>>) -> Result<Vec<LeaseEvent>> {
    let mut rows: Vec<LeaseEvent> = rows.collect::<rusqlite::Result<_>>().map_err(error_from)?;
    rows.reverse();
    Ok(rows)
}

#[async_trait]
impl LeaseStore for SqliteLeases {
    fn database(&self) -> &str {
        self.db.describe()
    }

    async fn look(&self, key: &str, limit: u32) -> Result<Look> {
        let key = key.to_owned();
        self.db
            .run(move |db| {
                must_have_leases(db)?;
                let snapshot = db.transaction().map_err(error_from)?;
                let now = now(&snapshot)?;
                let found = snapshot
                    .query_row(LOOK, named_params! {":key": key, ":now": now.as_micros()}, |row| Ok(lease(row)))
                    .optional()
                    .map_err(error_from)?;
                let events = match has(&snapshot, "sentinel_events")? {
                    true => Some(Events { now, rows: events(&snapshot, &key, Some(i64::from(limit)))? }),
                    false => None,
                };
                Ok(Look { now, lease: found, events })
            })
            .await
    }

    async fn look_all(&self, keys: &[String], limit: u32) -> Result<Vec<Look>> {
        let mut looks = Vec::with_capacity(keys.len());
        for set in keys.chunks(SET) {
            let set = set.to_vec();
            let more = self.db.run(move |db| {
                must_have_leases(db)?;
                let snapshot = db.transaction().map_err(error_from)?;
                let (now, told) = (now(&snapshot)?, has(&snapshot, "sentinel_events")?);
                let mut one = snapshot.prepare(LOOK).map_err(error_from)?;
                set.iter()
                    .map(|key| {
                        let bound = named_params! {":key": key, ":now": now.as_micros()};
                        let lease = one.query_row(bound, |row| Ok(lease(row))).optional().map_err(error_from)?;
                        let events = match told {
                            true => Some(Events { now, rows: events(&snapshot, key, Some(i64::from(limit)))? }),
                            false => None,
                        };
                        Ok(Look { now, lease, events })
                    })
                    .collect::<Result<Vec<Look>>>()
            });
            looks.extend(more.await?);
        }
        Ok(looks)
    }

    async fn list(&self, query: &LeaseQuery) -> Result<Leases> {
        let now = self
            .db
            .run(|db| {
                must_have_leases(db)?;
                now(db)
            })
            .await?;
        let query = query.clone();
        let (sender, receiver) = mpsc::channel::<Result<LeaseChunk>>(4);
        let complaints = sender.clone();
        self.db.start(
            move |db| stream_leases(db, &query, now, &sender),
            move |error| drop(complaints.blocking_send(Err(error))),
        )?;
        let chunks =
            stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) });
        Ok(Leases { now, chunks: Box::pin(chunks) })
    }

    async fn events(&self, key: &str, limit: Option<i64>) -> Result<Events> {
        let key = key.to_owned();
        self.db
            .run(move |db| {
                must_have_leases(db)?;
                Ok(Events { now: now(db)?, rows: events(db, &key, limit)? })
            })
            .await
    }

    async fn events_since(&self, key: &str, since: Option<Timestamp>) -> Result<Events> {
        let key = key.to_owned();
        self.db
            .run(move |db| {
                must_have_leases(db)?;
                let now = now(db)?;
                let mut statement = db.prepare(EVENTS_SINCE).map_err(error_from)?;
                let bound = named_params! {":key": key, ":since": since.map(Timestamp::as_micros)};
                let rows = statement.query_map(bound, |row| Ok(event(row))).map_err(error_from)?;
                Ok(Events { now, rows: collect_in_time_order(rows)? })
            })
            .await
    }

    async fn probe_keys(&self, key: &str, candidates: &[String]) -> Result<Vec<String>> {
        let (key, candidates) = (key.to_owned(), candidates.to_vec());
        self.db
            .run(move |db| {
                let mut out: Vec<String> = Vec::new();
                let mut exact = db.prepare("SELECT key FROM sentinel_leases WHERE key = ?1").map_err(error_from)?;
                for candidate in candidates {
                    out.extend(exact.query_row([candidate], |row| row.get(0)).optional().map_err(error_from)?);
                }
                for neighbours in [
                    "SELECT key FROM sentinel_leases WHERE key > ?1 ORDER BY key LIMIT 5",
                    "SELECT key FROM sentinel_leases WHERE key < ?1 ORDER BY key DESC LIMIT 5",
                ] {
                    let mut statement = db.prepare(neighbours).map_err(error_from)?;
                    let rows = statement.query_map([&key], |row| row.get(0)).map_err(error_from)?;
                    for row in rows {
                        out.extend(row.ok());
                    }
                }
                Ok(out)
            })
            .await
    }

    async fn complete(&self, what: Typed, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let (prefix, limit) = (prefix.to_owned(), limit);
        let sql = match what {
            Typed::Key => KEYS,
            Typed::Namespace => NAMESPACES,
        };
        self.db
            .run(move |db| {
                must_have_leases(db)?;
                let mut statement = db.prepare(sql).map_err(error_from)?;
                let rows = statement.query_map(params![prefix, limit], |row| row.get(0)).map_err(error_from)?;
                Ok(rows.filter_map(rusqlite::Result::ok).collect())
            })
            .await
    }

    async fn census(&self) -> Result<Census> {
        self.db
            .run(|db| {
                must_have_leases(db)?;
                let snapshot = db.transaction().map_err(error_from)?;
                census(&snapshot)
            })
            .await
    }

    async fn act(&self, wanted: &LeaseAct, _permit: &WritePermit) -> Result<Option<Acted>> {
        let wanted = wanted.clone();
        self.db
            .run(move |db| {
                must_have_leases(db)?;
                act::act(db, &wanted)
            })
            .await
    }

    async fn upkeep(&self) -> Result<Upkeep> {
        self.db
            .run(|db| {
                if !has(db, LEASES)? {
                    return Ok(Upkeep::default());
                }
                let number = |sql| db.query_row(sql, [], |row| row.get(0)).optional().map_err(error_from);
                let no_sequence = !has(db, TOKENS)?;
                let last = if no_sequence { None } else { number("SELECT last_value FROM sentinel_token_seq")? };
                let largest = number("SELECT max(fencing_token) FROM sentinel_leases")?;
                Ok(Upkeep {
                    last_token: last.flatten(),
                    largest_token: largest.flatten(),
                    no_sequence,
                    ..Upkeep::default()
                })
            })
            .await
    }

    async fn relations(&self) -> Result<Vec<String>> {
        self.db
            .run(|db| {
                let mut found = Vec::new();
                for name in RELATIONS {
                    if has(db, name)? {
                        found.push(name.to_owned());
                    }
                }
                Ok(found)
            })
            .await
    }

    async fn init(&self, _permit: &WritePermit) -> Result<Vec<Item>> {
        self.db
            .run(|db| {
                let writing =
                    db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(error_from)?;
                let mut items = Vec::new();
                for (name, ddl) in CREATE {
                    let exists = has(&writing, name)?;
                    if !exists {
                        writing.execute_batch(ddl).map_err(error_from)?;
                    }
                    let (outcome, detail) =
                        if exists { (Outcome::AlreadyDone, "already there") } else { (Outcome::Applied, "created") };
                    items.push(Item::new(Subject::new(crate::record::NAME, "relation", name), outcome, detail));
                    if name == LEASES && items[0].outcome == Outcome::Applied {
                        writing.execute_batch(RAISE).map_err(error_from)?;
                    }
                }
                commit(writing)?;
                Ok(items)
            })
            .await
    }
}

fn stream_leases(
    db: &Connection,
    query: &LeaseQuery,
    now: Timestamp,
    out: &mpsc::Sender<Result<LeaseChunk>>,
) -> Result<()> {
    let micros = now.as_micros();
    let moment = |bound: super::port::Bound| bound.at.or(bound.ago.map(|ago| micros.saturating_sub(ago)));
    let states = (!query.states.is_empty()).then(|| serde_json::Value::from(query.states.clone()).to_string());
    let [until, older] = query.upper_bounds().map(moment);
    let text = format!("{LIST}{} LIMIT :limit", order_by(query.order, query.descending));
    let mut statement = db.prepare(&text).map_err(error_from)?;
    let mut rows = statement
        .query(named_params! {
            ":now": micros, ":payloads": query.payloads, ":states": states, ":prefix": query.prefix, ":owner": query.owner,
            ":expired": query.expired, ":alive": query.alive, ":since": moment(query.lower_bound()), ":until": until, ":older": older,
            ":limit": query.limit.unwrap_or(-1),
        })
        .map_err(error_from)?;
    let mut chunk = Vec::new();
    while let Some(row) = rows.next().map_err(error_from)? {
        chunk.push(lease(row));
        if chunk.len() == 256 && out.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
            return Ok(());
        }
    }
    drop(out.blocking_send(Ok(chunk)));
    Ok(())
}

fn census(db: &Connection) -> Result<Census> {
    let now = now(db)?;
    let mut columns = Vec::new();
    for relation in &RELATIONS[1..] {
        let mut statement = db.prepare("SELECT name, type FROM pragma_table_info(?1)").map_err(error_from)?;
        let rows = statement
            .query_map([relation], |row| {
                Ok(ColumnFact {
                    relation: (*relation).to_owned(),
                    name: row.get(0)?,
                    type_name: row.get(1)?,
                    schema: "main".into(),
                })
            })
            .map_err(error_from)?;
        columns.extend(rows.filter_map(rusqlite::Result::ok));
    }
    let shape = Shape { columns };
    let mut statement = db.prepare(CENSUS).map_err(error_from)?;
    let groups = statement
        .query_map(named_params! {":now": now.as_micros()}, |row| {
            Ok(Group {
                status: row.get(0).unwrap_or_default(),
                alive: row.get(1).unwrap_or_default(),
                hard_alive: row.get(2).unwrap_or_default(),
                count: row.get(3)?,
                oldest: row.get::<_, Option<i64>>(4).unwrap_or_default().map(Timestamp::from_micros),
                newest: row.get::<_, Option<i64>>(5).unwrap_or_default().map(Timestamp::from_micros),
                ahead: row.get(6).unwrap_or_default(),
                no_heartbeat: row.get(7).unwrap_or_default(),
            })
        })
        .and_then(Iterator::collect)
        .map_err(error_from)?;
    let (mut count, mut last_event) = (None, None);
    if shape.has_events() {
        // max(id) is an index look-up; it counts every event ever written, which is what an estimate is for.
        count = db
            .query_row("SELECT coalesce(max(id), 0) FROM sentinel_events", [], |row| row.get(0))
            .map_err(error_from)?;
        last_event = db
            .query_row("SELECT occurred_at FROM sentinel_events ORDER BY id DESC LIMIT 1", params![], |row| row.get(0))
            .optional()
            .map_err(error_from)?
            .map(Timestamp::from_micros);
    }
    let facts = vec![("server", format!("SQLite {}", rusqlite::version()))];
    Ok(Census { now, shape, groups, events: count, last_event, facts })
}
