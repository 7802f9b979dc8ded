//! The wire protocol of Redis (RESP 2), pure: commands into bytes, bytes into replies.

use crate::error::{Error, ErrorKind, Result};

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
        self.head(b'*', words.len());
        for word in words {
            self.head(b'$', word.len());
            self.bytes.extend_from_slice(word);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.count += 1;
    }

    fn head(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(number.to_string().as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// How many commands.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
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
}

/// How far a reply could be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A reply and the number of bytes it took.
    Whole(Reply, usize),
    /// At least so many bytes in all are needed.
    More(usize),
}

/// Nothing this program asks for is nested deeper.
const DEEPEST: usize = 16;
/// The limit of Redis itself.
const LONGEST: usize = 512 << 20;

/// Reads the reply that `bytes` begins with.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed> {
    let mut at = 0;
    Ok(match reply(bytes, &mut at, 0)? {
        Some(reply) => Parsed::Whole(reply, at),
        None => Parsed::More(at.max(bytes.len() + 1)),
    })
}

/// `None` when there are too few bytes; `at` then says how many are needed at least.
fn reply(bytes: &[u8], at: &mut usize, depth: usize) -> Result<Option<Reply>> {
    let Some(length) = bytes[*at..].windows(2).position(|pair| pair == b"\r\n") else {
        if bytes.len() - *at > 64 << 10 {
            return Err(foreign());
        }
        return Ok(None);
    };
    let line = &bytes[*at..*at + length];
    let (kind, rest) = line.split_first().ok_or_else(foreign)?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    *at += length + 2;
    Ok(Some(match kind {
        b'+' => Reply::Simple(text()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Int(number(rest)?),
        b'$' => match number(rest)? {
            -1 => Reply::Nil,
            size => {
                let size = usize::try_from(size).ok().filter(|size| *size <= LONGEST).ok_or_else(foreign)?;
                let end = *at + size;
                if bytes.len() < end + 2 {
                    *at = end + 2;
                    return Ok(None);
                }
                if &bytes[end..end + 2] != b"\r\n" {
                    return Err(foreign());
                }
                let data = bytes[*at..end].to_vec();
                *at = end + 2;
                Reply::Bulk(data)
            }
        },
        b'*' => match number(rest)? {
            -1 => Reply::Nil,
            count => {
                let count = usize::try_from(count).map_err(|_| foreign())?;
                if depth == DEEPEST {
                    return Err(foreign());
                }
                // Every item takes three bytes at least: no promise of a list allocates more than was sent.
                let mut items = Vec::with_capacity(count.min((bytes.len() - *at) / 3 + 1));
                for _ in 0..count {
                    match reply(bytes, at, depth + 1)? {
                        Some(item) => items.push(item),
                        None => return Ok(None),
                    }
                }
                Reply::Array(items)
            }
        },
        _ => return Err(foreign()),
    }))
}

fn number(text: &[u8]) -> Result<i64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(foreign)
}

fn foreign() -> Error {
    Error::new(ErrorKind::Connect, "what answers does not speak the protocol of Redis")
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
    }

    #[test]
    fn replies_whole_and_in_pieces() {
        let wire = b"*5\r\n$2\r\nab\r\n$-1\r\n:-7\r\n+OK\r\n*1\r\n-ERR no\r\nrest";
        let whole = Reply::Array(vec![
            Reply::Bulk(b"ab".to_vec()),
            Reply::Nil,
            Reply::Int(-7),
            Reply::Simple("OK".into()),
            Reply::Array(vec![Reply::Error("ERR no".into())]),
        ]);
        assert_eq!(parse(wire).unwrap(), Parsed::Whole(whole, wire.len() - 4));
        for end in 0..wire.len() - 4 {
            assert!(matches!(parse(&wire[..end]).unwrap(), Parsed::More(more) if more > end), "{end}");
        }
        assert_eq!(parse(b"$10\r\nabc").unwrap(), Parsed::More(17));
    }

    #[test]
    fn nonsense_is_refused() {
        for wire in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"$x\r\n", b"$-2\r\n", b"$1\r\nabc", b"\r\n", b"*-3\r\n"] {
            assert_eq!(parse(wire).unwrap_err().kind(), ErrorKind::Connect, "{wire:?}");
        }
        assert!(parse(&b"*1\r\n".repeat(40)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(parse(&bytes));
        }

        #[test]
        fn any_shape_is_read_or_refused(text in "([*$:+-][0-9]{0,3}\r\n|ab){0,12}") {
            drop(parse(text.as_bytes()));
        }
    }
}
