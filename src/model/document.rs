//! A JSON document in which every value keeps its spelling: what is not changed is written as it was read, a number that no
//! float holds included.

use std::fmt::{self, Write as _};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Anything that holds nothing else, as it is spelled.
    Scalar(String),
    /// A list.
    Array(Vec<Document>),
    /// An object. Of a name that stands twice the last one counts.
    Object(Vec<(String, Document)>),
}

/// A step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Into an object, by name.
    Field(String),
    /// Into a list, by place.
    Item(usize),
}

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What is wrong.
    pub what: String,
    /// Where: line and column, from one; `None` where it is JSON all the same, which is not read here.
    pub at: Option<(usize, usize)>,
}

impl Unread {
    /// Whether it is JSON.
    pub fn is_json(&self) -> bool {
        self.at.is_none()
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "no JSON: line {line}, column {column}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// A value that is different in two documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it stands.
    pub path: Vec<Part>,
    /// What it was; `None` where nothing was there.
    pub from: Option<Document>,
    /// What it is; `None` where nothing is there any more.
    pub to: Option<Document>,
}

/// Each level costs a look at all that is within: no arguments nest as deep.
const DEEPEST: usize = 64;

/// The fields of an object, in order, with those that stand twice.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, Unread> {
        let unread = |error: serde_json::Error| {
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
            Unread { what, at: Some((error.line(), error.column())) }
        };
        let whole: &RawValue = serde_json::from_str(text).map_err(unread)?;
        let deep = || Unread { what: Self::too_deep(), at: None };
        Self::of(whole.get(), DEEPEST).map_err(|error| error.map_or_else(deep, unread))
    }

    fn of(text: &str, left: usize) -> Result<Self, Option<serde_json::Error>> {
        let text = text.trim();
        if left == 0 {
            return Err(None);
        }
        match text.as_bytes().first() {
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(Some)?;
                items.into_iter().map(|item| Self::of(item.get(), left - 1)).collect::<Result<_, _>>().map(Self::Array)
            }
            Some(b'{') => {
                let Fields(fields) = serde_json::from_str(text).map_err(Some)?;
                let field = |(name, value): (String, &RawValue)| Ok((name, Self::of(value.get(), left - 1)?));
                fields.into_iter().map(field).collect::<Result<_, _>>().map(Self::Object)
            }
            _ => Ok(Self::Scalar(text.to_owned())),
        }
    }

    fn too_deep() -> String {
        format!("nested deeper than {DEEPEST} levels")
    }

    fn depth(&self) -> usize {
        1 + match self {
            Self::Scalar(_) => 0,
            Self::Array(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(fields) => fields.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
        }
    }

    /// What is wrong with a document that was put together of others: it could not be read again.
    pub fn unreadable(&self) -> Option<String> {
        (self.depth() > DEEPEST).then(Self::too_deep)
    }

    /// The first number in it that is infinite as a float, as which every reader takes it.
    pub fn infinite(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => {
                let is_float = text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
                    && text.contains(['.', 'e', 'E']);
                (is_float && text.parse::<f64>().is_ok_and(f64::is_infinite)).then_some(text)
            }
            Self::Array(items) => items.iter().find_map(Self::infinite),
            Self::Object(fields) => fields.iter().find_map(|(_, value)| value.infinite()),
        }
    }

    /// A text as a value.
    pub fn string(text: &str) -> Self {
        Self::Scalar(quoted(text))
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Scalar(text) if text.starts_with('"') => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    fn step(&self, part: &Part) -> Option<&Self> {
        match (self, part) {
            (Self::Array(items), Part::Item(at)) => items.get(*at),
            (_, Part::Field(name)) => self.field(name),
            _ => None,
        }
    }

    /// The value at a path.
    pub fn at(&self, path: &[Part]) -> Option<&Self> {
        path.iter().try_fold(self, |value, part| value.step(part))
    }

    /// Puts a value in the place of another one; false where there is none.
    #[must_use]
    pub fn replace(&mut self, path: &[Part], value: Self) -> bool {
        let place = path.iter().try_fold(self, |place, part| match (place, part) {
            (Self::Array(items), Part::Item(at)) => items.get_mut(*at),
            (Self::Object(fields), Part::Field(name)) => {
                fields.iter_mut().rev().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        });
        place.map(|place| *place = value).is_some()
    }

    /// Whether it means the same, however it is spelled.
    pub fn same(&self, other: &Self) -> bool {
        changes(self, other).is_empty()
    }

    /// This with the parts of `kept` that mean the same in its spelling.
    #[must_use]
    pub fn keeping(self, kept: &Self) -> Self {
        if self.same(kept) {
            return kept.clone();
        }
        match (self, kept) {
            (Self::Array(items), Self::Array(known)) => {
                let item = |(at, item): (usize, Self)| match known.get(at) {
                    Some(known) => item.keeping(known),
                    None => item,
                };
                Self::Array(items.into_iter().enumerate().map(item).collect())
            }
            (Self::Object(fields), known @ Self::Object(_)) => {
                let field = |(name, value): (String, Self)| match known.field(&name) {
                    Some(known) => (name, value.keeping(known)),
                    None => (name, value),
                };
                Self::Object(fields.into_iter().map(field).collect())
            }
            (other, _) => other,
        }
    }

    /// The text in one line, spaced as Python's `json.dumps` does.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// The text with two blanks a level.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(1));
        out
    }

    fn write(&self, out: &mut String, depth: Option<usize>) {
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        };
        let (open, close, count) = match self {
            Self::Scalar(text) => return out.push_str(text),
            Self::Array(items) => ('[', ']', items.len()),
            Self::Object(fields) => ('{', '}', fields.len()),
        };
        let depth = depth.filter(|_| count > 0);
        out.push(open);
        for at in 0..count {
            match depth {
                Some(depth) => {
                    out.push_str(if at > 0 { "," } else { "" });
                    line(out, depth);
                }
                None => out.push_str(if at > 0 { ", " } else { "" }),
            }
            match self {
                Self::Array(items) => items[at].write(out, depth.map(|depth| depth + 1)),
                Self::Object(fields) => {
                    out.push_str(&quoted(&fields[at].0));
                    out.push_str(": ");
                    fields[at].1.write(out, depth.map(|depth| depth + 1));
                }
                Self::Scalar(_) => {}
            }
        }
        if let Some(depth) = depth {
            line(out, depth - 1);
        }
        out.push(close);
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A path as it is written: `.items[0]["odd name"]`.
pub fn path_text(path: &[Part]) -> String {
    let mut out = String::new();
    for part in path {
        match part {
            Part::Field(name) if is_plain(name) => {
                out.push('.');
                out.push_str(name);
            }
            Part::Field(name) => drop(write!(out, "[{}]", quoted(name))),
            Part::Item(at) => drop(write!(out, "[{at}]")),
        }
    }
    out
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || ".[]=\"'".contains(c))
}

/// Reads the path at the beginning of a text; returns what stands behind it.
///
/// # Errors
/// What is wrong with it.
pub fn path(text: &str) -> Result<(Vec<Part>, &str), String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[', ']', '=']).unwrap_or(name.len());
            if end == 0 {
                return Err("a name is missing behind a dot".into());
            }
            parts.push(Part::Field(name[..end].to_owned()));
            rest = &name[end..];
        } else if let Some(inner) = rest.strip_prefix('[') {
            let mut values = serde_json::Deserializer::from_str(inner).into_iter::<serde_json::Value>();
            let part = match values.next() {
                Some(Ok(serde_json::Value::String(name))) => Part::Field(name),
                Some(Ok(serde_json::Value::Number(at))) => {
                    let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
                    Part::Item(at.ok_or("a place is a whole number, from 0")?)
                }
                _ => return Err("between [ and ] stands a place, from 0, or a name in double quotes".into()),
            };
            rest = inner[values.byte_offset()..].strip_prefix(']').ok_or("a ] is missing")?;
            parts.push(part);
        } else {
            return Ok((parts, rest));
        }
    }
}

/// What is different in two documents, by the deepest places that both have.
pub fn changes(before: &Document, after: &Document) -> Vec<Change> {
    let mut found = Vec::new();
    compare(before, after, &mut Vec::new(), &mut found);
    found
}

fn compare(before: &Document, after: &Document, path: &mut Vec<Part>, found: &mut Vec<Change>) {
    let mut beside = |part: Part, from: Option<&Document>, to: Option<&Document>, path: &mut Vec<Part>| {
        path.push(part);
        match (from, to) {
            (Some(from), Some(to)) => compare(from, to, path, found),
            _ => found.push(Change { path: path.clone(), from: from.cloned(), to: to.cloned() }),
        }
        path.pop();
    };
    match (before, after) {
        (Document::Array(old), Document::Array(new)) => {
            for at in 0..old.len().max(new.len()) {
                beside(Part::Item(at), old.get(at), new.get(at), path);
            }
        }
        (Document::Object(old), Document::Object(new)) => {
            let names = |fields: &[(String, Document)]| -> Vec<String> {
                fields.iter().map(|(name, _)| name.clone()).collect()
            };
            let mut all = names(old);
            all.extend(names(new));
            let mut known = std::collections::HashSet::new();
            for name in all.into_iter().filter(|name| known.insert(name.clone())) {
                beside(Part::Field(name.clone()), before.field(&name), after.field(&name), path);
            }
        }
        _ => {
            let texts = before.as_text().zip(after.as_text());
            if before != after && texts.is_none_or(|(old, new)| old != new) {
                found.push(Change { path: path.clone(), from: Some(before.clone()), to: Some(after.clone()) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_changed_keeps_its_spelling() {
        let text = r#"{"n": 1.10, "big": 123456789012345678901234567890, "e": 1e400, "s": "caf\u00e9", "a": [1, {"b": null}], "a": []}"#;
        let mut read = Document::parse(text).unwrap();
        assert_eq!(read.text(), text);
        assert_eq!(read.at(&path(".a").unwrap().0), Some(&Document::Array(vec![])));
        assert!(read.replace(&path(".n").unwrap().0, Document::Scalar("12.5".into())));
        assert_eq!(read.text(), text.replace("1.10", "12.5"));
        assert!(!read.replace(&path(".none").unwrap().0, Document::Scalar("1".into())));
    }

    #[test]
    fn paths_are_read_and_written() {
        for text in [".a.b[0].c", "[0]", ".a[\"odd. = name\"][2]", "[\"\"]"] {
            let (parts, rest) = path(text).unwrap();
            assert_eq!((path_text(&parts).as_str(), rest), (text, ""));
        }
        assert_eq!(path(".a=1.b").unwrap(), (vec![Part::Field("a".into())], "=1.b"));
        for bad in ["..a", "[x]", "[-1]", "[1", "[1.5]", ".", "[null]"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = Document::parse("{\n  \"a\": 1,\n  \"b\" 2\n}").unwrap_err();
        assert_eq!(error.at, Some((3, 7)));
        assert!(error.to_string().starts_with("no JSON: line 3, column 7: expected `:`"), "{error}");
        assert!(Document::parse("[1] x").is_err() && Document::parse("").is_err());
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let error = Document::parse(&deep(65)).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.is_json()), ("nested deeper than 64 levels", true));
        let deepest = Document::parse(&deep(64)).unwrap();
        assert_eq!(deepest.unreadable(), None);
        assert!(Document::Array(vec![deepest]).unreadable().is_some());
    }

    #[test]
    fn numbers_that_no_float_holds_are_found() {
        let infinite = |text: &str| Document::parse(text).unwrap().infinite().map(str::to_owned);
        assert_eq!(infinite(r#"{"a": [1, -1e400]}"#).as_deref(), Some("-1e400"));
        let digits = "9".repeat(400);
        for whole in ["[1e308, 1e-400, \"1e400\", null]", &digits] {
            assert_eq!(infinite(whole), None, "{whole}");
        }
    }

    #[test]
    fn changes_are_told_by_the_deepest_place() {
        let read = |text: &str| Document::parse(text).unwrap();
        let told = |before: &str, after: &str| -> Vec<String> {
            let text = |side: &Option<Document>| side.as_ref().map_or("-".into(), Document::text);
            let all = changes(&read(before), &read(after));
            all.iter().map(|one| format!("{} {} {}", path_text(&one.path), text(&one.from), text(&one.to))).collect()
        };
        assert_eq!(
            told(r#"{"a": [1, 2], "b": 1}"#, r#"{"a": [1, 3, 4], "c": 1}"#),
            [".a[1] 2 3", ".a[2] - 4", ".b 1 -", ".c - 1"]
        );
        assert!(told(r#"["caf\u00e9"]"#, r#"["café"]"#).is_empty());
        assert_eq!(told("[1]", "[1.0]"), ["[0] 1 1.0"]);
        assert_eq!(told("[1]", "{}"), [" [1] {}"]);
        let kept = read(r#"["café", 2]"#).keeping(&read(r#"["caf\u00e9", 1]"#));
        assert_eq!(kept.text(), r#"["caf\u00e9", 2]"#);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("\\PC{0,4}", inner, 0..4)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_the_same_document(value in any_json(), other in any_json()) {
            let read = Document::parse(&value.to_string()).unwrap();
            for text in [read.text(), read.pretty()] {
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value.clone());
            }
            let other = Document::parse(&other.to_string()).unwrap();
            prop_assert_eq!(read.same(&other), serde_json::from_str::<serde_json::Value>(&other.text()).unwrap() == value);
            // Every path that is told is read again.
            for change in changes(&read, &other) {
                let text = path_text(&change.path);
                prop_assert_eq!(path(&text).unwrap(), (change.path, ""));
            }
        }
    }
}
