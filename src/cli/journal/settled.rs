//! What became of the targets of an operation: of a large one more than memory should hold.

use std::collections::BTreeMap;

use sen_core::error::Result;
use sen_core::model::report::{Item, Outcome};
use sen_core::model::spool::Spool;

/// What became of targets, by their places in the plan.
#[derive(Default)]
pub struct Settled {
    places: BTreeMap<usize, (Outcome, u32)>,
    items: Spool<Item>,
}

impl Settled {
    /// Notes what became of a target, instead of what was noted before.
    ///
    /// # Errors
    /// As [`Spool::push`].
    pub fn insert(&mut self, place: usize, item: &Item) -> Result<()> {
        self.places.insert(place, (item.outcome, u32::try_from(self.items.len()).unwrap_or(u32::MAX)));
        self.items.push(item)
    }

    /// Of how many targets that is known.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// How this target ended.
    pub fn outcome(&self, place: usize) -> Option<Outcome> {
        self.places.get(&place).map(|(outcome, _)| *outcome)
    }

    /// How each ended, by its place.
    pub fn outcomes(&self) -> impl Iterator<Item = (usize, Outcome)> + '_ {
        self.places.iter().map(|(place, (outcome, _))| (*place, *outcome))
    }

    /// What became of this target.
    pub fn get(&self, place: usize) -> Option<Item> {
        let (_, at) = self.places.get(&place)?;
        self.items.get(usize::try_from(*at).ok()?).ok()
    }

    /// What became of each, in the order of the plan.
    pub fn values(&self) -> impl Iterator<Item = Item> + '_ {
        self.places.keys().filter_map(|place| self.get(*place))
    }
}
