//! `--fields`: chooses and orders columns by name.

use std::collections::HashSet;

use sen_core::error::{Error, Result};
use sen_core::model::value::{Column, Value};

use crate::views::Detail;

/// The fields of one detail that are shown, in order.
pub type Picked<'a> = Vec<(&'a str, &'a Value)>;

/// The positions of the columns in `wanted`, or of all of them when nothing is asked for.
///
/// # Errors
/// `Usage` for a name no column has, or one given twice.
pub fn columns(columns: &[Column], wanted: &[String]) -> Result<Vec<usize>> {
    if wanted.is_empty() {
        return Ok((0..columns.len()).collect());
    }
    check_repeats(wanted)?;
    let position = |name: &String| columns.iter().position(|column| column.name == name.trim());
    wanted
        .iter()
        .map(|name| position(name).ok_or_else(|| unknown(name, columns.iter().map(|column| column.name.to_owned()))))
        .collect()
}

/// The fields in `wanted` of each detail. A dotted name (`verdict.state`) goes into objects; what only some of the
/// details have is null in the others, so that every one has the same fields.
///
/// # Errors
/// `Usage` for a name that none of the details has, or one given twice.
pub fn details<'a>(details: &'a [Detail], wanted: &'a [String]) -> Result<Vec<Picked<'a>>> {
    if wanted.is_empty() {
        return Ok(details
            .iter()
            .map(|detail| top(&detail.value).iter().map(|(name, value)| (*name, value)).collect())
            .collect());
    }
    check_repeats(wanted)?;
    for name in wanted {
        if !details.is_empty() && details.iter().all(|detail| find(&detail.value, name.trim()).is_none()) {
            return Err(unknown(name, known(details)));
        }
    }
    let pick = |detail: &'a Detail| {
        wanted.iter().map(|name| (name.trim(), find(&detail.value, name.trim()).unwrap_or(&Value::Null))).collect()
    };
    Ok(details.iter().map(pick).collect())
}

fn top(value: &Value) -> &[(&'static str, Value)] {
    if let Value::Map(fields) = value { fields } else { &[] }
}

fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(value, |value, step| top(value).iter().find(|(name, _)| *name == step).map(|(_, field)| field))
}

/// Every name that could have been asked for, in order of appearance.
fn known(details: &[Detail]) -> Vec<String> {
    fn walk(value: &Value, prefix: &str, out: &mut Vec<String>) {
        for (name, field) in top(value) {
            let path = format!("{prefix}{name}");
            walk(field, &format!("{path}."), {
                out.push(path);
                &mut *out
            });
        }
    }
    let mut names = Vec::new();
    details.iter().for_each(|detail| walk(&detail.value, "", &mut names));
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn check_repeats(wanted: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    match wanted.iter().find(|name| !seen.insert(name.trim())) {
        Some(name) => Err(Error::usage(format!("--fields names {:?} twice", name.trim()))),
        None => Ok(()),
    }
}

fn unknown(name: &str, known: impl IntoIterator<Item = String>) -> Error {
    let name = name.trim();
    let known: Vec<String> = known.into_iter().collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(candidate, &name.to_lowercase().replace('-', "_")), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    let guess = nearest.map(|(_, candidate)| format!("did you mean {candidate}? ")).unwrap_or_default();
    Error::usage(format!("--fields: there is no field {name:?} here"))
        .with_hint(format!("{guess}known fields: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sen_core::model::value::Show;

    const COLUMNS: &[Column] = &[
        Column { name: "key", heading: "KEY", show: Show::Whole },
        Column { name: "owner_id", heading: "OWNER", show: Show::Short },
    ];

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_picked_in_order() {
        assert_eq!(columns(COLUMNS, &names("owner_id, key")).unwrap(), [1, 0]);
        assert_eq!(columns(COLUMNS, &[]).unwrap(), [0, 1]);
        let error = columns(COLUMNS, &names("key,owner-ids")).unwrap_err();
        assert_eq!(error.to_string(), "--fields: there is no field \"owner-ids\" here");
        assert_eq!(error.hint(), Some("did you mean owner_id? known fields: key, owner_id"));
        assert!(columns(COLUMNS, &names("key,key")).is_err());
        assert!(columns(COLUMNS, &names("")).is_err());
    }

    #[test]
    fn details_take_dotted_names() {
        let one = Detail {
            value: Value::Map(vec![
                ("key", Value::Int(1)),
                ("verdict", Value::Map(vec![("state", Value::Name("alive"))])),
            ]),
            blocks: vec![],
        };
        let two = Detail { value: Value::Map(vec![("other", Value::Int(2))]), blocks: vec![] };
        let both = [one, two];
        let wanted = names("verdict.state,other");
        let picked = details(&both, &wanted).unwrap();
        assert_eq!(picked[0], [("verdict.state", &Value::Name("alive")), ("other", &Value::Null)]);
        assert_eq!(picked[1], [("verdict.state", &Value::Null), ("other", &Value::Int(2))]);
        let error = details(&both, &names("verdict.stat")).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean verdict.state? known fields: key, verdict, verdict.state, other"));
    }
}
