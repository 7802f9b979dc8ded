//! How values are written, and which of them give nothing away.

use super::super::MASK;

/// How a value stands behind its name.
pub struct Form {
    /// Behind a colon, as in sentences.
    pub said: bool,
    /// In a header: up to the end of the line.
    pub header: bool,
    /// In YAML: the same.
    pub yaml: bool,
    /// Inside a quotation of this quote.
    pub inside: Option<u8>,
}

/// Whether a quote, a separator or a bracket begins here, written as `%XX`: what ends names and values.
pub fn escape(bytes: &[u8]) -> bool {
    let hex = bytes.get(1..3).and_then(|hex| std::str::from_utf8(hex).ok());
    let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
    bytes.first() == Some(&b'%') && byte.is_some_and(|byte| b"\"'=:&,{}[]".contains(&byte))
}

/// `%XX` in a name.
pub fn decoded(name: &str) -> std::borrow::Cow<'_, str> {
    let bytes = name.as_bytes();
    if !name.contains('%') {
        return name.into();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex =
            name.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

/// Whether a value gives nothing away: nothing, a word for nothing, a placeholder, or hidden already.
pub fn exempt(value: &str) -> bool {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    value.is_empty()
        || matches!(
            lower.as_str(),
            "null"
                | "none"
                | "nil"
                | "true"
                | "false"
                | "undefined"
                | "redacted"
                | "filtered"
                | "hidden"
                | "..."
                | "…"
                | "<secret>"
        )
        // Hidden before, whatever was glued to it.
        || value.starts_with(MASK)
        || ["[redacted", "<redacted", "[filtered", "<hidden", "[masked", "<masked", "secretstr('**", "secretstr(\"**", "<class", "%(", "{{"]
            .iter()
            .any(|known| lower.starts_with(known))
        || (value.starts_with('<') && value.ends_with('>'))
        || (value.starts_with("${") && value.ends_with('}'))
        || (value.starts_with('$')
            && value.len() > 1
            && value[1..].bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        || (value.starts_with('{') && value.ends_with('}') && !value.contains([':', ' ', '"']))
}
