//! What a proxy waits for in what a client sends, and what it does then.

/// When to cut a connection by itself.
#[derive(Debug, Clone)]
pub enum Trap {
    /// When the client sends these bytes: the server never gets them.
    Request(Vec<u8>),
    /// After the server got these bytes: the client never gets the answer.
    Answer(Vec<u8>),
    /// Not cut, but stalled before the server gets these bytes, until [`super::Proxy::stall`] lets go.
    Hold(Vec<u8>),
    /// The same after the server got these bytes: its answer is held back.
    Keep(Vec<u8>),
    /// Not cut either: from these bytes on nothing passes on this connection, in either direction, while others go on.
    Mute(Vec<u8>),
    /// The same, once so many bytes of the answer have passed.
    Stop(Vec<u8>, usize),
}

impl Trap {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Request(bytes)
            | Self::Answer(bytes)
            | Self::Hold(bytes)
            | Self::Keep(bytes)
            | Self::Mute(bytes)
            | Self::Stop(bytes, _) => bytes,
        }
    }
}

/// A trap, and what the client must have sent before it is armed.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) after: Option<Vec<u8>>,
    pub(super) trap: Trap,
}

impl Set {
    /// Whether this chunk springs it; one that only arms it is remembered.
    pub(super) fn springs(&mut self, chunk: &[u8]) -> bool {
        let rest = match &self.after {
            None => chunk,
            Some(after) => match find(chunk, after) {
                None => return false,
                Some(at) => &chunk[at + after.len()..],
            },
        };
        self.after = None;
        find(rest, self.trap.bytes()).is_some()
    }
}

fn find(chunk: &[u8], bytes: &[u8]) -> Option<usize> {
    chunk.windows(bytes.len()).position(|window| window == bytes)
}
