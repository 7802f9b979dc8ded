//! What an undo of an operation puts back.

use std::collections::{BTreeMap, BTreeSet};

use sen_core::error::Result;
use sen_core::model::report::{Item, Outcome};
use sen_core::model::rows::{RowChange, both};
use sen_core::model::spool::Spool;
use sen_core::model::subject::Subject;
use sen_core::model::undo::UndoTarget;

use super::{Entry, UNTOLD};
use crate::journal::line::Line;
use crate::plans::PlanFile;

/// Of a target of an undo: what was done to it at first, and whether that was done again.
#[derive(serde::Serialize, serde::Deserialize)]
struct First {
    did: String,
    #[serde(default)]
    again: bool,
}

/// What is found of targets, line by line.
#[derive(Default)]
struct Found {
    /// Of an undo: what was done at first.
    first: Spool<First>,
    targets: Spool<UndoTarget>,
    /// Where the last that is known of a target stands among them.
    last: BTreeMap<usize, usize>,
    /// The targets of which the database's journal tells. It was entered with the changes themselves, so it has all of them, and
    /// a file of the same operation no more.
    entered: BTreeSet<usize>,
    /// What is entered of them, as long as it is not told what became of them.
    untold: BTreeMap<usize, UndoTarget>,
}

impl Found {
    fn target(&self, place: usize, subject: Subject, detail: String, changes: Vec<RowChange>) -> UndoTarget {
        let (did, again) = match self.first.get(place) {
            Ok(First { did, again }) => (did, !again),
            Err(_) => (detail, false),
        };
        UndoTarget { subject, did, again, changes, warnings: Vec::new() }
    }

    /// Keeps what is known of a target now.
    fn keep(&mut self, place: usize, target: &UndoTarget) -> Result<()> {
        if target.changes.is_empty() {
            self.last.remove(&place);
            return Ok(());
        }
        self.last.insert(place, self.targets.len());
        self.targets.push(target)
    }

    fn settled(&mut self, place: usize, item: Item) -> Result<()> {
        let Item { subject, detail, lasting, changes, .. } = item;
        if !self.entered.contains(&place) {
            let target = self.target(place, subject, detail, changes);
            return self.keep(place, &target);
        }
        let Some(mut target) = self.untold.remove(&place) else { return Ok(()) };
        if lasting.is_some() {
            target.changes.clear();
        }
        if self.first.is_empty() {
            target.did = detail;
        }
        self.keep(place, &target)
    }

    fn changed(&mut self, place: usize, subject: Subject, changes: Vec<RowChange>) -> Result<()> {
        let told = if self.entered.insert(place) { None } else { self.last.get(&place) };
        let told = told.map(|at| self.targets.get(*at)).transpose()?;
        let before = self.untold.remove(&place).or(told);
        let target = match before {
            Some(before) => UndoTarget { changes: both(before.changes.clone(), changes), ..before },
            None => self.target(place, subject, UNTOLD.to_owned(), changes),
        };
        self.untold.insert(place, target);
        Ok(())
    }
}

impl Entry {
    /// What an undo of it puts back, in the order of its plan, and what of it cannot be taken back, each with the reason.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn undoing(&self) -> Result<(Spool<UndoTarget>, Vec<Item>)> {
        let mut found = Found::default();
        if self.undo.is_some() {
            // Of an undo, what was done at first stands in its plan.
            found.first = Spool::of(PlanFile::open(self.source().0)?.plan()?.rows())?;
        }
        for line in self.lines()? {
            match line {
                Line::Settled { place, item, .. } => found.settled(place, item)?,
                Line::Changed { place, subject, changes } => found.changed(place, subject, changes)?,
                Line::Run { .. } | Line::Begun { .. } | Line::Ended { .. } => {}
            }
        }
        for (place, target) in std::mem::take(&mut found.untold) {
            found.keep(place, &target)?;
        }
        let Found { mut targets, last, .. } = found;
        let mut refused = Vec::new();
        for (place, outcome) in self.settled.outcomes().filter(|(place, _)| !last.contains_key(place)) {
            if !matches!(outcome, Outcome::Applied | Outcome::Unknown | Outcome::AlreadyDone) {
                continue;
            }
            let Some(item) = self.settled.get(place) else { continue };
            let why = match outcome {
                Outcome::Applied => {
                    item.lasting.as_deref().unwrap_or("the journal does not have its rows as they were")
                }
                Outcome::Unknown => "it is not known whether it was written",
                _ if item.before => {
                    "it was written just before the operation was stopped, and the journal does not have its rows as they were"
                }
                _ => continue,
            };
            let why = format!("cannot be taken back: {why}");
            refused.push(Item::new(item.subject.clone(), Outcome::Changed, why));
        }
        targets.arrange(last.into_values());
        Ok((targets, refused))
    }
}
