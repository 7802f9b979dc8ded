//! Taking back what was done to executions and dead letters: their rows are put back where they still are exactly as they were
//! left, so where no worker has taken up what the act made.

use async_trait::async_trait;
use sen_model::error::Result;
use sen_model::ident::OperationId;
use sen_model::permit::WritePermit;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sen_model::rows::KeptTable;
use sen_model::rows::RowChange;
use sen_model::subject::Kind;
use sen_model::undo::{Standing, UndoTarget, Undoes};
use serde_json::Value;

use crate::acts::port::TakenBack;
use crate::handle::Stent;
use crate::letters::note::note;

/// The rows that acts change, and which of them they insert.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) const KEPT: [KeptTable; 7] = [
    KeptTable { name: "executions", key: &["id"], inserts: false },
    KeptTable { name: "tasks", key: &["id"], inserts: true },
    KeptTable { name: "dead_tasks", key: &["id"], inserts: false },
    KeptTable { name: "signals", key: &["execution_id", "name"], inserts: true },
    KeptTable { name: "execution_progress", key: &["ordinal"], inserts: false },
    KeptTable { name: "execution_counters", key: &["execution_id", "name"], inserts: false },
    KeptTable { name: "execution_state", key: &["execution_id", "key"], inserts: false },
];

/// A column of the first row of a table, as it will be, or else as it is.
fn column(target: &UndoTarget, table: &str, name: &str) -> Option<String> {
    target.changes.iter().filter(|change| change.table == table).find_map(|change| {
        let row: Value = serde_json::from_str(change.before.as_ref().or(change.after.as_ref())?).ok()?;
        row.get(name)?.as_str().map(str::to_owned)
    })
}

/// Whether there is a row of this table that has this state as the act left it, or had it before.
fn has(target: &UndoTarget, table: &str, before: bool, states: &[&str]) -> bool {
    target.changes.iter().filter(|change| change.table == table).any(|change| {
        let row = if before { &change.before } else { &change.after };
        let row = row.as_ref().and_then(|row| serde_json::from_str::<Value>(row).ok()).unwrap_or_default();
        row["state"].as_str().is_some_and(|state| states.contains(&state))
    })
}

fn taken_back<'a>(target: &'a UndoTarget, note: &str) -> TakenBack<'a> {
    let execution = column(target, "executions", "id")
        .or_else(|| column(target, "tasks", "execution_id"))
        .or_else(|| column(target, "signals", "execution_id"));
    let step = column(target, "tasks", "step_name")
        .or_else(|| column(target, "executions", "root_function"))
        .or_else(|| column(target, "signals", "name").map(|name| crate::record::signal_step(&name)));
    let id = &target.subject.id;
    let what = if target.subject.kind == Kind::DeadLetter { "dead letter" } else { "execution" };
    let runs = has(target, "executions", true, &["pending", "running"]);
    TakenBack {
        changes: &target.changes,
        execution,
        letter: (target.subject.kind == Kind::DeadLetter).then_some(id.as_str()),
        step,
        status: if runs { "dispatched" } else { "failed" },
        detail: format!("{what} {id} {} {note}", if target.again { "done again" } else { "taken back" }),
    }
}

#[async_trait]
impl Undoes for Stent {
    const KIND: &'static str = "stent.undo";
    const BATCH: usize = 200;

    fn named(&self) -> &str {
        self.store.database()
    }

    async fn standings(&self, targets: &[UndoTarget]) -> Result<Vec<Standing>> {
        let rows: Vec<&[RowChange]> = targets.iter().map(|target| target.changes.as_slice()).collect();
        self.acts()?.standings(&rows).await
    }

    async fn take_back(
        &self,
        _: OperationId,
        targets: &[UndoTarget],
        permit: &WritePermit,
    ) -> Result<Vec<Option<Vec<RowChange>>>> {
        let note = note(permit);
        let wanted: Vec<TakenBack<'_>> = targets.iter().map(|target| taken_back(target, &note)).collect();
        let done = self.acts()?.take_back(&wanted, permit).await?;
        let reversed = |target: &UndoTarget| target.changes.iter().map(RowChange::reversed).collect();
        Ok(targets.iter().zip(done).map(|(target, done)| done.then(|| reversed(target))).collect())
    }

    async fn warnings(&self, targets: &[UndoTarget]) -> Result<Vec<Vec<String>>> {
        let warnings = |target: &UndoTarget| {
            let mut warnings = Vec::new();
            if has(target, "executions", false, &["cancelled"]) && has(target, "tasks", true, &["running"]) {
                warnings.push("a worker that was running a step of it may have seen the cancel already".to_owned());
            }
            if has(target, "executions", false, &["completed"]) {
                warnings.push("callers that asked for its result since have been given it".to_owned());
            }
            warnings
        };
        Ok(targets.iter().map(warnings).collect())
    }
}
