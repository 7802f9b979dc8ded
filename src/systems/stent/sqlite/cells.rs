//! Reading columns of SQLite, which hold values of any type: what does not fit is reported, and the other columns are read.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::rows::Columns;
use sen_model::time::wall::Wall;

/// Reads the columns of one row.
pub(super) struct Cells<'row> {
    row: &'row Row<'row>,
    unreadable: Vec<String>,
}

impl<'row> Cells<'row> {
    pub(super) fn new(row: &'row Row<'row>) -> Self {
        Self { row, unreadable: Vec::new() }
    }

    fn get(&mut self, at: usize) -> ValueRef<'row> {
        self.row.get_ref(at).unwrap_or(ValueRef::Null)
    }

    fn odd(&mut self, at: usize, found: &str) {
        let name = self.row.as_ref().column_name(at).unwrap_or("?").to_owned();
        self.unreadable.push(format!("column {name}: {found}"));
    }
}

impl Columns for Cells<'_> {
    fn text(&mut self, at: usize) -> Option<String> {
        match self.get(at) {
            ValueRef::Null => None,
            ValueRef::Text(raw) | ValueRef::Blob(raw) => Some(match std::str::from_utf8(raw) {
                Ok(text) => text.to_owned(),
                Err(_) => {
                    self.odd(at, "no UTF-8");
                    String::from_utf8_lossy(raw).into_owned()
                }
            }),
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
        }
    }

    fn int(&mut self, at: usize) -> Option<i64> {
        match self.get(at) {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number),
            ValueRef::Real(number) => Some(number as i64),
            ValueRef::Text(_) | ValueRef::Blob(_) => {
                self.odd(at, "no number");
                None
            }
        }
    }

    fn float(&mut self, at: usize) -> Option<f64> {
        match self.get(at) {
            ValueRef::Integer(number) => Some(number as f64),
            ValueRef::Real(number) => Some(number),
            _ => None,
        }
    }

    fn flag(&mut self, at: usize) -> Option<bool> {
        self.int(at).map(|number| number != 0)
    }

    /// A time as Python's `isoformat()` writes it.
    fn wall(&mut self, at: usize) -> Option<Wall> {
        let text = self.text(at)?;
        let read = Wall::parse(&text);
        if read.is_none() {
            self.odd(at, &format!("{text:?} is no time without a zone"));
        }
        read
    }

    /// Bytes; Python's sqlite3 takes text in their place, and so does this.
    fn bytes(&mut self, at: usize) -> Option<Vec<u8>> {
        match self.get(at) {
            ValueRef::Null => None,
            ValueRef::Blob(raw) | ValueRef::Text(raw) => Some(raw.to_vec()),
            ValueRef::Integer(_) | ValueRef::Real(_) => {
                self.odd(at, "a number in place of bytes");
                None
            }
        }
    }

    fn unreadable(&mut self) -> &mut Vec<String> {
        &mut self.unreadable
    }
}
