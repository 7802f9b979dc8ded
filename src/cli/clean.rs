//! The filter between the database and a terminal: characters that could move the cursor, reorder a line or hide text are
//! shown as escapes. Also measures and shortens text by terminal columns. Colour is added after it, never before.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

pub use sen_core::text::{hidden, visible as clean};

/// Whether every byte is printable ASCII, and so nothing needs a closer look.
pub fn plain(bytes: &[u8]) -> bool {
    none(bytes, |byte| byte.wrapping_sub(0x20) >= 0x5f)
}

/// Whether `test` holds for no byte. Looks at blocks of fixed size without leaving them early, which the compiler turns
/// into vector code; the last one overlaps the one before.
#[inline]
pub fn none(bytes: &[u8], test: impl Fn(u8) -> bool) -> bool {
    let clear = |block: &[u8; 16]| !block.iter().fold(false, |seen, byte| seen | test(*byte));
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().all(clear) && clear(last),
        None => !bytes.iter().fold(false, |seen, byte| seen | test(*byte)),
    }
}

/// How many terminal columns a clean text takes.
pub fn width(text: &str) -> usize {
    if plain(text.as_bytes()) { text.len() } else { text.width() }
}

/// A clean text cut to at most `limit` columns; the cut shows as `…`.
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    if width(text) <= limit {
        return Cow::Borrowed(text);
    }
    let room = limit.saturating_sub(1);
    let mut taken = 0;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > room {
            break;
        }
        end = at + c.len_utf8();
    }
    // A sequence can be wider than the sum of its characters (emoji presentation): remove characters until it fits.
    while width(&text[..end]) > room {
        end = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
    }
    Cow::Owned(if limit == 0 { String::new() } else { format!("{}…", &text[..end]) })
}

/// A clean text cut in its middle to at most `limit` columns: how an id begins and ends tells it from others.
pub fn shorten_middle(text: &str, limit: usize) -> Cow<'_, str> {
    if width(text) <= limit {
        return Cow::Borrowed(text);
    }
    let tail_room = limit.saturating_sub(1) / 2;
    let mut start = text.len();
    for (at, _) in text.char_indices().rev() {
        if width(&text[at..]) > tail_room {
            break;
        }
        start = at;
    }
    let tail = &text[start..];
    let head = shorten(&text[..start], limit.saturating_sub(width(tail)));
    let joined = format!("{head}{tail}");
    // Joined, sequences can be wider than their parts.
    if width(&joined) > limit { shorten(text, limit) } else { Cow::Owned(joined) }
}

/// Text for property tests: proptest's own strings hold no control characters, which are the point here.
#[cfg(test)]
pub fn hostile() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let listed = "\0\u{1}\u{7}\u{8}\t\n\r\u{1b}\u{1f}\u{7f}\u{80}\u{85}\u{9b}\u{9f}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{202a}\u{202e}\
        \u{2028}\u{2060}\u{2066}\u{2069}\u{feff}\u{e0000}\u{e0041}\u{e007f}\u{301}\u{fe0f}注🚚é\"\\'{}[]:,=+-@ a";
    let listed: Vec<char> = listed.chars().collect();
    let c = prop_oneof![prop::sample::select(listed), any::<char>(), prop::char::range(' ', '~')];
    prop::collection::vec(c, 0..40).prop_map(|text| text.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_becomes_visible() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n\t\u{7f}"), r"a\u{1b}[2Jb\r\n\t\u{7f}");
        assert_eq!(
            clean("\u{9b}31m \u{202e}abc\u{2066} \u{200b}\u{feff}\u{e0041}\u{2028}"),
            r"\u{9b}31m \u{202e}abc\u{2066} \u{200b}\u{feff}\u{e0041}\u{2028}"
        );
    }

    #[test]
    fn honest_text_is_passed_by_reference() {
        for text in ["", "payment-order-789", "Zürich 注文 🚚", "x\u{301}"] {
            assert!(matches!(clean(text), Cow::Borrowed(_)), "{text:?} was copied");
        }
    }

    #[test]
    fn widths_are_columns() {
        assert_eq!(width("注文"), 4);
        assert_eq!(shorten("注文注文", 5), "注文…");
        assert_eq!(shorten("注文注文", 4), "注…");
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab…");
        assert_eq!(shorten("abcd", 1), "…");
        assert_eq!(shorten("abcd", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in hostile()) {
            prop_assert!(!clean(&text).contains(hidden));
        }

        #[test]
        fn shortened_text_fits(text in hostile(), limit in 0_usize..40) {
            let text = clean(&text);
            prop_assert!(width(&shorten(&text, limit)) <= limit);
        }
    }
}
