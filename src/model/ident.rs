//! Identifiers: SQL names that came from a catalogue, and the ids of operations.

use std::fmt;

use crate::error::{Error, Result};

/// A SQL identifier (table, column, schema) that is always quoted when it becomes part of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ident(String);

impl Ident {
    /// Takes a name as the catalogue spells it.
    ///
    /// # Errors
    /// `Usage` when the name is empty or holds a NUL byte, which no SQL name can.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.contains('\0') {
            return Err(Error::usage("an SQL name cannot be empty or hold a NUL byte"));
        }
        Ok(Self(name))
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in double quotes, inner quotes doubled: safe in any statement of PostgreSQL and SQLite.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// Identifies one act of an operator: printed in its report and stored with the rows it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct OperationId(uuid::Uuid);

impl OperationId {
    /// A fresh random id.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_nul_is_refused() {
        assert_eq!(Ident::new(r#"my "odd" table"#).unwrap().quoted(), r#""my ""odd"" table""#);
        assert!(Ident::new("a\0b").is_err());
        assert!(Ident::new("").is_err());
    }
}
