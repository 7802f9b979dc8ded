//! The stored result of a command: exit code, output, times; and reading it back, or what another client stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sen_core::once::{FailedRun, STDERR_TAIL};
use sen_core::time::Timestamp;
use serde_json::{Map, Value};

use super::capture::CapturedOutput;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: u8,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When it was started, by this machine's clock.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Its standard output.
    pub stdout: CapturedOutput,
    /// Its standard error.
    pub stderr: CapturedOutput,
}

impl Ending {
    /// As a failure, for the event that makes the key uncertain.
    pub fn failure(&self, error: Option<String>) -> FailedRun {
        let end = if self.stderr.tail.is_empty() { &self.stderr.head } else { &self.stderr.tail };
        let tail = &end[end.len().saturating_sub(STDERR_TAIL)..];
        let stderr_tail = String::from_utf8_lossy(tail).into_owned();
        // A signal's exit code is only its number plus 128.
        let exit_code = if self.signal.is_none() { Some(self.code) } else { None };
        FailedRun { exit_code, signal: self.signal, error, stderr_tail }
    }
}

/// The result as JSON. `operation` ties it to the events. Where the database may not hold text beyond ASCII, `ascii_only`, such
/// output is kept as base64.
pub fn encode(ending: &Ending, operation: &str, ascii_only: bool) -> String {
    let mut map = Map::new();
    map.insert("exit_code".into(), ending.code.into());
    map.insert("signal".into(), ending.signal.into());
    stream(&mut map, "stdout", &ending.stdout, ascii_only);
    stream(&mut map, "stderr", &ending.stderr, ascii_only);
    map.insert("truncated".into(), (ending.stdout.cut() + ending.stderr.cut() > 0).into());
    map.insert("started_at".into(), ending.started.to_string().into());
    map.insert("finished_at".into(), ending.finished.to_string().into());
    map.insert("operation".into(), operation.into());
    map.insert("by".into(), "sen once".into());
    Value::Object(map).to_string()
}

/// Four fields per stream: the kept text, how it is written, how many bytes there were, and after how many bytes of the
/// kept ones others were left out.
fn stream(map: &mut Map<String, Value>, name: &str, kept: &CapturedOutput, ascii_only: bool) {
    let cut = kept.cut() > 0;
    let storable = |(head, tail): &(String, String)| !ascii_only || (head.is_ascii() && tail.is_ascii());
    let (text, after) = match text(kept).filter(storable) {
        Some((head, tail)) => (Some(format!("{head}{tail}")), head.len()),
        None => (None, kept.head.len()),
    };
    let encoding = if text.is_some() { "utf-8" } else { "base64" };
    let shown = text.unwrap_or_else(|| STANDARD.encode([kept.head.as_slice(), &kept.tail].concat()));
    map.insert(name.into(), shown.into());
    map.insert(format!("{name}_encoding"), encoding.into());
    map.insert(format!("{name}_bytes"), kept.total.into());
    map.insert(format!("{name}_cut_after"), if cut { after.into() } else { Value::Null });
}

/// Both parts as text, unless they are none. jsonb holds no NUL, so text with one is binary as well. A character that the
/// cut went through is dropped.
fn text(kept: &CapturedOutput) -> Option<(String, String)> {
    if kept.head.contains(&0) || kept.tail.contains(&0) {
        return None;
    }
    if kept.cut() == 0 {
        let whole = [kept.head.as_slice(), &kept.tail].concat();
        return String::from_utf8(whole).ok().map(|text| (text, String::new()));
    }
    let head = match std::str::from_utf8(&kept.head) {
        Ok(head) => head,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&kept.head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let broken = kept.tail.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    let tail = std::str::from_utf8(&kept.tail[broken..]).ok()?;
    Some((head.to_owned(), tail.to_owned()))
}

/// A stored result, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cached {
    /// What a command left behind.
    Command {
        /// Its exit code.
        code: u8,
        /// Its standard output.
        stdout: Vec<u8>,
        /// Its standard error.
        stderr: Vec<u8>,
        /// When it ended, as written.
        finished: Option<String>,
    },
    /// What a function in another language returned, or an operator stored: JSON.
    Other(String),
}

/// Reads a stored result.
pub fn decode(json: &str) -> Cached {
    command(json).unwrap_or_else(|| Cached::Other(json.to_owned()))
}

fn command(json: &str) -> Option<Cached> {
    let value: Value = serde_json::from_str(json).ok()?;
    let map = value.as_object()?;
    let code = u8::try_from(map.get("exit_code")?.as_u64()?).ok()?;
    let finished = map.get("finished_at").and_then(Value::as_str).map(str::to_owned);
    Some(Cached::Command { code, stdout: replay(map, "stdout")?, stderr: replay(map, "stderr")?, finished })
}

fn replay(map: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let text = map.get(name)?.as_str()?;
    let mut bytes = match map.get(&format!("{name}_encoding")).and_then(Value::as_str) {
        Some("base64") => STANDARD.decode(text).ok()?,
        _ => text.as_bytes().to_vec(),
    };
    if let Some(after) = map.get(&format!("{name}_cut_after")).and_then(Value::as_u64) {
        let total = map.get(&format!("{name}_bytes")).and_then(Value::as_u64).unwrap_or(0);
        let lost = total.saturating_sub(bytes.len() as u64);
        let at = usize::try_from(after).unwrap_or(usize::MAX).min(bytes.len());
        bytes.splice(at..at, format!("\n[sen: {lost} bytes were not kept]\n").into_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(bytes: &[u8]) -> CapturedOutput {
        CapturedOutput { head: bytes.to_vec(), tail: Vec::new(), total: bytes.len() as u64 }
    }

    fn ending(stdout: CapturedOutput) -> Ending {
        let now = Timestamp::from_micros(0);
        Ending { code: 3, signal: None, started: now, finished: now, stdout, stderr: kept(b"") }
    }

    fn stdout(json: &str) -> Vec<u8> {
        match decode(json) {
            Cached::Command { code: 3, stdout, .. } => stdout,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn any_output_comes_back_and_holds_no_nul(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let json = encode(&ending(kept(&bytes)), "op", bytes.len() % 2 == 1);
            prop_assert!(json.is_ascii() || bytes.len() % 2 == 0);
            prop_assert!(!json.contains("\\u0000"));
            prop_assert_eq!(stdout(&json), bytes);
        }
    }

    #[test]
    fn a_cut_through_a_character_leaves_text() {
        let json =
            encode(&ending(CapturedOutput { head: b"ab\xe2\x82".to_vec(), tail: b"\xacxy".to_vec(), total: 100 }), "op", false);
        assert!(json.contains("\"utf-8\"") && json.contains("\"truncated\":true"), "{json}");
        assert_eq!(stdout(&json), b"ab\n[sen: 96 bytes were not kept]\nxy");
    }

    #[test]
    fn results_of_others_are_left_as_they_are() {
        assert_eq!(decode("{\"ok\": true}"), Cached::Other("{\"ok\": true}".into()));
        assert_eq!(decode("{\"exit_code\": 900}"), Cached::Other("{\"exit_code\": 900}".into()));
    }
}
