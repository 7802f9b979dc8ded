//! The neutral, object-safe trait that every coordinated system implements once, over whichever store it lives in.
//!
//! Nothing here names a database product or a table.

use std::any::Any;
use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use crate::activity::Activity;
use crate::cause::Explanation;
use crate::course::{Act, Followed, Now};
use crate::diagnostics::Diagnostics;
use crate::error::Result;
use crate::letters::{DeadLetters, LetterFilter};
use crate::live::Live;
use crate::prepared::{PreparedAction, SavedPlan};
use crate::record::{History, Record, StatedResult};
use crate::rows::RowChange;
use crate::subject::{Kind, Subject};
use crate::summary::{Counting, Statistics, Summary};
use crate::time::Timestamp;
use crate::timeline::Told;
use crate::undo::UndoRequest;

/// How long a store may search payloads for a name.
pub const SEARCH: std::time::Duration = std::time::Duration::from_secs(1);
/// How many records that mention it are read. Systems return one more where there are more, so that a cut is reported.
pub const MENTIONS: usize = 5;

/// What mentions a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Ids of records, one more than [`MENTIONS`] where there are more.
    pub ids: Vec<String>,
    /// Whether the search was given up before everything had been looked through.
    pub cut: bool,
}

/// A system of coordinated work in one database.
#[async_trait]
pub trait System: Any + Send + Sync {
    /// The system's name: `sentinel`.
    fn name(&self) -> &'static str;

    /// The database it stands in, without secrets, for people.
    fn database(&self) -> &str;

    /// Whether this database holds the system, by the columns of its tables: a look at the catalogue, nothing more.
    async fn present(&self) -> Result<bool>;

    /// Everything that has this key or id. `events` bounds the history that comes along.
    ///
    /// # Errors
    /// `NoSystem` when the database does not hold the system.
    async fn find(&self, id: &str, events: u32) -> Result<Vec<Record>>;

    /// The things of one `kind` under `id`, for a caller who names the system and so takes it to be there.
    ///
    /// # Errors
    /// `NoSystem` when the database does not hold the system.
    async fn show(&self, kind: Kind, id: &str, events: u32) -> Result<Vec<Record>> {
        let mut found = self.find(id, events).await?;
        found.retain(|one| one.subject.kind == kind);
        Ok(found)
    }

    /// Why everything that has this key or id is as it is. Systems add what they know beyond the verdict.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn explain(&self, id: &str) -> Result<Vec<Explanation>> {
        Ok(self.find(id, 0).await?.into_iter().map(Record::explained).collect())
    }

    /// The results that the rows of this key or id state: its own, and those of its steps that are done.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn stated_results(&self, id: &str) -> Result<Vec<StatedResult>> {
        let _ = id;
        Ok(Vec::new())
    }

    /// The id under which the work of `record` goes on, where an act gave it a new one: the task of a replayed dead letter.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn goes_on_as(&self, record: &Record) -> Result<Option<String>> {
        let _ = record;
        Ok(None)
    }

    /// What became of the work of targets that this act changed, in their order: one query for each kind, however many there are.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn courses(&self, act: &Act, targets: &[Followed]) -> Result<Vec<Now>> {
        let _ = act;
        Ok(targets.iter().map(|_| Now::unknown("it cannot be followed")).collect())
    }

    /// The error that a target had failed with, as the rows tell that an act changed.
    fn failed_with(&self, changes: &[RowChange]) -> Option<String> {
        let _ = changes;
        None
    }

    /// Which of these failed alike: a name for each, in their order.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn alike(&self, subjects: &[Subject]) -> Result<Vec<String>> {
        self.alike_letters(subjects).await
    }

    /// The same of dead letters: their groups.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn alike_letters(&self, subjects: &[Subject]) -> Result<Vec<String>> {
        let mut groups: HashMap<String, String> = HashMap::new();
        if let Some(letters) = self.letters() {
            let ids = subjects.iter().map(|subject| subject.id.clone()).collect();
            let mut parts = letters.list(&LetterFilter { ids, ..LetterFilter::default() }).await?.parts;
            while let Some(part) = parts.next().await {
                groups.extend(part?.into_iter().map(|letter| (letter.id, letter.group)));
            }
        }
        Ok(subjects.iter().map(|subject| groups.remove(&subject.id).unwrap_or_default()).collect())
    }

    /// Records that mention one of `names` in their payload: arguments, tags, a message's subject. What has not ended well
    /// comes first, then what has, the newest first. No index helps, so a store stops after [`SEARCH`], and matches must be
    /// verified: text within longer text counts.
    ///
    /// # Errors
    /// As [`Self::find`]; `Timeout` when there was too much to search through to find anything.
    async fn mentions(&self, names: &[String]) -> Result<Mentions> {
        let _ = names;
        Ok(Mentions::default())
    }

    /// Keys or ids that exist and look like `id`, the most similar first. Indexed look-ups only, never a scan.
    async fn suggest(&self, id: &str) -> Result<Vec<String>>;

    /// At most `limit` whole ids of `kind` that begin with `prefix`, in order: a range of an index, never a scan of everything.
    /// Where it cannot be told cheaply which these are, none.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn begin_with(&self, kind: Kind, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let _ = (kind, prefix, limit);
        Ok(Vec::new())
    }

    /// The newest `limit` events of one key, in time order (all of them when `None`).
    async fn history(&self, id: &str, limit: Option<u64>) -> Result<History>;

    /// Events of one key that occurred at or after `since`, in time order: for following.
    async fn history_since(&self, id: &str, since: Option<Timestamp>) -> Result<History>;

    /// What happened to these records of the system, each with at most its newest `most` events.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn timeline(&self, subjects: &[Subject], most: u32) -> Result<Told>;

    /// What is in this database, counted and judged.
    async fn summary(&self, counting: Counting) -> Result<Summary>;

    /// At most `limit` records that are being worked on or wait, in the order of the system's own pages: for those who watch.
    ///
    /// # Errors
    /// As [`Self::find`].
    async fn active(&self, limit: u64) -> Result<Vec<Activity>>;

    /// What got done within `window`, who works and what waits; `None` where a system keeps no such things.
    async fn stats(&self, _window: Duration, _counting: Counting) -> Result<Option<Statistics>> {
        Ok(None)
    }

    /// The plan that was saved, if it is one of this system: its targets are read, nothing is looked at.
    ///
    /// # Errors
    /// `Usage` when it is not one that this system has made.
    fn restore(&self, saved: SavedPlan<'_>) -> Result<Box<dyn PreparedAction + '_>>;

    /// The plan that takes an operation back, as far as nothing has happened on top.
    ///
    /// # Errors
    /// What the store reports.
    async fn plan_undo(&self, undo: UndoRequest) -> Result<Box<dyn PreparedAction + '_>> {
        let _ = undo;
        Err(crate::error::Error::usage("operations on this system cannot be taken back"))
    }

    /// What `sen doctor` examines of it: privileges, indexes, orphans.
    async fn diagnostics(&self) -> Result<Diagnostics> {
        Ok(Diagnostics::default())
    }

    /// At most `limit` values of this kind that begin with `prefix`, for shell completion; none of kinds that the system
    /// lacks. Must be cheap on any number of records: a range of an index, or nothing.
    ///
    /// # Errors
    /// What the store reports.
    async fn complete(&self, kind: Live, prefix: &str, limit: u32) -> Result<Vec<String>> {
        let _ = (kind, prefix, limit);
        Ok(Vec::new())
    }

    /// Its dead letters, where it keeps any.
    fn letters(&self) -> Option<&dyn DeadLetters> {
        None
    }
}
