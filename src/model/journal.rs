//! The journal in a database: what an operation does is entered in the transaction of each change, so that every operator finds
//! all of it. Where its tables are missing the operator's own file is all there is.
//!
//! Who writes does not know of it. Whoever applies a plan says which operation runs ([`keeping`]) and which targets are under way
//! ([`about`]); the store asks for that ([`current`]) when it commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::diagnostics::RequiredPrivilege;
use crate::error::{Error, ErrorKind, Result};
use crate::ident::OperationId;
use crate::permit::WritePermit;
use crate::report::{Item, Outcome};
use crate::rows::RowChange;
use crate::subject::{Kind, Subject};

/// What a transaction did to the rows of targets, by their places among those it is about.
pub type Changes = BTreeMap<usize, Vec<RowChange>>;

/// What an entry tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A target of the plan.
    Planned,
    /// The beginning of a run, with its brakes.
    Begun,
    /// What a transaction changed of a target.
    Changed,
    /// What became of a target.
    Settled,
    /// The end of a run.
    Ended,
}

impl EntryKind {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Begun => "begun",
            Self::Changed => "changed",
            Self::Settled => "settled",
            Self::Ended => "ended",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Planned, Self::Begun, Self::Changed, Self::Settled, Self::Ended]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// What it tells.
    pub kind: EntryKind,
    /// The target's place in the plan.
    pub place: Option<i64>,
    /// The target.
    pub subject: Option<String>,
    /// What became of it.
    pub outcome: Option<String>,
    /// The line of a journal in a file, where it is one.
    pub line: Option<String>,
    /// The rows that were changed, as they were and as they were left: JSON.
    pub rows: Option<String>,
}

impl Entered {
    /// A target of the plan, as the plan's file has it.
    pub fn planned(place: usize, line: &str) -> Self {
        Self { line: Some(ascii(line)), ..Self::of(EntryKind::Planned, Some(place)) }
    }

    fn of(kind: EntryKind, place: Option<usize>) -> Self {
        let place = place.and_then(|place| i64::try_from(place).ok());
        Self { kind, place, subject: None, outcome: None, line: None, rows: None }
    }
}

/// JSON in ASCII: a database in another encoding keeps it, too.
pub fn ascii(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            // Only a string of JSON holds any other.
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// An operation that runs, and what is still to be entered of it: that travels with its next change, or with its end.
#[derive(Debug)]
pub struct Running {
    /// The operation.
    pub operation: OperationId,
    /// Who applies it: another one as soon as somebody resumes it.
    pub run: String,
    /// The places in the plan of what is applied, where that is a part of it.
    places: Option<Vec<usize>>,
    pending: Mutex<Vec<Entered>>,
}

impl Running {
    /// A run of an operation.
    pub fn new(operation: OperationId, places: Option<Vec<usize>>) -> Arc<Self> {
        Arc::new(Self { operation, run: OperationId::fresh().to_string(), places, pending: Mutex::default() })
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Entered>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the target at this place of the plan, with its line in a file.
    pub fn settled(&self, place: usize, item: &Item, line: &str) {
        let entry = Entered {
            subject: Some(item.subject.to_string()),
            outcome: Some(item.outcome.name().to_owned()),
            line: Some(ascii(line)),
            ..Entered::of(EntryKind::Settled, Some(place))
        };
        self.pending().push(entry);
    }

    /// The beginning of the run, with its line in a file.
    pub fn begins(&self, line: &str) {
        self.pending().push(Entered { line: Some(ascii(line)), ..Entered::of(EntryKind::Begun, None) });
    }

    /// The end of the run, with its line in a file.
    pub fn ended(&self, line: &str) {
        self.pending().push(Entered { line: Some(ascii(line)), ..Entered::of(EntryKind::Ended, None) });
    }

    /// Takes what is to be entered; [`Self::keep`] gives it back where that failed.
    pub fn take(&self) -> Vec<Entered> {
        std::mem::take(&mut *self.pending())
    }

    /// Keeps what could not be entered. What a transaction changed that was not committed is nothing.
    pub fn keep(&self, entries: Vec<Entered>) {
        let kept = entries.into_iter().filter(|entry| entry.kind != EntryKind::Changed);
        self.pending().splice(0..0, kept);
    }
}

/// The operation that runs, and the targets under way.
#[derive(Debug, Clone)]
pub struct Current {
    /// The operation.
    pub running: Arc<Running>,
    targets: Arc<[(usize, Subject)]>,
}

impl Current {
    /// What is to be entered with a change that did this: also what became of earlier targets.
    pub fn entries(&self, changes: &Changes) -> Vec<Entered> {
        let mut entries = self.running.take();
        for (at, rows) in changes {
            debug_assert!(*at < self.targets.len(), "a change is of one of the targets under way");
            let Some((place, subject)) = self.targets.get(*at) else { continue };
            let place = self.running.places.as_ref().and_then(|places| places.get(*place)).unwrap_or(place);
            entries.push(Entered {
                subject: Some(subject.to_string()),
                outcome: Some(Outcome::Applied.name().to_owned()),
                rows: serde_json::to_string(rows).ok().map(|rows| ascii(&rows)),
                ..Entered::of(EntryKind::Changed, Some(*place))
            });
        }
        entries
    }
}

tokio::task_local! {
    static CURRENT: Current;
}

/// The operation whose journal is kept in the database and that runs here.
pub fn current() -> Option<Current> {
    CURRENT.try_with(Current::clone).ok()
}

/// Does `work`, whose changes are entered; without a `running` operation none are.
pub async fn keeping<T>(running: Option<Arc<Running>>, work: impl Future<Output = T>) -> T {
    match running {
        Some(running) => CURRENT.scope(Current { running, targets: Arc::new([]) }, work).await,
        None => work.await,
    }
}

/// Does `work` on these targets of the plan.
pub async fn about<T>(targets: impl FnOnce() -> Vec<(usize, Subject)>, work: impl Future<Output = T>) -> T {
    match current() {
        Some(Current { running, .. }) => CURRENT.scope(Current { running, targets: targets().into() }, work).await,
        None => work.await,
    }
}

/// Does `work` on those of the targets under way that stand at these places among them.
pub async fn among<T>(places: &[usize], work: impl Future<Output = T>) -> T {
    match current() {
        Some(Current { running, targets }) => {
            let targets = places.iter().filter_map(|place| targets.get(*place).cloned()).collect();
            CURRENT.scope(Current { running, targets }, work).await
        }
        None => work.await,
    }
}

/// Does `work` on another thread, as a part of what is done here.
pub fn beside<T>(current: Option<Current>, work: impl FnOnce() -> T) -> T {
    match current {
        Some(current) => CURRENT.sync_scope(current, work),
        None => work(),
    }
}

/// What became of the tables of these names, of which those were `made`.
pub fn tables(names: &[&'static str], made: &[&'static str]) -> Vec<Item> {
    let item = |name: &&'static str| {
        let (outcome, detail) = match made.contains(name) {
            true => (Outcome::Applied, "created"),
            false => (Outcome::AlreadyDone, "already there"),
        };
        Item::new(Subject::new("journal", Kind::Relation, *name), outcome, detail)
    };
    names.iter().map(item).collect()
}

/// What is said where another process applies the operation by now. To a change it is a refusal: nothing of the change is to be tried
/// another way.
pub fn gone_on_with(kind: ErrorKind) -> Error {
    Error::new(kind, "another process has resumed this operation meanwhile; nothing was written")
        .with_hint("sen op list   # how it stands now")
}

/// What the journal says of an operation beside its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its id.
    pub operation: String,
    /// Who applied it last.
    pub run: String,
    /// The first line of its plan.
    pub plan: String,
    /// Whether that run has ended.
    pub ended: bool,
}

/// An operation that begins.
#[derive(Debug)]
pub struct Begun<'a> {
    /// The first line of its plan.
    pub plan: &'a str,
    /// What is done, in a clause.
    pub what: &'a str,
    /// Who does it.
    pub who: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// How many targets there are.
    pub targets: u64,
}

/// The lines of a plan's targets.
pub type Targets<'a> = &'a mut (dyn Iterator<Item = Result<String>> + Send);

/// How many entries are written or read at once.
pub const CHUNK: usize = 500;

/// The tables of the journal in a database.
#[async_trait]
pub trait JournalStore: Send + Sync {
    /// The database, for people.
    fn named(&self) -> &str;

    /// The names of its tables, and whether they are there.
    async fn relations(&self) -> Result<Vec<(&'static str, bool)>>;

    /// What operators need to write it.
    fn needs(&self) -> Vec<RequiredPrivilege> {
        Vec::new()
    }

    /// The statements that make the tables, for whoever may.
    fn definition(&self) -> String;

    /// Makes what is missing of the tables.
    async fn init(&self, permit: &WritePermit) -> Result<Vec<Item>>;

    /// Enters the plan of an operation before anything is done. `Refused` when it was begun before.
    async fn begin(&self, running: &Running, begun: &Begun<'_>, targets: Targets<'_>) -> Result<()>;

    /// Goes on with an operation that was last applied by this run. `Changed` when somebody else has done so meanwhile.
    async fn resume(&self, running: &Running, seen: &str) -> Result<()>;

    /// Enters what is still to be entered.
    async fn end(&self, running: &Running) -> Result<()>;

    /// The newest operations, at most so many where there is a limit.
    async fn operations(&self, limit: Option<i64>) -> Result<Vec<Head>>;

    /// The next entries of these operations in the order of operations and of time, behind that of this number, with the numbers of
    /// their own; none at the end. `whole`: with their plans and rows.
    async fn page(
        &self,
        operations: &[String],
        behind: Option<&(String, i64)>,
        whole: bool,
    ) -> Result<Vec<(String, i64, Entered)>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    fn targets() -> Vec<(usize, Subject)> {
        (0..4).map(|place| (place, Subject::new("sentinel", Kind::Lease, format!("k{place}")))).collect()
    }

    #[test]
    fn a_change_is_entered_for_the_target_that_it_is_of() {
        let running = Running::new(OperationId::fresh(), Some(vec![10, 11, 12, 13]));
        let work = async { among(&[1, 3], async { current() }).await };
        let current = block(keeping(Some(Arc::clone(&running)), about(targets, work))).unwrap();
        let entered = current.entries(&Changes::from([(1, Vec::new())]));
        assert_eq!((entered[0].place, entered[0].subject.as_deref()), (Some(13), Some("sentinel:lease:k3")));
        assert!(block(about(targets, async { super::current() })).is_none(), "nothing runs");
    }

    #[test]
    fn what_was_not_committed_is_kept_but_for_the_change() {
        let running = Running::new(OperationId::fresh(), None);
        let item = Item::new(targets().remove(0).1, Outcome::Missing, "gone");
        running.settled(0, &item, "{\"é\":1}");
        let current = block(keeping(Some(Arc::clone(&running)), about(targets, async { current() }))).unwrap();
        let entered = current.entries(&Changes::from([(2, Vec::new())]));
        assert_eq!((entered.len(), entered[0].line.as_deref()), (2, Some("{\"\\u00e9\":1}")));
        running.keep(entered);
        assert_eq!(running.take().iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::Settled]);
    }
}
