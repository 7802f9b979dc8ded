//! `-o csv`: RFC 4180 with a header, lines ended by `\n` as `psql --csv` does. Null is the empty cell, nested values
//! are JSON text. Text that a spreadsheet would run as a formula is prefixed with `'`; numbers are not.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use sen_core::model::value::Value;

use crate::clean::{self, clean};
use crate::mask;
use crate::output::encode;
use crate::output::row::RowWriter;

/// A buffer shared with the csv crate's writer, which gives its inner writer away for reading only.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a list as CSV.
pub struct CsvRows {
    writer: Writer<Shared>,
    shared: Shared,
    cell: Vec<u8>,
    picked: Vec<(usize, bool)>,
    terminal: bool,
}

impl CsvRows {
    /// A writer for rows of which the given positions are shown under the given names. The header comes out with the
    /// first row, or with the end.
    pub fn new<'a>(picked: impl Iterator<Item = (usize, &'a str)>, terminal: bool, reveal: bool) -> Self {
        let shared = Shared::default();
        let writer = WriterBuilder::new()
            .quote_style(QuoteStyle::Necessary)
            .terminator(Terminator::Any(b'\n'))
            .flexible(true)
            .from_writer(shared.clone());
        let mut rows = Self { writer, shared, cell: Vec::new(), picked: Vec::new(), terminal };
        for (position, name) in picked {
            rows.picked.push((position, reveal || mask::exact(name)));
            rows.field(&Value::Text(name.to_owned()), true);
        }
        rows.end();
        rows
    }

    fn field(&mut self, value: &Value, reveal: bool) {
        self.cell.clear();
        cell(&mut self.cell, value, self.terminal, reveal);
        let written = self.writer.write_field(&self.cell);
        debug_assert!(written.is_ok(), "a buffer takes everything");
    }

    fn end(&mut self) {
        let written = self.writer.write_record(None::<&[u8]>);
        debug_assert!(written.is_ok(), "a buffer takes everything");
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        let flushed = self.writer.flush();
        debug_assert!(flushed.is_ok(), "a buffer takes everything");
        out.append(&mut self.shared.0.borrow_mut());
    }
}

impl RowWriter for CsvRows {
    fn row(&mut self, row: &[Value], out: &mut Vec<u8>) {
        for at in 0..self.picked.len() {
            let (position, reveal) = self.picked[at];
            self.field(row.get(position).unwrap_or(&Value::Null), reveal);
        }
        self.end();
        self.drain(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.drain(out);
    }
}

/// Appends one cell's content.
fn cell(out: &mut Vec<u8>, value: &Value, terminal: bool, reveal: bool) {
    let masked;
    let text = match value {
        Value::Null => return,
        Value::Int(_) | Value::About(_) | Value::Millis(_) | Value::Bool(_) => {
            return encode::value(out, value, reveal);
        }
        Value::Big(number) => return encode::integer(out, *number),
        Value::Time(moment) | Value::NotBefore(moment) => return moment.write_rfc3339(out),
        Value::Json(_) | Value::List(_) | Value::Map(_) => {
            encode::value(out, value, reveal);
            // A bare negative number is the only JSON that a spreadsheet could run.
            if out.first().is_some_and(|byte| risky(*byte)) {
                out.insert(0, b'\'');
            }
            return;
        }
        Value::Name(name) => name,
        Value::Text(text) | Value::Lines(text) if reveal => text.as_str(),
        Value::Text(text) | Value::Lines(text) => {
            masked = mask::text(text);
            &masked
        }
    };
    // A spreadsheet skips blanks before a formula and reads full-width signs like ASCII.
    let first = text.trim_start_matches(|c: char| c.is_whitespace() || clean::hidden(c)).chars().next();
    let wide = first.is_some_and(|c| matches!(c, '＝' | '＋' | '－' | '＠'));
    let behind_blanks = first.is_some_and(|c| matches!(c, '=' | '+' | '@')) || first == Some('-');
    if text.bytes().next().is_some_and(risky) || wide || behind_blanks {
        out.push(b'\'');
    }
    out.extend_from_slice(if terminal { clean(text) } else { text.into() }.as_bytes());
}

fn risky(first: u8) -> bool {
    matches!(first, b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n')
}
