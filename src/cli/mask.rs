//! Hides secrets in whatever leaves the program: one pass over each text, JSON or not, and inside one another. Judged by
//! names (`names`), by shapes (`shapes`) and, in messages, by what this run knows to be a secret.
//!
//! Time is linear in the text and memory bounded by it. What is hidden reads `***`; to mask again changes nothing.

mod json;
mod names;
mod prose;
mod shapes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

const MASK: &str = "***";

/// Whether the operator wants to see what looks like a secret (`--reveal`).
static REVEAL: AtomicBool = AtomicBool::new(false);

/// Sets what [`message`] shows.
pub fn reveal(reveal: bool) {
    REVEAL.store(reveal, Ordering::Relaxed);
}

/// Whether what looks like a secret is shown.
pub fn reveals() -> bool {
    REVEAL.load(Ordering::Relaxed)
}

/// Whether a field of this program's own holds a key, an id or a command, which are shown as they are: one has to be able to
/// name them.
pub fn exact(name: &str) -> bool {
    name.ends_with("_id")
        || matches!(
            name,
            "key"
                | "id"
                | "subject"
                | "command"
                | "next"
                | "group"
                | "related_to"
                | "fingerprint"
                | "operation"
                | "namespace"
                | "cursor"
        )
}

/// JSON text with secrets replaced by `"***"`; still JSON, and everything else byte for byte as it was.
pub fn mask(json: &str) -> Cow<'_, str> {
    looked(json);
    settle(json, &|json| json::mask(json, &inner))
}

/// Any text with secrets replaced by `***`.
pub fn text(text: &str) -> Cow<'_, str> {
    looked(text);
    settle(text, &inner)
}

#[cfg(test)]
thread_local! {
    /// How many bytes were looked at: what tests bound instead of time.
    pub static LOOKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn looked(text: &str) {
    LOOKED.set(LOOKED.get() + text.len());
}

#[cfg(not(test))]
fn looked(_text: &str) {}

/// Masks until nothing changes: what is hidden can bring to light what it was glued to. Few texts need a third look.
fn settle<'a>(text: &'a str, once: &dyn Fn(&str) -> Option<String>) -> Cow<'a, str> {
    let Some(mut masked) = once(text) else { return Cow::Borrowed(text) };
    for _ in 0..16 {
        match once(&masked).filter(|again| *again != masked) {
            Some(again) => masked = again,
            None => break,
        }
    }
    Cow::Owned(masked)
}

fn inner(text: &str) -> Option<String> {
    let document = text.trim_start();
    if document.starts_with(['{', '[', '"']) && serde_json::from_str::<serde::de::IgnoredAny>(document).is_ok() {
        return json::mask(text, &inner);
    }
    prose::mask(text)
}

/// A message for a person, without anything that looks like a secret (unless they asked for that) and without any password
/// that this run has used (whatever they asked for).
pub fn message(text: &str) -> Cow<'_, str> {
    let text = sentence(text);
    let shown = if REVEAL.load(Ordering::Relaxed) { Cow::Borrowed(text) } else { self::text(text) };
    scrub(shown, &sen_core::secret::known())
}

/// So much of a sentence is shown: it may quote a value of any size.
const SENTENCE: usize = 64 << 10;

/// The beginning of a sentence, to be masked.
pub fn sentence(text: &str) -> &str {
    let end = (0..=SENTENCE.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// Without the secrets in `known`. Short ones count as whole words only, and the shortest not at all, because every text
/// holds them.
fn scrub<'a>(text: Cow<'a, str>, known: &[String]) -> Cow<'a, str> {
    let mut text = text;
    for secret in known.iter().filter(|secret| secret.chars().count() >= 4 && *secret != MASK) {
        if !text.contains(secret.as_str()) {
            continue;
        }
        let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
        for (at, _) in text.match_indices(secret.as_str()) {
            let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let end = at + secret.len();
            let inside = letter(text[..at].chars().next_back()) || letter(text[end..].chars().next());
            if at >= copied && (secret.len() >= 8 || !inside) {
                out.push_str(&text[copied..at]);
                out.push_str(MASK);
                copied = end;
            }
        }
        out.push_str(&text[copied..]);
        text = Cow::Owned(out);
    }
    text
}
