//! Single values for people: in a table cell and after a label. All returned text has passed the control-character filter.

use std::borrow::Cow;

use owo_colors::Style;
use sen_core::model::value::Value;
use sen_core::model::verdict::Severity;
use sen_core::time::{Timestamp, age, coarse_age, humane};

use crate::clean::clean;
use crate::mask;
use crate::output::encode;
use crate::output::row::Look;
use crate::times::{Precision, Times};

/// The colour of a severity, readable on a light and on a dark background: of yellow and cyan letters, and of bright ones, that cannot be said.
pub fn tint(severity: Severity) -> Style {
    match severity {
        Severity::Critical => Style::new().red().bold(),
        Severity::Warning => Style::new().black().on_yellow(),
        Severity::Pending => Style::new(),
        Severity::Ok => Style::new().green(),
    }
}

/// Appends `text`, in colour when there is a style.
pub fn styled(out: &mut Vec<u8>, text: &str, style: Option<Style>) {
    match style {
        Some(style) => out.extend_from_slice(style.style(text).to_string().as_bytes()),
        None => out.extend_from_slice(text.as_bytes()),
    }
}

/// `3m ago`, `in 12s`, `now`; with `fine`, in details, `3m 20s ago`. Empty for the infinities, which are near nothing.
pub fn relative(moment: Timestamp, now: Timestamp, fine: bool) -> String {
    if !moment.is_finite() || !now.is_finite() {
        return String::new();
    }
    let past = now.micros_since(moment);
    if past.unsigned_abs() < 1_000_000 {
        return "now".to_owned();
    }
    let span = if fine { age(past) } else { coarse_age(past) };
    if past > 0 { format!("{span} ago") } else { format!("in {span}") }
}

/// A value for a table: one line, times relative, null as `-`. Of untrusted text at most `bytes` are looked at.
pub fn cell(value: &Value, now: Timestamp, reveal: bool, bytes: usize) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Text(text) if text.is_empty() => "\"\"".to_owned(),
        Value::Text(text) | Value::Lines(text) if reveal => clean(&head(text, bytes)).into_owned(),
        // A little more is examined than is shown, so that a secret at the cut is recognized.
        Value::Text(text) | Value::Lines(text) => {
            let seen = head(text, bytes.saturating_add(MARGIN));
            let masked = mask::text(&seen);
            clean(&head(&masked, bytes)).into_owned()
        }
        Value::Time(moment) if moment.is_finite() => relative(*moment, now, false),
        Value::List(items) if items.is_empty() => "-".to_owned(),
        Value::List(items) if items.iter().all(|item| !nested(item)) => {
            let items: Vec<String> = items.iter().map(|item| cell(item, now, reveal, bytes)).collect();
            head(&items.join(", "), bytes).into_owned()
        }
        Value::Json(_) | Value::List(_) | Value::Map(_) => {
            head(&payload(&shown(value, bytes.saturating_add(MARGIN)), reveal), bytes).into_owned()
        }
        _ => plain(value),
    }
}

/// So much more than is shown is masked: a secret at the cut, or a name behind its value, is known as one.
pub const MARGIN: usize = 64 << 10;

/// The part of a value that can be shown in so many bytes, before it is masked; the cut shows as `…`.
pub fn shown(value: &Value, bytes: usize) -> Cow<'_, Value> {
    if weight(value) <= bytes { Cow::Borrowed(value) } else { Cow::Owned(trimmed(value, &mut { bytes })) }
}

/// How many bytes of text a value holds.
pub fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Lines(text) | Value::Json(text) => text.len(),
        Value::List(items) => items.iter().map(|item| weight(item) + 2).sum(),
        Value::Map(fields) => fields.iter().map(|(name, field)| weight(field) + name.len() + 4).sum(),
        _ => 8,
    }
}

fn trimmed(value: &Value, left: &mut usize) -> Value {
    let mut cut = |text: &str| {
        let cut = head(text, *left).into_owned();
        *left = left.saturating_sub(text.len());
        cut
    };
    match value {
        Value::Text(text) => Value::Text(cut(text)),
        Value::Lines(text) => Value::Lines(cut(text)),
        Value::Json(text) => Value::Json(cut(text)),
        Value::List(items) => {
            let mut kept = Vec::new();
            for item in items {
                if *left == 0 {
                    kept.push(Value::Text("…".to_owned()));
                    break;
                }
                *left = left.saturating_sub(2);
                kept.push(trimmed(item, left));
            }
            Value::List(kept)
        }
        Value::Map(fields) => Value::Map(
            fields
                .iter()
                .map(|(name, field)| {
                    *left = left.saturating_sub(name.len() + 4);
                    (*name, trimmed(field, left))
                })
                .collect(),
        ),
        _ => value.clone(),
    }
}

/// A value behind a label of the original `sen`, spelled as it did: `True`, `False`, `None`, whole times where a script reads it.
pub fn original(value: &Value, look: Look, reveal: bool) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Time(moment) if moment.is_finite() && look.now.is_finite() && look.times == Times::Rfc3339 => {
            format!("{moment} ({})", relative(*moment, look.now, true))
        }
        _ => labelled(value, look, reveal),
    }
}

/// A value behind a label: times absolute and relative.
pub fn labelled(value: &Value, look: Look, reveal: bool) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Time(moment) if moment.is_finite() && look.now.is_finite() => {
            let text = look.times.text(*moment, look.now, Precision::Seconds);
            format!("{text} ({})", relative(*moment, look.now, true))
        }
        Value::List(items) if items.iter().all(|item| !nested(item)) => {
            items.iter().map(|item| labelled(item, look, reveal)).collect::<Vec<_>>().join(", ")
        }
        Value::Json(_) | Value::List(_) | Value::Map(_) => payload(value, reveal),
        Value::Text(text) | Value::Lines(text) if !reveal => clean(&mask::text(text)).into_owned(),
        _ => plain(value),
    }
}

/// Whether a value holds others.
fn nested(value: &Value) -> bool {
    matches!(value, Value::Json(_) | Value::List(_) | Value::Map(_))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => yes.to_string(),
        Value::Int(number) | Value::Big(number) => number.to_string(),
        Value::About(number) => about(*number),
        Value::Name(name) => clean(name).into_owned(),
        Value::Text(text) | Value::Lines(text) => clean(text).into_owned(),
        Value::Time(moment) => moment.to_string(),
        Value::NotBefore(moment) => format!("≥ {moment}"),
        Value::Millis(millis) => {
            let span = humane(millis.saturating_mul(1000));
            if *millis < 0 { format!("-{span}") } else { span }
        }
        Value::Json(_) | Value::List(_) | Value::Map(_) => payload(value, true),
    }
}

/// An estimate, with as many digits as it deserves: `~990000`.
pub fn about(number: i64) -> String {
    let step = 10_i64.pow(number.unsigned_abs().checked_ilog10().unwrap_or(0).saturating_sub(1));
    format!("~{}", number.saturating_add(step / 2) / step * step)
}

/// A nested value as compact JSON text.
pub fn payload(value: &Value, reveal: bool) -> String {
    let mut json = Vec::new();
    encode::value(&mut json, value, reveal);
    // The encoder escapes every hidden character, so the filter is not needed.
    String::from_utf8(json).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The first `bytes` of `text`, or a little less where that would split a character; the cut shows as `…`.
pub fn head(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// Breaks prose at blanks into lines of at most `width` columns; a longer word stays whole.
///
/// By hand, as `textwrap` adds up the columns of single characters, and tables here measure sequences (emoji) as a whole.
pub fn wrap(text: &str, width: usize) -> Vec<Cow<'_, str>> {
    // Nothing has more columns than bytes; and without a bound each word would be measured with all that stands before it.
    if text.len() <= width {
        return vec![Cow::Borrowed(text)];
    }
    let mut lines: Vec<Cow<'_, str>> = Vec::new();
    let mut start = 0;
    let mut end = 0;
    // A command between backticks is one word: broken in two it would be another one when it is copied.
    let whole = text.matches('`').count().is_multiple_of(2);
    let mut inside = false;
    let breaks = |c: char| {
        inside ^= c == '`' && whole;
        c == ' ' && !inside
    };
    for word in text.split(breaks) {
        let next = word.as_ptr() as usize - text.as_ptr() as usize;
        if end > start && crate::clean::width(&text[start..next + word.len()]) > width {
            lines.push(Cow::Borrowed(&text[start..end]));
            start = next;
        }
        end = next + word.len();
    }
    lines.push(Cow::Borrowed(&text[start..]));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_205_760_000_000);

    const PIPED: Look = Look { color: false, terminal: false, times: Times::Rfc3339, width: None, now: NOW };

    #[test]
    fn only_the_originals_labels_are_spelled_as_it_did() {
        let both = |value: Value| (labelled(&value, PIPED, false), original(&value, PIPED, false));
        assert_eq!(both(Value::Null), ("-".into(), "None".into()));
        assert_eq!(both(Value::Bool(true)), ("yes".into(), "True".into()));
        assert_eq!(both(Value::Millis(26_000)), ("26s".into(), "26s".into()));
        assert_eq!(original(&Value::Time(NOW), PIPED, false), "2026-11-20T20:16:00.000000Z (now)");
    }

    #[test]
    fn commands_are_not_broken_in_two() {
        assert_eq!(wrap("look: `sen dlq list --group x` or so", 20), ["look:", "`sen dlq list --group x`", "or so"]);
        assert_eq!(wrap("it's a ` alone here", 8), ["it's a `", "alone", "here"]);
    }

    #[test]
    fn times() {
        let at = |seconds: i64| Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000);
        assert_eq!(relative(at(-1100), NOW, true), "18m ago");
        assert_eq!(relative(at(-200), NOW, false), "3m ago");
        assert_eq!(relative(at(-200), NOW, true), "3m 20s ago");
        assert_eq!(relative(at(12), NOW, false), "in 12s");
        assert_eq!(relative(at(0), NOW, false), "now");
        assert_eq!(labelled(&Value::Time(at(-1)), PIPED, false), "2026-11-20T20:15:59Z (1s ago)");
        assert_eq!(labelled(&Value::Time(Timestamp::INFINITY), PIPED, false), "infinity");
        assert_eq!(cell(&Value::Time(Timestamp::INFINITY), NOW, false, 100), "infinity");
    }

    #[test]
    fn a_cut_is_never_silent() {
        // Combining marks take bytes but no columns, so the width alone is no limit.
        let text = Value::Text(format!("x{}", "\u{301}".repeat(1000)));
        assert!(cell(&text, NOW, false, 100).ends_with('…'));
        assert_eq!(cell(&Value::Json("[1,2,3]".into()), NOW, false, 3), "[1,…");
    }

    #[test]
    fn prose_wraps_at_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensibilities a b", 5), ["incomprehensibilities", "a b"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn nested_values_are_clean_and_masked() {
        let value = Value::Json("{\"token\":\"x\",\"a\":\"\u{1b}\"}".replace('\u{1b}', "\u{202e}"));
        assert_eq!(cell(&value, NOW, false, 1000), r#"{"token":"***","a":"\u202e"}"#);
        assert_eq!(labelled(&Value::List(vec![Value::Text("a\n".into()), Value::Int(1)]), PIPED, false), r"a\n, 1");
    }
}
