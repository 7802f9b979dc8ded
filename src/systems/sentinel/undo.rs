//! Taking back what was done to leases.
//!
//! A lease gets back its status, its result and its token: the token that the act drew was given to nobody. A key that was
//! released or forgotten gets its row back only while it has none and no later claim of it is told by the events.

use async_trait::async_trait;
use sen_model::error::Result;
use sen_model::ident::OperationId;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::undo::{Standing, UndoTarget, Undoes};

use crate::handle::Sentinel;
use crate::port::TakenBack;

/// How many events are read to tell who was given a result.
const RECENT: u32 = 50;

fn field(image: Option<&String>, name: &str) -> Option<serde_json::Value> {
    let row: serde_json::Value = serde_json::from_str(image?).ok()?;
    row.get(name).cloned()
}

/// What goes with the rows of a target that is taken back.
fn taken_back<'a>(target: &'a UndoTarget, operation: OperationId, permit: &WritePermit) -> TakenBack<'a> {
    let change = target.changes.first();
    let (before, after) = (change.and_then(|one| one.before.as_ref()), change.and_then(|one| one.after.as_ref()));
    let token = |image| field(image, "fencing_token").and_then(|token| token.as_i64());
    let status = field(before, "status");
    let event = match status.as_ref().and_then(|status| status.as_str()) {
        Some("executing") => "executing",
        Some("reconciling") => "reconciling",
        Some("completed") => "completed",
        Some(_) => "acquired",
        None => "released",
    };
    let note = serde_json::json!({
        "tool": "sen",
        "act": "undo",
        "operation": permit.operation().to_string(),
        "of": operation.to_string(),
        "who": permit.operator(),
        "why": permit.reason(),
    });
    TakenBack {
        key: &target.subject.id,
        changes: &target.changes,
        event,
        token: token(before.or(after)).unwrap_or_default(),
        above: if after.is_some() { i64::MAX } else { token(before).unwrap_or_default() },
        note: note.to_string(),
    }
}

#[async_trait]
impl Undoes for Sentinel {
    const KIND: &'static str = "sentinel.undo";
    const BATCH: usize = 100;

    fn named(&self) -> &str {
        self.store.database()
    }

    async fn standings(&self, targets: &[UndoTarget]) -> Result<Vec<Standing>> {
        let rows: Vec<&[RowChange]> = targets.iter().map(|target| target.changes.as_slice()).collect();
        let mut standings = self.store.standings(&rows).await?;
        // A row that is gone looks the same whatever has happened to its key meanwhile; the events tell.
        let gone = |target: &UndoTarget| target.changes.iter().all(|change| change.after.is_none());
        for (target, standing) in targets.iter().zip(&mut standings) {
            if *standing == Standing::AsLeft && gone(target) {
                let last = field(target.changes.first().and_then(|one| one.before.as_ref()), "fencing_token");
                let look = self.store.look(&target.subject.id, 1).await?;
                let newest = look.events.and_then(|events| events.rows.last()?.fencing_token);
                if newest > last.and_then(|token| token.as_i64()) {
                    *standing = Standing::Changed("the key has been claimed, and released, again".into());
                }
            }
        }
        Ok(standings)
    }

    async fn take_back(
        &self,
        operation: OperationId,
        targets: &[UndoTarget],
        permit: &WritePermit,
    ) -> Result<Vec<Option<Vec<RowChange>>>> {
        let wanted: Vec<TakenBack<'_>> = targets.iter().map(|target| taken_back(target, operation, permit)).collect();
        let done = self.store.take_back(&wanted, permit).await?;
        let reversed = |target: &UndoTarget| target.changes.iter().map(RowChange::reversed).collect();
        Ok(targets.iter().zip(done).map(|(target, done)| done.then(|| reversed(target))).collect())
    }

    async fn warnings(&self, targets: &[UndoTarget]) -> Result<Vec<Vec<String>>> {
        let keys: Vec<String> = targets.iter().map(|target| target.subject.id.clone()).collect();
        let looks = self.store.look_all(&keys, RECENT).await?;
        let told = |(target, look): (&UndoTarget, crate::port::Look)| {
            let after = target.changes.first().and_then(|one| one.after.as_ref());
            if field(after, "status").as_ref().and_then(|status| status.as_str()) != Some("completed") {
                return Vec::new();
            }
            let events = look.events.map(|events| events.rows).unwrap_or_default();
            let completed = events.iter().rposition(|event| event.event == "completed");
            let behind = completed.map_or(&[][..], |at| &events[at + 1..]);
            // A caller that finds a result is told in the events as rejected.
            let given = behind.iter().filter(|event| event.event == "rejected").count();
            let callers = if given == 1 { "1 caller has" } else { "callers have" };
            let several = if given > 1 { format!("{given} ") } else { String::new() };
            if given == 0 {
                return Vec::new();
            }
            vec![format!("{several}{callers} been given the result that is taken back")]
        };
        Ok(targets.iter().zip(looks).map(told).collect())
    }
}
