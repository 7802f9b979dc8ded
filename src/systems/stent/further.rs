//! What a record is told to be only by further rows, read where it matters: the task that a dead letter was replayed as, and
//! the result with which an execution could be ended.

use crate::Stent;
use crate::codec::decode;
use crate::letters::note;
use crate::port::Look;
use crate::state::State;
use crate::verdict;
use sen_model::error::Result;

/// How much of a result is told in a sentence.
const SHOWN: usize = 200;

impl Stent {
    /// Reads what only further rows tell of what was looked for.
    pub(crate) async fn look_further(&self, look: &mut Look) -> Result<()> {
        let now = self.zone.wall(look.now);
        if let Some(whole) = look.execution.as_ref().filter(|whole| verdict::whole(whole, now) == State::Stranded)
            && let Some(root) = whole.completed_root()
        {
            look.more.root_result = self.result_of(&root.id.clone()).await?;
        }
        if look.letter.is_none()
            && let Some(task) = look.task.as_ref().filter(|task| verdict::task(task, now) == State::Failed)
            && let Some(execution) = &task.execution_id
        {
            look.more.replayed_as = self.replayed_as(execution, &task.id).await?;
        }
        Ok(())
    }

    /// The task that a dead letter of an execution was replayed as, by the record beside the execution.
    pub(crate) async fn replayed_as(&self, execution: &str, letter: &str) -> Result<Option<String>> {
        // What is newest comes first.
        let look = self.store.find(execution, 1000, true).await?;
        let progress = look.execution.map(|whole| whole.progress).unwrap_or_default();
        let mut details = progress.iter().rev().filter_map(|step| step.detail.as_deref());
        Ok(details.find_map(|detail| note::replayed_as(detail, letter)))
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
}
