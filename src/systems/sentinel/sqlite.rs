//! Sentinel's tables in SQLite: our own mirror of 0.5.0's schema. SQL and row mapping, nothing else.
//!
//! Times are INTEGER microseconds since 1970 (the clock is SQLite's own, in milliseconds), so that comparing and adding
//! needs no time zone; `sentinel_token_seq` is a table of one row, because SQLite has no sequences.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use rusqlite::{Connection, OptionalExtension as _, named_params, params};
use tokio::sync::mpsc;

mod act;
pub(super) mod base;
mod list;
mod schema;

use super::port::{
    Acted, Census, DiagnosticFacts, EVENTS, Events, Group, LEASES, LeaseAct, LeaseChunk, LeaseQuery, LeaseStore,
    Leases, Look, RELATIONS, TOKENS, TakenBack, Typed,
};
use super::record::LeaseEvent;
use super::shape::Shape;
use base::{LOOK, event, lease, no_leases, now};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::report::Item;
use sen_model::rows::RowChange;
use sen_model::time::Timestamp;
use sen_model::undo::Standing;
use sen_stores::sqlite::{Sqlite, error_from};

/// Sentinel in one SQLite file.
pub struct SqliteLeases {
    db: Arc<Sqlite>,
}

impl SqliteLeases {
    /// Over an open file.
    pub fn new(db: Arc<Sqlite>) -> Self {
        Self { db }
    }

    /// Runs `work` if the tables are there.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let tables = self.db.tables();
        let guarded = move |db: &mut Connection| match tables.look(db)?.named(LEASES) {
            Some(_) => work(db),
            None => Err(no_leases()),
        };
        self.db.run(guarded).await
    }
}

const EVENTS_OF: &str = "SELECT id, key, event, occurred_at, fencing_token, owner_id, metadata FROM sentinel_events
    WHERE key = :key AND (:since IS NULL OR occurred_at >= :since) ORDER BY occurred_at DESC, id DESC LIMIT :limit";

const TOLD: &str = "SELECT event, count(*) FROM sentinel_events WHERE occurred_at >= ?1
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100";

/// Any column can hold a value of any type, and only a number is a time.
const CENSUS: &str =
    "SELECT status, CASE typeof(lease_expires_at) WHEN 'integer' THEN lease_expires_at > :now END AS alive,
        CASE typeof(hard_expires_at) WHEN 'integer' THEN hard_expires_at > :now END AS hard, count(*),
        min(coalesce(lease_updated_at, lease_expires_at)), max(lease_updated_at),
        count(*) FILTER (WHERE lease_updated_at > :now + 60000000),
        coalesce(ttl_ms = 3000 AND lease_expires_at - lease_updated_at NOT BETWEEN 1500000 AND 3010000
            AND lease_expires_at IS NOT hard_expires_at, 0) AS no_heartbeat
    FROM sentinel_leases GROUP BY 1, 2, 3, no_heartbeat";

/// How many keys are looked up in one transaction.
const SET: usize = 500;

const KEYS: &str = "SELECT key FROM (SELECT key FROM sentinel_leases WHERE key >= ?1 ORDER BY key LIMIT 10 * ?2)
    WHERE substr(key, 1, length(?1)) = ?1 LIMIT ?2";

/// From namespace to namespace by one look into the index each: `;` follows `:`. ?1 what they begin with, ?2 how many.
macro_rules! namespaces {
    () => {
        "WITH RECURSIVE step(key, taken) AS (
            SELECT * FROM (SELECT key, 1 FROM sentinel_leases WHERE key >= ?1 ORDER BY key LIMIT 1)
            UNION ALL
            SELECT (SELECT key FROM sentinel_leases AS later WHERE later.key > max(step.key,
                    CASE WHEN instr(step.key, ':') > 0 THEN substr(step.key, 1, instr(step.key, ':') - 1) || ';'
                    ELSE step.key END) ORDER BY key LIMIT 1), taken + 1
            FROM step WHERE step.key IS NOT NULL AND taken < 4 * ?2
        ), spaces(name) AS (SELECT DISTINCT substr(key, 1, instr(key, ':') - 1) FROM step
            WHERE instr(key, ':') > 1 AND substr(key, 1, length(?1)) = ?1 LIMIT ?2)"
    };
}

const NAMESPACES: &str = concat!(namespaces!(), " SELECT name FROM spaces");

/// Whether the results of a few completed keys that begin with ?1 are objects, all or none.
const OBJECTS: &str = "SELECT CASE min(object) WHEN max(object) THEN min(object) END FROM (
        SELECT json_type(execution_result) = 'object' AS object FROM (
            SELECT key, status, execution_result FROM sentinel_leases WHERE key >= ?1 ORDER BY key LIMIT 50)
        WHERE substr(key, 1, length(?1)) = ?1 AND status = 'completed' AND json_valid(execution_result)
            AND json_type(execution_result) <> 'null')";

/// ?3 names as a JSON list, ?4 whether only completed keys.
const NAMED: &str = concat!(
    namespaces!(),
    ", wanted(name) AS (SELECT value FROM json_each(?3)
        UNION SELECT s.name || ':' || w.value FROM spaces AS s, json_each(?3) AS w)
    SELECT l.key FROM wanted JOIN sentinel_leases AS l ON l.key = wanted.name
    WHERE NOT ?4 OR l.status = 'completed' ORDER BY 1 LIMIT 1000"
);

/// The newest events of a key, in the order of time.
fn events(db: &Connection, key: &str, since: Option<Timestamp>, limit: Option<i64>) -> Result<Vec<LeaseEvent>> {
    let mut statement = db.prepare(EVENTS_OF).map_err(error_from)?;
    let since = since.map(Timestamp::as_micros);
    let bound = named_params! {":key": key, ":since": since, ":limit": limit.unwrap_or(-1)};
    let rows = statement.query_map(bound, |row| Ok(event(row))).map_err(error_from)?;
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
        let look = self.look_all(&[key.to_owned()], limit).await?.pop();
        look.ok_or_else(|| Error::new(ErrorKind::Internal, "an answer is missing"))
    }

    async fn look_all(&self, keys: &[String], limit: u32) -> Result<Vec<Look>> {
        let mut looks = Vec::with_capacity(keys.len());
        for set in keys.chunks(SET) {
            let (set, tables) = (set.to_vec(), self.db.tables());
            let more = self.run(move |db| {
                let snapshot = db.transaction().map_err(error_from)?;
                let (now, told) = (now(&snapshot)?, tables.look(&snapshot)?.named(EVENTS).is_some());
                let mut one = snapshot.prepare(LOOK).map_err(error_from)?;
                set.iter()
                    .map(|key| {
                        let bound = named_params! {":key": key, ":now": now.as_micros()};
                        let lease = one.query_row(bound, |row| Ok(lease(row))).optional().map_err(error_from)?;
                        let events = match told {
                            true => Some(Events { now, rows: events(&snapshot, key, None, Some(i64::from(limit)))? }),
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
        let now = self.run(|db| now(db)).await?;
        let query = query.clone();
        let (sender, receiver) = mpsc::channel::<Result<LeaseChunk>>(4);
        let complaints = sender.clone();
        self.db.start(
            move |db| list::stream_leases(db, &query, now, &sender),
            move |error| drop(complaints.blocking_send(Err(error))),
        )?;
        let chunks =
            stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) });
        Ok(Leases { now, chunks: Box::pin(chunks) })
    }

    async fn events(&self, key: &str, limit: Option<i64>) -> Result<Events> {
        let key = key.to_owned();
        self.run(move |db| Ok(Events { now: now(db)?, rows: events(db, &key, None, limit)? })).await
    }

    async fn events_since(&self, key: &str, since: Option<Timestamp>) -> Result<Events> {
        let key = key.to_owned();
        self.run(move |db| Ok(Events { now: now(db)?, rows: events(db, &key, since, None)? })).await
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

    async fn storable(&self, _result: &str, prefix: &str) -> Result<Option<bool>> {
        let prefix = prefix.to_owned();
        self.run(move |db| db.query_row(OBJECTS, [prefix], |row| row.get(0)).map_err(error_from)).await
    }

    async fn named(&self, names: &[String], completed: bool) -> Result<Vec<String>> {
        let names = serde_json::to_string(names).unwrap_or_default();
        self.run(move |db| {
            let mut statement = db.prepare(NAMED).map_err(error_from)?;
            let bound = params!["", super::port::NAMESPACES, names, completed];
            let rows = statement.query_map(bound, |row| row.get(0)).map_err(error_from)?;
            Ok(rows.filter_map(rusqlite::Result::ok).collect())
        })
        .await
    }

    async fn complete(&self, what: Typed, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        let sql = match what {
            Typed::Key => KEYS,
            Typed::Namespace => NAMESPACES,
        };
        self.run(move |db| {
            let mut statement = db.prepare(sql).map_err(error_from)?;
            let rows = statement.query_map(params![prefix, limit], |row| row.get(0)).map_err(error_from)?;
            Ok(rows.filter_map(rusqlite::Result::ok).collect())
        })
        .await
    }

    async fn census(&self) -> Result<Census> {
        let tables = self.db.tables();
        self.run(move |db| {
            let snapshot = db.transaction().map_err(error_from)?;
            census(&snapshot, Shape::of(&*tables.look(&snapshot)?))
        })
        .await
    }

    async fn told(&self, window: Duration) -> Result<Option<Vec<(String, i64)>>> {
        let tables = self.db.tables();
        let told = move |db: &mut Connection| {
            if tables.look(db)?.named(EVENTS).is_none() {
                return Ok(None);
            }
            let since = now(db)?.minus(window).as_micros();
            let mut statement = db.prepare(TOLD).map_err(error_from)?;
            let rows = statement.query_map([since], |row| Ok((row.get(0).unwrap_or_default(), row.get(1)?)));
            rows.and_then(Iterator::collect).map(Some).map_err(error_from)
        };
        self.run(told).await
    }

    async fn act(&self, wanted: &LeaseAct, _permit: &WritePermit) -> Result<Option<Acted>> {
        let wanted = wanted.clone();
        self.run(move |db| act::act(db, &wanted)).await
    }

    async fn standings(&self, targets: &[&[RowChange]]) -> Result<Vec<Standing>> {
        let targets: Vec<Vec<RowChange>> = targets.iter().map(|changes| changes.to_vec()).collect();
        self.run(move |db| act::standings(db, &targets)).await
    }

    async fn take_back(&self, targets: &[TakenBack<'_>], _permit: &WritePermit) -> Result<Vec<bool>> {
        let back = |target: &TakenBack<'_>| act::Back {
            key: target.key.to_owned(),
            changes: target.changes.to_vec(),
            event: target.event,
            token: target.token,
            above: target.above,
            note: target.note.clone(),
        };
        let targets: Vec<act::Back> = targets.iter().map(back).collect();
        self.run(move |db| act::take_back(db, &targets)).await
    }

    async fn diagnostics(&self) -> Result<DiagnosticFacts> {
        let tables = self.db.tables();
        self.db
            .run(move |db| {
                let catalogue = tables.look(db)?;
                if catalogue.named(LEASES).is_none() {
                    return Ok(DiagnosticFacts::default());
                }
                let number = |sql| db.query_row(sql, [], |row| row.get(0)).optional().map_err(error_from);
                let no_sequence = catalogue.named(TOKENS).is_none();
                let last = if no_sequence { None } else { number("SELECT last_value FROM sentinel_token_seq")? };
                let largest = number("SELECT max(fencing_token) FROM sentinel_leases")?;
                Ok(DiagnosticFacts {
                    last_token: last.flatten(),
                    largest_token: largest.flatten(),
                    no_sequence,
                    ..DiagnosticFacts::default()
                })
            })
            .await
    }

    async fn relations(&self) -> Result<Vec<String>> {
        let tables = self.db.tables();
        let catalogue = self.db.run(move |db| tables.look(db)).await?;
        let there = RELATIONS.iter().filter(|name| catalogue.named(name).is_some());
        Ok(there.map(|name| (*name).to_owned()).collect())
    }

    async fn init(&self, _permit: &WritePermit) -> Result<Vec<Item>> {
        self.db.run(schema::init).await
    }
}

fn census(db: &Connection, shape: Shape) -> Result<Census> {
    let now = now(db)?;
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
                // Microseconds since 1970 have no zone to be wrong in.
                behind: 0,
                behind_key: None,
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
