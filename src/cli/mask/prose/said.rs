//! Secrets that stand behind their names without `=` or `:`.

use super::super::names::{Weight, harmless};
use super::Scan;
use super::form::{Form, exempt};
use super::words::{PROVIDED, SCHEMES};

impl Scan<'_> {
    /// `--password x`, `-p x` of known programs, `Bearer x`, `password is x`.
    pub(super) fn without_separator(
        &mut self,
        run: &str,
        name: &str,
        judged: Weight,
        after: usize,
        next: usize,
    ) -> Option<usize> {
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
        if run.starts_with("--") && judged >= Weight::Weak {
            if let Some((from, to, after)) = self.quoted(next) {
                if harmless(name, judged, &self.text[from..to]) {
                    return None;
                }
                self.hide(from, to);
                return Some(after);
            }
            let value = &self.text[next..stop];
            // A fencing token is a number; of a URL its own rules hide what must not be seen.
            let counted = name == "token" && value.bytes().all(|byte| byte.is_ascii_digit());
            let shown = counted || value.starts_with('-') || value.contains("://") || exempt(value);
            let shown = shown || harmless(name, judged, value);
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
        if judged == Weight::Strong {
            let plain = ["passw", "passphrase", "pwd", "pin"].iter().any(|word| lower.contains(word));
            // `PASSWORD 'x'` in SQL, `wrong password 'x'`, `invalid api key 'x1'`
            if let Some((from, to, after)) = self.quoted_within(next, 4096) {
                let content = &self.text[from..to];
                let whole = plain && (name == name.to_ascii_uppercase() || content.len() >= 3);
                if !exempt(content)
                    && (whole || (content.len() >= 6 && both(content) && !content.contains(['/', '.', '-', ' '])))
                {
                    self.hide(from, to);
                    return Some(after);
                }
            }
            // `PIN 4821`
            let digits = (4..=8).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
            if digits && (name == "PIN" || ["otp", "cvv", "cvc", "ssn"].contains(&lower.as_str())) {
                return Some(self.hide(next, stop));
            }
            // `Incorrect API key provided: x`
            let said = self.run_end(next);
            if PROVIDED.contains(&&self.text[next..said])
                && self.bytes.get(said) == Some(&b':')
                && self.text[self.blanks(said + 1)..].split_whitespace().next().is_some_and(both)
            {
                let form = Form { said: true, header: false, yaml: false, inside: None };
                return self.value(self.blanks(said + 1), name, judged, &form);
            }
        }
        // `password for bob is hunter2`
        let mut next = next;
        if judged == Weight::Strong && self.starts(next, "for ") {
            let whom = self.run_end(self.blanks(next + 4));
            next = self.blanks(whom);
        }
        let code = lower == "code"
            && self.bytes[..after].last_chunk::<9>().is_some_and(|said| said.eq_ignore_ascii_case(b"your code"));
        let digits = |word: &str| {
            (code || ["pin", "otp", "password", "passcode", "cvv"].contains(&lower.as_str()))
                && (4..=8).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_digit())
        };
        // `the password is hunter2`
        if (judged == Weight::Strong || code) && self.starts(next, "is ") {
            let from = self.blanks(next + 3);
            let to = self.text[from..].find(char::is_whitespace).map_or(self.text.len(), |at| from + at);
            let word = self.text[from..to].trim_end_matches(['.', ',', ';']);
            let mixed = judged == Weight::Strong
                && word.len() >= 4
                && mixed(word)
                && word.bytes().any(|byte| byte.is_ascii_alphabetic());
            if (mixed || digits(word)) && !exempt(word) {
                return Some(self.hide(from, from + word.len()));
            }
        }
        None
    }

    /// Phrases that say what follows: `IDENTIFIED BY 'x'`, a PuTTY key, the user and password of an Oracle address.
    pub(super) fn phrase(&mut self, name: &str, end: usize) -> Option<usize> {
        if name.eq_ignore_ascii_case("by") {
            let near = (0..=end.saturating_sub(80)).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
            let said = self.text[near..end].to_ascii_lowercase().contains("identified ");
            let (from, to, after) = said.then(|| self.quoted_within(self.blanks(end), 4096))??;
            if !exempt(&self.text[from..to]) {
                self.hide(from, to);
                return Some(after);
            }
        }
        if name == "Private-Lines" {
            let from = end + self.bytes[end..].iter().take(32).position(|byte| *byte == b'\n')? + 1;
            let to = self.text[from..].find("\nPrivate-MAC").map_or(self.text.len(), |to| from + to);
            return Some(self.hide(from, to));
        }
        if matches!(name, "thin" | "oci") && self.bytes.get(end) == Some(&b':') {
            let near = &self.bytes[end..self.bytes.len().min(end + 256)];
            let near = near.split(|byte| byte.is_ascii_whitespace() || *byte == b'"').next()?;
            let find = |sign: u8| near.iter().position(|byte| *byte == sign);
            let (slash, at) = (find(b'/')?, find(b'@')?);
            return (slash + 1 < at).then(|| self.hide(end + slash + 1, end + at));
        }
        None
    }

    /// The rows of `INSERT INTO t (name, password) VALUES (…), (…)`, seen from behind one of the names.
    pub(super) fn inserted(&mut self, end: usize) -> Option<usize> {
        let near = &self.bytes[end..self.bytes.len().min(end + 256)];
        let close = near.iter().position(|byte| *byte == b')')?;
        let words = near[close + 1..].trim_ascii_start();
        if !words.get(..6)?.eq_ignore_ascii_case(b"values") {
            return None;
        }
        let from = end + near.iter().skip(close).position(|byte| *byte == b'(')? + close;
        let (mut at, mut quoted, mut told) = (from, false, false);
        // Up to a bracket that closes a row and is followed by none.
        while let Some(byte) = self.bytes.get(at) {
            match byte {
                b'\'' => (quoted, told) = (!quoted, true),
                b')' if !quoted && !self.bytes[at + 1..].trim_ascii_start().starts_with(b",") => break,
                _ if !told && at - from > 512 => return None,
                _ => {}
            }
            at += 1;
        }
        told.then(|| self.hide(from + 1, at))
    }

    /// The cell of a table that is drawn with bars.
    pub(super) fn cell(&mut self, at: usize) -> Option<usize> {
        let from = self.blanks(at);
        let to = from + self.text[from..].find(['|', '\n'])?;
        let content = self.text[from..to].trim_end();
        let telling = content.bytes().any(|byte| !byte.is_ascii_lowercase() && !matches!(byte, b'_' | b' ' | b'-'));
        (telling && !exempt(content)).then(|| self.hide(from, from + content.len()))
    }
}
