//! Results that rows state: the outputs of the steps that are done and were not rolled back. Pure.

use super::port::Observed;
use super::record::Entry;
use sen_model::record::StatedResult;

/// The outputs of a saga's steps.
pub(super) fn of(seen: &Observed) -> Vec<StatedResult> {
    let undone = |entry: &Entry| seen.steps.iter().any(|other| other.compensates() && other.step_id == entry.step_id);
    let done = seen.steps.iter().filter(|entry| entry.executes() && entry.is("SUCCESS") && !undone(entry));
    done.filter_map(|entry| {
        let json = entry.output.clone().filter(|json| json != "null")?;
        Some(StatedResult { json, source: format!("step {} of saga {}", entry.step_id, seen.saga.id) })
    })
    .collect()
}
