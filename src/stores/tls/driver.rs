//! What tokio-postgres wants to know of TLS: the channel binding of an encrypted stream.

use tokio_postgres::tls::ChannelBinding;
use tokio_rustls::client::TlsStream;

use super::x509::{Certificate, Hash};

/// `tls-server-end-point`: the server's certificate under the hash of its own signature. Without a hash that is
/// certain there is no binding, which SCRAM can do without; a wrong one would fail the log-in.
pub fn channel_binding<S>(stream: &TlsStream<S>) -> ChannelBinding {
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
