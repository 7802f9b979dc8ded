//! What relations a database has, as far as some system may know them: one look for all systems, which interpret it.

/// What makes a relation worth telling of. Each system has its own, and a store is asked for those of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Tables known by their names, whose rows are shown.
    pub tables: &'static [&'static str],
    /// Relations that are asked about by name only.
    pub others: &'static [&'static str],
    /// Columns by which tables of any name are known, in any schema.
    pub columns: &'static [&'static str],
}

/// A column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The schema of its type; empty in a store that has none.
    pub type_schema: String,
    /// The name of its type, bare: `timestamptz`, `varchar`.
    pub type_name: String,
    /// The labels of its type in their order, when that is an enum.
    pub labels: Vec<String>,
    /// Whether a row can be inserted without naming it.
    pub optional: bool,
}

/// A relation with its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its number, unique in the database.
    pub number: i64,
    /// Its schema; `None` in a store that has none.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// Whether its bare name means it.
    pub visible: bool,
    /// Whether it is a table that rows are stored in.
    pub stored: bool,
    /// Whether it is a sequence.
    pub sequence: bool,
    /// Its columns in their order.
    pub columns: Vec<Column>,
    /// The numbers of the tables that single columns of it reference, by column.
    pub references: Vec<(String, i64)>,
    /// About how many rows it has, where the server reckons that.
    pub rows: Option<i64>,
    /// Whether row-level security may hide rows of it from this role.
    pub hides_rows: bool,
    /// Whether this role may read some column of it.
    pub readable: bool,
    /// Whether it may read all of it, schema included.
    pub wholly_readable: bool,
}

impl Relation {
    /// Whether there is such a column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known.name == column)
    }
}

/// The relations that some system marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// In no particular order.
    pub relations: Vec<Relation>,
}

impl Catalogue {
    /// The relation that this bare name means.
    pub fn named(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.visible && relation.name == name)
    }

    /// Tables that have one of these columns, in whatever schema.
    pub fn with_columns<'a>(&'a self, columns: &'a [&str]) -> impl Iterator<Item = &'a Relation> {
        let marked = |relation: &&Relation| relation.stored && columns.iter().any(|column| relation.has(column));
        self.relations.iter().filter(marked)
    }

    /// Those of `tables` of which row-level security may hide rows.
    pub fn hidden<'a>(&'a self, tables: &'a [&str]) -> impl Iterator<Item = &'a str> {
        tables.iter().filter_map(|name| self.named(name)).filter(|table| table.hides_rows).map(|table| &*table.name)
    }
}
