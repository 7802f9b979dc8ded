//! `-o json`: one document. A list is one array, streamed with a row on each line. When the producer fails, the array is left
//! open on purpose, so that no consumer takes a part for the whole.

use sen_core::model::value::Value;

use crate::output::encode::{self, RowEncoder};
use crate::output::fields::Picked;
use crate::output::row::RowWriter;

/// Writes a list as one array.
pub struct JsonRows {
    encoder: RowEncoder,
    empty: bool,
}

impl JsonRows {
    /// A writer that has written nothing yet.
    pub fn new(encoder: RowEncoder) -> Self {
        Self { encoder, empty: true }
    }
}

impl RowWriter for JsonRows {
    fn row(&mut self, row: &[Value], out: &mut Vec<u8>) {
        out.extend_from_slice(if self.empty { b"[\n " } else { b",\n " });
        self.empty = false;
        self.encoder.row(row, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.empty { b"[]\n" } else { b"\n]\n" });
    }
}

/// Appends details, indented: one object when a `single` thing was asked for, else an array.
pub fn details(details: &[Picked<'_>], single: bool, reveal: bool, out: &mut Vec<u8>) {
    let fields =
        |detail: &Picked<'_>, depth, out: &mut Vec<u8>| encode::object(out, detail.iter().copied(), reveal, depth);
    match details {
        [only] if single => fields(only, 0, out),
        [] if single => out.extend_from_slice(b"null"),
        [] => out.extend_from_slice(b"[]"),
        many => {
            for (at, detail) in many.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"[\n  " } else { b",\n  " });
                fields(detail, 1, out);
            }
            out.extend_from_slice(b"\n]");
        }
    }
    out.push(b'\n');
}
