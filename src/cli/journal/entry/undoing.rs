//! What an undo of an operation puts back.

use std::collections::{BTreeMap, BTreeSet};

use sen_core::error::Result;
use sen_core::model::report::{Item, Outcome};
use sen_core::model::rows::both;
use sen_core::model::subject::Subject;
use sen_core::model::undo::UndoTarget;

use super::{Entry, UNTOLD};
use crate::journal::line::Line;
use crate::plans::PlanFile;

/// Of a target of an undo: what was done to it at first, and whether that was done again.
#[derive(serde::Deserialize)]
struct First {
    did: String,
    #[serde(default)]
    again: bool,
}

impl Entry {
    /// What an undo of it puts back, in the order of its plan, and what of it cannot be taken back, each with the reason.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn undoing(&self) -> Result<(Vec<UndoTarget>, Vec<Item>)> {
        let mut targets: BTreeMap<usize, UndoTarget> = BTreeMap::new();
        // Of an undo, what was done at first stands in its plan.
        let mut file = PlanFile::open(self.source().0)?;
        let first: Vec<First> = match &self.undo {
            Some(_) => file.plan()?.rows().collect::<Result<_>>()?,
            None => Vec::new(),
        };
        let target = |place: usize, subject: Subject, detail: String, changes| {
            let (did, again) = match first.get(place) {
                Some(First { did, again }) => (did.clone(), !again),
                None => (detail, false),
            };
            UndoTarget { subject, did, again, changes, warnings: Vec::new() }
        };
        // What the database's journal has was entered with the change itself, so it has all of it.
        let mut entered = BTreeSet::new();
        for line in self.lines()? {
            match line {
                Line::Settled { place, item, .. } if entered.contains(&place) => {
                    let Item { detail, lasting, .. } = item;
                    if lasting.is_some() {
                        targets.remove(&place);
                    } else if let (Some(target), true) = (targets.get_mut(&place), first.is_empty()) {
                        target.did = detail;
                    }
                }
                Line::Settled { place, item, .. } if item.changes.is_empty() => drop(targets.remove(&place)),
                Line::Settled { place, item, .. } => {
                    let Item { subject, detail, changes, .. } = item;
                    targets.insert(place, target(place, subject, detail, changes));
                }
                Line::Changed { place, subject, changes } => {
                    if entered.insert(place) {
                        let detail = targets.remove(&place).map_or_else(|| UNTOLD.to_owned(), |own| own.did);
                        targets.insert(place, target(place, subject, detail, changes));
                    } else if let Some(target) = targets.get_mut(&place) {
                        target.changes = both(std::mem::take(&mut target.changes), changes);
                    }
                }
                Line::Run { .. } | Line::Begun { .. } | Line::Ended { .. } => {}
            }
        }
        targets.retain(|_, target| !target.changes.is_empty());
        let refused = |(place, item): (&usize, &Item)| {
            if targets.contains_key(place) {
                return None;
            }
            let why = match item.outcome {
                Outcome::Applied => {
                    item.lasting.as_deref().unwrap_or("the journal does not have its rows as they were")
                }
                Outcome::Unknown => "it is not known whether it was written",
                Outcome::AlreadyDone if item.before => {
                    "it was written just before the operation was stopped, and the journal does not have its rows as they were"
                }
                _ => return None,
            };
            Some(Item::new(item.subject.clone(), Outcome::Changed, format!("cannot be taken back: {why}")))
        };
        let refused = self.settled.iter().filter_map(refused).collect();
        Ok((targets.into_values().collect(), refused))
    }
}
