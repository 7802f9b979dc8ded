//! Sentinel's tables in PostgreSQL, in every version that made them. SQL and row mapping, nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

mod act;
pub(super) mod rows;
mod schema;
mod sql;

use super::port::{
    Acted, Census, DiagnosticFacts, EVENTS, Events, KEPT, LEASES, LeaseAct, LeaseQuery, LeaseStore, Leases, Look,
    NAMESPACES, RELATIONS, TOKENS, TakenBack, Typed, Verb, no_sequence, sequence_behind,
};
use super::record::{Lease, LeaseEvent};
use super::shape::{Shape, Zone};
use super::why::Lock;
use rows::{CLOCK, census, clock, each, in_time_order, lease};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::report::Item;
use sen_model::rows::RowChange;
use sen_model::time::Timestamp;
use sen_model::undo::Standing;
use sen_stores::catalogue::Column;
use sen_stores::postgres::decode::Cells;
use sen_stores::postgres::encode;
use sen_stores::postgres::outcome::{Proof, Written};
use sen_stores::postgres::read::{Query, chunks};
use sen_stores::postgres::restore::{self, Batch};
use sen_stores::postgres::shared::SharedConnection;
use sen_stores::postgres::write::{Changed, Keep};
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

/// The tables whose rows are put back.
fn tables() -> [restore::Target<'static>; 1] {
    [restore::Target { name: LEASES, sql: Sql::new("sentinel_leases"), key: &["key"], shown: LEASES }]
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

    /// Whether a table was missing when the catalogue was last looked at.
    fn lacks(&self, table: &str) -> bool {
        self.link.last_seen().is_some_and(|catalogue| catalogue.named(table).is_none())
    }

    /// Where the leases were missing the catalogue is asked first, because every look in vain leaves lines in the server's
    /// log, and some look every two seconds.
    async fn not_in_vain(&self) -> Result<()> {
        if self.lacks(LEASES) && self.link.catalogue().await?.named(LEASES).is_none() {
            return Err(self.absent());
        }
        Ok(())
    }

    fn no_leases(&self, error: Error) -> Error {
        if error.sqlstate() != Some(UNDEFINED_TABLE) {
            return error;
        }
        // The server says this name in every language.
        if error.to_string().contains(TOKENS) {
            return no_sequence();
        }
        self.absent()
    }

    fn absent(&self) -> Error {
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
        let catalogue = self.link.catalogue().await?;
        if catalogue.named(LEASES).is_some_and(|leases| !leases.has("ttl_ms")) {
            return Err(Error::new(
                ErrorKind::Refused,
                "these tables are older than sentinel-coordination 0.4.2: reading only",
            ));
        }
        Ok(match catalogue.named(EVENTS) {
            Some(events) if events.has("metadata") => act::Recording::WithNote,
            Some(_) => act::Recording::WithoutNote,
            None => act::Recording::Nowhere,
        })
    }
}

#[async_trait]
impl LeaseStore for PostgresLeases {
    fn database(&self) -> &str {
        self.link.describe()
    }

    async fn look(&self, key: &str, events: u32) -> Result<Look> {
        self.not_in_vain().await?;
        let limit = i64::from(events);
        let mut asks = vec![Query::new(&CLOCK, []), Query::new(&sql::LOOK, [(&key as _, Type::TEXT)])];
        if !self.lacks(EVENTS) {
            // Last: before 0.5.0 there is no such table, and the error ends the transaction.
            asks.push(Query::new(&sql::EVENTS, [(&key as _, Type::TEXT), (&limit as _, Type::INT8)]));
        }
        let told = asks.len() == 3;
        let [now, found, events] = each(self.link.snapshot(&asks).await?);
        let now = clock(&now?);
        let lease = found.map_err(|error| self.no_leases(error))?.first().map(lease);
        let events = match events {
            _ if !told => None,
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
        Ok(Shape::of(&*self.link.catalogue().await?).lease_zone() == Some(Zone::Naive))
    }

    async fn storable(&self, result: &str, prefix: &str) -> Result<Option<bool>> {
        let ask = Query::new(&sql::STORABLE, [(&result as _, Type::TEXT), (&prefix as _, Type::TEXT)]);
        match self.link.ask(ask).await {
            Ok(rows) => Ok(rows.first().and_then(|row| Cells::new(row).flag(1))),
            Err(error) if error.sqlstate().is_some_and(|code| code.starts_with("22")) => {
                let message = format!("the database cannot hold this result: {error}");
                Err(Error::usage(message)
                    .with_hint("its encoding may lack a character: write it as ASCII, or encode it as base64"))
            }
            Err(error) => Err(self.no_leases(error)),
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

    async fn named(&self, names: &[String], completed: bool) -> Result<Vec<String>> {
        self.not_in_vain().await?;
        let namespaces = i64::from(NAMESPACES);
        let ask = Query::new(
            &sql::NAMED,
            [
                (&"" as _, Type::TEXT),
                (&namespaces as _, Type::INT8),
                (&names as _, Type::TEXT_ARRAY),
                (&completed as _, Type::BOOL),
            ],
        );
        let rows = self.link.ask(ask).await.map_err(|error| self.no_leases(error))?;
        Ok(rows.iter().filter_map(|row| Cells::new(row).text(0)).collect())
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
        self.not_in_vain().await?;
        let mut asks = vec![Query::new(&sql::SERVER, []), Query::new(&sql::CENSUS, [])];
        if !self.lacks(EVENTS) {
            asks.push(Query::new(&sql::LAST_EVENT, []));
        }
        let told = asks.len() == 3;
        // The catalogue is needed for what is said of the answers only, so that it comes along.
        let both = async { tokio::join!(biased; self.link.catalogue(), self.link.snapshot(&asks)) };
        let (catalogue, answers) = self.link.together(both).await;
        let [server, groups, last] = each(answers?);
        let groups = groups.map_err(|error| self.no_leases(error))?;
        let last_event = match last {
            _ if !told => None,
            Ok(rows) => rows.first().and_then(|row| Cells::new(row).time(0)),
            Err(error) => self.unread(error)?,
        };
        Ok(census(&*catalogue?, &server?, &groups, last_event))
    }

    async fn told(&self, window: Duration) -> Result<Option<Vec<(String, i64)>>> {
        if self.lacks(EVENTS) {
            return Ok(None);
        }
        let micros = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        let counted = |row: &Row| {
            let mut cells = Cells::new(row);
            (cells.text(0).unwrap_or_default(), cells.int(1).unwrap_or_default())
        };
        match self.link.ask(Query::new(&sql::TOLD, [(&micros as _, Type::INT8)])).await {
            Ok(rows) => Ok(Some(rows.iter().map(counted).collect())),
            Err(error) => self.unread(error),
        }
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
            let ask = Query::new(&act::ROW, [(&act.key as _, Type::TEXT)]);
            let keep = Keep { ask: Some(ask), of: &|changed| restore::kept_of_one(&KEPT, changed) };
            let changed = self.link.change_keeping(&change, None, Some(&keep), &proof, permit.operation()).await;
            let mut changed = changed.map_err(|error| self.no_leases(error))?;
            let changes = changed.kept.remove(&0).unwrap_or_default();
            if let Some(row) = changed.rows.first() {
                return Ok(Some(Acted { token: token(row), changes }));
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

    async fn standings(&self, targets: &[&[RowChange]]) -> Result<Vec<Standing>> {
        let tables = tables();
        let batch = Batch::new(&tables, targets.iter().map(|rows| (*rows, String::new())))?;
        let rows = self.link.ask(Query::new(&batch.standing()?, batch.params())).await;
        Ok(restore::standings(&batch, &rows.map_err(|error| self.no_leases(error))?))
    }

    async fn take_back(&self, targets: &[TakenBack<'_>], permit: &WritePermit) -> Result<Vec<bool>> {
        let recording = self.recording().await?;
        let (guard, record) = match recording {
            act::Recording::WithNote => (act::NOT_CLAIMED, act::TOLD_BACK),
            act::Recording::WithoutNote => (act::NOT_CLAIMED, act::TOLD_BACK_WITHOUT_NOTE),
            act::Recording::Nowhere => ("", ""),
        };
        let note = |target: &TakenBack<'_>| {
            let note: serde_json::Value = serde_json::from_str(&target.note).unwrap_or_default();
            let TakenBack { key, event, token, above, .. } = target;
            serde_json::json!({"key": key, "event": event, "token": token, "above": above, "note": note}).to_string()
        };
        let tables = tables();
        let batch = Batch::new(&tables, targets.iter().map(|target| (target.changes, note(target))))?;
        let sql = batch.statement(guard, &Sql::new(record))?;
        let proof = |written: &Written<'_>| {
            let place = |row: &Row| usize::try_from(Cells::new(row).int(0)?).ok();
            let done = written.rows.iter().filter_map(place).filter_map(|place| targets.get(place));
            let keys: Vec<String> = done.map(|target| target.key.to_owned()).collect();
            match recording {
                act::Recording::WithNote => Proof::new(act::BACK.clone()).with(keys, Type::TEXT_ARRAY),
                _ => Proof::new(Sql::new("NULL::text")),
            }
        };
        let change = Query::new(&sql, batch.params());
        let reversed =
            |changed: &Changed| restore::reversed(changed, |place| targets.get(place).map(|target| target.changes));
        let keep = Keep { ask: None, of: &reversed };
        let changed = self.link.change_keeping(&change, None, Some(&keep), &proof, permit.operation()).await;
        let done = restore::put_back(&changed.map_err(|error| self.no_leases(error))?);
        Ok((0..targets.len()).map(|place| done.contains(&place)).collect())
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
        let catalogue = self.link.catalogue().await?;
        let mut diagnostics = DiagnosticFacts::default();
        if RELATIONS.iter().all(|name| catalogue.named(name).is_none()) {
            return Ok(diagnostics);
        }
        // Last: whoever may not read the leases is told the rest.
        let asks = [Query::new(&sql::OBJECTS, []), Query::new(&sql::TOKEN_STATE, [])];
        let [rows, state] = each(self.link.snapshot(&asks).await?);
        let rows = rows?;
        if let Ok(state) = state
            && let Some(row) = state.first()
        {
            let mut cells = Cells::new(row);
            (diagnostics.last_token, diagnostics.largest_token) = (cells.int(0), cells.int(1));
            diagnostics.no_sequence = cells.flag(2) == Some(false);
        }
        for relation in [LEASES, EVENTS].into_iter().filter_map(|name| catalogue.named(name)) {
            let fact = |column: &Column| (relation.name.clone(), column.name.clone(), column.optional);
            diagnostics.columns.extend(relation.columns.iter().map(fact));
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
        let catalogue = self.link.catalogue().await?;
        let there = RELATIONS.iter().filter(|name| catalogue.named(name).is_some());
        Ok(there.map(|name| (*name).to_owned()).collect())
    }

    async fn init(&self, permit: &WritePermit) -> Result<Vec<Item>> {
        schema::init(&self.link, permit).await
    }
}
