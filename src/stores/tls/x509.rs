//! The few fields of a certificate that no library in the tree gives: its version, names, dates, key and signature
//! algorithm. A reader of DER that never copies and never trusts a length; it verifies nothing.

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// Whether it is of X.509 version 1, which has no extensions.
    pub version_1: bool,
    /// Its number.
    pub serial: &'a [u8],
    /// Who signed it.
    pub issuer: &'a [u8],
    /// Whether issuer and subject are the same.
    pub self_issued: bool,
    /// Seconds since 1970 before which it does not count.
    pub not_before: u64,
    /// Seconds since 1970 after which it does not count.
    pub not_after: u64,
    /// The subject's last common name.
    pub common_name: Option<&'a str>,
    /// Whether there is a subjectAltName.
    pub has_alternative_name: bool,
    /// The key's AlgorithmIdentifier, without its outer tag.
    pub key_algorithm: &'a [u8],
    /// The key.
    pub key: &'a [u8],
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

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

impl<'a> Certificate<'a> {
    /// Reads a certificate, or `None` when it is not one.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader(Reader(der).expect(SEQUENCE)?);
        let mut body = Reader(outer.expect(SEQUENCE)?);
        let hash = signature_hash(outer.expect(SEQUENCE)?);
        let version_1 = match body.optional(0xa0) {
            Some(version) => version == [0x02, 0x01, 0x00],
            None => true,
        };
        let serial = body.expect(0x02)?;
        body.expect(SEQUENCE)?; // signature algorithm, once more
        let issuer = body.expect(SEQUENCE)?;
        let mut validity = Reader(body.expect(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = body.expect(SEQUENCE)?;
        let mut key = Reader(body.expect(SEQUENCE)?);
        let key_algorithm = key.expect(SEQUENCE)?;
        let key = key.expect(0x03)?.strip_prefix(&[0])?;
        body.optional(0xa1);
        body.optional(0xa2);
        let has_alternative_name = body.optional(0xa3).is_some_and(|list| has_extension(list, ALTERNATIVE_NAME));
        Some(Self {
            version_1,
            serial,
            issuer,
            self_issued: issuer == subject,
            not_before,
            not_after,
            common_name: common_name(subject),
            has_alternative_name,
            key_algorithm,
            key,
            hash,
        })
    }
}

/// What is read of a list of revoked certificates.
#[derive(Debug)]
pub(super) struct RevocationList<'a> {
    /// Who made it.
    pub issuer: &'a [u8],
    /// When, in seconds since 1970.
    pub this_update: u64,
    /// When the next one is due.
    pub next_update: Option<u64>,
    /// The numbers of the certificates.
    serials: &'a [u8],
}

impl<'a> RevocationList<'a> {
    /// Reads a list, or `None` when it is none.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut body = Reader(Reader(Reader(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
        body.optional(0x02); // version
        body.expect(SEQUENCE)?; // signature algorithm
        let issuer = body.expect(SEQUENCE)?;
        let this_update = body.time()?;
        let next_update = matches!(body.0.first(), Some(0x17 | 0x18)).then(|| body.time()).flatten();
        let serials = body.optional(SEQUENCE).unwrap_or_default();
        Some(Self { issuer, this_update, next_update, serials })
    }

    /// Whether the certificate of this number is on it.
    pub(super) fn holds(&self, serial: &[u8]) -> bool {
        let mut entries = Reader(self.serials);
        std::iter::from_fn(|| entries.expect(SEQUENCE)).any(|entry| Reader(entry).expect(0x02) == Some(serial))
    }
}

fn has_extension(list: &[u8], wanted: &[u8]) -> bool {
    let mut extensions = Reader(Reader(list).expect(SEQUENCE).unwrap_or_default());
    std::iter::from_fn(|| extensions.expect(SEQUENCE)).any(|extension| Reader(extension).expect(OID) == Some(wanted))
}

fn common_name(subject: &[u8]) -> Option<&str> {
    let mut names = Reader(subject);
    std::iter::from_fn(|| names.expect(0x31))
        .filter_map(|set| {
            let mut pair = Reader(Reader(set).expect(SEQUENCE)?);
            (pair.expect(OID)? == COMMON_NAME)
                .then(|| pair.next())?
                .and_then(|(_, text)| std::str::from_utf8(text).ok())
        })
        .last()
}

fn signature_hash(algorithm: &[u8]) -> Option<Hash> {
    let mut reader = Reader(algorithm);
    let oid = reader.expect(OID)?;
    if let Some([number]) = oid.strip_prefix(RSA) {
        return match number {
            4 | 5 | 11 => Some(Hash::Sha256),
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            10 => pss_hash(reader.expect(SEQUENCE)?),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(Hash::Sha256),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in the parameters; when it does not, it is SHA-1.
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let Some(named) = Reader(parameters).optional(0xa0) else { return Some(Hash::Sha256) };
    let oid = Reader(Reader(named).expect(SEQUENCE)?).expect(OID)?;
    if oid == SHA1 {
        return Some(Hash::Sha256);
    }
    match oid.strip_prefix(SHA2)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        _ => None,
    }
}

/// A cursor over a run of tag-length-value elements.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element, whatever it is.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // Four bytes of length are more than any certificate has.
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 || rest.len() < count {
                return None;
            }
            let (bytes, rest) = rest.split_at(count);
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        if length > rest.len() {
            return None;
        }
        let (value, rest) = rest.split_at(length);
        self.0 = rest;
        Some((tag, value))
    }

    /// The value of the next element, which must have this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.0.first() == Some(&tag)).then(|| self.next())?.map(|(_, value)| value)
    }

    /// As [`Reader::expect`], for an element that may be missing.
    fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.expect(tag)
    }

    /// A UTCTime or GeneralizedTime in seconds since 1970.
    fn time(&mut self) -> Option<u64> {
        let (tag, text) = self.next()?;
        let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = match (tag, text.len()) {
            (0x17, 12) => {
                let year: i16 = text[..2].parse().ok()?;
                (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
            }
            (0x18, 14) => (text[..4].parse().ok()?, &text[4..]),
            _ => return None,
        };
        let part = |index: usize| rest[index * 2..index * 2 + 2].parse::<i8>().ok();
        let moment = jiff::civil::DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
        // Certificates from before 1970 have been valid since ever.
        Some(u64::try_from(moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    /// Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha384 -subj /O=x/CN=db.example`.
    const PEM: &[u8] = include_bytes!("testdata/self_signed.pem");

    #[test]
    fn a_certificate_of_openssl() {
        let der = CertificateDer::from_pem_slice(PEM).unwrap();
        let read = Certificate::read(&der).unwrap();
        assert_eq!(read.common_name, Some("db.example"));
        assert_eq!(read.hash, Some(Hash::Sha384));
        assert!(read.self_issued && !read.version_1 && !read.has_alternative_name);
        assert!(read.not_after - read.not_before >= 36_000 * 86_400);
        assert_eq!(read.key.len(), 65);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(at in 0_usize..400, value: u8, cut in 0_usize..400) {
            let mut der = CertificateDer::from_pem_slice(PEM).unwrap().to_vec();
            let at = at % der.len();
            der[at] = value;
            let _ = Certificate::read(&der);
            let _ = Certificate::read(&der[..cut.min(der.len())]);
            let _ = RevocationList::read(&der).map(|list| list.holds(&[1]));
            let _ = Certificate::read(&der[cut.min(der.len())..]);
        }
    }
}
