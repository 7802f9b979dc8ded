//! What an uncertain key may have come to: how results of its kind look, and results that rows of related work state.

use super::why::why;
use crate::registry::Database;
use sen_model::error::Result;
use sen_model::listing::Page;
use sen_model::record::StatedResult;
use sen_model::subject::{Kind, Subject};
use sen_model::system::System as _;
use sen_sentinel::{LeaseFilter, LeaseOrder, LeaseState};

/// How many records are read for results.
const RECORDS: usize = 12;
/// How many results are told.
const TOLD: usize = 4;
/// A longer one is told by nothing but its source.
const LONGEST: usize = 4096;

/// The result of the key of the same namespace that was completed last.
///
/// # Errors
/// What the store reports.
pub async fn example(database: &Database, key: &str) -> Result<Option<StatedResult>> {
    let Some((namespace, _)) = key.split_once(':') else { return Ok(None) };
    let leases = database.leases()?;
    let filter = LeaseFilter {
        states: vec![LeaseState::Completed],
        namespace: Some(namespace.to_owned()),
        page: Page { order: Some(LeaseOrder::Updated), limit: Some(1), ..Page::default() },
        ..LeaseFilter::default()
    };
    let Some(other) = leases.keys(&filter).await?.into_iter().next() else { return Ok(None) };
    Ok(leases.stated_results(&other).await?.into_iter().next())
}

/// Results in the rows of what is related to this key: of those that look like `example`, if it has fields, the most alike first.
///
/// # Errors
/// What the stores report.
pub async fn stated(database: &Database, key: &str, example: Option<&StatedResult>) -> Result<Vec<StatedResult>> {
    let chain = why(database, key).await?;
    let of = |subject: &Subject| matches!(subject.kind, Kind::Execution | Kind::Task | Kind::Saga);
    let subjects = chain.links.iter().map(|link| &link.explanation.subject).filter(|subject| of(subject));
    let mut found: Vec<StatedResult> = Vec::new();
    for subject in subjects.take(RECORDS) {
        for one in database.system(subject.system)?.stated_results(&subject.id).await? {
            if one.json.len() <= LONGEST && found.iter().all(|known| known.json != one.json) {
                found.push(one);
            }
        }
    }
    if let Some(example) = example.filter(|example| alike(&example.json, &example.json) > 0) {
        // Of what has no field in common with it, it is not the result.
        let like = |one: &StatedResult| alike(&example.json, &one.json);
        found.retain(|one| like(one) > 0);
        found.sort_by_key(|one| std::cmp::Reverse(like(one)));
    }
    found.truncate(TOLD);
    Ok(found)
}

/// How many fields two objects share by name.
fn alike(left: &str, right: &str) -> usize {
    let fields = |json: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok();
    match (fields(left), fields(right)) {
        (Some(left), Some(right)) => left.keys().filter(|name| right.contains_key(*name)).count(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_alike_by_the_names_of_their_fields() {
        assert_eq!(alike(r#"{"charge": "c-1", "amount": 3}"#, r#"{"charge": "c-2", "receipt": "sent"}"#), 1);
        assert_eq!(alike(r#"{"charge": "c-1"}"#, r#"{"parcel": "p"}"#), 0);
        assert_eq!(alike("null", r#"{"charge": "c-1"}"#), 0);
    }
}
