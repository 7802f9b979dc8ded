//! A lease and its events as the database holds them, whatever version made the table.

use serde::Deserialize as _;

use sen_model::age::Age;
use sen_model::time::Timestamp;

/// The system's name.
pub const NAME: &str = "sentinel";

/// What `status` can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Taken, not yet begun; once the lease is over, free for anyone.
    Claimed,
    /// The function has begun.
    Executing,
    /// An operator has taken it over.
    Reconciling,
    /// The result is cached.
    Completed,
    /// Something no version of Sentinel writes, or a value that could not be read.
    Other(String),
}

impl Status {
    /// Reads the column.
    pub fn parse(text: &str) -> Self {
        match text {
            "claimed" => Self::Claimed,
            "executing" => Self::Executing,
            "reconciling" => Self::Reconciling,
            "completed" => Self::Completed,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The column's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Claimed => "claimed",
            Self::Executing => "executing",
            Self::Reconciling => "reconciling",
            Self::Completed => "completed",
            Self::Other(text) => text,
        }
    }
}

/// One row of `sentinel_leases`. `None` is SQL's NULL or a column this version lacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The key, namespace included.
    pub key: String,
    /// Who holds it: `host:pid-thread` when the library wrote it.
    pub owner_id: Option<String>,
    /// The stored status.
    pub status: Status,
    /// The fencing token.
    pub fencing_token: Option<i64>,
    /// When the lease ends unless it is extended.
    pub lease_expires_at: Option<Timestamp>,
    /// When the row last changed (heartbeats of 0.5.0 included).
    pub lease_updated_at: Option<Timestamp>,
    /// The end of what heartbeats can extend the lease to.
    pub hard_expires_at: Option<Timestamp>,
    /// Whether the lease is alive, as the database compared it (`lease_expires_at > now()`).
    pub alive: Option<bool>,
    /// Whether the hard expiry is still ahead, as the database compared it.
    pub hard_alive: Option<bool>,
    /// The lease's time to live in milliseconds (0.4.2 and later).
    pub ttl_ms: Option<i64>,
    /// The cached result as JSON text (`response` in 0.1.x). `None` too when payloads were not asked for.
    pub execution_result: Option<String>,
    /// What could not be decoded in this row, if anything: said, never hidden.
    pub unreadable: Vec<String>,
}

impl Lease {
    /// How old it is.
    pub fn age(&self) -> Age {
        Age::of("last change", self.lease_updated_at)
    }
}

/// One row of `sentinel_events`.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseEvent {
    /// Its number.
    pub id: i64,
    /// The key.
    pub key: String,
    /// `acquired`, `rejected`, `executing`, …
    pub event: String,
    /// When.
    pub occurred_at: Timestamp,
    /// The token in force.
    pub fencing_token: Option<i64>,
    /// The holder (for `rejected` too: not the caller). Operators leave it empty.
    pub owner_id: Option<String>,
    /// JSON text; Django's migrations make no such column.
    pub metadata: Option<String>,
}

impl LeaseEvent {
    /// Whether it tells that `sen undo` put a row back. Its name is then that of the state put back, and its time says nothing of
    /// when that state began.
    pub fn puts_back(&self) -> bool {
        let noted = self.metadata.as_deref().filter(|text| text.contains("\"undo\""));
        let note: Option<serde_json::Value> = noted.and_then(|text| serde_json::from_str(text).ok());
        note.is_some_and(|note| note["tool"] == "sen" && note["act"] == "undo")
    }

    /// Who wrote it and why, where an operator did and `sen` noted it.
    pub fn author(&self) -> [Option<String>; 2] {
        let noted = self.metadata.as_deref().filter(|text| text.contains("\"who\"") || text.contains("\"why\""));
        let note: Option<serde_json::Value> = noted.and_then(|text| serde_json::from_str(text).ok());
        ["who", "why"].map(|name| note.as_ref().and_then(|note| note.get(name)?.as_str().map(str::to_owned)))
    }
}

/// Splits an owner id `host:pid-thread` as the library writes it (`sentinel/utils.py`, `get_owner_id`).
pub fn owner_parts(owner: &str) -> Option<(&str, u32, &str)> {
    let (host, rest) = owner.rsplit_once(':')?;
    let (pid, thread) = rest.split_once('-')?;
    Some((host, pid.parse().ok()?, thread))
}

/// The `ttl_ms` that a row has when its INSERT does not name it.
const DEFAULT_TTL_MS: i64 = 3000;

/// The real time to live, in microseconds, of a lease that an async client of 0.4.2 or 0.5.0 took: their INSERT omits `ttl_ms`
/// (`sentinel/async_core.py`), so the row keeps the default of 3 s, while its times lie the real one apart. A sync client's
/// never lie further apart than its `ttl_ms`, and hardly ever only half so far (the work would have begun that long after the
/// claim). `None` for every other lease, an async client's of about 3 s among them.
pub fn async_ttl(lease: &Lease) -> Option<i64> {
    let (end, updated) = (lease.lease_expires_at?, lease.lease_updated_at?);
    let ended_at_once = lease.alive == Some(false) && lease.hard_expires_at == Some(end);
    let begun = matches!(lease.status, Status::Claimed | Status::Executing);
    let apart = end.micros_since(updated);
    let default = DEFAULT_TTL_MS * 1000;
    let other = lease.ttl_ms == Some(DEFAULT_TTL_MS) && (apart > default + 10_000 || (1..default / 2).contains(&apart));
    (other && begun && !ended_at_once && end.is_finite() && updated.is_finite()).then_some(apart)
}

/// A span that was measured some milliseconds late, to the next tenth of a second.
pub fn rounded(micros: i64) -> i64 {
    micros.saturating_add(50_000) / 100_000 * 100_000
}

/// Whether `sen once` holds it: its owner ends with an operation's id where the library writes a thread's number.
pub fn held_by_sen(lease: &Lease) -> bool {
    let owner = lease.owner_id.as_deref().and_then(owner_parts);
    owner.is_some_and(|(.., thread)| thread.bytes().any(|byte| !byte.is_ascii_digit()))
}

/// Time-zone offsets are whole quarters of an hour, up to 14 hours.
const QUARTER: i64 = 15 * 60 * 1_000_000;

/// How far behind a session's zone may be that wrote this lease, in microseconds, if its last change is about a whole offset
/// old: within one time to live of it. That is no proof: a worker that died so long ago leaves the same row. Only a second look
/// tells them apart.
pub fn offset_behind(lease: &Lease, now: Timestamp) -> Option<i64> {
    let updated = lease.lease_updated_at.filter(|updated| updated.is_finite())?;
    let age = now.micros_since(updated);
    let ttl = async_ttl(lease).or(lease.ttl_ms.map(|ms| ms.saturating_mul(1000)))?;
    let (offsets, rest) = (age.div_euclid(QUARTER), age.rem_euclid(QUARTER));
    let expired = lease.status == Status::Executing && lease.alive == Some(false);
    (expired && (1..=14 * 4).contains(&offsets) && rest <= ttl.saturating_add(5_000_000)).then(|| offsets * QUARTER)
}

/// The namespace of a key: what stands before the first colon, when that is not empty.
pub fn namespace(key: &str) -> Option<&str> {
    // Keys are short: a plain loop beats a searcher's set-up, a million times over.
    let colon = key.bytes().position(|byte| byte == b':')?;
    Some(&key[..colon]).filter(|namespace| !namespace.is_empty())
}

/// Whether `text` is one JSON document, however deep. PostgreSQL's jsonb always is; a column of SQLite may hold anything.
pub fn is_json(text: &str) -> bool {
    parse_json(text).is_ok()
}

/// Checks that `text` is one JSON document.
///
/// # Errors
/// Where and why it is not.
pub fn parse_json(text: &str) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::de::IgnoredAny::deserialize(&mut reader)?;
    reader.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_namespaces() {
        assert_eq!(owner_parts("web-1:4242-139872"), Some(("web-1", 4242, "139872")));
        assert_eq!(owner_parts("fe80::1:7-8"), Some(("fe80::1", 7, "8")));
        assert_eq!(owner_parts("somebody"), None);
        assert_eq!(namespace("payments:order:1"), Some("payments"));
        assert_eq!(namespace(":x"), None);
        assert_eq!(namespace("order-1"), None);
    }
}
