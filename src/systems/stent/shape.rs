//! Which library and version made the tables, by their tables and columns. Pure.
//!
//! Names such as `tasks`, `cache` and `signals` are common: whether this is Stent is decided by columns.

use std::collections::BTreeSet;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sen_stores::catalogue::{Catalogue, Marks};

/// The tables, in the order they are queried.
pub const TABLES: [&str; 9] = [
    "executions",
    "tasks",
    "dead_tasks",
    "execution_progress",
    "signals",
    "execution_counters",
    "execution_state",
    "cache",
    "idempotency",
];

/// What a store asks its catalogue for. Of `cache` and `idempotency` no rows are shown.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub const MARKS: Marks = {
    let (shown, others) = TABLES.as_slice().split_at(7);
    Marks { tables: shown, others, columns: &[] }
};

/// Columns of `executions` that every version has, and nothing else is likely to have all of.
pub const EXECUTION_COLUMNS: [&str; 8] =
    ["id", "root_function", "state", "args", "kwargs", "result", "error", "expiry_at"];

/// Columns of `tasks`, likewise.
pub const TASK_COLUMNS: [&str; 9] = [
    "id",
    "execution_id",
    "step_name",
    "kind",
    "parent_task_id",
    "state",
    "worker_id",
    "lease_expires_at",
    "scheduled_for",
];

/// A column as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFact {
    /// One of [`TABLES`].
    pub table: String,
    /// The column.
    pub name: String,
}

/// Which of the two libraries wrote here last, as far as the rows tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// Steps named `stent.…` are there.
    Stent,
    /// Steps named `senpuki.…` are there.
    Senpuki,
    /// Both are.
    Both,
    /// Neither is: the tables are the same.
    Unknown,
}

impl Library {
    /// From which steps are there.
    pub const fn of(stent: bool, senpuki: bool) -> Self {
        match (stent, senpuki) {
            (true, true) => Self::Both,
            (true, false) => Self::Stent,
            (false, true) => Self::Senpuki,
            (false, false) => Self::Unknown,
        }
    }
}

/// What the tables look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// The columns of those of [`TABLES`] that exist.
    pub columns: Vec<ColumnFact>,
    /// The schema of `executions`.
    pub schema: Option<String>,
    /// Those of [`TABLES`] of which this role may not read a column.
    pub unread: BTreeSet<String>,
}

impl Shape {
    /// What the catalogue has of them.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub fn of(catalogue: &Catalogue) -> Self {
        let mut shape = Self::default();
        for relation in TABLES.iter().filter_map(|name| catalogue.named(name)) {
            if relation.name == TABLES[0] {
                shape.schema = Some(relation.schema.clone().unwrap_or_else(|| "main".into()));
            }
            if !relation.readable {
                shape.unread.insert(relation.name.clone());
            }
            let fact = |name: &String| ColumnFact { table: relation.name.clone(), name: name.clone() };
            shape.columns.extend(relation.columns.iter().map(|column| fact(&column.name)));
        }
        shape
    }

    /// Whether a table has a column.
    pub fn has(&self, table: &str, column: &str) -> bool {
        self.columns.iter().any(|fact| fact.table == table && fact.name == column)
    }

    /// Whether a table is there with all of these columns.
    fn has_all(&self, table: &str, columns: &[&str]) -> bool {
        columns.iter().all(|column| self.has(table, column))
    }

    /// Whether this is Stent or Senpuki.
    pub fn present(&self) -> bool {
        self.has_all("executions", &EXECUTION_COLUMNS) && self.has_all("tasks", &TASK_COLUMNS)
    }

    /// Whether dead letters are kept.
    pub fn has_letters(&self) -> bool {
        self.has_all("dead_tasks", &["id", "reason", "moved_at", "data"])
    }

    /// Whether progress is kept.
    pub fn has_progress(&self) -> bool {
        self.has_all("execution_progress", &["execution_id", "step", "status", "detail", "ordinal"])
    }

    /// Whether signals can be sent: from senpuki 0.2.0 on.
    pub fn has_signals(&self) -> bool {
        self.has_all("signals", &["execution_id", "name", "payload", "consumed"])
    }

    /// Whether counters are kept: from senpuki 0.3.0 on.
    pub fn has_counters(&self) -> bool {
        self.has_all("execution_counters", &["execution_id", "name", "value"])
    }

    /// Whether custom state is kept: from senpuki 0.3.0 on.
    pub fn has_state(&self) -> bool {
        self.has_all("execution_state", &["execution_id", "key", "value"])
    }

    /// Who made and used the tables, in words that follow the system's name.
    pub fn version(&self, library: Library) -> String {
        if !self.has_signals() {
            return "(senpuki 0.1.x)".into();
        }
        if !(self.has_counters() && self.has_state()) {
            return "(senpuki 0.2.x)".into();
        }
        match library {
            Library::Stent => "1.x",
            Library::Senpuki => "(senpuki 0.3.x)",
            Library::Both => "1.x and senpuki 0.3.x",
            Library::Unknown => "1.x or senpuki 0.3.x",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(tables: &[(&str, &[&str])]) -> Shape {
        let columns = tables
            .iter()
            .flat_map(|(table, columns)| columns.iter().map(|name| (*table, *name)))
            .map(|(table, name)| ColumnFact { table: table.into(), name: name.into() });
        Shape { columns: columns.collect(), ..Shape::default() }
    }

    #[test]
    fn common_names_are_not_enough() {
        assert!(!shape(&[("tasks", &["id", "state"]), ("executions", &["id", "state"])]).present());
        assert!(!shape(&[("tasks", &TASK_COLUMNS)]).present());
        assert!(shape(&[("tasks", &TASK_COLUMNS), ("executions", &EXECUTION_COLUMNS)]).present());
    }

    #[test]
    fn versions() {
        let signals = ("signals", &["execution_id", "name", "payload", "consumed"][..]);
        let counters = ("execution_counters", &["execution_id", "name", "value"][..]);
        let state = ("execution_state", &["execution_id", "key", "value"][..]);
        assert_eq!(shape(&[]).version(Library::Unknown), "(senpuki 0.1.x)");
        assert_eq!(shape(&[signals]).version(Library::Unknown), "(senpuki 0.2.x)");
        assert_eq!(shape(&[signals, counters, state]).version(Library::Stent), "1.x");
    }
}
