//! What an uncertain key may have come to: how results of its kind look, and results that rows of related work state.

use super::inspect::{Lookup, inspect};
use super::why::why;
use crate::registry::Database;
use sen_model::error::Result;
use sen_model::listing::Page;
use sen_model::record::Record;
use sen_model::subject::Kind;
use sen_model::value::Value;
use sen_sentinel::{LeaseFilter, LeaseOrder, LeaseState};

/// How many records are read for results.
const RECORDS: usize = 12;
/// How many results are told.
const TOLD: usize = 4;
/// A longer one is told by nothing but its source.
const LONGEST: usize = 4096;

/// A result as it is stored, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedResult {
    /// The result, as JSON.
    pub json: String,
    /// Whose it is: `payments:order-7718`, `step charge of saga …`.
    pub source: String,
}

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
    let Lookup::Record(found) = inspect(database, &other, 0).await? else { return Ok(None) };
    let json = found.iter().find_map(|record| field(record, "execution_result"));
    Ok(json.map(|json| StatedResult { json, source: other }))
}

/// Results in the rows of what is related to this key: of those that look like `example`, if it has fields, the most alike first.
///
/// # Errors
/// What the stores report.
pub async fn stated(database: &Database, key: &str, example: Option<&StatedResult>) -> Result<Vec<StatedResult>> {
    let chain = why(database, key).await?;
    let mut ids: Vec<String> = Vec::new();
    for link in &chain.links {
        let subject = &link.explanation.subject;
        if matches!(subject.kind, Kind::Execution | Kind::Task | Kind::Saga) && !ids.contains(&subject.id) {
            ids.push(subject.id.clone());
        }
    }
    let mut found: Vec<StatedResult> = Vec::new();
    let mut at = 0;
    while let Some(id) = ids.get(at).filter(|_| at < RECORDS).cloned() {
        at += 1;
        let Lookup::Record(records) = inspect(database, &id, 0).await? else { continue };
        for record in records {
            for (json, source) in of_record(&record) {
                if json.len() <= LONGEST && found.iter().all(|known| known.json != json) {
                    found.push(StatedResult { json, source });
                }
            }
            for task in tasks(&record) {
                if !ids.contains(&task) {
                    ids.push(task);
                }
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

/// The results of one record: its own, and those of its steps that were not rolled back.
fn of_record(record: &Record) -> Vec<(String, String)> {
    let subject = &record.subject;
    match subject.kind {
        Kind::Execution => {
            let own = field(record, "result").map(|json| (json, format!("execution {}", subject.id)));
            own.into_iter().collect()
        }
        Kind::Task => {
            let step = record.fields.iter().find_map(|(name, value)| match value {
                Value::Text(text) if *name == "step" => Some(text.as_str()),
                _ => None,
            });
            let source = format!("task {} ({})", subject.id, step.unwrap_or("unnamed"));
            field(record, "result").map(|json| (json, source)).into_iter().collect()
        }
        Kind::Saga => outputs(record, &subject.id),
        _ => Vec::new(),
    }
}

fn outputs(record: &Record, id: &str) -> Vec<(String, String)> {
    let Some(steps) = record.sections.iter().find(|section| section.name == "steps") else { return Vec::new() };
    let place = |name: &str| steps.columns.iter().position(|column| column.name == name);
    let (Some(step), Some(phase), Some(output)) = (place("step_id"), place("phase"), place("output")) else {
        return Vec::new();
    };
    let is = |value: &Value, name: &str| matches!(value, Value::Name(text) if *text == name);
    let text = |value: &Value| if let Value::Text(text) = value { text.clone() } else { String::new() };
    let undone: Vec<String> =
        steps.rows.iter().filter(|row| is(&row[phase], "compensate")).map(|row| text(&row[step])).collect();
    let done = steps.rows.iter().filter(|row| is(&row[phase], "execute") && !undone.contains(&text(&row[step])));
    done.filter_map(|row| Some((json(&row[output])?, format!("step {} of saga {id}", text(&row[step]))))).collect()
}

/// The tasks of an execution that have completed.
fn tasks(record: &Record) -> Vec<String> {
    let Some(tasks) = record.sections.iter().find(|section| section.name == "tasks") else { return Vec::new() };
    let place = |name: &str| tasks.columns.iter().position(|column| column.name == name);
    let (Some(id), Some(state)) = (place("id"), place("state")) else { return Vec::new() };
    let done = tasks.rows.iter().filter(|row| matches!(&row[state], Value::Name("completed")));
    done.filter_map(|row| if let Value::Text(id) = &row[id] { Some(id.clone()) } else { None }).collect()
}

fn field(record: &Record, name: &str) -> Option<String> {
    record.fields.iter().find(|(known, _)| *known == name).and_then(|(_, value)| json(value))
}

fn json(value: &Value) -> Option<String> {
    if let Value::Json(text) = value { Some(text.clone()).filter(|text| text != "null") } else { None }
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
