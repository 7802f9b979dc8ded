//! The child's output: forwarded as it comes by threads that may block; its beginning and end are kept.

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How much is kept of each end of a stream.
pub const HALF: usize = 32 * 1024;

/// The beginning and the end of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapturedOutput {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes, after those of the head.
    pub tail: Vec<u8>,
    /// How many there were.
    pub total: u64,
}

impl CapturedOutput {
    fn push(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = (HALF - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        bytes = &bytes[room..];
        // The tail may grow to twice its size before it is cut, so that not every push moves it.
        bytes = &bytes[bytes.len().saturating_sub(HALF)..];
        self.tail.extend_from_slice(bytes);
        if self.tail.len() >= 2 * HALF {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let surplus = self.tail.len().saturating_sub(HALF);
        self.tail.drain(..surplus);
    }

    /// How many bytes between head and tail were not kept.
    pub fn cut(&self) -> u64 {
        self.total - self.head.len() as u64 - self.tail.len() as u64
    }
}

/// A stream on its way through.
pub struct Pump {
    shared: Arc<Shared>,
    /// The pipe once more, to see whether something is in it.
    pipe: Option<PipeReader>,
    ended: watch::Receiver<bool>,
}

#[derive(Default)]
struct Shared {
    kept: Mutex<CapturedOutput>,
    writing: AtomicBool,
    moved: AtomicU64,
    unwritten: Mutex<Option<io::Error>>,
}

impl Pump {
    /// Starts passing on. Where nobody reads any more, the child is not made to suffer: its output is still taken.
    pub fn start(mut from: PipeReader, mut to: File) -> Self {
        let shared = Arc::new(Shared::default());
        let pipe = from.try_clone().ok();
        let mine = Arc::clone(&shared);
        let (tell, ended) = watch::channel(false);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            let mut heard = true;
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let bytes = &buffer[..length];
                mine.kept.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
                mine.writing.store(true, Ordering::Relaxed);
                if heard && let Err(error) = to.write_all(bytes) {
                    heard = false;
                    // After the reader has closed the pipe no output is lost; any other error loses output.
                    if error.kind() != io::ErrorKind::BrokenPipe {
                        *mine.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                }
                mine.writing.store(false, Ordering::Relaxed);
                mine.moved.fetch_add(1, Ordering::Relaxed);
            }
            let _ = tell.send(true);
        });
        Self { shared, pipe, ended }
    }

    /// Waits until everything is through. A process that the command left behind can hold the stream open for ever: when
    /// the stream has been silent for a while although nobody keeps it waiting, it is left to itself.
    pub async fn finish(&mut self) -> bool {
        // Many short looks rather than a long one: a machine that stands still for longer than all of them is one look late, and
        // what the thread has to pass on then is not taken for silence.
        const LOOK: Duration = Duration::from_millis(100);
        const LOOKS: u32 = 10;
        let mut silent = 0;
        let mut before = self.shared.moved.load(Ordering::Relaxed);
        while silent < LOOKS {
            if tokio::time::timeout(LOOK, self.ended.wait_for(|ended| *ended)).await.is_ok() {
                return true;
            }
            let moved = self.shared.moved.load(Ordering::Relaxed);
            let waits = self.shared.writing.load(Ordering::Relaxed) || self.holds_more();
            silent = if waits || moved != before { 0 } else { silent + 1 };
            before = moved;
        }
        false
    }

    /// Whether there is something in the pipe that has not been taken.
    fn holds_more(&self) -> bool {
        self.pipe.as_ref().is_some_and(|pipe| rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes > 0))
    }

    /// Why it could not be passed on, if so.
    pub fn unwritten(&self) -> Option<io::Error> {
        self.shared.unwritten.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was kept.
    pub fn kept(&self) -> CapturedOutput {
        let mut kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kept.trim();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept_and_the_middle_is_counted() {
        let mut kept = CapturedOutput::default();
        let whole: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for piece in whole.chunks(7001) {
            kept.push(piece);
        }
        kept.trim();
        assert_eq!(kept.head, whole[..HALF]);
        assert_eq!(kept.tail, whole[whole.len() - HALF..]);
        assert_eq!(kept.cut(), (whole.len() - 2 * HALF) as u64);
        let mut short = CapturedOutput::default();
        short.push(b"abc");
        assert_eq!((short.head.as_slice(), short.tail.len(), short.cut()), (&b"abc"[..], 0, 0));
    }
}
