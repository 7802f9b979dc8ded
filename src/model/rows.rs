//! Rows that acts change, kept as they were and as they were left, so that an act can be taken back.

use serde::{Deserialize, Serialize};

/// A row that an act changed: every column as the store writes it, as text of one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// Its table, or its key where there are no tables.
    pub table: String,
    /// As it was before the act; `None` where there was none.
    pub before: Option<String>,
    /// As the act left it; `None` where it removed it.
    pub after: Option<String>,
}

impl RowChange {
    /// A text of the row as it was before.
    pub fn was(&self, column: &str) -> Option<String> {
        let row: serde_json::Value = serde_json::from_str(self.before.as_deref()?).ok()?;
        row.get(column)?.as_str().map(str::to_owned)
    }

    /// What takes this change back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { table: self.table.clone(), before: self.after.clone(), after: self.before.clone() }
    }
}

/// A table whose rows are kept and put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptTable {
    /// Its name.
    pub name: &'static str,
    /// Its primary key.
    pub key: &'static [&'static str],
    /// Whether an act inserts rows into it. Otherwise a row that is only seen afterwards came from elsewhere.
    pub inserts: bool,
}

/// The rows of one target, read before and after a change of them: its table, and the row.
pub type Seen = Vec<(String, String)>;

/// The changes that two looks at the rows of a target show; none where they do not fit together, so that nobody can say how
/// the rows were.
pub fn changes(tables: &[KeptTable], before: Seen, after: Seen) -> Vec<RowChange> {
    let keyed = |rows: Seen| -> Option<Vec<(String, String, String)>> {
        let mut out: Vec<(String, String, String)> = Vec::with_capacity(rows.len());
        for (table, row) in rows {
            let kept = tables.iter().find(|kept| kept.name == table)?;
            let fields: serde_json::Value = serde_json::from_str(&row).ok()?;
            let key: Vec<String> = kept.key.iter().map(|column| fields[*column].to_string()).collect();
            out.push((table, key.join(" "), row));
        }
        Some(out)
    };
    let (Some(before), Some(mut after)) = (keyed(before), keyed(after)) else { return Vec::new() };
    let mut changes = Vec::new();
    for (table, key, row) in before {
        let at = after.iter().position(|(other, its, _)| *other == table && *its == key);
        let left = at.map(|at| after.swap_remove(at).2);
        if left.as_ref() != Some(&row) {
            changes.push(RowChange { table, before: Some(row), after: left });
        }
    }
    for (table, _, row) in after {
        // Made between the two looks, and not by the act.
        if !tables.iter().any(|kept| kept.name == table && kept.inserts) {
            return Vec::new();
        }
        changes.push(RowChange { table, before: None, after: Some(row) });
    }
    changes
}

/// What two changes came to together, the second having been made after the first: each row as it was before the first, and as
/// the last left it.
pub fn both(first: Vec<RowChange>, second: Vec<RowChange>) -> Vec<RowChange> {
    let mut all = first;
    for change in second {
        let same = |one: &&mut RowChange| one.table == change.table && one.after == change.before;
        match all.iter_mut().find(same) {
            Some(one) => one.after = change.after,
            None => all.push(change),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [KeptTable; 2] = [
        KeptTable { name: "tasks", key: &["id"], inserts: true },
        KeptTable { name: "executions", key: &["id"], inserts: false },
    ];

    fn row(table: &str, id: &str, state: &str) -> (String, String) {
        (table.to_owned(), format!(r#"{{"id": "{id}", "state": "{state}"}}"#))
    }

    #[test]
    fn two_looks_show_what_was_changed_inserted_and_removed() {
        let before = vec![row("tasks", "a", "failed"), row("tasks", "b", "failed"), row("executions", "a", "failed")];
        let after = vec![row("executions", "a", "pending"), row("tasks", "c", "pending"), row("tasks", "b", "failed")];
        let changes = changes(&TABLES, before, after);
        let told: Vec<_> =
            changes.iter().map(|one| (one.table.as_str(), one.before.is_some(), one.after.is_some())).collect();
        assert_eq!(told, [("tasks", true, false), ("executions", true, true), ("tasks", false, true)]);
        assert_eq!(changes[0].reversed().after, changes[0].before);
    }

    #[test]
    fn two_changes_of_one_row_are_one() {
        let change = |table: &str, before: Option<&str>, after: Option<&str>| RowChange {
            table: table.into(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let first = vec![change("leases", Some("1"), Some("2"))];
        let second = vec![change("leases", Some("2"), None), change("tasks", None, Some("t"))];
        assert_eq!(both(first, second), [change("leases", Some("1"), None), change("tasks", None, Some("t"))]);
    }

    #[test]
    fn what_came_from_elsewhere_is_not_taken_for_the_acts_own() {
        let after = vec![row("executions", "a", "pending")];
        assert_eq!(changes(&TABLES, Vec::new(), after), []);
        assert_eq!(changes(&TABLES, vec![row("other", "a", "")], Vec::new()), []);
    }
}
