//! TLS as tokio-postgres wants it: a connector per host, and a stream that knows its channel binding.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::client::TlsStream;

use super::gate::Gate;
use super::x509::{Certificate, Hash};
use super::{Tls, TlsError};
use crate::stores::conninfo::Requirement;

impl Tls {
    /// A handshake with `host`. With a requirement, what the server asks at the log-in is looked at.
    pub(in crate::stores) fn handshaker(&self, host: &str, require: Option<&Requirement>) -> Handshake {
        Handshake { tls: self.clone(), host: host.to_owned(), require: require.cloned() }
    }
}

/// TLS, or none, for a server that may have us log in by some methods only.
#[derive(Debug, Clone)]
pub(in crate::stores) struct Guarded(pub Tls, pub Option<Requirement>);

impl<S> MakeTlsConnect<S> for Guarded
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = TlsError;

    fn make_tls_connect(&mut self, domain: &str) -> std::result::Result<Handshake, TlsError> {
        Ok(self.0.handshaker(domain, self.1.as_ref()))
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = TlsError;

    fn make_tls_connect(&mut self, domain: &str) -> std::result::Result<Handshake, TlsError> {
        Ok(self.handshaker(domain, None))
    }
}

/// A handshake with one host, about to be made.
#[derive(Debug)]
pub struct Handshake {
    tls: Tls,
    host: String,
    require: Option<Requirement>,
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
            let gate = self.require.map(Gate::new);
            let carrier = match gate.is_some() && self.tls.config.is_none() {
                true => Carrier::Plain(stream),
                false => Carrier::Tls(Box::new(self.tls.handshake(&self.host, stream).await?)),
            };
            Ok(Stream { carrier, gate })
        })
    }
}

/// A stream that knows its channel binding.
#[derive(Debug)]
pub struct Stream<S> {
    carrier: Carrier<S>,
    gate: Option<Gate>,
}

#[derive(Debug)]
enum Carrier<S> {
    Tls(Box<TlsStream<S>>),
    /// In the clear, where only the gate is wanted.
    Plain(S),
}

impl<S> tokio_postgres::tls::TlsStream for Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// `tls-server-end-point`: the server's certificate under the hash of its own signature. Without a hash that is
    /// certain there is no binding, which SCRAM can do without; a wrong one would fail the log-in.
    fn channel_binding(&self) -> ChannelBinding {
        let Carrier::Tls(stream) = &self.carrier else { return ChannelBinding::none() };
        let (_, session) = stream.get_ref();
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
        let before = buf.filled().len();
        let polled = match &mut self.carrier {
            Carrier::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Carrier::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Some(gate) = &mut self.gate
            && let Err(unwanted) = gate.look(&buf.filled()[before..])
        {
            buf.set_filled(before);
            return Poll::Ready(Err(unwanted));
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.carrier {
            Carrier::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Carrier::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Plain(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
