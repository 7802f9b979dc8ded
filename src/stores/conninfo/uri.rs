//! Connection URIs as libpq reads them, into plain parameters. No defaults, no files, no meaning.

use super::parameters::{SECRET, Values, canonical};
use sen_model::error::{Error, Result};
use sen_model::secret::remember;

/// Decodes `%XX`.
///
/// # Errors
/// `Usage` for a broken escape, an encoded NUL, or bytes that are not UTF-8. The text is never quoted.
pub(crate) fn percent_decode(text: &str, what: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        match digit().zip(digit()) {
            Some((0, 0)) => return Err(Error::usage(format!("%00 is not allowed in the {what}"))),
            Some((high, low)) => out.push((high * 16 + low) as u8),
            None => {
                return Err(Error::usage(format!("a % in the {what} is not followed by two hexadecimal digits"))
                    .with_hint("write % itself as %25"));
            }
        }
    }
    String::from_utf8(out).map_err(|_| Error::usage(format!("the {what} is not UTF-8 once decoded")))
}

/// Reads `[user[:password]@][host[:port],…][/dbname][?name=value&…]`, the part after `postgresql://`.
///
/// # Errors
/// `Usage`; what is said never holds a password, nor a text that could be part of one.
///
/// `driver`: the URL is SQLAlchemy's, whose drivers know more parameters.
pub(super) fn parse(rest: &str, driver: bool) -> Result<Values> {
    let mut values = Values::new();
    let mut rest = rest;
    // As in libpq: an `@` before the first `/` ends the user part, so `?` and `#` are free in passwords.
    if let Some(end) = rest.find(['@', '/']).filter(|at| rest.as_bytes()[*at] == b'@') {
        let (who, after) = (&rest[..end], &rest[end + 1..]);
        let (user, password) = who.split_once(':').map_or((who, None), |(user, password)| (user, Some(password)));
        put(&mut values, "user", percent_decode(user, "user name")?);
        if let Some(password) = password {
            remember(password);
            put(&mut values, "password", percent_decode(password, "password")?);
        }
        rest = after;
    }
    let (hosts, ports, after) = authority(rest)?;
    put(&mut values, "host", percent_decode(&hosts, "host")?);
    // `h1,h2` leaves a lone comma as ports: none given.
    if ports.bytes().any(|byte| byte != b',') {
        values.insert("port", percent_decode(&ports, "port")?);
    }
    let (path, query) = after.split_once('?').map_or((after, None), |(path, query)| (path, Some(query)));
    let path = path.strip_prefix('/').unwrap_or(path);
    if hosts.contains('@') || path.contains('@') {
        return Err(Error::usage("an unescaped @ is left over"));
    }
    put(&mut values, "dbname", percent_decode(path, "database name")?);
    let mut secret_near = false;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        if !driver || !is_drivers(pair) {
            secret_near |= parameter(&mut values, pair, secret_near)?;
        }
    }
    Ok(values)
}

/// Parameters of asyncpg, psycopg and SQLAlchemy's dialects that are about how Python asks, not about where the database is.
const DRIVERS: [&str; 12] = [
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "statement_cache_size",
    "max_cached_statement_lifetime",
    "max_cacheable_statement_size",
    "command_timeout",
    "timeout",
    "async_fallback",
    "prepare_threshold",
    "autocommit",
    "executemany_mode",
    "use_native_hstore",
];

fn is_drivers(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, _)| DRIVERS.contains(&name))
}

/// An empty part of a URI is a part that was not given.
fn put(values: &mut Values, name: &'static str, value: String) {
    if !value.is_empty() {
        values.insert(name, value);
    }
}

/// The hosts and the ports, each joined by commas, and the rest of the URI.
fn authority(text: &str) -> Result<(String, String, &str)> {
    let (mut hosts, mut ports) = (String::new(), String::new());
    let mut rest = text;
    loop {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').ok_or_else(|| Error::usage("an IPv6 address lacks its closing ]"))?;
            if end == 0 {
                return Err(Error::usage("an IPv6 address in [] is empty"));
            }
            hosts.push_str(&inner[..end]);
            rest = &inner[end + 1..];
            if !rest.is_empty() && !rest.starts_with([':', '/', '?', ',']) {
                return Err(Error::usage("unexpected text after the ] of an IPv6 address"));
            }
        } else {
            let end = rest.find([':', '/', '?', ',']).unwrap_or(rest.len());
            hosts.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        if let Some(port) = rest.strip_prefix(':') {
            let end = port.find(['/', '?', ',']).unwrap_or(port.len());
            ports.push_str(&port[..end]);
            rest = &port[end..];
        }
        let Some(next) = rest.strip_prefix(',') else { return Ok((hosts, ports, rest)) };
        hosts.push(',');
        ports.push(',');
        rest = next;
    }
}

/// Takes one `name=value`, and tells whether it was a password: what follows may be the rest of it, cut off by a
/// bare `&`, and is not named in errors.
fn parameter(values: &mut Values, pair: &str, secret_near: bool) -> Result<bool> {
    let (name, value) =
        pair.split_once('=').ok_or_else(|| Error::usage("a query parameter of the database URL has no value"))?;
    if value.contains('=') {
        return Err(Error::usage("a query parameter of the database URL has a second =").with_hint("write = as %3D"));
    }
    let name = percent_decode(name, "name of a query parameter")?;
    if SECRET.contains(&name.as_str()) {
        remember(value);
    }
    let value = percent_decode(value, "value of a query parameter")?;
    // `ssl=true` is JDBC's, which libpq takes too; asyncpg's spelling gives a mode.
    if name == "ssl" {
        values.insert("sslmode", if value == "true" { "require".into() } else { value });
        return Ok(false);
    }
    let Some(known) = canonical(&name) else {
        let hint = "only libpq's parameters are known here; those of a driver or framework have to be removed";
        if secret_near || !is_plain_word(&name) {
            return Err(Error::usage("unknown query parameter in the database URL").with_hint(hint));
        }
        return Err(Error::usage(format!("unknown query parameter {name:?} in the database URL")).with_hint(hint));
    };
    values.insert(known, value);
    Ok(SECRET.contains(&known))
}

/// Names of parameters are plain words; anything else may be the tail of a password that was not escaped.
pub(crate) fn is_plain_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Whether an @ stands where none belongs.
pub(super) fn has_stray_at(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    match rest.find(['@', '/']) {
        Some(at) if rest.as_bytes()[at] == b'@' => rest[at + 1..].contains('@'),
        _ => rest.contains('@'),
    }
}

/// What is said of it, with nothing of the text.
pub(super) fn stray_at() -> Error {
    Error::usage("the database URL cannot be understood")
        .with_hint("in a password / must be written %2F, @ %40, ? %3F, & %26, % %25")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(values: &'a Values, name: &str) -> &'a str {
        values.get(name).map_or("", String::as_str)
    }

    #[test]
    fn every_part() {
        let values =
            parse("us%65r:p%40ss?#w@h1:1,[::1]:2,h3/my%2Fdb?sslmode=require&application_name=a%20b", false).unwrap();
        assert_eq!(get(&values, "user"), "user");
        assert_eq!(get(&values, "password"), "p@ss?#w");
        assert_eq!(get(&values, "host"), "h1,::1,h3");
        assert_eq!(get(&values, "port"), "1,2,");
        assert_eq!(get(&values, "dbname"), "my/db");
        assert_eq!(get(&values, "sslmode"), "require");
        assert_eq!(get(&values, "application_name"), "a b");
    }

    #[test]
    fn parts_may_be_missing() {
        assert!(parse("", false).unwrap().is_empty());
        assert_eq!(get(&parse("/db", false).unwrap(), "dbname"), "db");
        let values = parse("?host=/run/pg&port=5433", false).unwrap();
        assert_eq!((get(&values, "host"), get(&values, "port")), ("/run/pg", "5433"));
        assert_eq!(get(&parse("%2Frun%2Fpg/db", false).unwrap(), "host"), "/run/pg");
        assert_eq!(get(&parse("h/db?ssl=true", false).unwrap(), "sslmode"), "require");
        assert_eq!(get(&parse("h/db?ssl=verify-full", false).unwrap(), "sslmode"), "verify-full");
        assert_eq!(get(&parse("a,b", false).unwrap(), "port"), "");
    }

    #[test]
    fn parameters_of_python_drivers() {
        let tail = "h/d?ssl=require&prepared_statement_cache_size=0&command_timeout=5";
        assert_eq!(get(&parse(tail, true).unwrap(), "sslmode"), "require");
        assert!(parse(tail, false).unwrap_err().to_string().contains("prepared_statement_cache_size"));
        assert!(parse("h/d?server_settings=x", true).unwrap_err().to_string().contains("server_settings"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse("h/db?sslmodes=x", false).unwrap_err().to_string().contains("sslmodes"));
        for bad in
            ["h/%zz", "h/%0", "h/%00", "[::1/db", "[]/db", "[::1]x/db", "h/db?a", "h/db?a=b=c", "h/%ff", "u:a@b@c/d"]
        {
            assert!(parse(bad, false).is_err(), "{bad} was accepted");
        }
    }
}
