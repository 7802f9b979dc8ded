//! The stream under a connection to one server: TLS, log-in, and the exchange of bytes.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::errors;
use super::replies::{Replies, foreign};
use super::resp::{Batch, Reply};
use crate::conninfo::TlsChoice;
use crate::tls::{Tls, Trust};
use crate::url::{RedisInfo, RedisPlace, shown};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::secret::Secret;

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// An open connection.
pub(super) struct Wire {
    stream: Pin<Box<dyn Stream>>,
    encryption: &'static str,
    /// What is read at once.
    chunk: Vec<u8>,
    /// Which server this is.
    server: String,
    /// What the server said that it is: `master`, `slave`, `replica`, `sentinel`.
    role: Option<String>,
    /// Why it is this server that is read.
    note: Option<String>,
}

/// Where one server is.
pub(super) enum Place<'a> {
    /// A Unix socket.
    Socket(&'a Path),
    /// A host and a port.
    Host(&'a str, u16),
}

const CHUNK: usize = 64 << 10;
/// No answer to one exchange is longer: twice the longest value that Redis keeps.
const LONGEST: usize = 1 << 30;
/// No answer to a log-in is longer, from a server that is one.
pub(super) const LONGEST_OF_LOGIN: usize = 64 << 10;

impl Wire {
    /// Connects and encrypts.
    pub(super) async fn reach(place: &Place<'_>, tls: Option<&TlsChoice>) -> Result<Self> {
        let (stream, encryption): (Pin<Box<dyn Stream>>, _) = match place {
            Place::Socket(path) => (socket(path).await?, "Unix socket"),
            Place::Host(host, port) => {
                let stream = tokio::net::TcpStream::connect((*host, *port)).await.map_err(unreachable)?;
                // Batches are written whole; waiting for more to send would only add delay.
                drop(stream.set_nodelay(true));
                let near = stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
                match tls {
                    None if near => (Box::pin(stream), "not encrypted, on this machine"),
                    None => (Box::pin(stream), "not encrypted"),
                    Some(choice) => {
                        let mut warnings = Vec::new();
                        let tls = Tls::prepare(choice, &mut warnings)?;
                        let stream = tls.handshake(host, stream).await.map_err(|error| {
                            let told = Error::new(ErrorKind::Connect, error.to_string());
                            match error.hint() {
                                Some(hint) => told.with_hint(hint),
                                None if error.is_foreign() => told.with_hint(
                                    "this port does not seem to speak TLS: write redis:// instead of rediss:// if the network is trusted",
                                ),
                                None => told,
                            }
                        })?;
                        let trust = match tls.trust() {
                            Trust::Unverified => "TLS, certificate not verified",
                            Trust::Authority => "TLS, certificate verified, name not",
                            Trust::Full => "TLS, certificate verified",
                        };
                        (Box::pin(stream), trust)
                    }
                }
            }
        };
        let server = match place {
            Place::Socket(path) => path.display().to_string(),
            Place::Host(host, port) => shown(host, *port),
        };
        Ok(Self { stream, encryption, chunk: vec![0; CHUNK], server, role: None, note: None })
    }

    /// Says who we are and chooses the database, in one exchange. The database is chosen even if it is the first: an
    /// answer to something is how a missing password shows.
    pub(super) async fn log_in(&mut self, info: &RedisInfo, password: Option<&Secret>) -> Result<()> {
        let mut batch = Batch::new();
        if let Some(password) = password {
            match &info.user {
                Some(user) => batch.add(&[b"AUTH", user.as_bytes(), password.reveal().as_bytes()]),
                None => batch.add(&[b"AUTH", password.reveal().as_bytes()]),
            }
        }
        batch.add(&[b"SELECT", info.db.to_string().as_bytes()]);
        batch.add(&[b"CLIENT", b"SETNAME", b"sen"]);
        // Two ways to learn of a cluster, because either may be denied to a user or unknown to a server.
        batch.add(&[b"INFO", b"cluster"]);
        batch.add(&[b"HELLO"]);
        // Asked only where it decides: a user that may not would be noted in the server's log at every log-in.
        if matches!(info.place, RedisPlace::Sentinels(_)) {
            batch.add(&[b"ROLE"]);
        }
        let answer = self.exchange_of(&batch, LONGEST_OF_LOGIN).await.map_err(|error| {
            if error.hint().is_none() {
                error.with_hint("is the port that of a Redis server, and does it want TLS (rediss://)?")
            } else {
                error
            }
        });
        let mut replies = answer?.into_iter();
        if password.is_some() {
            replies.next().unwrap_or(Reply::Nil).checked()?;
        }
        if replies.as_slice().iter().any(names_cluster) {
            return Err(errors::cluster(&info.describe()));
        }
        self.role = replies.as_slice().iter().rev().find_map(role);
        if self.role.as_deref() == Some("sentinel") {
            return Err(errors::sentinel(&info.describe()));
        }
        match replies.next() {
            // A user whose access list lacks SELECT can still work in the first database.
            Some(Reply::Error(text)) if info.db != 0 || errors::is_login(&text) || !text.starts_with("NOPERM") => {
                let refused = text.starts_with("NOPERM") && info.db != 0;
                let error = errors::from_server(&text);
                Err(if refused { error.with_context(format!("database {} needs SELECT", info.db)) } else { error })
            }
            Some(Reply::Simple(_) | Reply::Error(_)) => Ok(()),
            _ => Err(foreign()),
        }
    }

    /// What the server said that it is, if it did.
    pub(super) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// Which server this is, for people.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Why it is this server that is read, where it matters.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Sets [`Self::note`].
    pub(super) fn tell(&mut self, note: String) {
        self.note = Some(note);
    }

    /// How the connection is protected.
    pub(super) fn encryption(&self) -> &'static str {
        self.encryption
    }

    /// Writes a batch and reads its replies.
    pub(super) async fn exchange(&mut self, batch: &Batch) -> Result<Vec<Reply>> {
        self.exchange_of(batch, LONGEST).await
    }

    /// Both at the same time: a server that has no room for replies stops reading.
    pub(super) async fn exchange_of(&mut self, batch: &Batch, longest: usize) -> Result<Vec<Reply>> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let chunk = &mut self.chunk;
        let write = async {
            writer.write_all(batch.bytes()).await.map_err(lost)?;
            writer.flush().await.map_err(lost)
        };
        let read = async {
            let (mut replies, mut found) = (Replies::default(), Vec::with_capacity(batch.count()));
            let mut length = 0;
            while found.len() < batch.count() {
                let size = reader.read(chunk).await.map_err(lost)?;
                if size == 0 {
                    return Err(Error::new(ErrorKind::Disconnected, CLOSED));
                }
                if length == 0 && is_tls(&chunk[..size]) {
                    return Err(wants_tls());
                }
                let mut input = &chunk[..size];
                while found.len() < batch.count()
                    && let Some(reply) = replies.next(&mut input)?
                {
                    found.push(reply);
                }
                length += size;
                if length > longest {
                    return Err(too_long(longest));
                }
            }
            Ok(found)
        };
        Ok(tokio::try_join!(write, read)?.1)
    }
}

/// Runs one step of connecting until `deadline`, which is `connect_timeout` away.
pub(super) async fn before<T>(deadline: Instant, info: &RedisInfo, step: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout_at(deadline, step).await.unwrap_or_else(|_| {
        let limit = span(info.connect_timeout);
        Err(Error::new(ErrorKind::Connect, format!("no answer within {limit}")).with_hint(match &info.tls {
            // A plain Redis waits for the rest of what it takes for a command.
            Some(_) => "does this port speak TLS? if not, write redis:// instead of rediss://",
            None => "is the host right, and does a firewall drop packets?",
        }))
    })
}

/// Whether this reply to INFO or HELLO is that of a server in cluster mode.
fn names_cluster(reply: &Reply) -> bool {
    let is = |reply: &Reply, word: &str| matches!(reply, Reply::Bulk(bytes) if bytes == word.as_bytes());
    match reply {
        Reply::Bulk(text) => String::from_utf8_lossy(text).lines().any(|line| line.trim() == "cluster_enabled:1"),
        Reply::Array(parts) => parts.windows(2).any(|pair| is(&pair[0], "mode") && is(&pair[1], "cluster")),
        _ => false,
    }
}

/// What a reply to HELLO or ROLE says that the server is.
fn role(reply: &Reply) -> Option<String> {
    let Reply::Array(parts) = reply else { return None };
    let text = |reply: &Reply| match reply {
        Reply::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let first = parts.first().and_then(text)?;
    let value = |name: &str| parts.windows(2).find(|pair| text(&pair[0]).as_deref() == Some(name)).map(|pair| &pair[1]);
    match first.as_str() {
        "master" | "slave" | "sentinel" => Some(first),
        // A sentinel tells its mode and no role.
        _ => value("mode").and_then(text).filter(|mode| mode == "sentinel").or_else(|| value("role").and_then(text)),
    }
}

#[cfg(unix)]
async fn socket(path: &Path) -> Result<Pin<Box<dyn Stream>>> {
    Ok(Box::pin(tokio::net::UnixStream::connect(path).await.map_err(unreachable)?))
}

#[cfg(not(unix))]
async fn socket(_: &Path) -> Result<Pin<Box<dyn Stream>>> {
    Err(Error::usage("there are no Unix sockets on this system"))
}

const CLOSED: &str = "Redis closed the connection";

/// Whether these are the first bytes of a TLS record: an alert, where somebody does not encrypt.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, ..])
}

fn wants_tls() -> Error {
    Error::new(ErrorKind::Disconnected, "this port speaks TLS, and the URL says that the connection is not encrypted")
        .with_hint("write rediss:// instead of redis://")
}

fn too_long(longest: usize) -> Error {
    if longest == LONGEST_OF_LOGIN {
        let (told, bound) = (foreign(), longest >> 10);
        let hint = told.hint().unwrap_or_default().to_owned();
        return Error::new(told.kind(), format!("{told}: its answer to the log-in is longer than {bound} KiB"))
            .with_hint(hint);
    }
    Error::new(ErrorKind::Disconnected, format!("the answer is longer than {} MiB and is not read", longest >> 20))
}

fn lost(error: io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, "the connection to Redis was lost").with_source(error)
}

fn unreachable(error: io::Error) -> Error {
    let said = error.to_string();
    let (message, hint) = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            ("connection refused", "is the server running there, and is the port right?")
        }
        io::ErrorKind::NotFound => ("there is no such socket", "is the server running?"),
        io::ErrorKind::PermissionDenied => (said.as_str(), "this user may not use the socket"),
        _ => (said.as_str(), "check the host name and the network"),
    };
    Error::new(ErrorKind::Connect, message).with_hint(hint)
}

/// A limit, for people.
pub(super) fn span(limit: Duration) -> String {
    sen_model::time::humane(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX))
}
