//! What `sen doctor` and `sen grants` should know of Stent's tables. Pure.

use super::port::{FAILED_LOOKED_AT, LETTERS_LOOKED_AT, Orphans};
use super::shape::Shape;
use sen_model::diagnostics::{Check, Diagnostics, RecommendedIndex, RequiredPrivilege};
use sen_model::ident::Ident;
use sen_model::verdict::Severity;

/// What the acts (`exec`, `dlq`) need of each table beside SELECT. `tests/trust/grants.rs` runs every command with these and
/// shows of each that it is needed.
const ACTS: [(&str, &[&str]); 9] = [
    // undo of a cleanup; cancel, replay and the locks of all; cleanup
    ("executions", &["INSERT", "UPDATE", "DELETE"]),
    // replay; cancel and signal; cleanup
    ("tasks", &["INSERT", "UPDATE", "DELETE"]),
    // undo of replay and discard; the lock of both; their end
    ("dead_tasks", &["INSERT", "UPDATE", "DELETE"]),
    // the record of every act; cleanup
    ("execution_progress", &["INSERT", "DELETE"]),
    // signal; cleanup
    ("signals", &["INSERT", "UPDATE", "DELETE"]),
    // cleanup and its undo
    ("execution_counters", &["INSERT", "DELETE"]),
    ("execution_state", &["INSERT", "DELETE"]),
    // read only: what a replay would not run again
    ("idempotency", &[]),
    ("cache", &[]),
];

/// The libraries make no index for the order of lists, which are newest first, nor for what counts look for. Without the first two a
/// list reads the whole table; the others only make counts cheaper, and are no reason to worry. What they are worth was measured with a
/// million rows (benches/README.md).
const WISHES: [(&str, &str, &str, &str, &str, Severity); 4] = [
    (
        "executions",
        "created_at",
        "(created_at DESC)",
        "`sen exec list`, which shows the newest first",
        "",
        Severity::Warning,
    ),
    (
        "dead_tasks",
        "moved_at",
        "(moved_at DESC)",
        "`sen dlq list`, which shows the newest first",
        "",
        Severity::Warning,
    ),
    (
        "executions",
        "state",
        "(state, created_at)",
        "`sen status`, `sen stats` and `sen why`, which look for what has not ended",
        "of a million executions it counted them in 49 to 89 ms instead of 315 to 405 ms; an insert costs the server about 4 µs more",
        Severity::Ok,
    ),
    (
        "tasks",
        "completed_at",
        "(completed_at)",
        "`sen stats`, which counts the steps that ended lately",
        "with it they are read without a scan of all tasks; an insert costs the server about 3 µs more",
        Severity::Ok,
    ),
];

fn full(shape: &Shape, table: &str) -> Option<String> {
    shape.columns.iter().find(|fact| fact.table == table)?;
    let table = Ident::new(table).ok()?.quoted();
    match shape.schema.as_deref().and_then(|schema| Ident::new(schema).ok()) {
        Some(schema) => Some(format!("{}.{table}", schema.quoted())),
        None => Some(table),
    }
}

pub(super) fn diagnostics(shape: &Shape, sequences: Vec<String>, orphans: Option<&Orphans>) -> Diagnostics {
    let needs = ACTS
        .iter()
        .filter_map(|(table, acts)| Some(RequiredPrivilege { object: full(shape, table)?, sequence: false, acts }));
    let numbers = sequences.into_iter().map(|object| RequiredPrivilege { object, sequence: true, acts: &["USAGE"] });
    let indexes = WISHES.iter().filter_map(|(table, first, columns, used_by, worth, severity)| {
        Some(RecommendedIndex { table: full(shape, table)?, first, columns, used_by, worth, severity: *severity })
    });
    let checks = orphans.map(checks).unwrap_or_default();
    Diagnostics { needs: needs.chain(numbers).collect(), indexes: indexes.collect(), checks }
}

fn checks(orphans: &Orphans) -> Vec<Check> {
    let topic = "orphans";
    let mut checks = Vec::new();
    let looked_at = |more: bool, text: String| if more { text } else { String::new() };
    let letters =
        looked_at(orphans.more_letters, format!(" (of the {LETTERS_LOOKED_AT} oldest, which were looked at)"));
    let failed = looked_at(orphans.more_failed, format!(" (of {FAILED_LOOKED_AT} failed tasks, which were looked at)"));
    let mut say = |count: i64, severity, [one, many]: [&str; 2], note: &str, remedy: &str| {
        if count > 0 {
            let text = format!("{count} {}{note}", if count == 1 { one } else { many });
            checks.push(Check::new(severity, topic, text).with_remedy(remedy));
        }
    };
    say(
        orphans.letters_without_execution,
        Severity::Warning,
        [
            "dead letter belongs to an execution that no longer exists: a replay of it can only fail",
            "dead letters belong to executions that are gone: a replay of them can only fail",
        ],
        &letters,
        "sen dlq list   # their state is execution_gone; sen dlq discard ID --export FILE removes one",
    );
    say(
        orphans.tasks_without_execution,
        Severity::Warning,
        [
            "open task belongs to an execution that no longer exists: a worker that takes it can only fail it",
            "open tasks belong to executions that no longer exist: a worker that takes one can only fail it",
        ],
        "",
        "sen task list --state ready,running,lost",
    );
    say(
        orphans.failed_without_letter,
        Severity::Ok,
        [
            "failed task of a failed execution has no dead letter: replayed, discarded, or its worker died between two commits",
            "failed tasks of failed executions have no dead letter: replayed, discarded, or their worker died between two commits",
        ],
        &failed,
        "sen task list --state failed",
    );
    if checks.is_empty() {
        checks.push(Check::new(
            Severity::Ok,
            topic,
            format!("every open task and every dead letter{letters} has its execution"),
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_told_with_what_to_type() {
        let orphans = Orphans { failed_without_letter: 2, letters_without_execution: 1, ..Orphans::default() };
        let told = checks(&orphans);
        assert_eq!(told.len(), 2);
        assert!(told[0].severity == Severity::Warning && told[1].severity == Severity::Ok, "{told:?}");
        assert_eq!(checks(&Orphans::default())[0].severity, Severity::Ok);
        let some = checks(&Orphans { more_failed: true, more_letters: true, ..orphans });
        assert!(some.iter().all(|check| check.text.contains("looked at")), "{some:?}");
        let none = checks(&Orphans { more_letters: true, ..Orphans::default() });
        assert!(none[0].text.contains("looked at"), "{none:?}");
    }
}
