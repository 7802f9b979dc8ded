//! The password file (`.pgpass`): which line answers for a connection. Where the file lies is `conninfo`'s to say.

use std::path::Path;

use sen_model::secret::Secret;

/// The password for one connection, from the lines `host:port:database:user:password` of `content`.
///
/// The first line that fits wins; `*` fits anything; `\` takes the next character as it is.
pub(super) fn find(content: &[u8], host: &str, port: u16, dbname: &str, user: &str) -> Option<Secret> {
    let port = port.to_string();
    let wanted = [host, port.as_str(), dbname, user];
    content.split(|byte| *byte == b'\n').find_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"#") {
            return None;
        }
        let raw = wanted.iter().try_fold(line, |rest, want| after(rest, want.as_bytes()))?;
        // The password ends at an unescaped colon too, so that fields may be added to the format one day.
        let mut password = Vec::new();
        let mut bytes = raw.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b':' => break,
                b'\\' => password.push(bytes.next().unwrap_or(byte)),
                byte => password.push(byte),
            }
        }
        String::from_utf8(password).ok().map(Secret::new)
    })
}

/// What follows the field at the beginning of `line`, if that fits. Compared as libpq does: byte by byte, so that a colon
/// in an address needs no backslash.
fn after<'a>(line: &'a [u8], want: &[u8]) -> Option<&'a [u8]> {
    if let Some(rest) = line.strip_prefix(b"*:") {
        return Some(rest);
    }
    let (mut rest, mut want) = (line, want);
    loop {
        let (mut first, mut others) = rest.split_first()?;
        if *first == b':' && want.is_empty() {
            return Some(others);
        }
        if *first == b'\\' {
            (first, others) = others.split_first()?;
        }
        want = want.strip_prefix(std::slice::from_ref(first))?;
        rest = others;
    }
}

/// Reads the file, or says why it is left alone. A file that is not there says nothing, as libpq.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let shown = path.display();
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(format!("password file {shown} is ignored: {error}")),
    };
    if !about.is_file() {
        return Err(format!("password file {shown} is ignored: it is not a plain file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(format!(
                "password file {shown} is ignored: it has group or world access; chmod 0600 {shown} makes it count"
            ));
        }
    }
    std::fs::read(path).map(Some).map_err(|error| format!("password file {shown} is ignored: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &[u8] =
        b"# comment:*:*:*:no\r\nbroken\nhost\\:a:5432:db:me:col\\:on\\\\\n*:5433:*:*:any\r\nlocalhost:*:*:me:sock";

    #[test]
    fn first_fitting_line_wins() {
        let found = |host, port, user| find(FILE, host, port, "db", user).map(|secret| secret.reveal().to_owned());
        assert_eq!(found("host:a", 5432, "me").as_deref(), Some("col:on\\"));
        assert_eq!(found("x", 5433, "you").as_deref(), Some("any"));
        assert_eq!(found("localhost", 1, "me").as_deref(), Some("sock"));
        assert_eq!(found("localhost", 1, "you"), None);
        // An escaped star is a star, not a wildcard.
        assert!(find(b"\\*:1:d:u:p", "h", 1, "d", "u").is_none());
        assert!(find(b"\\*:1:d:u:p", "*", 1, "d", "u").is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(content in proptest::collection::vec(any::<u8>(), 0..200), host in "\\PC{0,5}") {
            let _ = find(&content, &host, 5432, "*", "");
        }
    }
}
