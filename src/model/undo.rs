//! Taking an operation back: each target's rows are put back as they were before the act, where they are still exactly as
//! the act left them.
//!
//! An act keeps, of each row that it changes, the row as it was and the row as the act left it ([`RowChange`]), read in the
//! transaction of the change. They are all that an undo needs, so every system takes back what it did by the same steps.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::batch::{Pace, Targets, run_batch};
use crate::error::{Error, Result};
use crate::ident::OperationId;
use crate::journal;
use crate::permit::WritePermit;
use crate::plan::{Plan, Risk, Set, Step};
use crate::prepared::{Action, Apply, Applying, Prepared, PreparedAction};
use crate::report::{Item, Outcome, Report, suppressed};
use crate::rows::RowChange;
use crate::spool::{Named, Spool};
use crate::subject::{Kind, Subject};
use crate::value::Value;

/// Something that an operation changed, with the rows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoTarget {
    /// What it is.
    pub subject: Subject,
    /// What was done to it at first, as the report said.
    pub did: String,
    /// Whether it was taken back before and is now done again.
    #[serde(default)]
    pub again: bool,
    /// Its rows.
    pub changes: Vec<RowChange>,
    /// What the operator must know before consenting.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What is to be taken back.
pub struct UndoRequest {
    /// The operation.
    pub operation: OperationId,
    /// What was done at first, in a clause: of an undo, what it took back.
    pub first: String,
    /// What it changed.
    pub targets: Spool<UndoTarget>,
    /// What of it cannot be taken back, with the reason.
    pub refused: Vec<Item>,
}

/// What is the same for all targets of an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoHead {
    /// The operation that is taken back.
    pub operation: OperationId,
    /// What was done at first, in a clause.
    pub first: String,
}

/// An operation taken back, as far as nothing has happened on top.
#[derive(Debug)]
pub struct UndoAction<S> {
    head: UndoHead,
    targets: Spool<UndoTarget>,
    of: PhantomData<fn() -> S>,
}

impl<S> PartialEq for UndoAction<S> {
    fn eq(&self, other: &Self) -> bool {
        let all = |action: &Self| action.targets.iter().collect::<Result<Vec<_>>>().ok();
        self.head == other.head && all(self) == all(other)
    }
}

impl<S: Undoes> Action for UndoAction<S> {
    const KIND: &'static str = S::KIND;
    type Head = UndoHead;
    type Target = UndoTarget;

    fn head(&self) -> UndoHead {
        self.head.clone()
    }

    fn targets(&self) -> impl Iterator<Item = UndoTarget> + '_ {
        // What cannot be read is missed by whoever counts them.
        self.targets.iter().map_while(Result::ok)
    }

    fn count(&self) -> u64 {
        self.lines()
    }

    fn lines(&self) -> u64 {
        self.targets.len() as u64
    }

    fn build(head: UndoHead, targets: impl Iterator<Item = Result<UndoTarget>>) -> Result<Self> {
        Ok(Self { head, targets: Spool::of(targets)?, of: PhantomData })
    }

    fn steps(&self) -> impl Iterator<Item = Step> + Send + '_ {
        // The plan of more names a set.
        let few = if self.targets.len() <= NAMED { self.targets.len() } else { 0 };
        (0..few).filter_map(|at| self.targets.get(at).ok()).map(|target| {
            let mut step = Step::new(target.subject.clone(), "take_back");
            let tables: BTreeSet<&str> = target.changes.iter().map(|change| change.table.as_str()).collect();
            let tables = tables.into_iter().collect::<Vec<_>>().join(", ");
            step.guard.push(("rows_as_left", Value::Text(tables)));
            step.warnings.push(format!("what was done: {}", target.did));
            step.warnings.extend(target.warnings.iter().cloned());
            step
        })
    }
}

/// How the rows of a target stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Exactly as the act left them.
    AsLeft,
    /// As they were before the act.
    AsBefore,
    /// Otherwise: what is there now.
    Changed(String),
}

/// What is told of a row that is not as it was left.
pub fn otherwise(table: &str, state: &str) -> String {
    match state {
        "gone" => format!("its row in {table} is gone"),
        "" | "another" => format!("its row in {table} has changed"),
        state => format!("its row in {table} is {state} now, or has changed otherwise"),
    }
}

/// A system that takes back what was done in it.
#[async_trait]
pub trait Undoes: Send + Sync {
    /// [`Action::KIND`] of its undo.
    const KIND: &'static str;
    /// How many targets are taken back in one transaction.
    const BATCH: usize;

    /// The database, for people.
    fn named(&self) -> &str;

    /// How each of these stands, in their order.
    async fn standings(&self, targets: &[UndoTarget]) -> Result<Vec<Standing>>;

    /// Takes back those of these that are exactly as the act left them, each whole or not at all, in one transaction with
    /// its record. What it changed of each; `None` where nothing was written.
    async fn take_back(
        &self,
        operation: OperationId,
        targets: &[UndoTarget],
        permit: &WritePermit,
    ) -> Result<Vec<Option<Vec<RowChange>>>>;

    /// What the operator must know of each before consenting.
    async fn warnings(&self, targets: &[UndoTarget]) -> Result<Vec<Vec<String>>> {
        Ok(vec![Vec::new(); targets.len()])
    }
}

/// Of more targets than these a plan names a few.
const NAMED: usize = 20;
/// How many.
const SAMPLE: usize = 5;

/// Targets that are taken back, and what is said of all of them.
#[derive(Default)]
struct Kept {
    targets: Spool<UndoTarget>,
    sample: Vec<String>,
    warnings: BTreeMap<String, usize>,
    /// How many of them were taken back before.
    again: usize,
}

impl Kept {
    fn push(&mut self, target: &UndoTarget) -> Result<()> {
        if self.sample.len() < SAMPLE {
            self.sample.push(format!("{}  {}", target.subject.id, target.did));
        }
        target.warnings.iter().for_each(|one| *self.warnings.entry(one.clone()).or_default() += 1);
        self.again += usize::from(target.again);
        self.targets.push(target)
    }

    /// The set that a plan of many targets names: a few of them, and what must be known of any, with how many that is true of.
    fn set(&self) -> Option<Set> {
        let warnings = self.warnings.iter().map(|(warning, count)| format!("{count} of them: {warning}")).collect();
        let set = Set { sample: self.sample.clone(), warnings, asked: true, ..Set::default() };
        (self.targets.len() > NAMED).then_some(set)
    }
}

/// How often what another transaction holds is tried again.
const ROUNDS: u32 = 5;

fn not_as_left(target: &UndoTarget, standing: Standing) -> Item {
    let subject = target.subject.clone();
    match standing {
        Standing::AsLeft => Item::still(subject),
        Standing::AsBefore => Item::new(subject, Outcome::AlreadyDone, "it is as it was before the operation"),
        Standing::Changed(now) => {
            Item::new(subject, Outcome::Changed, format!("it has changed since the operation: {now}"))
        }
    }
}

/// Looks at every target, and says what would be taken back.
///
/// # Errors
/// What the store reports.
pub async fn plan<S: Undoes>(system: &S, request: UndoRequest) -> Result<Box<dyn PreparedAction + '_>> {
    let UndoRequest { operation, first, targets, refused } = request;
    // It changes rows that a worker may be about to take.
    let mut plan = Plan::new(system.named(), Risk::Dangerous);
    plan.refused = refused;
    let asked = targets.len() as u64;
    let mut kept = Kept::default();
    let mut targets = targets.iter().peekable();
    while targets.peek().is_some() {
        let part = targets.by_ref().take(S::BATCH).collect::<Result<Vec<UndoTarget>>>()?;
        let (standings, warnings) = (system.standings(&part).await?, system.warnings(&part).await?);
        for ((mut target, standing), warnings) in part.into_iter().zip(standings).zip(warnings) {
            if standing == Standing::AsLeft {
                target.warnings = warnings;
                kept.push(&target)?;
            } else {
                plan.refused.push(not_as_left(&target, standing));
            }
        }
    }
    plan.set = kept.set();
    let redone = !kept.targets.is_empty() && kept.again == kept.targets.len();
    let action =
        UndoAction { head: UndoHead { operation, first: first.clone() }, targets: kept.targets, of: PhantomData };
    let operation = operation.to_string();
    let short = operation.get(..8).unwrap_or_default().to_owned();
    Ok(Prepared::boxed(system, plan, action, |count| match redone {
        true if count == asked => format!("redo: {first}"),
        true => format!("redo {count} of {asked}: {first}"),
        false => format!("take back {count} of operation {short} ({first})"),
    }))
}

/// Targets that are taken back.
struct TakingBack<'a, S: Undoes> {
    system: &'a S,
    action: &'a UndoAction<S>,
    permit: &'a WritePermit,
}

/// What became of a target: what was changed of it, that nothing was written, or why that is not known or not so.
type Taken = Result<Option<Vec<RowChange>>>;

impl<S: Undoes> TakingBack<'_, S> {
    /// One transaction for these; where one of them makes it fail, one for each. An error is that of its own transaction: what
    /// was committed before it stays told as done.
    async fn taken(&self, targets: &[UndoTarget]) -> Result<Vec<Taken>> {
        let operation = self.action.head.operation;
        let of_a_row = |error: &Error| {
            error.sqlstate().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
                || error.kind() == crate::error::ErrorKind::KeptOut
        };
        match self.system.take_back(operation, targets, self.permit).await {
            Err(error) if of_a_row(&error) && targets.len() == 1 => Ok(vec![Ok(None)]),
            Err(error) if of_a_row(&error) => {
                let mut taken = Vec::with_capacity(targets.len());
                for (at, target) in targets.iter().enumerate() {
                    let alone = self.system.take_back(operation, std::slice::from_ref(target), self.permit);
                    let one = journal::among(&[at], alone).await;
                    taken.push(match one {
                        Ok(mut one) => Ok(one.pop().flatten()),
                        Err(error) if of_a_row(&error) => Ok(None),
                        Err(error) => Err(error),
                    });
                }
                Ok(taken)
            }
            done => Ok(done?.into_iter().map(Ok).collect()),
        }
    }

    /// What was not taken back, and how it stands now.
    fn left(target: &UndoTarget, standing: Standing) -> Item {
        if standing == Standing::AsLeft {
            let tables: BTreeSet<&str> = target.changes.iter().map(|change| change.table.as_str()).collect();
            let tables = tables.into_iter().collect::<Vec<_>>().join(", ");
            return Item::new(target.subject.clone(), Outcome::Changed, suppressed(&tables)).again(ROUNDS);
        }
        let mut item = not_as_left(target, standing);
        if item.outcome == Outcome::Changed {
            item.detail += "; nothing was written";
        }
        item
    }
}

#[async_trait]
impl<S: Undoes> Targets for TakingBack<'_, S> {
    fn subject(&self, place: usize) -> Subject {
        let named: Result<Named> = self.action.targets.part(place);
        named.map_or_else(|_| Subject::new("journal", Kind::Name, "?"), |named| named.subject)
    }

    async fn apply(&mut self, places: &[usize]) -> Result<Vec<Item>> {
        let targets =
            places.iter().map(|place| self.action.targets.get(*place)).collect::<Result<Vec<UndoTarget>>>()?;
        let taken = self.taken(&targets).await?;
        let left = |taken: &Taken| matches!(taken, Ok(None));
        let open: Vec<UndoTarget> =
            targets.iter().zip(&taken).filter(|(_, taken)| left(taken)).map(|(target, _)| target.clone()).collect();
        // What was written is told as written, whatever becomes of this further look.
        let standings = if open.is_empty() { Ok(Vec::new()) } else { self.system.standings(&open).await };
        let mut standings = standings.map(Vec::into_iter);
        let items = targets.iter().zip(taken).map(|(target, taken)| match (taken, &mut standings) {
            (Ok(Some(changes)), _) => {
                let what = if target.again { "done again" } else { "taken back" };
                let told = format!("{what}: {}", target.did);
                Item::new(target.subject.clone(), Outcome::Applied, told).changing(changes)
            }
            (Err(error), _) => Item::failed(target.subject.clone(), &error),
            (Ok(None), Ok(standings)) => Self::left(target, standings.next().unwrap_or(Standing::AsLeft)),
            (Ok(None), Err(error)) => Item::failed(target.subject.clone(), error),
        });
        Ok(items.collect())
    }
}

#[async_trait]
impl<S: Undoes> Apply<UndoAction<S>> for S {
    async fn apply(&self, plan: &Plan, action: UndoAction<S>, applying: Applying<'_>) -> Result<Report> {
        let Applying { permit, observer, .. } = applying;
        let mut targets = TakingBack { system: self, action: &action, permit };
        let pace = Pace::bulk(S::BATCH, None);
        Ok(run_batch(&mut [&mut targets], plan, action.targets.len(), pace, permit, observer).await)
    }

    async fn check(&self, action: &UndoAction<S>) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(action.targets.len());
        let mut targets = action.targets.iter().peekable();
        while targets.peek().is_some() {
            let part = targets.by_ref().take(S::BATCH).collect::<Result<Vec<UndoTarget>>>()?;
            let standings = self.standings(&part).await?;
            items.extend(part.iter().zip(standings).map(|(target, standing)| not_as_left(target, standing)));
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::ErrorKind;
    use crate::permit::Consent;

    /// How a transaction ends: what it left of each target.
    type End = Result<Vec<Option<Vec<RowChange>>>>;

    /// A system whose transactions end as told, one after the other.
    struct Scripted {
        ends: Mutex<Vec<End>>,
        looks: Result<(), ErrorKind>,
    }

    #[async_trait]
    impl Undoes for Scripted {
        const KIND: &'static str = "scripted.undo";
        const BATCH: usize = 10;

        fn named(&self) -> &str {
            "nowhere"
        }

        async fn standings(&self, targets: &[UndoTarget]) -> Result<Vec<Standing>> {
            self.looks.map_err(|kind| Error::new(kind, "the look failed"))?;
            Ok(vec![Standing::Changed("it is otherwise".into()); targets.len()])
        }

        async fn take_back(&self, _: OperationId, _: &[UndoTarget], _: &WritePermit) -> End {
            self.ends.lock().unwrap().remove(0)
        }
    }

    fn outcomes(ends: Vec<End>, looks: Result<(), ErrorKind>) -> Vec<Outcome> {
        let target = |id: &str| UndoTarget {
            subject: Subject::new("sentinel", Kind::Lease, id),
            did: "released".into(),
            again: false,
            changes: Vec::new(),
            warnings: Vec::new(),
        };
        let system = Scripted { ends: Mutex::new(ends), looks };
        let targets = vec![target("a"), target("b"), target("c")];
        let action = UndoAction::<Scripted> {
            head: UndoHead { operation: OperationId::fresh(), first: "release 3 keys".into() },
            targets: Spool::of(targets.into_iter().map(Ok)).unwrap(),
            of: PhantomData,
        };
        let permit = WritePermit::grant(&Plan::new("nowhere", Risk::Dangerous), Consent::InAdvance, None).unwrap();
        let mut taking = TakingBack { system: &system, action: &action, permit: &permit };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let items = runtime.block_on(taking.apply(&[0, 1, 2])).unwrap();
        items.into_iter().map(|item| item.outcome).collect()
    }

    #[test]
    fn what_was_committed_is_told_as_done_whatever_comes_after_it() {
        let written = || Ok(vec![Some(Vec::new())]);
        let error = |kind| Err(Error::new(kind, "no"));
        let batch = || error(ErrorKind::KeptOut);
        let ends = vec![batch(), written(), error(ErrorKind::OutcomeUnknown), error(ErrorKind::Disconnected)];
        assert_eq!(outcomes(ends, Ok(())), [Outcome::Applied, Outcome::Unknown, Outcome::Failed]);
        let ends = vec![Ok(vec![Some(Vec::new()), None, Some(Vec::new())])];
        let looked = outcomes(ends, Err(ErrorKind::Disconnected));
        assert_eq!(looked, [Outcome::Applied, Outcome::Failed, Outcome::Applied]);
        let ends = vec![batch(), written(), batch(), written()];
        assert_eq!(outcomes(ends, Ok(())), [Outcome::Applied, Outcome::Changed, Outcome::Applied]);
    }
}
