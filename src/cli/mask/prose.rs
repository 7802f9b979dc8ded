//! Hides secrets in text that is no JSON document: sentences, `k=v`, `k: v`, forms, URLs, headers, XML, Python reprs, command
//! lines, and pieces of all these in one another. One pass from left to right; what is hidden is not looked at again.

use super::json::{PAIR_NAMES, PAIR_VALUES, value_end};
use super::names::{Weight, query_weight, weight};
use super::{MASK, shapes};

/// Words that stand behind `password:` in sentences.
const SAID: &[&str] = &[
    "a",
    "an",
    "the",
    "is",
    "was",
    "are",
    "has",
    "had",
    "must",
    "not",
    "no",
    "none",
    "null",
    "nil",
    "required",
    "invalid",
    "expired",
    "missing",
    "wrong",
    "incorrect",
    "empty",
    "unknown",
    "ok",
    "okay",
    "bad",
    "failed",
    "failure",
    "denied",
    "too",
    "cannot",
    "can",
    "does",
    "did",
    "should",
    "may",
    "for",
    "in",
    "of",
    "at",
    "on",
    "to",
    "and",
    "or",
    "str",
    "string",
    "int",
    "bytes",
    "optional",
    "true",
    "false",
    "undefined",
    "unset",
    "set",
    "valid",
    "verified",
    "revoked",
    "rejected",
    "accepted",
    "closed",
    "open",
    "opened",
    "declined",
    "field",
    "value",
    "error",
    "unauthorized",
    "forbidden",
    "mismatch",
    "never",
    "only",
    "your",
    "this",
    "that",
    "it",
    "needs",
    "please",
    "enter",
    "use",
    "got",
    "expected",
    "unexpected",
    "ended",
    "started",
    "changed",
    "not_found",
    "from",
    "with",
];
/// Headers whose whole line is the secret.
const HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"];
/// What `Authorization` values begin with.
const SCHEMES: &[&str] = &["bearer", "basic", "token", "apikey", "digest", "negotiate"];
/// Programs that take a password by a letter.
const TOOLS: &[&str] = &[
    "mysql",
    "mysqldump",
    "mariadb",
    "docker",
    "podman",
    "redis-cli",
    "sshpass",
    "curl",
    "wget",
    "htpasswd",
    "mongo",
    "mongosh",
    "smbclient",
    "ldapsearch",
];

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
    if text.len() < 12 && !text.bytes().any(|byte| matches!(byte, b'=' | b':' | b'<' | b' ')) {
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
            b'}' => {
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
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{963}' | '\u{e31}'..='\u{e4e}')
}

impl<'a> Scan<'a> {
    /// The end of the run of letters, digits, `_`, `-` and `.` that begins at `at`.
    fn run_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        rest.char_indices().find(|(_, c)| !name_char(*c)).map_or(self.text.len(), |(step, _)| at + step)
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
        if preceding == Some(b'<') {
            return self.element(name, end);
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
        let after = if closed { end + slashes + 1 } else { end };
        let next = self.blanks(after);
        if closed && judged > Weight::None && self.bytes.get(next) == Some(&b',') {
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
        if judged > Weight::None && matches!(self.bytes.get(end), Some(b')' | b',')) {
            let near = &self.bytes[end..self.bytes.len().min(end + 128)];
            if let Some(step) = near.windows(3).position(|three| three == b")=(") {
                let from = end + step + 3;
                let to = self.text[from..].find(')').map_or(self.text.len(), |to| from + to);
                if !exempt(&self.text[from..to]) {
                    return self.hide(from, to);
                }
            }
        }
        let lower = name.to_ascii_lowercase();
        let Some((separator, spaced)) = self.separator(next) else {
            return self.without_separator(run, name, judged, after, next).unwrap_or(end);
        };
        let colon = self.bytes[next] == b':';
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
        let bare = colon && !closed && value == separator && !header;
        if bare && !(lower.contains("passw") || lower.ends_with("pwd")) && self.single {
            return end;
        }
        let first = self.line;
        let yaml = colon
            && spaced
            && self.lines
            && start - first < 64
            && self.text[first..start].trim_matches([' ', '-']).is_empty();
        self.value(value, judged, colon && !closed, header, yaml, quote.filter(|_| !closed)).unwrap_or(end)
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
                if weight(&name) > Weight::None && joined > Weight::None { weight(&name) } else { joined }
            }
            _ => weight(&name),
        }
    }

    /// What stands between a name and its value: the index behind it, and whether a blank follows.
    fn separator(&self, at: usize) -> Option<(usize, bool)> {
        let next = self.bytes.get(at + 1);
        let length = match (self.bytes.get(at)?, next) {
            (b'=', Some(b'=' | b'~')) | (b':', Some(b':')) => return None,
            (b'=', Some(b'>')) | (b':', Some(b'=')) => 2,
            (b'=' | b':', _) => 1,
            _ => return None,
        };
        Some((at + length, matches!(self.bytes.get(at + length), Some(b' ' | b'\t'))))
    }

    /// `--password x`, `-p x` of known programs, `Bearer x`, `password is x`.
    fn without_separator(&mut self, run: &str, name: &str, judged: Weight, after: usize, next: usize) -> Option<usize> {
        // `mysql -phunter2`; ports are digits.
        if let Some(glued) = run.strip_prefix("-p").filter(|_| self.tool)
            && glued.len() > 1
            && !glued.starts_with(['a', 'o', 'r', '-'])
            && !glued.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Some(self.hide(after - glued.len(), after));
        }
        if next == after || next >= self.bytes.len() {
            return None;
        }
        let stop = self.text[next..]
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ')' | ']' | '}'))
            .map_or(self.text.len(), |at| next + at);
        if run.starts_with("--") && judged > Weight::None {
            if let Some((from, to, after)) = self.quoted(next) {
                self.hide(from, to);
                return Some(after);
            }
            let value = &self.text[next..stop];
            // A fencing token is a number; of a URL its own rules hide what must not be seen.
            let counted = name == "token" && value.bytes().all(|byte| byte.is_ascii_digit());
            let shown = counted || value.starts_with('-') || value.contains("://") || exempt(value);
            return (!shown).then(|| self.hide(next, stop));
        }
        if self.tool
            && matches!(run, "-p" | "-a" | "-P" | "-w" | "-u" | "--user")
            && !self.text[next..stop].starts_with('-')
        {
            if !run.ends_with('u') && !run.ends_with("user") {
                return (!exempt(&self.text[next..stop])).then(|| self.hide(next, stop));
            }
            let colon = self.text[next..stop].find(':')?;
            return Some(self.hide(next + colon + 1, stop));
        }
        let value = &self.text[next..stop];
        let lower = name.to_ascii_lowercase();
        let mixed = |value: &str| value.bytes().any(|byte| byte.is_ascii_digit()) || value.ends_with('=');
        if SCHEMES.contains(&lower.as_str()) && value.len() >= 12 && mixed(value) && !value.contains(':') {
            return Some(self.hide(next, stop));
        }
        // `password hunter2` in a .netrc, `AUTH hunter2` to Redis.
        let both = |value: &str| {
            value.bytes().any(|byte| byte.is_ascii_digit()) && value.bytes().any(|byte| byte.is_ascii_alphabetic())
        };
        if (judged == Weight::Strong
            && value.len() >= 6
            && both(value)
            && !value.contains(['(', '/', ':', '.', '_', '-']))
            || (run == "AUTH" && both(value))
        {
            return (!exempt(value)).then(|| self.hide(next, stop));
        }
        // `the password is hunter2`
        if judged == Weight::Strong && self.starts(next, "is ") {
            let from = self.blanks(next + 3);
            let to = self.text[from..].find(char::is_whitespace).map_or(self.text.len(), |at| from + at);
            let word = self.text[from..to].trim_end_matches(['.', ',', ';']);
            if word.len() >= 4 && mixed(word) && word.bytes().any(|byte| byte.is_ascii_alphabetic()) && !exempt(word) {
                return Some(self.hide(from, from + word.len()));
            }
        }
        None
    }

    /// How many backslashes stand before `at`.
    fn slashes(&self, at: usize) -> usize {
        self.bytes[..at].iter().rev().take(64).take_while(|byte| **byte == b'\\').count()
    }

    /// A quoted text at `at`: its content, and the index behind its closing quote.
    fn quoted(&self, at: usize) -> Option<(usize, usize, usize)> {
        let mut open = at;
        if matches!(self.bytes.get(open), Some(b'b' | b'u' | b'r' | b'f' | b'B'))
            && matches!(self.bytes.get(open + 1), Some(b'"' | b'\''))
        {
            open += 1;
        }
        let slashes = self.bytes.get(open..)?.iter().take(64).take_while(|byte| **byte == b'\\').count();
        open += slashes;
        let quote = *self.bytes.get(open).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
        let mut end = open + 1;
        while end < self.bytes.len() {
            if self.bytes[end] == quote && self.slashes(end) == slashes {
                return Some((open + 1, end - slashes, end + 1));
            }
            end += if self.bytes[end] == b'\\' && slashes == 0 { 2 } else { 1 };
        }
        Some((open + 1, self.bytes.len(), self.bytes.len()))
    }

    /// Whether the value at `at` is the name of a secret.
    fn names_secret(&self, at: usize) -> bool {
        let from = at + self.bytes[at..].iter().take(8).take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\')).count();
        let to = self.run_end(from);
        to > from && to - from < 64 && weight(self.text[from..to].trim_matches('-')) > Weight::None
    }

    /// Hides the value at `at`; where to go on, or `None` where nothing is to be hidden.
    fn value(
        &mut self,
        at: usize,
        judged: Weight,
        said: bool,
        header: bool,
        yaml: bool,
        inside: Option<u8>,
    ) -> Option<usize> {
        if let Some((from, to, after)) = self.quoted(at) {
            if exempt(&self.text[from..to]) {
                return None;
            }
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
            let telling =
                peek.iter().take_while(|byte| !byte.is_ascii_whitespace()).any(|byte| !byte.is_ascii_lowercase());
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
        if exempt(content) || (!header && content.contains("://")) {
            return None;
        }
        Some(self.hide(at, end))
    }

    /// The end of an unquoted value.
    fn bare_end(&self, at: usize, inside: Option<u8>) -> usize {
        for (step, c) in self.text[at..].char_indices() {
            let end = at + step;
            let stops = match c {
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

    /// Behind `scheme://`: user and password, and addresses that are secrets themselves.
    fn url(&mut self, scheme: &str, at: usize) -> usize {
        if at >= self.word.0 {
            let end = self.text[at..]
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'))
                .map_or(self.text.len(), |end| at + end);
            self.word = (end, self.text[at..end].rfind('@').map(|last| at + last));
        }
        let word = self.word.0;
        let authority = self.text[at..word].find(['/', '?', '#']).map_or(word, |end| at + end);
        let part = &self.text[at..authority];
        let colon = part.find(':').map(|colon| at + colon);
        if let Some(last) = part.rfind('@').map(|last| at + last) {
            if let Some(colon) = colon.filter(|colon| *colon < last) {
                return if colon + 1 < last { self.hide(colon + 1, last) } else { last };
            }
            let user = &self.text[at..last];
            let alone =
                ["redis", "rediss", "valkey", "valkeys", "unix"].contains(&scheme.to_ascii_lowercase().as_str());
            if (alone || user.len() >= 16 || shapes::token(user)) && !user.is_empty() {
                return self.hide(at, last);
            }
            return last;
        }
        // A password with a slash that should have been escaped.
        if let (Some(colon), Some(last)) = (colon, self.word.1.filter(|last| *last >= authority))
            && !part.starts_with('[')
            && !self.text[colon + 1..authority].bytes().all(|byte| byte.is_ascii_digit())
        {
            return self.hide(colon + 1, last);
        }
        for (host, path) in [
            ("hooks.slack.com", "/services/"),
            ("discord.com", "/api/webhooks/"),
            ("discordapp.com", "/api/webhooks/"),
            ("api.telegram.org", "/bot"),
        ] {
            if part == host && self.starts(authority, path) && authority + path.len() < word {
                return self.hide(authority + path.len(), word);
            }
        }
        at
    }

    /// Behind `<name`: the content of a secret's element.
    fn element(&mut self, name: &str, end: usize) -> usize {
        let pair = self.pair && PAIR_VALUES.contains(&name.to_ascii_lowercase().as_str());
        let judged = weight(name);
        let close = match self.bytes.get(end) {
            Some(b'>') => end,
            // Attributes: looked at as they come; the content only where the name says so.
            Some(b' ') if judged > Weight::None => {
                match self.bytes[end..].iter().take(256).position(|byte| *byte == b'>') {
                    Some(step) if self.bytes[end + step - 1] != b'/' => end + step,
                    _ => return end,
                }
            }
            // A namespace before the name.
            Some(b':') => {
                let stop = self.run_end(end + 1);
                return if stop > end + 1 { self.element(&self.text[end + 1..stop], stop) } else { end };
            }
            _ => return end,
        };
        if PAIR_NAMES.contains(&name.to_ascii_lowercase().as_str()) && judged == Weight::None {
            self.pair = self.names_secret(close + 1);
            return close + 1;
        }
        if judged == Weight::None && !pair {
            return end;
        }
        self.pair = false;
        self.content(close + 1, false)
    }

    /// The text of an element, up to the next tag.
    fn content(&mut self, at: usize, pair: bool) -> usize {
        if self.starts(at, "<![CDATA[") {
            let end = self.text[at..].find("]]>").map_or(self.text.len(), |end| at + end);
            return self.hide((at + 9).min(end), end);
        }
        let end = self.text[at..].find('<').map_or(self.text.len(), |end| at + end);
        let content = &self.text[at..end];
        if content.trim().is_empty() || exempt(content.trim()) {
            return at;
        }
        if pair {
            self.pair = false;
        }
        self.hide(at, end)
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

/// `%XX` in a name.
fn decoded(name: &str) -> std::borrow::Cow<'_, str> {
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
fn exempt(value: &str) -> bool {
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
        || ["[redacted", "<redacted", "[filtered", "<hidden", "[masked", "<masked", "secretstr(", "<class", "%(", "{{"]
            .iter()
            .any(|known| lower.starts_with(known))
        || (value.starts_with('<') && value.ends_with('>'))
        || (value.starts_with("${") && value.ends_with('}'))
        || (value.starts_with('$')
            && value.len() > 1
            && value[1..].bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        || (value.starts_with('{') && value.ends_with('}') && !value.contains([':', ' ', '"']))
}
