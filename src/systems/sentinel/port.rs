//! What Sentinel needs of a store: rows in, rows out. No judgement, no presentation.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;
use serde::{Deserialize, Serialize};

use super::record::{Lease, LeaseEvent};
use super::shape::Shape;
pub use super::shape::{EVENTS, LEASES};
use super::why::Lock;
use sen_model::error::Result;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sen_model::error::{Error, ErrorKind};
use sen_model::permit::WritePermit;
use sen_model::report::Item;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sen_model::rows::KeptTable;
use sen_model::rows::RowChange;
use sen_model::time::{Timestamp, When};
use sen_model::undo::Standing;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sen_stores::catalogue::Marks;

/// The sequence that fencing tokens are drawn from.
pub const TOKENS: &str = "sentinel_token_seq";

/// Refuses a token that is not larger than one the key has had: it would fence nobody out.
#[cfg(feature = "postgres")]
pub(super) fn sequence_behind(drawn: i64, known: i64) -> Error {
    let message = format!(
        "the sequence {TOKENS} is behind: it gave {drawn}, and this key has had token {known}; a token given twice fences no \
         late worker out, so nothing was changed"
    );
    let repair = format!("SELECT setval('{TOKENS}', greatest({known}, (SELECT max(fencing_token) FROM {LEASES})))");
    Error::new(ErrorKind::Refused, message).with_hint(repair)
}

/// The sequence is not there, though the leases are.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn no_sequence() -> Error {
    Error::new(ErrorKind::Refused, format!("the sequence {TOKENS} is missing: no fencing token can be drawn"))
        .with_hint("`sen init` creates what is missing, the sequence above every token in use")
}

/// What 0.5.0 has in a database, in the order it is created.
pub const RELATIONS: [&str; 3] = [TOKENS, LEASES, EVENTS];

/// What a store asks its catalogue for.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub const MARKS: Marks = Marks { tables: &[LEASES, EVENTS], others: &[TOKENS], columns: &[] };

/// What an examination wants to know of the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiagnosticFacts {
    /// Bare name, full name as SQL writes it, and whether it is a sequence.
    pub objects: Vec<(String, String, bool)>,
    /// How many bytes the events take with their indexes.
    pub events_bytes: Option<i64>,
    /// How many events the server reckons there are.
    pub events_rows: Option<i64>,
    /// How many dead rows it reckons lie between them.
    pub events_dead: Option<i64>,
    /// The last token drawn; `None` where it cannot be known.
    pub last_token: Option<i64>,
    /// The largest token of a lease.
    pub largest_token: Option<i64>,
    /// Whether there are leases but no sequence.
    pub no_sequence: bool,
    /// Table, column, and whether a row can be inserted without naming it.
    pub columns: Vec<(String, String, bool)>,
}

/// Sentinel's tables in one real store. Every method is one round trip where the store has such a thing.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// The database for people, without secrets.
    fn database(&self) -> &str;

    /// One lease by exact key with its newest `events` events, in one snapshot.
    async fn look(&self, key: &str, events: u32) -> Result<Look>;

    /// The leases of many keys with their newest `events` events each, in one snapshot; in the order of the keys.
    async fn look_all(&self, keys: &[String], events: u32) -> Result<Vec<Look>>;

    /// Whether lease times are stored without a zone, so that a session in another zone writes other times.
    async fn zoneless(&self) -> Result<bool> {
        Ok(false)
    }

    /// Refuses a result that the database could not hold, before anything is written. Whether the results of completed keys that
    /// begin with `prefix` are JSON objects: all of those looked at or none; `None` where they differ or there are none.
    async fn storable(&self, result: &str, prefix: &str) -> Result<Option<bool>>;

    /// The leases that match.
    async fn list(&self, query: &LeaseQuery) -> Result<Leases>;

    /// The newest `limit` events of a key, in time order.
    async fn events(&self, key: &str, limit: Option<i64>) -> Result<Events>;

    /// The events of a key from `since` on, in time order.
    async fn events_since(&self, key: &str, since: Option<Timestamp>) -> Result<Events>;

    /// Which of `candidates` exist, and the keys that stand next to `key` in the index.
    async fn probe_keys(&self, key: &str, candidates: &[String]) -> Result<Vec<String>>;

    /// The keys that are one of `names`, or one of them in a namespace (the first [`NAMESPACES`] are looked into): only those that
    /// are completed, or all.
    async fn named(&self, names: &[String], completed: bool) -> Result<Vec<String>>;

    /// At most `limit` keys that begin with `prefix`, or the namespaces that do: ranges of the index only, so where the
    /// database's collation does not keep a prefix together some may be missing.
    async fn complete(&self, what: Typed, prefix: &str, limit: u32) -> Result<Vec<String>>;

    /// What the tables look like and what is in them.
    async fn census(&self) -> Result<Census>;

    /// How many events of each kind the newest `window` has, the most frequent first; `None` where no events are kept.
    async fn told(&self, window: Duration) -> Result<Option<Vec<(String, i64)>>>;

    /// Makes one guarded change in one short transaction, with its event and the record of who and why in the same one.
    /// `None` when the guard did not match: nothing was written.
    async fn act(&self, act: &LeaseAct, permit: &WritePermit) -> Result<Option<Acted>>;

    /// How the rows of each of these stand, in their order.
    async fn standings(&self, targets: &[&[RowChange]]) -> Result<Vec<Standing>>;

    /// Puts back the rows of those of these that are as they were left, with the record of it, in one transaction; which.
    async fn take_back(&self, targets: &[TakenBack<'_>], permit: &WritePermit) -> Result<Vec<bool>>;

    /// The objects by their full names and what the events take; nothing where the store keeps no privileges.
    async fn diagnostics(&self) -> Result<DiagnosticFacts> {
        Ok(DiagnosticFacts::default())
    }

    /// Transactions that have held the row of a key, or the whole table, for a while, the longest first; none where the store
    /// cannot tell.
    async fn locks(&self, _key: &str) -> Result<Vec<Lock>> {
        Ok(Vec::new())
    }

    /// Which of [`RELATIONS`] exist.
    async fn relations(&self) -> Result<Vec<String>>;

    /// Creates what is missing of [`RELATIONS`] and says what became of each.
    async fn init(&self, permit: &WritePermit) -> Result<Vec<Item>>;
}

/// In how many namespaces a bare name is looked for.
pub const NAMESPACES: u32 = 10;

/// What somebody has begun to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// A key.
    Key,
    /// A namespace.
    Namespace,
}

/// A change of one lease.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseAct {
    /// The key.
    pub key: String,
    /// The change.
    pub verb: Verb,
    /// The fencing token the row must still have.
    pub token: i64,
    /// The last change as seen. A take-over is guarded by it, too: a row that moves is a worker that lives.
    pub updated: Option<Timestamp>,
    /// The record of the act as JSON text, for the event's metadata where that column exists.
    pub note: String,
}

/// What can be done to a lease. The stored status each requires is part of its statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// executing and expired → reconciling, with a new token. Past the hard limit only, unless `before_hard_limit`.
    TakeOver {
        /// Whether the hard limit may still be ahead.
        before_hard_limit: bool,
    },
    /// reconciling → completed, with this result (JSON text).
    Complete(String),
    /// reconciling → claimed and expired, with a new token.
    Reset,
    /// claimed and expired → gone.
    Release,
    /// completed → gone.
    Forget,
}

impl Verb {
    /// Whether it needs a new fencing token.
    pub const fn draws(&self) -> bool {
        matches!(self, Self::TakeOver { .. } | Self::Reset)
    }

    /// The stored status it starts from.
    pub const fn required(&self) -> &'static str {
        match self {
            Self::TakeOver { .. } => "executing",
            Self::Complete(_) | Self::Reset => "reconciling",
            Self::Release => "claimed",
            Self::Forget => "completed",
        }
    }

    /// What it has done, for reports.
    pub const fn done(&self) -> &'static str {
        match self {
            Self::TakeOver { .. } => "taken over",
            Self::Complete(_) => "completed",
            Self::Reset => "reset",
            Self::Release => "released",
            Self::Forget => "forgotten",
        }
    }

    /// The name in plans and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TakeOver { .. } => "take_over",
            Self::Complete(_) => "complete",
            Self::Reset => "reset",
            Self::Release => "release",
            Self::Forget => "forget",
        }
    }

    /// The event that tells of it (the names `sentinel_events` allows).
    pub const fn event(&self) -> &'static str {
        match self {
            Self::TakeOver { .. } => "reconciling",
            Self::Complete(_) => "completed",
            Self::Reset => "reset",
            Self::Release | Self::Forget => "released",
        }
    }
}

/// A lease whose rows are put back.
#[derive(Debug)]
pub struct TakenBack<'a> {
    /// The key.
    pub key: &'a str,
    /// Its rows.
    pub changes: &'a [RowChange],
    /// The event that tells of it.
    pub event: &'static str,
    /// The token in force then.
    pub token: i64,
    /// No event of the key may tell of a larger token than this one: a row that is gone shows nothing of what came between.
    pub above: i64,
    /// The record of the act as JSON text.
    pub note: String,
}

/// A change that was made and committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// The token now in force, or the last one of a lease that is gone.
    pub token: i64,
    /// The row, as it was and as it was left.
    pub changes: Vec<RowChange>,
}

/// The rows that acts change.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) const KEPT: [KeptTable; 1] = [KeptTable { name: LEASES, key: &["key"], inserts: false }];

/// A lease as seen at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The database's clock.
    pub now: Timestamp,
    /// The lease.
    pub lease: Option<Lease>,
    /// Its newest events; `None` when there is no events table.
    pub events: Option<Events>,
}

/// Events in time order.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// The database's clock.
    pub now: Timestamp,
    /// The events.
    pub rows: Vec<LeaseEvent>,
}

/// Some leases of a long answer.
pub type LeaseChunk = Vec<Lease>;

/// The leases that match a query.
pub struct Leases {
    /// The database's clock.
    pub now: Timestamp,
    /// The leases in chunks.
    pub chunks: Pin<Box<dyn Stream<Item = Result<LeaseChunk>> + Send>>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As stored: no sorting, the fastest for everything.
    Stored,
    /// By lease expiry (indexed).
    Expires,
    /// By last change.
    Updated,
    /// By fencing token.
    Token,
    /// By key (indexed).
    Key,
}

/// Which leases, and in what order.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseQuery {
    /// Stored statuses or verdict states; empty is all.
    pub states: Vec<String>,
    /// Keys that begin with this.
    pub prefix: Option<String>,
    /// Owners that begin with this.
    pub owner: Option<String>,
    /// Only leases whose expiry has passed.
    pub expired: bool,
    /// Only leases whose expiry is ahead: with an order by expiry a short range of the index, however many are done.
    pub alive: bool,
    /// Last changed longer ago than this.
    pub older_than: Option<Duration>,
    /// Last changed at or after this.
    pub since: Option<When>,
    /// Last changed before this.
    pub until: Option<When>,
    /// The order.
    pub order: Order,
    /// Largest first.
    pub descending: bool,
    /// At most so many rows.
    pub limit: Option<i64>,
    /// Whether results are fetched.
    pub payloads: bool,
}

impl LeaseQuery {
    /// The earliest last change that still matches, given as a moment or as microseconds before now.
    pub fn lower_bound(&self) -> Bound {
        Bound::of(self.since)
    }

    /// The first last change that no longer matches: the earlier of `until` and `older_than`.
    pub fn upper_bounds(&self) -> [Bound; 2] {
        [Bound::of(self.until), Bound::of(self.older_than.map(When::Ago))]
    }
}

/// A bound in time, in the two forms a statement takes it: absolute microseconds since 1970, or microseconds before the
/// database's now. At most one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// Microseconds since 1970.
    pub at: Option<i64>,
    /// Microseconds before now.
    pub ago: Option<i64>,
}

impl Bound {
    fn of(when: Option<When>) -> Self {
        match when {
            None => Self::default(),
            Some(When::At(moment)) => Self { at: Some(moment.as_micros()), ago: None },
            Some(When::Ago(span)) => Self { at: None, ago: Some(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)) },
        }
    }
}

/// What the tables look like and what is in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// The database's clock.
    pub now: Timestamp,
    /// The tables.
    pub shape: Shape,
    /// Leases by stored status and liveness.
    pub groups: Vec<Group>,
    /// About how many events there are (an estimate where counting would scan); `None` without the table.
    pub events: Option<i64>,
    /// The newest event's time.
    pub last_event: Option<Timestamp>,
    /// Further facts: server version, time zone.
    pub facts: Vec<(&'static str, String)>,
}

/// Leases that share status and liveness.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Stored status.
    pub status: String,
    /// Whether the lease is alive.
    pub alive: Option<bool>,
    /// Whether the hard expiry is ahead.
    pub hard_alive: Option<bool>,
    /// How many.
    pub count: i64,
    /// The earliest last change among them.
    pub oldest: Option<Timestamp>,
    /// The latest last change among them.
    pub newest: Option<Timestamp>,
    /// How many of them have a last change that lies more than a minute ahead of the database's clock.
    pub ahead: i64,
    /// How many are being executed and expired, with a last change about a whole time-zone offset old
    /// ([`super::record::offset_behind`]).
    pub behind: i64,
    /// One of those.
    pub behind_key: Option<String>,
    /// Whether they look like an async client's, which sends no heartbeats ([`super::record::async_ttl`]).
    pub no_heartbeat: bool,
}
