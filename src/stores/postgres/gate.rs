//! `require_auth` on the wire: looks at what the server asks before the driver sees it, so that a password is not given to
//! a server that asks for it in a way the operator ruled out.

use std::fmt;
use std::io;

use crate::conninfo::{Method, Requirement};

/// The server wants another log-in than is accepted.
#[derive(Debug)]
pub(super) struct Unwanted(String);

impl fmt::Display for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwanted {}

/// Follows the server's messages up to the end of the log-in.
#[derive(Debug)]
pub(super) struct Gate {
    requirement: Requirement,
    /// The beginning of the message under way: its kind, its length and, of a request, what is asked.
    head: Vec<u8>,
    /// So many bytes of it are of no interest.
    skip: usize,
    /// Whether we have proved who we are.
    proved: bool,
    done: bool,
}

impl Gate {
    pub(super) fn new(requirement: Requirement) -> Self {
        Self { requirement, head: Vec::with_capacity(9), skip: 0, proved: false, done: false }
    }

    /// Takes note of what the server sent.
    ///
    /// # Errors
    /// When it asks for a log-in that is not accepted; what it sent is then not to be passed on.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !self.done && !bytes.is_empty() {
            if self.skip > 0 {
                let step = self.skip.min(bytes.len());
                self.skip -= step;
                bytes = &bytes[step..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let request = self.head[0] == b'R';
            if self.head.len() < if request { 9 } else { 5 } {
                continue;
            }
            let word =
                |at: usize| self.head[at..].iter().take(4).fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let length = word(1);
            match self.head[0] {
                b'R' => {
                    self.judge(word(5))?;
                    self.skip = length.saturating_sub(8);
                }
                // The server's refusal; the driver goes no further.
                b'E' => self.done = true,
                _ => self.skip = length.saturating_sub(4),
            }
            self.head.clear();
        }
        Ok(())
    }

    fn judge(&mut self, code: usize) -> io::Result<()> {
        let (method, asked) = match code {
            0 => {
                self.done = true;
                (Method::Nothing, "did not have us prove who we are")
            }
            3 => (Method::Password, "asked for the password in the clear"),
            5 => (Method::Md5, "asked for an MD5 hash of the password"),
            7 | 8 => (Method::Gss, "asked for GSSAPI"),
            9 => (Method::Sspi, "asked for SSPI"),
            10..=12 => (Method::Scram, "asked for SCRAM"),
            _ => return self.refuse("asked for a log-in that is not known here"),
        };
        if (code == 0 && self.proved) || self.requirement.allows(method) {
            self.proved |= matches!(code, 3 | 5 | 12);
            return Ok(());
        }
        self.refuse(asked)
    }

    fn refuse(&self, asked: &str) -> io::Result<()> {
        let text = format!("the server {asked}, and require_auth={} does not accept that", self.requirement.text());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, Unwanted(text)))
    }
}
