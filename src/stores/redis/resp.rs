//! Commands and replies, pure.

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
