//! TLS for PostgreSQL: rustls under tokio-postgres, with libpq's meaning of every setting.
//! When TLS is tried, and what happens when it fails, is `postgres`' to decide.

mod config;
mod verify;
mod x509;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustls::{CertificateError, ClientConfig, OtherError};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;

use super::conninfo::TlsChoice;
use crate::error::Result;
use verify::Refusal;
use x509::{Certificate, Hash};

/// How far the server on the other end was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Encrypted, but it could be anybody.
    Unverified,
    /// Its certificate leads to a trusted root.
    Authority,
    /// And is for the host that was asked for.
    Full,
}

/// TLS as one set of settings wants it, ready for tokio-postgres.
#[derive(Clone)]
pub struct Tls {
    config: Option<Arc<ClientConfig>>,
    used: Arc<AtomicBool>,
    trust: Trust,
}

impl Tls {
    /// No TLS: what sockets and `sslmode=disable` get.
    pub fn none() -> Self {
        Self { config: None, used: Arc::default(), trust: Trust::Unverified }
    }

    /// Reads the files that `choice` names and prepares handshakes.
    ///
    /// # Errors
    /// `Usage` for files that are missing, unsafe or unusable.
    pub fn prepare(choice: &TlsChoice, warnings: &mut Vec<String>) -> Result<Self> {
        let (config, trust) = config::build(choice, warnings)?;
        Ok(Self { config: Some(Arc::new(config)), used: Arc::default(), trust })
    }

    /// What the last connection got, or `None` when it is not encrypted.
    pub(super) fn outcome(&self) -> Option<Trust> {
        self.used.load(Ordering::Relaxed).then_some(self.trust)
    }

    /// Forgets the last connection.
    pub(super) fn reset(&self) {
        self.used.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("trust", &self.trust).field("on", &self.config.is_some()).finish()
    }
}

/// Why a handshake failed, for people.
#[derive(Debug)]
pub struct TlsError {
    message: String,
    hint: Option<&'static str>,
}

impl TlsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    fn from_handshake(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = inner
            && let Some(refusal) = why.downcast_ref::<Refusal>()
        {
            return Self { message: refusal.message.clone(), hint: refusal.hint };
        }
        Self { message: format!("the TLS handshake failed: {error}"), hint: None }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TlsError {}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = TlsError;

    fn make_tls_connect(&mut self, domain: &str) -> std::result::Result<Handshake, TlsError> {
        Ok(Handshake { tls: self.clone(), host: domain.to_owned() })
    }
}

/// A handshake with one host, about to be made.
#[derive(Debug)]
pub struct Handshake {
    tls: Tls,
    host: String,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = TlsError;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Stream<S>, TlsError>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let Some(config) = self.tls.config else {
                return Err(TlsError { message: "TLS is switched off for this connection".into(), hint: None });
            };
            let name = match ServerName::try_from(self.host.clone()) {
                Ok(name) => name,
                Err(_) if self.tls.trust == Trust::Full => {
                    let message = format!("{:?} is no host name that a certificate could be for", self.host);
                    return Err(TlsError { message, hint: None });
                }
                // The name is not looked at then; an address keeps it out of the SNI field.
                Err(_) => ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
            };
            let connected = TlsConnector::from(config).connect(name, stream).await;
            let stream = connected.map_err(|error| TlsError::from_handshake(&error))?;
            self.tls.used.store(true, Ordering::Relaxed);
            Ok(Stream(stream))
        })
    }
}

/// An encrypted stream that knows its channel binding.
#[derive(Debug)]
pub struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S> tokio_postgres::tls::TlsStream for Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// `tls-server-end-point`: the server's certificate under the hash of its own signature. Without a hash that is
    /// certain there is no binding, which SCRAM can do without; a wrong one would fail the log-in.
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let hash = certificate.and_then(|der| Certificate::read(der)).and_then(|read| read.hash);
        let Some((der, hash)) = certificate.zip(hash) else { return ChannelBinding::none() };
        let algorithm = match hash {
            Hash::Sha256 => &ring::digest::SHA256,
            Hash::Sha384 => &ring::digest::SHA384,
            Hash::Sha512 => &ring::digest::SHA512,
        };
        ChannelBinding::tls_server_end_point(ring::digest::digest(algorithm, der).as_ref().to_vec())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
