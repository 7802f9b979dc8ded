//! Tasks that other tools made of the same dead letters at the same time: they are found and reported.

use std::collections::{HashMap, HashSet};

use sen_model::error::Result;
use sen_model::observe::Observer;
use sen_model::report::{Item, Outcome, Report};

use super::handle::StentLetters;
use super::targets::{DeadLetterRef, TargetSet};
use crate::names;

/// How many tasks are looked up at once in the search for copies.
const SOUGHT: usize = 1000;
/// From this many dead letters on, one pass over all tasks finds copies faster than a query for each.
const MANY: usize = 5000;

impl StentLetters {
    /// Another tool can replay the same dead letters at the same time; the tasks it made are reported.
    pub(super) async fn report_copies(
        &self,
        chosen: &TargetSet,
        applied: &[u32],
        activities: bool,
        report: &mut Report,
        observer: &dyn Observer,
    ) {
        let copies = if applied.len() > MANY && !activities {
            self.twins_of(chosen, applied).await
        } else {
            self.copies_of(chosen, applied).await
        };
        let foreign = match copies {
            Ok(copies) => self.foreign(chosen, copies).await,
            Err(error) => Err(error),
        };
        match foreign {
            Ok(copies) => {
                for (ours, other) in copies {
                    let task = names::task(&other);
                    let why = format!(
                        "a second task that does the work of {ours}: probably another tool replayed the dead letter, too"
                    );
                    report.items.push(Item::new(task, Outcome::Changed, why));
                }
            }
            Err(error) => {
                observer.say(&format!("cannot see whether another tool replayed the same dead letters: {error}"));
            }
        }
    }

    /// Those of these pairs whose second task no replay of this program made. What one of this set made has the id that follows
    /// from its letter; what an earlier one made is named in the record beside its execution.
    async fn foreign(&self, chosen: &TargetSet, mut copies: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
        if copies.is_empty() {
            return Ok(copies);
        }
        let own: HashSet<String> = (0..chosen.len()).filter_map(|at| chosen.get(at)).map(|one| one.fresh).collect();
        copies.retain(|(_, other)| !own.contains(other));
        let others: Vec<String> = copies.iter().map(|(_, other)| other.clone()).collect();
        let mut recorded = HashSet::new();
        for some in others.chunks(SOUGHT) {
            recorded.extend(self.store.recorded(some).await?);
        }
        copies.retain(|(_, other)| !recorded.contains(other));
        Ok(copies)
    }

    async fn copies_of(&self, chosen: &TargetSet, applied: &[u32]) -> Result<Vec<(String, String)>> {
        let mut copies = Vec::new();
        for some in applied.chunks(SOUGHT) {
            let letters: Vec<DeadLetterRef> = some.iter().filter_map(|at| chosen.get(*at as usize)).collect();
            copies.extend(self.store.copies(&letters).await?);
        }
        Ok(copies)
    }

    async fn twins_of(&self, chosen: &TargetSet, applied: &[u32]) -> Result<Vec<(String, String)>> {
        let twins = self.store.twins().await?;
        if twins.is_empty() {
            return Ok(Vec::new());
        }
        let ours: HashSet<String> =
            applied.iter().filter_map(|at| chosen.get(*at as usize)).map(|wanted| wanted.fresh).collect();
        let mut made: HashMap<&str, &str> = HashMap::new();
        for (execution, task) in twins.iter().filter(|(_, task)| ours.contains(task)) {
            made.insert(execution, task);
        }
        let copy = |(execution, task): &(String, String)| {
            let ours = made.get(execution.as_str()).filter(|ours| *ours != task)?;
            Some(((*ours).to_owned(), task.clone()))
        };
        Ok(twins.iter().filter_map(copy).collect())
    }
}
