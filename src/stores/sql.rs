//! SQL text that cannot be built from runtime strings: only literals of this program, and quoted identifiers.

#[cfg(all(feature = "postgres", any(test, debug_assertions)))]
mod bare;
#[cfg(feature = "postgres")]
mod lex;
#[cfg(feature = "postgres")]
mod qualify;

use std::borrow::Cow;
use std::fmt;
#[cfg(feature = "postgres")]
use std::sync::OnceLock;

use sen_model::ident::Ident;

/// A statement. Data always travels as parameters, never in here.
#[derive(Clone)]
pub struct Sql {
    text: Cow<'static, str>,
    #[cfg(feature = "postgres")]
    qualified: OnceLock<String>,
}

impl Sql {
    /// A statement known at compile time.
    pub const fn new(text: &'static str) -> Self {
        Self::of(Cow::Borrowed(text))
    }

    const fn of(text: Cow<'static, str>) -> Self {
        Self {
            text,
            #[cfg(feature = "postgres")]
            qualified: OnceLock::new(),
        }
    }

    /// The statement with another fixed piece after it.
    #[must_use]
    pub fn then(self, text: &'static str) -> Self {
        Self::of(Cow::Owned(self.text.into_owned() + text))
    }

    /// The statement with another one after it.
    #[must_use]
    pub fn then_sql(self, other: &Self) -> Self {
        Self::of(Cow::Owned(self.text.into_owned() + &other.text))
    }

    /// The statement with a quoted identifier after it.
    #[must_use]
    pub fn then_ident(self, ident: &Ident) -> Self {
        Self::of(Cow::Owned(self.text.into_owned() + &ident.quoted()))
    }

    /// The text as it is written here: for SQLite, which has nothing that could stand in for a function.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text for PostgreSQL: every function, operator and type is the one in `pg_catalog`, whatever others have put into
    /// the search path. Worked out once for a statement.
    #[cfg(feature = "postgres")]
    pub fn for_postgres(&self) -> &str {
        self.qualified.get_or_init(|| {
            let (text, odd) = qualify::qualify(&self.text);
            debug_assert!(odd.is_empty(), "cannot be qualified: {odd:?} in {}", self.text);
            #[cfg(debug_assertions)]
            {
                let bare = bare::bare(&text);
                assert!(bare.is_empty(), "left to the search path: {bare:?} in {text}");
            }
            text
        })
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
