//! What the bytes of arguments, results, errors, signals and custom state say: the JSON codec with its tagged objects, Python
//! pickles as structure (see [`pickle`](super::pickle)), anything else as a hexadecimal preview. Nothing is executed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::pickle::{Id, Pickle};

/// Who encoded a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Nothing is there.
    Empty,
    /// The JSON codec, the default.
    Json,
    /// Python's pickle.
    Pickle,
    /// Something else, or damaged.
    Unknown,
}

impl Codec {
    /// The name in data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Json => "json",
            Self::Pickle => "pickle",
            Self::Unknown => "unknown",
        }
    }

    /// The codec by the first byte, without reading further.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Empty,
            [0x80, ..] => Self::Pickle,
            [first, ..] if b"{[\"-0123456789tfnNI \t\r\n".contains(first) => Self::Json,
            _ => Self::Unknown,
        }
    }
}

/// What a payload means to the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A plain value.
    Value,
    /// `Result.Ok(value)`.
    Ok,
    /// `Result.Error(error)`.
    Error,
}

/// An exception, as its payload describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exception {
    /// The class's name; a pickle tells its module as well.
    pub class: String,
    /// `str(exception)`, or its first argument.
    pub message: String,
    /// The traceback, as Python printed it.
    pub traceback: Option<String>,
    /// Its attributes: JSON text.
    pub attributes: Option<String>,
}

impl Exception {
    /// Class and message in one line, as Python ends a traceback. What the JSON codec could not make again it wraps in a
    /// class of its own, whose message names the one it was.
    pub fn line(&self) -> String {
        match (self.class.as_str(), self.message.as_str()) {
            (class, "") => class.to_owned(),
            (class, message) if class.rsplit('.').next() == Some("DeserializedException") => message.to_owned(),
            (class, message) => format!("{class}: {message}"),
        }
    }
}

/// A payload, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Who encoded it.
    pub codec: Codec,
    /// What it means.
    pub outcome: Outcome,
    /// The value (of a `Result` what is in it) as JSON text.
    pub json: String,
    /// The exception, where it is one.
    pub exception: Option<Exception>,
    /// What a reader should know: it was cut, or cannot be read and why.
    pub note: Option<String>,
}

/// Room for one rendered payload.
const ROOM: usize = 1 << 20;
/// Bytes of an unknown payload that are shown.
const PREVIEW: usize = 32;

/// Larger payloads are not read. For display one byte more than this is fetched, so that a larger one is noticed.
pub const LIMIT: usize = 1 << 20;

/// Reads a payload.
pub fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() > LIMIT {
        return unknown(bytes, "larger than 1 MiB: not read here".into());
    }
    match Codec::of(bytes) {
        Codec::Empty => plain(Codec::Empty, "null".into()),
        Codec::Pickle => match Pickle::read(bytes) {
            Ok(pickle) => from_pickle(&pickle),
            Err(trouble) => {
                unknown(bytes, format!("a pickle that cannot be read: {} at byte {}", trouble.what, trouble.at))
            }
        },
        Codec::Json => match std::str::from_utf8(bytes).ok().and_then(json_text) {
            Some(text) => from_json(text),
            None => unknown(bytes, "neither JSON nor a pickle".into()),
        },
        Codec::Unknown => unknown(bytes, "neither JSON nor a pickle".into()),
    }
}

fn plain(codec: Codec, json: String) -> Decoded {
    Decoded { codec, outcome: Outcome::Value, json, exception: None, note: None }
}

fn unknown(bytes: &[u8], note: String) -> Decoded {
    let shown = &bytes[..bytes.len().min(PREVIEW)];
    let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > shown.len() { "…" } else { "" };
    let count = bytes.len();
    let json = format!("{{\"__type__\":\"unknown\",\"bytes\":{count},\"hex\":\"{hex}{more}\"}}");
    Decoded { note: Some(note), ..plain(Codec::Unknown, json) }
}

/// The text as strict JSON: Python also writes NaN and the infinities, which become strings.
fn json_text(text: &str) -> Option<String> {
    if is_json(text) {
        return Some(readable(text));
    }
    let mended = without_nan(text);
    is_json(&mended).then(|| readable(&mended))
}

/// Python escapes everything beyond ASCII; letters are put back in place of `\u00e9`. What else is escaped stays so.
pub(crate) fn readable(text: &str) -> String {
    if !text.contains("\\u") {
        return text.to_owned();
    }
    let unit = |from: &str| {
        let digits = from.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let units: Vec<u16> = [unit(rest), rest.get(6..).and_then(unit)].into_iter().map_while(|unit| unit).collect();
        let (letter, taken) = match char::decode_utf16(units).next() {
            Some(Ok(letter)) if letter >= '\u{a0}' => (Some(letter), 6 * letter.len_utf16()),
            // An escaped backslash is not the beginning of another escape.
            _ => (None, rest.chars().take(2).map(char::len_utf8).sum()),
        };
        match letter {
            Some(letter) => out.push(letter),
            None => out.push_str(&rest[..taken]),
        }
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

fn is_json(text: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::de::IgnoredAny::deserialize(&mut reader).is_ok() && reader.end().is_ok()
}

/// `NaN`, `Infinity` and `-Infinity` outside of strings put in quotes.
fn without_nan(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut quoted) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| !quoted && rest.starts_with(word));
        let taken = match (word, c) {
            (Some(word), _) => {
                out.push('"');
                out.push_str(word);
                out.push('"');
                word.len()
            }
            (None, '\\') if quoted => {
                let length = rest.chars().take(2).map(char::len_utf8).sum();
                out.push_str(&rest[..length]);
                length
            }
            (None, c) => {
                quoted ^= c == '"';
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// The fields the codec's tagged objects have; those that are there stay as they are written.
#[derive(serde::Deserialize)]
struct Tagged<'a> {
    #[serde(rename = "__type__")]
    kind: String,
    ok: Option<bool>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    cls: Option<String>,
    message: Option<String>,
    traceback: Option<String>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
}

fn tagged(text: &str) -> Option<Tagged<'_>> {
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
}

fn from_json(text: String) -> Decoded {
    let Some(tag) = tagged(&text) else { return plain(Codec::Json, text) };
    match (tag.kind.as_str(), tag.ok) {
        ("Result", Some(ok)) => {
            let inner = if ok { tag.value } else { tag.error }.map_or("null", RawValue::get).to_owned();
            let exception = if ok { None } else { tagged(&inner).and_then(|tag| exception(&tag)) };
            let outcome = if ok { Outcome::Ok } else { Outcome::Error };
            Decoded { outcome, exception, ..plain(Codec::Json, inner) }
        }
        ("Exception", _) => {
            let exception = exception(&tag);
            Decoded { exception, ..plain(Codec::Json, text) }
        }
        _ => plain(Codec::Json, text),
    }
}

fn exception(tag: &Tagged<'_>) -> Option<Exception> {
    (tag.kind == "Exception").then(|| Exception {
        class: tag.cls.clone().unwrap_or_else(|| "Exception".into()),
        message: tag.message.clone().unwrap_or_default(),
        traceback: tag.traceback.clone(),
        attributes: tag.attributes.map(|raw| raw.get().to_owned()).filter(|raw| says_something(raw)),
    })
}

/// Whether attributes hold more than nothing: every `OSError` has five that are null.
fn says_something(attributes: &str) -> bool {
    let read = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(attributes);
    read.map_or(attributes != "null", |fields| fields.values().any(|value| !value.is_null()))
}

fn from_pickle(pickle: &Pickle) -> Decoded {
    let root = pickle.root();
    let (mut shown, mut outcome) = (root, Outcome::Value);
    if let Some((module, "Result")) = pickle.class(root)
        && module.ends_with(".core")
        && let Some(state) = pickle.state(root)
        && let Some(ok) = pickle.entry(state, "ok").and_then(|ok| pickle.flag(ok))
    {
        outcome = if ok { Outcome::Ok } else { Outcome::Error };
        shown = pickle.entry(state, if ok { "value" } else { "error" }).unwrap_or(root);
    }
    let rendered = pickle.render(shown, ROOM);
    Decoded {
        outcome,
        exception: pickled_exception(pickle, shown),
        note: rendered.cut.then(|| "a large or cyclic pickle, cut".into()),
        ..plain(Codec::Pickle, rendered.json)
    }
}

/// A pickle does not say what is an exception. A class by a usual name, called with arguments, is taken for one.
fn pickled_exception(pickle: &Pickle, id: Id) -> Option<Exception> {
    let (module, name) = pickle.class(id)?;
    let usual = ["Error", "Exception", "Warning", "Interrupt", "Exit", "Iteration"];
    let likely = usual.iter().any(|end| name.ends_with(end))
        || pickle.state(id).is_some_and(|state| {
            pickle.entry(state, "__traceback__").is_some() || pickle.entry(state, "__notes__").is_some()
        });
    let args = pickle.args(id);
    if !likely && !args.first().is_some_and(|first| args.len() == 1 && pickle.text(*first).is_some()) {
        return None;
    }
    let message = match args {
        [] => String::new(),
        [one] => pickle.text(*one).map_or_else(|| pickle.render(*one, 4096).json, str::to_owned),
        // As str() of an OSError: [Errno 2] No such file.
        [number, text, ..] => match pickle.text(*text) {
            Some(text) => format!("[Errno {}] {text}", pickle.render(*number, 64).json),
            None => pickle.render(*text, 4096).json,
        },
    };
    let state = pickle.state(id);
    Some(Exception {
        class: if module == "builtins" { name.to_owned() } else { format!("{module}.{name}") },
        message,
        traceback: state
            .and_then(|state| {
                pickle.entry(state, "_original_traceback").or_else(|| pickle.entry(state, "original_traceback"))
            })
            .and_then(|text| pickle.text(text))
            .map(str::to_owned),
        attributes: state.map(|state| pickle.render(state, ROOM).json),
    })
}

/// `text` as it stands in the middle of a JSON text, in each spelling that is used: Python's ASCII and plain UTF-8. What
/// a payload that contains it must contain.
pub fn needles(text: &str) -> Vec<String> {
    let escaped = |ascii: bool| {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if (c as u32) < 0x20 || (ascii && !c.is_ascii()) => {
                    out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
                }
                c => out.push(c),
            }
        }
        out
    };
    let mut all = vec![text.to_owned(), escaped(true), escaped(false)];
    all.sort();
    all.dedup();
    all
}

/// What a column of tags holds when `tag` is among them, in each spelling.
pub fn tag_needles(tag: &str) -> Vec<String> {
    let quoted = needles(tag).into_iter().filter(|needle| tag == needle || !needle.is_empty());
    quoted.flat_map(|needle| ["[\"", ", \"", ",\""].map(|before| format!("{before}{needle}\""))).collect()
}

/// The base64 text of bytes, as the library's JSON tags carry them.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Decoded {
        decode(bytes)
    }

    #[test]
    fn tagged_objects_of_the_json_codec() {
        let ok = read(br#"{"__type__": "Result", "ok": true, "value": {"a": 1.10}, "error": null}"#);
        assert_eq!((ok.outcome, ok.json.as_str()), (Outcome::Ok, r#"{"a": 1.10}"#));
        let error = read(
            br#"{"__type__": "Result", "ok": false, "value": null, "error": {"__type__": "Exception", "cls": "ValueError",
            "message": "bad", "traceback": "Traceback:\n  x", "attributes": {"code": 5}}}"#,
        );
        assert_eq!(error.outcome, Outcome::Error);
        let exception = error.exception.unwrap();
        assert_eq!((exception.class.as_str(), exception.message.as_str()), ("ValueError", "bad"));
        assert_eq!(exception.traceback.as_deref(), Some("Traceback:\n  x"));
        assert_eq!(exception.attributes.as_deref(), Some(r#"{"code": 5}"#));
        let plain = read(br#"{"__type__": "bytes", "data": "AP8="}"#);
        assert_eq!((plain.outcome, plain.exception), (Outcome::Value, None));
        assert_eq!(read(b"[]").json, "[]");
        assert_eq!(read(br#"{"__type__": 5}"#).outcome, Outcome::Value);
        assert_eq!(read(b"").codec, Codec::Empty);
    }

    #[test]
    fn what_python_calls_json() {
        let odd = read(br#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" Infinity"}"#);
        assert_eq!(odd.json, r#"{"a": "NaN", "b": ["-Infinity", "Infinity"], "c": "NaN \" Infinity"}"#);
        assert_eq!(odd.codec, Codec::Json);
        let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        assert_eq!(read(&deep).codec, Codec::Json);
    }

    #[test]
    fn letters_are_readable() {
        let text = br#"["caf\u00e9 \ud83d\udddd \u0041 \u001b \\u00e9 \ud800", "\n\u2713"]"#;
        assert_eq!(read(text).json, r#"["café 🗝 \u0041 \u001b \\u00e9 \ud800", "\n✓"]"#);
    }

    #[test]
    fn what_is_neither() {
        let odd = read(b"\xff\x00rubbish");
        assert_eq!(odd.codec, Codec::Unknown);
        assert_eq!(odd.json, r#"{"__type__":"unknown","bytes":9,"hex":"ff0072756262697368"}"#);
        assert_eq!(read(b"\x80\x04cut").note.unwrap(), "a pickle that cannot be read: it is cut short at byte 3");
        let large = read(&vec![b'['; LIMIT + 1]);
        assert!(large.note.unwrap().starts_with("larger than"));
        assert_eq!(read(b"[1").codec, Codec::Unknown);
    }

    #[test]
    fn pickled_results_and_exceptions() {
        let ok =
            b"\x80\x04\x8c\x0astent.core\x8c\x06Result\x93)\x81}(\x8c\x02ok\x88\x8c\x05valueK\x07\x8c\x05errorNub.";
        assert_eq!((read(ok).outcome, read(ok).json.as_str()), (Outcome::Ok, "7"));
        let error = b"\x80\x04\x8c\x08builtins\x8c\x0aValueError\x93\x8c\x03bad\x85R}\x8c\x04codeK\x05sb.";
        let exception = read(error).exception.unwrap();
        assert_eq!((exception.class.as_str(), exception.message.as_str()), ("ValueError", "bad"));
        assert_eq!(exception.attributes.as_deref(), Some(r#"{"code":5}"#));
        let missing = b"\x80\x04\x8c\x08builtins\x8c\x11FileNotFoundError\x93K\x02\x8c\x07No such\x86R.";
        assert_eq!(read(missing).exception.unwrap().message, "[Errno 2] No such");
    }

    #[test]
    fn texts_as_payloads_hold_them() {
        assert_eq!(needles("order"), ["order"]);
        assert_eq!(needles("é\""), [r#"\u00e9\""#, "é\"", r#"é\""#].map(str::to_owned));
        assert_eq!(needles("🗝")[0], "\\ud83d\\udddd");
        assert_eq!(tag_needles("vip"), ["[\"vip\"", ", \"vip\"", ",\"vip\""]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_as_json(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[\\[\\]{}:,\"a1\\\\ NaInfity-]{0,40}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let decoded = decode(bytes);
                prop_assert!(is_json(&decoded.json), "{}", decoded.json);
            }
        }
    }
}
