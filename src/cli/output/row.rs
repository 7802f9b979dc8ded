//! The writer of a list, row by row, and its options.

use sen_core::model::value::Value;
use sen_core::time::Timestamp;

use crate::times::Times;

/// What the formats need to know about where their bytes go.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether colours are wanted.
    pub color: bool,
    /// Whether it is a terminal, where every format but JSON (harmless as it is) must be filtered and long payloads are cut.
    pub terminal: bool,
    /// How moments are written.
    pub times: Times,
    /// Columns to fit into; `None`: no limit.
    pub width: Option<usize>,
    /// The database's clock, for relative times.
    pub now: Timestamp,
}

/// Writes a list, one row at a time, in constant memory.
pub trait RowWriter {
    /// Appends a row (or keeps it for a while, as the table does to measure its columns).
    fn row(&mut self, row: &[Value], out: &mut Vec<u8>);

    /// Appends what was kept: the producer has paused and somebody may be watching.
    fn settle(&mut self, _out: &mut Vec<u8>) {}

    /// Appends what was kept and the end of the document.
    fn finish(&mut self, out: &mut Vec<u8>);
}
