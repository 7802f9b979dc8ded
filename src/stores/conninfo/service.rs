//! Service files (`pg_service.conf`): the section of one service as parameters.

use std::path::Path;

use super::parameters::{Values, canonical};
use sen_model::error::{Error, Result};

/// The parameters of service `name` in `content`, or `None` when the file has no such section.
///
/// # Errors
/// `Usage` with the file and line, never with the line's text.
pub(super) fn find(content: &str, name: &str, path: &Path) -> Result<Option<Values>> {
    let mut found: Option<Values> = None;
    for (number, line) in content.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if section.strip_suffix(']') == Some(name) {
                found = Some(Values::new());
            }
            continue;
        }
        let Some(values) = found.as_mut() else { continue };
        let wrong = |why: &str| Error::usage(format!("service file {}, line {}: {why}", path.display(), number + 1));
        if line.starts_with("ldap:") || line.starts_with("ldaps:") {
            return Err(wrong("services kept in LDAP are not supported by this version"));
        }
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("name=value was expected"))?;
        let known = canonical(key).ok_or_else(|| wrong("this is no connection parameter (no blanks around the =)"))?;
        if matches!(known, "service" | "servicefile") {
            return Err(wrong("a service cannot refer to another"));
        }
        // The first of two wins, as in libpq.
        values.entry(known).or_insert_with(|| value.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "# shared\n[other]\nhost=wrong\n\n[prod]\n  host=db1,db2\nport=5433\nhost=late\npassword=hunter2\n[last]\nnonsense\n";

    #[test]
    fn a_section() {
        let path = Path::new("/etc/x.conf");
        let values = find(FILE, "prod", path).unwrap().unwrap();
        assert_eq!(values["host"], "db1,db2");
        assert_eq!(values["port"], "5433");
        assert!(find(FILE, "absent", path).unwrap().is_none());
        let error = find(FILE, "last", path).unwrap_err();
        assert_eq!(error.to_string(), "service file /etc/x.conf, line 11: name=value was expected");
        assert!(find("[a]\nservice=b", "a", path).is_err());
        assert!(find("[a]\nldap://x", "a", path).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(?s).{0,200}", name in "\\PC{0,5}") {
            let _ = find(&text, &name, Path::new("f"));
            let _ = find(&format!("[{name}]\npassword hunter2\n{text}"), &name, Path::new("f"))
                .map_err(|error| assert!(!error.to_string().contains("hunter2")));
        }
    }
}
