//! Sections of a record, as data and as tables.

use sen_core::model::record::Section;
use sen_core::model::value::{Column, Row, Value};

use crate::views::Block;

/// Rows as objects under their columns' names.
pub fn objects<'a>(columns: &'static [Column], rows: impl IntoIterator<Item = &'a Row>) -> Value {
    let object =
        |row: &Row| Value::Map(columns.iter().zip(row).map(|(column, value)| (column.name, value.clone())).collect());
    Value::List(rows.into_iter().map(object).collect())
}

/// Sections as fields of their owner's data.
pub fn section_values(sections: &[Section]) -> impl Iterator<Item = (&'static str, Value)> {
    sections.iter().map(|section| (section.name, objects(section.columns, &section.rows)))
}

/// Sections for people; those without rows are left out.
pub fn section_blocks(sections: &[Section]) -> impl Iterator<Item = Block> {
    let filled = sections.iter().filter(|section| !section.rows.is_empty());
    filled.flat_map(|section| {
        [Block::Heading(section.heading.into()), Block::Table(section.columns, section.rows.clone())]
    })
}
