//! What a server may send: a stream that reads the headers of the messages passing through it and refuses what is too
//! long before it is kept. The driver holds a message in memory until its last byte has come, so that a length of
//! 2 GiB, or a start-up without end, would cost what the other side pleases.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::Gate;
use crate::conninfo::Requirement;

/// Everything that a server says until the session is ready, notices included.
pub const LOGIN: u64 = 64 << 10;
/// One message: a row, at most. PostgreSQL itself sends none of more than 1 GiB.
pub const MESSAGE: u64 = 512 << 20;
/// One answer that is collected before it is used. Lists without an end are read row by row and not bounded.
pub const ANSWER: u64 = 1 << 30;

/// "Ready for query": the log-in is over.
const READY: u8 = b'Z';

/// How much has come, and how much more may: shared by a stream and by whoever asks over it.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    received: AtomicU64,
    until: AtomicU64,
    streams: AtomicU32,
}

impl Gauge {
    /// Begins an answer of bounded length.
    pub(super) fn begin(&self) {
        self.until.store(self.received.load(Ordering::Relaxed).saturating_add(ANSWER), Ordering::Relaxed);
    }

    /// Rows are taken one by one from now on, until [`Self::streamed`].
    pub(super) fn stream(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream of rows has ended.
    pub(super) fn streamed(&self) {
        self.begin();
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts what came, and refuses what is too much.
    fn count(&self, length: usize) -> io::Result<()> {
        let all = self.received.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
        if self.streams.load(Ordering::Relaxed) == 0 && all > self.until.load(Ordering::Relaxed) {
            return Err(refused(format!("the answer is longer than {} MiB and is not read", ANSWER >> 20)));
        }
        Ok(())
    }
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Where in the server's messages a stream is.
#[derive(Debug)]
struct Reader {
    /// Type and length of the next message, as far as they have come.
    header: [u8; 5],
    have: usize,
    /// How much of the message under way is still to come.
    body: u64,
    /// Bytes before the first message: the answer to a request for encryption has no header.
    before: usize,
    /// How much the log-in may still take; `None` when it is over.
    login: Option<u64>,
}

impl Reader {
    fn new(before: usize) -> Self {
        Self { header: [0; 5], have: 0, body: 0, before, login: Some(LOGIN) }
    }

    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let skipped = self.before.min(bytes.len());
        self.before -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.body > 0 {
                let part = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
                self.body -= part as u64;
                bytes = &bytes[part..];
                continue;
            }
            let part = (self.header.len() - self.have).min(bytes.len());
            self.header[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            self.have += part;
            bytes = &bytes[part..];
            if self.have == self.header.len() {
                self.have = 0;
                self.begin()?;
            }
        }
        Ok(())
    }

    /// A header is complete.
    fn begin(&mut self) -> io::Result<()> {
        let [kind, length @ ..] = self.header;
        // The driver refuses a length below that of the length itself.
        let length = u64::from(u32::from_be_bytes(length)).max(4);
        if let Some(left) = self.login {
            let left = left.checked_sub(length + 1).ok_or_else(|| {
                refused(format!("the server sent more than {} KiB before the log-in was over", LOGIN >> 10))
            })?;
            self.login = (kind != READY).then_some(left);
        }
        if length > MESSAGE {
            return Err(refused(format!(
                "the server announced a message of {length} bytes; more than {} MiB is not read",
                MESSAGE >> 20
            )));
        }
        self.body = length - 4;
        Ok(())
    }
}

/// A stream of a server's messages that are not too long.
#[derive(Debug)]
pub struct Bounded<S> {
    stream: S,
    reader: Reader,
    gauge: Arc<Gauge>,
    gate: Option<Gate>,
}

impl<S> Bounded<S> {
    /// Before the first byte; `negotiates` says that the driver will first ask for encryption.
    pub(super) fn new(stream: S, negotiates: bool, gauge: Arc<Gauge>) -> Self {
        gauge.begin();
        Self { stream, reader: Reader::new(usize::from(negotiates)), gauge, gate: None }
    }

    /// And the server may have us log in by these methods only.
    pub(super) fn guarded(self, require: Option<&Requirement>) -> Self {
        Self { gate: require.cloned().map(Gate::new), ..self }
    }

    /// The stream underneath, and what counts its bytes: for TLS, whose records are no messages.
    pub(super) fn into_parts(self) -> (S, Arc<Gauge>) {
        (self.stream, self.gauge)
    }

    /// The stream underneath.
    pub(super) fn inner(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let length = into.filled().len() - before;
        self.gauge.count(length)?;
        let skipped = self.reader.before.min(length);
        self.reader.pass(&into.filled()[before..])?;
        if let Some(gate) = &mut self.gate {
            gate.look(&into.filled()[before + skipped..])?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u8, length: u32) -> Vec<u8> {
        [&[kind][..], &length.to_be_bytes()].concat()
    }

    fn whole(kind: u8, body: usize) -> Vec<u8> {
        [message(kind, u32::try_from(body + 4).unwrap()), vec![7; body]].concat()
    }

    /// What a reader says of these bytes in pieces of `size`.
    fn read(bytes: &[u8], size: usize) -> io::Result<Reader> {
        let mut reader = Reader::new(1);
        for piece in bytes.chunks(size) {
            reader.pass(piece)?;
        }
        Ok(reader)
    }

    #[test]
    fn a_message_is_refused_by_its_header() {
        let session = [b"N".to_vec(), whole(b'S', 30), whole(b'Z', 1)].concat();
        for size in [1, 2, 7, 4096] {
            let reader = read(&session, size).unwrap();
            assert_eq!((reader.have, reader.body, reader.login), (0, 0, None), "{size}");
            let long = [session.clone(), message(b'D', u32::try_from(MESSAGE).unwrap() + 1)].concat();
            assert!(read(&long, size).unwrap_err().to_string().contains("512 MiB"));
            let fits = [session.clone(), message(b'D', u32::try_from(MESSAGE).unwrap())].concat();
            assert_eq!(read(&fits, size).unwrap().body, MESSAGE - 4);
            // A negative length is left to the driver, which refuses it; here it is only too long.
            assert!(read(&[session.clone(), message(b'D', u32::MAX)].concat(), size).is_err());
        }
    }

    #[test]
    fn a_log_in_is_bounded_as_a_whole() {
        let notice = whole(b'N', 1000);
        let flood = [b"N".to_vec(), notice.repeat(66)].concat();
        assert!(read(&flood, 4096).unwrap_err().to_string().contains("64 KiB"));
        // Afterwards there may be as many as there will.
        let session = [b"N".to_vec(), whole(b'Z', 1), notice.repeat(200)].concat();
        assert!(read(&session, 4096).is_ok());
    }

    #[test]
    fn an_answer_is_bounded_and_a_stream_is_not() {
        let gauge = Gauge::default();
        gauge.begin();
        let most = usize::try_from(ANSWER).unwrap();
        assert!(gauge.count(most).is_ok() && gauge.count(1).is_err());
        gauge.stream();
        assert!(gauge.count(most).is_ok());
        gauge.streamed();
        assert!(gauge.count(most).is_ok() && gauge.count(1).is_err());
        gauge.begin();
        assert!(gauge.count(1).is_ok());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bodies in proptest::collection::vec((any::<u8>(), 0_usize..300), 0..20), size in 1_usize..50) {
            let bytes: Vec<u8> = std::iter::once(b'N').chain(bodies.iter().flat_map(|(kind, body)| whole(*kind, *body))).collect();
            let (slowly, at_once) = (read(&bytes, size).unwrap(), read(&bytes, bytes.len()).unwrap());
            prop_assert_eq!((slowly.have, slowly.body, slowly.login), (at_once.have, at_once.body, at_once.login));
        }
    }
}
