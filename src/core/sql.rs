//! SQL text that cannot be built from runtime strings: only literals of this program, and quoted identifiers.

use std::borrow::Cow;
use std::fmt;

use crate::ident::Ident;

/// A statement. Data always travels as parameters, never in here.
#[derive(Clone, PartialEq, Eq)]
pub struct Sql(Cow<'static, str>);

impl Sql {
    /// A statement known at compile time.
    pub const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The statement with another fixed piece after it.
    #[must_use]
    pub fn then(self, text: &'static str) -> Self {
        Self(Cow::Owned(self.0.into_owned() + text))
    }

    /// The statement with a quoted identifier after it.
    #[must_use]
    pub fn then_ident(self, ident: &Ident) -> Self {
        Self(Cow::Owned(self.0.into_owned() + &ident.quoted()))
    }

    /// The text for a driver.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted_when_spliced() {
        let name = Ident::new("Sagas").unwrap();
        assert_eq!(
            Sql::new("SELECT 1 FROM ").then_ident(&name).then(" LIMIT 1").as_str(),
            "SELECT 1 FROM \"Sagas\" LIMIT 1"
        );
    }
}
