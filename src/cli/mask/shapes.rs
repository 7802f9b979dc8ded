//! What is a secret by its shape, whatever stands before it: tokens of well-known makers, JWTs, card numbers, IBANs.

/// Beginnings of tokens by their makers, with the least that follows.
const PREFIXES: &[(&str, usize)] = &[
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 12),
    ("gldt-", 12),
    ("glrt-", 12),
    ("glptt-", 12),
    ("gloas-", 12),
    ("glcbt-", 12),
    ("glft-", 12),
    ("glimt-", 12),
    ("glagent-", 12),
    ("sntrys_", 16),
    ("sntryu_", 16),
    ("glsa_", 16),
    ("glc_", 16),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("rk_test_", 8),
    ("pk_live_", 8),
    ("whsec_", 12),
    ("sk-ant-", 12),
    ("sk-proj-", 12),
    ("sk-or-", 12),
    ("sk-", 24),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxa-", 8),
    ("xoxr-", 8),
    ("xoxs-", 8),
    ("xoxe-", 8),
    ("xoxe.xox", 8),
    ("xoxc-", 8),
    ("xoxd-", 8),
    ("xapp-", 8),
    ("AIza", 30),
    ("ya29.", 12),
    ("1//0", 20),
    ("npm_", 20),
    ("pypi-", 20),
    ("dop_v1_", 20),
    ("doo_v1_", 20),
    ("hf_", 20),
    ("shpat_", 16),
    ("shpss_", 16),
    ("shpca_", 16),
    ("dckr_pat_", 12),
    ("hvs.", 16),
    ("hvb.", 16),
    ("lin_api_", 16),
    ("figd_", 16),
    ("sq0atp-", 16),
    ("sq0csp-", 16),
    ("rubygems_", 20),
    ("key-", 32),
    ("SG.", 30),
    ("EAA", 40),
    ("xkeysib-", 16),
    ("sbp_", 20),
    ("pscale_tkn_", 16),
    ("tskey-", 12),
    ("rzp_live_", 8),
    ("atlasv1.", 16),
    ("nfp_", 16),
    ("PMAK-", 16),
    ("ATATT3", 20),
    ("ntn_", 20),
    ("secret_", 32),
    ("dapi", 32),
    ("gsk_", 20),
    ("r8_", 20),
    ("AGE-SECRET-KEY-1", 8),
    ("eyJ", 0),
];

/// Whether `run`, letters and digits with `-`, `_` and `.`, is a token.
pub fn token(run: &str) -> bool {
    if run.len() < 12 {
        return false;
    }
    if run.starts_with("eyJ") {
        // The first part of a JWT is the base64 of `{"`; two more parts follow, one of which may be empty.
        let mut parts = run.split('.');
        let long = |part: Option<&str>| part.is_some_and(|part| part.len() >= 8);
        return long(parts.next()) && long(parts.next()) && parts.next().is_some();
    }
    if ["AKIA", "ASIA", "ABIA", "ACCA"].iter().any(|prefix| run.starts_with(prefix)) {
        return run.len() == 20 && run.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    }
    PREFIXES.iter().any(|(prefix, least)| {
        run.strip_prefix(prefix).is_some_and(|rest| {
            rest.len() >= *least
                && *least > 0
                && rest.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        })
    })
}

/// The length of the card number that `text` begins with.
pub fn card(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut digits, mut end, mut group) = (Vec::with_capacity(19), 0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits.len() == 19 {
                    return None;
                }
                digits.push(byte - b'0');
                group += 1;
                end = at + 1;
            }
            // Groups are of four or more, but for the last.
            b' ' | b'-' if group >= 4 && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) && digits.len() < 16 => {
                group = 0
            }
            _ => break,
        }
    }
    let after = bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        || (matches!(bytes.get(end), Some(b'.' | b'-'))
            && bytes.get(end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)));
    (!after && is_card(&digits)).then_some(end)
}

fn is_card(digits: &[u8]) -> bool {
    let first = |count: usize| digits.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let known = match digits.len() {
        16 => {
            digits[0] == 4
                || (51..=55).contains(&first(2))
                || (2221..=2720).contains(&first(4))
                || first(4) == 6011
                || first(2) == 65
                || (644..=649).contains(&first(3))
                || (3528..=3589).contains(&first(4))
                || first(2) == 62
        }
        15 => matches!(first(2), 34 | 37),
        14 => (300..=305).contains(&first(3)) || matches!(first(2), 36 | 38),
        _ => false,
    };
    let sum = digits.iter().rev().enumerate().map(|(at, digit)| match (at % 2, digit * 2) {
        (0, _) => u32::from(*digit),
        (_, double) => u32::from(double / 10 + double % 10),
    });
    known && sum.sum::<u32>().is_multiple_of(10)
}

/// The length of the IBAN that `text` begins with.
pub fn iban(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let head = bytes.get(..4)?;
    if !(head[..2].iter().all(u8::is_ascii_uppercase) && head[2..].iter().all(u8::is_ascii_digit)) {
        return None;
    }
    let (mut found, mut end) = (Vec::with_capacity(34), 0);
    for (at, byte) in bytes.iter().enumerate().take(43) {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' => {
                found.push(*byte);
                end = at + 1;
            }
            b' ' if found.len().is_multiple_of(4)
                && bytes.get(at + 1).is_some_and(|next| next.is_ascii_digit() || next.is_ascii_uppercase()) => {}
            _ => break,
        }
    }
    let bounded = !bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    if !bounded || !(15..=34).contains(&found.len()) {
        return None;
    }
    let rest = found[4..].iter().chain(&found[..4]).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    (rest == 1).then_some(end)
}
