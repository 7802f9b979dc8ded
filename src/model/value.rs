//! Values as systems hand them to the views, and their columns.

use crate::time::Timestamp;

/// One value of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing there.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number that always fits 53 bits; a JSON number.
    Int(i64),
    /// A number that was estimated: in data a JSON number, marked for people.
    About(i64),
    /// A number that can pass 2^53 (tokens, event ids): a JSON string.
    Big(i64),
    /// A name from this program's own vocabulary (states, verdicts): lower snake case.
    Name(&'static str),
    /// Text from the database: untrusted.
    Text(String),
    /// Text of several lines from the database, for which the lines matter (a traceback): untrusted.
    Lines(String),
    /// A moment: RFC 3339 UTC in data, relative or absolute for people.
    Time(Timestamp),
    /// A moment that is not recorded and not before this one: in data the same as [`Value::Time`], marked for people.
    NotBefore(Timestamp),
    /// A span in milliseconds; a JSON number.
    Millis(i64),
    /// A JSON document as text, untrusted in content and known to be valid in form: a serializer wrote it, a `jsonb` column
    /// holds it, or it was parsed. Stored text goes through [`Value::json`], or it could forge fields of the output.
    Json(String),
    /// A list.
    List(Vec<Value>),
    /// A JSON object with fields in this order.
    Map(Vec<(&'static str, Value)>),
}

impl Value {
    /// Text, or null.
    pub fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    /// Stored text that should be JSON: as JSON where it is one document, else as the text it is.
    pub fn json(text: Option<String>) -> Self {
        match text {
            Some(text) if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() => Self::Json(text),
            Some(text) => Self::Text(text),
            None => Self::Null,
        }
    }

    /// How many there are, or about how many.
    pub fn count(count: i64, estimated: bool) -> Self {
        if estimated { Self::About(count) } else { Self::Int(count) }
    }

    /// A moment, or null.
    pub fn time(moment: Option<Timestamp>) -> Self {
        moment.map_or(Self::Null, Self::Time)
    }
}

/// One column of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The field's name in json, jsonl, csv and `--fields`: lower snake case.
    pub name: &'static str,
    /// Its heading in a table: short, upper case.
    pub heading: &'static str,
    /// How a table treats it.
    pub show: Show,
}

/// How a table treats a column. All columns are always in json, jsonl and csv.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Shown and kept whole: keys, ids, states.
    Whole,
    /// Shown and kept whole, and a time is absolute: events, whose order and distance matter.
    Moment,
    /// Shown, and shortened when the terminal is narrow: payloads, errors, owners.
    Short,
    /// Shown only where there is room for it after all `Whole` and `Short` ones.
    Wide,
    /// Shown only when asked for with `--fields`.
    Asked,
}

/// The values of one record, in the order of its columns.
pub type Row = Vec<Value>;

/// One list for a table: each line is a column (name, heading, how a table treats it) with its value. From it come the
/// columns and the function that makes a row of a record, so that neither can drift from the other; the record is moved into
/// its row. What several columns share is computed once, in the function's block.
///
/// ```
/// use sen_model::value::Value;
///
/// sen_model::columns! {
///     /// The columns of a list of pets.
///     pub PET_COLUMNS,
///     /// A pet under them.
///     pub fn pet_row(name: String, legs: i64) {
///         let animal = if legs == 2 { "bird" } else { "cat" };
///     }
///     "name", "NAME", Whole => Value::Text(name);
///     "animal", "ANIMAL", Wide => Value::Name(animal);
/// }
/// assert_eq!(PET_COLUMNS[1].name, "animal");
/// assert_eq!(pet_row("Tom".into(), 4)[1], Value::Name("cat"));
/// ```
#[macro_export]
macro_rules! columns {
    (
        $(#[$about:meta])* $columns_for:vis $columns:ident,
        $(#[$does:meta])* $row_for:vis fn $row:ident($($record:tt)*) { $($shared:tt)* }
        $($name:literal, $heading:literal, $show:ident => $value:expr;)+
    ) => {
        $(#[$about])*
        $columns_for const $columns: &[$crate::value::Column] = &[
            $($crate::value::Column { name: $name, heading: $heading, show: $crate::value::Show::$show }),+
        ];

        $(#[$does])*
        $row_for fn $row($($record)*) -> $crate::value::Row {
            $($shared)*
            vec![$($value),+]
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_text_cannot_forge_fields() {
        assert_eq!(Value::json(Some("{\"a\": 1}".into())), Value::Json("{\"a\": 1}".into()));
        for forged in ["1, \"state\": \"sent\"", "{}}, {\"id\": 2", "", "{\"a\":"] {
            assert_eq!(Value::json(Some(forged.into())), Value::Text(forged.into()));
        }
        assert_eq!(Value::json(None), Value::Null);
    }
}
