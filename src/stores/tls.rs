//! TLS for every store: rustls, with libpq's meaning of every setting. The part that tokio-postgres wants is in `driver`.
//! When TLS is tried, and what happens when it fails, is the stores' to decide.

mod config;
#[cfg(feature = "postgres")]
mod driver;
mod file;
mod revoked;
mod verify;
mod x509;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::{CertificateError, ClientConfig, OtherError};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::conninfo::TlsChoice;
#[cfg(feature = "postgres")]
pub use driver::channel_binding;
use sen_model::error::Result;
use verify::Refusal;
pub use verify::Trust;

/// TLS as one set of settings wants it, ready for handshakes.
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

    /// Shakes hands over `stream` with whoever answers for `host`.
    ///
    /// # Errors
    /// When the server is not believed, or does not speak TLS.
    pub async fn handshake<S>(&self, host: &str, stream: S) -> std::result::Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(config) = self.config.clone() else {
            return Err(TlsError {
                message: "TLS is switched off for this connection".into(),
                hint: None,
                foreign: false,
            });
        };
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            Err(_) if self.trust == Trust::Full => {
                let message = format!("{host:?} is no host name that a certificate could be for");
                return Err(TlsError { message, hint: None, foreign: false });
            }
            // The name is not looked at then; an address keeps it out of the SNI field.
            Err(_) => ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
        };
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let stream = connected.map_err(|error| TlsError::from_handshake(&error))?;
        self.used.store(true, Ordering::Relaxed);
        Ok(stream)
    }

    /// How far a server is verified with these settings.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// What the last connection got, or `None` when it is not encrypted.
    #[cfg(feature = "postgres")]
    pub(super) fn outcome(&self) -> Option<Trust> {
        self.used.load(Ordering::Relaxed).then_some(self.trust)
    }

    /// Forgets the last connection.
    #[cfg(feature = "postgres")]
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
    foreign: bool,
}

impl TlsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// Whether the other end does not seem to speak TLS at all.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    fn from_handshake(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = inner
            && let Some(refusal) = why.downcast_ref::<Refusal>()
        {
            return Self { message: refusal.message.clone(), hint: refusal.hint, foreign: false };
        }
        let foreign = matches!(inner, Some(rustls::Error::InvalidMessage(_)))
            || matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
        Self { message: format!("the TLS handshake failed: {error}"), hint: None, foreign }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TlsError {}
