//! Reading replies (RESP 2) from bytes that come in pieces. Pure.
//!
//! Ours and not a library's: the lengths and the depth a stranger may promise are bounded here, a reply that is not Redis'
//! is refused at its first wrong byte, and a long reply is read once however many pieces it comes in. (The protocol:
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>.)

use super::resp::Reply;
use sen_model::error::{Error, ErrorKind, Result};

/// No line (a status, an error, a number, a length) is longer. A bulk string is no line.
const LONGEST_LINE: usize = 64 << 10;
/// Lists within lists. What `sen` asks is answered 4 deep at most.
const DEEPEST: usize = 128;
/// What is set aside for a length that was only promised.
const AHEAD: usize = 64 << 10;

/// Makes replies of bytes that come in pieces.
#[derive(Default)]
pub(super) struct Replies {
    /// The begin of a line whose end has not come yet.
    line: Vec<u8>,
    /// A bulk string that has not come to its end, and how long it and its line end are.
    bulk: Option<(Vec<u8>, usize)>,
    /// The lists that are open, the outermost first, each with how many of its items are missing.
    open: Vec<(Vec<Reply>, usize)>,
}

impl Replies {
    /// The next reply; takes from `input` what it needs. `None` when there are too few bytes, which are then taken.
    ///
    /// # Errors
    /// `Disconnected`: what answers is no Redis. The connection cannot be used further.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Reply>> {
        loop {
            let read = if self.bulk.is_some() { self.rest_of_bulk(input)? } else { self.item(input)? };
            let mut reply = match read {
                Read::Reply(reply) => reply,
                Read::Opened => continue,
                Read::Short => return Ok(None),
            };
            // Complete as many lists as this was the last item of.
            loop {
                let Some((items, missing)) = self.open.last_mut() else { return Ok(Some(reply)) };
                items.push(reply);
                *missing -= 1;
                if *missing > 0 {
                    break;
                }
                reply = Reply::Array(std::mem::take(items));
                self.open.pop();
            }
        }
    }

    /// What the next line begins.
    fn item(&mut self, input: &mut &[u8]) -> Result<Read> {
        // A stranger's first byte is told at once: it may never send a line end.
        if let Some(first) = self.line.first().or(input.first())
            && !b"+-:$*".contains(first)
        {
            return Err(foreign());
        }
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            self.take_line(input, input.len())?;
            return Ok(Read::Short);
        };
        let read = if self.line.is_empty() {
            let line = &input[..end];
            *input = &input[end + 1..];
            self.begun(line)?
        } else {
            self.take_line(input, end)?;
            *input = &input[1..];
            let line = std::mem::take(&mut self.line);
            self.begun(&line)?
        };
        Ok(read)
    }

    fn take_line(&mut self, input: &mut &[u8], size: usize) -> Result<()> {
        self.line.extend_from_slice(&input[..size]);
        *input = &input[size..];
        if self.line.len() > LONGEST_LINE { Err(foreign()) } else { Ok(()) }
    }

    /// What a whole line says, its `\n` taken off.
    fn begun(&mut self, line: &[u8]) -> Result<Read> {
        let [kind, text @ .., b'\r'] = line else { return Err(foreign()) };
        let words = || String::from_utf8_lossy(text).into_owned();
        Ok(match kind {
            b'+' => Read::Reply(Reply::Simple(words())),
            b'-' => Read::Reply(Reply::Error(words())),
            b':' => Read::Reply(Reply::Int(number(text)?)),
            b'$' => match length(text)? {
                None => Read::Reply(Reply::Nil),
                Some(length) => {
                    let whole = length.checked_add(2).ok_or_else(foreign)?;
                    self.bulk = Some((Vec::with_capacity(whole.min(AHEAD)), whole));
                    Read::Opened
                }
            },
            b'*' => match length(text)? {
                None => Read::Reply(Reply::Nil),
                Some(0) => Read::Reply(Reply::Array(Vec::new())),
                Some(_) if self.open.len() == DEEPEST => return Err(foreign()),
                Some(count) => {
                    self.open.push((Vec::with_capacity(count.min(AHEAD / size_of::<Reply>())), count));
                    Read::Opened
                }
            },
            _ => return Err(foreign()),
        })
    }

    fn rest_of_bulk(&mut self, input: &mut &[u8]) -> Result<Read> {
        let Some((bytes, whole)) = &mut self.bulk else { return Ok(Read::Short) };
        let size = input.len().min(*whole - bytes.len());
        bytes.extend_from_slice(&input[..size]);
        *input = &input[size..];
        if bytes.len() < *whole {
            return Ok(Read::Short);
        }
        let mut bytes = std::mem::take(bytes);
        self.bulk = None;
        if !bytes.ends_with(b"\r\n") {
            return Err(foreign());
        }
        bytes.truncate(bytes.len() - 2);
        Ok(Read::Reply(Reply::Bulk(bytes)))
    }
}

/// What was read.
enum Read {
    /// A whole reply, or a whole item of one.
    Reply(Reply),
    /// The begin of a list or of a bulk string.
    Opened,
    /// Nothing whole: more bytes have to come.
    Short,
}

fn number(text: &[u8]) -> Result<i64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(foreign)
}

/// A length; `None` for the one that says "nothing there".
fn length(text: &[u8]) -> Result<Option<usize>> {
    match number(text)? {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| foreign()),
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

    /// What these bytes hold when they come in pieces of this size.
    fn in_pieces(wire: &[u8], size: usize) -> Result<Vec<Reply>> {
        let (mut replies, mut found) = (Replies::default(), Vec::new());
        for mut piece in wire.chunks(size) {
            while let Some(reply) = replies.next(&mut piece)? {
                found.push(reply);
            }
        }
        Ok(found)
    }

    /// What these bytes hold; the pieces they come in change nothing.
    fn read(wire: &[u8]) -> Result<Vec<Reply>> {
        let (slowly, at_once) = (in_pieces(wire, 1), in_pieces(wire, wire.len().max(1)));
        match (&slowly, &at_once) {
            (Ok(slowly), Ok(at_once)) => assert_eq!(slowly, at_once),
            _ => assert_eq!(slowly.is_err(), at_once.is_err(), "{wire:?}"),
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
            b"$-2\r\n",
            b"*-2\r\n",
            b":1\n",
            b"\r\n",
            b"*\r\n",
            b"%1\r\n+a\r\n+b\r\n",
            b"#t\r\n",
            b"|9223372036854775807\r\n",
            b"=-5\r\nab",
            b"!-1\r\n",
            b"* OK IMAP4 ready\r\n",
        ] {
            assert_eq!(read(wire).unwrap_err().kind(), ErrorKind::Disconnected, "{wire:?}");
        }
        assert!(read(&b"*1\r\n".repeat(200)).is_err());
        assert!(read(&b"+".repeat(LONGEST_LINE + 2)).is_err());
    }

    #[test]
    fn what_is_only_promised_takes_no_memory() {
        let largest = i64::MAX;
        for wire in [format!("${largest}\r\nab"), format!("*{largest}\r\n:1\r\n"), "*4096\r\n".repeat(90)] {
            assert!(read(wire.as_bytes()).is_ok_and(|found| found.is_empty()), "{wire}");
        }
    }

    /// As a server writes it.
    fn written(reply: &Reply, wire: &mut Vec<u8>) {
        match reply {
            Reply::Nil => wire.extend(b"$-1\r\n"),
            Reply::Int(number) => wire.extend(format!(":{number}\r\n").bytes()),
            Reply::Simple(text) => wire.extend(format!("+{text}\r\n").bytes()),
            Reply::Error(text) => wire.extend(format!("-{text}\r\n").bytes()),
            Reply::Bulk(bytes) => {
                wire.extend(format!("${}\r\n", bytes.len()).bytes());
                wire.extend(bytes);
                wire.extend(b"\r\n");
            }
            Reply::Array(items) => {
                wire.extend(format!("*{}\r\n", items.len()).bytes());
                items.iter().for_each(|item| written(item, wire));
            }
        }
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            Just(Reply::Nil),
            any::<i64>().prop_map(Reply::Int),
            "[^\r\n]{0,8}".prop_map(Reply::Simple),
            "[^\r\n]{0,8}".prop_map(Reply::Error),
            proptest::collection::vec(any::<u8>(), 0..12).prop_map(Reply::Bulk),
        ];
        leaf.prop_recursive(4, 32, 6, |item| proptest::collection::vec(item, 0..6).prop_map(Reply::Array))
    }

    proptest! {
        #[test]
        fn what_a_server_writes_is_what_is_read(replies in proptest::collection::vec(any_reply(), 0..4), size in 1_usize..40) {
            let mut wire = Vec::new();
            replies.iter().for_each(|reply| written(reply, &mut wire));
            prop_assert_eq!(in_pieces(&wire, size).unwrap(), replies);
        }

        #[test]
        fn bytes_in_pieces_are_read_as_the_whole_is(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(read(&bytes));
        }

        #[test]
        fn shapes_in_pieces_are_read_as_the_whole_is(text in "([*$:+%~>|=!_,#(-][0-9]{0,3}\r\n|ab){0,12}") {
            drop(read(text.as_bytes()));
        }
    }
}
