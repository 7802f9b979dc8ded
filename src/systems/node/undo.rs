//! Taking back what was done to agent tasks: the whole hash comes back while it is exactly as the act left it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::OperationId;
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::undo::{Standing, UndoTarget, Undoes};

use crate::handle::Node;
use crate::port::Restored;

/// A hash as text, its fields in order; `None` where it cannot be told.
pub(crate) fn image(fields: Vec<(String, String)>) -> Option<String> {
    let fields: BTreeMap<String, String> = fields.into_iter().collect();
    (!fields.is_empty()).then(|| serde_json::to_string(&fields).ok()).flatten()
}

fn fields(image: Option<&String>) -> Result<Vec<(String, String)>> {
    let unreadable = || Error::new(ErrorKind::Unreadable, "a task that was kept cannot be read");
    let fields: BTreeMap<String, String> =
        serde_json::from_str(image.ok_or_else(unreadable)?).map_err(|error| unreadable().with_source(error))?;
    Ok(fields.into_iter().collect())
}

#[async_trait]
impl Undoes for Node {
    const KIND: &'static str = "node.undo";
    const BATCH: usize = 50;

    fn named(&self) -> &str {
        self.store.database()
    }

    async fn standings(&self, targets: &[UndoTarget]) -> Result<Vec<Standing>> {
        let ids: Vec<String> = targets.iter().map(|target| target.subject.id.clone()).collect();
        let now = self.store.hashes(&ids).await?;
        let standing = |(target, now): (&UndoTarget, Vec<(String, String)>)| {
            let change = target.changes.first();
            let (before, after) = (change.and_then(|one| one.before.clone()), change.and_then(|one| one.after.clone()));
            let status = now.iter().find(|(name, _)| name == "status").map(|(_, status)| status.clone());
            let now = image(now);
            if now.is_some() && now == after {
                Standing::AsLeft
            } else if now.is_some() && now == before {
                Standing::AsBefore
            } else {
                Standing::Changed(match (now, status) {
                    (None, _) => "it is gone".into(),
                    (_, Some(status)) => format!("it is {status} now, or has changed otherwise"),
                    (_, None) => "it has no status now".into(),
                })
            }
        };
        Ok(targets.iter().zip(now).map(standing).collect())
    }

    async fn take_back(
        &self,
        _: OperationId,
        targets: &[UndoTarget],
        permit: &WritePermit,
    ) -> Result<Vec<Option<Vec<RowChange>>>> {
        let mut done = Vec::with_capacity(targets.len());
        for target in targets {
            let Some(change) = target.changes.first() else {
                done.push(None);
                continue;
            };
            let (before, after) = (fields(change.before.as_ref())?, fields(change.after.as_ref())?);
            let restored = Restored { id: &target.subject.id, before: &before, after: &after };
            done.push(self.store.put_back(&restored, permit).await?.then(|| vec![change.reversed()]));
        }
        Ok(done)
    }
}
