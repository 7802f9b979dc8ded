//! Where values begin and end, and which of them give nothing away.

use super::super::json::value_end;
use super::super::names::{Weight, harmless};
use super::Scan;
use super::form::{Form, escape, exempt};
use super::words::{SAID, SCHEMES};

impl Scan<'_> {
    /// A quoted text at `at`: its content, and the index behind its closing quote.
    pub(super) fn quoted(&self, at: usize) -> Option<(usize, usize, usize)> {
        self.quoted_within(at, self.bytes.len())
    }

    /// The same, if it is no longer than `most` bytes or runs to the end of the text.
    pub(super) fn quoted_within(&self, at: usize, most: usize) -> Option<(usize, usize, usize)> {
        let mut open = at;
        if matches!(self.bytes.get(open), Some(b'b' | b'u' | b'r' | b'f' | b'B'))
            && matches!(self.bytes.get(open + 1), Some(b'"' | b'\''))
        {
            open += 1;
        }
        if let Some(quote) = self.quote_at(at) {
            let from = at + quote.len();
            let to = self.text[from..].find(quote).map_or(self.text.len(), |to| from + to);
            return Some((from, to, (to + quote.len()).min(self.text.len())));
        }
        let slashes = self.bytes.get(open..)?.iter().take(64).take_while(|byte| **byte == b'\\').count();
        open += slashes;
        let quote = *self.bytes.get(open).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
        let mut end = open + 1;
        let limit = self.bytes.len().min(end.saturating_add(most));
        while end < limit {
            if self.bytes[end] == quote && self.slashes(end) == slashes {
                return Some((open + 1, end - slashes, end + 1));
            }
            end += if self.bytes[end] == b'\\' && slashes == 0 { 2 } else { 1 };
        }
        (end >= self.bytes.len()).then_some((open + 1, self.bytes.len(), self.bytes.len()))
    }

    /// Hides the value at `at`; where to go on, or `None` where nothing is to be hidden.
    pub(super) fn value(&mut self, at: usize, name: &str, judged: Weight, form: &Form) -> Option<usize> {
        let Form { said, header, yaml, inside } = *form;
        if let Some((from, to, after)) = self.quoted(at) {
            if exempt(&self.text[from..to]) || harmless(name, judged, &self.text[from..to]) {
                return None;
            }
            self.hide(from, to);
            return Some(after);
        }
        // `SecretStr("x")`
        if let Some((from, to, after)) = self.wrapped(at) {
            self.hide(from, to);
            return Some(after);
        }
        // A variable, to be filled in elsewhere.
        if self.starts(at, "${") && self.bytes[at..].iter().take(64).any(|byte| *byte == b'}') {
            return None;
        }
        if !header && matches!(self.bytes.get(at), Some(b'{' | b'[' | b'(')) {
            if judged < Weight::Strong || self.starts(at, "{}") || self.starts(at, "[]") || self.starts(at, "()") {
                return None;
            }
            let end = if self.bytes[at] == b'(' {
                self.text[at..].find(')').map_or(self.text.len(), |end| at + end + 1)
            } else {
                value_end(self.bytes, at)
            };
            // `[REDACTED]`
            return (!exempt(&self.text[at..end])).then(|| self.hide(at, end));
        }
        if said && !header {
            let peek = &self.bytes[at..self.bytes.len().min(at + 256)];
            let word: Vec<u8> = peek
                .iter()
                .take(16)
                .take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_')
                .map(u8::to_ascii_lowercase)
                .collect();
            let ends = peek
                .get(word.len())
                .is_none_or(|byte| matches!(byte, b' ' | b'\n' | b'.' | b',' | b';' | b':' | b'!' | b')' | b'?'));
            let first = peek.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            let first = first.strip_suffix(b",").or(first.strip_suffix(b";")).unwrap_or(first);
            let telling = first.iter().any(|byte| !byte.is_ascii_lowercase());
            if (ends && SAID.iter().any(|said| said.as_bytes() == word)) || (judged == Weight::Weak && !telling) {
                return None;
            }
        }
        let line = || self.text[at..].find(['\n', '\r']).map_or(self.text.len(), |end| at + end);
        let mut end = if header {
            let mut end = line();
            if let Some(step) =
                self.text[at..end].find(|c| inside.map_or(matches!(c, '"' | '\''), |quote| c == char::from(quote)))
            {
                end = at + step;
            }
            self.text[at..end].find("\\r\\n").or_else(|| self.text[at..end].find("\\n")).map_or(end, |step| at + step)
        } else if yaml {
            let end = line();
            self.text[at..end].find(" #").map_or(end, |step| at + step)
        } else {
            self.bare_end(at, inside)
        };
        while end > at && matches!(self.bytes[end - 1], b' ' | b'\t' | b'\\') {
            end -= 1;
        }
        let word = self.text[at..end].split([' ', '\t']).next().unwrap_or_default();
        // `Bearer x` is two words.
        if !header && !yaml && SCHEMES.contains(&word.to_ascii_lowercase().as_str()) {
            let next = self.blanks(end);
            let stop = self.bare_end(next, inside);
            if next > end && stop > next {
                end = stop;
            }
        }
        let content = &self.text[at..end];
        // Of a URL its own rules hide what must not be seen; where it leads is worth knowing.
        if exempt(content) || harmless(name, judged, content) || (!header && content.contains("://")) {
            return None;
        }
        Some(self.hide(at, end))
    }

    /// The quoted text in a call that stands at `at`, `Name("…")`.
    fn wrapped(&self, at: usize) -> Option<(usize, usize, usize)> {
        let near = self.bytes.get(at..self.bytes.len().min(at + 48))?;
        let name = near.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).count();
        let quoted = near.get(name) == Some(&b'(') && name > 0;
        let (from, to, after) = quoted.then(|| self.quoted_within(at + name + 1, 4096))??;
        (self.bytes.get(after) == Some(&b')') && !exempt(&self.text[from..to])).then_some((from, to, after))
    }

    /// The end of an unquoted value.
    pub(super) fn bare_end(&self, at: usize, inside: Option<u8>) -> usize {
        for (step, c) in self.text[at..].char_indices() {
            let end = at + step;
            let stops = match c {
                '%' => escape(&self.bytes[end..]),
                '&' | '<' | '>' | '|' | ')' | ']' | '}' | '"' | '`' => true,
                '\'' => inside == Some(b'\'') || step == 0,
                // Between pairs, but part of a password otherwise.
                ',' | ';' => {
                    let next = self.blanks(end + 1);
                    next > end + 1 || next == self.bytes.len() || {
                        let stop = self.run_end(next);
                        stop > next && matches!(self.bytes.get(stop), Some(b'=' | b':'))
                    }
                }
                '\\' => {
                    self.starts(end, "\\n")
                        || self.starts(end, "\\r")
                        || self.starts(end, "\\\"")
                        || self.starts(end, "\\'")
                }
                _ => c.is_whitespace(),
            };
            if stops {
                return end;
            }
        }
        self.text.len()
    }
}
