//! Sentinel's tables in PostgreSQL, in every version that made them. SQL and row mapping, nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

mod act;
pub(super) mod rows;
mod schema;
mod sql;

use super::port::{
    Acted, Census, DiagnosticFacts, Events, LeaseAct, LeaseQuery, LeaseStore, Leases, Look, RELATIONS, TOKENS, Typed,
    Verb, no_sequence, sequence_behind,
};
use super::record::{Lease, LeaseEvent};
use super::why::Lock;
use rows::{CLOCK, census, clock, each, in_time_order, lease};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::report::Item;
use sen_model::time::Timestamp;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::encode;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::{Query, chunks};
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::sql::Sql;

/// Sentinel in one PostgreSQL database.
pub struct PostgresLeases {
    link: Arc<SharedConnection>,
}

impl PostgresLeases {
    /// Over a shared connection.
    pub fn new(link: Arc<SharedConnection>) -> Self {
        Self { link }
    }
}

const UNDEFINED_TABLE: &str = "42P01";

/// How many keys one statement looks up.
const SET: usize = 500;

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
        let row = self.link.change(&Query::new(&sql, params), &proof, permit.operation()).await;
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
        let asks = [Query::new(&CLOCK, []), Query::new(sql, params)];
        let [clock_rows, rows] = each(self.link.snapshot(&asks).await?);
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

    /// Where the record of an act can be kept.
    async fn recording(&self) -> Result<act::Recording> {
        let rows = self.link.ask(Query::new(&sql::RECORDING, [])).await?;
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

#[async_trait]
impl LeaseStore for PostgresLeases {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn look(&self, key: &str, events: u32) -> Result<Look> {
        let limit = i64::from(events);
        let asks = [
            Query::new(&CLOCK, []),
            Query::new(&sql::LOOK, [(&key as _, Type::TEXT)]),
            // Last: before 0.5.0 there is no such table, and the error ends the transaction.
            Query::new(&sql::EVENTS, [(&key as _, Type::TEXT), (&limit as _, Type::INT8)]),
        ];
        let [now, found, events] = each(self.link.snapshot(&asks).await?);
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
                Query::new(&CLOCK, []),
                Query::new(&sql::LOOKS, [(&set as _, Type::TEXT_ARRAY)]),
                Query::new(&sql::EVENTS_OF_ALL, [(&set as _, Type::TEXT_ARRAY), (&limit as _, Type::INT8)]),
            ];
            let [now, found, told] = each(self.link.snapshot(&asks).await?);
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
        let rows = self.link.ask(Query::new(&sql::ZONELESS, [])).await?;
        Ok(rows.first().is_some_and(|row| Cells::new(row).flag(0) == Some(true)))
    }

    async fn storable(&self, result: &str) -> Result<()> {
        match self.link.ask(Query::new(&sql::STORABLE, [(&result as _, Type::TEXT)])).await {
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
        let sql = sql::list(query);
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
        let long = Query::new(&sql, params);
        let (now, rows) =
            self.link.snapshot_stream(&Query::new(&CLOCK, []), &long).await.map_err(|error| self.no_leases(error))?;
        Ok(Leases { now: clock(&now), chunks: Box::pin(chunks(rows, lease)) })
    }

    async fn events(&self, key: &str, limit: Option<i64>) -> Result<Events> {
        self.events_of(&sql::EVENTS, vec![(&key, Type::TEXT), (&limit, Type::INT8)]).await
    }

    async fn events_since(&self, key: &str, since: Option<Timestamp>) -> Result<Events> {
        let since = since.map(Timestamp::as_micros);
        self.events_of(&sql::EVENTS_SINCE, vec![(&key, Type::TEXT), (&since, Type::INT8)]).await
    }

    async fn probe_keys(&self, key: &str, candidates: &[String]) -> Result<Vec<String>> {
        let probe = Query::new(&sql::PROBE, [(&key as _, Type::TEXT), (&candidates as _, Type::TEXT_ARRAY)]);
        Ok(self.link.ask(probe).await?.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn complete(&self, what: Typed, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let limit = i64::from(limit);
        let sql = match what {
            Typed::Key => &sql::KEYS,
            Typed::Namespace => &sql::NAMESPACES,
        };
        let rows = self.link.ask(Query::new(sql, [(&prefix as _, Type::TEXT), (&limit as _, Type::INT8)])).await?;
        Ok(rows.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn census(&self) -> Result<Census> {
        let asks = [Query::new(&sql::COLUMNS, []), Query::new(&sql::CENSUS, []), Query::new(&sql::LAST_EVENT, [])];
        let [columns, groups, last] = each(self.link.snapshot(&asks).await?);
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
        let change = Query::new(&sql, params);
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
        let rows = self.link.ask(Query::new(&sql::LOCKS, [(&key as _, Type::TEXT)])).await?;
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

    async fn diagnostics(&self) -> Result<DiagnosticFacts> {
        let rows = self.link.ask(Query::new(&sql::OBJECTS, [])).await?;
        let mut diagnostics = DiagnosticFacts::default();
        if let Ok(rows) = self.link.ask(Query::new(&sql::TOKEN_STATE, [])).await
            && let Some(row) = rows.first()
        {
            let mut cells = Cells::new(row);
            (diagnostics.last_token, diagnostics.largest_token) = (cells.int(0), cells.int(1));
            diagnostics.no_sequence = cells.flag(2) == Some(false);
        }
        for row in &self.link.ask(Query::new(&sql::INSERTABLE, [])).await? {
            let mut cells = Cells::new(row);
            let mut text = |at| cells.text(at).unwrap_or_default();
            let (relation, name) = (text(0), text(1));
            diagnostics.columns.push((relation, name, cells.flag(2) == Some(true)));
        }
        for row in &rows {
            let mut cells = Cells::new(row);
            let (name, full) = (cells.text(0).unwrap_or_default(), cells.text(1).unwrap_or_default());
            if name == "sentinel_events" {
                (diagnostics.events_bytes, diagnostics.events_rows, diagnostics.events_dead) =
                    (cells.int(3), cells.int(4), cells.int(5));
            }
            diagnostics.objects.push((name, full, cells.flag(2) == Some(true)));
        }
        Ok(diagnostics)
    }

    async fn relations(&self) -> Result<Vec<String>> {
        let wanted = RELATIONS.as_slice();
        let have = Query::new(&schema::HAVE, [(&wanted as _, Type::TEXT_ARRAY)]);
        Ok(self.link.ask(have).await?.iter().filter_map(|row| Cells::new(row).text(0)).collect())
    }

    async fn init(&self, permit: &WritePermit) -> Result<Vec<Item>> {
        schema::init(&self.link, permit).await
    }
}
