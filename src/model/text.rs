//! Text on its way to a person: hidden characters made visible, names quoted so that what is read can be typed again.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Whether `c` acts on a terminal or cannot be seen: C0, DEL, C1, bidirectional controls, zero-width, filler and format
/// characters, line and paragraph separators, tags and variation selectors other than that of emoji.
pub fn hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{13440}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` with every hidden character spelled out: `\n`, `\r`, `\t`, else `\u{1b}`. A backslash of the text itself that
/// would read as the beginning of such an escape is doubled, so that two different texts never look the same.
pub fn visible(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'\\';
    if text.bytes().all(plain) || !text.contains(|c| c == '\\' || hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut changed = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => {
                let next = rest.as_str();
                let reads_as_escape =
                    next.starts_with(|c| matches!(c, 'n' | 'r' | 't' | '\\') || hidden(c)) || next.starts_with("u{");
                out.push_str(if reads_as_escape { "\\\\" } else { "\\" });
                changed |= reads_as_escape;
                continue;
            }
            _ if hidden(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            _ => {
                out.push(c);
                continue;
            }
        }
        changed = true;
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// `1 task`, `3 tasks`.
pub fn many(count: impl Into<i128>, noun: &str) -> String {
    match count.into() {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// Quotes `word` for a shell where it holds anything that bash or zsh would interpret, or that a screen would show in
/// another way: then as `$'…'` with octal escapes, which name the bytes in any locale.
///
/// By hand, as `shlex` leaves hidden characters as they are.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    // zsh takes `=name` for the path of a command.
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(plain) {
        return word.to_owned();
    }
    // Blanks that are not the usual one would be typed as one.
    let unusual = |c: char| hidden(c) || (c.is_whitespace() && c != ' ') || ('\u{fe00}'..='\u{fe0f}').contains(&c);
    if !word.contains(unusual) && matches!(visible(word), Cow::Borrowed(_)) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut out = String::from("$'");
    for c in word.chars() {
        if unusual(c) || matches!(c, '\'' | '\\' | '!') {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "\\{byte:03o}");
            }
        } else {
            out.push(c);
        }
    }
    out.push('\'');
    out
}

/// What stands in a suggestion for something that only the operator knows: `‹json›`. `sen` refuses it as an argument
/// ([`is_mark`]), so that a suggestion does nothing until it is filled in.
pub fn mark(what: &str) -> String {
    format!("‹{what}›")
}

/// Whether an argument, the value of a long option (`--reason=‹reason›`) or a file (`@‹file›`) is such a mark.
pub fn is_mark(argument: &str) -> bool {
    let value = match argument.strip_prefix("--").and_then(|option| option.split_once('=')) {
        Some((_, value)) => value,
        None => argument,
    };
    let value = value.strip_prefix('@').unwrap_or(value);
    let what = value.strip_prefix('‹').and_then(|rest| rest.strip_suffix('›'));
    what.is_some_and(|what| !what.is_empty() && what.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
}

/// A key, an id or another name in a sentence: `"order-7"`, and where it could be mistaken for another one as it is typed
/// in a shell, `$'orders:7\012'`.
pub fn named(name: &str) -> Named<'_> {
    Named(name)
}

/// See [`named`].
#[derive(Debug, Clone, Copy)]
pub struct Named<'a>(&'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = shell_word(self.0);
        if quoted.starts_with('$') || self.0.contains(['"', '\\', '$', '`', '!']) {
            f.write_str(&quoted)
        } else {
            write!(f, "\"{}\"", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What [`visible`] wrote, read back.
    fn read(shown: &str) -> String {
        let mut out = String::new();
        let mut rest = shown;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                out.push(c);
                continue;
            }
            let (value, taken) = match rest.chars().next() {
                Some('n') => ('\n', 1),
                Some('r') => ('\r', 1),
                Some('t') => ('\t', 1),
                Some('\\') => ('\\', 1),
                Some('u') if rest.starts_with("u{") => {
                    let end = rest.find('}').unwrap();
                    (char::from_u32(u32::from_str_radix(&rest[2..end], 16).unwrap()).unwrap(), end + 1)
                }
                _ => ('\\', 0),
            };
            out.push(value);
            rest = &rest[taken..];
        }
        out
    }

    fn hostile() -> impl Strategy<Value = String> {
        let listed: Vec<char> =
            "\0\u{1b}\n\r\t\u{7f}\u{9b}\u{202e}\u{3164}\u{115f}\u{1160}\u{ffa0}\u{2800}\u{34f}\u{a0}\
            \u{feff}\u{e0041}\u{fe0f}\\\\\\nrtu{1b}'\"$`!=-~*?<>|&;(){}[]# é注🚚"
                .chars()
                .collect();
        let c = prop_oneof![3 => prop::sample::select(listed), 1 => any::<char>(), 1 => prop::char::range(' ', '~')];
        prop::collection::vec(c, 0..24).prop_map(|text| text.into_iter().collect())
    }

    #[test]
    fn escapes_are_told_from_backslashes() {
        assert_eq!(visible("orders:7\n"), r"orders:7\n");
        assert_eq!(visible(r"orders:7\n"), r"orders:7\\n");
        assert_eq!(visible(r"C:\dir\new"), r"C:\dir\\new");
        assert_eq!(visible("a\\\n"), r"a\\\n");
        for text in [r"C:\dir", "plain", "Zürich 注文 🚚", r"it\'s"] {
            assert!(matches!(visible(text), Cow::Borrowed(_)), "{text:?} was copied");
        }
    }

    #[test]
    fn fillers_and_blank_letters_are_hidden() {
        for c in ['\u{3164}', '\u{115f}', '\u{1160}', '\u{ffa0}', '\u{2800}', '\u{34f}', '\u{180b}', '\u{fe00}'] {
            assert!(hidden(c), "{c:?} passes");
        }
        for c in "aé注🚚\u{301}\u{fe0f} ".chars() {
            assert!(!hidden(c), "{c:?} is hidden");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        let cases = [
            ("order-7", "order-7"),
            ("", "''"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("=x", "'=x'"),
            ("a=x", "a=x"),
            ("orders:7\n", r"$'orders:7\012'"),
            (r"orders:7\n", r"$'orders:7\134n'"),
            (r"C:\dir", r"'C:\dir'"),
            ("a\u{202e}b", r"$'a\342\200\256b'"),
            ("a\u{a0}b", r"$'a\302\240b'"),
            ("it's\n!", r"$'it\047s\012\041'"),
        ];
        for (word, want) in cases {
            assert_eq!(shell_word(word), want);
        }
    }

    #[test]
    fn names_in_sentences() {
        assert_eq!(named("order 7").to_string(), "\"order 7\"");
        assert_eq!(named("orders:7\n").to_string(), r"$'orders:7\012'");
        assert_eq!(named("say \"hi\"").to_string(), "'say \"hi\"'");
    }

    proptest! {
        #[test]
        fn what_is_seen_names_one_text(text in hostile()) {
            let shown = visible(&text).into_owned();
            prop_assert!(!shown.contains(hidden));
            prop_assert_eq!(read(&shown), text);
        }

        #[test]
        fn a_quoted_word_is_shown_as_it_is(text in hostile()) {
            let word = shell_word(&text);
            prop_assert_eq!(visible(&word), word.as_str());
            let name = named(&text).to_string();
            prop_assert_eq!(visible(&name), name.as_str());
        }
    }
}
