//! The set of letters that a plan has fixed, held compactly: a hundred thousand of them take three megabytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sen_model::rows::RowChange;
use sen_model::time::wall::Wall;
use uuid::Uuid;

use super::edit::Edited;

/// A letter of the set: what was seen of it, and the id of the task that its replay makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterRef {
    /// The letter's id.
    pub id: String,
    /// When it was moved, as seen.
    pub moved_at: Option<Wall>,
    /// The id of the task to be made.
    pub fresh: String,
    /// The other arguments with which it runs again.
    pub edit: Option<Arc<Edited>>,
}

impl DeadLetterRef {
    /// A letter as seen.
    pub fn new(id: impl Into<String>, moved_at: Option<Wall>) -> Self {
        let id = id.into();
        let fresh = fresh_id(&id, moved_at);
        Self { id, moved_at, fresh, edit: None }
    }
}

/// What became of a batch, by the places in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// These were changed.
    pub done: Vec<usize>,
    /// Unchanged and not locked, but the database kept the change out; for a replay also those whose
    /// executions are not in the required state.
    pub kept: Vec<usize>,
    /// The rows that were changed, as they were and as they were left.
    pub changes: BTreeMap<usize, Vec<RowChange>>,
}

/// The id of the task that a replay of this dead letter makes: the same for every operator and every try, so that it cannot be
/// made twice; a different one when it fails again.
pub fn fresh_id(id: &str, moved_at: Option<Wall>) -> String {
    // The namespace of names that are no domain, URL, OID or DN is one's own.
    const SPACE: Uuid = Uuid::from_u128(0x6f1b_58a4_3d0c_5b7e_9c41_2a77_d5e0_8b13);
    let when = moved_at.map(Wall::isoformat).unwrap_or_default();
    Uuid::new_v5(&SPACE, format!("{id}\n{when}").as_bytes()).to_string()
}

/// Where an id is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// A UUID in its usual spelling.
    Uuid([u8; 16]),
    /// Any other text, in `others`.
    Other(usize),
}

/// Letters, in the order they are to be taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetSet {
    letters: Vec<(Place, i64)>,
    others: Vec<String>,
    /// By place. Sets so large that memory matters are not edited.
    edits: BTreeMap<usize, Arc<Edited>>,
}

/// Stands for a missing time; no clock shows it.
const NO_TIME: i64 = i64::MIN + 1;

impl TargetSet {
    /// Adds a letter.
    pub fn push(&mut self, id: &str, moved_at: Option<Wall>) {
        let usual = Uuid::try_parse(id).ok().filter(|uuid| uuid.hyphenated().to_string() == id);
        let place = match usual {
            Some(uuid) => Place::Uuid(uuid.into_bytes()),
            None => {
                self.others.push(id.to_owned());
                Place::Other(self.others.len() - 1)
            }
        };
        self.letters.push((place, moved_at.map_or(NO_TIME, Wall::as_micros)));
    }

    /// Adds a letter that runs again with other arguments.
    pub fn push_edited(&mut self, id: &str, moved_at: Option<Wall>, edit: Edited) {
        self.push(id, moved_at);
        self.edits.insert(self.letters.len() - 1, Arc::new(edit));
    }

    /// The places of those that run again with other arguments.
    pub fn edited(&self) -> impl Iterator<Item = usize> + '_ {
        self.edits.keys().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// The letter at a place.
    pub fn get(&self, at: usize) -> Option<DeadLetterRef> {
        let (place, micros) = self.letters.get(at)?;
        let id = match place {
            Place::Uuid(bytes) => Uuid::from_bytes(*bytes).to_string(),
            Place::Other(at) => self.others.get(*at)?.clone(),
        };
        let letter = DeadLetterRef::new(id, (*micros != NO_TIME).then(|| Wall::from_micros(*micros)));
        Some(DeadLetterRef { edit: self.edits.get(&at).cloned(), ..letter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_come_back_as_they_were() {
        let mut chosen = TargetSet::default();
        let ids = ["3f2a8c1e-9d1c-4e5f-8a2b-3c4d5e6f7a8b", "3F2A8C1E-9D1C-4E5F-8A2B-3C4D5E6F7A8B", "order 7", ""];
        for (at, id) in ids.iter().enumerate() {
            chosen.push(id, (at > 0).then(|| Wall::from_micros(at as i64)));
        }
        for (at, id) in ids.iter().enumerate() {
            let wanted = chosen.get(at).unwrap();
            assert_eq!((wanted.id.as_str(), wanted.moved_at), (*id, (at > 0).then(|| Wall::from_micros(at as i64))));
        }
        assert_eq!((chosen.len(), chosen.get(4)), (4, None));
    }

    #[test]
    fn the_new_id_belongs_to_the_letter_and_its_death() {
        let at = |micros| Some(Wall::from_micros(micros));
        assert_eq!(fresh_id("a", at(1)), fresh_id("a", at(1)));
        assert_ne!(fresh_id("a", at(1)), fresh_id("a", at(2)));
        assert_ne!(fresh_id("a", at(1)), fresh_id("b", at(1)));
    }
}
