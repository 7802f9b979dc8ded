//! Keys, patterns and replies: what goes to Redis and what comes back, in the words of the system. Pure.

use crate::port::EventRecord;
use crate::record::Task;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::time::Timestamp;
use sen_stores::redis::Reply;

/// The stream of events.
pub(super) const STREAM: &str = "stream:events";
/// How many keys one SCAN looks at: a third of a millisecond of the server's time.
pub(super) const LOOK_AT: &[u8] = b"400";

/// The key of a task's hash.
pub(super) fn meta_key(id: &str) -> String {
    format!("task:{id}:meta")
}

/// The key of a worker's heartbeat.
pub(super) fn beat_key(worker: &str) -> String {
    format!("worker:{worker}:hb")
}

/// `text` as part of a pattern: its own `*`, `?`, `[`, `]` and `\` mean themselves.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// What stands between `before` and `after` in a key.
pub(super) fn between<'a>(key: &'a str, before: &str, after: &str) -> Option<&'a str> {
    key.strip_prefix(before)?.strip_suffix(after).filter(|middle| !middle.is_empty())
}

/// The reply to TIME.
pub(super) fn clock(reply: Reply) -> Result<Timestamp> {
    let parts = reply.array()?;
    let number = |at: usize| parts.get(at).and_then(Reply::int);
    match (number(0), number(1)) {
        (Some(seconds), Some(micros)) => Ok(Timestamp::from_micros(seconds.saturating_mul(1_000_000) + micros)),
        _ => Err(Error::new(ErrorKind::Unreadable, "Redis does not say what time it is")),
    }
}

/// A time to live in milliseconds; `None` where there is none.
pub(super) fn ttl(reply: &Reply) -> Option<i64> {
    reply.int().filter(|ttl| *ttl >= 0)
}

/// The replies one by one; a missing one cannot happen, and is nothing.
pub(super) struct Replies(pub std::vec::IntoIter<Reply>);

impl Replies {
    pub(super) fn next(&mut self) -> Reply {
        self.0.next().unwrap_or(Reply::Nil)
    }
}

/// A hash from the flat list that HGETALL gives.
pub(super) fn pairs(reply: Reply) -> Result<Vec<(String, String)>> {
    let mut items = reply.array()?.into_iter();
    let mut out = Vec::new();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        if let (Some(name), Some(value)) = (name.text(), value.text()) {
            out.push((name, value));
        }
    }
    Ok(out)
}

/// A task from the reply to HMGET; `None` when there is no such key, or nothing known in it.
pub(super) fn task(id: String, reply: Reply) -> Result<Option<Task>> {
    match reply {
        Reply::Error(text) if text.starts_with("WRONGTYPE") => {
            Ok(Some(Task::broken(id, "its key holds something else than a hash".into())))
        }
        Reply::Error(text) => Err(sen_stores::redis::errors::from_server(&text)),
        reply => {
            let values = reply.array()?;
            if values.iter().all(|value| *value == Reply::Nil) {
                return Ok(None);
            }
            Ok(Some(Task::read(id, values.into_iter().map(Reply::text).collect())))
        }
    }
}

pub(super) fn event_id(text: &str) -> Option<(i64, i64)> {
    let (millis, number) = text.split_once('-')?;
    Some((millis.parse().ok()?, number.parse().ok()?))
}

/// The entries of a stream.
pub(super) fn entries(reply: Reply) -> Result<Vec<EventRecord>> {
    let mut out = Vec::new();
    for entry in reply.array()? {
        let mut parts = Replies(entry.array()?.into_iter());
        let id = parts.next().text().as_deref().and_then(event_id);
        let fields = pairs(parts.next())?;
        out.extend(id.map(|id| EventRecord { id, fields }));
    }
    Ok(out)
}

/// The id right before this one.
pub(super) fn before((millis, number): (i64, i64)) -> String {
    match number {
        0 => format!("{}-{}", millis.saturating_sub(1), u64::MAX),
        number => format!("{millis}-{}", number - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_patterns() {
        assert_eq!(between("task:a:b:meta", "task:", ":meta"), Some("a:b"));
        assert_eq!(between("task::meta", "task:", ":meta"), None);
        assert_eq!(literal("a*[b]"), r"a\*\[b\]");
        assert_eq!(before((5, 0)), format!("4-{}", u64::MAX));
        assert_eq!(before((5, 3)), "5-2");
    }
}
