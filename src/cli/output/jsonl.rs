//! `-o jsonl`: one compact object per line.

use sen_core::model::value::Value;

use crate::output::encode::RowEncoder;
use crate::output::fields::Picked;
use crate::output::row::RowWriter;

/// Writes a list, a line per row.
pub struct Lines {
    encoder: RowEncoder,
}

impl Lines {
    /// A writer over `encoder`.
    pub fn new(encoder: RowEncoder) -> Self {
        Self { encoder }
    }
}

impl RowWriter for Lines {
    fn row(&mut self, row: &[Value], out: &mut Vec<u8>) {
        self.encoder.row(row, out);
        out.push(b'\n');
    }

    fn finish(&mut self, _out: &mut Vec<u8>) {}
}

/// Appends details, a line each.
pub fn details(details: &[Picked<'_>], reveal: bool, out: &mut Vec<u8>) {
    for detail in details {
        let mut separator = b'{';
        for (name, value) in detail {
            out.push(separator);
            separator = b',';
            super::encode::string(out, name);
            out.push(b':');
            super::encode::value(out, value, reveal);
        }
        out.extend_from_slice(if detail.is_empty() { b"{}\n" } else { b"}\n" });
    }
}
