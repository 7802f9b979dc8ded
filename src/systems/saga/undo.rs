//! Taking back what was done to sagas and their messages.
//!
//! A saga gets back its status, step, deadline, context and the time of its last change, under a token that nobody has: an undo is no
//! worker's change, so that the saga is judged as it was before the act. Where the row that comes back was made due by an act, it is
//! due from now on. Its history keeps the entry of the act and gets one of the undo, which names the same step. A message gets its row back while it is still due and no worker has claimed it.

use async_trait::async_trait;
use sen_model::error::Result;
use sen_model::ident::OperationId;
use sen_model::journal;
use sen_model::permit::WritePermit;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use sen_model::rows::KeptTable;
use sen_model::rows::RowChange;
use sen_model::undo::{Standing, UndoTarget, Undoes};

use crate::act::fresh;
use crate::handle::Sagas;
use crate::port::TakenBack;
use crate::rules;

/// The rows that acts change, whatever their tables are called.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) const KEPT: [KeptTable; 2] = [
    KeptTable { name: "saga", key: &["id"], inserts: false },
    KeptTable { name: "message", key: &["id"], inserts: true },
];

/// The same changes, of the table of this name.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn of_table(changes: Vec<RowChange>, table: &str) -> Vec<RowChange> {
    changes.into_iter().map(|change| RowChange { table: table.to_owned(), ..change }).collect()
}

fn column(target: &UndoTarget, name: &str) -> Option<String> {
    let change = target.changes.first()?;
    let row: serde_json::Value = serde_json::from_str(change.after.as_ref().or(change.before.as_ref())?).ok()?;
    row.get(name)?.as_str().map(str::to_owned)
}

#[async_trait]
impl Undoes for Sagas {
    const KIND: &'static str = "saga.undo";
    const BATCH: usize = 50;

    fn named(&self) -> &str {
        self.store.database()
    }

    async fn standings(&self, targets: &[UndoTarget]) -> Result<Vec<Standing>> {
        let models = self.models().await?;
        let rows: Vec<&[RowChange]> = targets.iter().map(|target| target.changes.as_slice()).collect();
        self.store.standings(&models, &rows).await
    }

    async fn take_back(
        &self,
        operation: OperationId,
        targets: &[UndoTarget],
        permit: &WritePermit,
    ) -> Result<Vec<Option<Vec<RowChange>>>> {
        let models = self.models().await?;
        let mut done = Vec::with_capacity(targets.len());
        for (at, target) in targets.iter().enumerate() {
            let back = TakenBack {
                changes: &target.changes,
                saga: column(target, "saga_id").or_else(|| column(target, "id")),
                operation,
                fresh: fresh(),
                input: rules::taken_back(permit.operation(), operation, permit.operator(), permit.reason()),
            };
            done.push(journal::among(&[at], self.store.take_back(&models, &back, permit)).await?);
        }
        Ok(done)
    }
}
