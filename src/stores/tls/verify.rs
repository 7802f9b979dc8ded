//! Whether the certificate a server shows is believed: libpq's three degrees on top of rustls' verifier, and the
//! sentence that says why not. Building the configuration is `config`'s.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::revoked::Lists;
use super::x509::{Certificate, RevocationList};

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

/// What is demanded of a server's certificate.
#[derive(Debug)]
pub(super) enum Demand {
    /// Nothing but that the server holds its key.
    Nothing,
    /// That it leads to one of the roots and, if `name`, that it is for the host.
    Trusted {
        /// The roots, as a verifier.
        verifier: Arc<WebPkiServerVerifier>,
        /// The roots, as they are: one that signed itself may be the server's own.
        roots: Vec<CertificateDer<'static>>,
        /// The revocation lists, where any are looked at.
        revoked: Lists,
        /// Where the roots came from, for people.
        origin: String,
        /// Whether the name must fit.
        name: bool,
    },
}

/// Why a server's certificate was refused.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub message: String,
    pub hint: Option<&'static str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// The verifier given to rustls.
#[derive(Debug)]
pub(super) struct Verifier {
    pub demand: Demand,
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Demand::Trusted { verifier, roots, revoked, origin, name } = &self.demand else {
            return Ok(ServerCertVerified::assertion());
        };
        let read = Certificate::read(end_entity);
        let outcome = match &read {
            Some(read) if read.self_issued && roots.contains(end_entity) => {
                not_revoked(read, revoked, now).and_then(|()| own_root(end_entity, read, server_name, *name, now))
            }
            _ => verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(drop),
        };
        match outcome {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            // rustls looks at the name last, so by then the chain is good.
            Err(error) if !*name && is_name_error(&error) => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                let refusal = explain(&error, read.as_ref(), server_name, origin);
                Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal)))))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
            .or_else(|error| self.version_1(error, message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
            .or_else(|error| self.version_1(error, message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// `openssl x509 -req` long made certificates of version 1, which rustls does not read at all. Their handshake
    /// signature is still checked, with the key read here: without it the channel binding of SCRAM would be
    /// worth nothing, as anybody can show somebody else's certificate.
    fn version_1(
        &self,
        error: Error,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(read) = Certificate::read(cert).filter(|read| read.version_1) else { return Err(error) };
        let schemes = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == dss.scheme);
        let fits = schemes.flat_map(|(_, algorithms)| algorithms.iter()).any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == read.key_algorithm
                && algorithm.verify_signature(&read.key, message, dss.signature()).is_ok()
        });
        if fits { Ok(HandshakeSignatureValid::assertion()) } else { Err(error) }
    }
}

/// What rustls does for every other certificate: with lists at hand, one of its issuer must be current and not name it.
fn not_revoked(read: &Certificate, lists: &Lists, now: UnixTime) -> Result<(), Error> {
    if lists.is_empty() {
        return Ok(());
    }
    let mut theirs =
        lists.iter().filter_map(|der| RevocationList::read(der)).filter(|list| *list.issuer() == read.issuer);
    let Some(list) = theirs.next() else { return Err(CertificateError::UnknownRevocationStatus.into()) };
    if list.next_update().is_some_and(|next| now.as_secs() > next) {
        return Err(CertificateError::ExpiredRevocationList.into());
    }
    if list.holds(&read.serial) { Err(CertificateError::Revoked.into()) } else { Ok(()) }
}

/// The server shows a certificate that signed itself and that the operator lists as a root, which is how the manual
/// of PostgreSQL sets up TLS first. OpenSSL takes that; rustls refuses a root as a server's certificate.
fn own_root(
    der: &CertificateDer<'_>,
    read: &Certificate,
    host: &ServerName<'_>,
    name: bool,
    now: UnixTime,
) -> Result<(), Error> {
    if now.as_secs() > read.not_after {
        return Err(CertificateError::Expired.into());
    }
    if now.as_secs() < read.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if !name {
        return Ok(());
    }
    let parsed = rustls::server::ParsedCertificate::try_from(der)?;
    rustls::client::verify_server_name(&parsed, host)
}

fn is_name_error(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    )
}

fn explain(error: &Error, read: Option<&Certificate>, host: &ServerName<'_>, origin: &str) -> Refusal {
    let host = host.to_str();
    let refusal = |message: String, hint: &'static str| Refusal { message, hint: Some(hint) };
    let Error::InvalidCertificate(why) = error else {
        return Refusal { message: format!("the server's certificate is not accepted: {error}"), hint: None };
    };
    if is_name_error(error) {
        let only = read.filter(|read| !read.has_alternative_name).and_then(|read| read.common_name.as_deref());
        if let Some(name) = only {
            return refusal(
                format!(
                    "the server's certificate gives its name only as a common name (CN={name:?}), which verify-full does not accept here"
                ),
                "issue the certificate with a subjectAltName, or use sslmode=verify-ca",
            );
        }
        let names = match why {
            // rustls hands the names over as `DnsName("db.example")`.
            CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                let bare = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
                bare.collect::<Vec<_>>().join(", ")
            }
            _ => "another host".to_owned(),
        };
        return refusal(
            format!("the server's certificate is for {names}, not for {host}"),
            "connect by a name in the certificate (hostaddr can give the address), or use sslmode=verify-ca",
        );
    }
    match why {
        CertificateError::UnknownIssuer => refusal(
            format!("the server's certificate is not signed by an authority in {origin}"),
            "set sslrootcert to the certificate of the authority that signed it",
        ),
        CertificateError::Revoked => refusal(
            "the server's certificate was revoked".into(),
            "the revocation list (sslcrl, or ~/.postgresql/root.crl) names it: ask who runs the server",
        ),
        CertificateError::UnknownRevocationStatus => refusal(
            "cannot tell whether the server's certificate was revoked: no revocation list is of its issuer".into(),
            "add the list of every authority in the chain to sslcrl, sslcrldir or ~/.postgresql/root.crl",
        ),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => refusal(
            "the revocation list is out of date, so the server's certificate may have been revoked since".into(),
            "get the current list of the authority (sslcrl, or ~/.postgresql/root.crl)",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            refusal("the server's certificate has expired".into(), "renew it, or check the clock of this machine")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            refusal("the server's certificate is not valid yet".into(), "check the clock of this machine")
        }
        _ if read.is_some_and(|read| read.version_1) => refusal(
            "the server's certificate is of X.509 version 1, which cannot be verified here".into(),
            "issue it with extensions (openssl x509 -req -extfile …, subjectAltName), or use sslmode=require without a root file",
        ),
        CertificateError::Other(OtherError(inner)) if inner.to_string().contains("CaUsedAsEndEntity") => refusal(
            "the server shows the certificate of an authority as its own".into(),
            "issue a certificate for the server, or list exactly this one in sslrootcert",
        ),
        _ => Refusal { message: format!("the server's certificate is not accepted: {error}"), hint: None },
    }
}
