//! The few fields of a certificate that rustls does not give: its version, names, dates, key and signature algorithm.
//! Reading DER is `x509-cert`'s; this verifies nothing.

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_cert::certificate::{CertificateInner, Raw, Version};
use x509_cert::crl::CertificateList;
use x509_cert::der::asn1::{AnyRef, ContextSpecific};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use x509_cert::der::oid::db::rfc5912 as oid;
use x509_cert::der::{Decode as _, Encode as _, SliceReader, TagNumber};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Whether it is of X.509 version 1, which has no extensions.
    pub version_1: bool,
    /// Its number. `Raw`, as numbers longer than the standard allows are in use.
    pub serial: SerialNumber<Raw>,
    /// Who signed it.
    pub issuer: Name,
    /// Whether issuer and subject are the same.
    pub self_issued: bool,
    /// Seconds since 1970 before which it does not count.
    pub not_before: u64,
    /// Seconds since 1970 after which it does not count.
    pub not_after: u64,
    /// The subject's last common name.
    pub common_name: Option<String>,
    /// Whether there is a subjectAltName.
    pub has_alternative_name: bool,
    /// The key's AlgorithmIdentifier, without its outer tag.
    pub key_algorithm: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
    /// The hash of the signature, where it is one that a channel binding can use.
    pub hash: Option<Hash>,
}

/// A hash for `tls-server-end-point`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    /// SHA-256, which also stands in for MD5 and SHA-1 (RFC 5929).
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Certificate {
    /// Reads a certificate, or `None` when it is not one.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let read = CertificateInner::<Raw>::from_der(der).ok()?;
        let body = read.tbs_certificate();
        let key = body.subject_public_key_info();
        let common_names = body.subject().iter().filter(|part| part.oid == COMMON_NAME);
        Some(Self {
            version_1: body.version() == Version::V1,
            serial: body.serial_number().clone(),
            issuer: body.issuer().clone(),
            self_issued: body.issuer() == body.subject(),
            not_before: body.validity().not_before.to_unix_duration().as_secs(),
            not_after: body.validity().not_after.to_unix_duration().as_secs(),
            common_name: common_names.filter_map(|part| String::from_utf8(part.value.value().to_vec()).ok()).last(),
            has_alternative_name: body
                .extensions()
                .is_some_and(|list| list.iter().any(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME)),
            key_algorithm: AnyRef::from_der(&key.algorithm.to_der().ok()?).ok()?.value().to_vec(),
            key: key.subject_public_key.as_bytes()?.to_vec(),
            hash: signature_hash(read.signature_algorithm()),
        })
    }
}

/// What is read of a list of revoked certificates.
#[derive(Debug)]
pub(super) struct RevocationList(CertificateList<Raw>);

impl RevocationList {
    /// Reads a list, or `None` when it is none.
    pub(super) fn read(der: &CertificateRevocationListDer<'_>) -> Option<Self> {
        CertificateList::from_der(der).ok().map(Self)
    }

    /// Who made it.
    pub(super) fn issuer(&self) -> &Name {
        &self.0.tbs_cert_list.issuer
    }

    /// When, in seconds since 1970.
    pub(super) fn this_update(&self) -> u64 {
        self.0.tbs_cert_list.this_update.to_unix_duration().as_secs()
    }

    /// When the next one is due.
    pub(super) fn next_update(&self) -> Option<u64> {
        self.0.tbs_cert_list.next_update.map(|time| time.to_unix_duration().as_secs())
    }

    /// Whether the certificate of this number is on it.
    pub(super) fn holds(&self, serial: &SerialNumber<Raw>) -> bool {
        self.0.tbs_cert_list.revoked_certificates.iter().flatten().any(|entry| entry.serial_number == *serial)
    }
}

/// The one name of all these that the crate's list does not have.
const ECDSA_WITH_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");

fn signature_hash(algorithm: &AlgorithmIdentifierOwned) -> Option<Hash> {
    match algorithm.oid {
        oid::MD_5_WITH_RSA_ENCRYPTION
        | oid::SHA_1_WITH_RSA_ENCRYPTION
        | oid::SHA_256_WITH_RSA_ENCRYPTION
        | ECDSA_WITH_SHA_1
        | oid::ECDSA_WITH_SHA_256 => Some(Hash::Sha256),
        oid::SHA_384_WITH_RSA_ENCRYPTION | oid::ECDSA_WITH_SHA_384 => Some(Hash::Sha384),
        oid::SHA_512_WITH_RSA_ENCRYPTION | oid::ECDSA_WITH_SHA_512 => Some(Hash::Sha512),
        oid::ID_RSASSA_PSS => pss_hash(algorithm.parameters.as_ref()?.value()),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in the parameters; when it does not, it is SHA-1.
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let mut reader = SliceReader::new(parameters).ok()?;
    let named = ContextSpecific::<AlgorithmIdentifierRef<'_>>::decode_explicit(&mut reader, TagNumber(0)).ok()?;
    match named.map_or(oid::ID_SHA_1, |named| named.value.oid) {
        oid::ID_SHA_1 | oid::ID_SHA_256 => Some(Hash::Sha256),
        oid::ID_SHA_384 => Some(Hash::Sha384),
        oid::ID_SHA_512 => Some(Hash::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls_pki_types::pem::PemObject as _;
    use x509_cert::der::asn1::Any;

    /// Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha384 -subj /O=x/CN=db.example`.
    const PEM: &[u8] = include_bytes!("testdata/self_signed.pem");

    #[test]
    fn a_certificate_of_openssl() {
        let der = CertificateDer::from_pem_slice(PEM).unwrap();
        let read = Certificate::read(&der).unwrap();
        assert_eq!(read.common_name.as_deref(), Some("db.example"));
        assert_eq!(read.hash, Some(Hash::Sha384));
        assert!(read.self_issued && !read.version_1 && !read.has_alternative_name);
        assert!(read.not_after - read.not_before >= 36_000 * 86_400);
        assert_eq!(read.key.len(), 65);
    }

    #[test]
    fn the_hash_of_a_signature() {
        // RSASSA-PSS with its defaults, and with one hash named as openssl does.
        let pss = |hash: Option<u8>| match hash {
            None => vec![0x30, 0x00],
            Some(last) => {
                let mut der = b"\x30\x11\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02".to_vec();
                der.extend([last, 0x05, 0x00]);
                der
            }
        };
        let null = || vec![0x05, 0x00];
        let cases = [
            ("1.2.840.113549.1.1.4", Some(null()), Some(Hash::Sha256)),
            ("1.2.840.113549.1.1.5", Some(null()), Some(Hash::Sha256)),
            ("1.2.840.113549.1.1.11", Some(null()), Some(Hash::Sha256)),
            ("1.2.840.113549.1.1.12", Some(null()), Some(Hash::Sha384)),
            ("1.2.840.113549.1.1.13", Some(null()), Some(Hash::Sha512)),
            ("1.2.840.113549.1.1.14", Some(null()), None),
            ("1.2.840.10045.4.1", None, Some(Hash::Sha256)),
            ("1.2.840.10045.4.3.1", None, None),
            ("1.2.840.10045.4.3.2", None, Some(Hash::Sha256)),
            ("1.2.840.10045.4.3.3", None, Some(Hash::Sha384)),
            ("1.2.840.10045.4.3.4", None, Some(Hash::Sha512)),
            ("1.2.840.113549.1.1.10", Some(pss(None)), Some(Hash::Sha256)),
            ("1.2.840.113549.1.1.10", Some(pss(Some(1))), Some(Hash::Sha256)),
            ("1.2.840.113549.1.1.10", Some(pss(Some(2))), Some(Hash::Sha384)),
            ("1.2.840.113549.1.1.10", Some(pss(Some(3))), Some(Hash::Sha512)),
            ("1.2.840.113549.1.1.10", Some(pss(Some(4))), None),
            ("1.2.840.113549.1.1.10", None, None),
            ("1.3.101.112", None, None),
        ];
        for (oid, parameters, want) in cases {
            let parameters = parameters.map(|der| Any::from_der(&der).unwrap());
            let algorithm = AlgorithmIdentifierOwned { oid: ObjectIdentifier::new(oid).unwrap(), parameters };
            assert_eq!(signature_hash(&algorithm), want, "{algorithm:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(at in 0_usize..400, value: u8, cut in 0_usize..400) {
            let mut der = CertificateDer::from_pem_slice(PEM).unwrap().to_vec();
            let at = at % der.len();
            der[at] = value;
            let end = cut.min(der.len());
            for part in [&der[..], &der[..end], &der[end..]] {
                let _ = Certificate::read(&CertificateDer::from(part));
                let list = RevocationList::read(&CertificateRevocationListDer::from(part));
                let _ = list.map(|list| list.holds(&SerialNumber::new(&[1]).unwrap()));
            }
        }
    }
}
