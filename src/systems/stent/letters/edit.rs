//! Other arguments for dead letters that run again. Pure: what is stored and what is wanted in, what is written out.
//!
//! Only JSON can be edited: a pickle is a program for Python's own machine, and nothing here writes one. The codec marks what is
//! no plain JSON with `__type__`; a value that is marked stays what it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sen_model::document::{Document, Part, changes, path_text};
use sen_model::error::{Error, Result};
use sen_model::letters::{ArgumentEdit, Arguments};
use sen_model::text::named;
use serde::{Deserialize, Serialize};

use crate::codec::{Codec, readable};
use crate::dump::{self, Dump};
use crate::record::Task;

/// The mark of the codec.
const TAG: &str = "__type__";

/// The arguments of one letter as seen, and as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edited {
    /// As seen: what the statement that replays compares, byte for byte.
    pub seen: Arguments,
    /// As they become.
    pub to: Arguments,
}

impl Edited {
    /// As the record of the act names it: the places that were changed. Where the row of the task that died is still there,
    /// the statement that writes the record adds that it has the arguments of before.
    pub fn record(&self) -> String {
        let places = match (whole(&self.seen), whole(&self.to)) {
            (Ok(from), Ok(to)) => {
                let places: Vec<String> = changes(&from, &to).iter().map(|change| path_text(&change.path)).collect();
                places.join(", ")
            }
            _ => String::new(),
        };
        format!(", with edited arguments: {places}")
    }

    /// Whether a letter still has the arguments that were seen.
    pub fn is_of(&self, dump: Option<&str>) -> bool {
        dump.is_some_and(|dump| match dump::parse(dump) {
            Dump::Task { task, .. } => stored(&task).is_ok_and(|stored| stored == self.seen),
            _ => false,
        })
    }

    /// Both as documents, for display.
    pub fn documents(&self) -> (String, String) {
        (shown(&self.seen), shown(&self.to))
    }
}

fn shown(arguments: &Arguments) -> String {
    format!("{{\"args\": {}, \"kwargs\": {}}}", readable(&arguments.args), readable(&arguments.kwargs))
}

/// As the dump of a letter carries them.
pub fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// The arguments of a task, where they are JSON.
///
/// # Errors
/// Why they cannot be edited.
pub fn stored(task: &Task) -> std::result::Result<Arguments, String> {
    let text = |name: &str, bytes: &Option<Vec<u8>>| {
        let bytes = bytes.as_deref().unwrap_or_default();
        match (Codec::of(bytes), std::str::from_utf8(bytes)) {
            (Codec::Json, Ok(text)) => Ok(text.to_owned()),
            (Codec::Pickle, _) => Err(format!("its {name} are a pickle, which cannot be edited")),
            (Codec::Empty, _) => Err(format!("it has no {name}")),
            _ => Err(format!("its {name} are neither JSON nor a pickle and cannot be edited")),
        }
    };
    Ok(Arguments { args: text("args", &task.args)?, kwargs: text("kwargs", &task.kwargs)? })
}

/// The task in the dump of a letter, and its arguments.
///
/// # Errors
/// Why they cannot be edited.
pub fn read(dump: Option<&str>) -> std::result::Result<(Task, Arguments), String> {
    match dump::parse(dump.unwrap_or_default()) {
        Dump::Task { task, .. } => {
            let arguments = stored(&task)?;
            whole(&arguments)?;
            Ok((*task, arguments))
        }
        Dump::Repr => Err("it was written by senpuki 0.1.x as text, which cannot be edited".into()),
        Dump::Unreadable(why) => Err(why),
    }
}

/// The text that a person edits.
pub fn text(arguments: &Arguments) -> std::result::Result<String, String> {
    let readable = Arguments { args: readable(&arguments.args), kwargs: readable(&arguments.kwargs) };
    whole(&readable).map(|whole| whole.pretty() + "\n")
}

/// The arguments as one document.
fn whole(arguments: &Arguments) -> std::result::Result<Document, String> {
    let read = |name: &str, text: &str| {
        Document::parse(text).map_err(|error| format!("its {name} cannot be edited: they are {error}"))
    };
    let whole = Document::Object(vec![
        ("args".into(), read("args", &arguments.args)?),
        ("kwargs".into(), read("kwargs", &arguments.kwargs)?),
    ]);
    match whole.unreadable() {
        Some(what) => Err(format!("its arguments cannot be edited: they are {what}")),
        None => Ok(whole),
    }
}

/// What an edit makes of a letter's arguments; `None` where they are so already.
///
/// # Errors
/// Why it cannot be made.
pub fn edited(seen: &Arguments, edit: &ArgumentEdit) -> std::result::Result<Option<Edited>, String> {
    let before = whole(seen)?;
    let after = match edit {
        ArgumentEdit::Set(values) => {
            let mut after = before.clone();
            for (path, value) in values {
                let value =
                    Document::parse(value).map_err(|error| format!("the value of {} is {error}", path_text(path)))?;
                if !after.replace(path, value) {
                    return Err(missing(&after, path));
                }
            }
            after
        }
        ArgumentEdit::Whole { seen: Some(before), .. } if before != seen => {
            return Err("its arguments are no longer those that were edited".into());
        }
        ArgumentEdit::Whole { text, .. } => {
            let part = wanted(text).map_err(|error| error.to_string())?;
            let name = |name: &str| part.field(name).or(before.field(name)).cloned().map(|value| (name.into(), value));
            Document::Object(["args", "kwargs"].into_iter().filter_map(name).collect())
        }
    };
    let after = after.keeping(&before);
    if after == before {
        return Ok(None);
    }
    sound(&before, &after)?;
    let part = |name: &str, kept: &str| match (before.field(name), after.field(name)) {
        (Some(old), Some(new)) if old != new => new.text(),
        _ => kept.to_owned(),
    };
    let to = Arguments { args: part("args", &seen.args), kwargs: part("kwargs", &seen.kwargs) };
    Ok(Some(Edited { seen: seen.clone(), to }))
}

/// The arguments that are wanted, or a part of them: `{"args": […], "kwargs": {…}}`.
///
/// # Errors
/// `Usage` for what is no JSON or holds something else.
pub fn wanted(text: &str) -> Result<Document> {
    let read = Document::parse(text).map_err(|error| Error::usage(format!("these arguments are {error}")))?;
    match &read {
        Document::Object(fields) if let Some(name) = twice(fields) => {
            Err(Error::usage(format!("{} stands twice in these arguments", named(name))))
        }
        Document::Object(fields)
            if !fields.is_empty() && fields.iter().all(|(name, _)| name == "args" || name == "kwargs") =>
        {
            Ok(read)
        }
        _ => Err(Error::usage("these are no arguments: they are written {\"args\": [...], \"kwargs\": {...}}")
            .with_hint("one of the two is enough; the other one is kept")),
    }
}

/// The first name that stands twice.
fn twice(fields: &[(String, Document)]) -> Option<&str> {
    let mut known = std::collections::HashSet::new();
    fields.iter().map(|(name, _)| name.as_str()).find(|name| !known.insert(*name))
}

/// Why nothing is at a path, with what is there.
fn missing(within: &Document, path: &[Part]) -> String {
    let mut known = within;
    for (at, part) in path.iter().enumerate() {
        match known.at(std::slice::from_ref(part)) {
            Some(next) => known = next,
            None => {
                let place = if at == 0 { "its arguments".into() } else { path_text(&path[..at]) };
                let has = match known {
                    Document::Object(fields) if fields.is_empty() => "it is an empty object".into(),
                    Document::Object(fields) => {
                        let names: Vec<String> =
                            fields.iter().take(10).map(|(name, _)| named(name).to_string()).collect();
                        format!("it has {}", names.join(", "))
                    }
                    Document::Array(items) => format!("it is a list of {}", items.len()),
                    Document::Scalar(_) => "it holds nothing else".into(),
                };
                return format!("{} is not in {place}: {has}", path_text(&path[at..=at]));
            }
        }
    }
    "it is not there".into()
}

/// Whether a worker reads the new arguments as what they were: a list and an object, and what is marked is marked as before.
fn sound(before: &Document, after: &Document) -> std::result::Result<(), String> {
    if !matches!(after.field("args"), Some(Document::Array(_))) {
        return Err(".args is a list: the arguments without a name".into());
    }
    if !matches!(after.field("kwargs"), Some(Document::Object(_))) {
        return Err(".kwargs is an object: the arguments by name".into());
    }
    if let Some(what) = after.unreadable() {
        return Err(format!("its arguments would be {what}"));
    }
    for change in changes(before, after) {
        if let Some(number) = change.to.as_ref().and_then(Document::infinite) {
            let place = path_text(&change.path);
            return Err(format!("{place} would hold {number}, which is no finite number for who reads it"));
        }
    }
    tags(Some(before), after, &mut Vec::new())
}

fn tags(before: Option<&Document>, after: &Document, path: &mut Vec<Part>) -> std::result::Result<(), String> {
    let tag = |of: &Document| of.field(TAG).map(|tag| tag.as_text().unwrap_or_else(|| tag.text()));
    let (old, new) = (before.and_then(tag), tag(after));
    let place = path_text(path);
    match (&old, &new) {
        (Some(old), _) if new.as_ref() != Some(old) => {
            return Err(format!(
                "{place} is marked as {old}, and stays so: change what is in it, as {place}.data of bytes"
            ));
        }
        (None, Some(new)) if new != "bytes" => {
            return Err(format!(
                "{place} would be marked as {new}, which the codec makes an object of: it cannot be added here"
            ));
        }
        _ => {}
    }
    if new.as_deref() == Some("bytes") {
        let data = after.field("data").and_then(Document::as_text);
        if data.and_then(|data| STANDARD.decode(data).ok()).is_none() {
            return Err(format!("{place}.data is no base64, as bytes are written"));
        }
    }
    let mut inner = |part: Part, value: &Document| {
        path.push(part);
        let known = before.and_then(|before| before.at(&path[path.len() - 1..]));
        let sound = tags(known, value, path);
        path.pop();
        sound
    };
    match after {
        Document::Scalar(_) => Ok(()),
        Document::Array(items) => items.iter().enumerate().try_for_each(|(at, item)| inner(Part::Item(at), item)),
        Document::Object(fields) => fields.iter().try_for_each(|(name, value)| inner(Part::Field(name.clone()), value)),
    }
}

/// What of an edit a person should know: values that become of another kind.
pub fn warnings(edited: &Edited) -> Vec<String> {
    let kind = |value: &Document| match value {
        Document::Array(_) => "a list",
        Document::Object(_) => "an object",
        Document::Scalar(text) => match text.as_bytes().first() {
            Some(b'"') => "a text",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            _ => "a number",
        },
    };
    let (Ok(from), Ok(to)) = (whole(&edited.seen), whole(&edited.to)) else { return Vec::new() };
    let told = |change: sen_model::document::Change| {
        let (from, to) = (kind(change.from.as_ref()?), kind(change.to.as_ref()?));
        (from != to).then(|| format!("{} was {from} and becomes {to}", path_text(&change.path)))
    };
    changes(&from, &to).into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sen_model::document::path;

    fn seen(args: &str, kwargs: &str) -> Arguments {
        Arguments { args: args.into(), kwargs: kwargs.into() }
    }

    fn set(values: &[(&str, &str)]) -> ArgumentEdit {
        ArgumentEdit::Set(values.iter().map(|(at, value)| (path(at).unwrap().0, (*value).to_owned())).collect())
    }

    fn of_text(text: &str) -> ArgumentEdit {
        ArgumentEdit::Whole { text: text.into(), seen: None }
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let before = seen(r#"["order-7", 1.10, 12345678901234567890123]"#, r#"{"note":"caf\u00e9",  "amount": 10}"#);
        let after = edited(&before, &set(&[(".kwargs.amount", "12.5")])).unwrap().unwrap();
        assert_eq!(after.to, seen(&before.args, r#"{"note": "caf\u00e9", "amount": 12.5}"#));
        let after = edited(&before, &set(&[(".args[0]", "\"order-8\"")])).unwrap().unwrap();
        assert_eq!(after.to, seen(r#"["order-8", 1.10, 12345678901234567890123]"#, &before.kwargs));
        assert_eq!(after.record(), ", with edited arguments: .args[0]");
        assert_eq!(edited(&before, &set(&[(".kwargs.amount", "10")])).unwrap(), None);
        // What an editor shows and gives back unchanged is no edit.
        assert_eq!(edited(&before, &of_text(&text(&before).unwrap())).unwrap(), None);
        let typed = text(&before).unwrap().replace("10\n", "11\n");
        let after = edited(&before, &of_text(&typed)).unwrap().unwrap();
        assert_eq!(after.to.kwargs, r#"{"note": "caf\u00e9", "amount": 11}"#);
        assert_eq!(edited(&before, &of_text(r#"{"args": []}"#)).unwrap().unwrap().to, seen("[]", &before.kwargs));
        let other = ArgumentEdit::Whole { text: "{\"args\": []}".into(), seen: Some(seen("[1]", "{}")) };
        assert!(edited(&before, &other).unwrap_err().contains("no longer"));
    }

    fn nested(levels: usize) -> String {
        "[".repeat(levels) + &"]".repeat(levels)
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let before = seen(r#"[{"__type__": "bytes", "data": "AP8="}]"#, r#"{"amount": 10, "who": {"name": "x"}}"#);
        for (edit, why) in [
            (set(&[(".kwargs.amuont", "1")]), ".amuont is not in .kwargs: it has \"amount\", \"who\""),
            (set(&[(".kwargs.who.age", "1")]), ".age is not in .kwargs.who: it has \"name\""),
            (set(&[(".args[3]", "1")]), "[3] is not in .args: it is a list of 1"),
            (set(&[(".kwargs.amount.x", "1")]), ".x is not in .kwargs.amount: it holds nothing else"),
            (set(&[(".args[0]", "\"text\"")]), ".args[0] is marked as bytes, and stays so"),
            (set(&[(".args[0].__type__", "\"Result\"")]), ".args[0] is marked as bytes, and stays so"),
            (set(&[(".args[0].data", "\"!\"")]), ".args[0].data is no base64"),
            (set(&[(".kwargs.who", r#"{"__type__": "Exception"}"#)]), ".kwargs.who would be marked as Exception"),
            (set(&[(".args", "{}")]), ".args is a list"),
            (of_text(r#"{"kwargs": []}"#), ".kwargs is an object"),
            (of_text("[]"), "these are no arguments"),
            (of_text("{\"args\": [1,]}"), "these arguments are no JSON: line 1, column"),
            (of_text(r#"{"args": [], "kwargs": {}, "args": [1]}"#), "\"args\" stands twice in these arguments"),
            (set(&[(".kwargs.amount", "1e400")]), ".kwargs.amount would hold 1e400, which is no finite number"),
            (of_text(r#"{"args": [[-1e999]]}"#), ".args[0] would hold -1e999, which is no finite number"),
            (set(&[(".kwargs.amount", &nested(65))]), "the value of .kwargs.amount is nested deeper than 64 levels"),
            (of_text(&format!("{{\"args\": {}}}", nested(64))), "these arguments are nested deeper than 64 levels"),
            (set(&[(".kwargs.who.name", &nested(62))]), "its arguments would be nested deeper than 64 levels"),
        ] {
            let error = edited(&before, &edit).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let kept = edited(&before, &set(&[(".args[0].data", "\"AAAA\"")])).unwrap().unwrap();
        assert_eq!(kept.to.args, r#"[{"__type__": "bytes", "data": "AAAA"}]"#);
        assert!(
            edited(&seen("[NaN]", "{}"), &set(&[(".args[0]", "1")]))
                .unwrap_err()
                .contains("its args cannot be edited: they are no JSON")
        );
    }

    #[test]
    fn another_kind_of_value_is_told() {
        let edit =
            edited(&seen("[1, null]", "{}"), &set(&[(".args[0]", "\"1\""), (".args[1]", "2")])).unwrap().unwrap();
        assert_eq!(
            warnings(&edit),
            [".args[0] was a number and becomes a text", ".args[1] was null and becomes a number"]
        );
    }
}
