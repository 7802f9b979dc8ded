//! What happened to a key or id and to everything it is related to, in one order of time.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::why::{Link, why};
use crate::registry::Database;
use sen_model::error::{ErrorKind, Result};
use sen_model::subject::{Kind, Subject};
use sen_model::time::Timestamp;
use sen_model::timeline::{TimelineEntry, Told, ordered};

/// What happened, in order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// The entries.
    pub entries: Vec<TimelineEntry>,
    /// The records they are of, and how each was found.
    pub links: Vec<Link>,
    /// Whether there are more related records than were looked up.
    pub cut: bool,
    /// Whether the search for records that mention the key was given up.
    pub unsearched: bool,
    /// The database's clock when they were read.
    pub now: Option<Timestamp>,
}

/// Finds the records that [`why`] finds, then reads what happened to them, at most the newest `most` events of each, in one
/// transaction.
///
/// # Errors
/// As [`why`].
pub async fn timeline(database: &Database, id: &str, most: u32) -> Result<Timeline> {
    let chain = why(database, id).await?;
    let mut subjects: Vec<Subject> = chain.links.iter().map(|link| link.explanation.subject.clone()).collect();
    // The events of a key outlive its lease.
    let key = Subject::new(sen_sentinel::NAME, Kind::Lease, id);
    if !subjects.contains(&key) {
        subjects.push(key);
    }
    let asked = database.systems().filter_map(|system| {
        let of_it: Vec<Subject> = subjects.iter().filter(|one| one.system == system.name()).cloned().collect();
        (!of_it.is_empty()).then_some((system, of_it))
    });
    let asked: Vec<_> = asked.collect();
    let questions = asked.iter().map(|(system, subjects)| system.timeline(subjects, most));
    let (mut entries, mut now) = (Vec::new(), None);
    for ((system, _), answer) in asked.iter().zip(database.together(join_all(questions)).await) {
        match database.seen(system.name(), answer) {
            Ok(found) => {
                let Told { now: then, entries: told } = found.unwrap_or_default();
                now = now.max(then);
                entries.extend(told);
            }
            Err(error) if error.kind() == ErrorKind::NoSystem => {}
            Err(error) => return Err(error),
        }
    }
    // A task that is found by itself has been told with its execution.
    let mut known = HashSet::new();
    entries.retain(|entry: &TimelineEntry| known.insert((entry.at, entry.subject.clone(), entry.what.clone())));
    let (cut, unsearched) = (chain.cut, chain.unsearched);
    Ok(Timeline { entries: ordered(entries), links: chain.links, cut, unsearched, now })
}
