//! One look at a database for `watch`: the summary, a page of what is under way, and groups of dead letters.

use futures_util::future::join_all;

use super::summary::{Front, summary};
use crate::registry::Database;
use sen_model::activity::Activity;
use sen_model::error::{ErrorKind, Result};
use sen_model::letter::LetterGroup;
use sen_model::letters::LetterFilter;
use sen_model::summary::{Counting, Summary};
use sen_model::system::System;
use sen_model::verdict::Severity;

/// One look at a database.
pub struct Snapshot {
    /// Counts, and what needs a person.
    pub front: Front,
    /// What is under way.
    pub active: Vec<Activity>,
}

/// Takes a snapshot. At most `page` records under way are read of each system.
///
/// # Errors
/// As [`summary`]; a system that fails otherwise is left out of what is under way.
pub async fn snapshot(database: &Database, page: u64) -> Result<Snapshot> {
    let mut front = summary(database, Counting::Exact).await?;
    let busy = front
        .surveys
        .iter()
        .filter(|summary| is_busy(summary))
        .map(async |summary| database.system(summary.system)?.active(page).await);
    let (mut all, mut denied) = (Vec::new(), Vec::new());
    for found in join_all(busy).await {
        match found {
            Ok(found) => all.extend(found),
            Err(error) if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Connect) => return Err(error),
            // The failure of one system must not hide the others; missing privileges are reported.
            Err(error) if error.kind() == ErrorKind::Denied => denied.push(error),
            Err(_) => {}
        }
    }
    front.unreachable.extend(denied);
    Ok(Snapshot { front, active: all })
}

/// Whether a summary counts anything under way.
fn is_busy(summary: &Summary) -> bool {
    summary.counts.iter().any(|count| count.severity == Severity::Pending && count.count > 0)
}

/// The dead letters of every system in groups, the largest first. Reads all of them, so it is not for every refresh.
///
/// # Errors
/// What a store reports; systems that are not in the database are skipped.
pub async fn letter_groups(database: &Database) -> Result<Vec<LetterGroup>> {
    let filter = LetterFilter::default();
    let kept = database.systems().filter_map(System::letters);
    let mut all = Vec::new();
    for groups in database.together(join_all(kept.map(|letters| letters.groups(&filter)))).await {
        match groups {
            Ok(groups) => all.extend(groups),
            Err(error) if error.kind() == ErrorKind::NoSystem => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(all)
}
