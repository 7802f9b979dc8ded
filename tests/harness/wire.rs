//! Just enough of PostgreSQL's wire format to name messages and to see when an answer is complete.

/// Splits one direction of a connection into messages, whatever chunks it arrives in.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
}

/// The code of a start-up packet that asks for TLS.
const SSL_REQUEST: u32 = 80_877_103;
/// The code of one that asks for GSSAPI encryption.
const GSS_REQUEST: u32 = 80_877_104;
/// The code of one that asks to cancel another session's query.
const CANCEL_REQUEST: u32 = 80_877_102;

impl Splitter {
    /// Adds what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The name of the next start-up packet (the only kind without a letter), once it is whole.
    pub fn start_up(&mut self) -> Option<&'static str> {
        let length: usize = be32(&self.buffer, 0)?;
        let code: u32 = be32(&self.buffer, 4)?;
        self.take(length)?;
        Some(match code {
            SSL_REQUEST => "SSLRequest",
            GSS_REQUEST => "GSSENCRequest",
            CANCEL_REQUEST => "CancelRequest",
            _ => "Startup",
        })
    }

    /// The letter of the next message and what it carries, once it is whole.
    pub fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = *self.buffer.first()?;
        let length: usize = be32(&self.buffer, 1)?;
        let carried = self.buffer.get(5..length + 1)?.to_vec();
        self.take(length + 1)?;
        Some((kind, carried))
    }

    /// Whether something has arrived that is no whole message yet.
    pub fn is_amid(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next byte: the answer to a request for encryption.
    pub fn byte(&mut self) -> Option<u8> {
        let byte = *self.buffer.first()?;
        self.take(1)?;
        Some(byte)
    }

    fn take(&mut self, length: usize) -> Option<()> {
        (self.buffer.len() >= length).then(|| drop(self.buffer.drain(..length)))
    }
}

fn be32<T: TryFrom<u32>>(bytes: &[u8], at: usize) -> Option<T> {
    let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    u32::from_be_bytes(word).try_into().ok()
}

/// What a client's message is called.
pub fn client_message(kind: u8) -> &'static str {
    match kind {
        b'B' => "Bind",
        b'C' => "Close",
        b'D' => "Describe",
        b'E' => "Execute",
        b'F' => "FunctionCall",
        b'H' => "Flush",
        b'P' => "Parse",
        b'Q' => "Query",
        b'S' => "Sync",
        b'X' => "Terminate",
        b'c' => "CopyDone",
        b'd' => "CopyData",
        b'f' => "CopyFail",
        b'p' => "Password",
        _ => "Unknown",
    }
}
