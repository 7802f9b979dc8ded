//! Connection strings of the `host=… dbname=…` kind, with libpq's quoting. No defaults, no files, no meaning.

use super::parameters::{Values, canonical};
use sen_model::error::{Error, Result};

/// Reads `name = value` pairs; values with blanks stand in single quotes, `\` escapes the next character.
///
/// # Errors
/// `Usage`. A word that is no known parameter is named only where it cannot be the rest of an unquoted password.
pub(super) fn parse(text: &str) -> Result<Values> {
    let mut values = Values::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = rest[end..].trim_start();
        let secret_near = values.contains_key("password") || values.contains_key("sslpassword");
        let Some(after) = rest.strip_prefix('=') else {
            return Err(match canonical(name) {
                Some(name) => Error::usage(format!("{name} lacks its = in the connection string")),
                None => Error::usage("a word of the connection string is not name=value"),
            }
            .with_hint("put a value that holds blanks in single quotes"));
        };
        let Some(known) = canonical(name) else {
            let named = if secret_near { String::new() } else { format!(" {name:?}") };
            return Err(Error::usage(format!("unknown parameter{named} in the connection string"))
                .with_hint("only libpq's parameters are known; put a value that holds blanks in single quotes"));
        };
        let (value, after) = value(after.trim_start())
            .ok_or_else(|| Error::usage(format!("the quoted value of {known} lacks its closing quote")))?;
        values.insert(known, value);
        rest = after.trim_start();
    }
    Ok(values)
}

/// One value and what follows it; `None` when its quote is not closed.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut out = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Some((out, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Some((out, &text[at..])),
            c => out.push(c),
        }
    }
    (!quoted).then_some((out, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        let values = parse(r"host = 'my host' port=5432 password='it\'s \\ me' user=a\ b dbname=''").unwrap();
        assert_eq!(values["host"], "my host");
        assert_eq!(values["password"], r"it's \ me");
        assert_eq!(values["user"], "a b");
        assert_eq!(values["dbname"], "");
        assert_eq!(values["port"], "5432");
        assert!(parse("  ").unwrap().is_empty());
    }

    #[test]
    fn mistakes() {
        assert!(parse("host=a sslmodes=x").unwrap_err().to_string().contains("sslmodes"));
        assert!(parse("host").unwrap_err().to_string().contains("host"));
        assert!(parse("host='a").unwrap_err().to_string().contains("host"));
        let error = parse("password=two hunter2=x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let error = parse("password=two hunter2").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
