//! URLs and XML.

use super::super::json::{PAIR_NAMES, PAIR_VALUES};
use super::super::names::{Weight, weight};
use super::super::shapes;
use super::Scan;
use super::form::exempt;

impl Scan<'_> {
    /// Behind `scheme://`: user and password, and addresses that are secrets themselves.
    pub(super) fn url(&mut self, scheme: &str, at: usize) -> usize {
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
                // What an example says.
                if &self.text[colon + 1..last] == "password"
                    && (self.starts(last, "@host") || self.starts(last, "@]host"))
                {
                    return last;
                }
                return if colon + 1 < last { self.hide(colon + 1, last) } else { last };
            }
            let user = &self.text[at..last];
            let alone = ["redis", "rediss", "valkey", "valkeys", "unix", "nats", "tls"]
                .contains(&scheme.to_ascii_lowercase().as_str());
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
            ("hooks.slack.com", "/workflows/"),
            ("hooks.zapier.com", "/hooks/catch/"),
            ("outlook.office.com", "/webhook/"),
            ("webhook.office.com", "/webhookb2/"),
        ] {
            if part.ends_with(host) && self.starts(authority, path) && authority + path.len() < word {
                return self.hide(authority + path.len(), word);
            }
        }
        at
    }

    /// Behind `<name`: the content of a secret's element.
    pub(super) fn element(&mut self, name: &str, end: usize) -> usize {
        let pair = self.pair && PAIR_VALUES.contains(&name.to_ascii_lowercase().as_str());
        let judged = weight(name);
        if name.eq_ignore_ascii_case("input")
            && let Some(end) = self.input(end)
        {
            return end;
        }
        let close = match self.bytes.get(end) {
            Some(b'>') => end,
            // Attributes: looked at as they come; the content only where the name says so.
            Some(b' ') if judged >= Weight::Weak => {
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

    /// `<input type="password" value="x">`: the end of the value.
    fn input(&mut self, at: usize) -> Option<usize> {
        let near = self.bytes[at..].iter().take(512).position(|byte| *byte == b'>')?;
        let tag = self.text[at..at + near].to_ascii_lowercase();
        let kind = tag.split("type=").nth(1)?.trim_start_matches(['"', '\'']);
        let value = at + tag.find("value=").filter(|_| kind.starts_with("password"))? + 6;
        let (from, to, after) = self.quoted(value).unwrap_or((value, at + near, at + near));
        (!exempt(&self.text[from..to])).then(|| self.hide(from, to)).map(|_| after)
    }

    /// The text of an element, up to the next tag.
    pub(super) fn content(&mut self, at: usize, pair: bool) -> usize {
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
}
