//! `require_auth`: by which methods the server may have us log in, with libpq's words and meaning.

use sen_model::error::{Error, Result};

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The password in the clear.
    Password,
    /// Its MD5 hash.
    Md5,
    /// GSSAPI.
    Gss,
    /// Windows' own.
    Sspi,
    /// SCRAM.
    Scram,
    /// A token.
    Oauth,
    /// None: the server asks for nothing.
    Nothing,
}

const METHODS: [(&str, Method); 7] = [
    ("password", Method::Password),
    ("md5", Method::Md5),
    ("gss", Method::Gss),
    ("sspi", Method::Sspi),
    ("scram-sha-256", Method::Scram),
    ("oauth", Method::Oauth),
    ("none", Method::Nothing),
];

/// The methods that are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    allowed: Vec<Method>,
}

impl Requirement {
    /// Reads methods joined by commas: those that are accepted, or, each after a `!`, those that are not.
    ///
    /// # Errors
    /// `Usage` for a word that is no method, one that is there twice, or both kinds at once.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let accepted = || METHODS.map(|(name, _)| name).join(", ");
        let mut listed = Vec::new();
        let mut negative = None;
        for word in text.split(',') {
            let word = word.trim_ascii();
            let (name, no) = word.strip_prefix('!').map_or((word, false), |name| (name, true));
            if *negative.get_or_insert(no) != no {
                return Err(Error::usage("require_auth mixes methods with and without !")
                    .with_hint("list what is accepted, or with a ! before each what is not"));
            }
            let Some((_, method)) = METHODS.iter().find(|(known, _)| *known == name) else {
                return Err(Error::usage(format!("{name:?} is no method for require_auth"))
                    .with_hint(format!("accepted: {}", accepted())));
            };
            if listed.contains(method) {
                return Err(Error::usage(format!("require_auth names {name} more than once")));
            }
            listed.push(*method);
        }
        let no = negative == Some(true);
        let allowed = METHODS.iter().map(|(_, method)| *method).filter(|method| listed.contains(method) != no);
        Ok(Self { text: text.to_owned(), allowed: allowed.collect() })
    }

    /// Whether logging in by `method` is accepted.
    #[cfg(feature = "postgres")]
    pub(crate) fn allows(&self, method: Method) -> bool {
        self.allowed.contains(&method)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn lists_as_libpq_reads_them() {
        let parse = |text: &str| Requirement::parse(text).unwrap();
        let only = parse("scram-sha-256");
        assert!(only.allows(Method::Scram) && !only.allows(Method::Password) && !only.allows(Method::Nothing));
        let not = parse("!password, !md5");
        assert!(not.allows(Method::Scram) && not.allows(Method::Nothing) && !not.allows(Method::Md5));
        assert!(!parse("!none").allows(Method::Nothing) && parse("!none").allows(Method::Password));
        for bad in ["scram", "md5,md5", "!md5,password", "md5,", ",", "!!md5", "MD5"] {
            assert!(Requirement::parse(bad).is_err(), "{bad}");
        }
    }
}
