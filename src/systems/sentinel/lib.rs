//! Sentinel (`sentinel-coordination`): at-most-once execution per key, kept in `sentinel_leases` and `sentinel_events`.
//!
//! This file is the system: it looks through a [`port::LeaseStore`], judges with [`verdict`], and shapes what it says.
//! SQL lives in the store implementations (`postgres.rs`, `sqlite.rs`); what a state means lives in `verdict.rs`.

pub mod once_port;
pub mod port;
pub mod record;
pub mod request;
pub mod similar;
pub mod verdict;
pub mod why;

#[cfg(feature = "sqlite")]
pub mod demo;
#[cfg(feature = "postgres")]
pub mod once_postgres;
#[cfg(feature = "sqlite")]
pub mod once_sqlite;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

mod act;
mod activity;
mod course;
mod diagnostics;
mod handle;
mod list;
mod liveness;
mod plan;
mod rules;
mod shape;
mod timeline;
mod undo;
mod view;
mod zones;

pub use activity::Unsettled;
pub use handle::Sentinel;
pub use list::{LeaseFilter, LeaseOrder, LeaseState};
pub use record::NAME;
pub use shape::{Shape, Zone};
pub use view::{EVENT_COLUMNS, LEASE_COLUMNS};

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::join_all;

use sen_model::activity::Activity;
use sen_model::cause::Explanation;
use sen_model::course::{Act, Followed, Now};
use sen_model::diagnostics::{Check, Diagnostics};
use sen_model::error::{ErrorKind, Result};
use sen_model::live::Live;
use sen_model::prepared::{self, Action as _, Prepared, PreparedAction, SavedPlan};
use sen_model::record::{History, Record, StatedResult};
use sen_model::subject::{Kind, Subject};
use sen_model::summary::{Counting, Statistics, Summary};
use sen_model::system::System;
use sen_model::time::Timestamp;
use sen_model::timeline::Told;
use sen_model::undo::{UndoAction, UndoRequest};
use sen_model::value::Value;

use liveness::{Worker, process_here};
use port::{LeaseQuery, Order, Typed};

/// How many events tell why a lease is as it is.
const RECENT: u32 = 20;

/// How many leases that look expired, or changed in the future, are looked at for the zone they were written in.
const ZONE_SAMPLE: i64 = 1000;

impl Sentinel {
    /// What the times of open leases say of the zones that their workers write in.
    async fn zones(&self) -> Result<Vec<Check>> {
        if !self.store.zoneless().await? {
            return Ok(Vec::new());
        }
        let query = LeaseQuery {
            states: vec!["claimed".into(), "executing".into()],
            prefix: None,
            owner: None,
            expired: false,
            alive: false,
            older_than: None,
            since: None,
            until: None,
            order: Order::Updated,
            descending: true,
            limit: Some(ZONE_SAMPLE),
            payloads: false,
        };
        let mut open = self.store.list(&query).await?;
        let (mut suspects, mut ahead) = (Vec::new(), 0);
        while let Some(leases) = open.chunks.next().await {
            for lease in leases? {
                let updated = lease.lease_updated_at.filter(|updated| updated.is_finite());
                ahead += usize::from(updated.is_some_and(|updated| updated.micros_since(open.now) > 60_000_000));
                if record::offset_behind(&lease, open.now).is_some() {
                    suspects.push(port::Look { now: open.now, lease: Some(lease), events: None });
                }
            }
        }
        Ok(diagnostics::zones(&self.moving(&suspects).await?, ahead))
    }

    /// Whether the times of a lease are stored without a zone, asked only where that would matter.
    async fn zoneless(&self, lease: &record::Lease, now: Timestamp) -> Result<bool> {
        Ok(record::offset_behind(lease, now).is_some() && self.store.zoneless().await?)
    }

    /// Why the lease of a key is as it is.
    async fn explain_key(&self, key: &str) -> Result<Option<Explanation>> {
        let (look, locks) = tokio::join!(self.store.look(key, RECENT), self.store.locks(key));
        let look = look?;
        let Some(lease) = look.lease else { return Ok(None) };
        let events = look.events.map(|events| events.rows).unwrap_or_default();
        let zoneless = self.zoneless(&lease, look.now).await?;
        let process_here = process_here(&lease);
        let facts = why::Facts {
            lease: &lease,
            events: &events,
            now: look.now,
            worker: Worker::of(&lease, &events, process_here),
            // Whoever may not see the locks is still told the rest.
            locks: &locks.unwrap_or_default(),
            zoneless,
        };
        let subject = Subject::new(NAME, Kind::Lease, lease.key.clone());
        Ok(Some(why::explain(&facts, subject, verdict::judge(&lease, &events, look.now, zoneless, process_here))))
    }
}

#[async_trait]
impl System for Sentinel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn database(&self) -> &str {
        self.store.database()
    }

    async fn present(&self) -> Result<bool> {
        Ok(self.store.relations().await?.iter().any(|name| name == port::LEASES))
    }

    async fn find(&self, id: &str, events: u32) -> Result<Vec<Record>> {
        let look = self.store.look(id, events).await?;
        let Some(lease) = look.lease else { return Ok(Vec::new()) };
        let zoneless = self.zoneless(&lease, look.now).await?;
        Ok(vec![view::found(lease, look.events, look.now, zoneless)])
    }

    async fn explain(&self, id: &str) -> Result<Vec<Explanation>> {
        if id.contains(':') {
            return Ok(self.explain_key(id).await?.into_iter().collect());
        }
        // Payloads name things without the namespace that their keys have.
        let namespaces = self.store.complete(Typed::Namespace, "", port::NAMESPACES);
        let (found, namespaces) = futures_util::future::join(self.explain_key(id), namespaces).await;
        if let Some(found) = found? {
            return Ok(vec![found]);
        }
        let keys: Vec<String> =
            namespaces?.iter().map(|namespace| format!("{}:{id}", namespace.trim_end_matches(':'))).collect();
        let mut all = Vec::new();
        for found in join_all(keys.iter().map(|key| self.explain_key(key))).await {
            all.extend(found?);
        }
        Ok(all)
    }

    async fn stated_results(&self, id: &str) -> Result<Vec<StatedResult>> {
        let lease = self.store.look(id, 0).await?.lease;
        let json = lease.and_then(|lease| lease.execution_result).filter(|json| json != "null");
        Ok(json.map(|json| StatedResult { json, source: id.to_owned() }).into_iter().collect())
    }

    async fn courses(&self, _act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        self.courses_of(targets).await
    }

    async fn suggest(&self, id: &str) -> Result<Vec<String>> {
        // Most often it is the namespace that was left out, or that is another one.
        let bare = id.split_once(':').map(|(_, bare)| bare.to_owned());
        let names: Vec<String> = std::iter::once(id.to_owned()).chain(bare).filter(|name| !name.is_empty()).collect();
        let candidates = similar::one_edit_away(id);
        let (named, near) =
            futures_util::future::join(self.store.named(&names, false), self.store.probe_keys(id, &candidates)).await;
        Ok(similar::closest(id, named?.into_iter().chain(near?).collect()))
    }

    async fn begin_with(&self, kind: Kind, prefix: &str, limit: u32) -> Result<Vec<String>> {
        match kind {
            Kind::Lease => self.store.complete(Typed::Key, prefix, limit).await,
            _ => Ok(Vec::new()),
        }
    }

    async fn history(&self, id: &str, limit: Option<u64>) -> Result<History> {
        let wanted = limit.map(|limit| i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX));
        let mut events = self.store.events(id, wanted).await?;
        let older = limit.is_some_and(|limit| events.rows.len() as u64 > limit);
        if older {
            events.rows.remove(0);
        }
        Ok(view::history(events, older))
    }

    async fn history_since(&self, id: &str, since: Option<Timestamp>) -> Result<History> {
        Ok(view::history(self.store.events_since(id, since).await?, false))
    }

    async fn timeline(&self, subjects: &[Subject], most: u32) -> Result<Told> {
        let mut told = Told::default();
        let looks = join_all(subjects.iter().map(|subject| self.store.look(&subject.id, most))).await;
        for (subject, look) in subjects.iter().zip(looks) {
            let look = look?;
            told.add(look.now, timeline::entries(&subject.id, &look));
        }
        Ok(told)
    }

    async fn summary(&self, _counting: Counting) -> Result<Summary> {
        Ok(view::summary(self.store.census().await?))
    }

    async fn stats(&self, window: Duration, _counting: Counting) -> Result<Option<Statistics>> {
        // Where the tables are missing, asking them would leave a line in the server's log.
        if !self.present().await? {
            return Ok(None);
        }
        let (census, told) = tokio::join!(self.store.census(), self.store.told(window));
        // Their table grows without end, and has no index for a time alone: the rest is told without them.
        let late = matches!(&told, Err(error) if error.kind() == ErrorKind::Timeout);
        let mut told = view::statistics(census?, if late { None } else { told? }, window);
        if late {
            let why = "there are too many to count them within --timeout";
            told.facts.push(("events_not_counted", Value::Text(why.to_owned())));
        }
        Ok(Some(told))
    }

    async fn active(&self, limit: u64) -> Result<Vec<Activity>> {
        self.activities(limit).await
    }

    async fn diagnostics(&self) -> Result<Diagnostics> {
        let mut diagnostics = diagnostics::diagnostics(&self.store.diagnostics().await?);
        diagnostics.checks.extend(self.zones().await?);
        Ok(diagnostics)
    }

    async fn complete(&self, kind: Live, prefix: &str, limit: u32) -> Result<Vec<String>> {
        match kind {
            Live::Lease | Live::Any => self.store.complete(Typed::Key, prefix, limit).await,
            Live::Namespace => self.store.complete(Typed::Namespace, prefix, limit).await,
            _ => Ok(Vec::new()),
        }
    }

    async fn plan_undo(&self, undo: UndoRequest) -> Result<Box<dyn PreparedAction + '_>> {
        sen_model::undo::plan(self, undo).await
    }

    fn restore(&self, saved: SavedPlan<'_>) -> Result<Box<dyn PreparedAction + '_>> {
        match saved.kind() {
            plan::LeaseAction::KIND => Prepared::<_, plan::LeaseAction>::restore(self, saved),
            plan::InitAction::KIND => Prepared::<_, plan::InitAction>::restore(self, saved),
            UndoAction::<Self>::KIND => Prepared::<_, UndoAction<Self>>::restore(self, saved),
            other => Err(prepared::foreign(other)),
        }
    }
}
