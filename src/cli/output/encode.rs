//! Values as JSON. Lossless, but without raw control bytes: what the control-character filter would escape is written as
//! `\uXXXX`. Written by hand because lists stream millions of rows; whole documents are framed in `json.rs` and `jsonl.rs`.

use sen_core::model::value::Value;

use crate::clean::{hidden, none, plain};
use crate::mask;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `value` in compact form.
pub fn value(out: &mut Vec<u8>, value: &Value, reveal: bool) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) | Value::About(number) | Value::Millis(number) => integer(out, *number),
        Value::Big(number) => {
            out.push(b'"');
            integer(out, *number);
            out.push(b'"');
        }
        Value::Name(name) => {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
        Value::Text(text) | Value::Lines(text) if reveal => string(out, text),
        Value::Text(text) | Value::Lines(text) => string(out, &mask::text(text)),
        Value::Time(moment) | Value::NotBefore(moment) => {
            out.push(b'"');
            moment.write_rfc3339(out);
            out.push(b'"');
        }
        Value::Json(text) if reveal => raw(out, text),
        Value::Json(text) => raw(out, &mask::mask(text)),
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                self::value(out, item, reveal);
            }
            out.push(b']');
        }
        Value::Map(fields) => {
            out.push(b'{');
            for (at, (name, field)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                string(out, name);
                out.push(b':');
                self::value(out, field, reveal || mask::exact(name));
            }
            out.push(b'}');
        }
    }
}

/// Appends `value` indented by two spaces a level, starting at level `depth`. Payloads ([`Value::Json`]) stay on one
/// line: their depth is not ours to bound, and indentation grows with its square.
pub fn indented(out: &mut Vec<u8>, value: &Value, reveal: bool, depth: usize) {
    match value {
        Value::List(items) if !items.is_empty() => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                line(out, at, depth + 1);
                indented(out, item, reveal, depth + 1);
            }
            line(out, 0, depth);
            out.push(b']');
        }
        Value::Map(fields) if !fields.is_empty() => {
            object(out, fields.iter().map(|(name, field)| (*name, field)), reveal, depth);
        }
        _ => self::value(out, value, reveal),
    }
}

/// Appends an indented object of `fields`.
pub fn object<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a str, &'a Value)>, reveal: bool, depth: usize) {
    out.push(b'{');
    for (at, (name, field)) in fields.enumerate() {
        line(out, at, depth + 1);
        string(out, name);
        out.extend_from_slice(b": ");
        indented(out, field, reveal || mask::exact(name), depth + 1);
    }
    line(out, 0, depth);
    out.push(b'}');
}

/// Begins the line of the `at`-th element.
fn line(out: &mut Vec<u8>, at: usize, depth: usize) {
    if at > 0 {
        out.push(b',');
    }
    out.push(b'\n');
    out.resize(out.len() + 2 * depth, b' ');
}

/// Appends `number` in decimal.
pub fn integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `text` as a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let special = |byte: u8| (byte.wrapping_sub(0x20) >= 0x5f) | (byte == b'"') | (byte == b'\\');
    if none(bytes, special) {
        out.extend_from_slice(bytes);
    } else {
        let mut copied = 0;
        for (at, c) in text.char_indices() {
            if c == '"' || c == '\\' || hidden(c) {
                out.extend_from_slice(&bytes[copied..at]);
                copied = at + c.len_utf8();
                escape(out, c);
            }
        }
        out.extend_from_slice(&bytes[copied..]);
    }
    out.push(b'"');
}

/// Appends `c` as a JSON escape, in two halves when it lies beyond the basic plane.
fn escape(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(HEX[usize::from(*unit >> shift & 0xf)]);
                }
            }
        }
    }
}

/// Appends JSON text as it is, except that hidden characters in its strings are escaped; line breaks between its
/// tokens would break a line format, so a document that has any is written without blanks.
pub fn raw(out: &mut Vec<u8>, json: &str) {
    let bytes = json.as_bytes();
    if plain(bytes) || !json.contains(hidden) {
        out.extend_from_slice(bytes);
        return;
    }
    out.reserve(bytes.len());
    let mut quoted = false;
    let mut escaped = false;
    for c in json.chars() {
        if !quoted {
            if c == ' ' || hidden(c) {
                continue;
            }
            quoted = c == '"';
        } else if hidden(c) {
            escape(out, c);
            escaped = false;
            continue;
        } else if escaped {
            escaped = false;
        } else {
            escaped = c == '\\';
            quoted = c != '"';
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Writes rows as compact objects; the names are encoded once.
pub struct RowEncoder {
    keys: Vec<(usize, Vec<u8>, bool)>,
}

impl RowEncoder {
    /// For rows of which the given positions are shown under the given names.
    pub fn new<'a>(picked: impl Iterator<Item = (usize, &'a str)>, reveal: bool) -> Self {
        let mut keys = Vec::new();
        for (position, name) in picked {
            let mut key = vec![if keys.is_empty() { b'{' } else { b',' }];
            string(&mut key, name);
            key.push(b':');
            keys.push((position, key, reveal || mask::exact(name)));
        }
        Self { keys }
    }

    /// Appends one row.
    pub fn row(&self, row: &[Value], out: &mut Vec<u8>) {
        for (position, key, reveal) in &self.keys {
            out.extend_from_slice(key);
            value(out, row.get(*position).unwrap_or(&Value::Null), *reveal);
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sen_core::time::Timestamp;

    fn encoded(value: &Value) -> String {
        let mut out = Vec::new();
        self::value(&mut out, value, false);
        String::from_utf8(out).unwrap()
    }

    fn revealed(value: &Value) -> String {
        let mut out = Vec::new();
        self::value(&mut out, value, true);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values() {
        let map = Value::Map(vec![
            ("null", Value::Null),
            ("bool", Value::Bool(true)),
            ("int", Value::Int(i64::MIN)),
            ("big", Value::Big(i64::MAX)),
            ("name", Value::Name("executing")),
            ("time", Value::Time(Timestamp::from_micros(0))),
            ("span", Value::Millis(-5)),
            ("json", Value::Json(r#"{"n": 1e400, "password": 1.10}"#.into())),
            ("list", Value::List(vec![Value::Int(0), Value::List(vec![])])),
        ]);
        let want = r#"{"null":null,"bool":true,"int":-9223372036854775808,"big":"9223372036854775807","name":"executing","time":"1970-01-01T00:00:00.000000Z","span":-5,"json":{"n": 1e400, "password": "***"},"list":[0,[]]}"#;
        assert_eq!(encoded(&map), want);
        let mut pretty = Vec::new();
        indented(
            &mut pretty,
            &Value::Map(vec![("a", Value::List(vec![Value::Int(1)])), ("b", Value::Map(vec![]))]),
            false,
            0,
        );
        assert_eq!(pretty, b"{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}");
    }

    #[test]
    fn escapes() {
        assert_eq!(
            encoded(&Value::Text("\u{1b}[31m\u{9b}\u{7f}\u{202e}\u{e0041}\"\\\n é".into())),
            r#""\u001b[31m\u009b\u007f\u202e\udb40\udc41\"\\\n é""#
        );
        assert_eq!(
            encoded(&Value::Json("{\n \"a\\\\\" :\t\"x y\u{202e}\\\" z\"\r\n}".into())),
            r#"{"a\\":"x y\u202e\" z"}"#
        );
    }

    #[test]
    fn deep_and_large_payloads() {
        let deep = format!("{}\n{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(encoded(&Value::Json(deep)).len(), 200_000);
        let large = "x\u{1b}".repeat(1 << 19);
        assert_eq!(serde_json::from_str::<String>(&encoded(&Value::Text(large.clone()))).unwrap(), large);
    }

    proptest! {
        #[test]
        fn strings_are_lossless_and_harmless(text in crate::clean::hostile()) {
            let json = revealed(&Value::Text(text.clone()));
            prop_assert!(!json.contains(hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
            // The same inside a payload with line breaks.
            let payload = serde_json::to_string_pretty(&serde_json::json!({ "a": [text.as_str(), 1] })).unwrap();
            let json = revealed(&Value::Json(payload));
            prop_assert!(!json.contains(hidden));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), serde_json::json!({ "a": [text, 1] }));
        }

        #[test]
        fn masked_text_is_still_json(text in crate::clean::hostile(), name in "(pw|pin|password|card|n)[:=]?") {
            let text = name + &text;
            let json = encoded(&Value::Text(text.clone()));
            prop_assert!(!json.contains(hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), mask::text(&text));
            let payload = serde_json::json!({ "a": [text.as_str(), 1] }).to_string();
            let json = encoded(&Value::Json(payload));
            prop_assert!(!json.contains(hidden));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        }

        #[test]
        fn integers(number in any::<i64>()) {
            prop_assert_eq!(encoded(&Value::Int(number)), number.to_string());
        }
    }
}
