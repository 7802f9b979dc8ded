//! Which certificates were revoked: the lists that libpq would load, from the same places.

use std::io::ErrorKind;
use std::path::Path;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;

use super::file::{slurp, unreadable};
use super::x509::RevocationList;
use crate::conninfo::{Revoked, Roots, TlsChoice};
use sen_model::error::{Error, Result};

pub(super) type Lists = Vec<CertificateRevocationListDer<'static>>;

/// The lists, the newest first; `None` where there are none, so that nothing is asked of them.
///
/// # Errors
/// `Usage` for a list that was named and cannot be used.
pub(super) fn load(choice: &TlsChoice, warnings: &mut Vec<String>) -> Result<Option<Lists>> {
    let Revoked { file, dir } = &choice.revoked;
    if choice.roots == Roots::System {
        if dir.is_some() || file.as_ref().is_some_and(|file| file.named) {
            warnings.push("sslcrl and sslcrldir have no effect with sslrootcert=system, as in libpq".into());
        }
        return Ok(None);
    }
    let mut lists = Lists::new();
    if let Some(file) = file {
        match read(&file.path) {
            Ok(Some(found)) => lists.extend(found),
            Ok(None) if file.named => warnings.push(format!(
                "sslcrl {} does not exist, so revoked server certificates are not detected",
                file.path.display()
            )),
            Ok(None) => {}
            Err(error) if file.named => return Err(error),
            // As libpq, which goes on without a default file that it cannot use; but not in silence.
            Err(error) => warnings.push(format!("revocations are not looked at: {error}")),
        }
    }
    if let Some(dir) = dir {
        let found = directory(dir)?;
        if found.is_empty() {
            let text = format!("sslcrldir {} holds no revocation list", dir.display());
            return Err(
                Error::usage(text).with_hint("its files are found by OpenSSL's names for them: openssl rehash DIR")
            );
        }
        lists.extend(found);
    }
    // The verifier takes the first that is of the issuer.
    lists.sort_by_cached_key(|der| std::cmp::Reverse(RevocationList::read(der).map(|list| list.this_update())));
    Ok(Some(lists).filter(|lists| !lists.is_empty()))
}

/// The lists in a PEM file; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Lists>> {
    let content = match slurp(path) {
        Ok(content) => content,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(path).with_source(error)),
    };
    let found: std::result::Result<Lists, _> = CertificateRevocationListDer::pem_slice_iter(&content).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(Some(found)),
        Ok(_) => Err(Error::usage(format!("{} holds no revocation list in PEM", path.display()))),
        Err(error) => {
            Err(Error::usage(format!("{} holds a broken revocation list", path.display())).with_source(error))
        }
    }
}

/// The lists of a directory as OpenSSL finds them: in files called by the hash of the issuer, `1a2b3c4d.r0`.
fn directory(dir: &Path) -> Result<Lists> {
    let mut paths = Vec::new();
    let entries = std::fs::read_dir(dir).map_err(|error| unreadable(dir).with_source(error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(dir).with_source(error))?;
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.split_once(".r"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if parts.is_some_and(|(hash, number)| {
            hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits(number)
        }) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut lists = Lists::new();
    for path in paths {
        lists.extend(read(&path)?.unwrap_or_default());
    }
    Ok(lists)
}
