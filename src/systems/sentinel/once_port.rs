//! What running work once per key needs of a store: claim, beat, complete, give up. Each act is one guarded statement (or
//! one short transaction), and each names the holder's key, owner and token, so that nobody else's row can be touched.

use std::time::Duration;

use async_trait::async_trait;

use super::record::Lease;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;

/// Sentinel's tables as a worker uses them.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// The database for people, without secrets.
    fn database(&self) -> &str;

    /// The lease of a key as it stands, with its result. Writes nothing.
    async fn key_state(&self, key: &str) -> Result<KeyState>;

    /// Takes a key that is free (absent, or claimed and expired) and moves it to executing, in one statement; else says
    /// what stands in the way, and records the rejection as the library does.
    async fn claim(&self, wish: &ClaimRequest, permit: &WritePermit) -> Result<Claim>;

    /// Extends the lease by the TTL in the row; `None` when the row is no longer ours, or its hard expiry has passed.
    async fn beat(&self, held: &Held, permit: &WritePermit) -> Result<Option<Beat>>;

    /// Stores the result (JSON text, no NUL in it); false when the row is no longer ours to complete.
    async fn complete(&self, held: &Held, result: &str, permit: &WritePermit) -> Result<bool>;

    /// Deletes the row, so that the key may run again; false when it is no longer ours.
    async fn release(&self, held: &Held, permit: &WritePermit) -> Result<bool>;

    /// Ends the lease at once and leaves the key executing: uncertain. False when it is no longer ours. How the run failed is
    /// kept with its event, where events have metadata.
    async fn expire(&self, held: &Held, run: Option<&FailedRun>, permit: &WritePermit) -> Result<bool>;

    /// Whether text beyond ASCII may not be storable: the database has another encoding than UTF-8.
    fn ascii_only(&self) -> bool {
        false
    }
}

/// How much of a failed run's standard error is kept with its event.
pub const STDERR_TAIL: usize = 2048;

/// How a run failed: kept with the event that makes its key uncertain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedRun {
    /// Its exit code.
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What went wrong, where it was not its exit code.
    pub error: Option<String>,
    /// The end of what it wrote to standard error; at most [`STDERR_TAIL`] bytes of it are kept.
    pub stderr_tail: String,
}

impl FailedRun {
    fn value(&self, ascii_only: bool) -> serde_json::Value {
        let mut tail = self.stderr_tail.as_str();
        while tail.len() > STDERR_TAIL {
            let cut = tail.len() - STDERR_TAIL;
            tail = &tail[(cut..).find(|at| tail.is_char_boundary(*at)).unwrap_or(tail.len())..];
        }
        let plain = |text: &str| -> String {
            let fits = |c: char| c != '\0' && (!ascii_only || c.is_ascii());
            text.chars().map(|c| if fits(c) { c } else { '?' }).collect()
        };
        serde_json::json!({
            "exit_code": self.exit_code,
            "signal": self.signal,
            "error": self.error.as_deref().map(plain),
            "stderr_tail": plain(tail),
        })
    }
}

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The key, namespace included.
    pub key: String,
    /// Who asks: unique to this one attempt, so that after a lost connection the row itself tells whether it was taken.
    pub owner: String,
    /// How long the lease lasts without a heartbeat.
    pub ttl: Duration,
    /// How long heartbeats can extend it.
    pub hard_ttl: Duration,
}

impl ClaimRequest {
    /// The TTL in milliseconds, as the column `ttl_ms` (a 32-bit integer) takes it.
    ///
    /// # Errors
    /// `Usage` when it does not fit.
    pub fn ttl_ms(&self) -> Result<i32> {
        i32::try_from(self.ttl.as_millis()).ok().filter(|ms| *ms > 0).ok_or_else(|| {
            Error::usage("the TTL must be at least a millisecond and at most 24 days").with_hint("30s is a good one")
        })
    }

    /// The hard TTL in milliseconds; as in the library never below the TTL.
    pub fn hard_ttl_ms(&self) -> i64 {
        i64::try_from(self.hard_ttl.max(self.ttl).as_millis()).unwrap_or(i64::MAX)
    }
}

/// A row that is ours: every later act is guarded by all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The key.
    pub key: String,
    /// The owner that claimed it.
    pub owner: String,
    /// The fencing token the claim drew.
    pub token: i64,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The key is ours and executing; the commit is confirmed.
    Taken(Held),
    /// It is not free.
    Refused(KeyState),
}

/// A key at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyState {
    /// The database's clock.
    pub now: Timestamp,
    /// The lease; `None` when there is none.
    pub lease: Option<Lease>,
}

/// An acknowledged heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The TTL the row says: the lease now lasts so long from the moment of the beat.
    pub ttl: Duration,
}

/// What is written beside each event where the table has a column for it.
pub fn metadata(owner: &str, run: Option<&FailedRun>, ascii_only: bool, permit: &WritePermit) -> String {
    let mut note = serde_json::Map::new();
    note.insert("by".into(), "sen once".into());
    note.insert("caller".into(), owner.into());
    note.insert("operation".into(), permit.operation().to_string().into());
    if let Some(reason) = permit.reason() {
        note.insert("reason".into(), reason.into());
    }
    if let Some(run) = run {
        note.insert("failure".into(), run.value(ascii_only));
    }
    serde_json::Value::Object(note).to_string()
}

/// Refuses a result that the database would refuse (jsonb has no NUL) or that is no JSON, before anything is sent.
///
/// # Errors
/// `Usage`.
pub fn check_result(json: &str) -> Result<()> {
    if !super::record::is_json(json) {
        return Err(Error::new(ErrorKind::Usage, "the result is not valid JSON"));
    }
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            b'u' if escaped && json[at..].starts_with("u0000") => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    "the result holds a NUL character, which the database cannot store",
                )
                .with_hint("encode binary data, for example as base64"));
            }
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_escapes_are_found_and_escaped_backslashes_are_not_mistaken_for_them() {
        assert!(check_result(r#"{"a":"x\u0000"}"#).is_err());
        assert!(check_result(r#""\\\u0000""#).is_err());
        assert!(check_result(r#""\\u0000 \u00e9""#).is_ok());
        assert!(check_result("{").is_err());
        assert!(check_result("null").is_ok());
    }

    #[test]
    fn the_tail_of_stderr_is_bounded_and_fits_the_encoding() {
        let run = FailedRun { stderr_tail: format!("{}é\0!", "ü".repeat(3000)), ..FailedRun::default() };
        let kept = run.value(false)["stderr_tail"].as_str().unwrap().to_owned();
        assert!(kept.len() <= STDERR_TAIL && kept.ends_with("üé?!"), "{kept}");
        assert!(run.value(true)["stderr_tail"].as_str().unwrap().ends_with("???!"));
    }

    #[test]
    fn ttls_fit_the_columns() {
        let wish = |ttl, hard_ttl| ClaimRequest { key: "k".into(), owner: "o".into(), ttl, hard_ttl };
        assert!(wish(Duration::ZERO, Duration::ZERO).ttl_ms().is_err());
        assert!(wish(Duration::from_secs(30 * 86_400), Duration::ZERO).ttl_ms().is_err());
        assert_eq!(wish(Duration::from_secs(2), Duration::from_secs(1)).hard_ttl_ms(), 2000);
    }
}
