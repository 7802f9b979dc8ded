//! Commands and replies, pure. The bytes of both are the business of the `redis` crate.

use std::io;

use redis::{Cmd, Parser, Value};

use sen_model::error::{Error, ErrorKind, Result};

/// Commands to be sent at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    count: usize,
}

impl Batch {
    /// No commands yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One command.
    pub fn of(words: &[&[u8]]) -> Self {
        let mut batch = Self::new();
        batch.add(words);
        batch
    }

    /// Adds a command: its name and its arguments.
    pub fn add(&mut self, words: &[&[u8]]) {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.write_packed_command(&mut self.bytes);
        self.count += 1;
    }

    /// How many commands.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The command at a place in the order, with its key where it has one.
    pub fn named(&self, at: usize) -> Option<String> {
        let mut bytes = self.bytes.as_slice();
        for _ in 0..at {
            command(&mut bytes)?;
        }
        let words = command(&mut bytes)?;
        let text = |at: usize| words.get(at).map(|word| String::from_utf8_lossy(word).into_owned());
        let name = text(0)?;
        let key = match name.as_str() {
            "EVAL" => text(3).filter(|_| text(2).is_some_and(|count| count != "0")),
            "GET" | "HGETALL" | "HMGET" | "EXISTS" | "PTTL" | "STRLEN" | "XLEN" | "XRANGE" | "XREVRANGE" => text(1),
            _ => None,
        };
        Some(match key {
            Some(key) => format!("{name} {key}"),
            None => name,
        })
    }

    /// What is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The words of the next command among packed ones.
fn command<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    fn number(rest: &mut &[u8], kind: u8) -> Option<usize> {
        let end = rest.iter().position(|byte| *byte == b'\r')?;
        let text = rest[..end].strip_prefix(&[kind])?;
        let number = std::str::from_utf8(text).ok()?.parse().ok()?;
        *rest = rest.get(end + 2..)?;
        Some(number)
    }
    let mut words = Vec::new();
    for _ in 0..number(rest, b'*')? {
        let length = number(rest, b'$')?;
        words.push(rest.get(..length)?);
        *rest = rest.get(length + 2..)?;
    }
    Some(words)
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing there.
    Nil,
    /// A number.
    Int(i64),
    /// A word of the server's own: `OK`.
    Simple(String),
    /// Bytes.
    Bulk(Vec<u8>),
    /// A list.
    Array(Vec<Reply>),
    /// What the server refused, in its own words: `WRONGTYPE Operation against …`.
    Error(String),
}

impl Reply {
    /// The same, unless the user may not have it: what is merely odd (another type, an older server) can be told beside the rest,
    /// but what was denied must not look as if it were not there.
    ///
    /// # Errors
    /// `Denied`.
    pub fn permitted(self) -> Result<Self> {
        match &self {
            Self::Error(text) if text.starts_with("NOPERM") => self.checked(),
            _ => Ok(self),
        }
    }

    /// Bytes as text, lossily; `None` for anything else.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Bulk(bytes) => Some(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
            Self::Simple(text) => Some(text),
            _ => None,
        }
    }

    /// A number, also one that came as text.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// A list.
    ///
    /// # Errors
    /// `Unreadable` for anything else, and what an error reply means.
    pub fn array(self) -> Result<Vec<Self>> {
        match self {
            Self::Array(items) => Ok(items),
            Self::Nil => Ok(Vec::new()),
            Self::Error(text) => Err(super::errors::from_server(&text)),
            _ => Err(Error::new(ErrorKind::Unreadable, "Redis answered with something other than a list")),
        }
    }

    /// The reply, or what an error reply means.
    ///
    /// # Errors
    /// See [`super::errors`].
    pub fn checked(self) -> Result<Self> {
        match self {
            Self::Error(text) => Err(super::errors::from_server(&text)),
            other => Ok(other),
        }
    }

    fn of(value: Value) -> Result<Self> {
        Ok(match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Int(number),
            Value::BulkString(bytes) => Self::Bulk(bytes),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::of).collect::<Result<_>>()?),
            Value::SimpleString(text) => Self::Simple(text),
            Value::Okay => Self::Simple("OK".into()),
            Value::ServerError(error) => Self::Error(match error.details() {
                Some(details) => format!("{} {details}", error.code()),
                None => error.code().into(),
            }),
            // The other kinds belong to RESP 3, which nobody here asks for.
            _ => return Err(foreign()),
        })
    }
}

/// Makes replies of bytes that come in pieces. What has been read of a reply is not read again when more has come.
#[derive(Default)]
pub(super) struct Replies(Parser);

impl Replies {
    /// The next reply; takes from `input` what it needs. `None` when there are too few bytes, which are then taken.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Reply>> {
        match self.0.parse_value(Piece(input)) {
            Ok(value) => Reply::of(value).map(Some),
            // The only error of reading is that of a piece that has come to its end.
            Err(error) if error.is_io_error() => Ok(None),
            Err(_) => Err(foreign()),
        }
    }
}

/// Bytes after which more will come: their end is not that of the stream.
struct Piece<'a, 'b>(&'a mut &'b [u8]);

impl io::Read for Piece<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}

/// That what answers is no Redis. What was sent may have been carried out all the same, so this is no `Connect` until the
/// log-in makes it one.
pub(super) fn foreign() -> Error {
    Error::new(ErrorKind::Disconnected, "what answers does not speak the protocol of Redis")
        .with_hint("is the port that of a Redis server, and does it want TLS (rediss://)?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands() {
        let mut batch = Batch::of(&[b"GET", b"a"]);
        batch.add(&[b"PING"]);
        assert_eq!(batch.bytes(), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!(batch.count(), 2);
        assert_eq!([0, 1, 2].map(|at| batch.named(at)), [Some("GET a".into()), Some("PING".into()), None]);
        let script = Batch::of(&[b"EVAL", b"return '\r\n*1'", b"1", b"task:1:meta", b"x"]);
        assert_eq!(script.named(0).as_deref(), Some("EVAL task:1:meta"));
        assert_eq!(Batch::of(&[b"SET", b"", b"\r\n\xff"]).bytes(), b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\n\r\n\xff\r\n");
    }

    #[test]
    fn replies_whole_and_in_pieces() {
        let wire = b"*6\r\n$2\r\nab\r\n$-1\r\n:-7\r\n+OK\r\n*1\r\n-ERR no\r\n+PONG\r\n-WRONGTYPE\r\n$0\r\n\r\n";
        let whole = Reply::Array(vec![
            Reply::Bulk(b"ab".to_vec()),
            Reply::Nil,
            Reply::Int(-7),
            Reply::Simple("OK".into()),
            Reply::Array(vec![Reply::Error("ERR no".into())]),
            Reply::Simple("PONG".into()),
        ]);
        for cut in 0..wire.len() {
            let (mut replies, mut found) = (Replies::default(), Vec::new());
            for mut piece in [&wire[..cut], &wire[cut..]] {
                while let Some(reply) = replies.next(&mut piece).unwrap() {
                    found.push(reply);
                }
                assert!(piece.is_empty());
            }
            assert_eq!(found, [whole.clone(), Reply::Error("WRONGTYPE".into()), Reply::Bulk(Vec::new())], "{cut}");
        }
    }

    /// What these bytes hold, all at once or in pieces of one. (Of those the parser may pass over a wrong one.)
    fn read(wire: &[u8]) -> Result<Vec<Reply>> {
        let all = |size: usize| {
            let (mut replies, mut found) = (Replies::default(), Vec::new());
            for mut piece in wire.chunks(size) {
                while let Some(reply) = replies.next(&mut piece)? {
                    found.push(reply);
                }
            }
            Ok(found)
        };
        let (slowly, at_once): (Result<Vec<Reply>>, Result<_>) = (all(1), all(wire.len().max(1)));
        if let (Ok(slowly), Ok(at_once)) = (&slowly, &at_once) {
            assert_eq!(slowly, at_once);
        }
        at_once
    }

    #[test]
    fn nonsense_is_refused() {
        for wire in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\x15\x03\x01\0\x02\x02\x46",
            b"$x\r\n",
            b"$1\r\nabc",
            b"\r\n",
            b"*\r\n",
            b"%1\r\n+a\r\n+b\r\n",
            b"#t\r\n",
            b"* OK IMAP4 ready\r\n",
        ] {
            assert_eq!(read(wire).unwrap_err().kind(), ErrorKind::Disconnected, "{wire:?}");
        }
        assert!(read(&b"*1\r\n".repeat(200)).is_err());
    }

    #[test]
    fn what_is_only_promised_takes_no_memory() {
        let largest = i64::MAX;
        for wire in [
            format!("${largest}\r\nab"),
            format!("*{largest}\r\n:1\r\n"),
            format!("%{largest}\r\n:1\r\n"),
            format!("|{largest}\r\n:1\r\n"),
            "=-5\r\nab".into(),
            "!-1\r\n".into(),
            "*4096\r\n".repeat(90),
        ] {
            assert!(read(wire.as_bytes()).is_ok_and(|found| found.is_empty()), "{wire}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(read(&bytes));
        }

        #[test]
        fn any_shape_is_read_or_refused(text in "([*$:+%~>|=!_,#(-][0-9]{0,3}\r\n|ab){0,12}") {
            drop(read(text.as_bytes()));
        }
    }
}
