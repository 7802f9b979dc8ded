//! The look at PostgreSQL's catalogue: one statement of few parts, because a session that has just begun knows nothing of the
//! catalogue yet and each further part of it costs more than the rows that are found.

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::decode::Cells;
use super::read::Query;
use crate::catalogue::{Catalogue, Column, Marks, Relation};
use crate::sql::Sql;

/// $1 names, $2 columns. Objects of users are numbered from 16384 on. No supported table that is known by its columns has less
/// than ten of them, and the columns are looked for by an index, table by table. Temporary tables are nobody's work.
static LOOK: Sql = Sql::new(
    "SELECT c.oid::int8, c.relnamespace::regnamespace::text, c.relname::text, c.relkind::text,
        pg_table_is_visible(c.oid), c.relrowsecurity AND row_security_active(c.oid),
        has_any_column_privilege(c.oid, 'SELECT'),
        has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), c.reltuples::float8,
        (SELECT json_agg(json_build_array(a.attnum, a.attname, a.atttypid::int8,
                NOT a.attnotnull OR a.atthasdef OR a.attidentity <> ''))
            FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        (SELECT json_agg(json_build_array(k.conkey[1], k.confrelid::int8)) FROM pg_constraint AS k
            WHERE k.conrelid = c.oid AND k.contype = 'f' AND cardinality(k.conkey) = 1),
        (SELECT json_agg(json_build_array(t.oid::int8, t.typnamespace::regnamespace::text, t.typname,
                (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid)))
            FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.atttypid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped)
    FROM pg_class AS c
    WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND (c.relname = ANY ($1)
        OR c.relkind IN ('r', 'p') AND c.relnatts >= 10 AND NOT c.relispartition
            AND (SELECT true FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = ANY ($2) AND NOT a.attisdropped
                LIMIT 1))",
);

/// The names and the columns of all `marks`.
pub(super) struct Wanted(Vec<&'static str>, Vec<&'static str>);

impl Wanted {
    /// Of all systems.
    pub(super) fn of(marks: &[Marks]) -> Self {
        let names = marks.iter().flat_map(|marks| marks.tables.iter().chain(marks.others)).copied().collect();
        Self(names, marks.iter().flat_map(|marks| marks.columns).copied().collect())
    }

    /// The look for them.
    pub(super) fn ask(&self) -> Query<'_> {
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&self.0, Type::NAME_ARRAY), (&self.1, Type::NAME_ARRAY)];
        Query::new(&LOOK, params)
    }
}

/// The relations of the answer.
pub(super) fn catalogue(rows: &[Row]) -> Catalogue {
    Catalogue { relations: rows.iter().map(relation).collect() }
}

fn relation(row: &Row) -> Relation {
    let mut cells = Cells::new(row);
    let mut list = |at| {
        let value = cells.json(at).and_then(|json| serde_json::from_str::<Vec<Value>>(&json).ok());
        value.unwrap_or_default()
    };
    let (mut fields, keys, types) = (list(9), list(10), list(11));
    fields.sort_by_key(|field| field[0].as_i64());
    let references = keys.iter().filter_map(|key| {
        let column = fields.iter().find(|field| field[0] == key[0])?;
        Some((text(&column[1]), key[1].as_i64()?))
    });
    let references = references.collect();
    let kind = cells.text(3).unwrap_or_default();
    let mut is = |at| cells.flag(at) == Some(true);
    let (visible, hides_rows, readable, wholly_readable) = (is(4), is(5), is(6), is(7));
    Relation {
        number: cells.int(0).unwrap_or_default(),
        schema: cells.text(1).map(|name| unquoted(&name)),
        name: cells.text(2).unwrap_or_default(),
        visible,
        stored: matches!(&*kind, "r" | "p"),
        sequence: kind == "S",
        columns: fields.iter().map(|field| column(field, &types)).collect(),
        references,
        // Before the first VACUUM the server says -1 (until PostgreSQL 13: 0).
        rows: cells.float(8).map(|rows| rows.max(0.0) as i64),
        hides_rows,
        readable,
        wholly_readable,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn column(field: &Value, types: &[Value]) -> Column {
    let number = field[2].as_i64();
    let own = types.iter().find(|kind| kind[0].as_i64() == number);
    let known = || number.and_then(|number| Type::from_oid(u32::try_from(number).ok()?));
    let (type_schema, type_name, labels) = match (own, known()) {
        (Some(own), _) => {
            (unquoted(&text(&own[1])), text(&own[2]), own[3].as_array().into_iter().flatten().map(text).collect())
        }
        (None, Some(known)) => (known.schema().to_owned(), known.name().to_owned(), Vec::new()),
        (None, None) => Default::default(),
    };
    Column { name: text(&field[1]), type_schema, type_name, labels, optional: field[3] == Value::Bool(true) }
}

/// A name as the server quotes it where it must.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_server_quotes_them() {
        assert_eq!(unquoted("public"), "public");
        assert_eq!(unquoted("\"Od d\""), "Od d");
        assert_eq!(unquoted("\"a\"\"b\""), "a\"b");
    }

    #[test]
    fn types_of_the_server_are_known_by_number_and_others_come_along() {
        let types = [serde_json::json!([99_999, "\"My types\"", "status", ["A", "B"]])];
        let own = column(&serde_json::json!([1, "status", 99_999, false]), &types);
        assert_eq!((&*own.type_schema, &*own.type_name, own.labels.len()), ("My types", "status", 2));
        let known = column(&serde_json::json!([2, "at", 1184, true]), &types);
        assert_eq!((&*known.type_schema, &*known.type_name), ("pg_catalog", "timestamptz"));
        assert!(known.optional && !own.optional);
    }
}
