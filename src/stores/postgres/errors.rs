//! What the driver's errors and the server's SQLSTATEs mean: a kind, the server's own words in full, a hint.
//! Pure; nothing is asked of a server here.

use std::error::Error as StdError;
use std::io;

use tokio_postgres::error::{DbError, Severity};

use super::gate::Unwanted;
use crate::tls::TlsError;
use sen_model::diagnostics::UNPRIVILEGED;
use sen_model::error::{Error, ErrorKind};

/// What an error of the driver means.
pub fn error_from(error: tokio_postgres::Error) -> Error {
    if let Some(server) = error.as_db_error() {
        return from_server(server);
    }
    if error.is_closed() {
        return Error::new(ErrorKind::Disconnected, "the connection to the server was lost");
    }
    let cause = StdError::source(&error);
    if let Some(tls) = cause.and_then(|cause| cause.downcast_ref::<TlsError>()) {
        let told = Error::new(ErrorKind::Connect, tls.to_string());
        return match tls.hint() {
            Some(hint) => told.with_hint(hint),
            None => told,
        };
    }
    if let Some(unwanted) = unwanted(&error) {
        return Error::new(ErrorKind::Connect, unwanted.to_string())
            .with_hint("it may not be the server that is meant; require_auth (PGREQUIREAUTH) lists what is accepted");
    }
    let said = cause.map(ToString::to_string).unwrap_or_default();
    // The driver keeps its kinds to itself; its fixed sentences are the only sign of them.
    match error.to_string().as_str() {
        "error communicating with the server" => {
            Error::new(ErrorKind::Disconnected, format!("the connection to the server was lost: {said}"))
        }
        "error connecting to server" => cause_of(cause.and_then(|cause| cause.downcast_ref::<io::Error>()), &said),
        "error performing TLS handshake" if said.contains("does not support TLS") => {
            Error::new(ErrorKind::Connect, "the server does not support TLS, and sslmode demands it")
                .with_hint("switch ssl on in the server, or set sslmode=disable if the network is trusted")
        }
        "invalid configuration" if said == "password missing" => {
            Error::new(ErrorKind::Connect, "the server asks for a password, and none is given")
                .with_hint("put it into ~/.pgpass (mode 0600) or PGPASSWORD")
        }
        "authentication error" if said.contains("channel binding") => {
            Error::new(ErrorKind::Connect, format!("authentication failed: {said}"))
                .with_hint("channel_binding=require needs TLS and a SCRAM password")
        }
        "authentication error" => Error::new(ErrorKind::Connect, format!("authentication failed: {said}")),
        what @ ("unexpected message from server" | "error parsing response from server") => {
            Error::new(ErrorKind::Unreadable, format!("{what}{}", after_colon(&said)))
                .with_hint("is this a PostgreSQL server at all?")
        }
        what if what.starts_with("error deserializing column") || what.starts_with("invalid column") => {
            Error::new(ErrorKind::Unreadable, format!("{what}{}", after_colon(&said)))
        }
        what => Error::new(ErrorKind::Database, format!("{what}{}", after_colon(&said))),
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// As [`error_from`], for an error before the connection stood: whatever it was, there is no connection.
pub(super) fn connecting(error: tokio_postgres::Error) -> Error {
    let told = error_from(error);
    if told.kind() == ErrorKind::Connect {
        return told;
    }
    let mut out = Error::new(ErrorKind::Connect, told.to_string());
    if let Some(code) = told.sqlstate() {
        out = out.with_sqlstate(code);
    }
    let hint = match told.hint() {
        Some(hint) => Some(hint.to_owned()),
        None if told.kind() == ErrorKind::Disconnected && told.sqlstate().is_none() => {
            Some("does a PostgreSQL server listen there? a proxy without a server behind it hangs up like this".into())
        }
        None => None,
    };
    if let Some(hint) = hint {
        out = out.with_hint(hint);
    }
    match told.causes().into_iter().next() {
        Some(cause) => out.with_source(cause),
        None => out,
    }
}

/// Why there is no way to a server.
pub(super) fn unreachable_server(error: &io::Error) -> Error {
    cause_of(Some(error), &error.to_string())
}

fn cause_of(cause: Option<&io::Error>, said: &str) -> Error {
    let (message, hint) = match cause.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => (
            "connection refused".to_owned(),
            "is the server running there, on this port? a firewall can refuse as well",
        ),
        Some(io::ErrorKind::NotFound) => (
            "there is no such socket".to_owned(),
            "is the server running on this machine? set DATABASE_URL or PGHOST if it is elsewhere",
        ),
        Some(io::ErrorKind::PermissionDenied) => (
            "the socket may not be opened by this user".to_owned(),
            "check unix_socket_permissions, or connect over TCP",
        ),
        Some(io::ErrorKind::TimedOut) => ("no answer".to_owned(), "is the host up, and does a firewall drop packets?"),
        _ => (said.to_owned(), "is the host right, and reachable from this machine?"),
    };
    Error::new(ErrorKind::Connect, message).with_hint(hint)
}

/// The server's error: its message, its DETAIL as a cause, its HINT beside ours.
fn from_server(server: &DbError) -> Error {
    let code = server.code().code();
    let fatal = matches!(server.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    let (kind, ours) = meaning(code, server.message(), fatal);
    let hint = match (ours, server.hint()) {
        (Some(ours), Some(theirs)) => Some(format!("{theirs} ({ours})")),
        (Some(hint), None) | (None, Some(hint)) => Some(hint.to_owned()),
        (None, None) => None,
    };
    let mut out = Error::new(kind, server.message()).with_sqlstate(code);
    if let Some(hint) = hint {
        out = out.with_hint(hint);
    }
    match server.detail() {
        Some(detail) => out.with_source(detail),
        None => out,
    }
}

fn meaning(code: &str, message: &str, fatal: bool) -> (ErrorKind, Option<&'static str>) {
    match code {
        "28P01" => (ErrorKind::Connect, Some("check the role, and its password in ~/.pgpass, PGPASSWORD or the URL")),
        "28000" if message.contains("pg_hba.conf") && message.contains("no encryption") => (
            ErrorKind::Connect,
            Some("pg_hba.conf on the server lists who may connect from where; it may want TLS: sslmode=require"),
        ),
        "28000" if message.contains("pg_hba.conf") => {
            (ErrorKind::Connect, Some("pg_hba.conf on the server lists who may connect from where"))
        }
        "28000" if message.contains("client certificate") => {
            (ErrorKind::Connect, Some("set sslcert and sslkey to a client certificate the server trusts"))
        }
        "28000" => (ErrorKind::Connect, Some("check that the role exists and may log in")),
        "3D000" => (ErrorKind::Connect, Some("check the database name; psql -l lists those of the server")),
        "53300" => (ErrorKind::Connect, Some("try again later, or go through a pooler; max_connections is the limit")),
        "57P03" => {
            (ErrorKind::Connect, Some("the server is starting up, shutting down or recovering: try again shortly"))
        }
        "42501" => (ErrorKind::Denied, Some(UNPRIVILEGED)),
        "25006" => (
            ErrorKind::Refused,
            Some("the server is a standby, or default_transaction_read_only is on: nothing can be written"),
        ),
        "57014" if message.contains("user request") => (ErrorKind::Interrupted, None),
        "57014" => (
            ErrorKind::Timeout,
            Some("the statement took longer than its time limit; narrow the filter, or raise --timeout"),
        ),
        "55P03" => {
            (ErrorKind::Timeout, Some("another session holds the lock; look into pg_stat_activity, then try again"))
        }
        "08P01" if message.contains("startup parameter") => {
            (ErrorKind::Connect, Some("a pooler refuses start-up settings: remove options from the URL, and PGOPTIONS"))
        }
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "25P04" => (ErrorKind::Disconnected, None),
        _ if code.starts_with("08") => (ErrorKind::Disconnected, None),
        _ if code.starts_with("28") => (ErrorKind::Connect, None),
        _ if fatal => (ErrorKind::Disconnected, None),
        _ => (ErrorKind::Database, None),
    }
}

/// What PgBouncer says while the server behind it is away, all of it under the code of a breach of the protocol.
const SERVERLESS: [&str; 6] = [
    "server_login_retry",
    "client_login_timeout",
    "query_wait_timeout",
    "server conn crashed",
    "connect failed",
    "max_client_conn",
];

/// Whether what refused a connection with this code and message may let the next one in.
pub(super) fn passes(code: &str, message: &str) -> bool {
    match code {
        "57P01" | "57P02" | "57P03" | "53300" | "08000" | "08001" | "08003" | "08006" => true,
        "08P01" => SERVERLESS.iter().any(|words| message.contains(words)),
        _ => false,
    }
}

/// The server's wish that ended the log-in, if one did.
fn unwanted(error: &tokio_postgres::Error) -> Option<&Unwanted> {
    StdError::source(error)?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// Whether the connection is gone, as far as this error tells.
pub(super) fn is_loss(error: &tokio_postgres::Error) -> bool {
    if unwanted(error).is_some() {
        return false;
    }
    error.is_closed() || error.to_string() == "error communicating with the server"
}

/// Whether TLS was what failed.
pub(super) fn is_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string() == "error performing TLS handshake"
}

/// Whether the server has spoken, so that libpq would not ask the next one: everything but trouble on the way to it and
/// "cannot connect now".
pub(super) fn is_decisive(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => code.code() != "57P03",
        None => !is_loss(error) && error.to_string() != "error connecting to server",
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    sqlstate: Option<String>,
}

impl Words {
    pub(super) fn of(error: tokio_postgres::Error) -> Self {
        let told = error_from(error);
        Self {
            message: told.to_string(),
            detail: told.causes().into_iter().next(),
            hint: told.hint().map(str::to_owned),
            sqlstate: told.sqlstate().map(str::to_owned),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.message.is_empty()
    }

    pub(super) fn into_loss(self) -> Error {
        let mut error = Error::new(ErrorKind::Disconnected, self.message);
        if let Some(code) = self.sqlstate {
            error = error.with_sqlstate(code);
        }
        if let Some(hint) = self.hint {
            error = error.with_hint(hint);
        }
        match self.detail {
            Some(detail) => error.with_source(detail),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_without_a_server_is_asked_again() {
        let away = "server login has been failing, try again later (server_login_retry)";
        assert!(passes("08P01", away) && passes("57P03", "the database system is starting up") && passes("08006", ""));
        let judged =
            [("08P01", "no such database: shop"), ("28P01", away), ("08P01", "unsupported startup parameter: options")];
        assert!(judged.iter().all(|(code, message)| !passes(code, message)));
    }

    #[test]
    fn sqlstates_have_kinds() {
        let kind = |code, message, fatal| meaning(code, message, fatal).0;
        assert_eq!(kind("28P01", "", true), ErrorKind::Connect);
        assert_eq!(kind("3D000", "", true), ErrorKind::Connect);
        assert_eq!(kind("42501", "", false), ErrorKind::Denied);
        assert_eq!(kind("25006", "", false), ErrorKind::Refused);
        assert_eq!(kind("57014", "canceling statement due to statement timeout", false), ErrorKind::Timeout);
        assert_eq!(kind("57014", "canceling statement due to user request", false), ErrorKind::Interrupted);
        assert_eq!(kind("55P03", "", false), ErrorKind::Timeout);
        assert_eq!(kind("57P01", "", true), ErrorKind::Disconnected);
        assert_eq!(kind("08006", "", false), ErrorKind::Disconnected);
        assert_eq!(kind("42P01", "", false), ErrorKind::Database);
        assert_eq!(kind("XX000", "", true), ErrorKind::Disconnected);
    }
}
