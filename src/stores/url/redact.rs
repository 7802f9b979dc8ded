//! Masking the password in a connection string that has to be shown, however broken the string is.

use crate::conninfo::canonical;
use sen_model::secret;

const MASK: &str = "***";

/// Whether a password stands in a connection string.
pub fn holds_password(text: &str) -> bool {
    redact(text) != text
}

/// Keeps the passwords in `text`, a URL that may be as broken as it pleases, from every output: what stands between the
/// first colon and any `@` after it, and what follows `password=`.
pub fn remember(text: &str) {
    if let Some((scheme, rest)) = text.split_once("://") {
        let plain = ["redis", "valkey", "unix"].iter().any(|name| scheme.to_ascii_lowercase().starts_with(name));
        let end = rest.find(['/', '?', '#']).map_or(rest.len(), |end| end);
        for end in [rest.rfind('@'), rest[..end].rfind('@')].into_iter().flatten() {
            let who = &rest[..end];
            match who.split_once(':') {
                Some((_, password)) => keep(password),
                None if plain => keep(who),
                None => {}
            }
        }
    }
    for (at, _) in text.match_indices('=') {
        let start = text[..at].rfind(['&', '?', ' ']).map_or(0, |start| start + 1);
        if decode(text[start..at].trim()).to_ascii_lowercase().ends_with("password") {
            let rest = text[at + 1..].trim_start();
            keep(rest.split(['&', ' ']).next().unwrap_or_default().trim_matches('\''));
            // A bare & may be part of it.
            keep(rest);
        }
    }
}

fn keep(raw: &str) {
    secret::remember(raw);
    if let Ok(decoded) = crate::conninfo::percent_decode(raw, "password") {
        secret::remember(&decoded);
    }
}

/// `text` with every password masked: before the last `@` of a URL, and after anything that looks like `password=`.
///
/// Meant for texts that nobody could parse, so it masks too much rather than too little.
pub fn redact(text: &str) -> String {
    mask_named(&mask_user_part(text))
}

/// In `scheme://user:password@host` everything from the first colon to the *last* `@`: a password may hold an `@` that
/// should have been escaped.
fn mask_user_part(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let rest = &text[start..];
    // redis://password@host lacks the colon that would make it a password.
    let scheme = text[..start].to_ascii_lowercase();
    if ["redis", "valkey", "unix"].iter().any(|name| scheme.starts_with(name))
        && let Some(at) = rest.rfind('@')
        && !rest[..at].contains(':')
    {
        return format!("{}{MASK}{}", &text[..start], &rest[at..]);
    }
    let Some(colon) = rest.find(':') else { return text.to_owned() };
    if let Some(at) = rest.rfind('@').filter(|at| *at > colon) {
        return format!("{}:{MASK}{}", &text[..start + colon], &rest[at..]);
    }
    // `user:password` whose host got lost looks like `host:port`; a port is digits.
    let end = rest[colon + 1..].find(['/', '?', ',']).map_or(rest.len(), |end| colon + 1 + end);
    let port = &rest[colon + 1..end];
    if start == 0 || rest.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    format!("{}:{MASK}{}", &text[..start + colon], &rest[end..])
}

/// The value after each `…password =`, up to the next known parameter: an unquoted password may hold blanks, `&` and `=`.
fn mask_named(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut masking = false;
    let mut done = 0;
    for (at, _) in text.match_indices('=') {
        let name_end = text[..at].trim_end().len();
        let name_start = text[..name_end]
            .rfind(|c: char| c == '&' || c == '?' || c == '=' || c.is_whitespace())
            .map_or(0, |p| p + text[p..].chars().next().map_or(1, char::len_utf8));
        if name_start < done {
            continue;
        }
        let name = decode(&text[name_start..name_end]).to_ascii_lowercase();
        let secret = ["password", "passwd", "pwd", "secret", "token"].iter().any(|word| name.ends_with(word));
        // `db` is what Redis calls it.
        if masking && canonical(&name).is_none() && name != "db" {
            continue;
        }
        if masking {
            // The delimiter before the name stays readable.
            let before = text[..name_start].chars().next_back().map_or(0, char::len_utf8);
            out.push_str(&text[(name_start - before).max(done)..=at]);
        } else {
            out.push_str(&text[done..=at]);
        }
        done = at + 1;
        masking = secret;
        if masking {
            out.push_str(MASK);
        }
    }
    if !masking {
        out.push_str(&text[done..]);
    }
    out
}

/// `%XX` decoded where it can be: `passw%6frd=` counts as well.
fn decode(text: &str) -> String {
    crate::conninfo::percent_decode(text, "name").unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_shapes() {
        let cases = [
            ("postgresql://u:hunter2@h/d", "postgresql://u:***@h/d"),
            ("postgresql://u:p@ss:w/rd@h:1/d?x=1", "postgresql://u:***@h:1/d?x=1"),
            ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
            (
                "postgresql://h:5432/d?password=hunter2&sslmode=require",
                "postgresql://h:5432/d?password=***&sslmode=require",
            ),
            ("postgresql://h/d?passw%6frd=a&b=c", "postgresql://h/d?passw%6frd=***"),
            ("postgresql://u:hunter2", "postgresql://u:***"),
            ("host=h password = 'a b' user=u", "host=h password =*** user=u"),
            ("host=h password=a b=c", "host=h password=***"),
            ("PASSWORD=x", "PASSWORD=***"),
            ("redis://:hunter2@h/0", "redis://:***@h/0"),
            ("rediss://hunter2@h:6379/0", "rediss://***@h:6379/0"),
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis+unix://u:hunter2@/run/r.sock?db=1", "redis+unix://u:***@/run/r.sock?db=1"),
            ("redis+unix:///run/r.sock?password=hunter2&db=1", "redis+unix:///run/r.sock?password=***&db=1"),
            ("u:hunter2@h", "u:***@h"),
            ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
            ("sqlite:a.db", "sqlite:a.db"),
        ];
        for (text, shown) in cases {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn passwords_of_broken_urls_are_known() {
        for (text, password) in [
            ("postgresql://u:known-1@h/d", "known-1"),
            ("mysql://u:known%202@h/d", "known 2"),
            ("postgresql://u:kno/wn-3@h/d", "kno/wn-3"),
            ("postgresql://u:known-4@h/d?x=a@b", "known-4"),
            ("redis://known-5@h", "known-5"),
            ("redis://h?password=known-6&X=1", "known-6"),
            ("host=h password='known-7' x=y", "known-7"),
        ] {
            remember(text);
            assert!(secret::known().contains(&password.to_owned()), "{text}");
        }
        assert!(holds_password("postgresql://u:x@h") && !holds_password("postgresql://u@h:5432/d?x=y"));
    }

    proptest! {
        #[test]
        fn no_password_is_left(before in "(?s).{0,8}", after in "(?s).{0,8}", tail in "[a-z:/?=&% ]{0,10}") {
            let secret = "S3KR1T";
            for text in [
                format!("postgresql://u:{before}{secret}{after}@h:5432/d{tail}"),
                format!("postgresql://h/d?{tail}&password={secret}{after}"),
                format!("redis://:{before}{secret}{after}@h:6379/0{tail}"),
                format!("redis://{secret}@h:6379/0{tail}"),
                format!("host=h password='{secret}{after}' {tail}"),
                format!("password={secret} {after}"),
            ] {
                prop_assert!(!redact(&text).contains(secret), "{}", redact(&text));
            }
        }
    }
}
