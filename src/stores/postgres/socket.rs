//! The way to a server: a TCP connection or a Unix socket, with keepalives as the settings say, and TLS over it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Connection};

use super::bounds::Bounded;
use crate::conninfo::{Conninfo, Endpoint, Keepalives, Place, Requirement};
use crate::tls::{self, Tls, TlsError};

/// Silence before the first keepalive where nothing is said about it; the driver's own default.
const IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// An open way to a server. (No trait object: a lifetime inside it would be more than the compiler can follow here.)
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, into),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// The same, encrypted.
pub type Encrypted = Bounded<tokio_rustls::client::TlsStream<Socket>>;

/// Opens the way to `host` at `address`, or to its Unix socket.
pub(super) fn open(
    info: &Conninfo,
    host: &Endpoint,
    address: Option<IpAddr>,
) -> BoxFuture<'static, io::Result<Socket>> {
    let (port, keepalives, silence) = (host.port, info.keepalives, info.tcp_user_timeout);
    match (&host.place, address) {
        (Place::Socket(directory), _) => unix(directory.join(format!(".s.PGSQL.{port}"))).boxed(),
        (Place::Address(address, _), None) => tcp(*address, port, keepalives, silence).boxed(),
        (_, Some(address)) => tcp(address, port, keepalives, silence).boxed(),
        (Place::Name(_), None) => {
            std::future::ready(Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address"))).boxed()
        }
    }
}

/// What the driver gives for a log-in that succeeded.
pub(super) type Open = (Client, Connection<Bounded<Socket>, Encrypted>);

/// Encrypts as `config` says and logs in.
pub(super) fn log_in(
    config: Config,
    stream: Bounded<Socket>,
    handshake: Handshake,
) -> BoxFuture<'static, Result<Open, tokio_postgres::Error>> {
    async move { config.connect_raw(stream, handshake).await }.boxed()
}

async fn tcp(
    address: IpAddr,
    port: u16,
    keepalives: Keepalives,
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables))] silence: Option<Duration>,
) -> io::Result<Socket> {
    let stream = TcpStream::connect((address, port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    #[cfg(target_os = "linux")]
    if let Some(limit) = silence {
        socket.set_tcp_user_timeout(Some(limit))?;
    }
    if keepalives.on {
        let mut keepalive = TcpKeepalive::new().with_time(keepalives.idle.unwrap_or(IDLE));
        if let Some(interval) = keepalives.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = keepalives.count {
            keepalive = keepalive.with_retries(count);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    Ok(Socket::Tcp(stream))
}

#[cfg(unix)]
async fn unix(path: PathBuf) -> io::Result<Socket> {
    Ok(Socket::Unix(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn unix(_: PathBuf) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets on this system"))
}

/// A handshake with one host, about to be made.
pub(super) struct Handshake {
    tls: Tls,
    host: String,
    require: Option<Requirement>,
}

impl Handshake {
    /// With `host`, whose certificate is for its name, or for its address where it has none.
    pub(super) fn new(tls: Tls, host: &Endpoint, address: Option<IpAddr>, require: Option<&Requirement>) -> Self {
        let host = match (&host.place, address) {
            (Place::Name(name) | Place::Address(_, Some(name)), _) => name.clone(),
            (Place::Address(address, None), _) => address.to_string(),
            (Place::Socket(directory), _) => directory.to_string_lossy().into_owned(),
        };
        Self { tls, host, require: require.cloned() }
    }
}

impl TlsConnect<Bounded<Socket>> for Handshake {
    type Stream = Encrypted;
    type Error = TlsError;
    type Future = BoxFuture<'static, Result<Encrypted, TlsError>>;

    fn connect(self, stream: Bounded<Socket>) -> Self::Future {
        // The records of TLS are no messages; what comes out of them is.
        let (socket, gauge) = stream.into_parts();
        Box::pin(async move {
            let stream = self.tls.handshake(&self.host, socket).await?;
            Ok(Bounded::new(stream, false, gauge).guarded(self.require.as_ref()))
        })
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        tls::channel_binding(self.inner())
    }
}
