//! What is examined of a database and what was found: for `sen doctor` and `sen grants`. Pure.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::value::Value;
use crate::verdict::Severity;

/// What to do about a missing privilege.
pub const UNPRIVILEGED: &str = "connect as a role with that privilege, or have it granted: `sen grants` prints the SQL";

/// What the commands need of one table or sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredPrivilege {
    /// The object as SQL names it, quoted and with its schema.
    pub object: String,
    /// Whether it is a sequence; else a table.
    pub sequence: bool,
    /// What acts need beside SELECT: `UPDATE`, `USAGE`, …
    pub acts: &'static [&'static str],
}

/// An index that lists would use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecommendedIndex {
    /// The table as SQL names it.
    pub table: String,
    /// Its first column, by its bare name.
    pub first: &'static str,
    /// The columns in parentheses, as SQL writes them.
    pub columns: &'static str,
    /// What would use it.
    pub used_by: &'static str,
    /// What is gained by it, as measured, and what it costs those who write; may be empty.
    pub worth: &'static str,
    /// How much it matters that there is none.
    pub severity: Severity,
}

/// What a system wants examined, and what it found out itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics {
    /// Privileges.
    pub needs: Vec<RequiredPrivilege>,
    /// Indexes.
    pub indexes: Vec<RecommendedIndex>,
    /// Findings.
    pub checks: Vec<Check>,
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// How bad it is; `Ok` when all is well.
    pub severity: Severity,
    /// What it is about, a word: `tls`, `privileges`, …
    pub topic: &'static str,
    /// One sentence without a full stop.
    pub text: String,
    /// A command or SQL to type, if there is one. `sen` never runs it by itself.
    pub remedy: Option<String>,
}

impl Check {
    /// Something that was examined and found so.
    pub fn new(severity: Severity, topic: &'static str, text: impl Into<String>) -> Self {
        Self { severity, topic, text: text.into(), remedy: None }
    }

    /// The same with what to type about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// As data.
    pub fn value(&self) -> Value {
        Value::Map(vec![
            ("severity", Value::Name(self.severity.name())),
            ("topic", Value::Name(self.topic)),
            ("summary", Value::Text(self.text.clone())),
            ("remedy", Value::text(self.remedy.clone())),
        ])
    }
}

/// What the role that asks does not see: tables of which row-level security may hide rows, found out along with every question,
/// and what it was denied.
#[derive(Debug, Default)]
pub struct Hidden {
    tables: Mutex<BTreeSet<String>>,
    denied: Mutex<Vec<Error>>,
}

impl Hidden {
    /// Adds some.
    pub fn note<'a>(&self, tables: impl IntoIterator<Item = &'a str>) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).extend(tables.into_iter().map(str::to_owned));
    }

    /// Keeps what the role was denied, to be reported beside the output; nothing twice.
    pub fn deny(&self, error: Error) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.iter().all(|known| known.to_string() != error.to_string()) {
            denied.push(error);
        }
    }

    /// Takes out the first thing that was denied.
    pub fn take_denied(&self) -> Option<Error> {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        (!denied.is_empty()).then(|| denied.remove(0))
    }

    /// All so far.
    pub fn tables(&self) -> Vec<String> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// One sentence without a full stop, if there are any.
    pub fn text(&self) -> Option<String> {
        let tables = self.tables();
        let names = tables.join(", ");
        (!tables.is_empty()).then(|| {
            format!("row-level security can hide rows of {names} from this role: what is shown may not be all")
        })
    }
}

/// Which commands a role is to be able to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reading.
    ReadOnly,
    /// Reading and every act.
    Operator,
}

/// The least privileges for `role` as SQL statements, granted to `grantee` (quoted already).
pub fn grants(needs: &[RequiredPrivilege], role: Role, grantee: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut schemas: Vec<&str> = needs.iter().filter_map(|need| schema(&need.object)).collect();
    schemas.sort_unstable();
    schemas.dedup();
    lines.extend(schemas.iter().map(|schema| format!("GRANT USAGE ON SCHEMA {schema} TO {grantee};")));
    for need in needs {
        let mut privileges: Vec<&str> = if need.sequence { Vec::new() } else { vec!["SELECT"] };
        if role == Role::Operator {
            privileges.extend(need.acts);
        }
        if !privileges.is_empty() {
            let kind = if need.sequence { "SEQUENCE" } else { "TABLE" };
            lines.push(format!("GRANT {} ON {kind} {} TO {grantee};", privileges.join(", "), need.object));
        }
    }
    lines
}

/// The schema in front of a name, outside of quotes.
fn schema(object: &str) -> Option<&str> {
    let mut quoted = false;
    for (at, byte) in object.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'.' if !quoted => return Some(&object[..at]),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_the_least() {
        let needs = [
            RequiredPrivilege { object: "public.t".into(), sequence: false, acts: &["UPDATE"] },
            RequiredPrivilege { object: "\"a.b\".s".into(), sequence: true, acts: &["USAGE"] },
            RequiredPrivilege { object: "plain".into(), sequence: false, acts: &[] },
        ];
        assert_eq!(
            grants(&needs, Role::Operator, "ops"),
            [
                "GRANT USAGE ON SCHEMA \"a.b\" TO ops;",
                "GRANT USAGE ON SCHEMA public TO ops;",
                "GRANT SELECT, UPDATE ON TABLE public.t TO ops;",
                "GRANT USAGE ON SEQUENCE \"a.b\".s TO ops;",
                "GRANT SELECT ON TABLE plain TO ops;",
            ]
        );
        assert_eq!(grants(&needs[..1], Role::ReadOnly, "ro")[1..], ["GRANT SELECT ON TABLE public.t TO ro;"]);
        assert!(grants(&needs[1..2], Role::ReadOnly, "ro").iter().all(|line| !line.contains("SEQUENCE")));
    }
}
