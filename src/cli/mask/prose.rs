//! Hides secrets in text that is no JSON document: sentences, `k=v`, `k: v`, forms, URLs, headers, XML, Python reprs, command
//! lines, and pieces of all these in one another. One pass from left to right; what is hidden is not looked at again.

mod form;
mod markup;
mod said;
mod value;
mod words;

use super::json::{PAIR_NAMES, PAIR_VALUES};
use super::names::{Weight, harmless, invisible, is_file, query_weight, weight};
use super::{MASK, shapes};
use form::{Form, decoded, escape, exempt};
use words::{HEADERS, TOOLS};

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    out: String,
    copied: usize,
    /// A name that says that the value beside it is a secret has come.
    pair: bool,
    /// The word before, where only one blank stands between.
    before: Option<(usize, usize)>,
    tool: bool,
    /// The end of the word that the last URL stands in, and its last `@`.
    word: (usize, Option<usize>),
    lines: bool,
    /// Where the line begins.
    line: usize,
    /// Whether the whole text is one word, as keys are.
    single: bool,
}

/// `text` with secrets replaced by `***`; `None` where there are none.
pub fn mask(text: &str) -> Option<String> {
    // Short words without any punctuation are most of what there is.
    if text.len() < 12 && text.is_ascii() && !text.bytes().any(|byte| matches!(byte, b'=' | b':' | b'<' | b' ')) {
        return None;
    }
    let lines = text.contains('\n');
    let bytes = text.as_bytes();
    let mut scan = Scan {
        text,
        bytes,
        out: String::new(),
        copied: 0,
        pair: false,
        before: None,
        tool: false,
        word: (0, None),
        lines,
        line: 0,
        single: !text.contains([' ', '=', '"', '\'']),
    };
    let mut at = 0;
    while at < bytes.len() {
        let end = scan.run_end(at);
        if end > at {
            at = scan.run(at, end).max(end);
            continue;
        }
        at = match bytes[at] {
            b'\n' => scan.line_end(at),
            b'%' if escape(&bytes[at..]) => at + 3,
            b'}' | b')' => {
                scan.pair = false;
                at + 1
            }
            b'>' if scan.pair && at > 0 && !matches!(bytes[at - 1], b'/' | b'-' | b'=') => scan.content(at + 1, true),
            b' ' => at + 1,
            _ => {
                scan.before = None;
                at + scan.text[at..].chars().next().map_or(1, char::len_utf8)
            }
        };
    }
    if scan.copied == 0 {
        return None;
    }
    scan.out.push_str(&text[scan.copied..]);
    (scan.out != text).then_some(scan.out)
}

fn name_char(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '_' | '-' | '.' | '%')
        || invisible(c)
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{963}' | '\u{e31}'..='\u{e4e}')
}

impl<'a> Scan<'a> {
    /// The end of the run of letters, digits, `_`, `-` and `.` that begins at `at`.
    fn run_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let ends = |step: &usize, c: char| !name_char(c) || (c == '%' && escape(&self.bytes[at + step..]));
        rest.char_indices().find(|(step, c)| ends(step, *c)).map_or(self.text.len(), |(step, _)| at + step)
    }

    fn hide(&mut self, start: usize, end: usize) -> usize {
        if start < end && start >= self.copied {
            self.out.push_str(&self.text[self.copied..start]);
            self.out.push_str(MASK);
            self.copied = end;
            if let Some(line) = self.text[start..end].rfind('\n') {
                self.line = start + line + 1;
            }
        }
        self.before = None;
        end
    }

    fn starts(&self, at: usize, with: &str) -> bool {
        self.bytes.get(at..).is_some_and(|rest| rest.starts_with(with.as_bytes()))
    }

    fn blanks(&self, at: usize) -> usize {
        self.bytes[at..]
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t'))
            .map_or(self.bytes.len(), |step| at + step)
    }

    /// Deals with the run from `start` to `end`; where to go on.
    fn run(&mut self, start: usize, end: usize) -> usize {
        let run = &self.text[start..end];
        if let Some(end) = self.shape(start, end) {
            return end;
        }
        let preceding = start.checked_sub(1).map(|at| self.bytes[at]);
        let name = run.trim_matches(|c| matches!(c, '-' | '.' | '%'));
        let before = self.before.replace((start, end));
        if name.is_empty() {
            return end;
        }
        if self.starts(end, "://") {
            return self.url(name, end + 3);
        }
        // `sqlite:x.db`: a file.
        if name == "sqlite" && self.starts(end, ":") {
            let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ')' | ']' | '}');
            let stop = self.text[end..].find(ends).map_or(self.text.len(), |at| end + at);
            if is_file(&self.text[start..stop]) {
                return stop;
            }
        }
        if preceding == Some(b'<') {
            return self.element(name, end);
        }
        if let Some(end) = self.phrase(name, end) {
            return end;
        }
        if TOOLS.contains(&name) {
            self.tool = true;
        }
        let judged = match preceding {
            Some(b'?' | b'&') => query_weight(&decoded(name)),
            _ => self.judge(name, before, start),
        };
        // A quoted name: its quote closes it, with as many backslashes as opened it.
        let quote = preceding.filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
        let slashes = if quote.is_some() { self.slashes(start - 1) } else { 0 };
        let closed = quote.is_some_and(|quote| {
            self.bytes.get(end..end + slashes).is_some_and(|seen| seen.iter().all(|byte| *byte == b'\\'))
                && self.bytes.get(end + slashes) == Some(&quote)
        });
        let mut after = if closed { end + slashes + 1 } else { end };
        // `config['password'] = …`
        if closed
            && self.bytes.get(after) == Some(&b']')
            && start > 1 + slashes
            && self.bytes[start - 2 - slashes] == b'['
        {
            after += 1;
        }
        // `%22password%22`, `&quot;password&quot;`
        let escaped = self.quote_at(end).filter(|quote| self.text[..start].ends_with(*quote));
        if let Some(quote) = escaped {
            after = end + quote.len();
        }
        let closed = closed || escaped.is_some();
        let next = self.blanks(after);
        if closed && judged >= Weight::Weak && self.bytes.get(next) == Some(&b',') {
            let opens = start.checked_sub(2 + slashes).is_some_and(|at| matches!(self.bytes[at], b'(' | b'['));
            let value = self.blanks(next + 1);
            if (opens || run.starts_with("--"))
                && let Some((from, to, after)) = self.quoted(value)
                && (run.starts_with("--") || matches!(self.bytes.get(after), Some(b')' | b']')))
                && !exempt(&self.text[from..to])
            {
                self.hide(from, to);
                return after;
            }
        }
        // `Key (email, token)=(…)`, as PostgreSQL quotes a row.
        if judged >= Weight::Weak && matches!(self.bytes.get(end), Some(b')' | b',')) {
            let near = &self.bytes[end..self.bytes.len().min(end + 128)];
            if let Some(step) = near.windows(3).position(|three| three == b")=(") {
                let from = end + step + 3;
                let to = self.text[from..].find(')').map_or(self.text.len(), |to| from + to);
                if !exempt(&self.text[from..to]) && !harmless(name, judged, &self.text[from..to]) {
                    return self.hide(from, to);
                }
            }
            if let Some(end) = self.inserted(end) {
                return end;
            }
        }
        // `Secret(value='x')`
        if judged == Weight::Strong
            && self.bytes.get(end) == Some(&b'(')
            && name.starts_with(|c: char| c.is_uppercase())
        {
            self.pair = true;
            return end + 1;
        }
        if judged == Weight::Strong && self.starts(next, "|") && start > 1 && self.bytes[start - 2] == b'|' {
            return self.cell(next + 1).unwrap_or(end);
        }
        let lower = name.to_ascii_lowercase();
        let Some((separator, spaced)) = self.separator(next) else {
            return self.without_separator(run, name, judged, after, next).unwrap_or(end);
        };
        let colon = self.bytes[next] == b':' || self.starts(next, "：");
        let value = self.blanks(separator);
        let mut judged = judged;
        if self.pair && PAIR_VALUES.contains(&lower.as_str()) {
            self.pair = false;
            judged = Weight::Strong;
        } else if PAIR_NAMES.contains(&lower.as_str()) {
            self.pair = self.names_secret(value);
        }
        let header = HEADERS.contains(&lower.as_str()) && colon;
        if judged == Weight::None && !header {
            return end;
        }
        // `token:abc` in one piece is a key; `password:abc` hardly ever.
        let bare = colon && self.bytes[next] == b':' && !closed && value == separator && !header;
        if bare && !(lower.contains("passw") || lower.ends_with("pwd")) && self.single {
            return end;
        }
        let first = self.line;
        let yaml = colon
            && spaced
            && self.lines
            && start - first < 64
            && self.text[first..start].trim_matches([' ', '-']).is_empty();
        let form = Form { said: colon && !closed, header, yaml, inside: quote.filter(|_| !closed) };
        self.value(value, name, judged, &form).unwrap_or(end)
    }

    /// A token, a card number, an account number or a key as such.
    fn shape(&mut self, start: usize, end: usize) -> Option<usize> {
        let run = &self.text[start..end];
        if run.starts_with("-----BEGIN") {
            let header = self.text[start + 10..].find("-----").filter(|length| *length < 64)?;
            if !self.text[start + 10..start + 10 + header].contains("PRIVATE") {
                return None;
            }
            let body = start + 15 + header;
            let stop = self.text[body..].find("-----END").map_or(self.text.len(), |at| {
                let tail = body + at + 8;
                self.text[tail..].find("-----").filter(|length| *length < 64).map_or(tail, |length| tail + length + 5)
            });
            return Some(self.hide(start, stop));
        }
        let trimmed = run.trim_end_matches(['.', '-', '%']);
        if shapes::token(trimmed) {
            // What is signed goes on in an alphabet with more letters.
            let more = self.bytes[start + trimmed.len()..]
                .iter()
                .take_while(|byte| matches!(byte, b'/' | b'+' | b'=') || byte.is_ascii_alphanumeric());
            let stop = start + trimmed.len() + if trimmed.len() == run.len() { more.count() } else { 0 };
            return Some(self.hide(start, stop));
        }
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if start > 0 && word(self.bytes[start - 1]) {
            return None;
        }
        let first = self.bytes[start];
        if first.is_ascii_digit()
            && let Some(length) = shapes::card(&self.text[start..])
        {
            return Some(self.hide(start, start + length));
        }
        // A bot's token: its number, a colon, thirty-five letters.
        if run.len() >= 8 && run.bytes().all(|byte| byte.is_ascii_digit()) && self.bytes.get(end) == Some(&b':') {
            let stop = self.run_end(end + 1);
            if stop - end > 32 {
                return Some(self.hide(start, stop));
            }
        }
        if first.is_ascii_uppercase()
            && let Some(length) = shapes::iban(&self.text[start..])
        {
            return Some(self.hide(start, start + length));
        }
        None
    }

    /// A name with the word before it: `api key`, `fencing token`.
    fn judge(&self, name: &str, before: Option<(usize, usize)>, start: usize) -> Weight {
        let name = decoded(name);
        match before {
            Some((from, to))
                if to + 1 == start && self.bytes[to] == b' ' && to - from < 32 && !name.contains(['-', '.']) =>
            {
                let joined = weight(&format!("{}_{name}", &self.text[from..to]));
                if weight(&name) >= Weight::Weak && joined >= Weight::Weak { weight(&name) } else { joined }
            }
            _ => weight(&name),
        }
    }

    /// What stands between a name and its value: the index behind it, and whether a blank follows.
    fn separator(&self, at: usize) -> Option<(usize, bool)> {
        for long in ["：", "＝", "→", "⇒", "%3D", "%3d", "%3A", "%3a", "&#61;", "&#58;"] {
            if self.starts(at, long) {
                return Some((at + long.len(), matches!(self.bytes.get(at + long.len()), Some(b' ' | b'\t'))));
            }
        }
        let next = self.bytes.get(at + 1);
        let length = match (self.bytes.get(at)?, next) {
            (b'=', Some(b'=' | b'~')) | (b':', Some(b':')) => return None,
            (b'=', Some(b'>')) | (b':', Some(b'=')) => 2,
            (b'=' | b':', _) => 1,
            _ => return None,
        };
        Some((at + length, matches!(self.bytes.get(at + length), Some(b' ' | b'\t'))))
    }

    /// The quote, written as an escape, that stands at `at`.
    fn quote_at(&self, at: usize) -> Option<&'static str> {
        ["%22", "%27", "&quot;", "&#34;", "&#39;", "&apos;", "\\u0022", "\\x22"]
            .into_iter()
            .find(|quote| self.starts(at, quote))
    }

    /// How many backslashes stand before `at`.
    fn slashes(&self, at: usize) -> usize {
        self.bytes[..at].iter().rev().take(64).take_while(|byte| **byte == b'\\').count()
    }

    /// Whether the value at `at` is the name of a secret.
    fn names_secret(&self, at: usize) -> bool {
        let from = at + self.bytes[at..].iter().take(8).take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\')).count();
        let to = self.run_end(from);
        to > from && to - from < 64 && weight(self.text[from..to].trim_matches('-')) >= Weight::Weak
    }

    /// A line's end; behind an empty one stands what a form's part is named for.
    fn line_end(&mut self, at: usize) -> usize {
        self.tool = false;
        self.before = None;
        self.line = at + 1;
        let form = self.pair && at > 1 && self.text[..at].trim_end_matches('\r').ends_with('"');
        if form {
            let body = at + self.bytes[at..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if self.text[at..body].matches('\n').count() >= 2 {
                self.pair = false;
                let end = self.text[body..].find(['\r', '\n']).map_or(self.text.len(), |end| body + end);
                return self.hide(body, end).max(body);
            }
        }
        at + 1
    }
}
