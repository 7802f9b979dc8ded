//! The output formats. Each appends to a buffer and never fails or touches a stream (that is `screen.rs`), so that it is tested
//! as a function.

pub mod csv;
pub mod detail;
pub mod encode;
pub mod fields;
pub mod json;
pub mod jsonl;
pub mod markdown;
pub mod pretty;
pub mod row;
pub mod table;
pub mod text;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::value::Column;

use crate::views::{DetailsView, Tone};
use row::{Look, RowWriter};

/// The output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, or labelled lines for a single thing; for people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON object per line
    Jsonl,
    /// Comma-separated values with a header; lists only
    Csv,
}

impl Format {
    /// Whether errors are written as JSON, too.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// `-o`.
    pub format: Format,
    /// `--fields`, in order; empty: the format's own choice.
    pub fields: Vec<String>,
    /// `--reveal`: values under secret-looking names are shown.
    pub reveal: bool,
    /// Whether long tables may go through a pager (`--no-pager` clears it).
    pub pager: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { format: Format::Table, fields: Vec::new(), reveal: false, pager: true }
    }
}

/// The writer for a list.
///
/// # Errors
/// `Usage` when `--fields` names an unknown column.
pub fn rows(columns: &'static [Column], tone: Tone, look: Look, options: &Options) -> Result<Box<dyn RowWriter>> {
    let picked = fields::columns(columns, &options.fields)?;
    let asked = !options.fields.is_empty();
    let named = || picked.iter().map(|at| (*at, columns[*at].name));
    Ok(match options.format {
        Format::Table => Box::new(table::Table::new(columns, &picked, asked, tone, look, options.reveal)),
        Format::Json => Box::new(json::JsonRows::new(encode::RowEncoder::new(named(), options.reveal))),
        Format::Jsonl => Box::new(jsonl::Lines::new(encode::RowEncoder::new(named(), options.reveal))),
        Format::Csv => Box::new(csv::CsvRows::new(named(), look.terminal, options.reveal)),
    })
}

/// Appends details.
///
/// # Errors
/// `Usage` when `--fields` names a field that none of the details has; `Internal` for CSV.
pub fn details(view: &DetailsView, look: Look, options: &Options, out: &mut Vec<u8>) -> Result<()> {
    let picked = fields::details(&view.details, &options.fields)?;
    match options.format {
        Format::Table if options.fields.is_empty() => detail::details(&view.details, look, options.reveal, out),
        Format::Table => detail::picked(&picked, look, options.reveal, out),
        Format::Json => json::details(&picked, view.single, options.reveal, out),
        Format::Jsonl => jsonl::details(&picked, options.reveal, out),
        // Refused before the command ran (`commands::is_list`): nested values have no columns.
        Format::Csv => return Err(Error::new(ErrorKind::Internal, "only lists can be printed as CSV")),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
