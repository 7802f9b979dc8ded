//! One look at a database for somebody who keeps looking: the front page, and a page of what is running. Neutral: what
//! an id, a state or a start is shows in the names of a system's columns.

use futures_util::{StreamExt as _, future::join_all};

use super::summary::{Front, summary};
use crate::registry::Database;
use sen_model::error::{ErrorKind, Result};
use sen_model::letter::LetterGroup;
use sen_model::letters::LetterFilter;
use sen_model::listing::{Choice, Listing, Page};
use sen_model::summary::Summary;
use sen_model::system::System;
use sen_model::time::Timestamp;
use sen_model::value::{Column, Row, Value};
use sen_model::verdict::Severity;

/// A look.
pub struct Snapshot {
    /// Counts, and what needs a person.
    pub front: Front,
    /// What is under way.
    pub running: Vec<Running>,
}

/// Something under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The system's name.
    pub system: &'static str,
    /// Its key or id.
    pub id: String,
    /// Its state there.
    pub state: String,
    /// What it does, where it has a name besides its id.
    pub what: Option<String>,
    /// Who does it.
    pub who: Option<String>,
    /// Since when: its start, or the last sign of life where no start is kept.
    pub since: Option<Timestamp>,
    /// When it will count as overdue.
    pub until: Option<Timestamp>,
    /// Whether it has begun, as far as its system tells.
    pub begun: bool,
}

/// Names of columns in the order in which they are looked for.
const IDS: &[&str] = &["key", "id", "execution_id", "task_id", "saga_id"];
const STATES: &[&str] = &["verdict", "state", "status"];
const WHATS: &[&str] = &["function", "root_function", "step_name", "name", "step", "saga_name", "task_type", "type"];
const WHOS: &[&str] = &["owner_id", "worker_id", "worker", "owner"];
const STARTS: &[&str] = &["started_at", "claimed_at", "lease_updated_at", "updated_at", "created_at"];
const ENDS: &[&str] =
    &["lease_expires_at", "lease_expires", "expires_at", "expiry_at", "deadline", "deadline_at", "timeout_at"];

/// Looks once. Of what is running at most `page` of each system are read.
///
/// # Errors
/// As [`summary`]; a list that a system cannot give is left out.
pub async fn snapshot(database: &Database, page: u64) -> Result<Snapshot> {
    let mut front = summary(database).await?;
    let busy = front.surveys.iter().filter_map(|summary| {
        let states = under_way(summary);
        (!states.is_empty()).then(|| running(database, summary.system, states, page))
    });
    let (mut all, mut denied) = (Vec::new(), Vec::new());
    for found in join_all(busy).await {
        match found {
            Ok(found) => all.extend(found),
            Err(error) if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Connect) => return Err(error),
            // One system's list must not hide what the others say; that it is missing is said.
            Err(error) if error.kind() == ErrorKind::Denied => denied.push(error),
            Err(_) => {}
        }
    }
    front.unreachable.extend(denied);
    Ok(Snapshot { front, running: all })
}

/// The states that somebody is at work on, where there is anything in them.
fn under_way(summary: &Summary) -> Vec<String> {
    let busy = summary.counts.iter().filter(|count| count.severity == Severity::Pending && count.count > 0);
    busy.map(|count| count.state.to_owned()).collect()
}

async fn running(database: &Database, system: &'static str, states: Vec<String>, page: u64) -> Result<Vec<Running>> {
    let system = database.system(system)?;
    let mut listing = newest(database, system.name(), &states, page).await?;
    let mut found = Vec::new();
    while let Some(part) = listing.parts.next().await {
        found.extend(part?.rows.iter().filter_map(|row| read(system, listing.columns, row)));
    }
    Ok(found)
}

fn read(system: &dyn System, columns: &[Column], row: &Row) -> Option<Running> {
    let cell = |names: &[&str]| {
        let at = names.iter().find_map(|name| columns.iter().position(|column| column.name == *name))?;
        row.get(at)
    };
    let text = |names: &[&str]| match cell(names)? {
        Value::Text(text) if !text.is_empty() => Some(text.clone()),
        Value::Name(name) => Some((*name).to_owned()),
        Value::Int(number) | Value::Big(number) => Some(number.to_string()),
        _ => None,
    };
    // The first that is filled: what has not started yet has been waiting since it was made.
    let time = |names: &[&str]| {
        names.iter().find_map(|name| match cell(&[*name]) {
            Some(Value::Time(moment)) if moment.is_finite() => Some(*moment),
            _ => None,
        })
    };
    Some(Running {
        system: system.name(),
        id: text(IDS)?,
        state: text(STATES).unwrap_or_default(),
        what: text(WHATS),
        who: text(WHOS),
        since: time(STARTS),
        until: time(ENDS),
        begun: cell(&STARTS[..1]) != Some(&Value::Null),
    })
}

/// Dead letters of every system, grouped; the largest groups first. Reads all of them: not for every look.
///
/// # Errors
/// What a store reports; systems that are not there are passed over.
pub async fn letter_groups(database: &Database) -> Result<Vec<LetterGroup>> {
    let filter = LetterFilter::default();
    let kept = database.systems().filter_map(System::letters);
    let mut all = Vec::new();
    for groups in join_all(kept.map(|letters| letters.groups(&filter))).await {
        match groups {
            Ok(groups) => all.extend(groups),
            Err(error) if error.kind() == ErrorKind::NoSystem => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(all)
}

fn chosen<C: Choice>(states: &[String]) -> Vec<C> {
    states.iter().filter_map(|state| C::named(state)).collect()
}

pub(super) async fn newest(database: &Database, system: &str, states: &[String], page: u64) -> Result<Listing> {
    match system {
        sen_sentinel::NAME => {
            let states = chosen(states);
            let filter = sen_sentinel::LeaseFilter { states, page: Page::first(page), ..Default::default() };
            database.leases()?.list(&filter).await
        }
        sen_stent::NAME => {
            let states = chosen(states);
            let filter = sen_stent::ListFilter { states, page: Page::first(page), ..Default::default() };
            database.executions()?.executions(&filter).await
        }
        sen_saga::NAME => {
            let states = chosen(states);
            let filter = sen_saga::SagaFilter { states, page: Page::first(page), ..Default::default() };
            database.sagas()?.list(&filter).await
        }
        _ => {
            let states = chosen(states);
            let filter = sen_node::TaskFilter { states, page: Page::first(page), ..Default::default() };
            database.agents()?.list(&filter).await
        }
    }
}
