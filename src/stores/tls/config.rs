//! From the settings of TLS to a configuration of rustls: versions, roots, the client's certificate and key.
//! Files are read here and only when a handshake is about to need them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::file::{slurp, unreadable};
use super::revoked;
use super::verify::{Demand, Trust, Verifier};
use crate::conninfo::{NamedFile, Roots, SslMode, TlsChoice, TlsVersion};
use sen_model::error::{Error, Result};

/// Builds the configuration and says what it will demand of the server.
pub(super) fn build(choice: &TlsChoice, warnings: &mut Vec<String>) -> Result<(ClientConfig, Trust)> {
    let provider = Arc::new(provider());
    let (demand, trust) = demand(choice, &provider, warnings)?;
    let versions: &[_] = match (choice.min, choice.max) {
        (TlsVersion::V13, _) => &[&TLS13],
        (_, TlsVersion::V12) => &[&TLS12],
        _ => &[&TLS13, &TLS12],
    };
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| Error::usage("these TLS versions cannot be used").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { demand, algorithms }));
    let mut config = match client_certificate(choice, warnings)? {
        None => builder.with_no_client_auth(),
        Some((chain, key, path)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            Error::usage(format!("client certificate {path} does not go with its key")).with_source(error)
        })?,
    };
    config.enable_sni = choice.sni;
    if choice.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok((config, trust))
}

/// ring, named here and never installed for the whole process: a library must not choose for its callers. P-256 comes
/// first because PostgreSQL before 18 offers nothing else (`ssl_ecdh_curve`), and guessing wrong costs a round trip.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.kx_groups = vec![ring::kx_group::SECP256R1, ring::kx_group::X25519, ring::kx_group::SECP384R1];
    provider
}

/// As libpq: whatever the mode, a root file that is there is used; the `verify` modes insist on one.
fn demand(choice: &TlsChoice, provider: &Arc<CryptoProvider>, warnings: &mut Vec<String>) -> Result<(Demand, Trust)> {
    let insists = choice.mode >= SslMode::VerifyCa;
    let (roots, origin) = match &choice.roots {
        Roots::System => (system_roots()?, "the operating system's list".to_owned()),
        Roots::File(file) => match certificates(&file.path)? {
            Some(roots) => (roots, file.path.display().to_string()),
            None if insists => return Err(no_roots(Some(&file.path))),
            None => {
                if file.named {
                    warnings.push(format!(
                        "sslrootcert {} does not exist, so the server's certificate is not verified",
                        file.path.display()
                    ));
                }
                return Ok((Demand::Nothing, Trust::Unverified));
            }
        },
        Roots::Nobody if insists => return Err(no_roots(None)),
        Roots::Nobody => return Ok((Demand::Nothing, Trust::Unverified)),
    };
    let revoked = revoked::load(choice, warnings)?.unwrap_or_default();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(roots.iter().cloned());
    if added == 0 {
        return Err(Error::usage(format!("{origin} holds no certificate of an authority")));
    }
    // As OpenSSL with libpq's flags: every certificate of the chain, no list without an answer, none out of date.
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .with_crls(revoked.iter().cloned())
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| match error {
            VerifierBuilderError::InvalidCrl(why) => Error::usage("a revocation list cannot be used")
                .with_hint("version 2 is needed: set crlnumber in openssl.cnf, and make the list anew")
                .with_source(format!("{why:?}")),
            error => Error::usage(format!("the certificates in {origin} cannot be used")).with_source(error),
        })?;
    let name = choice.mode == SslMode::VerifyFull;
    let trust = if name { Trust::Full } else { Trust::Authority };
    // Only a file lists certificates that may be a server's own.
    let roots = if choice.roots == Roots::System { Vec::new() } else { roots };
    Ok((Demand::Trusted { verifier, roots, revoked, origin, name }, trust))
}

fn no_roots(path: Option<&Path>) -> Error {
    let what = path.map_or_else(
        || "there is no root certificate to verify the server's with".to_owned(),
        |path| format!("root certificate file {} does not exist", path.display()),
    );
    Error::usage(what)
        .with_hint("set sslrootcert to a file, or to system for the operating system's authorities, or weaken sslmode")
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let error = Error::usage("the operating system lists no certificate authorities")
            .with_hint("install its package of them (ca-certificates), or name a file in sslrootcert");
        return Err(match found.errors.into_iter().next() {
            Some(cause) => error.with_source(cause),
            None => error,
        });
    }
    Ok(found.certs)
}

/// The certificates of a PEM file; `None` when there is no such file.
fn certificates(path: &Path) -> Result<Option<Vec<CertificateDer<'static>>>> {
    let content = match slurp(path) {
        Ok(content) => content,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(path).with_source(error)),
    };
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(Some(found)),
        Ok(_) => Err(Error::usage(format!("{} holds no certificate in PEM", path.display()))),
        Err(error) => Err(Error::usage(format!("{} holds a broken certificate", path.display())).with_source(error)),
    }
}

type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, String);

fn client_certificate(choice: &TlsChoice, warnings: &mut Vec<String>) -> Result<Option<ClientCertificate>> {
    let Some(file) = &choice.certificate else { return Ok(None) };
    let Some(chain) = certificates(&file.path)? else {
        if file.named {
            warnings.push(format!("sslcert {} does not exist, so no client certificate is sent", file.path.display()));
        }
        return Ok(None);
    };
    let shown = file.path.display().to_string();
    let Some(key) = &choice.key else {
        return Err(Error::usage(format!("client certificate {shown} has no key")).with_hint("set sslkey"));
    };
    Ok(Some((chain, private_key(key, &shown)?, shown)))
}

fn private_key(file: &NamedFile, certificate: &str) -> Result<PrivateKeyDer<'static>> {
    let path = &file.path;
    let shown = path.display();
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::usage(format!("client certificate {certificate} is there, but its key {shown} is not"))
                .with_hint("set sslkey"));
        }
        Err(error) => return Err(unreadable(path).with_source(error)),
    };
    if !about.is_file() {
        return Err(Error::usage(format!("client key {shown} is not a plain file")));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // Keys of root may be readable by a group: that is how Debian shares them.
        let forbidden = if about.uid() == 0 { 0o037 } else { 0o077 };
        if about.mode() & forbidden != 0 {
            return Err(Error::usage(format!("client key {shown} can be read or written by others"))
                .with_hint("chmod 0600, or 0640 when root owns it"));
        }
    }
    let content = std::fs::read(path).map_err(|error| unreadable(path).with_source(error))?;
    PrivateKeyDer::from_pem_slice(&content).map_err(|_| {
        // The cause is left out: it could quote the file.
        if content.windows(9).any(|window| window == b"ENCRYPTED") {
            Error::usage(format!("client key {shown} is encrypted, which is not supported by this version"))
                .with_hint("decrypt it: openssl pkey -in KEY -out PLAIN_KEY; chmod 0600 PLAIN_KEY")
        } else {
            Error::usage(format!("client key {shown} holds no private key in PEM"))
        }
    })
}
