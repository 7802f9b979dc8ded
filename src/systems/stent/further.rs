//! What a record is told to be only by further rows, read where it matters: the task that a dead letter was replayed as, and
//! the result with which an execution could be ended.

use crate::Stent;
use crate::codec::decode;
use crate::letters::note;
use crate::root::{REPLAYED, RESULT};
use crate::state::State;
use crate::verdict::NO_LETTER;
use crate::view;
use sen_model::error::Result;
use sen_model::record::Record;
use sen_model::subject::Kind;
use sen_model::verdict::NextCommand;

/// How much of a result is told in a sentence.
const SHOWN: usize = 200;

impl Stent {
    /// The task that the dead letter of a failed task was replayed as, by the record beside its execution.
    pub(crate) async fn replayed_as(&self, record: &Record) -> Result<Option<String>> {
        let Some(execution) = view::may_be_replayed(record) else { return Ok(None) };
        // What is newest comes first.
        let look = self.store.find(execution, 1000, true).await?;
        let progress = look.execution.map(|whole| whole.progress).unwrap_or_default();
        let mut details = progress.iter().rev().filter_map(|step| step.detail.as_deref());
        Ok(details.find_map(|detail| note::replayed_as(detail, &record.subject.id)))
    }

    /// The result of a task in one line, cut where it is long.
    pub(crate) async fn result_of(&self, task: &str) -> Result<Option<String>> {
        let look = self.store.find(task, 0, false).await?;
        let Some(result) = look.task.and_then(|task| task.result) else { return Ok(None) };
        let json = decode(&result).json;
        let mut told: String = json.chars().take(SHOWN).collect();
        if told.len() < json.len() {
            told.push('…');
        }
        Ok(Some(told))
    }

    /// Adds to the verdicts what further rows tell; `root` is the completed root task of the execution among the records.
    pub(crate) async fn complement(&self, records: &mut [Record], root: Option<&str>) -> Result<()> {
        for record in records {
            let stranded =
                record.subject.kind == Kind::Execution && record.verdict.state == State::Stranded.of_execution();
            if let Some(root) = root.filter(|_| stranded)
                && let Some(result) = self.result_of(root).await?
            {
                record.verdict.evidence.push(format!("{RESULT}{result}"));
            }
            if let Some(fresh) = self.replayed_as(record).await? {
                record.verdict.evidence.retain(|line| line != NO_LETTER);
                record.verdict.evidence.push(format!("its dead letter was{REPLAYED}{fresh}"));
                record.verdict.next.insert(0, NextCommand::new(&["sen", "why"], "the task of the replay").id(&fresh));
            }
        }
        Ok(())
    }
}
