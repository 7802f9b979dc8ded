//! What an edit changes, for people and as data: each place with its value of before and after. Secrets are found in the whole
//! documents, as on every screen, so that a value is judged with the names around it.

use std::borrow::Cow;

use sen_core::model::document::{Document, Part, changes, path_text};
use sen_core::model::value::Value;

use crate::mask;
use crate::output::text::head;

/// How much of a value is shown.
const SHOWN: usize = 300;

/// A place that is changed.
pub struct Shown {
    /// The place.
    pub path: String,
    /// Its value of before: JSON text.
    pub from: Option<String>,
    /// Its value after.
    pub to: Option<String>,
}

/// The places at which these documents differ.
pub fn shown(from: &str, to: &str) -> Vec<Shown> {
    let (Ok(before), Ok(after)) = (Document::parse(from), Document::parse(to)) else { return Vec::new() };
    let masked = |text: &str| {
        let text = if mask::reveals() { Cow::Borrowed(text) } else { mask::mask(text) };
        Document::parse(&text).unwrap_or(Document::Scalar("\"***\"".into()))
    };
    let (old, new) = (masked(from), masked(to));
    let told = |change: sen_core::model::document::Change| Shown {
        from: change.from.is_some().then(|| value(&old, &change.path)),
        to: change.to.is_some().then(|| value(&new, &change.path)),
        path: path_text(&change.path),
    };
    changes(&before, &after).into_iter().map(told).collect()
}

/// The value at a path, or what hides all that it stands in.
fn value(within: &Document, path: &[Part]) -> String {
    let known = (0..=path.len()).rev().find_map(|end| within.at(&path[..end]));
    known.map_or_else(|| "null".into(), Document::text)
}

impl Shown {
    /// In a line: `.kwargs.amount: 10 → 12.5`.
    pub fn line(&self) -> String {
        let side =
            |side: &Option<String>| side.as_deref().map_or("nothing".into(), |text| head(text, SHOWN).into_owned());
        format!("{}: {} → {}", self.path, side(&self.from), side(&self.to))
    }

    /// As data.
    pub fn value(&self, subject: &str) -> Value {
        let side = |side: &Option<String>| side.clone().map_or(Value::Null, Value::Json);
        Value::Map(vec![
            ("subject", Value::Text(subject.to_owned())),
            ("path", Value::Text(self.path.clone())),
            ("from", side(&self.from)),
            ("to", side(&self.to)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_judged_with_the_names_around_them() {
        let from = r#"{"args": [1], "kwargs": {"auth": {"password": "hunter22"}, "headers": [{"name": "api_key", "value": "abc123x"}], "n": 1}}"#;
        let to = from.replace("hunter22", "hunter33").replace("abc123x", "def456y").replace("\"n\": 1", "\"n\": 2");
        let lines: Vec<String> = shown(from, &to).iter().map(Shown::line).collect();
        assert_eq!(
            lines,
            [
                ".kwargs.auth.password: \"***\" → \"***\"",
                ".kwargs.headers[0].value: \"***\" → \"***\"",
                ".kwargs.n: 1 → 2"
            ]
        );
        let added: Vec<String> = shown(r#"{"a": 1}"#, r#"{"b": 2}"#).iter().map(Shown::line).collect();
        assert_eq!(added, [".a: 1 → nothing", ".b: nothing → 2"]);
    }
}
