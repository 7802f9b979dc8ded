//! What of a store's catalogue is this library's: which tables, and which of them cannot be read. Pure.

use std::sync::Arc;

use crate::shape::{Field, Models, Table};
use sen_stores::catalogue::{Catalogue, Marks, Relation};

/// What a store asks its catalogue for: columns nobody else has.
pub const MARKS: Marks =
    Marks { tables: &[], others: &[], columns: &["step_execution_token", "step_name", "next_attempt_at"] };

/// What the catalogue tells of this library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What can be read.
    pub models: Arc<Models>,
    /// Tables of this library that this role may not read, as SQL names them.
    pub unread: Vec<String>,
    /// Tables of which row-level security may hide rows.
    pub hidden: Vec<String>,
}

impl Found {
    /// In a catalogue.
    pub fn of(catalogue: &Catalogue) -> Self {
        let candidates: Vec<&Relation> = catalogue.with_columns(MARKS.columns).collect();
        let (readable, others): (Vec<&Relation>, Vec<&Relation>) =
            candidates.iter().partition(|relation| relation.wholly_readable);
        let others = others.into_iter().map(table).filter(Models::knows);
        Self {
            models: Models::of(readable.into_iter().map(table).collect()).into(),
            unread: others.map(|table| table.full()).collect(),
            hidden: candidates.iter().filter(|one| one.hides_rows).map(|one| one.name.clone()).collect(),
        }
    }
}

/// A relation as this library sees it.
fn table(relation: &Relation) -> Table {
    let fields = relation.columns.iter().map(|column| Field {
        name: column.name.clone(),
        type_schema: column.type_schema.clone(),
        type_name: column.type_name.clone(),
        labels: column.labels.clone(),
    });
    Table {
        number: relation.number,
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        fields: fields.collect(),
        references: relation.references.iter().find(|(column, _)| column == "saga_id").map(|(_, table)| *table),
        rows: relation.rows,
    }
}
