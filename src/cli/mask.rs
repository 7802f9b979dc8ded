//! Hides values under secret-looking names inside JSON text. A rewriter, not a parser: everything else of the
//! document (spelling of numbers, order, duplicates, blanks) stays byte for byte, and depth costs no stack.
//! Text outside JSON, and JSON quoted inside a JSON string, are not looked into.

use std::borrow::Cow;

const MASK: &str = "\"***\"";

/// `json` with the values under secret-looking names replaced by `"***"`. `null`, `true` and `false` stay: they give
/// nothing away and tell whether something is set.
pub fn mask(json: &str) -> Cow<'_, str> {
    if !suspicious(json) {
        return Cow::Borrowed(json);
    }
    let bytes = json.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(open) = json[at..].find('"').map(|step| at + step) {
        let close = string_end(bytes, open);
        let colon = blanks_end(bytes, close);
        // Only a name is followed by a colon, so no stack of containers is needed.
        if bytes.get(colon) != Some(&b':') {
            at = close;
            continue;
        }
        let value = blanks_end(bytes, colon + 1);
        at = value;
        if secret_string(&json[open..close]) {
            at = value_end(bytes, value);
            if !matches!(&bytes[value..at], b"null" | b"true" | b"false") {
                out.push_str(&json[copied..value]);
                out.push_str(MASK);
                copied = at;
            }
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// The quick look, one pass: judges the quoted name before each colon. Errs towards `true`: a name with escapes gets
/// the thorough look.
fn suspicious(json: &str) -> bool {
    let bytes = json.as_bytes();
    let (mut open, mut close) = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => (open, close) = (close, at),
            b':' if bytes[close] == b'"' && bytes[close + 1..at].iter().all(u8::is_ascii_whitespace) => {
                let escaped = open > 0 && bytes[open - 1] == b'\\';
                if escaped || json.get(open + 1..close).is_none_or(|name| name.contains('\\') || secret(name)) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// The index behind the string that opens at `open`.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn blanks_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| !byte.is_ascii_whitespace()).map_or(bytes.len(), |step| from + step)
}

/// The index behind the value that starts at `start`, however deep it nests.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 1 { at + 1 } else { at },
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            blank if depth == 0 && blank.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Judges a name as it stands in the document, quotes and escapes included.
fn secret_string(quoted: &str) -> bool {
    if quoted.contains('\\')
        && let Ok(name) = serde_json::from_str::<String>(quoted)
    {
        return secret(&name);
    }
    secret(quoted.trim_matches('"'))
}

/// Whether a name looks like one that holds a secret, in any of the spellings `access_key`, `accessKey`, `ACCESS-KEY`.
pub fn secret(name: &str) -> bool {
    let seen = letters(name.as_bytes());
    if TELL_TALE_LETTERS.iter().all(|needed| seen & needed != *needed) {
        return false;
    }
    let mut flat = [0_u8; 64];
    let mut starts = [false; 65];
    if name.len() > flat.len() {
        // Nobody names a secret with a sentence, but a long prefix must not be a way around the mask.
        let tail =
            name.char_indices().rev().map(|(at, _)| at).take_while(|at| name.len() - at <= 64).last().unwrap_or(0);
        let head =
            name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 64).last().unwrap_or(0);
        return secret(&name[..head]) || secret(&name[tail..]);
    }
    let mut len = 0;
    let mut before = b'_';
    for &byte in name.as_bytes() {
        if byte.is_ascii_alphanumeric() || byte >= 0x80 {
            flat[len] = byte.to_ascii_lowercase();
            starts[len] = before == b'_' || (byte.is_ascii_uppercase() && !before.is_ascii_uppercase());
            len += 1;
            before = byte;
        } else {
            before = b'_';
        }
    }
    starts[len] = true;
    let flat = &flat[..len];
    (0..len).any(|at| tell_tale(flat, &starts, at)) && !harmless_tail(flat, &starts)
}

/// The letters of what every tell-tale word has in it. A name that lacks some of each of these is no secret's, and most
/// names of most payloads are told apart so, a million times over.
const TELL_TALE_LETTERS: [u32; 19] = [
    letters(b"pass"),
    letters(b"privatekey"),
    letters(b"pwd"),
    letters(b"pan"),
    letters(b"pin"),
    letters(b"secret"),
    letters(b"socialsecurity"),
    letters(b"signingkey"),
    letters(b"ssn"),
    letters(b"apikey"),
    letters(b"accesskey"),
    letters(b"authorization"),
    letters(b"credential"),
    letters(b"card"),
    letters(b"connectionstring"),
    letters(b"cookie"),
    letters(b"cv"),
    letters(b"encryptionkey"),
    letters(b"token"),
];

/// The set of ASCII letters in `name`, a bit each, whatever their case.
const fn letters(name: &[u8]) -> u32 {
    let mut seen = 0;
    let mut at = 0;
    while at < name.len() {
        let letter = (name[at] | 0x20).wrapping_sub(b'a');
        seen |= ((letter < 26) as u32) << (letter & 31);
        at += 1;
    }
    seen
}

/// Whether a tell-tale word begins at `at` of the name written in lower case without separators.
fn tell_tale(flat: &[u8], starts: &[bool; 65], at: usize) -> bool {
    let rest = &flat[at..];
    let word = |word: &[u8]| rest.starts_with(word) && starts[at] && starts[at + word.len()];
    let any = |words: &[&[u8]]| words.iter().any(|word| rest.starts_with(word));
    match rest[0] {
        b'p' => {
            any(&[b"password", b"passwd", b"passphrase", b"passcode", b"privatekey"])
                || word(b"pwd")
                || flat == b"pan"
                || flat == b"pin"
        }
        b's' => (any(&[b"secret"]) && !any(&[b"secretar"])) || any(&[b"socialsecurity", b"signingkey"]) || word(b"ssn"),
        b'a' => {
            any(&[b"apikey", b"accesskey"])
                || matches!(rest, b"authorization" | b"authorizationheader" | b"authorizationcode")
        }
        b'c' => {
            any(&[b"credential", b"cardnumber", b"connectionstring"])
                || rest == b"creditcard"
                || rest == b"cookie"
                || word(b"cvv")
                || word(b"cvv2")
                || word(b"cvc")
        }
        b'e' => any(&[b"encryptionkey"]),
        b't' => {
            let bearer: &[&[u8]] = &[b"access", b"refresh", b"api", b"auth", b"bearer", b"session"];
            let counted: &[&[u8]] = &[b"fencing", b"fence", b"per", b"max", b"min"];
            let after = |words: &[&[u8]]| words.iter().any(|word| flat[..at].ends_with(word));
            // Many tokens are a count (`max_tokens`), unless the name says which kind.
            (rest == b"token" && !after(counted)) || (rest == b"tokens" && after(bearer)) || rest == b"tokenvalue"
        }
        _ => false,
    }
}

/// `password_changed_at` and `secret_count` are about a secret without holding it.
fn harmless_tail(flat: &[u8], starts: &[bool; 65]) -> bool {
    let last = starts[..flat.len()].iter().rposition(|start| *start).unwrap_or(0);
    last > 0 && matches!(&flat[last..], b"at" | b"count" | b"length" | b"policy" | b"expiry")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secret_names() {
        for name in [
            "password",
            "DB_PASSWORD",
            "userPasswd",
            "client_secret",
            "clientSecret",
            "token",
            "access_token",
            "accessToken",
            "accesstoken",
            "api_key",
            "apiKey",
            "X-Api-Key",
            "Authorization",
            "credentials",
            "private_key",
            "aws_access_key_id",
            "card_number",
            "cardNumber",
            "cvv",
            "card_cvc",
            "ssn",
            "user_ssn",
            "refresh_tokens",
            "pwd",
            "pan",
            "pin",
            "passphrase",
            "PassCode",
            "social_security_no",
            "signing-key",
            "AUTHORIZATION_HEADER",
            "authorizationCode",
            "connection_string",
            "creditCard",
            "Cookie",
            "cvv2",
            "ENCRYPTION_KEY",
            "token_value",
        ] {
            assert!(secret(name), "{name} is not masked");
        }
        for name in [
            "fencing_token",
            "fencingToken",
            "max_tokens",
            "total_tokens",
            "tokens",
            "token_count",
            "token_type",
            "cost_per_token",
            "secretary",
            "authorization_id",
            "authorized_at",
            "password_changed_at",
            "company",
            "pandas",
            "mission",
            "key",
            "passed",
            "",
            "span",
        ] {
            assert!(!secret(name), "{name} is masked");
        }
        assert!(secret(&format!("{}_password", "ü".repeat(100))));
    }

    #[test]
    fn only_the_values_change() {
        let text = r#"{ "b":1e400, "a":1.10, "password" : {"x":["}",{}]} ,"a":2,"Token":"t\"}", "n":[{"cvv":123},{"secret":[1,2]}], "api_key":null,"ssn":7}"#;
        let want = r#"{ "b":1e400, "a":1.10, "password" : "***" ,"a":2,"Token":"***", "n":[{"cvv":"***"},{"secret":"***"}], "api_key":null,"ssn":"***"}"#;
        assert_eq!(mask(text), want);
        assert_eq!(mask(r#"{"pass\u0077ord":"x"}"#), r#"{"pass\u0077ord":"***"}"#);
    }

    #[test]
    fn clean_documents_are_passed_by_reference() {
        for text in [
            r#"{"fencing_token":7,"note":"the password: swordfish"}"#,
            r#""password""#,
            r#"["secret","token"]"#,
            "",
            "{",
            r#"{"a\"b":1}"#,
        ] {
            assert!(matches!(mask(text), Cow::Borrowed(_)), "{text} was copied");
        }
    }

    #[test]
    fn depth_and_size_cost_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(mask(&format!(r#"{{"secret":{deep},"k":1}}"#)), r#"{"secret":"***","k":1}"#);
        let nested = format!("{}{}{}", r#"{"a":"#.repeat(100_000), r#"{"token":"x"}"#, "}".repeat(100_000));
        assert!(mask(&nested).contains(r#"{"token":"***"}"#));
        let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(1 << 20));
        assert_eq!(mask(&long), r#"{"token":"***"}"#);
    }

    fn document() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            crate::clean::hostile().prop_map(Into::into)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let name = prop_oneof![
                crate::clean::hostile(),
                Just("password".to_owned()),
                Just("apiKey".to_owned()),
                Just("a".to_owned())
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
                prop::collection::vec((name, inner), 0..6)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// The same by way of a parser: what the rewriter must agree with.
    fn reference(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => items.iter_mut().for_each(reference),
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    if secret(name) && !value.is_null() && !value.is_boolean() {
                        *value = "***".into();
                    } else {
                        reference(value);
                    }
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_parser(mut value in document(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            reference(&mut value);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&mask(&text)).unwrap(), value);
        }

        #[test]
        fn survives_anything(text in crate::clean::hostile(), soup in "[\\[\\]{}:,\" \\\\apswordtken1]{0,60}") {
            drop(mask(&text));
            drop(mask(&soup));
        }
    }
}
