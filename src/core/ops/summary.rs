//! What is in a database, and what of it needs attention.

use std::cmp::Reverse;

use futures_util::future::join_all;

use crate::registry::Database;
use sen_model::diagnostics::UNPRIVILEGED;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::summary::{Attention, Counting, Summary};
use sen_model::time::Timestamp;
use sen_model::verdict::{NextCommand, Severity};

/// The summaries of all systems in a database.
pub struct Front {
    /// The database for people, without secrets.
    pub database: String,
    /// Its clock.
    pub now: Timestamp,
    /// The summary of each system that was found.
    pub surveys: Vec<Summary>,
    /// The database of each of them.
    pub places: Vec<String>,
    /// Why a database besides the first one could not be queried.
    pub unreachable: Vec<Error>,
}

impl Front {
    /// What needs attention in any system, the most severe first.
    pub fn attention(&self) -> Vec<(&'static str, &Attention)> {
        let mut all: Vec<_> = self
            .surveys
            .iter()
            .flat_map(|summary| summary.attention.iter().map(|item| (summary.system, item)))
            .collect();
        all.sort_by_key(|(_, item)| Reverse(item.severity));
        all
    }

    /// The highest severity of these.
    pub fn worst(&self) -> Severity {
        self.attention().first().map_or(Severity::Ok, |(_, item)| item.severity)
    }
}

/// Summarizes every system of a database, all at once.
///
/// # Errors
/// `NoSystem` when there is none; what a store reports.
pub async fn summary(database: &Database, counting: Counting) -> Result<Front> {
    let systems: Vec<_> = database.systems().collect();
    let answers = database.together(join_all(systems.iter().map(|system| system.summary(counting)))).await;
    let mut surveys = Vec::new();
    let mut places = Vec::new();
    let mut unreachable = Vec::new();
    let mut absent = None;
    for (system, answer) in systems.into_iter().zip(answers) {
        match answer {
            Ok(summary) => {
                places.push(system.database().to_owned());
                // A table of which nothing was counted is reported as unread, so that the rest is not taken for everything.
                if !summary.unread.is_empty() {
                    let text = format!("permission denied for table {}", summary.unread.join(", "));
                    let error = Error::new(ErrorKind::Denied, text).with_hint(UNPRIVILEGED);
                    unreachable.push(error.with_context(format!("not all of {} is seen", summary.system)));
                }
                surveys.push(summary);
            }
            Err(error) if error.kind() == ErrorKind::NoSystem => {
                absent.get_or_insert(error);
            }
            // A system that may not be read does not hide the others; it is reported.
            Err(error) if matches!(error.kind(), ErrorKind::Connect | ErrorKind::Denied) => unreachable.push(error),
            Err(error) => return Err(error),
        }
    }
    while let Some(error) = database.hidden().take_denied() {
        unreachable.push(error);
    }
    if let (Some(text), Some(summary)) = (database.hidden().text(), surveys.first_mut()) {
        let next = NextCommand::new(&["sen", "doctor"], "say which tables, and what to do about it");
        summary.attention.push(Attention::new(Severity::Warning, text, next));
    }
    match (places.first().cloned(), surveys.first().map(|summary: &Summary| summary.now)) {
        (Some(database), Some(now)) => Ok(Front { database, now, surveys, places, unreachable }),
        _ => match (unreachable.pop(), absent) {
            (Some(error), _) => Err(error),
            (None, absent) => {
                let absent = absent.unwrap_or_else(|| Error::new(ErrorKind::NoSystem, "no system was found"));
                Err(database.nothing_found(absent).await)
            }
        },
    }
}
