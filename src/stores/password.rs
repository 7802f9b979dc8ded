//! Passwords that a program prints: tokens of a cloud, of Vault, of a keyring. It is run for every connection that is made, so
//! that a password which expires is never an old one, and what it prints is kept for the log-in alone (and, as every
//! password, to keep it out of all output).

use std::time::Duration;

use crate::program::{LONGEST_OUTPUT, Program};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::secret::{Secret, remember};

/// How long it may take, unless the operator gives less.
const LIMIT: Duration = Duration::from_secs(30);

/// A program that prints a password.
#[derive(Debug, Clone)]
pub struct PasswordCommand(Program);

/// What the password is for: the program finds it in its environment.
#[derive(Debug)]
pub struct Purpose {
    /// The host, or the directory of the socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user; empty for the default one of a Redis.
    pub user: String,
    /// The database.
    pub database: String,
}

impl PasswordCommand {
    /// Splits a command line as a shell does; see [`Program::parse`].
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str) -> Result<Self> {
        Program::parse(text, LIMIT).map(Self)
    }

    /// The same with at most `limit` to run.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self(self.0.within(limit))
    }

    /// Runs it and returns the line it prints, without the end of the line.
    ///
    /// # Errors
    /// `Usage` where it cannot be started, or prints what no password is; `Connect` for everything that may pass: it failed, took too
    /// long, or printed nothing.
    pub async fn ask(&self, purpose: Purpose) -> Result<Secret> {
        let Purpose { host, port, user, database } = purpose;
        let environment = [
            ("SEN_PASSWORD_HOST", host),
            ("SEN_PASSWORD_PORT", port.to_string()),
            ("SEN_PASSWORD_USER", user),
            ("SEN_PASSWORD_DATABASE", database),
        ];
        let printed = self.0.run(&[], &environment).await;
        printed.and_then(|printed| self.password(&printed)).map_err(|error| {
            let kind = if error.kind() == ErrorKind::Usage { ErrorKind::Usage } else { ErrorKind::Connect };
            let told = error.with_kind(kind).with_context("the program for the log-in");
            if told.hint().is_some() {
                told
            } else {
                told.with_hint("SEN_PASSWORD_COMMAND names it, where no option does")
            }
        })
    }

    fn password(&self, printed: &[u8]) -> Result<Secret> {
        let name = self.0.name();
        let bad = |what: &str| {
            String::from_utf8_lossy(printed).lines().for_each(|line| remember(line.trim()));
            Error::usage(format!("{name} printed {what}")).with_hint(
                "it has to print the password and nothing else; for the first line of several: sh -c '… | head -n 1'",
            )
        };
        if printed.len() > LONGEST_OUTPUT {
            return Err(bad("more than 64 KiB"));
        }
        let line = printed.strip_suffix(b"\n").unwrap_or(printed);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(text) = std::str::from_utf8(line) else { return Err(bad("what is not UTF-8")) };
        if text.contains(['\n', '\r', '\0']) {
            return Err(bad("more than one line"));
        }
        if text.is_empty() {
            return Err(Error::new(ErrorKind::Io, format!("{name} printed no password")));
        }
        remember(text);
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_a_password_and_nothing_else() {
        let read = |printed: &[u8]| PasswordCommand::parse("x").unwrap().password(printed);
        for (printed, password) in
            [("hunter2", "hunter2"), ("a b \n", "a b "), ("t\r\n", "t"), (" x", " x"), ("p\u{e4}\n", "p\u{e4}")]
        {
            assert_eq!(read(printed.as_bytes()).unwrap().reveal(), password);
        }
        for printed in [&b"one\ntwo\n"[..], b"pw\n\n", b"\xff\n", b"a\0b", &[b'x'; LONGEST_OUTPUT + 1]] {
            let error = read(printed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(!format!("{error:?}").contains("two"), "{error:?}");
        }
        for printed in [&b""[..], b"\n", b"\r\n"] {
            assert_eq!(read(printed).unwrap_err().to_string(), "x printed no password");
        }
    }
}
