//! The one error type of the core: a kind that callers can act on, a sentence for people, causes and a hint.
//!
//! Exit codes and rendering live in the command line tool (`fault.rs`), not here.

use std::error::Error as StdError;
use std::fmt;

/// What went wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Input that was typed or configured wrongly: a key, a duration, a URL, a `.env` file.
    Usage,
    /// The database holds none of the systems this operation needs.
    NoSystem,
    /// No connection to the database could be had (network, TLS, authentication, no such database or file).
    Connect,
    /// The connection was lost after it had been made.
    Disconnected,
    /// What was asked for does not exist.
    NotFound,
    /// The state differs from what was seen or required; nothing was written.
    Changed,
    /// The state is as required, and the database itself kept the change out; nothing was written.
    KeptOut,
    /// Not permitted by the operator's own settings: not confirmed, or read-only.
    Refused,
    /// Still pending, or a wait ran out of time.
    Pending,
    /// The outcome of a write cannot be known from here.
    OutcomeUnknown,
    /// The database refused for lack of privileges.
    Denied,
    /// A statement or lock time limit was reached.
    Timeout,
    /// The database's answer could not be understood.
    Unreadable,
    /// Interrupted by the operator.
    Interrupted,
    /// Reading or writing a local file or stream failed.
    Io,
    /// Anything else the database reported.
    Database,
    /// A defect in `sen` itself.
    Internal,
}

impl ErrorKind {
    /// The stable machine name, as printed in the JSON error envelope.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NoSystem => "no_system",
            Self::Connect => "connect",
            Self::Disconnected => "disconnected",
            Self::NotFound => "not_found",
            Self::Changed => "changed",
            Self::KeptOut => "kept_out",
            Self::Refused => "refused",
            Self::Pending => "pending",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
            Self::Unreadable => "unreadable",
            Self::Interrupted => "interrupted",
            Self::Io => "io",
            Self::Database => "database",
            Self::Internal => "internal",
        }
    }
}

/// An error of the core.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    sqlstate: Option<String>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error {
    /// An error of `kind` that says `message`: one sentence, no trailing full stop, never a password.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, sqlstate: None, source: None }
    }

    /// Bad input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// What changed no row although everything is as the change requires it.
    pub fn kept_out(table: &str) -> Self {
        let why =
            format!("the database did not let the change through: a row-level security policy or a trigger on {table}");
        Self::new(ErrorKind::KeptOut, why)
    }

    /// The same error once more, for others whom it stopped as well.
    #[must_use]
    pub fn repeated(&self) -> Self {
        let source = self.causes().into_iter().next().map(Into::into);
        Self {
            kind: self.kind,
            message: self.message.clone(),
            hint: self.hint.clone(),
            sqlstate: self.sqlstate.clone(),
            source,
        }
    }

    /// The same error as another kind, for a caller that knows more about the circumstances.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says where it happened, before the message.
    #[must_use]
    pub fn with_context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the reader can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The five-character SQLSTATE the database sent.
    #[must_use]
    pub fn with_sqlstate(mut self, code: impl Into<String>) -> Self {
        self.sqlstate = Some(code.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the connection is what failed. Of a write that means: nothing of it was written.
    pub fn is_of_the_connection(&self) -> bool {
        matches!(self.kind, ErrorKind::Disconnected | ErrorKind::Connect)
    }

    /// What to do next, where something sensible can be said.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The SQLSTATE, when the database sent one.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// The messages of the errors underneath, outermost first, without repeats of what is already said.
    pub fn causes(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut next = StdError::source(self);
        while let Some(error) = next {
            let text = error.to_string();
            if !text.is_empty() && !self.message.contains(&text) && !out.iter().any(|seen| seen.contains(&text)) {
                out.push(text);
            }
            next = error.source();
        }
        out
    }

    /// Message, causes and hint in one sentence.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        text.extend(self.causes().iter().map(|cause| format!(": {cause}")));
        text.extend(self.hint().map(|hint| format!(" ({hint})")));
        text
    }
}

/// The result type of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_listed_once_and_outermost_first() {
        let inner = Error::new(ErrorKind::Io, "disk full");
        let middle = Error::new(ErrorKind::Io, "cannot write page").with_source(inner);
        let outer = Error::new(ErrorKind::Database, "statement failed").with_source(middle);
        assert_eq!(outer.causes(), ["cannot write page", "disk full"]);
        let repeat =
            Error::new(ErrorKind::Database, "x: disk full").with_source(Error::new(ErrorKind::Io, "disk full"));
        assert!(repeat.causes().is_empty());
    }
}
