//! Hides secrets inside JSON text. A rewriter, not a parser: everything else of the document (spelling of numbers, order,
//! duplicates, blanks) stays byte for byte, and depth costs no stack.

use std::borrow::Cow;

use super::names::{Weight, harmless, weight};
use super::{MASK, shapes};

const QUOTED: &str = "\"***\"";
/// Fields that name what stands in the field beside them.
pub const PAIR_NAMES: &[&str] = &[
    "name",
    "key",
    "field",
    "k",
    "header",
    "param",
    "parameter",
    "option",
    "variable",
    "var",
    "label",
    "attribute",
    "property",
    "id",
];
/// The fields beside them.
pub const PAIR_VALUES: &[&str] = &["value", "val", "v", "content", "data", "text", "default"];

/// A container that is open.
struct Frame {
    array: bool,
    /// In an object: its name field names a secret. In an array: its first item does.
    secret: bool,
    /// Where the value beside the name, or the second item, stands.
    beside: Option<(usize, usize)>,
    /// How many items came.
    items: usize,
    /// The item before is an option that takes a secret (`--password`).
    option: bool,
}

/// `json` with secrets replaced by `"***"`; `None` where there are none. `null`, `true` and `false` stay: they give nothing
/// away and tell whether something is set. `inside` judges texts that stand under harmless names.
pub fn mask(json: &str, inside: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let bytes = json.as_bytes();
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    let mut open: Vec<Frame> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at);
                let colon = blanks_end(bytes, end);
                if bytes.get(colon) == Some(&b':') {
                    at = field(json, at..end, blanks_end(bytes, colon + 1), open.last_mut(), &mut edits);
                } else {
                    text(json, at..end, open.last_mut(), inside, &mut edits);
                    at = end;
                }
            }
            b'{' | b'[' => {
                if let Some(frame) = open.last_mut() {
                    frame.items += 1;
                    frame.option = false;
                }
                open.push(Frame { array: *byte == b'[', secret: false, beside: None, items: 0, option: false });
                at += 1;
            }
            b'}' | b']' => {
                let listed = open.len() > 1 && open[open.len() - 2].array;
                if let Some(Frame { array, secret: true, beside: Some((start, end)), items, .. }) = open.pop()
                    && (!array || (items == 2 && (listed || telling(&json[start..end]))))
                {
                    edits.push((start, end, QUOTED.into()));
                }
                at += 1;
            }
            b'0'..=b'9' | b'-' => {
                let end = value_end(bytes, at);
                if let Some(frame) = open.last_mut() {
                    frame.items += 1;
                    if frame.array && frame.items == 2 {
                        frame.beside = Some((at, end));
                    }
                    if std::mem::take(&mut frame.option) {
                        edits.push((at, end, QUOTED.into()));
                    }
                }
                if shapes::card(&json[at..end]) == Some(end - at) {
                    edits.push((at, end, QUOTED.into()));
                }
                at = end.max(at + 1);
            }
            _ => at += 1,
        }
    }
    if edits.is_empty() {
        return None;
    }
    // A pair is known to be one at its end only; what it hides may have been edited before.
    edits.sort_by(|left, right| left.0.cmp(&right.0).then_with(|| left.2.len().cmp(&right.2.len())));
    let (mut out, mut copied) = (String::with_capacity(json.len()), 0);
    for (start, end, with) in edits {
        if start >= copied {
            out.push_str(&json[copied..start]);
            out.push_str(&with);
            copied = end;
        }
    }
    out.push_str(&json[copied..]);
    Some(out)
}

/// A field with this name: where to go on.
fn field(
    json: &str,
    name: std::ops::Range<usize>,
    value: usize,
    frame: Option<&mut Frame>,
    edits: &mut Vec<(usize, usize, String)>,
) -> usize {
    let bytes = json.as_bytes();
    let name = decoded(&json[name]);
    let container = matches!(bytes.get(value), Some(b'{' | b'['));
    let judged = weight(&name);
    let strings = !container || bytes[value] == b'[';
    let object = judged == Weight::None && bytes.get(value) == Some(&b'{') && texts_of_tokens(json, &name, value);
    if judged == Weight::Strong
        || object
        || (judged == Weight::Weak && strings)
        || (judged == Weight::Shaped && !container)
    {
        let end = value_end(bytes, value);
        if !container && harmless(&name, judged, &decoded(&json[value..end])) {
            return value;
        }
        if !matches!(&bytes[value..end], b"null" | b"true" | b"false" | b"\"\"" | b"") {
            edits.push((value, end, QUOTED.into()));
        }
        return end;
    }
    if let Some(frame) = frame
        && !container
        && name.len() < 12
    {
        let name = name.to_ascii_lowercase();
        let span = (value, value_end(bytes, value));
        let words = &json[span.0..span.1];
        if PAIR_NAMES.contains(&name.as_str()) && words.starts_with('"') && words.len() < 100 {
            frame.secret |= weight(&decoded(words)) >= Weight::Weak;
        }
        if PAIR_VALUES.contains(&name.as_str()) && !matches!(words, "null" | "true" | "false" | "\"\"") {
            frame.beside = Some(span);
        }
    }
    value
}

/// Whether the object at `open` holds texts by the name of `tokens`: numbers count them.
fn texts_of_tokens(json: &str, name: &str, open: usize) -> bool {
    let bytes = json.as_bytes();
    let field = blanks_end(bytes, open + 1);
    if !name.to_ascii_lowercase().ends_with("tokens") || bytes.get(field) != Some(&b'"') {
        return false;
    }
    let colon = blanks_end(bytes, string_end(bytes, field));
    bytes.get(colon) == Some(&b':') && bytes.get(blanks_end(bytes, colon + 1)) == Some(&b'"')
}

/// A text that is no name.
fn text(
    json: &str,
    span: std::ops::Range<usize>,
    frame: Option<&mut Frame>,
    inside: &dyn Fn(&str) -> Option<String>,
    edits: &mut Vec<(usize, usize, String)>,
) {
    let text = decoded(&json[span.clone()]);
    if let Some(frame) = frame {
        frame.items += 1;
        if frame.array {
            if std::mem::take(&mut frame.option) {
                edits.push((span.start, span.end, QUOTED.into()));
                return;
            }
            let short = text.len() < 64 && !text.contains(['=', ' ']);
            frame.option = short && text.starts_with('-') && weight(text.trim_start_matches('-')) >= Weight::Weak;
            match frame.items {
                1 => frame.secret = short && !text.starts_with('-') && weight(&text) >= Weight::Weak,
                2 => frame.beside = Some((span.start, span.end)),
                _ => {}
            }
        }
    }
    if let Some(masked) = inside(&text)
        && let Ok(quoted) = serde_json::to_string(&masked)
    {
        edits.push((span.start, span.end, if masked == MASK { QUOTED.into() } else { quoted }));
    }
}

/// Whether a value looks like more than a word: a list of two field names is no pair.
fn telling(value: &str) -> bool {
    value.trim_matches('"').bytes().any(|byte| !byte.is_ascii_lowercase() && byte != b'_')
}

/// What a quoted string says.
fn decoded(quoted: &str) -> Cow<'_, str> {
    if quoted.contains('\\')
        && let Ok(text) = serde_json::from_str::<String>(quoted)
    {
        return Cow::Owned(text);
    }
    let inner = quoted.strip_prefix('"').unwrap_or(quoted);
    Cow::Borrowed(inner.strip_suffix('"').unwrap_or(inner))
}

/// The index behind the string that opens at `open`.
pub fn string_end(bytes: &[u8], open: usize) -> usize {
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
pub fn value_end(bytes: &[u8], start: usize) -> usize {
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
